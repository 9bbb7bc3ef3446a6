"""Which candidate is delivered, how its error is scaled, and how good it is on held-out values."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from ..classical.season import remove_season
from ..holdout.calibration import Calibration, calibrate
from ..holdout.score_classes import LEVELS, ScoreClasses, count_inside, score_classes
from ..holdout.score_sums import ScoreSums
from ..holdout.scores import rmse
from ..holdout.shrinkage import Fitted, Shrinkage, find_prior, fit_shrinkage
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
    """The candidate to deliver, the scores of all, the scale of its error, and the share of a correction."""

    delivered: Kind  # shrunken, where it corrects a first guess
    rows: list[dict[str, Any]]  # one for each candidate, the simplest first; none without a hold-out
    scale: ErrorScale
    shrinkage: Shrinkage | None = None  # of the delivered correction
    share: float | None = None  # of a correction at the hidden values; 0 where its first guess is delivered
    classes: ScoreClasses | None = None  # of what is delivered, on the test set
    curve: Sequence[Mapping[str, float]] = ()  # what a network logged in each epoch of its training

    @property
    def score(self) -> dict[str, Any]:
        """The row of what is delivered; empty without a hold-out."""
        return next((row for row in self.rows if row["method"] == self.delivered.name), {})

    def attributes(self) -> dict[str, Any]:
        """Return what the output's attributes hold of it."""
        found = {"delivered": self.delivered.name} | self.scale.calibration.attributes()
        found |= {"error_limit": self.scale.limit} if np.isfinite(self.scale.limit) else {}
        found |= {} if self.share is None else {"correction_share": self.share}
        found |= {} if self.shrinkage is None else self.shrinkage.attributes()
        found |= {f"held_out_{key}": value for key, value in self.score.items() if key != "method"}
        found |= {} if self.classes is None else {"score_classes": self.classes.to_json()}
        found |= {"candidate_scores": json.dumps(self.rows)} if len(self.rows) > 1 else {}
        return found | ({"learning_curve": json.dumps(self.curve)} if self.curve else {})


def evaluate_candidates(data: HeldOut, candidates: Candidates) -> Evaluation[Candidate]:
    """Select the candidate to deliver, score all, and calibrate its error.

    A correction of a first guess is shrunken (`shrink_candidate`). The validation set decides by how much,
    which candidate it is (`select_candidate`) and how its error is scaled; the scores are those of the test
    set. Share and error of what is delivered are then fitted to both sets together. Without a hold-out the
    last candidate is delivered as it is.
    """
    products = list(candidates.values())
    curve = next((product.curve for product in products if product.curve), ())
    if any(product.trial is None for product in products):
        return Evaluation(products[-1], [], ErrorScale(limit=limit_error(data.field)), curve=curve)
    judged = [_judge(data, product) for product in products]
    rows = [one.row for one in judged]
    best = select_candidate(rows, [one.validation for one in judged])
    delivered, fitted = shrink_candidate(data, products[best], "held_out")
    scale = fit_error_scale(data, delivered, "held_out")
    classes = _score_classes(data, judged[best])
    if fitted is None:
        share = 0.0 if any(one.corrects is products[best] for one in products) else None
        return Evaluation(delivered, rows, scale, None, share, classes, curve)
    log_share(delivered.name, fitted)
    return Evaluation(delivered, rows, scale, fitted.shrinkage, fitted.average, classes, curve)


def choose_product(data: HeldOut, candidates: Sequence[Candidate]) -> Candidate:
    """Return the candidate that would be delivered, from the validation set alone."""
    judged = [_judge(data, one) for one in candidates]
    return judged[select_candidate([], [one.validation for one in judged])].product


class _Judged(NamedTuple):
    """A candidate that is fitted to the validation set."""

    product: Candidate  # shrunken
    validation: Pairs  # each group shrunken by what the others say
    row: dict[str, Any]  # on the test set
    test: Pairs
    residual: Floats  # (n,) of the test set, in standard errors, where the values are filled
    calibration: Calibration  # from the validation set


def _judge(data: HeldOut, candidate: Candidate) -> _Judged:
    product, fitted = shrink_candidate(data, candidate, "validation")
    assert product.trial is not None
    scale = fit_error_scale(data, product, "validation")
    mean, error = product.trial[0], scale.of_trial(data.field.hide(data.held_out), product)
    validation, test = (data.pairs(part, mean, error) for part in ("validation", "test"))
    row: dict[str, Any] = {"method": candidate.name, "space": name_space(data.field)}
    row |= {"units": name_units(data.field)}
    asked = _to_asked_space(data, "test", test, scale.noise)
    row |= score_pairs(asked)
    # Errors are scaled where the values are filled; a monotone transform leaves the coverage as it is.
    row |= {key: value for key, value in score_pairs(test).items() if key.startswith("coverage")}
    if fitted is not None:
        guess = candidate.corrects
        assert candidate.trial is not None  # as it was shrunken
        assert guess is not None  # likewise
        assert guess.trial is not None  # likewise
        before, after = (data.pairs("validation", *one).mean for one in (guess.trial, candidate.trial))
        validation = validation._replace(mean=before + fitted.apart * (after - before))
        row |= {"share": fitted.average}
    validation = _to_asked_space(data, "validation", validation, scale.noise)
    # An error of zero has no residual; intervals are then not counted.
    off, unknown = test.truth - test.mean, np.full(test.error.shape, np.nan)
    residual = np.divide(off, test.error, out=unknown, where=test.error > 0)
    return _Judged(product, validation, row, asked, residual, scale.calibration)


def _score_classes(data: HeldOut, judged: _Judged) -> ScoreClasses:
    """Score the delivered candidate by class on the test set."""
    test, places = judged.test, data.places("test")
    scores = score_classes(test.mean, test.error, test.truth, test.weight, test.groups[0], places)
    widths = [judged.calibration.half_width(level) for level in LEVELS]
    known = np.isfinite(judged.residual).all()
    return ScoreClasses(scores, count_inside(judged.residual, widths, test.weight) if known else ())


def _to_asked_space(data: HeldOut, part: str, pairs: Pairs, noise: float) -> Pairs:
    """Return estimates of a part of the hold-out in the space in which they are judged."""
    if data.field.drift is None:
        return to_asked_space(data.field, pairs, noise)
    everywhere = np.broadcast_to(data.field.drift, data.field.values.shape)
    return to_asked_space(data.field, pairs, noise, data.pairs(part, everywhere, everywhere).mean)


def to_asked_space(field: Field, pairs: Pairs, noise: float, drift: Floats | float = 0.0) -> Pairs:
    """Return estimates of values of a field in the space in which they are asked for and judged.

    They are those that are delivered (`output.to_dataset`), without the ``noise``, a variance, of the
    observations. The ``drift`` (n,) or number was taken off the values.
    """
    if field.transform in ("none", field.asked_transform):
        return pairs
    own = np.sqrt(np.maximum(pairs.error.astype(np.float64) ** 2 - noise, 0))
    mean, _ = field.space.find_moments(pairs.mean + drift, own)
    _, error = field.space.find_moments(pairs.mean + drift, pairs.error)
    return pairs._replace(mean=mean, error=error, truth=field.space.backward(pairs.truth + drift))


def name_space(field: Field) -> str:
    """Return the space in which estimates of a field are judged, in words."""
    return "natural logarithms" if field.transform == field.asked_transform == "log" else "values"


def name_units(field: Field) -> str:
    """Return the units in which estimates of a field are judged."""
    units, space = str(field.source.attrs.get("units", "")), name_space(field)
    return units if space == "values" else f"{space} of {units}".removesuffix(" of ")


def shrink_candidate(data: HeldOut, candidate: Candidate, part: str) -> tuple[Candidate, Fitted | None]:
    """Return a candidate with the share of its correction that a part of the hold-out bears.

    One that corrects nothing is returned as it is.
    """
    guess = candidate.corrects
    if guess is None or guess.trial is None or candidate.trial is None:
        return candidate, None
    before, after = (data.pairs(part, *one) for one in (guess.trial, candidate.trial))
    fitted = fit_shrinkage(
        before.mean,
        before.error,
        after.mean,
        after.truth,
        after.weight,
        after.groups,
        prior=find_prior(candidate.method or candidate.name),
    )
    return apply_shrinkage(candidate, fitted.shrinkage), fitted


def apply_shrinkage(candidate: Candidate, shrinkage: Shrinkage) -> Candidate:
    """Return a candidate with a share of its correction."""
    guess = candidate.corrects
    assert guess is not None
    trial = candidate.trial
    if trial is not None and guess.trial is not None:
        trial = shrinkage.mix(guess.trial, trial)
    return replace(candidate, estimate=shrinkage.mix(guess.estimate, candidate.estimate), trial=trial)


def log_share(name: str, fitted: Fitted) -> None:
    """Log how much of a correction is delivered."""
    shares = fitted.shrinkage.shares
    _log.info(
        "%s: %.0f%% of its correction is delivered (%s where the first guess has small errors to large ones)",
        name,
        100 * fitted.average,
        ", ".join(f"{100 * share:.0f}%" for share in shares),
    )


def select_candidate(rows: list[dict[str, Any]], found: Sequence[Pairs]) -> int:
    """Return the index of the candidate to deliver; the ``rows``, the simplest first, are given the reason
    and the RMSE on the validation values.

    It is the simplest one that is not worse than the one with the least RMSE by more than a standard error of
    the difference (Breiman et al. 1984, Classification and Regression Trees), from a bootstrap over groups
    of values with related errors. A network has chosen its epoch on the same values, which flatters it; and
    where there are too few values to decide, the simpler candidate is the safer one. A shrunken correction
    is judged on each group by the share that the other groups say.
    """
    errors = [rmse(one.mean, one.truth, one.weight) for one in found]
    least = int(np.argmin(errors))
    best = next(
        number for number, one in enumerate(found) if number == least or _excess_rmse(one, found[least]) <= 0
    )
    for row, error in zip(rows, errors, strict=False):
        row["validation_rmse"] = float(error)
    if len(rows) > 1:
        names = [row["method"] for row in rows]
        why = "least RMSE" if best == least else f"within one standard error of {names[least]}"
        for number, row in enumerate(rows):
            row["choice"] = why if number == best else ""
        guess_wins = len(rows) == 2 and best == 0
        _log.log(
            logging.WARNING if guess_wins else logging.INFO,
            "%s is delivered: %s on the validation values",
            names[best],
            why,
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
