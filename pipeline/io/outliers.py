"""Gross outliers: values unlike every value around them, found before anything is fitted.

A value is compared with its nearest observed neighbours in space and time, each difference in units of what
is usual at that separation (a buddy check: Lorenc and Hammon 1988, doi:10.1002/qj.49711448107). What counts
is the second smallest difference: a value on either side of a front, or on a filament, is like some of its
neighbours, and a gross error is like none. How large it may be follows from the data: the upper part of its
own distribution is continued as an exponential tail to what chance allows for the number of values.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

REACH = 8  # dates, rows or columns to the farthest neighbour

_NEAR, _FAR = (
    range(-2, 3),
    range(-REACH, REACH + 1, 4),
)  # all neighbours near by, every fourth cell farther off
_NEIGHBOURS, _ALIKE = 12, 2  # neighbours that are looked at, and how many must be like the value
_SAMPLE = 20_000  # values from which the usual difference at a separation is taken
_FEWEST = 50  # pairs of values for a separation, and values for a screen
_USUAL, _OF_NORMAL = 0.9, 2.7055  # a quantile of squared differences, and that of a squared normal deviate
_LEAST_DIFFERENCE = 0.1  # of the spread; smaller ones are usual in a field that is calm almost everywhere
_ENDS = (0.01, 0.25, 0.75, 0.99)  # quantiles: the outer ones measure the spread
_TAIL = (0.8, 0.96)  # quantiles from which the tail is continued; outliers are rarer
_CHANCE = 0.01  # values that are expected beyond the limit in such a tail
_LEAST_LIMIT = 3.0  # usual differences
_AT_ONCE = 100_000  # values

Floats = NDArray[np.floating]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Screen:
    """What is usual between neighbours, and how unlike its neighbours a value may be."""

    steps: NDArray[np.int64]  # (n, 3) dates, rows and columns to a neighbour, the most alike first
    variance: NDArray[np.float64]  # (n,) usual squared difference, units of values squared
    limit: float  # of the second smallest difference, in usual differences; infinite without a screen

    def find(self, values: Floats, error_variance: Floats) -> Mask:
        """Find the outliers among values (time, lat, lon), NaN where missing, with their error variances."""
        found = np.zeros(values.shape, bool)
        if np.isfinite(self.limit):
            for cells, unlike in _compare(values, error_variance, self.steps, self.variance):
                found.reshape(-1)[cells] = unlike > self.limit
        return found


NO_SCREEN = Screen(np.zeros((0, 3), np.int64), np.zeros(0), np.inf)


def learn_screen(parts: Sequence[tuple[Floats, Floats]], seed: int = 0) -> Screen:
    """Learn what is usual from parts of a record: values (time, lat, lon) and their error variances.

    Few values are not screened, nor those of which half are the same, as where there is no ice or rain.
    """
    rng = np.random.default_rng(seed)
    most = -(-_SAMPLE // max(1, len(parts)))
    sample = [(values, rng.permutation(np.flatnonzero(np.isfinite(values)))[:most]) for values, _ in parts]
    some = np.concatenate([values.reshape(-1)[chosen] for values, chosen in sample] or [np.zeros(0)])
    if some.size < _FEWEST:
        return NO_SCREEN
    low, *half, high = np.quantile(some.astype(np.float64), _ENDS)
    if half[0] == half[1]:
        return NO_SCREEN
    steps = _list_steps(np.max([values.shape for values, _ in parts], axis=0))
    variance = _measure_differences(sample, steps)
    known = np.isfinite(variance)
    if not known.any():
        return NO_SCREEN
    least = (_LEAST_DIFFERENCE * (high - low) / 4.65) ** 2  # 4.65 deviations lie between the ends
    steps, variance = steps[known], variance[known].clip(min=least)
    order = np.lexsort((np.abs(steps).sum(axis=1), variance))
    steps, variance = steps[order], variance[order]
    unlike = [found for part in parts for _, found in _compare(*part, steps, variance)]
    return Screen(steps, variance, _find_limit(np.concatenate(unlike)))


def describe_outliers(count: int, total: int, how: str) -> tuple[str, ...]:
    """Return in words what became of the outliers; nothing where there are none."""
    if not count:
        return ()
    then = {"drop": "not used, and replaced by the analysis", "flag": "kept in the output, but not used"}[how]
    share = f"{100 * count / total:.2g}% of the values"
    return (f"outliers, unlike all values around them, {then}: {count} ({share})",)


def _list_steps(shape: NDArray[np.integer]) -> NDArray[np.int64]:
    """List the steps (n, 3) to the neighbours that an array of this shape can have."""
    around = dict.fromkeys((*product(_NEAR, repeat=3), *product(_FAR, repeat=3)))
    found = [step for step in around if any(step) and (np.abs(step) < shape).all()]
    return np.array(found, np.int64).reshape(-1, 3)


def _measure_differences(
    sample: Sequence[tuple[Floats, NDArray[np.int64]]], steps: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Measure the usual squared difference (n,) at each step from some flat cells of arrays; NaN from few.

    It is that of a normal distribution with the same quantile, which a tenth of wrong differences leaves.
    """
    variance = np.full(len(steps), np.nan)
    places = [np.stack(np.unravel_index(chosen, values.shape), axis=1) for values, chosen in sample]
    for number, step in enumerate(steps):
        found = []
        for (values, chosen), at in zip(sample, places, strict=True):
            to = at + step
            inside = ((to >= 0) & (to < values.shape)).all(axis=1)
            difference = values.reshape(-1)[chosen[inside]] - values[tuple(to[inside].T)]
            found.append(difference[np.isfinite(difference)])
        squared = np.concatenate(found).astype(np.float64) ** 2
        if squared.size >= _FEWEST:
            variance[number] = np.quantile(squared, _USUAL) / _OF_NORMAL
    return variance


def _compare(
    values: Floats, error_variance: Floats, steps: NDArray[np.int64], variance: NDArray[np.float64]
) -> Iterator[tuple[NDArray[np.int64], Floats]]:
    """Yield the flat cells of observed values and their second smallest differences, in usual differences.

    Those of values with fewer neighbours are missing.
    """
    around = [(REACH, REACH)] * 3
    padded = np.pad(values, around, constant_values=np.nan)
    noise = None
    if error_variance.any():
        noise = np.pad(np.broadcast_to(error_variance, values.shape), around).reshape(-1)
    rows, columns = padded.shape[1:]
    flat, step = padded.reshape(-1), (steps[:, 0] * rows + steps[:, 1]) * columns + steps[:, 2]
    cells = np.flatnonzero(np.isfinite(values))
    for start in range(0, len(cells), _AT_ONCE):
        part = cells[start : start + _AT_ONCE]
        date, row, column = np.unravel_index(part, values.shape)
        place = ((date + REACH) * rows + row + REACH) * columns + column + REACH
        nearest = np.full((len(part), _NEIGHBOURS), np.inf)
        number = np.zeros(len(part), np.int64)
        waiting, first, width = np.arange(len(part)), 0, 2 * _NEIGHBOURS
        while len(waiting) and first < len(step):
            last = first + width
            to = place[waiting, None] + step[first:last]
            squared = (flat[to] - flat[place[waiting], None]) ** 2
            usual = variance[first:last]
            if noise is not None:
                usual = np.maximum(usual, noise[to] + noise[place[waiting], None])
            seen = np.isfinite(squared)
            rank = seen.cumsum(axis=1) + number[waiting, None]
            which, where = np.nonzero(seen & (rank <= _NEIGHBOURS))
            nearest[waiting[which], rank[which, where] - 1] = (squared / usual)[which, where]
            number[waiting] = rank[:, -1].clip(max=_NEIGHBOURS)
            waiting = waiting[number[waiting] < _NEIGHBOURS]
            first, width = last, 2 * width
        unlike = np.sqrt(np.partition(nearest, _ALIKE - 1, axis=1)[:, _ALIKE - 1])
        yield part, np.where(number >= _ALIKE, unlike, np.nan)


def _find_limit(unlike: Floats) -> float:
    """Find the limit from the second smallest differences (n,) of all values."""
    known = unlike[np.isfinite(unlike)]
    if known.size < _FEWEST:
        return np.inf
    low, high = np.quantile(known, _TAIL)
    share = 1 - _TAIL[0]
    scale = (high - low) / np.log(share / (1 - _TAIL[1]))
    return float(max(_LEAST_LIMIT, low + scale * np.log(share * known.size / _CHANCE)))
