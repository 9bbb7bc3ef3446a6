"""Radars: directions on the sphere, projections, gaps and noise."""

from __future__ import annotations

import numpy as np
import pytest
from fields import eddies, seen_by_radars
from oceanfill.pipeline.simulators.radar import Station, compute_bearing, observe_radials


@pytest.mark.parametrize(
    ("lat", "lon", "expected"), [(44, 5, 0), (0, 6, 90), (42, 5, 180), (0, 4, 270), (44, 365, 0)]
)
def test_directions_point_away_from_the_station(lat, lon, expected):
    station = Station(0.0 if lat == 0 else 43.0, 5.0, 100)
    found = compute_bearing(station, np.array(lat), np.array(lon))
    assert (found - expected + 180) % 360 - 180 == pytest.approx(0, abs=1e-9)


def test_a_direction_follows_the_great_circle():
    """The great circle from 43 N 5 E arrives at 60 N 90 E with the angle that the sine rule gives."""
    station, y0, y = Station(43.0, 5.0, 100), np.radians(43), np.radians(60)
    apart = np.arccos(np.sin(y0) * np.sin(y) + np.cos(y0) * np.cos(y) * np.cos(np.radians(85)))
    angle = np.degrees(np.arcsin(np.cos(y0) * np.sin(np.radians(85)) / np.sin(apart)))
    assert compute_bearing(station, np.array(60.0), np.array(90.0)) == pytest.approx(180 - angle)


def test_velocities_are_projections_with_noise_within_reach():
    current = eddies(dates=40)
    exact = observe_radials(current, [Station(43.0, 5.5, 40, 0.0)], np.random.default_rng(0)).isel(station=0)
    angle = np.radians(exact.direction)
    observed = np.isfinite(exact.radial)
    expected = (current.u * np.sin(angle) + current.v * np.cos(angle)).where(observed)
    np.testing.assert_allclose(exact.radial, expected, atol=1e-6)
    y, x = 111.19 * (current.lat - 43.0), 111.19 * np.cos(np.radians(43.25)) * (current.lon - 5.5)
    distance = np.hypot(y, x)
    assert not observed.where(distance > 41, False).any()
    noisy = observe_radials(current, [Station(43.0, 5.5, 40, 0.05)], np.random.default_rng(0)).isel(station=0)
    assert float((noisy.radial - exact.radial).std()) == pytest.approx(0.05, rel=0.05)


def test_gaps_become_more_frequent_with_distance():
    """15% are missing at the radar, 75% at its reach; the mean of 20 runs has a standard error of 1.4%."""
    current, station = eddies(dates=40), Station(43.0, 5.5, 40)
    runs = [observe_radials(current, [station], np.random.default_rng(seed)).radial for seed in range(20)]
    observed = sum(np.isfinite(radial.isel(station=0)) for radial in runs) / 20
    y, x = 111.19 * (current.lat - 43.0), 111.19 * np.cos(np.radians(43.25)) * (current.lon - 5.5)
    distance = np.hypot(y, x)
    for nearest, farthest in ((0, 15), (15, 30), (30, 39)):
        there = (distance > nearest) & (distance < farthest) & np.isfinite(current.u)
        expected = 1 - (0.15 + 0.6 * (distance / 40) ** 2)
        assert float(observed.where(there).mean()) == pytest.approx(
            float(expected.where(there).mean()), abs=0.05
        )


def test_names_follow_cf():
    radials = seen_by_radars(eddies(dates=2))
    assert radials.radial.dims == ("time", "station", "lat", "lon")
    assert radials.radial.standard_name == "radial_sea_water_velocity_away_from_instrument"
    assert radials.direction.standard_name == "direction_of_radial_vector_away_from_instrument"
