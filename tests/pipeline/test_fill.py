"""Filling: every method on a small field, and the choice between what they made."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from fields import cloudy_dataset, cloudy_field
from oceanfill.pipeline.calibration import Calibration, Misses
from oceanfill.pipeline.classical.simple import linear_in_time
from oceanfill.pipeline.data import GapData
from oceanfill.pipeline.errors import InputError
from oceanfill.pipeline.fill import METHODS, Product, calibrated, choose_device, fill, judge
from oceanfill.pipeline.networks import NETWORKS, Training

torch.set_num_threads(1)


@pytest.fixture(scope="module")
def dataset():
    return cloudy_dataset(dates=8, rows=12, columns=14)


@pytest.mark.parametrize("method", METHODS)
def test_every_method_fills_a_field(dataset, method):
    training = Training(epochs=1, first_guess="none") if method in NETWORKS else Training()
    filled = fill(dataset, variable="sst", method=method, training=training)
    truth, seen = dataset.truth.to_numpy(), dataset.sst.notnull().to_numpy()
    sea = np.broadcast_to(dataset.mask.to_numpy() == 1, seen.shape)
    for name in ("sst", "sst_analysis", "sst_error"):
        np.testing.assert_array_equal(np.isfinite(filled[name]), sea)
    assert (filled.sst_error.values[sea] > 0).all()
    np.testing.assert_array_equal(filled.sst.values[seen], dataset.sst.values[seen])
    gaps = sea & ~seen
    error = np.sqrt(np.mean((filled.sst.values - truth)[gaps] ** 2))
    assert error < np.sqrt(2) * truth[sea].std(), "no better than another value of the field at random"
    attrs = filled.attrs
    assert attrs["method"] == method
    assert np.isfinite([attrs["held_out_rmse"], attrs["held_out_bias"], attrs["error_factor"]]).all()
    assert 0 <= attrs["held_out_coverage_1sigma"] <= attrs["held_out_coverage_2sigma"] <= 1
    names = {method, "pixel means"} if method in NETWORKS else {attrs["delivered"]}
    assert attrs["delivered"] in names


def test_a_network_without_a_first_guess_beats_the_pixel_means_and_is_delivered(dataset):
    rows = []
    training = Training(epochs=3, first_guess="none")
    filled = fill(dataset, variable="sst", method="unet", training=training, report=rows.extend)
    assert filled.attrs["delivered"] == "unet"
    assert json.loads(filled.attrs["configuration"])["first_guess"] == "none"
    means, network = rows
    assert (means["method"], network["method"]) == ("pixel means", "unet")
    assert filled.attrs["held_out_rmse"] == network["rmse"] < means["rmse"]
    truth, gaps = dataset.truth.values, filled.sst_source.values == 2
    error = np.sqrt(np.mean((filled.sst.values - truth)[gaps] ** 2))
    assert error < 0.8 * np.sqrt(np.mean((np.nanmean(dataset.sst) - truth[gaps]) ** 2))


def test_an_ensemble_is_kept_in_one_checkpoint(dataset, tmp_path):
    path = str(tmp_path / "net.ckpt")
    training = Training(epochs=1, first_guess="none", ensemble=2, save_checkpoint=path)
    filled = fill(dataset, variable="sst", method="unet", training=training)
    assert json.loads(filled.attrs["configuration"])["ensemble"] == 2
    assert torch.load(path, weights_only=True)["hyper_parameters"]["saves"] == 2
    again = fill(
        dataset, variable="sst", method="unet", training=Training(checkpoint=path, first_guess="none")
    )
    np.testing.assert_array_equal(again.sst_analysis, filled.sst_analysis)


@pytest.fixture
def data():
    """With a hold-out and no first guess: its values weigh one each."""
    return GapData(cloudy_field(dates=24), held_out=0.2, seed=1)


def product(data, name, deviation, claimed, where=None, seed=0):
    """The truth and errors of a ``deviation`` at ``where`` (the hold-out); ten times it elsewhere."""
    rng = np.random.default_rng(seed)
    size = deviation * np.where(data.held if where is None else where, 1, 10)
    mean = np.nan_to_num(data.field.values) + size * rng.standard_normal(data.held.shape)
    error = np.full(mean.shape, np.float32(claimed))
    whole = (np.full(mean.shape, np.float32(deviation)), error)
    return Product(name, whole, (mean.astype(np.float32), error))


@pytest.mark.parametrize("order", [1, -1])
def test_the_better_product_is_chosen_wherever_it_stands(data, order):
    products = [product(data, "good", 0.5, 0.1), product(data, "bad", 0.8, 0.8, seed=1)][::order]
    chosen, rows, calibration = judge(data.field, data, products)
    assert chosen.name == "good"
    assert [row["method"] for row in rows] == [one.name for one in products]
    assert calibration.factor == pytest.approx(5, rel=0.1)  # it claims a fifth of its error


def test_what_is_scored_does_not_choose(data, caplog):
    """The first is better where it is chosen and ten times worse where it is scored."""
    products = [product(data, "first", 0.3, 0.3, data.choosing), product(data, "last", 0.5, 0.5, seed=1)]
    chosen, rows, _ = judge(data.field, data, products)
    assert chosen.name == "first"
    assert rows[0]["rmse"] > 3 * rows[1]["rmse"]
    assert "last does not beat first on held-out values" in caplog.text


def test_the_scores_are_those_of_the_scored_part_under_the_factor_of_the_other(data):
    one = product(data, "one", 0.5, 0.1, data.choosing)
    _, (row,), _ = judge(data.field, data, [one])
    mean, _ = one.trial
    difference = mean.astype(float) - data.field.values
    scored = difference[data.scored]
    sigma = 0.1 * np.quantile(np.abs(difference[data.choosing]) / 0.1, 0.6827)
    assert row["n"] == data.scored.sum()
    assert row["rmse"] == pytest.approx(np.sqrt(np.mean(scored**2)), rel=1e-6)
    assert row["bias"] == pytest.approx(scored.mean(), rel=1e-5)
    # One more value or less at the edge of the interval: the quantiles are of another kind.
    assert row["coverage_1sigma"] == pytest.approx(np.mean(np.abs(scored) <= sigma), abs=2 / scored.size)
    assert row["coverage_2sigma"] == pytest.approx(np.mean(np.abs(scored) <= 2 * sigma), abs=2 / scored.size)
    assert row["coverage_1sigma"] < 0.2


def test_the_factor_makes_one_standard_error_hold_68_percent_of_what_was_held_out(data):
    one = product(data, "one", 0.5, 0.01, data.choosing)
    _, _, calibration = judge(data.field, data, [one])
    mean, error = one.trial
    inside = np.abs(mean - data.field.values)[data.held] <= calibration.factor * error[data.held] * (1 + 1e-6)
    assert inside.mean() == pytest.approx(0.6827, abs=2 / inside.size)  # one value more is at infinity


def test_a_network_is_not_blamed_for_held_out_dates_that_are_hard_for_its_first_guess_too(data):
    """Both miss the held-out values by half more than they say; the guess does not under further clouds."""
    rng = np.random.default_rng(2)
    usual = data.misses("held", *product(data, "guess", 0.4, 0.4).trial)
    many = np.repeat(np.arange(len(usual.miss)), 50)
    further = Misses(
        np.abs(rng.standard_normal(len(many))), usual.traits[many], np.ones(len(many)), usual.date[many]
    )
    guess = replace(product(data, "guess", 0.6, 0.4), further=[further])
    network = product(data, "network", 0.3, 0.2, seed=1)
    alone = calibrated(data, network, "held").factor
    assert alone == pytest.approx(1.5, rel=0.1)
    beside = calibrated(data, replace(network, corrects=guess), "held").factor
    assert beside == pytest.approx(1, rel=0.1)


def test_the_factor_is_in_the_file(dataset):
    """The error of the file is the method's own, times the factor."""
    filled = fill(dataset, variable="sst", method="linear-time")
    _, error = linear_in_time(cloudy_field(dates=8, rows=12, columns=14))
    ratio = filled.sst_error.values / error
    sea = np.isfinite(error)
    np.testing.assert_allclose(ratio[sea], filled.attrs["error_factor"], rtol=1e-5)
    assert filled.attrs["error_factor"] != 1


def test_without_a_hold_out_the_last_product_is_delivered_as_it_is():
    data = GapData(cloudy_field(dates=8), held_out=0.0)
    whole = (data.field.values, data.field.values)
    products = [Product("first", whole), Product("last", whole)]
    chosen, rows, calibration = judge(data.field, data, products)
    assert (chosen.name, rows, calibration) == ("last", [], Calibration())


@pytest.mark.parametrize("transform", ["none", "log"])
def test_intervals_hold_what_they_say_of_new_observations_in_the_gaps(transform):
    """Under noise with tails as heavy as Student's t with three degrees of freedom has them."""
    dataset = cloudy_dataset(dates=30)
    noise = 0.5 * np.random.default_rng(1).standard_t(3, dataset.sst.shape)
    seen = dataset.sst.notnull()
    again = (dataset.truth + noise) if transform == "none" else np.exp((dataset.truth + noise) / 10)
    dataset["sst"] = again.where(seen).assign_attrs(dataset.sst.attrs)
    filled = fill(dataset, variable="sst", method="oi", transform=transform, intervals=[50, 90])
    gaps = filled.sst_source.values == 2
    truth = again.values[gaps]
    shares = []
    for level in (50, 90):
        low, high = (filled[f"sst_{side}_{level}"] for side in ("lower", "upper"))
        assert (low.attrs["units"], high.attrs["units"]) == ("degree_Celsius",) * 2
        assert low.attrs["long_name"] == f"lower bound of the {level} % prediction interval of sst"
        assert high.attrs["coverage_content_type"] == "qualityInformation"
        np.testing.assert_array_equal(np.isnan(low), np.isnan(filled.sst_analysis))
        shares.append(np.mean((low.values[gaps] <= truth) & (truth <= high.values[gaps])))
    # 6000 gaps: half of independent values is known to 0.6 points.
    np.testing.assert_allclose(shares, [0.5, 0.9], atol=0.03)


def test_what_cannot_be_asked_for(dataset):
    with pytest.raises(InputError, match="intervals of 0, 100 percent; ask for levels of 1 to 99 percent"):
        fill(dataset, variable="sst", method="oi", intervals=[0, 50, 100])
    with pytest.raises(InputError, match="no device is called 'tpu'; choose auto, cpu or cuda"):
        fill(dataset, variable="sst", device="tpu")
    with pytest.raises(InputError, match="no first guess is called 'spline'"):
        fill(dataset, variable="sst", method="oi", training=Training(first_guess="spline"))
    assert choose_device("cpu") == "cpu"
