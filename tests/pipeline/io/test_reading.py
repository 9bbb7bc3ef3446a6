"""What is opened, before it is a field: lists of inputs, samples, dates, parts put together.

What is refused, and in which words, is in test_field.py.
"""

from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from fields import cloudy_dataset
from oceanfill.pipeline.errors import InputError
from oceanfill.pipeline.io.coordinates import Layout
from oceanfill.pipeline.io.opening import Opening
from oceanfill.pipeline.io.reading import combine_parts, find_sample, list_inputs, open_input, read_part

LAYOUT = Layout("sst", "time", "lat", "lon", "time", "lat", "lon")


@pytest.fixture
def small():
    return cloudy_dataset(dates=6, rows=5, columns=7).drop_vars("truth")


def part(dataset, *others, **options):
    with open_input(dataset) as (file, found):
        return read_part(file, found, LAYOUT, others, Opening(**options))


def test_inputs_are_listed_in_the_order_given_and_globs_in_that_of_the_names(tmp_path):
    for name in ("b_2.nc", "b_10.nc", "a.nc"):
        (tmp_path / name).touch()
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "b_3.nc").touch()

    def names(inputs):
        return [Path(path).name for path in list_inputs(inputs)]

    assert names([str(tmp_path / "b_*.nc"), tmp_path / "a.nc"]) == ["b_10.nc", "b_2.nc", "a.nc"]
    assert names(tmp_path / "**" / "b_*.nc") == ["b_10.nc", "b_2.nc", "b_3.nc"]
    (tmp_path / "c[1].nc").touch()
    assert names(tmp_path / "c[1].nc") == ["c[1].nc"], "a file of that name comes before a pattern"


def test_what_is_in_memory_is_taken_as_it_is(small):
    assert list_inputs(small)[0] is small
    assert list(list_inputs(small.sst)[0].data_vars) == ["sst"]
    assert list(list_inputs(small.sst.rename(None))[0].data_vars) == ["variable"]
    with open_input(small) as (file, found):
        assert file == "dataset"
        xr.testing.assert_identical(found.sst, small.sst)


def test_samples_ship_and_others_are_listed():
    assert find_sample("folder/in.nc") == "folder/in.nc"
    path = find_sample("sample:sst_clouds.nc")
    assert Path(path).read_bytes()[:4] == b"\x89HDF"
    with pytest.raises(InputError, match=r"sample:sst.nc: no such sample; choose among .*sst_clouds.nc"):
        list_inputs("sample:sst.nc")


@pytest.mark.parametrize("stamp", ["2020-01-03T12:00:00Z", "2020-01-03T14:00:00+02:00"])
def test_a_map_whose_date_is_only_in_its_attributes(small, stamp):
    """As those of NASA's OceanColor: no time at all, but ACDD's time_coverage_start, in UTC."""
    one = small.isel(time=2, drop=True).assign_attrs(time_coverage_start=stamp)
    found = part(one)
    assert found.data.sst.dims == ("time", "lat", "lon")
    assert found.dates[0] == np.datetime64("2020-01-03T12:00")
    np.testing.assert_array_equal(found.data.sst[0], small.sst[2])


def test_dates_keep_their_units_calendar_and_hours(small, tmp_path):
    small["time"] = (
        "time",
        np.arange(6) * 6.0,
        {"units": "hours since 1999-12-31 18:00", "calendar": "noleap"},
    )
    small.to_netcdf(tmp_path / "a.nc")
    dates = part(str(tmp_path / "a.nc")).dates
    assert dates.calendar == "noleap"
    assert [str(date) for date in dates[:2]] == ["1999-12-31 18:00:00", "2000-01-01 00:00:00"]


def test_a_part_is_cut_to_region_and_period_and_knows_all_dates_of_its_file(small):
    found = part(small, "mask", region=(35.1, 35.3, -5.85, -5.5), period="2020-01-02/2020-01-03")
    expected = small.isel(time=slice(1, 3), lat=slice(1, 4), lon=slice(2, 6))
    xr.testing.assert_equal(found.data.sst.drop_attrs(), expected.sst.drop_attrs())
    np.testing.assert_array_equal(found.data.mask, expected.mask)
    assert len(found.dates) == 6


def test_parts_are_put_together_in_the_order_of_their_dates(small):
    pieces = [part(small.isel(time=dates)) for dates in ([4, 5], [1, 0], [2, 3])]
    together = combine_parts(pieces, LAYOUT)
    np.testing.assert_array_equal(together.time, small.time)
    np.testing.assert_array_equal(together.sst, small.sst)
    one = part(small)
    assert combine_parts([one], LAYOUT) is one.data


def test_parts_without_a_date_in_the_period_add_nothing(small):
    period = "2020-01-02/2020-01-03"
    pieces = [part(small.isel(time=dates), period=period) for dates in (slice(0, 3), slice(3, 6))]
    assert [piece.data.sizes["time"] for piece in pieces] == [2, 0]
    np.testing.assert_array_equal(combine_parts(pieces, LAYOUT).sst, small.sst[1:3])


def test_grids_that_differ_by_less_than_single_precision_are_one(small):
    near = small.isel(time=slice(3, 6)).assign_coords(lon=small.lon.astype("f4").astype("f8"))
    together = combine_parts([part(small.isel(time=slice(0, 3))), part(near)], LAYOUT)
    np.testing.assert_array_equal(together.sst, small.sst)
    np.testing.assert_array_equal(together.lon, small.lon)
    with pytest.raises(InputError, match=r"its grid differs from that of dataset \(positions\)"):
        combine_parts(
            [part(small.isel(time=slice(0, 3))), part(near.assign_coords(lon=near.lon + 1e-3))], LAYOUT
        )
