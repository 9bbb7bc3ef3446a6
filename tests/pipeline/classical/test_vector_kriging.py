"""Currents from their components, against the dense Gaussian conditional and in simple geometries."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from fields import eddies, seen_by_radars
from oceanfill.pipeline.classical.neighbours import Component, Scales
from oceanfill.pipeline.classical.vector_kriging import (
    VectorKriging,
    fit_mean_current,
    fit_vector_covariance,
    hide_radials,
)
from oceanfill.pipeline.io.layout.positions import EARTH_RADIUS
from oceanfill.pipeline.io.radials import Radials, open_radials

SCALES = Scales(
    (Component(0.03, 80.0, 6.0), Component(0.02, 200.0, 9.0)), 1e-3
)  # so long that nothing is thinned


SHARE = 0.7


def covariance(a, b):
    """(n, m, 2, 2) of the currents at places (n, 3) and (m, 3) east, north (km) and days.

    The share without divergence by differences of the stream function's covariance, Matern-5/2.
    """

    def stream(east, north, days):
        total = 0.0
        for sill, length, duration in SCALES.components:
            root = np.sqrt(3 * ((east**2 + north**2) / length**2 + days**2 / duration**2))
            total = total + sill * length**2 * (1 + root + root**2 / 3) * np.exp(-root)
        return total

    def isotropic(east, north, days):
        total = 0.0
        for sill, length, duration in SCALES.components:
            root = np.sqrt(3 * ((east**2 + north**2) / length**2 + days**2 / duration**2))
            total = total + sill * (1 + root) * np.exp(-root)
        return total

    x, y, t = np.moveaxis(a[:, None] - b[None], -1, 0)
    h = 0.05  # km
    uu = -(stream(x, y + h, t) - 2 * stream(x, y, t) + stream(x, y - h, t)) / h**2
    vv = -(stream(x + h, y, t) - 2 * stream(x, y, t) + stream(x - h, y, t)) / h**2
    corners = [sx * sy * stream(x + sx * h, y + sy * h, t) for sx in (1, -1) for sy in (1, -1)]
    uv = sum(corners) / (4 * h**2)
    flow = np.stack([np.stack([uu, uv], -1), np.stack([uv, vv], -1)], -1)
    return SHARE * flow + (1 - SHARE) * isotropic(x, y, t)[..., None, None] * np.eye(2)


def dense(radials: Radials, mean, target):
    """Mean (2,) and covariance (2, 2) of the current at a target from all observations at once."""
    first = radials.stations[0]
    t, s, y, x = np.argwhere(np.isfinite(radials.values)).T
    h = radials.towards[s, :, y, x].astype(float)
    day, row, column = target
    degree = np.radians(EARTH_RADIUS)
    stretch = np.cos(np.radians(first.lat[row, column]))
    east = degree * stretch * (first.lon[y, x] - first.lon[row, column])
    north = degree * (first.lat[y, x] - first.lat[row, column])
    at = np.column_stack([east, north, first.days[t] - first.days[day]])
    noise = SCALES.nugget + 1e-4 * SCALES.sill + radials.error_variance[t, s, y, x]
    square = np.einsum("ai,abij,bj->ab", h, covariance(at, at), h) + np.diag(noise)
    right = np.einsum("ai,aij->aj", h, covariance(at, np.zeros((1, 3)))[:, 0])
    found = np.array(mean) + right.T @ np.linalg.solve(square, radials.values[t, s, y, x] - h @ mean)
    return found, SCALES.sill * np.eye(2) - right.T @ np.linalg.solve(square, right)


def few(share=0.15, **options):
    """Some values of a tiny field."""
    radials = open_radials(seen_by_radars(eddies(dates=4, rows=8, columns=9)), "direction", **options)
    return radials.hide(np.random.default_rng(0).random(radials.values.shape) > share)


def square(current, cell):
    uu, vv, uv = (current[(number, *cell)] for number in (2, 3, 4))
    return np.array([[uu, uv], [uv, vv]])


def test_all_neighbours_give_the_dense_conditional():
    radials = few(observation_error=0.02)
    current = VectorKriging(SCALES, (0.1, -0.05), SHARE, neighbours=50)(radials)
    assert np.isfinite(current[:, :, radials.sea]).all()
    assert np.isnan(current[:, :, ~radials.sea]).all()
    for target in np.argwhere(np.broadcast_to(radials.sea, radials.shape))[::17]:
        mean, spread = dense(radials, (0.1, -0.05), target)
        cell = tuple(target)
        np.testing.assert_allclose(
            [current[(0, *cell)], current[(1, *cell)]], mean, atol=3e-4
        )  # of the curvature
        np.testing.assert_allclose(square(current, cell), spread, atol=3e-4)


def with_directions(radials: Radials, *angles: float) -> Radials:
    """The same stations, each with one direction (degrees) everywhere."""
    towards = np.zeros_like(radials.towards)
    for number, angle in enumerate(np.radians(angles)):
        towards[number] = np.array([np.sin(angle), np.cos(angle)])[:, None, None]
    return replace(radials, towards=towards)


def observed(radials: Radials, u: float, v: float, *stations: int) -> Radials:
    """Observations of a uniform current everywhere by some stations; the others have none."""
    made = []
    for number, station in enumerate(radials.stations):
        along = radials.towards[number, 0] * u + radials.towards[number, 1] * v
        values = np.broadcast_to(np.where(radials.sea, along, np.nan), station.values.shape)
        made.append(
            replace(station, values=values.astype(np.float32)).hide(
                np.full(values.shape, number not in stations)
            )
        )
    return replace(radials, stations=tuple(made))


def test_two_stations_at_right_angles_determine_the_current():
    radials = observed(with_directions(few(), 30, 120), 0.3, -0.2, 0, 1)
    u, v, uu, vv, uv = VectorKriging(SCALES, (0.0, 0.0))(radials)[:, :, radials.sea]
    np.testing.assert_allclose(u, 0.3, atol=0.01)
    np.testing.assert_allclose(v, -0.2, atol=0.01)
    np.testing.assert_allclose(uu, vv, rtol=1e-3)  # both components are seen alike
    assert np.abs(uv).max() < 1e-3 * uu.min()
    assert uu.max() < 0.01 * SCALES.sill


@pytest.mark.parametrize("bearing", [0.0, 25.0, 90.0, 140.0])
def test_the_error_of_one_station_lies_across_its_direction(bearing):
    radials = observed(with_directions(few(), bearing, bearing + 60), 0.3, -0.2, 0)
    current = VectorKriging(SCALES, (0.0, 0.0))(radials)
    size, ways = np.linalg.eigh(square(current, (2, 4, 4)))
    assert size[1] == pytest.approx(SCALES.sill, rel=1e-3)  # nothing is known across
    assert size[0] < 0.01 * SCALES.sill
    across = np.degrees(np.arctan2(ways[0, 1], ways[1, 1]))  # clockwise from north
    assert (across - bearing) % 180 == pytest.approx(90, abs=0.1)


def test_the_mean_current_is_found_from_projections():
    radials = observed(few(), 0.12, 0.34, 0, 1)
    assert fit_mean_current(radials) == pytest.approx((0.12, 0.34), abs=1e-5)


def test_fitted_scales_estimate_the_hidden_current_with_its_error():
    truth = eddies(dates=16, rows=16, columns=18, seed=2)
    radials = open_radials(seen_by_radars(truth), "direction")
    kriging = fit_vector_covariance(radials)
    assert float(kriging.scales.nugget) ** 0.5 == pytest.approx(0.03, rel=0.25)
    u, v, uu, vv, _ = kriging(radials)
    off = np.stack([u - truth.u.to_numpy(), v - truth.v.to_numpy()])
    by_two = np.isfinite(radials.values).all(axis=1)
    by_none = ~np.isfinite(radials.values).any(axis=1) & radials.sea
    speed = np.sqrt(float((truth.u**2 + truth.v**2).mean()) / 2)
    assert np.sqrt((off[:, by_two] ** 2).mean()) < 0.12 * speed  # the noise of one velocity is 0.15
    assert np.sqrt((off[:, by_none] ** 2).mean()) < 0.25 * speed
    assert kriging.share > 0.9
    claimed = np.sqrt(((uu + vv) / 2)[by_none].mean())
    assert claimed == pytest.approx(np.sqrt((off[:, by_none] ** 2).mean()), rel=0.4)


def test_a_record_without_gaps_has_default_scales(caplog):
    radials = observed(few(), 0.1, 0.2, 0, 1)
    assert not hide_radials(radials, 0.2, np.random.default_rng(0)).any()
    kriging = fit_vector_covariance(radials)
    assert "its scales are the defaults" in caplog.text
    assert kriging.scales.sill > 0
