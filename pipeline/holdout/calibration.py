"""Calibrated standard errors and prediction intervals, from estimates of hidden values.

Standardised residuals give the calibration: a model of the factor by which the error is scaled from cell to
cell, and the quantiles of the residuals once they are scaled.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit, ndtri

from ..io.field import Field, grid_spacing
from .patterns import distance_and_age

Floats = NDArray[np.floating]

LEVELS = range(1, 100)  # percent, of the prediction intervals
_ONE_SIGMA = np.array([0.6827])  # within one standard error of a Gaussian
_DOUBLE = np.float32(np.log(2))
_TAILS = 4.0  # degrees of freedom of Student's t, under which the scale is fitted
_FOLDS = 5  # runs of dates for cross-validation
_FEWEST_DATES = 10  # dates that slopes are fitted to
_PENALTIES = (np.inf, 100.0, 30.0, 10.0, 3.0, 1.0)  # of the slopes, over the number of dates
_CONSTANT = 1e-3  # standard deviation below which a covariate is taken as constant
_MOST_FITTED = 10_000  # values: more of the same dates add little information


@dataclass(frozen=True)
class Residuals:
    """Standardised residuals of n hidden values."""

    residual: Floats  # (n,) |truth - estimate| over the standard error
    covariates: Floats  # (n, 3) of `compute_covariates`
    weight: Floats  # (n,)
    date: NDArray[np.int64]  # (n,)

    def append(self, others: Sequence[Residuals]) -> Residuals:
        """Return these and others together."""
        every = (self, *others)
        return Residuals(
            np.concatenate([one.residual for one in every]),
            np.concatenate([one.covariates for one in every]),
            np.concatenate([one.weight for one in every]),
            np.concatenate([one.date for one in every]),
        )


@dataclass(frozen=True)
class Calibration:
    """A log-linear model of the scale of an error, and the quantiles of the scaled residuals.

    The error is multiplied by factor exp(slopes . (x - centre)), where x are `compute_covariates`, clipped to
    the range ``low`` to ``high`` of the hidden values. The factor is the residual that 68.27% of the values
    do not exceed. All are plain numbers, to be stored as JSON. The default changes nothing and has Gaussian
    quantiles.
    """

    slopes: Sequence[float] = (0.0, 0.0, 0.0)
    centre: Sequence[float] = (0.0, 0.0, 0.0)
    low: Sequence[float] = (0.0, 0.0, 0.0)
    high: Sequence[float] = (0.0, 0.0, 0.0)
    factor: float = 1.0  # of the error at the centre
    half_widths: Sequence[float] = tuple(ndtri((1 + np.array(LEVELS) / 100) / 2).tolist())

    def scale_error(self, known: Field, error: Floats) -> NDArray[np.float32]:
        """Scale the standard error (time, lat, lon) of an estimate from the ``known`` values."""
        if not np.any(self.slopes) and self.factor >= 1:
            return (self.factor * error).astype(np.float32)
        # Date by date, to save memory.
        scaled = np.empty(error.shape, np.float32)
        for date, given in enumerate(zip(error, *distance_and_age(known), strict=True)):
            scaled[date] = self.scale(_stack_covariates(known, *given)) * error[date]
        return scaled

    def excess(self, found: Residuals) -> float:
        """Scaled residual that 68.27% of the values do not exceed: 1 if the calibration fits them."""
        scaled = found.residual / self.scale(found.covariates)
        return float(_weighted_quantiles(scaled, found.weight, _ONE_SIGMA)[0])

    def half_width(self, level: int) -> float:
        """Half-width of the central interval of ``level`` (1 to 99) percent, in scaled standard errors."""
        return float(self.half_widths[LEVELS.index(level)])

    def half_widths_of(self, levels: Sequence[int]) -> dict[int, float]:
        """Half-widths of several levels."""
        return {level: self.half_width(level) for level in levels}

    def attributes(self) -> dict[str, Any]:
        """Attributes for the output file."""
        return {"error_factor": self.factor, "error_slopes": list(self.slopes)}

    def scale(self, given: Floats) -> Floats:
        """Factor of the error at covariates (..., 3).

        Twice as far from the observations as any hidden value, or twice as long, it is one or more: hidden
        values do not show that the error there is too large.
        """
        low, high, centre, slopes = np.array([self.low, self.high, self.centre, self.slopes], given.dtype)
        factor = self.factor * np.exp((given.clip(low, high) - centre) @ slopes)
        beyond = ((given - high)[..., 1:].max(-1) / _DOUBLE).clip(0, 1)
        return factor * np.maximum(1 / factor, 1) ** beyond


def compute_covariates(known: Field, error: Floats) -> NDArray[np.float32]:
    """Compute the covariates (time, lat, lon, 3) of the scale of an error, from the ``known`` values.

    They are the logarithms of the error, of 1 + the distance (cells) to the nearest observation of the date,
    and of 1 + the time (days) to the nearest observation of the pixel.
    """
    return _stack_covariates(known, error, *distance_and_age(known))


def _stack_covariates(known: Field, error: Floats, distance: Floats, age: Floats) -> NDArray[np.float32]:
    """Those of all dates, or of one date, from the results of `distance_and_age`."""
    cell = np.mean(grid_spacing(known)[1:]) if known.statistics is None else known.statistics.cell
    cells = (distance / cell).clip(max=np.hypot(*known.sea.shape))
    days = age.clip(max=np.ptp(known.days) + 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.stack([np.log(error), np.log1p(cells), np.log1p(days)], axis=-1, dtype=np.float32)


def standardise_residuals(
    known: Field, truth: Floats, mean: Floats, error: Floats, weight: Floats
) -> Residuals:
    """Standardise the residuals of an estimate (time, lat, lon) where the ``truth`` is finite.

    ``known`` are the values that the estimate is made from. Raises `ValueError` if a value with truth is
    among them, because its covariates would be those of an observation, and for a standard error there that
    is not positive.
    """
    here = np.isfinite(truth)
    visible = np.count_nonzero(known.observed & here)
    if visible:
        raise ValueError(f"{visible} of {here.sum()} values with truth are not hidden from the estimate")
    wrong = np.count_nonzero(~(error[here] > 0))
    if wrong:
        raise ValueError(f"the standard error is not positive at {wrong} of {here.sum()} values with truth")
    return Residuals(
        np.abs(truth - mean)[here] / error[here],
        compute_covariates(known, error)[here].astype(np.float64),
        weight[here],
        np.nonzero(here)[0],
    )


def calibrate(found: Residuals) -> Calibration:
    """Calibrate the error of an estimate by its residuals at hidden values.

    The scale is fitted by a penalised weighted likelihood with Student-t residuals, which is robust to
    outliers such as unmasked cloud. Cross-validation over dates chooses the penalty of the slopes: the
    largest whose loss is within a standard error of the least. Few or inconsistent dates thus have a single
    factor.

    The half-widths are weighted split-conformal (Tibshirani et al. 2019, arXiv:1904.06019): the weighted
    quantiles of the scaled residuals, with a value of mean weight at infinity for the one to be predicted.
    They are interpolated between residuals.
    """
    low, high = found.covariates.min(axis=0), found.covariates.max(axis=0)
    centre = np.average(found.covariates, axis=0, weights=found.weight)
    slopes = _fit_slopes(found.covariates - centre, found)
    scaled = found.residual * np.exp(-(found.covariates - centre) @ slopes)
    levels = np.append(np.array(LEVELS) / 100, _ONE_SIGMA)
    *half_widths, one = _weighted_quantiles(scaled, found.weight, levels).tolist()
    if not one > 0:  # two thirds of the values are met exactly, which says nothing of the others
        return Calibration()
    return Calibration(
        slopes.tolist(),
        centre.tolist(),
        low.tolist(),
        high.tolist(),
        factor=one,
        half_widths=[width / one for width in half_widths],
    )


def _fit_slopes(given: Floats, found: Residuals) -> NDArray[np.float64]:
    """Fit the slopes (3,) on the centred covariates ``given`` (n, 3), with a cross-validated penalty."""
    dates = np.unique(found.date)
    if len(dates) < _FEWEST_DATES:
        return np.zeros(given.shape[1])
    use = np.random.default_rng(0).permutation(len(given))[:_MOST_FITTED]
    unit = given[use].std(axis=0)
    unit[unit < _CONSTANT] = np.inf
    x = np.column_stack([np.ones(len(use)), given[use] / unit])
    residual, weight = found.residual[use], found.weight[use]
    fold = np.searchsorted(dates, found.date[use]) * _FOLDS // len(dates)
    loss = np.empty((len(_PENALTIES), _FOLDS))
    for left in range(_FOLDS):
        kept, out = fold != left, fold == left
        coefficients = np.zeros(x.shape[1])
        for penalty, line in zip(_PENALTIES, loss, strict=True):
            coefficients = _fit_coefficients(
                coefficients, x[kept], residual[kept], weight[kept], penalty / len(dates)
            )
            line[left] = _evaluate_loss(coefficients, x[out], residual[out], weight[out])[0]
    worse = loss - loss[np.argmin(loss.mean(axis=1))]
    enough = worse.mean(axis=1) <= worse.std(axis=1, ddof=1) / np.sqrt(_FOLDS)
    penalty = _PENALTIES[int(np.argmax(enough))] / len(dates)
    return _fit_coefficients(np.zeros(x.shape[1]), x, residual, weight, penalty)[1:] / unit


def _fit_coefficients(
    start: Floats, x: Floats, residual: Floats, weight: Floats, penalty: float
) -> NDArray[np.float64]:
    """Minimise the penalised loss over level and slopes (1 + 3,); an infinite penalty means no slopes."""
    bounds = [(None, None)] + [(0, 0) if np.isinf(penalty) else (None, None)] * (x.shape[1] - 1)
    penalty = 0.0 if np.isinf(penalty) else penalty
    arguments = (x, residual, weight, penalty)
    return minimize(_evaluate_loss, start, arguments, jac=True, method="L-BFGS-B", bounds=bounds).x


def _evaluate_loss(
    coefficients: Floats, x: Floats, residual: Floats, weight: Floats, penalty: float = 0.0
) -> tuple[float, NDArray[np.float64]]:
    """Mean of -log of the density of Student's t, up to a constant, and its gradient."""
    log_scale = x @ coefficients
    with np.errstate(divide="ignore"):  # a residual of zero is fine
        log_square = 2 * (np.log(residual) - log_scale) - np.log(_TAILS)  # its square may overflow
    share = weight / weight.sum()
    slopes = np.append(0.0, coefficients[1:])
    value = share @ (log_scale + (_TAILS + 1) / 2 * np.logaddexp(0, log_square))
    value += penalty / 2 * slopes @ slopes
    gradient = (share * (1 - (_TAILS + 1) * expit(log_square))) @ x + penalty * slopes
    return float(value), gradient


def _weighted_quantiles(residual: Floats, weight: Floats, levels: Floats) -> NDArray[np.float64]:
    """(k,) quantiles with one more value of mean weight at infinity; at most the largest residual."""
    order = np.argsort(residual)
    below = np.cumsum(weight[order]) / (weight.sum() + weight.mean())
    # Interpolated: between two values far apart, rounding of the weights would decide for one of them.
    return np.interp(levels, below, residual[order])
