"""Which digit is it: dense and convolutional classifiers, over-fitting, and an encoder that knows digits."""

from __future__ import annotations

from copy import deepcopy
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
from ..image_tasks import Classification, Reconstruction, keep, pairs
from . import figures
from .digits import SHAPE, Digits, load_digits

_COURSE = {"MLP": 0.937, "CNN": 0.9835}  # on the whole of MNIST
_LATENT, _WIDTHS, _DENSE = 16, (16, 32, 64), 128  # of the auto-encoder whose encoder is tuned
_COUNTS = (100, 1000)  # labels to tune with


def moved(images: Tensor, angle: float = 15.0, shift: float = 0.1, scale: float = 0.1) -> Tensor:
    """Images (batch, 1, y, x), each turned, shifted and scaled at random.

    Up to ``angle`` degrees, ``shift`` of half their width, and ``scale`` of their size.
    """
    turn, factor, across, down = (2 * torch.rand(4, len(images)) - 1).unbind()
    turn, factor = torch.deg2rad(angle * turn), 1 + scale * factor
    cosine, sine = factor * turn.cos(), factor * turn.sin()
    affine = torch.stack([cosine, -sine, shift * across, sine, cosine, shift * down], 1).unflatten(1, (2, 3))
    grid = functional.affine_grid(affine, list(images.shape), align_corners=False)
    return functional.grid_sample(images, grid, align_corners=False)


def classify(
    folder: Path,
    *,
    dropout: float = 0.3,
    augment: bool = True,
    epochs: int = 40,
    patience: int = 8,
    batch: int = 50,
    learning_rate: float = 2e-3,
    training: int | None = None,
    full: bool = False,
    seed: int = 0,
    device: str = "cpu",
    quiet: bool = True,
) -> list[Finding]:
    """A perceptron and a convolutional network name digits, without and with dropout and augmentation.

    Training stops ``patience`` epochs after the least validation error, whose epoch is kept; without dropout
    and augmentation it goes on to the end, to show the over-fitting in ``learning.png``. Writes a checkpoint
    of each.
    """
    parts = load_digits(full)
    train = Digits(*(part[:training] for part in parts.training))
    findings, curves = [], {}
    for name, build in {"MLP": DenseClassifier, "CNN": ConvolutionalClassifier}.items():
        for helped in (False, True):
            history = History()
            options: dict[str, Any] = {"classes": 10, "shape": SHAPE, "dropout": dropout if helped else 0.0}
            with torch.random.fork_rng():
                torch.manual_seed(seed)
                network = build(1, **options)
            train_task(
                Classification(network, learning_rate),
                pairs(*train, batch, moved if helped and augment else None, shuffle=True),
                pairs(*parts.validation, 500),
                settings=TrainerSettings(
                    epochs=epochs,
                    monitor="error",
                    patience=patience if helped else None,
                    seed=seed,
                    device=device,
                    quiet=quiet,
                ),
                history=history,
            )
            kind = f"{name}, helped" if helped else f"{name}, plain"
            keep(folder / f"{name.lower()}-{'helped' if helped else 'plain'}.pt", network, options)
            curves[kind] = history.epochs
            reference = _COURSE[name] if helped else None
            findings.append(Finding(f"{kind}, accuracy", accuracy(network, parts.test), reference))
            if not helped:
                errors = [epoch["error"] for epoch in history.epochs]
                findings.append(
                    Finding(
                        f"{kind}, validation error of the last epoch over the kept", errors[-1] / min(errors)
                    )
                )
    figures.learning(folder / "learning.png", curves, "cross-entropy")
    return findings


def finetune(
    folder: Path,
    *,
    pretraining: int = 15,
    steps: int = 600,
    draws: int = 3,
    batch: int = 50,
    learning_rate: float = 1e-3,
    training: int | None = None,
    full: bool = False,
    seed: int = 0,
    device: str = "cpu",
    quiet: bool = True,
) -> list[Finding]:
    """With few labels, the encoder of an auto-encoder makes a better classifier than a fresh one.

    The auto-encoder sees all training digits for ``pretraining`` epochs and no label. With 100 and with 1000
    labels, ``draws`` times each, a linear layer is fitted to its frozen features, then all is trained
    together; the fresh classifier is trained for as many ``steps``. The last step is kept, as there are no
    labels to choose with. Writes ``accuracy.png`` and the classifiers of the last draw.
    """
    parts = load_digits(full)
    digits = Digits(*(part[:training] for part in parts.training))
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        coder = ConvolutionalAutoEncoder(1, 1, SHAPE, _LATENT, _WIDTHS, _DENSE)
    train_task(
        Reconstruction(coder, 2e-3),
        pairs(digits.images, digits.images, batch, shuffle=True),
        settings=TrainerSettings(epochs=pretraining, seed=seed, device=device, quiet=quiet),
    )
    keep(folder / "autoencoder.pt", coder, {"latent": _LATENT, "widths": _WIDTHS, "dense": _DENSE})
    table = {}
    for count in _COUNTS:
        found: dict[str, list[float]] = {"from scratch": [], "frozen": [], "unfrozen": []}
        for draw in range(draws):
            order = torch.randperm(len(digits.labels), generator=torch.Generator().manual_seed(seed + draw))
            few = Digits(*(part[order[:count]] for part in digits))
            train = partial(_train, batch=batch, steps=steps, seed=seed + draw, device=device, quiet=quiet)
            with torch.random.fork_rng():
                torch.manual_seed(seed + draw)
                fresh, tuned = _classifier(None), _classifier(coder.encoder)
            train(fresh, few, learning_rate)
            found["from scratch"].append(accuracy(fresh, parts.test))

            with torch.no_grad():
                features = tuned.eval().features(few.images)
            train(tuned.head, Digits(features, few.labels), 10 * learning_rate)
            found["frozen"].append(accuracy(tuned, parts.test))
            train(tuned, few, learning_rate)
            found["unfrozen"].append(accuracy(tuned, parts.test))
        keep(folder / f"scratch-{count}.pt", fresh, {"widths": _WIDTHS, "dense": _DENSE})
        keep(folder / f"tuned-{count}.pt", tuned, {"widths": _WIDTHS, "dense": _DENSE})
        table[f"{count} labels"] = {kind: sum(values) / draws for kind, values in found.items()}
    figures.bars(folder / "accuracy.png", table, "accuracy on the test digits")
    findings = []
    for labels, means in table.items():
        findings += [Finding(f"{labels}, {kind}, accuracy", mean) for kind, mean in means.items()]
        gain = 100 * (means["unfrozen"] - means["from scratch"])
        findings.append(Finding(f"{labels}, unfrozen minus from scratch, points", gain, at_least=0))
    return findings


def _classifier(encoder: nn.Module | None) -> Classifier:
    """With a copy of an encoder of the auto-encoder's form, or with a fresh one."""
    if encoder is None:
        encoder = ConvolutionalAutoEncoder(1, 1, SHAPE, _LATENT, _WIDTHS, _DENSE).encoder
    return Classifier(deepcopy(encoder), _DENSE, 10, SHAPE, unit=2 ** len(_WIDTHS))


def _train(
    network: nn.Module,
    digits: Digits,
    learning_rate: float,
    *,
    batch: int,
    steps: int,
    seed: int,
    device: str,
    quiet: bool,
) -> None:
    """Fit a network to a few digits, or to their features, for about so many steps."""
    epochs = max(1, steps * batch // len(digits.labels))
    task = Classification(network, learning_rate)
    loader = pairs(*digits, batch, shuffle=True)
    train_task(
        task,
        loader,
        settings=TrainerSettings(epochs=epochs, seed=seed, device=device, quiet=quiet),
    )


@torch.no_grad()
def accuracy(network: nn.Module, digits: Digits) -> float:
    """Share of the digits whose highest score is that of their label."""
    return float((network.eval()(digits.images).argmax(1) == digits.labels).float().mean())
