"""A gridded variable whose maps are read date by date, and what lies around points on it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from ..errors import InputError
from ..io.alignment import straighten_grid
from ..io.layout.coordinates import Layout, find_layout
from ..io.layout.dates import days_since_first
from ..io.layout.positions import measure_cells, read_grid
from ..io.maps.selection import add_missing_date
from ..io.output import SOURCES
from ..io.reading import UNDATED
from .matchups import Matched
from .patterns import find_ages, find_distances
from .score_classes import Places

_OBSERVED = SOURCES.index("observed")

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class GridSeries:
    """A variable on (time, lat, lon) and its companions; the dataset may be lazy and larger than memory."""

    file: str
    dataset: xr.Dataset  # sorted by date, rows from south to north
    layout: Layout
    dates: pd.DatetimeIndex
    lat: Floats  # (y, x)
    lon: Floats

    @classmethod
    def open(cls, file: str, dataset: xr.Dataset, name: str | None) -> GridSeries:
        """Find the variable ``name``, or the only one, in a dataset.

        Raises `InputError` for a map without a date and for another calendar than the standard one.
        """
        dataset = add_missing_date(dataset, name)
        layout = find_layout(file, dataset, name)
        if layout.t == UNDATED:
            raise InputError(
                f"{file}: {layout.variable} has no date, so points cannot be paired with it; add a time"
            )
        dataset = straighten_grid(dataset.set_coords([layout.time, layout.lat, layout.lon]), layout)
        dataset = dataset if layout.t in dataset.dims else dataset.expand_dims(layout.t)
        dates = dataset[layout.time].to_index()
        if not isinstance(dates, pd.DatetimeIndex):
            raise InputError(
                f"{file}: points need the standard calendar, but the field uses "
                f"{getattr(dates, 'calendar', 'another')}; convert its dates"
            )
        order = np.argsort(dates.to_numpy(), kind="stable")
        dataset = dataset.isel({layout.t: order})
        return cls(file, dataset, layout, dates[order], *read_grid(file, dataset, layout))

    @property
    def name(self) -> str:
        """The name of the variable."""
        return self.layout.variable

    @property
    def attrs(self) -> Mapping[Any, Any]:
        """The attributes of the variable."""
        return self.dataset[self.name].attrs

    def read(self, name: str, date: int) -> NDArray[Any]:
        """Return the map (y, x) of a variable on a date, by its number."""
        array = self.dataset[name]
        array = array.isel({self.layout.t: date}) if self.layout.t in array.dims else array
        dims = self.layout.y, self.layout.x
        return array.squeeze([dim for dim in array.dims if dim not in dims]).transpose(*dims).to_numpy()

    def at(self, matched: Matched, name: str) -> Floats:
        """Return a variable in the cells around matched points (m, 2, 4)."""
        return matched.gather(lambda date: self.read(name, date))


def find_places(grid: GridSeries, matched: Matched, usable: NDArray[np.bool_]) -> Places:
    """Return how far points are from observed values, and from what the cells around them are made.

    ``usable`` (m, 2, 4) are the cells that have a value.
    """
    source = f"{grid.name}_source"
    cell, date = matched.nearest(usable), matched.date[:, 0]
    pixels, pixel = np.unique(cell, return_inverse=True)
    step = measure_cells(grid.lat, grid.lon)
    distance, seen = np.zeros(len(cell)), np.zeros((len(grid.dates), len(pixels)), bool)
    for number in range(len(grid.dates)):
        here = grid.read(source, number) == _OBSERVED
        seen[number] = here.ravel()[pixels]
        on = date == number
        if on.any():
            distance[on] = find_distances(here, step).ravel()[cell[on]]
    age = find_ages(seen, days_since_first(grid.dates))[date, pixel].astype(np.float64)
    counted = usable & (matched.weight > 0)[:, None] & (matched.share > 0)[:, :, None]
    observed = (grid.at(matched, source) == _OBSERVED) & counted
    whole, none = (observed == counted).all(axis=(1, 2)), ~observed.any(axis=(1, 2))
    origin = np.where(none, 2, np.where(whole, 0, 1)).astype(np.int64)
    lat, lon = grid.lat.ravel()[cell], grid.lon.ravel()[cell]
    return Places(pd.DatetimeIndex(matched.points.time), lat, lon, distance, age, origin)
