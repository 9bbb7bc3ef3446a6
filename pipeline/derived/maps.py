"""A filled file as arrays on a grid of latitudes and longitudes, and datasets on the same grid."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from ..errors import InputError
from ..io.alignment import restore_grid, straighten_grid
from ..io.layout.coordinates import Layout, find_layout, list_names
from ..io.layout.dates import days_since_first
from ..io.layout.positions import is_cyclic, read_grid
from ..io.maps.selection import add_missing_date, drop_missing_date
from ..io.output import describe_time_coverage, is_filled
from ..io.providers.units import find_conversion
from ..io.reading import UNDATED, check_file, find_sample, open_input

Floats = NDArray[np.floating]

# Attributes of a filled file that describe its scores and its making, not what is made from it.
_OF_THE_FILL = ("score_classes", "candidate_scores", "learning_curve")


@dataclass(frozen=True)
class FilledMaps:
    """A variable of a filled file; rows run from south to north, columns from west to east."""

    file: str
    dataset: xr.Dataset  # lazy, straightened
    name: str
    layout: Layout
    lat: NDArray[np.float64]  # (y,) degrees north
    lon: NDArray[np.float64]  # (x,) degrees east, without a jump

    @property
    def attrs(self) -> Mapping[Any, Any]:
        """The attributes of the variable."""
        return self.dataset[self.name].attrs

    @property
    def units(self) -> str:
        """The units of the variable."""
        return str(self.attrs.get("units", ""))

    @property
    def dims(self) -> tuple[str, str, str]:
        """The dimensions: time, latitude, longitude."""
        return self.layout.t, self.layout.y, self.layout.x

    @property
    def dates(self) -> pd.Index:
        """The dates (time,). Raises `InputError` for a map without one."""
        if self.layout.t == UNDATED:
            raise InputError(f"{self.file}: its map has no date; add a time to it")
        return self.dataset[self.layout.time].to_index()

    @property
    def shape(self) -> tuple[int, int]:
        """The number of rows and columns."""
        return self.lat.size, self.lon.size

    @property
    def cyclic(self) -> bool:
        """Whether the first and the last column are neighbours."""
        return self.lon.size > 3 and is_cyclic(self.lon[None])

    @property
    def n_samples(self) -> int:
        """The number of posterior draws, 0 without any."""
        return int(self.dataset.sizes["sample"]) if f"{self.name}_samples" in self.dataset else 0

    def read(self, part: str = "", dates: slice = slice(None)) -> Floats:
        """Read a part (time, y, x) of the fill: "" (the values), "analysis", "error" or "source"."""
        array = self.dataset[f"{self.name}_{part}" if part else self.name]
        values: Floats = array.transpose(*self.dims).isel({self.layout.t: dates}).to_numpy()
        return values

    def read_samples(self, date: int) -> Floats:
        """Read the draws (sample, y, x) of a date."""
        array = self.dataset[f"{self.name}_samples"].transpose("sample", *self.dims)
        values: Floats = array.isel({self.layout.t: date}).to_numpy()
        return values

    def read_sample(self, number: int) -> Floats:
        """Read a draw (time, y, x)."""
        array = self.dataset[f"{self.name}_samples"].isel(sample=number)
        values: Floats = array.transpose(*self.dims).to_numpy()
        return values

    def list_filled(self) -> list[FilledMaps]:
        """Return the maps of all filled variables of the file."""
        names = [str(name) for name in self.dataset.data_vars if is_filled(self.dataset, str(name))]
        return [replace(self, name=name) for name in names]

    def find_sea(self) -> NDArray[np.bool_]:
        """Return the cells (y, x) with an analysis."""
        sea = np.zeros((self.lat.size, self.lon.size), bool)
        for date in range(self.dataset.sizes[self.layout.t]):
            sea |= np.isfinite(self.read("analysis", slice(date, date + 1))[0])
        return sea

    def find_factor(self, units: str, quantity: str, offset: bool = False) -> tuple[float, float]:
        """Return scale and offset from the variable's units to others.

        Raises `InputError` where there is no conversion; ``quantity`` says what was expected instead.
        """
        return find_factor(self.file, self.name, self.units, (units, quantity), offset=offset)


def find_factor(
    file: str, name: str, units: str, wanted: tuple[str, str], *, offset: bool = False
) -> tuple[float, float]:
    """Return scale and offset from the units of a variable to those ``wanted`` of a quantity.

    Raises `InputError` where there is no conversion, or one with an offset that is not allowed.
    """
    found = find_conversion(units, wanted[0]) if units else None
    if found is None or (found[1] and not offset):
        given = f"is in {units}" if units else "has no units"
        raise InputError(
            f"{file}: {name} {given}, not in units of {wanted[1]} such as {wanted[0]}; choose a variable of "
            "this kind with variable="
        )
    return found


@contextmanager
def open_filled(
    source: str | os.PathLike[str] | xr.Dataset, variable: str | None = None
) -> Iterator[FilledMaps]:
    """Yield the maps of a filled variable, by default the first, and close the file.

    Raises `InputError` for what `fill` did not write, and for a curvilinear grid.
    """
    entry = source if isinstance(source, xr.Dataset) else find_sample(source)
    if isinstance(entry, str):
        check_file(entry, folder=True)
    with open_input(entry) as (file, dataset):
        filled = [str(name) for name in dataset.data_vars if is_filled(dataset, str(name))]
        if not filled:
            raise InputError(f"{file}: it is not a field that `oceanfill fill` wrote; fill it first")
        if variable is not None and variable not in filled:
            raise InputError(
                f"{file}: there is no filled variable {variable!r}; choose among {list_names(filled)}"
            )
        name = variable or filled[0]
        dataset = add_missing_date(dataset)
        layout = find_layout(file, dataset, name)
        if dataset[layout.lat].ndim != 1 or dataset[layout.lon].ndim != 1:
            raise InputError(f"{file}: its grid is curvilinear; fill it on latitudes and longitudes (grid=)")
        dataset = straighten_grid(dataset, layout)
        lat, lon = read_grid(file, dataset, layout)
        if min(lat.shape) < 2:
            raise InputError(
                f"{file}: a grid of {lat.shape[0]} x {lat.shape[1]} cells is too small; give a map"
            )
        yield FilledMaps(file, dataset, name, layout, lat[:, 0], lon[0])


def describe_variable(long_name: str, units: str, standard_name: str = "", **more: Any) -> dict[str, Any]:
    """Return the attributes of a derived variable."""
    attrs: dict[str, Any] = {"long_name": long_name, "units": units}
    attrs |= {"standard_name": standard_name} if standard_name else {}
    return attrs | {"coverage_content_type": "modelResult"} | more


def find_difference_units(maps: FilledMaps) -> dict[str, str]:
    """Return the attributes that mark differences of temperatures (CF 1.11, section 3.1.2)."""
    kelvin = find_conversion(maps.units, "kelvin") if maps.units else None
    return {} if kelvin is None else {"units_metadata": "temperature: difference"}


def make_dataset(
    maps: FilledMaps, parts: Mapping[str, tuple[Any, ...]], title: str, attributes: Mapping[str, Any]
) -> xr.Dataset:
    """Return a dataset of ``parts`` (dimensions, values, attributes) on the grid of the file.

    ``attributes`` are global ones that override those of the filled file.
    """
    layout = maps.layout
    used = {str(dim) for part in parts.values() for dim in np.atleast_1d(part[0])}
    axes = ((layout.t, layout.time), (layout.y, layout.lat), (layout.x, layout.lon))
    made = xr.Dataset(coords={name: maps.dataset[name] for dim, name in axes if dim in used})
    for name, part in parts.items():
        made[name] = xr.Variable(*part)
    dims = [str(dim) for dim in maps.dataset[maps.name].dims if dim in used]
    for held, array in made.data_vars.items():
        if set(dims) <= set(array.dims):
            made[held] = array.transpose(..., *dims)
    if {layout.y, layout.x} <= used:
        made = restore_grid(made, maps.dataset[maps.name], layout)
    for array in made.data_vars.values():
        integer = array.dtype.kind in "iu"
        array.encoding = {"zlib": True, "complevel": 4, "shuffle": True}
        array.encoding |= (
            {} if array.dtype.kind == "M" else {"_FillValue": None if integer else np.float32(np.nan)}
        )
    for array in made.coords.values():
        array.encoding = {"_FillValue": None} | {
            key: array.encoding[key] for key in ("units", "calendar", "dtype") if key in array.encoding
        }
        for mark in [key for key in array.attrs if str(key).startswith("_")]:
            del array.attrs[mark]
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    given = maps.dataset.attrs
    kept = {key: value for key, value in given.items() if key not in _OF_THE_FILL}
    kept |= {
        "Conventions": "CF-1.11, ACDD-1.3",
        "title": title,
        "summary": f"{title}. Made from {Path(maps.file).name}: {given.get('summary', maps.name)}",
        "date_created": now,
        "history": f"{given.get('history', '')}\n{now}: oceanfill {version('oceanfill')}".strip(),
    }
    if layout.t in used and layout.t != UNDATED:
        kept |= describe_time_coverage(made[layout.time].values, days_since_first(maps.dates))
    made.attrs = kept | dict(attributes)
    return drop_missing_date(made)
