"""The same field in other files gives the same numbers."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cftime
import numpy as np
import pytest
import xarray as xr
from fields import cloudy_dataset
from hypothesis import given, settings
from hypothesis import strategies as st
from oceanfill.pipeline.cli.main import main

Run = Callable[..., Any]
DIMS = ("time", "lat", "lon")
WORDS = ("--method", "linear-time", "--variable", "sst", "--no-holdout", "--quiet")
CALENDARS = ("standard", "proleptic_gregorian", "noleap", "360_day", "julian")


def plain() -> xr.Dataset:
    """Across Greenwich; values are whole hundredths, which can be packed."""
    data = cloudy_dataset(dates=6, rows=8, columns=9).drop_vars("truth")
    data["sst"] = data.sst.round(2)
    return data.assign_coords(lon=-0.4 + 0.1 * np.arange(9))


@pytest.fixture(scope="module")
def expected() -> Iterator[xr.Dataset]:
    folder = Path(tempfile.mkdtemp())
    yield filled(plain(), {}, folder / "in.nc")
    shutil.rmtree(folder)


def filled(data: xr.Dataset, encoding: dict[str, Any], path: Path) -> xr.Dataset:
    """What the command makes of the dataset, written with this encoding of ``sst``."""
    if path.suffix == ".zarr":
        data.to_zarr(path, consolidated=False, encoding={"sst": encoding})
    else:
        data.to_netcdf(path, encoding={"sst": encoding})
    out = path.with_name("out.nc")
    assert main(["fill", str(path), "-o", str(out), *WORDS]) == 0
    return xr.load_dataset(out)


ENCODINGS = st.sampled_from(
    [
        {"dtype": "f4"},
        {"dtype": "f8", "_FillValue": -9999.0},
        {"dtype": "f4", "_FillValue": np.float32(1e20)},
        {"dtype": "i2", "scale_factor": 0.01, "add_offset": 15.0, "_FillValue": -32768},
        {"dtype": "i4", "scale_factor": 0.01, "_FillValue": 2147483647},
    ]
)
NAMES = st.sampled_from([DIMS, ("t", "latitude", "longitude"), ("time_counter", "nav_lat", "nav_lon")])


@settings(max_examples=30, deadline=None)
@given(
    order=st.permutations(DIMS),
    south_first=st.booleans(),
    east_first=st.booleans(),
    to_360=st.booleans(),
    encoding=ENCODINGS,
    calendar=st.sampled_from(CALENDARS),
    names=NAMES,
    suffix=st.sampled_from([".nc", ".zarr"]),
)
def test_any_layout(
    expected: xr.Dataset,
    order: tuple[str, ...],
    south_first: bool,
    east_first: bool,
    to_360: bool,
    encoding: dict[str, Any],
    calendar: str,
    names: tuple[str, ...],
    suffix: str,
) -> None:
    data = plain().transpose(*order)
    dates = [cftime.datetime(2021, 6, day, calendar=calendar) for day in range(1, 7)]
    data = data.assign_coords(time=dates)
    if to_360:
        data = data.assign_coords(lon=data.lon % 360)
    turned = data.isel(
        lat=slice(None, None, 1 if south_first else -1), lon=slice(None, None, 1 if east_first else -1)
    )
    with tempfile.TemporaryDirectory() as folder:
        there = turned.rename(dict(zip(DIMS, names, strict=True)))
        found = filled(there, encoding, Path(folder) / f"in{suffix}")
    assert found.sst.dims == there.sst.dims
    back = found.rename(dict(zip(names, DIMS, strict=True))).isel(
        lat=slice(None, None, 1 if south_first else -1), lon=slice(None, None, 1 if east_first else -1)
    )
    np.testing.assert_allclose(back.lon, data.lon)
    rounding = encoding.get("scale_factor", 0) / 2  # the output is packed like the input
    for name in ("sst", "sst_analysis", "sst_error"):
        np.testing.assert_allclose(
            back[name].transpose(*DIMS), expected[name].transpose(*DIMS), rtol=0, atol=2e-5 + rounding
        )
    np.testing.assert_array_equal(back.sst_source.transpose(*DIMS), expected.sst_source.transpose(*DIMS))


def test_optimal_interpolation_in_other_files(run: Run) -> None:
    """The order of dimensions changes nothing; packing and 0..360 no more than the fit makes of round-off."""
    data = plain()
    packed = {"dtype": "i2", "scale_factor": 0.01, "add_offset": 15.0, "_FillValue": -32768}
    data.to_netcdf("plain.nc")
    data.transpose("lon", "lat", "time").to_netcdf("turned.nc")
    data.assign_coords(lon=data.lon % 360).to_netcdf("packed.nc", encoding={"sst": packed})
    for name in ("plain", "turned", "packed"):
        assert run("fill", f"{name}.nc", "-o", f"{name}_out.nc", "--method", "oi", "--quiet").code == 0
    expected, turned, other = (xr.load_dataset(f"{name}_out.nc") for name in ("plain", "turned", "packed"))
    for name in ("sst", "sst_analysis", "sst_error", "sst_source"):
        np.testing.assert_array_equal(turned[name].transpose(*DIMS), expected[name])
    assert turned.attrs["held_out_rmse"] == expected.attrs["held_out_rmse"]
    assert other.attrs["held_out_n"] == expected.attrs["held_out_n"]
    rounding = packed["scale_factor"] / 2
    difference = (np.abs(other.sst_analysis - expected.sst_analysis) - rounding) / expected.sst_error
    assert float(difference.max()) < 0.1
    np.testing.assert_allclose(other.sst_error, expected.sst_error, rtol=0.1)
