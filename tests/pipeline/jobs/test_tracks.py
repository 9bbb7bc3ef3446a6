"""Along-track files filled: the score at the points, a mission that is never seen."""

import numpy as np
import pytest
import xarray as xr
from oceanfill.pipeline.errors import InputError
from oceanfill.pipeline.io.points.tracks import read_tracks
from oceanfill.pipeline.jobs.fill import fill
from oceanfill.pipeline.settings import Training
from scipy.interpolate import RegularGridInterpolator
from tracks import BOUNDS, level, mission, write_missions

HOW = {"grid": 0.25, "bounds": BOUNDS}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    made = {name: mission(name, dates=14, seed=seed) for seed, name in enumerate(("alpha", "beta", "gamma"))}
    return write_missions(tmp_path_factory.mktemp("tracks"), **made)


@pytest.fixture(scope="module")
def by_oi(files):
    return fill(files, method="oi", hold_out="gamma", **HOW)


def test_the_field_comes_back_with_an_error_that_holds(by_oi):
    days = (by_oi.time - np.datetime64("2020-01-01")) / np.timedelta64(1, "D")
    lat, lon = np.meshgrid(by_oi.latitude, by_oi.longitude, indexing="ij")
    truth = level(days.to_numpy()[:, None, None], lat, lon)
    missing = by_oi.sla_filtered_source != 1
    error = (by_oi.sla_filtered - truth).to_numpy()[missing]
    assert np.sqrt(np.mean(error**2)) < 0.45 * truth.std(), "corners lie far from the tracks"
    assert set(by_oi.data_vars) == {f"sla_filtered{part}" for part in ("", "_analysis", "_error", "_source")}
    assert by_oi.sla_filtered.attrs["units"] == "m"
    assert by_oi.attrs["delivered"] == "oi"
    assert "gamma" not in by_oi.attrs["sea_mask"]
    assert by_oi.attrs["held_out_n"] > 50


def test_a_mission_that_is_held_out_is_never_seen(by_oi, files, tmp_path):
    changed = mission("gamma", dates=14, seed=2)
    changed["sla_filtered"] = changed.sla_filtered + 1.0
    path = write_missions(tmp_path, gamma=changed)
    again = fill(files[:2] + path, method="oi", hold_out="gamma", **HOW)
    xr.testing.assert_equal(again, by_oi)
    assert again.attrs["held_out_rmse"] == by_oi.attrs["held_out_rmse"]
    assert again.attrs["validation_bias"] == pytest.approx(by_oi.attrs["validation_bias"] - 1.0, abs=1e-4)


def test_its_score_is_that_of_the_delivered_maps_at_its_points(by_oi, files):
    tracks = read_tracks(files, region=BOUNDS)
    points = tracks.at(tracks.of("gamma"))
    inside = points.time < by_oi.time.to_numpy()[-1] + np.timedelta64(12, "h")
    points = points.at(inside & (points.time >= by_oi.time.to_numpy()[0] - np.timedelta64(12, "h")))
    date = np.rint((points.time - by_oi.time.to_numpy()[0]) / np.timedelta64(1, "D"))
    axes = np.arange(by_oi.sizes["time"]), by_oi.latitude.to_numpy(), by_oi.longitude.to_numpy()
    at = np.stack([date, points.lat, np.mod(points.lon, 360)], 1)
    mean, sigma = (
        RegularGridInterpolator(axes, by_oi[f"sla_filtered_{part}"].to_numpy())(at)
        for part in ("analysis", "error")
    )
    miss = mean - points.value
    assert by_oi.attrs["validation_n"] == len(miss)
    assert by_oi.attrs["validation_rmse"] == pytest.approx(np.sqrt(np.mean(miss**2)), rel=1e-4)
    assert by_oi.attrs["validation_bias"] == pytest.approx(np.mean(miss), abs=1e-6)
    assert by_oi.attrs["validation_coverage_1sigma"] == pytest.approx(
        np.mean(np.abs(miss) <= sigma), abs=2e-3
    )
    assert by_oi.attrs["validation_points"] == "gamma"


@pytest.mark.parametrize("method", ["dineof", "linear-space-time"])
def test_other_methods_run_unchanged(files, method):
    rows = []
    found = fill(files, method=method, report=rows.extend, **HOW)
    assert np.isfinite(found.sla_filtered_error).any()
    assert len(rows) == 1
    assert rows[0]["rmse"] < 0.15
    assert "validation_rmse" not in found.attrs


def test_a_network_learns_at_the_points(files):
    rows = []
    training = Training(epochs=1)
    found = fill(files, method="unet", training=training, report=rows.extend, **HOW)
    guess, network = rows
    assert guess["method"] == "oi"
    assert network["method"] == "unet"
    assert network["rmse"] != guess["rmse"]
    assert network["rmse"] < 1.3 * guess["rmse"]
    assert found.attrs["delivered"] in ("unet", "oi")


def test_refusals(files):
    with pytest.raises(InputError, match="no mission is called 'delta'; choose among alpha, beta, gamma"):
        fill(files, hold_out="delta", method="oi", **HOW)
    with pytest.raises(InputError, match="alpha is the only mission; give files of others"):
        fill(files[:1], hold_out="alpha", method="oi", **HOW)
    with pytest.raises(InputError, match="no method is called 'magic'"):
        fill(files, method="magic", **HOW)
