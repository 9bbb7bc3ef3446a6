"""Network inputs of DINCAE: anomalies over their error variance, its reciprocal, position and season."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from ...classical.kriging import pixel_means
from ...io.field import Field
from ...training.features import make_static_features
from ...training.firstguess import measure_spread


@dataclass(frozen=True)
class NormalisedField:
    """A field in standard deviations of its anomalies; 0 on land and where nothing is observed."""

    anomaly: Tensor  # (time, lat, lon)
    precision: Tensor  # (time, lat, lon) reciprocal of the observation error variance
    place: Tensor  # (2, lat, lon) latitude and longitude in [-1, 1]
    season: Tensor  # (time, 2) cosine and sine of its phase


def normalise_field(field: Field, error_variance: float) -> NormalisedField:
    """Normalise a field; ``error_variance``, normalised, applies to values without one of their own."""
    own = field.error_variance / measure_spread(field) ** 2
    variance = np.where(own > 0, own, error_variance)
    anomaly = np.where(field.observed, (field.values - pixel_means(field)) / measure_spread(field), 0)
    static = make_static_features(field, long=True)
    return NormalisedField(
        torch.from_numpy(anomaly.astype(np.float32)),
        torch.from_numpy(np.where(field.observed, 1 / variance, 0).astype(np.float32)),
        static.place[:2],
        static.season,
    )


def count_input_channels(window: int) -> int:
    """Count the input channels of a network with a window of so many dates."""
    return 2 * window + 4


def select_window(values: Tensor, date: int, window: int) -> Tensor:
    """Select ``window`` dates around one of (time, lat, lon); 0 before the first and after the last."""
    first, last = date - window // 2, date + window // 2 + 1
    inside = values[max(first, 0) : last]
    selected = torch.zeros(window, *values.shape[1:])
    start = max(-first, 0)
    selected[start : start + len(inside)] = inside
    return selected


def stack_channels(anomaly: Tensor, precision: Tensor, place: Tensor, season: Tensor) -> Tensor:
    """Stack (2 window + 4, lat, lon): anomaly times precision and precision by date, place and season."""
    maps = season[:, None, None].expand(-1, *place.shape[1:])
    return torch.cat([anomaly * precision, precision, place, maps])


class PredictionDates(Dataset[Tensor]):
    """Network inputs (2 window + 4, lat, lon) of each date, with all observations."""

    def __init__(self, field: NormalisedField, window: int) -> None:
        self.field, self.window = field, window

    def __len__(self) -> int:
        return len(self.field.anomaly)

    def __getitem__(self, date: int) -> Tensor:
        anomaly, precision = (
            select_window(part, date, self.window) for part in (self.field.anomaly, self.field.precision)
        )
        return stack_channels(anomaly, precision, self.field.place, self.field.season[date])


class TrainingDates(Dataset[tuple[Tensor, Tensor, Tensor, Tensor]]):
    """Each date under the clouds of another one, drawn at random, which do not hide the neighbouring dates.

    An item has the network inputs (2 window + 4, lat, lon), and of the date itself the anomalies, hidden ones
    included, their error variances and the mask of observations (lat, lon). Noise of ``jitter`` standard
    deviations is added to the input anomalies. Without ``clouds`` nothing is hidden.
    """

    def __init__(self, field: NormalisedField, window: int, jitter: float, clouds: bool = True) -> None:
        self.field, self.window, self.jitter, self.clouds = field, window, jitter, clouds

    def __len__(self) -> int:
        return len(self.field.anomaly)

    def __getitem__(self, date: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        field = self.field
        anomaly, precision = (
            select_window(part, date, self.window) for part in (field.anomaly, field.precision)
        )
        anomaly += self.jitter * torch.randn(anomaly.shape)
        if self.clouds and len(self) > 1:
            other = (date + int(torch.randint(1, len(self), ()))) % len(self)
            precision[self.window // 2][field.precision[other] == 0] = 0
        inputs = stack_channels(anomaly, precision, field.place, field.season[date])
        observed = field.precision[date] > 0
        return inputs, field.anomaly[date], 1 / field.precision[date], observed.float()
