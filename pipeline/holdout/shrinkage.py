"""How much of a correction of a first guess is delivered: a share between none and all, by class of error.

A correction that is better on average may be too large, and where there are few values to tell, none of it is
safer than all of it. The delivered mean is guess + a (corrected - guess), whose share a is fitted to hidden
values and shrunken towards one that holds for many fields (James & Stein 1961; Copas 1983,
10.1111/j.2517-6161.1983.tb01258.x, for predictions).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import lsq_linear
from scipy.special import ndtr, stdtrit

Floats = NDArray[np.floating]

PRIOR = 0.5  # share of a correction that was learned from the field itself
_PRIORS = {"pretrained": 0.7}  # of other methods
_PRIOR_LEVEL, _PRIOR_CLASS = 0.3, 0.15  # standard deviations of shares: of fields, and of classes in a field
_CLASSES = 4  # of equally many values, by the error of the first guess
_FEWEST_VALUES = 30  # in a class
_APART = 1.1  # factor between the errors of two classes, below which they are one
_LEAST_NOISE = 1e-6  # of the information, so that a perfect correction has a finite weight


@dataclass(frozen=True)
class Shrinkage:
    """The share of a correction at some standard errors of the first guess, interpolated between them.

    Shares are linear in the logarithm of the error, and constant below the least and above the largest. They
    are plain numbers, to be stored as JSON. The default keeps the whole correction.
    """

    errors: Sequence[float] = (1.0,)  # ascending
    shares: Sequence[float] = (1.0,)  # 0 to 1

    def share(self, error: Floats) -> NDArray[np.float32]:
        """Return the share of the correction where the first guess has a standard ``error``; NaN without."""
        inside = np.clip(error, self.errors[0], self.errors[-1])
        return np.interp(np.log(inside), np.log(self.errors), self.shares).astype(np.float32)

    def mix(
        self, guess: tuple[Floats, Floats], corrected: tuple[Floats, Floats]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return the shrunken estimate and its standard error, from those of the guess and the correction.

        The variance is that of a mixture of both: the mean of the two variances, and what the two means
        differ by.
        """
        share = self.share(guess[1])
        change = corrected[0] - guess[0]
        variance = (1 - share) * guess[1] ** 2 + share * corrected[1] ** 2 + share * (1 - share) * change**2
        return (guess[0] + share * change).astype(np.float32), np.sqrt(variance).astype(np.float32)

    def attributes(self) -> dict[str, list[float]]:
        """Attributes for the output file."""
        return {"correction_errors": list(self.errors), "correction_shares": list(self.shares)}


@dataclass(frozen=True)
class Fitted:
    """A share that was fitted to n hidden values, and what it makes of them."""

    shrinkage: Shrinkage
    average: float  # share at the hidden values, weighted
    apart: NDArray[np.float64]  # (n,) share at each value, fitted to the other groups


def find_prior(method: str) -> float:
    """Return the share of the correction of a method that holds for many fields."""
    return _PRIORS.get(method, PRIOR)


def fit_shrinkage(
    guess: Floats,
    error: Floats,
    corrected: Floats,
    truth: Floats,
    weight: Floats,
    groups: Sequence[NDArray[np.integer]],
    *,
    prior: float = PRIOR,
    classes: int = _CLASSES,
) -> Fitted:
    """Fit the share of a correction to hidden values (n,).

    ``error`` is the standard error of the ``guess``, ``corrected`` the corrected values and ``groups`` are
    numbers of values whose errors hang together, in one way or another. The shares minimise the weighted
    squares of what the estimate misses, with a Gaussian prior of mean ``prior``: a ridge, whose strength
    follows from how far the groups agree. Delivered is a standard error less. The first way of grouping
    serves for the shares ``apart``, each fitted without its group; without two groups they are the prior's.
    """
    knots = _choose_knots(error, classes)
    basis = _interpolate(error, knots)
    change, wanted, weight = (part.astype(np.float64) for part in (corrected - guess, truth - guess, weight))
    terms = basis * change[:, None]
    gram, moment = (weight[:, None] * terms)[:, :, None] * terms[:, None], (weight * wanted)[:, None] * terms
    sums = [(_sum(group, gram), _sum(group, moment)) for group in groups]
    each_gram, each_moment = sums[0]
    noise = max(_measure_noise(*one) for one in sums)
    shares = _solve(each_gram.sum(axis=0), each_moment.sum(axis=0), noise, prior)
    number = np.unique(groups[0], return_inverse=True)[1]
    others = np.array(
        [
            _solve(each_gram.sum(axis=0) - own_gram, each_moment.sum(axis=0) - own, noise, prior)
            for own_gram, own in zip(each_gram, each_moment, strict=True)
        ]
    )
    return Fitted(
        Shrinkage(knots.tolist(), shares.tolist()),
        float(np.average(basis @ shares, weights=weight if weight.any() else None)),
        (basis * others[number]).sum(axis=1),
    )


def _choose_knots(error: Floats, classes: int) -> NDArray[np.float64]:
    """Return the middle errors of classes of equally many values; fewer where these are few or alike."""
    number = int(np.clip(len(error) // _FEWEST_VALUES, 1, classes))
    found = np.quantile(error.astype(np.float64), (np.arange(number) + 0.5) / number)
    return found if (found[1:] > _APART * found[:-1]).all() else found[[number // 2]]


def _interpolate(error: Floats, knots: NDArray[np.float64]) -> NDArray[np.float64]:
    """(n, k) weights of each knot in the interpolation to each error."""
    at, logs = np.log(np.clip(error, knots[0], knots[-1])), np.log(knots)
    return np.stack([np.interp(at, logs, unit) for unit in np.eye(len(knots))], axis=1)


def _sum(group: NDArray[np.integer], values: Floats) -> NDArray[np.float64]:
    """(g, ...) sums of values (n, ...) by their group."""
    labels, number = np.unique(group, return_inverse=True)
    made = np.zeros((len(labels), *values.shape[1:]))
    np.add.at(made, number, values)
    return made


def _measure_noise(gram: Floats, moment: Floats) -> float:
    """Return the error variance of the moments over their information; infinite without two groups.

    Within a group errors hang together in any way; groups are independent. Few groups understate the noise:
    a standard error is that of Student's t.
    """
    level, information = moment.sum(), gram.sum()
    used = np.count_nonzero(gram.any(axis=(1, 2)))
    if used < 2:
        return np.inf
    share = np.clip(level / information, 0, 1)
    off = (moment - share * gram.sum(axis=2)).sum(axis=1)
    few = stdtrit(used - 1, ndtr(1.0)) ** 2
    return float(max(few * used / (used - 1) * (off**2).sum() / information, _LEAST_NOISE * information))


def _solve(gram: Floats, moment: Floats, noise: float, prior: float) -> NDArray[np.float64]:
    """Return the shares (k,) between 0 and 1 that minimise the squares and the prior's penalty.

    They are less by a standard error each: too large a share makes worse what too small a one leaves as good
    as the first guess.
    """
    classes = len(moment)
    covariance = _PRIOR_LEVEL**2 + _PRIOR_CLASS**2 * np.eye(classes)
    if not np.isfinite(noise):
        return np.clip(prior - np.sqrt(np.diag(covariance)), 0, 1)
    penalty = noise * np.linalg.inv(covariance)
    root = np.linalg.cholesky(gram + penalty)
    wanted = np.linalg.solve(root, moment + penalty @ np.full(classes, prior))
    found = lsq_linear(root.T, wanted, (0, 1), method="bvls").x
    return np.clip(found - np.sqrt(noise * np.diag(np.linalg.inv(gram + penalty))), 0, 1)
