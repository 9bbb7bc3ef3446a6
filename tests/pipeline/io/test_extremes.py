"""Absurd values are counted and warned of, whatever the method, the transform and the way they are filled."""

from __future__ import annotations

import logging

import numpy as np
import pytest
import xarray as xr
from fields import cloudy_dataset, eddies, seen_by_radars
from oceanfill.pipeline.io.radials import open_radials
from oceanfill.pipeline.jobs.currents import find_bearable_speed, measure_components, warn_of_speeds

from oceanfill import fill

AT = 3, 10, 12  # a cell that is hidden by clouds


def make_method(absurd):
    """A method whose estimate, as the field's values are, is absurd at a cell and its two neighbours."""

    def method(field):
        mean = np.where(field.sea, np.nanmean(field.values), np.nan).astype(np.float32)
        mean = np.broadcast_to(mean, field.values.shape).copy()
        mean[AT[0], AT[1], AT[2] : AT[2] + 3] = absurd
        return mean, np.where(np.isfinite(mean), np.float32(0.1), np.float32(np.nan))

    return method


def warnings_of(caplog):
    return [record for record in caplog.records if "delivered values lie far outside" in record.message]


@pytest.mark.parametrize("blocks", [False, True])
@pytest.mark.parametrize(("transform", "absurd"), [("none", 1e6), ("none", -40.0), ("log", 9.0)])
def test_absurd_values_are_counted_and_their_range_is_said(transform, absurd, blocks, tmp_path, caplog):
    data = cloudy_dataset(dates=8).drop_vars("truth")
    data.to_netcdf(tmp_path / "in.nc")
    how = {"cache": str(tmp_path / "cache.zarr")} if blocks else {}
    with caplog.at_level(logging.WARNING, "oceanfill"):
        out = fill(tmp_path / "in.nc", variable="sst", method=make_method(absurd), transform=transform, **how)
    (warning,) = warnings_of(caplog)
    values = out.sst_analysis
    low, high = float(values.min()), float(values.max())
    assert (
        f"sst: 3 delivered values lie far outside the observed ones: all reach from {low:.4g} to {high:.4g}"
        in (warning.message)
    )
    assert "look at them, or choose another method" in warning.message


@pytest.mark.parametrize("blocks", [False, True])
@pytest.mark.parametrize("method", ["oi", "dineof", "linear-time"])
def test_sound_estimates_are_not_warned_of(method, blocks, tmp_path, caplog):
    cloudy_dataset(dates=8, rows=10, columns=12).drop_vars("truth").to_netcdf(tmp_path / "in.nc")
    how = {"cache": str(tmp_path / "cache.zarr")} if blocks else {}
    with caplog.at_level(logging.WARNING, "oceanfill"):
        fill(tmp_path / "in.nc", variable="sst", method=method, **how)
    assert not warnings_of(caplog)


def test_components_of_a_current_beyond_twice_the_radial_velocities_are_warned_of(caplog):
    current = eddies(dates=6, rows=10, columns=12)
    radials = open_radials(seen_by_radars(current), "direction")
    speed = find_bearable_speed(radials)
    largest = max(np.nanmax(np.abs(one.values)) for one in radials.stations)
    assert 2 * largest < speed < 6 * largest
    absurd = current.copy(deep=True)
    absurd.u[2, 5, 5:7] = -3 * speed
    warn_of_speeds(measure_components(current, speed), speed)
    assert not caplog.messages
    warn_of_speeds(measure_components(absurd, speed), speed)
    (said,) = caplog.messages
    assert said.startswith("u: 2 delivered values lie far outside the observed ones")
    assert f"all reach from {-3 * speed:.4g}" in said


def test_values_that_follow_the_depth_are_not_far_from_the_observed_ones(tmp_path, caplog):
    data = cloudy_dataset(dates=8).drop_vars("truth")
    rows, columns = data.sst.shape[1:]
    slope = xr.DataArray(np.linspace(0, 3000, rows * columns).reshape(rows, columns), dims=("lat", "lon"))
    data["sst"] = data.sst - slope / 50  # 60 degC along a depth of 3000 m
    slope.assign_coords(lat=data.lat, lon=data.lon).to_dataset(name="depth").to_netcdf(tmp_path / "depth.nc")
    with caplog.at_level(logging.INFO, "oceanfill"):
        fill(data, variable="sst", auxiliary=[str(tmp_path / "depth.nc")], method="linear-time")
    assert any("depth explains" in message for message in caplog.messages)
    assert not warnings_of(caplog)
