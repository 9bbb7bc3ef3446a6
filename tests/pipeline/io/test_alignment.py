"""Grids that differ only in how they are written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from oceanfill.pipeline.errors import InputError
from oceanfill.pipeline.io.alignment import match_grids
from oceanfill.pipeline.io.field import open_field
from oceanfill.pipeline.plots.layers import read_filled
from oceanfill.pipeline.plots.maps import draw_maps
from oceanfill.pipeline.records.prepare import prepare
from series import series, write

from oceanfill import fill

HARMLESS: dict[str, Callable[[xr.Dataset], xr.Dataset]] = {
    "turned": lambda d: d.assign_coords(lon=d.lon + 360),
    "upside_down": lambda d: d.isel(lat=slice(None, None, -1)),
    "mirrored": lambda d: d.isel(lon=slice(None, None, -1)),
    "single": lambda d: d.assign_coords(lat=d.lat.astype("f4") + 1e-5, lon=d.lon.astype("f4")),
    "sorted": lambda d: d.assign_coords(lon=d.lon % 360).sortby("lon"),
    "modulo": lambda d: d.assign_coords(lon=d.lon % 360),
}


@pytest.mark.parametrize("way", HARMLESS)
def test_files_in_another_order_are_brought_together(tmp_path: Path, way: str) -> None:
    """Both in memory and in a store; the region lies across Greenwich."""
    whole = series(nt=6, nx=7).assign_coords(lon=-0.6 + 0.25 * np.arange(7))
    write(whole.isel(time=slice(0, 3)), tmp_path / "a.nc")
    write(HARMLESS[way](whole.isel(time=slice(3, 6))), tmp_path / "b.nc")
    field = open_field(str(tmp_path / "*.nc"))
    np.testing.assert_array_equal(field.values, whole.sst)
    np.testing.assert_array_equal(field.source.lon, whole.lon)
    stored = open_field(prepare(str(tmp_path / "*.nc"), tmp_path / "all.zarr"))
    np.testing.assert_array_equal(stored.values, whole.sst)


def test_a_global_grid_may_begin_at_another_meridian() -> None:
    lat, lon = np.arange(-60.0, 61, 30), np.arange(0.0, 360, 30)
    rows, columns = match_grids(lat, lon, lat[::-1], np.roll(lon, 6) - 360 * (np.roll(lon, 6) >= 180))
    np.testing.assert_array_equal(rows, np.arange(5)[::-1])
    np.testing.assert_array_equal(np.roll(lon, 6)[columns], lon)
    assert match_grids(lat, lon, lat, lon + 15) is None
    assert match_grids(lat, lon, lat, lon[::2]) is None


@pytest.mark.parametrize("blocks", [False, True])
def test_a_region_sorted_across_greenwich_is_filled_in_one_piece(tmp_path: Path, blocks: bool) -> None:
    """The neighbours on both sides of the seam help, and the output has the columns of the file."""
    rng = np.random.default_rng(0)
    lon = np.round(np.arange(-6, 7) / 10, 1)
    t, x = np.meshgrid(np.arange(12), lon, indexing="ij")
    truth = np.sin(4 * x - 0.5 * t)[:, None] + np.zeros((1, 5, 1))
    seen = np.where(rng.random(truth.shape) < 0.5, np.nan, truth)
    seen[:, :, 6] = np.nan  # Greenwich is never observed
    straight = xr.Dataset(
        {"sst": (("time", "lat", "lon"), seen), "mask": (("lat", "lon"), np.ones((5, 13), np.int8))},
        {
            "time": np.datetime64("2020-01-01", "ns") + np.arange(12) * np.timedelta64(1, "D"),
            "lat": 40 + np.arange(5) / 10,
            "lon": lon,
        },
    )
    path = tmp_path / "in.nc"
    given = straight.assign_coords(lon=np.round(lon % 360, 1)).sortby("lon")
    given.to_netcdf(path)
    more = {"cache": tmp_path / "cache.zarr"} if blocks else {}
    made = fill(path, method="oi", holdout=False, quiet=True, **more).load()
    np.testing.assert_array_equal(made.lon, given.lon)
    observed = given.sst.notnull().to_numpy()
    np.testing.assert_allclose(made.sst.to_numpy()[observed], given.sst.to_numpy()[observed], rtol=1e-6)
    error = made.sst.sel(lon=0).to_numpy() - truth[:, :, 6]
    assert np.sqrt((error**2).mean()) < 0.1  # the deviation of the truth there is 0.7
    draw_maps(read_filled(made, "sst"))


@pytest.mark.parametrize("method", ["oi", "linear-time"])
def test_both_copies_of_a_meridian_stay_equal(method: str, tmp_path: Path) -> None:
    """From -180 to 180; in memory and in blocks, in which a global grid is filled by its neighbours."""
    rng = np.random.default_rng(1)
    lon, lat = np.arange(-180, 181, 20.0), np.arange(-40, 41, 20.0)
    t, y, x = np.meshgrid(np.arange(10), np.radians(lat), np.radians(lon), indexing="ij")
    truth = np.cos(y) * np.sin(x - 0.3 * t)
    hidden = rng.random(truth.shape) < 0.4
    hidden[..., -1] = hidden[..., 0]
    dates = np.datetime64("2020-01-01", "ns") + np.arange(10) * np.timedelta64(1, "D")
    data = xr.Dataset(
        {"sst": (("time", "lat", "lon"), np.where(hidden, np.nan, truth))},
        {"time": dates, "lat": lat, "lon": lon},
    )
    output = tmp_path / "out.nc"
    fill(data, output, method=method, holdout=False, quiet=True)
    with xr.open_dataset(output) as made:
        np.testing.assert_array_equal(made.lon, lon)
        for name in ("sst", "sst_analysis", "sst_error", "sst_source"):
            np.testing.assert_array_equal(made[name][..., 0], made[name][..., -1])
        assert made.sst.notnull().all()
        assert np.sqrt(((made.sst - truth).to_numpy()[hidden] ** 2).mean()) < 0.5


def test_other_grids_are_refused_with_the_options_that_help(tmp_path: Path) -> None:
    """Corners that are the same are not enough, in memory and in a store."""
    whole = series(nt=6, ny=5)
    write(whole.isel(time=slice(0, 3)), tmp_path / "a.nc")
    bent = whole.lat + 0.05 * np.array([0, 1, 1, 1, 0])
    write(whole.isel(time=slice(3, 6)).assign_coords(lat=bent), tmp_path / "b.nc")
    for read in (open_field, lambda paths: prepare(paths, tmp_path / "all.zarr")):
        with pytest.raises(
            InputError, match=r"b\.nc: its grid differs from that of .*a\.nc \(positions\)"
        ) as told:
            read(str(tmp_path / "*.nc"))
        assert "like=FILE or grid=STEP" in str(told.value)
