"""A small complete field that tests spoil, and how it is written."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import xarray as xr


def series(nt: int = 4, ny: int = 3, nx: int = 5, seed: int = 0) -> xr.Dataset:
    """A small complete field without a mask."""
    values = np.random.default_rng(seed).normal(15, 2, (nt, ny, nx)).astype(np.float32)
    dates = np.datetime64("2020-02-27", "ns") + np.arange(nt) * np.timedelta64(1, "D")
    coords = {"time": dates, "lat": 40 + np.arange(ny) / 4, "lon": -3 + np.arange(nx) / 4}
    return xr.Dataset(
        {"sst": (("time", "lat", "lon"), values, {"units": "degC", "long_name": "temperature"})}, coords
    )


def write(dataset: xr.Dataset, path: Path) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # zarr's remarks on formats
        if path.suffix == ".zarr":
            dataset.to_zarr(path, consolidated=False)
        else:
            dataset.to_netcdf(path, format="NETCDF3_64BIT" if path.stem.endswith("classic") else "NETCDF4")
    return path
