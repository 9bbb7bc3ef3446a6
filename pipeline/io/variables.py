"""Several variables: parsing which are wanted, and bringing them to one grid and the same dates."""

from __future__ import annotations

import glob
import logging
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray
from scipy.interpolate import make_interp_spline

from ..errors import InputError
from .field import Field, build_field, describe_mask_oddities, open_field, read_parts
from .layout.coordinates import find_layout, find_track_layouts, list_names
from .layout.dates import format_date
from .maps.selection import open_maps
from .opening import Opening, Region
from .reading import TREATMENT, UNDATED, Inputs, list_inputs
from .transforms import centre_values, find_transform, transform_values

_log = logging.getLogger(__name__)

_FORM = "FILE:NAME[:log][,error=NUMBER or NAME][,jitter=NUMBER]"
_MARGIN = 3.0  # degrees around the first grid in which other variables are read
_FINER = 1.8  # ratio of resolution from which a finer grid is averaged instead of interpolated
_ENOUGH = 0.5  # least share of the weight of a new value that must be observed
_CLOSE = 1e-4  # degrees between positions that count as equal; coordinates are often float32

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Spec:
    """A variable as named on the command line."""

    files: str  # a path or a pattern
    variable: str | None = None
    transform: str | None = None
    error: str | None = None  # a standard error, or the name of a variable of standard errors
    jitter: float = 0.0

    @property
    def text(self) -> str:
        """What `parse_spec` makes this of."""
        named = ":".join(filter(None, (self.files, self.variable, self.transform)))
        error = "" if self.error is None else f",error={self.error}"
        return named + error + (f",jitter={self.jitter}" if self.jitter else "")

    def open(self, opening: Opening | None = None) -> Field:
        """Open the variable, with the ``opening`` for other options. Raises `InputError` as `open_field`."""
        return replace(open_field(self.files, self.complete(opening or Opening())), jitter=self.jitter)

    def complete(self, opening: Opening) -> Opening:
        """Return the ``opening`` with this variable's own options.

        Raises `InputError` where an option is given both ways.
        """
        own: dict[str, Any] = {"variable": self.variable, "transform": self.transform}
        if self.error is not None:
            try:
                own["observation_error"] = float(self.error)
            except ValueError:
                own["error_variable"] = self.error
        own = {name: value for name, value in own.items() if value is not None}
        both = sorted(name.replace("_", " ") for name in own.keys() & opening.given().keys())
        if both:
            raise InputError(
                f"{self.files}: the {list_names(both)} is given both with the file and by an option; "
                "leave one out"
            )
        return replace(opening, **own)


Source = str | Spec | xr.Dataset | xr.DataArray | Field


def is_plain(text: str) -> bool:
    """Whether a text is only a path or a pattern, without variables or options."""
    bare = text.removeprefix("sample:")
    if not set(":,").intersection(bare) or "://" in bare:
        return True
    return os.path.exists(text) or bool(glob.glob(text))  # noqa: PTH110, PTH207  (no error for a long name)


def parse_spec(text: str) -> list[Spec]:
    """Parse ``FILE:NAME[:log][,NAME ...][,error=NUMBER or NAME][,jitter=NUMBER]`` into variables.

    ``log`` fills logarithms. All names belong to the file, and options apply to all of them. Raises
    `InputError` for anything else.
    """
    if is_plain(text):
        return [Spec(text)]
    shipped_with = "sample:" * text.startswith("sample:")
    head, *items = text.removeprefix(shipped_with).split(",")
    file, _, first = head.partition(":")
    names = [first, *(item for item in items if "=" not in item)]
    if not file or ("" in names and (len(names) > 1 or ":" in head)):
        raise InputError(f"{text}: names no variable; write it as {_FORM}")
    options = dict(item.split("=", 1) for item in items if "=" in item)
    unknown = options.keys() - {"error", "jitter"}
    if unknown:
        raise InputError(f"{text}: there is no option {list_names(sorted(unknown))}; write it as {_FORM}")
    try:
        jitter = float(options.get("jitter", 0))
    except ValueError:
        jitter = -1.0
    if not (jitter >= 0 and np.isfinite(jitter)):
        raise InputError(f"{text}: the jitter {options['jitter']} is not a standard deviation; give a number")
    specs = []
    for name in names:
        variable, colon, transform = name.partition(":")
        if colon and transform not in ("log", "none"):
            raise InputError(f"{text}: there is no transform {transform!r}; write it as {_FORM}")
        specs.append(
            Spec(shipped_with + file, variable or None, transform or None, options.get("error"), jitter)
        )
    return specs


def parse_inputs(inputs: Sequence[str]) -> tuple[Inputs | Spec, list[Spec]]:
    """Return the files of one variable and no others or, where variables are named, the first and the others.

    Raises `InputError` as `parse_spec`.
    """
    if all(is_plain(text) for text in inputs):
        return list(inputs), []
    first, *others = (spec for text in inputs for spec in parse_spec(text))
    return first, others


def separate(source: Inputs | Spec, opening: Opening) -> tuple[Inputs, Opening]:
    """Return the files of a variable and its complete opening. Raises `InputError` as `Spec.complete`."""
    if isinstance(source, Spec):
        return source.files, source.complete(opening)
    return source, opening


def name_variables(inputs: Inputs, opening: Opening) -> list[str | None]:
    """Return the names of the variables of one input that are filled together, the first one first.

    These are those that the opening names, with commas, or else the components of a current where the first
    input has nothing else; None is the only variable.
    """
    if opening.variable is not None:
        return [name.strip() for name in opening.variable.split(",")]
    with open_maps(list_inputs(inputs)[0], opening) as (file, dataset):
        if find_track_layouts(dataset):
            return [None]
        layout = find_layout(file, dataset, others=opening.names)
    return [layout.variable, layout.partner] if layout.partner else [None]


def open_variables(
    source: Inputs | Spec | Field,
    others: Sequence[Source] = (),
    auxiliary: Sequence[Source] = (),
    opening: Opening = Opening(),
) -> tuple[list[Field], list[Field]]:
    """Return the variables to fill, ``source`` first, and the ``auxiliary`` ones, on the grid of the first.

    Several variables of the ``source`` are named with commas, and a current has two components
    (`name_variables`). The dates are those of the first, too. ``opening`` is that of the ``source``; its
    minimum coverage applies to all variables, and its region and period limit all. Raises `InputError` as
    `open_field` and `regrid_like` do, and for variables with the same name.
    """
    more: list[Spec] = []
    if isinstance(source, str):
        source, more = parse_inputs([source])
    if isinstance(source, Field):
        first = source
    else:
        files, own = separate(source, opening)
        names = name_variables(files, own)
        if len(names) > 1 and own.variable is None:
            _log.info(
                "%s are the components of one current, and both are filled", " and ".join(map(str, names))
            )
        jitter = getattr(source, "jitter", 0.0)
        first, *components = (
            replace(open_field(files, replace(own, variable=name)), jitter=jitter) for name in names
        )
        others = [*components, *others]
    period = None
    if UNDATED not in first.dims:
        period = format_date(first.dates[0])[:10], format_date(first.dates[-1])[:10]
    near = Opening(region=_widen_region(first), period=period, minimum_coverage=opening.minimum_coverage)
    filled, helping = (
        [regrid_like(field, first) for entry in entries for field in _open_entry(entry, near)]
        for entries in ([*more, *others], auxiliary)
    )
    filled.insert(0, first)
    found = [field.name for field in (*filled, *helping)]
    twice = {name for name in found if found.count(name) > 1}
    if twice:
        raise InputError(
            f"{list_names(sorted(twice))}: several variables have this name; rename one in its file, or "
            "give the files of one variable as a pattern in quotes"
        )
    return filled, helping


def _open_entry(entry: Source, opening: Opening) -> list[Field]:
    if isinstance(entry, Field):
        return [entry]
    if isinstance(entry, xr.Dataset | xr.DataArray):
        return [_open_near(entry, opening)]
    specs = parse_spec(entry) if isinstance(entry, str) else [entry]
    return [replace(_open_near(one.files, one.complete(opening)), jitter=one.jitter) for one in specs]


def _open_near(files: Inputs, opening: Opening) -> Field:
    """Open a field in the period, or a single map of any date."""
    found = read_parts(files, opening)
    if sum(len(part.dates) for part in found[0]) == 1:
        found = read_parts(files, replace(opening, period=None))
    return build_field(*found)


def _widen_region(first: Field) -> Region:
    lat, lon = first.lat, first.lon
    south, north = max(lat.min() - _MARGIN, -90.0), min(lat.max() + _MARGIN, 90.0)
    return south, north, lon.min() - _MARGIN, lon.max() + _MARGIN


def _format_range(field: Field) -> str:
    return f"{format_date(field.dates[0])} to {format_date(field.dates[-1])}"


def regrid_like(field: Field, first: Field) -> Field:
    """Return the field on the grid, dates and sea of the ``first``.

    A grid that is finer by a factor of about two or more is averaged over the cells of the first, weighted by
    area; other grids are interpolated linearly. Both use the observed values in the variable's own units, and
    need at least half of the weight to be observed. Dates that the field lacks are missing; a field of a
    single date, or of none, is the same on all dates. Raises
    `InputError` for different curvilinear grids, without common dates, and where no value is left.
    """
    static = len(field.days) == 1
    date = np.zeros(len(first.days), np.int64) if static else match_dates(field.dates, first.dates)
    found = date >= 0
    name = f"{list_names(field.inputs, 1)}: {field.name}"
    if not found.any():
        raise InputError(
            f"{name} has none of the dates of {first.name} ({_format_range(field)}, not "
            f"{_format_range(first)}); give a file with the same dates"
        )
    if static:
        _log.info("%s is a single map, the same on all dates of %s", name, first.name)
    else:
        _log.info("%s has %d of the %d dates of %s", name, found.sum(), found.size, first.name)
    values = np.where(field.observed, field.source.transpose(*field.dims).to_numpy(), np.nan)
    safe = np.where(field.observed, values, values[field.observed][:1] if field.observed.any() else 1.0)
    own = find_transform(field.transform).backward_error(
        safe, np.sqrt(field.error_variance, dtype=np.float64)
    )
    variance = np.where(field.observed, own**2, 0)
    values, variance, sea = _regrid(name, field, first, values[date], variance[date])
    kind = np.result_type(field.source.dtype, np.float32)
    raw = np.where(sea & found[:, None, None], values, np.nan).astype(kind)
    if not np.isfinite(raw).any():
        raise InputError(
            f"{name} has no value on the grid and the dates of {first.name}; give a file that overlaps them"
        )
    oddities = list(field.oddities)
    error: NDArray[np.float32] = np.sqrt(np.where(np.isfinite(raw), variance, 0)).astype(np.float32)
    new, error = transform_values(name, field.name, field.transform, raw, error, oddities)
    coordinates = first.source.transpose(*first.dims).coords
    source = xr.DataArray(raw, coordinates, first.dims, attrs=field.source.attrs)
    made = replace(
        field,
        values=centre_values(new, field.offset),
        sea=sea,
        error_variance=error**2,
        days=first.days,
        season=first.season,
        lat=first.lat,
        lon=first.lon,
        source=source.transpose(*first.source.dims),
        dims=first.dims,
        outliers=None,
    )
    oddities += describe_mask_oddities(never_observed=int(np.count_nonzero(made.never_observed)))
    return replace(made, oddities=tuple(oddities))


def match_dates(dates: pd.Index, wanted: pd.Index) -> NDArray[np.int64]:
    """Return for each wanted date (wanted,) the index of the date that matches it, or -1.

    Where all wanted dates are on different days, the nearest hour of the same day matches, otherwise only the
    same second. Calendars may differ.
    """
    written, hours = zip(*(_split_date(date) for date in dates), strict=True)
    days, clocks = zip(*(_split_date(date) for date in wanted), strict=True)
    daily = len(set(days)) == len(days)
    at: dict[str, list[int]] = {}
    for number, text in enumerate(written):
        at.setdefault(text, []).append(number)
    found = np.full(len(wanted), -1)
    for k, (text, clock) in enumerate(zip(days, clocks, strict=True)):
        near = min(at.get(text, []), key=lambda number: abs(hours[number] - clock), default=-1)
        if near >= 0 and (daily or abs(hours[near] - clock) * 3600 < 1):
            found[k] = near
    return found


def _split_date(date: Any) -> tuple[str, float]:
    return str(date)[:10], date.hour + date.minute / 60 + date.second / 3600


def _regrid(
    name: str, field: Field, first: Field, values: Floats, variance: Floats
) -> tuple[Floats, Floats, NDArray[np.bool_]]:
    """Return values and variances (time, lat, lon) on the first grid, and the common sea (lat, lon)."""
    turns = np.round((first.lon.mean() - field.lon.mean()) / 360)
    lat, lon = field.lat, field.lon + 360 * turns
    if lat.shape == first.lat.shape and _is_close(lat, first.lat) and _is_close(lon, first.lon):
        return values, variance, field.sea & first.sea
    for one in (field, first):
        straight = _is_close(one.lat, one.lat[:, :1]) and _is_close(one.lon, one.lon[:1])
        if not straight or min(one.sea.shape) < 2:
            raise InputError(
                f"{name} cannot be regridded to the grid of {first.name}, because the grid of {one.name} is "
                f"{'a single line' if straight else 'curvilinear'}; put both on one grid first"
            )
    rows, averaged = _make_weights(lat[:, 0], first.lat[:, 0], lambda degrees: np.sin(np.radians(degrees)))
    columns, also = _make_weights(lon[0], first.lon[0], np.asarray)
    if not _is_selection(rows) or not _is_selection(columns):
        how = "averaged" if averaged or also else "interpolated"
        shapes = *field.sea.shape, *first.sea.shape
        _log.info("%s: %s from %d x %d cells to the %d x %d cells of %s", name, how, *shapes, first.name)

    def regrid(maps: NDArray[Any]) -> Floats:
        return rows @ maps @ columns.T

    known = np.isfinite(values)
    weight, wet = regrid(known), regrid(field.sea)
    sea = first.sea & (wet >= _ENOUGH)
    enough = sea & (weight >= _ENOUGH * wet)
    share = np.where(enough, weight, 1)
    new = np.where(enough, regrid(np.where(known, values, 0)) / share, np.nan)
    return new, regrid(np.where(known, variance, 0)) / share, sea


def _is_close(one: Floats, other: Floats) -> bool:
    return bool(np.abs(one - other).max() < _CLOSE)


def _is_selection(weights: Floats) -> bool:
    """Whether each new cell is one of the old cells, or outside their grid."""
    return bool(np.isin(weights, (0, 1)).all())


def _make_weights(old: Floats, new: Floats, area: Callable[[Floats], Floats]) -> tuple[Floats, bool]:
    """Return the weights (new, old) of old cells in new ones along an axis, and whether these are averages.

    ``old`` and ``new`` are positions in degrees; ``area`` returns the area from the origin to a position.
    Rows add up to one, or to less beyond the ends of the old cells.
    """
    if _find_step(new) > _FINER * _find_step(old):
        (low, high), (start, end) = (
            np.sort([area(end) for end in _find_edges(one)], 0) for one in (old, new)
        )
        overlap = np.minimum(high, end[:, None]) - np.maximum(low, start[:, None])
        return overlap.clip(min=0) / (end - start)[:, None], True
    order = np.argsort(old)
    inside = new.clip(old.min(), old.max())  # the outermost cells are constant up to their ends
    weights = np.zeros((new.size, old.size))
    weights[:, order] = make_interp_spline(old[order], np.eye(old.size), k=1)(inside)
    weights[np.abs(new - inside) > _find_step(old) / 2 + _CLOSE] = 0
    return weights.round(6), False


def _find_step(positions: Floats) -> float:
    return float(np.median(np.abs(np.diff(positions))))


def _find_edges(positions: Floats) -> tuple[Floats, Floats]:
    """Return the two ends of each cell."""
    half = np.gradient(positions) / 2
    return positions - half, positions + half


def merge_filled(datasets: Sequence[xr.Dataset]) -> xr.Dataset:
    """Merge filled variables on one grid into one dataset with the global attributes of the first."""
    first, *others = datasets
    if not others:
        return first
    made = first.copy()
    for other in others:
        made = made.assign(other.data_vars)
    names = [str(next(iter(data.data_vars))) for data in datasets]
    for key in ("input_files", "sea_mask", "transform"):
        made.attrs[key] = "; ".join(
            f"{name}: {data.attrs[key]}" for name, data in zip(names, datasets, strict=True)
        )
    treated = [
        f"{name}: {data.attrs[TREATMENT]}"
        for name, data in zip(names, datasets, strict=True)
        if TREATMENT in data.attrs
    ]
    if treated:
        made.attrs[TREATMENT] = "; ".join(treated)
    made.attrs["summary"] = " ".join(str(data.attrs["summary"]) for data in datasets)
    return made
