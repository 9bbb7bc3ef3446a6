"""Altimeters against known properties of their orbits and against geometry."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import xarray as xr
from oceanfill.pipeline.errors import InputError
from oceanfill.pipeline.io.layout.positions import unit_vectors
from oceanfill.pipeline.simulators.altimetry import (
    MISSIONS,
    SWATH,
    find_bounding_circle,
    find_observed_cells,
    find_points_in_circle,
    locate_nadir,
    locate_swath,
    observe_along_tracks,
    sample_ground_track,
)

JASON, SARAL, SWOT = MISSIONS["jason"], MISSIONS["saral"], MISSIONS["swot"]
KM = 6371.0 * np.pi / 180  # of a degree
each_mission = pytest.mark.parametrize("mission", MISSIONS.values(), ids=MISSIONS)


def compute_distance(lat: np.ndarray, lon: np.ndarray, lat1: np.ndarray, lon1: np.ndarray) -> np.ndarray:
    """Compute great-circle distances in km with the haversine formula."""
    lat, lon, lat1, lon1 = (np.radians(angle) for angle in (lat, lon, lat1, lon1))
    half = np.sin((lat1 - lat) / 2) ** 2 + np.cos(lat) * np.cos(lat1) * np.sin((lon1 - lon) / 2) ** 2
    return 2 * 6371.0 * np.arcsin(np.sqrt(half))


def find_bins(axis: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Number the interval of a regular axis that contains each value."""
    step = axis[1] - axis[0]
    return np.floor((values - axis[0]) / step + 0.5).astype(int)


@each_mission
def test_the_track_closes_after_the_cycle(mission):
    time = np.linspace(0, mission.days, 101)
    apart = compute_distance(*locate_nadir(mission, time), *locate_nadir(mission, time + mission.days))
    assert apart.max() / KM < 1e-9
    assert np.gcd(mission.revolutions, mission.nodal_days) == 1  # and not before


@each_mission
def test_crossings_of_the_equator_are_evenly_spaced(mission):
    lat, lon = locate_nadir(mission, np.arange(mission.revolutions) * mission.days / mission.revolutions)
    assert np.abs(lat).max() < 1e-9
    assert lon[0] == pytest.approx(mission.first_longitude)
    spacing = np.diff(np.sort(lon))
    np.testing.assert_allclose(spacing, 360 / mission.revolutions, atol=1e-9)


def test_jasons_tracks_are_315_km_apart_and_each_is_28_degrees_west_of_the_last():
    _, lon = locate_nadir(JASON, np.arange(127) * JASON.days / 127)
    assert np.diff(np.sort(lon)).mean() * KM == pytest.approx(315.2, abs=0.1)
    assert (lon[0] - lon[1]) % 360 == pytest.approx(360 * 10 / 127)


@each_mission
def test_the_northernmost_latitude_is_the_inclination(mission):
    lat, _ = locate_nadir(mission, mission.days / mission.revolutions * np.array([0.25, 0.75]))
    highest = min(mission.inclination, 180 - mission.inclination)
    assert lat == pytest.approx([highest, -highest], abs=1e-9)


@each_mission
def test_the_length_of_the_cycle_follows_from_the_oblateness_of_the_earth(mission):
    gravity, radius, j2, rotation = 398600.4418, 6378.137, 1.08263e-3, 7.2921159e-5
    inclination = np.radians(mission.inclination)
    period = mission.days * 86400 / mission.revolutions
    semi_major = (gravity * (period / (2 * np.pi)) ** 2) ** (1 / 3)
    for _ in range(20):  # Kepler's law and the secular rates of a circular orbit (Kaula 1966)
        motion = np.sqrt(gravity / semi_major**3)
        flattening = 1.5 * j2 * (radius / semi_major) ** 2
        latitude_rate = motion * (1 + flattening * (3 - 4 * np.sin(inclination) ** 2))
        semi_major *= (period * latitude_rate / (2 * np.pi)) ** (2 / 3)
    node = -flattening * motion * np.cos(inclination)
    days = mission.nodal_days * 2 * np.pi / (rotation - node) / 86400
    assert days == pytest.approx(mission.days, rel=2e-5)
    height = {"jason": 1336, "cryosat-2": 715.5, "swot": 890.58, "hy-2b": 963.6}.get(mission.name)
    assert height is None or semi_major - radius == pytest.approx(height, abs=0.5)


def test_jason_crosses_the_equator_20_degrees_from_north():
    lat, lon = locate_nadir(JASON, np.array([-1.0, 1.0]) / 86400)
    angle = np.degrees(np.arctan2(np.diff(lon), np.diff(lat)))
    assert angle == pytest.approx(19.709, abs=1e-3)  # tan = (cos i - 10 / 127) / sin i


def test_the_rotation_of_the_earth_reduces_the_spacing_over_ground():
    time, lat, lon = sample_ground_track(JASON, 0, 0.1)
    along = compute_distance(lat[:-1], lon[:-1], lat[1:], lon[1:])
    assert along[0] == pytest.approx(7 * 0.9707, rel=1e-3)  # sqrt(1 + q^2 - 2 q cos i), q = 10 / 127
    assert along[np.argmax(lat)] == pytest.approx(7 * (1 - 10 / 127 * 0.40609), rel=1e-3)  # eastwards
    assert time[-1] < 0.1 <= time[-1] + (time[1] - time[0])


def test_adjoining_windows_share_no_point_and_cycles_repeat_points():
    whole, first, second = (sample_ground_track(JASON, *window) for window in ((3, 5), (3, 4), (4, 5)))
    np.testing.assert_array_equal(whole[0], np.concatenate([first[0], second[0]]))
    later = sample_ground_track(JASON, 3 + JASON.days, 5 + JASON.days)
    np.testing.assert_allclose(later[0] - JASON.days, whole[0], atol=1e-9)


@pytest.mark.parametrize(("mission", "east"), [(JASON, 1), (SARAL, -1)])
def test_a_retrograde_orbit_goes_west(mission, east):
    lon = sample_ground_track(mission, 0, 1)[2]
    assert (np.sign((np.diff(lon) + 180) % 360 - 180) == east).all()
    assert (lon >= -180).all()
    assert (lon < 180).all()


def test_a_swath_lies_at_its_distances_to_the_right_and_left():
    time = np.linspace(0, SWOT.days / SWOT.revolutions, 50, endpoint=False)
    lat, lon = locate_swath(SWOT, time)
    assert lat.shape == (50, len(SWATH)) == (50, 52)
    under = [np.broadcast_to(axis[:, None], lat.shape) for axis in locate_nadir(SWOT, time)]
    apart = compute_distance(*under, lat, lon)
    np.testing.assert_allclose(apart, np.broadcast_to(np.abs(SWATH), apart.shape), rtol=1e-3)
    behind, ahead = locate_nadir(SWOT, time - 1e-4), locate_nadir(SWOT, time + 1e-4)
    to_both = [compute_distance(*(axis[:, None] for axis in point), lat, lon) for point in (behind, ahead)]
    np.testing.assert_allclose(*to_both, rtol=1e-4)  # at right angles
    eastwards = lon[0] - under[1][0]  # at the equator on a northward pass, where right is east
    assert (np.sign(eastwards) == np.sign(SWATH)).all()


def test_cells_agree_with_binning_across_the_date_line():
    lat, lon = np.arange(-40, 60.1, 0.5), np.arange(170, 200.1, 0.5)
    observed = find_observed_cells(lat, np.where(lon < 180, lon, lon - 360), [0.5, 3.0], [JASON, SARAL])
    expected = np.zeros_like(observed)
    for date, window in enumerate([(0.0, 1.0), (2.5, 3.5)]):
        for mission in (JASON, SARAL):
            _, y, x = sample_ground_track(mission, *window)
            row, column = find_bins(lat, y), find_bins(lon, x % 360)
            inside = (row >= 0) & (row < lat.size) & (column >= 0) & (column < lon.size)
            expected[date, row[inside], column[inside]] = True
    assert expected.any(axis=(1, 2)).all()
    np.testing.assert_array_equal(observed, expected)


def test_a_global_grid_has_no_edge_at_its_seam():
    lat, lon = np.meshgrid(np.arange(-87.5, 90, 5), np.arange(0, 360, 5), indexing="ij")
    mission = replace(SARAL, spacing=300.0)
    observed = find_observed_cells(lat, lon, [0.5], [mission])[0]
    _, y, x = sample_ground_track(mission, 0, 1)
    nearest = compute_distance(y[:, None], x[:, None], lat.ravel(), lon.ravel()).argmin(axis=1)
    np.testing.assert_array_equal(np.flatnonzero(observed), np.unique(nearest))
    assert observed[:, 0].any()


def test_the_order_of_a_curvilinear_grid_does_not_matter():
    lat, lon = np.meshgrid(np.arange(30, 46, 0.5), np.arange(-6, 20, 0.5), indexing="ij")
    observed = find_observed_cells(lat, lon, np.arange(4), [SARAL])
    turned = find_observed_cells(lat.T[:, ::-1], lon.T[:, ::-1] + 360, np.arange(4), [SARAL])
    np.testing.assert_array_equal(turned.transpose(0, 2, 1)[:, ::-1], observed)


def test_a_swath_covers_its_width():
    lat, lon = np.arange(-9.95, 10, 0.1), np.arange(-30, 30, 0.1)
    mission = replace(SWOT, first_longitude=0.0)
    observed = find_observed_cells(lat, lon, [0.0], [mission])[0]
    row = observed[100]
    angle = np.arctan((np.cos(np.radians(77.6)) - 21 / 292) / np.sin(np.radians(77.6)))
    crossing = 2 * 50 / (0.1 * KM * np.cos(angle))  # the two sides, 50 km each, in cells of a row
    near = np.abs(lon) < 2
    assert row[near].sum() == pytest.approx(crossing, abs=3)
    assert not row[np.abs(lon) < 0.05].any()  # the gap at nadir


def test_the_fraction_of_cells_follows_from_the_length_of_the_tracks():
    step = 0.25
    lat, lon = np.arange(-10 + step / 2, 10, step), np.arange(-180 + step / 2, 180, step)
    missions = [MISSIONS[name] for name in ("jason", "saral", "cryosat-2", "hy-2b")]
    fractions = []
    for mission in missions:
        _, y, x = sample_ground_track(mission, 0, 1)
        inside = np.abs(y[1:]) < 10
        dy, dx = np.abs(np.diff(y)), np.abs((np.diff(x) + 180) % 360 - 180)
        # The probability that the next point is in another cell, plus one cell at the start of each pass.
        changes = (1 - (1 - dx / step) * (1 - dy / step))[inside].sum()
        passes = np.count_nonzero(np.diff(inside.astype(int)) == 1)
        expected = (changes + passes) / (lat.size * lon.size)
        fractions.append(find_observed_cells(lat, lon, [0.5], [mission]).mean())
        assert 0.98 * expected < fractions[-1] < expected  # tracks that cross share a few cells
    together = find_observed_cells(lat, lon, [0.5], missions).mean()
    assert together == pytest.approx(1 - np.prod(1 - np.array(fractions)), rel=0.01)


def test_a_grid_of_one_row_is_refused():
    with pytest.raises(InputError, match="1 rows and 5 columns; simulated altimeters need at least two"):
        find_observed_cells(np.zeros((1, 5)), np.arange(5.0)[None], [0], [JASON])


def make_linear_field(lon: np.ndarray, dates: int = 11) -> xr.DataArray:
    """Build 0.1 + 0.02 lat - 0.01 lon + 0.005 days, on decreasing latitudes."""
    days, lat = np.arange(dates), np.arange(45, 29, -0.5)
    values = 0.1 + 0.005 * days[:, None, None] + 0.02 * lat[:, None] - 0.01 * lon
    time = np.datetime64("2020-01-01", "ns") + days * np.timedelta64(1, "D")
    wrapped = (lon + 180) % 360 - 180
    return xr.DataArray(values, {"time": time, "lat": lat, "lon": wrapped}, name="sla")


@pytest.mark.parametrize("west", [-6, 170])
def test_a_linear_field_is_observed_exactly(west):
    field = make_linear_field(west + np.arange(0, 24, 0.5))
    observed = observe_along_tracks(
        field, [replace(JASON, noise=0.0), replace(SARAL, noise=0.0)], np.random.default_rng(0)
    )
    days = ((observed.time - field.time[0]) / np.timedelta64(1, "D")).to_numpy()
    lat, lon = observed.latitude.to_numpy(), west + (observed.longitude.to_numpy() - west) % 360
    np.testing.assert_allclose(
        observed.sla_unfiltered, 0.1 + 0.005 * days + 0.02 * lat - 0.01 * lon, atol=1e-9
    )
    assert (np.diff(days) >= 0).all()
    for mission in (JASON, SARAL):
        _, y, x = sample_ground_track(mission, 0, 10)
        inside = (y >= 29.5) & (y <= 45) & ((x - west) % 360 <= 23.5)
        assert np.count_nonzero(observed.mission == mission.name) == np.count_nonzero(inside)


def test_observations_have_the_noise_of_their_mission():
    field = xr.zeros_like(make_linear_field(np.arange(0, 40, 1.0)))
    missions = [replace(JASON, noise=0.03), replace(SARAL, noise=0.01)]
    observed = observe_along_tracks(field, missions, np.random.default_rng(1))
    for mission in missions:
        errors = observed.sla_unfiltered.to_numpy()[observed.mission.to_numpy() == mission.name]
        sampling = mission.noise / np.sqrt(errors.size)
        assert errors.size > 1500
        assert errors.mean() == pytest.approx(0, abs=3 * sampling)
        assert errors.std() == pytest.approx(mission.noise, abs=3 * sampling / np.sqrt(2))
    again = observe_along_tracks(field, missions, np.random.default_rng(1))
    xr.testing.assert_identical(observed, again)


def test_no_point_next_to_missing_values_is_observed_and_a_full_circle_is_closed():
    field = xr.zeros_like(make_linear_field(np.arange(0, 360, 2.0), dates=3))
    full = observe_along_tracks(field, [JASON], np.random.default_rng(0))
    _, lat, _ = sample_ground_track(JASON, 0, 2)
    assert full.time.size == np.count_nonzero((lat >= 29.5) & (lat <= 45))
    land = observe_along_tracks(field.where(field.lat < 40), [JASON], np.random.default_rng(0))
    assert 39.4 < land.latitude.max() <= 39.5


def test_a_bounding_circle_contains_its_points():
    """A square of 2 degrees on the equator; all longitudes of a parallel have the pole as centre."""
    centre, radius = find_bounding_circle([-1, -1, 1, 1], [29, 31, 29, 31])
    np.testing.assert_allclose(centre, [np.cos(np.radians(30)), 0.5, 0], atol=1e-12)
    assert np.cos(radius) == pytest.approx(np.cos(np.radians(1)) ** 2, abs=1e-12)
    centre, radius = find_bounding_circle(np.full(36, 60.0), np.arange(0, 360, 10))
    np.testing.assert_allclose(centre, [0, 0, 1], atol=1e-12)
    assert np.degrees(radius) == pytest.approx(30)
    _, radius = find_bounding_circle([0, 0], [0, 180])
    assert radius == np.pi


@pytest.mark.parametrize("mission", [JASON, SWOT])
def test_all_points_in_a_circle_are_found(mission):
    """Against the distance of every point of the mission; few points outside are returned."""
    centre, radius = find_bounding_circle([34, 34, 40, 40], [10, 20, 10, 20])
    time, lat, lon = find_points_in_circle(mission, 2, 3, (centre, radius))
    all_times, _, _ = sample_ground_track(mission, 2, 3)
    all_lat, all_lon = (axis.ravel() for axis in locate_swath(mission, all_times))
    inside = (unit_vectors(all_lat, all_lon) @ centre) >= np.cos(radius)
    found = (unit_vectors(lat, lon) @ centre) >= np.cos(radius)
    assert found.sum() == inside.sum() > 100
    np.testing.assert_allclose(lat[found], all_lat[inside], atol=1e-9)
    np.testing.assert_allclose(lon[found], all_lon[inside], atol=1e-9)
    assert time.size == lat.size < 0.05 * all_lat.size


def test_a_field_without_axes_is_refused():
    with pytest.raises(InputError, match=r"sla has the dimensions \('time', 'lat'\)"):
        observe_along_tracks(
            make_linear_field(np.arange(3.0))[:, :, 0].drop_vars("lon"), [JASON], np.random.default_rng(0)
        )
