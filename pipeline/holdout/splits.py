"""How hidden values are split into a validation and a test set, grouped, and weighted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from ..io.field import Field
from .patterns import HOLDOUTS, Mask, hide_clouds_together

_HEAVIEST = 10.0  # largest weight of a hidden value
_SAME = 1e-4  # of the median difficulty, within which two count as equal
_ENOUGH_DATES = 5  # fewest dates that are the first groups
_MANY_DATES = 10  # dates, of which each is a group; more are gathered in runs
_LONGEST_RUN = 30.0  # days, of a run of dates that is not divided
_MOST_OF_A_RUN = 1 / 5  # of the values, in a run that is not divided
_OF_A_PART = 1 / 20  # of the values, in a part of a run that is divided

Floats = NDArray[np.floating]


def hold_out(field: Field, share: float, rng: np.random.Generator, how: str = "clouds") -> tuple[Mask, Mask]:
    """Choose observed values to hide (time, lat, lon): a validation and a test set of different dates.

    ``share`` is that of the observed values in both together, ``how`` one of `HOLDOUTS`. The validation set
    serves to choose (the epoch, the candidate, the scale of the error), the test set to score.
    """
    return hold_out_together([field], 1, share, rng, how)[0]


def hold_out_together(
    fields: Sequence[Field], outputs: int, share: float, rng: np.random.Generator, how: str = "clouds"
) -> list[tuple[Mask, Mask]]:
    """Choose the validation and test sets of several variables of which the first ``outputs`` are filled.

    Clouds are laid on all variables together (`hide_clouds_together`); the other hold-outs hide values of
    each variable independently. All variables share the dates of each set.
    """
    if share == 0:
        return [(np.zeros_like(field.observed), np.zeros_like(field.observed)) for field in fields]
    if how == "clouds":
        hidden = hide_clouds_together(fields, outputs, share, rng)
    else:
        hidden = [HOLDOUTS[how](field, share, rng) for field in fields]
    return split_hidden(hidden, outputs, fields[0].days)


def split_hidden(hidden: Sequence[Mask], outputs: int, days: Floats) -> list[tuple[Mask, Mask]]:
    """Split hidden values (time, lat, lon) of each variable into a validation and a test set.

    Runs of consecutive dates stay together, because their errors are correlated; only those of more than a
    month are divided, and those of more than a fifth of the values, into twentieths of these. In order of
    time each run or part goes to the set that has fewer values so far. Up to any date the sets thus differ
    by no more than the largest run: they interleave, and both sample all seasons and states of the sea. A
    single date is divided into a western (validation) and an eastern part (test), each with half of the
    values.

    ``days`` (time,) are the dates. The values of each of the first ``outputs`` variables count equally.
    """
    counts = np.array([one.sum(axis=(1, 2)) for one in hidden[:outputs]])
    total = counts.sum(axis=1, keepdims=True)
    number = (counts * (total.max() / total.clip(min=1))).sum(axis=0)
    if np.count_nonzero(number) < 2:
        columns = np.cumsum(np.sum([one.sum(axis=(0, 1)) for one in hidden[:outputs]], axis=0))
        west = columns <= columns[-1] / 2
        return [(one & west, one & ~west) for one in hidden]
    validation = np.zeros(len(number), bool)
    surplus = 0.0  # of the validation set
    for run in _divide_runs(number, days):
        validation[run] = surplus <= 0
        surplus += number[run].sum() if surplus <= 0 else -number[run].sum()
    chosen = validation[:, None, None]
    return [(one & chosen, one & ~chosen) for one in hidden]


def _divide_runs(number: Floats, days: Floats) -> Iterator[NDArray[np.int64]]:
    """Yield runs of the dates (by index) with a ``number`` (time,) of hidden values, in order of time."""
    dates = np.flatnonzero(number)
    apart = (np.diff(dates) > 1) | (np.diff(days[dates]) > 2 * np.median(np.diff(days)))
    for run in np.split(dates, np.flatnonzero(apart) + 1):
        share, own = number[run] / number[run].sum(), number[run].sum() / number.sum()
        parts = max(1.0, np.ceil((days[run[-1]] - days[run[0]]) / _LONGEST_RUN))
        if own > _MOST_OF_A_RUN:
            parts = max(parts, np.ceil(own / _OF_A_PART))
        part = np.floor((np.cumsum(share) - share / 2) * parts)
        yield from np.split(run, np.flatnonzero(np.diff(part)) + 1)


def error_groups(where: Mask) -> list[NDArray[np.int64]]:
    """Number the cells (n,) of (time, ..., lat, lon) where True by groups with correlated errors.

    The groups are runs of dates (`gather_dates`) and sixteenths of the map: the errors of a pixel that is
    hidden on many dates are alike on all of them. Those of places come first where there are few dates, and
    alone where there is one.
    """
    date, *_, row, column = np.nonzero(where)
    quarters = (np.searchsorted(np.quantile(at, (0.25, 0.5, 0.75)), at) for at in (row, column))
    place = np.ravel_multi_index(tuple(quarters), (4, 4))
    number = len(np.unique(date))
    groups = [gather_dates(date), place] if number >= _ENOUGH_DATES else [place, gather_dates(date)]
    return groups if number > 1 else [place]


def gather_dates(date: NDArray[np.integer]) -> NDArray[np.int64]:
    """Number values (n,) by runs of their dates, whose errors hang together from hour to hour or day to day.

    Up to ten dates are a group each. More are gathered in as many runs of equally many dates as the square
    root of their number, and ten at least: the batch means of Flegal & Jones 2010 (10.1214/09-AOS735).
    """
    dates, rank = np.unique(date, return_inverse=True)
    number = max(min(len(dates), _MANY_DATES), round(np.sqrt(len(dates))))
    return rank * number // len(dates)


def difficulty_weights(hidden: Floats, real: Floats, classes: int = 20) -> NDArray[np.float32]:
    """Weight hidden values (n,) so that they are as difficult to fill as the ``real`` gaps (m,).

    Both arrays are the difficulty of each cell, such as the standard error of the first guess. Clouds of one
    date laid on a clear one leave more values around them than real gaps have: an unweighted score would be
    too good. Where no hidden value is as difficult as any gap, all weigh the same.
    """
    if not hidden.size:
        return np.zeros(0, np.float32)
    # Rounding errors must not separate values of the same difficulty, as under a first guess of pixel means.
    unit = _SAME * float(np.median(real))
    hidden, real = np.rint(hidden / unit), np.rint(real / unit)
    edges = np.quantile(real, np.linspace(0, 1, classes + 1)[1:-1])
    at = np.digitize(hidden, edges)
    number = np.bincount(at, minlength=classes)
    wanted = np.bincount(np.digitize(real, edges), minlength=classes) / real.size
    weight = np.divide(wanted, number / hidden.size, out=np.zeros(classes), where=number > 0)
    if not weight.any():
        return np.ones(hidden.size, np.float32)
    return weight.clip(max=_HEAVIEST)[at].astype(np.float32)
