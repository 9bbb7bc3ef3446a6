"""Small along-track files of our own making."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import xarray as xr

BOUNDS = (40.0, 43.0, 178.0, -178.0)  # across the date line


def level(time: np.ndarray, lat: np.ndarray, lon: np.ndarray) -> np.ndarray:
    """A smooth sea level in metres, at days since 2020-01-01 and places in degrees."""
    east = np.mod(lon, 360) - 180
    return 0.2 * np.sin(1.5 * east + 0.1 * time) * np.cos(1.2 * (lat - 40)) + 0.1 * np.cos(2 * east)


def mission(name: str, dates: int = 12, noise: float = 0.01, seed: int = 0) -> xr.Dataset:
    """Two passes a day of 30 points each, a second apart, as Copernicus Marine lays them out."""
    rng = np.random.default_rng(seed)
    times, lats, lons = [], [], []
    for date in range(dates):
        for turn in range(2):
            start = date + rng.uniform(0, 0.4) + 0.5 * turn
            along = np.arange(30)
            times.append(start + along / 86400)
            lats.append(40.05 + 0.1 * along if turn else 42.95 - 0.1 * along)
            lons.append(rng.uniform(178.2, 180.8) + 0.03 * along)
    time, lat, lon = (np.concatenate(part) for part in (times, lats, lons))
    value = level(time, lat, lon) + noise * rng.standard_normal(len(time))
    attrs = {"units": "m", "standard_name": "sea_surface_height_above_sea_level"}
    days = np.datetime64("2020-01-01", "ns") + (time * 86400e9).astype("timedelta64[ns]")
    return xr.Dataset(
        {
            "sla_unfiltered": ("time", value + 0.001, attrs),
            "sla_filtered": ("time", value, attrs),
            "cycle": ("time", np.ones(len(time), np.int16)),
        },
        {
            "time": days,
            "latitude": ("time", lat, {"units": "degrees_north", "standard_name": "latitude"}),
            "longitude": (
                "time",
                np.mod(lon + 180, 360) - 180,
                {"units": "degrees_east", "standard_name": "longitude"},
            ),
        },
        {"platform": name},
    )


def write_missions(folder: Path, **made: xr.Dataset) -> list[str]:
    """Packed, as the files of Copernicus Marine are."""
    packed = {"dtype": "int16", "scale_factor": 0.0001, "_FillValue": 32767}
    encoding = {name: packed for name in ("sla_filtered", "sla_unfiltered")}
    paths = [folder / f"dt_global_{name}_phy_l3_20200101_20200112.nc" for name in made]
    for path, dataset in zip(paths, made.values(), strict=True):
        dataset.to_netcdf(path, encoding=encoding)
    return [str(path) for path in paths]
