"""Dates: gaps of years, calendars, units, orders and numbers that are no dates."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
import pytest
import xarray as xr
from hostile import FILL, Case, check, plain

ZERO = np.datetime64("2020-01-01", "ns")


def at(days: Any) -> xr.Dataset:
    """`plain` on other dates, in days after the first."""
    days = np.asarray(days, np.float64)
    data = plain(dates=len(days))
    return data.assign_coords(time=ZERO + np.round(days * 86400e9).astype("timedelta64[ns]"))


def numbers(values: Any, units: str | None, calendar: str | None = None, kind: str = "f8") -> None:
    """`plain` with a time of these raw numbers."""
    data = plain(dates=len(values))
    data.drop_vars("time").to_netcdf("in.nc", unlimited_dims=["time"])
    with netCDF4.Dataset("in.nc", "a") as file:
        time = file.createVariable("time", kind, ("time",))
        time[:] = np.asarray(values, object if kind is str else None)
        if units is not None:
            time.units = units
        if calendar is not None:
            time.calendar = calendar


def with_gap(before: int, gap: float, after: int, step: float = 1.0) -> xr.Dataset:
    """Regular dates with one gap, in days."""
    first = step * np.arange(before)
    return at([*first, *(first[-1] + gap + step * np.arange(after))])


def filled_up(before: int, gap: int, after: int, step: float = 1.0) -> xr.Dataset:
    """The same with empty maps on the dates that are absent."""
    data = with_gap(before, gap * step, after, step)
    return data.reindex(
        time=ZERO + np.round(step * np.arange(before + gap - 1 + after) * 86400e9).astype("timedelta64[ns]")
    )


def shuffled() -> xr.Dataset:
    return plain().isel(time=[3, 0, 8, 1, 5, 2, 7, 6, 4])


def scalar_time() -> xr.Dataset:
    return plain().isel(time=0)


def twice() -> xr.Dataset:
    return xr.concat([plain(), plain().isel(time=[4])], "time")


def in_words() -> xr.Dataset:
    return plain().assign_coords(time=[str(date)[:10] for date in plain().time.values])


DAYS = np.arange(9.0)
HUGE = 12 * 366 * 24 * 3600 * 10**9

CASES = {
    # Gaps that are longer than half of int64's nanoseconds times their number of dates
    "daily, a gap of 400 days": Case(
        lambda: with_gap(410, 400, 40), means=lambda: filled_up(410, 400, 40), reference=False
    ),
    "daily, a gap of ten years": Case(
        lambda: with_gap(40, 3653, 40), means=lambda: with_gap(40, 3653, 40), reference=False
    ),
    "daily, a gap of 340 days": Case(lambda: with_gap(20, 340, 20), means=lambda: with_gap(20, 340, 20)),
    "hourly, a gap of 100 days": Case(
        lambda: with_gap(40, 100, 40, 1 / 24), means=lambda: with_gap(40, 100, 40, 1 / 24)
    ),
    "every minute, a gap of a year": Case(
        lambda: with_gap(20, 365, 20, 1 / 1440), means=lambda: with_gap(20, 365, 20, 1 / 1440)
    ),
    "every second, a gap of a year": Case(
        lambda: with_gap(20, 365, 20, 1 / 86400), means=lambda: with_gap(20, 365, 20, 1 / 86400)
    ),
    "two dates, 200 years apart": Case(lambda: at([0, 73000]), means=lambda: at([0, 73000]), reference=False),
    "dates in no order": Case(shuffled),
    "dates backwards": Case(lambda: plain().isel(time=slice(None, None, -1))),
    "a date twice, equal maps": Case(twice),
    "nearly equal dates": Case(
        lambda: at(DAYS + 1e-7 * np.arange(9)), reference=False, means=lambda: at(DAYS + 1e-7 * np.arange(9))
    ),
    "one time is infinite": Case(lambda: numbers([*DAYS[:8], np.inf], "days since 2020-01-01"), "infinite"),
    "two times are infinite": Case(
        lambda: numbers([-np.inf, *DAYS[1:8], np.inf], "days since 2020-01-01"), "infinite"
    ),
    "one time is NaN": Case(
        lambda: numbers([*DAYS[:8], np.nan], "days since 2020-01-01"),
        "1 of the dates are missing or infinite",
    ),
    "all times are NaN": Case(lambda: numbers([np.nan] * 9, "days since 2020-01-01"), "time"),
    "all times are zero": Case(lambda: numbers([0.0] * 9, "days since 2020-01-01"), "several dates"),
    "times of 1e300": Case(lambda: numbers(DAYS * 1e300, "days since 2020-01-01"), "time"),
    "times of 1e10 days": Case(lambda: numbers(DAYS * 1e10, "days since 2020-01-01"), "time"),
    "netCDF's fill value among the times": Case(
        lambda: numbers([*DAYS[:8], netCDF4.default_fillvals["f8"]], "days since 2020-01-01"), "time"
    ),
    "times without units": Case(lambda: numbers(DAYS, None), "no units of time"),
    "units of nothing": Case(lambda: numbers(DAYS, "days since"), "time"),
    "units since no date": Case(lambda: numbers(DAYS, "days since yesterday"), "days since yesterday"),
    "units since a thirteenth month": Case(lambda: numbers(DAYS, "days since 2020-13-01"), "2020-13-01"),
    "units since the year zero": Case(
        lambda: numbers(DAYS + 737790, "days since 0000-01-01"), "", reference=False, means=lambda: plain()
    ),
    "units in fortnights": Case(lambda: numbers(DAYS, "fortnights since 2020-01-01"), "fortnights"),
    "units in capitals": Case(lambda: numbers(DAYS, "DAYS SINCE 2020-01-01"), "DAYS SINCE"),
    "units with a time zone": Case(lambda: numbers(DAYS, "days since 2020-01-01 00:00:00 +00:00")),
    "units with a T and a Z": Case(lambda: numbers(DAYS, "days since 2020-01-01T00:00:00Z")),
    "units with markup": Case(lambda: numbers(DAYS, "days [/red] since 2020-01-01"), "time"),
    "a calendar of 360 days": Case(
        lambda: numbers(DAYS, "days since 2020-01-01", "360_day"),
        means=plain,
    ),
    "a calendar without leap days": Case(lambda: numbers(DAYS, "days since 2020-01-01", "noleap")),
    "a calendar that nobody knows": Case(lambda: numbers(DAYS, "days since 2020-01-01", "maya"), "maya"),
    "an empty calendar": Case(lambda: numbers(DAYS, "days since 2020-01-01", ""), "calendar ''"),
    "microseconds": Case(lambda: numbers(DAYS * 86400e6, "microseconds since 2020-01-01")),
    "bytes as days": Case(lambda: numbers(DAYS, "days since 2020-01-01", kind="i1")),
    "unsigned 64-bit seconds": Case(lambda: numbers(DAYS * 86400, "seconds since 2020-01-01", kind="u8")),
    "single precision seconds since 1900": Case(
        lambda: numbers(43829 * 86400.0 + DAYS * 86400, "seconds since 1900-01-01", kind="f4"),
        reference=False,
    ),
    "dates as text": Case(in_words),
    "dates as objects": Case(lambda: numbers([f"day {k}" for k in range(9)], None, kind=str), "time"),
    "dates as YYYYMMDD": Case(lambda: numbers(20200101 + DAYS, "day as %Y%m%d.%f")),
    "the year 3000": Case(lambda: numbers(DAYS, "days since 3000-01-01"), reference=False),
    "the year 500": Case(
        lambda: numbers(DAYS, "days since 0500-01-01", "proleptic_gregorian"), reference=False
    ),
    "one date": Case(lambda: plain().isel(time=[0]), "needs several dates"),
    "a date without a dimension": Case(scalar_time, "needs several dates"),
    "no date": Case(lambda: plain().isel(time=[]), "no dates"),
    "no time": Case(lambda: plain().drop_vars("time"), "time dimension without a time variable"),
    "a time step of 1e-7 days": Case(plain, "--time-step", f"{FILL} --time-step 1e-7"),
    "a time step of 1e9 days": Case(plain, "--time-step", f"{FILL} --time-step 1e9"),
    "a time step of 1e300 days": Case(plain, "--time-step", f"{FILL} --time-step 1e300"),
    "a time step of none": Case(plain, words=f"{FILL} --time-step none"),
    "a time step of NaN": Case(plain, "'nan' is not a positive number", f"{FILL} --time-step nan"),
    "a period before all": Case(plain, "no date lies in the period", f"{FILL} --period 1999"),
    "a period that is none": Case(
        plain, "cannot be read as two dates", f"{FILL} --period 2020-02-31/2020-13-99"
    ),
    "a period of three": Case(plain, "no start and end", f"{FILL} --period 2020/2021/2022"),
}


@pytest.mark.parametrize("name", CASES)
def test_dates(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: Any) -> None:
    check(CASES[name], tmp_path, monkeypatch, capfd)
