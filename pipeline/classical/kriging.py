"""Ordinary kriging from the nearest observations in space and time.

The anomaly at a cell is the best linear unbiased estimate from its nearest observations (Bretherton, Davis
and Fandry 1976, doi:10.1016/0011-7471(76)90001-2; ordinary kriging: Cressie 1993, section 3.2), under a sum
of Matern-3/2 covariances of the distance sqrt((ds/length)^2 + (dt/duration)^2): one of the eddies, and one of
what is wide and brief, as the weather. Neighbouring targets of a block share their observations, and so one
Cholesky factor.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from torch import Tensor

from ..field import Field
from .neighbours import Observations, Scales, nearest, observations

BLOCK = 3  # cells to a side that share their neighbours
_BATCH = 256  # blocks solved at once: their matrices stay in the processor's cache
_DATES_FOR_PIXEL_MEANS = 30
_LEAST_NUGGET = 1e-4  # of the sill: single precision needs it
_TRUSTED_AFTER = 5  # observations of a pixel that weigh as much as its surroundings do in its mean


@dataclass(frozen=True)
class Kriging:
    """Optimal interpolation with known scales. Call it on a field."""

    scales: Scales
    neighbours: int = 64
    factor: float = 1.0  # by which the standard error is multiplied so that it holds on hidden values

    def __call__(
        self,
        field: Field,
        where: NDArray[np.bool_] | None = None,
        *,
        device: torch.device | str = "cpu",
        advance: Callable[[int], None] = lambda cells: None,
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Estimate and standard error (time, lat, lon) at ``where`` (all of the sea), NaN elsewhere.

        The standard error is that of a new observation at the cell. ``advance`` is told of every batch how
        many cells it had.
        """
        device = torch.device(device)
        mean = means(field)
        data = observations(field, field.values - mean, self.scales, BLOCK, device)
        wanted = np.broadcast_to(field.sea, field.values.shape) if where is None else where & field.sea
        estimate = np.full(field.values.shape, np.nan, np.float32)
        variance = np.full(field.values.shape, np.nan, np.float32)
        for corners in torch.as_tensor(_corners(wanted)).split(_BATCH):
            cells = data.cell(corners.to(device))
            members = _members(corners)
            with torch.no_grad():
                found, exists = nearest(data, cells, self.neighbours)
                targets = cells[:, None] + torch.as_tensor(_square(data.shape[2]), device=device)
                solution = solve(self.scales, data, targets, found, exists)
            t, y, x = members.reshape(-1, 3).T
            inside = (y < wanted.shape[1]) & (x < wanted.shape[2])
            inside[inside] = wanted[t[inside], y[inside], x[inside]]
            at = (t[inside], y[inside], x[inside])
            estimate[at], variance[at] = (part.reshape(-1).cpu().numpy()[inside] for part in solution)
            advance(int(inside.sum()))
        error = np.float32(self.factor) * np.sqrt(variance.clip(min=0) + np.float32(self.scales.nugget))
        return estimate + mean, error


def solve(
    scales: Scales, data: Observations, targets: Tensor, found: Tensor, exists: Tensor
) -> tuple[Tensor, Tensor]:
    """Ordinary kriging of targets (n, m) from the observations ``found`` (n, k), of which some exist.

    Returns the estimated anomaly and its kriging variance (n, m), that of the field without the nugget.
    """
    centre = targets[:, :1]
    origin = data.place(centre)
    near = (data.place(found) - origin).float()
    wanted = (data.place(targets) - origin).float()
    between = _covariance(scales, near, near) * (exists[:, :, None] & exists[:, None, :])
    # A neighbour that does not exist keeps a row of its own, which touches nothing.
    own = torch.where(exists, scales.nugget + _LEAST_NUGGET * scales.sill + data.noise[found], 1.0)
    factor = torch.linalg.cholesky(between + torch.diag_embed(own))
    towards = _covariance(scales, near, wanted) * exists[:, :, None]
    ones = exists.to(near)[:, :, None]
    solution = torch.cholesky_solve(torch.cat([towards, ones], 2), factor)
    weights, flat = solution[:, :, :-1], solution[:, :, -1:]
    value = (data.anomaly[found] * exists)[:, :, None]
    total = flat.sum(1)
    lack = torch.where(total > 0, 1 - weights.sum(1), 0.0)
    total = torch.where(total > 0, total, 1.0)
    mean = (weights * value).sum(1) + lack * (flat * value).sum(1) / total
    variance = scales.sill - (weights * towards).sum(1) + lack**2 / total
    return mean, variance


def means(field: Field) -> NDArray[np.float32]:
    """(lat, lon) what anomalies are taken from: the mean of each pixel, or of the field where dates are few.

    A pixel that is seldom seen leans on its surroundings.
    """
    observed = field.observed
    overall = np.nanmean(field.values)
    if len(observed) < _DATES_FOR_PIXEL_MEANS:
        return np.where(field.sea, overall, np.nan).astype(np.float32)
    number = observed.sum(axis=0).astype(np.float64)
    total = np.where(observed, field.values - overall, 0).sum(axis=0, dtype=np.float64)
    weight = gaussian_filter(number, 3.0) + 1e-6
    around = gaussian_filter(total, 3.0) / weight
    mean = (total + _TRUSTED_AFTER * around) / (number + _TRUSTED_AFTER)
    return np.where(field.sea, mean + overall, np.nan).astype(np.float32)


def _covariance(scales: Scales, a: Tensor, b: Tensor) -> Tensor:
    """(n, k, m) between places (n, k, 4) and (n, m, 4) in kilometres and days."""
    # By differences: products cancel where observations are far, and the matrix is not positive definite.
    apart = torch.cdist(a[..., :3], b[..., :3], compute_mode="donot_use_mm_for_euclid_dist").square_()
    lag = (a[..., :, None, 3] - b[..., None, :, 3]).square_()
    total = torch.zeros_like(apart)
    for sill, length, duration in scales.components:
        # The last term keeps the gradient finite at distance zero.
        root = (apart * (3 / length**2) + lag * (3 / duration**2) + 1e-12).sqrt()
        total = total + sill * (1 + root) * torch.exp(-root)
    return total


def _square(columns: int) -> NDArray[np.int64]:
    return (np.arange(BLOCK)[:, None] * columns + np.arange(BLOCK)).reshape(-1)


def _corners(where: NDArray[np.bool_]) -> NDArray[np.int64]:
    """(n, 3) date, row, column of the first cell of each block with something to estimate."""
    dates, rows, columns = where.shape
    padded = np.pad(where, ((0, 0), (0, -rows % BLOCK), (0, -columns % BLOCK)))
    parts = padded.reshape(dates, -(-rows // BLOCK), BLOCK, -(-columns // BLOCK), BLOCK)
    return np.argwhere(parts.any(axis=(2, 4))) * (1, BLOCK, BLOCK)


def _members(corners: Tensor) -> NDArray[np.int64]:
    """(n, cells of a block, 3) date, row, column."""
    t = np.zeros(BLOCK * BLOCK, np.int64)
    y, x = np.divmod(np.arange(BLOCK * BLOCK), BLOCK)
    return corners.numpy()[:, None] + np.stack([t, y, x], -1)
