"""Restoration of digits (denoising, inpainting, super-resolution) by networks and by reference methods."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

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
from ..options import Network
from ..training import build_with_seed, fit, make_loader, save_network
from . import figures
from .digits import SHAPE
from .options import DigitTrainingOptions
from .pca import PrincipalComponents, fit_components, select_components
from .tasks import Restoration, VariationalCorrection, build_image_network

_UNET: dict[str, Any] = {
    "class_path": "oceanfill.models.unet.UNet",
    "init_args": {"widths": [16, 32, 64], "norm": "batch"},
}
_COUNTS = (8, 16, 32, 64, 128)  # candidate numbers of principal components
_PIXEL_VARIANCE = 1e-2  # of what the components leave out, for pixels without noise

Degrade = Callable[[Tensor, Generator | None], Tensor]  # images to a network's inputs


@dataclass(frozen=True, kw_only=True)
class RestorationOptions(DigitTrainingOptions):
    """Options of every restoration of digits.

    Parameters
    ----------
    network
        ``class_path`` and ``init_args`` of the network.
    """

    network: Network = field(default_factory=_UNET.copy)


@dataclass(frozen=True, kw_only=True)
class DenoiseOptions(RestorationOptions):
    """Options of the denoising of digits.

    Parameters
    ----------
    noise
        Standard deviation of the noise, for pixels between 0 and 1.
    """

    noise: float = 0.5


@dataclass(frozen=True, kw_only=True)
class InpaintOptions(RestorationOptions):
    """Options of the inpainting of digits.

    Parameters
    ----------
    share
        Fraction of the pixels hidden at random.
    side
        Side of the square hole, in pixels.
    iterations
        Iterations of 4DVarNet; 0 leaves it out.
    """

    share: float = 0.75
    side: int = 12
    iterations: int = 5
    epochs: int = 8


@dataclass(frozen=True, kw_only=True)
class SuperresolveOptions(RestorationOptions):
    """Options of the super-resolution of digits.

    Parameters
    ----------
    factor
        Side of the blocks of pixels that are averaged.
    """

    factor: int = 4


def denoise(folder: Path, options: DenoiseOptions) -> list[Finding]:
    """Denoise digits with a network and with principal components.

    Writes a figure and a checkpoint.
    """
    noise = options.noise
    return _compare(folder, "noise", lambda images, rng: add_noise(images, noise, rng), noise**2, options)


def inpaint(folder: Path, options: InpaintOptions) -> list[Finding]:
    """Fill hidden pixels and square holes of digits with networks and with principal components.

    Known pixels are kept. The networks are the given one and 4DVarNet (Fablet et al. 2021,
    doi:10.1029/2021MS002572) with two priors, the principal components and a convolutional auto-encoder.
    Writes a figure and a checkpoint of the given network for each kind of gap.
    """
    kinds: dict[str, Degrade] = {
        "pixels": lambda images, rng: hide_pixels(images, options.share, rng),
        "square": lambda images, rng: hide_square(images, options.side, rng),
    }
    findings = []
    for name, degrade in kinds.items():
        findings += _compare(folder, name, degrade, _PIXEL_VARIANCE, options, options.iterations)
    return findings


def superresolve(folder: Path, options: SuperresolveOptions) -> list[Finding]:
    """Enlarge coarse digits with a network and by bicubic interpolation.

    Writes a figure and a checkpoint.
    """
    return _compare(folder, "coarse", lambda images, rng: coarsen(images, options.factor), None, options)


def add_noise(images: Tensor, noise: float, rng: Generator | None = None) -> Tensor:
    """Add Gaussian noise of this standard deviation to images (batch, 1, y, x)."""
    return images + noise * torch.randn(images.shape, generator=rng)


def hide_pixels(images: Tensor, share: float, rng: Generator | None = None) -> Tensor:
    """Hide a ``share`` of the pixels at random: (batch, 2, y, x), the values (0 if hidden) and the mask."""
    known = (torch.rand(images.shape, generator=rng) >= share).to(images)
    return torch.cat([images * known, known], dim=1)


def hide_square(images: Tensor, side: int, rng: Generator | None = None) -> Tensor:
    """Hide a square of this side at a random place in each image: (batch, 2, y, x), as `hide_pixels`."""
    rows, columns = images.shape[-2:]

    def choose_interval(extent: int) -> Tensor:
        first = torch.randint(0, extent - side + 1, (len(images), 1), generator=rng)
        place = torch.arange(extent)
        return (place >= first) & (place < first + side)

    hole = choose_interval(rows)[:, None, :, None] & choose_interval(columns)[:, None, None, :]
    known = (~hole).to(images)
    return torch.cat([images * known, known], dim=1)


def coarsen(images: Tensor, factor: int) -> Tensor:
    """Average blocks of ``factor`` x ``factor`` pixels and interpolate back to the grid (bicubic)."""
    coarse = functional.avg_pool2d(images, factor)
    return functional.interpolate(coarse, size=images.shape[-2:], mode="bicubic", align_corners=False)


def score_images(images: Tensor, truth: Tensor) -> tuple[float, float]:
    """Compute the overall PSNR (dB) and the mean SSIM of images (batch, 1, y, x), clipped to [0, 1]."""
    images = images.clamp(0, 1)
    similarity = structural_similarity_index_measure(images, truth, data_range=1.0)
    assert isinstance(similarity, Tensor)
    return float(peak_signal_noise_ratio(images, truth, data_range=1.0)), float(similarity)


def _compare(
    folder: Path,
    name: str,
    degrade: Degrade,
    noise: float | None,
    options: RestorationOptions,
    iterations: int = 0,
) -> list[Finding]:
    """Score degraded test digits, their restoration by PCA with this noise variance, and by networks.

    Without a noise variance the degraded digits are the bicubic interpolation already, and replace PCA.
    """
    parts = options.load()
    train, validation, test = (part.images for part in parts)
    validation_inputs, test_inputs = (
        degrade(images, torch.Generator().manual_seed(options.seed + number))
        for number, images in enumerate((validation, test))
    )

    def train_restoration(method: str, network: nn.Module) -> Restoration:
        return fit(
            Restoration(network, options.learning_rate),
            make_loader(train, train, options.batch, lambda images: degrade(images, None), shuffle=True),
            make_loader(validation_inputs, validation, 500),
            options,
            name=f"{name}: {method}",
        )

    network = build_image_network(options.network, test_inputs.shape[1], options.seed)
    task = train_restoration("network", network)
    save_network(folder / f"{name}.pt", task.network, options.network)
    tasks = {"network": task}
    if noise is None:
        reference = "bicubic"
        restored = {reference: test_inputs}
    else:
        reference = "PCA"
        pca = select_components(
            fit_components(train, max(_COUNTS)), _COUNTS, noise, *_split_inputs(validation_inputs), validation
        )
        estimate = pca.restore(*_split_inputs(test_inputs), noise)
        restored = {"input": test_inputs[:, :1], reference: _keep_known(estimate, test_inputs)}
        if iterations:
            for prior, network in _build_fourdvarnets(pca, iterations, options.seed).items():
                method = f"4DVarNet, {prior} prior"
                tasks[method] = train_restoration(method, network)
    with torch.no_grad():
        restored |= {
            method: _keep_known(torch.cat([one(part) for part in test_inputs.split(500)]), test_inputs)
            for method, one in tasks.items()
        }
    figures.draw_images(folder / f"{name}.png", {**restored, "original": test})
    scores = {method: score_images(images, test) for method, images in restored.items()}
    findings = []
    for number, measure in enumerate(("PSNR (dB)", "SSIM")):
        findings += [
            Finding(f"{name}: {method}, {measure}", score[number]) for method, score in scores.items()
        ]
        gain = scores["network"][number] - scores[reference][number]
        findings.append(Finding(f"{name}: network minus {reference}, {measure}", gain, at_least=0))
    return findings


def _build_fourdvarnets(
    pca: PrincipalComponents, iterations: int, seed: int
) -> dict[str, VariationalCorrection]:
    """Build 4DVarNet with each prior, keyed by the name of the prior."""
    mean = pca.mean.view(1, *SHAPE)

    def build() -> dict[str, VariationalCorrection]:
        priors = {
            "PCA": fourdvarnet.Components(mean, pca.modes),
            "auto-encoder": fourdvarnet.AutoEncoderPrior(1, 16, dimensions=2, kernel=3, scale=2),
        }
        return {
            name: VariationalCorrection(
                FourDVarNet(prior, RecurrentSolver(1, 8, dimensions=2, rate=0.2), iterations), mean
            )
            for name, prior in priors.items()
        }

    return build_with_seed(build, seed)


def _split_inputs(inputs: Tensor) -> tuple[Tensor, Tensor]:
    """Split a network's inputs into values and mask, both (batch, 1, y, x); all is known without a mask."""
    values = inputs[:, :1]
    return values, (inputs[:, 1:] if inputs.shape[1] > 1 else torch.ones_like(values))


def _keep_known(estimate: Tensor, inputs: Tensor) -> Tensor:
    """Put the known pixels of the inputs back, if there is a mask and so no noise."""
    return estimate if inputs.shape[1] == 1 else torch.where(inputs[:, 1:] > 0, inputs[:, :1], estimate)
