"""Bringing fields to another grid with xarray-regrid: averages over its cells, or bilinear interpolation."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from ...errors import InputError
from ..alignment import MARKS, match_grids, read_axes, straighten_grid
from ..layout.coordinates import Layout, find_map
from ..layout.positions import is_cyclic, space_axes
from ..opening import Opening, Region
from ..reading import Part, list_inputs, open_input
from ..seamask import sea_of_dates

_COARSER = 1.8  # ratio of steps from which cells are averaged
_ENOUGH = 0.5 - 1e-6  # least share of a new cell that must be observed, or sea
_AT_ONCE = 2e7  # values that are regridded at once
_NEAR = 1e-4  # degrees
_MARGIN = 2  # cells that are read around the new grid

Floats = NDArray[np.float64]


def fix_grid(file: str, dataset: xr.Dataset, layout: Layout, opening: Opening) -> Opening:
    """Return the opening with the extent of the new grid, and the region of the input that it needs.

    Without ``bounds`` the new cells cover the extent of this dataset within the region, so the first file of
    several decides for all. An opening that asks for no other grid is returned as it is. Raises `InputError`
    for a curvilinear input, and a grid without two rows and two columns.
    """
    if opening.grid is None and opening.like is None:
        return opening
    grid = dataset[[layout.lat, layout.lon]].set_coords([layout.lat, layout.lon])
    lat, lon = read_axes(file, straighten_grid(grid, layout), layout)
    if lat.ndim == 2:
        raise InputError(
            f"{file}: its grid is curvilinear, and only grids of latitudes and longitudes are regridded; "
            "leave out grid= and like=, or regrid it first"
        )
    if opening.region is not None:
        lat, lon = _cut(lat, lon, opening.region)
    if opening.grid is not None and opening.bounds is None:
        down, across = np.broadcast_to(np.asarray(opening.grid, np.float64), 2)
        south, north = _find_ends(lat, float(down))
        west, east = _find_ends(lon, float(across))
        if is_cyclic(lon[None]):
            east = west + 360 - across
        opening = replace(opening, bounds=(south, north, west, east))
    new_lat, new_lon = find_axes(opening)
    if opening.region is not None:
        return opening
    margin_lat, margin_lon = (_MARGIN * max(_find_step(part), 1e-3) for part in (lat, lon))
    west, east = float(new_lon.min()) - margin_lon, float(new_lon.max()) + margin_lon
    if east - west >= 360 - margin_lon:
        west, east = -180.0, 180.0
    south, north = float(new_lat.min()) - margin_lat, float(new_lat.max()) + margin_lat
    return replace(opening, region=(max(south, -90.0), min(north, 90.0), west, east))


def find_axes(opening: Opening) -> tuple[Floats, Floats]:
    """Return the latitudes (lat,) and longitudes (lon,) of the new grid, degrees.

    Raises `InputError` for a grid without two rows and two columns, and a curvilinear one.
    """
    if opening.like is not None:
        return _read_like(opening.like)[:2]
    assert opening.grid is not None
    assert opening.bounds is not None
    return space_axes(opening.grid, opening.bounds)


def regrid_part(part: Part, layout: Layout, mask: str | None, opening: Opening) -> Part:
    """Return the part on the grid of a fixed ``opening``, unchanged where that asks for none.

    Cells that are wider than those of the input by a factor of about two or more get the mean of what is
    observed in them, weighted by area; others are interpolated linearly. Either needs half of the
    weight to be observed. Errors are the root of the mean of their squares: neighbouring observation errors
    are not independent. A cell is sea where half of it is, according to the ``mask``. Raises `InputError` for
    a curvilinear input.
    """
    if opening.grid is None and opening.like is None:
        return part
    lat, lon = read_axes(part.file, part.data, layout)
    if lat.ndim == 2:
        fix_grid(part.file, part.data, layout, opening)
    new_lat, new_lon = find_axes(opening)
    coordinates = _make_coordinates(part.data, layout, opening, new_lat, new_lon)
    same = match_grids(new_lat, new_lon, lat, lon)
    if same is not None:
        data = part.data.isel({layout.y: same[0], layout.x: same[1]})
        return replace(part, data=data.drop_vars([layout.lat, layout.lon]).assign_coords(coordinates))
    averaged = any(
        _find_step(new) > _COARSER * _find_step(old) for new, old in ((new_lat, lat), (new_lon, lon))
    )
    regrid = _Regridder(lat, lon, new_lat, new_lon, averaged)
    made = xr.Dataset(attrs=part.data.attrs)
    for name, array in part.data.data_vars.items():
        key = str(name)
        if not {layout.y, layout.x} <= set(array.dims):
            if not {layout.y, layout.x} & set(array.dims):
                made[key] = array.variable
            continue
        dims = (*(dim for dim in array.dims if dim not in (layout.y, layout.x)), layout.y, layout.x)
        if key == mask:
            dated = array if layout.t in array.dims else array.expand_dims(layout.t)
            sea = sea_of_dates(part.file, dated, layout)
            share = regrid(sea.astype(np.float64)) >= _ENOUGH
            attrs: dict[str, Any] = {"flag_values": np.array([0, 1], np.int8), "flag_meanings": "land sea"}
            values = share.astype(np.int8)
            made[key] = xr.Variable(dims, values if layout.t in dims else values[0], attrs)
        elif array.dtype.kind in "iuf":
            old = array.transpose(*dims).to_numpy()
            squared = key != layout.variable
            new = regrid.average(old.reshape(-1, *old.shape[-2:]).astype(np.float64) ** (1 + squared))
            new = np.sqrt(new) if squared else new
            kind = np.result_type(old.dtype, np.float32)
            shaped = new.reshape(*old.shape[:-2], *new.shape[-2:]).astype(kind)
            made[key] = xr.Variable(dims, shaped, array.attrs).transpose(*array.dims)
    kept = {
        name: coordinate.variable
        for name, coordinate in part.data.coords.items()
        if not {layout.y, layout.x} & set(coordinate.dims)
    }
    how = "averaged over" if averaged else "interpolated to"
    text = f"{len(lat)} x {len(lon)} cells {how} a grid of {len(new_lat)} x {len(new_lon)}"
    return replace(part, data=made.assign_coords(kept | coordinates), treatment=(*part.treatment, text))


class _Regridder:
    """Weights from one grid to another, of averages or of linear interpolation, for maps without gaps."""

    def __init__(self, lat: Floats, lon: Floats, new_lat: Floats, new_lon: Floats, averaged: bool) -> None:
        """Add a margin, without which the library leaves out new cells beyond the outermost centres.

        It is a cell of zeros around averages, and the outer half of the outermost cells around interpolation.
        """
        import xarray_regrid  # noqa: F401  (slow to import; registers the .regrid accessor)

        self.averaged = averaged
        steps = _find_step(lat), _find_step(lon)
        around = np.ptp(lon) + 3 * steps[1] >= 360
        outward = np.sign(lat[0] - lat[-1]) * steps[0]
        within = abs(lat[0] + outward) < 90, abs(lat[-1] - outward) < 90
        self.pads = [int(wanted) for wanted in (*within, not around, not around)]
        turn = 360 * np.round((new_lon.min() + new_lon.max() - lon.min() - lon.max()) / 720)
        width = 1.0 if averaged else 0.5
        self.lat = _extend(lat, width, *self.pads[:2])
        self.lon = _extend(lon, width, *self.pads[2:]) + turn
        self.target = xr.Dataset(coords={"latitude": new_lat, "longitude": new_lon})

    def __call__(self, maps: Floats) -> Floats:
        """Return the maps (n, lat, lon) on the new grid, zero outside the old one."""
        shape = self.target.sizes["latitude"], self.target.sizes["longitude"]
        made = np.zeros((len(maps), *shape))
        number = max(1, int(_AT_ONCE / max(maps.shape[1] * maps.shape[2], shape[0] * shape[1])))
        for start in range(0, len(maps), number):
            made[start : start + number] = self._apply(maps[start : start + number])
        return made

    def average(self, maps: Floats) -> Floats:
        """Return the mean of what is known of maps (n, lat, lon), NaN where that is less than half."""
        known = np.isfinite(maps)
        share = self(known.astype(np.float64))
        enough = share >= _ENOUGH
        return np.where(enough, self(np.where(known, maps, 0)) / np.where(enough, share, 1), np.nan)

    def _apply(self, maps: Floats) -> Floats:
        pads = ((0, 0), tuple(self.pads[:2]), tuple(self.pads[2:]))
        padded = np.pad(maps, pads) if self.averaged else np.pad(maps, pads, mode="edge")
        array = xr.DataArray(
            padded, {"latitude": self.lat, "longitude": self.lon}, ("map", "latitude", "longitude")
        )
        if self.averaged:
            found = array.regrid.conservative(self.target, latitude_coord="latitude", skipna=False)
        else:
            found = array.regrid.linear(self.target)
        return np.nan_to_num(found.transpose("map", "latitude", "longitude").to_numpy())


@lru_cache(maxsize=4)
def _read_like(path: str) -> tuple[Floats, Floats, list[dict[str, Any]]]:
    """Return the axes of a file's grid, and the `MARKS` of its latitude and its longitude."""
    with open_input(list_inputs(path)[0]) as (file, dataset):
        for name, array in dataset.data_vars.items():
            if array.ndim < 2:
                continue
            try:
                layout = find_map(file, dataset, str(name))
            except InputError:
                continue
            dataset = straighten_grid(dataset.set_coords([layout.lat, layout.lon]), layout)
            lat, lon = read_axes(file, dataset, layout)
            if lat.ndim == 2:
                raise InputError(
                    f"{file}: its grid is curvilinear, and only grids of latitudes and longitudes can be the "
                    "new grid; give another file with like="
                )
            marks = [
                {mark: dataset[key].attrs[mark] for mark in MARKS if mark in dataset[key].attrs}
                for key in (layout.lat, layout.lon)
            ]
            return lat, lon, marks
    raise InputError(f"{path}: no variable has latitude and longitude; give a file with a grid with like=")


def _make_coordinates(
    data: xr.Dataset, layout: Layout, opening: Opening, lat: Floats, lon: Floats
) -> dict[str, xr.Variable]:
    made = {}
    marks: list[dict[str, Any]] = [{}, {}] if opening.like is None else _read_like(opening.like)[2]
    axes = (layout.lat, layout.y, lat), (layout.lon, layout.x, lon)
    for (name, dim, values), own in zip(axes, marks, strict=True):
        attrs = {key: value for key, value in data[name].attrs.items() if key not in MARKS}
        made[name] = xr.Variable(dim, values, attrs | own)
    return made


def _cut(lat: Floats, lon: Floats, region: Region) -> tuple[Floats, Floats]:
    """Return the axes within a region; as they are where it holds fewer than two rows or columns."""
    lat0, lat1, lon0, lon1 = region
    width = 360.0 if lon1 - lon0 >= 360 else (lon1 - lon0) % 360
    east = np.mod(lon - lon0 + _NEAR, 360) - _NEAR
    rows = lat[(lat >= min(lat0, lat1) - _NEAR) & (lat <= max(lat0, lat1) + _NEAR)]
    columns = lon0 + np.sort(east[east <= width + _NEAR])
    if rows.size < 2 or columns.size < 2 or width == 360:
        return (rows, lon) if rows.size > 1 else (lat, lon)
    return rows, columns


def _find_step(axis: Floats) -> float:
    return float(np.median(np.abs(np.diff(axis)))) if axis.size > 1 else 0.0


def _find_ends(axis: Floats, step: float) -> tuple[float, float]:
    """Return the first and last centre of cells of a step that cover an axis from edge to edge."""
    half = (_find_step(axis) - step) / 2
    start, end = float(axis.min()) - half, float(axis.max()) + half
    return start, max(start, end)


def _extend(axis: Floats, width: float, before: int, after: int) -> Floats:
    """Return the axis with a position ``width`` steps before and after it, where these are wanted."""
    first, last = axis[:1] - width * (axis[1] - axis[0]), axis[-1:] + width * (axis[-1] - axis[-2])
    return np.concatenate([first[:before], axis, last[:after]])
