"""How hidden values are split into a validation and a test set, grouped, and weighted."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..io.field import Field
from .patterns import HOLDOUTS, Mask, hide_clouds_together

_HEAVIEST = 10.0  # weight of one hidden value
_ENOUGH_DATES = 5  # to tell by them what is chance


def hold_out(field: Field, share: float, rng: np.random.Generator, how: str = "clouds") -> tuple[Mask, Mask]:
    """Two disjoint sets of observed values to hide (time, lat, lon), of different dates.

    The first is to choose with (the epoch, the factor of the error), the second to score on. ``how`` is one
    of `HOLDOUTS`.
    """
    return hold_out_together([field], 1, share, rng, how)[0]


def hold_out_together(
    fields: Sequence[Field], outputs: int, share: float, rng: np.random.Generator, how: str = "clouds"
) -> list[tuple[Mask, Mask]]:
    """The same of several variables, of which the first ``outputs`` are to be filled.

    Clouds are those of `hide_clouds_together`; what else there is hides values of each variable by itself.
    """
    if share == 0:
        return [(np.zeros_like(field.observed), np.zeros_like(field.observed)) for field in fields]
    if how == "clouds":
        hidden = hide_clouds_together(fields, outputs, share, rng)
    else:
        hidden = [HOLDOUTS[how](field, share, rng) for field in fields]
    counts = np.array([one.sum(axis=(1, 2)) for one in hidden[:outputs]])
    total = counts.sum(axis=1, keepdims=True)
    number = (counts * (total.max() / total.clip(min=1))).sum(axis=0)  # each output counts as much
    dates = np.flatnonzero(number)
    if len(dates) < 2:
        # Too few dates to separate: the western half chooses, the eastern half is scored.
        west = np.arange(hidden[0].shape[2]) < hidden[0].shape[2] // 2
        return [(one & west, one & ~west) for one in hidden]
    first = np.cumsum(number[dates]) <= number.sum() / 2
    first[0], first[-1] = True, False
    choose = np.zeros((len(number), 1, 1), dtype=bool)
    choose[dates[first]] = True
    return [(one & choose, one & ~choose) for one in hidden]


def error_groups(where: Mask) -> list[NDArray[np.int64]]:
    """Numbers (n,) of the groups of cells, of (time, ..., lat, lon) where True, whose errors hang together.

    Those are dates, unless there are few, and sixteenths of the map: a pixel that is hidden on many dates is
    missed alike on all of them.
    """
    date, *_, row, column = np.nonzero(where)
    quarters = (np.searchsorted(np.quantile(at, (0.25, 0.5, 0.75)), at) for at in (row, column))
    place = np.ravel_multi_index(tuple(quarters), (4, 4))
    return [date, place] if len(np.unique(date)) >= _ENOUGH_DATES else [place]


def difficulty_weights(
    hidden: NDArray[np.floating], real: NDArray[np.floating], classes: int = 20
) -> NDArray[np.float32]:
    """Weights of hidden values (n,) with which they are as hard to fill as the ``real`` gaps (m,).

    Both are told how hard each cell is (the standard error of the first guess, say). Clouds of one date
    laid on a clear one leave more around them than real gaps do: an unweighted score would flatter.
    """
    if not hidden.size:
        return np.zeros(0, np.float32)
    edges = np.quantile(real, np.linspace(0, 1, classes + 1)[1:-1])
    at = np.digitize(hidden, edges)
    number = np.bincount(at, minlength=classes)
    wanted = np.bincount(np.digitize(real, edges), minlength=classes) / real.size
    weight = np.divide(wanted, number / hidden.size, out=np.zeros(classes), where=number > 0)
    return weight.clip(max=_HEAVIEST)[at].astype(np.float32)
