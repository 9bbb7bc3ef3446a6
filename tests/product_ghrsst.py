"""GHRSST L3 files with the variables, attributes and packing of ACSPO and MODIS; the values are made up."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import xarray as xr
from scipy.ndimage import gaussian_filter

DIMS = ("time", "lat", "lon")
MEANINGS = "no_data bad_data worst_quality low_quality acceptable_quality best_quality"
CLOUD_EDGE = 4.0  # K that values of quality 2 and 3 are too cold
BIAS = 0.5  # K that all values are too warm, and sses_bias says so


def make_truth(dates: int = 14, rows: int = 10, columns: int = 12) -> np.ndarray:
    """A smooth field in kelvin (time, lat, lon)."""
    noise = np.random.default_rng(0).standard_normal((dates, rows, columns))
    smooth = gaussian_filter(noise, 2, mode="wrap")
    return 290 + 2 * smooth / smooth.std()


def make_ghrsst(**sizes: int) -> xr.Dataset:
    """An L3C dataset: clouds (quality 0), their edges (2 and 3, too cold) and clear sea (4 and 5)."""
    truth = make_truth(**sizes)
    rng = np.random.default_rng(1)
    veil = gaussian_filter(rng.standard_normal(truth.shape), (0.5, 1.5, 1.5), mode="wrap")
    level = np.digitize(veil / veil.std(), [-0.7, -0.4, -0.1, 0.8])  # 0 is cloudy, then 1 to 4
    quality = np.array([0, 2, 3, 4, 5], np.int8)[level]
    clear = quality >= 4
    value = truth + BIAS - np.where(clear, 0, CLOUD_EDGE)
    value[quality == 0] = np.nan
    deviation = np.where(quality == 0, np.nan, 0.3)
    deviation[clear & (rng.random(truth.shape) < 0.2)] = np.nan
    dates, rows, columns = truth.shape
    whole = np.full(truth.shape, 1.0)
    kelvin = {"units": "kelvin"}
    flags = np.zeros(truth.shape, np.int16)
    flags[:, 0, 0] = 2  # land
    return xr.Dataset(
        {
            "sea_surface_temperature": (
                DIMS,
                value,
                kelvin | {"standard_name": "sea_surface_subskin_temperature", "long_name": "SST"},
            ),
            "sst_dtime": (DIMS, whole, {"units": "seconds", "long_name": "time difference"}),
            "sses_bias": (DIMS, np.where(quality == 0, np.nan, BIAS), kelvin),
            "sses_standard_deviation": (DIMS, deviation, kelvin),
            "dt_analysis": (DIMS, whole, kelvin | {"long_name": "deviation from the analysis"}),
            "wind_speed": (DIMS, 5 * whole, {"units": "m s-1", "standard_name": "wind_speed"}),
            "sea_ice_fraction": (DIMS, 0 * whole, {"standard_name": "sea_ice_area_fraction"}),
            "sst_gradient_magnitude": (DIMS, whole, {"units": "kelvin km-1"}),
            "satellite_zenith_angle": (DIMS, 30 * whole, {"units": "angular_degree"}),
            "chlorophyll_a": (DIMS, whole, {"units": "mg m-3"}),
            "quality_level": (
                DIMS,
                quality,
                {"flag_values": np.arange(6, dtype=np.int8), "flag_meanings": MEANINGS},
            ),
            "l2p_flags": (
                DIMS,
                flags,
                {
                    "flag_masks": np.array([1, 2, 4, 8, 16], np.int16),
                    "flag_meanings": "microwave land ice lake river",
                },
            ),
        },
        {
            "time": np.datetime64("2019-06-01", "ns") + np.arange(dates) * np.timedelta64(1, "D"),
            "lat": ("lat", 36 + 0.1 * np.arange(rows), {"units": "degrees_north"}),
            "lon": ("lon", 2 + 0.1 * np.arange(columns), {"units": "degrees_east"}),
        },
        {"title": "ACSPO L3C"},
    )


def write_ghrsst(dataset: xr.Dataset, path: Path) -> Path:
    """Write it packed."""
    short = {"dtype": "i2", "scale_factor": 0.01, "add_offset": 273.15, "_FillValue": -32768}
    byte = {"dtype": "i1", "scale_factor": 0.02, "add_offset": 0.0, "_FillValue": -128}
    encoding = {
        "sea_surface_temperature": short,
        "sses_bias": byte,
        "sses_standard_deviation": byte | {"add_offset": 1.0},
        "quality_level": {"_FillValue": -128},
    }
    dataset.to_netcdf(path, encoding=encoding)
    return path
