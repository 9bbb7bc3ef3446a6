"""Scores of hidden values by region, season, distance and age of the gap, and how reliable the error is."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from .score_sums import ScoreSums

LEVELS = tuple(range(5, 100, 5))  # percent, of the intervals whose reliability is counted
ALL = "all"  # the kind, and the class, of all values together
_SEASONS = ("December to February", "March to May", "June to August", "September to November")
_REGIONS = ("south-west", "south-east", "north-west", "north-east")
ORIGINS = ("observed", "partly observed", "filled")  # the cells around a point
_QUANTILES = (0.25, 0.5, 0.75)  # of the values, between classes of distance and of age

Floats = NDArray[np.floating]
Numbers = NDArray[np.int64]


@dataclass(frozen=True)
class Places:
    """Where and when n hidden values are."""

    dates: pd.Index  # (n,)
    lat: Floats  # (n,)
    lon: Floats  # (n,) degrees east, continuous
    distance: Floats  # (n,) km to the nearest value of the date; infinite where the date has none
    age: Floats  # (n,) days to the nearest value of the pixel; infinite where it has none
    origin: Numbers | None = None  # (n,) one of `ORIGINS`, of what an estimate at a point was made from


@dataclass(frozen=True)
class Score:
    """The score of a class of hidden values."""

    by: str  # kind of the class: "all", "region", "season", "distance", "age" or "origin"
    name: str
    n: int
    rmse: float
    low: float | None  # bounds of the 95% interval of the RMSE; None where there are too few values
    high: float | None
    bias: float
    coverage_1sigma: float
    coverage_2sigma: float


@dataclass(frozen=True)
class ScoreClasses:
    """Scores by class, and the share of hidden values inside each central interval."""

    scores: tuple[Score, ...]
    reliability: tuple[float, ...] = ()  # of `LEVELS`; empty where it is unknown

    def to_json(self) -> str:
        """Return the scores as text for an attribute of the output."""
        rows = [{key: _shorten(value) for key, value in vars(score).items()} for score in self.scores]
        return json.dumps({"scores": rows, "reliability": [round(share, 5) for share in self.reliability]})

    @classmethod
    def from_json(cls, text: str) -> ScoreClasses:
        """Read what `to_json` returned."""
        held = json.loads(text)
        return cls(tuple(Score(**row) for row in held["scores"]), tuple(held["reliability"]))


def score_classes(
    mean: Floats,
    error: Floats,
    truth: Floats,
    weight: Floats,
    group: NDArray[np.integer],
    places: Places,
) -> tuple[Score, ...]:
    """Score an estimate of n hidden values for all of them and by class.

    Parameters
    ----------
    mean, error, truth, weight, group
        (n,) the estimate, its standard error, the hidden values, their weights, and the numbers of what has
        related errors, over which the intervals of the RMSE are bootstrapped.
    places
        Where and when the values are.

    Returns
    -------
    tuple of Score
        All values first; a kind of which there is one class only is left out.
    """
    found = [_score(ALL, ALL, (mean, error, truth, weight, group))]
    for kind, (names, number) in classify(places).items():
        present = np.unique(number[weight > 0])
        if len(present) < 2:
            continue
        for one in present:
            here = number == one
            parts = tuple(part[here] for part in (mean, error, truth, weight, group))
            found.append(_score(kind, names[one], parts))
    return tuple(found)


def count_inside(residual: Floats, half_widths: Sequence[float], weight: Floats) -> tuple[float, ...]:
    """Return the weighted share of residuals (n,), in standard errors, within each half-width."""
    within = np.abs(residual) <= np.asarray(half_widths)[:, None]
    return tuple(np.average(within, axis=1, weights=weight).tolist())


def _score(kind: str, name: str, parts: tuple[Any, ...]) -> Score:
    sums = ScoreSums.from_estimate(*parts)
    low, high = (bound if np.isfinite(bound) else None for bound in sums.rmse_interval())
    return Score(kind, name, sums.n, sums.rmse, low, high, sums.bias, sums.coverage(1), sums.coverage(2))


def classify(places: Places) -> dict[str, tuple[Sequence[str], Numbers]]:
    """Return the names of the classes of each kind, and the number (n,) of each value's."""
    months = np.asarray(places.dates.month, np.int64)
    north, east = (at > (at.min() + at.max()) / 2 for at in (places.lat, places.lon))
    origin = {} if places.origin is None else {"origin": (ORIGINS, places.origin)}
    return origin | {
        "region": (_REGIONS, 2 * north.astype(np.int64) + east),
        "season": (_SEASONS, months % 12 // 3),
        "distance": _divide(places.distance, "km", "no value on the date"),
        "age": _divide(places.age, "days", "never observed"),
    }


def _divide(values: Floats, unit: str, never: str) -> tuple[Sequence[str], Numbers]:
    """Return classes of about equally many values between round numbers; infinite ones have their own."""
    finite = values[np.isfinite(values)]
    quartiles: Floats = np.quantile(finite, _QUANTILES) if finite.size else finite
    edges = np.unique([float(f"{edge:.2g}") for edge in quartiles])
    texts = [f"{edge:g}" for edge in edges]

    def name(text: str, edge: str) -> str:
        return f"{text} {edge} {unit.removesuffix('s') if edge == '1' else unit}"

    names = [f"0 {unit}" if edge == "0" else name("up to", edge) for edge in texts[:1]]
    names += [name(f"{low} to", high) for low, high in pairwise(texts)]
    names += [name("more than", edge) for edge in texts[-1:]]
    number = np.where(np.isfinite(values), np.digitize(values, edges, right=True), len(names))
    return [*names, never], number.astype(np.int64)


def _shorten(value: Any) -> Any:
    """Return a number with the digits that matter."""
    return float(f"{value:.6g}") if isinstance(value, float) else value
