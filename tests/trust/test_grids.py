"""Grids: positions that make no sense, and such that only look as if they made none."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from hostile import FILL, Case, check, plain


def on(lat: Any = None, lon: Any = None) -> xr.Dataset:
    """`plain` at other positions."""
    data = plain()
    found = {"lat": lat, "lon": lon}
    return data.assign_coords(
        {name: (name, np.asarray(axis), data[name].attrs) for name, axis in found.items() if axis is not None}
    )


def curvilinear(change: Callable[[np.ndarray, np.ndarray], None] = lambda lat, lon: None) -> xr.Dataset:
    """`plain` with positions of two dimensions."""
    data = plain()
    lat, lon = np.meshgrid(data.lat.values + 0.0, data.lon.values, indexing="ij")
    lat += 0.01 * np.arange(6)
    change(lat, lon)
    made = data.drop_vars(["lat", "lon"]).rename(lat="y", lon="x")
    return made.assign_coords(
        lat=(("y", "x"), lat, {"units": "degrees_north"}), lon=(("y", "x"), lon, {"units": "degrees_east"})
    )


def set_nan(lat: np.ndarray, lon: np.ndarray) -> None:
    lat[0, :2] = lon[0, :2] = np.nan  # where nothing is observed


def set_nan_at_values(lat: np.ndarray, lon: np.ndarray) -> None:
    lat[3, 3] = np.nan


def set_zero(lat: np.ndarray, lon: np.ndarray) -> None:
    lat[:] = lon[:] = 0


def set_all_nan(lat: np.ndarray, lon: np.ndarray) -> None:
    lat[:] = np.nan


def swapped() -> xr.Dataset:
    """The units of the two axes are exchanged."""
    data = plain()
    data.lat.attrs, data.lon.attrs = data.lon.attrs, data.lat.attrs
    return data


def closed() -> xr.Dataset:
    """The last column is the first one."""
    data = on(lon=72.0 * np.arange(6))
    data.sst.values[:, :, 5] = data.sst.values[:, :, 0]
    return data


def without(name: str) -> xr.Dataset:
    return plain().drop_vars(name)


def extra(size: int, name: str = "depth") -> xr.Dataset:
    data = plain()
    return data.assign(sst=data.sst.expand_dims({name: size}).assign_attrs(data.sst.attrs))


def only(rows: slice, columns: slice) -> xr.Dataset:
    return plain().isel(lat=rows, lon=columns)


EVEN = np.arange(6.0)
CASES = {
    "latitudes all zero": Case(lambda: on(lat=np.zeros(5)), "not monotonic"),
    "longitudes all zero": Case(lambda: on(lon=np.zeros(6)), "not monotonic"),
    "positions of two dimensions, all zero": Case(lambda: curvilinear(set_zero), "positions"),
    "positions of two dimensions": Case(curvilinear),
    "positions that are missing where nothing is seen": Case(lambda: curvilinear(set_nan)),
    "a position that is missing where something is seen": Case(
        lambda: curvilinear(set_nan_at_values), "have no lat"
    ),
    "latitudes that are all missing": Case(lambda: curvilinear(set_all_nan), "lat"),
    "an infinite latitude": Case(lambda: on(lat=[35, 35.1, np.inf, 35.3, 35.4]), "missing values"),
    "a latitude that is missing": Case(lambda: on(lat=[35, np.nan, 35.2, 35.3, 35.4]), "1 missing values"),
    "a latitude twice": Case(lambda: on(lat=[35, 35.1, 35.1, 35.3, 35.4]), "not monotonic"),
    "latitudes in no order": Case(lambda: on(lat=[35, 35.3, 35.1, 35.2, 35.4]), "not monotonic"),
    "latitudes beyond the pole": Case(lambda: on(lat=[88, 89, 90, 91, 92]), "not in degrees"),
    "latitudes in thousandths": Case(lambda: on(lat=1000 * (35 + 0.1 * np.arange(5))), "not in degrees"),
    "latitudes in radians": Case(lambda: on(lat=np.radians(35 + 0.1 * np.arange(5))), reference=True),
    "latitudes as text": Case(lambda: on(lat=["a", "b", "c", "d", "e"]), "lat"),
    "latitudes as whole numbers": Case(lambda: on(lat=np.arange(35, 40))),
    "latitudes downwards": Case(lambda: on(lat=35.4 - 0.1 * np.arange(5))),
    "longitudes across the date line": Case(lambda: on(lon=[178, 179, 180, -179, -178, -177])),
    "longitudes from 0 to 360": Case(lambda: on(lon=354 + 0.1 * EVEN)),
    "longitudes across 360": Case(lambda: on(lon=359.7 + 0.1 * EVEN)),
    "longitudes of 1000 degrees": Case(lambda: on(lon=1000 + EVEN), "not in degrees"),
    "longitudes round the globe": Case(lambda: on(lon=60 * EVEN)),
    "longitudes round the globe and the first again": Case(closed, means=closed),
    "longitudes with a step of 1e-9": Case(lambda: on(lon=1e-9 * EVEN)),
    "longitudes with a step of 1e-320": Case(lambda: on(lon=1e-320 * EVEN)),
    "the pole": Case(lambda: on(lat=90 - 1e-7 * np.arange(5))),
    "units exchanged": Case(swapped),
    "no latitude": Case(lambda: without("lat"), "no latitude was found"),
    "no longitude": Case(lambda: without("lon"), "no longitude was found"),
    "no positions": Case(lambda: plain().drop_vars(["lat", "lon"]), "was found"),
    "a level": Case(lambda: extra(1)),
    "two levels": Case(lambda: extra(2), "several levels"),
    "two levels, one chosen": Case(lambda: extra(2), words=f"{FILL} --level 1"),
    "a level that is not there": Case(lambda: extra(2), "level", f"{FILL} --level 17"),
    "a level that is NaN": Case(lambda: extra(2), "level", f"{FILL} --level nan"),
    "two members": Case(lambda: extra(2, "member"), "member"),
    "one row": Case(lambda: only(slice(2, 3), slice(None)), means=lambda: only(slice(2, 3), slice(None))),
    "one column": Case(lambda: only(slice(None), slice(3, 4)), means=lambda: only(slice(None), slice(3, 4))),
    "one pixel": Case(lambda: only(slice(2, 3), slice(3, 4)), means=lambda: only(slice(2, 3), slice(3, 4))),
    "no row": Case(lambda: only(slice(0, 0), slice(None)), "shape (0, 6)"),
    "another order of dimensions": Case(lambda: plain().transpose("lat", "time", "lon")),
    "an unlimited latitude": Case(lambda: plain().to_netcdf("in.nc", unlimited_dims=["lat", "lon"]) and None),
    "a grid of 1e-5 degrees": Case(plain, "cells", f"{FILL} --grid 1e-7"),
    "a grid of 1e-300 degrees": Case(plain, "cells", f"{FILL} --grid 1e-300"),
    "a grid of 1000 degrees": Case(plain, "more than 180", f"{FILL} --grid 1000"),
    "a grid of infinite steps": Case(plain, "more than 180", f"{FILL} --grid inf"),
    "a grid of NaN": Case(plain, "--grid", f"{FILL} --grid nan"),
    "a grid of three numbers": Case(plain, "--grid", f"{FILL} --grid 1,2,3"),
    "bounds without a grid": Case(plain, "--bounds", f"{FILL} --bounds 0,1,0,1"),
    "bounds far away": Case(plain, "contains no grid point", f"{FILL} --grid 0.1 --bounds 50,51,50,51"),
    "a region far away": Case(plain, "contains no grid point", f"{FILL} --region 50,51,50,51"),
    "a region of nothing": Case(plain, "contains no grid point", f"{FILL} --region 35.05,35.05,-5.95,-5.95"),
    "a region with a NaN": Case(plain, "region", f"{FILL} --region 35,nan,-6,-5"),
    "a region with an infinity": Case(plain, "region", f"{FILL} --region 35,36,-inf,inf"),
    "a region of words": Case(plain, "--region", f"{FILL} --region a,b,c,d"),
    "a mask that varies, without sea": Case(
        lambda: plain().assign(mask=(("time", "lat", "lon"), np.zeros((9, 5, 6), np.int8))), "has no sea"
    ),
    "a mask of NaN": Case(
        lambda: plain().assign(mask=(("lat", "lon"), np.full((5, 6), np.nan))), "has no sea"
    ),
    "a mask of text": Case(
        lambda: plain().assign(mask=(("lat", "lon"), np.full((5, 6), "sea"))), "is not a mask"
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_grids(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: Any) -> None:
    check(CASES[name], tmp_path, monkeypatch, capfd)
