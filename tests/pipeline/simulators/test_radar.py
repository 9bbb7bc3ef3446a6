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


def test_a_direction_goes_on_along_the_great_circle():
    """The flight from 43 N 5 E to 60 N 90 E arrives with the angle of the spherical triangle (sine rule)."""
    station, y0, y = Station(43.0, 5.0, 100), np.radians(43), np.radians(60)
    apart = np.arccos(np.sin(y0) * np.sin(y) + np.cos(y0) * np.cos(y) * np.cos(np.radians(85)))
    angle = np.degrees(np.arcsin(np.cos(y0) * np.sin(np.radians(85)) / np.sin(apart)))
    assert compute_bearing(station, np.array(60.0), np.array(90.0)) == pytest.approx(180 - angle)


def test_velocities_are_projections_with_noise_within_reach():
    current = eddies(dates=40)
    exact = observe_radials(current, [Station(43.0, 5.5, 40, 0.0)], np.random.default_rng(0)).isel(station=0)
    angle = np.radians(exact.direction)
    expected = (current.u * np.sin(angle) + current.v * np.cos(angle)).where(np.isfinite(exact.radial))
    np.testing.assert_allclose(exact.radial, expected, atol=1e-6)
    seen = np.isfinite(exact.radial)
    y, x = 111.19 * (current.lat - 43.0), 111.19 * np.cos(np.radians(43.25)) * (current.lon - 5.5)
    far = np.hypot(y, x)
    assert not seen.where(far > 41, False).any()
    assert float(seen.where((far < 15) & np.isfinite(current.u)).mean()) > 0.7
    assert float(seen.where((far > 35) & (far < 40)).mean()) < 0.5
    noisy = observe_radials(current, [Station(43.0, 5.5, 40, 0.05)], np.random.default_rng(0)).isel(station=0)
    assert float((noisy.radial - exact.radial).std()) == pytest.approx(0.05, rel=0.05)


def test_names_are_those_of_cf():
    seen = seen_by_radars(eddies(dates=2))
    assert seen.radial.dims == ("time", "station", "lat", "lon")
    assert seen.radial.standard_name == "radial_sea_water_velocity_away_from_instrument"
    assert seen.direction.standard_name == "direction_of_radial_vector_away_from_instrument"
