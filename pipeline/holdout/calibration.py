"""Standard errors that hold, and intervals, from estimates of values that were hidden from them.

What an estimate misses by, in units of its own standard error, gives the calibration: a law of how the error
is to be scaled from cell to cell, and the quantiles that the misses then have.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import ndtri

from ..errors import InputError
from ..io.field import Field, grid_spacing
from .patterns import distance_and_age

Floats = NDArray[np.floating]
Mask = NDArray[np.bool_]

LEVELS = range(1, 100)  # percent, of the intervals that can be asked for
_ONE_SIGMA = np.array([0.6827])  # within one standard error of a Gaussian
_TAILS = 4.0  # degrees of freedom of the distribution that a law is fitted under
_FOLDS = 5  # runs of dates, each of which judges the laws of the others
_FEWEST_DATES = 10  # to tell a law from
_PENALTIES = (np.inf, 100.0, 30.0, 10.0, 3.0, 1.0)  # of the slopes, over the number of dates
_ALIKE = 1e-3  # a deviation of a trait that says nothing
_MOST_FITTED = 10_000  # values: more of the same dates say no more


@dataclass(frozen=True)
class Residuals:
    """What estimates of n values miss these by, from which they were hidden."""

    miss: Floats  # (n,) |truth - estimate| over the standard error
    covariates: Floats  # (n, 3) of `covariates`
    weight: Floats  # (n,)
    date: NDArray[np.int64]  # (n,)

    def append(self, others: Sequence[Residuals]) -> Residuals:
        """All of them."""
        every = (self, *others)
        return Residuals(
            np.concatenate([one.miss for one in every]),
            np.concatenate([one.covariates for one in every]),
            np.concatenate([one.weight for one in every]),
            np.concatenate([one.date for one in every]),
        )


@dataclass(frozen=True)
class Calibration:
    """A law of the scale of an error, and the quantiles of what an estimate misses by under it.

    The error is multiplied by exp(slopes . (x - centre)) and by the miss that 68.27 % of the values do not
    exceed; x are its `covariates`, kept between ``low`` and ``high``, where values were hidden. Plain numbers,
    so that it can be stored as JSON. Without arguments it changes nothing, and its misses are Gaussian.
    """

    slopes: Sequence[float] = (0.0, 0.0, 0.0)
    centre: Sequence[float] = (0.0, 0.0, 0.0)
    low: Sequence[float] = (0.0, 0.0, 0.0)
    high: Sequence[float] = (0.0, 0.0, 0.0)
    factor: float = 1.0  # of the error at the centre
    half_widths: Sequence[float] = tuple(ndtri((1 + np.array(LEVELS) / 100) / 2).tolist())

    def scale_error(self, known: Field, error: Floats) -> NDArray[np.float32]:
        """The standard error (time, lat, lon) of an estimate from what is ``known``, so that it holds."""
        if not np.any(self.slopes):
            return (self.factor * error).astype(np.float32)
        # Date by date: the traits of all take much memory.
        scaled = np.empty(error.shape, np.float32)
        for date, given in enumerate(zip(error, *distance_and_age(known), strict=True)):
            scaled[date] = self.scale(_traits(known, *given)) * error[date]
        return scaled

    def excess(self, found: Residuals) -> float:
        """How much harder some values are than the error says: what 68.27 % of them miss by, once scaled."""
        return float(_quantiles(found.miss / self.scale(found.covariates), found.weight, _ONE_SIGMA)[0])

    def half_width(self, level: int) -> float:
        """Of the central interval that holds ``level`` (1 to 99) percent, in scaled standard errors."""
        return float(self.half_widths[LEVELS.index(level)])

    def half_widths_of(self, levels: Sequence[int]) -> dict[int, float]:
        """Those of several levels."""
        return {level: self.half_width(level) for level in levels}

    def attributes(self) -> dict[str, Any]:
        """What the file says of it."""
        return {"error_factor": self.factor, "error_slopes": list(self.slopes)}

    def scale(self, given: Floats) -> Floats:
        """What the error is multiplied by at traits (..., 3)."""
        low, high, centre, slopes = np.array([self.low, self.high, self.centre, self.slopes], given.dtype)
        return self.factor * np.exp((given.clip(low, high) - centre) @ slopes)


def check_levels(levels: Sequence[int]) -> None:
    """Raise `InputError` for levels of intervals that are not whole percents from 1 to 99."""
    wrong = [level for level in levels if level not in LEVELS]
    if wrong:
        found = ", ".join(map(str, wrong))
        raise InputError(f"intervals of {found} percent; ask for levels of 1 to 99 percent, as 50,90")


def covariates(known: Field, error: Floats) -> NDArray[np.float32]:
    """(time, lat, lon, 3) what the scale of an error may depend on, where it is estimated from the ``known``.

    The logarithms of the error itself, of 1 + the cells to the nearest observation of the date and of 1 + the
    days to the nearest of the pixel.
    """
    return _traits(known, error, *distance_and_age(known))


def _traits(known: Field, error: Floats, distance: Floats, age: Floats) -> NDArray[np.float32]:
    """Those of all dates, or of one, with what `distance_and_age` says of them."""
    cell = np.mean(grid_spacing(known)[1:]) if known.statistics is None else known.statistics.cell
    cells = (distance / cell).clip(max=np.hypot(*known.sea.shape))
    days = age.clip(max=np.ptp(known.days) + 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.stack([np.log(error), np.log1p(cells), np.log1p(days)], axis=-1, dtype=np.float32)


def standardised_residuals(
    known: Field, truth: Floats, mean: Floats, error: Floats, weight: Floats
) -> Residuals:
    """Those of an estimate (time, lat, lon) from the ``known`` where the ``truth`` is finite.

    Raises `ValueError` for a standard error there that is not positive.
    """
    here = np.isfinite(truth)
    wrong = np.count_nonzero(~(error[here] > 0))
    if wrong:
        raise ValueError(f"the standard error is not positive at {wrong} of {here.sum()} values with truth")
    return Residuals(
        np.abs(truth - mean)[here] / error[here],
        covariates(known, error)[here].astype(np.float64),
        weight[here],
        np.nonzero(here)[0],
    )


def calibrate(found: Residuals) -> Calibration:
    """The calibration that hidden values show.

    The law is fitted by weighted likelihood under Student's t, whose tails bear outliers such as unmasked
    cloud. Its slopes are penalised; dates that were left out choose the penalty, the largest that is no worse
    on them than the best by more than a standard error: one factor for all where dates are few or disagree.

    The half-widths are weighted split-conformal (Tibshirani et al. 2019, arXiv:1904.06019): the
    weighted quantiles of the misses, with a value of mean weight at infinity for the one to come.
    """
    low, high = found.covariates.min(axis=0), found.covariates.max(axis=0)
    centre = np.average(found.covariates, axis=0, weights=found.weight)
    slopes = _slopes(found.covariates - centre, found)
    miss = found.miss * np.exp(-(found.covariates - centre) @ slopes)
    *half_widths, one = _quantiles(miss, found.weight, np.append(np.array(LEVELS) / 100, _ONE_SIGMA)).tolist()
    return Calibration(
        slopes.tolist(),
        centre.tolist(),
        low.tolist(),
        high.tolist(),
        factor=one,
        half_widths=[width / one for width in half_widths],
    )


def _slopes(given: Floats, found: Residuals) -> NDArray[np.float64]:
    """(3,) of the law of the centred traits ``given`` (n, 3)."""
    dates = np.unique(found.date)
    if len(dates) < _FEWEST_DATES:
        return np.zeros(given.shape[1])
    use = np.random.default_rng(0).permutation(len(given))[:_MOST_FITTED]
    unit = given[use].std(axis=0)
    unit[unit < _ALIKE] = np.inf
    x = np.column_stack([np.ones(len(use)), given[use] / unit])
    miss, weight = found.miss[use], found.weight[use]
    fold = np.searchsorted(dates, found.date[use]) * _FOLDS // len(dates)
    loss = np.empty((len(_PENALTIES), _FOLDS))
    for left in range(_FOLDS):
        kept, out = fold != left, fold == left
        law = np.zeros(x.shape[1])
        for penalty, line in zip(_PENALTIES, loss, strict=True):
            law = _law(law, x[kept], miss[kept], weight[kept], penalty / len(dates))
            line[left] = _loss(law, x[out], miss[out], weight[out])[0]
    worse = loss - loss[np.argmin(loss.mean(axis=1))]
    enough = worse.mean(axis=1) <= worse.std(axis=1, ddof=1) / np.sqrt(_FOLDS)
    penalty = _PENALTIES[int(np.argmax(enough))] / len(dates)
    return _law(np.zeros(x.shape[1]), x, miss, weight, penalty)[1:] / unit


def _law(start: Floats, x: Floats, miss: Floats, weight: Floats, penalty: float) -> NDArray[np.float64]:
    """(1 + 3,) the level and the slopes of the least penalised loss; no slopes under an infinite penalty."""
    bounds = [(None, None)] + [(0, 0) if np.isinf(penalty) else (None, None)] * (x.shape[1] - 1)
    penalty = 0.0 if np.isinf(penalty) else penalty
    found = minimize(_loss, start, (x, miss, weight, penalty), jac=True, method="L-BFGS-B", bounds=bounds)
    return found.x


def _loss(
    law: Floats, x: Floats, miss: Floats, weight: Floats, penalty: float = 0.0
) -> tuple[float, NDArray[np.float64]]:
    """The mean of -log of the density of Student's t, less a constant, with its gradient."""
    log_scale = x @ law
    square = (miss * np.exp(-log_scale)) ** 2
    share = weight / weight.sum()
    slopes = np.append(0.0, law[1:])
    value = share @ (log_scale + (_TAILS + 1) / 2 * np.log1p(square / _TAILS)) + penalty / 2 * slopes @ slopes
    gradient = (share * (1 - (_TAILS + 1) * square / (_TAILS + square))) @ x + penalty * slopes
    return float(value), gradient


def _quantiles(miss: Floats, weight: Floats, levels: Floats) -> NDArray[np.float64]:
    """(k,) weighted, with one more value of mean weight that exceeds all; the largest where they run out."""
    order = np.argsort(miss)
    below = np.cumsum(weight[order]) / (weight.sum() + weight.mean())
    return miss[order][np.searchsorted(below, levels).clip(max=len(miss) - 1)]
