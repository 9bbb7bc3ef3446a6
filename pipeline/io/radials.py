"""Radial velocities of coastal radars, components of a current along given directions: opened and checked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from ..errors import InputError
from ..settings import Packing
from .field import Field, build_field
from .layout.coordinates import Layout, find_fillable, find_layout, list_names
from .layout.roles import is_radial
from .opening import Opening, make_opening
from .output import to_dataset
from .reading import Inputs, Part, convert_part, list_inputs, open_input, read_part
from .seamask import find_mask

Axes = tuple[NDArray[np.float64], NDArray[np.float64]]  # latitude and longitude (lat, lon)

_SAME_DIRECTION = 0.5  # degrees, the rounding of packed directions
_DATES_AT_ONCE = 100
STATION_NAMES = ("station", "stations", "site", "sites", "radar", "radars", "instrument", "antenna")


@dataclass(frozen=True)
class Radials:
    """Radial velocities of one current from one or more stations, on one grid and the same dates."""

    stations: tuple[Field, ...]  # the sea of each is where it ever observes a value
    towards: NDArray[np.float32]  # (station, 2, lat, lon) unit vectors (east, north) of positive velocities
    sea: NDArray[np.bool_]  # (lat, lon)

    @property
    def shape(self) -> tuple[int, ...]:
        """Number of dates, rows and columns."""
        return self.stations[0].values.shape

    @cached_property
    def values(self) -> NDArray[np.float32]:
        """(time, station, lat, lon), NaN where missing."""
        return np.stack([station.values for station in self.stations], 1)

    @cached_property
    def error_variance(self) -> NDArray[np.float32]:
        """(time, station, lat, lon) of the observations, units of values squared."""
        return np.stack([station.error_variance for station in self.stations], 1)

    def part(self, dates: slice) -> Radials:
        """Return the velocities of some dates."""
        return replace(self, stations=tuple(station.part(dates) for station in self.stations))

    def hide(self, hidden: NDArray[np.bool_]) -> Radials:
        """Return the velocities without those at ``hidden`` (time, station, lat, lon)."""
        stations = [station.hide(hidden[:, number]) for number, station in enumerate(self.stations)]
        return replace(self, stations=tuple(stations))


def open_radials(
    inputs: Inputs,
    direction: str,
    opening: Opening | None = None,
    **options: Any,
) -> Radials:
    """Open the radial velocities of one or more stations.

    A file holds one station, several along a dimension named as in `STATION_NAMES`, or several variables. In
    the last case ``variable`` and ``direction`` are lists of names with commas, in the same order.
    ``direction`` is that of positive velocities, in degrees clockwise from north, on (lat, lon) and the
    stations. It is reversed where the CF name of one variable points away from the instrument and that of the
    other toward it. The dates are those of any station. The options are those of `Opening`.

    Raises `InputError` for input that cannot be used.
    """
    opening = replace(make_opening(opening, options), outliers="keep")
    found: list[tuple[Part, Layout, str | None, str]] = []
    for entry in list_inputs(inputs):
        with open_input(entry, opening.group) as (file, dataset):
            for one, name, bearing in split_stations(file, dataset, opening.variable, direction):
                layout = find_layout(file, one, name, others=(*opening.names, bearing))
                one = keep_one_direction(one, layout, bearing)
                mask = find_mask(file, one, layout, opening.mask_variable)
                others = [other for other in (mask, opening.error_variable, bearing) if other is not None]
                part = read_part(file, one, layout, others, opening)
                if found:
                    first = found[0][0].data[found[0][1].variable].attrs.get("units", "")
                    part = convert_part(
                        part, layout.variable, str(first), found[0][0].file, opening.error_variable
                    )
                found.append((part, layout, mask, bearing))
    aligned = align_dates([(part, layout) for part, layout, _, _ in found])
    stations, towards = [], []
    for data, (part, layout, mask, bearing) in zip(aligned, found, strict=True):
        towards.append(read_directions(part.file, data, layout, bearing))
        aligned_part = replace(part, data=data, dates=data[layout.time].to_index())
        field = build_field([aligned_part], layout, mask, opening)
        # A velocity of zero is one that has no part in the current, so nothing is taken off.
        stations.append(replace(field, values=field.values + np.float32(field.offset), offset=0.0))
        check_grid(part.file, *((one.lat, one.lon) for one in (stations[0], stations[-1])))
    sea = np.logical_or.reduce([station.sea for station in stations])
    own = [replace(station, sea=station.sea & station.observed.any(axis=0)) for station in stations]
    radials = Radials(tuple(own), np.stack(towards), sea)
    number = np.isfinite(radials.values).sum(axis=0)
    return replace(radials, towards=complete_directions(found[0][0].file, direction, radials.towards, number))


def complete_directions(
    file: str, direction: str, towards: NDArray[np.float32], number: NDArray[np.integer]
) -> NDArray[np.float32]:
    """Return directions (station, 2, lat, lon) that are zero where there is none.

    Raises `InputError` where the ``number`` of observed velocities (station, lat, lon) is not zero there.
    """
    lost = number[~np.isfinite(towards[:, 0])].sum()
    if lost:
        raise InputError(
            f"{file}: {lost} velocities have no {direction}; give every observed cell a direction"
        )
    return np.nan_to_num(towards)


def split_stations(
    file: str, dataset: xr.Dataset, variable: str | None, direction: str
) -> Iterator[tuple[xr.Dataset, str | None, str]]:
    """Yield the dataset of each station with the names of its velocity and its direction.

    Raises `InputError` for a direction that is absent, or another number of directions than of variables.
    """
    bearings = direction.split(",")
    names: Sequence[str | None] = [_find_velocity(dataset)] if variable is None else variable.split(",")
    if len(names) != len(bearings):
        raise InputError(
            f"{file}: {len(bearings)} directions ({direction}) were given for {len(names)} variables; name "
            "each variable with variable= and its direction with radial_direction=, in the same order"
        )
    for name, bearing in zip(names, bearings, strict=True):
        if bearing not in dataset.variables:
            raise InputError(
                f"{file}: there is no direction {bearing!r}; choose among {list_names(dataset.variables)}"
            )
        along = [dim for dim in dataset[bearing].dims if str(dim).lower() in STATION_NAMES]
        for number in range(dataset.sizes[along[0]] if along else 1):
            yield dataset.isel(dict.fromkeys(along, number), drop=True), name, bearing


def _find_velocity(dataset: xr.Dataset) -> str | None:
    """Return the radial velocity next to its components, as in European files, where its name says so."""
    found = [name for name in find_fillable(dataset) if is_radial(name, dataset[name].attrs)]
    return found[0] if len(found) == 1 else None


def keep_one_direction(dataset: xr.Dataset, layout: Layout, bearing: str) -> xr.Dataset:
    """Return the dataset with a direction that is repeated on all dates, as in European files, only once.

    It is read some dates at a time. A direction that changes stays as it is.
    """
    array = dataset[bearing]
    if layout.t not in array.dims:
        return dataset
    array = array.transpose(layout.t, ...)
    found = np.full(array.shape[1:], np.nan)
    for start in range(0, len(array), _DATES_AT_ONCE):
        values = array[start : start + _DATES_AT_ONCE].to_numpy().astype(np.float64)
        first = np.take_along_axis(values, np.isfinite(values).argmax(axis=0)[None], axis=0)[0]
        found = np.where(np.isfinite(found), found, first)
        turn = np.abs((values - found + 180) % 360 - 180)
        if np.nan_to_num(turn).max(initial=0) > _SAME_DIRECTION:
            return dataset
    return dataset.assign({bearing: (array.dims[1:], found, array.attrs)})


def align_dates(parts: Sequence[tuple[Part, Layout]]) -> list[xr.Dataset]:
    """Return the datasets on the dates of all. Raises `InputError` for dates that cannot be matched."""
    first, layout = parts[0]
    for part, other in parts:
        if other.t != layout.t or type(part.dates) is not type(first.dates):
            raise InputError(
                f"{part.file}: its time axis ({other.t}) does not match that of {first.file} ({layout.t}); "
                "put all stations on one time axis"
            )
        if not part.dates.is_unique:
            raise InputError(f"{part.file}: dates occur more than once; keep one map per date")
    horizontal = {dim for _, layout in parts for dim in (layout.y, layout.x)}
    return list(xr.align(*(part.data for part, _ in parts), join="outer", exclude=horizontal))


def check_grid(file: str, first: Axes, other: Axes) -> None:
    """Raise `InputError` where latitudes and longitudes (lat, lon) differ from those of the first station."""
    same = first[0].shape == other[0].shape
    if not same or max(np.abs(a - b).max() for a, b in zip(first, other, strict=True)) > 1e-4:
        raise InputError(f"{file}: its grid differs from that of the first station; put all on one grid")


def read_directions(file: str, data: xr.Dataset, layout: Layout, bearing: str) -> NDArray[np.float32]:
    """Return the unit vectors (2, lat, lon), east and north, of the direction ``bearing``."""
    array = data[bearing]
    if set(array.dims) != {layout.y, layout.x}:
        raise InputError(
            f"{file}: {bearing} has the dimensions {', '.join(map(str, array.dims))}; give one direction per "
            "cell and station"
        )
    degrees = array.transpose(layout.y, layout.x).to_numpy().astype(np.float64)
    if "rad" in str(array.attrs.get("units", "")) or np.nanmax(np.abs(degrees), initial=0) > 360:
        raise InputError(f"{file}: {bearing} is not in degrees clockwise from north; convert it")
    names = [str(data[name].attrs.get("standard_name", "")) for name in (bearing, layout.variable)]
    opposite = sorted(name.partition("_instrument")[0].rpartition("_")[2] for name in names) == [
        "from",
        "toward",
    ]
    angle = np.radians(degrees + 180 * opposite)
    return np.stack([np.sin(angle), np.cos(angle)]).astype(np.float32)


def make_current_dataset(
    radials: Radials,
    current: NDArray[np.float32],
    attributes: Mapping[str, Any],
    intervals: Mapping[int, float],
    packing: Packing = Packing(),
) -> xr.Dataset:
    """Return u, v, their errors, intervals and covariance on the grid of the first station.

    They are stored as real numbers: the packing of radial velocities is not made for them.
    """
    units = str(radials.stations[0].source.attrs.get("units", "m s-1"))
    first = radials.stations[0]
    parts = []
    for number, (name, word) in enumerate((("u", "eastward"), ("v", "northward"))):
        source = xr.full_like(first.source, np.nan).rename(name)
        source.attrs = {"units": units, "standard_name": f"{word}_sea_water_velocity"}
        blank = replace(
            first,
            name=name,
            source=source,
            sea=radials.sea,
            treatment=tuple(dict.fromkeys(text for one in radials.stations for text in one.treatment)),
            values=np.full_like(first.values, np.nan),
            inputs=tuple(dict.fromkeys(name for one in radials.stations for name in one.inputs)),
        )
        error = np.sqrt(current[2 + number])
        made = to_dataset(
            blank,
            current[number],
            error,
            intervals=intervals,
            attributes=attributes,
            packing=replace(packing, pack="none"),
        )
        made = made.drop_vars([f"{name}_analysis", f"{name}_source"])
        made[name].attrs |= {"ancillary_variables": f"{name}_error uv_covariance"}
        del made[name].attrs["comment"]
        made[f"{name}_error"].attrs["long_name"] = f"standard error of {name}"
        parts.append(made)
    data = parts[0].merge(parts[1], compat="no_conflicts", combine_attrs="override")
    data["uv_covariance"] = data.u.copy(
        data=xr.Variable(first.dims, current[4]).transpose(*data.u.dims).to_numpy()
    )
    data.uv_covariance.encoding = dict(data.u_error.encoding)
    data.uv_covariance.attrs = {
        "units": f"({units})2",
        "long_name": "covariance of the errors of u and v",
        "coverage_content_type": "qualityInformation",
    }
    share = np.isfinite(radials.values)[:, :, radials.sea].any(axis=1).mean()
    data.attrs["title"] = "Current from radial velocities"
    data.attrs["summary"] = summarise_current(len(radials.stations), share)
    return data


def summarise_current(stations: int, share: float) -> str:
    """Return the summary of a current from ``stations``, which saw a ``share`` of the cells and dates."""
    return (
        "Eastward and northward velocity on the whole sea from the radial velocities of "
        f"{stations} stations, of which at least one saw {100 * share:.1f}% of the cells and "
        "dates, with the standard errors of both and the covariance of their errors."
    )
