"""`oceanfill prepare` and `oceanfill fill` on inputs larger than the memory that is allowed."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from fields import cloudy_dataset
from oceanfill.pipeline.cli import main as cli

MEMORY = str(0.6 + 120.01 * 44 * 20 * 24 / 1e9)


@pytest.fixture
def files(tmp_path):
    dataset = cloudy_dataset(dates=80).drop_vars("truth")
    for year, start in enumerate(range(0, 80, 20)):
        dataset.isel(time=slice(start, start + 20)).to_netcdf(tmp_path / f"sst_{year}.nc")
    return tmp_path


def test_prepare_then_fill_then_draw(files, capsys):
    words = ["prepare", str(files / "*.nc"), "-o", str(files / "sst.zarr")]
    assert cli.main(words) == 0
    assert "fill it with: oceanfill fill" in " ".join(capsys.readouterr().err.split())
    assert (files / "sst.zarr").is_dir()
    words = ["fill", str(files / "sst.zarr"), "-o", str(files / "out.nc"), "--plot", str(files / "out.png")]
    assert cli.main([*words, "--method", "linear-time", "--memory", MEMORY]) == 0
    filled = xr.load_dataset(files / "out.nc")
    sea = cloudy_dataset(dates=2).mask.to_numpy() == 1
    assert filled.sst.shape == (80, 20, 24)
    assert np.isfinite(filled.sst.to_numpy()[:, sea]).all()
    assert "--memory" in filled.attrs["history"]
    assert (files / "out.png").stat().st_size > 20_000


def test_inputs_that_are_too_large_are_prepared_on_the_way_and_nothing_is_left(files):
    words = ["fill", str(files / "*.nc"), "--method", "climatology", "--memory", MEMORY, "--quiet"]
    assert cli.main([*words, "-o", str(files / "out.zarr")]) == 0
    assert sorted(path.name for path in files.iterdir() if path.suffix != ".nc") == ["out.zarr"]
    assert cli.main([*words, "-o", str(files / "two.nc"), "--cache", str(files / "kept.zarr")]) == 0
    assert (files / "kept.zarr").exists()
    one, two = xr.open_zarr(files / "out.zarr").load(), xr.load_dataset(files / "two.nc")
    np.testing.assert_array_equal(one.sst, two.sst)


def test_a_prepared_store_cannot_be_cut_block_by_block(files, capsys):
    assert cli.main(["prepare", str(files / "*.nc"), "-o", str(files / "sst.zarr"), "--quiet"]) == 0
    words = ["fill", str(files / "sst.zarr"), "-o", str(files / "out.nc"), "--workers", "2"]
    assert cli.main([*words, "--region", "35,36,-6,-5"]) == 2
    assert "give --region to `oceanfill prepare`" in capsys.readouterr().err
