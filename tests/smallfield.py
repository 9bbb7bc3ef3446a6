"""A field of 24 values by hand, with what its output has to be."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import xarray as xr
from oceanfill.pipeline.io.field import Field

NT, NY, NX = 3, 2, 4
SEA = np.array([[True, True, True, False], [True, True, False, False]])
LAND, OBSERVED, FILLED, NEVER = 0, 1, 2, 3
ORIGIN = np.array(  # of the values of `small_field`: (0, 3) is seen outside the mask, (1, 1) never
    [
        [[OBSERVED, FILLED, OBSERVED, OBSERVED], [FILLED, NEVER, LAND, LAND]],
        [[FILLED, OBSERVED, OBSERVED, LAND], [OBSERVED, NEVER, LAND, LAND]],
        [[OBSERVED, FILLED, OBSERVED, LAND], [FILLED, NEVER, LAND, LAND]],
    ]
)
VARIABLE_ATTRIBUTES = {
    "standard_name": "sea_surface_temperature",
    "long_name": "sea surface temperature",
    "units": "degree_Celsius",
    "comment": "skin",
}


def small_field(
    order: tuple[int, int, int] = (0, 1, 2),
    dtype: Any = np.float32,
    dates: Any = None,
    time_encoding: dict[str, Any] | None = None,
    coordinates: dict[str, Any] | None = None,
    attrs: dict[str, Any] | None = None,
    **changes: Any,
) -> Field:
    """A field by hand; ``order`` is that of the dimensions of the variable in its file."""
    dims = ("time", "lat", "lon")
    values = np.random.default_rng(3).normal(15, 2, (NT, NY, NX)).astype(dtype)
    values[ORIGIN != OBSERVED] = np.nan
    if dates is None:
        dates = np.datetime64("2020-02-28T12", "ns") + np.arange(NT) * np.timedelta64(1, "D")
    source = xr.DataArray(
        values,
        dims=dims,
        name="sst",
        attrs=VARIABLE_ATTRIBUTES if attrs is None else attrs,
        coords={
            "time": ("time", dates, {"standard_name": "time", "long_name": "time of passage"}),
            "lat": (
                "lat",
                np.array([41, 40.5], np.float32),
                {"standard_name": "latitude", "long_name": "latitude", "units": "degrees_north"},
            ),
            "lon": (
                "lon",
                np.array([-5, -4.5, -4, -3.5]),
                {"standard_name": "longitude", "long_name": "longitude", "units": "degrees_east"},
            ),
            **(coordinates or {}),
        },
    ).transpose(*(dims[i] for i in order))
    source.time.encoding = time_encoding or {"units": "hours since 1981-01-01", "dtype": np.dtype("int32")}
    lat, lon = np.meshgrid([41, 40.5], [-5, -4.5, -4, -3.5], indexing="ij")
    field = Field(
        name="sst",
        values=np.where(SEA, values, np.nan).astype(np.float32),
        sea=SEA,
        error_variance=np.zeros((NT, NY, NX), np.float32),
        days=np.arange(NT, dtype=float),
        season=np.zeros(NT),
        lat=lat,
        lon=lon,
        source=source,
        mask_origin="mask (1 = sea)",
        inputs=("a.nc", "b.nc"),
    )
    return replace(field, **changes)


def estimate(field: Field) -> tuple[np.ndarray, np.ndarray]:
    """Another number for each value, and NaN on land, where no method gives any."""
    rng = np.random.default_rng(5)
    mean, error = rng.normal(14, 1, field.values.shape), rng.uniform(0.1, 0.9, field.values.shape)
    return tuple(np.where(field.sea, x, np.nan).astype(np.float32) for x in (mean, error))  # type: ignore[return-value]
