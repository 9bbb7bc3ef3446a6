"""The analysis does not depend on how the same values are written: units, packing, order, longitudes."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from fields import cloudy_dataset, eddies, seen_by_radars
from oceanfill.pipeline.jobs.methods import find_methods

from oceanfill import fill

SIMPLE = [name for name, method in find_methods().items() if not method.trains and name != "auto"]
LAYOUTS = ("latitude flipped", "longitude flipped", "transposed")
ROUNDED = ("0 to 360", "plus a constant", "seven times", "kelvin", "packed")
ENLARGED = {"unet": (5e-3, 0.05), "blend": (1e-4, 0.03)}  # a training, and few residuals, enlarge rounding
FEW = {  # the slow ones
    "blend": ("latitude flipped", "kelvin"),
    "pretrained": ("longitude flipped", "packed"),
    "unet": ("transposed", "seven times"),
}


def observe() -> xr.Dataset:
    # Nearly without noise, and with ties between neighbours: rounding shows most.
    data = cloudy_dataset(dates=12, rows=12, columns=14, seed=1).drop_vars("truth")
    return data.assign(sst=data.sst.astype(np.float64).assign_attrs(data.sst.attrs))


def rewrite(data: xr.Dataset, how: str, folder: Path) -> tuple[xr.Dataset, float, float]:
    """Write the same values in another way; return also the scale and the constant that undo it."""
    sst, keep = data.sst, data.sst.attrs
    if how == "plus a constant":
        return data.assign(sst=(sst + 1000).assign_attrs(keep)), 1, -1000
    if how == "seven times":
        return data.assign(sst=(7 * sst).assign_attrs(units="1")), 1 / 7, 0
    if how == "kelvin":
        return data.assign(sst=(sst + 273.15).assign_attrs(units="K")), 1, -273.15
    if how == "packed":
        # Fine enough to be the same values: coarse steps are noise, which a fit rightly sees.
        packing = {"dtype": "int32", "scale_factor": 1e-5, "add_offset": 10.0, "_FillValue": -(2**31)}
        data.to_netcdf(folder / "packed.nc", encoding={"sst": packing})
        return xr.load_dataset(folder / "packed.nc"), 1, 0
    change: dict[str, Callable[[xr.Dataset], xr.Dataset]] = {
        "latitude flipped": lambda data: data.isel(lat=slice(None, None, -1)),
        "longitude flipped": lambda data: data.isel(lon=slice(None, None, -1)),
        "transposed": lambda data: data.transpose("lon", "time", "lat"),
        "0 to 360": lambda data: data.assign_coords(lon=data.lon % 360).sortby("lon"),
    }
    return change[how](data), 1, 0


def fill_in(data: xr.Dataset, method: str) -> tuple[np.ndarray, np.ndarray]:
    """Fill, and return analysis and error in the order of the first file."""
    options = {"epochs": 1} if method == "unet" else {}
    out = fill(data, variable="sst", method=method, pack="none", **options)
    assert out.lat.equals(data.lat)  # the file keeps its own order
    assert out.lon.equals(data.lon)
    assert out.sst.dims == data.sst.dims
    out = out.assign_coords(lon=(out.lon + 180) % 360 - 180).sortby(["lat", "lon"])
    return tuple(
        out[name].transpose("time", "lat", "lon").to_numpy() for name in ("sst_analysis", "sst_error")
    )


@cache
def expect(method: str) -> tuple[np.ndarray, np.ndarray]:
    return fill_in(observe(), method)


SLOW = pytest.mark.slow  # the fits of several methods, or a training
CASES = [
    pytest.param(name, how, marks=SLOW) if name in FEW else (name, how)
    for name in (*SIMPLE, "unet")
    for how in FEW.get(name, (*LAYOUTS, *ROUNDED))
]


@pytest.mark.parametrize(("method", "how"), CASES)
def test_the_same_values_written_in_another_way_have_the_same_analysis(method, how, tmp_path):
    analysis, error = expect(method)
    data, scale, constant = rewrite(observe(), how, tmp_path)
    other, other_error = fill_in(data, method)
    off = scale * other + constant - analysis
    # Rounding in the file and in single precision; an order changes nothing at all.
    most, most_error = (1e-7, 1e-6) if how in LAYOUTS else ENLARGED.get(method, (2e-5, 0.005))
    assert np.sqrt(np.nanmean(off**2)) < most * np.nanstd(analysis)
    assert np.sqrt(np.nanmean((scale * other_error / error - 1) ** 2)) < most_error


def test_a_globe_begins_at_any_meridian(tmp_path):
    """Block by block, as all grids are whose last column is next to the first."""
    data = (
        cloudy_dataset(dates=8, rows=12, columns=36)
        .drop_vars("truth")
        .assign_coords(lon=10.0 * np.arange(36))
    )
    turned = data.assign_coords(lon=(data.lon + 180) % 360 - 180).sortby("lon")
    first, second = (
        fill(one, variable="sst", method="linear-space").assign_coords(lon=one.lon % 360).sortby("lon")
        for one in (data, turned)
    )
    for name in ("sst", "sst_analysis", "sst_error", "sst_source"):
        np.testing.assert_array_equal(first[name], second[name])


@pytest.mark.parametrize("suffix", [".nc", ".zarr"])
@pytest.mark.parametrize("how", ["latitude flipped", "longitude flipped", "0 to 360"])
def test_block_by_block_the_file_keeps_its_own_order(how, suffix, tmp_path):
    data, _, _ = rewrite(observe(), how, tmp_path)
    data.to_netcdf(tmp_path / "in.nc")
    cache = str(tmp_path / "cache.zarr")
    blocks = fill(
        tmp_path / "in.nc", tmp_path / f"out{suffix}", variable="sst", method="linear-time", cache=cache
    )
    memory = fill(tmp_path / "in.nc", variable="sst", method="linear-time")
    assert blocks.lat.equals(data.lat)
    assert blocks.lon.equals(data.lon)
    assert not {key for name in ("lat", "lon") for key in blocks[name].attrs if key.startswith("_")}
    seen = data.sst.notnull()
    np.testing.assert_array_equal(blocks.sst.where(seen), data.sst.where(seen))
    for name in ("sst", "sst_analysis", "sst_error"):
        np.testing.assert_allclose(blocks[name], memory[name], rtol=1e-5)
    np.testing.assert_array_equal(blocks.sst_source, memory.sst_source)


@pytest.mark.parametrize("blocks", [False, True])
def test_a_current_keeps_the_order_of_its_radials(blocks, tmp_path):
    radials = seen_by_radars(eddies(dates=8, rows=8, columns=10))
    found = []
    for name, one in (
        ("a", radials),
        ("b", radials.isel(lat=slice(None, None, -1), lon=slice(None, None, -1))),
    ):
        one.to_netcdf(tmp_path / f"{name}.nc")
        how = {"n_workers": 2} if blocks else {}
        out = fill(
            tmp_path / f"{name}.nc",
            tmp_path / f"{name}_out.nc",
            method="oi",
            radial_direction="direction",
            **how,
        )
        assert out.lat.equals(one.lat)
        found.append(out.sortby(["lat", "lon"]))
    for name in ("u", "v", "uv_covariance"):
        np.testing.assert_array_equal(found[0][name], found[1][name])
