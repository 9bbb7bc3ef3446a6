"""Which product is delivered, how its error is scaled, and what the score says."""

from dataclasses import replace

import numpy as np
import pytest
from fields import cloudy_field
from oceanfill.pipeline.holdout.calibration import Calibration, Residuals
from oceanfill.pipeline.jobs.evaluate import (
    ErrorScale,
    evaluate_candidates,
    fit_error_scale,
    limit_error,
    select_candidate,
)
from oceanfill.pipeline.jobs.methods import Candidate
from oceanfill.pipeline.training.data import GapData
from oceanfill.pipeline.training.heldout import DataSettings, Pairs


def pairs(errors):
    """Of errors (groups, n) of one product."""
    group = np.repeat(np.arange(len(errors)), errors.shape[1])
    one = np.ones(errors.size)
    return Pairs(errors.ravel(), one, 0 * one, one, [group])


def chosen(*errors):
    """The number of the product that is delivered, and the rows."""
    rows = [{"method": f"number {k}"} for k in range(len(errors))]
    return select_candidate(rows, [pairs(one) for one in errors]), rows


def test_what_is_better_on_every_date_is_delivered_however_few_they_are():
    errors = np.random.default_rng(0).standard_normal((3, 50))
    best, rows = chosen(errors, 0.99 * errors)
    assert (best, [row["choice"] for row in rows]) == (1, ["", "least RMSE"])
    size = np.sqrt(np.mean(errors**2))
    assert [row["validation_rmse"] for row in rows] == pytest.approx([size, 0.99 * size])


def test_what_is_better_by_one_date_of_four_is_not(caplog):
    """Its RMSE is 2 % less, because of the first date; on the three others it is 20 % worse."""
    errors = np.ones((4, 50))
    other = errors * np.array([0.0, 1.13, 1.13, 1.13])[:, None]
    assert np.sqrt(np.mean(other**2)) == pytest.approx(0.979, abs=1e-3)
    best, rows = chosen(errors, other)
    assert best == 0
    assert [row["choice"] for row in rows] == ["within one standard error of number 1", ""]
    assert (
        "number 0 is delivered: within one standard error of number 1 on the validation values" in caplog.text
    )
    assert chosen(other, errors)[0] == 0, "nor is what is worse by no more than that"


def test_the_simplest_of_those_that_cannot_be_told_from_the_best_is_delivered():
    rng = np.random.default_rng(0)
    errors = rng.choice([-1.0, 1.0], (40, 5))
    even = np.where(np.arange(40)[:, None] % 2, 1.1, 0.89) * errors
    assert chosen(1.2 * errors, even, 1.3 * errors, errors)[0] == 1


def test_one_date_tells_nothing_and_no_weight_neither():
    errors = np.ones((2, 50))
    assert chosen(errors[:1], 0.1 * errors[:1])[0] == 0
    found = [pairs(errors), pairs(0.1 * errors)]
    unweighted = [one._replace(weight=np.where(one.groups[0] == 0, one.weight, 0.0)) for one in found]
    assert select_candidate([{"method": "a"}, {"method": "b"}], unweighted) == 0
    assert select_candidate([{"method": "a"}, {"method": "b"}], found) == 1


def test_what_is_told_apart_by_dates_and_not_by_places_is_not():
    """Better everywhere in a half of the map, worse in the other: on each of twenty dates by as much."""
    errors = np.ones((20, 16))
    other = np.tile(np.repeat([0.8, 1.15], 8), (20, 1))
    place = np.tile(np.repeat([0, 1], 8), 20)
    assert chosen(errors, other)[0] == 1
    found = [one._replace(groups=[*one.groups, place]) for one in map(pairs, (errors, other))]
    assert select_candidate([{"method": "a"}, {"method": "b"}], found) == 0


def test_products_of_equal_worth_are_told_apart_as_often_as_one_standard_error_says():
    """Errors of a date hang together: a sixth of the time, where half would be by the RMSE alone."""
    rng = np.random.default_rng(0)
    found = []
    for _ in range(300):
        size = np.exp(0.2 * rng.standard_normal((2, 12, 1)))
        found.append(chosen(*(size * rng.choice([-1.0, 1.0], (12, 40))))[0])
    assert np.mean(found) == pytest.approx(0.16, abs=0.06)  # 0.02 is the standard error of this


@pytest.fixture
def data():
    """With a hold-out and no first guess: its values weigh one each."""
    return GapData(cloudy_field(dates=24), DataSettings(held_out=0.2, seed=1))


def product(data, name, deviation, claimed, where=None, seed=0):
    """The truth and errors of a ``deviation`` at ``where`` (the hold-out); ten times it elsewhere."""
    rng = np.random.default_rng(seed)
    size = deviation * np.where(data.held_out if where is None else where, 1, 10)
    mean = np.nan_to_num(data.field.values) + size * rng.standard_normal(data.held_out.shape)
    error = np.full(mean.shape, np.float32(claimed))
    whole = (np.full(mean.shape, np.float32(deviation)), error)
    return Candidate(name, whole, (mean.astype(np.float32), error))


def by_name(*candidates):
    return {one.name: one for one in candidates}


@pytest.mark.parametrize("order", [1, -1])
def test_the_better_product_is_chosen_wherever_it_stands(data, order):
    products = [product(data, "good", 0.5, 0.1), product(data, "bad", 0.8, 0.8, seed=1)][::order]
    found = evaluate_candidates(data, by_name(*products))
    assert found.delivered.name == "good"
    assert [row["method"] for row in found.rows] == [one.name for one in products]
    assert found.scale.calibration.factor == pytest.approx(5, rel=0.1)  # it claims a fifth of its error


def test_what_is_scored_does_not_choose(data, caplog):
    """The first is better where it is chosen and ten times worse where it is scored."""
    products = [product(data, "first", 0.3, 0.3, data.validation), product(data, "last", 0.5, 0.5, seed=1)]
    found = evaluate_candidates(data, by_name(*products))
    rows = found.rows
    assert found.delivered.name == "first"
    assert rows[0]["rmse"] > 3 * rows[1]["rmse"]
    assert [row["choice"] for row in rows] == ["least RMSE", ""]
    assert "first is delivered: least RMSE on the validation values" in caplog.text
    assert rows[0]["validation_rmse"] < 0.4 < rows[1]["validation_rmse"]  # and is told as such


def test_the_scores_are_those_of_the_scored_part_under_the_factor_of_the_other(data):
    one = product(data, "one", 0.5, 0.1, data.validation)
    (row,) = evaluate_candidates(data, by_name(one)).rows
    mean, _ = one.trial
    difference = mean.astype(float) - data.field.values
    scored = difference[data.test]
    sigma = 0.1 * np.quantile(np.abs(difference[data.validation]) / 0.1, 0.6827)
    assert row["n"] == data.test.sum()
    assert row["rmse"] == pytest.approx(np.sqrt(np.mean(scored**2)), rel=1e-6)
    assert row["bias"] == pytest.approx(scored.mean(), rel=1e-5)
    # One more value or less at the edge of the interval: the quantiles are of another kind.
    assert row["coverage_1sigma"] == pytest.approx(np.mean(np.abs(scored) <= sigma), abs=2 / scored.size)
    assert row["coverage_2sigma"] == pytest.approx(np.mean(np.abs(scored) <= 2 * sigma), abs=2 / scored.size)
    assert row["coverage_1sigma"] < 0.2


def test_the_factor_makes_one_standard_error_hold_68_percent_of_what_was_held_out(data):
    one = product(data, "one", 0.5, 0.01, data.validation)
    calibration = evaluate_candidates(data, by_name(one)).scale.calibration
    mean, error = one.trial
    inside = np.abs(mean - data.field.values)[data.held_out] <= calibration.factor * error[data.held_out] * (
        1 + 1e-6
    )
    assert inside.mean() == pytest.approx(0.6827, abs=2 / inside.size)  # one value more is at infinity


def test_a_network_is_not_blamed_for_held_out_dates_that_are_hard_for_its_first_guess_too(data):
    """Both miss the held-out values by half more than they say; the guess does not under further clouds."""
    rng = np.random.default_rng(2)
    usual = data.residuals("held_out", *product(data, "guess", 0.4, 0.4).trial)
    many = np.repeat(np.arange(len(usual.residual)), 50)
    further = Residuals(
        np.abs(rng.standard_normal(len(many))), usual.covariates[many], np.ones(len(many)), usual.date[many]
    )
    guess = replace(product(data, "guess", 0.6, 0.4), further_residuals=[further])
    network = product(data, "network", 0.3, 0.2, seed=1)
    alone = fit_error_scale(data, network, "held_out").calibration.factor
    assert alone == pytest.approx(1.5, rel=0.1)
    beside = fit_error_scale(data, replace(network, corrects=guess), "held_out").calibration.factor
    assert beside == pytest.approx(1, rel=0.1)


def test_places_are_those_of_the_pairs(data):
    """Distance and age are those without the held-out values."""
    places, which = data.places("test"), np.argwhere(data.test)
    date, row, column = which[len(which) // 2]
    at = len(which) // 2
    assert len(places.lat) == len(which)
    assert (places.lat[at], places.lon[at]) == (data.field.lat[row, column], data.field.lon[row, column])
    assert places.dates[at] == data.field.dates[date]
    known = data.field.observed & ~data.held_out
    dates = np.flatnonzero(known[:, row, column])
    assert places.age[at] == np.abs(data.field.days[dates] - data.field.days[date]).min() > 0


def test_without_a_hold_out_the_last_product_is_delivered_as_it_is():
    data = GapData(cloudy_field(dates=8), DataSettings(held_out=0.0))
    whole = (data.field.values, data.field.values)
    products = [Candidate("first", whole), Candidate("last", whole)]
    found = evaluate_candidates(data, by_name(*products))
    limit = np.sqrt(2) * np.nanstd(data.field.values)
    assert (found.delivered.name, found.rows) == ("last", [])
    assert found.scale == ErrorScale(limit=pytest.approx(limit, rel=1e-6))


def test_an_error_is_at_most_that_of_an_observation_far_away():
    """A law that grows without end is cut where two values have nothing in common."""
    field = cloudy_field(dates=8)
    law = Calibration(slopes=(0, 5, 0), high=(0, 9, 9))
    scaled = ErrorScale(law, limit=limit_error(field)).apply(field, np.ones(field.values.shape), None)
    assert scaled.max() == np.float32(limit_error(field))
    assert scaled[field.observed].max() == 1


def correction(data, miss, change, seed=0):
    """A first guess that misses by ``miss`` (time, lat, lon) and a network that adds a ``change`` to it."""
    mean = (np.nan_to_num(data.field.values) + miss).astype(np.float32)
    error = np.ones(mean.shape, np.float32)
    guess = Candidate("oi", (mean, error), (mean, error))
    changed = ((mean + change).astype(np.float32), error)
    return by_name(guess, Candidate("unet", changed, changed, corrects=guess))


def delivered_errors(data, candidates):
    """RMSE of what is delivered, of guess and of network on all test values, and the evaluation."""
    found = evaluate_candidates(data, candidates)
    products = [found.delivered, *candidates.values()]
    errors = [np.sqrt(np.mean((one.trial[0] - data.field.values)[data.test] ** 2)) for one in products]
    return errors, found


@pytest.fixture
def noise(data):
    return np.random.default_rng(5).standard_normal((2, *data.held_out.shape))


def test_a_network_of_noise_is_not_delivered_at_all(data, noise):
    candidates = correction(data, *noise)
    (errors, found) = delivered_errors(data, candidates)
    assert found.delivered is candidates["oi"]
    assert found.attributes()["correction_share"] == 0
    assert errors[0] == errors[1] < errors[2]


def test_a_perfect_network_is_delivered(data, noise):
    (delivered, guess, _), found = delivered_errors(data, correction(data, noise[0], -noise[0]))
    assert found.delivered.name == "unet"
    assert found.attributes()["correction_share"] > 0.9
    assert delivered < 0.1 * guess


def test_half_of_a_network_that_overshoots_is_better_than_all_and_nothing(data, noise):
    """It is right by half: alone it is as far off as the first guess."""
    change = -1.0 * noise[0] + np.sqrt(1.0) * noise[1]
    (delivered, guess, network), found = delivered_errors(data, correction(data, noise[0], change))
    assert network == pytest.approx(guess, rel=0.05)
    assert delivered == pytest.approx(guess * np.sqrt(0.5), rel=0.05)
    assert delivered < 0.8 * min(guess, network)
    attributes = found.attributes()
    assert attributes["correction_share"] == pytest.approx(0.5, abs=0.1)
    assert attributes["held_out_share"] == pytest.approx(0.5, abs=0.1)
    assert attributes["correction_shares"] == pytest.approx([attributes["correction_share"]])


@pytest.mark.parametrize("dates", [4, 6])
def test_a_network_that_fits_its_few_validation_dates_by_chance_costs_no_more_than_a_percent(dates):
    """It fits part of the noise of the validation values, and is wrong on all others."""
    ratios = []
    for seed in range(12):
        data = GapData(cloudy_field(dates=dates, seed=seed), DataSettings(held_out=0.3, seed=seed))
        miss, wrong = np.random.default_rng(seed).standard_normal((2, *data.held_out.shape))
        change = 0.35 * wrong - 0.05 * np.where(data.validation, miss, 0)
        (delivered, guess, _), _ = delivered_errors(data, correction(data, miss, change))
        ratios.append(delivered / guess)
    assert max(ratios) < 1.01


def test_the_delivered_error_is_that_of_the_shrunken_product(data, noise):
    """Guess and network claim an error of one; half of both is off by 0.7."""
    found = evaluate_candidates(data, correction(data, noise[0], noise[1] - noise[0]))
    known = data.field.hide(data.held_out)
    sigma = found.scale.of_trial(known, found.delivered)[data.held_out]
    miss = np.abs(found.delivered.trial[0] - data.field.values)[data.held_out]
    assert np.mean(miss <= sigma) == pytest.approx(0.6827, abs=0.02)
    assert sigma.mean() == pytest.approx(np.sqrt(0.5), rel=0.1)


def test_the_shares_of_validation_are_scored_and_those_of_all_are_delivered(data, noise):
    """The network overshoots twice where it is chosen, and not at all elsewhere."""
    change = np.where(data.validation, -2.0, -1.0) * noise[0]
    found = evaluate_candidates(data, correction(data, noise[0], change))
    rows = {row["method"]: row for row in found.rows}
    assert rows["unet"]["share"] == pytest.approx(0.5, abs=0.02)
    assert rows["unet"]["rmse"] == pytest.approx(0.5 * rows["oi"]["rmse"], rel=0.05)
    assert 0.52 < found.share < 0.6  # 3 / 5 by squares, of which that of twice the size counts four times


@pytest.mark.parametrize(("asked", "space"), [("none", "values"), ("log", "natural logarithms")])
def test_scores_and_choice_are_in_the_space_that_was_asked_for(asked, space):
    """Closer in logarithms on most values, but far off on the few large ones."""
    field = cloudy_field(dates=24)
    field = replace(field, values=(field.values - 15) * 1.0, transform="log", asked_transform=asked)
    data = GapData(field, DataSettings(held_out=0.2, seed=1))
    log = np.nan_to_num(field.values)
    large = log > np.quantile(log[data.held_out], 0.9)
    sign = np.random.default_rng(0).choice([-1.0, 1.0], log.shape)
    products = []
    for name, low, high in (("even", 0.3, 0.3), ("skew", 0.1, 0.6)):
        mean = (log + sign * np.where(large, high, low)).astype(np.float32)
        error = np.full(mean.shape, np.float32(1e-3))
        products.append(Candidate(name, (mean, error), (mean, error)))
    found = evaluate_candidates(data, by_name(*products))
    assert found.delivered.name == ("even" if asked == "none" else "skew")
    assert {row["space"] for row in found.rows} == {found.attributes()["held_out_space"]} == {space}
    (row,) = (row for row in found.rows if row["method"] == "even")
    assert (row["rmse"] == pytest.approx(0.3, rel=1e-3)) == (asked == "log")
