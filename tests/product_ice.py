"""Sea ice concentration with the headers of OSI SAF; the values are made up."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from product_truth import COLUMNS, DAYS, ROWS, SHAPE, Product, make_clouds, make_truth, pack

_NOON = np.timedelta64(12, "h")


def make_polar_grid() -> tuple[dict[str, Any], dict[str, str]]:
    """Coordinates in km of a polar stereographic grid, with latitudes and longitudes in two dimensions."""
    xc, yc = -500 + 25.0 * np.arange(COLUMNS), -900 - 25.0 * np.arange(ROWS)
    x, y = np.meshgrid(xc, yc)
    lat = 90 - np.degrees(np.hypot(x, y) / 6371)
    lon = np.degrees(np.arctan2(x, -y)) - 45
    return {
        "xc": ("xc", xc, {"units": "km", "axis": "X", "standard_name": "projection_x_coordinate"}),
        "yc": ("yc", yc, {"units": "km", "axis": "Y", "standard_name": "projection_y_coordinate"}),
        "lat": (("yc", "xc"), lat.astype("f4"), {"units": "degrees_north", "standard_name": "latitude"}),
        "lon": (("yc", "xc"), lon.astype("f4"), {"units": "degrees_east", "standard_name": "longitude"}),
    }, {"grid_mapping_name": "polar_stereographic"}


def make_ice() -> Any:
    """Concentrations in percent, with open water and closed ice."""
    return np.clip(make_truth(55, 45), 0, 100)


def write_ice(folder: Path, operational: bool = False) -> Product:
    """OSI SAF concentration: percent on a polar grid; a climate record, or the operational product."""
    truth, clouds = make_ice(), make_clouds()
    land = np.zeros(SHAPE[1:], bool)
    land[:3, :4] = True
    rng = np.random.default_rng(4)
    level = np.where(rng.random(SHAPE) < 0.1, 2, 5).astype(np.int8)  # of confidence, operational only
    bad = (level == 2) if operational else np.zeros(SHAPE, bool)
    value = np.where(land | clouds, np.nan, np.where(bad, np.clip(100 - truth, 0, 100), truth))
    dims, dates, paths = ("time", "yc", "xc"), DAYS + _NOON, []
    coords, mapping = make_polar_grid()
    for number, date in enumerate(dates):
        seconds = (date - pd.Timestamp("1978-01-01")).total_seconds()
        at = {"grid_mapping": "Polar_Stereographic_Grid"}
        error = np.where(land | clouds, np.nan, 4 + 0 * truth)[[number]]
        data = xr.Dataset(
            {
                "Polar_Stereographic_Grid": ((), np.int32(0), mapping),
                "time_bnds": (("time", "nv"), [[seconds - 43200, seconds + 43200]]),
                "ice_conc": (
                    dims,
                    value[[number]],
                    at
                    | {
                        "long_name": "fully filtered concentration of sea ice",
                        "standard_name": "sea_ice_area_fraction",
                        "units": "%",
                        "valid_min": np.int32(0),
                        "valid_max": np.int32(10000),
                        "ancillary_variables": "total_standard_error status_flag",
                    },
                ),
            },
            {
                "time": (
                    "time",
                    [seconds],
                    {
                        "units": "seconds since 1978-01-01 00:00:00",
                        "bounds": "time_bnds",
                        "standard_name": "time",
                    },
                ),
                **coords,
            },
            {"title": "Sea Ice Concentration from EUMETSAT OSI SAF"},
        )
        encoding = {"ice_conc": pack("i4", 0.01, 0.0, -32767)}
        if operational:
            del data.ice_conc.attrs["ancillary_variables"]
            data = data.assign(
                ice_conc_unfiltered=(
                    dims,
                    value[[number]],
                    at | {"long_name": "The unfiltered sea ice concentration", "units": "%"},
                ),
                masks=(
                    dims,
                    np.zeros((1, ROWS, COLUMNS), np.int8),
                    at | {"long_name": "masks used to filter ice concentration", "units": "1"},
                ),
                confidence_level=(
                    dims,
                    level[[number]],
                    at
                    | {
                        "long_name": "confidence level",
                        "valid_min": np.int8(0),
                        "valid_max": np.int8(5),
                        "flag_values": np.arange(6, dtype=np.int8),
                        "flag_meanings": "unprocessed erroneous unreliable acceptable good excellent",
                    },
                ),
                status_flag=(
                    dims,
                    np.where(land, 100, 0)[None].astype(np.int8),
                    at
                    | {
                        "long_name": "status flag for concentration of sea ice retrieval",
                        "flag_values": np.array([0, 2, 10, 100, 101, 102], np.int8),
                        "flag_meanings": "nominal lake background over_land missing_data unclassified",
                    },
                ),
                total_uncertainty=(
                    dims,
                    error,
                    at | {"long_name": "The sea ice concentration uncertainty", "units": "1"},
                ),
                algorithm_uncertainty=(
                    dims,
                    error,
                    at
                    | {
                        "long_name": "The sea ice concentration algorithm and tie-point uncertainty",
                        "units": "1",
                    },
                ),
                smearing_uncertainty=(
                    dims,
                    error,
                    at | {"long_name": "The sea ice concentration smearing uncertainty", "units": "1"},
                ),
            )
            encoding |= {"ice_conc_unfiltered": pack("i4", 0.01, 0.0, -32767)}
        else:
            status = np.where(land, 1, np.where(truth == 0, 4, 0)) + np.where(
                rng.random(SHAPE) < 0.2, 128 + 8, 0
            )
            data = data.assign(
                raw_ice_conc_values=(
                    dims,
                    value[[number]],
                    at
                    | {
                        "long_name": "sea ice concentration estimates as retrieved by the algorithm, and "
                        "that were edited away by the various filters",
                        "units": "%",
                    },
                ),
                total_standard_error=(
                    dims,
                    error,
                    at
                    | {
                        "long_name": "total uncertainty (one standard deviation) of concentration of sea ice",
                        "standard_name": "sea_ice_area_fraction standard_error",
                        "units": "%",
                    },
                ),
                smearing_standard_error=(
                    dims,
                    error,
                    at
                    | {
                        "long_name": "smearing uncertainty (one standard deviation) of ice concentration",
                        "units": "%",
                    },
                ),
                algorithm_standard_error=(
                    dims,
                    error,
                    at
                    | {
                        "long_name": "algorithm uncertainty (one standard deviation) of ice concentration",
                        "units": "%",
                    },
                ),
                status_flag=(
                    dims,
                    status[[number]].astype(np.uint8).view(np.int8),
                    at
                    | {
                        "long_name": "status flag bit array for sea ice concentration retrievals",
                        "standard_name": "sea_ice_area_fraction status_flag",
                        "flag_masks": np.array([1, 2, 4, 8, 16, 32, 64, -128], np.int8),
                        "flag_meanings": "land lake open_water_filter land_spill_over_filter high_t2m_filter "
                        "interpolated_in_space interpolated_in_time max_ice_climatology",
                    },
                ),
            )
            encoding |= {
                name: pack("i4", 0.01, 0.0, -32767)
                for name in ("raw_ice_conc_values", "total_standard_error")
            }
        stem = "ice_conc_nh_polstere-100_multi" if operational else "ice_conc_nh_stere-250_cdr-v3p0"
        paths.append(folder / f"{stem}_{date:%Y%m%d%H%M}.nc")
        data.to_netcdf(paths[-1], encoding=encoding)
    said = ("flagged by confidence_level",) if operational else ()
    return Product(paths, "ice_conc", truth, ~(clouds | land | bad), dates, 6.0, said, ~land)


def write_nsidc(folder: Path) -> Product:
    """NOAA/NSIDC record: fractions in bytes, in which 251 to 254 are pole, lakes, coast and land."""
    truth, clouds = make_ice() / 100, make_clouds()
    kind = np.zeros(SHAPE[1:], int)
    kind[:3, :4], kind[3, :4], kind[9:11, 10:13], kind[11, 0] = 254, 253, 252, 251
    value = np.where(clouds, 255, np.where(kind > 0, kind, np.rint(100 * truth))).astype(np.uint8)
    coords, mapping = make_polar_grid()
    lat, lon = ((("y", "x"), coords[name][1], coords[name][2]) for name in ("lat", "lon"))
    paths = []
    for number, day in enumerate(DAYS):

        def layer(values: Any, **attrs: Any) -> tuple[Any, ...]:
            return ("tdim", "y", "x"), np.broadcast_to(values, (1, ROWS, COLUMNS)), attrs

        fraction = {
            "units": "1",
            "scale_factor": np.float32(0.01),
            "add_offset": np.float32(0),
            "valid_range": np.array([0, 100], np.uint8),
            "flag_values": np.array([251, 252, 253, 254, 255], np.uint8),
            "flag_meanings": "pole_hole lakes coastal land_mask missing_data",
            "_FillValue": np.uint8(255),
        }
        data = xr.Dataset(
            {
                "projection": ((), np.int32(0), mapping),
                "cdr_seaice_conc": layer(
                    value[number],
                    standard_name="sea_ice_area_fraction",
                    ancillary_variables="stdev_of_cdr_seaice_conc qa_of_cdr_seaice_conc",
                    **fraction,
                ),
                "nsidc_bt_seaice_conc": layer(value[number], **fraction),
                "nsidc_nt_seaice_conc": layer(value[number], **fraction),
                "stdev_of_cdr_seaice_conc": layer(np.float32(0.03), units="1"),
                "qa_of_cdr_seaice_conc": layer(
                    np.uint8(1),
                    flag_masks=np.array([1, 2, 4, 8, 16, 32, 64, 128], np.uint8),
                    flag_meanings="BT_source_for_CDR NT_source_for_CDR no_melt_detected "
                    "valid_ice_mask_applied spatial_interpolation_applied temporal_interpolation_applied "
                    "melt_start_detected spare",
                ),
            },
            {
                "time": ("tdim", [day.to_datetime64()], {"standard_name": "time"}),
                "latitude": lat,
                "longitude": lon,
                "xgrid": ("x", 1000 * coords["xc"][1], {"units": "meters"}),
                "ygrid": ("y", 1000 * coords["yc"][1], {"units": "meters"}),
            },
        )
        paths.append(folder / f"seaice_conc_daily_nh_{day:%Y%m%d}_f17_v04r00.nc")
        data.to_netcdf(paths[-1], encoding={"time": {"units": "days since 1601-01-01", "dtype": "f8"}})
    said = ("cdr_seaice_conc is preferred to", "special values that the file lists: ")
    sea = kind == 0
    return Product(paths, "cdr_seaice_conc", truth, ~clouds & sea, DAYS, 0.06, said, sea, error=0.03)
