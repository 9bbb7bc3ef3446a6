"""Statistics of match-ups with independent points, with bootstrap intervals over platforms."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .score_classes import ALL, LEVELS, Places, classify
from .scores import reliability, spread_skill

STATISTICS = ("bias", "rmse", "sd", "robust_sd", "correlation")
_RESAMPLES = 1000
_QUARTILES_OF_NORMAL = 1.3490  # distance between the quartiles of a normal variable, in standard deviations
_RUN = 10  # days, of the parts of a single platform's series that are resampled
_BINS, _FEWEST_IN_BIN = 10, 30

Floats = NDArray[np.float64]
Row = dict[str, float | int | str | None]


@dataclass(frozen=True)
class Differences:
    """n estimates of a field at points."""

    estimate: Floats  # (n,)
    error: Floats  # (n,) standard error of the difference from the point; NaN where it is unknown
    observed: Floats  # (n,) values of the points
    platform: NDArray[np.int64]  # (n,)
    time: NDArray[np.datetime64]  # (n,)

    def at(self, which: NDArray[np.bool_]) -> Differences:
        """Return some of them."""
        return Differences(*(getattr(self, name)[which] for name in self.__dataclass_fields__))

    @property
    def groups(self) -> NDArray[np.int64]:
        """(n,) number of the platform; of a single platform, of the run of ten days."""
        numbers = self.platform
        if len(np.unique(numbers)) < 2:
            numbers = (self.time.astype("datetime64[D]").astype(np.int64)) // _RUN
        return np.unique(numbers, return_inverse=True)[1].astype(np.int64)


def score_points(differences: Differences, places: Places | None) -> list[Row]:
    """Score match-ups, all together and by class.

    Parameters
    ----------
    differences
        Estimates, their standard errors, and the values of the points.
    places
        Where and when they are, and how far from observed values; None scores all together only.

    Returns
    -------
    list of dict
        A row for each class, with ``by``, ``name``, ``n``, ``platforms``, each of `STATISTICS` with the
        bounds of its 95% interval (``bias_low``, ``bias_high``), and with standard errors
        ``coverage_1sigma``, ``coverage_2sigma`` and ``spread_skill``. The sd and the robust sd (distance
        between the quartiles over 1.349) are those of the differences. What cannot be computed is None. All
        values come first; a kind with one class only is left out.
    """
    found = [_score(ALL, ALL, differences)]
    for kind, (names, number) in ({} if places is None else classify(places)).items():
        present = np.unique(number)
        if len(present) < 2:
            continue
        found += [_score(kind, names[one], differences.at(number == one)) for one in present]
    return found


def _score(by: str, name: str, part: Differences) -> Row:
    row: Row = {"by": by, "name": name, "n": len(part.estimate)}
    row["platforms"] = len(np.unique(part.platform))
    values, draws = _summarise(part)
    for key in STATISTICS:
        row[key] = _keep_finite(values[key])
        spread = draws.get(key, np.zeros(0))
        spread = spread[np.isfinite(spread)]
        bounds = np.quantile(spread, [0.025, 0.975]) if spread.size else (np.nan, np.nan)
        row[f"{key}_low"], row[f"{key}_high"] = (_keep_finite(bound) for bound in bounds)
    known = np.isfinite(part.error) & (part.error > 0)
    if known.any():
        off = np.abs(part.estimate - part.observed)[known] / part.error[known]
        row |= {f"coverage_{k}sigma": float(np.mean(off <= k)) for k in (1, 2)}
        parts = part.estimate[known], part.error[known], part.observed[known]
        row["spread_skill"] = _keep_finite(spread_skill(*parts)) if off.any() else None
    return row


def _summarise(part: Differences) -> tuple[dict[str, Any], dict[str, Floats]]:
    """Return the statistics, and those of resampled groups (r,); of one group there are none."""
    off = part.estimate - part.observed
    groups, number = np.unique(part.groups, return_inverse=True)
    # Sums of anomalies keep more digits.
    x, y = part.estimate - part.observed.mean(), part.observed - part.observed.mean()
    terms = np.ones_like(off), off, off**2, x, y, x * x, y * y, x * y
    sums = np.column_stack([np.bincount(number, term) for term in terms])
    values: dict[str, Any] = _compute_moments(sums.sum(axis=0)) | {"robust_sd": _robust_sd(off)}
    if len(groups) < 2:
        return values, {}
    rng = np.random.default_rng(0)
    drawn = rng.multinomial(len(groups), np.full(len(groups), 1 / len(groups)), _RESAMPLES)
    order = np.argsort(off)
    robust = [_weighted_robust_sd(off[order], times[number[order]]) for times in drawn]
    return values, _compute_moments(np.transpose(drawn.astype(np.float64) @ sums)) | {
        "robust_sd": np.array(robust)
    }


def _compute_moments(sums: Floats) -> dict[str, Floats]:
    n, off, square, x, y, xx, yy, xy = sums
    with np.errstate(divide="ignore", invalid="ignore"):  # of one value, or of equal ones
        bias = off / n
        product = (xx - x * x / n).clip(min=0) * (yy - y * y / n).clip(min=0)
        few = 1e-12 * np.maximum(xx * yy, np.finfo(float).tiny)
        correlation = np.where(product > few, (xy - x * y / n) / np.sqrt(product), np.nan)
    return {
        "bias": bias,
        "rmse": np.sqrt(square / n),
        "sd": np.sqrt((square / n - bias**2).clip(min=0)),
        "correlation": correlation.clip(-1, 1),
    }


def _robust_sd(off: Floats) -> float:
    low, high = np.quantile(off, [0.25, 0.75])
    return float((high - low) / _QUARTILES_OF_NORMAL)


def _weighted_robust_sd(ordered: Floats, times: NDArray[np.int64]) -> float:
    """Return the robust sd of differences, in rising order, each of which counts so many times."""
    counted = np.cumsum(times)
    # The positions of the quartiles as `numpy.quantile` has them, of the repeated values.
    place = (counted[-1] - 1) * np.array([0.25, 0.75])
    low, high = (
        ordered[np.searchsorted(counted, np.floor(place) + step, side="right").clip(max=len(ordered) - 1)]
        for step in (0, 1)
    )
    quartiles = low + (place - np.floor(place)) * (high - low)
    return float((quartiles[1] - quartiles[0]) / _QUARTILES_OF_NORMAL)


def _keep_finite(value: float | np.floating) -> float | None:
    return float(value) if np.isfinite(value) else None


def bin_spread(differences: Differences) -> list[Row]:
    """Compare the expected and the found differences in classes of the standard error.

    Returns
    -------
    list of dict
        For up to ten classes with about equally many match-ups: ``n``, the ``error_low`` and ``error_high``
        that bound it, and the root mean square of the standard errors (``expected``) and of the differences
        (``found``), which are equal for an honest error.
    """
    known = np.isfinite(differences.error) & (differences.error > 0)
    part = differences.at(known)
    number = int(np.clip(len(part.error) // _FEWEST_IN_BIN, 1, _BINS))
    if not len(part.error):
        return []
    edges = np.quantile(part.error, np.linspace(0, 1, number + 1)[1:-1])
    edges = np.unique([float(f"{edge:.3g}") for edge in edges])  # errors of packed files are alike
    numbers, off, rows = np.digitize(part.error, edges), part.estimate - part.observed, []
    for one in np.unique(numbers):
        error, found = part.error[numbers == one], off[numbers == one]
        row: Row = {"n": error.size, "error_low": float(error.min()), "error_high": float(error.max())}
        row |= {"expected": float(np.sqrt(np.mean(error**2))), "found": float(np.sqrt(np.mean(found**2)))}
        rows.append(row)
    return rows


def count_reliability(differences: Differences) -> tuple[float, ...]:
    """Return the share of match-ups inside each central interval of `LEVELS`; empty without an error."""
    part = differences.at(np.isfinite(differences.error) & (differences.error > 0))
    if not len(part.error):
        return ()
    levels = np.array(LEVELS) / 100
    return tuple(reliability(part.estimate, part.error, part.observed, levels).tolist())


def collocate(sources: Sequence[Floats], names: Sequence[str], groups: NDArray[np.int64]) -> list[Row]:
    """Estimate the random error of three sources of the same quantity, without a truth.

    With covariances C, the error variance of the first is C11 - C12 C13 / C23, and its correlation with the
    truth is the root of C12 C13 / (C11 C23) (Stoffelen 1998, 10.1029/97JC03180; McColl et al. 2014,
    10.1002/2014GL061322). The errors of the three must be independent of each other and of the truth.

    Parameters
    ----------
    sources
        Three series (n,).
    names
        Their names.
    groups
        (n,) numbers of the platforms, over which the intervals are bootstrapped.

    Returns
    -------
    list of dict
        For each source its ``source``, ``n``, ``error_sd`` with ``error_sd_low`` and ``error_sd_high`` (95%
        interval), and ``correlation`` with the truth. None where the variance comes out negative, because the
        errors are not independent or the series are too short.
    """
    centred = [series - series.mean() for series in sources]
    labels, number = np.unique(groups, return_inverse=True)
    pairs = [(i, j) for i in range(3) for j in range(i, 3)]
    terms = [np.ones(len(centred[0])), *centred, *(centred[i] * centred[j] for i, j in pairs)]
    sums = np.column_stack([np.bincount(number, term) for term in terms])
    drawn = np.random.default_rng(0).multinomial(
        len(labels), np.full(len(labels), 1 / len(labels)), _RESAMPLES
    )
    values, draws = (
        _collocate_sums(sums.sum(axis=0)),
        _collocate_sums(np.transpose(drawn.astype(np.float64) @ sums)),
    )
    rows: list[Row] = []
    for k, name in enumerate(names):
        variance, correlation = (float(part[k]) for part in values)
        spread = draws[0][k][np.isfinite(draws[0][k])]
        row: Row = {"source": name, "n": len(centred[0])}
        row["error_sd"] = _keep_finite(_root(variance))
        known = len(labels) > 1 and spread.size
        bounds = np.sqrt(np.quantile(spread, [0.025, 0.975]).clip(min=0)) if known else (np.nan, np.nan)
        row["error_sd_low"], row["error_sd_high"] = (_keep_finite(bound) for bound in bounds)
        row["correlation"] = _keep_finite(_root(correlation))
        rows.append(row)
    return rows


def _root(value: float) -> float:
    return float(np.sqrt(value)) if value >= 0 else np.nan


def _collocate_sums(sums: Floats) -> tuple[list[Floats], list[Floats]]:
    """Return the error variances and the squared correlations with the truth of the three sources."""
    means, products = sums[1:4] / sums[0], sums[4:] / sums[0]
    pairs = {(i, j): k for k, (i, j) in enumerate((i, j) for i in range(3) for j in range(i, 3))}

    def covariance(i: int, j: int) -> Floats:
        return np.asarray(products[pairs[min(i, j), max(i, j)]] - means[i] * means[j])

    errors, correlations = [], []
    with np.errstate(divide="ignore", invalid="ignore"):
        for one, two, three in ((0, 1, 2), (1, 0, 2), (2, 0, 1)):
            shared = covariance(one, two) * covariance(one, three) / covariance(two, three)
            errors.append(covariance(one, one) - shared)
            correlations.append(np.minimum(shared / covariance(one, one), 1))
    return errors, correlations
