"""Patches of many seas: what lies in them, and the symmetries of a correction."""

import numpy as np
import pytest
import torch
from oceanfill.pipeline.training.features import NetworkInputs, count_channels, spread_scales
from oceanfill.pipeline.training.pretraining.patches import SeaDates, SeaPatches
from oceanfill.pipeline.training.pretraining.pool import Sea

torch.set_num_threads(1)


def sea(rows=10, columns=12, dates=7, family="a"):
    """A sea whose anomaly is the residual of its date, an odd function of nothing else; a column is land."""
    rng = np.random.default_rng(3)
    shape = (1, dates, rows, columns)
    anomaly = torch.from_numpy(rng.normal(size=shape).astype(np.float16))
    residual = torch.where(torch.from_numpy(rng.random(shape) < 0.4), anomaly, torch.nan)
    residual[..., 0] = torch.nan
    mask = np.ones((rows, columns), bool)
    mask[:, 0] = False
    known = NetworkInputs(
        anomaly * torch.from_numpy(mask),
        torch.full(shape, -1.0).half(),
        residual,
        torch.full(shape, 0.25).half(),
        torch.isfinite(residual),
    )
    numbers = np.array([0.5, -0.5, 1.0, 0.1], np.float32)
    return Sea(known, spread_scales(numbers, mask, np.arange(dates, dtype=float)), family)


def test_residuals_stay_with_their_cells_under_every_flip_and_sign():
    inputs, residual, variance, weight = SeaPatches([sea()], 3, 16, 40).__getitems__(range(40))
    assert inputs.shape == (40, count_channels(3), 16, 16)
    assert residual.shape == variance.shape == weight.shape == (40, 1, 16, 16)
    there = weight[:, 0]
    assert there.flatten(1).any(1).all()
    assert torch.equal(inputs[:, 1][there], residual[:, 0][there])  # the anomaly of the date itself
    assert (variance[weight] == 0.25).all()
    assert (inputs[:, 8][there] == 1).all()  # at sea
    signs = (inputs[:, 1][there] > 0).float().mean()
    assert 0.4 < signs < 0.6


def test_a_small_sea_lies_in_a_patch_with_land_around():
    inputs, _, _, weight = SeaPatches([sea()], 3, 16, 40).__getitems__(range(40))
    mask = inputs[:, 8]
    assert mask.sum((1, 2)).tolist() == [110] * 40
    around = (inputs != 0).any(1).sum((1, 2))
    assert around.tolist() == [120] * 40  # the land of the sea itself knows the scales
    assert not (weight[:, 0] & (mask == 0)).any()
    corners = {tuple(torch.nonzero(one)[0].tolist()) for one in mask}
    assert len(corners) > 10


def test_time_is_turned_in_half_of_the_patches():
    inputs, *_ = SeaPatches([sea(dates=3)], 3, 16, 200).__getitems__(range(200))
    first = (inputs[:, 0] == 0).all(2).all(1)  # no date before the first
    last = (inputs[:, 2] == 0).all(2).all(1)
    assert 0.2 < first.float().mean() < 0.45
    assert 0.2 < last.float().mean() < 0.45


def test_families_are_drawn_alike_however_many_seas_they_have():
    one, other = sea(6, 6, family="a"), sea(9, 9, family="b")
    inputs, *_ = SeaPatches([one] * 5 + [other], 3, 9, 400).__getitems__(range(400))
    small = (inputs[:, 8].sum((1, 2)) == 30).float().mean()
    assert 0.42 < small < 0.58


def test_patches_of_a_number_are_the_same_and_others_differ():
    patches = SeaPatches([sea()], 3, 16, 10, seed=4)
    assert torch.equal(patches[5][0], patches[5][0])
    assert not torch.equal(patches[5][0], patches[6][0])
    assert not torch.equal(patches[5][0], SeaPatches([sea()], 3, 16, 10, seed=5)[5][0])


@pytest.mark.parametrize(("most", "number"), [(3, 3), (50, 7)])
def test_whole_dates_for_validation_are_spread_over_the_record(most, number):
    dates = SeaDates([sea()], 3, most)
    assert len(dates) == number
    assert (dates.dates[0][1], dates.dates[-1][1]) == (0, 6)
    inputs, residual, weight = dates[0]
    assert inputs.dtype == residual.dtype == torch.float32
    assert inputs.shape[1:] == (10, 12)
    assert torch.equal(weight > 0, torch.isfinite(residual))
