"""The dates of one chunk of a prepared store: planned, read from their files and merged."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from ..errors import InputError
from ..io.field import add_up_treatment
from ..io.layout.coordinates import Layout, find_layout
from ..io.maps.merging import combine_parts, merge_maps
from ..io.maps.regridding import regrid_part
from ..io.maps.selection import open_maps
from ..io.opening import Opening
from ..io.providers.missing import Extent
from ..io.reading import (
    Part,
    convert_part,
    drop_values,
    measure_extent,
    read_part,
)
from ..io.seamask import find_mask, sea_from_mask
from ..io.storage import Storage, find_storage, needs_double

Piece = tuple[str, int]  # a file and the position of a date in it
# What was done to the values, how many were lost, by reason, and the outermost ones that are left.
Notes = tuple[list[str], Counter[str], Extent]


@dataclass(frozen=True)
class PlannedChunk:
    """The dates of a chunk of the store, and the maps of each."""

    dates: pd.Index
    maps: tuple[tuple[Piece, ...], ...]


@dataclass(frozen=True)
class Chunk:
    """The dates of a chunk in memory, in order."""

    file: str
    data: xr.Dataset
    layout: Layout
    mask: str | None
    reference: Part  # without dates; its grid is that of the store
    stored: list[str]  # names of the variables that the store holds
    notes: Notes  # what was done to the values

    @property
    def storage(self) -> Storage:
        """How the input stores the variable."""
        return find_storage(self.data[self.layout.variable])

    def type_of(self, name: str) -> type:
        """Return the type in which the store holds a variable."""
        return np.float64 if name == self.layout.variable and needs_double(self.storage) else np.float32

    def read_sea(self) -> tuple[NDArray[np.bool_], str]:
        """Return the sea (lat, lon) on any of the dates, and how the mask was read; none without a mask."""
        if self.mask is None:
            return np.zeros([self.data.sizes[dim] for dim in (self.layout.y, self.layout.x)], bool), ""
        return sea_from_mask(self.file, self.data[self.mask], self.layout)

    @property
    def mask_varies(self) -> bool:
        """Whether each date has a mask of its own."""
        return self.mask is not None and self.layout.t in self.data[self.mask].dims


def read_chunk(
    planned: PlannedChunk,
    opening: Opening,
    units: tuple[str, str],
    skip_bad: bool,
    undeclared: Sequence[float] = (),
    reference: Part | None = None,
) -> tuple[Chunk | None, dict[str, str]]:
    """Read the maps of a chunk, merge them, and return what is wrong with files that were left out.

    ``units`` are the path and the units of the first file, ``undeclared`` are missing values. The grid is
    that of the ``reference``, or of the first part.
    """
    numbers: dict[str, list[int]] = {}
    for path, number in (piece for found in planned.maps for piece in found):
        numbers.setdefault(path, []).append(number)
    parts, extents, bad = [], [], {}
    layout, mask = None, None
    for path, chosen in numbers.items():
        try:
            with open_maps(path, opening) as (file, dataset):
                if layout is None:
                    layout = find_layout(file, dataset, opening.variable, others=opening.names)
                    mask = find_mask(file, dataset, layout, opening.mask_variable)
                others = [name for name in (mask, opening.error_variable) if name is not None]
                # Slices are read several times as fast as lists of numbers.
                low, high = min(chosen), max(chosen) + 1
                wanted = slice(low, high) if len(chosen) == high - low else sorted(chosen)
                cut = dataset.isel({layout.t: wanted}, missing_dims="ignore")
                part = read_part(file, cut, layout, others, replace(opening, period=None))
            error = opening.error_variable
            if error is not None and part.data[error].dtype.kind not in "iuf":
                raise InputError(f"{path}: the error variable {error} does not hold numbers; choose another")
            part = drop_values(part, layout.variable, undeclared)
            extent = measure_extent([part], layout.variable)
            part = convert_part(part, layout.variable, units[1], units[0], error)
            part = regrid_part(part, layout, mask, opening)
        except InputError as reason:
            if not skip_bad:
                raise
            bad[path] = str(reason)
        else:
            parts.append(part)
            extents.append(extent)
    if layout is None or not parts:
        return None, bad
    stored = [name for name in (layout.variable, opening.error_variable) if name is not None]
    held = [
        (path, number) for path, chosen in numbers.items() if path not in bad for number in sorted(chosen)
    ]
    position = {piece: place for place, piece in enumerate(held)}
    maps = [[position[piece] for piece in found if piece in position] for found in planned.maps]
    file = parts[0].file
    reference = reference or replace(parts[0], data=parts[0].data.isel({layout.t: slice(0, 0)}))
    together = combine_parts(parts, layout, mask, reference)
    data = merge_maps(file, together, planned.dates, maps, layout, mask, opening)
    notes = *add_up_treatment(parts), sum(extents[1:], extents[0])
    return Chunk(file, data, layout, mask, reference, stored, notes), bad
