"""Linear auto-encoders, which recover principal components and empirical orthogonal functions (EOFs)."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import as_file, files
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.linalg import subspace_angles
from torch import Tensor

from ....models.autoencoder import LinearAutoEncoder
from ...io.field import open_field
from ...training.trainer import TrainerSettings, train_task
from ..findings import Finding
from ..options import RunOptions
from ..skill import compute_explained_variance
from ..training import build_with_seed, make_loader, save_network
from . import figures
from .digits import SHAPE
from .options import DigitOptions
from .pca import COURSE
from .tasks import EofRegression

_DRAWN = 5  # modes in a figure


@dataclass(frozen=True, kw_only=True)
class LinearOptions(DigitOptions):
    """Options of the linear auto-encoders.

    Parameters
    ----------
    latents
        Latent sizes.
    epochs
        Training epochs of 20 L-BFGS iterations.
    """

    latents: tuple[int, ...] = (4, 16)
    epochs: int = 30


def recover_eofs(folder: Path, options: LinearOptions) -> list[Finding]:
    """Recover the subspace of PCA with linear auto-encoders, and the EOFs with tied orthonormal weights.

    For the digits, and for the sea surface temperature sample, weighted by area over the sea, with missing
    values at the temporal mean of their pixel. Writes the first modes of each (``digits.png``, ``sst.png``)
    and checkpoints.
    """
    parts = options.load()
    train, test = parts.training.images, parts.test.images
    mean = train.mean(0)
    fields = {
        "digits": ((train - mean).double(), torch.ones(SHAPE, dtype=torch.float64)),
        "sst": load_sst_anomalies(),
    }
    findings = []
    for name, (anomalies, weight) in fields.items():
        for latent in options.latents:
            known = weight > 0
            weighted = (anomalies[:, 0, known] * weight[known].sqrt()).numpy()
            eofs = np.linalg.svd(weighted, full_matrices=False)[2][:latent].T
            modes = {"EOFs": _map_modes(eofs, weight)}
            for kind in ("untied", "tied"):
                tied = kind == "tied"
                coder = fit_linear_autoencoder(anomalies, weight, latent, tied, options.epochs, options)
                columns = coder.decoder.weight.detach().numpy()
                save_network(folder / f"{name}-{kind}-{latent}.pt", coder, {"latent": latent, "tied": tied})
                label = f"{name}, {kind}, {latent} latent numbers"
                angle = float(subspace_angles(columns, eofs)[0])
                findings.append(Finding(f"{label}: angle to the PCA subspace (rad)", angle, at_most=1e-2))
                if tied:
                    columns = columns * np.sign((columns * eofs).sum(0)) / np.linalg.norm(columns, axis=0)
                    largest = float(2 * np.arcsin(np.linalg.norm(columns - eofs, axis=0) / 2).max())
                    findings.append(
                        Finding(f"{label}: largest angle of a mode to its EOF (rad)", largest, at_most=1e-2)
                    )
                modes[kind] = _map_modes(columns, weight)
                if name == "digits":
                    with torch.no_grad():
                        reconstructed = coder((test - mean).double()) + mean
                    score = compute_explained_variance(reconstructed, test)
                    findings.append(Finding(f"{label}: explained variance", score, COURSE.get(latent)))
            if latent == options.latents[0]:
                figures.draw_modes(folder / f"{name}.png", modes, "lower" if name == "sst" else "upper")
    return findings


def fit_linear_autoencoder(
    anomalies: Tensor, weight: Tensor, latent: int, tied: bool, epochs: int, options: RunOptions
) -> LinearAutoEncoder:
    """Fit a linear auto-encoder to anomalies (batch, 1, y, x) in double precision, weighted by (y, x).

    Tied columns are trained one after another, each on the residual of the columns before. When they are
    trained together, with a cost that orders them (Brockett 1991, doi:10.1016/0024-3795(91)90021-N), they
    get stuck at one of its many saddle points.
    """

    def build() -> tuple[LinearAutoEncoder, list[LinearAutoEncoder]]:
        whole = LinearAutoEncoder(1, 1, (weight.shape[0], weight.shape[1]), latent, tied, weight).double()
        rank = min(whole.flatten_weighted(anomalies).shape)
        parts = [
            LinearAutoEncoder(1, 1, (1, rank), 1 if tied else latent, tied).double()
            for _ in range(latent if tied else 1)
        ]
        return whole, parts

    whole, parts = build_with_seed(build, options.seed)
    # In a basis of the anomalies' span, and replaced by a triangular matrix with the same second moments,
    # which determine the least-squares solution: this leaves the optimiser the fewest unknowns.
    basis, coordinates = torch.linalg.qr(whole.flatten_weighted(anomalies).T)
    residual = torch.linalg.qr(coordinates.T, mode="r")[1][:, None, None]
    for part in parts:
        train_task(
            EofRegression(part, learning_rate=1.0),
            make_loader(residual, residual, len(residual)),
            settings=TrainerSettings(
                epochs=epochs, seed=options.seed, device=options.device, quiet=options.quiet
            ),
        )
        with torch.no_grad():
            residual = residual - part(residual)
    with torch.no_grad():
        columns = torch.cat([part.decoder.weight for part in parts], dim=1)
        next(whole.decoder.parameters()).copy_(basis @ columns)
        if whole.latent is not None and parts[0].latent is not None:
            whole.latent.weight.copy_(parts[0].latent.weight @ basis.T)
    return whole


def load_sst_anomalies() -> tuple[Tensor, Tensor]:
    """Load the SST sample's anomalies from each pixel's mean (dates, 1, y, x), and area, 0 on land (y, x)."""
    with as_file(files("oceanfill.sample_data").joinpath("sst_clouds.nc")) as path:
        field = open_field(path, variable="sst")
    values = torch.from_numpy(field.values).double()
    anomalies = (values - values.nanmean(0)).nan_to_num(0.0)  # 0 on land and under clouds
    area = np.cos(np.deg2rad(field.lat)) * field.sea
    return anomalies[:, None], torch.from_numpy(area)


def _map_modes(columns: NDArray[np.float64], weight: Tensor) -> Tensor:
    """Put the first columns (cells, count) on the grid (count, y, x), 0 where the weight is 0."""
    maps = torch.zeros(min(columns.shape[1], _DRAWN), *weight.shape, dtype=torch.float64)
    maps[:, weight > 0] = torch.from_numpy(columns[:, :_DRAWN].T.copy())
    return maps
