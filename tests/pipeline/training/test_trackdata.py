"""Tracks hidden as a whole, and what is learnt and scored at their points."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from oceanfill.models.points import Corners, to_points
from oceanfill.pipeline.io.points.gridding import make_grid
from oceanfill.pipeline.io.points.tracks import read_tracks
from oceanfill.pipeline.training.heldout import DataSettings
from oceanfill.pipeline.training.tasks import Correction
from oceanfill.pipeline.training.trackdata import TrackData
from tracks import BOUNDS, mission, write_missions

SMALL = {"class_path": "oceanfill.models.unet.UNet", "init_args": {"widths": [4, 8]}}


@pytest.fixture(scope="module")
def tracks(tmp_path_factory):
    made = {name: mission(name, dates=16, seed=seed) for seed, name in enumerate(("alpha", "beta", "gamma"))}
    return read_tracks(write_missions(tmp_path_factory.mktemp("tracks"), **made), region=BOUNDS)


@pytest.fixture(scope="module")
def grid(tracks):
    return make_grid(tracks, 0.25, BOUNDS)


def track_data(tracks, grid, **how):
    return TrackData(tracks, grid, DataSettings(neighbours=16, **{"held_out": 0.2, "masked_copies": 2} | how))


@pytest.fixture(scope="module")
def data(tracks, grid):
    made = track_data(tracks, grid)
    made.setup("fit")
    return made


def test_whole_tracks_are_held_out_and_shared_between_choosing_and_scoring(data):
    track = data.tracks.track
    choosing, scored = (set(track[data.points[part]]) for part in ("validation", "test"))
    assert choosing
    assert scored
    assert not choosing & scored
    held = np.isin(track, list(choosing | scored))
    np.testing.assert_array_equal(held, data.points["held_out"])
    assert 0.15 < held.mean() <= 0.2
    assert abs(len(choosing) - len(scored)) <= 1


def test_places_are_those_of_the_pairs(data, grid):
    """To the nearest corner of the grid and to its date; none is where the cell is still observed."""
    places, points = data.places("test"), data.tracks.at(data.points["test"])
    assert len(places.dates) == len(data.pairs("test", data.trial_guess, data.trial_error).mean)
    cell = [abs(axis[1] - axis[0]) for axis in (grid.lat, grid.lon)]
    assert np.abs(places.lat - points.lat).max() <= cell[0] * 1.01
    assert np.abs((places.lon - points.lon + 180) % 360 - 180).max() <= cell[1] * 1.01
    apart = np.abs(places.dates.to_numpy() - points.time) / np.timedelta64(1, "D")
    assert apart.max() <= 1
    assert places.distance.min() > 0
    assert places.age.min() > 0


def test_of_few_tracks_one_chooses_and_one_is_scored(tracks, grid):
    some = tracks.at(np.isin(tracks.track, np.unique(tracks.track)[:6]))
    few = track_data(some, grid, held_out=0.1)
    assert [len(np.unique(few.tracks.track[few.points[part]])) for part in ("validation", "test")] == [1, 1]
    fewer = track_data(tracks.at(np.isin(tracks.track, np.unique(tracks.track)[:4])), grid)
    assert not fewer.held_out.any()


def test_a_hidden_track_leaves_nothing_behind(data, tracks, grid):
    """What the held-out tracks measured has no say in what is estimated without them."""
    changed = np.isin(data.tracks.track, np.unique(data.tracks.track[data.points["held_out"]]))
    others = replace(data.tracks, value=np.where(changed, 5.0, data.tracks.value))
    again = track_data(others, grid)
    again.setup("fit")
    np.testing.assert_array_equal(again.points["held_out"], data.points["held_out"])
    for one, other in ((data.trial_guess, again.trial_guess), (data.trial_error, again.trial_error)):
        np.testing.assert_array_equal(one, other)
    for one, other in zip(data.masked_inputs, again.masked_inputs, strict=True):
        assert torch.equal(one.anomaly, other.anomaly)
    for one, other in zip(data.masked_targets, again.masked_targets, strict=True):
        assert torch.equal(one.residual, other.residual)


def test_each_member_of_an_ensemble_goes_without_one_of_the_masked_copies(data):
    members = data.make_members(3)
    for k, member in enumerate(members):
        assert member.seed == data.seed + k
        assert (member.masked_inputs, member.masked_targets) == (
            [data.masked_inputs[1 - k % 2]],
            [data.masked_targets[1 - k % 2]],
        )
    assert len(data.masked_inputs) == 2


def test_residuals_are_those_of_the_points(data):
    mean, error, truth, weight, (track,) = data.pairs("held_out", data.trial_guess, data.trial_error)
    np.testing.assert_array_equal(track, data.tracks.track[data.points["held_out"]])
    np.testing.assert_allclose(data.targets.residual, (truth - mean) / error, rtol=1e-5)
    np.testing.assert_array_equal(truth, data.tracks.value[data.points["held_out"]])
    assert 0.5 < np.average(weight) < 2
    point = int(np.flatnonzero(data.points["held_out"])[3])
    cell, share = (part[point].numpy() for part in data.at)
    assert mean[3] == pytest.approx((data.trial_guess.reshape(-1)[cell] * share)[share > 0].sum(), rel=1e-6)
    parts = [
        len(data.pairs(part, data.trial_guess, data.trial_error).truth) for part in ("validation", "test")
    ]
    assert sum(parts) == len(truth)


def test_masked_copies_drop_a_part_of_the_tracks_of_some_dates(data):
    rng = np.random.default_rng(5)
    lost = np.array([data.drop_tracks(rng) for _ in range(200)])
    assert not lost[:, data.points["held_out"]].any()
    free = ~data.points["held_out"]
    assert lost[:, free].mean() == pytest.approx(data.settings.hidden, abs=0.03)
    for one in lost[:20]:
        gone = set(data.tracks.track[one])
        assert not gone & set(data.tracks.track[free & ~one]), "tracks as a whole"
    share = np.array([one[free & (data.date == 8)].mean() for one in lost])
    assert 0.1 < (share > 0).mean() < 0.6, "most dates keep all"
    assert 0.3 < share[share > 0].mean() < 0.8, "about half of what the others show"


def test_patches_hold_the_points_that_lie_in_them(data):
    small = replace_patch(data, 6)
    loader = iter(small.train_dataloader())
    inputs, residual, _, weight, cell, share = next(loader)
    assert inputs.shape[-2:] == (6, 6)
    assert residual.shape == weight.shape == cell.shape[:2]
    assert (weight.sum(1) >= 1).all()
    used = weight > 0
    assert cell[used].min() >= 0
    assert cell[used].max() < 36
    torch.testing.assert_close(share.sum(-1), weight)
    known = torch.cat([held.residual for held in data.masked_targets])
    assert torch.isin(residual[used], known).all()


def replace_patch(data, size):
    data.patch = size
    return data


def test_a_patch_and_the_whole_date_say_the_same_of_a_point(data):
    """The maps at a point do not depend on where the patch was cut."""
    targets = data.masked_targets[0]
    rows, columns = data.grid.shape[1:]
    date = int(targets.date[0])
    maps = torch.randn(rows, columns)
    on = targets.on(date)
    most = on.stop - on.start
    y, x = slice(2, 11), slice(3, 15)
    residual, _, weight, *at = targets.within(date, y, x, columns, most)
    whole_residual, _, _, *whole = targets.within(date, slice(0, rows), slice(0, columns), columns, most)
    found = to_points(maps[y, x].flatten(), Corners(*at))
    expected = dict(zip(whole_residual.tolist(), to_points(maps.flatten(), Corners(*whole)), strict=True))
    used = weight > 0
    assert used.any()
    for value, key in zip(found[used], residual[used].tolist(), strict=True):
        assert value == pytest.approx(float(expected[key]), abs=1e-6)


def test_the_loss_is_the_likelihood_at_the_points(data):
    """Nix and Weigend's, from maps interpolated by hand."""
    torch.manual_seed(0)
    task = Correction(SMALL, window=data.window)
    batch = next(iter(replace_patch(data, 8).train_dataloader()))
    inputs, residual, _, weight, cell, share = batch
    with torch.no_grad():
        loss = task.training_step(batch, 0)
        correction, log_error = task(inputs)
    total, count = 0.0, 0.0
    for b in range(len(inputs)):
        for n in torch.nonzero(weight[b])[:, 0]:
            m, d = (
                sum(float(part[b].flatten()[cell[b, n, k]] * share[b, n, k]) for k in range(4))
                for part in (correction, log_error)
            )
            total += (float(residual[b, n]) - m) ** 2 * np.exp(-2 * d) / 2 + d
            count += 1
    assert float(loss) == pytest.approx(total / count, rel=1e-4)


def test_validation_counts_the_tracks_that_choose(data):
    number = 0
    for _, _, weight, *_ in data.val_dataloader():
        number += int((weight > 0).sum())
    counted = data.targets.weight.numpy()[data.points["validation"][data.points["held_out"]]]
    assert number == np.count_nonzero(counted)
    dates = np.unique(data.date[data.points["test"]])
    assert len(data.test_dataloader()) <= len(dates)
