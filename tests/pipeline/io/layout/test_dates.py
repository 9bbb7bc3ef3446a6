from __future__ import annotations

import cftime
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from oceanfill.pipeline.io.layout.dates import (
    days_since_first,
    find_time_oddities,
    format_date,
    in_period,
    season_phase,
)


def test_days_and_season_respect_the_calendar() -> None:
    standard = pd.DatetimeIndex(["2020-02-28", "2020-03-01T12:00"])
    assert days_since_first(standard).tolist() == [0, 2.5]
    np.testing.assert_allclose(season_phase(standard), [58 / 366, 60.5 / 366], rtol=1e-15)
    for make, gap, length in (
        (cftime.DatetimeNoLeap, 1.5, 365),
        (cftime.Datetime360Day, 3.5, 360),
        (cftime.DatetimeJulian, 2.5, 366),
    ):
        dates = xr.CFTimeIndex([make(2020, 2, 28), make(2020, 3, 1, 12)])
        start = 57 if make is cftime.Datetime360Day else 58
        assert days_since_first(dates).tolist() == [0, gap]
        np.testing.assert_allclose(season_phase(dates), [start / length, (start + gap) / length], rtol=1e-15)


def test_records_longer_than_nanoseconds_can_count() -> None:
    dates = xr.CFTimeIndex([cftime.DatetimeNoLeap(1, 1, 1), cftime.DatetimeNoLeap(1001, 1, 1)])
    assert days_since_first(dates).tolist() == [0, 365_000]


@pytest.mark.parametrize("step", ["D", "8D", "MS", "ME", "6h"])
def test_regular_steps_are_no_oddity(step: str) -> None:
    assert find_time_oddities(pd.date_range("2020-01-01", periods=30, freq=step)) == []


def test_an_irregular_step_names_the_absent_dates() -> None:
    dates = pd.date_range("2020-02-27", periods=9)
    assert find_time_oddities(dates.delete([4, 5, 6])) == [
        "irregular time step: mostly 1, from 1 to 4 days (absent: 2020-03-02, 2020-03-03, 2020-03-04)"
    ]
    other = xr.date_range("2020-02-27", periods=9, calendar="360_day", use_cftime=True)
    assert find_time_oddities(other.delete([2])) == [
        "irregular time step: mostly 1, from 1 to 2 days (absent: 2020-02-29)"
    ]
    uneven = pd.DatetimeIndex(["2020-01-01", "2020-01-02", "2020-01-03T06:00", "2020-01-04", "2020-01-05"])
    assert find_time_oddities(uneven) == ["irregular time step: mostly 1, from 0.75 to 1.25 days"]


def test_dates_that_can_hardly_be_meant_are_odd() -> None:
    (counted,) = find_time_oddities(pd.to_datetime(np.arange(5), unit="s"))
    assert counted.startswith("the dates are one second apart (1970-01-01 to 1970-01-01T00:00:04)")
    (early,) = find_time_oddities(pd.date_range("1949-12-30", periods=5))
    assert "outside the years 1950 to 2100" in early
    assert len(find_time_oddities(pd.date_range("2099-12-30", periods=900))) == 1
    assert find_time_oddities(pd.date_range("2100-12-20", periods=5)) == []
    assert find_time_oddities(pd.date_range("1970-01-01", periods=5)) == []


def test_a_period_of_dates_in_no_order() -> None:
    dates = pd.DatetimeIndex(["2020-03-01", "2020-01-31T18:00", "2020-02-01"])
    assert in_period(dates, "2020-01/2020-02").tolist() == [False, True, True]
    assert in_period(dates, "2020-01-31/2020-01-31").tolist() == [False, True, False]
    assert in_period(dates, (None, "2019")).tolist() == [False, False, False]


def test_a_date_is_written_without_midnight() -> None:
    assert format_date(pd.Timestamp("2020-01-01")) == "2020-01-01"
    assert format_date(cftime.Datetime360Day(2020, 2, 30, 6)) == "2020-02-30T06:00:00"
