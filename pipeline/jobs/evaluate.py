"""Which of several products is delivered, how its error is scaled, and how good it is on held-out values."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..holdout.calibration import Calibration, Residuals, calibrate
from ..holdout.scores import bias, coverage, rmse, rmse_interval, sums
from ..io.field import Field
from ..training.heldout import HeldOut, Pairs

_log = logging.getLogger(__name__)

Floats = NDArray[np.float32]
Estimate = tuple[Floats, Floats]  # mean and standard error (time, lat, lon), NaN outside the sea

_ONE_STANDARD_ERROR = 0.6827  # level of the interval of a difference
_GUESS_AND_NETWORK = 2  # products of a network; more are there to be chosen from


@dataclass(frozen=True)
class Candidate:
    """What a method makes of a field."""

    name: str
    estimate: Estimate  # at sea, from all that was observed
    trial: Estimate | None = None  # of the held-out values, without them
    further_residuals: Sequence[Residuals] = ()  # of values that further clouds hid from it
    corrects: Candidate | None = None  # the first guess


def evaluate_candidates(
    field: Field, data: HeldOut, products: list[Candidate]
) -> tuple[Candidate, list[dict[str, Any]], Calibration]:
    """The product to deliver, the scores of all, and the calibration of its error.

    The part of the hold-out that chooses says which product it is (`select_candidate`) and how its error is scaled; the
    scores are of the other part. The delivered error is scaled by both parts together.
    """
    trials = [product.trial for product in products if product.trial is not None]
    if len(trials) < len(products):
        return products[-1], [], Calibration()
    known = field.hide(data.held_out)
    rows = []
    for product, (mean, error) in zip(products, trials, strict=True):
        calibration = calibrate_candidate(data, product, "validation")
        figures = score_pairs(data.pairs("test", mean, calibration.scale_error(known, error)))
        rows.append({"method": product.name} | figures)
    best = select_candidate(rows, [data.pairs("validation", *trial) for trial in trials])
    return products[best], rows, calibrate_candidate(data, products[best], "held_out")


def select_candidate(rows: list[dict[str, Any]], found: Sequence[Pairs]) -> int:
    """The number of the product to deliver; ``rows``, one each and the simplest first, are told why.

    It is the simplest that cannot be told from the one of the least RMSE: its RMSE is greater by less than a
    standard error of the difference (the rule of Breiman et al. 1984, Classification and Regression Trees),
    when what hangs together is drawn anew. A network has chosen its epoch on the same values, which flatters
    it; and where values are too few to tell, what is simpler is the safer one.
    """
    errors = [rmse(one.mean, one.truth, one.weight) for one in found]
    least = int(np.argmin(errors))
    best = next(number for number, one in enumerate(found) if _surplus(one, found[least]) <= 0)
    if len(rows) > 1:
        names = [row["method"] for row in rows]
        why = "least RMSE" if best == least else f"cannot be told from {names[least]}"
        for number, row in enumerate(rows):
            row["choice"] = why if number == best else ""
        _log.log(
            logging.WARNING if len(rows) == _GUESS_AND_NETWORK and best == 0 else logging.INFO,
            "%s is delivered: %s on held-out values (%s)",
            names[best],
            why,
            ", ".join(f"{names[i]} {errors[i]:.4g}" for i in np.argsort(errors)),
        )
    return best


def _surplus(one: Pairs, other: Pairs) -> float:
    """The excess of an RMSE less a standard error, the largest of those by which errors hang together."""
    squares = [pairs.weight * (pairs.mean - pairs.truth) ** 2 for pairs in (one, other)]
    lows = []
    for group in one.groups:
        ours, theirs, weight = (sums(group, part) for part in (*squares, one.weight))
        lows.append(rmse_interval(ours, weight, theirs, _ONE_STANDARD_ERROR)[0])
    return min(lows)


def calibrate_candidate(data: HeldOut, product: Candidate, part: str) -> Calibration:
    """The calibration of a product by a part of the hold-out: "validation" or all that is "held_out".

    Further clouds hide more dates from a first guess. A network has seen what is under them; so the first
    guess says how much harder than usual the part is, and that is taken out of the network's factor.
    """
    assert product.trial is not None
    calibration = calibrate(data.residuals(part, *product.trial).append(product.further_residuals))
    guess = product.corrects
    if guess is None or guess.trial is None:
        return calibration
    luck = calibrate_candidate(data, guess, part).excess(data.residuals(part, *guess.trial))
    return replace(calibration, factor=calibration.factor / luck)


def score_pairs(pairs: Pairs) -> dict[str, Any]:
    """The figures of a row of the score."""
    mean, error, truth, weight, _ = pairs
    return {
        "n": len(truth),
        "rmse": rmse(mean, truth, weight),
        "bias": bias(mean, truth, weight),
        "coverage_1sigma": coverage(mean, error, truth, 1, weight),
        "coverage_2sigma": coverage(mean, error, truth, 2, weight),
    }
