"""Temperatures with the headers of MUR, OSTIA, OISST, the ESA SST CCI and OB.DAAC; the values are made up."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from product_ghrsst import MEANINGS, make_ghrsst, write_ghrsst
from product_ghrsst import make_truth as make_ghrsst_truth
from product_truth import COLUMNS, DAYS, LAT, LON, ROWS, SHAPE, Product, axes, make_clouds, make_truth, pack

DIMS = ("time", "lat", "lon")
EPOCH = np.datetime64("1981-01-01", "ns")
WRONG = 8.0  # K or degC by which flagged values are wrong
LAND, LAKE = (slice(0, 3), slice(0, 4)), (slice(9, 11), slice(10, 13))
ICE = (slice(10, 12), slice(0, 3))
_DAY, _NOON = np.timedelta64(1, "D"), np.timedelta64(12, "h")
# MUR 4.1 writes its meanings as text with blanks until 2018, later as names.
MUR_MASKS = {
    "flag_masks": np.array([1, 2, 4, 8, 16], np.int8),
    "flag_values": np.array([1, 2, 5, 9, 13], np.int8),
    "flag_meanings": "1=open-sea, 2=land, 5=open-lake, 9=open-sea with ice in the grid, 13=open-lake with "
    "ice in the grid",
}
LATER_MUR_MASKS = {
    "flag_masks": np.array([1, 2, 4, 8, 16], np.int8),
    "flag_meanings": "open_sea land open_lake open_sea_with_ice_in_the_grid open_lake_with_ice_in_the_grid",
}
OSTIA_MASKS = {
    "flag_masks": np.array([1, 2, 4, 8, 16], np.int8),
    "flag_meanings": "water land optional_lake_surface sea_ice optional_river_surface",
}


def seconds(dates: Any) -> Any:
    """Seconds since 1981, as GHRSST counts them."""
    return ((np.asarray(dates, "datetime64[ns]") - EPOCH) / np.timedelta64(1, "s")).astype(np.int32)


def write_analysis(folder: Path, masks: dict[str, Any], offset: float, hour: int) -> Product:
    """GHRSST level 4: complete over the sea, over lakes and under ice; a mask with bits."""
    truth = make_truth(290.0)
    kind = np.full(SHAPE[1:], 1, np.int8)
    kind[LAND], kind[LAKE], kind[ICE] = 2, 5, 9
    value = np.where(kind == 2, np.nan, np.where(kind == 5, truth + WRONG, truth))
    dates, paths = DAYS + np.timedelta64(hour, "h"), []
    for number, date in enumerate(dates):
        kelvin = {"units": "kelvin", "coordinates": "lon lat"}
        standard = {"standard_name": "sea_surface_foundation_temperature"}
        data = xr.Dataset(
            {
                "analysed_sst": (DIMS, value[[number]], kelvin | standard),
                "analysis_error": (
                    DIMS,
                    np.where(kind == 2, np.nan, 0.35 + 0 * truth)[[number]],
                    kelvin | {"long_name": "estimated error standard deviation of analysed_sst"},
                ),
                "mask": (DIMS, kind[None], {"long_name": "sea/land field composite mask"} | masks),
                "sea_ice_fraction": (
                    DIMS,
                    np.where(kind == 9, 0.8, 0.0)[None],
                    {"standard_name": "sea_ice_area_fraction"},
                ),
                "sst_anomaly": (DIMS, (value - 289)[[number]], {"units": "kelvin"}),
            },
            {"time": ("time", seconds([date]), {"units": "seconds since 1981-01-01 00:00:00 UTC"})} | axes(),
        )
        for name in data.data_vars:
            data[name].attrs.pop("coordinates", None)
        stem = (
            "JPL-L4_GHRSST-SSTfnd-MUR-GLOB-v02.0-fv04.1" if hour == 9 else "UKMO-L4_GHRSST-SSTfnd-OSTIA-GLOB"
        )
        paths.append(folder / f"{date:%Y%m%d%H%M%S}-{stem}.nc")
        encoding = {
            "analysed_sst": pack("i2", 0.001 if hour == 9 else 0.01, offset, -32768),
            "analysis_error": pack("i2", 0.01, 0.0, -32768),
            "sst_anomaly": pack("i2", 0.001, 0.0, -32768),
            "sea_ice_fraction": pack("i1", 0.01, 0.0, -128),
            "mask": {"_FillValue": -128},
        }
        data.to_netcdf(paths[-1], encoding=encoding)
    sea = (kind == 1) | (kind == 9)
    return Product(
        paths,
        "analysed_sst",
        truth,
        np.broadcast_to(sea, SHAPE),
        dates,
        0.05,
        ("analysed_sst is the field",),
        sea,
        error=0.35,
    )


def write_mur(folder: Path) -> Product:
    return write_analysis(folder, MUR_MASKS, 298.15, 9)


def write_later_mur(folder: Path) -> Product:
    return write_analysis(folder, LATER_MUR_MASKS, 298.15, 9)


def write_ostia(folder: Path) -> Product:
    return write_analysis(folder, OSTIA_MASKS, 273.15, 12)


def write_l3c(folder: Path) -> Product:
    """GHRSST level 3C, with bias and deviation of the sensor."""
    data = make_ghrsst()
    truth = make_ghrsst_truth()
    kept = (data.quality_level >= 4).to_numpy()
    kept[:, 0, 0] = False  # land
    sea = np.ones(truth.shape[1:], bool)
    sea[0, 0] = False
    path = write_ghrsst(data, folder / "20190601000000-STAR-L3C_GHRSST-SSTsubskin-ABI_G16-ACSPO_V2.70.nc")
    said = (
        "flagged by quality_level",
        "flagged by l2p_flags",
        "less sses_bias",
        "sea_surface_temperature is the field",
    )
    dates = data.time.to_index()
    return Product([path], "sea_surface_temperature", truth, kept, dates, 1.2, said, sea)


def write_cci(folder: Path) -> Product:
    """ESA SST CCI, or C3S, level 3C: skin and depth temperature, many uncertainties, quality levels."""
    truth, clouds = make_truth(291.0), make_clouds()
    rng = np.random.default_rng(1)
    quality = np.where(rng.random(SHAPE) < 0.15, 3, 5).astype(np.int8)
    quality[rng.random(SHAPE) < 0.05] = 2
    quality[clouds] = 0
    good = quality >= 4
    value = np.where(clouds, np.nan, truth - np.where(good, 0, WRONG))
    paths = []
    for number, day in enumerate(DAYS):

        def kelvin(
            values: Any, long_name: str, standard_name: str = "", number: int = number
        ) -> tuple[Any, ...]:
            attrs = {"units": "kelvin", "long_name": long_name}
            attrs |= {"standard_name": standard_name} if standard_name else {}
            return DIMS, np.broadcast_to(values, SHAPE)[[number]], attrs

        data = xr.Dataset(
            {
                "sea_surface_temperature": kelvin(
                    value, "sea surface skin temperature", "sea_surface_skin_temperature"
                ),
                "sea_surface_temperature_depth": kelvin(
                    value - 0.2, "sea surface temperature at 0.2 m", "sea_water_temperature"
                ),
                "sea_surface_temperature_depth_anomaly": kelvin(
                    value - 290, "sea surface temperature anomaly at 0.2 m"
                ),
                "sst_dtime": (DIMS, np.full((1, ROWS, COLUMNS), -7200.0), {"units": "seconds"}),
                "sst_depth_dtime": (DIMS, np.full((1, ROWS, COLUMNS), 1800.0), {"units": "seconds"}),
                "sses_bias": kelvin(0.0, "SSES bias estimate"),
                "sses_standard_deviation": kelvin(0.4, "SSES standard deviation"),
                "sea_surface_temperature_total_uncertainty": kelvin(
                    0.3, "Total uncertainty in sea_surface_temperature"
                ),
                "sea_surface_temperature_depth_total_uncertainty": kelvin(
                    0.35, "Total uncertainty in sea_surface_temperature_depth"
                ),
                "uncertainty_random": kelvin(0.2, "Uncertainty from errors likely to be uncorrelated"),
                "uncertainty_correlated": kelvin(
                    0.2, "Uncertainty from errors correlated over synoptic scales"
                ),
                "uncertainty_systematic": kelvin(0.1, "Uncertainty from errors correlated over large scales"),
                "depth_adjustment": kelvin(0.2, "Adjustment to sea surface temperature at 0.2 m"),
                "adjustment_alt": kelvin(0.0, "Adjustment to alternative retrieval"),
                "wind_speed": (DIMS, np.full((1, ROWS, COLUMNS), 6.0), {"units": "m s-1"}),
                "l2p_flags": (
                    DIMS,
                    np.zeros((1, ROWS, COLUMNS), np.int16),
                    {
                        "flag_masks": np.array([1, 2, 4, 8, 16, 64], np.int16),
                        "flag_meanings": "microwave land ice lake river day",
                    },
                ),
                "quality_level": (
                    DIMS,
                    quality[[number]],
                    {"flag_values": np.arange(6, dtype=np.int8), "flag_meanings": MEANINGS},
                ),
                "time_bnds": (
                    ("time", "bnds"),
                    seconds([[day.to_datetime64(), day.to_datetime64() + _DAY]]),
                ),
                "lat_bnds": (("lat", "bnds"), np.stack([LAT - 0.125, LAT + 0.125], 1).astype("f4")),
                "lon_bnds": (("lon", "bnds"), np.stack([LON - 0.125, LON + 0.125], 1).astype("f4")),
            },
            {
                "time": (
                    "time",
                    seconds([day.to_datetime64() + _NOON]),
                    {"units": "seconds since 1981-01-01 00:00:00", "bounds": "time_bnds"},
                ),
                **axes(),
            },
            {"title": "ESA SST CCI L3C product"},
        )
        data.lat.attrs["bounds"], data.lon.attrs["bounds"] = "lat_bnds", "lon_bnds"
        paths.append(
            folder / f"{day:%Y%m%d}120000-ESACCI-L3C_GHRSST-SSTskin-AVHRR17_G-CDR2.1_day-v02.0-fv01.0.nc"
        )
        packed = {
            name: pack("i2", 0.01, 273.15 if name.startswith("sea_surface") else 0.0, -32768)
            for name, array in data.data_vars.items()
            if array.attrs.get("units") == "kelvin"
        }
        data.to_netcdf(paths[-1], encoding=packed | {"quality_level": {"_FillValue": -128}})
    return Product(
        paths,
        "sea_surface_temperature",
        truth,
        good & ~clouds,
        DAYS + _NOON,
        0.3,
        ("flagged by quality_level", "sea_surface_temperature is preferred to sea_surface_temperature_depth"),
        error=0.3,
    )


def write_oisst(folder: Path) -> Product:
    """OISST v2.1: no standard names, a level of one, 0 to 360, hundredths of a degree."""
    truth = make_truth()
    sea = np.ones(SHAPE[1:], bool)
    sea[LAND] = False
    value = np.where(sea, truth, np.nan)
    dims, dates, paths = ("time", "zlev", "lat", "lon"), DAYS + _NOON, []
    for number, date in enumerate(dates):
        fields = {
            "anom": (value - 17, "Daily sea surface temperature anomalies", "Celsius"),
            "err": (
                np.where(sea, 0.3, np.nan) + 0 * truth,
                "Estimated error standard deviation of analysed_sst",
                "Celsius",
            ),
            "ice": (np.full(SHAPE, np.nan), "Sea ice concentration", "%"),
            "sst": (value, "Daily sea surface temperature", "Celsius"),
        }
        data = xr.Dataset(
            {
                name: (
                    dims,
                    values[[number]][:, None],
                    {
                        "long_name": text,
                        "units": units,
                        "valid_min": np.int16(0 if name in ("err", "ice") else -300),
                        "valid_max": np.int16({"err": 1000, "ice": 100}.get(name, 4500)),
                    },
                )
                for name, (values, text, units) in fields.items()
            },
            {
                "time": (
                    "time",
                    np.float32([(date.to_datetime64() - np.datetime64("1978-01-01T12")) / _DAY]),
                    {"long_name": "Center time of the day", "units": "days since 1978-01-01 12:00:00"},
                ),
                "zlev": (
                    "zlev",
                    np.float32([0]),
                    {"units": "meters", "positive": "down", "actual_range": "0, 0"},
                ),
                "lat": ("lat", LAT.astype("f4"), {"units": "degrees_north", "grids": "Uniform grid"}),
                "lon": ("lon", (LON + 350).astype("f4"), {"units": "degrees_east", "grids": "Uniform grid"}),
            },
            {"title": "NOAA/NCEI 1/4 Degree Daily Optimum Interpolation Sea Surface Temperature (OISST)"},
        )
        paths.append(folder / f"oisst-avhrr-v02r01.{date:%Y%m%d}.nc")
        data.to_netcdf(paths[-1], encoding={name: pack("i2", 0.01, 0.0, -999) for name in fields})
    said = ("sst is the field, which is accompanied by anom, ice",)
    return Product(paths, "sst", truth, np.broadcast_to(sea, SHAPE), dates, 0.05, said, sea, error=0.3)


def write_l3m_sst(folder: Path) -> Product:
    """OB.DAAC L3m SST: no time, southward, `qual_sst` 0 best to 5, a palette."""
    truth, clouds = make_truth()[:, ::-1], make_clouds()
    quality = np.random.default_rng(2).choice([0, 1, 2, 3], SHAPE, p=[0.5, 0.2, 0.15, 0.15]).astype(np.int8)
    good = (quality <= 1) & ~clouds
    value = np.where(clouds, np.nan, np.where(quality <= 1, truth, truth - WRONG))
    paths = []
    for number, day in enumerate(DAYS):
        name = f"AQUA_MODIS.{day:%Y%m%d}.L3m.DAY.SST.sst.4km.nc"
        data = xr.Dataset(
            {
                "sst": (
                    ("lat", "lon"),
                    value[number],
                    {
                        "long_name": "Sea Surface Temperature",
                        "standard_name": "sea_surface_temperature",
                        "units": "degree_C",
                        "valid_min": np.int16(-1000),
                        "valid_max": np.int16(10000),
                        "display_scale": "linear",
                    },
                ),
                "qual_sst": (
                    ("lat", "lon"),
                    np.where(clouds, -1, quality)[number].astype(np.int8),
                    {
                        "long_name": "Quality Levels, Sea Surface Temperature",
                        "valid_min": np.int8(0),
                        "valid_max": np.int8(5),
                    },
                ),
                "palette": (("rgb", "eightbitcolor"), np.zeros((3, 256), np.uint8)),
            },
            axes(lat=LAT[::-1]),
            {
                "product_name": name,
                "temporal_range": "day",
                "time_coverage_start": f"{day:%Y-%m-%d}T00:20:09.000Z",
                "time_coverage_end": f"{day + _DAY:%Y-%m-%d}T02:55:08.000Z",
            },
        )
        paths.append(folder / name)
        data.to_netcdf(
            paths[-1],
            encoding={"sst": pack("i2", 0.005, 0.0, -32767), "qual_sst": {"_FillValue": np.int8(-1)}},
        )
    return Product(
        paths,
        "sst",
        truth,
        good,
        DAYS,
        0.3,
        ("flagged by qual_sst", "dates taken from time_coverage_start and time_coverage_end"),
    )
