"""Options that make no sense, outputs that cannot be written, and tables with mistakes."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
import yaml
from hostile import FILL, Case, check, plain
from oceanfill.pipeline.io import workers
from tracks import mission


def case(says: str, options: str, method: str = "linear-time") -> Case:
    return Case(plain, says, f"fill in.nc -o out.nc --method {method} --quiet {options}")


def to(target: str, says: str, prepare: Any = lambda: None, options: str = "") -> Case:
    """Another output, in a folder that something prepares."""

    def make() -> xr.Dataset:
        prepare()
        return plain()

    return Case(make, says, f"fill in.nc -o {target} --method linear-time --quiet {options}")


def in_store() -> None:
    plain().to_zarr("in.zarr", consolidated=False)


def linked() -> None:
    Path("out.nc").symlink_to("in.nc")


def full() -> None:
    Path("out.nc").symlink_to("/dev/full")


def table(*jobs: Any, **more: Any) -> Any:
    """A table of jobs on in.nc."""

    def make() -> xr.Dataset:
        Path("jobs.yaml").write_text(yaml.safe_dump({"jobs": list(jobs), **more}))
        return plain()

    return make


def text(content: str, name: str = "jobs.yaml") -> Any:
    def make() -> xr.Dataset:
        Path(name).write_text(content)
        return plain()

    return make


GOOD = {"inputs": "in.nc", "output": "out.nc", "method": "linear-time"}
BATCH = "batch jobs.yaml --quiet"


def points(change: Any = lambda data: data) -> Any:
    """A file along tracks."""
    return lambda: change(mission("a"))


def spoiled(name: str, value: float) -> Any:
    def change(data: xr.Dataset) -> xr.Dataset:
        data = data.copy(deep=True)
        data[name].values[7] = value
        return data

    return points(change)


TRACKS = "fill in.nc -o out.nc --method oi --quiet --variable sla_filtered --grid 0.5 --bounds 40,43,178,-178"

CASES = {
    "a seed of -1": case("the seed -1", "--seed -1"),
    "a seed of 1e99": case("--seed", "--seed 1e99"),
    "a seed that is too large": case("the seed", f"--seed {2**40}"),
    "a time budget of infinity": case("--time-budget", "--time-budget inf", "unet"),
    "a time budget of 1e300": case("--time-budget", "--time-budget 1e300", "unet"),
    "a time budget of zero": case("--time-budget", "--time-budget 0", "unet"),
    "epochs without end": case("--epochs", "--epochs 99999999999999999999", "unet"),
    "a window without end": case("window", f"--window {10**12 + 1}", "unet"),
    "an even window": case("window", "--window 4", "unet"),
    "an ensemble without end": case("--ensemble", "--ensemble 100000", "unet"),
    "a cluster that does not answer": case("no dask scheduler answers", "--cluster tcp://127.0.0.1:1"),
    "a cluster that is no address": case("--cluster nowhere", "--cluster nowhere"),
    "an empty cluster": case("--cluster", "--cluster ''"),
    "slurm without a configuration": case("--cluster slurm", "--cluster slurm"),
    "workers without end": case("more than 10000", "--workers 1000000"),
    "no workers": case("'0' is not a positive number", "--workers 0"),
    "memory of a byte": Case(plain, "with --memory", f"{FILL} --memory 1e-9", also=(".out.nc.cache.zarr",)),
    "memory of infinity": case("--memory", "--memory inf"),
    "a cache that is no store": case("name it .zarr", "--cache cache.nc"),
    "a method that is not there": case("no method is called", "", "magic"),
    "a method that cannot be imported": case("cannot be imported", "", "os.path:nothing"),
    "a method that is no method": case("the method dumps failed", "", "json:dumps"),
    "a transform that is not there": case("--transform", "--transform sqrt"),
    "intervals of 200 percent": case("200", "--intervals 200"),
    "intervals of words": case("--intervals", "--intervals most"),
    "samples without end": case("--samples", "--samples 100000000"),
    "a compression of 99": case("compression level", "--complevel 99"),
    "a minimum coverage of 2": case("minimum coverage", "--minimum-coverage 2"),
    "a minimum coverage of NaN": case("minimum coverage", "--minimum-coverage nan"),
    "bounds of values that fall": case("bounds of values", "--bounds-of-values 30,0"),
    "bounds of values of NaN": case("bounds of values", "--bounds-of-values nan,nan"),
    "a missing value of words": case("--missing-value", "--missing-value never"),
    "a quality rule that is none": case("quality", "--quality 'a >'"),
    "a quality rule of a flag that is absent": case("flag", "--quality 'flag>=3'"),
    "a variable that is absent": case("there is no variable 'x'", "--variable x"),
    "an empty variable": case("variable", "--variable ''"),
    "the variable twice": case("sst", "--variable sst,sst"),
    "a mask that is absent": case("mask", "--mask-variable x"),
    "an error that is absent": case("there is no x", "--error-variable x"),
    "an option that is not there": case("--no-such-option", "--no-such-option"),
    "an option without its value": case("--seed", "--seed"),
    "no command": Case(plain, "COMMAND", ""),
    "a command that is not there": Case(plain, "refill", "refill in.nc"),
    "no input": Case(plain, "INPUT", "fill -o out.nc"),
    "no output": Case(plain, "-o/--output", "fill in.nc"),
    "an empty input": Case(plain, "is empty", "fill '' -o out.nc --method linear-time"),
    "a level of a field without any": case("level", "--level 3"),
    "a checkpoint that is not there": case("no such checkpoint", "--checkpoint x.ckpt", "unet"),
    "a checkpoint that is a field": case("not a checkpoint", "--checkpoint in.nc", "unet"),
    "points of no file": case("x.csv", "--cv-points x.csv", "dineof"),
    "a grid like no file": case("no such file", "--like x.nc"),
    "a variable in a place that is not there": Case(
        plain, "no such file", "fill in.nc:sst x.nc:y -o out.nc --method linear-time --quiet"
    ),
    "an output without a suffix": to("out", "no extension"),
    "an output of another kind": to("out.txt", ".txt"),
    "an output that is the input": to("in.nc", "is an input"),
    "an output that is a link to the input": to("out.nc", "is an input", linked),
    "an output in a folder that is not there": to("x/out.nc", "there is no folder x"),
    "an output in a file": to("in.nc/out.nc", "in.nc is a file"),
    "an output that is a folder": to("out.nc", "this is a folder", lambda: Path("out.nc").mkdir()),
    "an output that is a pipe": to("out.nc", "not a file", lambda: os.mkfifo("out.nc")),
    "an output that is a full device": to("out.nc", "not a file", full),
    "an output whose name is too long": to("x" * 300 + ".nc", "longer than 255 bytes"),
    "an output whose name leaves no room for a temporary one": Case(
        plain, words=f"fill in.nc -o {'x' * 250}.nc --method linear-time --quiet", also=("x" * 250 + ".nc",)
    ),
    "an output in a store that is an input": Case(
        in_store, "in.zarr", "fill in.zarr -o in.zarr/out.nc --method linear-time --quiet"
    ),
    "a plot that is the output": to("out.nc", "name it .png", options="--plot out.nc"),
    "a plot of another kind": to("out.nc", "name it .png", options="--plot out.exe"),
    "a table that is not there": Case(plain, "cannot be read", BATCH),
    "a table that is no YAML": Case(text("{a: [b"), "cannot be read as YAML", BATCH),
    "a table of bytes": Case(lambda: Path("jobs.yaml").write_bytes(b"\xff\xfe\0") and None, "YAML", BATCH),
    "a table without jobs": Case(text("defaults: {}"), "no list of jobs", BATCH),
    "a job that is a list": Case(table([1]), "job 0", BATCH),
    "a job without an output": Case(table({"inputs": "in.nc"}), "no output", BATCH),
    "two mistakes in a table": Case(
        table(GOOD, GOOD | {"output": "b.nc", "epoch": 3}, GOOD | {"output": "c.nc", "method": "magic"}),
        "because of 2 jobs: b (",
        BATCH,
    ),
    "a job whose input is not there": Case(
        table(GOOD | {"inputs": "x.nc"}), "1 of 1 jobs failed (out)", BATCH, also=("out.nc.log",)
    ),
    "two jobs with one output": Case(table(GOOD, GOOD), "2 jobs write", BATCH),
    "a job with a nested option": Case(table(GOOD | {"seed": {"a": 1}}), "seed", BATCH),
    "a row that is not there": Case(table(GOOD), "no row 7", f"{BATCH} --row 7"),
    "a row before the first": Case(table(GOOD), "no row -1", f"{BATCH} --row -1"),
    "a score without a truth": Case(plain, "no such file", "score in.nc x.nc"),
    "a score of what is not filled": Case(plain, "in.nc", "score in.nc in.nc --by flag"),
    "a comparison of methods that are not there": Case(plain, "magic", "compare in.nc --methods magic"),
    "a comparison of none": Case(plain, "method", "compare in.nc --methods ,"),
    "a challenge that is not there": Case(plain, "2099z", "challenge 2099z --data ."),
    "an experiment that is not there": Case(plain, "magic", "reproduce magic"),
    "a configuration that is not there": Case(plain, "x.yaml", "fit --config x.yaml"),
    "a description of a table": Case(text("a", "x.csv"), "not a NetCDF file", "info x.csv"),
    "a store that is no store": Case(plain, "name it .zarr", "prepare in.nc -o out.nc --quiet"),
    "points without a grid": Case(points(), "--grid", "fill in.nc -o out.nc --variable sla_filtered"),
    "points in cells of 1e-5 degrees": Case(
        points(), "larger --grid", TRACKS.replace("--grid 0.5", "--grid 1e-5")
    ),
    "points every second": Case(points(), "--time-step", f"{TRACKS} --time-step 0.000001"),
    "points far from the grid": Case(
        points(), "values outside the region: 720", TRACKS.replace("40,43,178,-178", "-3,0,10,12")
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_options(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: Any) -> None:
    monkeypatch.setattr(workers, "_PATIENCE", 2)
    check(CASES[name], tmp_path, monkeypatch, capfd)


@pytest.mark.parametrize(
    ("name", "value"), [("sla_filtered", 1e20), ("sla_filtered", -1e30), ("sla_filtered", np.inf)]
)
def test_one_point_that_is_none(
    name: str, value: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: Any
) -> None:
    """It is as if it were missing, to the bit."""
    found = []
    for given in (value, np.nan):
        folder = tmp_path / str(given)
        folder.mkdir()
        check(Case(spoiled(name, given), words=TRACKS, means=None, against=False), folder, monkeypatch, capfd)
        found.append(xr.load_dataset("out.nc").sla_filtered.values)
    np.testing.assert_array_equal(*found)
