"""A gappy field, opened and checked."""

from __future__ import annotations

from dataclasses import dataclass, field as dataclass_field, replace

import numpy as np
import xarray as xr
from numpy.typing import NDArray


class InputError(ValueError):
    """A fault in what the user gave: one sentence with the file, what was found and what to do."""


@dataclass(frozen=True)
class Field:
    """One variable on (time, lat, lon), with what the gap fillers need to know about it.

    ``values`` are in the space they are filled in (logarithms under ``transform="log"``).
    """

    name: str
    values: NDArray[np.float32]  # (time, lat, lon), NaN where missing or land
    sea: NDArray[np.bool_]  # (lat, lon)
    error_variance: NDArray[np.float32]  # (time, lat, lon) observation error variance, units of values squared
    days: NDArray[np.float64]  # (time,) days since the first date, increasing
    season: NDArray[np.float64]  # (time,) fraction of the year in [0, 1)
    lat: NDArray[np.float64]  # (lat, lon) degrees north
    lon: NDArray[np.float64]  # (lat, lon) degrees east, without a jump inside the domain
    source: xr.DataArray  # the variable as it was opened, in its own order of dimensions
    transform: str = "none"  # or "log"
    oddities: tuple[str, ...] = dataclass_field(default=())

    @property
    def observed(self) -> NDArray[np.bool_]:
        """(time, lat, lon) True where a value was seen."""
        return np.isfinite(self.values)

    def hide(self, hidden: NDArray[np.bool_]) -> Field:
        """The same field without the values at ``hidden`` (time, lat, lon)."""
        return replace(self, values=np.where(hidden, np.float32(np.nan), self.values))
