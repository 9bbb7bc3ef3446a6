"""A field as DINCAE sees it: anomalies over their error variance and one over it, place and season."""

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
class Series:
    """A field in standard deviations of its anomalies; 0 on land and where nothing is observed."""

    anomaly: Tensor  # (time, lat, lon)
    precision: Tensor  # (time, lat, lon) one over the variance of the observation's error
    place: Tensor  # (2, lat, lon) latitude and longitude in [-1, 1]
    season: Tensor  # (time, 2) cosine and sine of its phase


def series(field: Field, error_variance: float) -> Series:
    """The series of a field; ``error_variance`` is of values without one of their own, in the same units."""
    own = field.error_variance / measure_spread(field) ** 2
    variance = np.where(own > 0, own, error_variance)
    anomaly = np.where(field.observed, (field.values - pixel_means(field)) / measure_spread(field), 0)
    around = make_static_features(field, long=True)
    return Series(
        torch.from_numpy(anomaly.astype(np.float32)),
        torch.from_numpy(np.where(field.observed, 1 / variance, 0).astype(np.float32)),
        around.place[:2],
        around.season,
    )


def channels(window: int) -> int:
    """How many inputs a network has that sees ``window`` dates."""
    return 2 * window + 4


def around(values: Tensor, date: int, window: int) -> Tensor:
    """(window, lat, lon) of (time, lat, lon) around a date; 0 before the first and after the last."""
    first, last = date - window // 2, date + window // 2 + 1
    inside = values[max(first, 0) : last]
    seen = torch.zeros(window, *values.shape[1:])
    start = max(-first, 0)
    seen[start : start + len(inside)] = inside
    return seen


def encoded(anomaly: Tensor, precision: Tensor, place: Tensor, season: Tensor) -> Tensor:
    """(2 window + 4, lat, lon): anomaly over variance and one over it, of each date; place; season."""
    there = season[:, None, None].expand(-1, *place.shape[1:])
    return torch.cat([anomaly * precision, precision, place, there])


class Shown(Dataset[Tensor]):
    """What a network sees of each date, with all that is observed."""

    def __init__(self, whole: Series, window: int) -> None:
        self.whole, self.window = whole, window

    def __len__(self) -> int:
        return len(self.whole.anomaly)

    def __getitem__(self, date: int) -> Tensor:
        anomaly, precision = (
            around(part, date, self.window) for part in (self.whole.anomaly, self.whole.precision)
        )
        return encoded(anomaly, precision, self.whole.place, self.whole.season[date])


class Clouded(Dataset[tuple[Tensor, Tensor, Tensor, Tensor]]):
    """Each date under the clouds of a random other one, which hide nothing of the dates around it.

    An item is what is seen (2 window + 4, lat, lon), the anomalies of the date with what was hidden, the
    variance of their error, and where they count (lat, lon). All that is seen has noise of ``jitter``
    standard deviations added. Without ``clouds`` nothing is hidden.
    """

    def __init__(self, whole: Series, window: int, jitter: float, clouds: bool = True) -> None:
        self.whole, self.window, self.jitter, self.clouds = whole, window, jitter, clouds

    def __len__(self) -> int:
        return len(self.whole.anomaly)

    def __getitem__(self, date: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        whole = self.whole
        anomaly, precision = (around(part, date, self.window) for part in (whole.anomaly, whole.precision))
        anomaly += self.jitter * torch.randn(anomaly.shape)
        if self.clouds and len(self) > 1:
            other = (date + int(torch.randint(1, len(self), ()))) % len(self)
            precision[self.window // 2][whole.precision[other] == 0] = 0
        seen = encoded(anomaly, precision, whole.place, whole.season[date])
        known = whole.precision[date] > 0
        return seen, whole.anomaly[date], 1 / whole.precision[date], known.float()
