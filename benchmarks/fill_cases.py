"""How good, how fast and how large `oceanfill fill` is on the cases that its design is held to.

    python benchmarks/fill_cases.py [CASE ...]

Each case is filled by the command, in a process of its own, and scored on what was hidden from it: the truth
of a file, or a seventh of the values, hidden under clouds of other dates (the number is the seed). The real
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

import numpy as np
import xarray as xr
from oceanfill.pipeline.holdout.patterns import hide_clouds
from oceanfill.pipeline.io.field import open_field

HERE = Path(__file__).resolve().parents[1]
SHARED = Path(os.environ.get("OCEANFILL_SHARED", HERE.parent / "shared" / "data"))
SAMPLES = HERE / "sample_data"
OCEANFILL = [sys.executable, "-m", "oceanfill.pipeline.cli"]

HIDDEN = 0.15  # share of the observed values

# case: input, truth or the seed of the hold-out, options, most RMSE, most seconds
Case = tuple[str, str | int, list[str], float | None, int | None]
CASES: dict[str, Case] = {
    "alboran": ("alboran_heldout_input.nc", "alboran_heldout_truth.nc", [], 0.195, 60),
    "alboran-oi": ("alboran_heldout_input.nc", "alboran_heldout_truth.nc", ["--method", "oi"], 0.200, 10),
    "med": ("med_heldout_input.nc", "med_heldout_truth.nc", [], 0.0068, 300),
    "med-oi": ("med_heldout_input.nc", "med_heldout_truth.nc", ["--method", "oi"], 0.0070, 120),
    "sst": ("sst_clouds.nc", "sst_clouds_truth.nc", [], None, 180),
    "sst-oi": ("sst_clouds.nc", "sst_clouds_truth.nc", ["--method", "oi"], None, 180),
    "gom": ("gom_heldout_input.nc", "gom_heldout_truth.nc", [], None, None),
    "gom-oi": ("gom_heldout_input.nc", "gom_heldout_truth.nc", ["--method", "oi"], None, None),
    "ssh-oi": ("ssh_med.nc", "ssh_med_truth.nc", ["--method", "oi"], None, None),
}
for _seed in (0, 1):
    for _name, _file, _variable in (
        ("oahu", "oahu_cci_chl_1998_2022.nc", "chlor_a"),
        ("monterey-u", "monterey_hfr_2017_01.nc", "u"),
        ("monterey-v", "monterey_hfr_2017_01.nc", "v"),
    ):
        _options = ["--variable", _variable, "--mask-variable", "sea"]
        CASES[f"{_name}-{_seed}"] = (_file, _seed, _options, None, None)
        CASES[f"{_name}-{_seed}-oi"] = (_file, _seed, [*_options, "--method", "oi"], None, None)


def found(name: str) -> Path:
    """A sample that ships, or one of the real fields."""
    return SAMPLES / name if (SAMPLES / name).exists() else SHARED / name


def hide(source: Path, seed: int, variable: str, folder: Path) -> tuple[Path, Path]:
    """Write a field with values hidden under clouds of its other dates, and the hidden values."""
    field = open_field(str(source), variable=variable)
    hidden = hide_clouds(field, HIDDEN, np.random.default_rng(seed))
    places = {name: field.source[name] for name in field.dims}
    values = field.space.backward(field.values)
    paths = folder / "in.nc", folder / "truth.nc"
    for path, shown in zip(paths, (field.observed & ~hidden, hidden), strict=True):
        part = xr.DataArray(np.where(shown, values, np.nan), places, field.dims, attrs=field.source.attrs)
        mask = xr.DataArray(field.sea.astype(np.int8), dims=field.dims[1:])  # also where all was hidden
        xr.Dataset({variable: part, "sea": mask}).to_netcdf(path)
    return paths


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
    linear: dict[str, float] = {}  # by case without its method
    for name in sys.argv[1:] or CASES:
        source, truth, options, most, limit = CASES[name]
        if not found(source).exists():
            print(f"| {name} | left out: no {source} |", file=sys.stderr)
            continue
        with tempfile.TemporaryDirectory() as folder:
            if isinstance(truth, str):
                paths = found(source), found(truth)
            else:
                paths = hide(found(source), truth, options[1], Path(folder))
            case = name.removesuffix("-oi")
            if case not in linear:
                simple = [*options, "--method", "linear-time"]
                linear[case] = filled(*paths, simple, Path(folder))[0]["rmse"]
            score, seconds, memory = filled(*paths, options, Path(folder))
        print(
            f"| {name} | {score['rmse']:.4g} | {most or ''} | {100 * score['coverage_1sigma']:.1f}% "
            f"| {seconds:.0f} | {limit or ''} | {memory:.2f} | {score['rmse'] / linear[case]:.2f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
