"""Sums of errors by group, from which scores follow.

Sums of parts (blocks, folds, flags) add up to those of the whole, scores do not. The pattern is that of the
statistics of weatherbenchX (github.com/google-research/weatherbenchX).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, stdtrit

Floats = NDArray[np.floating]

_COLUMNS = (
    "n",
    "weight",
    "error",
    "square",
    "absolute",
    "n_with_error",
    "weight_with_error",
    "crps",
    "within_1",
    "within_2",
)
_RESAMPLES = 2000


@dataclass(frozen=True, eq=False)
class ScoreSums:
    """Weighted sums of the errors of an estimate by group, such as the date.

    Sums of values without a standard error may be added to those of others; `crps` and `coverage` then refer
    to the values with one. Scores of no values raise `ValueError`.
    """

    group: NDArray[np.integer]  # (g,) labels, ascending
    totals: NDArray[np.float64]  # (g, 10) sums, in the order of `_COLUMNS`

    @classmethod
    def empty(cls) -> ScoreSums:
        """Return the zero element of addition."""
        return cls(np.zeros(0, np.int64), np.zeros((0, len(_COLUMNS))))

    @classmethod
    def from_estimate(
        cls,
        mean: Floats,
        error: Floats | None,
        truth: Floats,
        weight: Floats | float,
        group: NDArray[np.integer],
    ) -> ScoreSums:
        """Sum the errors of an estimate (n,) and its standard error, if it has one, by ``group`` (n,).

        Raises `ValueError` for arrays of different sizes, for values that are not finite, and for a negative
        standard error or weight.
        """
        values = [np.asarray(part, np.float64) for part in (mean, truth, weight)]
        if values[2].ndim == 0:
            values[2] = np.broadcast_to(values[2], values[0].shape)
        if error is not None:
            values.append(np.asarray(error, np.float64))
        if any(part.shape != (np.size(group),) for part in values):
            shapes = ", ".join(str(part.shape) for part in (*values, np.asarray(group)))
            raise ValueError(f"estimate, truth, weight and group differ in shape: {shapes}")
        check_values(values[0], "estimate")
        check_values(values[1], "truth")
        for part, name in zip(values[2:], ("weight", "standard error"), strict=False):
            check_values(part, name, negative=False)
        order = np.argsort(group, kind="stable")
        labels, starts = np.unique(np.asarray(group)[order], return_index=True)
        terms = _compute_terms(*(part[order] for part in values))
        columns = [[part.sum() for part in np.split(term, starts)[1:]] for term in terms]
        return cls(labels, np.array(columns, np.float64).T.reshape(len(labels), len(_COLUMNS)))

    def __add__(self, other: ScoreSums) -> ScoreSums:
        labels, at = np.unique(np.concatenate([self.group, other.group]), return_inverse=True)
        totals = np.zeros((len(labels), len(_COLUMNS)))
        np.add.at(totals, at, np.concatenate([self.totals, other.totals]))
        return ScoreSums(labels, totals)

    def select(self, groups: Iterable[int] | NDArray[np.integer]) -> ScoreSums:
        """Return the sums of some groups."""
        kept = np.isin(self.group, np.fromiter(groups, np.int64))
        return ScoreSums(self.group[kept], self.totals[kept])

    def by_group(self, column: str) -> NDArray[np.float64]:
        """(g,) sums of one column."""
        return self.totals[:, _COLUMNS.index(column)]

    @property
    def n(self) -> int:
        """Number of values."""
        return int(self.by_group("n").sum())

    @property
    def n_with_error(self) -> int:
        """Number of values with a standard error."""
        return int(self.by_group("n_with_error").sum())

    @property
    def rmse(self) -> float:
        """Root mean square error, in the units of the values."""
        return float(np.sqrt(self._average("square")))

    @property
    def bias(self) -> float:
        """Mean of estimate - truth."""
        return self._average("error")

    @property
    def mae(self) -> float:
        """Mean absolute error."""
        return self._average("absolute")

    @property
    def crps(self) -> float:
        """Mean continuous ranked probability score of N(estimate, error^2), in the units of the values.

        In the negative orientation: less is better.
        """
        return self._average("crps", "weight_with_error")

    def coverage(self, sigmas: int) -> float:
        """Share of the truth (0 to 1) within 1 or 2 standard errors of the estimate."""
        if sigmas not in (1, 2):
            raise ValueError(f"coverage is counted within 1 and 2 standard errors, not within {sigmas}")
        return self._average(f"within_{sigmas}", "weight_with_error")

    def rmse_interval(self, other: ScoreSums | None = None, level: float = 0.95) -> tuple[float, float]:
        """Bootstrap interval over groups of the RMSE, or of its difference from the RMSE of ``other``.

        Raises `ValueError` unless ``other`` refers to the same values.
        """
        if other is None:
            return rmse_interval(self.by_group("square"), self.by_group("weight"), None, level)
        pairs = [
            (self.group, other.group),
            *((self.by_group(name), other.by_group(name)) for name in ("n", "weight")),
        ]
        if any(a.shape != b.shape or not np.allclose(a, b, rtol=1e-9, atol=0) for a, b in pairs):
            raise ValueError("the two estimates do not refer to the same values")
        return rmse_interval(
            self.by_group("square"), self.by_group("weight"), other.by_group("square"), level
        )

    def to_dict(self) -> dict[str, float]:
        """n, rmse, bias and mae; with standard errors crps, coverage_1sigma and coverage_2sigma as well."""
        scores: dict[str, float] = {"n": self.n, "rmse": self.rmse, "bias": self.bias, "mae": self.mae}
        if self.n_with_error:
            scores |= {
                "crps": self.crps,
                "coverage_1sigma": self.coverage(1),
                "coverage_2sigma": self.coverage(2),
            }
        return scores

    def _average(self, column: str, weight: str = "weight") -> float:
        total = self.by_group(weight).sum()
        if not total > 0:
            raise ValueError("there is no value with a weight to score")
        return float(self.by_group(column).sum() / total)


def _compute_terms(
    mean: Floats, truth: Floats, weight: Floats, error: Floats | None = None
) -> Iterator[Floats]:
    """Yield (n,) what each value contributes to each of `_COLUMNS`."""
    difference, one = mean - truth, np.ones(mean.shape)
    yield one
    yield weight
    yield weight * difference
    yield weight * difference**2
    yield weight * np.abs(difference)
    if error is None:
        yield from [np.zeros(mean.shape)] * 5
        return
    yield one
    yield weight
    yield weight * _compute_crps(difference, error)
    yield weight * (np.abs(difference) <= error)
    yield weight * (np.abs(difference) <= 2 * error)


def _compute_crps(difference: Floats, error: Floats) -> Floats:
    """Continuous ranked probability score of N(0, error^2) at a difference (n,).

    sigma (z (2 Phi(z) - 1) + 2 phi(z) - 1/sqrt(pi)) with z = difference / sigma, and |difference| where sigma
    is zero (Gneiting & Raftery 2007, J. Amer. Statist. Assoc. 102, 359, equation 21).
    """
    z = np.divide(difference, error, out=np.zeros_like(error), where=error > 0)
    density = np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi)
    score = error * (z * (2 * ndtr(z) - 1) + 2 * density - 1 / np.sqrt(np.pi))
    return np.where(error > 0, score, np.abs(difference))


def rmse_interval(
    squares: Floats, weight: Floats, other: Floats | None = None, level: float = 0.95
) -> tuple[float, float]:
    """Central bootstrap interval of the RMSE, or of its difference from that of ``other``.

    Groups (g,) of dependent errors, such as dates, are resampled; ``squares``, ``weight`` and ``other`` are
    their sums of weighted squares and of weights. Infinite for fewer than two groups with a weight. With few
    groups resampling makes intervals too narrow, so the level is raised by Student's t ("expanded percentile
    interval", Hesterberg 2015, 10.1080/00031305.2015.1089789).
    """
    from scipy.stats import bootstrap  # takes half a second to import; most commands do not need it

    kept = weight > 0
    number = np.count_nonzero(kept)
    if number < 2:
        return -np.inf, np.inf
    expanded = np.sqrt(number / (number - 1)) * stdtrit(number - 1, (1 + level) / 2)

    def statistic(*drawn: Floats, axis: int = -1) -> Floats:
        total = drawn[-1].sum(axis)
        roots = [np.sqrt(part.sum(axis) / total) for part in drawn[:-1]]
        return roots[0] if len(roots) == 1 else roots[0] - roots[1]

    found = bootstrap(
        [part[kept] for part in (squares, other, weight) if part is not None],
        statistic,
        paired=True,
        vectorized=True,
        n_resamples=_RESAMPLES,
        confidence_level=2 * ndtr(expanded) - 1,
        method="percentile",
        rng=np.random.default_rng(0),
        batch=200,
    ).confidence_interval
    return float(found.low), float(found.high)


def check_values(values: Floats, name: str, negative: bool = True) -> None:
    """Raise `ValueError` for values (n,) that are not finite, or negative where that is not allowed."""
    good = np.isfinite(values)
    if not negative:
        good &= values >= 0
    wrong = np.count_nonzero(~good)
    if wrong:
        fault = "not finite" if negative else "missing or negative"
        raise ValueError(f"the {name} is {fault} at {wrong} of {values.size} values with truth")
