"""Concentrations: lognormal in the open sea, blooms that come and go, plumes at coasts."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from fields import open_water
from oceanfill.pipeline.simulators.seas.concentrations import draw_blooms, draw_concentrations, draw_plumes
from scipy.stats import skew


def test_concentrations_of_the_open_sea_are_lognormal():
    """Skewness of the logarithms near 0 on average, of the concentrations themselves far above."""
    logs, raw = [], []
    for seed in range(60):
        field, drawn = draw_concentrations(np.random.default_rng(seed), open_water(8, 30, 32))
        if drawn["regime"] == "open":
            unit = (field - field.mean()) / field.std()
            logs.append(skew(unit.ravel()))
            raw.append(skew(np.exp(unit).ravel()))
    assert len(logs) >= 12
    assert np.mean(logs) == pytest.approx(0, abs=0.15)
    assert np.mean(raw) > 1


def test_blooms_are_local_and_brief():
    field = draw_blooms(np.random.default_rng(3), open_water(40, 60, 60))
    assert field.min() >= 0
    assert 0.5 < field.max() < 10
    peak = np.unravel_index(field.argmax(), field.shape)
    assert field[:, peak[1], peak[2]].min() < 0.3 * field.max()
    assert field[peak[0]].mean() < 0.5 * field.max()


def test_plumes_fall_off_from_the_coast():
    sea = np.ones((40, 60), bool)
    sea[:, :5] = False
    near, far = [], []
    for seed in range(10):
        field = draw_plumes(np.random.default_rng(seed), replace(open_water(4, 40, 60), sea=sea))
        near.append(field[:, :, 6].mean())
        far.append(field[:, :, 45:].mean())
    assert np.mean(near) > 0.5
    assert np.mean(far) < 0.2 * np.mean(near)
