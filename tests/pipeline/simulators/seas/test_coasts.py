"""Coasts: shares of land, and where the land is."""

from __future__ import annotations

import numpy as np
import pytest
from oceanfill.pipeline.simulators.seas.coasts import KINDS, draw_coast
from scipy.ndimage import label


def draw(kind, seeds=12, rows=60, columns=70):
    return [draw_coast(np.random.default_rng(seed), rows, columns, kind) for seed in range(seeds)]


@pytest.mark.parametrize("kind", KINDS)
def test_the_share_of_land_is_the_one_asked(kind):
    """Ponds that become land add to it."""
    for sea, share in draw(kind):
        assert KINDS[kind][0] <= share <= KINDS[kind][1]
        assert share - 0.01 <= (~sea).mean() <= share + 0.15
        parts, number = label(sea)
        assert np.bincount(parts.ravel())[1:].min() > 0.08 * sea.sum()
        assert number <= 10


def test_a_straight_coast_has_the_land_on_one_side():
    for sea, _ in draw("straight"):
        land = np.argwhere(~sea).mean(0) - [29.5, 34.5]
        assert np.hypot(*land) > 10


def test_a_basin_is_closed_and_its_middle_is_sea():
    edges, middles = [], []
    for sea, _ in draw("basin"):
        edges.append(np.concatenate([sea[0], sea[-1], sea[:, 0], sea[:, -1]]).mean())
        middles.append(sea[25:35, 30:40].mean())
    assert np.mean(edges) < 0.45
    assert np.mean(middles) > 0.9


def test_a_channel_has_land_on_both_sides():
    apart, middles = [], []
    for sea, _ in draw("channel"):
        land = np.argwhere(~sea) - [29.5, 34.5]
        apart.append(np.hypot(*land.mean(0)) / np.hypot(*land.T).mean())
        middles.append(sea[25:35, 30:40].mean())
    assert np.mean(apart) < 0.4  # near 1 for land on one side
    assert np.mean(middles) > 0.85


def test_islands_lie_in_many_places():
    numbers = [label(~sea)[1] for sea, _ in draw("archipelago")]
    assert np.median(numbers) >= 5
