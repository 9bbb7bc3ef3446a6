"""A filled field as a dataset: its values, attributes and encoding."""

from __future__ import annotations

import itertools
import json
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import cftime
import netCDF4
import numpy as np
import pytest
import scipy.stats
import xarray as xr
from compliance_checker.runner import CheckSuite, ComplianceChecker
from oceanfill.pipeline.io.output import to_dataset
from oceanfill.pipeline.io.writing import write_dataset
from smallfield import (
    FILLED,
    LAND,
    NEVER,
    NT,
    NX,
    NY,
    OBSERVED,
    ORIGIN,
    SEA,
    VARIABLE_ATTRIBUTES,
    estimate,
    small_field,
)


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_observed_values_are_kept_to_the_bit_and_the_others_filled(order: Any, dtype: Any) -> None:
    field = small_field(order, dtype)
    mean, error = estimate(field)
    out = to_dataset(field, mean, error)

    assert [out[name].dims for name in out.data_vars] == [field.source.dims] * 4
    assert out.sst.dtype == dtype
    back = out.transpose("time", "lat", "lon")
    raw = field.source.transpose("time", "lat", "lon").to_numpy()
    np.testing.assert_array_equal(back.sst_source, ORIGIN)
    assert back.sst_source.dtype == np.int8
    assert back.sst.to_numpy()[ORIGIN == OBSERVED].tobytes() == raw[ORIGIN == OBSERVED].tobytes()
    filled = np.isin(ORIGIN, [FILLED, NEVER])
    np.testing.assert_array_equal(back.sst.to_numpy()[filled], mean[filled])
    assert np.isnan(back.sst.to_numpy()[ORIGIN == LAND]).all()
    np.testing.assert_array_equal(back.sst_analysis, mean)  # NaN off the sea, also where a value was seen
    np.testing.assert_array_equal(back.sst_error, error)


def test_analysis_everywhere_replaces_the_observed_values_at_sea_only() -> None:
    field = small_field()
    mean, error = estimate(field)
    out = to_dataset(field, mean, error, analysis_everywhere=True)
    np.testing.assert_array_equal(out.sst.to_numpy()[:, SEA], mean[:, SEA])
    assert out.sst[0, 0, 3] == field.source[0, 0, 3]
    assert np.count_nonzero(np.isfinite(out.sst.to_numpy()[:, ~SEA])) == 1
    np.testing.assert_array_equal(out.sst_source, ORIGIN)


def test_hidden_values_are_filled() -> None:
    hidden = np.zeros((NT, NY, NX), bool)
    hidden[1, 0, 2] = True
    field = small_field().hide(hidden)
    mean, error = estimate(field)
    out = to_dataset(field, mean, error)
    assert out.sst[1, 0, 2] == mean[1, 0, 2]
    assert out.sst_source[1, 0, 2] == FILLED


def test_logarithms_come_back_as_lognormal_mean_and_standard_deviation() -> None:
    field = small_field()
    logarithms = np.log(np.abs(field.values))
    logarithms[0, 0, 0] = np.nan  # as for a value of zero, which has no logarithm
    field = replace(field, values=logarithms, transform="log")
    mean, error = estimate(field)
    mean -= 14
    out = to_dataset(field, mean, error)
    expected = scipy.stats.lognorm(s=error[:, SEA].astype(float), scale=np.exp(mean[:, SEA].astype(float)))
    np.testing.assert_allclose(out.sst_analysis.to_numpy()[:, SEA], expected.mean(), rtol=1e-6)
    np.testing.assert_allclose(out.sst_error.to_numpy()[:, SEA], expected.std(), rtol=1e-6)
    assert out.sst[0, 0, 2] == field.source[0, 0, 2]
    assert out.sst[0, 0, 0] == out.sst_analysis[0, 0, 0]
    assert out.sst_source[0, 0, 0] == FILLED


def test_noise_of_observations_has_no_part_in_the_mean_of_a_logarithm() -> None:
    """The mean is that of the quantity; the error that of a new observation around it, by Monte Carlo."""
    field = replace(small_field(), transform="log")
    shape = field.values.shape
    data = to_dataset(field, np.full(shape, 0.2), np.full(shape, 0.5), noise=0.16)
    rng = np.random.default_rng(0)
    quantity = np.exp(0.2 + 0.3 * rng.standard_normal(1_000_000))
    seen = quantity * np.exp(0.4 * rng.standard_normal(1_000_000))
    name = field.name
    analysis, error = (float(data[f"{name}_{part}"].max()) for part in ("analysis", "error"))
    assert analysis == pytest.approx(quantity.mean(), rel=2e-3)
    assert error == pytest.approx(np.sqrt(((seen - quantity.mean()) ** 2).mean()), rel=5e-3)
    all_noise = to_dataset(field, np.full(shape, 0.2), np.full(shape, 0.5), noise=1.0)
    assert float(all_noise[f"{name}_analysis"].max()) == pytest.approx(np.exp(0.2), rel=1e-6)


def test_logarithms_known_case() -> None:
    field = replace(small_field(), transform="log")
    full = np.ones((NT, NY, NX), np.float32)
    out = to_dataset(field, 0 * full, np.sqrt(2 * np.log(2)) * full)  # exp(s^2 / 2) = 2
    np.testing.assert_allclose(out.sst_analysis.to_numpy()[:, SEA], 2, rtol=1e-6)
    np.testing.assert_allclose(out.sst_error.to_numpy()[:, SEA], 2 * np.sqrt(3), rtol=1e-6)


@pytest.mark.parametrize("transform", ["none", "log"])
def test_bounds_of_an_interval(transform: str) -> None:
    """The logarithm's are the exponentials, so that they hold the same share of the values."""
    field = replace(small_field(), transform=transform)
    mean, error = estimate(field)
    mean -= 14
    out = to_dataset(field, mean, error, intervals={50: 0.7, 90: 2.0})
    assert [name for name in out.data_vars if "er_" in str(name)] == [
        f"sst_{side}_{level}" for level in (50, 90) for side in ("lower", "upper")
    ]
    low, high = (out[f"sst_{side}_90"].to_numpy() for side in ("lower", "upper"))
    own = np.exp if transform == "log" else np.asarray
    np.testing.assert_allclose(low[:, SEA], own(mean - 2 * error)[:, SEA], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(high[:, SEA], own(mean + 2 * error)[:, SEA], rtol=1e-5, atol=1e-6)
    assert np.isnan(low[:, ~SEA]).all()
    assert out.sst_upper_90.attrs == {
        "units": "degree_Celsius",
        "standard_name": "sea_surface_temperature",
        "coverage_content_type": "qualityInformation",
        "long_name": "upper bound of the 90% prediction interval of sea surface temperature",
    }


def test_an_estimate_with_holes_is_refused() -> None:
    field = small_field()
    mean, error = estimate(field)
    mean[1, 0, :2] = np.nan
    with pytest.raises(ValueError, match="estimate is not finite at 2 sea values"):
        to_dataset(field, mean, error)
    mean, _ = estimate(field)
    with pytest.raises(ValueError, match=r"standard error is negative at 15 sea values"):
        to_dataset(field, mean, -error)
    with pytest.raises(ValueError, match=r"estimate is not finite at 15 sea values"):
        to_dataset(replace(field, transform="log"), mean + 100, error)


@pytest.mark.parametrize("suffix", [".nc", ".zarr"])
@pytest.mark.parametrize(
    ("dates", "encoding"),
    [
        (None, {"units": "hours since 1981-01-01", "dtype": np.dtype("int32"), "calendar": "gregorian"}),
        (None, {"units": "days since 1950-01-01", "dtype": np.dtype("float32")}),
        (
            [cftime.DatetimeNoLeap(2019, 2, d, 6) for d in (26, 27, 28)],
            {"units": "days since 1900-01-01", "calendar": "noleap", "dtype": np.dtype("float64")},
        ),
    ],
)
def test_time_is_stored_as_in_the_input(tmp_path: Path, suffix: str, dates: Any, encoding: Any) -> None:
    field = small_field(dates=dates, time_encoding=encoding)
    path = tmp_path / f"out{suffix}"
    write_dataset(to_dataset(field, *estimate(field)), path)
    with xr.open_dataset(path, decode_times=False) as stored, xr.open_dataset(path) as decoded:
        assert stored.time.dtype == encoding["dtype"]
        assert stored.time.attrs["units"] == encoding["units"]
        assert stored.time.attrs["long_name"] == "time of passage"
        assert "_FillValue" not in stored.time.attrs | stored.lat.attrs | stored.lon.attrs
        assert decoded.time.encoding["calendar"] == encoding.get("calendar", "proleptic_gregorian")
        np.testing.assert_array_equal(decoded.time, field.source.time)


def test_dates_that_the_units_of_the_first_file_cannot_hold_are_not_rounded(tmp_path: Path) -> None:
    dates = np.array(["2020-01-01T00:00:00", "2020-01-01T12:07:01", "2020-01-02T03:00:00"], "M8[ns]")
    for encoding in (
        {"units": "days since 2020-01-01", "dtype": np.dtype("int32"), "calendar": "standard"},
        {"units": "seconds since 1900-01-01", "dtype": np.dtype("float32")},
        {"units": "seconds since 1900-01-01", "dtype": np.dtype("int32")},  # too far for 32 bits
    ):
        field = small_field(dates=dates, time_encoding=encoding)
        write_dataset(to_dataset(field, *estimate(field)), tmp_path / "out.nc")
        with xr.open_dataset(tmp_path / "out.nc") as out:
            np.testing.assert_array_equal(out.time, dates)


def test_coordinates_are_carried_over(tmp_path: Path) -> None:
    field = small_field(
        coordinates={
            "nav_lat": (
                ("lat", "lon"),
                np.float32([[41, 41, 41, 41], [40, 40, 40, 40]]),
                {"valid_max": 90.0},
            ),
            "depth": ((), np.float32(0.5), {"units": "m", "positive": "down", "bounds": "depth_bnds"}),
            "platform": ((), "Metop-B"),
        }
    )
    before = {name: dict(array.encoding) for name, array in field.source.coords.items()}
    write_dataset(to_dataset(field, *estimate(field)), tmp_path / "out.nc")
    assert before == {name: dict(array.encoding) for name, array in field.source.coords.items()}
    with xr.open_dataset(tmp_path / "out.nc") as out:
        assert set(out.sst.coords) == {"time", "lat", "lon", "nav_lat", "depth", "platform"}
        for name, array in field.source.coords.items():
            np.testing.assert_array_equal(out[name], array)
        assert out.lat.dtype == np.float32
        assert out.nav_lat.attrs == {"valid_max": 90.0}
        assert out.depth.attrs == {"units": "m", "positive": "down"}  # there are no depth_bnds any more
        assert out.platform.item() == "Metop-B"


def test_what_cf_asks_of_coordinates_is_added() -> None:
    field = small_field()
    field.source.lat.attrs = {"units": "degrees North"}
    field.source.lon.attrs = {}
    out = to_dataset(field, *estimate(field))
    expected = {"standard_name": "latitude", "long_name": "latitude", "units": "degrees_north", "axis": "Y"}
    assert out.lat.attrs == expected
    assert out.lon.attrs["units"] == "degrees_east"
    assert field.source.lat.attrs == {"units": "degrees North"}


def test_attributes_of_the_variables() -> None:
    stale = {"valid_min": np.int16(-300), "valid_range": [0, 1], "missing_value": 9.0, "scale_factor": 0.1}
    stale |= {"actual_range": [3.0, 4.0], "grid_mapping": "crs", "cell_measures": "area: a", "_ChunkSizes": 3}
    field = small_field(attrs=VARIABLE_ATTRIBUTES | stale | {"cell_methods": "time: mean", "checked": True})
    out = to_dataset(field, *estimate(field))
    assert set(out.sst.attrs) == {
        *VARIABLE_ATTRIBUTES,
        *("cell_methods", "checked", "ancillary_variables", "coverage_content_type"),
    }
    assert out.sst.attrs["checked"] == "true"  # NetCDF has no booleans
    assert out.sst.attrs["ancillary_variables"] == "sst_error sst_source"
    assert out.sst.attrs["comment"].startswith("skin\n")
    assert out.sst_analysis.attrs["standard_name"] == "sea_surface_temperature"
    assert out.sst_error.attrs["standard_name"] == "sea_surface_temperature standard_error"
    assert out.sst_error.attrs["units"] == "degree_Celsius"
    assert out.sst_source.attrs["flag_meanings"] == "land observed filled filled_never_observed outlier"
    assert out.sst_source.attrs["flag_values"].dtype == np.int8
    np.testing.assert_array_equal(out.sst_source.attrs["flag_values"], [0, 1, 2, 3, 4])

    bare = to_dataset(small_field(attrs={}), *estimate(field))
    assert "standard_name" not in bare.sst_error.attrs
    assert bare.sst_error.attrs["long_name"] == "standard error of sst_analysis"


def test_global_attributes() -> None:
    before = {
        "title": "Passages",
        "history": "2020: made",
        "institution": "Here",
        "Conventions": "CF-1.4",
        "id": "xyz",
        "geospatial_lat_min": -90.0,
        "time_coverage_end": "1999",
        "seed": 1,
    }
    given = {"command": "oceanfill fill a.nc b.nc", "seed": 7, "scores": {"rmse": 0.25}}
    field = small_field(dataset_attrs=before)
    attrs = to_dataset(field, *estimate(field), attributes=given).attrs
    assert attrs["Conventions"] == "CF-1.11, ACDD-1.3"
    assert attrs["institution"] == "Here"
    assert attrs["title"] == "Passages, gaps filled"
    assert "id" not in attrs
    assert attrs["seed"] == 7
    assert json.loads(attrs["scores"]) == {"rmse": 0.25}
    assert attrs["history"] == f"2020: made\n{attrs['date_created']}: oceanfill fill a.nc b.nc"
    assert (attrs["geospatial_lat_min"], attrs["geospatial_lat_max"]) == (40.5, 41)
    assert (attrs["geospatial_lon_min"], attrs["geospatial_lon_max"]) == (-5, -3.5)
    assert attrs["time_coverage_start"] == "2020-02-28T12:00:00Z"
    assert attrs["time_coverage_end"] == "2020-03-01T12:00:00Z"
    assert (attrs["time_coverage_duration"], attrs["time_coverage_resolution"]) == ("P2D", "P1D")
    assert attrs["input_files"] == "a.nc, b.nc"
    assert "7 of 15 sea values (46.7%)" in attrs["summary"]
    east = to_dataset(replace(field, lon=field.lon + 364), *estimate(field)).attrs  # 359 to 360.5
    assert (east["geospatial_lon_min"], east["geospatial_lon_max"]) == (-1, 0.5)


def test_no_finding_of_high_priority_by_the_compliance_checker(tmp_path: Path) -> None:
    depth = {"standard_name": "depth", "long_name": "depth", "units": "m", "positive": "down", "axis": "Z"}
    field = small_field(
        time_encoding={"units": "hours since 1981-01-01", "calendar": "standard", "dtype": np.dtype("int32")},
        coordinates={"depth": ((), np.float32(0.5), depth)},
    )
    write_dataset(to_dataset(field, *estimate(field), intervals={90: 2.0}), tmp_path / "out.nc")
    report = tmp_path / "report.json"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the checker's own
        CheckSuite.load_all_available_checkers()
        ComplianceChecker.run_checker(
            str(tmp_path / "out.nc"),
            ["cf:1.11", "acdd:1.3"],
            0,
            "normal",
            output_filename=str(report),
            output_format="json",
        )
    found = json.loads(report.read_text())
    assert set(found) == {"cf:1.11", "acdd:1.3"}
    for convention, results in found.items():
        checks = results["high_priorities"]
        assert len(checks) > 3
        messages = [f"{convention}: {m}" for c in checks for m in c["msgs"] if c["value"][0] < c["value"][1]]
        assert messages == []


def test_stored_compressed_one_date_a_chunk(tmp_path: Path) -> None:
    field = small_field()
    write_dataset(to_dataset(field, *estimate(field)), tmp_path / "out.nc")
    with netCDF4.Dataset(tmp_path / "out.nc") as file:
        assert file.data_model == "NETCDF4"
        for name in ("sst", "sst_analysis", "sst_error", "sst_source"):
            filters = file[name].filters()
            assert (filters["zlib"], filters["complevel"], filters["shuffle"]) == (True, 4, True)
            assert file[name].chunking() == [1, NY, NX]
        assert np.isnan(file["sst"].getncattr("_FillValue"))
        assert "_FillValue" not in file["sst_source"].ncattrs()


def test_a_large_date_is_cut_into_equal_chunks_of_less_than_a_megabyte() -> None:
    ny, nx = 900, 700  # 2.4 MiB a date
    source = xr.DataArray(
        np.full((ny, 2, nx), np.nan, np.float32),
        dims=("lat", "time", "lon"),
        coords={
            "lat": np.linspace(30, 40, ny),
            "time": np.array(["2020", "2021"], "M8[ns]"),
            "lon": np.arange(nx),
        },
    )
    full = np.zeros((2, ny, nx), np.float32)
    lat, lon = np.meshgrid(np.linspace(30, 40, ny), np.arange(nx), indexing="ij")
    sea = np.ones((ny, nx), bool)
    field = small_field(
        values=full * np.nan,
        sea=sea,
        lat=lat,
        lon=lon,
        source=source,
        days=np.arange(2.0),
        season=np.zeros(2),
    )
    out = to_dataset(field, full, full)
    assert out.sst.encoding["chunksizes"] == (300, 1, 700)
    assert out.sst_source.encoding["chunksizes"] == (900, 1, 700)
