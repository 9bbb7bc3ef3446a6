"""Dates in any calendar."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ...errors import InputError
from .coordinates import list_names

_PLAUSIBLE = 1950, 2100  # years of satellite and model fields
_NAMED = 3  # dates that are named where there are many

Period = str | Sequence[str | None]  # "start/end" or (start, end), ISO 8601, either end may be open


def days_since_first(dates: pd.Index) -> NDArray[np.float64]:
    """Return the days (time,) since the first date, in the calendar of the dates."""
    elapsed = dates.to_numpy() - dates.to_numpy()[0]
    one_day = np.timedelta64(1, "D") if elapsed.dtype.kind == "m" else timedelta(days=1)
    return (elapsed / one_day).astype(np.float64)


def season_phase(dates: pd.Index) -> NDArray[np.float64]:
    """Return the elapsed fraction (time,) of the year of each date, in the calendar of the dates."""
    now = dates.to_numpy()
    if isinstance(dates, pd.DatetimeIndex):
        years = now.astype("datetime64[Y]")
        start, end = years.astype(now.dtype), (years + 1).astype(now.dtype)
    else:
        start = np.array([type(date)(date.year, 1, 1) for date in now])
        end = np.array([type(date)(date.year + 1, 1, 1) for date in now])
    return ((now - start) / (end - start)).astype(np.float64)


def find_time_oddities(dates: pd.Index) -> list[str]:
    """Return in words what is odd about sorted dates: irregular steps, and dates that can hardly be meant.

    Calendar months count as regular.
    """
    if len(dates) < 2:
        return _find_doubtful(dates, np.inf)
    steps = np.diff(days_since_first(dates))
    step = float(np.median(steps))
    doubts = _find_doubtful(dates, step)
    if doubts:
        return doubts
    months = bool(((steps >= 28) & (steps <= 31)).all())
    if months or np.abs(steps - step).max() <= 0.1 * step:
        return []
    text = f"irregular time step: mostly {step:.3g}, from {steps.min():.3g} to {steps.max():.3g} days"
    absent: list[Any] = []
    number = 0
    for i in np.flatnonzero(steps > 1.5 * step):
        n = round(steps[i] / step)
        number += n - 1
        # A multiple of a long gap is beyond 64 bits of nanoseconds.
        gap = dates[i + 1] - dates[i]
        absent += [dates[i] + (k / n) * gap for k in range(1, min(n, _NAMED + 1))]
    return [f"{text} (absent: {format_dates(absent, number)})" if absent else text]


def _find_doubtful(dates: pd.Index, step: float) -> list[str]:
    """Return in words why the dates may have been decoded wrongly."""
    first, last = dates[0], dates[-1]
    span = f"{format_date(first)} to {format_date(last)}"
    if first.year == 1970 and abs(86400 * step - 1) < 0.01:
        return [f"the dates are one second apart ({span}), as mere numbers would be; check the units of time"]
    if first.year < _PLAUSIBLE[0] or last.year > _PLAUSIBLE[1]:
        years = "{} to {}".format(*_PLAUSIBLE)
        return [f"the dates ({span}) are outside the years {years}; check the units and calendar of time"]
    return []


def parse_period(period: Period) -> tuple[str | None, str | None]:
    """Return the two ends of a period, None where open; "2017-05" is the whole month.

    Raises `InputError` for anything else.
    """
    pair = period.split("/") if isinstance(period, str) else list(period)
    if len(pair) == 1 and pair[0]:
        pair *= 2
    start, end = (str(bound or "") for bound in (pair[0], pair[-1]))
    if len(pair) == 2 and start[:1].isdigit() and start[: len(end)] > end[: len(start)] and end[:1].isdigit():
        raise InputError(f"the period {period!r} ends before it starts; write it as {pair[1]}/{pair[0]}")
    if len(pair) != 2:
        raise InputError(f"the period {period!r} has no start and end; write it as 2017-05-01/2017-05-31")
    return pair[0] or None, pair[1] or None


def in_period(dates: pd.Index, period: Period) -> NDArray[np.bool_]:
    """Whether each date (time,) lies in the period, ends included. Raises `InputError` for a wrong period."""
    start, end = parse_period(period)
    ordered = dates.sort_values()
    try:
        # "2017-05" means the whole month, in any calendar.
        window = ordered[ordered.slice_indexer(start, end)]
    except (ValueError, TypeError, KeyError) as error:
        raise InputError(
            f"the period {period!r} cannot be read as two dates; write it as 2017-05-01/2017-05-31"
        ) from error
    if not len(window):
        return np.zeros(len(dates), bool)
    return np.asarray((dates >= window[0]) & (dates <= window[-1]))


def format_date(date: Any) -> str:
    """Return a date in ISO 8601, without the time of day at midnight."""
    text = str(date)[:19].replace(" ", "T")
    return text.removesuffix("T00:00:00")


def format_dates(dates: Any, number: int | None = None) -> str:
    """Return the first dates as text, and how many more there are, of a ``number`` (default: of these)."""
    more = (len(dates) if number is None else number) - _NAMED
    return list_names(format_date(date) for date in dates[:_NAMED]) + (
        f" and {more} more" if more > 0 else ""
    )
