"""Ordinary kriging from the nearest observations in space and time.

The anomaly at a cell is the best linear unbiased estimate from its nearest observations (Bretherton, Davis
and Fandry 1976, doi:10.1016/0011-7471(76)90001-2; ordinary kriging: Cressie 1993, section 3.2), under a sum
of Matern-3/2 covariances of the distance sqrt((ds/length)^2 + (dt/duration)^2): an eddy component and a
large-scale, short-lived (weather) component. The cells of a tile share their observations, and therefore one
Cholesky factor: more observations than a cell would have alone, for less (`tiles`).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from torch import Tensor

from ..io.field import Field, grid_spacing
from .neighbours import Observations, Scales, compute_covariance, find_nearest, gather_observations
from .season import HARMONICS, average_months, fit_cycle, remove_season
from .tiles import find_centres, solve_in_tiles

_TILES = ((5.0, 8, 3.0), (2.5, 4, 1.25))  # cells a length from which tiles have this side and observations
_SMALL_TILE = (2, 1.0)  # side in cells, and observations of a tile over those of a cell
_BATCH = {"cpu": 64, "cuda": 2048}  # tiles solved at once; their matrices fit into a processor's cache
_BLOCK = 16  # rows of a matrix that are eliminated at once
_DATES_FOR_PIXEL_MEANS = 30  # fewest, below which the field has one mean
_LEAST_NUGGET = 1e-4  # of the sill: single precision needs it
_LEAST_VARIANCE = 1e-3  # of the sill, by which the estimates of a cell in several tiles are weighed
_FAR = 1e6  # km, between observations that do not exist
_PRIOR_WEIGHT = 5  # observations of a pixel that weigh as much as its surroundings in its mean


@dataclass(frozen=True)
class Kriging:
    """Optimal interpolation with known scales. Call it on a field."""

    scales: Scales
    neighbours: int = 64  # of a cell; a tile has more
    factor: float = 1.0  # of the standard error, from its calibration on hidden values
    noise: float = 0.0  # error variance of a new observation, in addition to the nugget

    def __call__(
        self,
        field: Field,
        where: NDArray[np.bool_] | None = None,
        *,
        device: torch.device | str = "cpu",
        advance: Callable[[int], None] = lambda cells: None,
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return estimate and standard error (time, lat, lon) at ``where`` (default: all sea), NaN elsewhere.

        The standard error is that of a new observation at the cell. ``advance`` is called with the number of
        cells of every batch.
        """
        mean = self.mean(field)
        wanted = np.broadcast_to(field.sea, field.values.shape) if where is None else where & field.sea
        variance, anomaly = self.interpolate(
            field, (field.values - mean)[None], wanted, device=device, advance=advance
        )
        variance = variance.clip(min=0) + np.float32(self.scales.nugget + self.noise)
        return anomaly + mean, np.float32(self.factor) * np.sqrt(variance)

    def mean(self, field: Field) -> NDArray[np.float32]:
        """Return the mean (time, lat, lon) or (lat, lon) from which anomalies are taken."""
        return reference_mean(field)

    def interpolate(
        self,
        field: Field,
        anomalies: NDArray[np.floating],
        wanted: NDArray[np.bool_],
        *,
        device: torch.device | str = "cpu",
        advance: Callable[[int], None] = lambda cells: None,
    ) -> NDArray[np.float32]:
        """Interpolate n series of ``anomalies`` (n, time, lat, lon), seen where the ``field`` is observed.

        Returns the kriging variance of all series, without the nugget, and each estimate (1 + n, time, lat,
        lon) at ``wanted``, NaN elsewhere.
        """
        device = torch.device(device)
        side, more = choose_tile(field, self.scales)
        data = gather_observations(field, anomalies, self.scales, device, side)
        count = math.ceil(more * self.neighbours)

        def estimate(centres: Tensor, members: Tensor) -> list[Tensor]:
            found, exists = find_nearest(data, data.cell(centres), count)
            estimates, variance = solve_tiles(self.scales, data, data.cell(members), found, exists)
            return [variance, *estimates.unbind(2)]

        batch = _BATCH[device.type]
        least = _LEAST_VARIANCE * float(self.scales.sill)
        return solve_in_tiles(
            wanted, estimate, 1 + len(anomalies), device, advance, side, batch, least_variance=least
        )

    def find_dependent(
        self, field: Field, on: NDArray[np.bool_], among: NDArray[np.bool_]
    ) -> NDArray[np.bool_]:
        """Find the dates (time,) ``among`` some with neighbours in the observations ``on`` others."""
        side, more = choose_tile(field, self.scales)
        none = np.zeros(field.values.shape, np.float32)
        data = gather_observations(field, none, self.scales, torch.device("cpu"), side)
        marked, plane = torch.from_numpy(np.pad(on, data.pad[0])), data.shape[1] * data.shape[2]
        centres = find_centres(field.sea[None], side).clip(0, np.array(field.values.shape) - 1)
        found = np.zeros(len(among), bool)
        for date in np.flatnonzero(among):
            cells = data.cell(torch.from_numpy(centres + np.array([date, 0, 0])))
            for some in cells.split(_BATCH["cuda"]):
                near, exists = find_nearest(data, some, math.ceil(more * self.neighbours))
                found[date] |= bool((marked[near // plane] & exists).any())
        return found


def choose_tile(field: Field, scales: Scales) -> tuple[int, float]:
    """Return the cells between the centres of tiles, and the observations of a tile over those of a cell.

    Cells share observations as far as their correlations are alike.
    """
    cell = max(grid_spacing(field)[1:])
    length = min(float(part.length) for part in scales.components) / cell
    return next(((side, more) for least, side, more in _TILES if length >= least), _SMALL_TILE)


class KrigingSystem(NamedTuple):
    """Kriging systems of n groups of m targets from k observations each; the scales come in addition."""

    distance2: Tensor  # (n, k, k) squared distance between observations, km2
    lag2: Tensor  # (n, k, k) squared, days2
    target_distance2: Tensor  # (n, k, m) of observations to targets
    target_lag2: Tensor  # (n, k, m)
    noise: Tensor  # (n, k) observation error variance
    anomaly: Tensor  # (n, k), or (n, k, s) of s series
    exists: Tensor  # (n, k) False where a target has fewer observations


def build_system(
    data: Observations, targets: Tensor, found: Tensor, exists: Tensor, displaced: bool = False
) -> KrigingSystem:
    """Build the systems of targets (n, m) and their observations ``found`` (n, k), given as flat cells.

    Targets are at the centres of their cells; with ``displaced``, where the values were measured.
    """
    origin = data.place(targets[:, :1])
    wanted = ((data.measurement_place(targets) if displaced else data.place(targets)) - origin).float()
    near = (data.measurement_place(found) - origin).float()
    # A neighbour that does not exist is so far from everything that it has no weight.
    order = torch.arange(1, found.shape[1] + 1, device=found.device)
    near[..., 0] = torch.where(exists, near[..., 0], _FAR * order)
    return KrigingSystem(
        *compute_squared_distances(near, near),
        *compute_squared_distances(near, wanted),
        data.noise[found],
        data.anomaly[found],
        exists,
    )


def solve_tiles(
    scales: Scales, data: Observations, targets: Tensor, found: Tensor, exists: Tensor
) -> tuple[Tensor, Tensor]:
    """Estimate the anomaly (n, m, s) of s series at each target, and its kriging variance (n, m).

    The targets (n, m) of n tiles and their observations ``found`` (n, k) are flat cells. The variance
    excludes the nugget. Rows are eliminated in blocks, with the right-hand sides: products of small matrices
    are many times faster than their factors.
    """
    series = data.anomaly[found].reshape(*found.shape, -1) * exists[..., None]
    known = torch.cat([exists[..., None].to(series), series], 2)
    own = scales.sill * (1 + _LEAST_NUGGET) + scales.nugget + data.noise[found]
    own = torch.where(exists, own, 1.0)
    places = torch.cat([data.measurement_place(found), data.place(targets)], 1)
    places = (places - places[:, :1]).float()

    def eliminate(precision: torch.dtype) -> Tensor:
        return _eliminate(
            scales, places.to(precision), own.to(precision), exists, known.to(precision)
        ).float()

    # Without noise the variance at an observation is a small difference of large numbers.
    noisy = float(scales.nugget) >= _LEAST_NUGGET * float(scales.sill)
    try:
        half = eliminate(torch.float32 if noisy else torch.float64)
    except torch.linalg.LinAlgError:  # rounding, of observations far away that are close to each other
        half = eliminate(torch.float64)
    towards, known = half.split([targets.shape[1], known.shape[2]], 2)
    product = known.mT @ half
    weight, total = product[:, 0, : targets.shape[1]], product[:, 0, targets.shape[1], None]
    lack = torch.where(total > 0, 1 - weight, 0.0)
    total = torch.where(total > 0, total, 1.0)
    variance = scales.sill - (towards * towards).sum(1) + lack**2 / total
    mean = product[:, 1:, : targets.shape[1]]
    flat = product[:, 1:, targets.shape[1], None]
    return (mean + flat * (lack / total)[:, None]).mT, variance


def _eliminate(scales: Scales, places: Tensor, own: Tensor, exists: Tensor, known: Tensor) -> Tensor:
    """Return L^-1 [C, known] (n, k, m + s), L the Cholesky factor of the observations' covariance.

    C is the covariance to the targets. ``places`` (n, k + m, 4) are those of observations, then of targets;
    ``own`` (n, k) is the variance of an observation with its noise; ``known`` is (n, k, s). Observations that
    do not exist have no covariance. Raises `LinAlgError` where the covariance is not positive.
    """
    number, count = own.shape
    extra = known.shape[2]
    # Squared distances as products: |a|^2 - 2 a b + |b|^2; the last columns leave room for what is known.
    pairs = []
    for sill, length, duration in scales.components:
        scaled = places * torch.tensor([1 / length] * 3 + [1 / duration]).to(places) * math.sqrt(3)
        square = (scaled * scaled).sum(2, keepdim=True)
        one = torch.ones_like(square)
        left = torch.cat([-2 * scaled[:, :count], square[:, :count], one[:, :count]], 2)
        right = torch.cat([scaled, one, square], 2)
        right = torch.nn.functional.pad(right, (0, 0, 0, extra)).mT.contiguous()
        pairs.append((math.log(sill), left, right))
    present = None if bool(exists.all()) else exists.to(places)
    unit = torch.eye(_BLOCK).to(places).expand(number, -1, -1)
    half = places.new_empty(number, count, places.shape[1] + extra)
    for start in range(0, count, _BLOCK):
        end = min(start + _BLOCK, count)
        rows = None
        for log_sill, left, right in pairs:
            root = torch.bmm(left[:, start:end], right[:, :, start:]).clamp_(min=0).sqrt_()
            fall = torch.sub(log_sill, root).exp_()
            root.add_(1)
            rows = root.mul_(fall) if rows is None else rows.addcmul_(root, fall)
        assert rows is not None  # there is a component
        if present is not None:
            rows *= present[:, start:end, None]
            rows[:, :, : count - start] *= present[:, None, start:]
        size = end - start
        rows[:, :, :size].diagonal(dim1=1, dim2=2).copy_(own[:, start:end])
        rows[:, :, -extra:] = known[:, start:end]
        if start:
            rows.baddbmm_(half[:, :start, start:end].mT, half[:, :start, start:], alpha=-1)
        factor = torch.linalg.cholesky(rows[:, :, :size])
        inverse = torch.linalg.solve_triangular(factor, unit[:, :size, :size], upper=False)
        half[:, start:end, start:] = torch.bmm(inverse, rows)
    return half[:, :, count:]


def solve(scales: Scales, given: KrigingSystem) -> tuple[Tensor, Tensor]:
    """Estimate the anomaly of each target (n, m), or (n, m, s) of s series, and its kriging variance (n, m).

    The variance excludes the nugget.
    """
    between = compute_covariance(scales, given.distance2, given.lag2)
    between.diagonal(dim1=1, dim2=2).add_(scales.nugget + _LEAST_NUGGET * scales.sill + given.noise)
    towards = compute_covariance(scales, given.target_distance2, given.target_lag2)
    ones = given.exists.to(towards)[:, :, None]
    right = torch.cat([towards, ones], 2)
    factor = torch.linalg.cholesky(between.detach())
    solution = torch.cholesky_solve(right.detach(), factor)
    if torch.is_grad_enabled():
        # A Newton step leaves the solution as it is and has its gradient, without that of the factor.
        solution = solution + torch.cholesky_solve(right - between @ solution, factor)
    weights, flat = solution[:, :, :-1], solution[:, :, -1:]
    total = flat.sum(1)
    lack = torch.where(total > 0, 1 - weights.sum(1), 0.0)
    total = torch.where(total > 0, total, 1.0)
    variance = scales.sill - (weights * towards).sum(1) + lack**2 / total

    def combine(anomaly: Tensor) -> Tensor:
        value = anomaly[:, :, None]
        return (weights * value).sum(1) + lack * (flat * value).sum(1) / total

    if given.anomaly.ndim == 2:
        return combine(given.anomaly), variance
    return torch.stack([combine(series) for series in given.anomaly.unbind(2)], 2), variance


def reference_mean(field: Field) -> NDArray[np.float32]:
    """Mean from which anomalies are taken: that of each pixel (lat, lon), with the season of a long record.

    With the season it is (time, lat, lon).
    """
    without, cycle = remove_season(field)
    return pixel_means(without) + (cycle if cycle.size > 1 else 0)


def pixel_means(field: Field) -> NDArray[np.float32]:
    """Mean (lat, lon) from which anomalies are taken: of each pixel, or of the field if dates are few.

    The mean of a pixel with few observations is drawn towards its surroundings. One that was fitted before
    (``field.mean``) is kept.
    """
    if field.mean is not None:
        return field.mean
    observed = field.observed
    overall = np.nanmean(field.values)
    if len(observed) < _DATES_FOR_PIXEL_MEANS:
        return np.where(field.sea, overall, np.nan).astype(np.float32)
    number = observed.sum(axis=0).astype(np.float64)
    total = np.where(observed, field.values - overall, 0).sum(axis=0, dtype=np.float64)
    weight = gaussian_filter(number, 3.0) + 1e-6
    around = gaussian_filter(total, 3.0) / weight
    mean = (total + _PRIOR_WEIGHT * around) / (number + _PRIOR_WEIGHT)
    return np.where(field.sea, mean + overall, np.nan).astype(np.float32)


def fix_mean(field: Field, dates: slice) -> Field:
    """Return the field with the mean of some of its dates, and their seasonal cycle, as those of all."""
    first = replace(field, mean=None, cycle=None).part(dates)
    without, cycle = remove_season(first)
    if cycle.size > 1:
        kept = fit_cycle(average_months(first))
    else:
        kept = np.zeros((2 * len(HARMONICS), *field.sea.shape), np.float32)
    return replace(field, mean=pixel_means(without), cycle=kept)


def compute_squared_distances(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Compute squared distance and lag (n, k, m) between places (n, k, 4) and (n, m, 4) in km and days."""

    # From differences: products lose precision far away, and the matrix would not be positive definite.
    def square_difference(axis: int) -> Tensor:
        return (a[:, :, None, axis] - b[:, None, :, axis]).square_()

    return square_difference(0).add_(square_difference(1)).add_(square_difference(2)), square_difference(3)
