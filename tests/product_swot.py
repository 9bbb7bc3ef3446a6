"""SWOT level 3 swaths with the header of AVISO's files; the values are those of `tracks.level`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from tracks import level

LINES, PIXELS, DATES = 40, 31, 10
WRONG = 3.0  # m by which flagged values are wrong
VALUES = np.array([0, 5, 10, 20, 30, 50, 70, 100, 101, 102], np.uint8)
MEANINGS = (
    "good_data pixel_on_land_or_coast polar_region xtrack_edge unexpected_value spike suspected_coastal "
    "rain_or_ice expert_edited bad_data"
)


def write_swot(folder: Path, expert: bool = True) -> list[str]:
    """Two passes a day around the date line; the basic files have edited values in place of flags."""
    paths = []
    dims = ("num_lines", "num_pixels")
    for number in range(2 * DATES):
        rng = np.random.default_rng(number)
        day = 0.5 * number + 0.2
        down, across = np.linspace(0, 1, LINES)[:, None], np.linspace(-1, 1, PIXELS)[None]
        lat = 39.8 + 3.4 * down - 0.2 * across
        lon = rng.uniform(178.5, 181.5) + 0.6 * down + 0.7 * across
        time = day + 0.0005 * down[:, 0]
        value = level(time[:, None], lat, lon)
        value[:, 14:17] = np.nan  # below the satellite
        quality = rng.choice(VALUES, lat.shape, p=[0.7, *[0.3 / 9] * 9]).astype(np.uint8)
        bad = quality > 0
        edited = np.where(bad, value + WRONG, value) if expert else np.where(bad, np.nan, value)
        height = {"units": "m", "standard_name": "sea_surface_height_above_sea_level"}

        def swath(values: Any, text: str, **attrs: Any) -> tuple[Any, ...]:
            return dims, values, {"units": "m", "long_name": text} | attrs

        data = xr.Dataset(
            {
                "i_num_line": ("num_nadir", np.arange(LINES, dtype=np.int16)),
                "i_num_pixel": ("num_nadir", np.full(LINES, 15, np.int8)),
                "mdt": swath(np.full(lat.shape, 0.5), "mean dynamic topography"),
                "ssha_filtered": swath(edited, "denoised sea surface height anomaly", **height),
                "ssha_unfiltered": swath(edited + 0.02, "sea surface height anomaly", **height),
            },
            {
                "time": (
                    "num_lines",
                    86400 * (time + 7305),
                    {"units": "seconds since 2000-01-01 00:00:00.0"},
                ),
                "latitude": (dims, lat, {"units": "degrees_north", "standard_name": "latitude"}),
                "longitude": (dims, lon % 360, {"units": "degrees_east", "standard_name": "longitude"}),
            },
            {"cdm_data_type": "Swath", "platform": "SWOT", "cycle_number": 1, "pass_number": number},
        )
        if expert:
            whole = np.ones(lat.shape)
            data = data.assign(
                ssha_unedited=swath(edited + 0.02, "sea surface height anomaly not edited", **height),
                quality_flag=(
                    dims,
                    quality,
                    {
                        "flag_values": VALUES,
                        "flag_meanings": MEANINGS,
                        "standard_name": "status_flag",
                        "valid_min": np.uint8(0),
                        "valid_max": np.uint8(102),
                    },
                ),
                mss=swath(20 * whole, "mean sea surface"),
                dac=swath(0.05 * whole, "dynamic atmospheric correction"),
                ocean_tide=swath(0.2 * whole, "ocean tide model"),
                calibration=swath(0.01 * whole, "crossover calibration"),
                ugos_filtered=(
                    dims,
                    0.1 * whole,
                    {"units": "m/s", "long_name": "zonal geostrophic velocity"},
                ),
                vgos_filtered=(dims, 0.1 * whole, {"units": "m/s", "long_name": "meridional velocity"}),
                sigma0=(dims, 13 * whole, {"units": "1", "long_name": "normalized radar cross section"}),
                cross_track_distance=(dims, 60 * across * whole, {"units": "km"}),
            )
        whole_number = pack_heights(data)
        name = "Expert" if expert else "Basic"
        path = folder / f"SWOT_L3_LR_SSH_{name}_001_{number:03d}_20200101T000000_20200101T005000_v2.0.1.nc"
        data.to_netcdf(path, encoding=whole_number)
        paths.append(str(path))
    return paths


def pack_heights(data: xr.Dataset) -> dict[str, Any]:
    """Heights are packed in tenths of millimetres, positions in millionths of a degree."""
    packed = {"dtype": "i4", "scale_factor": 1e-4, "add_offset": 0.0, "_FillValue": 2147483647}
    degrees = {"dtype": "i4", "scale_factor": 1e-6, "_FillValue": 2147483647}
    encoding: dict[str, Any] = {
        str(name): packed for name, array in data.data_vars.items() if array.attrs.get("units") == "m"
    }
    return encoding | {"latitude": degrees, "longitude": degrees}
