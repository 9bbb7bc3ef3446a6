"""Grids that differ only in how they are written, brought to one order and one turn of longitude."""

from __future__ import annotations

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from ..errors import InputError
from .layout.coordinates import Layout
from .layout.positions import read_grid, unwrap_longitude

# Attributes of a longitude: its last column, a copy of the first, was left out; its columns were sorted by
# numbers, rising (1) or falling (-1), that begin anew inside the region.
CLOSED, SORTED = "_closed", "_sorted"

_CLOSE = 1e-4  # degrees between positions that count as equal; coordinates are often float32

Floats = NDArray[np.float64]


def straighten_longitude(dataset: xr.Dataset, layout: Layout) -> xr.Dataset:
    """Return the dataset with the columns in the order of their longitudes, each meridian once.

    A region across Greenwich or the date line whose longitudes were sorted within one turn is put together
    again, and `SORTED` set. Of a meridian that is both the first and the last column, the last is left out
    and `CLOSED` set. `restore_longitude` undoes both. Curvilinear grids, and longitudes in any other order,
    are returned as they are.
    """
    longitude = dataset[layout.lon]
    if layout.x in (layout.t, layout.y):  # along a track
        return dataset
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


def restore_longitude(dataset: xr.Dataset, longitude: xr.DataArray, x: str) -> xr.Dataset:
    """Return a filled dataset with the columns that the file had, by the attributes of its ``longitude``.

    The dimension is ``x``; what `straighten_longitude` left out or moved is repeated or moved back.
    """
    lon = str(longitude.name)
    if SORTED in longitude.attrs:
        dataset = dataset.isel({x: np.argsort(find_columns(longitude))})
    if CLOSED not in longitude.attrs:
        return dataset
    last = dataset.isel({x: slice(0, 1)})
    turn = 360 if float(longitude[1] - longitude[0]) > 0 else -360
    end = np.array([float(longitude[0]) + turn], longitude.dtype)
    last = last.assign_coords({lon: (last[lon].dims, end, last[lon].attrs)})
    whole = concatenate([dataset, last], x)
    for name in whole.variables:
        whole[name].encoding = dict(dataset[name].encoding)
    return whole


def find_columns(longitude: xr.DataArray) -> NDArray[np.int64]:
    """Return for each column (lon,) its place in the file, before `straighten_longitude`."""
    sign = longitude.attrs.get(SORTED)
    if sign is None:
        return np.arange(longitude.size)
    return np.argsort(np.argsort(sign * longitude.to_numpy()))


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
        f"{file}: its grid differs from that of {name} ({difference}); bring both to one grid with --like "
        "FILE or --grid STEP, or give files on one grid"
    )


def _is_close(one: Floats, other: Floats, turn: bool = False) -> bool:
    difference = np.abs(one - other)
    if turn:
        difference = np.minimum(difference % 360, -difference % 360)
    return bool(difference.max() < _CLOSE)
