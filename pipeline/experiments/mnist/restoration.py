"""Digits without their noise, their holes and their coarse pixels, by networks and by what needs none."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional
from torchmetrics.functional.image import (
    peak_signal_noise_ratio,
    structural_similarity_index_measure,
)

from ....models import fourdvarnet
from ....models.fourdvarnet import FourDVarNet, RecurrentSolver
from ..findings import Finding
from ..image_tasks import Assimilated, Restoration, built, fitted, keep, pairs
from . import figures
from .digits import SHAPE, load_digits
from .pca import Components, chosen, components, restored

UNET: dict[str, Any] = {
    "class_path": "oceanfill.models.unet.UNet",
    "init_args": {"widths": [16, 32, 64], "norm": "batch"},
}
_COUNTS = (8, 16, 32, 64, 128)  # of components that a validation chooses from
_PIXEL_VARIANCE = 1e-2  # of what the components leave out, where nothing is noise

Degrade = Callable[[Tensor, Generator | None], Tensor]  # images to a network's inputs


def noisy(images: Tensor, noise: float, draws: Generator | None = None) -> Tensor:
    """Images (batch, 1, y, x) with Gaussian noise of this standard deviation."""
    return images + noise * torch.randn(images.shape, generator=draws)


def hidden_pixels(images: Tensor, share: float, draws: Generator | None = None) -> Tensor:
    """Images without a ``share`` of their pixels: (batch, 2, y, x), values or 0, and 1 where known."""
    known = (torch.rand(images.shape, generator=draws) >= share).to(images)
    return torch.cat([images * known, known], dim=1)


def hidden_square(images: Tensor, side: int, draws: Generator | None = None) -> Tensor:
    """Images with a square hole of this side, somewhere inside: (batch, 2, y, x), as `hidden_pixels`."""
    rows, columns = images.shape[-2:]

    def inside(extent: int) -> Tensor:
        first = torch.randint(0, extent - side + 1, (len(images), 1), generator=draws)
        place = torch.arange(extent)
        return (place >= first) & (place < first + side)

    hole = inside(rows)[:, None, :, None] & inside(columns)[:, None, None, :]
    known = (~hole).to(images)
    return torch.cat([images * known, known], dim=1)


def enlarged(images: Tensor, factor: int) -> Tensor:
    """Images seen as means of ``factor`` x ``factor`` pixels, brought back to their grid (bicubic)."""
    coarse = functional.avg_pool2d(images, factor)
    return functional.interpolate(coarse, size=images.shape[-2:], mode="bicubic", align_corners=False)


def denoise(
    folder: Path,
    *,
    noise: float = 0.5,
    network: dict[str, Any] = UNET,
    epochs: int = 10,
    batch: int = 50,
    learning_rate: float = 2e-3,
    training: int | None = None,
    full: bool = False,
    seed: int = 0,
    device: str = "cpu",
    quiet: bool = True,
) -> list[Finding]:
    """A network takes Gaussian noise off digits better than principal components do.

    ``noise`` is its standard deviation, of pixels from 0 to 1. Writes a figure and a checkpoint.
    """
    options = _Options(network, epochs, batch, learning_rate, training, full, seed, device, quiet)
    return _compare(folder, "noise", lambda images, draws: noisy(images, noise, draws), noise**2, options)


def interpolate(
    folder: Path,
    *,
    share: float = 0.75,
    side: int = 12,
    iterations: int = 5,
    network: dict[str, Any] = UNET,
    epochs: int = 8,
    batch: int = 50,
    learning_rate: float = 2e-3,
    training: int | None = None,
    full: bool = False,
    seed: int = 0,
    device: str = "cpu",
    quiet: bool = True,
) -> list[Finding]:
    """Networks fill hidden pixels and square holes of digits better than principal components do.

    A ``share`` of the pixels is hidden at random, or a square of ``side`` pixels. Known pixels are kept.
    Beside the network there is 4DVarNet (Fablet et al. 2021, doi:10.1029/2021MS002572), with ``iterations``
    and two priors: those components, and a convolutional auto-encoder. Writes a figure and a checkpoint of
    the network for each kind of gap.
    """
    options = _Options(network, epochs, batch, learning_rate, training, full, seed, device, quiet, iterations)
    kinds: dict[str, Degrade] = {
        "pixels": lambda images, draws: hidden_pixels(images, share, draws),
        "square": lambda images, draws: hidden_square(images, side, draws),
    }
    findings = []
    for name, degrade in kinds.items():
        findings += _compare(folder, name, degrade, _PIXEL_VARIANCE, options)
    return findings


def superresolve(
    folder: Path,
    *,
    factor: int = 4,
    network: dict[str, Any] = UNET,
    epochs: int = 10,
    batch: int = 50,
    learning_rate: float = 2e-3,
    training: int | None = None,
    full: bool = False,
    seed: int = 0,
    device: str = "cpu",
    quiet: bool = True,
) -> list[Finding]:
    """A network enlarges digits better than bicubic interpolation does.

    What it sees are means of ``factor`` x ``factor`` pixels. Writes a figure and a checkpoint.
    """
    options = _Options(network, epochs, batch, learning_rate, training, full, seed, device, quiet)
    return _compare(folder, "coarse", lambda images, draws: enlarged(images, factor), None, options)


class _Options(NamedTuple):
    """How a network is trained."""

    network: dict[str, Any]
    epochs: int
    batch: int
    learning_rate: float
    training: int | None
    full: bool
    seed: int
    device: str
    quiet: bool
    iterations: int = 0  # of 4DVarNet, which is left out with none


def _compare(
    folder: Path, name: str, degrade: Degrade, noise: float | None, options: _Options
) -> list[Finding]:
    """PSNR and SSIM of degraded test digits, of PCA with this variance of the noise, and of a network.

    Without a variance the degraded digits are bicubic already, and stand for themselves.
    """
    parts = load_digits(options.full)
    train, selection, test = (
        parts.training.images[: options.training],
        parts.validation.images,
        parts.test.images,
    )
    held, shown = (
        degrade(images, torch.Generator().manual_seed(options.seed + number))
        for number, images in enumerate((selection, test))
    )
    network = built(options.network, shown.shape[1], 1, options.seed)
    task = _fitted(network, train, held, selection, degrade, options)
    keep(folder / f"{name}.pt", task.network, options.network)
    said = {"network": task}
    if noise is None:
        rivals = {"bicubic": shown}
    else:
        pca = chosen(components(train, max(_COUNTS)), _COUNTS, noise, *_known(held), selection)
        rivals = {"input": shown[:, :1], "PCA": _kept(restored(pca, *_known(shown), noise), shown)}
        for prior, network in _assimilating(pca, options).items() if options.iterations else ():
            said[f"4DVarNet, {prior} prior"] = _fitted(network, train, held, selection, degrade, options)
    with torch.no_grad():
        rivals |= {
            rival: _kept(torch.cat([one(part) for part in shown.split(500)]), shown)
            for rival, one in said.items()
        }
    scores = {rival: quality(images, test) for rival, images in rivals.items()}
    figures.rows(folder / f"{name}.png", {**rivals, "original": test})
    findings = []
    for number, measure in enumerate(("PSNR, dB", "SSIM")):
        findings += [Finding(f"{name}, {rival}, {measure}", score[number]) for rival, score in scores.items()]
        rival = "bicubic" if noise is None else "PCA"
        gain = scores["network"][number] - scores[rival][number]
        findings.append(Finding(f"{name}, network minus {rival}, {measure}", gain, at_least=0))
    return findings


def _fitted(
    network: nn.Module, train: Tensor, held: Tensor, selection: Tensor, degrade: Degrade, options: _Options
) -> Restoration:
    return fitted(
        Restoration(network, options.learning_rate),
        pairs(train, train, options.batch, lambda images: degrade(images, None), shuffle=True),
        pairs(held, selection, 500),
        epochs=options.epochs,
        seed=options.seed,
        device=options.device,
        quiet=options.quiet,
    )


def _assimilating(pca: Components, options: _Options) -> dict[str, nn.Module]:
    """4DVarNet by its prior."""
    mean = pca.mean.view(1, *SHAPE)
    with torch.random.fork_rng():
        torch.manual_seed(options.seed)
        priors = {
            "PCA": fourdvarnet.Components(mean, pca.modes),
            "auto-encoder": fourdvarnet.AutoEncoderPrior(1, 16, dimensions=2, kernel=3, scale=2),
        }
        return {
            name: Assimilated(
                FourDVarNet(prior, RecurrentSolver(1, 8, dimensions=2, rate=0.2), options.iterations), mean
            )
            for name, prior in priors.items()
        }


def _known(inputs: Tensor) -> tuple[Tensor, Tensor]:
    """Values and what of them is known, both (batch, 1, y, x), of a network's inputs."""
    values = inputs[:, :1]
    return values, (inputs[:, 1:] if inputs.shape[1] > 1 else torch.ones_like(values))


def _kept(said: Tensor, inputs: Tensor) -> Tensor:
    """What is said (batch, 1, y, x), except at pixels that the inputs say are known without noise."""
    return said if inputs.shape[1] == 1 else torch.where(inputs[:, 1:] > 0, inputs[:, :1], said)


def quality(images: Tensor, truth: Tensor) -> tuple[float, float]:
    """PSNR (dB, of the mean square over all) and mean SSIM of images (batch, 1, y, x), held in 0 to 1."""
    images = images.clamp(0, 1)
    likeness = structural_similarity_index_measure(images, truth, data_range=1.0)
    assert isinstance(likeness, Tensor)
    return float(peak_signal_noise_ratio(images, truth, data_range=1.0)), float(likeness)
