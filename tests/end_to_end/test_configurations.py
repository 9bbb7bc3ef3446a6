"""Every configuration that ships: fit, test and predict on small made-up data, then fill with it."""

from __future__ import annotations

import csv
import os
from collections.abc import Callable, Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr
from fields import eddies, seen_by_radars
from tracks import mission, write_missions

Run = Callable[..., Any]
CONFIGS = Path(str(files("oceanfill.configs")))
SHIPPED = sorted(
    path.relative_to(CONFIGS).with_suffix("").as_posix()
    for folder in ("fill", "hpc")
    for path in CONFIGS.glob(f"{folder}/*.yaml")
)
TINY = (
    *("--data.quiet", "true", "--data.masked_copies", "1", "--trainer.default_root_dir", "here"),
    *("--trainer.max_epochs", "1", "--trainer.limit_train_batches", "2"),
    *("--trainer.accelerator", "cpu", "--trainer.devices", "1", "--trainer.enable_progress_bar", "false"),
)
GRID = "0.5", "40,43,178,-178"


@pytest.fixture(autouse=True)
def one_process() -> Iterator[None]:
    """Leave nothing of a distributed training behind."""
    before = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(before)
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


def write_field(small: xr.Dataset) -> tuple[list[str], list[str]]:
    small.to_netcdf("in.nc")
    return ["--data.source", "in.nc", "--data.neighbours", "64"], ["in.nc"]


def write_tracks(small: xr.Dataset) -> tuple[list[str], list[str]]:
    made = {name: mission(name, dates=8, seed=seed) for seed, name in enumerate(("alpha", "beta", "gamma"))}
    paths = write_missions(Path(), **made)
    grid, bounds = GRID
    words = ["--data.source", f"[{', '.join(paths)}]", "--data.grid", grid, "--data.bounds", f"[{bounds}]"]
    return words, [*paths, "--grid", grid, "--bounds", bounds]


def write_radials(small: xr.Dataset) -> tuple[list[str], list[str]]:
    seen_by_radars(eddies(dates=6, rows=8, columns=10)).to_netcdf("radials.nc")
    flow = ["--flow", "stream-function"]
    return ["--data.source", "radials.nc"], ["radials.nc", "--radial-direction", "direction", *flow]


WRITERS = {"fill/tracks": write_tracks, "fill/currents": write_radials}
FILLED = ("fill/quick", *WRITERS)  # one of each kind of data


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_configuration(run: Run, small: xr.Dataset, name: str) -> None:
    words, inputs = WRITERS.get(name, write_field)(small)
    given = ("--config", name, *words, *TINY)
    fitted = run("fit", *given)
    assert fitted.code == 0, fitted.err
    said = " ".join(fitted.err.split())
    assert "best checkpoint: here/checkpoints/best.ckpt (held_out" in said
    assert "RMSE on the validation values as a fraction of the first guess's; below 1 is better than" in said
    content = torch.load("here/checkpoints/best.ckpt", weights_only=True)
    assert content["epoch"] == 0
    assert content["trained_on"]["window"] == content["hyper_parameters"]["window"]
    assert len(content["trained_on"]["variables"]) == 1
    with Path("here/curves/version_0/metrics.csv").open() as file:
        (score,) = [float(row["held_out"]) for row in csv.DictReader(file) if row["held_out"]]
    assert f"(held_out {score:.4g};" in said

    tested = run("test", *given, "--ckpt_path", "best")
    assert tested.code == 0, tested.err
    assert "Test metric" in tested.out
    assert "better than its first guess: held_out" in " ".join(tested.err.split())

    result = run("predict", *given, "--ckpt_path", "here/checkpoints/best.ckpt", "--output", "predicted.nc")
    assert result.code == 0, result.err
    assert "wrote predicted.nc (" in " ".join(result.err.split())
    predicted = xr.load_dataset("predicted.nc")
    first = next(iter(predicted.data_vars.values()))
    assert first.notnull().sum() > 100
    if name not in FILLED:
        return
    filled = run("fill", *inputs, "-o", "filled.nc", "--checkpoint", "here/checkpoints/best.ckpt", "--quiet")
    assert filled.code == 0, filled.err
    # Only `fill` makes a product that `update` takes.
    expected = xr.load_dataset("filled.nc").drop_vars("provisional", errors="ignore")
    assert set(predicted.data_vars) == set(expected.data_vars)
    for variable, values in expected.data_vars.items():
        np.testing.assert_array_equal(predicted[variable], values)
