"""Several files that do not go together, and what is made of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from hostile import Case, check, plain

FILL = "fill 'in_*.nc' -o out.nc --method linear-time --quiet"
BLOCKS = f"{FILL} --memory 1 --workers 1 --cache cache.zarr"


def case(make: Any, says: str = "", words: str = FILL, **more: Any) -> Case:
    return Case(make, says, words, **more)


def halves(
    change: Any = lambda data: data, first: Any = lambda data: data, whole: Any = lambda: plain()
) -> None:
    """The first four dates in a file and the others, changed, in another."""
    data = whole()
    first(data.isel(time=slice(0, 4))).to_netcdf("in_a.nc")
    change(data.isel(time=slice(4, None))).to_netcdf("in_b.nc")


def with_mask(data: xr.Dataset, sea: Any, **attrs: Any) -> xr.Dataset:
    given = np.zeros((5, 6), np.int8)
    given[sea] = 1
    return data.assign(mask=(("lat", "lon"), given, attrs))


LEFT, RIGHT, TOP = np.s_[:, :4], np.s_[:, 2:], np.s_[2:]


def united() -> xr.Dataset:
    """Sea in the first four columns or the upper rows."""
    sea = np.zeros((5, 6), bool)
    sea[LEFT] = sea[TOP] = True
    data = plain()
    return data.assign(sst=data.sst.where(sea), mask=(("lat", "lon"), sea.astype(np.int8)))


def contradicting() -> None:
    halves(
        lambda data: with_mask(data, TOP),
        lambda data: with_mask(data, LEFT),
        lambda: united().drop_vars("mask"),
    )


def in_kelvin(data: xr.Dataset) -> xr.Dataset:
    return data.assign(sst=(data.sst.astype(np.float64) + 273.15).assign_attrs(units="kelvin"))


def packed(data: xr.Dataset) -> xr.Dataset:
    return data.assign(sst=data.sst.astype(np.float64))


def damage() -> None:
    halves()
    content = Path("in_b.nc").read_bytes()
    Path("in_b.nc").write_bytes(content[: len(content) // 2])


def thrice() -> None:
    for name in "abc":
        plain().to_netcdf(f"in_{name}.nc")


def with_an_unrelated_one() -> None:
    halves()
    xr.Dataset({"depth": (("lat", "lon"), np.ones((5, 6)))}).to_netcdf("in_c.nc")


def no_values(data: xr.Dataset) -> xr.Dataset:
    return data.assign(sst=data.sst * np.float32(np.nan))


CASES = {
    "halves": case(halves),
    "the second without its units": case(lambda: halves(lambda data: data.assign(sst=data.sst.drop_attrs()))),
    "masks that contradict each other": case(contradicting, means=united),
    "masks that contradict each other, in blocks": case(
        contradicting,
        words=BLOCKS,
        means=united,
        also=("cache.zarr",),
    ),
    "masks that contradict each other, described": case(contradicting, words="info 'in_*.nc'"),
    "a mask in the first file only": case(
        lambda: halves(first=lambda data: with_mask(data, LEFT)),
        "in_b.nc: it lacks the sea mask 'mask' of in_a.nc",
    ),
    "a mask in the second file only": case(
        lambda: halves(lambda data: with_mask(data, LEFT)),
        "in_b.nc: it has the sea mask 'mask', which in_a.nc lacks",
    ),
    "masks of two sizes": case(
        lambda: halves(
            lambda data: data.assign(mask=(("y", "x"), np.ones((2, 3), np.int8))),
            lambda data: with_mask(data, LEFT),
        ),
        "mask has the shape (2, 3)",
    ),
    "the second upside down": case(lambda: halves(lambda data: data.isel(lat=slice(None, None, -1)))),
    "the second with its longitudes backwards": case(
        lambda: halves(lambda data: data.isel(lon=slice(None, None, -1)))
    ),
    "the second turned by 360 degrees": case(
        lambda: halves(lambda data: data.assign_coords(lon=data.lon + 360))
    ),
    "the second in another order": case(lambda: halves(lambda data: data.transpose("lon", "time", "lat"))),
    "the second with other names": case(
        lambda: halves(lambda data: data.rename(lat="latitude", lon="longitude")), "there is no lat, lon"
    ),
    "the second with another variable": case(
        lambda: halves(lambda data: data.rename(sst="tos")), "there is no sst"
    ),
    "the second shifted by half a cell": case(
        lambda: halves(lambda data: data.assign_coords(lat=data.lat + 0.05)), "its grid differs"
    ),
    "the second without a column": case(
        lambda: halves(lambda data: data.isel(lon=slice(1, None))), "its grid differs"
    ),
    "the second in another calendar": case(
        lambda: halves(lambda data: data.convert_calendar("noleap")), "calendar"
    ),
    "the second in Kelvin": case(lambda: halves(in_kelvin), reference=True, within=1e-5),
    "the second in metres": case(
        lambda: halves(lambda data: data.assign(sst=data.sst.assign_attrs(units="m"))), "in_b.nc"
    ),
    "the second in double precision": case(lambda: halves(packed)),
    "the second without values": case(
        lambda: halves(no_values), means=lambda: plain().where(plain().time < plain().time[4])
    ),
    "the second without dates": case(
        lambda: halves(lambda data: data.isel(time=[])), means=lambda: plain().isel(time=slice(0, 4))
    ),
    "the second is damaged": case(damage, "in_b.nc: the file is truncated"),
    "the same file three times": case(thrice),
    "one that has nothing to do with them": case(with_an_unrelated_one, "in_c.nc"),
    "a pattern that fits nothing": case(halves, "no file matches", FILL.replace("in_*", "on_*")),
    "the same file named twice": case(
        lambda: plain().to_netcdf("in_a.nc") and None, words=FILL.replace("'in_*.nc'", "in_a.nc in_a.nc")
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_several(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: Any) -> None:
    check(CASES[name], tmp_path, monkeypatch, capfd)
