"""A slice of a global daily record through `oceanfill fill`, and what twenty years of it would take.

    python benchmarks/global_record.py [--dates 60] [--rows 720] [--methods oi,pretrained] [--workers 1,2]
        [--memory 12]

The record is made on the fly: eddies and an ice edge on a grid of ROWS x 2 ROWS cells, with land, and clouds
that hide two thirds of the sea. All its dates and the first half of them are prepared, and filled with each
method and number of workers. A line gives the seconds of the clock and of the processor, the sea cells a
second and core of the dates of the second half, the largest memory of a process, the bytes of the output over
those of the values, the steps of the analysis across the date line over those next to it, and the number of
sea cells without a value. The last table extrapolates to 7300 dates: a fixed time, and a time for each date
that is divided by the number of workers. The last column is the measured speed-up from the first to the last
number of workers.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import xarray as xr
from scipy.ndimage import gaussian_filter

OCEANFILL = [sys.executable, "-m", "oceanfill.pipeline.cli"]
RECORD = 7300  # dates
PER_FILE = 10  # dates
_MODES = 40  # waves that make the eddies


def make_land(rows: int) -> np.ndarray:
    """Return land (rows, 2 rows) on a third of the map, continuous across the date line."""
    noise = np.random.default_rng(0).standard_normal((rows, 2 * rows))
    smooth = gaussian_filter(noise, rows / 25, mode=("nearest", "wrap"))
    return smooth > np.quantile(smooth, 0.67)


def write_files(folder: Path, dates: int, rows: int) -> None:
    """Write the observed record, a file for ten dates."""
    rng = np.random.default_rng(1)
    lat, lon = (np.arange(n) / n * 180 * k + 90 / n * k for n, k in ((rows, 1), (2 * rows, 2)))
    lat -= 90
    phi, theta = np.deg2rad(lat)[:, None], np.deg2rad(lon)[None]
    waves = rng.integers(1, 40, _MODES), rng.uniform(2, 60, _MODES)  # around the globe a whole number
    phase, speed = rng.uniform(0, 2 * np.pi, _MODES), rng.uniform(-0.3, 0.3, _MODES)
    land = make_land(rows)
    for first in range(0, dates, PER_FILE):
        days = np.arange(first, min(first + PER_FILE, dates))
        values = np.empty((len(days), rows, 2 * rows), np.float32)
        for map_, day in zip(values, days, strict=True):
            eddies = sum(
                np.sin(k * theta + m * phi + p + c * day) / np.sqrt(k)
                for k, m, p, c in zip(*waves, phase, speed, strict=True)
            )
            noise = np.random.default_rng((2, int(day) // 2)).standard_normal((rows, 2 * rows))
            clouds = gaussian_filter(noise, rows / 60, mode=("nearest", "wrap"))
            ice = np.abs(phi) > np.deg2rad(72 + 6 * np.sin(theta) * np.sin(2 * np.pi * day / 365))
            map_[:] = 28 * np.cos(phi) ** 2 + 0.5 * eddies + 0.1 * rng.standard_normal(eddies.shape)
            map_[land | ice | (clouds > np.quantile(clouds, 0.4))] = np.nan
        times = np.datetime64("2004-01-01", "ns") + days.astype("timedelta64[D]")
        places = {"time": times, "lat": lat, "lon": lon}
        dataset = xr.Dataset({"sst": (("time", "lat", "lon"), values, {"units": "degree_Celsius"})}, places)
        dataset["mask"] = ("lat", "lon"), (~land).astype(np.int8)
        dataset.to_netcdf(folder / f"sst_{first:05d}.nc")


def run(threads: str, *words: str) -> tuple[float, float, float]:
    """Run a command; return seconds of the clock, of the processor, and the most memory (GB) of a process.

    The ``threads`` are those of the training, and are divided among the workers.
    """
    start = time.perf_counter()
    process = subprocess.Popen(
        [*OCEANFILL, *words, "--quiet"], env=os.environ | {"OMP_NUM_THREADS": threads}, stderr=subprocess.PIPE
    )
    assert process.stderr is not None  # it is a pipe
    said = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{' '.join(words)} failed:\n{said.decode()}")
    return time.perf_counter() - start, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 2**20


def measure_maps(filled: Path) -> tuple[float, int]:
    """Return the steps across the date line over those next to it, and the sea cells that are empty."""
    with xr.open_zarr(filled) as dataset:
        analysis = dataset["sst"].isel(time=slice(None, None, 8)).values
    along = np.abs(np.diff(analysis[:, :, [-2, -1, 0, 1]], axis=2))
    empty = np.isnan(analysis)[:, ~make_land(analysis.shape[1])].sum()
    return float(np.nanmean(along[..., 1]) / np.nanmean(along[..., ::2])), int(empty)


def count_bytes(folder: Path) -> int:
    """Return the bytes of all files of a store."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def main() -> None:
    """Print the tables in Markdown."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--dates", type=int, default=60)
    parser.add_argument("--rows", type=int, default=720)
    parser.add_argument("--methods", default="oi,pretrained")
    parser.add_argument("--workers", default="1,2")
    parser.add_argument("--memory", default="12")
    options = parser.parse_args()
    rows, dates = options.rows, options.dates
    sea = int((~make_land(rows)).sum())
    totals: dict[str, list[tuple[float, float, float, int]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        write_files(place, dates, rows)
        files = sorted(map(str, place.glob("sst_*.nc")))
        stores = [(files[: len(files) // 2], str(place / "half.zarr")), (files, str(place / "record.zarr"))]
        for some, store in stores:
            clock, processor, memory = run("1", "prepare", *some, "-o", store, "--mask-variable", "mask")
            print(f"prepare: {clock:.0f} s, {processor:.0f} s of the processor, {memory:.2f} GB")
        titles = [
            "method",
            "workers",
            "s",
            "processor s",
            "cells a second and core",
            "GB",
            "written / values",
            "date line",
            "empty",
        ]
        print("\n| " + " | ".join(titles) + " |\n| --- |" + " ---: |" * (len(titles) - 1))
        for method in options.methods.split(","):
            for workers in map(int, options.workers.split(",")):
                words = "--method", method, "--memory", options.memory, "--workers", str(workers)
                half, out = (place / f"{method}-{workers}-{name}.zarr" for name in ("half", "all"))
                first = run(str(workers), "fill", stores[0][1], "-o", str(half), *words)
                clock, processor, memory = run(str(workers), "fill", stores[1][1], "-o", str(out), *words)
                later = dates - PER_FILE * len(stores[0][0])
                totals.setdefault(method, []).append((clock, first[0], clock - first[0], workers))
                seam, empty = measure_maps(out)
                share = count_bytes(out) / (4 * dates * rows * 2 * rows)
                more = processor - first[1]
                speed = sea * later / more if more > 0 else np.nan
                print(
                    f"| {method} | {workers} | {clock:.0f} | {processor:.0f} | {speed:.0f} | {memory:.2f} "
                    f"| {share:.2f} | {seam:.3f} | {empty} |",
                    flush=True,
                )
    print(f"\n| {RECORD} dates, hours | 1 worker | 16 | 128 | scaling |")
    print("| --- | ---: | ---: | ---: | ---: |")
    for method, found in totals.items():
        clock, first, more, workers = found[0]
        if min(more, found[-1][2]) <= 0:
            print(f"| {method} | the record is too short to extrapolate from | | | |")
            continue
        fixed = max(0.0, first - more * (dates - later) / later)
        grow = more * workers / later  # s a date and worker
        hours = [(fixed + grow * RECORD / many) / 3600 for many in (1, 16, 128)]
        scaling = more / found[-1][2]
        print(f"| {method} | " + " | ".join(f"{one:.1f}" for one in hours) + f" | {scaling:.2f} |")


if __name__ == "__main__":
    main()
