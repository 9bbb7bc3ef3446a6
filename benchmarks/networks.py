"""Every network of `oceanfill fill`, trained from scratch for as many processor seconds on the same gaps.

    python benchmarks/networks.py RESULTS [--case CASE ...] [--network NAME ...] [--seeds 3] [--seconds 45]

Trains each network on each case with seeds 0, 1, ... and appends a line of JSON to the file RESULTS for each
training. What the file already holds is not run again, so the command can be stopped and repeated; it says
what is left. At the end (or at once with ``--seeds 0``) it prints a Markdown table for each case.

All networks correct one first guess, see the same masked copies and choose the epoch on the same held-out
values; the seed determines the initial weights and the patches. The truth only scores. The Gulf of Maine does
not ship: its folder is OCEANFILL_SHARED, or ../shared/data. Run it with OMP_NUM_THREADS=1.
"""

from __future__ import annotations

import argparse
import copy
import json
import time
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from itertools import product
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from fill_cases import found
from numpy.typing import NDArray
from oceanfill.pipeline.holdout.score_files import read_truth
from oceanfill.pipeline.holdout.scores import coverage, rmse
from oceanfill.pipeline.io.field import open_field
from oceanfill.pipeline.jobs.evaluate import evaluate_candidates, fit_error_scale
from oceanfill.pipeline.jobs.methods import Candidate, find_method
from oceanfill.pipeline.settings import HELD_OUT, FillSettings, Training
from oceanfill.pipeline.training.corrections import make_correction
from oceanfill.pipeline.training.data import GapData
from oceanfill.pipeline.training.heldout import DataSettings
from oceanfill.pipeline.training.networks import NETWORKS
from pytorch_lightning.callbacks import timer

CASES = {
    "sst_sample": ("sst_clouds.nc", "sst_clouds_truth.nc"),
    "gulf_of_maine": ("gom_heldout_input.nc", "gom_heldout_truth.nc"),
}
GUESS = "optimal interpolation"
TITLES = ["network", "RMSE / OI", "range", "delivered / OI", "within 1 sigma", "parameters", "epochs"]


@cache
def prepare(case: str) -> tuple[GapData, NDArray[np.floating]]:
    """Return the data of a case with their masked copies, and the truth."""
    source, truth = CASES[case]
    field = open_field(str(found(source)))
    data = GapData(field, DataSettings(held_out=HELD_OUT))
    data.setup("fit")
    residuals = data.further_residuals()
    data.further_residuals = lambda: residuals  # the same for all networks
    return data, read_truth(field, found(truth))


def score(data: GapData, candidate: Candidate, truth: NDArray[np.floating]) -> dict[str, float]:
    """Return RMSE and coverage of an estimate where there is truth."""
    mean, _ = candidate.estimate
    sigma = fit_error_scale(data, candidate, "held_out").of_estimate(data.field, candidate)
    return {"rmse": float(rmse(mean, truth)), "coverage": float(coverage(mean, sigma, truth, 1))}


def run(case: str, name: str, seed: int, seconds: float) -> dict[str, Any]:
    """Train a network and return its line of the results."""
    prepared, truth = prepare(case)
    data = copy.copy(prepared)  # a training may change the patch size of its data
    data.settings = replace(prepared.settings, seed=seed)
    how = Training(epochs=1000, time_budget=seconds / 60)
    start = time.process_time()
    (candidates,) = find_method(name)(data, FillSettings(training=how))
    guess, network = candidates.values()
    delivered = evaluate_candidates(data, candidates).delivered
    weights = make_correction(NETWORKS[name], data, how).parameters()
    return {
        "case": case,
        "network": name,
        "seed": seed,
        "seconds": seconds,
        "guess": score(data, guess, truth),
        "scores": score(data, network, truth),
        "delivered": float(rmse(delivered.estimate[0], truth)),
        "parameters": sum(part.numel() for part in weights),
        "epochs": len(network.curve),
        "processor": time.process_time() - start,
    }


def print_table(lines: Sequence[dict[str, Any]]) -> None:
    """Print the table of a case: mean and range over the seeds, best network first."""
    print("| " + " | ".join(TITLES) + " |")
    print("| --- |" + " ---: |" * (len(TITLES) - 1))
    guess = lines[0]["guess"]
    print(f"| {GUESS} ({guess['rmse']:.4g}) | 1.000 | | 1.000 | {100 * guess['coverage']:.1f}% | | |")
    made = []
    for name in dict.fromkeys(line["network"] for line in lines):
        own = [line for line in lines if line["network"] == name]
        ratios = [line["scores"]["rmse"] / line["guess"]["rmse"] for line in own]
        delivered = np.mean([line["delivered"] / line["guess"]["rmse"] for line in own])
        inside = 100 * np.mean([line["scores"]["coverage"] for line in own])
        seeds = "" if len(own) == 3 else f" ({len(own)} seeds)"
        cells = [f"{name}{seeds}", f"{np.mean(ratios):.3f}", f"{min(ratios):.3f} to {max(ratios):.3f}"]
        cells += [f"{delivered:.3f}", f"{inside:.1f}%", f"{own[0]['parameters']:,}"]
        made.append((np.mean(ratios), [*cells, f"{np.mean([line['epochs'] for line in own]):.0f}"]))
    for _, cells in sorted(made):
        print("| " + " | ".join(cells) + " |")


def main() -> None:
    """Run what the results lack, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("results", type=Path, help="file of the results, a line of JSON for each training")
    parser.add_argument("--case", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--network", nargs="+", choices=NETWORKS, default=list(NETWORKS), metavar="NAME")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=45, help="of the processor, for each training")
    asked = parser.parse_args()
    # Lightning's clock becomes the processor's: other programs then do not shorten a training.
    timer.time = SimpleNamespace(monotonic=time.process_time)

    def read() -> list[dict[str, Any]]:
        lines = asked.results.read_text().splitlines() if asked.results.exists() else []
        found = [json.loads(line) for line in lines]
        return [line for line in found if line["seconds"] == asked.seconds and line["case"] in asked.case]

    done = {(line["seed"], line["case"], line["network"]) for line in read()}
    # Seeds change last: a run that is cut short has all networks.
    every = product(range(asked.seeds), asked.case, asked.network)
    left = [one for one in every if one not in done]
    while left:
        seed, case, name = left.pop(0)
        line = run(case, name, seed, asked.seconds)
        with asked.results.open("a") as file:
            file.write(json.dumps(line) + "\n")
        ratio = line["scores"]["rmse"] / line["guess"]["rmse"]
        print(f"{case} {name} {seed}: {ratio:.3f}, {line['epochs']} epochs; {len(left)} left", flush=True)
    for case in asked.case:
        if lines := [line for line in read() if line["case"] == case]:
            print(f"\n{case}, {asked.seconds:g} s\n")
            print_table(lines)


if __name__ == "__main__":
    main()
