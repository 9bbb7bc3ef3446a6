"""Finding the variable to fill, and its time, latitude and longitude.

The attributes of the CF conventions (chapters 4 and 5: ``standard_name``, ``units``, ``axis``) come first,
then the usual names.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterable
from dataclasses import dataclass, field, replace
from typing import Any

import cf_xarray  # noqa: F401  (registers the .cf accessor)
import numpy as np
import xarray as xr

from ...errors import InputError
from .levels import describe_levels, find_level_dim
from .roles import MASK_NAMES, MASK_STANDARD_NAMES, choose, is_describing, split_names

TIME_NAMES = frozenset(
    ("time", "t", "date", "dates", "datetime", "times", "time_counter", "valid_time", "day", "days", "juld")
)

_UNITS = {  # spellings that CF does not allow but files have, such as "degrees East"
    "latitude": re.compile(r"^deg(ree)?s?[\s_.]*n(orth)?$", re.IGNORECASE),
    "longitude": re.compile(r"^deg(ree)?s?[\s_.]*e(ast)?$", re.IGNORECASE),
}
_NAMES = {
    "latitude": ("lat", "latitude", "lats", "latitudes", "nav_lat", "lat_rho", "ylat", "geolat", "xlat"),
    "longitude": (
        *("lon", "longitude", "lons", "longitudes", "long"),
        *("nav_lon", "lon_rho", "xlon", "geolon", "xlong"),
    ),
}
_GRID_NAMES = {"latitude": ("yc", "yt", "y"), "longitude": ("xc", "xt", "x")}


@dataclass(frozen=True)
class Layout:
    """The names of a variable, of its coordinate variables and of its dimensions."""

    variable: str
    time: str  # the coordinate variables; lat and lon have 1 dimension or (y, x)
    lat: str
    lon: str
    t: str  # the dimensions; ``t`` is the name of ``time`` where a file holds the map of one date
    y: str
    x: str
    why: str = field(default="", compare=False)  # the variable was chosen among several
    partner: str = field(default="", compare=False)  # the other component of a current


def find_layout(
    file: str, dataset: xr.Dataset, variable: str | None = None, others: Iterable[str | None] = ()
) -> Layout:
    """Return the layout of ``variable``, or of the field of the file on (time, lat, lon).

    This is the only variable of real numbers that does not describe another one, or that which is clearly
    the field (`roles.choose`); of a current it is the eastward component. ``others`` are variables with
    another role (mask, error). Raises `InputError` where no variable or several qualify, or where a dimension
    has no coordinate.
    """
    if variable is not None:
        if variable not in dataset.variables:
            raise InputError(
                f"{file}: there is no variable {variable!r}; choose among {list_names(dataset.data_vars)}"
            )
        _check_numbers(file, variable, dataset[variable])
        return _complete_layout(file, dataset, variable)
    found: list[Layout] = []
    refused: list[tuple[int, int, InputError]] = []
    for name in find_fillable(dataset, others):
        try:
            found.append(_complete_layout(file, dataset, name))
        except InputError as error:
            refused.append((_count_long_dims(dataset[name]), dataset[name].size, error))
    on_dates = [layout for layout in found if layout.t in dataset[layout.variable].dims]
    found = _choose_layouts(dataset, on_dates or found)
    if len(found) == 1:
        return found[0]
    if found:
        names = list_names(layout.variable for layout in found)
        raise InputError(
            f"{file}: {len(found)} variables could be filled ({names}); choose one with variable="
        )
    rank, _, reason = max(refused, default=(0, 0, None), key=lambda entry: entry[:2])
    if reason is not None and rank >= 3:
        raise reason
    for key, array in dataset.data_vars.items():
        if array.ndim >= 3:
            _check_numbers(file, str(key), array)
    if reason is not None and rank == 2:
        raise reason
    describing = [name for name, array in dataset.data_vars.items() if array.ndim >= 3]
    if describing:
        verb = "describes" if len(describing) == 1 else "describe"
        raise InputError(
            f"{file}: {list_names(describing)} only {verb} a field, as flags, errors and masks do; give "
            "the file of the field, or choose one with variable="
        )
    shapes = ", ".join(
        f"{name}({', '.join(map(str, array.dims))})" for name, array in dataset.data_vars.items()
    )
    raise InputError(
        f"{file}: no variable has time, latitude and longitude (found {shapes or 'no variables'}); "
        "give a file with a gridded time series"
    )


def find_track_layouts(
    dataset: xr.Dataset, variable: str | None = None, others: Iterable[str | None] = ()
) -> list[Layout]:
    """Return the layouts of variables along a track: time, latitude, longitude and values on one dimension.

    These are all variables of real numbers, or only ``variable``; ``others`` have another role (error).
    """
    found: list[Layout] = []
    for dim in dataset.dims:
        along = dataset.drop_vars([n for n, array in dataset.variables.items() if array.dims != (dim,)])
        lat, lon = (_find_horizontal(along, (dim,), axis) for axis in ("latitude", "longitude"))
        times = [str(name) for name, array in along.variables.items() if is_time(array)]
        times.sort(key=lambda name: along[name].attrs.get("standard_name") != "time")
        if lat is None or lon is None or not times:
            continue
        names = (
            find_fillable(along, others) if variable is None else [variable] * (variable in along.variables)
        )
        found += [Layout(name, times[0], lat, lon, *[str(dim)] * 3) for name in names if name not in times]
    return found


def find_track(
    file: str, dataset: xr.Dataset, variable: str | None = None, others: Iterable[str | None] = ()
) -> Layout:
    """Return the only layout along a track, or that of the variable which is clearly the field.

    Raises `InputError` where no variable or several qualify.
    """
    found = _choose_layouts(dataset, find_track_layouts(dataset, variable, others))
    if len(found) == 1:
        return found[0]
    if found:
        names = list_names(layout.variable for layout in found)
        raise InputError(
            f"{file}: {len(found)} along-track variables could be used ({names}); choose one with variable="
        )
    raise InputError(
        f"{file}: found no {variable or 'variable'} on one dimension with time, latitude and longitude; give "
        "along-track files"
    )


def _choose_layouts(dataset: xr.Dataset, found: list[Layout]) -> list[Layout]:
    """Return the layout that is clearly that of the field, or all where none is."""
    chosen, why = choose({layout.variable: dataset[layout.variable].attrs for layout in found})
    if not chosen:
        return found
    first = next(layout for layout in found if layout.variable == chosen[0])
    return [replace(first, why=why, partner="".join(chosen[1:]))]


def find_fillable(dataset: xr.Dataset, others: Iterable[str | None] = ()) -> list[str]:
    """Return the variables of real (or else whole) numbers except those that describe others (`roles`)."""
    roles = {name for name in others if name}
    for held in dataset.variables.values():
        for role in ("ancillary_variables", "coordinates", "bounds"):
            roles.update(split_names(held.attrs.get(role) or held.encoding.get(role)))
    roles.update(name for axis in ("latitude", "longitude") for name in find_candidates(dataset, axis))
    reals: list[str] = []
    counts: list[str] = []
    for key, array in dataset.data_vars.items():
        name = str(key)
        described = is_flag(array) or is_mask(name, array) or is_describing(name, array.attrs)
        if array.dtype.kind not in "iuf" or name in roles or described:
            continue
        stored = np.dtype(array.encoding.get("dtype", array.dtype))
        packed = "scale_factor" in array.encoding or "add_offset" in array.encoding
        (reals if stored.kind == "f" or packed else counts).append(name)
    return reals or counts


def is_flag(array: xr.DataArray) -> bool:
    """Whether the variable has the attributes of a flag (CF 3.5), which packed values may have as well."""
    return array.encoding.get("scale_factor", 1) == 1 and any(
        attribute in array.attrs for attribute in ("flag_values", "flag_masks", "flag_meanings")
    )


def is_mask(name: str, array: xr.DataArray) -> bool:
    """Whether the name or the standard name (CF table: land_binary_mask ...) is that of a mask."""
    return name.lower() in MASK_NAMES or array.attrs.get("standard_name") in MASK_STANDARD_NAMES


def list_names(names: Iterable[Any], most: int = 8) -> str:
    """Return the names as text: ``a, b, c and 4 more``."""
    words = [str(name) for name in names]
    rest = f" and {len(words) - most} more" if len(words) > most else ""
    return (", ".join(words[:most]) + rest) or "nothing"


def is_time(array: xr.Variable | xr.DataArray) -> bool:
    """Whether the variable holds dates (decoded, or "days since ...")."""
    if array.dtype.kind == "M" or (
        array.dtype.kind == "O" and array.size and hasattr(array.values.flat[0], "calendar")
    ):
        return True
    return " since " in str(array.attrs.get("units", "")).lower() and array.dtype.kind in "iuf"


def _count_long_dims(array: xr.DataArray) -> int:
    return sum(size > 1 for size in array.shape)


def _check_numbers(file: str, name: str, array: xr.DataArray) -> None:
    if array.dtype.kind not in "iuf":
        kind = "text" if array.dtype.kind in "OSUT" else f"{array.dtype} values"
        raise InputError(
            f"{file}: the variable {name} holds {kind}, not numbers; choose another with variable="
        )


def find_map(file: str, dataset: xr.Dataset, variable: str) -> Layout:
    """Return the layout of a variable on (lat, lon), which need not have dates: ``time`` is empty.

    Raises `InputError` where it has no latitude or no longitude.
    """
    dims = dataset[variable].dims
    lat = _find_horizontal(dataset, dims, "latitude")
    lon = _find_horizontal(dataset, dims, "longitude")
    if lat is None or lon is None:
        axis = "latitude" if lat is None else "longitude"
        raise InputError(
            f"{file}: no {axis} was found for {variable}({', '.join(map(str, dims))}); "
            f"give it a coordinate with standard_name {axis}"
        )
    y, x = _find_horizontal_dims(file, dataset, dims, lat, lon)
    t = next((str(dim) for dim in dims if dim not in (y, x)), "")
    return Layout(variable=variable, time="", lat=lat, lon=lon, t=t, y=y, x=x)


def _complete_layout(file: str, dataset: xr.Dataset, variable: str) -> Layout:
    found = find_map(file, dataset, variable)
    further = [dim for dim in dataset[variable].dims if dim not in (found.y, found.x)]
    time, t = _find_time(file, dataset, variable, further)
    return replace(found, time=time, t=t)


def find_candidates(dataset: xr.Dataset, axis: str) -> list[str]:
    """Return every variable that may be this coordinate, best first."""
    bare = dataset.set_coords(list(dataset.data_vars)).drop_encoding()  # cf_xarray searches only coordinates
    bare.attrs = {}
    by_attributes = sorted(map(str, bare.cf.coordinates.get(axis, [])))
    flat = {str(name): array for name, array in dataset.variables.items() if array.ndim <= 2}
    by_units = [name for name, array in flat.items() if _UNITS[axis].match(str(array.attrs.get("units", "")))]
    lower = {name.lower(): name for name in flat}
    by_name = [lower[name] for name in _NAMES[axis] if name in lower]
    by_grid_name = [
        lower[name]
        for name in _GRID_NAMES[axis]
        if name in lower
        and not re.match(r"^k?m$|^met(re|er)s?$", str(dataset[lower[name]].attrs.get("units", "")))
    ]
    return list(dict.fromkeys(by_attributes + by_units + by_name + by_grid_name))


def _find_horizontal(dataset: xr.Dataset, dims: tuple[Hashable, ...], axis: str) -> str | None:
    """Return the coordinate of a variable with these dimensions, preferably one-dimensional."""
    arrays = [dataset[name] for name in find_candidates(dataset, axis)]
    fitting = [array for array in arrays if array.ndim in (1, 2) and set(array.dims) <= set(dims)]
    best = min(fitting, key=lambda array: array.ndim, default=None)
    return None if best is None else str(best.name)


def _find_horizontal_dims(
    file: str, dataset: xr.Dataset, dims: tuple[Hashable, ...], lat: str, lon: str
) -> tuple[str, str]:
    lat_dims, lon_dims = dataset[lat].dims, dataset[lon].dims
    if len(lat_dims) == len(lon_dims) == 1 and lat_dims != lon_dims:
        return str(lat_dims[0]), str(lon_dims[0])
    if len(lat_dims) == 2 and set(lat_dims) == set(lon_dims):
        # y is the dimension along which the latitude changes most.
        span = {
            dim: float(abs(dataset[lat].diff(dim)).mean()) if dataset.sizes[dim] > 1 else 0.0
            for dim in lat_dims
        }
        y = max(lat_dims, key=lambda dim: (span[dim], -dims.index(dim)))
        x = lat_dims[0] if y == lat_dims[1] else lat_dims[1]
        return str(y), str(x)
    raise InputError(
        f"{file}: {lat}({', '.join(map(str, lat_dims))}) and {lon}({', '.join(map(str, lon_dims))}) do not "
        "form a grid; use one dimension for each, or the same two for both"
    )


def _find_time(file: str, dataset: xr.Dataset, variable: str, dims: list[Hashable]) -> tuple[str, str]:
    """Return the time variable and its dimension, among the ``dims`` that are not horizontal.

    Raises `InputError` where there is none, or where further dimensions are left.
    """
    dated = [
        str(n)
        for n, a in dataset.variables.items()
        if a.ndim <= 1 and is_time(a) and set(a.dims) <= set(dims)
    ]
    dated.sort(
        key=lambda name: (
            dataset[name].ndim == 0,
            name not in dims,
            dataset[name].attrs.get("standard_name") != "time",
        )
    )
    time = dated[0] if dated else None
    t = None if time is None else (str(dataset[time].dims[0]) if dataset[time].ndim else time)
    left = [
        str(dim) for dim in dims if dim != t and (dataset.sizes[dim] > 1 or str(dim).lower() in TIME_NAMES)
    ]
    if time is not None and t is not None and not left:
        return time, t
    timeless = [dim for dim in left if dim.lower() in TIME_NAMES]
    if not timeless and len(left) == 1 and not re.match(r"dep|lev|z|ens|member|band", left[0].lower()):
        timeless = left
    if timeless and (time is None or dataset[time].ndim == 0):
        if timeless[0] in dataset.variables:
            units = dataset[timeless[0]].attrs.get("units", "none")
            raise InputError(
                f"{file}: the time variable {timeless[0]} has no units of time (found: {units}); "
                "add units such as 'days since 2000-01-01'"
            )
        raise InputError(
            f"{file}: {variable} has a time dimension without a time variable ({timeless[0]}, "
            f"length {dataset.sizes[timeless[0]]}); add a variable {timeless[0]} with units such as "
            "'days since 2000-01-01'"
        )
    if left:
        level = find_level_dim(dataset, variable)
        if level is not None and left == [level]:
            raise InputError(
                f"{file}: {variable} has several levels ({describe_levels(dataset, level)}); choose one "
                "with level="
            )
        sizes = ", ".join(f"{dim} ({dataset.sizes[dim]})" for dim in left)
        raise InputError(
            f"{file}: {variable} has further dimensions, {sizes}; select one level of each first"
        )
    raise InputError(
        f"{file}: {variable} has no time axis; add a time dimension with units such as "
        "'days since 2000-01-01'"
    )
