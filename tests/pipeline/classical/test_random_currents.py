"""Random currents with a covariance, and simulated errors of their interpolation."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from fields import eddies, seen_by_radars
from oceanfill.pipeline.classical.neighbours import Component, Scales
from oceanfill.pipeline.classical.random_currents import draw_random_currents, simulate_current_errors
from oceanfill.pipeline.classical.vector_kriging import VectorKriging, compute_flow_covariance
from oceanfill.pipeline.io.field import grid_spacing
from oceanfill.pipeline.io.radials import open_radials

SCALES = Scales((Component(2.0, 7.0, 0.6), Component(0.5, 11.0, 0.4)), 0.1)
SHARE = 0.8
SHIFTS = [(0, 0, 0), (0, 1, 0), (0, 0, 1), (0, 2, 2), (0, 2, -2), (1, 1, 1)]  # dates, rows, columns


@pytest.fixture(scope="module")
def radials():
    return open_radials(seen_by_radars(eddies(dates=8, rows=12, columns=13)), "direction")


def correlate(drawn: np.ndarray, shift: tuple[int, int, int]) -> np.ndarray:
    """The covariance (2, 2) of the components in a cell and in the cell at a distance."""
    here, there = (
        tuple(
            slice(max(0, sign * step), extent - max(0, -sign * step))
            for step, extent in zip(shift, drawn.shape[2:], strict=True)
        )
        for sign in (-1, 1)
    )
    a, b = (
        np.moveaxis(drawn[(slice(None), slice(None), *part)], 1, 0).reshape(2, -1) for part in (here, there)
    )
    return a @ b.T / a.shape[1]


@pytest.mark.parametrize("flipped", [False, True])
def test_random_currents_have_the_covariance_that_is_asked_for(radials, flipped):
    """Also where rows go from north to south: then u and v covary the other way along a diagonal."""
    field = radials.stations[0]
    if flipped:
        field = replace(field, lat=field.lat[::-1])
    days, *steps = grid_spacing(field)
    drawn = draw_random_currents(field, SCALES, SHARE, 400, np.random.default_rng(0))
    for t, y, x in SHIFTS:
        apart = (x * steps[1], (-y if flipped else y) * steps[0], t * days)
        east, north, lag = (torch.tensor(one) for one in apart)
        alike, turning = compute_flow_covariance(SCALES, SHARE, east, north, lag)
        turned = torch.stack([-north, east])
        expected = alike * torch.eye(2) - turning * torch.outer(turned, turned)
        # 400 draws of some 50 independent parts each: one percent of the variance of 2.5.
        np.testing.assert_allclose(correlate(drawn, (t, y, x)), expected, atol=0.06)


def test_scales_as_long_as_the_domain_are_as_smooth_as_they_should_be(radials):
    """36 km and two days: cut off halfway around a torus, the covariance would not be one."""
    field, long = radials.stations[0], Scales((Component(1.0, 36.0, 1.0),), 0.1)
    drawn = draw_random_currents(field, long, 1.0, 200, np.random.default_rng(0))
    step = torch.tensor(grid_spacing(field)[2])
    alike, _ = compute_flow_covariance(long, 1.0, step, torch.tensor(0.0), torch.tensor(0.0))
    steps = np.diff(drawn[:, 0], axis=-1)
    assert (steps**2).mean() == pytest.approx(2 * (1 - float(alike)), rel=0.02)
    assert drawn.var(axis=0).mean() == pytest.approx(1, abs=0.1)


def test_errors_have_the_covariance_of_the_kriging(radials):
    scales = Scales((Component(2.5, 14.0, 1.0),), 0.1)
    kriging = VectorKriging(scales, (0.0, 0.0), SHARE, neighbours=40)
    off, (uu, vv, uv) = simulate_current_errors(radials, kriging, 200, np.random.default_rng(1))
    np.testing.assert_array_equal(np.isfinite(off[0, 0]), np.broadcast_to(radials.sea, radials.shape))
    u, v = off[:, 0][..., radials.sea], off[:, 1][..., radials.sea]
    uu, vv, uv = (part[..., radials.sea] for part in (uu, vv, uv))
    for part, variance in ((u, uu), (v, vv)):
        # The mean of overlapping tiles is better than each of them, to which the kriging variance refers.
        assert 0.88 < np.median(part.std(axis=0) / np.sqrt(variance)) < 1
        assert abs(part.mean()) < 0.02 * np.sqrt(scales.sill)
    claimed = uv / np.sqrt(uu * vv)
    found = (u * v).mean(axis=0) / np.sqrt((u**2).mean(axis=0) * (v**2).mean(axis=0))
    # The standard error of a correlation of 200 draws is 0.07.
    assert np.abs(claimed).max() > 0.8
    assert np.sqrt(np.mean((found - claimed) ** 2)) < 0.09
    assert np.polyfit(claimed.ravel(), found.ravel(), 1)[0] == pytest.approx(1, abs=0.06)
