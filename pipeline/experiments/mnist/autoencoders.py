"""Digits through a few latent numbers: auto-encoders against principal components, and new digits."""

from __future__ import annotations

from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.linalg import subspace_angles
from torch import Tensor

from ....models.autoencoder import LinearAutoEncoder
from ....models.variational import VariationalAutoEncoder, divergence
from ...io.field import open_field
from ...training.trainer import History, TrainerSettings, train_task
from ..findings import Finding
from ..image_tasks import Eofs, Generation, Reconstruction, built, fitted, keep, pairs
from . import figures
from .digits import SHAPE, load_digits
from .pca import components, projected

_CONVOLUTIONAL: dict[str, Any] = {
    "class_path": "oceanfill.models.autoencoder.ConvolutionalAutoEncoder",
    "init_args": {"norm": True},
}
_DENSE: dict[str, Any] = {"class_path": "oceanfill.models.autoencoder.DenseAutoEncoder", "init_args": {}}
_VARIATIONAL: dict[str, Any] = {
    "class_path": "oceanfill.models.variational.VariationalAutoEncoder",
    "init_args": {"norm": True},
}
# The course's figures at latent size 4, on the whole of MNIST.
_COURSE = {("PCA", 4): 0.503, ("convolutional", 4): 0.682}


def explained(images: Tensor, said: Tensor) -> float:
    """Share of the variance of all pixels around one mean, as the course has it: 1 - MSE / variance."""
    return float(1 - (said - images).square().mean() / images.var(correction=0))


def autoencoder(
    folder: Path,
    *,
    convolutional: dict[str, Any] = _CONVOLUTIONAL,
    dense: dict[str, Any] = _DENSE,
    latents: tuple[int, ...] = (4, 16),
    epochs: int = 20,
    batch: int = 50,
    learning_rate: float = 2e-3,
    training: int | None = None,
    full: bool = False,
    seed: int = 0,
    device: str = "cpu",
    quiet: bool = True,
) -> list[Finding]:
    """Auto-encoders explain more of the digits than as many principal components.

    Trained on the first ``training`` digits (all of them by default); the epoch is chosen on the validation
    digits. Digits are made from latent numbers drawn from the Gaussian that fits those of training. Writes
    ``reconstructions-N.png``, ``generated-N.png`` and a checkpoint of each network for every latent size N,
    ``latent.png`` and ``learning.png``.
    """
    parts = load_digits(full)
    train, chosen, test = parts.training.images[:training], parts.validation.images, parts.test.images
    findings, codes, curves = [], {}, {}
    for latent in latents:
        pca = components(train, latent)
        said, drawn = {"original": test, "PCA": projected(pca, test)}, {}
        for name, network in {"convolutional": convolutional, "dense": dense}.items():
            history = History()
            options = _sized(network, latent)
            task = fitted(
                Reconstruction(built(options, 1, 1, seed), learning_rate),
                pairs(train, train, batch, shuffle=True),
                pairs(chosen, chosen, 500),
                epochs=epochs,
                seed=seed,
                device=device,
                quiet=quiet,
                history=history,
            )
            keep(folder / f"{name}-{latent}.pt", task.network, options)
            trained: Any = task.network
            with torch.no_grad():
                said[name] = trained(test)
                codes[f"{name}, {latent}"] = trained.encode(test)
                drawn[name] = trained.decode(_like(trained.encode(train), 10, seed))
            curves[f"{name}, {latent}"] = history.epochs
        scores = {name: explained(test, images) for name, images in said.items() if name != "original"}
        findings += [
            Finding(f"{name}({latent}), explained variance", score, _COURSE.get((name, latent)))
            for name, score in scores.items()
        ]
        findings.append(
            Finding(
                f"convolutional({latent}) minus PCA({latent}), points",
                100 * (scores["convolutional"] - scores["PCA"]),
                17.9 if latent == 4 else None,
                at_least=12 if latent == 4 else 0,
            )
        )
        figures.rows(folder / f"reconstructions-{latent}.png", said)
        figures.rows(folder / f"generated-{latent}.png", drawn)
    figures.latent(folder / "latent.png", codes, parts.test.labels)
    figures.learning(folder / "learning.png", curves, "mean square error")
    return findings


def variational(
    folder: Path,
    *,
    network: dict[str, Any] = _VARIATIONAL,
    latents: tuple[int, ...] = (4, 16),
    epochs: int = 30,
    batch: int = 50,
    learning_rate: float = 2e-3,
    beta: float = 2.0,
    moments: float = 3.0,
    training: int | None = None,
    full: bool = False,
    seed: int = 0,
    device: str = "cpu",
    quiet: bool = True,
) -> list[Finding]:
    """A variational auto-encoder explains more than PCA, and makes digits from standard Gaussian numbers.

    ``beta`` and ``moments`` weigh what makes its numbers Gaussian (`Generation`). 1000 made digits are
    compared with the test digits by their energy distance; those of PCA are drawn from the Gaussian of as
    many components. Writes ``generated-N.png``, ``reconstructions-N.png`` and a checkpoint for every latent
    size N, and ``latent.png``.
    """
    parts = load_digits(full)
    train, chosen, test = parts.training.images[:training], parts.validation.images, parts.test.images
    findings, codes = [], {}
    for latent in latents:
        options = _sized(network, latent)
        coder = built(options, 1, 1, seed)
        assert isinstance(coder, VariationalAutoEncoder)
        fitted(
            Generation(coder, learning_rate, beta, moments),
            pairs(train, train, batch, shuffle=True),
            pairs(chosen, chosen, 500),
            epochs=epochs,
            seed=seed,
            device=device,
            quiet=quiet,
        )
        keep(folder / f"variational-{latent}.pt", coder, options)
        pca = components(train, latent)
        normal = torch.randn(1000, latent, generator=torch.Generator().manual_seed(seed))
        with torch.no_grad():
            mean, log_variance = coder.gaussian(test)
            said = {"original": test, "PCA": projected(pca, test), "variational": coder.decode(mean)}
            made = {
                "PCA": (pca.mean + (normal * pca.variances.sqrt()) @ pca.modes.T).reshape(-1, 1, *SHAPE),
                "variational": coder.decode(normal),
            }
        codes[f"variational, {latent}"] = mean
        score, least = explained(test, said["variational"]), explained(test, said["PCA"])
        distance, most = energy_distance(made["variational"], test), energy_distance(made["PCA"], test)
        findings += [
            Finding(f"PCA({latent}), explained variance", least, _COURSE.get(("PCA", latent))),
            Finding(f"variational({latent}), explained variance", score, at_least=least),
            Finding(f"variational({latent}), divergence, nats", float(divergence(mean, log_variance).mean())),
            Finding(f"digits made by PCA({latent}), energy distance", most),
            Finding(f"digits made by variational({latent}), energy distance", distance, at_most=most),
        ]
        figures.rows(folder / f"reconstructions-{latent}.png", said)
        figures.rows(folder / f"generated-{latent}.png", made)
    figures.latent(folder / "latent.png", codes, parts.test.labels)
    return findings


def linear(
    folder: Path,
    *,
    latents: tuple[int, ...] = (4, 16),
    epochs: int = 30,
    training: int | None = None,
    full: bool = False,
    seed: int = 0,
    device: str = "cpu",
    quiet: bool = True,
) -> list[Finding]:
    """A linear auto-encoder finds the subspace of PCA, and with tied orthonormal weights the EOFs themselves.

    On the digits, and on the sea surface temperature that ships, weighted by area over sea, with missing
    values at the mean of their pixel. ``epochs`` are of 20 L-BFGS iterations. Writes the first modes of each
    (``digits.png``, ``sst.png``) and checkpoints.
    """
    parts = load_digits(full)
    train = parts.training.images[:training]
    mean, test = train.mean(0), parts.test.images
    fields = {
        "digits": ((train - mean).double(), torch.ones(SHAPE, dtype=torch.float64)),
        "sst": sst_anomalies(),
    }
    findings = []
    for name, (anomalies, weight) in fields.items():
        for latent in latents:
            known = weight > 0
            weighted = (anomalies[:, 0, known] * weight[known].sqrt()).numpy()
            eofs = np.linalg.svd(weighted, full_matrices=False)[2][:latent].T
            drawn = {"EOFs": _maps(eofs, weight)}
            for tied in (False, True):
                coder = linear_coder(
                    anomalies, weight, latent, tied, epochs=epochs, seed=seed, device=device, quiet=quiet
                )
                found = coder.decoder.weight.detach().numpy()
                kind = "tied" if tied else "free"
                keep(folder / f"{name}-{kind}-{latent}.pt", coder, {"latent": latent, "tied": tied})
                angle = float(subspace_angles(found, eofs)[0])
                findings.append(Finding(f"{name}, {kind}({latent}), angle to PCA", angle, at_most=1e-2))
                if tied:
                    found = found * np.sign((found * eofs).sum(0)) / np.linalg.norm(found, axis=0)
                    worst = float(2 * np.arcsin(np.linalg.norm(found - eofs, axis=0) / 2).max())
                    findings.append(
                        Finding(f"{name}, tied({latent}), angle of a column to its EOF", worst, at_most=1e-2)
                    )
                drawn[kind] = _maps(found, weight)
                if name == "digits":
                    with torch.no_grad():
                        said = coder((test - mean).double()) + mean
                    reference = _COURSE.get(("PCA", latent))
                    findings.append(
                        Finding(f"{kind}({latent}), explained variance", explained(test, said), reference)
                    )
            if latent == latents[0]:
                figures.modes(folder / f"{name}.png", drawn, "lower" if name == "sst" else "upper")
    return findings


def linear_coder(
    anomalies: Tensor,
    weight: Tensor,
    latent: int,
    tied: bool,
    *,
    epochs: int,
    seed: int = 0,
    device: str = "cpu",
    quiet: bool = True,
) -> LinearAutoEncoder:
    """A linear auto-encoder fitted to anomalies (batch, 1, y, x) of double precision, weighted (y, x).

    Tied columns are trained one after another, each on what those before leave. At once, under a cost that
    knows their order (Brockett 1991, doi:10.1016/0024-3795(91)90021-N), they stop at its many saddle points.
    """
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        whole = LinearAutoEncoder(1, 1, (weight.shape[0], weight.shape[1]), latent, tied, weight).double()
        # In a base of what the anomalies span, and as a triangle with the same second moments: least squares
        # sees no more than these, and the optimiser has the fewest numbers to find.
        base, coordinates = torch.linalg.qr(whole.weighted(anomalies).T)
        left = torch.linalg.qr(coordinates.T, mode="r")[1][:, None, None]
        grid = (1, base.shape[1])
        parts = [
            LinearAutoEncoder(1, 1, grid, 1 if tied else latent, tied).double()
            for _ in range(latent if tied else 1)
        ]
    for part in parts:
        everything = pairs(left, left, len(left))
        train_task(
            Eofs(part, learning_rate=1.0),
            everything,
            settings=TrainerSettings(epochs=epochs, seed=seed, device=device, quiet=quiet),
        )
        with torch.no_grad():
            left = left - part(left)
    with torch.no_grad():
        columns = torch.cat([part.decoder.weight for part in parts], dim=1)
        next(whole.decoder.parameters()).copy_(base @ columns)
        if whole.latent is not None and parts[0].latent is not None:
            whole.latent.weight.copy_(parts[0].latent.weight @ base.T)
    return whole


def sst_anomalies() -> tuple[Tensor, Tensor]:
    """The sample's anomalies from the mean of each pixel (dates, 1, y, x), and area, 0 on land (y, x)."""
    with as_file(files("oceanfill.sample_data").joinpath("sst_clouds.nc")) as path:
        field = open_field(path, variable="sst")
    values = torch.from_numpy(field.values).double()
    anomalies = (values - values.nanmean(0)).nan_to_num(0.0)  # land, and what clouds hide
    area = np.cos(np.deg2rad(field.lat)) * field.sea
    return anomalies[:, None], torch.from_numpy(area)


def energy_distance(images: Tensor, others: Tensor) -> float:
    """Between the distributions of two sets of images, 0 where they are one (Szekely and Rizzo 2013,
    doi:10.1016/j.jspi.2013.03.018).

    The square root of 2 E|X - Y| - E|X - X'| - E|Y - Y'| without bias, 0 where chance makes that negative.
    """
    x, y = images.flatten(1), others.flatten(1)

    def within(z: Tensor) -> float:
        return float(torch.cdist(z, z).sum() / (len(z) * (len(z) - 1)))

    square = 2 * float(torch.cdist(x, y).mean()) - within(x) - within(y)
    return max(square, 0.0) ** 0.5


def _sized(network: dict[str, Any], latent: int) -> dict[str, Any]:
    """The network for digits, with so many latent numbers."""
    return {**network, "init_args": {"shape": SHAPE, "latent": latent, **network.get("init_args", {})}}


def _like(codes: Tensor, count: int, seed: int) -> Tensor:
    """Draws (count, latent) from the Gaussian with the mean and covariance of codes (batch, latent)."""
    normal = torch.randn(count, codes.shape[1], generator=torch.Generator().manual_seed(seed))
    return codes.mean(0) + normal @ torch.linalg.cholesky(torch.cov(codes.T)).T


def _maps(columns: np.ndarray, weight: Tensor) -> Tensor:
    """The columns (cells, count) as maps (count, y, x), at most 5, 0 where masked."""
    image = torch.zeros(min(columns.shape[1], 5), *weight.shape, dtype=torch.float64)
    image[:, weight > 0] = torch.from_numpy(columns[:, :5].T.copy())
    return image
