"""Fields that leave little to fit or to train on are filled all the same, sensibly."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import xarray as xr
from fields import cloudy_dataset

Run = Callable[..., Any]


def whole() -> xr.Dataset:
    data = cloudy_dataset(dates=8, rows=10, columns=12)
    return data.assign(sst=data.truth.astype("f4")).drop_vars("truth")


def without(where: Any) -> xr.Dataset:
    """The whole field, missing ``where``."""
    data = whole()
    data.sst.values[where] = np.nan
    return data


def clouded() -> xr.Dataset:
    return cloudy_dataset(dates=8, rows=10, columns=12).drop_vars("truth")


def only(where: Any) -> xr.Dataset:
    """The clouded field with nothing but what it has ``where``."""
    data = clouded()
    kept = np.full(data.sst.shape, np.nan, np.float32)
    kept[where] = data.sst.values[where]
    return data.assign(sst=(data.sst.dims, kept))


def on_days(*days: int) -> xr.Dataset:
    data = clouded()
    return data.assign_coords(time=data.time.values[0] + np.array(days) * np.timedelta64(1, "D"))


ALL = slice(None)
ODD = {
    "one value missing": without((3, 6, 7)),
    "one date missing": without((3, ALL, ALL)),
    "one date seen": whole().assign(sst=whole().sst.where(whole().time.dt.day == 4)),
    "one pixel seen": without((ALL, ALL, np.arange(12) != 7)).isel(lat=[6]),
    "one pixel": clouded().isel(lat=[6], lon=[7]),
    "one row": clouded().isel(lat=[6]),
    "two dates": clouded().isel(time=[0, 1]),
    "every third row and column": only((ALL, slice(0, None, 3), slice(0, None, 3))),
    "irregular dates": on_days(0, 1, 2, 9, 10, 40, 41, 300),
    "large numbers": clouded().assign(sst=clouded().sst * np.float32(1e10)),
    "small numbers": clouded().assign(sst=clouded().sst * np.float32(1e-12)),
    "round the globe": clouded().assign_coords(lat=np.linspace(-90, 90, 10), lon=np.arange(12) * 30.0),
}


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", ODD)
def test_an_odd_field(run: Run, name: str) -> None:
    data = ODD[name]
    data.to_netcdf("in.nc")
    result = run("fill", "in.nc", "-o", "out.nc", "--epochs", "1", "--quiet")
    assert result.code == 0, result.err
    after = xr.load_dataset("out.nc")
    sea, seen = (after.sst_source != 0).values, data.sst.notnull().values & (after.sst_source == 1).values
    assert after.sst.values[seen].tobytes() == data.sst.values[seen].tobytes()
    low, high = np.nanmin(data.sst), np.nanmax(data.sst)
    filled = after.sst.values[sea & ~seen].astype(np.float64)
    assert filled.size
    assert np.all((filled > low - (high - low) / 2) & (filled < high + (high - low) / 2))
    error = after.sst_error.values[sea & ~seen].astype(np.float64)
    assert np.all((error > 0) & (error < 2 * (high - low)))
