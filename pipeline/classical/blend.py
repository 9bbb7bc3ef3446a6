"""A weighted mean of several methods, with weights from their errors at held-out values."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls

from ..holdout.patterns import hide_clouds
from ..io.field import Field
from .baselines import Estimate, linear_in_time
from .dineof import dineof
from .optimal_interpolation import optimal_interpolation

_HELD_OUT = 0.05  # share of the observed values
_FEWEST = 30  # held-out values from which error covariances are estimated
_SHRINKAGE = 0.05  # of the correlations towards zero
_LEAST_CONSTANT = 0.01  # part of the mean squared error in each error variance


class Rule(NamedTuple):
    """Error model of m methods, fitted to held-out values."""

    calibration: NDArray[
        np.float64
    ]  # (m, 2): the error variance is the first + the second * claimed variance
    products: NDArray[np.float64]  # (m, m) mean products of errors in units of that


def blend(
    field: Field,
    methods: Sequence[Callable[[Field], Estimate]] = (optimal_interpolation, linear_in_time, dineof),
    seed: int = 0,
) -> Estimate:
    """Mean of the estimates of several ``methods``, weighted by their errors under clouds of other dates."""
    hidden = hide_clouds(field, _HELD_OUT, np.random.default_rng(seed))
    rule = Rule(np.tile([0.0, 1.0], (len(methods), 1)), np.eye(len(methods)))
    if hidden.sum() >= _FEWEST:
        trial = [method(field.hide(hidden)) for method in methods]
        rule = fit_weights([(mean[hidden], error[hidden]) for mean, error in trial], field.values[hidden])
    return combine_estimates([method(field) for method in methods], rule)


def fit_weights(estimates: Sequence[Estimate], truth: NDArray[np.float32]) -> Rule:
    """Fit the error model of m estimates, pairs (n,) of mean and standard error, to a truth (n,).

    The claimed variances are corrected by a non-negative least-squares fit to the squared errors: a method
    whose errors do not vary as claimed gets the same variance everywhere. The correlations are shrunk a
    little, so equal methods share the weight.
    """
    errors = np.stack([mean - truth for mean, _ in estimates]).astype(np.float64)
    calibration = []
    for squared, (_, claimed) in zip(errors**2, estimates, strict=True):
        constant, factor = nnls(np.column_stack([np.ones(claimed.shape), claimed**2]), squared)[0]
        calibration.append([max(constant, _LEAST_CONSTANT * squared.mean()), factor])
    ratio = errors / np.sqrt(_correct_variances([error for _, error in estimates], np.array(calibration)))
    products = ratio @ ratio.T / truth.size
    products += _SHRINKAGE * (np.diag(products.diagonal()) - products)
    return Rule(np.array(calibration), products)


def combine_estimates(estimates: Sequence[Estimate], rule: Rule) -> Estimate:
    """Combine estimates cell by cell to the mean of least error variance, with its standard error.

    With corrected standard errors s_i and products R, the covariance of the errors is s_i R_ij s_j, and the
    weights are proportional to the row sums of its inverse (Bates & Granger 1969, 10.1057/jors.1969.103).
    Negative weights, which only cancel errors that are nearly the same, are set to zero.
    """
    means = np.stack([mean for mean, _ in estimates]).astype(np.float64)
    errors = np.sqrt(_correct_variances([error for _, error in estimates], rule.calibration))
    weights = (np.tensordot(np.linalg.inv(rule.products), 1 / errors, 1) / errors).clip(min=0)
    weights /= weights.sum(axis=0)
    scaled = weights * errors
    variance = (scaled * np.tensordot(rule.products, scaled, 1)).sum(axis=0)
    return (weights * means).sum(axis=0).astype(np.float32), np.sqrt(variance).astype(np.float32)


def _correct_variances(
    claimed: Sequence[NDArray[np.float32]], calibration: NDArray[np.float64]
) -> NDArray[np.float64]:
    """(m, ...) the error variances that the claimed standard errors come down to."""
    return np.stack(
        [a + b * error.astype(np.float64) ** 2 for error, (a, b) in zip(claimed, calibration, strict=True)]
    )
