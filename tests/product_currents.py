"""Currents of HF radars with the headers of HFRNet and of the European radials; the values are made up."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from product_hfr import FLAG
from product_truth import SHAPE, axes, make_clouds, pack

HOURS = np.datetime64("2019-06-01", "ns") + np.arange(SHAPE[0]) * np.timedelta64(1, "h")
DIMS = ("time", "lat", "lon")
SPIKE = 2.0  # m/s


def make_current(lat: Any, lon: Any, hour: Any) -> tuple[Any, Any]:
    """Eastward and northward velocities, m/s."""
    east = 0.3 * np.sin(8 * (lat - 36) + 0.2 * hour)
    return east, 0.2 * np.cos(6 * (lon + 122) + 0.2 * hour)


def write_hfrnet(folder: Path) -> tuple[dict[str, Any], Any]:
    """HFRNet totals, hundredths of m/s, dilutions of precision, numbers of sites and radials."""
    lat, lon = 36.5 + 0.054 * np.arange(SHAPE[1]), -122.5 + 0.067 * np.arange(SHAPE[2])
    u, v = make_current(lat[None, :, None], lon[None, None], np.arange(SHAPE[0])[:, None, None])
    u, v = np.broadcast_to(u, SHAPE), np.broadcast_to(v, SHAPE)
    gaps = make_clouds()

    def layer(values: Any, **attrs: Any) -> tuple[Any, ...]:
        shown = np.where(gaps, np.nan, np.broadcast_to(values, SHAPE))
        return DIMS, shown, {"grid_mapping": "wgs84"} | attrs

    def component(values: Any, word: str, error: str) -> tuple[Any, ...]:
        name = f"surface_{word}_sea_water_velocity"
        return layer(
            values,
            standard_name=name,
            long_name=name,
            units="m s-1",
            cell_methods="depth: mean time: mean",
            ancillary_variables=error,
        )

    data = xr.Dataset(
        {
            "u": component(u, "eastward", "dopx"),
            "v": component(v, "northward", "dopy"),
            "dopx": layer(0.7, long_name="longitudinal dilution of precision"),
            "dopy": layer(0.8, long_name="latitudinal dilution of precision"),
            "hdop": layer(
                np.where(np.arange(SHAPE[2]) % 2, 1.1, 1.0),
                long_name="horizontal dilution of precision",
                ancillary_variables="dopx dopy",
            ),
            "number_of_sites": layer(2.0, units="count", long_name="number of contributing radars"),
            "number_of_radials": layer(9.0, units="count", long_name="number of contributing radials"),
            "wgs84": ((), np.int32(0), {"grid_mapping_name": "latitude_longitude"}),
            "processing_parameters": ("nProcParam", np.float32([10, 1, 3])),
            "time_run": ("time", HOURS, {"standard_name": "forecast_reference_time"}),
        },
        {"time": ("time", HOURS, {"standard_name": "time"}), **axes(lat, lon)},
        {"title": "Near-Real Time Surface Ocean Velocity, U.S. West Coast, 6 km Resolution"},
    )
    path = folder / "200803061600_hfr_uswc_6km_rtv_uwls_NDBC.nc"
    hundredths = {name: pack("i2", 0.01, 0.0, -32768) for name in ("u", "v", "dopx", "dopy", "hdop")}
    hours = {"units": "hours since 2012-01-01", "dtype": "f8"}
    data.to_netcdf(path, encoding=hundredths | {"time": hours, "time_run": hours})
    return {"u": u, "v": v}, ~gaps


def write_radials(folder: Path) -> str:
    """European radials of a station on ranges and bearings: RDVA away from the radar, DRVA its direction."""
    ranges, bearings = 5 + 4.0 * np.arange(10), np.arange(20, 160, 10.0)
    plane, dims = ("RNGE", "BEAR"), ("TIME", "DEPH", "RNGE", "BEAR")
    angle = np.radians(bearings)[None]
    lat = 43 + ranges[:, None] * np.cos(angle) / 111.2
    lon = 8 + ranges[:, None] * np.sin(angle) / (111.2 * np.cos(np.radians(43)))
    shape = (len(HOURS), *lat.shape)
    east, north = make_current(lat, lon, np.arange(len(HOURS))[:, None, None])
    quality = np.random.default_rng(6).choice([1, 4, 9], shape, p=[0.7, 0.15, 0.15]).astype(np.int8)
    speed = east * np.sin(angle) + north * np.cos(angle)
    speed = np.where(quality == 4, speed + SPIKE, np.where(quality == 9, np.nan, speed))

    def layer(values: Any, **attrs: Any) -> tuple[Any, ...]:
        return dims, np.broadcast_to(values, shape)[:, None], attrs

    def component(values: Any, name: str) -> tuple[Any, ...]:
        linked = "QCflag OWTR_QC MDFL_QC CSPD_QC VART_QC AVRB_QC RDCT_QC"
        return layer(values, standard_name=name, units="m s-1", ancillary_variables=linked)

    data = xr.Dataset(
        {
            "RDVA": component(speed, "radial_sea_water_velocity_away_from_instrument"),
            "DRVA": layer(
                np.where(quality == 9, np.nan, bearings),
                standard_name="direction_of_radial_vector_away_from_instrument",
                units="degree_true",
            ),
            "EWCT": component(speed * np.sin(angle), "eastward_sea_water_velocity"),
            "NSCT": component(speed * np.cos(angle), "northward_sea_water_velocity"),
            "ESPC": layer(0.03, units="m s-1", long_name="radial standard deviation of the current"),
            "ETMP": layer(0.03, units="m s-1", long_name="temporal standard deviation of the current"),
            "MAXV": layer(1.0, units="m s-1"),
            "MINV": layer(-1.0, units="m s-1"),
            "XDST": (plane, ranges[:, None] * np.sin(angle), {"units": "km"}),
            "YDST": (plane, ranges[:, None] * np.cos(angle), {"units": "km"}),
            "QCflag": layer(quality, long_name="overall quality flag", **FLAG),
            "OWTR_QC": layer(np.where(quality == 9, 9, 1).astype(np.int8), **FLAG),
            "CSPD_QC": layer(quality, **FLAG),
            "TIME_QC": ("TIME", np.ones(len(HOURS), np.int8), FLAG),
            "POSITION_QC": layer(np.int8(1), **FLAG),
            "DEPH_QC": ("DEPH", np.ones(1, np.int8), FLAG),
        },
        {
            "TIME": HOURS,
            "DEPH": ("DEPH", [0.0], {"units": "m", "standard_name": "depth"}),
            "RNGE": ("RNGE", ranges, {"units": "km"}),
            "BEAR": ("BEAR", bearings, {"units": "degree_true"}),
            "LATITUDE": (plane, lat, {"units": "degree_north", "standard_name": "latitude"}),
            "LONGITUDE": (plane, lon, {"units": "degree_east", "standard_name": "longitude"}),
        },
        {"data_type": "HF radar radial data", "site_code": "HFR-MADE-UP"},
    )
    thousandths = {name: pack("i2", 0.001, 0.0, -32767) for name in ("RDVA", "EWCT", "NSCT")}
    thousandths["DRVA"] = pack("i4", 0.001, 0.0, -2147483647)
    days = {"TIME": {"units": "days since 1950-01-01T00:00:00Z", "dtype": "f8"}}
    path = folder / "HFR-MADE-UP_Radial_201906.nc"
    data.to_netcdf(path, encoding=thousandths | days)
    return str(path)
