"""Swaths with the structure of GHRSST's L2P, OB.DAAC's level 2 and AVISO's SWOT files, of a known field."""

from __future__ import annotations

from pathlib import Path

import netCDF4
import numpy as np
import xarray as xr

LINES, PIXELS = 50, 40


def truth(lat, lon, day):
    """degC, smooth in space and time."""
    return 18 + np.sin(lat) + np.cos(0.7 * lon) + 0.1 * np.sin(day / 3)


def positions(seed):
    """Latitude and longitude (line, pixel) of a pass over 36 to 41 N, 2 to 8 E; it changes with the seed."""
    down, across = np.linspace(0, 1, LINES)[:, None], np.linspace(0, 1, PIXELS)[None]
    east = np.random.default_rng(seed).uniform(-0.5, 0.5)
    return 36 + 5.2 * down - 0.3 * across, 2 + 6 * across + 0.4 * down + east


def write_l2(folder: Path, dates: int = 6) -> list[str]:
    """Write granules of OB.DAAC: groups, a time in global attributes only, quality 3 five degrees cold."""
    paths = []
    for day in range(dates):
        lat, lon = positions(day)
        quality = np.where(np.random.default_rng(day).random(lat.shape) < 0.3, 3, 0)
        path = folder / f"SNPP_VIIRS.202006{day + 1:02d}T011200.L2.SST.nc"
        with netCDF4.Dataset(path, "w") as file:
            file.title, file.platform, file.instrument = "VIIRSN Level-2 Data", "Suomi-NPP", "VIIRS"
            file.time_coverage_start = f"2020-06-{day + 1:02d}T01:12:00.000Z"
            file.time_coverage_end = f"2020-06-{day + 1:02d}T01:17:59.000Z"
            file.createDimension("number_of_lines", LINES)
            file.createDimension("pixels_per_line", PIXELS)
            lines = file.createGroup("scan_line_attributes")
            for name, value in (("year", 2020), ("day", 153 + day), ("msec", 4_320_000)):
                lines.createVariable(name, "i4", ("number_of_lines",))[:] = value
            navigation = file.createGroup("navigation_data")
            for name, value in (("latitude", lat), ("longitude", lon)):
                array = navigation.createVariable(
                    name, "f4", ("number_of_lines", "pixels_per_line"), fill_value=-999.0
                )
                array.units = "degrees_north" if name == "latitude" else "degrees_east"
                array.standard_name, array[:] = name, value
            data = file.createGroup("geophysical_data")
            sst = data.createVariable("sst", "i2", ("number_of_lines", "pixels_per_line"), fill_value=-32767)
            sst.scale_factor, sst.add_offset = 0.005, 0.0
            sst.units, sst.standard_name = "degree_C", "sea_surface_temperature"
            sst[:] = truth(lat, lon, day) - np.where(quality > 1, 5, 0)
            flag = data.createVariable(
                "qual_sst", "i1", ("number_of_lines", "pixels_per_line"), fill_value=-1
            )
            flag.long_name, flag.valid_min, flag.valid_max = "Quality Levels, SST", np.int8(0), np.int8(5)
            flag[:] = quality
        paths.append(str(path))
    return paths


def write_l2p(folder: Path, dates: int = 6) -> list[str]:
    """Write granules of GHRSST: (time, nj, ni) with a time and `sst_dtime`; quality 2 four kelvin cold."""
    paths = []
    for day in range(dates):
        lat, lon = positions(day)
        quality = np.where(np.random.default_rng(day).random(lat.shape) < 0.3, 2, 5).astype(np.int8)
        sst = truth(lat, lon, day) + 273.15 - np.where(quality < 4, 4, 0)
        dims = ("time", "nj", "ni")
        levels = "no_data bad_data worst_quality low_quality acceptable_quality best_quality"
        dataset = xr.Dataset(
            {
                "sea_surface_temperature": (
                    dims,
                    sst[None],
                    {"units": "kelvin", "standard_name": "sea_surface_skin_temperature"},
                ),
                "sst_dtime": (dims, np.full((1, LINES, PIXELS), 3600.0), {"units": "seconds"}),
                "quality_level": (
                    dims,
                    quality[None],
                    {"flag_values": np.arange(6, dtype=np.int8), "flag_meanings": levels},
                ),
            },
            {
                "lat": (("nj", "ni"), lat.astype(np.float32), {"units": "degrees_north"}),
                "lon": (("nj", "ni"), lon.astype(np.float32), {"units": "degrees_east"}),
                "time": ("time", [np.datetime64(f"2020-06-{day + 1:02d}T01:00", "ns")]),
            },
            {"platform": "MetOpB", "sensor": "AVHRR_GAC"},
        )
        path = folder / f"202006{day + 1:02d}010000-OSPO-L2P_GHRSST-SSTskin-AVHRR-v02.0-fv01.0.nc"
        packed = {"dtype": "i2", "scale_factor": 0.01, "add_offset": 273.15, "_FillValue": -32768}
        dataset.to_netcdf(path, encoding={"sea_surface_temperature": packed})
        paths.append(str(path))
    return paths
