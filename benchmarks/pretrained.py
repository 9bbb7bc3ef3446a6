"""How good the pretrained network is on data that it never met, over the optimal interpolation it corrects.

    python benchmarks/pretrained.py [--keep FOLDER] [--seas N] [--checkpoint FILE]

The cases are the sample, fresh seas of every family, and the real fields, which do not ship: their folder is
OCEANFILL_SHARED, or ../shared/data; they are left out without it. Values of the real fields are hidden under
clouds of their own, several times, or were hidden when the file was made. The first guesses are kept in a
folder, so that another network is judged on the same ones in seconds. Nothing is trained, and nothing is
chosen: the figures are those of the network itself, before a fill decides what it delivers. The last line is
the time of a whole fill of the sample.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from oceanfill.pipeline.holdout.patterns import hide_clouds
from oceanfill.pipeline.holdout.score_files import read_truth
from oceanfill.pipeline.io.field import open_field
from oceanfill.pipeline.simulators.seas.drawing import FAMILIES, draw_sea
from oceanfill.pipeline.training.checkpoints import load_general
from oceanfill.pipeline.training.pretraining.patches import SeaDates
from oceanfill.pipeline.training.pretraining.pool import guess_gaps, make_pool, name_sea, read_sea, write_sea
from oceanfill.pipeline.training.tasks import Correction

HERE = Path(__file__).resolve().parents[1]
SHARED = Path(os.environ.get("OCEANFILL_SHARED", HERE.parent / "shared" / "data"))
SAMPLE = HERE / "sample_data" / "sst_clouds.nc", HERE / "sample_data" / "sst_clouds_truth.nc"
FRESH = 2_000_000  # first seed of the seas, which no training and no validation used
HIDDEN = 0.15  # share of the observed values
GIVEN: dict[str, tuple[str, str, dict[str, Any]]] = {  # input, truth, how it is opened
    "Alboran SST": ("alboran_heldout_input.nc", "alboran_heldout_truth.nc", {}),
    "Gulf of Maine SST": ("gom_heldout_input.nc", "gom_heldout_truth.nc", {}),
    "Mediterranean ADT": ("med_heldout_input.nc", "med_heldout_truth.nc", {}),
}
WHOLE: dict[str, tuple[str, int, dict[str, Any]]] = {  # input, hold-outs, how it is opened
    "Gulf of Maine SST, further": ("gom_modis_sst_2018_08.nc", 2, {"variable": "sst"}),
    "Oahu chlorophyll, logarithms": ("oahu_cci_chl_1998_2022.nc", 2, {"transform": "log"}),
    "Monterey u": ("monterey_hfr_2017_01.nc", 2, {"variable": "u"}),
    "Monterey v": ("monterey_hfr_2017_01.nc", 2, {"variable": "v"}),
}

Arrays = dict[str, np.ndarray]


def from_truth(source: Path, truth: Path, how: dict[str, Any]) -> Arrays:
    """A field whose gaps another file knows."""
    field = open_field(str(source), **how)
    return guess_gaps(field, read_truth(field, str(truth)))


def from_clouds(source: Path, seed: int, how: dict[str, Any]) -> Arrays:
    """A field of which some values are hidden under clouds of its other dates."""
    field = open_field(str(source), **how)
    hidden = hide_clouds(field, HIDDEN, np.random.default_rng(seed))
    return guess_gaps(field.hide(hidden), np.where(hidden, field.values, np.nan), seed)


def list_cases() -> dict[str, list[Callable[[], Arrays]]]:
    """The hold-outs of the sample and of the real fields that are there."""
    cases = {"SST sample": [partial(from_truth, *SAMPLE, {})]}
    for name, (source, truth, how) in GIVEN.items():
        if (SHARED / source).exists():
            cases[name] = [partial(from_truth, SHARED / source, SHARED / truth, how)]
    for name, (source, number, how) in WHOLE.items():
        if (SHARED / source).exists():
            cases[name] = [partial(from_clouds, SHARED / source, seed, how) for seed in range(number)]
    return cases


def score(task: Correction, path: Path) -> tuple[float, float, int]:
    """RMSE over that of the first guess, share of the truth within one error, and number of values."""
    sea = read_sea(path)
    if sea is None:
        return np.nan, np.nan, 0
    after = before = within = number = 0.0
    with torch.no_grad():
        for inputs, residual, weight in SeaDates([sea], task.window, len(sea.static.season)):
            mean, log_error = (part[0] for part in task(inputs[None]))
            known = weight > 0
            error = inputs[task.window + task.window // 2].exp()[None][known]
            left = (residual - mean)[known]
            after += float(((left * error) ** 2).sum())
            before += float(((residual[known] * error) ** 2).sum())
            within += float((left.abs() < log_error.exp()[known]).sum())
            number += int(known.sum())
    return float(np.sqrt(after / before)), within / number, int(number)


def print_line(name: str, found: list[tuple[float, float, int]]) -> None:
    """One line of Markdown."""
    ratios, shares, numbers = zip(*[one for one in found if one[2]], strict=True)
    shown = ", ".join(f"{ratio:.3f}" for ratio in ratios)
    mean = float(np.mean(ratios))
    print(f"| {name} | {sum(numbers):,} | {shown} | {mean:.3f} | {100 * np.mean(shares):.0f} % |", flush=True)


def time_fill() -> float:
    """Seconds of the command on the sample, the start of the process included."""
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        words = ["fill", str(SAMPLE[0]), "-o", f"{folder}/filled.nc", "--quiet"]
        subprocess.run([sys.executable, "-m", "oceanfill.pipeline.cli", *words], check=True)
        return time.perf_counter() - start


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--keep", default=tempfile.gettempdir() + "/pretrained", help="folder of first guesses"
    )
    parser.add_argument("--seas", type=int, default=4, help="of each family")
    parser.add_argument("--checkpoint", help="another network than the one that ships")
    parser.add_argument("--only", choices=("sample", "seas", "real"), help="a part of the table")
    parser.add_argument("--prepare", action="store_true", help="make the first guesses and judge nothing")
    options = parser.parse_args()
    folder = Path(options.keep)
    folder.mkdir(parents=True, exist_ok=True)
    task = None if options.prepare else load_general(options.checkpoint)
    if task is not None:
        print("| case | values | RMSE over optimal interpolation's | mean | within one error |")
        print("| --- | ---: | --- | ---: | ---: |")
    for name, holdouts in list_cases().items():
        if options.only not in (None, "sample" if name.startswith("SST sample") else "real"):
            continue
        found = []
        for number, make in enumerate(holdouts):
            path = name_sea(folder, name.replace(" ", "_").replace(",", ""), number)
            if not path.exists():
                write_sea(path, make())
            found += [] if task is None else [score(task, path)]
        if found:
            print_line(name, found)
    for family in FAMILIES if options.only in (None, "seas") else ():
        seeds = range(FRESH, FRESH + options.seas)
        make_pool(folder, [family], seeds, draw_sea)
        if task is not None:
            print_line(f"seas: {family}", [score(task, name_sea(folder, family, seed)) for seed in seeds])
    if task is not None and options.only in (None, "sample"):
        print(f"\n`oceanfill fill` of the SST sample: {time_fill():.0f} s")


if __name__ == "__main__":
    main()
