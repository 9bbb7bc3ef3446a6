"""A filled field against points whose errors are known."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from oceanfill.pipeline.errors import InputError
from oceanfill.pipeline.holdout.matchups import Matching
from oceanfill.pipeline.holdout.validation import Validation, name_tables, validate, write_validation

DATES = pd.date_range("2020-01-01T12:00", periods=40)
LAT, LON = 40 + 0.1 * np.arange(12), 5 + 0.1 * np.arange(14)
OFFSET, NOISE, SIGMA = 0.2, 0.1, 0.3
CELSIUS = {"units": "degree_Celsius", "standard_name": "sea_surface_temperature"}


def truth(days, lat, lon):
    return 15 + 0.1 * days + 4 * (lat - 40) - 2 * (lon - 5)


def filled(seed: int = 0) -> xr.Dataset:
    """The truth and an error of ``SIGMA`` that it tells; every second date is filled; land in the west."""
    rng = np.random.default_rng(seed)
    days, lat, lon = np.meshgrid(np.arange(40.0), LAT, LON, indexing="ij")
    error = np.broadcast_to(SIGMA * rng.standard_normal((40, 1, 1)), days.shape)  # alike all over a date
    sst = np.where(lon < 5.05, np.nan, truth(days, lat, lon) + error)
    source = np.where(lon < 5.05, 0, np.where(days % 2 == 0, 1, 2)).astype(np.int8)
    dims = ("time", "lat", "lon")
    sigma = np.where(np.isfinite(sst), SIGMA, np.nan)
    parts = {"sst": (dims, sst, CELSIUS), "sst_error": (dims, sigma), "sst_source": (dims, source)}
    parts["sst_analysis"] = (dims, sst + 1, CELSIUS)
    return xr.Dataset(parts, {"time": DATES, "lat": LAT, "lon": LON})


def buoys(number: int = 6, seed: int = 1, **how) -> pd.DataFrame:
    """Buoys at rest that read ``OFFSET`` too warm, with noise."""
    rng = np.random.default_rng(seed)
    lat, lon = 40.1 + 0.9 * rng.random(number), 5.2 + 1.0 * rng.random(number)
    frame = pd.DataFrame(
        {
            "time": np.tile(DATES, number),
            "lat": np.repeat(lat, len(DATES)),
            "lon": np.repeat(lon, len(DATES)),
            "platform": np.repeat([f"b{k}" for k in range(number)], len(DATES)),
        }
    )
    days = (frame.time - DATES[0]) / pd.Timedelta(days=1)
    noise = NOISE * rng.standard_normal(len(frame))
    return frame.assign(**{"sst": truth(days, frame.lat, frame.lon) + OFFSET + noise}, **how)


@pytest.fixture(scope="module")
def found() -> Validation:
    return validate(filled(), buoys(), units="degree_Celsius")


def test_known_errors_are_found(found):
    whole = found.scores[0]
    dates = np.random.default_rng(0).standard_normal((40, 1, 1)) * SIGMA
    assert (whole["n"], whole["platforms"]) == (240, 6)
    assert whole["bias"] == pytest.approx(dates.mean() - OFFSET, abs=0.02)
    assert whole["sd"] == pytest.approx(np.hypot(dates.std(), NOISE), rel=0.05)
    assert whole["rmse"] == pytest.approx(np.hypot(whole["bias"], whole["sd"]), rel=1e-5)
    assert whole["bias_low"] < whole["bias"] < whole["bias_high"]
    off = found.matchups.field - found.matchups.point
    assert whole["coverage_1sigma"] == np.mean(np.abs(off) <= SIGMA)
    assert whole["spread_skill"] == pytest.approx(SIGMA / whole["rmse"])
    assert found.spread == [
        {"n": 240, "error_low": pytest.approx(SIGMA), "error_high": pytest.approx(SIGMA)}
        | {"expected": pytest.approx(SIGMA), "found": pytest.approx(whole["rmse"])}
    ]
    assert found.reliability[18] == np.mean(np.abs(off) <= 1.959964 * SIGMA)


def test_classes_tell_observed_from_filled(found):
    by = {(row["by"], row["name"]): row for row in found.scores}
    assert (by["origin", "observed"]["n"], by["origin", "filled"]["n"]) == (120, 120)
    off = (found.matchups.field - found.matchups.point)[found.matchups.origin == 2]
    assert by["origin", "filled"]["bias"] == pytest.approx(off.mean())
    assert by["age", "0 days"]["n"] == 120
    assert by["distance", "no value on the date"]["n"] == 120
    assert set(found.matchups.age_days) == {0, 1}


def test_kelvin_other_longitudes_and_an_error_of_the_points(found):
    frame = buoys().assign(lon=lambda one: one.lon + 360, sst=lambda one: one.sst + 273.15)
    other = validate(filled(), frame, units="K", point_error=0.4)
    assert other.scores[0]["bias"] == pytest.approx(found.scores[0]["bias"], abs=1e-9)
    assert "the points were converted from K to degree_Celsius" in other.notes
    assert other.matchups.error.to_numpy() == pytest.approx(np.hypot(SIGMA, 0.4))


def test_files_and_datasets_give_the_same(found, tmp_path):
    filled().to_netcdf(tmp_path / "filled.nc")
    filled().isel(lat=slice(None, None, -1)).transpose("lon", "lat", "time").to_zarr(
        tmp_path / "f.zarr", consolidated=False
    )
    buoys().to_csv(tmp_path / "points.csv", index=False)
    for name in ("filled.nc", "f.zarr"):
        other = validate(tmp_path / name, tmp_path / "points.csv", units="degree_Celsius")
        assert other.scores[0]["rmse"] == pytest.approx(found.scores[0]["rmse"], rel=1e-6)
    paths = write_validation(other, tmp_path / "out")
    assert paths == name_tables(tmp_path / "out.csv") == [tmp_path / "out.csv", tmp_path / "out_matchups.csv"]
    table, pairs = map(pd.read_csv, paths)
    assert table.rmse[0] == pytest.approx(found.scores[0]["rmse"], rel=1e-6)
    assert len(pairs) == 240
    assert pairs.platform[0] == "b0"


def test_json_keeps_all_but_the_pairs(found):
    held = json.loads(found.to_json())
    read = Validation.from_json(found.to_json())
    assert held["scores"][0]["rmse"] == pytest.approx(found.scores[0]["rmse"], rel=1e-5)
    assert read.notes == found.notes
    assert len(read.reliability) == 19
    assert read.table.loc[("all", "all"), "n"] == 240
    assert not len(read.matchups)


def test_one_platform_and_few_are_said():
    assert "one platform: the intervals are over runs of ten days" in " ".join(
        validate(filled(), buoys(1)).notes
    )
    assert "3 platforms: the intervals are rough" in validate(filled(), buoys(3)).notes


def test_offsets_of_platforms_are_removed():
    frame = buoys()
    frame["sst"] += frame.platform.str[1:].astype(float)
    assert validate(filled(), frame).scores[0]["rmse"] > 2
    whole = validate(filled(), frame, remove_offsets=True).scores[0]
    assert whole["bias"] == pytest.approx(0, abs=1e-9)
    assert whole["rmse"] == pytest.approx(
        np.hypot(np.random.default_rng(0).standard_normal(40).std() * SIGMA, NOISE), rel=0.05
    )


def test_the_analysis_is_validated_where_asked_for(found):
    whole = validate(filled(), buoys(), analysis=True).scores[0]
    assert whole["bias"] == pytest.approx(found.scores[0]["bias"] + 1)
    with pytest.raises(InputError, match="there is no sst_analysis; leave out analysis="):
        validate(filled().drop_vars("sst_analysis"), buoys(), variable="sst", analysis=True)


def test_other_quantities_are_noted():
    skin = filled()
    skin.sst.attrs["standard_name"] = "sea_surface_skin_temperature"
    points = buoys(2).set_index("time").to_xarray().rename(time="row")
    points = points.assign(time=("row", buoys(2).time)).drop_vars("row")
    points.sst.attrs |= {"standard_name": "sea_water_temperature", "units": "degree_Celsius"}
    (note,) = (note for note in validate(skin, points).notes if "difference between" in note)
    assert "sea_surface_skin_temperature and sea_water_temperature" in note
    assert "about 0.17 K below" in note


def third_source(noise: float = 0.2) -> xr.Dataset:
    rng = np.random.default_rng(3)
    days, lat, lon = np.meshgrid(np.arange(40.0), LAT, LON, indexing="ij")
    values = truth(days, lat, lon) + 273.15 + noise * rng.standard_normal(days.shape)
    return xr.Dataset(
        {"sst": (("time", "lat", "lon"), values, {"units": "K"})}, {"time": DATES, "lat": LAT, "lon": LON}
    )


def test_a_third_field_gives_the_error_of_each():
    found = validate(filled(), buoys(30), third=third_source())
    days = (found.matchups.time - DATES[0]) / pd.Timedelta(days=1)
    expected = truth(days, found.matchups.lat, found.matchups.lon)
    sizes = [(found.matchups[name] - expected).std() for name in ("field", "point", "third")]
    assert [row["source"] for row in found.collocation] == ["field", "points", "third source"]
    variances = [row["error_sd"] ** 2 for row in found.collocation]
    assert variances == pytest.approx(np.square(sizes), abs=0.002)
    assert sizes == pytest.approx([0.23, NOISE, 0.14], abs=0.02)


def test_a_third_set_of_points_does_too():
    others = buoys(12, seed=1).assign(platform="x")
    others["sst"] += 0.5 * np.random.default_rng(4).standard_normal(len(others))
    others = others[["time", "lat", "lon", "sst"]]
    found = validate(
        filled(),
        buoys(12),
        third=others.set_index("time").to_xarray().rename(time="t").assign(time=("t", others.time)),
    )
    assert found.matchups.third.notna().all()
    few = others[:5].assign(row=range(5)).set_index("row").to_xarray()
    with pytest.raises(InputError, match="it has a value at 5 of the 480 match-ups"):
        validate(filled(), buoys(12), third=few, max_time=1)


@pytest.mark.parametrize(
    ("change", "finding"),
    [
        ({"lat": 10.0}, "no point lies on the grid, which covers 40.00 to 41.10 N"),
        ({"time": pd.Timestamp("2021-01-01")}, "no point is within 12 hours of a date of the field"),
        ({"lon": 5.01}, "none of the 240 points on the grid is within 6.96 km of a cell with a value of sst"),
    ],
)
def test_points_elsewhere_are_a_sentence(change, finding):
    with pytest.raises(InputError, match=finding):
        validate(filled(), buoys().assign(**change), max_distance=6.96 if "lon" in change else None)


def test_a_field_that_does_not_fit_is_a_sentence():
    with pytest.raises(InputError, match="is in m but in degree_Celsius in the field sst"):
        validate(filled(), buoys(), units="m")
    with pytest.raises(InputError, match="has no date, so points cannot be paired"):
        validate(filled().isel(time=0, drop=True), buoys(), variable="sst")
    with pytest.raises(InputError, match="points need the standard calendar"):
        validate(filled().convert_calendar("noleap"), buoys())
    with pytest.raises(InputError, match="no such file"):
        validate("nothere.nc", buoys())
    with pytest.raises(InputError, match="there is no option 'maxtime'; did you mean max_time"):
        validate(filled(), buoys(), maxtime=3)


def test_a_field_of_others_has_no_classes_of_gaps():
    found = validate(filled()[["sst"]], buoys(), matching=Matching(max_time=1))
    assert [row["by"] for row in found.scores] == ["all"]
    assert "coverage_1sigma" not in found.scores[0]
    assert "sst_source is not in the file" in " ".join(found.notes)
