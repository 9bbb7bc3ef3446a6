"""What is opened, before it is a field: lists of inputs, samples, dates, parts put together.

What is refused, and in which words, is in test_refusals.py.
"""

from pathlib import Path
from typing import Any

import cftime
import numpy as np
import pytest
import xarray as xr
from fields import cloudy_dataset, plain_values
from hypothesis import given, settings
from hypothesis import strategies as st
from oceanfill.pipeline.errors import InputError
from oceanfill.pipeline.io.field import open_field
from oceanfill.pipeline.io.layout.coordinates import Layout
from oceanfill.pipeline.io.maps.merging import combine_parts, merge_parts
from oceanfill.pipeline.io.opening import Opening
from oceanfill.pipeline.io.reading import find_sample, list_inputs, open_input, read_part
from series import series, write

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


def test_a_region_holds_the_points_on_its_edges_in_single_precision(small):
    """Each of the four edges, stored as float32, is just outside the region of these numbers."""
    single = small.assign_coords(lat=small.lat.astype("f4"), lon=small.lon.astype("f4"))
    south, north, west, east = map(float, (*single.lat[[1, 2]], *single.lon[[1, 4]]))
    assert south < 35.1 < 35.2 < north
    assert west < -5.9 < -5.6 < east
    found = part(single, region=(35.1, 35.2, -5.9, -5.6))
    np.testing.assert_array_equal(found.data.lat, single.lat[1:3])
    np.testing.assert_array_equal(found.data.lon, single.lon[1:5])
    turned = part(single, region=(35.2, 35.1, 354.1, 354.4))
    xr.testing.assert_identical(turned.data, found.data)
    narrower = part(single, region=(35.101, 35.399, -5.899, -5.601))
    assert narrower.data.sst.shape == (6, 2, 2)


def test_parts_are_put_together_in_the_order_of_their_dates(small):
    pieces = [part(small.isel(time=dates)) for dates in ([4, 5], [1, 0], [2, 3])]
    together, _ = merge_parts(pieces, LAYOUT, None, Opening())
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


def test_files_out_of_order_are_sorted_by_time(tmp_path: Path) -> None:
    dataset = series(nt=6)
    names = ["c", "a", "b"]
    paths = [
        write(dataset.isel(time=slice(2 * i, 2 * i + 2)), tmp_path / f"{n}.nc") for i, n in enumerate(names)
    ]
    for inputs in (str(tmp_path / "*.nc"), paths, paths[::-1]):
        field = open_field(inputs)
        np.testing.assert_array_equal(field.values, dataset.sst)
        np.testing.assert_array_equal(field.source.time, dataset.time)
        assert sorted(field.inputs) == ["a.nc", "b.nc", "c.nc"]


def test_one_file_a_date_each_packed_in_its_own_way_and_without_a_time_dimension(tmp_path: Path) -> None:
    dataset = series(nt=3)
    for i in range(3):
        one = dataset.isel(time=i, drop=i == 2)
        one.attrs["time_coverage_start"] = f"{str(dataset.time.values[i])[:19]}Z"
        one.sst.encoding = {"dtype": "int16", "scale_factor": 0.001 * (i + 1), "_FillValue": -1}
        write(one, tmp_path / f"{i}.nc")
    np.testing.assert_allclose(open_field(tmp_path / "*.nc").values, dataset.sst, rtol=0, atol=0.0016)


def test_the_mask_of_dated_files_counts_what_is_sea_on_any_date(tmp_path: Path) -> None:
    dataset = series(nt=2)
    sea = np.ones((2, 3, 5), np.int8)
    sea[:, 0, 0] = sea[0, 0, 1] = 0
    dataset["mask"] = (("time", "lat", "lon"), sea)
    paths = [write(dataset.isel(time=[i]), tmp_path / f"{i}.nc") for i in (0, 1)]
    expected = np.ones((3, 5), bool)
    expected[0, 0] = False
    np.testing.assert_array_equal(open_field(paths).sea, expected)


def globe(start: float) -> xr.Dataset:
    lon = start + np.arange(36) * 10.0
    lat = np.arange(-80, 81, 20.0)[::-1]
    values = lat[:, None] + 1000 * (lon % 360) + np.zeros((2, 9, 36))
    dates = np.array(["2020-01-01", "2020-01-02"], "datetime64[ns]")
    return xr.Dataset({"v": (("time", "lat", "lon"), values)}, {"time": dates, "lat": lat, "lon": lon})


@settings(max_examples=40, deadline=None)
@given(st.sampled_from([0.0, -180.0, 20.0]), st.integers(-36, 35), st.integers(1, 36), st.booleans())
def test_a_region_is_contiguous_wherever_the_seam_is(
    start: float, west: int, columns: int, other: bool
) -> None:
    lon0 = 10.0 * west
    lon1 = lon0 + 10 * (columns - 1) + 1
    if other:
        lon0, lon1 = (lon0 + 180) % 360 - 180, (lon1 + 180) % 360 - 180
    field = open_field(globe(start), region=(-41, 20, lon0, lon1))
    assert field.lat[:, 0].tolist() == [-40, -20, 0, 20]
    np.testing.assert_array_equal(np.diff(field.lon[0]), np.full(columns - 1, 10.0))
    if columns < 36:  # all round, the seam stays where it is
        assert (field.lon[0, 0] - lon0) % 360 == 0
    np.testing.assert_allclose(plain_values(field)[0], field.lat + 1000 * (field.lon % 360), rtol=1e-7)
    np.testing.assert_array_equal(field.source.lon % 360, field.lon[0] % 360)
    assert field.source.lon.min() >= start


def test_a_region_of_a_curvilinear_grid(tmp_path: Path) -> None:
    dataset = globe(-180.0).rename(lat="y", lon="x")
    lat, lon = xr.broadcast(dataset.y, dataset.x)
    dataset = dataset.drop_vars(["x", "y"]).assign(
        nav_lat=lat.drop_vars(["x", "y"]), nav_lon=lon.drop_vars(["x", "y"])
    )
    field = open_field(write(dataset, tmp_path / "curvilinear.nc"), region=(-20, 20, 170, 190))
    np.testing.assert_array_equal(field.lon, np.broadcast_to([170.0, 180, 190], (3, 3)))
    np.testing.assert_array_equal(field.source.nav_lon[0], [170, -180, -170])


def test_cells_off_the_disk_of_the_earth_have_no_position(tmp_path: Path) -> None:
    lat, lon = np.meshgrid(np.arange(30.0, 36), np.arange(5.0, 12), indexing="ij")
    disk = np.hypot(lat - 32.5, lon - 8) < 2.6
    values = np.where(disk, np.arange(3.0)[:, None, None] + lat, np.nan)
    lat, lon = (np.where(disk, axis, np.nan) for axis in (lat, lon))
    dataset = xr.Dataset(
        {"sst": (("time", "y", "x"), values, {"units": "degC"})},
        {
            "time": np.arange("2020-01-01", "2020-01-04", dtype="datetime64[D]").astype("datetime64[ns]"),
            "lat": (("y", "x"), lat, {"units": "degrees_north"}),
            "lon": (("y", "x"), lon, {"units": "degrees_east"}),
        },
    )
    field = open_field(write(dataset, tmp_path / "disk.nc"))
    np.testing.assert_array_equal(field.sea, disk)
    np.testing.assert_array_equal(field.lat[disk], lat[disk])
    np.testing.assert_array_equal(field.source.lat, lat)
    dataset.lon[2, 3] = np.nan
    with pytest.raises(InputError, match=r"hole\.nc: 1 values of sst have no lon; complete it"):
        open_field(write(dataset, tmp_path / "hole.nc"))


@pytest.mark.parametrize("calendar", ["standard", "360_day"])
@pytest.mark.parametrize(
    ("period", "kept"),
    [
        ("2020-02-28/2020-02-29", [1, 2]),
        (("2020-02-29T00", None), [2, 3]),
        ("2020-03/", [3]),
        ("2020-02", [0, 1, 2]),
        ("2020-02-29/2020-02-29", [2]),
        ("2019/2020", [0, 1, 2, 3]),
    ],
)
def test_a_period_includes_its_ends(calendar: str, period: Any, kept: list[int] | None) -> None:
    dataset = series()
    if calendar == "360_day":
        dates = [cftime.Datetime360Day(2020, 2, day) for day in (27, 28, 30)] + [
            cftime.Datetime360Day(2020, 3, 1)
        ]
        dataset = dataset.assign_coords(time=dates)
    else:
        dataset = dataset.assign_coords(
            time=np.array(["2020-02-27", "2020-02-28", "2020-02-29", "2020-03-01"], "M8[ns]")
        )
    if calendar == "360_day" and "29" in period:  # that calendar's date here is the 30th
        kept = [1] if "28" in period else [3] if kept == [3] else kept
    if calendar == "360_day" and period == "2020-02-29/2020-02-29":
        with pytest.raises(InputError, match="no date lies in the period"):
            open_field(dataset, period=period)
        return
    np.testing.assert_array_equal(
        open_field(dataset, period=period, minimum_coverage=0).values[:, :, :-1], dataset.sst[kept][:, :, :-1]
    )


@pytest.mark.parametrize(
    ("limits", "missing"),
    [
        ({"valid_range": np.array([-100, 200], np.int16)}, [True, False, False, True]),  # packed
        ({"valid_min": np.int16(-99)}, [True, True, False, False]),
        (
            {"valid_range": np.array([8.99, 15.01])},
            [True, False, False, True],
        ),  # real: unpacked
    ],
)
def test_limits_of_packed_integers(tmp_path: Path, limits: dict[str, Any], missing: list[bool]) -> None:
    dataset = series(nx=4)
    packed = np.zeros((4, 3, 4), np.int16)
    packed[0, 0], packed[1] = [-101, -100, 200, 201], 7
    attrs = {
        "scale_factor": np.float32(0.02),
        "add_offset": np.float32(11),
        "_FillValue": np.int16(-999),
        **limits,
    }
    dataset["sst"] = (("time", "lat", "lon"), packed, attrs)
    field = open_field(write(dataset, tmp_path / "packed.nc"))
    assert np.isnan(field.values[0, 0]).tolist() == missing
    np.testing.assert_allclose(plain_values(field)[0, 0, 2], 15 if not missing[2] else np.nan, rtol=1e-6)


def test_unsigned_bytes_and_values_never_written(tmp_path: Path) -> None:
    dataset = series(nx=4)
    stored = np.zeros((4, 3, 4), np.int8)
    stored[0, 0] = np.array([100, 200, 250, 255], np.uint8).view(np.int8)
    attrs = {"_Unsigned": "true", "scale_factor": 0.5, "_FillValue": np.int8(-1), "valid_max": np.int8(-16)}
    dataset["sst"] = (("time", "lat", "lon"), stored, attrs)
    np.testing.assert_array_equal(
        open_field(write(dataset, tmp_path / "u.nc")).values[0, 0], [50, 100, np.nan, np.nan]
    )
    dataset = series()
    dataset.sst[0, 0, 0] = 9.969209968386869e36  # netCDF's default fill value, declared nowhere
    assert np.isnan(open_field(write(dataset, tmp_path / "f.nc")).values[0, 0, 0])


def test_a_usual_fill_value_that_is_not_declared_is_an_oddity() -> None:
    dataset = series()
    dataset.sst[0, 0, :3] = -999
    oddities = open_field(dataset).oddities
    assert any(oddity.startswith("the value -999 occurs 3 times") for oddity in oddities)
    assert not any("occurs" in oddity for oddity in open_field(series()).oddities)
