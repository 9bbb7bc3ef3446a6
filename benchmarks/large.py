"""Memory and time of `oceanfill prepare` and `oceanfill fill` on records that grow.

    python benchmarks/large.py [DATES[xSIDE] ...]

Fields of 512 x 512 pixels (or SIDE x SIDE), made on the fly in files of 365 dates or less; without arguments
912, 1825 and 3650 dates (3.8 GB). Memory is to stay the same, and seconds a value too: the last column is
that over the first line's.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import xarray as xr

SIDE = 512
FILE = 365 * SIDE**2  # values
MEMORY = 2.0  # GB
OCEANFILL = [sys.executable, "-m", "oceanfill.pipeline.cli"]


def make(path: Path, first: int, dates: int, side: int) -> None:
    """Moving waves under moving clouds, half of it missing."""
    y, x = np.meshgrid(*2 * [np.linspace(0, 2 * np.pi, side, dtype=np.float32)], indexing="ij")
    day = np.arange(first, first + dates, dtype=np.float32)[:, None, None]
    values = np.sin(3 * x + 2 * y - 0.02 * day) + np.cos(5 * y - x + 0.05 * day)
    values[np.sin(7 * x - 0.9 * day) + np.sin(6 * y + 0.7 * day) + np.sin(0.3 * day + x) > 0] = np.nan
    xr.Dataset(
        {"sst": (("time", "lat", "lon"), values, {"units": "degree_Celsius"})},
        {
            "time": np.datetime64("2000-01-01", "ns") + day[:, 0, 0].astype("timedelta64[D]"),
            "lat": np.linspace(30, 46, side),
            "lon": np.linspace(-30, -14, side),
        },
    ).to_netcdf(path)


def measured(*words: str) -> tuple[float, float]:
    """Seconds of the processor and peak memory in GB of a command."""
    process = subprocess.Popen([*OCEANFILL, *words, "--quiet"])
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{' '.join(words)} failed")
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 2**20


def main() -> None:
    """Print a line of Markdown a record."""
    first = None
    print("| dates | prepare s | GB | fill s | GB | s a value / first line's |")
    print("| ---: | ---: | ---: | ---: | ---: | ---: |")
    for word in sys.argv[1:] or ("912", "1825", "3650"):
        dates, side = map(int, f"{word}x{SIDE}".split("x")[:2])
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            # In another process: one that has been large says of its children that they were.
            with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as other:
                step = max(1, FILE // side**2)
                for start in range(0, dates, step):
                    number = min(step, dates - start)
                    other.submit(make, folder / f"{start:05d}.nc", start, number, side).result()
            store, filled = str(folder / "sst.zarr"), str(folder / "filled.zarr")
            prepared = measured("prepare", str(folder / "*.nc"), "-o", store)
            method = ["--method", "linear-time", "--memory", str(MEMORY)]
            done = measured("fill", store, "-o", filled, *method)
        seconds = (prepared[0] + done[0]) / (dates * side**2)
        first = first or seconds
        print(
            f"| {word} | {prepared[0]:.0f} | {prepared[1]:.2f} | {done[0]:.0f} | {done[1]:.2f} "
            f"| {seconds / first:.2f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
