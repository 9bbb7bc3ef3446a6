"""The scripts of configs/hpc under a SLURM that answers: requeued, cut off and with workers that are lost.

The folder of the tests must be seen by all nodes: on a cluster, give pytest a --basetemp in a shared one.
"""

from __future__ import annotations

import csv
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path

import pytest
import xarray as xr
import yaml
from fields import cloudy_dataset

pytestmark = [pytest.mark.slurm, pytest.mark.slow]  # jobs start processes that import everything
PATIENCE = 180  # seconds
TINY = (
    *("--trainer.accelerator", "cpu", "--trainer.precision", "32", "--trainer.max_epochs", "4"),
    *("--trainer.log_every_n_steps", "1", "--data.neighbours", "4", "--data.patch", "8", "--data.batch", "8"),
    *("--model.network.init_args.widths", "[8, 16]", "--model.window", "3", "--data.first_guess", "none"),
    *("--trainer.limit_train_batches", "6", "--trainer.limit_val_batches", "2", "--data.quiet", "true"),
    *("--trainer.enable_progress_bar", "false"),
)


def ask(*words: str) -> str:
    return subprocess.run(words, check=True, capture_output=True, text=True, timeout=20).stdout.strip()


@pytest.fixture(scope="module")
def nodes() -> list[str]:
    """The idle nodes of a SLURM, two or more."""
    if shutil.which("sbatch") is None:
        pytest.skip("no SLURM: sbatch is not installed")
    try:
        found = ask("sinfo", "--noheader", "--Node", "--states", "idle", "--format", "%N").split()
    except (subprocess.SubprocessError, OSError) as error:
        pytest.skip(f"no SLURM: sinfo does not answer ({error})")
    if len(set(found)) < 2:
        pytest.skip("no SLURM with two idle nodes")
    return sorted(set(found))


@pytest.fixture
def folder(nodes: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that jobs are submitted from, with what they read from the environment."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OCEANFILL_ENV", sys.prefix)
    try:
        socket.gethostbyname(nodes[0])
    except OSError:  # all nodes are on this machine
        monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
    return tmp_path


def submit(script: str, *words: str, options: tuple[str, ...] = ()) -> str:
    """Submit a script that ships, and return the number of the job."""
    path = str(files("oceanfill.configs") / "hpc" / script)
    return ask("sbatch", "--parsable", "--cpus-per-task", "1", "--mem", "2G", *options, path, *words)


def wait_until(done: Callable[[], bool]) -> None:
    ends = time.monotonic() + PATIENCE
    while not done():
        assert time.monotonic() < ends, "".join(path.read_text() for path in Path().glob("*.log"))
        time.sleep(0.2)


def list_states(job: str) -> list[str]:
    """The states of a job, of each task of an array one; none when it has ended."""
    found = subprocess.run(
        ["squeue", "--noheader", "--jobs", job, "--format", "%T %r"], capture_output=True, text=True
    )
    return found.stdout.splitlines()


def wait_for(job: str) -> None:
    """Wait for the end of a job; one that waits in the queue after a requeueing is released."""

    def has_ended() -> bool:
        states = list_states(job)
        if any("BeginTime" in state for state in states):
            ask("scontrol", "update", f"JobId={job}", "StartTime=now")
        return not states

    wait_until(has_ended)


def losses(job: str) -> dict[int, float]:
    """The losses of the steps of all starts of a job."""
    found = {}
    for path in Path("runs", job).rglob("metrics.csv"):
        with path.open() as file:
            found |= {int(row["step"]): float(row["loss"]) for row in csv.DictReader(file) if row["loss"]}
    return found


def test_a_training_on_two_nodes_that_is_requeued_has_the_losses_of_an_undisturbed_one(folder: Path) -> None:
    cloudy_dataset(dates=12).drop_vars("truth").to_netcdf("in.nc")
    on_two = ("--nodes", "2", "--ntasks-per-node", "1", "--gpus-per-node", "0", "--mem", "0")
    whole = submit("train.sbatch", "in.nc", *TINY, options=on_two)
    wait_for(whole)
    expected = losses(whole)
    assert len(expected) == 24, Path(f"oceanfill-train.{whole}.log").read_text()

    cut = submit("train.sbatch", "in.nc", *TINY, options=on_two)
    wait_until(lambda: Path("runs", cut, "checkpoints", "last.ckpt").exists())
    ask("scancel", "--signal", "USR1", cut)  # as SLURM does before the time is up
    wait_for(cut)
    log = Path(f"oceanfill-train.{cut}.log").read_text()
    assert f"job {cut} is back in the queue" in log
    assert len(list(Path("runs", cut, "curves").glob("version_*/metrics.csv"))) == 2, log
    found = losses(cut)
    assert len(expected) - len(found) <= 1, "the step after which it was saved is not logged"
    assert found == {step: expected[step] for step in found}


def test_rows_of_a_table_are_the_tasks_of_an_array(folder: Path) -> None:
    dataset = cloudy_dataset(dates=8, rows=12, columns=14).drop_vars("truth")
    dataset.to_netcdf("in.nc")
    rows = [{"inputs": name, "output": f"{name}.filled.nc"} for name in ("in.nc", "absent.nc")]
    Path("jobs.yaml").write_text(yaml.safe_dump({"defaults": {"method": "linear-time"}, "jobs": rows}))
    job = submit("batch.sbatch", "jobs.yaml", options=("--array", "0-1"))
    wait_for(job)
    filled = xr.load_dataset("in.nc.filled.nc")
    assert bool(filled.sst.notnull().where(dataset.mask == 1, True).all())
    assert "in.nc.filled: filled" in Path(f"oceanfill-batch.{job}_0.log").read_text()
    assert "absent.nc: no such file" in Path(f"oceanfill-batch.{job}_1.log").read_text()


def test_a_record_is_filled_by_jobs_of_dask_of_which_one_is_cancelled(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("dask_jobqueue")
    Path("jobqueue.yaml").write_text(
        yaml.safe_dump(
            {"jobqueue": {"slurm": {"cores": 1, "memory": "2GB", "log-directory": str(folder / "workers")}}}
        )
    )
    monkeypatch.setenv("DASK_CONFIG", "jobqueue.yaml")
    monkeypatch.setenv("OCEANFILL_WORKERS", "2")
    dataset = cloudy_dataset(dates=24).drop_vars("truth")
    for number in range(2):
        part = dataset.isel(time=slice(12 * number, 12 * number + 12))
        part.to_netcdf(f"sst_{number}.nc")
    job = submit("fill.sbatch", "sst_*.nc", "filled.zarr", "--method", "linear-time")
    cancelled: list[str] = []

    def has_lost_a_worker() -> bool:
        running = subprocess.run(
            ["squeue", "--noheader", "--states", "R", "--name", "dask-worker", "--format", "%i"],
            capture_output=True,
            text=True,
        ).stdout.split()
        if running and not cancelled:
            ask("scancel", running[0])
            cancelled.append(running[0])
        return bool(cancelled)

    wait_until(has_lost_a_worker)
    wait_for(job)
    log = Path(f"oceanfill-fill.{job}.log").read_text()
    assert "wrote filled.zarr (" in log, log
    filled = xr.open_zarr("filled.zarr", consolidated=False).load()
    assert filled.sizes["time"] == 24
    seen = dataset.sst.notnull()
    assert float(abs(filled.sst.where(seen.values) - dataset.sst.values).max()) < 0.01
    wait_until(lambda: not ask("squeue", "--noheader", "--name", "dask-worker", "--format", "%i"))
