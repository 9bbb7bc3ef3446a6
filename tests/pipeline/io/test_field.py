from __future__ import annotations

import tempfile
import warnings
from pathlib import Path
from typing import Any

import cftime
import numpy as np
import pytest
import xarray as xr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from oceanfill.pipeline.io.field import Field, InputError, open_field

NAMES = [  # of time, lat, lon: the usual ones, found without attributes
    ("time", "lat", "lon"),
    ("t", "latitude", "longitude"),
    ("date", "nav_lat", "nav_lon"),
    ("TIME", "LATITUDE", "LONGITUDE"),
    ("time_counter", "y", "x"),
]
CF_ATTRIBUTES = [  # found whatever the names are
    ({"standard_name": "time"}, {"standard_name": "latitude"}, {"standard_name": "longitude"}),
    ({"axis": "T"}, {"units": "degrees_north"}, {"units": "degrees_east"}),
    ({}, {"units": "degrees North"}, {"units": "degrees East"}),
]
DAYS_IN_YEAR = {"standard": 366, "proleptic_gregorian": 366, "noleap": 365, "360_day": 360, "julian": 366}
SCALE, OFFSET = 0.01, 12.5


def series(nt: int = 4, ny: int = 3, nx: int = 5, seed: int = 0) -> xr.Dataset:
    """A small complete field without a mask; tests spoil it."""
    values = np.random.default_rng(seed).normal(15, 2, (nt, ny, nx)).astype(np.float32)
    dates = np.datetime64("2020-02-27", "ns") + np.arange(nt) * np.timedelta64(1, "D")
    coords = {"time": dates, "lat": 40 + np.arange(ny) / 4, "lon": -3 + np.arange(nx) / 4}
    return xr.Dataset(
        {"sst": (("time", "lat", "lon"), values, {"units": "degC", "long_name": "temperature"})}, coords
    )


def written(dataset: xr.Dataset, path: Path) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # zarr's remarks on formats
        if path.suffix == ".zarr":
            dataset.to_zarr(path, consolidated=False)
        else:
            dataset.to_netcdf(path, format="NETCDF3_64BIT" if path.stem.endswith("classic") else "NETCDF4")
    return path


@st.composite
def cases(draw: st.DrawFn) -> dict[str, Any]:
    nt, ny, nx = draw(st.integers(2, 5)), draw(st.integers(2, 4)), draw(st.integers(2, 5))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    counts = rng.integers(-900, 900, (nt, ny, nx))  # the truth, as packed values
    seen = rng.random((nt, ny, nx)) < draw(st.sampled_from([0.3, 0.7, 1.0]))
    sea = rng.random((ny, nx)) < 0.7
    sea[0, :2] = seen[0, 0, :2] = True
    counts[0, 0, 0], counts[0, 0, 1] = 901, 902  # never empty, never constant
    return {
        "counts": counts,
        "seen": seen,
        "sea": sea,
        "steps": np.sort(rng.choice(400, nt, replace=False)) / 4,
        "lat": np.linspace(-20, 31, ny)[:: draw(st.sampled_from([1, -1]))],
        "lon": draw(st.sampled_from([-170.0, -9.5, 5.0, 170.0]))
        + np.arange(nx) * draw(st.sampled_from([0.25, 3.0])),
        "upto": draw(st.sampled_from([180, 360])),
        "order": draw(st.permutations([0, 1, 2])),
        "names": draw(st.sampled_from(NAMES)),
        "attributes": draw(st.sampled_from([None, *CF_ATTRIBUTES])),
        "calendar": draw(st.sampled_from(sorted(DAYS_IN_YEAR))),
        "time_units": draw(st.sampled_from(["days since 2000-01-01", "hours since 2000-01-01 00:00:00"])),
        "packed": draw(st.booleans()),
        "fill": draw(st.sampled_from([("_FillValue",), ("missing_value",), ("_FillValue", "missing_value")])),
        "limits": draw(st.sampled_from([None, "valid_range", "valid_min and valid_max"])),
        "mask": draw(st.sampled_from(["mask", "lsm", "flags", "standard_name", "derived"])),
        "curvilinear": draw(st.booleans()),
        "depth": draw(st.booleans()),
        "suffix": draw(st.sampled_from([".nc", "_classic.nc", ".zarr"])),
    }


def raw_dataset(case: dict[str, Any]) -> xr.Dataset:
    """The case as a file has it: encoded, nothing left for xarray to encode."""
    t, y, x = case["names"] if case["attributes"] is None else ("when", "phi", "lambda")
    coordinates = dict(zip("tyx", (t, y, x), strict=True))
    dims = (t, "row", "column") if case["curvilinear"] else (t, y, x)
    dtype, missing = (np.int16, -32768) if case["packed"] else (np.float32, 1e20)
    values = case["counts"] if case["packed"] else case["counts"] * SCALE + OFFSET
    low, high = (-1000, 1000) if case["packed"] else (-1000 * SCALE + OFFSET, 1000 * SCALE + OFFSET)
    stored = np.where(case["seen"], values, missing).astype(dtype)
    attrs: dict[str, Any] = {name: dtype(missing) for name in case["fill"]}
    if case["packed"]:
        attrs |= {"scale_factor": SCALE, "add_offset": OFFSET}
    if case["limits"] == "valid_range":
        attrs["valid_range"] = np.array([low, high], dtype)
    elif case["limits"]:
        attrs |= {"valid_min": dtype(low), "valid_max": dtype(high)}
    if case["limits"]:  # values out of range stand for missing ones as well
        stored[~case["seen"]] = dtype(-1001) if case["packed"] else dtype(low - 1)
    if case["depth"]:
        stored, dims = stored[:, None], (dims[0], "depth", *dims[1:])
    order = [*case["order"], 3] if case["depth"] else case["order"]
    variable = xr.Variable(dims, stored, attrs).transpose(*[dims[i] for i in order])

    lon = np.where(case["lon"] >= case["upto"], case["lon"] - 360, case["lon"])
    lon = np.where(lon < case["upto"] - 360, lon + 360, lon)
    sizes = (case["lat"].size, lon.size)
    lat_attrs, lon_attrs = ({}, {}) if case["attributes"] is None else case["attributes"][1:]
    time_attrs = {"units": case["time_units"], "calendar": case["calendar"]}
    if case["attributes"] is not None:
        time_attrs |= case["attributes"][0]
    perday = 24 if case["time_units"].startswith("hours") else 1
    dataset = xr.Dataset({"field": variable})
    dataset[coordinates["t"]] = (dims[0], case["steps"] * perday, time_attrs)
    if case["curvilinear"]:
        dataset[y] = (("row", "column"), np.broadcast_to(case["lat"][:, None], sizes).copy(), lat_attrs)
        dataset[x] = (("row", "column"), np.broadcast_to(lon, sizes).copy(), lon_attrs)
    else:
        dataset[y], dataset[x] = (y, case["lat"], lat_attrs), (x, lon, lon_attrs)
    sea, horizontal = case["sea"], (dims[-2], dims[-1])
    if case["mask"] == "mask":
        dataset["mask"] = (horizontal, sea.astype(np.float32))
    elif case["mask"] == "lsm":
        dataset["lsm"] = (horizontal, np.where(sea, 0, 1).astype(np.int16))
    elif case["mask"] == "standard_name":
        dataset["wet"] = (horizontal, sea.astype(np.int8), {"standard_name": "sea_binary_mask"})
    elif case["mask"] == "flags":
        flags = {
            "flag_masks": np.array([1, 2, 4, 8], np.int8),
            "flag_meanings": "water land optional_lake_surface sea_ice",
        }
        bits = np.where(sea, np.where(case["counts"][0] > 0, 1, 9), np.where(case["counts"][0] > 0, 2, 5))
        dataset["mask"] = (horizontal, bits.astype(np.int8), flags)
    return dataset


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(cases())
def test_every_layout_gives_the_same_field(case: dict[str, Any]) -> None:
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        path = written(raw_dataset(case), Path(folder) / f"case{case['suffix']}")
        warnings.simplefilter("error")
        field = open_field(str(path), minimum_coverage=0)

    sea = case["seen"].any(axis=0) if case["mask"] == "derived" else case["sea"]
    truth = np.where(case["seen"] & sea, case["counts"] * SCALE + OFFSET, np.nan).astype(np.float32)
    np.testing.assert_array_equal(field.sea, sea)
    np.testing.assert_allclose(field.values, truth, rtol=0, atol=4e-6 if case["packed"] else 0)
    np.testing.assert_array_equal(field.days, case["steps"] - case["steps"][0])
    np.testing.assert_array_equal(field.lat, np.broadcast_to(case["lat"][:, None], sea.shape))
    np.testing.assert_allclose((field.lon - case["lon"] + 180) % 360, 180, rtol=0, atol=1e-9)
    steps = np.broadcast_to(np.diff(case["lon"]), (len(sea), case["lon"].size - 1))
    np.testing.assert_allclose(np.diff(field.lon, axis=1), steps, rtol=0, atol=1e-9)
    np.testing.assert_allclose(
        field.season, (case["steps"] / DAYS_IN_YEAR[case["calendar"]]) % 1, rtol=0, atol=1e-12
    )
    np.testing.assert_array_equal(field.never_observed, sea & ~case["seen"].any(axis=0))
    kept = np.where(field.observed, field.source.transpose(*field.dims), np.nan).astype(np.float32)
    np.testing.assert_array_equal(kept, field.values)
    assert field.inputs == (path.name,)
    assert not field.error_variance.any()


def test_a_dataset_in_memory_gives_the_same_field_as_its_file(tmp_path: Path) -> None:
    dataset = series()
    dataset.sst[1, 1, 1] = np.nan
    path = written(dataset, tmp_path / "a.nc")
    with xr.open_dataset(path, decode_cf=False) as undecoded:
        fields = [open_field(given) for given in (path, dataset, dataset.sst, dataset.chunk(), undecoded)]
    for field in fields[1:]:
        np.testing.assert_array_equal(field.values, fields[0].values)
        np.testing.assert_array_equal(field.season, fields[0].season)
    assert dataset.sst.isnull().sum() == 1


def test_attributes_and_encoding_come_along(tmp_path: Path) -> None:
    dataset = series()
    dataset.attrs["title"] = "a test"
    dataset.time.encoding["units"] = "hours since 1990-01-01"
    dataset.sst.encoding = {"dtype": "int16", "scale_factor": 0.01, "_FillValue": -1}
    field = open_field(written(dataset, tmp_path / "a.nc"), region=(40, 40.3, -3, -2))
    assert field.source.attrs == {"units": "degC", "long_name": "temperature"}
    assert field.source.encoding["scale_factor"] == 0.01
    assert field.source.time.encoding["units"] == "hours since 1990-01-01"
    assert field.dataset_attrs == {"title": "a test"}


# Many files


def test_files_out_of_order_are_sorted_by_time(tmp_path: Path) -> None:
    dataset = series(nt=6)
    names = ["c", "a", "b"]
    paths = [
        written(dataset.isel(time=slice(2 * i, 2 * i + 2)), tmp_path / f"{n}.nc") for i, n in enumerate(names)
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
        written(one, tmp_path / f"{i}.nc")
    np.testing.assert_allclose(open_field(tmp_path / "*.nc").values, dataset.sst, rtol=0, atol=0.0016)


def test_the_mask_of_dated_files_counts_what_is_sea_on_any_date(tmp_path: Path) -> None:
    dataset = series(nt=2)
    sea = np.ones((2, 3, 5), np.int8)
    sea[:, 0, 0] = sea[0, 0, 1] = 0
    dataset["mask"] = (("time", "lat", "lon"), sea)
    paths = [written(dataset.isel(time=[i]), tmp_path / f"{i}.nc") for i in (0, 1)]
    expected = np.ones((3, 5), bool)
    expected[0, 0] = False
    np.testing.assert_array_equal(open_field(paths).sea, expected)


# Masks


def test_a_missing_mask_is_derived_from_the_share_of_dates() -> None:
    dataset = series(nt=10)
    dataset.sst[1:, 0, 0] = np.nan  # seen on 10 %
    dataset.sst[:, 0, 1] = np.nan  # never
    field = open_field(dataset, minimum_coverage=0.1)
    assert field.sea.sum() == 14
    assert field.values[0, 0, 0] == dataset.sst[0, 0, 0]
    field = open_field(dataset, minimum_coverage=0.11)
    assert field.sea.sum() == 13
    assert np.isnan(field.values[0, 0, 0])
    assert field.source[0, 0, 0] == dataset.sst[0, 0, 0]
    assert any(o.startswith("values outside the sea mask") and o.endswith(": 1") for o in field.oddities)
    assert any("no sea mask" in o and "11% of the dates" in o for o in field.oddities)


# Cutting


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
    assert field.lat[:, 0].tolist() == [20, 0, -20, -40]
    np.testing.assert_array_equal(np.diff(field.lon[0]), np.full(columns - 1, 10.0))
    if columns < 36:  # all round, the seam stays where it is
        assert (field.lon[0, 0] - lon0) % 360 == 0
    np.testing.assert_array_equal(field.values[0], (field.lat + 1000 * (field.lon % 360)).astype(np.float32))
    np.testing.assert_array_equal(field.source.lon % 360, field.lon[0] % 360)
    assert field.source.lon.min() >= start


def test_a_region_of_a_curvilinear_grid(tmp_path: Path) -> None:
    dataset = globe(-180.0).rename(lat="y", lon="x")
    lat, lon = xr.broadcast(dataset.y, dataset.x)
    dataset = dataset.drop_vars(["x", "y"]).assign(
        nav_lat=lat.drop_vars(["x", "y"]), nav_lon=lon.drop_vars(["x", "y"])
    )
    field = open_field(written(dataset, tmp_path / "curvilinear.nc"), region=(-20, 20, 170, 190))
    np.testing.assert_array_equal(field.lon, np.broadcast_to([170.0, 180, 190], (3, 3)))
    np.testing.assert_array_equal(field.source.nav_lon[0], [170, -180, -170])


@pytest.mark.parametrize("calendar", ["standard", "360_day"])
@pytest.mark.parametrize(
    ("period", "kept"),
    [
        ("2020-02-28/2020-02-29", [1, 2]),
        (("2020-02-29T00", None), [2, 3]),
        ("2020-03/", [3]),
        ("2020-02", None),
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
    if kept is None or len(kept) == 1 or (calendar == "360_day" and period == "2020-02-28/2020-02-29"):
        with pytest.raises(InputError, match=r"single date|no start and end"):
            open_field(dataset, period=period)
    else:
        np.testing.assert_array_equal(open_field(dataset, period=period).values, dataset.sst[kept])


# Errors of the observations, logarithms


def test_observation_errors_become_variances() -> None:
    dataset = series()
    dataset.sst[0, 0, 0] = np.nan
    error = np.full((4, 3, 5), 0.5, np.float32)
    error[0, 1, 1], error[0, 1, 2] = np.nan, 0.25
    dataset["sst_error"] = (("time", "lat", "lon"), error)
    field = open_field(dataset, error_variable="sst_error")
    assert field.name == "sst"
    assert [field.error_variance[0, i, j] for i, j in ((0, 0), (0, 1), (1, 1), (1, 2))] == [
        0,
        0.25,
        0.25,
        0.0625,
    ]
    assert any("sst_error: 1, given the median 0.5" in oddity for oddity in field.oddities)
    static = dataset.drop_vars("sst_error").assign(e=("lat", [0.5, 1, 2.0]))
    np.testing.assert_array_equal(
        open_field(static, error_variable="e").error_variance[1, :, 0], [0.25, 1, 4]
    )
    assert open_field(dataset.sst, observation_error=0.3).error_variance[1, 0, 0] == np.float32(0.3) ** 2


def test_logarithms_carry_the_relative_error() -> None:
    dataset = series()
    dataset.sst[0, 0, :2] = [0, -1]
    field = open_field(dataset, transform="log", observation_error=0.5)
    np.testing.assert_allclose(np.exp(field.values[1]), dataset.sst[1], rtol=1e-6)
    np.testing.assert_allclose(field.error_variance[1], (0.5 / dataset.sst[1]) ** 2, rtol=1e-5)
    assert np.isnan(field.values[0, 0, :2]).all()
    assert field.error_variance[0, 0, 0] == 0
    assert any("zero or less" in oddity and oddity.endswith(": 2") for oddity in field.oddities)


# Limits and fills


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
    field = open_field(written(dataset, tmp_path / "packed.nc"))
    assert np.isnan(field.values[0, 0]).tolist() == missing
    np.testing.assert_allclose(field.values[0, 0, 2], 15 if not missing[2] else np.nan, rtol=1e-6)


def test_unsigned_bytes_and_values_never_written(tmp_path: Path) -> None:
    dataset = series(nx=4)
    stored = np.zeros((4, 3, 4), np.int8)
    stored[0, 0] = np.array([100, 200, 250, 255], np.uint8).view(np.int8)
    attrs = {"_Unsigned": "true", "scale_factor": 0.5, "_FillValue": np.int8(-1), "valid_max": np.int8(-16)}
    dataset["sst"] = (("time", "lat", "lon"), stored, attrs)
    np.testing.assert_array_equal(
        open_field(written(dataset, tmp_path / "u.nc")).values[0, 0], [50, 100, np.nan, np.nan]
    )
    dataset = series()
    dataset.sst[0, 0, 0] = 9.969209968386869e36  # netCDF's default fill value, declared nowhere
    assert np.isnan(open_field(written(dataset, tmp_path / "f.nc")).values[0, 0, 0])


def test_a_usual_fill_value_that_is_not_declared_is_an_oddity() -> None:
    dataset = series()
    dataset.sst[0, 0, :3] = -999
    oddities = open_field(dataset).oddities
    assert any(oddity.startswith("the value -999 occurs 3 times") for oddity in oddities)
    assert not any("occurs" in oddity for oddity in open_field(series()).oddities)


# Choosing the variable


def test_the_only_candidate_is_taken_and_several_are_listed() -> None:
    dataset = series()
    dataset["quality"] = dataset.sst.astype("i1").assign_attrs(flag_values=[1, 2], flag_meanings="bad good")
    dataset["count"] = dataset.sst.astype("i4")
    dataset["sst_sd"] = dataset.sst.assign_attrs(standard_name="sea_surface_temperature standard_error")
    dataset["depth"] = dataset.sst[0].drop_vars("time")
    dataset["mask"] = dataset.depth * 0 + 1
    assert open_field(dataset).name == "sst"
    dataset["chl"] = dataset.sst * 2
    with pytest.raises(InputError, match=r"sst, chl.*--variable"):
        open_field(dataset)
    assert open_field(dataset, variable="chl").name == "chl"
    assert open_field(dataset, error_variable="chl").name == "sst"


# Bad input: one sentence with the file, the finding and the remedy


def spoil_shape(d: xr.Dataset) -> xr.Dataset:
    return d.assign(mask=(("j", "i"), np.ones((2, 2))))


def spoil_sst(d: xr.Dataset, at: Any, value: float) -> xr.Dataset:
    d["sst"][at] = value
    return d


BAD = {
    "no variable has time, latitude and longitude": lambda d: d.mean(("time", "lat")),
    "no variable has time, latitude and longitude ": lambda d: d.drop_vars("sst"),
    "time dimension without a time variable (time, length 4)": lambda d: d.drop_vars("time"),
    "time variable time has no units of time (found: none)": lambda d: d.assign_coords(time=np.arange(4.0)),
    "months since 2000-01-01": lambda d: d.assign_coords(
        time=("time", np.arange(4), {"units": "months since 2000-01-01"})
    ),
    "sst has no time axis": lambda d: d.isel(time=0, drop=True),
    "no latitude was found for sst(time, a, lon)": lambda d: d.drop_vars("lat").rename(lat="a"),
    "further dimensions, depth (2)": lambda d: xr.concat([d, d], "depth"),
    "single date (2020-02-27)": lambda d: d.isel(time=[0]),
    "no dates": lambda d: d.isel(time=[]),
    "every value of sst is missing": lambda d: d.where(d.lat > 90),
    "mask mask (1 = sea) has no sea, although 60 values": lambda d: d.assign(mask=d.sst[0] * 0),
    "60 of the 60 values of sst lie outside": lambda d: d.reindex(lon=np.arange(-3, 0, 0.25)).assign(
        mask=lambda e: e.sst[0].isnull().astype("f4")
    ),
    "grid of sst has the shape (3, 0)": lambda d: d.isel(lon=[]),
    "mask has the shape (2, 2) but the grid of sst (3, 5)": spoil_shape,
    "dates are not in order (at 2020-02-28)": lambda d: d.isel(time=[0, 2, 1, 3]),
    "dates occur more than once (2020-02-28)": lambda d: d.isel(time=[0, 1, 1, 3]),
    "1 of the dates are missing": lambda d: d.assign_coords(time=d.time.where(d.time != d.time[1])),
    "has 3 infinite values (the first on 2020-02-28 at 40.25 N, -2.50 E)": lambda d: spoil_sst(
        d, (1, 1, slice(2, 5)), np.inf
    ),
    "sst is constant (3 ": lambda d: d.where(d.sst.isnull(), 3.0),
    "sst holds text": lambda d: d.assign(sst=d.sst.astype(str)),
    "lat are not in degrees": lambda d: d.assign_coords(lat=d.lat * 1000),
    "lat is not monotonic": lambda d: d.assign_coords(lat=[1.0, 3.0, 2.0]),
    "lon has 1 missing values": lambda d: d.assign_coords(lon=[1.0, 2, np.nan, 4, 5]),
}


@pytest.mark.parametrize("finding", BAD)
def test_bad_files_are_refused_in_a_sentence(tmp_path: Path, finding: str) -> None:
    path = written(BAD[finding](series()), tmp_path / "bad.nc")
    with pytest.raises(InputError) as refusal:
        open_field(path)
    sentence = str(refusal.value)
    assert sentence.startswith(f"{path}: ")
    assert finding.strip() in sentence
    assert "; " in sentence  # the remedy
    assert "\n" not in sentence


@pytest.mark.parametrize(
    ("options", "finding"),
    [
        ({"variable": "tos"}, "a.nc: there is no variable 'tos'; choose among sst"),
        ({"mask_variable": "land"}, "a.nc: there is no mask variable 'land'"),
        ({"mask_variable": "lat"}, "a.nc: lat(lat, float64) is not a mask on (lat, lon)"),
        ({"error_variable": "err"}, "a.nc: there is no err"),
        (
            {"region": (10, 20, 0, 5)},
            "a.nc: the region 10 to 20 N, 0 to 5 E contains no grid point; choose one within 40.00",
        ),
        (
            {"period": "2021/2022"},
            "a.nc: no date lies in the period 2021 to 2022; choose one within 2020-02-27 to 2020-03-01",
        ),
        ({"period": "yesterday/today"}, "the period 'yesterday/today' cannot be read as two dates"),
        ({"transform": "sqrt"}, "no transform 'sqrt'"),
        ({"minimum_coverage": 5}, "minimum coverage 5"),
        ({"observation_error": -1}, "observation error -1"),
        ({"observation_error": 1, "error_variable": "e"}, "both an error variable and an observation error"),
        ({"region": (1, 2, 3)}, "the region (1, 2, 3)"),
    ],
)
def test_options_that_do_not_fit(tmp_path: Path, options: dict[str, Any], finding: str) -> None:
    path = written(series(), tmp_path / "a.nc")
    with pytest.raises(InputError) as refusal:
        open_field(path, **options)
    assert finding in str(refusal.value)


def test_what_is_not_a_data_file(tmp_path: Path) -> None:
    good = written(series(nt=400), tmp_path / "good.nc").read_bytes()
    classic = written(series(nt=400), tmp_path / "classic.nc").read_bytes()
    compressed = series(nt=400)
    compressed.sst.encoding = {"zlib": True}
    damaged = bytearray(written(compressed, tmp_path / "compressed.nc").read_bytes())
    middle = len(damaged) // 2
    damaged[middle : middle + 1000] = bytes(1000)
    contents = {
        "empty": (b"", "is empty"),
        "text": (b"lat lon sst\n", "not a NetCDF file (it starts with b'lat lon "),
        "page": (b"<!DOCTYPE html><html>", "web page"),
        "half": (good[: len(good) // 2], "truncated"),
        "classic_half": (classic[: len(classic) // 2], "truncated"),
        "header": (good[:100], "truncated"),
        "damaged": (bytes(damaged), "its values cannot be read"),
    }
    for name, (content, finding) in contents.items():
        path = tmp_path / f"{name}.nc"
        path.write_bytes(content)
        with pytest.raises(InputError) as refusal:
            open_field(path)
        assert str(refusal.value).startswith(f"{path}: ")
        assert finding in str(refusal.value)
    for name, finding in {
        "absent.nc": "no such file",
        "absent*.nc": "no file matches",
        ".": "not a Zarr store",
    }.items():
        with pytest.raises(InputError, match=finding):
            open_field(tmp_path / name)
    with pytest.raises(InputError, match="no input"):
        open_field([])


def test_files_that_do_not_go_together(tmp_path: Path) -> None:
    dataset = series(nt=8)
    a = written(dataset.isel(time=slice(0, 4)), tmp_path / "a.nc")
    noleap = dataset.isel(time=slice(4, 8)).convert_calendar("noleap", use_cftime=True)
    others = {
        "overlap": (dataset.isel(time=slice(3, 8)), "1 of its dates are also in"),
        "shifted": (dataset.isel(time=slice(4, 8)).assign_coords(lon=dataset.lon + 0.1), "positions"),
        "cropped": (dataset.isel(time=slice(4, 8), lat=slice(0, 2)), "shape (2, 5) instead of (3, 5)"),
        "renamed": (dataset.isel(time=slice(4, 8)).rename(sst="tos"), "there is no sst"),
        "noleap": (noleap, "its calendar is noleap"),
    }
    for name, (other, finding) in others.items():
        b = written(other, tmp_path / f"{name}.nc")
        with pytest.raises(InputError) as refusal:
            open_field([a, b])
        assert str(refusal.value).startswith(f"{b}: ")
        assert finding in str(refusal.value)


def test_nothing_missing_is_no_error() -> None:
    assert "nothing is missing: there is nothing to fill" in open_field(series()).oddities


# Real files


@pytest.mark.shared
def test_alboran(shared: Path) -> None:
    field = open_field(shared / "alboran_avhrr_sst_2017.nc")
    assert field.values.shape == (10, 201, 301)
    assert field.sea.sum() == 22186
    assert round(100 * (1 - field.observed[:, field.sea].mean()), 1) == 45.4
    assert field.never_observed.sum() == 77
    assert field.days.tolist() == [0, 1, 2, 3, 4, 5, 6, 7, 9, 10]
    assert field.season[0] == 133 / 365
    assert field.oddities == (
        "irregular time step: mostly 1, from 1 to 2 days (absent: 2017-05-22)",
        "values outside the sea mask, not used: 19",
        "sea pixels that are never observed: 77",
    )
    outside = np.isfinite(field.source.values) & ~field.sea
    assert outside.sum() == 19


@pytest.mark.shared
def test_mediterranean(shared: Path) -> None:
    field = open_field(shared / "med_heldout_input.nc")
    assert isinstance(field, Field)
    assert field.name == "adt"
    assert field.values.shape == (91, 128, 344)
    assert field.sea.sum() == 16728
    assert round(100 * (1 - field.observed[:, field.sea].mean()), 1) == 63.9
    assert field.oddities == ()
