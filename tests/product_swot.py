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
        time, lat, lon, value = make_pass(number)
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
                cross_track_distance=(dims, 60 * (lon - lon.mean(1, keepdims=True)), {"units": "km"}),
            )
        whole_number = pack_heights(data)
        name = "Expert" if expert else "Basic"
        path = folder / f"SWOT_L3_LR_SSH_{name}_001_{number:03d}_20200101T000000_20200101T005000_v2.0.1.nc"
        data.to_netcdf(path, encoding=whole_number)
        paths.append(str(path))
    return paths


def make_pass(number: int) -> tuple[Any, Any, Any, Any]:
    """Days since 2020 (line,), latitude, longitude and height (line, pixel), none below the satellite."""
    down, across = np.linspace(0, 1, LINES)[:, None], np.linspace(-1, 1, PIXELS)[None]
    lat = 39.8 + 3.4 * down - 0.2 * across
    lon = np.random.default_rng(100 + number).uniform(178.5, 181.5) + 0.6 * down + 0.7 * across
    time = 0.5 * number + 0.2 + 0.0005 * down[:, 0]
    value = level(time[:, None], lat, lon)
    value[:, 14:17] = np.nan
    return time, lat, lon, value


def write_swot_l2(folder: Path) -> list[str]:
    """Level 2 low rate of CNES and JPL: two estimates of each height, flags with bits, nadir positions."""
    bits = {
        "flag_masks": np.array([8, 512, 4096, 2**30, 2**31], np.uint32),
        "flag_meanings": "suspect_large_ssh_delta suspect_less_than_nine_beams degraded_large_attitude "
        "bad_radiometer_corr_missing bad_not_usable",
        "standard_name": "status_flag",
        "valid_min": np.uint32(0),
        "valid_max": np.uint32(3774353208),
    }
    dims, paths = ("num_lines", "num_pixels"), []
    for number in range(2 * DATES):
        time, lat, lon, value = make_pass(number)
        masks = np.array([0, *bits["flag_masks"]], np.uint32)
        quality = np.random.default_rng(number).choice(masks, lat.shape, p=[0.75, *[0.05] * 5])
        value = np.where(quality > 0, value + WRONG, value)
        seconds = 86400 * (time + 7305)
        since = {"units": "seconds since 2000-01-01 00:00:00.0", "calendar": "gregorian"}

        def swath(values: Any, text: str = "", units: str = "m", number: int = number) -> tuple[Any, ...]:
            shape = (LINES, PIXELS)
            return dims, np.broadcast_to(values, shape), {"units": units, "long_name": text}

        data = xr.Dataset(
            {
                "time_tai": ("num_lines", seconds + 37, since | {"long_name": "time in TAI"}),
                "latitude_nadir": ("num_lines", lat[:, 15], {"units": "degrees_north"}),
                "longitude_nadir": ("num_lines", lon[:, 15] % 360, {"units": "degrees_east"}),
                "ssh_karin": swath(value + 20, "sea surface height"),
                "ssh_karin_2": swath(value + 20, "sea surface height"),
                "ssha_karin": swath(value + 0.1, "sea surface height anomaly"),
                "ssha_karin_2": swath(value, "sea surface height anomaly"),
                "ssh_karin_uncert": swath(0.01, "sea surface height anomaly uncertainty"),
                "height_cor_xover": swath(0.1, "height correction from KaRIn crossovers"),
                "mean_sea_surface_cnescls": swath(20.0, "mean sea surface height (CNES/CLS)"),
                "ocean_tide_fes": swath(0.2, "geocentric ocean tide height (FES)"),
                "depth_or_elevation": swath(-4000.0, "ocean depth or land elevation"),
                "distance_to_coast": swath(1e5, "distance to coast"),
                "swh_karin": swath(2.0, "significant wave height from KaRIn"),
                "sig0_karin_2": swath(12.0, "normalized radar cross section", "1"),
                "wind_speed_karin": swath(7.0, "wind speed from KaRIn", "m/s"),
                "ssha_karin_qual": (dims, quality, bits | {"long_name": "quality flag"}),
                "ssha_karin_2_qual": (dims, quality, bits | {"long_name": "quality flag"}),
            },
            {
                "time": ("num_lines", seconds, since | {"standard_name": "time"}),
                "latitude": (dims, lat, {"units": "degrees_north", "standard_name": "latitude"}),
                "longitude": (dims, lon % 360, {"units": "degrees_east", "standard_name": "longitude"}),
            },
            {"mission_name": "SWOT", "short_name": "L2_LR_SSH", "cycle_number": 1, "pass_number": number},
        )
        data.ssha_karin.attrs["quality_flag"] = "ssha_karin_qual"
        data.ssha_karin_2.attrs["quality_flag"] = "ssha_karin_2_qual"
        path = folder / f"SWOT_L2_LR_SSH_Expert_001_{number:03d}_20200101T000000_20200101T005000_PIC0_01.nc"
        data.to_netcdf(path, encoding=pack_heights(data))
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
