"""Whatever is wrong: one sentence that names the file, exit code 2, and nothing left behind."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr
from oceanfill.pipeline.training.checkpoints import save_checkpoint
from oceanfill.pipeline.training.tasks import Correction

Run = Callable[..., Any]


def refused(run: Run, *words: str, names: str, finding: str) -> None:
    """``fill`` with these words says what it found in one line, and leaves the folder as it was."""
    before = contents()
    result = run("fill", "--quiet", *words)
    assert result.code == 2, result.err
    assert result.err.startswith("oceanfill: ")
    assert result.err.count("\n") == 1, result.err
    assert names in result.err
    assert finding in result.err
    assert result.out == ""
    assert contents() == before


def contents() -> dict[Path, bytes]:
    """Every file below the working folder."""
    return {path: path.read_bytes() for path in Path().rglob("*") if path.is_file()}


def test_no_such_file(run: Run) -> None:
    refused(run, "nowhere.nc", "-o", "out.nc", names="nowhere.nc", finding="no such file")


def test_a_pattern_that_matches_nothing(run: Run) -> None:
    refused(run, "sst_*.nc", "-o", "out.nc", names="sst_*.nc", finding="no file matches")


def test_not_a_netcdf_file(run: Run) -> None:
    Path("notes.nc").write_text("buoy 12 drifted off\n")
    refused(run, "notes.nc", "-o", "out.nc", names="notes.nc", finding="not a NetCDF file")


@pytest.mark.parametrize("kind", ["NETCDF4", "NETCDF3_CLASSIC"])
def test_a_truncated_file(run: Run, small: xr.Dataset, kind: str) -> None:
    small.to_netcdf("whole.nc", format=kind)
    whole = Path("whole.nc").read_bytes()
    Path("cut.nc").write_bytes(whole[: int(0.6 * len(whole))])
    refused(run, "cut.nc", "-o", "out.nc", names="cut.nc", finding="truncated")


def _without_time(data: xr.Dataset) -> xr.Dataset:
    return data.rename(time="depth").assign_coords(
        depth=("depth", np.arange(8.0), {"units": "m", "axis": "Z"})
    )


def _no_sea(data: xr.Dataset) -> xr.Dataset:
    return data.assign(mask=xr.zeros_like(data.mask).assign_attrs(data.mask.attrs))


def _mask_of_another_shape(data: xr.Dataset) -> xr.Dataset:
    return data.drop_vars("mask").assign(mask=(("row", "column"), np.ones((5, 6), np.int8)))


def _words(data: xr.Dataset) -> xr.Dataset:
    return data.assign(sst=data.sst.astype(str).astype(object))


@pytest.mark.parametrize(
    ("spoil", "finding"),
    [
        (lambda data: data[["mask"]], "mask only describes a field"),
        (_without_time, "several levels (depth"),
        (lambda data: data.drop_vars("time"), "time"),
        (lambda data: data.assign(sst=data.sst * np.nan), "every value of sst is missing"),
        (_no_sea, "has no sea"),
        (lambda data: data.assign(sst=data.sst * 0 + 4), "is constant (4"),
        (_words, "sst"),
    ],
)
def test_a_field_that_cannot_be_filled(
    run: Run, small: xr.Dataset, spoil: Callable[[xr.Dataset], xr.Dataset], finding: str
) -> None:
    spoil(small).to_netcdf("odd.nc")
    refused(run, "odd.nc", "-o", "out.nc", names="odd.nc", finding=finding)


def test_a_mask_of_another_shape(run: Run, small: xr.Dataset) -> None:
    _mask_of_another_shape(small).to_netcdf("odd.nc")
    refused(run, "odd.nc", "-o", "out.nc", "--mask-variable", "mask", names="odd.nc", finding="(5, 6)")


def test_several_variables(run: Run, small: xr.Dataset) -> None:
    small.assign(salinity=small.sst + 20).to_netcdf("two.nc")
    refused(run, "two.nc", "-o", "out.nc", names="two.nc", finding="salinity")


def test_an_output_that_cannot_be_written(run: Run, small: xr.Dataset) -> None:
    small.to_netcdf("in.nc")
    Path("folder").mkdir()
    for words, finding in (
        (("-o", "nowhere/out.nc"), "there is no folder nowhere"),
        (("-o", "in.nc/out.nc"), "in.nc is a file"),
        (("-o", "out.txt"), ".txt"),
        (("-o", "in.nc"), "is an input"),
        (("-o", "folder/../in.nc"), "is an input"),
        (("-o", "out.nc", "--plot", "nowhere/map.png"), "nowhere/map.png: there is no folder nowhere"),
        (("-o", "out.nc", "--plot", "map.doc"), "name it .png"),
        (("-o", "out.nc", "--save-checkpoint", "nowhere/net.ckpt"), "nowhere/net.ckpt: there is no folder"),
        (("-o", "out.nc", "--save-checkpoint", "folder"), "this is a folder"),
        (("-o", "out.nc", "--save-checkpoint", "out.nc"), "another output"),
    ):
        refused(run, "in.nc", *words, names=words[-1], finding=finding)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission(run: Run, small: xr.Dataset) -> None:
    small.to_netcdf("in.nc")
    Path("locked").mkdir(mode=0o500)
    refused(run, "in.nc", "-o", "locked/out.nc", names="locked/out.nc", finding="ermission")


def test_a_checkpoint_that_does_not_fit(run: Run, small: xr.Dataset) -> None:
    small.to_netcdf("in.nc")
    save_checkpoint(Correction(window=3), "three.ckpt")
    content = torch.load("three.ckpt", weights_only=True)
    save_checkpoint(Correction(window=3, variables=2), "two.ckpt")
    torch.save({**content, "state_dict": {}}, "empty.ckpt")
    Path("cut.ckpt").write_bytes(Path("three.ckpt").read_bytes()[:5000])
    Path("text.ckpt").write_text("no weights\n")
    foreign = {"class_path": "os.path.join", "init_args": {}}
    torch.save({**content, "hyper_parameters": {"network": foreign, "window": 3}}, "foreign.ckpt")
    for words, finding in (
        (("--window", "5", "--checkpoint", "three.ckpt"), "a window of 3 dates, not 5"),
        (("--checkpoint", "two.ckpt"), "2 variables"),
        (("--checkpoint", "empty.ckpt"), "do not belong together"),
        (("--checkpoint", "cut.ckpt"), "not a checkpoint"),
        (("--checkpoint", "text.ckpt"), "not a checkpoint"),
        (("--checkpoint", "foreign.ckpt"), "no network or loss of oceanfill's"),
        (("--checkpoint", "nowhere.ckpt"), "no such checkpoint"),
    ):
        refused(run, "in.nc", "-o", "out.nc", *words, names=words[-1], finding=finding)


def test_options_that_do_not_go_together(run: Run, small: xr.Dataset) -> None:
    small.to_netcdf("in.nc")
    for words, finding in (
        (("--method", "oi", "--epochs", "3", "--save-checkpoint", "n.ckpt"), "--epochs, --save-checkpoint"),
        (("--checkpoint", "net.ckpt", "--time-budget", "3"), "--time-budget"),
        (("--window", "4"), "a window of 4 dates"),
        (("--region", "50,60,0,10"), "in.nc: the region 50 to 60 N"),
        (("--period", "1999-01-01/1999-02-01"), "in.nc: "),
        (("--variable", "chl"), "in.nc: "),
        (("--error-variable", "sigma"), "in.nc: "),
        (("--minimum-coverage", "7"), "minimum coverage"),
    ):
        refused(run, "in.nc", "-o", "out.nc", *words, names="", finding=finding)


def test_a_logarithm_of_what_is_negative(run: Run, small: xr.Dataset) -> None:
    small.assign(sst=small.sst - 100).to_netcdf("in.nc")
    refused(
        run,
        *("in.nc", "-o", "out.nc", "--method", "linear-time", "--transform", "log"),
        names="in.nc",
        finding="is positive",
    )


def test_info_of_what_cannot_be_filled(run: Run, small: xr.Dataset) -> None:
    """It is described as far as possible, and the exit code is that of `fill`."""
    small.assign(sst=small.sst * np.nan).to_netcdf("empty.nc")
    result = run("info", "empty.nc")
    assert result.code == 2
    assert "Cannot be filled" in result.out
    assert "8 x" not in result.err
    assert result.err.startswith("oceanfill: empty.nc: every value of sst is missing")
    small.to_netcdf("in.nc")
    assert run("info", "in.nc").code == 0


def test_the_order_of_a_region_is_understood_or_answered(run: Run, small: xr.Dataset) -> None:
    small.assign_coords(lat=small.lat - 10, lon=small.lon + 40).to_netcdf("in.nc")
    lat0, lat1, lon0, lon1 = (round(float(end), 2) for axis in ("lat", "lon") for end in _ends(axis))
    how = ("in.nc", "-o", "out.nc", "--method", "linear-time", "--quiet")
    right = f"--region {lat0:g},{lat1:g},{lon0:g},{lon1:g}"
    refused(run, *how, "--region", f"{lon0},{lon1},{lat0},{lat1}", names="in.nc", finding=f"perhaps {right}")
    falling = run("fill", *how, "--region", f"{lat1},{lat0},{lon0},{lon1}")
    assert falling.code == 0
    assert f"the latitudes of the region are taken as {lat0:g} to {lat1:g}" in " ".join(falling.err.split())
    assert xr.load_dataset("out.nc").sst.shape == small.sst.shape


def _ends(axis: str) -> tuple[float, float]:
    with xr.open_dataset("in.nc") as data:
        return data[axis].values.min(), data[axis].values.max()


def test_a_period_may_be_a_month(run: Run, small: xr.Dataset) -> None:
    time = np.datetime64("2024-03-29", "ns") + np.arange(8) * np.timedelta64(1, "D")
    small.assign_coords(time=time).to_netcdf("in.nc")
    assert run("fill", "in.nc", "-o", "out.nc", "--method", "linear-time", "--period", "2024-04").code == 0
    assert xr.load_dataset("out.nc").time.dt.month.values.tolist() == 5 * [4]
    wrong = ("--period", "2024-04/2024-03")
    refused(run, "in.nc", "-o", "no.nc", *wrong, names="", finding="write it as 2024-03/2024-04")
