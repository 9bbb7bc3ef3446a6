"""The network inputs: a window of dates filled by the first guess, each with its error."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..classical.neighbours import Scales
from ..io.field import Field, grid_spacing

_STATIC = (
    5  # channels that do not belong to a date of the window: latitude, longitude, sea mask, season twice
)
YEAR = 365  # days, from which on a record has a place and a season
_CENTRES = np.array([2.0, 1.0, -3.0, 0.5])  # of the numbers that describe the scales of a first guess
_WIDTHS = np.array([1.0, 1.0, 2.0, 0.5])
_MOST_SCALE = 3.0  # of these numbers, so that unusual scales stay near those that a network has met


@dataclass(frozen=True)
class StaticFeatures:
    """The network inputs that do not depend on the gaps.

    A general network gets the scales of the first guess instead of position and season (`describe_scales`),
    and ``steps``: its window is of lags, which dates of any spacing may fill or leave empty.
    """

    place: Tensor  # (3, lat, lon) latitude and longitude in [-1, 1], sea mask
    season: Tensor  # (time, 2) cosine and sine of its phase
    steps: NDArray[np.float64] | None = None  # (time,) dates in median steps, for a general network


@dataclass(frozen=True)
class NetworkInputs:
    """Variables under some gaps, with the first guess in them, in units of their anomalies' deviations.

    The first ones are the outputs of a network, the others are input only.
    """

    anomaly: Tensor  # (variable, time, lat, lon) the observations, else the first guess, zero on land
    log_error: Tensor  # (variable, time, lat, lon) logarithm of their standard error, zero on land
    residual: Tensor  # (output, time, lat, lon) truth minus guess over the guess's error, NaN where unknown
    variance: Tensor  # (output, time, lat, lon) of an observation there, over the square of the guess's error
    weight: Tensor  # (output, time, lat, lon) how much each residual counts


def count_channels(window: int, variables: int = 1) -> int:
    """Return the number of input channels for a ``window`` of dates of so many variables."""
    return 2 * window * variables + _STATIC


def find_sea_channel(window: int, variables: int = 1) -> int:
    """Return the number of the channel that holds the sea mask."""
    return 2 * window * variables + 2


Bounds = tuple[tuple[float, float], tuple[float, float]]


def make_static_features(
    field: Field, long: bool | None = None, bounds: Bounds | None = None
) -> StaticFeatures:
    """Return position, sea mask and season of a field; only the sea mask of one shorter than a year.

    There each season occurs once, and a network with position and season would overfit. For a part of a
    longer record ``long`` is whether that record has a year; for a part of a wider map ``bounds`` are the
    ends of that map in latitude and longitude.
    """

    def scale(degrees: NDArray[np.float64], ends: tuple[float, float] | None) -> NDArray[np.float64]:
        low, high = ends or (degrees.min(), degrees.max())
        return 2 * (degrees - low) / max(high - low, 1e-6) - 1

    north, east = bounds or (None, None)
    place = np.stack([scale(field.lat, north), scale(field.lon, east), field.sea]).astype(np.float32)
    angle = 2 * np.pi * field.season
    season = np.stack([np.cos(angle), np.sin(angle)], axis=1).astype(np.float32)
    if not (field.days[-1] - field.days[0] >= YEAR if long is None else long):
        place[:2], season[:] = 0, 0
    return StaticFeatures(torch.from_numpy(place), torch.from_numpy(season))


def describe_scales(scales: Scales, cell: float, step: float) -> NDArray[np.float32]:
    """Return four numbers of order one that describe fitted scales on a grid, whatever its units.

    They are the logarithms of the first component's length in cells of ``cell`` km, of its duration in
    steps of ``step`` days and of noise over sill, and the share of the other components in the sill.
    """
    first, sill = scales.components[0], float(scales.sill)
    ratios = float(first.length) / cell, float(first.duration) / step, float(scales.nugget) / sill
    numbers = np.array([*np.log(np.maximum(ratios, 1e-6)), 1 - float(first.sill) / sill])
    return ((numbers - _CENTRES) / _WIDTHS).clip(-_MOST_SCALE, _MOST_SCALE).astype(np.float32)


def make_general_features(field: Field, scales: Scales) -> StaticFeatures:
    """Return the features of a general network: the scales of the first guess, the sea mask and the lags."""
    step, *sides = grid_spacing(field)
    cell = float(np.mean(sides)) if field.statistics is None else field.statistics.cell
    return spread_scales(describe_scales(scales, cell, step), field.sea, field.days / step)


def spread_scales(
    numbers: NDArray[np.float32], sea: NDArray[np.bool_], steps: NDArray[np.float64]
) -> StaticFeatures:
    """Return the features made of the ``numbers`` of `describe_scales`, the same in all cells and dates."""
    place = np.empty((3, *sea.shape), np.float32)
    place[:2], place[2] = numbers[:2, None, None], sea
    season = np.tile(numbers[2:], (len(steps), 1)).astype(np.float32)
    return StaticFeatures(torch.from_numpy(place), torch.from_numpy(season), steps)


def make_network_inputs(
    seen: Field,
    mean: NDArray[np.float32],
    guess: NDArray[np.float32],
    error: NDArray[np.float32],
    noise: float,
    spread: float,
    truth: NDArray[np.float32] | None = None,
    weight: NDArray[np.float32] | None = None,
) -> NetworkInputs:
    """Return the network inputs of one variable with the gaps of ``seen``.

    Anomalies are departures from ``mean``, (lat, lon) or (time, lat, lon). ``guess`` and ``error`` (time,
    lat, lon) replace missing values. ``noise`` is the variance of an observation without an error variance of
    its own, in the units of the field squared. ``truth`` (time, lat, lon) is finite where values were hidden.
    """
    observed = seen.observed
    anomaly = np.nan_to_num(np.where(observed, seen.values, guess) - mean) / spread
    own = noise + seen.error_variance
    sigma = np.where(observed, np.sqrt(own), error)
    log_error = np.log(np.nan_to_num(sigma / spread, nan=1.0).clip(1e-3))
    residual = np.full(observed.shape, np.nan) if truth is None else (truth - guess) / error
    variance = own / np.square(error)
    weights = np.isfinite(residual) if weight is None else np.where(np.isfinite(residual), weight, 0)
    return NetworkInputs(
        *(
            torch.from_numpy(np.ascontiguousarray(part[None], dtype=np.float32))
            for part in (anomaly, log_error, residual, variance, weights)
        )
    )


def stack_variables(variables: Sequence[NetworkInputs], outputs: int) -> NetworkInputs:
    """Return the network inputs of several variables, of which the first ``outputs`` are outputs."""
    if len(variables) == 1:
        return variables[0]
    filled = variables[:outputs]
    return NetworkInputs(
        torch.cat([one.anomaly for one in variables]),
        torch.cat([one.log_error for one in variables]),
        torch.cat([one.residual for one in filled]),
        torch.cat([one.variance for one in filled]),
        torch.cat([one.weight for one in filled]),
    )


def assemble_inputs(
    known: NetworkInputs,
    static: StaticFeatures,
    date: int,
    window: int,
    y: slice,
    x: slice,
    into: NDArray[np.float32] | None = None,
) -> Tensor:
    """Return the network inputs (channels, rows, columns) of a date and its window in some ``y`` and ``x``.

    For each variable the anomalies of the dates and then their log errors; after these latitude, longitude,
    sea mask and season. Dates before the first and after the last are unknown: no anomaly, an error of one
    standard deviation; so are lags without a date (`find_lags`) of a general network. They are written
    ``into`` an array of that shape, where one is given.
    """
    # Views of numpy: slicing tensors takes longer than copying their values.
    place = static.place.numpy()[:, y, x]
    variables, dates = known.anomaly.shape[:2]
    shape = count_channels(window, variables), *place.shape[1:]
    made = np.empty(shape, np.float32) if into is None else into
    dated = made[:-_STATIC].reshape(variables, 2, window, *place.shape[1:])
    inside: slice | NDArray[np.intp]
    there: slice | NDArray[np.bool_]
    if static.steps is None:
        first, last = date - window // 2, date + window // 2 + 1
        inside = slice(max(first, 0), min(last, dates))
        there = slice(inside.start - first, inside.stop - first)
        dated[:, :, : there.start] = dated[:, :, there.stop :] = 0
    else:
        inside = find_lags(static.steps, date, window)
        there = inside >= 0
        inside = inside[there]
        dated[:, :, ~there] = 0
    dated[:, 0, there] = known.anomaly.numpy()[:, inside, y, x]
    dated[:, 1, there] = known.log_error.numpy()[:, inside, y, x]
    made[-_STATIC:-2] = place
    made[-2:] = static.season.numpy()[date][:, None, None]
    return torch.from_numpy(made)


def find_lags(steps: NDArray[np.float64], date: int, window: int) -> NDArray[np.intp]:
    """Return the dates (window,) at the lags -1, 0, 1 and so on around a date, -1 where there is none.

    ``steps`` (time,) are the dates in units of their median step. A date is at a lag if it is the nearest one
    and within half a step.
    """
    wanted = steps[date] + np.arange(window) - window // 2
    apart = np.abs(steps[:, None] - wanted)
    nearest = apart.argmin(axis=0)
    return np.where(apart.min(axis=0) <= 0.5, nearest, -1)
