"""Anomalies and heatwaves of a record with an event of known start, duration and category."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from filledmaps import make_filled
from oceanfill.pipeline.derived.climatology import compute_climatology
from oceanfill.pipeline.derived.heatwaves import detect

import oceanfill

START, YEARS = "2000-01-01", 10
DATES = pd.date_range(START, f"{2000 + YEARS - 1}-12-31")
FIRST = DATES.get_loc("2005-07-10")


def make_record() -> np.ndarray:
    """A seasonal cycle with an offset for each year, whose 90th percentile is 0.8 above the mean."""
    cycle = 15 + 5 * np.sin(2 * np.pi * (DATES.day_of_year.to_numpy() - 100) / 365.25)
    scatter = np.linspace(-1, 1, YEARS)[DATES.year - 2000]
    return cycle + scatter


def make_event(excess: float, days: int = 8) -> xr.Dataset:
    """The record with an event in one of its four cells, so many times the threshold above the mean."""
    values = np.tile(make_record()[:, None, None], (1, 2, 2))
    mean, threshold = compute_climatology(values, leap_days())
    day = leap_days()[FIRST : FIRST + days]
    values[FIRST : FIRST + days, 0, 1] = (mean + excess * (threshold - mean))[day, 0, 1]
    values[FIRST - 30 : FIRST, 0, 1] = values[FIRST + days : FIRST + days + 30, 0, 1] = 10
    return make_filled(values, [40, 41], [3, 4], start=START)


def leap_days() -> np.ndarray:
    return pd.DatetimeIndex([f"2000-{date:%m-%d}" for date in DATES]).day_of_year.to_numpy() - 1


def test_the_climatology_pools_days_and_years() -> None:
    mean, threshold = compute_climatology(make_record()[:, None], leap_days())
    assert mean.shape == (366, 1)
    day = 190
    assert mean[day, 0] == pytest.approx(15 + 5 * np.sin(2 * np.pi * (day + 1 - 100) / 365.25), abs=0.1)
    assert 0.75 < threshold[day, 0] - mean[day, 0] < 0.95


@pytest.fixture
def record(tmp_path: Path) -> str:
    """A file with the record without the event."""
    values = np.tile(make_record()[:, None, None], (1, 2, 2))
    make_filled(values, [40, 41], [3, 4], start=START).to_netcdf(tmp_path / "long.nc")
    return str(tmp_path / "long.nc")


def find_event(found: xr.Dataset) -> xr.Dataset:
    """The event that was made, among those of the record's warm years."""
    here = (found.event_latitude == 40) & (found.event_longitude == 4)
    days = abs(found.event_start - DATES[FIRST].to_datetime64()) < np.timedelta64(3, "D")
    (number,) = np.flatnonzero(here & days)
    return found.isel(event=number)


def test_start_and_duration_of_a_known_event_in_its_own_record() -> None:
    found = oceanfill.derive(make_event(2.5), what="heatwaves")
    event = find_event(found)
    assert event.event_start.to_numpy() == DATES[FIRST].to_datetime64()
    assert event.event_end.to_numpy() == DATES[FIRST + 7].to_datetime64()
    assert int(event.event_duration) == 8
    flags = found.sst_heatwave_category[FIRST - 1 : FIRST + 9, 0, 1]
    np.testing.assert_array_equal(flags > 0, [False] + 8 * [True] + [False])


@pytest.mark.parametrize(("excess", "category"), [(1.5, 1), (2.5, 2), (3.5, 3), (6.0, 4)])
def test_category_against_the_climatology_of_another_file(record: str, excess: float, category: int) -> None:
    short = make_event(excess).isel(time=slice(FIRST - 20, FIRST + 40))
    event = find_event(oceanfill.derive(short, what="heatwaves", climatology=record))
    assert (int(event.event_duration), int(event.event_category)) == (8, category)
    mean, threshold = compute_climatology(make_record()[:, None], leap_days())
    day = leap_days()[FIRST : FIRST + 8]
    anomaly = excess * (threshold - mean)[day, 0]
    assert float(event.event_intensity_max) == pytest.approx(anomaly.max(), rel=1e-4)
    assert float(event.event_intensity_cumulative) == pytest.approx(anomaly.sum(), rel=1e-4)
    assert event.event_peak.to_numpy() == DATES[FIRST + int(anomaly.argmax())].to_datetime64()


def test_a_record_that_is_too_short_or_elsewhere(record: str) -> None:
    short = make_event(2.5).isel(time=slice(FIRST - 20, FIRST + 40))
    with pytest.raises(oceanfill.InputError, match=r"needs 5 years or more, and the record has 0\.2"):
        oceanfill.derive(short, what="heatwaves")
    with pytest.raises(oceanfill.InputError, match=r"its grid \(2 x 2\) is not that of"):
        oceanfill.derive(short.assign_coords(lat=[50, 51]), what="heatwaves", climatology=record)
    with pytest.raises(oceanfill.InputError, match="needs 5 years or more"):
        oceanfill.derive(short, what="anomalies", climatology=record, baseline="2001/2003")


def test_probability_of_a_day_is_the_share_of_the_samples() -> None:
    filled = make_event(2.5)
    cold = filled.sst.to_numpy().copy()
    cold[FIRST : FIRST + 8] = 10
    broken = filled.sst.to_numpy().copy()
    broken[FIRST + 4] = 10  # four days and three with a gap of one: no five in a row
    warm = filled.sst.to_numpy()
    filled = make_filled(warm, [40, 41], [3, 4], start=START, samples=np.stack([warm, warm, cold, broken]))
    found = oceanfill.derive(filled, what="heatwaves")
    np.testing.assert_allclose(found.sst_heatwave_probability[FIRST : FIRST + 8, 0, 1], 0.5)


@pytest.mark.parametrize(
    ("days", "expected"),
    [
        ("0111110", "0111110"),
        ("0111100", "0000000"),
        ("11111001111100", "11111111111100"),  # a gap of two days is bridged
        ("1111100011111", "1111100011111"),
        ("1111101111", "1111100000"),  # the second run is too short to be joined
        ("0011111", "0011111"),
    ],
)
def test_runs_and_gaps(days: str, expected: str) -> None:
    above = np.array([day == "1" for day in days])
    assert "".join("01"[int(day)] for day in detect(above[:, None])[:, 0]) == expected


def test_anomaly_and_percentile() -> None:
    filled = make_filled(
        np.tile(make_record()[:, None, None], (1, 2, 2)), [40, 41], [3, 4], start=START, error=0.3
    )
    found = oceanfill.derive(filled, what="anomalies")
    date = DATES.get_loc("2009-01-15")  # of the warmest year; the cycle turns here, so neighbours are alike
    assert float(found.sst_anomaly[date, 0, 0]) == pytest.approx(1.0, abs=0.1)
    assert float(found.sst_anomaly_error[date, 0, 0]) == pytest.approx(0.3)
    assert 90 < float(found.sst_percentile[date, 0, 0]) <= 100
    coldest = DATES.get_loc("2000-01-15")
    assert 0 < float(found.sst_percentile[coldest, 0, 0]) <= 10
    assert found.attrs["climatology_period"] == "2000-01-01 to 2009-12-31"


def test_refusals() -> None:
    weekly = make_filled(np.ones((4, 2, 2)), [40, 41], [3, 4])
    weekly["time"] = pd.date_range("2000-01-01", periods=4, freq="7D")
    with pytest.raises(oceanfill.InputError, match="need daily values, and the dates are 7 days apart"):
        oceanfill.derive(weekly, what="heatwaves")
    gap = make_filled(np.ones((9, 2, 2)), [40, 41], [3, 4]).isel(time=[0, 1, 2, 3, 6, 7, 8])
    with pytest.raises(oceanfill.InputError, match="3 days follow 2020-01-04; fill with time_step=1"):
        oceanfill.derive(gap, what="heatwaves")
    height = make_filled(np.ones((9, 2, 2)), [40, 41], [3, 4], name="adt", units="m")
    with pytest.raises(oceanfill.InputError, match="adt is in m, not in units of temperature"):
        oceanfill.derive(height, what="heatwaves")
