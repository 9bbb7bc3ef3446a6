"""What a network sees of a field: a window of dates filled by the first guess, each with its error."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..io.field import Field

_BESIDES = 5  # channels besides those of the dates: latitude, longitude, sea mask, season twice
_YEAR = 365  # days


@dataclass(frozen=True)
class StaticFeatures:
    """What does not change with the gaps."""

    place: Tensor  # (3, lat, lon) latitude and longitude in [-1, 1], sea mask
    season: Tensor  # (time, 2) cosine and sine of its phase


@dataclass(frozen=True)
class NetworkInputs:
    """Variables under some gaps, with the first guess in them, in units of their anomalies' deviations.

    The first ones are the outputs of a network, the others it only sees.
    """

    anomaly: Tensor  # (variable, time, lat, lon) the observations, else the first guess, zero on land
    log_error: Tensor  # (variable, time, lat, lon) logarithm of their standard error, zero on land
    residual: Tensor  # (output, time, lat, lon) truth minus guess over the guess's error, NaN where unknown
    variance: Tensor  # (output, time, lat, lon) of an observation there, over the square of the guess's error
    weight: Tensor  # (output, time, lat, lon) how much each residual counts


def count_channels(window: int, variables: int = 1) -> int:
    """How many input channels a network has that sees ``window`` dates of so many variables."""
    return 2 * window * variables + _BESIDES


def sea_channel(window: int, variables: int = 1) -> int:
    """Which of these channels is the sea mask."""
    return 2 * window * variables + 2


Bounds = tuple[tuple[float, float], tuple[float, float]]


def static_features(field: Field, long: bool | None = None, bounds: Bounds | None = None) -> StaticFeatures:
    """Position, sea mask and season of a field; only the sea mask of one that is no year ``long``.

    There each season comes once, and a network that knows when and where it is learns the field by heart.
    Of a part of a longer record ``long`` says how long that is, of a part of a wider one ``bounds`` where it
    begins and ends: in latitude and in longitude.
    """

    def scaled(degrees: NDArray[np.float64], ends: tuple[float, float] | None) -> NDArray[np.float64]:
        low, high = ends or (degrees.min(), degrees.max())
        return 2 * (degrees - low) / max(high - low, 1e-6) - 1

    north, east = bounds or (None, None)
    place = np.stack([scaled(field.lat, north), scaled(field.lon, east), field.sea]).astype(np.float32)
    angle = 2 * np.pi * field.season
    season = np.stack([np.cos(angle), np.sin(angle)], axis=1).astype(np.float32)
    if not (field.days[-1] - field.days[0] >= _YEAR if long is None else long):
        place[:2], season[:] = 0, 0
    return StaticFeatures(torch.from_numpy(place), torch.from_numpy(season))


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
    """The scene of one variable as it is ``seen``.

    ``mean`` (lat, lon) is what anomalies are taken from; ``guess`` and ``error`` (time, lat, lon) hold where
    nothing is seen; ``noise`` is the variance of an observation without an error variance of its own, in the
    units of the field squared; ``truth`` (time, lat, lon) is finite where values were hidden.
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


def stack_variables(scenes: Sequence[NetworkInputs], outputs: int) -> NetworkInputs:
    """One scene of several variables, of which the first ``outputs`` are to be said."""
    if len(scenes) == 1:
        return scenes[0]
    said = scenes[:outputs]
    return NetworkInputs(
        torch.cat([one.anomaly for one in scenes]),
        torch.cat([one.log_error for one in scenes]),
        torch.cat([one.residual for one in said]),
        torch.cat([one.variance for one in said]),
        torch.cat([one.weight for one in said]),
    )


def assemble_inputs(
    make_network_inputs: NetworkInputs,
    around: StaticFeatures,
    date: int,
    window: int,
    y: slice,
    x: slice,
    into: NDArray[np.float32] | None = None,
) -> Tensor:
    """(channels, rows, columns) what the network sees of the date and its window in some ``y`` and ``x``.

    For each variable the anomalies of the dates and then their log errors; after these latitude, longitude,
    sea mask and season. Dates before the first and after the last are unknown: no anomaly, an error of one
    standard deviation. It is written ``into`` an array of that shape, where one is given.
    """
    # By views of numpy: to slice tensors takes longer than to copy what is in them.
    place = around.place.numpy()[:, y, x]
    variables, dates = make_network_inputs.anomaly.shape[:2]
    shape = count_channels(window, variables), *place.shape[1:]
    made = np.empty(shape, np.float32) if into is None else into
    first, last = date - window // 2, date + window // 2 + 1
    inside = slice(max(first, 0), min(last, dates))
    start, stop = inside.start - first, inside.stop - first
    dated = made[:-_BESIDES].reshape(variables, 2, window, *place.shape[1:])
    dated[:, :, :start] = dated[:, :, stop:] = 0
    dated[:, 0, start:stop] = make_network_inputs.anomaly.numpy()[:, inside, y, x]
    dated[:, 1, start:stop] = make_network_inputs.log_error.numpy()[:, inside, y, x]
    made[-_BESIDES:-2] = place
    made[-2:] = around.season.numpy()[date][:, None, None]
    return torch.from_numpy(made)
