"""Ordinary kriging from the nearest observations in space and time.

The anomaly at a cell is the best linear unbiased estimate from its nearest observations (Bretherton, Davis
and Fandry 1976, doi:10.1016/0011-7471(76)90001-2; ordinary kriging: Cressie 1993, section 3.2), under a sum
of Matern-3/2 covariances of the distance sqrt((ds/length)^2 + (dt/duration)^2): an eddy component and a
large-scale, short-lived (weather) component. The targets of a tile share their observations, and therefore
one Cholesky factor; tiles overlap and are blended smoothly.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, maximum_filter
from torch import Tensor

from ..io.field import Field
from .neighbours import Observations, Scales, compute_covariance, find_nearest, gather_observations
from .season import remove_season

_STRIDE = 3  # cells between the centres of tiles
_BATCH = {"cpu": 128, "cuda": 4096}  # tiles solved at once; their matrices fit into a processor's cache
_DATES_FOR_PIXEL_MEANS = 30  # fewest, below which the field has one mean
_LEAST_NUGGET = 1e-4  # of the sill: single precision needs it
_FAR = 1e6  # km, between observations that do not exist
_PRIOR_WEIGHT = 5  # observations of a pixel that weigh as much as its surroundings in its mean

Batch = TypeVar("Batch")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Kriging:
    """Optimal interpolation with known scales. Call it on a field."""

    scales: Scales
    neighbours: int = 64
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
        device = torch.device(device)
        mean = self.mean(field)
        data = gather_observations(field, field.values - mean, self.scales, device)
        wanted = np.broadcast_to(field.sea, field.values.shape) if where is None else where & field.sea

        def estimate(centres: Tensor, members: Tensor) -> tuple[Tensor, ...]:
            found = find_nearest(data, data.cell(centres), self.neighbours)
            return solve(self.scales, build_system(data, data.cell(members), *found))

        anomaly, variance = solve_in_tiles(wanted, estimate, 2, device, advance)
        variance = variance.clip(min=0) + np.float32(self.scales.nugget + self.noise)
        return anomaly + mean, np.float32(self.factor) * np.sqrt(variance)

    def mean(self, field: Field) -> NDArray[np.float32]:
        """Return the mean (time, lat, lon) or (lat, lon) from which anomalies are taken."""
        return reference_mean(field)


def solve_in_tiles(
    wanted: NDArray[np.bool_],
    estimate: Callable[[Tensor, Tensor], Sequence[Tensor]],
    number: int,
    device: torch.device,
    advance: Callable[[int], None],
) -> NDArray[np.float32]:
    """Estimate maps (number, time, lat, lon) in overlapping tiles that are blended; NaN elsewhere.

    ``estimate`` takes the date, row and column of the tiles' centres (n, 3) and of their cells (n, m, 3) and
    returns ``number`` maps (n, m). ``advance`` is called with the number of cells of every batch.
    """
    last = np.array(wanted.shape) - 1
    around, share = _make_tile()
    sums = np.zeros((1 + number, wanted.size), np.float32)  # of the weights and of each weighted map
    every = _find_centres(wanted)
    batch = _BATCH[device.type]
    batches = (every[start : start + batch] for start in range(0, len(every), batch))

    def solve_batch(centres: NDArray[np.int64]) -> tuple[NDArray[np.int64], list[NDArray[np.float32]]]:
        """Return the members (n, m, 3) of the tiles around ``centres`` (n, 3) and their estimates."""
        members = centres[:, None] + around
        with torch.no_grad():
            places = (torch.as_tensor(part.clip(0, last), device=device) for part in (centres, members))
            return members, [part.float().cpu().numpy() for part in estimate(*places)]

    for members, solution in run_in_threads(solve_batch, batches, device):
        inside = ((members >= 0) & (members <= last)).all(-1)
        at = np.ravel_multi_index(tuple(members[inside].T), wanted.shape)
        weight = np.broadcast_to(share, inside.shape)[inside]
        reached = np.unique(at)
        advance(int(np.count_nonzero(wanted.reshape(-1)[reached] & (sums[0][reached] == 0))))
        np.add.at(sums[0], at, weight)
        for total, part in zip(sums[1:], solution, strict=True):
            np.add.at(total, at, weight * part[inside])
    maps = sums.reshape(1 + number, *wanted.shape)
    maps[0][~wanted] = np.nan
    return maps[1:] / maps[0]


def run_in_threads(
    work: Callable[[Batch], Result], batches: Iterable[Batch], device: torch.device
) -> Iterator[Result]:
    """Yield the results in order. Small matrices are faster with one thread each than with all for each."""
    threads = torch.get_num_threads()
    if device.type != "cpu" or threads == 1:
        yield from map(work, batches)
        return
    torch.set_num_threads(1)
    try:
        with ThreadPoolExecutor(threads) as pool:
            yield from pool.map(work, batches)
    finally:
        torch.set_num_threads(threads)


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

    The mean of a pixel with few observations is drawn towards its surroundings.
    """
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


def compute_squared_distances(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Compute squared distance and lag (n, k, m) between places (n, k, 4) and (n, m, 4) in km and days."""

    # From differences: products lose precision far away, and the matrix would not be positive definite.
    def square_difference(axis: int) -> Tensor:
        return (a[:, :, None, axis] - b[:, None, :, axis]).square_()

    return square_difference(0).add_(square_difference(1)).add_(square_difference(2)), square_difference(3)


def _make_tile() -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Return date, row and column (n, 3) of a tile's cells relative to its centre, and their weights (n,).

    Tiles reach to the centres of the next ones. Their weights fall to zero there and add up to one, because
    an abrupt change from one set of neighbours to another would show as squares in a map.
    """
    reach = np.arange(1 - _STRIDE, _STRIDE)
    tent = 1 - np.abs(reach) / _STRIDE
    around = np.stack(np.meshgrid(0, reach, reach, indexing="ij"), -1).reshape(-1, 3)
    return around, np.outer(tent, tent).reshape(-1).astype(np.float32)


def _find_centres(wanted: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Find date, row and column (n, 3) of the centre of each tile with a cell to estimate."""
    size = 2 * _STRIDE - 1
    middle = _STRIDE // 2
    spare = [(0, 0)] + [(0, -extent % _STRIDE) for extent in wanted.shape[1:]]
    near = maximum_filter(np.pad(wanted, spare), size=(1, size, size), mode="constant")
    return np.argwhere(near[:, middle::_STRIDE, middle::_STRIDE]) * (1, _STRIDE, _STRIDE) + (
        0,
        middle,
        middle,
    )
