"""The observations that a filled file holds, and those of further dates, as one field."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from ..classical.kriging import fix_mean
from ..errors import InputError
from ..io.alignment import align
from ..io.field import Field, RecordStatistics, grid_spacing, read_parts, read_standard_error
from ..io.layout.coordinates import Layout, find_layout, is_time, list_names
from ..io.layout.dates import days_since_first, format_date, season_phase
from ..io.layout.positions import read_grid
from ..io.maps.merging import check_dates, join_dates, merge_parts, plan_dates
from ..io.maps.regridding import regrid_part
from ..io.opening import Opening
from ..io.outliers import REACH, learn_screen
from ..io.output import OUTLIER, SOURCES, is_filled
from ..io.points.tracks import is_along_track
from ..io.reading import (
    UNDATED,
    Inputs,
    Part,
    convert_part,
    drop_undeclared,
    list_inputs,
    open_input,
    read_part,
)
from ..io.storage import find_storage, is_packed
from ..io.transforms import centre_values, find_asked, find_transform, transform_values
from .dependent import PROVISIONAL
from .fitted import Fitted, read_fitted
from .new_dates import SECONDS, count_seconds, find_nearest, find_places, set_clock

_PARTS = r"({})(_analysis|_error|_source|_(lower|upper)_\d+)?"  # of a filled variable
_SEA, _OUTLIERS = "_sea", "_outliers"  # variables next to the observations of a product
_ROUNDED = 0.51  # steps of a packing between a value and what is stored of it, at most

_log = logging.getLogger(__name__)

Filled = str | os.PathLike[str] | xr.Dataset
Floats = NDArray[np.floating]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Product:
    """A filled file, in memory."""

    file: str
    data: xr.Dataset  # as it is
    layout: Layout
    fitted: Fitted
    observed: Part  # its observations, sea and outliers, on the straightened grid

    @property
    def name(self) -> str:
        """The filled variable."""
        return self.layout.variable

    @property
    def dates(self) -> pd.Index:
        """The dates (time,)."""
        return self.data[self.layout.time].to_index()

    @property
    def units(self) -> str:
        """Those of the variable; empty where it has none."""
        return str(self.data[self.name].attrs.get("units", ""))

    @property
    def parts(self) -> list[str]:
        """The names of the variable and of all that belongs to it, such as its error."""
        known = re.compile(_PARTS.format(re.escape(self.name)))
        return [str(key) for key in self.data.data_vars if known.fullmatch(str(key))]

    def read(self, name: str) -> NDArray[Any]:
        """Read a variable (time, y, x) next to the observations."""
        dims = self.layout.t, self.layout.y, self.layout.x
        return self.observed.data[name].transpose(*dims, missing_dims="ignore").to_numpy()


@dataclass(frozen=True)
class Extended:
    """The observations of a product and of further dates."""

    given: Part  # the maps of these dates
    field: Field
    changed: Mask  # (time,) dates that are new or were observed otherwise before
    place: NDArray[np.int64]  # (time,) of a date in the product, -1 for a new one
    has_error: Mask  # (time,) whether the errors of the observations of a date are known


def open_products(filled: Filled) -> list[Product]:
    """Open each variable that `fill` filled. Raises `InputError` for anything else."""
    entries = list_inputs(filled)
    if len(entries) > 1:
        raise InputError(f"{filled}: several files match; give one filled file, and then the new dates")
    with open_input(entries[0]) as (file, dataset):
        data = dataset.load()
    names = [str(name) for name in data.data_vars if is_filled(data, str(name))]
    if "uv_covariance" in data:
        raise InputError(
            f"{file}: holds currents from radial velocities, which cannot be updated; fill all files again"
        )
    if not names:
        raise InputError(f"{file}: it is not a field that `oceanfill fill` wrote; fill it first")
    numbers = [read_fitted(file, name, data.attrs) for name in names]
    if data[names[0]].ndim < 3:
        raise InputError(f"{file}: holds a single map without a date; fill the new map by itself")
    layouts = [find_layout(file, data, name) for name in names]
    _check_variables(file, data, layouts)
    return [
        Product(file, data, layout, fitted, _read_observed(file, data, layout, fitted))
        for layout, fitted in zip(layouts, numbers, strict=True)
    ]


def _check_variables(file: str, data: xr.Dataset, layouts: Sequence[Layout]) -> None:
    """Raise `InputError` where a file has more by date than what was filled and its coordinates."""
    names, t = "|".join(re.escape(layout.variable) for layout in layouts), layouts[0].t
    known = re.compile(f"{_PARTS.format(names)}|{PROVISIONAL}")
    along = [key for key, array in data.coords.items() if array.dims == (t,)]
    others = [str(key) for key, array in data.variables.items() if t in array.dims and key not in along]
    others = [key for key in others if not known.fullmatch(key)]
    if others:
        raise InputError(
            f"{file}: holds {list_names(others)} by date, which an update cannot extend; drop it first"
        )


def _read_observed(file: str, data: xr.Dataset, layout: Layout, fitted: Fitted) -> Part:
    """Return the observations of a product with its sea and its outliers."""
    name = layout.variable
    flags, array = data[f"{name}_source"], data[name]
    kept = (SOURCES.index("observed"), *((OUTLIER,) if fitted.opening.outliers == "flag" else ()))
    observed = array.copy(data=np.where(np.isin(flags.transpose(*array.dims), kept), array, np.nan))
    sea = data[f"{name}_analysis"].notnull().any(layout.t)
    beside = {_SEA: sea.astype(np.int8), _OUTLIERS: (flags == OUTLIER).astype(np.int8)}
    as_they_are = Opening(quality="none", missing_value=(), ignore_valid_range=True)
    return read_part(file, xr.Dataset({name: observed} | beside), layout, (_SEA, _OUTLIERS), as_they_are)


def extend(product: Product, new: Inputs) -> Extended:
    """Return the field of a product's observations and of ``new`` ones, which replace those of their dates.

    Values are opened, cleaned and transformed as they were for the product. Raises `InputError` where they do
    not go with it.
    """
    old, fitted = product.dates, product.fitted
    given, fresh, error = _read_new(product, new)
    given = replace(given, dates=set_clock(given.dates, old))
    places = find_places(old, product.file, given)
    raw, suspect = product.read(product.name), product.read(_OUTLIERS) > 0
    kept = [
        place < 0 or _has_changed(product, given, number, (raw[place], fresh[number]), suspect[place])
        for number, place in enumerate(places)
    ]
    later = given.dates[places < 0]
    plan = plan_dates(
        join_dates([old, later]).sort_values(),
        [product.file] * (len(old) + len(later)),
        Opening(time_step=fitted.opening.time_step, merge="refuse"),
    )
    for note in plan.notes:
        _log.info("%s: %s", product.name, note)
    at_old, at_new = (find_nearest(plan.dates, dates) for dates in (old, given.dates))
    at_new = np.where(places < 0, at_new, at_old[places])
    dates, shape = len(plan.dates), (len(plan.dates), *raw.shape[1:])
    values, outliers = np.full(shape, np.nan, raw.dtype), np.zeros(shape, bool)
    values[at_old], outliers[at_old] = raw, suspect
    errors = np.full(shape, fitted.error or 0, np.float32)
    has_error = np.full(dates, fitted.error is not None)
    place = np.full(dates, -1)
    place[at_old] = np.arange(len(old))
    changed = place < 0
    for number, at in enumerate(at_new):
        if kept[number]:
            values[at], outliers[at], changed[at] = fresh[number], False, True
        if error is not None and np.isfinite(fresh[number]).any():
            errors[at], has_error[at] = error[number], True
    along = _extend_coordinates(product, given, plan.dates, at_old, at_new)
    field = _make_field(product, along, values, errors, outliers, changed)
    return Extended(given, field, changed, place, has_error | ~field.observed.any(axis=(1, 2)))


def _has_changed(
    product: Product, given: Part, number: int, maps: tuple[Floats, Floats], suspect: Mask
) -> bool:
    """Whether a new map of a date that is there holds other observations, outliers left out."""
    old, new = (one.astype(np.float32) for one in maps)
    if np.isfinite(old).any() and not np.isfinite(new).any():
        date = format_date(given.dates[number])
        _log.warning("%s: has no value on %s; those of %s stay", given.file, date, product.file)
        return False
    storage = find_storage(product.data[product.name])
    step = float(storage.get("scale_factor", 1)) if is_packed(storage) else 0.0
    compared = np.where(suspect, old, new)
    return not np.allclose(old, compared, rtol=0, atol=_ROUNDED * step, equal_nan=True)


def _read_new(product: Product, new: Inputs) -> tuple[Part, Floats, Floats | None]:
    """Return new maps by date, on the grid of a product, their values and their errors, if these are known.

    Raises `InputError` as `open_field` does, and for points along tracks.
    """
    layout, opening = product.layout, product.fitted.opening
    if is_along_track(new, opening.group):
        raise InputError(
            f"{list_inputs(new)[0]}: holds points along tracks, not maps like {product.file}; map all points "
            "again with `oceanfill fill`"
        )
    for entry in list_inputs(new):
        with open_input(entry, opening.group) as (file, dataset):
            if is_filled(dataset, product.name):
                raise InputError(f"{file}: is filled already; give the observations that it was filled from")
    parts, own, mask, opening = read_parts(new, opening)
    parts, _ = drop_undeclared([product.observed, *parts], layout, opening)
    made = [_fit_part(part, product, own, mask, opening) for part in parts[1:]]
    check_dates([product.observed, *made], layout, None)
    data, plan = merge_parts(made, layout, None, replace(opening, time_step="none"))
    notes = [*plan.notes, *dict.fromkeys(text for part in made for text in part.treatment)]
    dims, error = (layout.t, layout.y, layout.x), None
    values = data[product.name].transpose(*dims).to_numpy()
    sea, transform = product.read(_SEA) > 0, find_transform(product.fitted.transform)
    values = np.where(sea & ~transform.can_take(values), values.dtype.type(np.nan), values)
    file = list_names(dict.fromkeys(part.file for part in made), 1)
    if np.isfinite(values).any():
        found = read_standard_error(file, data, opening, np.isfinite(values), dims, notes)
        error = np.broadcast_to(found, values.shape)
    for note in notes:
        _log.info("%s: %s", product.name, note)
    return Part(file, data, plan.dates), values, error


def _fit_part(part: Part, product: Product, own: Layout, mask: str | None, opening: Opening) -> Part:
    """Return new maps in the units and on the grid of a product. Raises `InputError` if they do not fit."""
    layout, step = product.layout, opening.time_step
    if UNDATED in part.data.dims:
        raise InputError(f"{part.file}: has no date; add a time dimension, as {product.file} has")
    if own != layout:
        raise InputError(
            f"{part.file}: its coordinates are {own.time}, {own.lat}, {own.lon} on ({own.t}, {own.y}, "
            f"{own.x}), those of {product.file} {layout.time}, {layout.lat}, {layout.lon} on ({layout.t}, "
            f"{layout.y}, {layout.x}); rename them"
        )
    part = convert_part(part, product.name, product.units, product.file, opening.error_variable)
    part = regrid_part(part, layout, mask, opening)
    data = align(part.file, part.data, product.observed.data, layout, product.file)
    if isinstance(step, int | float):  # to the dates of the record, which are so far apart
        old, time = product.dates, data[layout.time]
        steps = np.rint(count_seconds(time.to_index(), old) / SECONDS / step)
        made = type(old)([old[0] + number * timedelta(days=step) for number in steps])
        data = data.assign_coords({layout.time: xr.Variable(layout.t, made, time.attrs, time.encoding)})
    return replace(part, data=data)


def _make_field(
    product: Product, along: xr.Dataset, raw: Floats, error: Floats, outliers: Mask, changed: Mask
) -> Field:
    """Return the field with the numbers that were fitted before; outliers of changed dates are looked for."""
    layout, fitted, name = product.layout, product.fitted, product.name
    dates, sea = along[layout.time].to_index(), product.read(_SEA) > 0
    oddities: list[str] = []
    values, error = transform_values(
        product.file, name, fitted.transform, np.where(sea, raw, np.float32(np.nan)), error, oddities
    )
    values, variance = centre_values(values, fitted.offset), np.where(np.isfinite(values), error, 0) ** 2
    values[outliers] = np.nan
    if fitted.opening.outliers != "keep":
        near = _find_near(changed, REACH)
        screen = learn_screen([(values, variance)])
        found = screen.find(values[near], variance[near]) & changed[near, None, None]
        outliers[near] |= found
        if found.any():
            _log.info("%s: %d outliers among the new values, which are not used", name, found.sum())
    values[outliers] = np.nan
    source = _make_source(product, along, raw)
    lat, lon = read_grid(product.file, product.observed.data, layout)
    field = Field(
        name=name,
        values=values,
        sea=sea,
        error_variance=variance.astype(np.float32),
        days=days_since_first(dates),
        season=season_phase(dates),
        lat=lat,
        lon=lon,
        source=source,
        transform=fitted.transform,
        offset=fitted.offset,
        asked_transform=find_asked(fitted.opening),
        dims=(layout.t, layout.y, layout.x),
        ever_observed=np.logical_or.reduce(np.isfinite(values)),
        outliers=outliers,
        keeps_outliers=fitted.opening.outliers == "flag",
    )
    cell = float(np.mean(grid_spacing(field)[1:]))
    statistics = RecordStatistics(fitted.spread, ([], []), ([], []), cell)
    return fix_mean(replace(field, statistics=statistics), find_fitted(product, dates))


def find_fitted(product: Product, dates: pd.Index) -> slice:
    """Return which of the dates a product was fitted to. Raises `InputError` where some are gone."""
    number, first, last = product.fitted.dates

    def find(among: pd.Index) -> slice:
        texts = [format_date(date) for date in among]
        return slice(texts.index(first), texts.index(last) + 1)

    try:
        own, found = find(product.dates), find(dates)
    except ValueError:
        own = found = slice(0, 0)
    if own.stop - own.start < number:
        raise InputError(
            f"{product.file}: lacks some of the {number} dates from {first} to {last} that it was fitted to; "
            "give the whole file, or fill it once with `oceanfill fill`"
        )
    return found


def _find_near(changed: Mask, reach: int) -> slice:
    """Return the dates from the first to the last that changed, and so many around them."""
    at = np.flatnonzero(changed)
    if not at.size:
        return slice(0, 0)
    return slice(max(int(at[0]) - reach, 0), int(at[-1]) + reach + 1)


def _make_source(product: Product, along: xr.Dataset, raw: Floats) -> xr.DataArray:
    """Return the observations as an array like that of the product."""
    layout, before = product.layout, product.observed.data[product.name]
    coords = {key: one.variable for key, one in before.coords.items() if layout.t not in one.dims}
    coords |= {key: one.variable for key, one in along.coords.items()}
    array = xr.DataArray(raw, coords, (layout.t, layout.y, layout.x), product.name, before.attrs)
    array.encoding = dict(product.data[product.name].encoding)
    return array.transpose(*before.dims)


def _extend_coordinates(
    product: Product, given: Part, dates: pd.Index, at_old: NDArray[np.int64], at_new: NDArray[np.int64]
) -> xr.Dataset:
    """Return the ``dates``, and what else a product has along them, such as the middle of an average."""
    t, time = product.layout.t, product.layout.time
    made = {}
    for key, old in product.observed.data.coords.items():
        if old.dims == (t,):
            values = dates.to_numpy().copy() if is_time(old) else np.full(len(dates), np.nan)
            if key != time:
                values[at_old] = old.to_numpy()
                if key in given.data.coords:
                    values[at_new] = given.data[key].to_numpy()
            made[key] = xr.Variable(t, dates if key == time else values, old.attrs, old.encoding)
    return xr.Dataset(coords=made)
