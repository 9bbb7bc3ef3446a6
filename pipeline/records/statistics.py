"""Counts, means and deviations of each pixel, computed in parts and merged exactly."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass
class Statistics:
    """Counts, means and sums of squared deviations of each pixel, over all dates and by calendar month."""

    number: NDArray[np.int32]  # (13, lat, lon) observed values: of all dates, then of each month
    mean: NDArray[np.float64]  # (13, lat, lon)
    squares: NDArray[np.float64]  # (lat, lon) of all dates
    positive: NDArray[np.int32]  # (lat, lon) values above zero, those with a logarithm
    sea: NDArray[np.bool_]  # (lat, lon) sea on any date

    @staticmethod
    def compute(
        values: NDArray[np.floating], month: NDArray[np.integer], sea: NDArray[np.bool_]
    ) -> Statistics:
        """Compute those of values (time, lat, lon), NaN where missing, in the ``month`` (time,) from 1 to 12.

        ``sea`` (lat, lon) is sea on any of these dates.
        """
        number = np.zeros((13, *values.shape[1:]), np.int32)
        mean = np.zeros(number.shape)
        for k, chosen in [(0, values), *((m, values[month == m]) for m in np.unique(month))]:
            observed = np.isfinite(chosen)
            number[k] = observed.sum(axis=0)
            total = np.where(observed, chosen, 0).sum(axis=0, dtype=np.float64)
            mean[k] = total / np.maximum(number[k], 1)
        deviation = np.where(np.isfinite(values), values - mean[0], 0)
        squares = (deviation**2).sum(axis=0, dtype=np.float64)
        return Statistics(number, mean, squares, (values > 0).sum(axis=0, dtype=np.int32), sea)

    def add(self, other: Statistics) -> None:
        """Add other dates (Chan, Golub and LeVeque 1983, doi:10.1080/00031305.1983.10483115, eq. 2.1).

        Only months with values in the other are touched: a global map has 37 million pixels.
        """
        for k in np.flatnonzero(other.number.any(axis=(1, 2))):
            number = self.number[k] + other.number[k]
            fraction = other.number[k] / np.maximum(number, 1)
            difference = other.mean[k] - self.mean[k]
            if k == 0:
                self.squares += other.squares
                self.squares += difference**2 * self.number[0] * fraction
            self.mean[k] += difference * fraction
            self.number[k] = number
        self.positive += other.positive
        self.sea |= other.sea
