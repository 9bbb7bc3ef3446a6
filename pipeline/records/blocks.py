"""A record cut into blocks that fit the memory: some dates of a part of the map, and what is seen around."""

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
_ALIGNED = 12  # cells: kriging works on squares of three, folded networks on squares of four


class Box(NamedTuple):
    """A part of a record."""

    dates: slice
    rows: slice
    columns: slice  # on a grid around the globe they may begin below zero and end beyond the last

    @property
    def shape(self) -> tuple[int, ...]:
        """Dates, rows, columns."""
        return tuple(part.stop - part.start for part in self)

    def within(self, other: Box) -> Box:
        """The same part, counted from where the ``other`` begins."""
        return Box(
            *(
                slice(part.start - whole.start, part.stop - whole.start)
                for part, whole in zip(self, other, strict=True)
            )
        )


class Block(NamedTuple):
    """What is filled at once, and what is seen for that."""

    core: Box
    seen: Box


def cut_blocks(
    shape: tuple[int, int, int],
    memory: float,
    bytes_a_value: float,
    reach: int = 0,
    *,
    cyclic: bool = False,
    whole_maps: bool = False,
) -> list[Block]:
    """The blocks of a record of ``shape`` (dates, rows, columns) for ``memory`` bytes.

    A block sees ``reach`` cells and 8 to 32 dates around it. Of all parts of a map that can be filled at once
    those are taken that make the least work, if they see 16 dates or as many as can be; with ``whole_maps``
    there is no choice. Blocks are whole chunks of the stores, so that no two write to one chunk. Raises
    `InputError` where the memory is too little.
    """
    dates, *extents = shape
    most = (memory - BASE) / bytes_a_value  # values
    steps = [
        [extent] if whole_maps else [min(size, extent) for size in range(CELLS, extent + CELLS, CELLS)]
        for extent in extents
    ]
    chosen, best, needed = None, (np.inf, np.inf), np.inf
    for down, across in product(*steps):
        rows = _sides(extents[0], down, reach)
        columns = _sides(extents[1], across, reach, cyclic)
        area = max(_length(seen) for _, seen in rows) * max(_length(seen) for _, seen in columns)
        spans = _spans(dates, int(most / area))
        largest = area * _length(spans[0][1])
        needed = min(needed, largest)
        work = prod(sum(_length(seen) for _, seen in parts) for parts in (spans, rows, columns))
        halo = _GOOD_HALO if len(spans) == 1 else (_length(spans[0][1]) - _length(spans[0][0])) // 2
        cost = (-min(halo, _GOOD_HALO), work)
        if largest <= most and cost < best:
            chosen, best = (spans, rows, columns), cost
    if chosen is None:
        enough = (BASE + needed * bytes_a_value) / 1e9
        raise InputError(
            f"{memory / 1e9:.3g} GB are too little to fill maps of {extents[0]} x {extents[1]} pixels"
            f"{' as a whole' * whole_maps}; give each worker {enough:.3g} GB by --memory"
            f"{', or choose a method that can be cut, as oi' * whole_maps}"
        )
    return [Block(*map(Box._make, zip(*parts, strict=True))) for parts in product(*chosen)]


def _length(part: slice) -> int:
    return part.stop - part.start


def _spans(dates: int, most: int) -> list[tuple[slice, slice]]:
    """The dates of each block, and those that it sees: where it can be not more than ``most``.

    At the ends of the record a block sees further inwards: its means are of as many dates as the others'.
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


def _sides(extent: int, step: int, reach: int, cyclic: bool = False) -> list[tuple[slice, slice]]:
    """The rows or columns of each block, and those that it sees."""
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
