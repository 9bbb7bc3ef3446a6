"""Fields that go with a product, such as sea ice, brought to its grid."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray
from scipy.interpolate import RegularGridInterpolator
from scipy.spatial import cKDTree

from ..derived.maps import FilledMaps, find_factor
from ..errors import InputError
from ..io.alignment import straighten_grid
from ..io.layout.coordinates import find_layout, find_map
from ..io.layout.dates import format_date
from ..io.layout.positions import is_cyclic, read_grid, unit_vectors
from ..io.reading import list_inputs, open_input
from ..io.variables import match_dates

_FAR = 1.5  # cells of the other grid, beyond which it has no value

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Given:
    """A field on a grid of its own."""

    file: str
    name: str
    values: Floats  # (time, y, x), one date for a map that has none
    dates: pd.Index | None
    lat: Floats  # (y, x)
    lon: Floats
    regular: bool  # whether rows and columns are latitudes and longitudes

    def regrid(self, maps: FilledMaps, date: pd.Timestamp) -> Floats:
        """Return the field (y, x) of the day of a date on the grid of the maps, NaN where it has no value.

        Between the cells of a regular grid it is interpolated linearly, and has the nearest value next to a
        missing one; of another grid it has the nearest value. Raises `InputError` where the day is missing.
        """
        number = 0
        if self.dates is not None and len(self.dates) > 1:
            number = int(match_dates(self.dates, pd.DatetimeIndex([date]))[0])
            if number < 0:
                raise InputError(
                    f"{self.file}: {self.name} has no date {format_date(date)}; give a file with those of "
                    f"{maps.file}"
                )
        values = self.values[number]
        return self._interpolate(maps, values) if self.regular else self._find_nearest(maps, values)

    def _find_nearest(self, maps: FilledMaps, values: Floats) -> Floats:
        seen = np.isfinite(values)
        if not seen.any():
            return np.full(maps.shape, np.nan)
        have = unit_vectors(self.lat[seen], self.lon[seen])
        rows, columns = np.meshgrid(maps.lat, maps.lon, indexing="ij")
        distance, index = cKDTree(have).query(unit_vectors(rows.ravel(), columns.ravel()))
        every = unit_vectors(self.lat, self.lon)
        steps = [np.linalg.norm(np.diff(every, axis=axis), axis=-1) for axis in (0, 1)]
        cell = max(float(np.nanmedian(step)) for step in steps if step.size)
        return np.where(distance <= _FAR * cell, values[seen][index], np.nan).reshape(maps.shape)

    def _interpolate(self, maps: FilledMaps, values: Floats) -> Floats:
        lon, nearest = self.lon[0], self._find_nearest(maps, values)
        if lon.size > 3 and is_cyclic(self.lon):
            lon = np.concatenate([lon, lon[:1] + 360])
            values = np.concatenate([values, values[:, :1]], axis=1)
        grid = RegularGridInterpolator((self.lat[:, 0], lon), values, bounds_error=False)
        rows, columns = np.meshgrid(maps.lat, lon[0] + np.mod(maps.lon - lon[0], 360), indexing="ij")
        found = grid((rows, columns))
        return np.where(np.isfinite(found), found, nearest)


def open_given(
    source: Any, names: tuple[str, ...], units: tuple[str, str], *, default: str | None = None
) -> Given:
    """Read a field from a file or dataset, in the first of the ``units`` (and what they are of).

    It is the first of the variables ``names``, or the only field. A variable without units has the
    ``default`` ones. Raises `InputError` for what cannot be read or converted.
    """
    entries = list_inputs(source)
    if len(entries) > 1:
        raise InputError(f"{entries[1]}: one file of {units[1]} is enough; join the others into it")
    with open_input(entries[0]) as (file, dataset):
        name = next((one for one in names if one in dataset.data_vars), None)
        layout = find_map(file, dataset, name) if name is not None else find_layout(file, dataset)
        name = layout.variable
        dataset = straighten_grid(dataset, layout)
        lat, lon = read_grid(file, dataset, layout)
        array = dataset[name]
        extra = [dim for dim in array.dims if dim not in (layout.y, layout.x)]
        long = [dim for dim in extra if array.sizes[dim] > 1]
        if len(long) > 1:
            raise InputError(f"{file}: {name} has the dimensions {', '.join(map(str, long))}; give one level")
        array = array.squeeze([dim for dim in extra if dim not in long], drop=True)
        dates = _read_dates(file, dataset, array, long)
        values = array.transpose(*long, layout.y, layout.x).to_numpy().astype(np.float64)
        scale, offset = find_factor(file, name, str(array.attrs.get("units") or default or ""), units)
        regular = dataset[layout.lat].ndim == 1
        return Given(file, name, values.reshape(-1, *lat.shape) * scale + offset, dates, lat, lon, regular)


def _read_dates(file: str, dataset: xr.Dataset, array: xr.DataArray, long: list[Any]) -> pd.Index | None:
    if not long:
        return None
    index = dataset[long[0]].to_index() if long[0] in dataset.variables else None
    if not isinstance(index, pd.DatetimeIndex):
        raise InputError(
            f"{file}: the dimension {long[0]} of {array.name} has no dates; give one map or dates"
        )
    return index
