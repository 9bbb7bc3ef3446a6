"""How good, how fast and how large `oceanfill fill` is on the cases that its design is held to.

    python benchmarks/fill_cases.py [CASE ...]

Each case is filled by the command, in a process of its own, and scored on what was hidden from it. The real
fields do not ship: their folder is OCEANFILL_SHARED, or ../shared/data; their cases are left out without it.
The last column is the RMSE over that of linear interpolation in time, filled in the same run.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parents[1]
SHARED = Path(os.environ.get("OCEANFILL_SHARED", HERE.parent / "shared" / "data"))
SAMPLES = HERE / "sample_data"
OCEANFILL = [sys.executable, "-m", "oceanfill.pipeline.cli"]

# case: input, truth, options, most RMSE, most seconds
CASES = {
    "alboran": ("alboran_heldout_input.nc", "alboran_heldout_truth.nc", [], 0.195, 60),
    "alboran-oi": ("alboran_heldout_input.nc", "alboran_heldout_truth.nc", ["--method", "oi"], 0.200, 10),
    "med": ("med_heldout_input.nc", "med_heldout_truth.nc", [], 0.0068, 300),
    "med-oi": ("med_heldout_input.nc", "med_heldout_truth.nc", ["--method", "oi"], 0.0070, 120),
    "sst": ("sst_clouds.nc", "sst_clouds_truth.nc", [], None, 180),
    "sst-oi": ("sst_clouds.nc", "sst_clouds_truth.nc", ["--method", "oi"], None, 180),
}


def found(name: str) -> Path:
    """A sample that ships, or one of the real fields."""
    return SAMPLES / name if (SAMPLES / name).exists() else SHARED / name


def filled(
    source: Path, truth: Path, options: list[str], folder: Path
) -> tuple[dict[str, float], float, float]:
    """The score, the seconds and the peak memory in GB of one run of the command."""
    target = folder / "filled.nc"
    start = time.perf_counter()
    words = [*OCEANFILL, "fill", str(source), "-o", str(target), "--overwrite", "--quiet", *options]
    process = subprocess.Popen(words, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - start
    if status:
        raise SystemExit(f"{' '.join(words)} failed; run it to see why")
    said = subprocess.run(
        [*OCEANFILL, "score", str(target), str(truth), "--json"], check=True, capture_output=True, text=True
    )
    return json.loads(said.stdout)[-1], seconds, usage.ru_maxrss / 2**20


def main() -> None:
    """Print a line of Markdown a case."""
    print("| case | RMSE | bar | within 1 sigma | seconds | bar | peak GB | RMSE / linear in time |")
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
    linear: dict[str, float] = {}
    for name in sys.argv[1:] or CASES:
        source, truth, options, most, limit = CASES[name]
        paths = found(source), found(truth)
        if not paths[0].exists():
            print(f"| {name} | left out: no {paths[0].name} |", file=sys.stderr)
            continue
        with tempfile.TemporaryDirectory() as folder:
            if source not in linear:
                linear[source] = filled(*paths, ["--method", "linear-time"], Path(folder))[0]["rmse"]
            score, seconds, memory = filled(*paths, options, Path(folder))
        print(
            f"| {name} | {score['rmse']:.4g} | {most or ''} | {100 * score['coverage_1sigma']:.1f} % "
            f"| {seconds:.0f} | {limit} | {memory:.2f} | {score['rmse'] / linear[source]:.2f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
