"""Mean and percentile of each day of the year, and anomalies from them (Hobday et al. 2016)."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter1d

from ..errors import InputError
from ..io.field import open_field
from ..io.layout.dates import days_since_first, format_date, in_period
from ..io.opening import Opening
from ..io.providers.units import require_conversion
from .maps import FilledMaps, describe_variable, find_difference_units
from .options import Derived, DeriveOptions
from .spread import describe_pair

_log = logging.getLogger(__name__)

PERCENTILE = 90
_HALF_WINDOW = 5  # days on each side whose values are pooled (Hobday et al. 2016, section 3.2)
_SMOOTH = 31  # days of the running mean over the year
_LEAST_YEARS, _ADVISED_YEARS = 5, 30
_LEAP_YEAR, _LEAP_DAY = 366, 59  # the index of 29 February
_CLOSE = 0.05  # steps of the grid by which the cells of the climatology may be off

Floats = NDArray[np.floating]


@dataclass(frozen=True)
class Climatology:
    """Mean and 90th percentile (366, y, x) of each day of a leap year."""

    mean: Floats
    threshold: Floats
    record: Floats  # (time, y, x) from which they come
    days: NDArray[np.int64]  # (time,) of a leap year, of the record
    period: str


def find_leap_days(file: str, dates: pd.Index) -> NDArray[np.int64]:
    """Return the day of a leap year (time,), from 0, of each date. Raises `InputError` for a 360-day year."""
    if getattr(dates, "calendar", "standard") == "360_day":
        raise InputError(f"{file}: its calendar has 360 days; convert the dates to the standard calendar")
    lengths = np.array([31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31])
    start = np.concatenate([[0], np.cumsum(lengths)[:-1]])
    return np.asarray(start[np.asarray(dates.month) - 1] + np.asarray(dates.day) - 1)


def compute_climatology(values: Floats, days: NDArray[np.int64]) -> tuple[Floats, Floats]:
    """Return mean and 90th percentile (366, ...) of values (time, ...) on days of a leap year.

    Values within five days of each day of all years are pooled; 29 February is the mean of its neighbours;
    both are smoothed by a running mean of 31 days (Hobday et al. 2016).
    """
    mean = np.full((_LEAP_YEAR, *values.shape[1:]), np.nan)
    threshold = mean.copy()
    for day in range(_LEAP_YEAR):
        if day != _LEAP_DAY:
            pooled = values[select_window(days, day)]
            seen = np.isfinite(pooled).any(axis=0)
            mean[day][seen] = np.nanmean(pooled[:, seen], axis=0)
            threshold[day][seen] = np.nanpercentile(pooled[:, seen], PERCENTILE, axis=0)
    for part in (mean, threshold):
        part[_LEAP_DAY] = (part[_LEAP_DAY - 1] + part[_LEAP_DAY + 1]) / 2
        part[:] = uniform_filter1d(part, _SMOOTH, axis=0, mode="wrap")
    return mean, threshold


def select_window(days: NDArray[np.int64], day: int) -> NDArray[np.bool_]:
    """Return which dates (time,) lie within five days of a day of the year."""
    away = np.abs(days - day)
    return np.minimum(away, _LEAP_YEAR - away) <= _HALF_WINDOW


def open_climatology(maps: FilledMaps, options: DeriveOptions) -> Climatology:
    """Return the climatology of the filled record, or of another file on the same grid.

    Raises `InputError` for a record of less than five years and for another grid.
    """
    if options.climatology is None:
        file, dates, values = maps.file, maps.dates, maps.read()
        if options.baseline is not None:
            chosen = in_period(dates, options.baseline)
            dates, values = dates[chosen], values[chosen]
    else:
        file, dates, values = _read_record(maps, options)
    years = float(np.ptp(days_since_first(dates))) / 365.25 if len(dates) > 1 else 0.0
    if years < _LEAST_YEARS - 0.01:
        raise InputError(
            f"{file}: a climatology needs {_LEAST_YEARS} years or more, and the record has {years:.1f}; give "
            "a longer one with climatology=, or another baseline="
        )
    if years < _ADVISED_YEARS - 1:
        _log.warning("%s: the climatology is from %.0f years; 30 are advised", file, years)
    days = find_leap_days(file, dates)
    mean, threshold = compute_climatology(values, days)
    if not np.isfinite(mean).any():
        raise InputError(f"{file}: it has no values of {maps.name} for a climatology; give another record")
    return Climatology(mean, threshold, values, days, f"{format_date(dates[0])} to {format_date(dates[-1])}")


def _read_record(maps: FilledMaps, options: DeriveOptions) -> tuple[str, pd.Index, Floats]:
    """Read values (time, y, x) of the variable from another file on the grid of the maps."""
    opening = Opening(
        variable=maps.name,
        period=options.baseline,
        outliers="keep",
        transform="none",
        minimum_coverage=0.0,
        merge="mean",
    )
    field = open_field(options.climatology, opening)
    file = ", ".join(field.inputs[:1]) or "climatology"
    step = min(np.abs(np.diff(maps.lat)).min(), np.abs(np.diff(maps.lon)).min())
    same = field.sea.shape == maps.shape
    if same:
        east = (field.lon - maps.lon + 180) % 360 - 180
        same = bool(max(np.abs(field.lat - maps.lat[:, None]).max(), np.abs(east).max()) <= _CLOSE * step)
    if not same:
        shape = f"{field.sea.shape[0]} x {field.sea.shape[1]}"
        raise InputError(
            f"{file}: its grid ({shape}) is not that of {maps.file} ({maps.shape[0]} x {maps.shape[1]}); "
            "regrid it"
        )
    scale, offset = require_conversion(
        file, maps.name, str(field.source.attrs.get("units", maps.units)), maps.units, maps.file
    )
    values = field.space.backward(field.values) * scale + offset
    return file, field.dates, np.where(field.observed, values, np.nan)


def derive_anomalies(maps: FilledMaps, options: DeriveOptions) -> Derived:
    """Return the climatology, the anomaly from it with its error, and the percentile of each value."""
    found, values = open_climatology(maps, options), maps.read()
    days = find_leap_days(maps.file, maps.dates)
    what, more = maps.attrs.get("long_name", maps.name), find_difference_units(maps)
    rank = rank_values(values, days, found)
    parts = describe_references(maps, found, days)
    attrs = describe_variable(f"anomaly of {what}", maps.units or "1", **more)
    pair = (values - found.mean[days]).astype(np.float32), maps.read("error").astype(np.float32)
    parts |= describe_pair(maps, f"{maps.name}_anomaly", pair, attrs, "The climatology is taken as known.")
    parts[f"{maps.name}_percentile"] = (
        maps.dims,
        rank,
        describe_variable(
            f"percentile of {what} on its day of the year",
            "percent",
            comment="Share of the values of the climatology within five days that are not larger.",
        ),
    )
    return Derived(parts, f"anomalies of {what}", {"climatology_period": found.period})


def describe_references(
    maps: FilledMaps, found: Climatology, days: NDArray[np.int64]
) -> dict[str, tuple[Any, ...]]:
    """Return the climatology and the threshold on the dates of the maps."""
    what = maps.attrs.get("long_name", maps.name)
    named = {
        "climatology": (found.mean, f"climatology of {what}"),
        "threshold": (found.threshold, f"{PERCENTILE}th percentile of {what} on its day of the year"),
    }
    keep = {key: maps.attrs[key] for key in ("standard_name", "units_metadata") if key in maps.attrs}
    return {
        f"{maps.name}_{key}": (
            maps.dims,
            part[days].astype(np.float32),
            describe_variable(text, maps.units or "1", comment=f"From {found.period}.", **keep),
        )
        for key, (part, text) in named.items()
    }


def rank_values(values: Floats, days: NDArray[np.int64], found: Climatology) -> NDArray[np.float32]:
    """Return the percentile (time, y, x) of each value among those of the climatology near its day."""
    rank = np.full(values.shape, np.nan, np.float32)
    for day in np.unique(days):
        pooled = found.record[select_window(found.days, int(day))]
        number = np.isfinite(pooled).sum(axis=0)
        for date in np.flatnonzero(days == day):
            below = (pooled <= values[date]).sum(axis=0)
            known = (number > 0) & np.isfinite(values[date])
            rank[date][known] = 100 * below[known] / number[known]
    return rank
