"""Maps in overlapping tiles: every cell once, smoothly, and by precision."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from oceanfill.pipeline.classical.tiles import solve_in_tiles
from torch import Tensor

CPU = torch.device("cpu")


def solve(wanted, estimate, side, batch=3, **how):
    counted: list[int] = []
    maps = solve_in_tiles(wanted, estimate, 2, CPU, counted.append, side, batch, **how)
    return maps, sum(counted)


def give_place(centres: Tensor, members: Tensor) -> list[Tensor]:
    """A plane, and the column of the tile's centre."""
    t, y, x = members.double().unbind(-1)
    return [100 * t + 3 * y - 2 * x, centres[:, None, 2].expand(x.shape)]


@pytest.mark.parametrize("side", [2, 3, 4, 8])
def test_what_all_tiles_agree_on_is_kept(side):
    wanted = np.random.default_rng(0).random((3, 13, 21)) < 0.4
    maps, counted = solve(wanted, give_place, side)
    t, y, x = np.indices(wanted.shape)
    np.testing.assert_allclose(maps[0][wanted], (100 * t + 3 * y - 2 * x)[wanted], atol=1e-3)
    assert np.isnan(maps[:, ~wanted]).all()
    assert counted == wanted.sum()


def test_from_tile_to_tile_a_map_changes_smoothly():
    maps, _ = solve(np.ones((1, 8, 40), bool), give_place, 8)
    row = maps[1][0, 3]
    assert row[4] == 4  # the centres of tiles have no other one
    assert row[12] == 12
    np.testing.assert_allclose(row[4:13] + row[12:3:-1], 16, rtol=1e-6)
    step = np.diff(row[4:29])
    assert step.min() > 0.3
    assert step.max() < 1.5  # on average 1; an abrupt change would be one of 8
    assert np.abs(np.diff(step)).max() < 0.6


def test_estimates_count_by_their_precision():
    def estimate(centres: Tensor, members: Tensor) -> list[Tensor]:
        good = centres[:, None, 2] == 2
        where = torch.ones(members.shape[:2])
        return [where * torch.where(good, 0.1, 0.3), where * torch.where(good, 1.0, 0.0)]

    wanted = np.ones((1, 4, 8), bool)
    alike, _ = solve(wanted, estimate, 4)
    maps, _ = solve(wanted, estimate, 4, least_variance=1e-6)
    # Half way between two centres their weights are equal, and their precisions squared are as 9 to 1.
    assert alike[1][0, 2, 4] == pytest.approx(0.5)
    assert maps[1][0, 2, 4] == pytest.approx(0.9)
    assert maps[0][0, 2, 4] == pytest.approx(0.9 * 0.1 + 0.1 * 0.3)
    floored, _ = solve(wanted, estimate, 4, least_variance=1.0)
    np.testing.assert_allclose(floored, alike, atol=1e-6)
