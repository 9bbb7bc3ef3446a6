"""Sea level with the headers of DUACS, NASA-SSH and along-track files; the values are made up."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from product_truth import DAYS, LAT, LON, SHAPE, Product, axes, make_truth, pack
from tracks import level

NAMES = ("latitude", "longitude")
DIMS = ("time", *NAMES)
EPOCH = pd.Timestamp("1950-01-01")
WRONG = 1.5  # m by which flagged values are wrong
WEST = -6.0  # of the maps, degrees east


def write_duacs(folder: Path) -> Product:
    """DUACS level 4, its first half from -180 to 180 and the second from 0 to 360, as older versions."""
    truth = make_truth(0.1, 0.2)
    sea = np.ones(SHAPE[1:], bool)
    sea[:3, :4] = False
    value = np.where(sea, truth, np.nan)
    lon = WEST + LON - LON[0]
    paths = []
    for number, day in enumerate(DAYS):

        def layer(values: Any, standard_name: str, units: str = "m", number: int = number) -> tuple[Any, ...]:
            attrs = {"units": units, "standard_name": standard_name, "grid_mapping": "crs"}
            shown = np.where(sea, np.broadcast_to(values, SHAPE), np.nan)[[number]]
            return DIMS, shown, attrs if standard_name else {"units": units, "grid_mapping": "crs"}

        flow = "surface_geostrophic_{}_sea_water_velocity"
        above = "_assuming_sea_level_for_geoid"
        east = np.mod(lon, 360) if number > 4 else lon
        data = xr.Dataset(
            {
                "crs": ((), np.int32(-2147483647), {"grid_mapping_name": "latitude_longitude"}),
                "adt": layer(value, "sea_surface_height_above_geoid"),
                "err_sla": layer(0.015, ""),
                "err_ugosa": layer(0.03, "", "m/s"),
                "err_vgosa": layer(0.03, "", "m/s"),
                "flag_ice": (
                    DIMS,
                    np.zeros((1, *SHAPE[1:]), np.int32),
                    {
                        "flag_values": np.array([0, 1], np.int32),
                        "flag_meanings": "No_ice ice",
                        "standard_name": "sea_ice_classification",
                    },
                ),
                "sla": layer(value - 0.3, "sea_surface_height_above_sea_level"),
                "ugos": layer(0.1, flow.format("eastward"), "m/s"),
                "ugosa": layer(0.05, flow.format("eastward") + above, "m/s"),
                "vgos": layer(0.1, flow.format("northward"), "m/s"),
                "vgosa": layer(0.05, flow.format("northward") + above, "m/s"),
                "tpa_correction": ("time", [0.0012], {"units": "m"}),
                "lat_bnds": (("latitude", "nv"), np.stack([LAT - 0.125, LAT + 0.125], 1).astype("f4")),
                "lon_bnds": (("longitude", "nv"), np.stack([east - 0.125, east + 0.125], 1).astype("f4")),
            },
            {
                "time": (
                    "time",
                    np.float32([(day - EPOCH).days]),
                    {"units": "days since 1950-01-01 00:00:00", "calendar": "gregorian", "axis": "T"},
                ),
                "nv": ("nv", np.array([0, 1], np.int32)),
                **axes(LAT, east, NAMES),
            },
            {"platform": "Altika Drifting Phase,Cryosat-2,Jason-3", "title": "DT merged all satellites L4"},
        )
        data.latitude.attrs["bounds"], data.longitude.attrs["bounds"] = "lat_bnds", "lon_bnds"
        whole = pack("i4", 0.0001, 0.0, -2147483647)
        packed = {
            name: whole
            for name, array in data.data_vars.items()
            if array.dtype.kind == "f" and array.ndim == 3
        }
        paths.append(folder / f"dt_global_allsat_phy_l4_{day:%Y%m%d}_20210726.nc")
        data.to_netcdf(paths[-1], encoding=packed)
    said = ("adt is preferred to sla, which is accompanied by ugos, ugosa, vgos, vgosa",)
    kept = np.broadcast_to(sea, SHAPE)
    return Product(paths, "adt", truth, kept, DAYS, 0.01, said, sea, error=0.015)


def make_passes(day: int, passes: int = 4) -> tuple[Any, ...]:
    """Days since the first, latitude and longitude of the points of a day, one a second."""
    rng = np.random.default_rng(day)
    along = np.arange(40)
    time = [day + 0.2 * (turn + 0.5) + along / 86400 for turn in range(passes)]
    lat = [40 + 0.075 * along if turn % 2 else 43 - 0.075 * along for turn in range(passes)]
    lon = [rng.uniform(178, 181) + 0.025 * along for _ in range(passes)]
    return tuple(np.concatenate(part) for part in (time, lat, lon))


def write_along_track(folder: Path) -> list[str]:
    """Copernicus Marine level 3, a file a day, with the corrections and the mean topography."""
    paths = []
    for day in range(10):
        time, lat, lon = make_passes(day)
        value = level(time, lat, lon)

        def series(values: Any, text: str = "", **attrs: Any) -> tuple[Any, ...]:
            kept = {"units": "m", "coordinates": "longitude latitude", "long_name": text} | attrs
            return "time", np.broadcast_to(values, (160,)), kept

        sla = {"standard_name": "sea_surface_height_above_sea_level"}
        date = pd.Timestamp("2020-01-01") + pd.Timedelta(days=day)
        data = xr.Dataset(
            {
                "cycle": ("time", np.full(160, 145, np.int16), {"units": "1"}),
                "track": ("time", np.repeat(np.arange(4, dtype=np.int16), 40), {"units": "1\n"}),
                "dac": series(0.05, "Dynamic Atmospheric Correction"),
                "lwe": series(0.01, "Long wavelength error"),
                "mdt": series(0.4, "Mean dynamic topography"),
                "ocean_tide": series(0.3, "Ocean tide model"),
                "internal_tide": series(0.01, "Internal tide model"),
                "sla_filtered": series(value, "Sea level anomaly filtered", **sla),
                "sla_unfiltered": series(value + 0.03, "Sea level anomaly not-filtered", **sla),
            },
            {
                "time": (
                    "time",
                    time + (pd.Timestamp("2020-01-01") - EPOCH).days,
                    {"units": "days since 1950-01-01 00:00:00", "calendar": "gregorian"},
                ),
                "latitude": ("time", lat, {"units": "degrees_north", "standard_name": "latitude"}),
                "longitude": ("time", lon % 360, {"units": "degrees_east", "standard_name": "longitude"}),
            },
            {"platform": "Jason-3"},
        )
        for name in data.data_vars:
            data[name].attrs.pop("coordinates", None)
        short = pack("i2", 0.001, 0.0, 32767)
        packed = {name: short for name, array in data.data_vars.items() if array.attrs["units"] == "m"}
        degrees = {"dtype": "i4", "scale_factor": 1e-6, "_FillValue": 2147483647}
        path = folder / f"dt_global_j3_phy_l3_1hz_{date:%Y%m%d}_20210603.nc"
        data.to_netcdf(path, encoding=packed | {"latitude": degrees, "longitude": degrees})
        paths.append(str(path))
    return paths


def write_nasa_ssh(folder: Path, smoothed: bool = True) -> list[str]:
    """NASA-SSH along the reference orbit: raw and smoothed anomalies, `nasa_flag` 1 where the raw are bad."""
    paths = []
    for day in range(10):
        time, lat, lon = make_passes(day)
        value = level(time, lat, lon)
        bad = np.random.default_rng(90 + day).random(160) < 0.2
        date = pd.Timestamp("2020-01-01") + pd.Timedelta(days=day)
        meters = {"units": "m", "coordinates": "longitude latitude"}
        data = xr.Dataset(
            {
                "ssha": (
                    "time",
                    np.where(bad, value + WRONG, value),
                    {"long_name": "sea surface height anomaly"},
                ),
                "basin_flag": ("time", np.full(160, 7, np.int32), {"long_name": "ocean basin number"}),
                "basin_names_table": ("basin", np.array(["0: land", "7: North Pacific"], object)),
                "dac": ("time", np.full(160, 0.05), {"long_name": "dynamic atmospheric correction"}),
                "oer": ("time", np.full(160, 0.01), {"long_name": "orbit error reduction"}),
                "cycle": ("time", np.full(160, 145, np.int32)),
                "pass": ("time", np.repeat(np.arange(4), 40).astype(np.int32)),
                "nasa_flag": (
                    "time",
                    bad.astype(np.int8),
                    {
                        "long_name": "flag derived from Nasa quality checks",
                        "flag_values": np.array([0, 1], np.int8),
                        "flag_meanings": "good bad",
                    },
                ),
            },
            {
                "time": (
                    "time",
                    86400 * (time + (pd.Timestamp("2020-01-01") - pd.Timestamp("1990-01-01")).days),
                    {"units": "seconds since 1990-01-01 00:00:00", "calendar": "proleptic_gregorian"},
                ),
                "latitude": ("time", lat, {"units": "degrees_north", "standard_name": "latitude"}),
                "longitude": ("time", lon % 360, {"units": "degrees_east", "standard_name": "longitude"}),
            },
            {"title": "NASA-SSH along-track reference missions", "mission": "Jason-3"},
        )
        if smoothed:
            text = "sea surface height anomaly, smoothed and with nasa_flag applied"
            data["ssha_smoothed"] = "time", np.where(bad, np.nan, value), {"long_name": text, "units": "m"}
        for name in ("ssha", "dac", "oer"):
            data[name].attrs |= {"units": meters["units"]}
        path = folder / f"NASA-SSH_alt_ref_at_v1_{date:%Y%m%d}.nc"
        data.to_netcdf(path)
        paths.append(str(path))
    return paths
