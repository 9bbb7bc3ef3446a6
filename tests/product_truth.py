"""A smooth known field, its clouds, and what a product of it should be read as."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

DATES, ROWS, COLUMNS = 10, 12, 14
SHAPE = DATES, ROWS, COLUMNS
DAYS = pd.date_range("2019-06-01", periods=DATES)
LAT = 36 + 0.25 * np.arange(ROWS)
LON = 2 + 0.25 * np.arange(COLUMNS)


@dataclass(frozen=True)
class Product:
    """The files of a product, and what is right: all arrays are (time, y, x) in the order of the file."""

    paths: list[Path]
    name: str  # of the variable that is filled
    truth: NDArray[np.floating]  # in the units of the file
    kept: NDArray[np.bool_]  # values that are neither missing nor flagged
    dates: pd.DatetimeIndex
    bound: float  # of the RMSE, in the units of the file or, of logarithms, relative
    said: tuple[str, ...] = ()  # in `input_treatment`
    sea: NDArray[np.bool_] = field(default_factory=lambda: np.ones(SHAPE[1:], bool))  # (y, x)
    log: bool = False  # filled in logarithms
    error: float | None = None  # median observation error, of logarithms where these are filled


def make_truth(mean: float = 18.0, spread: float = 2.0) -> NDArray[np.float64]:
    """Waves that move eastward, (time, lat, lon)."""
    t, y, x = np.meshgrid(*map(np.arange, SHAPE), indexing="ij")
    return mean + spread * (np.sin(x / 3 - 0.15 * t) + 0.5 * np.cos(y / 3 + 0.1 * t))


def make_clouds(seed: int = 0, share: float = 0.25) -> NDArray[np.bool_]:
    """True where a value is hidden, (time, lat, lon)."""
    return np.random.default_rng(seed).random(SHAPE) < share


def pack(dtype: str, scale: float, offset: float, fill: int) -> dict[str, Any]:
    """The encoding of packed integers."""
    return {"dtype": dtype, "scale_factor": scale, "add_offset": offset, "_FillValue": fill}


def axes(lat: Any = LAT, lon: Any = LON, names: tuple[str, str] = ("lat", "lon"), **attrs: Any) -> dict:
    """Latitude and longitude as coordinates, single precision."""
    return {
        name: (name, np.asarray(values, np.float32), {"units": units, "standard_name": standard} | attrs)
        for name, values, units, standard in (
            (names[0], lat, "degrees_north", "latitude"),
            (names[1], lon, "degrees_east", "longitude"),
        )
    }
