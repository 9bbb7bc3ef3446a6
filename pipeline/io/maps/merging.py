"""One rule for dates: sorted, several maps of a date merged, dates that are absent given an empty map."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from ...errors import InputError
from ..alignment import align, concatenate
from ..layout.coordinates import Layout
from ..layout.dates import Period, days_since_first, format_date, format_dates, parse_period
from ..opening import Opening
from ..reading import Part
from ..seamask import sea_of_dates, unite_masks

COUNTS = "merged_maps"  # name of the variable with the number of maps in each mean

MOST_DATES = 1_000_000  # a century of hours
_NEARLY_ALL = 0.9  # of the steps are equal in a regular record
_JITTER = 0.1  # of a step
_TINY = 1e-6  # of the median error: the least error by which a value is weighted

Maps = Sequence[Sequence[int]]  # for each date the positions of its maps, in the order of the inputs


@dataclass(frozen=True)
class Plan:
    """The dates of a record, and the maps of each."""

    dates: pd.Index  # (time,) sorted
    maps: tuple[tuple[int, ...], ...]  # of each date, positions among the maps of the inputs; none if absent
    notes: tuple[str, ...] = ()  # what was done, in words

    @property
    def present(self) -> NDArray[np.bool_]:
        """(time,) whether a date has a map in the input."""
        return np.array([len(found) > 0 for found in self.maps], bool)

    @property
    def merges(self) -> bool:
        """Whether a date has several maps."""
        return any(len(found) > 1 for found in self.maps)


def check_dates(parts: Sequence[Part], layout: Layout, period: Period | None) -> None:
    """Raise `InputError` for dates in two calendars, or none in the period."""
    for part in parts:
        calendars = [getattr(p.dates, "calendar", "standard") for p in (parts[0], part)]
        if calendars[0] != calendars[1]:
            raise InputError(
                f"{part.file}: its calendar is {calendars[1]} but that of {parts[0].file} is {calendars[0]}; "
                "convert all files to one calendar"
            )
    dates = join_dates([part.dates for part in parts])
    if period is not None and len(dates) and not any(part.data.sizes[layout.t] for part in parts):
        start, end = (bound or "..." for bound in parse_period(period))
        raise InputError(
            f"{parts[0].file}: no date lies in the period {start} to {end}; "
            f"choose one within {format_date(dates.min())} to {format_date(dates.max())}"
        )


def join_dates(dates: Sequence[pd.Index]) -> pd.Index:
    """Return all dates of one calendar, in the order given."""
    full = [part for part in dates if len(part)] or [dates[0]]
    if isinstance(full[0], xr.CFTimeIndex):
        return xr.CFTimeIndex(np.concatenate([part.to_numpy() for part in full]))
    return full[0].append(full[1:])


def plan_dates(dates: pd.Index, files: Sequence[str], opening: Opening) -> Plan:
    """Plan the dates of a record from those of all its maps, and the file of each, in the order of the input.

    Dates within the same second are one; so are those of one day (or calendar month) in several series of
    which none has two maps in a day (month), as those of two satellites. A series is a file, or all files
    with one map whose names differ only in digits. Dates absent from a regular record are added
    (`find_absent`). A ``time_step`` in days replaces all this by dates that far apart, each with the maps
    nearest to it. Raises `InputError` for several maps of a date where they are refused.
    """
    if not len(dates):
        return Plan(dates, ())
    order = np.argsort(dates.to_numpy(), kind="stable")
    notes = _note_order(dates, files)
    ordered = dates[order]
    if isinstance(opening.time_step, int | float):
        step = timedelta(days=opening.time_step)
        slots = np.rint(days_since_first(ordered) / opening.time_step).astype(np.int64)
        first = ordered[0]
        if slots[-1] >= MOST_DATES:
            raise InputError(
                f"{files[0]}: a time step of {opening.time_step:g} days makes {slots[-1] + 1} dates; give a "
                "longer time_step= or a shorter period="
            )
        made = _make_index([first + number * step for number in range(int(slots[-1]) + 1)], dates)
        maps: list[tuple[int, ...]] = [() for _ in made]
    else:
        slots, made = _find_same(ordered, _name_series([files[place] for place in order]))
        maps = [() for _ in made]
    for place, slot in zip(order, slots, strict=True):
        maps[slot] = (*maps[slot], int(place))
    maps = [tuple(sorted(found)) for found in maps]
    several = [number for number, found in enumerate(maps) if len(found) > 1]
    if several:
        total = sum(len(maps[number]) for number in several)
        text = f"dates with several maps: {len(several)} ({format_dates(made[several])})"
        if opening.merge == "refuse":
            file = files[maps[several[0]][-1]]
            raise InputError(
                f"{file}: {text}; choose how they are merged with merge='mean', 'last' or 'first', or give "
                "each date once"
            )
        weighted = ", weighted by the observation errors" if opening.error_variable is not None else ""
        how = f"mean{weighted}" if opening.merge == "mean" else f"{opening.merge} map"
        notes.append(f"{text}, {total} maps reduced to the {how} of each date")
    added: list[Any] = []
    if opening.time_step is None:
        absent, step_text = find_absent(made)
        if absent:
            places = np.concatenate([np.full(len(new), after + 1) for after, new in absent.items()])
            added = [date for new in absent.values() for date in new]
            values = np.insert(_to_objects(list(made)), places, _to_objects(added))
            maps = list(np.insert(_to_objects(maps), places, _to_objects([()] * len(added))))
            made, step_text = _make_index(list(values), dates), f"its step of {step_text}"
    else:
        added = [date for date, found in zip(made, maps, strict=True) if not found]
        step_text = "the time step"
    if added:
        notes.append(
            f"dates absent from the input, which get a map by {step_text}: {len(added)} "
            f"({format_dates(added)})"
        )
    return Plan(made, tuple(maps), tuple(notes))


def find_absent(dates: pd.Index) -> tuple[dict[int, list[Any]], str]:
    """Return the dates that a regular record lacks, by the position of the one before, and its step as text.

    A record is regular where at least nine tenths of its steps are equal to a tenth, or one calendar month.
    Nothing is added to a record of which more than half would be absent.
    """
    days = days_since_first(dates)
    steps = np.diff(days)
    if not steps.size:
        return {}, ""
    step = float(np.median(steps))
    months = np.asarray(12 * dates.year + dates.month)
    monthly = step >= 27 and np.median(np.diff(months)) == 1
    counts = np.diff(months) if monthly else np.rint(steps / step).astype(np.int64)
    equal = counts == 1 if monthly else np.abs(steps - step) <= _JITTER * step
    lacking = int(np.maximum(counts - 1, 0).sum())
    if equal.sum() < _NEARLY_ALL * steps.size - 1e-9 or lacking > len(dates):
        return {}, ""
    absent: dict[int, list[Any]] = {}
    for place in np.flatnonzero(counts > 1):
        start, end, number = dates[place], dates[place + 1], int(counts[place])
        if monthly:
            absent[int(place)] = [_add_months(start, end, k) for k in range(1, number)]
        else:
            gap = end - start
            # A multiple of a long gap is beyond 64 bits of nanoseconds.
            absent[int(place)] = [_round_second(start + (k / number) * gap) for k in range(1, number)]
    return absent, "a calendar month" if monthly else _describe_step(step)


def combine_parts(
    parts: Sequence[Part], layout: Layout, mask: str | None = None, reference: Part | None = None
) -> xr.Dataset:
    """Return all maps, in the order of the parts, on the grid of the first part or of the ``reference``.

    Sea is where the ``mask`` of any part has it. Raises `InputError` where grids differ.
    """
    first = reference or parts[0]
    aligned = [
        part.data if part is first else align(part.file, part.data, first.data, layout, first.file)
        for part in parts
    ]
    full = [data for data in aligned if data.sizes[layout.t]] or aligned[:1]
    made = full[0] if len(full) == 1 else concatenate(full, layout.t)
    if mask is None or layout.t in made[mask].dims or len(aligned) == 1:
        return made
    masks = [(part.file, data[mask]) for part, data in zip(parts, aligned, strict=True)]
    return made.assign({mask: unite_masks(masks, layout)})


def merge_parts(
    parts: Sequence[Part], layout: Layout, mask: str | None, opening: Opening
) -> tuple[xr.Dataset, Plan]:
    """Return the maps of all parts by date, and the plan by which they were merged.

    Raises `InputError` where grids or calendars differ, no date lies in the period, or merging is refused.
    """
    check_dates(parts, layout, opening.period)
    data = combine_parts(parts, layout, mask)
    files = [part.file for part in parts for _ in range(part.data.sizes[layout.t])]
    plan = plan_dates(data[layout.time].to_index() if files else parts[0].dates[:0], files, opening)
    return merge_maps(parts[0].file, data, plan.dates, plan.maps, layout, mask, opening), plan


def merge_maps(
    file: str,
    data: xr.Dataset,
    dates: pd.Index,
    maps: Maps,
    layout: Layout,
    mask: str | None,
    opening: Opening,
) -> xr.Dataset:
    """Return the dataset of the ``dates``, each from the ``maps`` (positions along time) that it has.

    A mean is weighted by the inverse of the squared observation errors, and its error is the root of the
    inverse of the sum of these weights; without an error variable the number of maps in each mean is kept
    in `COUNTS`. Of equal values, which are copies of one observation, only one counts. The sea of a date is
    that of any of its maps.
    """
    t = layout.t
    if not len(maps):
        return data
    several = [number for number, found in enumerate(maps) if len(found) > 1]
    absent = np.array([not found for found in maps])
    place = -1 if opening.merge == "last" else 0
    chosen = np.array([found[place] if found else 0 for found in maps])
    if not absent.any() and np.array_equal(chosen, np.arange(data.sizes[t])):
        return _set_dates(data, dates, layout)
    made = _set_dates(data.isel({t: chosen}), dates, layout)
    if mask is not None and t in data[mask].dims and (several or absent.any()):
        sea = sea_of_dates(file, data[mask], layout)
        united = [sea[list(found)].any(axis=0) if found else np.zeros_like(sea[0]) for found in maps]
        attrs = {"flag_values": np.array([0, 1], np.int8), "flag_meanings": "land sea"}
        made[mask] = xr.Variable((t, layout.y, layout.x), np.stack(united).astype(np.int8), attrs)
    error = opening.error_variable
    if several and opening.merge == "mean":
        _merge_means(data, made, maps, several, layout, error)
    for name, array in made.data_vars.items():
        if absent.any() and name != mask and t in array.dims:
            values = array.transpose(t, ...).to_numpy().copy()
            values[absent] = np.nan if values.dtype.kind == "f" else 0
            made[name] = _replace(array, values, t)
    return made


def _merge_means(
    data: xr.Dataset, made: xr.Dataset, maps: Maps, several: list[int], layout: Layout, error: str | None
) -> None:
    """Write the means of the dates with ``several`` maps, and their errors, into ``made``."""
    t, name = layout.t, layout.variable
    dims = (t, layout.y, layout.x)
    values = data[name].transpose(*dims).to_numpy()
    merged = made[name].transpose(*dims).to_numpy().copy()
    errors, merged_errors = None, None
    if error is not None and data[error].dtype.kind in "iuf":
        sizes = {dim: data.sizes[dim] for dim in dims}
        errors, merged_errors = (
            np.array(part[error].variable.set_dims(sizes | {t: part.sizes[t]}).transpose(*dims), np.float32)
            for part in (data, made)
        )
        usable = errors[np.isfinite(values) & np.isfinite(errors) & (errors >= 0)]
        middle = float(np.median(usable)) if usable.size else 0.0
    counts = np.isfinite(merged).astype(np.int8)
    for number in several:
        stack = values[list(maps[number])].astype(np.float64)
        counted = np.isfinite(stack)
        for later in range(1, len(stack)):
            counted[later] &= ~(stack[:later] == stack[later]).any(axis=0)
        weight = counted.astype(np.float64)
        if errors is not None:
            given = errors[list(maps[number])].astype(np.float64)
            given = np.where(np.isfinite(given) & (given >= 0), given, middle)
            weight /= np.maximum(given, _TINY * middle) ** 2 if middle else 1.0
        total = weight.sum(axis=0)
        one = counted.sum(axis=0)
        only = np.argmax(counted, axis=0)[None]
        mean = (weight * np.where(counted, stack, 0)).sum(axis=0) / np.where(total > 0, total, 1)
        mean = np.where(one > 1, mean, np.take_along_axis(stack, only, 0)[0])
        merged[number] = np.where(one > 0, mean, np.nan)
        counts[number] = np.minimum(one, np.iinfo(np.int8).max)
        if errors is not None and merged_errors is not None:
            single = np.take_along_axis(errors[list(maps[number])], only, 0)[0]
            several_error = np.sqrt(1 / np.where(total > 0, total, 1)) if middle else np.zeros_like(total)
            merged_errors[number] = np.where(one > 1, several_error, single)
    made[name] = _replace(made[name], merged, t)
    if error is not None and merged_errors is not None:
        made[error] = xr.Variable(dims, merged_errors, data[error].attrs)
    elif error is None:
        attrs = {"long_name": f"number of maps in the mean of {name}", "units": "1"}
        made[COUNTS] = xr.Variable(dims, counts, attrs)


def _replace(array: xr.DataArray, values: NDArray[Any], t: str) -> xr.Variable:
    """Return the variable with other values, which have the dimension ``t`` first."""
    moved = array.variable.transpose(t, ...)
    made = xr.Variable(moved.dims, values, array.attrs, array.encoding)
    return made.transpose(*array.dims)


def _set_dates(data: xr.Dataset, dates: pd.Index, layout: Layout) -> xr.Dataset:
    time = data[layout.time]
    return data.assign_coords({layout.time: xr.Variable(layout.t, dates, time.attrs, time.encoding)})


def _find_same(dates: pd.Index, series: NDArray[np.int64]) -> tuple[NDArray[np.int64], pd.Index]:
    """Return the position of each of the sorted dates among those that differ, and the latter."""
    first = dates[0]
    clock = 3600 * first.hour + 60 * first.minute + first.second
    seconds = np.rint(86400 * days_since_first(dates) + clock).astype(np.int64)  # since that day began
    keys = seconds
    months = np.asarray(12 * dates.year + dates.month)
    if len(np.unique(series)) > 1:
        for coarser in (months, seconds // 86400):
            lengths = [_count(seconds[series == one], coarser[series == one]) for one in np.unique(series)]
            if all(distinct == number > 1 for distinct, number in lengths):
                keys = coarser
                break
    _, starts, slots = np.unique(keys, return_index=True, return_inverse=True)
    made = dates[starts]
    if keys is not seconds and len(np.unique(seconds)) > len(starts) and keys is not months:
        made = made.floor("D")
    return slots, made


def _count(seconds: NDArray[np.int64], keys: NDArray[np.int64]) -> tuple[int, int]:
    return len(np.unique(keys)), len(np.unique(seconds))


def _name_series(files: Sequence[str]) -> NDArray[np.int64]:
    """Return the number of the series of each map: its file, or all files with one map and such a name."""
    names, counts = np.unique(np.array(files, object), return_counts=True)
    once = {name for name, count in zip(names, counts, strict=True) if count == 1}
    texts = [re.sub(r"\d+", "0", Path(file).name) if file in once else file for file in files]
    return np.unique(np.array(texts, object), return_inverse=True)[1]


def _note_order(dates: pd.Index, files: Sequence[str]) -> list[str]:
    """Return in words which files have dates in no order, neither rising nor falling."""
    found = {}
    starts = [0, *(place for place in range(1, len(files)) if files[place] != files[place - 1])]
    for start, end in zip(starts, [*starts[1:], len(files)], strict=True):
        own = dates[start:end]
        if not (own.is_monotonic_increasing or own.is_monotonic_decreasing):
            found[files[start]] = own[1:][own[1:] < own[:-1]]
    if not found:
        return []
    file, back = next(iter(found.items()))
    more = f" and {len(found) - 1} more files" if len(found) > 1 else ""
    return [f"dates out of order, now sorted: {len(back)} of {Path(file).name}{more} ({format_dates(back)})"]


def _describe_step(days: float) -> str:
    for unit, length in (("day", 1.0), ("hour", 1 / 24), ("minute", 1 / 1440)):
        if days >= 0.99 * length:
            exact = days / length
            number = round(exact) if abs(exact - round(exact)) < _JITTER else float(f"{exact:.3g}")
            return f"{number:g} {unit}{'' if number == 1 else 's'}"
    return f"{86400 * days:.3g} seconds"


def _round_second(date: Any) -> Any:
    return date.round("s") if isinstance(date, pd.Timestamp) else date


def _add_months(start: Any, end: Any, number: int) -> Any:
    """Return the date ``number`` months after ``start``: the same day as in both, or the last, or as far."""
    month = 12 * start.year + start.month - 1

    def begin(later: int) -> Any:
        return type(start)((month + later) // 12, (month + later) % 12 + 1, 1)

    day = timedelta(days=1)
    clock = timedelta(hours=start.hour, minutes=start.minute, seconds=start.second)
    last = begin(number + 1) - day + clock
    if (start + day).month != start.month and (end + day).month != end.month:
        return last
    if (start.day, start.hour) == (end.day, end.hour):
        return min(begin(number) + (start.day - 1) * day + clock, last)
    share = (start - begin(0)) / (begin(1) - begin(0))
    return _round_second(begin(number) + share * (begin(number + 1) - begin(number)))


def _to_objects(items: Sequence[Any]) -> NDArray[Any]:
    made = np.empty(len(items), object)
    for number, item in enumerate(items):
        made[number] = item
    return made


def _make_index(dates: list[Any], like: pd.Index) -> pd.Index:
    return xr.CFTimeIndex(dates) if isinstance(like, xr.CFTimeIndex) else pd.DatetimeIndex(dates)
