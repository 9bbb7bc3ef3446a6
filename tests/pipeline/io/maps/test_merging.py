"""Dates: sorted, maps of the same date merged with their errors and masks, absent ones added."""

from __future__ import annotations

from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from fields import cloudy_dataset
from oceanfill.pipeline.errors import InputError
from oceanfill.pipeline.io.field import open_field
from oceanfill.pipeline.io.maps.merging import find_absent, plan_dates
from oceanfill.pipeline.io.opening import Opening
from oceanfill.pipeline.records.prepare import prepare
from product_l3m import DAYS, write_l3m
from series import series, write

Many = list[list[str]]


def plan(dates: Many, **options: Any) -> Any:
    """The plan of files, each with some dates."""
    files = [f"{'abcdef'[number]}.nc" for number, own in enumerate(dates) for _ in own]
    return plan_dates(pd.DatetimeIndex(list(chain(*dates))), files, Opening(**options))


def test_dates_in_no_order_are_sorted_and_told() -> None:
    found = plan([["2020-01-03", "2020-01-01", "2020-01-02"]])
    assert found.maps == ((1,), (2,), (0,))
    assert found.notes == ("dates out of order, now sorted: 1 of a.nc (2020-01-01)",)
    assert plan([["2020-01-03", "2020-01-02", "2020-01-01"]]).notes == ()


def test_two_satellites_pass_on_the_same_day_at_other_hours() -> None:
    terra = [f"2020-01-0{day}T10:30" for day in (1, 2, 3, 4)]
    aqua = [f"2020-01-0{day}T13:3{day}" for day in (1, 2, 4)]
    found = plan([terra, aqua])
    assert found.maps == ((0, 4), (1, 5), (2,), (3, 6))
    np.testing.assert_array_equal(found.dates, pd.date_range("2020-01-01", periods=4))
    # In one file, as from a geostationary satellite, they are dates of their own.
    assert len(plan([terra + aqua]).maps) == 7
    # So they are where a series has two maps a day.
    assert len(plan([[*terra, "2020-01-01T22:30"], aqua]).maps) == 8
    # A map alone says nothing about its series.
    assert len(plan([["2020-01-01T10:30"], ["2020-01-01T13:30"]]).maps) == 2


def test_months_of_two_products_are_the_same_whatever_their_day() -> None:
    found = plan([["2020-01-01", "2020-02-01", "2020-03-01"], ["2020-01-16", "2020-02-15", "2020-03-16"]])
    assert found.maps == ((0, 3), (1, 4), (2, 5))
    np.testing.assert_array_equal(found.dates, pd.date_range("2020-01-01", periods=3, freq="MS"))


def test_a_time_step_gathers_and_completes() -> None:
    hours = [f"2020-01-01T{hour:02}" for hour in (0, 2, 5, 7, 13)]
    found = plan([hours], time_step=0.25)
    assert found.maps == ((0, 1), (2, 3), (4,))
    np.testing.assert_array_equal(found.dates, pd.date_range("2020-01-01", periods=3, freq="6h"))
    assert plan([["2020-01-01", "2020-01-02"]], time_step=0.5).maps == ((0,), (), (1,))


def lacking(dates: pd.Index, *places: int) -> list[Any]:
    return [date for found in find_absent(dates.delete(places))[0].values() for date in found]


def test_absent_dates_of_a_regular_record() -> None:
    days = pd.date_range("2020-02-20", periods=22)
    assert lacking(days, 8, 9) == [days[8], days[9]]
    assert lacking(days[:12], 5) == [days[5]]  # nine of ten steps are equal
    assert lacking(days[:11], 5) == []  # eight of nine
    assert lacking(days, 3, 8, 13) == []
    months = pd.date_range("2019-01-01", periods=14, freq="MS")
    assert lacking(months, 1, 2) == [months[1], months[2]]
    ends = pd.date_range("2019-01-31", periods=14, freq="ME")
    assert lacking(ends, 1) == [pd.Timestamp("2019-02-28")]
    middles = months + (months + pd.offsets.MonthBegin() - months) / 2
    assert lacking(middles, 6) == [pd.Timestamp("2019-07-16T12:00")]
    fifteenths = months + pd.Timedelta(days=14)
    assert lacking(fifteenths, 1) == [pd.Timestamp("2019-02-15")]
    assert find_absent(months.delete(4))[1] == "a calendar month"
    noleap = xr.date_range("2019-12-01", periods=14, freq="MS", calendar="noleap", use_cftime=True)
    assert lacking(noleap, 5) == [noleap[5]]
    far = days.append(days + pd.Timedelta(days=365))
    assert find_absent(far) == ({}, "")  # two seasons: more would be absent than is there


def test_jittering_seconds_are_one_regular_step() -> None:
    hours = pd.date_range("2019-06-01", periods=48, freq="h")
    jitter = pd.to_timedelta(np.random.default_rng(0).integers(-90, 90, 48), "s")
    kept = (hours + jitter).delete([10, 11, 30])
    found = plan_dates(kept, ["a.nc"] * 45, Opening())
    assert len(found.dates) == 48
    assert np.abs(found.dates - hours).max() <= pd.Timedelta(seconds=90)
    assert not found.present[[10, 11, 30]].any()
    assert found.present.sum() == 45
    assert "which get a map by its step of 1 hour: 3" in found.notes[0]
    assert len(plan_dates(kept, ["a.nc"] * 45, Opening(time_step="none")).dates) == 45


@pytest.fixture
def twins() -> tuple[xr.Dataset, xr.Dataset]:
    """Two files of the same dates, with errors; the second is higher by one where both observe."""
    first = series(nt=3).assign(error=lambda d: 0 * d.sst + 0.3)
    second = first.assign(sst=first.sst + 1, error=0 * first.sst + 0.4)
    first.sst[0, 0, 0] = np.nan
    second.sst[0, 0, 1] = np.nan
    second["sst"][1, 1, 1] = first.sst[1, 1, 1]  # the same observation
    return first, second


@pytest.mark.parametrize("stored", [False, True])
def test_means_are_weighted_by_errors_and_their_error_follows(
    tmp_path: Path, twins: tuple[xr.Dataset, xr.Dataset], stored: bool
) -> None:
    paths = [write(one, tmp_path / f"{name}.nc") for one, name in zip(twins, "ab", strict=True)]
    names = {"variable": "sst", "error_variable": "error"}
    source = prepare(paths, tmp_path / "all.zarr", **names) if stored else paths
    field = open_field(source, **(names | {"variable": None} if stored else names))
    first, second = (one.sst.to_numpy() for one in twins)
    expected = (first / 0.3**2 + second / 0.4**2) / (1 / 0.3**2 + 1 / 0.4**2)
    expected[0, 0, :2] = second[0, 0, 0], first[0, 0, 1]
    expected[1, 1, 1] = first[1, 1, 1]
    np.testing.assert_allclose(field.values, expected, rtol=1e-6)
    error = np.full(first.shape, (1 / 0.3**2 + 1 / 0.4**2) ** -0.5)
    error[0, 0, :2] = 0.4, 0.3
    error[1, 1, 1] = 0.3
    np.testing.assert_allclose(np.sqrt(field.error_variance), error, rtol=1e-6)


def test_one_error_for_all_falls_with_the_number_of_maps(
    twins: tuple[xr.Dataset, xr.Dataset], tmp_path: Path
) -> None:
    paths = [write(one, tmp_path / f"{name}.nc") for one, name in zip(twins, "ab", strict=True)]
    field = open_field(paths, variable="sst", observation_error=0.2)
    error = np.sqrt(field.error_variance)
    np.testing.assert_allclose(error[2], 0.2 / np.sqrt(2), rtol=1e-6)
    np.testing.assert_allclose([error[0, 0, 0], error[0, 0, 1], error[1, 1, 1]], 0.2, rtol=1e-6)
    (told,) = field.treatment
    assert told.startswith(
        "dates with several maps: 3 (2020-02-27, 2020-02-28, 2020-02-29), 6 maps reduced to"
    )


@pytest.mark.parametrize(("merge", "number"), [("first", 0), ("last", 1)])
def test_the_first_or_the_last_map_is_taken_whole(
    twins: tuple[xr.Dataset, xr.Dataset], tmp_path: Path, merge: str, number: int
) -> None:
    paths = [write(one, tmp_path / f"{name}.nc") for one, name in zip(twins, "ab", strict=True)]
    field = open_field(paths, variable="sst", error_variable="error", merge=merge)
    np.testing.assert_array_equal(field.values, twins[number].sst)
    assert np.sqrt(field.error_variance[2, 0, 0]) == np.float32((0.3, 0.4)[number])


def test_a_date_twice_in_a_file(tmp_path: Path) -> None:
    path = write(series().isel(time=[0, 1, 1, 2, 3]), tmp_path / "a.nc")
    np.testing.assert_array_equal(open_field(path).source, series().sst)
    with pytest.raises(InputError, match=r"a\.nc: dates with several maps: 1 \(2020-02-28\); choose how"):
        open_field(path, merge="refuse")


def test_the_sea_is_that_of_any_map(tmp_path: Path) -> None:
    """Masks that differ between two sensors and dates, as flags, in memory and in a store."""
    dataset = cloudy_dataset(dates=4, rows=5, columns=6).drop_vars("truth")
    mask = xr.zeros_like(dataset.sst, np.int8).assign_attrs(
        flag_masks=np.array([1, 2], np.int8), flag_meanings="sea cloud"
    )
    mask[0, 4, 3:] = mask[2, 3, 3] = 3
    other = mask.copy(data=mask.to_numpy() * 0)
    other[1, 2, 4] = 1
    for name, sea in (("a", mask), ("b", other)):
        dataset.assign(mask=sea).to_netcdf(tmp_path / f"{name}.nc")
    field = open_field(str(tmp_path / "*.nc"))
    assert set(map(tuple, np.argwhere(field.sea))) == {(4, 3), (4, 4), (4, 5), (3, 3), (2, 4)}
    stored = open_field(prepare(str(tmp_path / "*.nc"), tmp_path / "all.zarr"))
    np.testing.assert_array_equal(stored.sea, field.sea)


def test_dates_that_are_added_do_not_turn_sea_into_land(tmp_path: Path) -> None:
    """A pixel that is observed on one of 20 dates is sea at 5%, also after dates were added."""
    dataset = series(nt=21).isel(time=[n for n in range(21) if n != 10])
    dataset["sst"][1:, 1, 1] = np.nan
    path = write(dataset, tmp_path / "a.nc")
    field = open_field(path)
    assert len(field.dates) == 21
    assert field.sea.all()
    assert open_field(prepare(path, tmp_path / "all.zarr")).sea.all()


def test_terra_and_aqua_make_one_record(tmp_path: Path) -> None:
    paths = [
        *write_l3m(tmp_path, [*range(9), *range(10, 14)], "TERRA"),
        *write_l3m(tmp_path, [*range(3), *range(4, 9), *range(10, 14)], "AQUA"),
    ]
    field = open_field(paths)
    np.testing.assert_array_equal(field.dates, DAYS)
    share = field.observed[[0, 3, 9]].mean(axis=(1, 2))
    assert share[0] > 0.8 > share[1] > 0.5 > share[2] == 0
    stored = open_field(prepare(paths, tmp_path / "all.zarr"))
    np.testing.assert_array_equal(stored.values, field.values)
