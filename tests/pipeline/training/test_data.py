"""What a network is trained, validated and run on: disjoint masks, patches around what is hidden."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from fields import cloudy_field
from oceanfill.pipeline.classical.kriging import Kriging
from oceanfill.pipeline.classical.neighbours import Component, Scales
from oceanfill.pipeline.errors import InputError
from oceanfill.pipeline.holdout.patterns import hide_clouds
from oceanfill.pipeline.training.data import GapData, Patches, choose_window
from oceanfill.pipeline.training.features import (
    NetworkInputs,
    count_channels,
    make_static_features,
    stack_variables,
)
from oceanfill.pipeline.training.heldout import DataSettings
from oceanfill.pipeline.training.patches import PatchSampler

torch.set_num_threads(1)


def gap_data(field, **options):
    return GapData(
        field,
        DataSettings(**{"neighbours": 8, "masked_copies": 2, "seed": 1, "first_guess": "none"} | options),
    )


@pytest.fixture(scope="module")
def data():
    made = gap_data(cloudy_field(dates=12, rows=12, columns=14), first_guess="oi")
    made.setup("fit")
    return made


def test_choosing_scored_and_what_the_masked_copies_hide_are_disjoint(data):
    hidden = [known.residual[0].isfinite().numpy() for known in data.masked_inputs]
    assert len(hidden) == 2
    assert not (hidden[0] == hidden[1]).all()
    assert data.validation.any()
    assert data.test.any()
    assert not (data.validation & data.test).any()
    assert not ((data.validation | data.test) & ~data.field.observed).any()
    for one in hidden:
        assert one.any()
        assert not (one & data.held_out).any()
        assert not (one & ~data.field.observed).any()
    np.testing.assert_array_equal(data.trial.residual[0].isfinite(), data.held_out)


def test_held_out_values_are_nowhere_in_the_training():
    """With other held-out values the scale of the first guess and all training inputs are the same."""
    field = cloudy_field(dates=12, rows=12, columns=14)
    first = gap_data(field, first_guess="oi")
    second = gap_data(
        replace(field, values=np.where(first.held_out, 40 - 3 * field.values, field.values)), first_guess="oi"
    )
    for made in (first, second):
        made.setup("fit")
    np.testing.assert_array_equal(first.held_out, second.held_out)
    assert first.kriging == second.kriging
    for one, other in zip(first.masked_inputs, second.masked_inputs, strict=True):
        for part in ("anomaly", "log_error", "weight"):
            assert torch.equal(getattr(one, part), getattr(other, part)), part
        np.testing.assert_array_equal(one.residual, other.residual)  # NaN beside NaN
    assert first.trial_guess.tobytes() == second.trial_guess.tobytes()
    assert first.trial_error.tobytes() == second.trial_error.tobytes()
    further = [made.further_residuals() for made in (first, second)]
    assert len({date for one in further[0] for date in one.date}) > len(
        np.unique(np.nonzero(first.held_out)[0])
    )
    for one, other in zip(*further, strict=True):
        for part in ("residual", "covariates", "weight", "date"):
            np.testing.assert_array_equal(getattr(one, part), getattr(other, part))


@pytest.mark.parametrize("many", [False, True])
def test_many_hidden_values_are_calibrated_with_on_every_second_row_and_column(many):
    field = cloudy_field(dates=24, rows=180 if many else 14, columns=160 if many else 14)
    made = gap_data(field, first_guess="oi")
    made.kriging = Kriging(Scales((Component(4.0, 80.0, 5.0),), 0.01), neighbours=4)
    made.real = np.ones(9, np.float32)
    rng, again = np.random.default_rng(3), np.random.default_rng(3)
    found = made.residuals_under_clouds(field, rng)
    hidden = hide_clouds(field, 0.1, again, field)
    kept = np.zeros_like(hidden)
    kept[:, ::2, ::2] = hidden[:, ::2, ::2]
    assert (kept.sum() > 5000) == many
    np.testing.assert_array_equal(found.date, np.nonzero(kept if many else hidden)[0])


def test_held_out_values_are_not_in_the_error_of_the_pixel_means():
    field = cloudy_field(dates=12, rows=12, columns=14)
    first = gap_data(field)
    second = gap_data(replace(field, values=np.where(first.held_out, 40 - 3 * field.values, field.values)))
    for made in (first, second):
        made.setup("fit")
    assert first.trial_error.tobytes() == second.trial_error.tobytes()
    assert torch.equal(first.masked_inputs[0].log_error, second.masked_inputs[0].log_error)


def test_the_same_seed_hides_the_same_and_another_does_not():
    field = cloudy_field(dates=12, rows=12, columns=14)
    made = [gap_data(field, seed=seed) for seed in (3, 3, 4)]
    for one in made:
        one.setup("fit")
    for part in ("validation", "test"):
        np.testing.assert_array_equal(getattr(made[0], part), getattr(made[1], part))
    for one, other in zip(made[0].masked_inputs, made[1].masked_inputs, strict=True):
        np.testing.assert_array_equal(one.residual, other.residual)
    assert not (made[0].held_out == made[2].held_out).all()


def test_nothing_is_held_out_when_it_is_not_asked_for():
    made = gap_data(cloudy_field(dates=6, rows=8, columns=10), held_out=0.0)
    made.setup("fit")
    assert not made.held_out.any()
    assert len(made.masked_inputs) == 2


def test_each_member_of_an_ensemble_has_dates_of_its_own(data):
    members = data.make_members(4)
    targets = np.array([[(known.weight[0] > 0).numpy() for known in one.masked_inputs] for one in members])
    every = np.array([(known.weight[0] > 0).numpy() for known in data.masked_inputs])
    np.testing.assert_array_equal(targets.any(axis=0), every)
    assert every[:, ::3].any(axis=(0, 2, 3)).sum() >= 2
    for k, one in enumerate(members):
        assert one.seed == data.seed + k
        own = np.flatnonzero(one.validation.any(axis=(1, 2)))
        hidden_there = every[:, 3 * k].any()
        np.testing.assert_array_equal(own, [3 * k] if hidden_there else [])  # a tenth of twelve dates
        np.testing.assert_array_equal(np.flatnonzero((every & ~targets[k]).any(axis=(0, 2, 3))), own)
        assert not (one.validation & data.held_out).any()
        known, where = one.chosen_on
        np.testing.assert_array_equal(where[0], one.validation)
        assert where.sum() == known.residual[:, own].isfinite().sum()


def test_the_weights_of_held_out_values_are_one_each_until_the_guess_tells_how_hard_they_are(data):
    fresh = gap_data(data.field)
    np.testing.assert_array_equal(fresh.weight, fresh.held_out)
    np.testing.assert_array_equal(data.weight > 0, data.held_out & (data.trial.weight[0].numpy() > 0))
    # Weighted, the first guess's error on held-out values comes closer to the larger one in the gaps.
    held = data.trial_error[data.held_out]
    weighted = np.average(held, weights=data.weight[data.held_out])
    assert held.mean() + 0.005 < weighted
    assert weighted == pytest.approx(data.real.mean(), rel=0.08)


def test_scores_need_the_first_guess_of_the_held_out_values_alone(data):
    alone = gap_data(data.field, first_guess="oi")
    alone.setup("predict")
    np.testing.assert_array_equal(np.isfinite(alone.trial_guess), data.held_out)
    # Single precision: the cells that share a product of matrices differ.
    np.testing.assert_allclose(alone.trial_guess[data.held_out], data.trial_guess[data.held_out], rtol=1e-6)
    np.testing.assert_allclose(alone.weight, data.weight, rtol=1e-4)
    alone.setup("test")
    np.testing.assert_array_equal(alone.trial_error, data.trial_error)


def test_every_patch_holds_a_value_to_learn_from(data):
    torch.manual_seed(0)
    patches = Patches(data.masked_inputs, data.static, 3, 4, 0.5)
    for item in range(300):
        seen, residual, _, weight = patches[item]
        assert seen.shape == (count_channels(3), 4, 4)
        assert set(weight.unique().tolist()) <= {0, 1}
        assert weight.any()
        assert residual[weight > 0].isfinite().all()


def test_no_two_epochs_or_processes_draw_one_patch_and_each_number_is_one_patch(data, monkeypatch):
    patches = Patches(data.masked_inputs, data.static, 3, 4, 0.5, seed=5)
    alone = PatchSampler(patches)
    epochs = []
    for epoch in range(3):
        alone.set_epoch(epoch)
        epochs.append(list(alone))
    assert [len(epoch) for epoch in epochs] == 3 * [len(patches)]
    assert len({number for epoch in epochs for number in epoch}) == 3 * len(patches)
    monkeypatch.setattr("torch.distributed.is_initialized", lambda: True)
    monkeypatch.setattr("torch.distributed.get_world_size", lambda: 2)
    shares = []
    for rank in range(2):
        monkeypatch.setattr("torch.distributed.get_rank", lambda rank=rank: rank)
        one = PatchSampler(patches)
        one.set_epoch(2)
        shares.append(list(one))
    assert sorted(shares[0] + shares[1]) == sorted(epochs[2])
    torch.manual_seed(0)
    first = patches[7]
    torch.manual_seed(1)
    assert all(torch.equal(a, b) for a, b in zip(first[::3], patches[7][::3], strict=True))
    assert not torch.equal(first[0], patches[8][0])
    other = Patches(data.masked_inputs, data.static, 3, 4, 0.5, seed=6)
    assert not torch.equal(first[0], other[7][0])


def lone(rows=6, columns=9, dates=5):
    """Inputs with hidden corners on the third date; the residual is the anomaly, which numbers cells."""
    cells = torch.arange(1.0, rows * columns + 1).reshape(rows, columns)
    anomaly = torch.stack([cells + 1000 * date for date in range(dates)])
    weight = torch.zeros(dates, rows, columns)
    weight[2, [0, 0, -1, -1], [0, -1, 0, -1]] = 1
    place = torch.stack([cells, -cells, cells + 0.5])
    return NetworkInputs(*(part[None] for part in (anomaly, -anomaly, anomaly, 2 * anomaly, weight))), place


@pytest.mark.parametrize("size", [1, 3, 64])
def test_corners_are_as_likely_as_any_cell_and_patches_stay_inside(size):
    known, place = lone()
    field = cloudy_field(dates=5, rows=6, columns=9)
    static = replace(make_static_features(field), place=place)
    patches = Patches([known], static, 3, size, 0.0)
    torch.manual_seed(0)
    met = torch.zeros(6, 9)
    for item in range(400):
        seen, residual, variance, weight = patches[item]
        assert torch.equal(variance, 2 * residual)
        assert residual.shape == (1, min(size, 6), min(size, 9))
        met += (place[0][:, :, None] == residual[weight > 0] - 2000).any(2)
        assert torch.equal(seen[1], residual[0])
    corners = met[[0, 0, -1, -1], [0, -1, 0, -1]]
    assert met.sum() == corners.sum()
    if size < 6:
        np.testing.assert_allclose(corners / 400, 0.25, atol=0.09)  # four standard deviations
    else:
        assert (corners == 400).all()


def test_patches_are_turned_with_their_place_and_back_in_time():
    known, place = lone()
    field = cloudy_field(dates=5, rows=6, columns=9)
    static = replace(make_static_features(field), place=place)
    torch.manual_seed(0)
    patches = Patches([known], static, 3, 4, 1.0)
    turns = []
    for item in range(400):
        seen, (residual,), (variance,), (weight,) = patches[item]
        assert torch.equal(variance, 2 * residual)
        cells = residual - 2000
        days = [float((seen[channel] - cells).unique()) for channel in range(3)]
        assert days in ([1000, 2000, 3000], [3000, 2000, 1000])
        assert torch.equal(seen[3:6], -seen[:3])
        assert torch.equal(seen[6:8], torch.stack([cells, -cells]))
        corners = torch.isin(cells, place[0][[0, 0, -1, -1], [0, -1, 0, -1]])
        assert torch.equal(weight > 0, corners)
        turns.append((days[0] > days[2], bool(cells[0, 0] > cells[1, 0]), bool(cells[0, 0] > cells[0, 1])))
        torch.testing.assert_close(seen[9:, 0, 0], static.season[2])
    np.testing.assert_allclose(np.mean(turns, axis=0), 0.5, atol=0.1)
    assert len(set(turns)) == 8


def test_of_several_variables_all_are_turned_and_hidden_values_of_either_output_are_met():
    known, place = lone()
    other = NetworkInputs(*(part.clone() for part in vars(known).values()))
    other.weight[:] = 0
    other.weight[0, 4, 3, 4] = 1
    static = replace(make_static_features(cloudy_field(dates=5, rows=6, columns=9)), place=place)
    patches = Patches([stack_variables([known, other, known], 2)], static, 3, 3, 1.0)
    met = []
    for item in range(200):
        seen, residual, _, weight = patches[item]
        assert seen.shape == (count_channels(3, 3), 3, 3)
        assert residual.shape == weight.shape == (2, 3, 3)
        assert torch.equal(seen[:6], seen[6:12])
        assert torch.equal(seen[:6], seen[12:18])
        assert torch.equal(seen[18], seen[1] - 1000 * (seen[1] // 1000))  # its place numbers the cells
        met.append(bool(weight[1].any()))
        assert met[-1] != bool(weight[0].any())
    assert np.mean(met) == pytest.approx(0.5, abs=0.15)  # each date is as likely


def test_an_epoch_has_eight_patches_a_date_within_bounds():
    known, place = lone()
    field = cloudy_field(dates=5, rows=6, columns=9)
    static = replace(make_static_features(field), place=place)
    for number, expected in ((1, 200), (60, 480), (300, 1600)):
        assert len(Patches([known] * number, static, 3, 4, 0.0)) == expected


def test_validation_and_test_have_whole_dates_and_only_their_part_counts(data):
    for loader, part in ((data.val_dataloader(), data.validation), (data.test_dataloader(), data.test)):
        dates = np.flatnonzero(part.any(axis=(1, 2)))
        assert len(loader) == len(dates)
        for date, (seen, residual, weight) in zip(dates, loader, strict=True):
            assert seen.shape == (1, count_channels(data.window), 12, 14)
            expected = np.where(part[date], data.trial.weight[0, date], 0)
            np.testing.assert_array_equal(weight[0, 0], expected)
            assert residual[0, 0][part[date]].isfinite().all()


def test_prediction_has_every_date_and_the_trial_those_with_held_out_values(data):
    middle = data.window // 2
    seen = data.field.observed
    for loader, known, dates in (
        (data.predict_dataloader(), data.full, range(12)),
        (data.trial_dataloader(), data.trial, np.flatnonzero(data.held_out.any(axis=(1, 2)))),
    ):
        found = list(loader)
        assert [int(date) for _, date in found] == list(dates)
        for inputs, date in found:
            assert torch.equal(inputs[0, middle], known.anomaly[0, int(date)])
    # The values that are held out are there for the prediction and not in the trial.
    error = [known.log_error[0].numpy()[data.held_out & seen] for known in (data.full, data.trial)]
    assert (error[0] < error[1]).all()


def test_the_window_is_five_dates_and_three_of_a_short_record():
    assert choose_window(cloudy_field(dates=29, rows=6, columns=8)) == 3
    assert choose_window(cloudy_field(dates=30, rows=6, columns=8)) == 5
    assert gap_data(cloudy_field(dates=6, rows=6, columns=8), window=7).window == 7


def test_the_number_of_masked_copies_is_between_three_and_five_unless_it_is_told():
    small = gap_data(cloudy_field(dates=8, rows=8, columns=10), masked_copies=None)
    small.setup("fit")
    assert len(small.masked_inputs) == 5


def test_an_unknown_first_guess():
    with pytest.raises(InputError, match="no first guess is called 'spline'; choose one of oi, none"):
        gap_data(cloudy_field(dates=6, rows=6, columns=8), first_guess="spline")
