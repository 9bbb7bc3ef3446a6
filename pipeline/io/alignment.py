"""Grids that differ only in how they are written, brought to one order and one turn of longitude."""

from __future__ import annotations

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from ..errors import InputError
from .layout.coordinates import Layout
from .layout.positions import is_cyclic, read_grid, unwrap_longitude

# Attributes of a longitude: its last column, a copy of the first, was left out; its columns were sorted by
# numbers, rising (1) or falling (-1), that start again inside the region; its columns were turned by so many.
CLOSED, SORTED, TURNED = "_closed", "_sorted", "_turned"
FLIPPED = "_flipped"  # of a latitude or a longitude: its rows or columns were reversed
MARKS = (CLOSED, SORTED, TURNED, FLIPPED)

_CLOSE = 1e-4  # degrees between positions that count as equal; coordinates are often float32

Floats = NDArray[np.float64]


def straighten_grid(dataset: xr.Dataset, layout: Layout) -> xr.Dataset:
    """Return the dataset with rows from south to north and columns from west to east, each meridian once.

    So a result does not depend on how a file happens to be written. A region across Greenwich or the date
    line whose longitudes were sorted within one turn is put together again. Of a meridian that is both the
    first and the last column, the last is left out. `MARKS` in the attributes of the coordinates say what was
    done, and `restore_grid` undoes it. Longitudes in any other order are returned as they are.
    """
    if layout.x in (layout.t, layout.y):  # along a track
        return dataset
    dataset = _straighten_longitude(dataset, layout)
    for name, dim, turn in ((layout.lat, layout.y, False), (layout.lon, layout.x, True)):
        if _falls(dataset[name], dim, turn):
            dataset = dataset.isel({dim: slice(None, None, -1)})
            dataset = dataset.assign_coords({name: dataset[name].assign_attrs({FLIPPED: 1})})
    return dataset


def turn_globe(dataset: xr.Dataset, layout: Layout) -> xr.Dataset:
    """Return the dataset of a `straighten_grid` with the columns of a whole globe from the date line on."""
    longitude = dataset[layout.lon]
    if layout.x in (layout.t, layout.y):  # along a track
        return dataset
    if longitude.ndim != 1 or longitude.size < 4 or TURNED in longitude.attrs:
        return dataset
    lon = longitude.to_numpy().astype(np.float64)
    if not np.isfinite(lon).all() or not is_cyclic(unwrap_longitude(lon[None])):
        return dataset
    start = int(np.argmin((lon + 180 + _CLOSE) % 360))
    if start == 0:
        return dataset
    turned = dataset.isel({layout.x: np.roll(np.arange(lon.size), -start)})
    return turned.assign_coords({layout.lon: turned[layout.lon].assign_attrs({TURNED: start})})


def _falls(coordinate: xr.DataArray, dim: str, turn: bool) -> bool:
    """Whether most positions fall along a dimension; longitudes may ``turn``."""
    if coordinate.dtype.kind not in "iuf" or dim not in coordinate.dims:
        return False
    steps = np.diff(coordinate.to_numpy().astype(np.float64), axis=coordinate.dims.index(dim))
    if turn:
        steps = (steps + 180) % 360 - 180
    steps = steps[np.isfinite(steps)]
    return bool(steps.size and np.median(steps) < 0)


def _straighten_longitude(dataset: xr.Dataset, layout: Layout) -> xr.Dataset:
    longitude = dataset[layout.lon]
    if longitude.ndim != 1 or longitude.dtype.kind not in "iuf" or longitude.size < 3:
        return dataset
    lon = longitude.to_numpy().astype(np.float64)
    if not np.isfinite(lon).all():
        return dataset
    steps = np.diff(unwrap_longitude(lon[None])[0])
    if not ((steps > 0).all() or (steps < 0).all()):
        # The widest step is the gap outside the region; the columns after it come first.
        start = int(np.argmax(np.abs(np.diff(lon)))) + 1
        rolled = np.roll(np.arange(lon.size), -start)
        steps = np.diff(unwrap_longitude(lon[None, rolled])[0])
        if not ((steps > 0).all() or (steps < 0).all()):
            return dataset
        sign = 1 if np.median(np.diff(lon)) > 0 else -1
        dataset = dataset.isel({layout.x: rolled})
        dataset = dataset.assign_coords({layout.lon: dataset[layout.lon].assign_attrs({SORTED: sign})})
    if abs(abs(steps.sum()) - 360) < min(_CLOSE, np.abs(steps).min() / 10) and lon.size > 3:
        dataset = dataset.isel({layout.x: slice(0, -1)})
        dataset = dataset.assign_coords({layout.lon: dataset[layout.lon].assign_attrs({CLOSED: 1})})
    return dataset


def restore_grid(dataset: xr.Dataset, source: xr.Dataset | xr.DataArray, layout: Layout) -> xr.Dataset:
    """Return a dataset on the straightened grid of the ``source`` with the rows and columns of the file."""
    latitude, longitude = source[layout.lat], source[layout.lon]
    for dim, places in ((layout.y, find_rows(latitude, layout)), (layout.x, find_columns(longitude, layout))):
        if not (np.diff(places) == 1).all():
            dataset = dataset.isel({dim: np.argsort(places)})
    if CLOSED not in longitude.attrs:
        return dataset
    lon, x = layout.lon, layout.x
    last, written = dataset.isel({x: slice(0, 1)}), dataset[lon].to_numpy()
    turn = 360 if float(written[1] - written[0]) > 0 else -360
    end = np.array([float(written[0]) + turn], written.dtype)
    last = last.assign_coords({lon: (last[lon].dims, end, last[lon].attrs)})
    whole = concatenate([dataset, last], x)
    for name in whole.variables:
        whole[name].encoding = dict(dataset[name].encoding)
    return whole


def is_moved(source: xr.Dataset | xr.DataArray, layout: Layout) -> bool:
    """Whether the rows or columns of a source are not those of its file."""
    return any(mark in source[name].attrs for name in (layout.lat, layout.lon) for mark in MARKS)


def find_rows(latitude: xr.DataArray, layout: Layout) -> NDArray[np.int64]:
    """Return for each row (lat,) its place in the file, before `straighten_grid`."""
    rows = np.arange(latitude.sizes[layout.y])
    return rows[::-1] if FLIPPED in latitude.attrs else rows


def find_columns(longitude: xr.DataArray, layout: Layout) -> NDArray[np.int64]:
    """Return for each column (lon,) its place in the file, before `straighten_grid`."""
    sign = longitude.attrs.get(SORTED)
    if sign is not None:
        return np.argsort(np.argsort(sign * longitude.to_numpy()))
    columns = np.arange(longitude.sizes[layout.x])
    if FLIPPED in longitude.attrs:
        columns = columns[::-1]
    return np.roll(columns, -int(longitude.attrs.get(TURNED, 0)))


def concatenate(datasets: list[xr.Dataset], dim: str) -> xr.Dataset:
    """Join datasets along a dimension; what does not have it is that of the first."""
    return xr.concat(
        datasets,
        dim=dim,
        data_vars="minimal",
        coords="minimal",
        compat="override",
        join="override",
        combine_attrs="override",
    )


def read_axes(file: str, dataset: xr.Dataset, layout: Layout) -> tuple[Floats, Floats]:
    """Return latitude (lat,) and longitude (lon,), or both (lat, lon) where the grid is curvilinear.

    Raises `InputError` as `read_grid`.
    """
    lat, lon = read_grid(file, dataset, layout)
    flat = dataset[layout.lat].ndim == dataset[layout.lon].ndim == 1
    if flat or (_is_close(lat, lat[:, :1]) and _is_close(lon, lon[:1])):
        return lat[:, 0], lon[0]
    return lat, lon


def match_grids(
    lat: Floats, lon: Floats, other_lat: Floats, other_lon: Floats
) -> tuple[NDArray[np.int64], NDArray[np.int64]] | None:
    """Return the rows and columns of the other grid that are those of the first, or None.

    All are from `read_axes`. A grid may be upside down, mirrored, or turned by 360 degrees; a global one may
    begin at another meridian.
    """
    if lat.shape != other_lat.shape or lon.shape != other_lon.shape:
        return None
    rows, columns = np.arange(lat.shape[0]), np.arange(lon.shape[-1])
    if _is_close(other_lat, lat) and _is_close(other_lon, lon, turn=True):
        return rows, columns
    if lat.ndim == 2:
        return None
    rows = rows if _is_close(other_lat, lat) else rows[::-1]
    if not _is_close(other_lat[rows], lat):
        return None
    start = int(np.argmin(np.abs((other_lon - lon[0] + 180) % 360 - 180)))
    for order in (np.roll(columns, -start), np.roll(columns[::-1], start + 1)):
        if _is_close(other_lon[order], lon, turn=True):
            return rows, order
    return None


def align(file: str, dataset: xr.Dataset, reference: xr.Dataset, layout: Layout, name: str) -> xr.Dataset:
    """Return the dataset on the grid of the ``reference``, which is that of the file ``name``.

    Raises `InputError` where the grids differ in more than the order of rows and columns or the turn of the
    longitudes.
    """
    names = layout.lat, layout.lon
    if all(dataset[key].variable.equals(reference[key].variable) for key in names):
        return dataset
    axes, own = read_axes(name, reference, layout), read_axes(file, dataset, layout)
    found = match_grids(*axes, *own)
    if found is None:
        shape, other = ((one[0].shape[0], one[1].shape[-1]) for one in (axes, own))
        difference = "positions" if shape == other else f"shape {other} instead of {shape}"
        raise InputError(explain_difference(file, name, difference))
    if not all((np.diff(part) == 1).all() for part in found):
        dataset = dataset.isel(dict(zip((layout.y, layout.x), found, strict=True)))
    return dataset.assign_coords({key: reference[key].variable for key in names})


def explain_difference(file: str, name: str, difference: str) -> str:
    """Return the sentence that refuses a file with another grid than that of the file ``name``."""
    return (
        f"{file}: its grid differs from that of {name} ({difference}); bring both to one grid with like=FILE "
        "or grid=STEP, or give files on one grid"
    )


def _is_close(one: Floats, other: Floats, turn: bool = False) -> bool:
    difference = np.abs(one - other)
    if turn:
        difference = np.minimum(difference % 360, -difference % 360)
    return bool(difference.max() < _CLOSE)
