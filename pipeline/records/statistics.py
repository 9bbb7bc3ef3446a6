"""Numbers, means and deviations of each pixel, of parts that are put together exactly."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass
class Statistics:
    """Numbers, means and sums of squared deviations of pixels, whole and by calendar month."""

    number: NDArray[np.int32]  # (13, lat, lon) in the first all dates, then the months
    mean: NDArray[np.float64]  # (13, lat, lon)
    squares: NDArray[np.float64]  # (lat, lon) of all dates

    @staticmethod
    def of(values: NDArray[np.floating], month: NDArray[np.integer]) -> Statistics:
        """Of values (time, lat, lon), NaN where missing, in the ``month`` (time,) from 1 to 12."""
        number = np.zeros((13, *values.shape[1:]), np.int32)
        mean = np.zeros(number.shape)
        for k, chosen in [(0, values), *((m, values[month == m]) for m in np.unique(month))]:
            seen = np.isfinite(chosen)
            number[k] = seen.sum(axis=0)
            total = np.where(seen, chosen, 0).sum(axis=0, dtype=np.float64)
            mean[k] = total / np.maximum(number[k], 1)
        deviation = np.where(np.isfinite(values), values - mean[0], 0)
        return Statistics(number, mean, (deviation**2).sum(axis=0, dtype=np.float64))

    def add(self, other: Statistics) -> None:
        """Those of both together (Chan, Golub and LeVeque 1983, doi:10.1080/00031305.1983.10483115, eq. 2.1).

        Only months that the other has are touched: a global map has 37 million pixels.
        """
        for k in np.flatnonzero(other.number.any(axis=(1, 2))):
            number = self.number[k] + other.number[k]
            share = other.number[k] / np.maximum(number, 1)
            apart = other.mean[k] - self.mean[k]
            if k == 0:
                self.squares += other.squares
                self.squares += apart**2 * self.number[0] * share
            self.mean[k] += apart * share
            self.number[k] = number
