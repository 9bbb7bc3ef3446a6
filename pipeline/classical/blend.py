"""A weighted mean of several methods, with weights from their errors at held-out values."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from ..field import Field
from ..gaps import hide_spells
from .dineof import dineof
from .simple import Estimate, linear_in_space, linear_in_time, nearest

_HELD_OUT = 0.05  # share of the observed values
_FEWEST = 30  # held-out values that tell how errors go together
_SHRINKAGE = 0.05  # of the errors' products towards none in common


def blend(
    field: Field,
    methods: Sequence[Callable[[Field], Estimate]] = (nearest, linear_in_time, linear_in_space, dineof),
    seed: int = 0,
) -> Estimate:
    """The mean of what ``methods`` make of a field, weighted by their errors under clouds of other dates."""
    hidden = hide_spells(field, _HELD_OUT, np.random.default_rng(seed))
    products = np.eye(len(methods))
    if hidden.sum() >= _FEWEST:
        trial = [method(field.hide(hidden)) for method in methods]
        at = [(mean[hidden], error[hidden]) for mean, error in trial]
        products = error_products(at, field.values[hidden])
    return combine([method(field) for method in methods], products)


def error_products(estimates: Sequence[Estimate], truth: NDArray[np.float32]) -> NDArray[np.float64]:
    """(m, m) mean products of the errors of m estimates, each in units of its own standard error.

    ``estimates`` are pairs (n,) of mean and standard error, ``truth`` (n,). The diagonal is one for honest
    errors; the others are shrunk a little, so that equal methods share the weight.
    """
    ratio = np.stack([(mean - truth) / error for mean, error in estimates]).astype(np.float64)
    products = ratio @ ratio.T / truth.size
    return (1 - _SHRINKAGE) * products + _SHRINKAGE * np.diag(products.diagonal())


def combine(estimates: Sequence[Estimate], products: NDArray[np.float64]) -> Estimate:
    """The mean of least error variance, cell by cell, and its standard error.

    With standard errors s_i and their `error_products` R the covariance of the errors is s_i R_ij s_j, and
    the weights are proportional to its inverse times one (Bates & Granger 1969, 10.1057/jors.1969.103).
    Negative weights, which only cancel errors that are nearly the same, are set to zero.
    """
    means, errors = (np.stack(parts).astype(np.float64) for parts in zip(*estimates, strict=True))
    weights = (np.tensordot(np.linalg.inv(products), 1 / errors, 1) / errors).clip(min=0)
    weights /= weights.sum(axis=0)
    scaled = weights * errors
    variance = (scaled * np.tensordot(products, scaled, 1)).sum(axis=0)
    return (weights * means).sum(axis=0).astype(np.float32), np.sqrt(variance).astype(np.float32)
