"""A checkpoint is a file from elsewhere: it runs no code, and odd ones are refused in a sentence."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from fields import cloudy_dataset
from oceanfill.pipeline.cli.main import main
from oceanfill.pipeline.errors import InputError
from oceanfill.pipeline.training.checkpoints import read_checkpoint, save_checkpoint
from oceanfill.pipeline.training.networks import NETWORKS
from oceanfill.pipeline.training.tasks import Correction
from oceanfill.pipeline.training.vector_tasks import VectorCorrection

TINY = {"class_path": "oceanfill.models.unet.UNet", "init_args": {"widths": [4], "norm": "none"}}


class Creates:
    """What a pickle makes a file of, where it is allowed to call."""

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return Path.touch, (Path("created"),)


def make(path: str, change: Callable[[dict[str, Any]], Any] = lambda content: None) -> str:
    """Write a checkpoint of a small network, changed."""
    save_checkpoint(Correction(TINY, window=3), path)
    content = torch.load(path, weights_only=True)
    change(content)
    torch.save(content, path)
    return path


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("switch", [(), ("--weights_only", "false"), ("--weights_only", "true")], ids=str)
@pytest.mark.parametrize(
    ("stage", "checkpoint"),
    [
        *(("test", word) for word in ("best", "last", "hpc", "net.ckpt")),
        *(("predict", word) for word in ("best", "net.ckpt")),
        *(("fit", word) for word in ("last", "net.ckpt", "hpc")),
    ],
)
def test_no_word_and_no_switch_runs_what_a_pickle_holds(
    stage: str, checkpoint: str, switch: tuple[str, ...], capfd: pytest.CaptureFixture[str]
) -> None:
    cloudy_dataset(dates=6, rows=8, columns=10).drop_vars("truth").to_netcdf("in.nc")
    make("net.ckpt", lambda content: content.update(extra=Creates()))
    Path("here/checkpoints").mkdir(parents=True)
    for name in ("checkpoints/best.ckpt", "checkpoints/last.ckpt", "hpc_ckpt_1.ckpt"):
        shutil.copy("net.ckpt", Path("here") / name)
    words = [
        *(stage, "--config", "fill/quick", "--data.source", "in.nc", "--data.quiet", "true"),
        *("--data.first_guess", "none", "--trainer.default_root_dir", "here"),
        *("--trainer.accelerator", "cpu", "--trainer.enable_progress_bar", "false"),
        *("--trainer.max_epochs", "1", "--ckpt_path", checkpoint, *switch),
    ]
    assert main(words) == 2
    error = capfd.readouterr().err
    assert not Path("created").exists()
    refused = "not a checkpoint of oceanfill" if switch != ("--weights_only", "false") else "plain data only"
    assert refused in " ".join(error.split())
    assert "Traceback" not in error


def test_a_fill_does_not_run_it_either(capfd: pytest.CaptureFixture[str]) -> None:
    cloudy_dataset(dates=6, rows=8, columns=10).drop_vars("truth").to_netcdf("in.nc")
    make("net.ckpt", lambda content: content.update(extra=Creates()))
    assert main(["fill", "in.nc", "-o", "out.nc", "--checkpoint", "net.ckpt", "--trust"]) == 2
    assert "net.ckpt: not a checkpoint of oceanfill" in capfd.readouterr().err
    assert not Path("created").exists()
    assert torch.load("net.ckpt", weights_only=False)
    assert Path("created").exists(), "the pickle of this test creates a file where nothing prevents it"


def set_option(name: str, value: Any) -> Callable[[dict[str, Any]], None]:
    return lambda content: content["hyper_parameters"].update({name: value})


def set_weights(value: float) -> Callable[[dict[str, Any]], None]:
    def change(content: dict[str, Any]) -> None:
        next(iter(content["state_dict"].values()))[0, 0, 0, 0] = value

    return change


def name_network(path: str, **init_args: Any) -> Callable[[dict[str, Any]], None]:
    return set_option("network", {"class_path": path, "init_args": init_args})


def borrow(content: dict[str, Any]) -> None:
    """One number that claims to be 10^12."""
    content["state_dict"]["more"] = torch.ones(1).expand(10**6, 10**6)


def nest(content: dict[str, Any]) -> None:
    """Lists of lists that share their parts: small in the file, 2^60 parts to who walks through them."""
    part: list[Any] = [0]
    for _ in range(60):
        part = [part, part]
    content["hyper_parameters"]["network"]["init_args"]["widths"] = part


@pytest.mark.parametrize(
    ("change", "finding"),
    [
        (set_weights(float("nan")), "are not finite"),
        (set_weights(float("-inf")), "are not finite"),
        (set_weights(-1e30), "are as large as 1e+30"),
        (borrow, "fewer numbers than it says"),
        (set_option("saves", 0), "saves is 0, not a number of networks from 1 to 100"),
        (set_option("saves", 10**6), "saves is 1000000, not"),
        (set_option("saves", True), "saves is True, not"),
        (set_option("saves", 2), "weights and configuration do not belong together"),
        (set_option("patch", -5), "patch is -5, not a number of cells"),
        (set_option("patch", 1.5), "patch is 1.5, not"),
        (set_option("window", 4), "window is 4, not an odd number of dates"),
        (set_option("window", "3"), "window is 3, not"),
        (set_option("window", 5), "weights and configuration do not belong together"),
        (set_option("outputs", 0), "outputs is 0, not"),
        (set_option("variables", 10**9), "variables is 1000000000, not"),
        (set_option("learning_rate", float("nan")), "learning_rate is nan, not"),
        (set_option("penalties", ["oceanfill.models.losses.laplacian"]), "penalties is ['oceanfill"),
        (set_option("penalties", {"oceanfill.models.losses.laplacian": "x"}), "penalties is {'oceanfill"),
        (set_option("loss", 3), "loss is 3, not the name of a loss"),
        (set_option("flow", "uphill"), "flow is uphill, not one of free"),
        (set_option(7, 3), "names that are no text"),
        (set_option("network", {"class_path": 3}), "network is {'class_path': 3}, not a class_path"),
        (set_option("network", "oceanfill.models.unet.UNet"), "names no network"),
        (
            name_network("oceanfill.models.unet.UNet", widths=[10**9]),
            "is 1000000000, not a number up to 10000",
        ),
        (name_network("oceanfill.models.unet.UNet", widths=[]), "do not belong together"),
        (name_network("oceanfill.models.unet.UNet", widths=[9999]), "do not belong together"),
        (name_network("oceanfill.models.unet.Path"), "has no attribute 'Path'"),
        (name_network("oceanfill.models.unet.zero_weights"), "no attribute 'zero_weights' of its own"),
        (name_network("oceanfill.models.unet.UNet", fold=0), "network"),
        (nest, "too many or too deep"),
        (lambda content: content.update(hyper_parameters=[1]), "not a checkpoint of oceanfill"),
        (lambda content: content.update(state_dict=[1]), "not a checkpoint of oceanfill"),
        (lambda content: content.update(state_dict={"a": 1}), "are not numbers"),
        (lambda content: content.update(trained_on={"variables": "sst"}), "variables is sst, not a list"),
        (lambda content: content.update(trained_on={"variables": ["a"]}), "differ in number"),
    ],
)
def test_what_no_training_leaves_is_refused_at_once(
    change: Callable[[dict[str, Any]], Any], finding: str
) -> None:
    make("net.ckpt", change)
    start = time.perf_counter()
    with pytest.raises(InputError) as refused:
        read_checkpoint("net.ckpt")
    assert time.perf_counter() - start < 2
    assert str(refused.value).startswith("net.ckpt: ")
    assert finding in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "path",
    [
        *("os.system", "torch.load", "oceanfill.pipeline.records.prepare.prepare", "oceanfill.fill"),
        *("oceanfill.pipeline.io.writing.write_dataset", "mine.Network"),
    ],
)
def test_functions_that_are_no_network_need_trust(path: str) -> None:
    for change in (name_network(path), set_option("loss", path), set_option("penalties", {path: 1.0})):
        make("net.ckpt", change)
        with pytest.raises(InputError, match=f"names {path}, which is no network or loss"):
            read_checkpoint("net.ckpt")


def test_a_network_that_an_installed_package_declares_needs_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed = tmp_path / "site" / "ours-1.0.dist-info"
    installed.mkdir(parents=True)
    (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: ours\nVersion: 1.0\n")
    (installed / "entry_points.txt").write_text("[oceanfill.networks]\nsmall = ours.networks:Small\n")
    monkeypatch.syspath_prepend(tmp_path / "site")
    make("net.ckpt", name_network("ours.networks.Small"))
    assert read_checkpoint("net.ckpt").options["network"]["class_path"] == "ours.networks.Small"
    make("net.ckpt", name_network("ours.networks.Other"))
    with pytest.raises(InputError, match="add trust=True"):
        read_checkpoint("net.ckpt")


@pytest.mark.parametrize("name", [*NETWORKS])
def test_what_is_saved_is_read_again(name: str) -> None:
    network = NETWORKS[name]
    if name in ("dincae1", "autoencoder", "vae", "dense-autoencoder", "linear-autoencoder"):
        network = network | {"init_args": network["init_args"] | {"shape": [12, 14]}}
    task = Correction(network, window=3, saves=2)
    save_checkpoint(task, "net.ckpt")
    kept = read_checkpoint("net.ckpt")
    assert kept.options["network"] == network
    assert all(torch.equal(kept.state[key], value) for key, value in task.state_dict().items())


def test_a_network_of_currents_too() -> None:
    save_checkpoint(VectorCorrection(TINY, window=3, flow="stream-function"), "net.ckpt")
    assert read_checkpoint("net.ckpt").options["flow"] == "stream-function"


def test_weights_that_are_not_finite_are_not_saved() -> None:
    task = Correction(TINY, window=3)
    next(task.parameters()).data[0] = torch.nan
    with pytest.raises(InputError, match="are not finite"):
        save_checkpoint(task, "net.ckpt")
    assert not Path("net.ckpt").exists()
