"""Cut a record into blocks that fit the memory: some dates of a part of the map, with a margin."""

from __future__ import annotations

from itertools import product
from math import prod
from typing import NamedTuple

import numpy as np

from ..errors import InputError

DATES = 16  # of a chunk of the stores
CELLS = 256  # of a chunk, to a side
BASE = 0.6e9  # bytes: Python, torch and the libraries
_LEAST_HALO, _GOOD_HALO, _MOST_HALO = 8, 16, 32  # dates on each side of a block
_ALIGNED = 8  # cells: tiles of kriging have sides of 2, 4 or 8, folded networks squares of up to 4


class Box(NamedTuple):
    """A part of a record."""

    dates: slice
    rows: slice
    columns: slice  # on a global grid they may begin below zero and end beyond the last

    @property
    def shape(self) -> tuple[int, ...]:
        """Dates, rows, columns."""
        return tuple(part.stop - part.start for part in self)

    def relative_to(self, other: Box) -> Box:
        """Return the same part, counted from where the ``other`` begins."""
        return Box(
            *(
                slice(part.start - whole.start, part.stop - whole.start)
                for part, whole in zip(self, other, strict=True)
            )
        )


class Block(NamedTuple):
    """The part of a record that is filled at once, and the part that is read for it."""

    core: Box
    padded: Box


def cut_blocks(
    shape: tuple[int, int, int],
    memory: float,
    bytes_a_value: float,
    reach: int = 0,
    *,
    n_workers: int = 1,
    cells: int = CELLS,
    cyclic: bool = False,
    whole_maps: bool = False,
) -> list[Block]:
    """Cut a record of ``shape`` (dates, rows, columns) for ``n_workers`` that share ``memory`` bytes.

    A block is padded by ``reach`` cells and 8 to 32 dates. Of all tilings of the map that fit, the one with
    the least work is chosen among those with 16 dates on each side, or with as many as fit; ``whole_maps``
    are not cut. Blocks are whole chunks of ``cells`` to a side, so no two write to one chunk. Raises
    `InputError` where the memory is too little.
    """
    dates, *extents = shape
    most = (memory / n_workers - BASE) / bytes_a_value  # values
    steps = [
        [extent] if whole_maps else [min(size, extent) for size in range(cells, extent + cells, cells)]
        for extent in extents
    ]
    chosen, best, needed = None, (np.inf, np.inf), np.inf
    for down, across in product(*steps):
        rows = _cut_side(extents[0], down, reach)
        columns = _cut_side(extents[1], across, reach, cyclic)
        area = max(_length(padded) for _, padded in rows) * max(_length(padded) for _, padded in columns)
        spans = _cut_dates(dates, int(most / area))
        largest = area * _length(spans[0][1])
        needed = min(needed, largest)
        work = prod(sum(_length(padded) for _, padded in parts) for parts in (spans, rows, columns))
        halo = _GOOD_HALO if len(spans) == 1 else (_length(spans[0][1]) - _length(spans[0][0])) // 2
        cost = (-min(halo, _GOOD_HALO), work)
        if largest <= most and cost < best:
            chosen, best = (spans, rows, columns), cost
    if chosen is None:
        enough = np.ceil(n_workers * (BASE + needed * bytes_a_value) / 1e7) / 100
        workers = f" for {n_workers} workers" if n_workers > 1 else ""
        whole = " as a whole" if whole_maps else ""
        raise InputError(
            f"{memory / 1e9:.3g} GB{workers} are too little to fill maps of {extents[0]} x {extents[1]} "
            f"pixels{whole}; allow {enough:.3g} GB{workers} with memory="
            f"{', or choose a method that can be cut, such as oi' * whole_maps}"
        )
    return [Block(*map(Box._make, zip(*parts, strict=True))) for parts in product(*chosen)]


def cut_dates(
    shape: tuple[int, int, int],
    memory: float,
    bytes_a_value: float,
    halo: int,
    *,
    n_workers: int = 1,
    step: int = 1,
) -> list[Block]:
    """Cut the dates of a record of ``shape`` (dates, rows, columns) and leave its maps whole.

    A block is padded by at least ``halo`` dates, and starts on a multiple of ``step`` dates then. Raises
    `InputError` where the memory is too little.
    """
    dates, rows, columns = shape
    most = int((memory / n_workers - BASE) / (bytes_a_value * rows * columns))
    around = 2 * halo + step
    core = dates if dates <= most else DATES * ((most - around) // DATES)
    if core < 1:
        needed = min(dates, DATES + around) * rows * columns
        enough = np.ceil(n_workers * (BASE + needed * bytes_a_value) / 1e7) / 100
        raise InputError(
            f"{memory / 1e9:.3g} GB for {n_workers} workers are too little to fill maps of {rows} x "
            f"{columns} pixels with {halo} dates before and after; allow {enough:.3g} GB with memory="
        )
    blocks = []
    for start in range(0, dates, core):
        stop = min(start + core, dates)
        padded = slice(max(0, start - halo) // step * step, min(dates, stop + halo))
        maps = slice(0, rows), slice(0, columns)
        blocks.append(Block(Box(slice(start, stop), *maps), Box(padded, *maps)))
    return blocks


def _length(part: slice) -> int:
    return part.stop - part.start


def _cut_dates(dates: int, most: int) -> list[tuple[slice, slice]]:
    """Return the dates of each block with and without its halo, if possible at most ``most`` with it.

    At the ends of the record the halo extends further inwards: all blocks have means of equally many dates.
    """
    enough = int(np.clip(most // 6, _LEAST_HALO, _MOST_HALO))
    core = DATES * max(1, (most - 2 * enough) // DATES)
    halo = int(np.clip((most - core) // 2, _LEAST_HALO, _MOST_HALO))
    if dates <= core + 2 * halo:
        return [(slice(0, dates), slice(0, dates))]
    spans = []
    for start in range(0, dates, core):
        first = int(np.clip(start - halo, 0, dates - core - 2 * halo))
        spans.append((slice(start, min(start + core, dates)), slice(first, first + core + 2 * halo)))
    return spans


def _cut_side(extent: int, step: int, reach: int, cyclic: bool = False) -> list[tuple[slice, slice]]:
    """Return the rows or columns of each block, without and with the margin."""
    if cyclic and step == extent:
        beyond = min(reach, extent // 2)
        return [(slice(0, extent), slice(-beyond, extent + beyond))]
    sides = []
    for start in range(0, extent, step):
        stop = min(start + step, extent)
        first, last = (start - reach) // _ALIGNED * _ALIGNED, stop + reach
        if not cyclic:
            first, last = max(first, 0), min(last, extent)
        sides.append((slice(start, stop), slice(first, last)))
    return sides
