"""Fields: every layout that is understood, masks, errors, logarithms, the choice of the variable."""

from __future__ import annotations

import tempfile
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from fields import plain_values
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from oceanfill.pipeline.errors import InputError
from oceanfill.pipeline.io.field import Field, grid_spacing, open_field
from series import series, write

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
        path = write(raw_dataset(case), Path(folder) / f"case{case['suffix']}")
        warnings.simplefilter("error")
        field = open_field(str(path), minimum_coverage=0)

    rows = np.argsort(case["lat"])  # from south to north, whatever the file
    case |= {name: case[name][..., rows, :] for name in ("counts", "seen", "sea")}
    case["lat"] = case["lat"][rows]
    sea = case["seen"].any(axis=0) if case["mask"] == "derived" else case["sea"]
    truth = np.where(case["seen"] & sea, case["counts"] * SCALE + OFFSET, np.nan).astype(np.float32)
    np.testing.assert_array_equal(field.sea, sea)
    np.testing.assert_allclose(plain_values(field), truth, rtol=0, atol=4e-6)
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
    np.testing.assert_allclose(kept, plain_values(field), rtol=0, atol=4e-6)
    assert field.inputs == (path.name,)
    assert not field.error_variance.any()


def test_a_dataset_in_memory_gives_the_same_field_as_its_file(tmp_path: Path) -> None:
    dataset = series()
    dataset.sst[1, 1, 1] = np.nan
    path = write(dataset, tmp_path / "a.nc")
    with xr.open_dataset(path, decode_cf=False) as undecoded:
        fields = [open_field(given) for given in (path, dataset, dataset.sst, dataset.chunk(), undecoded)]
    for field in fields[1:]:
        np.testing.assert_array_equal(field.values, fields[0].values)
        np.testing.assert_array_equal(field.season, fields[0].season)
    assert dataset.sst.isnull().sum() == 1


def test_a_part_is_a_field_of_its_own_but_remembers_the_whole_record() -> None:
    """Two pixels have no value on the dates of the part; one has a value on another date of the record."""
    dataset = series(nt=6, ny=4, nx=5)
    dataset.sst[2:5, 1, 2] = dataset.sst[2:5, 2, 3] = np.nan
    dataset["mask"] = (("lat", "lon"), np.ones((4, 5), np.int8))
    displacement = np.random.default_rng(0).normal(size=(6, 4, 5, 3)).astype(np.float32)
    ever = np.ones((4, 5), bool)
    ever[2, 3] = False
    field = open_field(dataset, observation_error=0.5)
    whole = replace(field, ever_observed=ever, displacement=displacement)
    part = whole.part(slice(2, 5), slice(1, 4), slice(2, 4))
    np.testing.assert_array_equal(part.values, field.values[2:5, 1:4, 2:4])
    np.testing.assert_array_equal(part.source, dataset.sst[2:5, 1:4, 2:4])
    np.testing.assert_array_equal(part.displacement, displacement[2:5, 1:4, 2:4])
    np.testing.assert_array_equal(part.lat, field.lat[1:4, 2:4])
    np.testing.assert_array_equal(part.lon, field.lon[1:4, 2:4])
    np.testing.assert_array_equal(part.season, field.season[2:5])
    assert part.days.tolist() == [0, 1, 2]
    assert (part.dates == field.dates[2:5]).all()
    assert (part.error_variance == np.where(part.observed, np.float32(0.25), 0)).all()
    assert part.ever_observed.shape == part.sea.shape == (3, 2)
    assert np.argwhere(part.never_observed).tolist() == [[1, 1]]
    alone = field.part(slice(2, 5), slice(1, 4), slice(2, 4))
    assert np.argwhere(alone.never_observed).tolist() == [[0, 0], [1, 1]]


def test_hidden_values_are_missing_and_the_source_keeps_them() -> None:
    field = open_field(series())
    hidden = np.zeros(field.values.shape, bool)
    hidden[1, 2, 3] = True
    np.testing.assert_array_equal(field.hide(hidden).observed, ~hidden)
    assert field.observed.all()
    np.testing.assert_array_equal(field.hide(hidden).source, field.source)


def test_the_spacing_of_the_grid_is_in_days_and_kilometres() -> None:
    days, rows, columns = grid_spacing(open_field(series()))  # a quarter of a degree at 40 to 40.5 N
    assert days == 1
    assert rows == pytest.approx(0.25 * np.pi / 180 * 6371, rel=1e-6)
    assert columns == pytest.approx(rows * np.cos(np.radians(40.25)), rel=1e-6)
    single = open_field(series()).part(slice(None), slice(0, 1), slice(0, 1))
    assert grid_spacing(single) == (1, 1, 1)


def test_attributes_and_encoding_come_along(tmp_path: Path) -> None:
    dataset = series()
    dataset.attrs["title"] = "a test"
    dataset.time.encoding["units"] = "hours since 1990-01-01"
    dataset.sst.encoding = {"dtype": "int16", "scale_factor": 0.01, "_FillValue": -1}
    field = open_field(write(dataset, tmp_path / "a.nc"), region=(40, 40.3, -3, -2))
    assert field.source.attrs == {"units": "degC", "long_name": "temperature"}
    assert field.source.encoding["scale_factor"] == 0.01
    assert field.source.time.encoding["units"] == "hours since 1990-01-01"
    assert field.dataset_attrs == {"title": "a test"}


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
    np.testing.assert_allclose(field.error_variance[1], np.log1p((0.5 / dataset.sst[1]) ** 2), rtol=1e-5)
    assert np.isnan(field.values[0, 0, :2]).all()
    assert field.error_variance[0, 0, 0] == 0
    assert any("zero or less" in oddity and oddity.endswith(": 2") for oddity in field.oddities)


def test_the_only_candidate_is_taken_and_several_are_listed() -> None:
    dataset = series()
    good = {"flag_values": [1, 2], "flag_meanings": "bad good"}
    dataset["quality"] = xr.full_like(dataset.sst, 2, "i1").assign_attrs(good)
    dataset["count"] = dataset.sst.astype("i4")
    dataset["sst_sd"] = dataset.sst.assign_attrs(standard_name="sea_surface_temperature standard_error")
    dataset["depth"] = dataset.sst[0].drop_vars("time")
    dataset["mask"] = dataset.depth * 0 + 1
    assert open_field(dataset).name == "sst"
    dataset["chl"] = dataset.sst * 2
    with pytest.raises(InputError, match=r"sst, chl.*variable="):
        open_field(dataset)
    assert open_field(dataset, variable="chl").name == "chl"
    assert open_field(dataset, error_variable="chl").name == "sst"


def test_nothing_missing_is_no_error() -> None:
    assert "nothing is missing: there is nothing to fill" in open_field(series()).oddities


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
