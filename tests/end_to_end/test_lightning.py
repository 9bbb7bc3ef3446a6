"""Every configuration that ships: fit, validate, test and predict on a small field, then fill with it."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rich
import torch
import xarray as xr
import yaml
from oceanfill.pipeline.jobs.fill import HELD_OUT
from oceanfill.pipeline.training.corrections import EPOCHS
from oceanfill.pipeline.training.data import GapData
from oceanfill.pipeline.training.tasks import Correction

Run = Callable[..., Any]
SHIPPED = sorted(
    path.relative_to(Path(str(files("oceanfill.configs")))).with_suffix("").as_posix()
    for path in Path(str(files("oceanfill.configs"))).glob("fill/*.yaml")
)
TINY = (
    *("--data.source", "in.nc", "--data.neighbours", "8", "--data.rehearsals", "1", "--data.quiet", "true"),
    *("--trainer.max_epochs", "1", "--trainer.default_root_dir", "here"),
    *("--trainer.limit_train_batches", "4", "--trainer.enable_progress_bar", "false"),
)


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_configuration(run: Run, small: xr.Dataset, name: str) -> None:
    small.to_netcdf("in.nc")
    assert run("fit", "--config", name, *TINY).code == 0
    checkpoint = "here/checkpoints/best.ckpt"
    content = torch.load(checkpoint, weights_only=True)
    assert content["epoch"] == 0
    window = yaml.safe_load(Path("here/config.yaml").read_text())["model"]["window"]
    assert content["hyper_parameters"]["window"] == window

    rich.reconfigure(stderr=False)  # a bar earlier in the process has taken it to stderr
    for stage, label in (("validate", "Validate metric"), ("test", "Test metric"), ("predict", "")):
        result = run(stage, "--config", f"{name}.yaml", *TINY, "--ckpt_path", checkpoint)
        assert result.code == 0, result.err
        assert label in result.out
        assert result.err.strip().count("\n") == 0, "one line, of the first guess's scales"

    assert run("fill", "in.nc", "-o", "out.nc", "--checkpoint", checkpoint, "--quiet").code == 0
    assert bool(np.isfinite(xr.load_dataset("out.nc").sst.where(small.mask == 1, 0)).all())
    refused = run("fill", "in.nc", "-o", "no.nc", "--checkpoint", checkpoint, "--window", "9", "--quiet")
    assert refused.code == 2
    assert f"a window of {window} dates, not 9" in refused.err


def test_the_configuration_that_a_fit_leaves_repeats_it(run: Run, small: xr.Dataset) -> None:
    small.to_netcdf("in.nc")
    assert run("fit", "--config", "fill/quick", *TINY).code == 0
    first = torch.load("here/checkpoints/best.ckpt", weights_only=True)["state_dict"]
    Path("here/checkpoints/best.ckpt").unlink()
    assert run("fit", "--config", "here/config.yaml").code == 0
    second = torch.load("here/checkpoints/best.ckpt", weights_only=True)["state_dict"]
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_another_loss_with_a_penalty(run: Run, small: xr.Dataset) -> None:
    """They are in the checkpoint, with which a field is filled."""
    small.to_netcdf("in.nc")
    names = "oceanfill.models.losses."
    asked = ("--model.loss", names + "kullback_leibler", "--model.penalties", f"{{{names}laplacian: 0.5}}")
    assert run("fit", "--config", "fill/quick", *TINY, *asked).code == 0
    kept = torch.load("here/checkpoints/best.ckpt", weights_only=True)["hyper_parameters"]
    assert (kept["loss"], kept["penalties"]) == (names + "kullback_leibler", {names + "laplacian": 0.5})
    assert run("fill", "in.nc", "-o", "out.nc", "--checkpoint", "here/checkpoints/best.ckpt").code == 0
    refused = run("fit", "--config", "fill/quick", *TINY, "--model.loss", names + "huber")
    assert refused.code == 2
    assert "name a function in full" in refused.err


def test_unet_is_what_fill_does(run: Run) -> None:
    """The figures in the file are those in the code."""
    shipped = yaml.safe_load((files("oceanfill.configs") / "fill/unet.yaml").read_text())
    defaults = dict(Correction().hparams)
    assert shipped["model"] == {key: defaults[key] for key in shipped["model"]}
    data = {key: value.default for key, value in inspect.signature(GapData).parameters.items()}
    for key in ("patch", "batch", "hidden", "held_out", "neighbours"):
        assert shipped["data"][key] == data[key], key
    assert shipped["data"]["held_out"] == HELD_OUT
    assert shipped["trainer"]["max_epochs"] == EPOCHS


@pytest.mark.parametrize("subcommand", ["fit", "test"])
def test_bad_input(run: Run, small: xr.Dataset, subcommand: str) -> None:
    small.to_netcdf("in.nc")
    small.assign(sst=small.sst.fillna(15.0)).to_netcdf("full.nc")
    Path("text.ckpt").write_text("no weights\n")
    for words, finding in (
        (("--data.source", "nowhere.nc"), "nowhere.nc: no such file"),
        (("--data.source", "sample:nowhere.nc"), "sample:nowhere.nc: no such sample"),
        (("--data.source", "in.nc", "--ckpt_path", "no.ckpt"), "no.ckpt: no such checkpoint"),
        (("--data.source", "in.nc", "--ckpt_path", "text.ckpt"), "text.ckpt: not a checkpoint"),
        (("--data.source", "in.nc", "--data.opening", "{variable: chl}"), "in.nc: "),
        (("--data.source", "in.nc", "--data.held_out", "0"), "in.nc: no value of sst is held out"),
        (("--data.source", "full.nc"), "full.nc: no value of sst is held out"),
    ):
        result = run(subcommand, "--config", "fill/quick", *words)
        assert result.code == 2
        assert result.err.count("\n") == 1, result.err
        assert finding in result.err
    assert run(subcommand, "--config", "fill/nowhere").code == 2
