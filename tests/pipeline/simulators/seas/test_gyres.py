"""Kinematic heights: jets with two sides, rings that drift west, western boundary currents."""

from __future__ import annotations

import numpy as np
import pytest
from fields import open_water
from oceanfill.pipeline.simulators.seas.gyres import draw_double_gyre, draw_gyres, draw_jet, draw_rings


def grid(rows, columns):
    return np.mgrid[:rows, :columns].astype(np.float32)


def test_a_jet_has_two_levels_and_a_narrow_step():
    shares = []
    for seed in range(12):
        field = draw_jet(np.random.default_rng(seed), open_water(3, 80, 80), *grid(80, 80), 0.5)
        assert np.abs(field).max() <= 1
        shares.append((np.abs(field) > 0.9).mean())
    assert np.mean(shares) > 0.5


def test_rings_drift_west_at_about_the_pace():
    moved = []
    for seed in range(8):
        field = draw_rings(np.random.default_rng(seed), open_water(5, 60, 90), *grid(60, 90), 4.0)
        alike = [np.corrcoef(np.roll(field[2], -k, 1).ravel(), field[3].ravel())[0, 1] for k in range(-8, 9)]
        moved.append(np.argmax(alike) - 8)
    assert np.mean(moved) == pytest.approx(4, abs=1)


def test_gyres_are_steepest_at_their_western_boundary():
    ratios = []
    for seed in range(12):
        domain = open_water(3, 80, 80)
        field = draw_double_gyre(np.random.default_rng(seed), domain, *grid(80, 80), 0.1)
        slope = np.abs(np.diff(field, axis=2)).mean((0, 1))
        ratios.append(slope[:8].max() / slope[50:].mean())
    assert np.median(ratios) > 2


def test_every_regime_is_drawn():
    drawn = [draw_gyres(np.random.default_rng(k), open_water(4, 20, 20))[1] for k in range(30)]
    counts = {one["regime"] for one in drawn}
    assert counts == {"jet", "gyres", "rings"}
    assert 0.1 <= min(one["eddies"] for one in drawn) <= max(one["eddies"] for one in drawn) <= 0.6
