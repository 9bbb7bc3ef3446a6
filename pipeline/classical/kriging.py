"""Ordinary kriging from the nearest observations in space and time.

The anomaly at a cell is the best linear unbiased estimate from its nearest observations (Bretherton, Davis
and Fandry 1976, doi:10.1016/0011-7471(76)90001-2; ordinary kriging: Cressie 1993, section 3.2), under a sum
of Matern-3/2 covariances of the distance sqrt((ds/length)^2 + (dt/duration)^2): one of the eddies, and one of
what is wide and brief, as the weather. Neighbouring targets of a block share their observations, and so one
Cholesky factor; blocks overlap and are mixed smoothly.
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
from .neighbours import Observations, Scales, covariance, find_nearest, gather_observations

_STRIDE = 3  # cells between the centres of blocks that share their neighbours
_BATCH = {"cpu": 128, "cuda": 4096}  # blocks solved at once: a processor's cache holds their matrices
_DATES_FOR_PIXEL_MEANS = 30
_LEAST_NUGGET = 1e-4  # of the sill: single precision needs it
_FAR = 1e6  # km
_TRUSTED_AFTER = 5  # observations of a pixel that weigh as much as its surroundings do in its mean

Batch = TypeVar("Batch")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Kriging:
    """Optimal interpolation with known scales. Call it on a field."""

    scales: Scales
    neighbours: int = 64
    factor: float = 1.0  # by which the standard error is multiplied so that it holds on hidden values
    noise: float = 0.0  # error variance of a new observation, besides the nugget

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
        mean = pixel_means(field)
        data = gather_observations(field, field.values - mean, self.scales, device)
        wanted = np.broadcast_to(field.sea, field.values.shape) if where is None else where & field.sea

        def estimate(centres: Tensor, members: Tensor) -> tuple[Tensor, ...]:
            found = find_nearest(data, data.cell(centres), self.neighbours)
            return solve(self.scales, system(data, data.cell(members), *found))

        anomaly, variance = solve_in_tiles(wanted, estimate, 2, device, advance)
        variance = variance.clip(min=0) + np.float32(self.scales.nugget + self.noise)
        return anomaly + mean, np.float32(self.factor) * np.sqrt(variance)


def solve_in_tiles(
    wanted: NDArray[np.bool_],
    estimate: Callable[[Tensor, Tensor], Sequence[Tensor]],
    number: int,
    device: torch.device,
    advance: Callable[[int], None],
) -> NDArray[np.float32]:
    """(number, time, lat, lon) of what ``estimate`` says of blocks, mixed where they overlap; NaN elsewhere.

    It is called with the date, row and column of the blocks' centres (n, 3) and of their cells (n, m, 3),
    and gives ``number`` maps (n, m). ``advance`` is told of every batch how many cells it had.
    """
    last = np.array(wanted.shape) - 1
    around, share = _overlapping()
    sums = np.zeros((1 + number, wanted.size), np.float32)  # of weight, and of each map under it
    every = _centres(wanted)
    batch = _BATCH[device.type]
    batches = (every[start : start + batch] for start in range(0, len(every), batch))

    def work(centres: NDArray[np.int64]) -> tuple[NDArray[np.int64], list[NDArray[np.float32]]]:
        """Members (n, m, 3) of the blocks around ``centres`` (n, 3), and what is said of them."""
        members = centres[:, None] + around
        with torch.no_grad():
            places = (torch.as_tensor(part.clip(0, last), device=device) for part in (centres, members))
            return members, [part.float().cpu().numpy() for part in estimate(*places)]

    for members, solution in in_threads(work, batches, device):
        inside = ((members >= 0) & (members <= last)).all(-1)
        at = np.ravel_multi_index(tuple(members[inside].T), wanted.shape)
        weight = np.broadcast_to(share, inside.shape)[inside]
        met = np.unique(at)
        advance(int(np.count_nonzero(wanted.reshape(-1)[met] & (sums[0][met] == 0))))
        np.add.at(sums[0], at, weight)
        for total, part in zip(sums[1:], solution, strict=True):
            np.add.at(total, at, weight * part[inside])
    maps = sums.reshape(1 + number, *wanted.shape)
    maps[0][~wanted] = np.nan
    return maps[1:] / maps[0]


def in_threads(
    work: Callable[[Batch], Result], batches: Iterable[Batch], device: torch.device
) -> Iterator[Result]:
    """The results in order. Small matrices keep a thread each busier than all threads one after another."""
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


class System(NamedTuple):
    """What the kriging of n groups of m targets from k observations each depends on, besides the scales."""

    apart: Tensor  # (n, k, k) squared distance between observations, km2
    lag: Tensor  # (n, k, k) squared, days2
    apart_target: Tensor  # (n, k, m)
    lag_target: Tensor  # (n, k, m)
    noise: Tensor  # (n, k) observation error variance
    anomaly: Tensor  # (n, k), or (n, k, s) of s series
    exists: Tensor  # (n, k) False where a target has fewer observations


def system(
    data: Observations, targets: Tensor, found: Tensor, exists: Tensor, measured: bool = False
) -> System:
    """Of the targets (n, m) and the observations ``found`` (n, k), flat cells.

    The targets are the centres of their cells, or where these were ``measured``.
    """
    origin = data.place(targets[:, :1])
    wanted = ((data.measured(targets) if measured else data.place(targets)) - origin).float()
    near = (data.measured(found) - origin).float()
    # A neighbour that does not exist is so far from everything that it has no say.
    order = torch.arange(1, found.shape[1] + 1, device=found.device)
    near[..., 0] = torch.where(exists, near[..., 0], _FAR * order)
    return System(
        *squared_distances(near, near),
        *squared_distances(near, wanted),
        data.noise[found],
        data.anomaly[found],
        exists,
    )


def solve(scales: Scales, given: System) -> tuple[Tensor, Tensor]:
    """The estimated anomaly of each target (n, m), or (n, m, s) of s series, and its kriging variance (n, m),
    the nugget not in it.
    """
    between = covariance(scales, given.apart, given.lag)
    between.diagonal(dim1=1, dim2=2).add_(scales.nugget + _LEAST_NUGGET * scales.sill + given.noise)
    towards = covariance(scales, given.apart_target, given.lag_target)
    ones = given.exists.to(towards)[:, :, None]
    right = torch.cat([towards, ones], 2)
    factor = torch.linalg.cholesky(between.detach())
    solution = torch.cholesky_solve(right.detach(), factor)
    if torch.is_grad_enabled():
        # A step of Newton's method changes nothing but has the gradient, without that of the factor.
        solution = solution + torch.cholesky_solve(right - between @ solution, factor)
    weights, flat = solution[:, :, :-1], solution[:, :, -1:]
    total = flat.sum(1)
    lack = torch.where(total > 0, 1 - weights.sum(1), 0.0)
    total = torch.where(total > 0, total, 1.0)
    variance = scales.sill - (weights * towards).sum(1) + lack**2 / total

    def estimated(anomaly: Tensor) -> Tensor:
        value = anomaly[:, :, None]
        return (weights * value).sum(1) + lack * (flat * value).sum(1) / total

    if given.anomaly.ndim == 2:
        return estimated(given.anomaly), variance
    return torch.stack([estimated(series) for series in given.anomaly.unbind(2)], 2), variance


def pixel_means(field: Field) -> NDArray[np.float32]:
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


def squared_distances(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Squared distance and squared lag (n, k, m) between places (n, k, 4) and (n, m, 4) in km and days."""

    # By differences: products cancel where observations are far, and the matrix is not positive definite.
    def squared(axis: int) -> Tensor:
        return (a[:, :, None, axis] - b[:, None, :, axis]).square_()

    return squared(0).add_(squared(1)).add_(squared(2)), squared(3)


def _overlapping() -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """(n, 3) date, row and column of a block's cells around its centre, and the weight (n,) of each.

    Blocks reach to the centres of the next ones, with weights that fall there to zero and add up to one: a
    sudden change from one set of neighbours to another would show as squares in a map.
    """
    reach = np.arange(1 - _STRIDE, _STRIDE)
    tent = 1 - np.abs(reach) / _STRIDE
    around = np.stack(np.meshgrid(0, reach, reach, indexing="ij"), -1).reshape(-1, 3)
    return around, np.outer(tent, tent).reshape(-1).astype(np.float32)


def _centres(wanted: NDArray[np.bool_]) -> NDArray[np.int64]:
    """(n, 3) date, row, column of the centre of each block with something to estimate."""
    size = 2 * _STRIDE - 1
    middle = _STRIDE // 2
    spare = [(0, 0)] + [(0, -extent % _STRIDE) for extent in wanted.shape[1:]]
    near = maximum_filter(np.pad(wanted, spare), size=(1, size, size), mode="constant")
    return np.argwhere(near[:, middle::_STRIDE, middle::_STRIDE]) * (1, _STRIDE, _STRIDE) + (
        0,
        middle,
        middle,
    )
