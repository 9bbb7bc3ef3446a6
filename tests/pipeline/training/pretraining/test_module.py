"""Training on a pool, from the command line: families, validation apart, seas that come later, resumption."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from oceanfill.pipeline.cli.arguments import parse
from oceanfill.pipeline.cli.main import main
from oceanfill.pipeline.cli.pretrain import make_words
from oceanfill.pipeline.errors import InputError
from oceanfill.pipeline.simulators.seas.drawing import FAMILIES
from oceanfill.pipeline.training.checkpoints import load_general
from oceanfill.pipeline.training.pretraining.module import SeasModule
from oceanfill.pipeline.training.pretraining.pool import VALIDATION_SEED, name_sea

torch.set_num_threads(1)
LEFT_OUT = "fronts"
TINY = """
model:
  window: 3
  network: {class_path: oceanfill.models.unet.UNet, init_args: {widths: [4], fold: 2}}
data:
  class_path: oceanfill.pipeline.training.pretraining.module.SeasModule
  init_args: {seas: 5, patch: 16, batch: 4, epoch: 16, judged: [1, 2]}
trainer:
  max_epochs: 2
  reload_dataloaders_every_n_epochs: 1
  accelerator: cpu
  num_sanity_val_steps: 0
  enable_progress_bar: false
  enable_model_summary: false
  callbacks:
    - class_path: ModelCheckpoint
      init_args: {monitor: held_out, filename: best, save_last: true}
"""


def write_sea(folder: Path, family: str, seed: int) -> None:
    """A sea whose residual is one everywhere, in half of the cells."""
    rng = np.random.default_rng(seed)
    shape = 4, 12, 14
    anomaly = rng.normal(size=shape).astype(np.float16)
    residual = np.where(rng.random(shape) < 0.5, np.float16(1), np.float16(np.nan))
    small = {
        name: np.full(shape, value, np.float16) for name, value in (("log_error", -1), ("variance", 0.1))
    }
    known = {"sea": np.ones(shape[1:], bool), "steps": np.arange(4.0), "numbers": np.zeros(4, np.float32)}
    np.savez(name_sea(folder, family, seed), anomaly=anomaly, residual=residual, **small, **known)


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The words that train on a pool of all families, in which nothing is missing."""
    monkeypatch.chdir(tmp_path)
    Path("tiny.yaml").write_text(TINY)
    Path("seas").mkdir()
    trained_on = [name for name in FAMILIES if name != LEFT_OUT]
    for seed in range(5):
        write_sea(Path("seas"), trained_on[seed % len(trained_on)], seed)
    for seed in range(VALIDATION_SEED, VALIDATION_SEED + len(FAMILIES)):
        write_sea(Path("seas"), list(FAMILIES)[seed % len(FAMILIES)], seed)
    return ["pretrain", "--config", "tiny.yaml", "--pool", "seas", "--leave-out", LEFT_OUT, "-o", "run"]


def test_it_trains_on_the_pool_and_goes_on_later(run: list[str]) -> None:
    write_sea(Path("seas"), LEFT_OUT, 77)  # of an earlier pool: it must not be trained on
    assert main(run) == 0
    task = load_general("run/checkpoints/last.ckpt")
    assert task.window == 3
    assert task.trained_on["seas"] == 5
    assert task.trained_on["families"] == [name for name in FAMILIES if name != LEFT_OUT]
    earlier = torch.load("run/checkpoints/last.ckpt", weights_only=True)
    write_sea(Path("seas"), "gaussian", 5)
    assert main([*run, "--resume", "--trainer.max_epochs", "3"]) == 0
    later = torch.load("run/checkpoints/last.ckpt", weights_only=True)
    assert later["global_step"] > earlier["global_step"]
    assert later["trained_on"]["seas"] == 6
    table = next(Path("run/curves").glob("*/metrics.csv")).read_text().splitlines()
    assert {f"held_out_{name}" for name in FAMILIES} <= set(table[0].split(","))


def test_it_starts_from_the_weights_of_a_checkpoint(
    run: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(run) == 0
    first = load_general("run/checkpoints/last.ckpt").state_dict()
    still = ["-o", "again", "--start", "run/checkpoints/last.ckpt", "--model.learning_rate", "0"]
    assert main([*run, *still]) == 0
    again = load_general("again/checkpoints/last.ckpt").state_dict()
    for name, weights in first.items():
        torch.testing.assert_close(again[name], weights, rtol=1e-6, atol=1e-7)
    assert main([*run, "--start", "shipped"]) == 2
    assert "of another network or window than the configuration" in capfd.readouterr().err


def test_seas_that_are_there_are_not_made_again(run: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    before = {path: path.stat().st_mtime_ns for path in Path("seas").iterdir()}
    assert main([*run, "--seas", "5", "--seas-only"]) == 0
    assert {path: path.stat().st_mtime_ns for path in Path("seas").iterdir()} == before
    assert not Path("run").exists()


def test_the_words_are_those_of_lightning() -> None:
    options = parse(
        [
            "pretrain",
            "--seas",
            "7",
            "--workers",
            "2",
            "--minutes",
            "1500.5",
            "--resume",
            "--trainer.devices",
            "2",
        ]
    )
    assert make_words(options) == [
        *("fit", "--config", "pretrain/base"),
        *("--data.init_args.seas", "7", "--data.init_args.n_workers", "2"),
        *("--trainer.max_time", "01:01:00:30", "--ckpt_path", "last", "--trainer.devices", "2"),
    ]


def test_an_unknown_family_is_refused() -> None:
    with pytest.raises(InputError, match="no family of seas is called lakes"):
        SeasModule(leave_out=["lakes"])


def test_a_configuration_without_seas_is_refused(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "none.yaml").write_text("model: {}")
    assert main(["pretrain", "--config", str(tmp_path / "none.yaml"), "--seas-only"]) == 2
    assert "has no data.init_args of seas" in capfd.readouterr().err
