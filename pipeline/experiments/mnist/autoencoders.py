"""Auto-encoders of digits, plain and variational, with principal components as the reference."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ....models.variational import VariationalAutoEncoder, compute_kl_divergence
from ...training.trainer import History
from ..findings import Finding
from ..options import Network
from ..skill import compute_energy_distance, compute_explained_variance
from ..training import Regression, fit, make_loader, save_network
from . import figures
from .digits import SHAPE
from .options import DigitTrainingOptions
from .pca import COURSE, fit_components
from .tasks import Generation, build_image_network

_CONVOLUTIONAL: dict[str, Any] = {
    "class_path": "oceanfill.models.autoencoder.ConvolutionalAutoEncoder",
    "init_args": {"norm": True},
}
_DENSE: dict[str, Any] = {"class_path": "oceanfill.models.autoencoder.DenseAutoEncoder", "init_args": {}}
_VARIATIONAL: dict[str, Any] = {
    "class_path": "oceanfill.models.variational.VariationalAutoEncoder",
    "init_args": {"norm": True},
}
_COURSE = {("convolutional", 4): 0.682, ("PCA", 4): COURSE[4]}  # explained variances on the whole of MNIST
_GENERATED = 1000  # digits to compare with the test digits


@dataclass(frozen=True, kw_only=True)
class AutoencoderOptions(DigitTrainingOptions):
    """Options of the comparison of auto-encoders.

    Parameters
    ----------
    convolutional
        ``class_path`` and ``init_args`` of the convolutional auto-encoder.
    dense
        ``class_path`` and ``init_args`` of the dense auto-encoder.
    latents
        Latent sizes.
    """

    convolutional: Network = field(default_factory=_CONVOLUTIONAL.copy)
    dense: Network = field(default_factory=_DENSE.copy)
    latents: tuple[int, ...] = (4, 16)
    epochs: int = 20


@dataclass(frozen=True, kw_only=True)
class VariationalOptions(DigitTrainingOptions):
    """Options of the generation of digits.

    Parameters
    ----------
    network
        ``class_path`` and ``init_args`` of the variational auto-encoder.
    latents
        Latent sizes.
    beta
        Weight of the divergence in the loss.
    moments
        Weight of the covariance mismatch of the latent numbers in the loss.
    """

    network: Network = field(default_factory=_VARIATIONAL.copy)
    latents: tuple[int, ...] = (4, 16)
    epochs: int = 30
    beta: float = 2.0
    moments: float = 3.0


def compare_autoencoders(folder: Path, options: AutoencoderOptions) -> list[Finding]:
    """Compare the variance of digits explained by auto-encoders and by as many principal components.

    The epoch with the lowest validation error is kept. New digits are decoded from latent numbers drawn from
    the Gaussian with the mean and covariance of the training digits' latent numbers. Writes
    ``reconstructions-N.png``, ``generated-N.png`` and a checkpoint of each network for every latent size N,
    ``latent.png`` and ``learning.png``.
    """
    parts = options.load()
    train, validation, test = (part.images for part in parts)
    findings, codes, curves = [], {}, {}
    for latent in options.latents:
        pca = fit_components(train, latent)
        reconstructed, generated = {"PCA": pca.project(test)}, {}
        for name, network in {"convolutional": options.convolutional, "dense": options.dense}.items():
            history = History()
            sized = _set_latent_size(network, latent)
            task = fit(
                Regression(build_image_network(sized, 1, options.seed), options.learning_rate),
                make_loader(train, train, options.batch, shuffle=True),
                make_loader(validation, validation, 500),
                options,
                history,
                name=f"{name}, {latent} latent numbers",
            )
            save_network(folder / f"{name}-{latent}.pt", task.network, sized)
            coder: Any = task.network
            with torch.no_grad():
                reconstructed[name] = coder(test)
                codes[f"{name}, {latent}"] = coder.encode(test)
                generated[name] = coder.decode(_draw_similar(coder.encode(train), 10, options.seed))
            curves[f"{name}, {latent}"] = history.epochs
        scores = {name: compute_explained_variance(images, test) for name, images in reconstructed.items()}
        findings += [
            Finding(_label(name, latent, "explained variance"), score, _COURSE.get((name, latent)))
            for name, score in scores.items()
        ]
        findings.append(
            Finding(
                _label("convolutional minus PCA", latent, "explained variance (points)"),
                100 * (scores["convolutional"] - scores["PCA"]),
                17.9 if latent == 4 else None,
                at_least=12 if latent == 4 else 0,
            )
        )
        figures.draw_images(folder / f"reconstructions-{latent}.png", {"original": test, **reconstructed})
        figures.draw_images(folder / f"generated-{latent}.png", generated)
    figures.draw_latent_space(folder / "latent.png", codes, parts.test.labels)
    figures.draw_learning_curves(folder / "learning.png", curves, "mean square error")
    return findings


def generate_digits(folder: Path, options: VariationalOptions) -> list[Finding]:
    """Generate digits with a variational auto-encoder and with principal components.

    1000 digits decoded from standard Gaussian latent numbers are compared with the test digits by their
    energy distance, and so are 1000 from the Gaussian of as many principal components. Writes
    ``generated-N.png``, ``reconstructions-N.png`` and a checkpoint for every latent size N, and
    ``latent.png``.
    """
    parts = options.load()
    train, validation, test = (part.images for part in parts)
    findings, codes = [], {}
    for latent in options.latents:
        sized = _set_latent_size(options.network, latent)
        coder = build_image_network(sized, 1, options.seed)
        assert isinstance(coder, VariationalAutoEncoder)
        fit(
            Generation(coder, options.learning_rate, options.beta, options.moments),
            make_loader(train, train, options.batch, shuffle=True),
            make_loader(validation, validation, 500),
            options,
            name=f"variational, {latent} latent numbers",
        )
        save_network(folder / f"variational-{latent}.pt", coder, sized)
        pca = fit_components(train, latent)
        normal = torch.randn(_GENERATED, latent, generator=torch.Generator().manual_seed(options.seed))
        with torch.no_grad():
            mean, log_variance = coder.encode_gaussian(test)
            reconstructed = {"PCA": pca.project(test), "variational": coder.decode(mean)}
            generated = {
                "PCA": (pca.mean + (normal * pca.variances.sqrt()) @ pca.modes.T).reshape(-1, 1, *SHAPE),
                "variational": coder.decode(normal),
            }
        codes[f"variational, {latent}"] = mean
        explained = {name: compute_explained_variance(images, test) for name, images in reconstructed.items()}
        distance = {name: compute_energy_distance(images, test) for name, images in generated.items()}
        findings += [
            Finding(_label("PCA", latent, "explained variance"), explained["PCA"], COURSE.get(latent)),
            Finding(
                _label("variational", latent, "explained variance"),
                explained["variational"],
                at_least=explained["PCA"],
            ),
            Finding(
                _label("variational", latent, "divergence (nats)"),
                float(compute_kl_divergence(mean, log_variance).mean()),
            ),
            Finding(_label("PCA", latent, "energy distance of generated digits"), distance["PCA"]),
            Finding(
                _label("variational", latent, "energy distance of generated digits"),
                distance["variational"],
                at_most=distance["PCA"],
            ),
        ]
        figures.draw_images(folder / f"reconstructions-{latent}.png", {"original": test, **reconstructed})
        figures.draw_images(folder / f"generated-{latent}.png", generated)
    figures.draw_latent_space(folder / "latent.png", codes, parts.test.labels)
    return findings


def _label(method: str, latent: int, quantity: str) -> str:
    return f"{method}, {latent} latent numbers: {quantity}"


def _set_latent_size(network: dict[str, Any], latent: int) -> dict[str, Any]:
    """Complete the ``init_args`` of a network with the shape of digits and the latent size."""
    return {**network, "init_args": {"shape": SHAPE, "latent": latent, **network.get("init_args", {})}}


def _draw_similar(codes: Tensor, count: int, seed: int) -> Tensor:
    """Draw (count, latent) from the Gaussian with the mean and covariance of codes (batch, latent)."""
    normal = torch.randn(count, codes.shape[1], generator=torch.Generator().manual_seed(seed))
    return codes.mean(0) + normal @ torch.linalg.cholesky(torch.cov(codes.T)).T
