"""The dates of maps: from their time variable, else from the attributes, else from the file's name.

What is done beyond the CF conventions is kept in words in the attribute `DATED_BY` of the time variable.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from ..layout.coordinates import TIME_NAMES, is_time

DATED_BY = "_dated_by"  # attribute of the time variable: how it was understood, in words

_DAY = timedelta(days=1)
_YEARS = 1900, 2200  # of dates that are believed where nothing declares them
_EPOCH = datetime(1970, 1, 1)
_YEAR_ZERO = -719528  # days from 1970-01-01 to 0000-01-01 in the proleptic Gregorian calendar
_DATENUM = _YEAR_ZERO - 1  # MATLAB counts from the day before
_LONGEST = 366 * _DAY  # coverage of one map; longer is that of a series

_COVERAGE = (("time_coverage_start", "time_coverage_end"), ("start_time", "stop_time"))
_SINCE_YEAR_ZERO = re.compile(
    r"\s*(day|hour|hr|minute|min|second|sec|s|h|d)s?\s+since\s+0{1,4}-(\d{1,2})-(\d{1,2})"
    r"(?:[T\s]+[0:.Z]*)?\s*(?:utc)?$",
    re.IGNORECASE,
)
_SECONDS = {"d": 86400, "h": 3600, "m": 60, "s": 1}  # by the first letter of the unit
_LONG_UNITS = re.compile(r"\s*(month|year)s?\s+since\s+(\d{1,4}-\d{1,2}(?:-\d{1,2})?)", re.IGNORECASE)

_YMD = r"(?:19|20)\d\d[-_]?(?:0[1-9]|1[0-2])[-_]?(?:0[1-9]|[12]\d|3[01])"
_ORDINAL = r"(?:19|20)\d\d(?:00[1-9]|0[1-9]\d|[12]\d\d|3[0-5]\d|36[0-6])"
_CLOCK = r"(?:[01]\d|2[0-3])[:-]?[0-5]\d(?:[:-]?[0-5]\d)?"
_STAMP = re.compile(rf"(?<!\d)({_YMD}|{_ORDINAL})(?:[T_-]?({_CLOCK})Z?)?(?!\d)")
# The range of NASA's older names, as in A20190012019008.L3m_8D_CHL_chlor_a_4km.nc.
_JOINED = re.compile(rf"(?<![A-Za-z])[A-Z]({_ORDINAL})({_ORDINAL})(?!\d)")

Interval = tuple[datetime, datetime]  # the same twice for an instant


def decode_dates(file: str, dataset: xr.Dataset) -> xr.Dataset:
    """Return the dataset with decoded dates, wherever they are.

    Beyond the CF conventions these are understood: months and years since a date, days since the year 0,
    numbers such as 20190601.5 (YYYYMMDD), MATLAB's datenum, and text in ISO 8601. A mean that is dated by one
    end of its ``bounds`` is dated by its middle, and that of a day by its day. A map without any time
    is dated by its attributes ``time_coverage_start`` and ``time_coverage_end``, else by its
    ``product_name``, else by the file's name. What cannot be understood stays as it is.
    """
    found = False
    for name, array in dataset.variables.items():
        if array.ndim > 1:
            continue
        if is_time(array):
            found = True
            dataset = _center(_decode_since(dataset, str(name)), str(name), dict(array.attrs))
        elif str(name).lower() in TIME_NAMES or array.attrs.get("standard_name") == "time":
            dates, how = _decode_undeclared(array)
            axis = (
                name in dataset.sizes or name == "time"
            )  # unlike a number of the day along lines of a swath
            found = found or dates is not None or (axis and array.size > 1)
            if dates is not None:
                dataset = _assign(dataset, str(name), array.dims, dates, array.attrs, how)
    return dataset if found else _date_by_names(file, dataset)


def find_interval(text: str) -> Interval | None:
    """Return the time that the first date in a name stands for, or the range of the first two.

    A date without a time of day is a whole day. Dates are YYYYMMDD or YYYYDDD (day of the year), with or
    without HHMM or HHMMSS; a range has at most a year.
    """
    joined = _JOINED.search(text)
    stamps: list[Interval] = []
    ends: list[tuple[int, int]] = []
    if joined:
        stamps = [pair for pair in map(_read_stamp, joined.groups()) if pair is not None]
        ends = [(joined.start(1), joined.end(1)), (joined.start(2), joined.end(2))]
    else:
        for match in _STAMP.finditer(text):
            pair = _read_stamp(match[1], match[2] or "")
            if pair is not None:
                stamps.append(pair)
                ends.append(match.span())
    if not stamps:
        return None
    first = stamps[0]
    if len(stamps) > 1 and re.fullmatch(r"[_-]?", text[ends[0][1] : ends[1][0]]):
        second = stamps[1]
        if first[0] < second[1] and second[1] - first[0] <= _LONGEST:
            return first[0], second[1]
    return first


def choose_date(start: datetime, end: datetime) -> datetime:
    """Return the date of a mean over an interval: its day where it lasts about one, else its middle.

    A mean over several days begins and ends at midnight, whatever the orbits of its first and last day.
    """
    length = end - start
    middle = start + length / 2
    if length < _DAY / 2:
        return (middle + timedelta(milliseconds=500)).replace(microsecond=0)
    if length < 1.5 * _DAY:
        return middle.replace(hour=0, minute=0, second=0, microsecond=0)
    half = round(length / _DAY) * _DAY / 2
    return (middle - half + _DAY / 2).replace(hour=0, minute=0, second=0, microsecond=0) + half


def _decode_since(dataset: xr.Dataset, name: str) -> xr.Dataset:
    """Decode a variable with units such as "days since ..."; one that cannot be decoded stays as it is."""
    array = dataset.variables[name]
    if array.dtype.kind not in "iuf":
        return dataset
    units, calendar = str(array.attrs.get("units", "")), str(array.attrs.get("calendar", "standard")).lower()
    usual = calendar in ("standard", "gregorian", "proleptic_gregorian", "none", "")
    zero, long_unit = _SINCE_YEAR_ZERO.match(units), _LONG_UNITS.match(units)
    if zero and usual:
        values = np.asarray(array.values, np.float64) * _SECONDS[zero[1][0].lower()]
        start = _DATENUM if zero[3] in ("0", "00") else _YEAR_ZERO
        dates = _since(start, values)
        if dates is not None:
            how = "dates counted from the year 0 of the proleptic Gregorian calendar"
            return _assign(dataset, name, array.dims, dates, array.attrs, how)
    if long_unit and usual:
        dates = _count_months(long_unit[2], np.asarray(array.values, np.float64), long_unit[1].lower())
        if dates is not None:
            return _assign(
                dataset, name, array.dims, dates, array.attrs, f"dates in calendar {units.strip()}"
            )
    if array.dtype.kind == "f":
        values = array.to_numpy()
        # An infinite number would be decoded as the reference date itself.
        array = array.copy(data=np.where(np.isfinite(values), values, values.dtype.type(np.nan)))
    try:
        decoded = xr.coders.CFDatetimeCoder().decode(array, name)
        return dataset.assign({name: decoded.load()})
    except (ValueError, OverflowError, OSError):
        return dataset


def _decode_undeclared(array: xr.Variable) -> tuple[NDArray[Any] | None, str]:
    """Return the dates of a time variable without units of time, or None, and how they are written."""
    if array.dtype.kind in "OSU":
        return _read_all([_to_text(value) for value in np.ravel(array.values)], array.shape, _read_text), ""
    if array.dtype.kind not in "iuf":
        return None, ""
    values = np.asarray(array.values, np.float64)
    if not np.isfinite(values).all() or not values.size:
        return None, ""
    digits = {len(str(int(value))) for value in np.ravel(values)}
    whole, fraction = np.floor(values), values - np.floor(values)
    for length, form, layout in (
        *((8, "%Y%m%d", "YYYYMMDD"), (7, "%Y%j", "YYYYDDD"), (6, "%Y%m", "YYYYMM")),
        *((10, "%Y%m%d%H", "YYYYMMDDHH"), (12, "%Y%m%d%H%M", "YYYYMMDDHHMM")),
        (14, "%Y%m%d%H%M%S", "YYYYMMDDHHMMSS"),
    ):
        if digits != {length} or (length not in (7, 8) and fraction.any()):
            continue
        texts = [str(int(value)) for value in np.ravel(whole)]
        dates = _read_all(texts, array.shape, lambda text, form=form: datetime.strptime(text, form))  # type: ignore[misc]
        if dates is not None:
            seconds = np.rint(fraction * 86400).astype("timedelta64[s]")
            return dates + seconds.astype("timedelta64[ns]"), f"dates read as numbers {layout}"
    declared = "datenum" in str(array.attrs).lower()
    dates = _since(_DATENUM, values * 86400) if digits == {6} or declared else None
    return dates, "dates read as MATLAB's datenum"


def _read_all(
    texts: list[str], shape: tuple[int, ...], read: Callable[[str], datetime]
) -> NDArray[Any] | None:
    try:
        dates = [read(text) for text in texts]
    except ValueError:
        return None
    if not dates or not all(_YEARS[0] <= date.year < _YEARS[1] for date in dates):
        return None
    return np.array(dates, "datetime64[ns]").reshape(shape)


def _to_text(value: Any) -> str:
    return (value.decode(errors="replace") if isinstance(value, bytes) else str(value)).strip("\0 ")


def _read_text(text: str) -> datetime:
    """Return the time of a text in ISO 8601, in UTC. Raises `ValueError` for anything else."""
    text = re.sub(r"^(\d{4}-\d\d-\d\d)_", r"\1T", text)  # as WRF writes it
    if not re.match(r"\d{4}-?\d\d", text):
        raise ValueError(text)
    date = pd.to_datetime(text, utc=True)
    if date is pd.NaT:
        raise ValueError(text)
    return date.tz_localize(None).to_pydatetime(warn=False)


def _since(start: int, seconds: NDArray[np.float64]) -> NDArray[Any] | None:
    """Return the dates some seconds after a day, counted from 1970-01-01; None where they are implausible."""
    days = start + seconds / 86400
    if not days.size or not np.isfinite(days).all():
        return None
    low, high = ((datetime(year, 1, 1) - _EPOCH) / _DAY for year in _YEARS)
    if days.min() < low or days.max() >= high:
        return None
    milliseconds = np.rint(1000 * (86400.0 * start + seconds)).astype("timedelta64[ms]")
    return np.datetime64("1970-01-01", "ns") + milliseconds


def _count_months(reference: str, counts: NDArray[np.float64], unit: str) -> NDArray[Any] | None:
    """Return dates whole calendar months or years after a date; a fraction is one of the last month."""
    parts = [int(part) for part in reference.split("-")]
    year, month, day = (*parts, 1)[:3]
    if not np.isfinite(counts).all() or not counts.size:
        return None
    counts = counts * 12 if unit == "year" else counts
    dates = []
    try:
        for count in np.ravel(counts):
            months = 12 * year + month - 1 + int(np.floor(count + 1e-6))
            begin, after = (datetime(m // 12, m % 12 + 1, 1) for m in (months, months + 1))
            fraction = max(count - np.floor(count + 1e-6), 0.0)
            last = (after - begin).days
            dates.append(begin + timedelta(days=min(day, last) - 1) + fraction * (after - begin))
    except (ValueError, OverflowError):
        return None
    rounded = [(date + timedelta(milliseconds=500)).replace(microsecond=0) for date in dates]
    return np.array(rounded, "datetime64[ns]").reshape(counts.shape)


def _center(dataset: xr.Dataset, name: str, raw: dict[Any, Any]) -> xr.Dataset:
    """Date means by their middle where they are dated by one end of their bounds (CF 7.1).

    The mean of a day keeps a date at its start, which is on that day; one at its end becomes its start.
    """
    time = dataset.variables[name]
    named = time.attrs.get("bounds") or raw.get("bounds") or time.encoding.get("bounds")
    bounds = next((b for b in (named, f"{name}_bnds", f"{name}_bounds") if b in dataset.variables), None)
    if bounds is None or time.ndim != 1 or not time.size or time.dtype.kind not in "MO":
        return dataset
    if dataset[bounds].shape != (time.size, 2):
        return dataset
    held = dataset.variables[bounds].copy()
    if held.dtype.kind in "iuf":
        own = {key: raw[key] for key in ("units", "calendar") if key in raw}
        held.attrs = own | held.attrs
        held = _decode_since(xr.Dataset({bounds: held}), bounds).variables[bounds]
    if held.dtype.kind != time.dtype.kind:
        return dataset
    dates, ends = time.to_numpy(), np.sort(held.to_numpy(), axis=1)
    start, end = ends[:, 0], ends[:, 1]
    day = np.timedelta64(1, "D") if dates.dtype.kind == "M" else _DAY
    length = float(np.median((end - start) / day))
    daily = 0.5 <= length < 1.5
    if length <= 0 or not ((dates == end).all() or ((dates == start).all() and not daily)):
        return dataset
    middle = start if daily else start + (end - start) / 2
    text = "means dated by one end: their middle is taken"
    if daily:
        text = "daily means dated by their end: the start of their day is taken"
    return _assign(dataset, name, time.dims, middle, time.attrs, text, time.encoding)


def _date_by_names(file: str, dataset: xr.Dataset) -> xr.Dataset:
    """Date a map without any time by its attributes, or else by a name; leave a series alone."""
    dims = [dim for dim in dataset.sizes if str(dim).lower() in TIME_NAMES]
    if any(dataset.sizes[dim] != 1 for dim in dims):
        return dataset
    sources = [(" and ".join(names), _read_coverage(dataset.attrs, *names)) for names in _COVERAGE]
    sources.append(("product_name", find_interval(str(dataset.attrs.get("product_name", "")))))
    sources.append(("the file's name", find_interval(Path(file).name)))
    for source, interval in sources:
        if interval is not None:
            date = np.array(choose_date(*interval), "datetime64[ns]")
            date = date.reshape([1] * len(dims[:1]))
            return _assign(dataset, str((*dims, "time")[0]), dims[:1], date, {}, f"dates taken from {source}")
    return dataset


def _read_coverage(attrs: dict[Any, Any], *names: str) -> Interval | None:
    first, last = (attrs.get(name) for name in names)
    try:
        start = _read_text(first) if isinstance(first, str) else None
        end = _read_text(last) if isinstance(last, str) else start
    except ValueError:
        return None
    if start is None or end is None or not start <= end <= start + _LONGEST:
        return None
    return start, end


def _read_stamp(date: str, clock: str = "") -> Interval | None:
    date, clock = re.sub(r"[-_]", "", date), re.sub(r"[-:]", "", clock)
    try:
        start = datetime.strptime(date, "%Y%j" if len(date) == 7 else "%Y%m%d")
    except ValueError:
        return None
    if not clock:
        return start, start + _DAY
    start += timedelta(hours=int(clock[:2]), minutes=int(clock[2:4]), seconds=int(clock[4:] or 0))
    return start, start


def _assign(
    dataset: xr.Dataset,
    name: str,
    dims: Any,
    dates: NDArray[Any],
    attrs: Any,
    how: str,
    encoding: Any = None,
) -> xr.Dataset:
    kept = {key: value for key, value in attrs.items() if key not in ("units", "calendar")}
    words = [text for text in (attrs.get(DATED_BY), how) if text]
    if words:
        kept[DATED_BY] = "; ".join(words)
    made = xr.Variable(dims, dates, kept, encoding)
    if name in dataset.data_vars:
        return dataset.assign({name: made})
    return dataset.assign_coords({name: made})
