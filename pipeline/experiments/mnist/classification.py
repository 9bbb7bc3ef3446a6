"""Classification of digits: over-fitting and its remedies, and fine-tuning of a pretrained encoder."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from ....models.autoencoder import ConvolutionalAutoEncoder
from ....models.classifier import Classifier, ConvolutionalClassifier, DenseClassifier
from ...training.trainer import History, TrainerSettings, train_task
from ..findings import Finding
from ..training import Regression, build_with_seed, make_loader, save_network
from . import figures
from .digits import SHAPE, Digits
from .options import DigitOptions, DigitTrainingOptions
from .tasks import Classification

_COURSE = {"MLP": 0.937, "CNN": 0.9835}  # accuracies on the whole of MNIST
_LATENT, _WIDTHS, _DENSE = 16, (16, 32, 64), 128  # of the pretrained auto-encoder
_COUNTS = (100, 1000)  # labels for fine-tuning


@dataclass(frozen=True, kw_only=True)
class ClassifyOptions(DigitTrainingOptions):
    """Options of the classification of digits.

    Parameters
    ----------
    dropout
        Dropout probability of the regularised networks.
    augment
        Whether the regularised networks are trained on randomly moved digits.
    patience
        Epochs without improvement after which training of the regularised networks stops.
    """

    dropout: float = 0.3
    augment: bool = True
    epochs: int = 40
    patience: int = 8


@dataclass(frozen=True, kw_only=True)
class FinetuneOptions(DigitOptions):
    """Options of the fine-tuning of a classifier.

    Parameters
    ----------
    pretraining
        Training epochs of the auto-encoder.
    steps
        Training steps of each classifier.
    draws
        Random draws of the labelled digits over which accuracies are averaged.
    batch
        Samples in a training batch.
    learning_rate
        Learning rate of the classifiers; the linear layer on frozen features takes ten times that.
    """

    pretraining: int = 15
    steps: int = 600
    draws: int = 3
    batch: int = 50
    learning_rate: float = 1e-3


def classify(folder: Path, options: ClassifyOptions) -> list[Finding]:
    """Classify digits with a perceptron and a convolutional network, plain and regularised.

    The regularised ones have dropout and data augmentation; their training stops early. The plain ones are
    trained to the last epoch to show the over-fitting in ``learning.png``. The epoch with the lowest
    validation error is kept. Writes a checkpoint of each network.
    """
    parts = options.load()
    findings, curves = [], {}
    for name, build in {"MLP": DenseClassifier, "CNN": ConvolutionalClassifier}.items():
        for kind in ("plain", "regularised"):
            regularised = kind == "regularised"
            history = History()
            arguments: dict[str, Any] = {
                "classes": 10,
                "shape": SHAPE,
                "dropout": options.dropout if regularised else 0.0,
            }
            network = build_with_seed(partial(build, 1, **arguments), options.seed)
            transform = move_randomly if regularised and options.augment else None
            train_task(
                Classification(network, options.learning_rate),
                make_loader(*parts.training, options.batch, transform, shuffle=True),
                make_loader(*parts.validation, 500),
                settings=TrainerSettings(
                    epochs=options.epochs,
                    monitor="error",
                    patience=options.patience if regularised else None,
                    seed=options.seed,
                    device=options.device,
                    quiet=options.quiet,
                    name=f"{name}, {kind}",
                ),
                history=history,
            )
            save_network(folder / f"{name.lower()}-{kind}.pt", network, arguments)
            curves[f"{name}, {kind}"] = history.epochs
            reference = _COURSE[name] if regularised else None
            accuracy = compute_accuracy(network, parts.test)
            findings.append(Finding(f"{name}, {kind}: accuracy", accuracy, reference))
            if not regularised:
                errors = [epoch["error"] for epoch in history.epochs]
                findings.append(
                    Finding(
                        f"{name}, {kind}: validation error of the last epoch / of the best epoch",
                        errors[-1] / min(errors),
                    )
                )
    figures.draw_learning_curves(folder / "learning.png", curves, "cross-entropy")
    return findings


def finetune(folder: Path, options: FinetuneOptions) -> list[Finding]:
    """Classify digits from few labels with a pretrained encoder and with a classifier trained from scratch.

    The encoder is that of an auto-encoder trained on all training digits without labels. With 100 and with
    1000 labels, a linear layer is fitted to its frozen features, then all layers are trained; the classifier
    from scratch is trained for as many steps. The last step is kept, as there are no labels for validation.
    Writes ``accuracy.png`` and the classifiers of the last draw.
    """
    parts = options.load()
    digits = parts.training
    coder = build_with_seed(
        lambda: ConvolutionalAutoEncoder(1, 1, SHAPE, _LATENT, _WIDTHS, _DENSE), options.seed
    )
    train_task(
        Regression(coder, 2e-3),
        make_loader(digits.images, digits.images, options.batch, shuffle=True),
        settings=TrainerSettings(
            epochs=options.pretraining,
            seed=options.seed,
            device=options.device,
            quiet=options.quiet,
            name="auto-encoder",
        ),
    )
    save_network(folder / "autoencoder.pt", coder, {"latent": _LATENT, "widths": _WIDTHS, "dense": _DENSE})
    table = {}
    for count in _COUNTS:
        accuracies: dict[str, list[float]] = {"from scratch": [], "frozen": [], "unfrozen": []}
        for seed in range(options.seed, options.seed + options.draws):
            order = torch.randperm(len(digits.labels), generator=torch.Generator().manual_seed(seed))
            few = Digits(*(part[order[:count]] for part in digits))
            fresh, tuned = build_with_seed(
                lambda: (_build_classifier(None), _build_classifier(coder.encoder)), seed
            )
            _train(f"from scratch, {count} labels", fresh, few, options.learning_rate, options, seed)
            accuracies["from scratch"].append(compute_accuracy(fresh, parts.test))

            with torch.no_grad():
                features = tuned.eval().extract_features(few.images)
            last = Digits(features, few.labels)
            _train(f"frozen, {count} labels", tuned.head, last, 10 * options.learning_rate, options, seed)
            accuracies["frozen"].append(compute_accuracy(tuned, parts.test))
            _train(f"unfrozen, {count} labels", tuned, few, options.learning_rate, options, seed)
            accuracies["unfrozen"].append(compute_accuracy(tuned, parts.test))
        save_network(folder / f"scratch-{count}.pt", fresh, {"widths": _WIDTHS, "dense": _DENSE})
        save_network(folder / f"tuned-{count}.pt", tuned, {"widths": _WIDTHS, "dense": _DENSE})
        table[f"{count} labels"] = {kind: sum(values) / options.draws for kind, values in accuracies.items()}
    figures.draw_bars(folder / "accuracy.png", table, "accuracy on the test digits")
    findings = []
    for labels, means in table.items():
        findings += [Finding(f"{labels}: accuracy, {kind}", mean) for kind, mean in means.items()]
        gain = 100 * (means["unfrozen"] - means["from scratch"])
        findings.append(
            Finding(f"{labels}: accuracy, unfrozen minus from scratch (points)", gain, at_least=0)
        )
    return findings


def move_randomly(images: Tensor, angle: float = 15.0, shift: float = 0.1, scale: float = 0.1) -> Tensor:
    """Rotate, shift and scale each of the images (batch, 1, y, x) at random.

    By up to ``angle`` degrees, ``shift`` of half their width, and ``scale`` of their size.
    """
    turn, factor, across, down = (2 * torch.rand(4, len(images)) - 1).unbind()
    turn, factor = torch.deg2rad(angle * turn), 1 + scale * factor
    cosine, sine = factor * turn.cos(), factor * turn.sin()
    affine = torch.stack([cosine, -sine, shift * across, sine, cosine, shift * down], 1).unflatten(1, (2, 3))
    grid = functional.affine_grid(affine, list(images.shape), align_corners=False)
    return functional.grid_sample(images, grid, align_corners=False)


@torch.no_grad()
def compute_accuracy(network: nn.Module, digits: Digits) -> float:
    """Compute the fraction of digits whose highest score is that of their label."""
    return float((network.eval()(digits.images).argmax(1) == digits.labels).float().mean())


def _build_classifier(encoder: nn.Module | None) -> Classifier:
    """Build a classifier with a copy of the auto-encoder's encoder, or with a new encoder of that form."""
    if encoder is None:
        encoder = ConvolutionalAutoEncoder(1, 1, SHAPE, _LATENT, _WIDTHS, _DENSE).encoder
    return Classifier(deepcopy(encoder), _DENSE, 10, SHAPE, unit=2 ** len(_WIDTHS))


def _train(
    name: str,
    network: nn.Module,
    digits: Digits,
    learning_rate: float,
    options: FinetuneOptions,
    seed: int,
) -> None:
    """Fit a network to digits, or to their features, for about the number of steps in the options."""
    train_task(
        Classification(network, learning_rate),
        make_loader(*digits, options.batch, shuffle=True),
        settings=TrainerSettings(
            epochs=max(1, options.steps * options.batch // len(digits.labels)),
            seed=seed,
            device=options.device,
            quiet=options.quiet,
            name=name,
        ),
    )
