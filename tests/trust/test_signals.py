"""Signals at a bad moment: nothing hangs, no unfinished file is left, and work is not lost."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import dask.array
import numpy as np
import pytest
import torch
import xarray as xr
from fields import cloudy_dataset
from oceanfill.pipeline.interrupts import defer_signals, exit_on_sigterm, handle_signals
from oceanfill.pipeline.io.writing import write_dataset
from processes import start, start_command, wait, wait_until

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="no signals to send")

WRITE = """
import os, signal, sys, threading
import numpy as np, xarray as xr
from oceanfill.pipeline.io.writing import write_dataset
values = np.random.default_rng(0).random((20, 300, 300))
data = xr.Dataset({f"v{k}": (("time", "y", "x"), values) for k in range(3)}, {"time": np.arange(20.0)})
for array in data.data_vars.values():
    array.encoding = {"zlib": True, "complevel": 4}
threading.Timer(AFTER, os.kill, (os.getpid(), signal.SIGINT)).start()
try:
    write_dataset(data, "out.nc")
except KeyboardInterrupt:
    sys.exit(130)
"""


@pytest.mark.parametrize("after", [0.1, 0.4])
def test_an_interrupt_while_a_netcdf_file_is_written(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, after: float
) -> None:
    """Unless it waits, xarray's lock is held for ever."""
    log = tmp_path_factory.mktemp("aside") / "log"
    assert wait(start(f"AFTER = {after}{WRITE}", tmp_path, log)) == 130, log.read_text()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("suffix", [".nc", ".zarr"])
@pytest.mark.parametrize(
    ("number", "error"), [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, SystemExit)]
)
def test_a_signal_between_two_chunks_ends_the_write(
    tmp_path: Path, suffix: str, number: signal.Signals, error: type[BaseException]
) -> None:
    made = []

    def make(block: np.ndarray, block_info: dict) -> np.ndarray:
        made.append(block_info[0]["chunk-location"])
        if len(made) == 3:
            os.kill(os.getpid(), number)
        return block

    lazy = dask.array.ones((50, 20, 20), chunks=(1, 20, 20)).map_blocks(make, meta=np.empty((0, 0, 0)))
    before = signal.signal(signal.SIGTERM, exit_on_sigterm)
    interrupt = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(error):
            write_dataset(xr.Dataset({"v": (("t", "y", "x"), lazy)}), tmp_path / f"out{suffix}")
    finally:
        signal.signal(signal.SIGTERM, before)
        signal.signal(signal.SIGINT, interrupt)
    assert len(made) < 10
    assert list(tmp_path.iterdir()) == []


def test_handlers_are_what_they_were() -> None:
    before = signal.getsignal(signal.SIGINT)
    caught: list[int] = []
    with handle_signals([signal.SIGINT], lambda number, frame: caught.append(number)):
        with defer_signals() as release:
            os.kill(os.getpid(), signal.SIGINT)
            assert caught == []
            release()
            assert caught == [signal.SIGINT]
            os.kill(os.getpid(), signal.SIGINT)
        assert caught == [signal.SIGINT] * 2
    assert signal.getsignal(signal.SIGINT) is before


def test_a_fit_that_is_terminated_resumes(tmp_path: Path) -> None:
    cloudy_dataset(dates=6, rows=8, columns=10).drop_vars("truth").to_netcdf(tmp_path / "in.nc")
    words = [
        *("fit", "--config", "fill/quick", "--data.source", "in.nc", "--data.quiet", "true"),
        *("--data.first_guess", "none", "--trainer.default_root_dir", "here"),
        *("--trainer.accelerator", "cpu", "--trainer.enable_progress_bar", "false"),
    ]
    log, log_again = tmp_path / "log", tmp_path / "log again"
    fit = start_command([*words, "--trainer.max_epochs", "1000000"], tmp_path, log)
    best, last = (tmp_path / "here" / "checkpoints" / f"{name}.ckpt" for name in ("best", "last"))
    wait_until(best.exists, fit, log)
    os.kill(fit.pid, signal.SIGTERM)
    assert wait(fit) == 143, log.read_text()
    said = " ".join(log.read_text().split())
    assert "from which --ckpt_path last goes on" in said
    assert "Traceback" not in said
    reached = torch.load(last, weights_only=True)
    more = ["--trainer.max_epochs", str(reached["epoch"] + 2), "--ckpt_path", "last"]
    assert wait(start_command([*words, *more], tmp_path, log_again)) == 0, log_again.read_text()
    said = log_again.read_text()
    assert "earlier" not in said, "the earlier fit is taken up and not set aside"
    assert "best checkpoint" in said
