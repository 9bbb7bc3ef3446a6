"""The dates of maps, wherever a provider has put them."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

import cftime
import numpy as np
import pytest
import xarray as xr
from oceanfill.pipeline.io.field import open_field
from oceanfill.pipeline.io.providers.timestamps import choose_date, decode_dates, find_interval
from oceanfill.pipeline.records.prepare import prepare
from product_l3m import DAYS, write_l3m
from series import series


def decode(values: Any, attrs: dict[str, Any] | None = None) -> np.ndarray:
    dataset = xr.Dataset({"time": ("time", values, attrs or {})})
    return decode_dates("a.nc", dataset).time.values


@pytest.mark.parametrize(
    ("name", "date"),
    [
        ("AQUA_MODIS.20190601.L3m.DAY.CHL.chlor_a.4km.nc", "2019-06-01"),
        ("A2019152.L3m_DAY_CHL_chlor_a_4km.nc", "2019-06-01"),
        ("AQUA_MODIS.20190601T133500.L2.OC.nc", "2019-06-01T13:35"),
        ("20190601120000-ESACCI-L4_GHRSST-SSTdepth.nc", "2019-06-01T12:00"),
        ("A2019152120500.L2_LAC_OC.nc", "2019-06-01T12:05"),
        ("sst_2019-06-01.nc", "2019-06-01"),
        ("AQUA_MODIS.20190601_20190608.L3m.8D.CHL.nc", "2019-06-05"),
        ("AQUA_MODIS.20190601_20190630.L3m.MO.CHL.nc", "2019-06-16"),
        ("A20190012019008.L3m_8D_CHL_chlor_a_4km.nc", "2019-01-05"),
        ("A20021212002128.L3m_8D_CHL_chlor_a_4km.nc", "2002-05-05"),  # not 12 December at 00:21:28
        ("nrt_med_phy_l4_20050401_20210726.nc", "2005-04-01"),  # the second is when it was made
        ("mercator_20191301_v202012.nc", None),
        ("grid_1999999_4km.nc", None),
    ],
)
def test_the_date_in_a_name(name: str, date: str | None) -> None:
    interval = find_interval(name)
    assert (None if interval is None else choose_date(*interval)) == (
        None if date is None else datetime.fromisoformat(date)
    )


@pytest.mark.parametrize(
    ("start", "end", "date"),
    [
        ("2019-06-01T00:20:09", "2019-06-02T02:55", "2019-06-01"),
        ("2019-05-31T22:10", "2019-06-01T22:00", "2019-06-01"),
        ("2019-06-01T00:20:09", "2019-06-09T02:55", "2019-06-05"),
        ("2019-06-01T10:00", "2019-06-01T10:59:59", "2019-06-01T10:30"),
    ],
)
def test_a_mean_has_the_date_of_its_day_or_its_middle(start: str, end: str, date: str) -> None:
    assert choose_date(*map(datetime.fromisoformat, (start, end))) == datetime.fromisoformat(date)


@pytest.mark.parametrize(
    ("values", "attrs", "dates"),
    [
        ([20190601.5, 20190602.25], {}, ["2019-06-01T12", "2019-06-02T06"]),
        ([20190601, 20190602], {"units": "day as %Y%m%d.%f"}, ["2019-06-01", "2019-06-02"]),
        ([2019152, 2019153], {}, ["2019-06-01", "2019-06-02"]),
        ([201906, 201907], {}, ["2019-06-01", "2019-07-01"]),
        ([737577.25, 737578.0], {}, ["2019-06-01T06", "2019-06-02"]),  # MATLAB: datenum(2019, 6, 1, 6, 0, 0)
        ([737576.25, 737577], {"units": "days since 0000-01-01 00:00:00"}, ["2019-06-01T06", "2019-06-02"]),
        ([737577, 737578.0], {"units": "days since 0000-00-00"}, ["2019-06-01", "2019-06-02"]),
        ([0, 13, 1.5], {"units": "months since 1955-01-31"}, ["1955-01-31", "1956-02-29", "1955-03-14"]),
        ([0.5, 1.5], {"units": "months since 2000-01-01"}, ["2000-01-16T12", "2000-02-15T12"]),
        ([1, 2], {"units": "years since 2000-03-01"}, ["2001-03-01", "2002-03-01"]),
        (["2019-06-01T00:00:00Z", "2019-06-02"], {}, ["2019-06-01", "2019-06-02"]),
    ],
)
def test_dates_that_the_conventions_do_not_know(values: list[Any], attrs: Any, dates: list[str]) -> None:
    found = decode(values, attrs)
    np.testing.assert_array_equal(found, np.array(dates, "datetime64[ns]"))


@pytest.mark.parametrize("values", [[0.0, 1, 2], [1e5, 1e6, 1e7], [np.nan, 20190601]])
def test_numbers_that_are_no_dates_stay_as_they_are(values: list[float]) -> None:
    np.testing.assert_array_equal(decode(values), values)


def test_model_years_in_other_calendars_are_left_to_them() -> None:
    attrs = {"units": "days since 0000-01-01", "calendar": "noleap"}
    assert decode([365.0, 366.0], attrs)[0] == cftime.DatetimeNoLeap(1, 1, 1, has_year_zero=True)


@pytest.mark.parametrize(
    ("length", "place", "expected"),
    [
        (1, 1, 0),  # a day that is dated by its end: by its start
        (1, 0, 0),
        (8, 0, 4),
        (8, 1, 4),
        (8, 0.5, 4),
        (0.25, 1, 0.125),
    ],
)
def test_means_dated_by_one_end_are_dated_by_their_middle(
    length: float, place: float, expected: float
) -> None:
    starts = 17000 + length * np.arange(3)
    attrs = {"units": "days since 1970-01-01", "bounds": "time_bnds"}
    dataset = xr.Dataset(
        {"time_bnds": (("time", "nv"), np.stack([starts, starts + length], 1))},
        {"time": ("time", starts + place * length, attrs)},
    )
    found = decode_dates("a.nc", dataset)
    days = (found.time.values - np.datetime64("1970-01-01", "ns")) / np.timedelta64(1, "D")
    np.testing.assert_allclose(days, starts + expected, rtol=0, atol=1e-9)
    assert ("_dated_by" in found.time.attrs) == (place != 0.5 and (length != 1 or place == 1))


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ({}, "dates taken from time_coverage_start and time_coverage_end"),
        ({"attributes": False}, "dates taken from the file's name"),
    ],
)
def test_maps_of_ocean_colour_have_the_date_of_their_day(
    tmp_path: Path, how: dict[str, bool], words: str
) -> None:
    """In memory and in a store; days without a file get a map."""
    write_l3m(tmp_path, [n for n in range(14) if n != 5], **how)
    field = open_field(str(tmp_path / "*.nc"))
    np.testing.assert_array_equal(field.dates, DAYS)
    assert field.source.dims == ("time", "lat", "lon")
    assert not field.observed[5].any()
    assert field.observed[[4, 6]].any(axis=(1, 2)).all()
    assert words in field.treatment
    stored = open_field(prepare(str(tmp_path / "*.nc"), tmp_path / "all.zarr"))
    np.testing.assert_array_equal(stored.values, field.values)
    np.testing.assert_array_equal(stored.dates, DAYS)
    assert words in stored.treatment
    assert "dates absent from the input" in str(stored.dataset_attrs["input_treatment"])


def test_the_name_of_the_product_serves_where_the_file_was_renamed(tmp_path: Path) -> None:
    paths = write_l3m(tmp_path, [0, 1, 2], name=False)
    for path in paths:
        data = xr.load_dataset(path)
        del data.attrs["time_coverage_start"]
        data.to_netcdf(path)
    field = open_field(paths)
    np.testing.assert_array_equal(field.dates, DAYS[:3])
    assert "dates taken from product_name" in field.treatment


def test_slices_with_a_scalar_time_go_through_both_ways(tmp_path: Path) -> None:
    whole = series(nt=5).assign(
        error=lambda d: 0.1 + 0.1 * xr.DataArray(np.arange(5), dims="time") + 0 * d.sst
    )
    for number in range(5):
        whole.isel(time=number).to_netcdf(tmp_path / f"{number}.nc")
    field = open_field(str(tmp_path / "*.nc"), variable="sst", error_variable="error")
    np.testing.assert_array_equal(field.values, whole.sst)
    np.testing.assert_allclose(np.sqrt(field.error_variance[:, 0, 0]), 0.1 + 0.1 * np.arange(5), rtol=1e-6)
    names = {"variable": "sst", "error_variable": "error"}
    stored = open_field(
        prepare(str(tmp_path / "*.nc"), tmp_path / "all.zarr", **names), error_variable="error"
    )
    np.testing.assert_array_equal(stored.values, whole.sst)
    np.testing.assert_array_equal(stored.error_variance, field.error_variance)


def test_a_coverage_of_years_does_not_date_a_map() -> None:
    one = series().isel(time=0, drop=True)
    one.attrs = {"time_coverage_start": "2000-01-01", "time_coverage_end": "2019-12-31"}
    assert "time" not in decode_dates("a.nc", one).variables
    assert decode_dates("sst_20190601.nc", one).time.values == np.datetime64("2019-06-01")
