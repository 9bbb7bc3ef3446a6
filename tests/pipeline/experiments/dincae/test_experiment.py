"""DINCAE as published: what it sees, what is hidden from it, what its saves come to."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
import xarray as xr
from fields import cloudy_dataset, cloudy_field
from oceanfill.models.dincae import DINCAE2
from oceanfill.models.head import mix_gaussians
from oceanfill.models.losses import gaussian, squared_weights
from oceanfill.pipeline.classical.kriging import pixel_means
from oceanfill.pipeline.experiments.dincae.data import (
    NormalisedField,
    PredictionDates,
    TrainingDates,
    count_input_channels,
    normalise_field,
)
from oceanfill.pipeline.experiments.dincae.experiment import DincaeOptions, run_dincae
from oceanfill.pipeline.experiments.dincae.tasks import Reconstruction, RunningMixture
from oceanfill.pipeline.holdout.splits import hold_out
from oceanfill.pipeline.io.field import open_field
from oceanfill.pipeline.training.firstguess import measure_spread
from shipped import run_shipped

torch.set_num_threads(1)


@pytest.fixture
def small() -> NormalisedField:
    """Four dates of 2 x 2 cells with a variance of 0.5; on date d the value 10 d + cell, where cell != d."""
    cells = torch.arange(4.0).reshape(2, 2)
    values = torch.stack([10 * date + cells for date in range(4)])
    seen = torch.stack([cells != date for date in range(4)])
    place = torch.tensor([[[-1.0, -1], [1, 1]], [[-1, 1], [-1, 1]]])
    season = torch.tensor([[1.0, 0], [0, 1], [-1, 0], [0, -1]])
    return NormalisedField(torch.where(seen, values, 0.0), 2.0 * seen, place, season)


def test_inputs_by_hand(small):
    """Anomaly over variance and one over it, dates 0, 1, 2; latitude, longitude; cosine, sine."""
    expected = [
        [[0, 2], [4, 6]],
        [[20, 0], [24, 26]],
        [[40, 42], [0, 46]],
        [[0, 2], [2, 2]],
        [[2, 0], [2, 2]],
        [[2, 2], [0, 2]],
        [[-1, -1], [1, 1]],
        [[-1, 1], [-1, 1]],
        [[0, 0], [0, 0]],
        [[1, 1], [1, 1]],
    ]
    assert PredictionDates(small, 3)[1].tolist() == expected
    assert count_input_channels(3) == len(expected) == 10


def test_dates_before_the_first_and_after_the_last_are_missing(small):
    first, last = PredictionDates(small, 3)[0], PredictionDates(small, 3)[3]
    assert not first[[0, 3]].any()
    assert first[1:3].flatten().tolist() == [0, 2, 4, 6, 20, 0, 24, 26]
    assert not last[[2, 5]].any()
    assert PredictionDates(small, 5)[0][:5].any(-1).any(-1).tolist() == [False, False, True, True, True]


def test_clouds_of_another_date_hide_the_middle_alone(small):
    """Each other date lacks one cell: that one is hidden besides the date's own, and is still asked for."""
    torch.manual_seed(0)
    training, plain = TrainingDates(small, 3, jitter=0.0), PredictionDates(small, 3)
    hidden = set()
    for _ in range(60):
        seen, truth, variance, weight = training[1]
        assert torch.equal(seen[[0, 2, 3, 5, 6, 7, 8, 9]], plain[1][[0, 2, 3, 5, 6, 7, 8, 9]])
        gone = (plain[1][4] > 0) & (seen[4] == 0)
        assert not seen[1][gone].any()
        assert torch.equal(seen[1][~gone], plain[1][1][~gone])
        hidden.add(tuple(gone.flatten().nonzero()[:, 0].tolist()))
        assert truth.tolist() == [[10, 0], [12, 13]]
        assert weight.tolist() == [[1, 0], [1, 1]]
        assert variance[weight > 0].tolist() == [0.5] * 3
    assert hidden == {(0,), (2,), (3,)}
    assert torch.equal(TrainingDates(small, 3, jitter=0.0, clouds=False)[1][0], plain[1])


def test_jitter_is_on_all_that_is_seen_and_on_nothing_else(small):
    whole = replace(small, anomaly=0 * small.anomaly)
    torch.manual_seed(0)
    training = TrainingDates(whole, 3, jitter=0.1, clouds=False)
    items = [training[1] for _ in range(400)]
    noise = torch.stack([seen[:3] for seen, *_ in items])
    known = whole.precision[:3] > 0
    assert not noise[:, ~known].any()
    np.testing.assert_allclose(noise[:, known].std(0) / 2, 0.1, rtol=0.15)  # four standard deviations
    assert all(torch.equal(seen[3:], PredictionDates(whole, 3)[1][3:]) for seen, *_ in items)
    assert not any(truth.any() for _, truth, *_ in items)


def test_a_series_is_in_deviations_of_the_anomalies():
    field = cloudy_field(dates=8)
    field.error_variance[0] = 0.04
    made, deviation = normalise_field(field, 2.0), measure_spread(field)
    seen = field.observed
    np.testing.assert_allclose(
        made.anomaly[seen], ((field.values - pixel_means(field)) / deviation)[seen], rtol=1e-4, atol=1e-5
    )
    np.testing.assert_allclose(made.precision[0][seen[0]], deviation**2 / 0.04, rtol=1e-4)
    assert (made.precision[1:][seen[1:]] == 0.5).all()
    assert not made.anomaly[~seen].any()
    assert not made.precision[~seen].any()
    assert made.place.shape == (2, 20, 24)
    np.testing.assert_allclose(made.season[:, 0], np.cos(2 * np.pi * field.season), atol=1e-6)


def test_the_loss_of_a_refined_network_and_its_penalty():
    torch.manual_seed(0)
    network = DINCAE2(count_input_channels(3), widths=(4, 5), refinement=True)
    for part in network.networks:
        torch.nn.init.normal_(part.head.weight, std=0.1)
    task = Reconstruction(network, 1e-3, gaussian, [(squared_weights, 0.01)], parts=(0.2, 0.8))
    seen, truth = torch.randn(2, count_input_channels(3), 6, 7), torch.randn(2, 6, 7)
    weight = (torch.rand(2, 6, 7) < 0.5).float()
    expected = 0.01 * squared_weights(network, truth, truth)
    for part, (mean, log_variance) in zip((0.2, 0.8), task.compute_stages(seen), strict=True):
        likelihood = torch.nn.GaussianNLLLoss(reduction="none")(mean, truth, log_variance.exp())
        expected = expected + part * likelihood[weight > 0].mean()
    torch.testing.assert_close(task.training_step((seen, truth, 0 * truth, weight), 0), expected)
    # The authors' channels: the mean over the variance, and the logarithm of one over it.
    ratio, log_precision = network.stages(seen)[0].unbind(1)
    torch.testing.assert_close(task.compute_stages(seen)[0], (ratio / log_precision.exp(), -log_precision))


def test_saves_added_up_are_their_mixture():
    torch.manual_seed(0)
    pixel_means, variances = torch.randn(5, 3, 4), torch.rand(5, 3, 4)
    average = RunningMixture()
    for mean, variance in zip(pixel_means, variances, strict=True):
        average.add(mean, variance)
    torch.testing.assert_close((average.mean, average.variance), mix_gaussians(pixel_means, variances))
    torch.testing.assert_close(average.sigma, variances.sqrt().mean(0))


def test_the_rate_is_halved_and_annealed(small):
    class Trainer:
        estimated_stepping_batches = 20

    def rates(**how):
        task = Reconstruction(DINCAE2(10, widths=(2,)), 0.01, gaussian, **how)
        task._trainer = Trainer()
        found = task.configure_optimizers()
        if annealed := isinstance(found, dict):
            optimiser, schedule = found["optimizer"], found["lr_scheduler"]["scheduler"]
        else:
            (optimiser,), (schedule,) = found
        assert annealed == how.get("annealed", False)
        rates = []
        for _ in range(20):
            rates.append(optimiser.param_groups[0]["lr"])
            optimiser.step()
            schedule.step()
        return rates

    np.testing.assert_allclose(rates(halved=5)[::5], [0.01, 0.005, 0.0025, 0.00125])
    annealed = rates(annealed=True)
    assert max(annealed) == pytest.approx(0.01)
    assert annealed.index(max(annealed)) == 1
    assert annealed[-1] < 1e-4


def test_it_fills_what_neighbours_know(tmp_path):
    dataset = cloudy_dataset(dates=12, rows=10, columns=12)
    dataset.truth.to_dataset(name="sst").to_netcdf(tmp_path / "truth.nc")
    dataset.drop_vars("truth").to_netcdf(tmp_path / "seen.nc")
    how = {
        "network": {"class_path": "oceanfill.models.dincae.DINCAE1", "init_args": {"widths": [8, 8]}},
        "data": str(tmp_path / "seen.nc"),
        "variable": "sst",
        "batch": 2,
        "learning_rate": 3e-3,
        "averaged_over": 20,
    }
    options = DincaeOptions(truth=str(tmp_path / "truth.nc"), epochs=30, first_save=21, save_every=3, **how)
    found = {finding.quantity: finding.value for finding in run_dincae(tmp_path, options)}
    hidden = np.isnan(dataset.sst.values) & np.isfinite(dataset.truth.values)
    assert found["saved epochs: RMSE"] < 0.8 * dataset.truth.values[hidden].std()
    # Mixed, the errors are larger than their mean, and more of the truth lies within them.
    assert found["saved epochs: RMSE"] == found["saved epochs, mean sigma: RMSE"]
    assert (
        found["saved epochs: coverage of ±1 sigma"] >= found["saved epochs, mean sigma: coverage of ±1 sigma"]
    )
    assert {"last epoch: RMSE", "averaged weights: RMSE", "time (s)"} < set(found)


def test_what_is_held_out_is_scored_and_not_learnt(tmp_path):
    """Other values there give other scores and the same weights."""
    dataset = cloudy_dataset(dates=6, rows=8, columns=10).drop_vars("truth")
    network = {"class_path": "oceanfill.models.dincae.DINCAE2", "init_args": {"widths": [4]}}
    hidden = np.logical_or(*hold_out(open_field(dataset), 0.2, np.random.default_rng(3)))
    scores, weights = [], []
    for change in (0, 5):
        file = tmp_path / f"{change}.nc"
        dataset.assign(sst=dataset.sst + np.float32(change) * hidden).to_netcdf(file)
        options = DincaeOptions(network=network, data=str(file), held_out=0.2, epochs=1, seed=3)
        found = run_dincae(tmp_path, options)
        scores.append({finding.quantity: finding.value for finding in found}["saved epochs: RMSE"])
        weights.append(torch.load(tmp_path / "network.pt", weights_only=True))
    assert scores[1] > scores[0] + 1
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


@pytest.mark.parametrize("name", ["dincae-2020", "dincae-2020-full", "dincae-2022", "dincae-2022-full"])
def test_a_shipped_configuration_scores_each_reconstruction(tmp_path, name):
    found = run_shipped(name, tmp_path)
    reconstructions = ["saved epochs", "saved epochs, mean sigma", "last epoch"]
    if not name.endswith("-full"):
        reconstructions.append("averaged weights")
    scores = {
        f"{part}: {score}" for part in reconstructions for score in ("RMSE", "coverage of ±1 sigma", "CRPS")
    }
    assert set(found) == {"time (s)"} | scores
    assert all(np.isfinite(finding.value) for finding in found.values())
    assert found["saved epochs: RMSE"].value == pytest.approx(found["last epoch: RMSE"].value)  # one save
    with xr.open_dataset(tmp_path / "filled.nc") as filled:
        assert filled.attrs["saves"] == 1
    assert {path.name for path in tmp_path.iterdir()} == {
        "config.yaml", "filled.nc", "maps.png", "network.pt", "table.md"
    }  # fmt: skip
