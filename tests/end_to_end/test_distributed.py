"""Training in two processes on one machine (gloo): stopped and taken up again, it loses nothing.

However the processes are started, the fit ends with the checkpoint and its score.
"""

from __future__ import annotations

import csv
import os
import re
import signal
import socket
import subprocess
import sys
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest
from fields import cloudy_dataset
from processes import start_command, wait, wait_until

EPOCHS = 4
FIT = [
    *("fit", "--config", "fill/quick"),
    *("--trainer.accelerator", "cpu", "--trainer.devices", "2", "--trainer.strategy", "ddp"),
    *("--trainer.max_epochs", str(EPOCHS), "--trainer.log_every_n_steps", "1", "--data.quiet", "true"),
    *("--data.source", "../in.nc", "--data.neighbours", "8", "--data.patch", "16", "--data.batch", "8"),
    *("--trainer.logger", "CSVLogger", "--trainer.logger.save_dir", "."),
    *("--trainer.callbacks+=ModelCheckpoint", "--trainer.callbacks.save_top_k", "-1"),
]


def start_ranks(folder: Path) -> list[BaseProcess]:
    """Start both processes of a training, as torchrun does."""
    folder.mkdir()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    shared = {"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "GROUP_RANK": "0", "TORCHELASTIC_RUN_ID": "test"}
    shared |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    return [start_command(FIT, folder, folder / "log", **shared, RANK=rank, LOCAL_RANK=rank) for rank in "01"]


def run_fit(folder: Path, *more: str) -> str:
    """Run a training whose processes are started by Lightning; return what it says."""
    words = [sys.executable, "-m", "oceanfill.pipeline.cli", *FIT, *more]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        words, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def write_field(folder: Path) -> None:
    cloudy_dataset(dates=12, rows=16, columns=20).drop_vars("truth").to_netcdf(folder / "in.nc")


def losses(folder: Path) -> dict[int, float]:
    """The loss of every step, of all runs in the folder; of one that two runs did, the later one's."""
    found = {}
    for path in sorted(folder.rglob("metrics.csv")):
        with path.open() as file:
            found |= {int(row["step"]): float(row["loss"]) for row in csv.DictReader(file) if row["loss"]}
    return found


@pytest.mark.slow  # two processes that import everything
def test_a_training_that_is_killed_goes_on_with_the_losses_it_would_have_had(tmp_path):
    """Started by torchrun and, after the kill, by the command alone."""
    write_field(tmp_path)
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    for rank in start_ranks(whole):
        assert wait(rank) == 0, (whole / "log").read_text()
    expected = losses(whole)
    steps = len(expected) // EPOCHS
    assert steps > 1
    assert sorted(expected) == list(range(EPOCHS * steps))

    ranks = start_ranks(cut)
    wait_until(lambda: list(cut.rglob("epoch=1-*.ckpt")), ranks[0], cut / "log")
    for rank in ranks:
        os.kill(rank.pid, signal.SIGKILL)
        wait(rank)
    (checkpoint,) = cut.rglob("epoch=1-*.ckpt")
    run_fit(cut, "--ckpt_path", str(checkpoint))
    found = losses(cut)
    assert [found[step] for step in range(2 * steps, EPOCHS * steps)] == [
        expected[step] for step in range(2 * steps, EPOCHS * steps)
    ]


@pytest.mark.slow  # processes that import everything
def test_forked_processes_hand_their_weights_and_the_score_over(tmp_path):
    tiny = ("--trainer.max_epochs", "1", "--trainer.limit_train_batches", "2", "--data.first_guess", "none")
    write_field(tmp_path)
    (tmp_path / "run").mkdir()
    log = run_fit(tmp_path / "run", *tiny, "--trainer.strategy", "ddp_fork")
    assert re.search(r"best checkpoint: \S*best.ckpt \(held_out 0\.\d", log), log
