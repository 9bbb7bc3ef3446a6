"""Positions on the sphere: reading latitudes and longitudes of a grid, and vectors to them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from ...errors import InputError
from .coordinates import Layout

EARTH_RADIUS = 6371.0  # km
_MOST_CELLS = 2e9  # of a map: the whole Earth every 600 m


def unwrap_longitude(longitude: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return longitudes (y, x) without jumps of 360 degrees along x or down the first column."""
    unwrapped = np.unwrap(longitude, period=360, axis=1)
    first = np.unwrap(unwrapped[:, 0], period=360)
    return unwrapped + (first - unwrapped[:, 0])[:, None]


def read_grid(
    file: str, dataset: xr.Dataset, layout: Layout
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return latitude and longitude (y, x) in degrees, the longitude without a jump.

    Raises `InputError` for coordinates that are not numeric, in degrees, complete and monotonic.
    """
    shape = (dataset.sizes[layout.y], dataset.sizes[layout.x])
    if 0 in shape:
        raise InputError(f"{file}: the grid of {layout.variable} has the shape {shape}; give one with pixels")
    axes = []
    for name, dim in ((layout.lat, layout.y), (layout.lon, layout.x)):
        array = dataset[name].compute()
        if array.dtype.kind not in "iuf":
            raise InputError(f"{file}: the coordinate {name} is not numeric; write it in degrees")
        values = (
            array.transpose(*((layout.y, layout.x) if array.ndim == 2 else (dim,))).to_numpy().astype(float)
        )
        finite = np.isfinite(values)
        if values.ndim == 2 and finite.any() and not finite.all():
            from scipy.ndimage import distance_transform_edt  # a third of a second, for few files

            # Off the Earth's disk, where nothing is observed (`check_positions`): any position will do.
            nearest = distance_transform_edt(~finite, return_distances=False, return_indices=True)
            values = values[tuple(nearest)]
        elif not finite.all():
            count = np.count_nonzero(~finite)
            raise InputError(f"{file}: the coordinate {name} has {count} missing values; complete it")
        axes.append(values)
    lat, lon = axes
    if np.abs(lat).max() > 90.01 or np.abs(lon).max() > 720:
        name = layout.lat if np.abs(lat).max() > 90.01 else layout.lon
        raise InputError(
            f"{file}: the values of {name} are not in degrees; give latitude and longitude in degrees"
        )
    for name, values in ((layout.lat, lat), (layout.lon, lon)):
        if values.ndim == 2 and values.size > 1 and np.ptp(values) == 0 and 1 not in shape:
            raise InputError(
                f"{file}: all positions in {name} are {values.flat[0]:g}; give the file with its positions"
            )
    lon = unwrap_longitude(lon[None, :] if lon.ndim == 1 else lon)
    for name, values in (
        (layout.lat, lat),
        (layout.lon, lon[0] if dataset[layout.lon].ndim == 1 else lon[0, :0]),
    ):
        steps = np.diff(values) if values.ndim == 1 else np.zeros(0)
        if steps.size and not ((steps > 0).all() or (steps < 0).all()):
            raise InputError(f"{file}: the coordinate {name} is not monotonic; sort the grid along it")
    return (
        np.broadcast_to(lat[:, None] if lat.ndim == 1 else lat, shape),
        np.broadcast_to(lon, shape),
    )


def is_cyclic(lon: NDArray[np.float64]) -> bool:
    """Whether the first and the last column of ``lon`` (y, x) are neighbours."""
    step = np.median(np.abs(np.diff(lon, axis=1)))
    return bool(np.median(np.abs((lon[:, 0] - lon[:, -1] + 180) % 360 - 180)) < 2 * step)


def space_axes(
    spacing: ArrayLike, bounds: Sequence[float]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return latitudes (lat,) and longitudes (lon,) of cell centres every ``spacing`` degrees in the bounds.

    ``spacing`` is one number, or one each for latitude and longitude; the bounds are lat0, lat1, lon0, lon1.
    Raises `InputError` for a grid without two rows and two columns, and for one of too many cells.
    """
    down, across = (float(step) for step in np.broadcast_to(np.asarray(spacing, np.float64), 2))
    lat0, lat1, lon0, lon1 = bounds
    width = 360.0 if lon1 - lon0 >= 360 else (lon1 - lon0) % 360
    rows, columns = abs(lat1 - lat0) / down + 1, width / across + 1
    what = f"a grid of {down:g} x {across:g} degrees"
    where = f"within {', '.join(f'{bound:g}' for bound in bounds)}"
    if rows * columns > _MOST_CELLS:
        raise InputError(f"{what} has {rows * columns:.2g} cells {where}; give a larger grid=")
    lat = min(lat0, lat1) + down * np.arange(int(rows + 1e-6))
    lon = lon0 + across * np.arange(int(columns + 1e-6))
    lon = lon[lon < lon0 + 360 - across / 2]
    if len(lat) < 2 or len(lon) < 2:
        raise InputError(
            f"{what} has {len(lat)} rows and {len(lon)} columns {where}; give a smaller step or wider bounds"
        )
    return lat.astype(np.float64), lon.astype(np.float64)


def check_positions(file: str, dataset: xr.Dataset, layout: Layout, seen: NDArray[np.bool_]) -> None:
    """Raise `InputError` where a value is observed (``seen``, lat x lon) at a cell without a position."""
    for name in (layout.lat, layout.lon):
        array = dataset[name]
        if array.ndim == 2:
            lost = np.isnan(array.transpose(layout.y, layout.x).to_numpy()) & seen
            if lost.any():
                raise InputError(
                    f"{file}: {np.count_nonzero(lost)} values of {layout.variable} have no {name}; "
                    "complete it, or set them to missing"
                )


def unit_vectors(lat: ArrayLike, lon: ArrayLike) -> NDArray[np.float64]:
    """Return the unit vectors (..., 3) from the Earth's centre to positions in degrees."""
    y, x = np.radians(np.asarray(lat, np.float64)), np.radians(np.asarray(lon, np.float64))
    return np.stack([np.cos(y) * np.cos(x), np.cos(y) * np.sin(x), np.sin(y)], axis=-1)


def measure_cells(lat: NDArray[np.float64], lon: NDArray[np.float64]) -> tuple[float, float]:
    """Return the median distance in km between rows and between columns of a grid (y, x) in degrees."""
    point = EARTH_RADIUS * unit_vectors(lat, lon)
    rows, columns = (np.linalg.norm(np.diff(point, axis=axis), axis=-1) for axis in (0, 1))
    return float(np.median(rows)) if rows.size else 1.0, float(np.median(columns)) if columns.size else 1.0
