"""Kills `oceanfill prepare` and `oceanfill fill` at random moments, and compares what comes out in the end.

    python benchmarks/kills.py [KILLS] [METHOD]

Each command is killed (SIGKILL) and started again, 20 times by default, and whenever it comes to its end its
values have to be those of a run that nobody disturbed, to the bit. Exits with 1 where they are not.
"""

from __future__ import annotations

import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import xarray as xr

OCEANFILL = [sys.executable, "-m", "oceanfill.pipeline.cli"]
SHAPE = 96, 272, 280
MEMORY = 0.6 + 85 * 32 * 74e3 / 1e9  # GB: blocks of 16 dates of a part of the map


def make(folder: Path) -> None:
    """Files of ten dates of moving waves under moving clouds."""
    dates, rows, columns = SHAPE
    day, y, x = np.meshgrid(
        np.arange(dates), np.linspace(0, 6, rows), np.linspace(0, 6, columns), indexing="ij"
    )
    values = np.sin(3 * x + 2 * y - 0.02 * day) + 0.1 * np.random.default_rng(0).standard_normal(SHAPE)
    values[np.sin(7 * x - 0.9 * day) + np.sin(6 * y + 0.7 * day) > 0] = np.nan
    whole = xr.Dataset(
        {"sst": (("time", "lat", "lon"), values.astype(np.float32))},
        {
            "time": np.datetime64("2000-01-01", "ns") + np.arange(dates) * np.timedelta64(1, "D"),
            "lat": np.linspace(30, 40, rows),
            "lon": np.linspace(-10, 0, columns),
        },
    )
    for start in range(0, dates, 10):
        whole.isel(time=slice(start, start + 10)).to_netcdf(folder / f"{start:03d}.nc")


def undisturbed(words: list[str]) -> float:
    """Its seconds."""
    start = time.perf_counter()
    subprocess.run([*OCEANFILL, *words, "--quiet"], check=True)
    return time.perf_counter() - start


def killed(words: list[str], target: Path, seconds: float, kills: int, rng: random.Random) -> Iterator[int]:
    """Start and kill the command again and again; after each end of it, how many kills that took."""
    met = 0
    while kills > 0:
        process = subprocess.Popen([*OCEANFILL, *words, "--quiet"])
        try:
            process.wait(rng.uniform(0, seconds))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            met, kills = met + 1, kills - 1
            continue
        yield met
        met = 0
        shutil.rmtree(target)
    undisturbed(words)
    yield met


def main() -> None:
    """Print a line a command."""
    kills = int(sys.argv[1]) if len(sys.argv) > 1 else 20
    method = sys.argv[2] if len(sys.argv) > 2 else "oi"
    rng = random.Random(0)
    same = True
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make(folder)
        files = str(folder / "*.nc")
        how = ["--method", method, "--memory", str(MEMORY)] + ["--epochs", "1"] * (method == "unet")
        commands = {
            "prepare": lambda end: ["prepare", files, "-o", str(folder / f"in{end}.zarr")],
            "fill": lambda end: ["fill", str(folder / "in.zarr"), "-o", str(folder / f"out{end}.zarr"), *how],
        }
        for command, target in (("prepare", "in"), ("fill", "out")):
            seconds = undisturbed(commands[command](""))
            one = xr.open_zarr(folder / f"{target}.zarr").load()
            again = folder / f"{target}2.zarr"
            for met in killed(commands[command]("2"), again, seconds, kills, rng):
                equal = one.equals(xr.open_zarr(again).load())
                same &= equal
                verdict = "the same" if equal else "NOT the same"
                print(f"{command}, {seconds:.0f} s undisturbed: {met} kills, {verdict}", flush=True)
    sys.exit(0 if same else 1)


if __name__ == "__main__":
    main()
