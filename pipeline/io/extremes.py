"""Delivered values that nothing observed bears out: whatever the method, they are counted and warned of."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from .field import Field
from .storage import Span
from .transforms import Transform

_BEYOND = 3.0  # standard deviations beyond the lowest and the highest observed value

_log = logging.getLogger(__name__)


def find_bearable(field: Field) -> tuple[float, float]:
    """Find the least and the greatest value that the observed ones and their spread bear.

    They are in the space that is filled. Part of a record has those of the record, or wider ones of its own.
    """
    low, high = (np.inf, -np.inf) if field.statistics is None else field.statistics.bearable
    # a drift was taken off the values and is part of what is delivered
    known = (field.values if field.drift is None else field.values + field.drift)[field.observed]
    if not known.size:
        return low, high
    beyond = _BEYOND * float(known.std(dtype=np.float64))
    return min(low, float(known.min()) - beyond), max(high, float(known.max()) + beyond)


def count_extremes(field: Field, delivered: NDArray[np.floating]) -> int:
    """Count delivered values, in the variable's units, beyond those that are bearable."""
    low, high = field.space.backward(np.array(find_bearable(field)))
    return int(np.count_nonzero((delivered < low) | (delivered > high)))


def warn_of_extremes(name: str, span: Span, space: Transform, bearable: Sequence[float]) -> None:
    """Warn of delivered values beyond the ``bearable`` ones, which are in the ``space`` that is filled."""
    if span.extremes:
        _log.warning(
            "%s: %d delivered values lie far outside the observed ones: all reach from %.4g to %.4g, and the "
            "observed ones and their spread bear %.4g to %.4g; look at them, or choose another method",
            name,
            span.extremes,
            span.low,
            span.high,
            *space.backward(np.array(bearable)),
        )
