"""Files as `fill` writes them, of maps that a test chooses."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

DIMS = ("time", "lat", "lon")


def make_filled(
    values: Any,
    lat: Any,
    lon: Any,
    *,
    name: str = "sst",
    error: Any = 0.1,
    source: Any = 2,
    samples: Any = None,
    start: str = "2020-01-01",
    **attrs: Any,
) -> xr.Dataset:
    """A filled dataset of ``values`` (time, lat, lon), daily; NaN is land. ``attrs`` are the variable's."""
    values = np.asarray(values, np.float64)
    land = np.isnan(values)
    attrs = {"units": "degree_Celsius", "long_name": "sea surface temperature"} | attrs
    whole = np.broadcast_to(np.asarray(error, np.float32), values.shape)

    def axis(name: str, units: str, letter: str) -> dict[str, str]:
        return {"standard_name": name, "long_name": name, "units": units, "axis": letter}

    made = xr.Dataset(
        {
            name: (DIMS, values, attrs),
            f"{name}_analysis": (DIMS, values, attrs),
            f"{name}_error": (DIMS, np.where(land, np.nan, whole), {"units": attrs["units"]}),
            f"{name}_source": (DIMS, np.where(land, 0, source).astype(np.int8)),
        },
        {
            "time": (
                "time",
                np.datetime64(start, "ns") + np.arange(len(values)) * np.timedelta64(1, "D"),
                {"standard_name": "time", "long_name": "time", "axis": "T"},
            ),
            "lat": ("lat", np.asarray(lat, float), axis("latitude", "degrees_north", "Y")),
            "lon": ("lon", np.asarray(lon, float), axis("longitude", "degrees_east", "X")),
        },
        {"history": "made by a test", "summary": "maps of a test", "keywords": "oceans"},
    )
    if samples is not None:
        made[f"{name}_samples"] = (("sample", *DIMS), np.asarray(samples, np.float64), attrs)
        made = made.assign_coords(sample=np.arange(len(samples)))
    return made
