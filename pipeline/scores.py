"""How far an estimate and its standard error are from the truth.

Every score is taken where the truth is finite. An estimate that is missing there is an error, because to
leave it out would reward a method for what it did not fill.
"""

from __future__ import annotations

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy.stats import norm

Values = xr.DataArray | NDArray[np.floating] | float


def rmse(estimate: Values, truth: Values, weights: Values = 1.0) -> float:
    """Root mean square error, in the units of the values.

    ``truth`` may have any shape; the estimate has the same (`xarray.DataArray` are matched by dimension
    names and labels), and ``weights``, as areas, can be broadcast to it. Raises `ValueError` for an
    estimate that is not finite where the truth is, and where there is no truth; so do the others.
    """
    difference, weight = _at_truth(estimate, truth, weights)
    return float(np.sqrt(np.average(difference**2, weights=weight)))


def bias(estimate: Values, truth: Values, weights: Values = 1.0) -> float:
    """Mean of estimate - truth; shapes and errors as for `rmse`."""
    difference, weight = _at_truth(estimate, truth, weights)
    return float(np.average(difference, weights=weight))


def mae(estimate: Values, truth: Values, weights: Values = 1.0) -> float:
    """Mean absolute error; shapes and errors as for `rmse`."""
    difference, weight = _at_truth(estimate, truth, weights)
    return float(np.average(np.abs(difference), weights=weight))


def coverage(
    estimate: Values, error: Values, truth: Values, sigmas: float = 1, weights: Values = 1.0
) -> float:
    """Share of the truth within ``sigmas`` standard errors of the estimate, 0 to 1.

    An honest Gaussian error gives 0.683 for 1 and 0.954 for 2. Raises `ValueError` as `rmse` does, and for
    a standard error that is not finite or negative where the truth is finite.
    """
    difference, sigma, weight = _at_truth(estimate, truth, error, weights)
    _check_errors(sigma)
    return float(np.average(np.abs(difference) <= sigmas * sigma, weights=weight))


def crps_gaussian(estimate: Values, error: Values, truth: Values, weights: Values = 1.0) -> float:
    """Mean continuous ranked probability score of N(estimate, error^2), in the units of the values.

    sigma (z (2 Phi(z) - 1) + 2 phi(z) - 1/sqrt(pi)) with z = (truth - estimate) / sigma, in the negative
    orientation (less is better), and |truth - estimate| where sigma is zero (Gneiting & Raftery 2007,
    J. Amer. Statist. Assoc. 102, 359, equation 21). Raises as `coverage` does.
    """
    difference, sigma, weight = _at_truth(estimate, truth, error, weights)
    _check_errors(sigma)
    z = np.divide(difference, sigma, out=np.zeros_like(sigma), where=sigma > 0)
    score = sigma * (z * (2 * norm.cdf(z) - 1) + 2 * norm.pdf(z) - 1 / np.sqrt(np.pi))
    return float(np.average(np.where(sigma > 0, score, np.abs(difference)), weights=weight))


def sigma_factor(
    estimate: Values, error: Values, truth: Values, level: float = 0.6827, weights: Values = 1.0
) -> float:
    """The factor on the standard error with which +-1 sigma holds the share ``level`` of the truth.

    It is the ``level`` quantile of |truth - estimate| / error: by definition that share of the values then
    lies within the interval. Unlike the root mean square of that ratio it does not let a few far outliers,
    as unmasked cloud, widen the interval of all others. Raises as `coverage` does, and for zero errors.
    """
    difference, sigma, weight = _at_truth(estimate, truth, error, weights)
    _check_errors(sigma)
    zero = np.count_nonzero(sigma == 0)
    if zero:
        raise ValueError(f"the standard error is zero at {zero} of {sigma.size} values, and has no factor")
    ratio = np.abs(difference) / sigma
    return float(np.quantile(ratio, level, weights=weight, method="inverted_cdf"))


def summary(estimate: Values, error: Values | None, truth: Values) -> dict[str, float]:
    """n, rmse, bias and mae; with a standard error crps, coverage_1sigma and coverage_2sigma as well."""
    scores: dict[str, float] = {
        "n": int(np.count_nonzero(np.isfinite(truth))),
        "rmse": rmse(estimate, truth),
        "bias": bias(estimate, truth),
        "mae": mae(estimate, truth),
    }
    if error is not None:
        scores["crps"] = crps_gaussian(estimate, error, truth)
        scores["coverage_1sigma"] = coverage(estimate, error, truth, 1)
        scores["coverage_2sigma"] = coverage(estimate, error, truth, 2)
    return scores


def _at_truth(estimate: Values, truth: Values, *others: Values) -> list[NDArray[np.float64]]:
    """estimate - truth and the others where the truth is finite, (n,) each."""
    arrays = _matched(estimate, truth, *others)
    if not np.size(estimate) == np.size(truth) == arrays[0].size:
        shapes = ", ".join(str(np.shape(value)) for value in (estimate, truth, *others))
        raise ValueError(f"estimate, truth and what goes with them have other shapes: {shapes}")
    here = np.isfinite(arrays[1])
    if not here.any():
        raise ValueError("the truth has no finite value")
    found, expected, *rest = (array[here] for array in arrays)
    missing = np.count_nonzero(~np.isfinite(found))
    if missing:
        raise ValueError(f"the estimate is not finite at {missing} of {found.size} values with truth")
    return [found - expected, *rest]


def _matched(*values: Values) -> list[NDArray[np.float64]]:
    """On the dimensions of all, in one order; labels that differ are an error, not an intersection."""
    labelled = [value for value in values if isinstance(value, xr.DataArray)]
    if labelled:
        dims = labelled[0].dims
        arrays = [
            value
            if isinstance(value, xr.DataArray)
            else xr.DataArray(value, dims=dims if np.ndim(value) else ())
            for value in values
        ]
        values = tuple(array.to_numpy() for array in xr.broadcast(*xr.align(*arrays, join="exact")))
    return [np.asarray(array, np.float64) for array in np.broadcast_arrays(*values)]


def _check_errors(sigma: NDArray[np.float64]) -> None:
    wrong = np.count_nonzero(~(np.isfinite(sigma) & (sigma >= 0)))
    if wrong:
        raise ValueError(
            f"the standard error is missing or negative at {wrong} of {sigma.size} values with truth"
        )
