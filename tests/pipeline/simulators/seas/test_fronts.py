"""Fronts: two modes, water masses, skewed ramps, heavy tails of the gradients."""

from __future__ import annotations

import numpy as np
import pytest
from fields import open_water
from oceanfill.pipeline.simulators.seas.domain import draw_red_noise
from oceanfill.pipeline.simulators.seas.fronts import draw_fronts, make_ramps, separate_masses, sharpen, warp
from scipy.stats import kurtosis, skew


def gaussian(seed=0):
    return np.stack([draw_red_noise(np.random.default_rng(seed + k), 60, 60, 3.0, 20) for k in range(10)])


def test_sharp_fronts_part_two_water_masses():
    """The values of a Gaussian field have one mode, those of a sharp front two, and few between."""
    field = sharpen(np.random.default_rng(0), gaussian(), 6.0)
    assert kurtosis(gaussian().ravel()) == pytest.approx(0, abs=0.5)
    assert kurtosis(field.ravel()) < -1.2
    assert (np.abs(field) > 0.8).mean() > 0.7


def test_water_masses_have_few_values():
    field = separate_masses(np.random.default_rng(1), gaussian(), 1e4)
    levels, counts = np.unique(field.round(3), return_counts=True)
    assert 3 <= (counts > 0.005 * field.size).sum() <= 6
    assert counts[np.argsort(counts)[:-6]].sum() < 0.01 * field.size
    assert len(levels) >= 3


def test_ramps_are_skewed():
    assert abs(skew(make_ramps(np.random.default_rng(0), gaussian(), 3.0).ravel())) > 0.8


def test_filaments_follow_streamlines_and_keep_the_range():
    """Warping moves values about: their range stays, their gradients have heavier tails."""
    found = [
        kurtosis(np.diff(warp(np.random.default_rng(seed), open_water(3, 90, 90), 5.0)).ravel())
        for seed in range(6)
    ]
    assert np.median(found) > 1
    assert np.mean(found) > kurtosis(np.diff(gaussian()).ravel()) + 1


@pytest.mark.parametrize("regime", ["fronts", "masses", "filaments", "ramps"])
def test_every_regime_comes_with_its_variance(regime):
    spreads = []
    for seed in range(16):
        field, drawn = draw_fronts(np.random.default_rng(seed), open_water(4, 24, 24))
        if drawn["regime"] == regime:
            assert 0 <= drawn["rest"] <= 0.5
            spreads.append(field.std())
    assert len(spreads) >= 1
    assert 0.7 < min(spreads) <= max(spreads) < 1.5
