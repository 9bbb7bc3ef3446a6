"""Which candidate is delivered, how its error is scaled, and how good it is on held-out values."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from ..classical.season import remove_season
from ..holdout.calibration import Calibration, calibrate
from ..holdout.score_sums import ScoreSums
from ..holdout.scores import rmse
from ..io.field import Field
from ..training.heldout import HeldOut, Pairs
from .methods import Candidate, Candidates

_log = logging.getLogger(__name__)

Floats = NDArray[np.floating]


class Named(Protocol):
    """A candidate of any kind."""

    @property
    def name(self) -> str: ...


Kind = TypeVar("Kind", bound=Named)

_ONE_STANDARD_ERROR = 0.6827  # level of the interval of a difference


@dataclass(frozen=True)
class ErrorScale:
    """How the standard error of a candidate is scaled, cell by cell.

    It is at most the ``limit``, because a law fitted to hidden values says nothing of gaps unlike them. The
    error of a network is no less than that of its first guess where a pixel is never observed: the first
    guess is calibrated on more pixels that are hidden on all dates.
    """

    calibration: Calibration = Calibration()
    floor: Calibration | None = None  # of the first guess
    limit: float = np.inf  # error of an estimate that is no better than an observation far away
    noise: float = 0.0  # mean error variance of the values that the scaled error was measured on

    def apply(self, known: Field, error: Floats, guess_error: Floats | None) -> NDArray[np.float32]:
        """Return the scaled standard error (time, lat, lon) of an estimate from the ``known`` values.

        ``guess_error`` is that of the first guess, before it is scaled.
        """
        scaled = self.calibration.scale_error(known, error).clip(max=np.float32(self.limit))
        unseen = known.never_observed
        if self.floor is None or guess_error is None or not unseen.any():
            return scaled
        least = self.floor.scale_error(known, guess_error)
        return np.where(unseen, np.maximum(scaled, least.clip(max=np.float32(self.limit))), scaled)

    def of_estimate(self, known: Field, candidate: Candidate) -> NDArray[np.float32]:
        """Return the scaled standard error of a candidate's estimate."""
        guess = candidate.corrects
        return self.apply(known, candidate.estimate[1], None if guess is None else guess.estimate[1])

    def of_trial(self, known: Field, candidate: Candidate) -> NDArray[np.float32]:
        """Return the scaled standard error of a candidate's trial."""
        assert candidate.trial is not None
        guess = candidate.corrects
        at = None if guess is None or guess.trial is None else guess.trial[1]
        return self.apply(known, candidate.trial[1], at)


@dataclass(frozen=True)
class Evaluation(Generic[Kind]):
    """The candidate to deliver, the scores of all, and the scale of its error."""

    delivered: Kind
    rows: list[dict[str, Any]]  # one for each candidate, the simplest first; none without a hold-out
    scale: ErrorScale

    @property
    def score(self) -> dict[str, Any]:
        """The row of what is delivered; empty without a hold-out."""
        return next((row for row in self.rows if row["method"] == self.delivered.name), {})

    def attributes(self) -> dict[str, Any]:
        """Return what the output's attributes hold of it."""
        found = {"delivered": self.delivered.name} | self.scale.calibration.attributes()
        found |= {"error_limit": self.scale.limit} if np.isfinite(self.scale.limit) else {}
        return found | {f"held_out_{key}": value for key, value in self.score.items() if key != "method"}


def evaluate_candidates(data: HeldOut, candidates: Candidates) -> Evaluation[Candidate]:
    """Select the candidate to deliver, score all, and calibrate its error.

    The validation set decides which candidate it is (`select_candidate`) and how its error is scaled; the
    scores are those of the test set. The delivered error is scaled by both sets together.
    """
    products = list(candidates.values())
    trials = [product.trial for product in products if product.trial is not None]
    if len(trials) < len(products):
        return Evaluation(products[-1], [], ErrorScale(limit=limit_error(data.field)))
    known = data.field.hide(data.held_out)
    rows = []
    for product, (mean, _) in zip(products, trials, strict=True):
        error = fit_error_scale(data, product, "validation").of_trial(known, product)
        rows.append({"method": product.name} | score_pairs(data.pairs("test", mean, error)))
    best = select_candidate(rows, [data.pairs("validation", *trial) for trial in trials])
    return Evaluation(products[best], rows, fit_error_scale(data, products[best], "held_out"))


def select_candidate(rows: list[dict[str, Any]], found: Sequence[Pairs]) -> int:
    """Return the index of the candidate to deliver; the ``rows``, the simplest first, are given the reason.

    It is the simplest one that is not worse than the one with the least RMSE by more than a standard error of
    the difference (Breiman et al. 1984, Classification and Regression Trees), from a bootstrap over groups
    of values with related errors. A network has chosen its epoch on the same values, which flatters it; and
    where there are too few values to decide, the simpler candidate is the safer one.
    """
    errors = [rmse(one.mean, one.truth, one.weight) for one in found]
    least = int(np.argmin(errors))
    best = next(number for number, one in enumerate(found) if _excess_rmse(one, found[least]) <= 0)
    if len(rows) > 1:
        names = [row["method"] for row in rows]
        why = "least RMSE" if best == least else f"within one standard error of {names[least]}"
        for number, row in enumerate(rows):
            row["choice"] = why if number == best else ""
        guess_wins = len(rows) == 2 and best == 0
        _log.log(
            logging.WARNING if guess_wins else logging.INFO,
            "%s is delivered: %s on the validation values (RMSE %s)",
            names[best],
            why,
            ", ".join(f"{names[i]} {errors[i]:.4g}" for i in np.argsort(errors)),
        )
    return best


def _excess_rmse(one: Pairs, other: Pairs) -> float:
    """Return the excess of an RMSE less a standard error, the largest over the kinds of groups."""
    lows = []
    for group in one.groups:
        ours, theirs = (
            ScoreSums.from_estimate(pairs.mean, None, pairs.truth, pairs.weight, group)
            for pairs in (one, other)
        )
        lows.append(ours.rmse_interval(theirs, _ONE_STANDARD_ERROR)[0])
    return min(lows)


def fit_error_scale(data: HeldOut, candidate: Candidate, part: str) -> ErrorScale:
    """Return the scale of a candidate's error from a part of the hold-out, "validation" or all "held_out".

    Further cloud masks hide more dates from a first guess. A network was trained on the values under them; so
    the first guess shows how much harder than usual the part is, and the network's factor is corrected for
    that.
    """
    own = _calibrate(data, candidate, part)
    noise = float(data.field.error_variance[getattr(data, part)].mean())
    guess, limit = candidate.corrects, limit_error(data.field.hide(data.held_out))
    if guess is None or guess.trial is None:
        return ErrorScale(own, limit=limit, noise=noise)
    floor = _calibrate(data, guess, part)
    excess = floor.excess(data.residuals(part, *guess.trial))
    return ErrorScale(replace(own, factor=own.factor / excess), floor, limit, noise)


def limit_error(field: Field) -> float:
    """Return the largest standard error that makes sense: that between two values far from each other."""
    return float(np.sqrt(2) * np.nanstd(remove_season(field)[0].values, dtype=np.float64))


def _calibrate(data: HeldOut, candidate: Candidate, part: str) -> Calibration:
    assert candidate.trial is not None
    return calibrate(data.residuals(part, *candidate.trial).append(candidate.further_residuals))


def score_pairs(pairs: Pairs) -> dict[str, float]:
    """Return the figures of a row of the score."""
    sums = ScoreSums.from_estimate(pairs.mean, pairs.error, pairs.truth, pairs.weight, pairs.groups[0])
    return sums.to_dict()
