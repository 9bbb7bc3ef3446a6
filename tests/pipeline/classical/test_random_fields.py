"""Random fields with a covariance, and simulated errors of an interpolation."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from fields import cloudy_field
from oceanfill.pipeline.classical.kriging import Kriging
from oceanfill.pipeline.classical.neighbours import Component, Scales
from oceanfill.pipeline.classical.random_fields import draw_random_fields, simulate_errors
from oceanfill.pipeline.io.field import grid_spacing


def matern(distance: float) -> float:
    root = np.sqrt(3) * distance
    return (1 + root) * np.exp(-root)


@pytest.fixture(scope="module")
def field():
    return cloudy_field(dates=12, rows=14, columns=16)


@pytest.fixture(scope="module")
def scales(field) -> Scales:
    days, north, east = grid_spacing(field)
    return Scales((Component(2.0, 2 * north, 3 * days), Component(0.5, 5 * east, days)), 0.1)


def test_random_fields_have_the_covariance_that_is_asked_for(field, scales):
    days, north, east = grid_spacing(field)
    drawn = draw_random_fields(field, scales, 400, np.random.default_rng(0))
    # 400 draws of some 100 independent parts each: half a percent.
    assert drawn.var() == pytest.approx(2.5, rel=0.02)
    assert drawn.mean() == pytest.approx(0, abs=0.03)
    for axis, step, near, wide in (
        (1, days, 3 * days, days),
        (2, north, 2 * north, 5 * east),
        (3, east, 2 * north, 5 * east),
    ):
        a, b = (np.take(drawn, np.arange(start, drawn.shape[axis] - 1 + start), axis) for start in (0, 1))
        expected = 2 * matern(step / near) + 0.5 * matern(step / wide)
        assert np.mean(a * b) == pytest.approx(expected, rel=0.02)


def test_random_fields_skip_the_dates_that_are_missing(field, scales):
    days = field.days.copy()
    days[6:] += 2 * (days[1] - days[0])
    late = replace(field, days=days)
    drawn = draw_random_fields(late, scales, 400, np.random.default_rng(0))
    expected = 2 * matern(3 / 3) + 0.5 * matern(3)
    assert np.mean(drawn[:, 5] * drawn[:, 6]) == pytest.approx(expected, rel=0.05)


@pytest.mark.parametrize("nugget", [1e-4, 1.0])
def test_errors_in_gaps_have_the_kriging_variance(field, scales, nugget):
    scales = scales._replace(nugget=nugget)
    off, deviation = simulate_errors(field, Kriging(scales, 24), 300, np.random.default_rng(1))
    gaps = ~field.observed & field.sea
    np.testing.assert_array_equal(np.isfinite(off[0]), gaps)
    ratio = off[:, gaps].std(axis=0) / deviation[gaps]
    # The mean of overlapping tiles is better than each of them, to which the kriging variance refers.
    assert 0.93 < np.median(ratio) < 1.0
    # The standard error of a standard deviation of 300 draws is 4%.
    assert np.quantile(ratio, 0.02) > 0.75
    assert np.quantile(ratio, 0.98) < 1.12


def test_errors_of_neighbours_are_those_of_one_field(field, scales):
    off, _ = simulate_errors(field, Kriging(scales, 24), 100, np.random.default_rng(2))
    pairs = np.isfinite(off[0][:, :, 1:]) & np.isfinite(off[0][:, :, :-1])
    a, b = off[:, :, :, 1:][:, pairs], off[:, :, :, :-1][:, pairs]
    assert np.corrcoef(a.ravel(), b.ravel())[0, 1] > 0.6
    assert abs(np.corrcoef(off[0][np.isfinite(off[0])], off[1][np.isfinite(off[1])])[0, 1]) < 0.15
