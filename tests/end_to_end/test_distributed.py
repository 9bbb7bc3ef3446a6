"""Training in two processes on one machine (gloo): stopped and taken up again, it loses nothing."""

from __future__ import annotations

import csv
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

EPOCHS = 4
FIT = [
    *(sys.executable, "-m", "oceanfill.pipeline.cli", "fit", "--config", "fill/quick"),
    *("--trainer.accelerator", "cpu", "--trainer.devices", "2", "--trainer.strategy", "ddp"),
    *("--trainer.max_epochs", str(EPOCHS), "--trainer.log_every_n_steps", "1", "--data.quiet", "true"),
    *("--data.neighbours", "8", "--data.opening", '{"period": "2024-04-01/2024-04-20"}'),
    *("--trainer.logger", "CSVLogger", "--trainer.logger.save_dir", "."),
    *("--trainer.callbacks+=ModelCheckpoint", "--trainer.callbacks.save_top_k", "-1"),
]


def start(folder: Path, *more: str) -> subprocess.Popen:
    folder.mkdir(exist_ok=True)
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [*FIT, *more],
        cwd=folder,
        env=environment,
        stdout=(folder / "log").open("a"),
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )


def losses(folder: Path) -> dict[int, float]:
    """The loss of every step, of all runs in the folder; of one that two runs did, the later one's."""
    found = {}
    for path in sorted(folder.rglob("metrics.csv")):
        with path.open() as file:
            found |= {int(row["step"]): float(row["loss"]) for row in csv.DictReader(file) if row["loss"]}
    return found


@pytest.mark.slow  # six processes that import everything
def test_a_training_that_is_killed_goes_on_with_the_losses_it_would_have_had(tmp_path):
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    assert start(whole).wait() == 0, (whole / "log").read_text()
    expected = losses(whole)
    steps = len(expected) // EPOCHS
    assert sorted(expected) == list(range(EPOCHS * steps))

    process = start(cut)
    while process.poll() is None and not list(cut.rglob("epoch=1-*.ckpt")):
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    (checkpoint,) = cut.rglob("epoch=1-*.ckpt")
    assert start(cut, "--ckpt_path", str(checkpoint)).wait() == 0, (cut / "log").read_text()
    found = losses(cut)
    assert [found[step] for step in range(2 * steps, EPOCHS * steps)] == [
        expected[step] for step in range(2 * steps, EPOCHS * steps)
    ]
