"""Gaussian seas: their regimes and their distribution."""

from __future__ import annotations

import numpy as np
import pytest
from fields import open_water
from oceanfill.pipeline.simulators.seas.domain import surround
from oceanfill.pipeline.simulators.seas.gaussian import draw_eddies, draw_gaussian
from scipy.stats import kurtosis, skew


def test_regimes_differ_in_their_memory():
    found = {"eddies": [], "quick": [], "still": []}
    for seed in range(40):
        field, drawn = draw_gaussian(np.random.default_rng(seed), open_water(8, 24, 24))
        found[drawn["regime"]].append(np.corrcoef(field[1:].ravel(), field[:-1].ravel())[0, 1])
    assert np.mean(found["still"]) > 0.75
    assert np.mean(found["eddies"]) - np.mean(found["quick"]) > 0.2


def test_values_are_normal():
    """Of many independent dates, whose eddies are small against the domain."""
    domain, total = open_water(60, 60, 64), []
    for seed in range(6):
        field, drawn = draw_eddies(np.random.default_rng(seed), domain, surround(60, 64), 0.5)
        if drawn["longest"] < 40:
            total.append(field / field.std())
    assert len(total) >= 2
    assert skew(np.ravel(total)) == pytest.approx(0, abs=0.1)
    assert kurtosis(np.ravel(total)) == pytest.approx(0, abs=0.2)


def test_the_drawn_memory_is_that_of_the_largest_scales():
    """Without shortening all scales have it; with it the field forgets faster."""
    domain = open_water(30, 60, 64)
    for seed in range(12):
        field, drawn = draw_eddies(np.random.default_rng(seed), domain, surround(60, 64), 6.0)
        found = np.mean([np.corrcoef(field[k].ravel(), field[k + 1].ravel())[0, 1] for k in range(29)])
        if drawn["drift"] == 0:
            passed = 2.146 / 6
            kept = (1 + passed) * np.exp(-passed) if drawn["smooth"] else np.exp(-1 / 6)
            assert found < kept + 0.05
            if drawn["shortening"] < 0.2:
                assert found > kept - 0.1
