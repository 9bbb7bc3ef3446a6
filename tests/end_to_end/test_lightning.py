"""The options of fit, validate, test and predict: what they change, what is refused, what a run leaves."""

from __future__ import annotations

import csv
import inspect
import os
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr
import yaml
from fields import cloudy_dataset
from oceanfill.pipeline.jobs.fill import HELD_OUT
from oceanfill.pipeline.training.checkpoints import save_checkpoint
from oceanfill.pipeline.training.corrections import EPOCHS
from oceanfill.pipeline.training.heldout import DataSettings
from oceanfill.pipeline.training.tasks import Correction

Run = Callable[..., Any]
BEST = "here/checkpoints/best.ckpt"
TINY = (
    *("--config", "fill/quick", "--data.source", "in.nc", "--data.quiet", "true"),
    *("--data.neighbours", "8", "--data.first_guess", "none", "--trainer.default_root_dir", "here"),
    *("--trainer.max_epochs", "1", "--trainer.limit_train_batches", "2"),
    *("--trainer.accelerator", "cpu", "--trainer.enable_progress_bar", "false"),
)
OWN = """
from torch import nn

class Network(nn.Module):
    def __init__(self, inputs: int, outputs: int, width: int = 3):
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(inputs, width, 1), nn.Conv2d(width, outputs, 1))

    def forward(self, x):
        return self.layers(x)

def absolute(mean, log_variance, truth, variance):
    return (truth - mean).abs() + log_variance.square()
"""


@pytest.fixture(autouse=True)
def data(run: Run) -> None:
    """A field in the folder that the commands run in."""
    cloudy_dataset(dates=6, rows=8, columns=10).drop_vars("truth").to_netcdf("in.nc")


def weights(path: str = BEST) -> dict[str, torch.Tensor]:
    return torch.load(path, weights_only=True)["state_dict"]


def options(path: str = BEST) -> dict[str, Any]:
    return torch.load(path, weights_only=True)["hyper_parameters"]


def test_the_configuration_that_a_fit_leaves_repeats_it(run: Run) -> None:
    assert run("fit", *TINY).code == 0
    first = weights()
    Path(BEST).unlink()
    result = run("fit", "--config", "here/config.yaml")
    assert result.code == 0, result.err
    second = weights()
    assert all(torch.equal(first[name], second[name]) for name in first)


PICKLE = """
from multiprocessing.reduction import ForkingPickler
from pytorch_lightning.callbacks import Callback

class Pickle(Callback):
    def setup(self, trainer, task, stage):
        ForkingPickler.dumps((trainer, task))
"""


def test_a_fit_can_be_sent_to_processes_that_are_spawned(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("pickles.py").write_text(PICKLE)
    monkeypatch.syspath_prepend(Path.cwd())
    result = run("fit", *TINY, "--trainer.callbacks+=pickles.Pickle")
    assert result.code == 0, result.err


def test_a_second_fit_leaves_no_checkpoint_of_the_first_to_be_used_by_mistake(run: Run) -> None:
    assert run("fit", *TINY).code == 0
    first, seen = weights(), Path("here/config.yaml").read_text()
    resumed = run("fit", *TINY, "--ckpt_path", BEST, "--trainer.max_epochs", "2")
    assert "earlier" not in resumed.err
    assert torch.load(BEST, weights_only=True)["epoch"] in (0, 1)

    again = run("fit", *TINY, "--model.network.init_args.widths", "[4]")
    assert "moved the earlier fit in here to here/earlier_0" in " ".join(again.err.split())
    assert [path.name for path in Path("here/checkpoints").iterdir()] == ["best.ckpt"]
    assert options()["network"]["init_args"]["widths"] == [4]
    assert options("here/earlier_0/checkpoints/best.ckpt")["network"]["init_args"]["widths"] == [8, 16]
    assert first.keys() == weights("here/earlier_0/checkpoints/best.ckpt").keys()
    assert (
        yaml.safe_load(Path("here/earlier_0/config.yaml").read_text()).keys() == yaml.safe_load(seen).keys()
    )
    assert len(list(Path("here/earlier_0/curves").glob("*/metrics.csv"))) == 2, "one of each start"
    fresh = run("fit", *TINY, "--ckpt_path", "last")
    assert "earlier_1" in fresh.err, "there is no last checkpoint to resume from"


STOP = """
import os, signal
from pytorch_lightning.callbacks import Callback

class Stop(Callback):
    def on_train_batch_start(self, trainer, task, batch, batch_idx):
        if trainer.global_step == 4:
            os.kill(os.getpid(), signal.SIGTERM)
"""


def losses() -> dict[int, float]:
    """The losses of the steps that the fits in the folder logged."""
    found = {}
    for path in Path("here/curves").glob("*/metrics.csv"):
        with path.open() as file:
            found |= {int(row["step"]): float(row["loss"]) for row in csv.DictReader(file) if row["loss"]}
    return found


def test_a_fit_that_is_terminated_within_an_epoch_goes_on_with_the_patches_that_were_left(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("stops.py").write_text(STOP)
    monkeypatch.syspath_prepend(Path.cwd())
    words = ("fit", *TINY, "--trainer.max_epochs", "2", "--trainer.limit_train_batches", "3")
    words += ("--trainer.log_every_n_steps", "1")
    assert run(*words).code == 0
    whole, weights_of_whole = losses(), weights()
    assert sorted(whole) == list(range(6))
    Path("here").rename("whole")

    stopped = run(*words, "--trainer.callbacks+=stops.Stop")
    assert stopped.code == 143
    assert "wrote here/checkpoints/last.ckpt, from which --ckpt_path last goes on" in stopped.err
    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")  # with which a requeued job goes on by itself
    assert run(*words).code == 0
    assert losses() == {step: loss for step, loss in whole.items() if step != 4}, "step 4 was not logged"
    assert all(torch.equal(part, weights()[name]) for name, part in weights_of_whole.items())


def test_options_of_the_network_change_it(run: Run) -> None:
    result = run(
        *("fit", *TINY, "--model.network.class_path", "oceanfill.models.resnet.ResNet"),
        *("--model.network.init_args.width", "5", "--model.network.init_args.steps", "2"),
    )
    assert result.code == 0, result.err
    assert options()["network"] == {
        "class_path": "oceanfill.models.resnet.ResNet",
        "init_args": {"width": 5, "steps": 2, "shared": False, "fold": 2},
    }
    assert run("fill", "in.nc", "-o", "out.nc", "--checkpoint", BEST, "--first-guess", "none").code == 0


@pytest.mark.parametrize(
    ("words", "finding"),
    [
        (["--model.network.init_args.depth", "3"], "model.network: Option 'depth' is not accepted"),
        (["--model.network.init_args.widths", "wide"], "model.network.widths: Expected a <class"),
        (["--model.network.class_path", "oceanfill.models.unet.No"], "model.network: module"),
        (["--model.network.class_path", "nowhere.Net"], "model.network: "),
        (["--model.network.init_args.norm", "layer"], "norm 'layer' is not one of"),
        (["--model.windw", "3"], "model: Option 'windw' is not accepted"),
        (["--model.window", "4"], "a window of 4 dates has no middle"),
        (["--data.pach", "3"], "data: Option 'pach' is not accepted"),
        (
            ["--data.opening", "{varable: sst}"],
            "data.opening: Group 'opening' does not accept option 'varable'",
        ),
        (["--data.opening", "{transform: square}"], "there is no transform 'square'"),
        (["--data.first_guess", "spline"], "no first guess is called 'spline'"),
        (["--trainer.colour", "red"], "unrecognized arguments: --trainer.colour red"),
        (["--config", "wrong.yaml"], "'rehearsals'"),
        (["--config", "fill/nowhere"], "fill/nowhere"),
        (["--data", "TrackModule"], "grid, bounds"),
        (["--model", "VectorCorrection"], "give --data RadialModule"),
        (["--model.loss", "oceanfill.models.losses.huber"], "name a function in full"),
        (["--data.device", "cuda"], "no CUDA device is found"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_an_option_that_does_not_fit_is_refused_in_a_sentence(
    run: Run, words: list[str], finding: str
) -> None:
    if finding == "no CUDA device is found" and torch.cuda.is_available():
        pytest.skip("there is a CUDA device")
    Path("wrong.yaml").write_text("data: {rehearsals: 2}\n")
    result = run("fit", *TINY, *words)
    assert result.code == 2
    assert result.err.startswith(("oceanfill: ", "oceanfill fit: "))
    assert result.err.count("\n") == 1, result.err
    assert finding in result.err
    assert not Path("here").exists()


@pytest.mark.parametrize(
    ("stage", "words", "finding"),
    [
        ("fit", ("--data.source", "nowhere.nc"), "nowhere.nc: no such file"),
        ("fit", ("--data.source", "sample:nowhere.nc"), "sample:nowhere.nc: no such sample"),
        ("fit", ("--ckpt_path", "no.ckpt"), "no.ckpt: no such checkpoint"),
        ("fit", ("--ckpt_path", "text.ckpt"), "text.ckpt: not a checkpoint"),
        ("test", ("--ckpt_path", "text.ckpt"), "text.ckpt: not a checkpoint"),
        ("test", ("--ckpt_path", "best"), "here/checkpoints/best.ckpt: no such checkpoint"),
        ("predict", ("--ckpt_path", "hpc"), "here/hpc_ckpt_1.ckpt: no such checkpoint"),
        ("fit", ("--data.opening", "{variable: chl}"), "in.nc: "),
        ("fit", ("--data.held_out", "0"), "in.nc: no value of sst is held out"),
        ("test", ("--data.held_out", "0", "--ckpt_path", "net.ckpt"), "in.nc: no value of sst is held out"),
        ("fit", ("--data.source", "full.nc"), "full.nc: no value of sst is held out"),
        ("predict", ("--output", "no/folder/out.nc", "--ckpt_path", "net.ckpt"), "no/folder"),
    ],
    ids=str,
)
def test_input_that_does_not_fit_is_refused_in_a_sentence(
    run: Run, stage: str, words: tuple[str, ...], finding: str
) -> None:
    field = xr.load_dataset("in.nc")
    field.assign(sst=field.sst.fillna(15.0)).to_netcdf("full.nc")
    Path("text.ckpt").write_text("no weights\n")
    save_checkpoint(Correction(window=3), "net.ckpt")
    result = run(stage, *TINY, *words)
    assert result.code == 2
    assert result.err.count("\n") == 1, result.err
    assert finding in result.err


def test_only_a_fit_starts_without_a_checkpoint(run: Run) -> None:
    for stage in ("validate", "test", "predict"):
        result = run(stage, *TINY)
        assert (result.code, result.err.count("\n")) == (2, 1)
        assert f"{stage} needs a trained network; give its checkpoint with --ckpt_path" in result.err


def test_a_checkpoint_goes_with_the_first_guess_it_was_trained_on(run: Run) -> None:
    assert run("fit", *TINY).code == 0
    result = run("test", *TINY, "--ckpt_path", "best", "--data.first_guess", "oi")
    assert result.code == 2
    assert "trained with the first guess none, not oi; give --first-guess none" in result.err
    refused = run("fill", "in.nc", "-o", "no.nc", "--checkpoint", BEST)
    assert refused.code == 2
    assert "trained with the first guess none, not oi" in refused.err
    refused = run(
        "fill", "in.nc", "-o", "no.nc", "--checkpoint", BEST, "--first-guess", "none", "--window", "9"
    )
    assert refused.code == 2
    assert "a window of 3 dates, not 9" in refused.err
    renamed = xr.load_dataset("in.nc").rename(sst="chl")
    renamed.to_netcdf("other.nc")
    warned = run("validate", *TINY, "--ckpt_path", "best", "--data.source", "other.nc")
    assert warned.code == 0
    assert "trained on sst (degree_Celsius), used on chl (degree_Celsius)" in " ".join(warned.err.split())
    assert "held_out" in warned.out


def test_another_loss_with_a_penalty(run: Run) -> None:
    names = "oceanfill.models.losses."
    asked = ("--model.loss", names + "kullback_leibler", "--model.penalties", f"{{{names}laplacian: 0.5}}")
    assert run("fit", *TINY, *asked).code == 0
    assert (options()["loss"], options()["penalties"]) == (
        names + "kullback_leibler",
        {names + "laplacian": 0.5},
    )
    assert run("fill", "in.nc", "-o", "out.nc", "--checkpoint", BEST, "--first-guess", "none").code == 0


def test_a_network_and_a_loss_of_ones_own(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Trained and tested where the command names them; from a checkpoint alone only with trust."""
    Path("mine.py").write_text(OWN)
    monkeypatch.syspath_prepend(Path.cwd())
    own = ("--model.network.class_path", "mine.Network", "--model.network.init_args.width", "4")
    own += ("--model.loss", "mine.absolute")
    assert run("fit", *TINY, *own).code == 0
    assert options()["network"] == {"class_path": "mine.Network", "init_args": {"width": 4}}
    assert run("test", *TINY, *own, "--ckpt_path", "best").code == 0
    fill = ("fill", "in.nc", "-o", "out.nc", "--checkpoint", BEST, "--first-guess", "none")
    for command in (("test", *TINY, "--ckpt_path", "best"), fill):
        refused = run(*command)
        assert refused.code == 2
        assert "names mine.Network and mine.absolute, which is no network or loss of" in refused.err
        result = run(*command, "--trust")
        assert result.code == 0, result.err
    assert bool(np.isfinite(xr.load_dataset("out.nc").sst.where(xr.load_dataset("in.nc").mask == 1, 0)).all())


def test_unet_is_what_fill_does() -> None:
    """The figures in the file are those in the code."""
    shipped = yaml.safe_load((files("oceanfill.configs") / "fill/unet.yaml").read_text())
    defaults = dict(Correction().hparams)
    assert shipped["model"] == {key: defaults[key] for key in shipped["model"]}
    for key in ("patch", "batch", "hidden", "held_out", "neighbours"):
        assert shipped["data"][key] == getattr(DataSettings(), key), key
    assert shipped["data"]["held_out"] == HELD_OUT
    assert shipped["trainer"]["max_epochs"] == EPOCHS
    assert "window" not in inspect.signature(DataSettings).parameters or DataSettings().window is None


ALLOCATION = {"SLURM_JOB_ID": "4711", "SLURM_JOB_NAME": "run", "SLURM_NTASKS": "2", "SLURM_PROCID": "0"}


def test_a_job_scheduler_is_followed_by_a_fit_alone(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    srun = Path("bin/srun").resolve()
    srun.parent.mkdir()
    srun.write_text("#!/bin/sh\n")
    srun.chmod(0o755)
    monkeypatch.setenv("PATH", str(srun.parent), prepend=os.pathsep)
    result = run("fit", *TINY)
    assert result.code == 0
    assert "srun" not in result.out + result.err
    for name, value in (ALLOCATION | {"SLURM_LOCALID": "0", "SLURM_NODEID": "0"}).items():
        monkeypatch.setenv(name, value)
    result = run("fit", *TINY)
    assert result.code == 0, "a job script that does not use srun has one process, whatever it reserved"
    result = run("fit", *TINY, "--trainer.num_nodes", "2")
    assert result.code == 2
    assert "trainer.num_nodes: 2 nodes need a process for each device; start the command with srun" in (
        result.err
    )
    monkeypatch.setenv("SLURM_STEP_ID", "0")  # as srun does
    result = run("fit", *TINY)
    assert result.code == 2
    assert "trainer: You set `--ntasks=2`" in result.err
    for words in (
        ("test", *TINY, "--ckpt_path", "best", "--trainer.devices", "2"),
        ("predict", *TINY, "--ckpt_path", "best"),
        ("fill", "in.nc", "-o", "out.nc", "--epochs", "1", "--first-guess", "none"),
    ):
        result = run(*words)
        assert result.code == 0, result.err
        assert "SLURM" not in result.out + result.err
        assert "srun" not in result.out + result.err
    assert Path("here/filled.nc").exists()
