"""Maps with the header of NASA OB.DAAC's level-3 mapped files: no time variable, southward, a palette."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

DAYS = pd.date_range("2019-06-01", periods=14)


def chlorophyll(dates: int = 14, rows: int = 10, columns: int = 12) -> np.ndarray:
    """(time, lat, lon) mg m-3, northward; waves that move eastward."""
    t, y, x = np.meshgrid(np.arange(dates), np.arange(rows), np.arange(columns), indexing="ij")
    return np.exp(0.5 * np.sin((x - 0.7 * t) / 2) + 0.3 * np.cos(y / 3))


def write_l3m(
    folder: Path, numbers: list[int], satellite: str = "AQUA", attributes: bool = True, name: bool = True
) -> list[Path]:
    """Write the maps of some of the `DAYS`, a third of each hidden by clouds, and return the paths.

    The coverage begins and ends with orbits, minutes after midnight and hours into the next day.
    """
    values = chlorophyll()
    clouds = np.random.default_rng(len(satellite)).random(values.shape) < 1 / 3
    paths = []
    for number in numbers:
        day = DAYS[number]
        seen = np.where(clouds[number], np.nan, values[number])[::-1].astype(np.float32)
        attrs = {
            "units": "mg m^-3",
            "standard_name": "mass_concentration_of_chlorophyll_in_sea_water",
            "valid_min": np.float32(0.001),
            "valid_max": np.float32(100),
        }
        granule = f"{satellite}_MODIS.{day:%Y%m%d}.L3m.DAY.CHL.chlor_a.4km.nc"
        header = {
            "product_name": granule,
            "temporal_range": "day",
            "time_coverage_start": f"{day:%Y-%m-%d}T00:{20 + number}:09.000Z",
            "time_coverage_end": f"{day + pd.Timedelta(days=1):%Y-%m-%d}T02:55:0{number % 10}.000Z",
        }
        dataset = xr.Dataset(
            {
                "chlor_a": (("lat", "lon"), seen, attrs),
                "palette": (("rgb", "eightbitcolor"), np.zeros((3, 256), np.uint8)),
            },
            {
                "lat": ("lat", (36 + 0.25 * np.arange(10))[::-1].astype("f4"), {"units": "degrees_north"}),
                "lon": ("lon", (2 + 0.25 * np.arange(12)).astype("f4"), {"units": "degrees_east"}),
            },
            header if attributes else {},
        )
        path = folder / (granule if name else f"{satellite.lower()}{chr(97 + number)}.nc")
        dataset.to_netcdf(path, encoding={"chlor_a": {"_FillValue": np.float32(-32767)}})
        paths.append(path)
    return paths
