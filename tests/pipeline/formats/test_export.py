"""Products against the filled file, read by xarray, ncdump, CDO and NCO, and by the IOOS checker."""

from __future__ import annotations

import json
import shutil
import subprocess
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
import pytest
import xarray as xr
from compliance_checker.runner import CheckSuite, ComplianceChecker
from filledmaps import make_filled
from oceanfill.pipeline.derived.geostrophy import GRAVITY, ROTATION

import oceanfill

LAT, LON = 40 + 0.25 * np.arange(6), -3 + 0.25 * np.arange(8)
DATES = 4
GIVEN = {
    "creator_name": "A. Name",
    "creator_email": "a@name.org",
    "institution": "Some Place",
    "license": "CC-BY",
    "id": "gaps",
}


def make_values(low: float, high: float) -> np.ndarray:
    values = np.random.default_rng(0).uniform(low, high, (DATES, LAT.size, LON.size))
    values[:, 0, :3] = np.nan
    return values


def make_sst() -> xr.Dataset:
    return make_filled(
        make_values(12, 20), LAT, LON, error=0.37, standard_name="sea_surface_foundation_temperature"
    )


def make_height() -> xr.Dataset:
    attrs = {"units": "cm", "standard_name": "sea_surface_height_above_sea_level"}
    made = make_filled(make_values(-20, 20), LAT, LON, name="sla", error=3.0, **attrs)
    return made.assign_attrs(fitted_covariance="eddies 120 km / 10 d, noise 0.02")


def make_years() -> xr.Dataset:
    """Five years of daily values with two draws, for a climatology."""
    values = np.random.default_rng(1).normal(15, 1, (5 * 366, 2, 2))
    samples = np.stack([values, values + 0.1])
    return make_filled(values, LAT[:2], LON[:2], samples=samples, standard_name="sea_surface_temperature")


def make_chlorophyll() -> xr.Dataset:
    source = np.arange(DATES * 48).reshape(DATES, 6, 8) % 4 + 1
    made = make_filled(make_values(0.05, 3), LAT, LON, name="chl", error=0.02, source=source, units="mg m-3")
    made["chl_analysis"] = made.chl * 1.5  # observed values are kept, and the error is that of the analysis
    return made


MADE: dict[str, tuple[Callable[[], xr.Dataset], str, str]] = {
    "ghrsst": (make_sst, "analysed_sst", "sst_analysis"),
    "cmems-ssh": (make_height, "sla", "sla_analysis"),
    "cmems-oc": (make_chlorophyll, "CHL", "chl"),
}


def run(*words: str | Path) -> str:
    """Standard output of a tool; the test is skipped where it is not installed."""
    if shutil.which(str(words[0])) is None:
        pytest.skip(f"{words[0]} is not installed (Debian: netcdf-bin, cdo, nco)")
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(params=MADE)
def product(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, xr.Dataset, list[Path]]:
    """The name of a format, the filled dataset and one file a date."""
    filled = MADE[request.param][0]()
    paths = oceanfill.export(filled, tmp_path / "out", format=request.param, attributes=GIVEN)
    return request.param, filled, paths


def expect(name: str, filled: xr.Dataset) -> np.ndarray:
    """The values of the first layer (time, lat, lon) in the units of the product."""
    values = filled[MADE[name][2]].to_numpy()
    return {"ghrsst": values + 273.15, "cmems-ssh": values / 100, "cmems-oc": values}[name]


STEPS = {"ghrsst": 0.0005, "cmems-ssh": 0.00005, "cmems-oc": 1e-6}  # half a step of the packing


def test_values_units_and_axes_by_xarray(product: tuple[str, xr.Dataset, list[Path]]) -> None:
    name, filled, paths = product
    assert len(paths) == DATES
    for number, path in enumerate(paths):
        with xr.open_dataset(path) as found:
            layer = found[MADE[name][1]]
            np.testing.assert_allclose(layer[0], expect(name, filled)[number], atol=1.02 * STEPS[name])
            assert layer.attrs["units"] == {"ghrsst": "kelvin", "cmems-ssh": "m", "cmems-oc": "mg m-3"}[name]
            axes = ("time", "latitude", "longitude") if name == "cmems-ssh" else ("time", "lat", "lon")
            assert layer.dims == axes
            np.testing.assert_allclose(found[axes[1]], LAT)
            np.testing.assert_allclose(found[axes[2]], LON)
            assert found.time.to_numpy()[0] == filled.time.to_numpy()[number]
            assert found.attrs["creator_name"] == "A. Name"
            assert found.attrs["time_coverage_start"][:10] == f"20{19 if number == 0 else 20}-" + (
                "12-31" if number == 0 else f"01-0{number}"
            )


DERIVED: dict[str, tuple[Callable[[], xr.Dataset], dict[str, Any]]] = {
    "gradient": (make_sst, {"length": 50}),
    "geostrophic": (make_height, {"length": 50}),
    "fronts": (make_sst, {}),
    "resolution": (make_sst, {"span": 160, "truth": make_sst()[["sst"]]}),
    "anomalies": (make_years, {}),
    "heatwaves": (make_years, {}),
}

# Of these CF 1.11 has no standard name.
NAMELESS = [
    "CHL_uncertainty",
    *(f"sst_{part}" for part in ("eastward_gradient", "northward_gradient", "gradient")),
    *(f"sst_{part}_error" for part in ("eastward_gradient", "northward_gradient", "gradient", "anomaly")),
    *("sst_effective_resolution", "sst_coherent_scale", "segments"),
    *("sst_anomaly", "sst_percentile", "sst_heatwave_probability", "event_probability"),
    *("event_start", "event_end", "event_peak", "event_duration"),
    *(f"event_intensity_{part}" for part in ("max", "mean", "cumulative")),
]


@pytest.mark.parametrize("name", [*MADE, *DERIVED])
def test_no_error_and_no_finding_of_high_priority_by_the_compliance_checker(
    tmp_path: Path, name: str
) -> None:
    if name in MADE:
        path = oceanfill.export(MADE[name][0](), tmp_path / "out", format=name, attributes=GIVEN)[0]
    else:
        path, (make, how) = tmp_path / "out.nc", DERIVED[name]
        oceanfill.derive(make(), path, what=name, attributes=GIVEN, **how)
    report = tmp_path / "report.json"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the checker's own
        CheckSuite.load_all_available_checkers()
        checkers = ["cf:1.11", "acdd:1.3"]
        _, errors = ComplianceChecker.run_checker(
            str(path), checkers, 0, "normal", output_filename=str(report), output_format="json"
        )
    assert not errors
    found = json.loads(report.read_text())
    messages = [
        f"{convention} {check['name']} {message}"
        for convention, results in found.items()
        for priority in ("high_priorities", "medium_priorities")
        if priority == "high_priorities" or (name in MADE and convention == "cf:1.11")
        for check in results[priority]
        for message in check["msgs"]
        if check["value"][0] < check["value"][1]
    ]
    nameless = [f'variable "{one}" missing the following attributes: standard_name' for one in NAMELESS]
    assert [text for text in messages if not any(one in text for one in nameless)] == []


def test_statistics_by_cdo(product: tuple[str, xr.Dataset, list[Path]]) -> None:
    name, filled, paths = product
    values, layer = expect(name, filled)[0], MADE[name][1]
    words = run("cdo", "-s", "outputf,%.8g,1", "-fldmin", f"-selname,{layer}", paths[0])
    assert float(words) == pytest.approx(np.nanmin(values), abs=1.02 * STEPS[name])
    assert float(
        run("cdo", "-s", "outputf,%.8g,1", "-fldmax", f"-selname,{layer}", paths[0])
    ) == pytest.approx(np.nanmax(values), abs=1.02 * STEPS[name])
    weights = np.cos(np.radians(LAT))[:, None] * np.isfinite(values)
    mean = np.nansum(values * weights) / weights.sum()
    found = run("cdo", "-s", "outputf,%.8g,1", "-fldmean", f"-selname,{layer}", paths[0])
    assert float(found) == pytest.approx(mean, abs=2 * STEPS[name])
    seen = run("cdo", "-s", "outputf,%g,1", "-fldsum", "-gtc,-1e9", f"-selname,{layer}", paths[0])
    assert float(seen) == LAT.size * LON.size - 3
    grid = run("cdo", "-s", "griddes", f"-selname,{layer}", paths[0])
    assert "gridtype  = lonlat" in grid
    assert "xfirst    = -3" in grid


def test_ncdump_ncrcat_ncra_and_mergetime(
    product: tuple[str, xr.Dataset, list[Path]], tmp_path: Path
) -> None:
    name, filled, paths = product
    layer, values = MADE[name][1], expect(name, filled)
    assert "time = UNLIMITED ; // (1 currently)" in run("ncdump", "-h", paths[0])
    run("ncrcat", *paths, tmp_path / "cat.nc")
    run("cdo", "-s", "mergetime", *paths, tmp_path / "merged.nc")
    for made in ("cat.nc", "merged.nc"):
        with xr.open_dataset(tmp_path / made) as found:
            np.testing.assert_array_equal(found.time, filled.time)
            np.testing.assert_allclose(found[layer], values, atol=1.02 * STEPS[name])
    run("ncra", *paths, tmp_path / "mean.nc")
    with xr.open_dataset(tmp_path / "mean.nc") as found:
        # NCO packs the mean of packed values anew, with the steps that it chooses.
        np.testing.assert_allclose(found[layer][0], values.mean(axis=0), atol=2 * STEPS[name])


def test_a_series_is_the_files_one_after_another(tmp_path: Path) -> None:
    filled = make_height()
    paths = oceanfill.export(filled, tmp_path / "days", format="cmems-ssh")
    assert oceanfill.export(filled, tmp_path / "all.nc", format="cmems-ssh") == [tmp_path / "all.nc"]
    with xr.open_dataset(tmp_path / "all.nc") as series:
        for number, path in enumerate(paths):
            with xr.open_dataset(path) as day:
                assert set(day.variables) == set(series.variables)
                for name in ("sla", "err_sla", "ugosa", "err_ugosa", "vgosa", "err_vgosa", "flag_ice"):
                    np.testing.assert_array_equal(series[name][number], day[name][0])
        np.testing.assert_array_equal(series.time, filled.time)
        assert (series.attrs["time_coverage_start"], series.attrs["time_coverage_end"]) == (
            "2019-12-31T12:00:00Z",
            "2020-01-04T12:00:00Z",
        )


def test_ghrsst_name_error_mask_and_ice(tmp_path: Path) -> None:
    lat, lon = 40.9 + 0.3 * np.arange(3), -3.2 + 0.3 * np.arange(8)
    ice = xr.Dataset(
        {"ice_conc": (("lat", "lon"), np.full((3, 8), 30.0), {"units": "%"})}, {"lat": lat, "lon": lon}
    )
    made = make_sst()
    path = oceanfill.export(made, tmp_path / "out", format="ghrsst", attributes=GIVEN, ice=ice)[1]
    assert path.name == "20200102000000-SOMEPLACE-L4_GHRSST-SSTfnd-gaps-REG-v02.1-fv01.0.nc"
    with netCDF4.Dataset(path) as file:
        assert (file["analysed_sst"].dtype, file["mask"].dtype, file["time"].dtype) == (
            np.int16,
            np.int8,
            np.int32,
        )
        assert file["time"].units == "seconds since 1981-01-01"
        mask = file["mask"][0]
        fraction = file["sea_ice_fraction"][0]
        np.testing.assert_allclose(file["analysis_error"][0].compressed(), 0.37)
        assert file.geospatial_bounds == "POLYGON ((40 -3, 41.25 -3, 41.25 -1.25, 40 -1.25, 40 -3))"
        deprecated = {"start_time", "stop_time", "sensor", "northernmost_latitude", "westernmost_longitude"}
        assert not deprecated & set(file.ncattrs())
    assert (mask[0] == [2, 2, 2, 1, 1, 1, 1, 1]).all()
    assert (mask[1] == 1).all()
    assert (mask[2:] == 9).all()  # up to one and a half cells from the ice, which begins at 40.9
    np.testing.assert_allclose(fraction[5].filled(-1), 0.3)
    assert fraction.mask[:2].all()


def test_the_mean_dynamic_topography_gives_adt_and_its_currents(tmp_path: Path) -> None:
    mdt = xr.Dataset(
        {"mdt": (("lat", "lon"), 0.02 * (LON + 3)[None] + np.zeros((6, 1)), {"units": "m"})},
        {"lat": LAT, "lon": LON},
    )
    filled = make_height()
    path = oceanfill.export(filled, tmp_path / "out", format="cmems-ssh", mdt=mdt)[2]
    with xr.open_dataset(path) as found:
        np.testing.assert_allclose(
            found.adt[0] - found.sla[0], mdt.mdt.where(np.isfinite(filled.sla[0])), atol=2e-4
        )
        np.testing.assert_allclose(found.err_sla.isel(time=0, latitude=3), 0.03, atol=1e-4)
        slope = 0.02 / (6371e3 * np.radians(1) * np.cos(np.radians(LAT[3])))
        extra = (found.vgos - found.vgosa)[0, 3, 2:6]
        np.testing.assert_allclose(
            extra, GRAVITY / (2 * ROTATION * np.sin(np.radians(LAT[3]))) * slope, atol=2e-4
        )


def test_errors_of_the_currents_are_those_that_are_derived(tmp_path: Path) -> None:
    filled = make_height()
    draws = filled.sla.to_numpy() + np.random.default_rng(1).normal(0, 3, (20, *filled.sla.shape))
    by_draws = filled.assign(sla_samples=(("sample", *filled.sla.dims), draws, filled.sla.attrs))
    for number, source in enumerate((filled, by_draws)):
        path = oceanfill.export(source, tmp_path / f"{number}.nc", format="cmems-ssh")[0]
        expected = oceanfill.derive(source, what="geostrophic")
        with xr.open_dataset(path) as found:
            for letter in "uv":
                error = found[f"err_{letter}gosa"]
                np.testing.assert_allclose(error, expected[f"{letter}gosa_error"], atol=5.1e-5)
                assert error.attrs["units"] == "m s-1"
                assert error.attrs["comment"] == expected.ugosa_error.attrs["comment"]
    unknown = filled.assign_attrs(fitted_covariance="")
    (path, *_) = oceanfill.export(unknown, tmp_path / "days", format="cmems-ssh")
    with xr.open_dataset(path) as found:
        assert {"ugosa", "vgosa", "err_sla"} <= set(found.data_vars)
        assert not {"err_ugosa", "err_vgosa"} & set(found.data_vars)


def test_chlorophyll_flags_and_the_error_of_the_logarithm(tmp_path: Path) -> None:
    filled = make_chlorophyll()
    path = oceanfill.export(filled, tmp_path / "out", format="cmems-oc")[0]
    with xr.open_dataset(path) as found:
        origin = filled.chl_source[0].to_numpy()
        flags = {0: 1, 1: 0, 2: 2, 3: 6, 4: 8}
        np.testing.assert_array_equal(found.flags[0], np.vectorize(flags.get)(origin))
        sigma = found.CHL_log10_error[0].to_numpy() * np.log(10)
        mean = filled.chl_analysis[0].to_numpy()
        # The standard deviation of a lognormal quantity of this mean.
        np.testing.assert_allclose(
            mean * np.sqrt(np.exp(sigma**2) - 1), np.where(np.isfinite(mean), 0.02, np.nan), rtol=1e-5
        )
        np.testing.assert_allclose(found.CHL_error[0], np.where(np.isfinite(mean), 0.02, np.nan), rtol=1e-6)
        assert found.CHL_uncertainty.attrs["units"] == "%"
        np.testing.assert_allclose(found.CHL_uncertainty[0], 100 * 0.02 / mean, rtol=1e-5)


def test_a_globe_from_zero_begins_at_the_date_line(tmp_path: Path) -> None:
    lon = np.arange(0, 360, 10.0)
    values = np.broadcast_to(280 + lon / 100, (1, 5, 36))
    filled = make_filled(values, np.arange(-80, 81, 40.0), lon, units="K")
    (path,) = oceanfill.export(filled, tmp_path / "out", format="ghrsst")
    assert "-GLOB-" in path.name
    with xr.open_dataset(path) as found:
        np.testing.assert_array_equal(found.lon, np.arange(-180, 180, 10))
        np.testing.assert_allclose(found.analysed_sst[0, 2], 280 + np.mod(found.lon, 360) / 100, atol=6e-4)


def test_rows_from_north_are_turned(tmp_path: Path) -> None:
    filled = make_sst()
    one = oceanfill.export(filled, tmp_path / "one", format="ghrsst")[0]
    two = oceanfill.export(filled.isel(lat=slice(None, None, -1)), tmp_path / "two", format="ghrsst")[0]
    with xr.open_dataset(one) as a, xr.open_dataset(two) as b:
        xr.testing.assert_equal(a, b)


@pytest.mark.parametrize(
    ("change", "how", "says"),
    [
        ({}, {"format": "cmems-ssh"}, "sst is in degree_Celsius, not in units of a sea level such as m"),
        (
            {},
            {"format": "geotiff"},
            "there is no format 'geotiff'; choose one of ghrsst, cmems-ssh, cmems-oc",
        ),
        ({}, {"output": "x.nc"}, "ghrsst has one file for each date; give a folder"),
        ({}, {"mdt": "mdt.nc"}, "ghrsst has no mean dynamic topography; leave out mdt="),
        ({}, {"format": "cmems-oc", "ice": "ice.nc"}, "cmems-oc has no sea ice; leave out ice="),
        ({"units": ""}, {}, "sst has no units, not in units of temperature"),
        ({"units": "K"}, {}, "outside 265.383 to 330.917 kelvin, which its packing holds"),
        ({}, {"attributes": {"history": "x"}}, "the attribute history is set from the data; leave it out"),
        ({}, {"attributes": {"a b": "x"}}, "the attribute 'a b' is not a name"),
        ({}, {"attributes": {"creator_name": ["x"]}}, r"the attribute creator_name is \['x'\]; give a text"),
        ({}, {"variable": "chl"}, "there is no filled variable 'chl'; choose among sst"),
        ({}, {"ice": "nothere.nc"}, "nothere.nc: no such file"),
    ],
)
def test_refusals_leave_nothing(tmp_path: Path, monkeypatch, change: dict, how: dict, says: str) -> None:
    monkeypatch.chdir(tmp_path)
    filled = make_sst()
    for name in ("sst", "sst_analysis"):
        filled[name].attrs |= change
    how = {"format": "ghrsst"} | how
    with pytest.raises(oceanfill.InputError, match=says):
        oceanfill.export(filled, how.pop("output", "out"), **how)
    assert list(tmp_path.iterdir()) == []


def test_what_exists_is_kept(tmp_path: Path) -> None:
    filled = make_sst()
    (first, *_) = oceanfill.export(filled, tmp_path / "out", format="ghrsst")
    (tmp_path / "out" / "notes.txt").write_text("mine")
    before = first.read_bytes()
    with pytest.raises(oceanfill.InputError, match="exists; add overwrite=True"):
        oceanfill.export(filled, tmp_path / "out", format="ghrsst")
    assert first.read_bytes() == before
    oceanfill.export(filled, tmp_path / "out", format="ghrsst", overwrite=True)
    assert first.read_bytes() != before  # another uuid
    assert (tmp_path / "out" / "notes.txt").read_text() == "mine"
    twice = xr.concat(
        [filled, filled.assign_coords(time=filled.time + np.timedelta64(6, "h"))], "time"
    ).sortby("time")
    twice = twice.rename({name: name.replace("sst", "chl") for name in twice.data_vars})
    for name in ("chl", "chl_analysis"):
        twice[name].attrs["units"] = "mg m-3"
    with pytest.raises(
        oceanfill.InputError, match="several maps of 2020-01-01T06:00:00 would have the same file"
    ):
        oceanfill.export(twice, tmp_path / "oc", format="cmems-oc")
