"""Maps in overlapping tiles whose cells share their observations, and therefore one factor of their matrix.

The tiles are blended with weights that fall smoothly to zero at the centres of the next ones. The change from
one set of observations to another therefore shows neither as squares nor as kinks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter
from torch import Tensor

_LEAST_SHARE = 1e-9  # of the precision of an estimate
_LEAST_WEIGHT = 0.03  # below which the corners of a tile, a fifth of its cells, are left to other tiles
_GROUP = 4096  # tiles that are sorted by their number of cells, so that those of a batch have as many

Batch = TypeVar("Batch")
Result = TypeVar("Result")


def solve_in_tiles(
    wanted: NDArray[np.bool_],
    estimate: Callable[[Tensor, Tensor], Sequence[Tensor]],
    number: int,
    device: torch.device,
    advance: Callable[[int], None],
    side: int,
    batch: int,
    *,
    least_variance: float | None = None,
) -> NDArray[np.float32]:
    """Estimate maps (number, time, lat, lon) in overlapping tiles that are blended; NaN elsewhere.

    ``estimate`` takes the date, row and column of the tiles' centres (n, 3) and of their cells (n, m, 3) and
    returns ``number`` maps (n, m). The centres are ``side`` cells apart, and a ``batch`` of tiles is solved
    at once. With a ``least_variance`` the first map is the variance, and an estimate counts by the square of
    its inverse too: a tile of many observations lacks the nearest of some of its outer cells. ``advance`` is
    called with the number of cells of every batch.
    """
    last = np.array(wanted.shape) - 1
    around, share = _make_tile(side)
    sums = torch.zeros((1 + number, wanted.size))  # of the weights and of each weighted map
    every = find_centres(wanted, side)

    def list_batches() -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]]:
        """Yield centres (n, 3), their wanted cells (n, m, 3) and the weights of these (n, m).

        Tiles with fewer cells than others of their batch have some of weight zero.
        """
        group = max(_GROUP, batch)
        for start in range(0, len(every), group):
            centres = every[start : start + group]
            members = centres[:, None] + around
            inside = ((members >= 0) & (members <= last)).all(-1)
            members = members.clip(0, last)
            inside &= wanted[tuple(np.moveaxis(members, -1, 0))]
            count = inside.sum(axis=1)
            order = np.argsort(count, kind="stable")
            first = np.argsort(~inside, axis=1, kind="stable")  # the wanted cells
            for some in np.split(order, range(batch, len(order), batch)):
                kept = first[some, : count[some].max()]
                weight = np.where(np.take_along_axis(inside[some], kept, 1), share[kept], np.float32(0))
                yield (
                    centres[some].clip(0, last),
                    np.take_along_axis(members[some], kept[..., None], 1),
                    weight,
                )

    def solve_batch(
        given: tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]],
    ) -> tuple[NDArray[np.int64], list[Tensor]]:
        """Return the flat cells (p,) of a batch, their weights and each weighted map."""
        centres, members, weight = given
        with torch.no_grad():
            places = (torch.as_tensor(part, device=device) for part in (centres, members))
            maps = [part.float().cpu() for part in estimate(*places)]
        counted = weight > 0
        at = np.ravel_multi_index(tuple(members[counted].T), wanted.shape)
        chosen, share = torch.from_numpy(counted), torch.from_numpy(weight)
        if least_variance is not None:
            # The bound keeps the square above zero in single precision, whatever the observation errors.
            share = share * (least_variance / maps[0].clamp(min=least_variance)).clamp(min=_LEAST_SHARE) ** 2
        return at, [(share * part)[chosen] for part in (torch.ones_like(share), *maps)]

    for at, maps in run_in_threads(solve_batch, list_batches(), device):
        reached = torch.from_numpy(np.unique(at))
        advance(int((sums[0][reached] == 0).sum()))
        for total, part in zip(sums, maps, strict=True):
            total.index_add_(0, torch.from_numpy(at), part)
    found = sums.numpy().reshape(1 + number, *wanted.shape)
    found[0][~wanted] = np.nan
    return found[1:] / found[0]


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


def _make_tile(side: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Return date, row and column (n, 3) of a tile's cells relative to its centre, and their weights (n,).

    Tiles reach to the centres of the next ones. Their weights and the slopes of these fall to zero there, and
    the weights add up to one, but for those of the corners.
    """
    reach = np.arange(1 - side, side)
    part = 1 - np.abs(reach) / side
    part = part**2 * (3 - 2 * part)
    around = np.stack(np.meshgrid(0, reach, reach, indexing="ij"), -1).reshape(-1, 3)
    share = np.outer(part, part).reshape(-1).astype(np.float32)
    counts = share >= _LEAST_WEIGHT
    return around[counts], share[counts]


def find_centres(wanted: NDArray[np.bool_], side: int) -> NDArray[np.int64]:
    """Find date, row and column (n, 3) of the centre of each tile with a cell to estimate."""
    middle = side // 2
    # A last row or column beyond the centres has only one tile.
    spare = [(0, 0)] + [(0, -extent % side) for extent in wanted.shape[1:]]
    near = maximum_filter(np.pad(wanted, spare), size=(1, 2 * side - 1, 2 * side - 1), mode="constant")
    return np.argwhere(near[:, middle::side, middle::side]) * (1, side, side) + (0, middle, middle)
