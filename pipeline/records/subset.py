"""The training subset of a record: spans of dates, of whole maps or of some squares of them."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..io.field import Field
from ..io.layout.dates import days_since_first
from ..training.patches import list_patches
from .blocks import BASE
from .record import Record

_log = logging.getLogger(__name__)

LEARNING = 250  # bytes a value: the most that a method holds of a field while it learns
SPAN = 32  # consecutive dates of the training subset
SIDE = 128  # cells of a square
MOST_LEARNT = 1e7  # values: more take long and add little
_SPANS = 3  # of squares, where whole maps are too large
_APART = 16  # cells of land between two squares, which keep them from being neighbours


def select_subset(record: Record, memory: float, *, whole_maps: bool = False, side: int = SIDE) -> Field:
    """Select spans of dates, spread over the record: as many as ``memory`` bytes allow for learning.

    Where whole maps are too large, squares of ``side`` cells are taken from them, spread over the sea and
    joined side by side. Raises `InputError` where ``whole_maps`` are needed and too large.
    """
    dates, rows, columns = record.shape
    values = min((memory - BASE) / LEARNING, MOST_LEARNT)
    most = int(values / (rows * columns))
    if most >= dates:
        return record.read_field(slice(0, dates))
    squares = [(slice(0, rows), slice(0, columns))]
    number = max(most, SPAN) // SPAN
    if most < SPAN and rows * columns > side**2:
        if whole_maps:
            needed = (BASE + LEARNING * SPAN * rows * columns) / 1e9
            raise InputError(
                f"{record.path}: maps of {rows} x {columns} pixels are too large to learn from; allow "
                f"{needed:.3g} GB with memory=, or choose a method that works on parts of them, such as oi"
            )
        number = max(1, min(_SPANS, dates // SPAN))
        squares = _choose_squares(record, max(1, int(values / (number * SPAN * side**2))), side)
    length = min(SPAN, dates)
    spans = choose_spans(record.n_observed, number, length)
    _log.info("learning from %d of %d dates, in %d spans", len(spans) * length, dates, len(spans))
    if len(squares) > 1:
        _log.info("in %d squares of %d x %d pixels", len(squares), side, side)
    return _join_squares([_read_spans(record, spans, *square) for square in squares])


def _choose_places(observed: NDArray[Any], number: int) -> NDArray[np.int64]:
    """Choose ``number`` places, spread evenly over those that are not much less ``observed`` than usual."""
    useful = np.flatnonzero(observed >= np.median(observed[observed > 0]) / 2)
    middles = (np.arange(number) + 0.5) / number
    return np.unique(useful[(middles * len(useful)).astype(int)])


def choose_spans(n_observed: NDArray[np.integer], number: int, length: int) -> list[slice]:
    """Choose spans without a date in common, spread evenly; ``n_observed`` (time,) values of each date."""
    observed = np.convolve(n_observed, np.ones(length), "valid")[::length]
    return [slice(length * place, length * (place + 1)) for place in _choose_places(observed, number)]


def _choose_squares(record: Record, number: int, side: int) -> list[tuple[slice, slice]]:
    squares = list(list_patches(record.shape[1:], side, 0))
    observed = [(record.coverage[square] * record.sea[square]).sum() for square in squares]
    return [squares[place] for place in _choose_places(np.array(observed), number)]


def _read_spans(record: Record, spans: Sequence[slice], rows: slice, columns: slice) -> Field:
    """Read the spans of some pixels as one field."""
    days = np.concatenate([days_since_first(record.dates)[span] for span in spans])
    return join_dates([record.read_field(span, rows, columns) for span in spans], days)


def join_dates(parts: Sequence[Field], days: NDArray[np.float64]) -> Field:
    """Join spans of dates to one field on the ``days`` (time,)."""
    return replace(
        parts[0],
        values=np.concatenate([part.values for part in parts]),
        error_variance=np.concatenate([part.error_variance for part in parts]),
        days=days - days[0],
        season=np.concatenate([part.season for part in parts]),
    )


def _join_squares(squares: Sequence[Field]) -> Field:
    """Join several fields to one, with land between them."""

    def join(name: str, gap: Any) -> NDArray[Any]:
        parts = []
        for square in squares:
            array = getattr(square, name)
            land = np.repeat(array[..., -1:], _APART, axis=-1)
            parts += [array, land if gap is None else np.full_like(land, gap)]
        return np.concatenate(parts[:-1], axis=-1)

    if len(squares) == 1:
        return squares[0]
    gaps = {"values": np.nan, "error_variance": 0, "sea": False, "lat": None, "lon": None}
    joined: dict[str, Any] = {name: join(name, gap) for name, gap in gaps.items()}
    return replace(squares[0], **joined)
