"""Where new dates are among those of a record."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..errors import InputError
from ..io.layout.dates import days_since_first, format_date
from ..io.maps.merging import join_dates
from ..io.reading import Part

SECONDS = 86400.0  # of a day
_DAILY = 0.9  # days between dates of which each day has one


def find_places(old: pd.Index, file: str, given: Part) -> NDArray[np.int64]:
    """Return for each new date its position among the ``old`` ones of a file, -1 where that has it not.

    It is the same second or, where the product has one map a day, the same day. Raises `InputError` for dates
    before the first one or long after the last, and for several a day where the product has one.
    """
    seconds, new = count_seconds(old, old), count_seconds(given.dates, old)
    daily, clock = _is_daily(seconds), _find_clock(old)
    keys, wanted = ((part + clock) // SECONDS if daily else part for part in (seconds, new))
    if daily and len(np.unique(keys)) == len(keys) and len(np.unique(wanted)) < len(wanted):
        raise InputError(f"{given.file}: has several maps on one day, and {file} has one; give one map a day")
    if wanted.min() < keys[0]:
        raise InputError(
            f"{given.file}: its date {format_date(given.dates[0])} is before the first of {file}, "
            f"{format_date(old[0])}; fill all dates together with `oceanfill fill`"
        )
    late = new[new > seconds[-1]]
    away = (late.min() - seconds[-1]) / SECONDS if late.size else 0.0
    if away > max(seconds[-1] / SECONDS, 1.0) and len(old) > 1:
        raise InputError(
            f"{given.file}: its dates begin {away:.0f} days after the last of {file}, "
            f"{format_date(old[-1])}, a gap longer than the record; check them, or give the dates between"
        )
    at = {key: number for number, key in enumerate(keys)}
    return np.array([at.get(key, -1) for key in wanted])


def set_clock(new: pd.Index, old: pd.Index) -> pd.Index:
    """Return new dates at the time of day that all old ones have, if these are on different days."""
    seconds = count_seconds(old, old)
    if not _is_daily(seconds) or (seconds % SECONDS).any():
        return new
    days = (count_seconds(new, old) + _find_clock(old)) // SECONDS
    return type(old)([old[0] + timedelta(days=number) for number in days])


def _is_daily(seconds: NDArray[np.float64]) -> bool:
    """Whether dates, in seconds, are a day or more apart."""
    return len(seconds) > 1 and bool(np.median(np.diff(seconds)) >= _DAILY * SECONDS)


def _find_clock(dates: pd.Index) -> int:
    """Return the seconds from midnight to the first of some dates."""
    first = dates[0]
    return int(3600 * first.hour + 60 * first.minute + first.second)


def find_nearest(dates: pd.Index, wanted: pd.Index) -> NDArray[np.int64]:
    """Return for each wanted date the position of the nearest of the ``dates``."""
    seconds = count_seconds(dates, dates)
    return np.searchsorted((seconds[1:] + seconds[:-1]) / 2, count_seconds(wanted, dates))


def count_seconds(dates: pd.Index, since: pd.Index) -> NDArray[np.float64]:
    """Return whole seconds from the first of the dates ``since`` to each of the ``dates``."""
    return np.rint(SECONDS * days_since_first(join_dates([since[:1], dates])))[1:]
