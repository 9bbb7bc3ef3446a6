"""Small fields of our own making, with what is under their clouds."""

from __future__ import annotations

import numpy as np
import xarray as xr
from oceanfill.pipeline.field import Field, open_field
from scipy.ndimage import gaussian_filter


def cloudy_dataset(dates: int = 24, rows: int = 20, columns: int = 24, seed: int = 0) -> xr.Dataset:
    """Smooth temperatures ``sst`` under smooth clouds, a sea mask, and the ``truth``.

    About half of the sea is hidden; noise 0.02; the first column and a corner are land.
    """
    rng = np.random.default_rng(seed)
    truth = 15 + 3 * unit(gaussian_filter(rng.standard_normal((dates, rows, columns)), (2, 3, 3)))
    clouds = unit(gaussian_filter(rng.standard_normal((dates, rows, columns)), (0.8, 3, 3)))
    sea = np.ones((rows, columns), bool)
    sea[:, 0] = sea[:4, :5] = False
    seen = np.where(sea & (clouds < 0), truth + 0.02 * rng.standard_normal(truth.shape), np.nan)
    dims = ("time", "lat", "lon")
    return xr.Dataset(
        {
            "sst": (dims, seen.astype(np.float32), {"units": "degree_Celsius"}),
            "mask": (dims[1:], sea.astype(np.int8), {"flag_values": [0, 1], "flag_meanings": "land sea"}),
        },
        {
            "time": np.datetime64("2020-01-01", "ns") + np.arange(dates) * np.timedelta64(1, "D"),
            "lat": 35 + 0.1 * np.arange(rows),
            "lon": -6 + 0.1 * np.arange(columns),
        },
    ).assign(truth=(dims, np.where(sea, truth, np.nan)))


def cloudy_field(**options: int) -> Field:
    """The same as a `Field`."""
    return open_field(cloudy_dataset(**options), variable="sst")


def unit(values: np.ndarray) -> np.ndarray:
    """Without mean, of variance one."""
    return (values - values.mean()) / values.std()
