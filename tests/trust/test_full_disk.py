"""A full disk costs what is written to it, and nothing else."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from fields import cloudy_dataset
from oceanfill.pipeline.cli.main import main


@pytest.fixture
def full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A file system of a megabyte that is full, next to the input."""
    if sys.platform != "linux" or os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("to mount a small file system takes Linux and root")
    disk = tmp_path / "full"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)], capture_output=True, text=True
    )
    if mounted.returncode:
        pytest.skip(f"a small file system cannot be mounted: {mounted.stderr.strip()}")
    monkeypatch.chdir(tmp_path)
    cloudy_dataset(dates=8, rows=12, columns=14).drop_vars("truth").to_netcdf("in.nc")
    try:
        with (disk / "ballast").open("wb", buffering=0) as file:
            while True:
                try:
                    file.write(bytes(4096))
                except OSError:
                    break
        yield disk
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)


@pytest.mark.parametrize(
    "side",
    [
        ("--method", "dineof", "--save-eofs", "full/eofs.nc"),
        ("--epochs", "1", "--first-guess", "none", "--save-checkpoint", "full/net.ckpt"),
        ("--method", "oi", "--plot", "full/out.png"),
        ("--epochs", "1", "--cache", "cache.zarr", "--save-checkpoint", "full/net.ckpt"),
    ],
    ids=["EOFs", "network", "plot", "network of blocks"],
)
def test_a_side_product_costs_no_output(
    full: Path, side: tuple[str, ...], capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(["fill", "in.nc", "-o", "out.nc", *side]) == 2
    said = " ".join(capfd.readouterr().err.split())
    assert f"{side[-1]}: cannot be written (" in said
    assert "free disk space" in said
    assert "internal error" not in said
    filled, given = xr.open_dataset("out.nc"), xr.open_dataset("in.nc")
    assert np.isfinite(filled.sst_analysis.where(given.mask == 1, 0)).all()
    assert [path.name for path in full.iterdir()] == ["ballast"]
    assert not Path("out.nc.lock").exists()


@pytest.mark.parametrize(
    "words",
    [
        ("fill", "in.nc", "-o", "full/out.nc", "--method", "oi"),
        ("fill", "in.nc", "-o", "full/out.zarr", "--method", "oi"),
        ("fill", "in.nc", "-o", "out.nc", "--method", "oi", "--cache", "full/cache.zarr"),
        ("prepare", "in.nc", "-o", "full/all.zarr"),
    ],
    ids=" ".join,
)
def test_an_output_that_does_not_fit_is_a_sentence(
    full: Path, words: tuple[str, ...], capfd: pytest.CaptureFixture[str]
) -> None:
    assert main([*words, "--quiet"]) == 2
    said = capfd.readouterr().err
    assert "No space left on device" in said
    assert "full/" in said
    assert said.count("\n") == 1, said
    assert not any(path.name.endswith(("lock", ".nc")) for path in full.iterdir())
    (full / "ballast").unlink()
    if words[0] == "fill" and words[3].startswith("full"):
        assert main([*words, "--quiet"]) == 0
