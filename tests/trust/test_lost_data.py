"""What exists is not lost: inputs, what others wrote, and outputs of earlier runs."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
import xarray as xr
from fields import cloudy_dataset
from oceanfill.pipeline.cli.main import main
from oceanfill.pipeline.errors import InputError
from oceanfill.pipeline.io.targets import lock
from processes import start_command, wait

from oceanfill import fill

QUICK = ("--method", "linear-time", "--quiet")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A field as NetCDF and Zarr, a store and a file of others, and a folder."""
    monkeypatch.chdir(tmp_path)
    field = cloudy_dataset(dates=8, rows=12, columns=14).drop_vars("truth")
    field.to_netcdf("in.nc")
    field.to_zarr("in.zarr", consolidated=False)
    for path in ("other.nc", "other.zarr"):
        other = xr.Dataset({"precious": ("x", np.arange(3.0))})
        other.to_netcdf(path) if path.endswith(".nc") else other.to_zarr(path, consolidated=False)
    Path("text.ckpt").write_text("notes\n")
    Path("text.png").symlink_to("in.nc")


def contents() -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted(Path().rglob("*")) if path.is_file()}


@pytest.mark.parametrize("overwrite", [(), ("--overwrite",)], ids=["", "overwrite"])
@pytest.mark.parametrize(
    ("words", "finding"),
    [
        (("prepare", "in.zarr", "-o", "in.zarr"), "in.zarr: is an input"),
        (("prepare", "in.nc", "-o", "other.zarr"), "other.zarr: exists"),
        (("prepare", "in.nc", "-o", "in.zarr/a.zarr"), "lies in the Zarr store"),
        (("fill", "in.zarr", "-o", "out.nc", "--cache", "in.zarr"), "in.zarr: is an input"),
        (
            ("fill", "in.nc", "-o", "out.nc", "--cache", "other.zarr"),
            "other.zarr: exists and is not",
        ),
        (("fill", "in.nc", "-o", "out.zarr", "--cache", "./out.zarr"), "out.zarr: is also"),
        (("fill", "in.nc", "-o", "out.zarr", "--cache", "out.nc"), "a cache is a Zarr store"),
        (("fill", "in.nc", "-o", "in.nc"), "in.nc: is an input"),
        (("fill", "in.zarr", "-o", "in.zarr"), "in.zarr: is an input"),
        (("fill", "in.zarr", "-o", "in.zarr/out.nc"), "in.zarr/out.nc: lies in the Zarr store"),
        (("fill", "in.zarr", "-o", "in.zarr/sst/out.zarr"), "lies in the Zarr store"),
        (("fill", "in.nc", "-o", "other.nc"), "other.nc: exists"),
        (("fill", "in.nc", "-o", "other.zarr"), "other.zarr: exists"),
        (("fill", "in.nc", "-o", "out.nc", "--plot", "text.png"), "text.png: is an input"),
        (("fill", "in.nc", "-o", "out.nc", "--like", "other.nc", "--plot", "other.nc"), "other.nc"),
        (("fill", "in.nc", "-o", "a.nc", "--method", "dineof", "--save-eofs", "a.nc"), "a.nc: is also"),
        (
            ("fill", "in.nc", "-o", "a.nc", "--method", "dineof", "--save-eofs", "other.nc"),
            "other.nc: exists",
        ),
        (("fill", "in.nc", "-o", "a.nc", "--method", "unet", "--save-checkpoint", "text.ckpt"), "text.ckpt"),
        (("fill", "in.nc", "-o", f"{'x' * 253}.nc"), "the name is longer than 255 bytes"),
        (("fill", "in.nc", "-o", "out.nc", "--seed", str(2**70)), "the seed 1180591620717411303424 is not"),
        (("fill", "in.nc", "-o", "out.nc", "--samples", "100000"), "'100000' is more than 10000"),
        (("fill", "in.nc", "-o", "out.nc", "--workers", "2", "--memory", "0.2"), "too little to fill maps"),
        (("compare", "in.nc", "--plot", "text.png"), "text.png: is an input"),
    ],
)
def test_refused_before_anything_is_done(
    words: tuple[str, ...], overwrite: tuple[str, ...], finding: str, capfd: pytest.CaptureFixture[str]
) -> None:
    before = contents()
    start = time.perf_counter()
    method = QUICK if words[0] == "fill" and "--method" not in words else ("--quiet",)
    assert main([*words, *method, *overwrite]) == 2
    assert time.perf_counter() - start < 5
    error = capfd.readouterr().err
    assert finding in error
    assert error.count("\n") == 1, error
    assert contents() == before


@pytest.mark.parametrize("output", ["out.nc", "out.zarr"])
def test_an_output_is_replaced_where_that_is_allowed(output: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["fill", "in.nc", "-o", output, *QUICK]) == 0
    before = contents()
    assert main(["fill", "in.nc", "-o", output, "--method", "nearest", "--quiet"]) == 2
    assert f"{output}: exists; add --overwrite" in capfd.readouterr().err
    with pytest.raises(InputError, match=r"overwrite=True"):
        fill("in.nc", output, method="nearest")
    assert contents() == before
    assert main(["fill", "in.nc", "-o", output, "--method", "nearest", "--quiet", "--overwrite"]) == 0
    engine = "zarr" if output.endswith(".zarr") else "netcdf4"
    attributes = xr.open_dataset(output, engine=engine).attrs
    assert attributes["method"] == "nearest"
    assert "--overwrite" not in attributes["history"]
    fill("in.nc", output, method="linear-time", overwrite=True)
    assert xr.open_dataset(output, engine=engine).attrs["method"] == "linear-time"


def test_a_dataset_does_not_replace_the_file_it_was_opened_from() -> None:
    before = contents()
    with pytest.raises(InputError, match=r"in\.nc: is an input"):
        fill(xr.open_dataset("in.nc"), "in.nc", method="oi", overwrite=True)
    assert contents() == before


def test_a_cache_of_other_inputs_is_replaced_where_that_is_allowed() -> None:
    how = ("--cache", "cache.zarr", *QUICK)
    assert main(["fill", "in.nc", "-o", "a.nc", *how]) == 0
    assert main(["fill", "in.nc", "-o", "b.nc", *how]) == 0, "the same inputs"
    lat = xr.open_dataset("in.nc").lat
    cut = ("--region", f"{float(lat.min())},{float(lat.mean())},-180,180")
    assert main(["fill", "in.nc", "-o", "c.nc", *how, *cut]) == 2
    assert main(["fill", "in.nc", "-o", "c.nc", *how, *cut, "--overwrite"]) == 0
    assert xr.open_dataset("c.nc").sizes["lat"] < lat.size


@pytest.mark.parametrize(
    ("bytes_of_name", "how"),
    [(240, ()), (255, ()), (255, ("--cache", "cache.zarr"))],
    ids=["240 bytes", "255 bytes", "block by block"],
)
def test_a_long_name_is_no_obstacle(bytes_of_name: int, how: tuple[str, ...]) -> None:
    name = "å" * ((bytes_of_name - 3) // 2) + "x" * ((bytes_of_name - 3) % 2) + ".nc"
    assert len(os.fsencode(name)) == bytes_of_name
    before = set(os.listdir())  # noqa: PTH208
    assert main(["fill", "in.nc", "-o", name, *QUICK, *how]) == 0
    assert set(os.listdir()) - before - {"cache.zarr"} == {name}  # noqa: PTH208
    assert np.isfinite(xr.open_dataset(name).sst_analysis).any()


def test_a_batch_replaces_only_where_that_is_allowed(capfd: pytest.CaptureFixture[str]) -> None:
    """That it then does is tested in tests/pipeline/jobs/test_batch.py."""
    table = "jobs: [{inputs: in.nc, output: out.nc, method: METHOD}]\n"
    batch = ["batch", "jobs.yaml", "-o", "scores.csv", "--quiet"]
    Path("jobs.yaml").write_text(table.replace("METHOD", "linear-time"))
    assert main(batch) == 0
    assert main(batch) == 2
    assert "scores.csv: exists; add --overwrite" in capfd.readouterr().err
    made = Path("out.nc").stat().st_mtime_ns
    assert main([*batch, "--overwrite"]) == 0
    assert Path("out.nc").stat().st_mtime_ns == made, "it is up to date"
    Path("jobs.yaml").write_text(table.replace("METHOD", "nearest"))
    assert main(batch[:2]) == 2
    assert Path("out.nc").stat().st_mtime_ns == made
    assert main(["batch", "jobs.yaml", "-o", "jobs.yaml", "--overwrite"]) == 2


def test_a_second_writer_is_told_who_is_at_work() -> None:
    held = Path(".out.nc.lock")
    with lock("out.nc"):
        owner = json.loads(held.read_text())
        assert owner["pid"] == os.getpid()
        with pytest.raises(InputError, match=f"out.nc: process {os.getpid()} on {socket.gethostname()} has"):
            fill("in.nc", "out.nc", method="oi")
        fill("in.nc", "another.nc", method="linear-time")
    assert not held.exists()
    held.write_text(json.dumps(owner | {"host": "elsewhere", "pid": 1}))
    with (
        pytest.raises(InputError, match=r"process 1 on elsewhere .* remove .*\.out\.nc\.lock"),
        lock("out.nc"),
    ):
        pass
    assert held.exists()


def test_a_requeued_job_takes_over_the_lock_of_its_first_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """On another node, where its process cannot be looked for; a second task of the same start does not."""
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    monkeypatch.setattr(socket, "gethostname", lambda: "node1")
    with lock("out.nc"):
        held = Path(".out.nc.lock").read_text()
        monkeypatch.setattr(socket, "gethostname", lambda: "node2")
        with pytest.raises(InputError, match="on node1"), lock("out.nc"):
            pass
    Path(".out.nc.lock").write_text(held)
    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
    with lock("out.nc"):
        assert json.loads(Path(".out.nc.lock").read_text())["host"] == "node2"


def test_the_lock_of_a_process_that_has_ended_is_removed() -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    started = psutil.Process().create_time()
    host = socket.gethostname()
    for owner in (
        {"host": host, "pid": ended.pid, "time": time.time()},
        {"host": host, "pid": os.getpid(), "time": started - 1000},  # the number was used again
    ):
        Path(".out.nc.lock").write_text(json.dumps(owner))
        with lock("out.nc"):
            assert json.loads(Path(".out.nc.lock").read_text())["time"] >= started
        assert not Path(".out.nc.lock").exists()
    Path(".out.nc.lock").write_text("")  # killed before it could write who it was
    os.utime(".out.nc.lock", (started - 60, started - 60))
    with lock("out.nc"):
        pass


def test_of_two_that_write_the_same_one_does(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Both prepare the same cache and write the same output, of different methods."""
    words = ["fill", "in.nc", "-o", "out.zarr", "--cache", "cache.zarr", "--quiet", "--overwrite"]
    methods = "oi", "nearest"
    logs = [tmp_path_factory.mktemp("log") / method for method in methods]
    both = [
        start_command([*words, "--method", method], tmp_path, log)
        for method, log in zip(methods, logs, strict=True)
    ]
    won = [wait(process) for process in both]
    said = [log.read_text() for log in logs]
    assert 0 in won
    assert set(won) <= {0, 2}, said
    for code, text in zip(won, said, strict=True):
        assert code == 0 or "has been writing it since" in text, text
    found = xr.open_zarr("out.zarr").load()
    method = str(found.attrs["method"])
    alone = fill("in.nc", "alone.nc", method=method, cache=f"{method}.zarr", overwrite=True)
    xr.testing.assert_equal(found.sst_analysis, alone.sst_analysis)
    assert not list(tmp_path.glob(".*"))
