"""Stirred tracers: conservation, extrema, and a flow without divergence or speed at the coast."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from fields import open_water
from oceanfill.pipeline.simulators.seas.domain import draw_red_noise, surround
from oceanfill.pipeline.simulators.seas.tracers import draw_flow, draw_tracer, shelter, stir


def flow_and_waves(sea=None, seed=0):
    domain = open_water(4, 50, 60)
    domain = domain if sea is None else replace(domain, sea=sea)
    waves = surround(50, 60, 1.25)
    return draw_flow(np.random.default_rng(seed), domain, waves, np.arange(6.0), 1.2), waves


def test_stirring_makes_no_new_extrema_and_keeps_the_mean():
    flow, waves = flow_and_waves()
    field = start = np.sign(draw_red_noise(np.random.default_rng(1), waves.rows, waves.columns, 3.0, 40))
    for moves in flow:
        field = stir(field, moves)
    assert field.min() >= -1
    assert field.max() <= 1
    assert field.mean() == pytest.approx(start.mean(), abs=0.03)
    assert np.corrcoef(field.ravel(), start.ravel())[0, 1] < 0.9


def test_a_uniform_flow_moves_the_tracer_by_its_cells():
    field = np.random.default_rng(0).standard_normal((20, 24))
    moves = np.stack([np.full((20, 24), 2.0), np.full((20, 24), -3.0)])
    np.testing.assert_allclose(stir(field, moves), np.roll(field, (2, -3), (0, 1)), atol=1e-9)


def test_turning_flow_carries_the_tracer_around():
    """A quarter turn of solid rotation in 60 steps takes a blob from the east to the north of the centre."""
    y, x = np.mgrid[:64, :64] - 32.0
    moves = np.pi / 120 * np.stack([x, -y])
    field = np.exp(-((x - 12) ** 2 + y**2) / 18)
    for _ in range(60):
        field = stir(field, moves)
    expected = np.exp(-(x**2 + (y - 12) ** 2) / 18)
    np.testing.assert_allclose(field, expected, atol=0.1)  # the range falls where the top is between cells
    centre = [(field * part).sum() / field.sum() for part in (y, x)]
    np.testing.assert_allclose(centre, [12, 0], atol=0.05)


def test_the_flow_has_no_divergence_and_the_speed_asked():
    flow, _ = flow_and_waves()
    divergence = np.gradient(flow[:, 0], axis=1) + np.gradient(flow[:, 1], axis=2)
    assert np.abs(divergence[:, 2:-2, 2:-2]).max() < 1e-4
    anomaly = flow - flow.mean((0, 2, 3), keepdims=True)
    assert np.sqrt((anomaly**2).mean()) == pytest.approx(1.2, rel=0.02)


def test_no_flow_crosses_a_coast():
    sea = np.ones((50, 60), bool)
    sea[:, :20] = False
    flow, waves = flow_and_waves(sea)
    east = np.abs(flow[:, 1, 5:-5]).mean((0, 1))
    assert east[5:19].max() < 1e-6
    assert east[20] < 0.3 * east[30:50].mean()
    assert shelter(sea, waves)[25, [10, 20, 40]] == pytest.approx([0, np.tanh(0.25), np.tanh(21 / 4)])


def test_faster_flows_are_forgotten_sooner():
    kept = {"slow": [], "straits": []}
    for seed in range(16):
        field, drawn = draw_tracer(np.random.default_rng(seed), open_water(8, 24, 24))
        if drawn["regime"] in kept:
            kept[drawn["regime"]].append(np.corrcoef(field[0].ravel(), field[5].ravel())[0, 1])
    assert np.mean(kept["slow"]) > np.mean(kept["straits"]) + 0.1
