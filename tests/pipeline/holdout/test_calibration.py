"""Calibration: known slopes, counted coverage, quantiles by hand."""

import json
from dataclasses import asdict, replace

import numpy as np
import pytest
from fields import cloudy_field
from oceanfill.pipeline.holdout.calibration import (
    LEVELS,
    Calibration,
    Residuals,
    calibrate,
    compute_covariates,
    standardise_residuals,
)
from oceanfill.pipeline.holdout.patterns import distance_and_age
from oceanfill.pipeline.holdout.scores import coverage
from oceanfill.pipeline.holdout.splits import hold_out
from oceanfill.pipeline.jobs.evaluate import evaluate_candidates, fit_error_scale
from oceanfill.pipeline.jobs.methods import Candidate
from oceanfill.pipeline.training.heldout import DataSettings, HeldOut

COVERED = (50, 68, 90, 95)


def draw_residuals(slopes, dates=50, number=20_000, tails=None, seed=0):
    """Residuals with known slopes, Gaussian or of Student's t with ``tails`` degrees of freedom."""
    rng = np.random.default_rng(seed)
    given = np.column_stack([rng.normal(-1, 0.5, number), rng.uniform(0.7, 4, (number, 2))])
    drawn = rng.standard_normal(number) if tails is None else rng.standard_t(tails, number)
    miss = np.abs(drawn) * np.exp((given - given.mean(axis=0)) @ np.asarray(slopes))
    return Residuals(miss, given, np.ones(number), rng.integers(dates, size=number))


def count_coverage(calibration, found):
    """Percent of the values within the intervals."""
    scale = calibration.scale(found.covariates)
    return [
        100 * np.average(found.residual <= scale * calibration.half_width(level), weights=found.weight)
        for level in COVERED
    ]


def test_known_slopes_are_recovered():
    """A slope of n values is known to 1 / (d sqrt(n I)): I = 8/7 under t with 4 degrees of freedom.

    d is the standard deviation of the covariate. 10 000 values are used; the least penalty shrinks by 2%.
    """
    slopes = np.array([0.4, -0.3, 0.2])
    found = draw_residuals(slopes)
    law = calibrate(found)
    known_to = 1 / (found.covariates.std(axis=0) * np.sqrt(10_000 * 8 / 7))
    assert (np.abs(law.slopes - slopes) < 3 * known_to + 0.02 * np.abs(slopes)).all()
    assert law.factor == pytest.approx(1, abs=3 * 1.2 / np.sqrt(20_000))


def test_errors_that_grow_with_the_distance_have_a_slope():
    """With the covariates of the gaps of a field."""
    field = cloudy_field(dates=40)
    rng = np.random.default_rng(0)
    far = np.log1p(distance_and_age(field)[0] / 10)  # cells of 11.1 and 9 km
    size = np.where(field.sea, 0.1 * np.exp(0.5 * far), np.nan)
    hidden = ~field.observed & field.sea
    truth = np.where(hidden, 15 + size * rng.standard_normal(size.shape), np.nan)
    mean, error = np.full(size.shape, 15.0), np.where(np.isfinite(size), 0.1, np.nan)
    law = calibrate(standardise_residuals(field, truth, mean, error, np.ones(size.shape)))
    assert law.slopes[0] == 0  # all errors are alike
    known_to = 1 / (far[hidden].std() * np.sqrt(hidden.sum() * 8 / 7))
    assert law.slopes[1] == pytest.approx(0.5, abs=3 * known_to + 0.02 * 0.5)
    assert abs(law.slopes[2]) < 0.05
    scaled = law.scale_error(field, error)
    assert np.isnan(scaled[:, ~field.sea]).all()
    np.testing.assert_allclose(scaled[hidden], size[hidden], rtol=0.1)


@pytest.mark.parametrize("tails", [None, 3, 1.5])
def test_fresh_values_are_within_the_intervals(tails):
    """Coverage of 20 000 values has a standard error of 0.35 points, twice: 2 points are ample."""
    law = calibrate(draw_residuals([0.4, -0.3, 0.2], tails=tails))
    fresh = draw_residuals([0.4, -0.3, 0.2], tails=tails, seed=1)
    np.testing.assert_allclose(count_coverage(law, fresh), COVERED, atol=1.5)
    order = np.argsort(fresh.covariates[:, 1])
    for part in np.array_split(order, 5):  # near and far
        there = Residuals(fresh.residual[part], fresh.covariates[part], fresh.weight[part], fresh.date[part])
        np.testing.assert_allclose(count_coverage(law, there), COVERED, atol=3)


def test_weights_make_the_hidden_values_like_the_gaps():
    """Residuals are three times as large in a kind of gaps: a tenth of the hidden, half of the real ones."""
    rng = np.random.default_rng(0)

    def drawn(rare, number=40_000):
        kind = rng.random(number) < rare
        return np.abs(rng.standard_normal(number)) * np.where(kind, 3, 1), kind

    miss, kind = drawn(0.1)
    weight = np.where(kind, 0.5 / 0.1, 0.5 / 0.9)
    alike = np.zeros((len(miss), 3))
    law = calibrate(Residuals(miss, alike, weight, np.zeros(len(miss), np.int64)))
    real, _ = drawn(0.5)
    fresh = Residuals(real, alike, np.ones(len(real)), np.zeros(len(real), np.int64))
    np.testing.assert_allclose(count_coverage(law, fresh), COVERED, atol=1.5)


def test_weighted_quantiles_by_hand():
    """Of weights 4, 3, 2, 1 and, at infinity, 2.5: below 1, 2, 3, 4 are 0.32, 0.56, 0.72 and 0.8 of them."""
    found = Residuals(np.array([3.0, 1, 4, 2]), np.zeros((4, 3)), np.array([2.0, 4, 1, 3]), np.arange(4))
    law = calibrate(found)
    assert law.factor == pytest.approx(2 + (0.6827 - 0.56) / 0.16, rel=1e-6)
    expected = {30: 1, 40: 1 + 1 / 3, 50: 1.75, 60: 2.25, 70: 2.875, 75: 3.375, 80: 4, 95: 4}
    assert {level: law.factor * law.half_width(level) for level in expected} == pytest.approx(expected)


def test_few_dates_have_one_factor():
    assert calibrate(draw_residuals([0.4, -0.3, 0.2], dates=9)).slopes == [0, 0, 0]


def test_dates_that_disagree_have_one_factor():
    """Errors grow with the distance on every other date, and fall with it on those between."""
    one, other = draw_residuals([0, 0.4, 0], dates=20), draw_residuals([0, -0.4, 0], dates=20, seed=1)
    mixed = replace(one, date=2 * one.date).append([replace(other, date=2 * other.date + 1)])
    law = calibrate(mixed)
    assert np.abs(law.slopes).max() < 0.02
    np.testing.assert_allclose(count_coverage(law, mixed), COVERED, atol=1)


def test_covariates_beyond_the_hidden_values_are_clipped():
    law = calibrate(draw_residuals([0.0, 0.4, 0.0]))
    edge = np.array([law.high[0], law.high[1], law.high[2]])
    assert law.scale(edge + 5) == pytest.approx(law.scale(edge))
    assert law.scale(edge - [0, 1, 0]) < np.exp(-0.3) * law.scale(edge)


def test_without_hidden_values_intervals_are_gaussian():
    law = Calibration()
    for level, expected in ((50, 0.6744898), (90, 1.6448536), (95, 1.959964)):
        assert law.half_width(level) == pytest.approx(expected)
    field = cloudy_field(dates=8)
    error = np.where(field.sea, 0.3, np.nan) * np.ones(field.values.shape)
    np.testing.assert_allclose(law.scale_error(field, error), error, rtol=1e-6)


def test_higher_levels_are_wider_and_a_calibration_is_plain_numbers():
    law = calibrate(draw_residuals([0.4, -0.3, 0.2], tails=3))
    assert len(law.half_widths) == len(LEVELS)
    assert (np.diff(law.half_widths) > 0).all()
    again = Calibration(**json.loads(json.dumps(asdict(law))))
    field = cloudy_field(dates=8)
    error = np.where(field.sea, 0.3, np.nan) * np.ones(field.values.shape)
    np.testing.assert_array_equal(again.scale_error(field, error), law.scale_error(field, error))


def test_covariates_of_a_gap():
    """Without a value, the distance is the diagonal of the domain and the age the length of the record."""
    field = cloudy_field(dates=8)
    unseen = np.zeros_like(field.observed)
    unseen[3] = unseen[:, 10, 10] = True
    known = field.hide(unseen & field.observed)
    error = np.where(field.sea, 0.3, np.nan) * np.ones(field.values.shape)
    found = np.expm1(compute_covariates(known, error)[..., 1:])
    rows, columns = field.sea.shape
    assert found[3, 10, 12, 0] == pytest.approx(np.hypot(rows, columns))
    assert found[5, 10, 10, 1] == pytest.approx(8)
    seen = known.observed
    np.testing.assert_array_equal(found[seen], 0)
    day = known.values.shape[0] - 1
    gap = np.argwhere(~seen[day] & seen[day - 1])[0]
    assert found[day, gap[0], gap[1], 1] == pytest.approx(1)


@pytest.fixture(scope="module")
def held_out():
    """A field with a hold-out, and an estimate whose errors grow with the distance, which its error lacks."""
    field = cloudy_field(dates=150, rows=16, columns=18)
    rng = np.random.default_rng(0)
    data = HeldOut(field, hold_out(field, 0.3, rng), DataSettings(first_guess="none"))
    data.prepare(whole=False)
    known = field.hide(data.held_out)
    size = 0.1 * np.exp(0.8 * np.log1p(distance_and_age(known)[0].clip(max=200) / 10))
    mean = np.where(data.held_out, field.values, 15) + size * rng.standard_normal(size.shape)
    return data, known, mean.astype(np.float32), np.full(size.shape, np.float32(0.1))


def test_values_that_an_estimate_is_made_from_do_not_judge_it(held_out):
    data, known, mean, error = held_out
    truth = np.where(data.test, data.field.values, np.nan)
    found = standardise_residuals(known, truth, mean, error, data.weight)
    assert (found.covariates[:, 1:] > 0).all()  # no test value is at an observation, in space or in time
    with pytest.raises(ValueError, match=f"{data.test.sum()} of {data.test.sum()} .* are not hidden"):
        standardise_residuals(data.field, truth, mean, error, data.weight)


def test_residuals_of_the_hold_out_have_the_covariates_of_gaps(held_out):
    data, known, mean, error = held_out
    for part, where in (("validation", data.validation), ("test", data.test)):
        found = data.residuals(part, mean, error)
        np.testing.assert_array_equal(found.covariates, compute_covariates(known, error)[where])


def test_a_candidate_is_scored_with_errors_scaled_for_gaps(held_out):
    """Were the held-out values visible, all of them would have the error of an observed cell."""
    data, known, mean, error = held_out
    candidate = Candidate("made", (mean, error), (mean, error))
    law = fit_error_scale(data, candidate, "validation").calibration
    assert law.slopes[1] == pytest.approx(0.8, abs=0.15)
    rows = evaluate_candidates(data, {"made": candidate}).rows
    truth = np.where(data.test, data.field.values, np.nan)
    shares = [
        coverage(mean, law.scale_error(seen, error), truth, 1, data.weight) for seen in (known, data.field)
    ]
    assert rows[0]["coverage_1sigma"] == pytest.approx(shares[0], rel=1e-6)
    assert shares[0] == pytest.approx(0.6827, abs=0.04)
    assert shares[1] < 0.5


def test_an_error_of_zero_is_refused():
    field = cloudy_field(dates=8)
    nothing = np.zeros(field.values.shape)
    known = field.hide(field.observed)
    with pytest.raises(ValueError, match="the standard error is not positive at"):
        standardise_residuals(known, field.values, nothing, nothing, nothing + 1)
