"""HF radar totals with the variables and attributes of Copernicus Marine; the values are made up."""

from __future__ import annotations

import numpy as np
import xarray as xr

DIMS = ("TIME", "DEPH", "LATITUDE", "LONGITUDE")
MEANINGS = (
    "unknown good_data probably_good_data potentially_correctable_bad_data bad_data nominal_value "
    "interpolated_value missing_value"
)
FLAG = {"flag_values": np.array([0, 1, 2, 3, 4, 7, 8, 9], np.int8), "flag_meanings": MEANINGS}
SPIKE = 3.0  # m/s


def make_totals(dates: int = 12, rows: int = 6, columns: int = 7) -> xr.Dataset:
    """EWCT and NSCT with spikes that QCflag calls bad, and what else a total file has."""
    rng = np.random.default_rng(0)
    t, y, x = np.meshgrid(np.arange(dates), np.arange(rows), np.arange(columns), indexing="ij")
    u, v = 0.3 * np.sin(0.2 * t + 0.3 * y), 0.2 * np.cos(0.2 * t + 0.3 * x)
    quality = np.ones(u.shape, np.int8)
    quality[rng.random(u.shape) < 0.1] = 2
    quality[rng.random(u.shape) < 0.1] = 4
    gap = rng.random(u.shape) < 0.2
    quality[gap] = 9
    bad = quality == 4
    u, v = np.where(bad, u + SPIKE, u), np.where(bad, v - SPIKE, v)
    u[gap] = v[gap] = np.nan
    tests = np.where(quality == 2, 0, quality).astype(np.int8)  # not evaluated where probably good

    def level(values: np.ndarray, **attrs: object) -> tuple[object, ...]:
        return DIMS, values[:, None], attrs

    def component(values: np.ndarray, word: str) -> tuple[object, ...]:
        linked = "QCflag, VART_QC, CSPD_QC, GDOP_QC"
        name = f"{word}_sea_water_velocity"
        return level(values, standard_name=name, units="m s-1", ancillary_variables=linked)

    ones = np.ones(u.shape)
    return xr.Dataset(
        {
            "EWCT": component(u, "eastward"),
            "NSCT": component(v, "northward"),
            "EWCS": level(0.05 * ones, units="m s-1"),
            "NSCS": level(0.05 * ones, units="m s-1"),
            "UACC": level(0.05 * ones, units="m s-1", long_name="Accuracy of eastward velocity"),
            "VACC": level(0.05 * ones, units="m s-1", long_name="Accuracy of northward velocity"),
            "CCOV": level(0.05 * ones, units="m2 s-2", long_name="covariance of surface velocity"),
            "GDOP": level(1.5 * ones, units="1", long_name="geometrical dilution of precision"),
            "QCflag": level(quality, long_name="overall quality flags", **FLAG),
            "CSPD_QC": level(tests, **FLAG),
            "TIME_QC": (("TIME",), np.full(dates, 1, np.int8), FLAG),
            "POSITION_QC": level(np.full(u.shape, 7, np.int8), **FLAG),
            "DEPH_QC": (("DEPH",), np.full(1, 7, np.int8), FLAG),
        },
        {
            "TIME": np.datetime64("2019-06-01", "ns") + np.arange(dates) * np.timedelta64(1, "h"),
            "DEPH": ("DEPH", [0.48], {"units": "m", "standard_name": "depth"}),
            "LATITUDE": ("LATITUDE", 43 + 0.05 * np.arange(rows), {"units": "degrees_north"}),
            "LONGITUDE": ("LONGITUDE", 8 + 0.07 * np.arange(columns), {"units": "degrees_east"}),
        },
    )
