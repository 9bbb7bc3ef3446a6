"""The part of a record that a method learns on: spans of dates, of whole maps or of some squares of them."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..io.dates import days_since_first
from ..io.field import Field
from ..training.patches import list_patches
from .blocks import BASE
from .record import Record

_log = logging.getLogger(__name__)

LEARNING = 250  # bytes a value: what a method holds of a field at its peak, when it learns
SPAN = 32  # dates in a row of what is learnt on
_MOST_LEARNT = 1e7  # values: more take long and teach little
_SPANS = 3  # of squares, where whole maps are too large
_SIDE = 128  # cells of a square
_APART = 16  # cells of land between two squares, so that one does not take the other for its neighbour


def select_subset(record: Record, memory: float, *, whole_maps: bool = False) -> Field:
    """Spans of dates, spread over the record: as many as ``memory`` bytes allow to learn on.

    Where whole maps are too large they are of squares, spread over the sea and put side by side. Raises
    `InputError` where that is so and ``whole_maps`` are asked for.
    """
    dates, rows, columns = record.shape
    values = min((memory - BASE) / LEARNING, _MOST_LEARNT)
    most = int(values / (rows * columns))
    if most >= dates:
        return record.field(slice(0, dates))
    squares = [(slice(0, rows), slice(0, columns))]
    number = max(most, SPAN) // SPAN
    if most < SPAN and rows * columns > _SIDE**2:
        if whole_maps:
            needed = (BASE + LEARNING * SPAN * rows * columns) / 1e9
            raise InputError(
                f"{record.path}: maps of {rows} x {columns} pixels are too large to learn on; allow "
                f"{needed:.3g} GB by --memory, or choose a method that works on parts of them, as oi"
            )
        number = max(1, min(_SPANS, dates // SPAN))
        squares = _squares(record, max(1, int(values / (number * SPAN * _SIDE**2))))
    length = min(SPAN, dates)
    spans = _spans(record, number, length)
    _log.info("learning on %d of the %d dates, in %d spans", len(spans) * length, dates, len(spans))
    if len(squares) > 1:
        _log.info("of %d squares of %d x %d pixels", len(squares), _SIDE, _SIDE)
    return _side_by_side([_in_a_row(record, spans, *square) for square in squares])


def _chosen(seen: NDArray[Any], number: int) -> NDArray[np.int64]:
    """So many places, spread over all, but not where next to nothing was ``seen``."""
    useful = np.flatnonzero(seen >= np.median(seen[seen > 0]) / 2)
    middles = (np.arange(number) + 0.5) / number
    return np.unique(useful[(middles * len(useful)).astype(int)])


def _spans(record: Record, number: int, length: int) -> list[slice]:
    # Of spans without a date in common.
    seen = np.convolve(record.seen, np.ones(length), "valid")[::length]
    return [slice(length * place, length * (place + 1)) for place in _chosen(seen, number)]


def _squares(record: Record, number: int) -> list[tuple[slice, slice]]:
    squares = list(list_patches(record.shape[1:], _SIDE, 0))
    seen = [(record.share[square] * record.sea[square]).sum() for square in squares]
    return [squares[place] for place in _chosen(np.array(seen), number)]


def _in_a_row(record: Record, spans: Sequence[slice], rows: slice, columns: slice) -> Field:
    """The spans of some pixels as one field."""
    parts = [record.field(span, rows, columns) for span in spans]
    days = np.concatenate([days_since_first(record.dates)[span] for span in spans])
    return replace(
        parts[0],
        values=np.concatenate([part.values for part in parts]),
        error_variance=np.concatenate([part.error_variance for part in parts]),
        days=days - days[0],
        season=np.concatenate([part.season for part in parts]),
    )


def _side_by_side(squares: Sequence[Field]) -> Field:
    """One field of several, with land between them."""

    def joined(name: str, gap: Any) -> NDArray[Any]:
        parts = []
        for square in squares:
            array = getattr(square, name)
            land = np.repeat(array[..., -1:], _APART, axis=-1)
            parts += [array, land if gap is None else np.full_like(land, gap)]
        return np.concatenate(parts[:-1], axis=-1)

    if len(squares) == 1:
        return squares[0]
    gaps = {"values": np.nan, "error_variance": 0, "sea": False, "lat": None, "lon": None}
    parts: dict[str, Any] = {name: joined(name, gap) for name, gap in gaps.items()}
    return replace(squares[0], **parts)
