"""How fast the first guess is, over an earlier commit in the same run.

    python benchmarks/firstguess.py [SAMPLE ...]

For each sample, in a process of its own with one thread and with two: the fit and the first guesses of the
default method (of the earlier commit a network that is trained on the file, with masked copies; now the
pretrained network, with values under further clouds), those of a network that is trained on the file, and
`fill --method oi` as a whole. The times are seconds of the processor, which other programs disturb least,
and of the clock. Then the cells a second of optimal interpolation with known scales, and on a GPU also the
floating-point operations of its Cholesky factors as a share of those of factors alone, in batches of the
same matrices.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from oceanfill.pipeline.classical.kriging import Kriging, choose_tile
from oceanfill.pipeline.classical.neighbours import Component, Scales
from oceanfill.pipeline.io.field import Field, grid_spacing, open_field

HERE = Path(__file__).resolve().parents[1]
BEFORE = "047f233"
SAMPLES = ("sst_clouds", "ssh_med")
TRAINED = """
import sys
try:
    from oceanfill.pipeline.training.data import GapData
except ImportError:
    from oceanfill.pipeline.data import GapData
GapData(sys.argv[1]).setup("fit")
"""
DEFAULT = """
import sys
from oceanfill.pipeline.training.data import GapData
for part in GapData(sys.argv[1]).take_apart():
    part.further_residuals()
"""
OI = """
import sys, tempfile
import oceanfill
oceanfill.fill(sys.argv[1], tempfile.mkdtemp() + "/filled.nc", method="oi")
"""
OPEN = "import sys, oceanfill.pipeline.io.field as io; io.open_field(sys.argv[1])"  # what both begin with


def lay_out(tree: Path, folder: Path) -> Path:
    """Make a folder from which Python imports the package of a source tree."""
    package = folder / "oceanfill"
    package.mkdir(parents=True)
    for part in (
        *(tree / "oceanfill").iterdir(),
        *(tree / name for name in ("pipeline", "models", "configs")),
    ):
        (package / part.name).symlink_to(part)
    (package / "sample_data").symlink_to(tree / "sample_data")
    return folder


def measure(code: str, source: Path, place: Path, threads: int) -> tuple[float, float]:
    """Seconds of the processor and of the clock that a program takes."""
    surroundings = os.environ | {"PYTHONPATH": str(place), "OMP_NUM_THREADS": str(threads)}
    start = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(source)],
        env=surroundings,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"a program failed in {place}; run it to see why:\n{code}")
    return usage.ru_utime + usage.ru_stime, time.perf_counter() - start


def compare(sample: str, now: Path, before: Path) -> None:
    """Print a line of Markdown for each program and number of threads."""
    source = HERE / "sample_data" / f"{sample}.nc"
    for threads in (1, 2):
        idle = measure(OPEN, source, now, threads)
        for name, earlier_code, code in (
            ("first guesses of the default", TRAINED, DEFAULT),
            ("first guesses of a training", TRAINED, TRAINED),
            ("fill --method oi", OI, OI),
        ):
            old, new = measure(earlier_code, source, before, threads), measure(code, source, now, threads)
            (was, took), (earlier, clock) = (np.subtract(one, idle) for one in (old, new))
            print(
                f"| {sample} | {name} | {threads} | {was:.1f} | {earlier:.1f} | {was / earlier:.2f} "
                f"| {took:.1f} | {clock:.1f} | {took / clock:.2f} |",
                flush=True,
            )


def make_scales(field: Field) -> Scales:
    """Eddies of seven cells and dates, and weather of thirty cells and a date."""
    days, *cells = grid_spacing(field)
    cell = max(cells)
    variance = float(np.nanvar(field.values))
    parts = Component(0.75 * variance, 7 * cell, 4 * days), Component(0.25 * variance, 30 * cell, days)
    return Scales(parts, 0.01 * variance)


def count_cells(sample: str, device: str) -> None:
    """Print the cells a second, and what the Cholesky factors take of it."""
    field = open_field(HERE / "sample_data" / f"{sample}.nc").part(slice(0, 30))
    kriging = Kriging(make_scales(field))
    kriging(field.part(slice(0, 8)), device=device)
    start = time.perf_counter()
    kriging(field, device=device)
    seconds = time.perf_counter() - start
    cells = int(field.sea.sum()) * len(field.days)
    print(f"{sample} on {device}: {cells / seconds:.0f} cells a second")
    side, more = choose_tile(field, kriging.scales)
    size, tiles = int(more * kriging.neighbours), cells // side**2
    if device == "cuda":
        matrix = torch.eye(size, device=device).expand(4096, -1, -1).contiguous()
        torch.linalg.cholesky(matrix)
        torch.cuda.synchronize()
        start = time.perf_counter()
        torch.linalg.cholesky(matrix)
        torch.cuda.synchronize()
        alone = (time.perf_counter() - start) / len(matrix)
        print(
            f"  {100 * alone * tiles / seconds:.0f} % of the speed of batched Cholesky factors of {size} rows"
        )


def main() -> None:
    """Print the comparison, then the speed."""
    samples = sys.argv[1:] or SAMPLES
    print(
        f"| sample | what | threads | {BEFORE}, s | now, s | ratio | {BEFORE}, clock | now, clock | ratio |"
    )
    print("| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder) / "tree"
        subprocess.run(
            ["git", "-C", str(HERE), "worktree", "add", "--quiet", "--detach", str(tree), BEFORE], check=True
        )
        try:
            now, before = lay_out(HERE, Path(folder) / "now"), lay_out(tree, Path(folder) / "before")
            for sample in samples:
                compare(sample, now, before)
        finally:
            subprocess.run(["git", "-C", str(HERE), "worktree", "remove", "--force", str(tree)], check=True)
    for sample in samples:
        for device in ("cpu", *(["cuda"] if torch.cuda.is_available() else [])):
            count_cells(sample, device)


if __name__ == "__main__":
    main()
