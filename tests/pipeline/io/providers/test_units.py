"""Units: spellings, conversions between files, and what errors in other units mean."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import xarray as xr
from fields import plain_values
from oceanfill.pipeline.errors import InputError
from oceanfill.pipeline.io.field import open_field
from oceanfill.pipeline.io.points.tracks import read_tracks
from oceanfill.pipeline.io.providers.units import convert_error, convert_radians, find_conversion, spell_units
from oceanfill.pipeline.records.prepare import prepare


@pytest.mark.parametrize(
    ("units", "spelling"),
    [
        *((units, "degC") for units in ("deg C", "Celsius", "degree_C", "degrees Celsius", "C")),
        *((units, "K") for units in ("kelvin", "Kelvin", "K", "degK")),
        *((units, "mg m-3") for units in ("mg m^-3", "mg/m^3", "mg/m3", "mg m**-3", "milligram m-3")),
        *((units, "m s-1") for units in ("m/s", "m s^-1", "meter second-1", "m.s-1")),
        *((units, "%") for units in ("percent", "%", "0.01")),
    ],
)
def test_spellings(units, spelling):
    assert spell_units(units) == spelling


@pytest.mark.parametrize(
    ("units", "wanted", "conversion"),
    [
        ("K", "degree_C", (1, -273.15)),
        ("celsius", "kelvin", (1, 273.15)),
        ("cm", "m", (0.01, 0)),
        ("kg m-3", "mg m^-3", (1e6, 0)),
        ("ug/l", "mg/m^3", (1, 0)),
        ("percent", "1", (0.01, 0)),
        ("m", "K", None),
        ("log10(mg m-3)", "mg m-3", None),
        ("nonsense units", "m", None),
    ],
)
def test_conversions(units, wanted, conversion):
    assert find_conversion(units, wanted) == (conversion and pytest.approx(conversion, rel=1e-9))


def test_the_library_of_units_is_not_imported_where_none_differ():
    script = (
        "import sys; import oceanfill.pipeline.io.field; "
        "from oceanfill.pipeline.io.providers.units import find_conversion; "
        "find_conversion('deg C', 'Celsius'); assert 'pint' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


VALUES = np.float32([0.1, 0.5, 2.0, 10.0])
LN10 = np.log(10)


@pytest.mark.parametrize(
    ("name", "attrs", "given", "expected"),
    [
        ("CHL_uncertainty", {"units": "%"}, 30.0, 0.3 * VALUES),
        ("CHL_uncertainty", {"units": "1"}, 0.3, 0.3 * VALUES),
        ("CHL_uncertainty", {"units": "fraction"}, 0.3, 0.3 * VALUES),
        ("chlor_a_log10_rmsd", {}, 0.2, VALUES * np.sqrt(np.expm1((0.2 * LN10) ** 2))),
        ("rmsd", {"units": "1", "long_name": "RMSD of log10-transformed chlorophyll"}, 0.2, None),
        ("e", {"units": "kg m-3"}, 1e-6, np.ones(4)),
        ("e", {"units": "ug/l"}, 0.3, np.full(4, 0.3)),
        ("e", {"units": "mg2 m-6"}, 0.09, np.full(4, 0.3)),
        ("e", {"units": "mg m^-3"}, 0.3, np.full(4, 0.3)),
        ("e", {}, 0.3, np.full(4, 0.3)),
    ],
)
def test_errors_of_chlorophyll_are_understood(name, attrs, given, expected):
    """For a logarithm both the median of the value and the spread come back from draws of it."""
    if expected is None:
        expected = VALUES * np.sqrt(np.expm1((0.2 * LN10) ** 2))
    values = xr.DataArray(VALUES, dims="x", name="chlor_a", attrs={"units": "mg m-3"})
    error = xr.DataArray(np.full(4, given), dims="x", name=name, attrs=attrs)
    found, words = convert_error("chl.nc", values, error)
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    again, nothing = convert_error("chl.nc", values, found)
    np.testing.assert_allclose(again, expected, rtol=1e-5)
    assert nothing == ()
    plain = attrs in ({}, {"units": "mg m^-3"}, {"units": "ug/l"}) and "log10" not in name
    assert bool(words) != plain


def test_errors_of_temperature_keep_their_size_between_kelvin_and_celsius():
    sst = xr.DataArray(VALUES, dims="x", name="sst", attrs={"units": "degree_C"})
    error = xr.DataArray(np.full(4, 0.4), dims="x", name="e", attrs={"units": "kelvin"})
    np.testing.assert_allclose(convert_error("sst.nc", sst, error)[0], 0.4)
    error.attrs["units"] = "K2"
    np.testing.assert_allclose(convert_error("sst.nc", sst, error)[0], np.sqrt(0.4), rtol=1e-6)


@pytest.mark.parametrize(
    ("name", "units", "sentence"),
    [
        ("chlor_a_log10_bias", "1", "chlor_a_log10_bias is a bias, not a standard error"),
        ("e", "m", r"the units of e \(m\) are not understood .*; write it in the units of sst"),
        ("e", "%", r"the units of e \(%\) are not understood"),  # relative to which zero?
    ],
)
def test_errors_without_a_meaning_are_refused(name, units, sentence):
    sst = xr.DataArray(VALUES, dims="x", name="sst", attrs={"units": "Celsius"})
    error = xr.DataArray(VALUES, dims="x", name=name, attrs={"units": units})
    with pytest.raises(InputError, match=sentence):
        convert_error("sst.nc", sst, error)


def series(start: int = 0, dates: int = 3, **attrs: str) -> xr.Dataset:
    """Temperatures in Celsius of 10 to 20 degrees, with an error, on some dates."""
    rng = np.random.default_rng(start)
    time = np.datetime64("2020-01-01", "ns") + np.arange(start, start + dates) * np.timedelta64(1, "D")
    values = 10 + 10 * rng.random((dates, 4, 5))
    return xr.Dataset(
        {
            "sst": (("time", "lat", "lon"), values, {"units": "degree_C"}),
            "e": (("time", "lat", "lon"), 0.1 + 0 * values, {"units": "degree_C"}),
        },
        {"time": time, "lat": 40 + 0.1 * np.arange(4), "lon": 5 + 0.1 * np.arange(5)},
    )


def test_files_in_kelvin_and_celsius_are_one_record_in_memory_and_prepared(tmp_path):
    kelvin = series(3)
    kelvin["sst"] = (kelvin.sst + 273.15).assign_attrs(units="kelvin")
    series(0).to_netcdf(tmp_path / "a.nc")
    kelvin.to_netcdf(tmp_path / "b.nc")
    expected = np.concatenate([series(start).sst for start in (0, 3)])
    paths = [str(tmp_path / name) for name in ("a.nc", "b.nc")]
    field = open_field(paths, variable="sst", error_variable="e")
    np.testing.assert_allclose(field.values, expected, atol=2e-5)
    assert field.source.attrs["units"] == "degree_C"
    assert field.treatment == ("values in kelvin were converted to degree_C, the units of the first file",)
    store = prepare(paths, tmp_path / "all.zarr", variable="sst", error_variable="e")
    again = open_field(store, error_variable="e")
    np.testing.assert_array_equal(again.values, field.values)
    np.testing.assert_array_equal(again.error_variance, field.error_variance)
    backwards = open_field(paths[::-1], variable="sst")
    np.testing.assert_allclose(plain_values(backwards), expected + 273.15, atol=5e-5)


def test_files_whose_units_cannot_be_converted_are_refused(tmp_path):
    other = series(3)
    other.sst.attrs["units"] = "m"
    series(0).to_netcdf(tmp_path / "a.nc")
    other.to_netcdf(tmp_path / "b.nc")
    sentence = "b.nc: sst is in m but in degree_C in .*a.nc, and there is no conversion"
    with pytest.raises(InputError, match=sentence):
        open_field(str(tmp_path / "*.nc"), variable="sst")
    with pytest.raises(InputError, match=sentence):
        prepare(str(tmp_path / "*.nc"), tmp_path / "all.zarr", variable="sst")


def test_an_error_in_percent_is_the_same_in_memory_and_prepared(tmp_path):
    data = series()
    data["chl"] = (data.sst / 10).assign_attrs(units="mg m-3")
    data["e"] = (20 * data.e / data.e).assign_attrs(units="%")
    data[["chl", "e"]].to_netcdf(tmp_path / "a.nc")
    field = open_field(tmp_path / "a.nc", error_variable="e")
    assert field.transform == "log"
    np.testing.assert_allclose(field.error_variance, np.log1p(0.2**2), rtol=1e-5)
    store = prepare(tmp_path / "a.nc", tmp_path / "a.zarr", error_variable="e")
    np.testing.assert_array_equal(open_field(store, error_variable="e").error_variance, field.error_variance)


def test_latitude_and_longitude_in_radians():
    data = series()
    radians = {
        "lat": ("lat", np.radians(data.lat.to_numpy()), {"units": "radian", "valid_max": 1.6}),
        "lon": ("lon", np.radians(data.lon.to_numpy()), {"units": "radians", "standard_name": "longitude"}),
    }
    field = open_field(data.assign_coords(radians), variable="sst")
    np.testing.assert_allclose(field.lat[:, 0], data.lat, rtol=1e-12)
    np.testing.assert_allclose(field.lon[0], data.lon, rtol=1e-12)
    assert convert_radians(data) is data


def test_tracks_in_centimetres_and_metres(tmp_path):
    def track(start: int, units: str, scale: float) -> xr.Dataset:
        time = np.datetime64("2020-01-01", "ns") + (start + np.arange(60)) * np.timedelta64(1, "s")
        place = np.arange(start, start + 60)
        values = scale * np.sin(place / 9)
        return xr.Dataset(
            {
                "sla": ("time", values, {"units": units}),
                "latitude": ("time", 40 + 0.01 * place, {"units": "degrees_north"}),
                "longitude": ("time", 5 + 0.01 * place, {"units": "degrees_east"}),
                "err": ("time", np.full(60, 0.02 * scale), {"units": units}),
            },
            {"time": time},
        )

    for k, (units, scale) in enumerate((("m", 1.0), ("cm", 100.0))):
        track(60 * k, units, scale).to_netcdf(tmp_path / f"{k}.nc")
    found = read_tracks(str(tmp_path / "*.nc"), variable="sla", error_variable="err")
    np.testing.assert_allclose(found.value, np.sin(np.arange(120) / 9), atol=1e-6)
    np.testing.assert_allclose(found.error_variance, 0.0004, rtol=1e-5)
    assert found.attrs["units"] == "m"
