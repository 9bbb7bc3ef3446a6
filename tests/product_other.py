"""Salinity, downloads of ERDDAP and models, with their headers; the values are made up."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from product_truth import (
    COLUMNS,
    DATES,
    DAYS,
    LAT,
    LON,
    ROWS,
    SHAPE,
    Product,
    axes,
    make_clouds,
    make_truth,
)

WRONG = 5.0  # by which flagged values are wrong
_NOON = np.timedelta64(12, "h")


def write_smap(folder: Path) -> Product:
    """RSS SMAP level 3, means of eight days: no time dimension, two resolutions, ancillary fields."""
    truth, clouds = make_truth(36, 0.6), make_clouds()
    dates, paths = DAYS + _NOON, []
    dims = ("lat", "lon")
    for number, date in enumerate(dates):

        def layer(
            values: Any, long_name: str, units: str, number: int = number, **attrs: Any
        ) -> tuple[Any, ...]:
            shown = np.where(clouds, np.nan, np.broadcast_to(values, SHAPE))[number].astype(np.float32)
            return dims, shown, {"long_name": long_name, "units": units} | attrs

        salinity = {
            "standard_name": "sea_surface_salinity",
            "valid_min": np.float32(0),
            "valid_max": np.float32(45),
        }
        data = xr.Dataset(
            {
                "nobs": layer(12.0, "Number of observations for L3 average of SSS, 70km smoothed", "1"),
                "nobs_40km": layer(12.0, "Number of observations for L3 average of SSS, 40km", "1"),
                "sss_smap": layer(truth, "SMAP sea surface salinity, 70km smoothed", "1e-3", **salinity),
                "sss_smap_unc": layer(0.2, "estimated empirical uncertainty of SSS, 70km smoothed", "1e-3"),
                "sss_smap_40km": layer(truth + 0.4, "SMAP sea surface salinity, 40km", "1e-3", **salinity),
                "sss_smap_40km_unc": layer(0.4, "estimated empirical uncertainty of SSS, 40km", "1e-3"),
                "sss_ref": layer(
                    truth + 0.3, "Reference sea surface salinity from HYCOM", "1e-3", **salinity
                ),
                "gland": layer(0.0, "Average land fraction, weighted by antenna gain", "1"),
                "fland": layer(0.0, "Average land fraction within 3dB contour", "1"),
                "gice_est": layer(0.0, "estimated sea ice fraction, weighted by antenna gain", "1"),
                "surtep": layer(
                    291.0,
                    "Ancillary sea surface temperature (from CMC)",
                    "Kelvin",
                    standard_name="sea_surface_temperature",
                ),
                "winspd": layer(6.0, "Ancillary sea surface wind speed", "m s-1", standard_name="wind_speed"),
                "sea_ice_zones": (
                    dims,
                    np.zeros((ROWS, COLUMNS), np.int32),
                    {
                        "long_name": "sea ice contamination zones",
                        "valid_min": np.int32(0),
                        "valid_max": np.int32(7),
                    },
                ),
            },
            {
                "time": (
                    (),
                    (date.to_datetime64() - np.datetime64("2000-01-01")) / np.timedelta64(1, "s"),
                    {
                        "long_name": "reference time of analyzed variable field",
                        "standard_name": "time",
                        "units": "seconds since 2000-01-01T00:00:00Z",
                    },
                ),
                **axes(lon=LON + 350),
            },
            {"title": "RSS SMAP Level 3 Sea Surface Salinity Standard Mapped Image 8day running V5.0"},
        )
        paths.append(folder / f"RSS_smap_SSS_L3_8day_running_{date:%Y_%j}_FNL_v05.0.nc")
        fill = {"_FillValue": np.float32(-9999)}
        data.to_netcdf(
            paths[-1],
            encoding={name: fill for name, array in data.data_vars.items() if array.dtype.kind == "f"},
        )
    return Product(paths, "sss_smap", truth, ~clouds, dates, 0.1, ("sss_smap is preferred to",), error=0.2)


def write_cci_salinity(folder: Path) -> Product:
    """ESA CCI salinity: `sss_qc`, `lsc_qc` and `isc_qc` are 1 where bad, which only their titles say."""
    truth, clouds = make_truth(36, 0.6), make_clouds()
    rng = np.random.default_rng(3)
    bad = {name: rng.random(SHAPE) < 0.08 for name in ("sss_qc", "lsc_qc", "isc_qc")}
    spoilt = np.logical_or.reduce(list(bad.values()))
    value = np.where(clouds, np.nan, np.where(spoilt, truth - WRONG, truth))
    dims, paths = ("time", "lat", "lon"), []
    titles = {
        "sss_qc": "Sea Surface Salinity Quality, 0=Good; 1=Bad",
        "lsc_qc": "Land Sea Contamination Quality Check, 0=Good; 1=Bad",
        "isc_qc": "Ice Sea Contamination Quality Check, 0=Good; 1=Bad",
    }
    for number, day in enumerate(DAYS):
        data = xr.Dataset(
            {
                "sss": (
                    dims,
                    value[[number]].astype(np.float32),
                    {
                        "long_name": "Multi-Satellite Sea Surface Salinity",
                        "standard_name": "sea_surface_salinity",
                        "ancillary_variables": "noutliers total_nobs sss_qc",
                        "valid_min": np.float32(0),
                        "valid_max": np.float32(50),
                    },
                ),
                "sss_random_error": (
                    dims,
                    np.full((1, ROWS, COLUMNS), 0.2, np.float32),
                    {"long_name": "Sea Surface Salinity Random Error"},
                ),
                "noutliers": (
                    dims,
                    np.zeros((1, ROWS, COLUMNS), np.int16),
                    {"long_name": "Count of the Number of Outliers within this bin cell"},
                ),
                "total_nobs": (
                    dims,
                    np.full((1, ROWS, COLUMNS), 9, np.int16),
                    {"long_name": "Number of SSS in the time interval"},
                ),
                "pct_var": (
                    dims,
                    np.full((1, ROWS, COLUMNS), 30, np.float32),
                    {
                        "long_name": "Percentage of SSS_variability that is not explained by the products",
                        "units": "%",
                    },
                ),
            }
            | {
                name: (
                    dims,
                    flags[[number]].astype(np.int16),
                    {"long_name": titles[name], "valid_min": np.int16(0), "valid_max": np.int16(1)},
                )
                for name, flags in bad.items()
            },
            {
                "time": (
                    "time",
                    np.float32([(day - pd.Timestamp("1970-01-01")).days]),
                    {"units": "days since 1970-01-01 00:00:00 UTC", "standard_name": "time"},
                ),
                **axes(),
            },
            {"title": "ESA CCI Sea Surface Salinity ECV produced at a spatial resolution of 50 km"},
        )
        paths.append(
            folder
            / f"ESACCI-SEASURFACESALINITY-L4-SSS-MERGED_OI_7DAY_RUNNINGMEAN_DAILY_25km-{day:%Y%m%d}-fv3.21.nc"
        )
        data.to_netcdf(paths[-1], encoding={"sss": {"_FillValue": np.float32(np.nan)}})
    said = tuple(f"flagged by {name}" for name in bad)
    return Product(paths, "sss", truth, ~(clouds | spoilt), DAYS, 0.1, said, error=0.2)


def write_erddap(folder: Path) -> Product:
    """A griddap download: seconds since 1970, an altitude of one, latitude southward, actual ranges."""
    truth, clouds = make_truth(291 - 273.15)[:, ::-1], make_clouds()
    dates = pd.date_range("2019-06-04T12:00", periods=DATES, freq="8D")
    dims = ("time", "altitude", "latitude", "longitude")
    seconds = (dates - pd.Timestamp("1970-01-01")).total_seconds().to_numpy()
    coords = axes(LAT[::-1], LON + 200, ("latitude", "longitude"))
    coords = {name: (name, np.asarray(values, float), attrs) for name, (_, values, attrs) in coords.items()}
    for name, (_, values, attrs) in coords.items():
        attrs |= {
            "actual_range": np.array([values.min(), values.max()]),
            "axis": "Y" if name == "latitude" else "X",
        }
    data = xr.Dataset(
        {
            "sst": (
                dims,
                np.where(clouds, np.nan, truth)[:, None].astype(np.float32),
                {
                    "colorBarMaximum": 32.0,
                    "colorBarMinimum": 0.0,
                    "ioos_category": "Temperature",
                    "long_name": "Sea Surface Temperature, daytime",
                    "standard_name": "sea_surface_temperature",
                    "units": "degree_C",
                    "coverage_content_type": "physicalMeasurement",
                },
            )
        },
        {
            "time": (
                "time",
                seconds,
                {
                    "units": "seconds since 1970-01-01T00:00:00Z",
                    "actual_range": seconds[[0, -1]],
                    "long_name": "Centered Time",
                    "time_origin": "01-JAN-1970 00:00:00",
                },
            ),
            "altitude": (
                "altitude",
                [0.0],
                {
                    "units": "m",
                    "positive": "up",
                    "axis": "Z",
                    "long_name": "Altitude",
                    "standard_name": "altitude",
                },
            ),
            **coords,
        },
        {
            "cdm_data_type": "Grid",
            "time_coverage_start": "2019-06-04T12:00:00Z",
            "time_coverage_end": "2019-08-15T12:00:00Z",
        },
    )
    path = folder / "erdMWsstd8day_5d1c_7f0e_2a93.nc"
    data.to_netcdf(
        path,
        format="NETCDF3_CLASSIC",
        encoding={"sst": {"_FillValue": np.float32(-9999999), "missing_value": np.float32(-9999999)}},
    )
    return Product([path], "sst", truth, ~clouds, dates, 0.3)


def make_curvilinear() -> tuple[Any, Any]:
    """Latitudes and longitudes of a grid that is turned by 20 degrees."""
    y, x = np.meshgrid(0.1 * np.arange(ROWS), 0.1 * np.arange(COLUMNS), indexing="ij")
    turn = np.radians(20)
    return 40 + y * np.cos(turn) + x * np.sin(turn), 3 + x * np.cos(turn) - y * np.sin(turn)


def write_roms(folder: Path) -> Product:
    """ROMS: s_rho from bottom to surface, mask_rho, 1e37 on land, other variables at other points."""
    truth, clouds = make_truth(), make_clouds()
    lat, lon = make_curvilinear()
    mask = np.ones(SHAPE[1:])
    mask[:3, :4] = 0
    dims = ("ocean_time", "s_rho", "eta_rho", "xi_rho")
    at = {"time": "ocean_time", "location": "face", "grid": "grid"}
    s_rho = np.array([-0.5, -0.2, -0.05])
    seconds = 86400.0 * np.arange(DATES) + 43200
    value = np.where(clouds | (mask == 0), np.nan, truth)
    data = xr.Dataset(
        {
            "zeta": (
                (dims[0], *dims[2:]),
                0.1 * truth - 1.8,
                at | {"long_name": "time-averaged free-surface", "units": "meter"},
            ),
            "u": (
                ("ocean_time", "s_rho", "eta_u", "xi_u"),
                np.full((DATES, 3, ROWS, COLUMNS - 1), 0.1),
                at | {"long_name": "time-averaged u-momentum component", "units": "meter second-1"},
            ),
            "temp": (
                dims,
                value[:, None] + 20 * (s_rho - s_rho[-1])[:, None, None],
                at | {"long_name": "time-averaged potential temperature", "units": "Celsius"},
            ),
            "salt": (
                dims,
                value[:, None] - s_rho[:, None, None],
                at | {"long_name": "time-averaged salinity"},
            ),
            "h": (
                dims[2:],
                500 * np.ones(SHAPE[1:]),
                {"long_name": "bathymetry at RHO-points", "units": "meter"},
            ),
            "angle": (
                dims[2:],
                np.full(SHAPE[1:], 0.35),
                {"long_name": "angle between XI-axis and EAST", "units": "radians"},
            ),
            "mask_rho": (
                dims[2:],
                mask,
                {"long_name": "mask on RHO-points", "flag_values": [0.0, 1.0], "flag_meanings": "land water"},
            ),
            "Vtransform": ((), np.int32(2)),
            "hc": ((), 20.0, {"units": "meter"}),
        },
        {
            "ocean_time": (
                "ocean_time",
                seconds,
                {
                    "units": "seconds since 2019-06-01 00:00:00",
                    "calendar": "proleptic_gregorian",
                    "long_name": "averaged time since initialization",
                },
            ),
            "s_rho": ("s_rho", s_rho, {"standard_name": "ocean_s_coordinate_g2", "positive": "up"}),
            "lat_rho": (dims[2:], lat, {"units": "degree_north", "standard_name": "latitude"}),
            "lon_rho": (dims[2:], lon, {"units": "degree_east", "standard_name": "longitude"}),
            "lat_u": (("eta_u", "xi_u"), lat[:, 1:], {"units": "degree_north", "standard_name": "latitude"}),
            "lon_u": (("eta_u", "xi_u"), lon[:, 1:], {"units": "degree_east", "standard_name": "longitude"}),
        },
        {"type": "ROMS/TOMS averages file", "title": "made up"},
    )
    path = folder / "roms_avg.nc"
    data.to_netcdf(path, encoding={name: {"_FillValue": 1e37} for name in ("temp", "salt", "zeta", "u")})
    return Product([path], "temp", truth, ~clouds & (mask == 1), DAYS + _NOON, 0.3, (), mask == 1)


def write_nemo(folder: Path) -> Product:
    """NEMO: nav_lat, nav_lon, time_counter with time_centered, depths; the land is missing."""
    truth, clouds = make_truth(), make_clouds()
    lat, lon = make_curvilinear()
    land = np.zeros(SHAPE[1:], bool)
    land[:3, :4] = True
    dims = ("time_counter", "deptht", "y", "x")
    seconds = (
        86400.0 * np.arange(DATES)
        + 43200
        + (pd.Timestamp("2019-06-01") - pd.Timestamp("1900-01-01")).total_seconds()
    )
    since = {"units": "seconds since 1900-01-01 00:00:00", "calendar": "gregorian"}
    value = np.where(clouds | land, np.nan, truth)
    ends = np.stack([seconds - 43200, seconds + 43200], 1)
    data = xr.Dataset(
        {
            "thetao": (
                dims,
                (value[:, None] - 2 * np.arange(3)[:, None, None]).astype(np.float32),
                {
                    "standard_name": "sea_water_potential_temperature",
                    "long_name": "temperature",
                    "units": "degC",
                    "online_operation": "average",
                    "interval_operation": "360 s",
                    "cell_methods": "time: mean (interval: 360 s)",
                },
            ),
            "deptht_bounds": (
                ("deptht", "axis_nbounds"),
                np.float32([[0, 1.02], [1.02, 2.08], [2.08, 3.22]]),
            ),
            "time_counter_bounds": (("time_counter", "axis_nbounds"), ends),
            "time_centered_bounds": (("time_counter", "axis_nbounds"), ends),
        },
        {
            "time_counter": (
                "time_counter",
                seconds,
                since | {"standard_name": "time", "axis": "T", "bounds": "time_counter_bounds"},
            ),
            "time_centered": (
                "time_counter",
                seconds,
                since | {"standard_name": "time", "bounds": "time_centered_bounds"},
            ),
            "deptht": (
                "deptht",
                np.float32([0.51, 1.56, 2.67]),
                {"units": "m", "positive": "down", "bounds": "deptht_bounds"},
            ),
            "nav_lat": (dims[2:], lat.astype("f4"), {"units": "degrees_north", "standard_name": "latitude"}),
            "nav_lon": (dims[2:], lon.astype("f4"), {"units": "degrees_east", "standard_name": "longitude"}),
        },
        {"description": "ocean T grid variables", "conventions": "CF-1.6"},
    )
    path = folder / "NEMO_1d_20190601_20190610_grid_T.nc"
    data.to_netcdf(path, encoding={"thetao": {"_FillValue": np.float32(1e20)}})
    return Product([path], "thetao", truth, ~(clouds | land), DAYS + _NOON, 0.3, (), ~land)
