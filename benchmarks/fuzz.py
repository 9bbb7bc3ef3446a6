"""Damages files at random and fills them: what comes out has to be a sentence, or the undamaged values.

    python benchmarks/fuzz.py [FILES] [SEED]

Each file (200 by default) is a small field in one of six formats, whose bytes are changed, zeroed, cut off,
inserted or exchanged, half of them among its first 2 kB, where the headers are. A run that ends with a
traceback, exit code 1, no end within a minute, something left behind or a changed input is a fault; so is
an output whose observed values are others than those that xarray reads from the damaged file. Formats without
checksums cannot tell a changed value from a measured one: how many outputs have such values is counted.
Exits with 1 where there is a fault, after the seeds of all faults.
"""

from __future__ import annotations

import contextlib
import io
import os
import signal
import sys
import tempfile
import time
import warnings
from collections import Counter
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import xarray as xr
from oceanfill.pipeline.cli.main import main

SECONDS = 60
HEADER = 2048  # bytes
FORMATS: dict[str, dict[str, Any]] = {
    "HDF5": {"format": "NETCDF4"},
    "HDF5, compressed": {"format": "NETCDF4", "encoding": {"sst": {"zlib": True, "chunksizes": (1, 8, 10)}}},
    "HDF5, with checksums": {
        "format": "NETCDF4",
        "encoding": {"sst": {"fletcher32": True, "chunksizes": (1, 8, 10)}},
    },
    "HDF5, packed": {
        "format": "NETCDF4",
        "encoding": {"sst": {"dtype": "i2", "scale_factor": 0.001, "add_offset": 10.0, "_FillValue": -32768}},
    },
    "CDF-1": {"format": "NETCDF3_CLASSIC"},
    "CDF-2": {"format": "NETCDF3_64BIT", "unlimited_dims": ["time"]},
}


class Overdue(BaseException):
    """A command that does not end; no `except Exception` may catch it."""


def make_field() -> xr.Dataset:
    """Nine dates of 8 x 10 cells, a third of them missing."""
    rng = np.random.default_rng(0)
    values = 15 + rng.standard_normal((9, 8, 10)).cumsum(axis=0)
    values[rng.random(values.shape) < 0.3] = np.nan
    return xr.Dataset(
        {"sst": (("time", "lat", "lon"), values.astype(np.float32), {"units": "degree_Celsius"})},
        {
            "time": np.datetime64("2020-01-01", "ns") + np.arange(9) * np.timedelta64(1, "D"),
            "lat": ("lat", 35 + 0.1 * np.arange(8), {"units": "degrees_north"}),
            "lon": ("lon", -6 + 0.1 * np.arange(10), {"units": "degrees_east"}),
        },
    )


def damage(content: bytes, rng: np.random.Generator) -> bytes:
    """Return the content with one or two faults."""
    made = bytearray(content)
    for _ in range(int(rng.integers(1, 3))):
        most = min(HEADER, len(made)) if rng.random() < 0.5 else len(made)
        place = int(rng.integers(0, max(1, most)))
        length = int(2 ** rng.uniform(0, 8))
        kind = int(rng.integers(6))
        if kind == 0 and place < len(made):
            made[place] ^= 1 << int(rng.integers(8))
        elif kind == 1:
            made[place : place + length] = rng.bytes(len(made[place : place + length]))
        elif kind == 2:
            made[place : place + length] = bytes(len(made[place : place + length]))
        elif kind == 3:
            del made[max(1, len(made) - length) :]
        elif kind == 4:
            made[place:place] = rng.bytes(length)
        else:
            other = int(rng.integers(0, max(1, len(made) - length)))
            made[place : place + length] = made[other : other + len(made[place : place + length])]
    return bytes(made)


def fill() -> tuple[int, str]:
    """Return the exit code and what was said."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise Overdue

    said = io.StringIO()
    signal.signal(signal.SIGALRM, stop)
    signal.alarm(SECONDS)
    try:
        with contextlib.redirect_stderr(said), contextlib.redirect_stdout(said):
            code = main(["fill", "in.nc", "-o", "out.nc", "--method", "linear-time", "--quiet"])
    except Overdue:
        return -1, f"no end within {SECONDS} s"
    except BaseException as error:
        return -1, f"{type(error).__name__}: {error}"
    finally:
        signal.alarm(0)
    return code, said.getvalue()


def judge(content: bytes, code: int, said: str) -> tuple[str, str]:
    """Return what came of a file, and the fault or nothing."""
    left = {path.name for path in Path().iterdir()} - {"in.nc"}
    if Path("in.nc").read_bytes() != content:
        return "fault", "the input has changed"
    if code == 2:
        lines = [line for line in said.splitlines() if line.startswith("oceanfill: ")]
        fault = "more than a sentence" if len(lines) != 1 else f"{left} is left" if left else ""
        return "a sentence", fault
    if code != 0 or "Traceback" in said or left != {"out.nc"}:
        return "fault", f"exit code {code}: {said.strip()[-300:]}"
    given, made = read("in.nc"), read("out.nc")
    name = next(iter(made.data_vars))
    if name not in given or given[name].shape != made[name].shape:
        return "filled, as another field", ""
    seen, filled = given[name].values, made[name].values
    kept = (made[f"{name}_source"].values == 1) & np.isfinite(seen)
    if not np.allclose(filled[kept], seen[kept], rtol=1e-6):
        return "fault", "observed values are not those of the file"
    same = given[name].equals(make_field().sst) or np.allclose(
        seen, make_field().sst, atol=6e-4, equal_nan=True
    )
    return ("filled, values undamaged" if same else "filled, values changed in the file"), ""


def read(path: str) -> xr.Dataset:
    """Return the file as xarray reads it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return xr.load_dataset(path, engine="netcdf4", decode_times=False)


def run() -> bool:
    """Print what came of the files of each format; return whether there was no fault."""
    number = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    first = int(sys.argv[2]) if len(sys.argv) > 2 else 0
    start, faults = time.perf_counter(), []
    counts: dict[str, Counter[str]] = {name: Counter() for name in FORMATS}
    home = Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        make_field().to_netcdf("in.nc")
        # Undisturbed, and before there is a time limit: the first run imports torch.
        main(["fill", "in.nc", "-o", "out.nc", "--method", "linear-time", "--quiet"])
        os.chdir(home)
    for seed in range(first, first + number):
        name = list(FORMATS)[seed % len(FORMATS)]
        with tempfile.TemporaryDirectory() as folder:
            os.chdir(folder)
            make_field().to_netcdf("in.nc", engine="netcdf4", **FORMATS[name])
            content = damage(Path("in.nc").read_bytes(), np.random.default_rng(seed))
            Path("in.nc").write_bytes(content)
            outcome, fault = judge(content, *fill())
            os.chdir(home)
        counts[name]["fault" if fault else outcome] += 1
        if fault:
            faults.append(f"seed {seed} ({name}): {fault}")
            print(faults[-1], flush=True)
    for name, found in counts.items():
        print(f"{name}: " + ", ".join(f"{count} {what}" for what, count in found.most_common()))
    print(f"{number} files, {len(faults)} faults, {time.perf_counter() - start:.0f} s")
    return not faults


if __name__ == "__main__":
    sys.exit(0 if run() else 1)
