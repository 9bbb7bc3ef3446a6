"""Blends of estimates with a known error covariance."""

import numpy as np
import pytest
from fields import cloudy_dataset, cloudy_field
from oceanfill.pipeline.classical.baselines import linear_in_space, linear_in_time, nearest
from oceanfill.pipeline.classical.blend import Rule, blend, combine_estimates, fit_weights
from oceanfill.pipeline.holdout.scores import coverage, rmse

AS_CLAIMED = np.array([[0.0, 1.0]])


def test_independent_errors_are_weighted_by_their_variances():
    one, other = (np.full((2, 1, 2, 2), [[[[value]]], [[[error]]]]) for value, error in ((5, 1), (0, 2)))
    mean, error = combine_estimates([tuple(one), tuple(other)], Rule(np.tile(AS_CLAIMED, (2, 1)), np.eye(2)))
    np.testing.assert_allclose(mean, 0.8 * 5, rtol=1e-6)
    np.testing.assert_allclose(error, np.sqrt(1 / (1 / 1 + 1 / 4)), rtol=1e-6)


def test_correlated_errors_of_different_size_and_an_error_that_is_too_small():
    rng = np.random.default_rng(0)
    truth = rng.standard_normal(200_000)
    common, own = rng.standard_normal(truth.size), rng.standard_normal((2, truth.size))
    size = np.array([1.0, 1.5])[:, None]
    errors = size * (np.sqrt(0.5) * common + np.sqrt(0.5) * own)
    claimed = np.stack([np.full(truth.size, 0.5), np.full(truth.size, 1.5)])  # the first: half of what it is
    estimates = [(truth + e, c) for e, c in zip(errors, claimed, strict=True)]
    rule = fit_weights(estimates, truth)
    np.testing.assert_allclose(rule.products, [[1, 0.95 * 0.5], [0.95 * 0.5, 1]], rtol=0.02)
    mean, error = combine_estimates(estimates, rule)
    least = 1.5**2 * (1 - 0.5**2) / (1 + 1.5**2 - 2 * 0.5 * 1.5)  # Bates and Granger, equation 2
    assert np.std(mean - truth) == pytest.approx(np.sqrt(least), rel=0.01)
    assert error[0] == pytest.approx(np.sqrt(least), rel=0.02)


def test_a_claim_is_followed_as_far_as_the_errors_follow_it():
    rng = np.random.default_rng(0)
    claimed = rng.uniform(0.5, 2, (2, 100_000))
    sizes = np.stack([np.sqrt(0.5 + 3 * claimed[0] ** 2), np.full(claimed.shape[1], 2.0)])
    errors = sizes * rng.standard_normal(claimed.shape)
    rule = fit_weights(list(zip(errors, claimed, strict=True)), np.zeros(claimed.shape[1]))
    np.testing.assert_allclose(rule.calibration, [[0.5, 3], [4, 0]], atol=0.15)


def test_an_estimate_that_is_given_twice_shares_its_weight():
    pair, other = (np.array([1.0]), np.array([1.0])), (np.array([4.0]), np.array([1.0]))
    products = np.array([[1, 0.999, 0], [0.999, 1, 0], [0, 0, 1.0]])
    rule = Rule(np.tile(AS_CLAIMED, (3, 1)), products)
    assert combine_estimates([pair, pair, other], rule)[0] == pytest.approx(2.5, abs=1e-3)


def test_a_blend_of_a_cloudy_field_beats_the_mean_of_its_methods():
    truth, field = cloudy_dataset(dates=60, seed=2).truth.to_numpy(), cloudy_field(dates=60, seed=2)
    hidden = np.where(~field.observed & field.sea, truth, np.nan)
    methods = nearest, linear_in_time, linear_in_space
    mean, error = blend(field, methods)
    even = np.mean([method(field)[0] for method in methods], axis=0)
    assert rmse(mean, hidden) < rmse(even, hidden)
    assert rmse(mean, hidden) < min(rmse(method(field)[0], hidden) for method in methods)
    assert coverage(mean, error, hidden) == pytest.approx(0.683, abs=0.1)
    assert np.isnan(mean[:, ~field.sea]).all()
