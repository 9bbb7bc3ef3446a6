"""What each option of DINCAE is worth: one changed at a time, on the SST sample.

    python benchmarks/dincae_ablation.py [EPOCHS [SEED [OPTION ...]]]

Prints a Markdown table: RMSE, coverage and CRPS where the truth of the sample is hidden, and seconds of the
processor. Four rows each are one run, of which different things are made; the others are mixtures of saves.
Naming options leaves out the others, and the two runs of none. No network sees the truth.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from oceanfill.pipeline.experiments.dincae.experiment import DincaeOptions, run_dincae
from oceanfill.pipeline.holdout.score_files import read_truth
from oceanfill.pipeline.holdout.scores import coverage, crps_gaussian, rmse
from oceanfill.pipeline.io.field import open_field
from oceanfill.pipeline.jobs.methods import find_method
from oceanfill.pipeline.settings import HELD_OUT, FillSettings, Training
from oceanfill.pipeline.training.data import GapData
from oceanfill.pipeline.training.heldout import DataSettings

LOSSES = "oceanfill.models.losses."
CHANGES: dict[str, dict[str, Any]] = {
    "another seed": {"seed": 100},
    "refinement": {"init_args": {"refinement": True}},
    "maximum instead of mean pooling": {"init_args": {"pooling": "max"}},
    "bilinear upsampling": {"init_args": {"upsampling": "bilinear"}},
    "skips concatenated": {"init_args": {"concatenate": True}},
    "version 1: concatenated, dense layers": {"network": "DINCAE1"},
    "window of 1 date": {"window": 1},
    "window of 5 dates": {"window": 5},
    "no jitter": {"jitter": 0.0},
    "no clouds added": {"clouds": False},
    "error variance 0.1": {"error_variance": 0.1},
    "error variance 0.1, Kullback-Leibler": {
        "error_variance": 0.1,
        "loss": LOSSES + "kullback_leibler",
    },
    "convolutions in three dimensions": {"init_args": {"dimensions": 3}},
    "L1 penalty 1e-5": {"penalties": {LOSSES + "absolute_weights": 1e-5}},
    "L2 penalty 1e-4": {"penalties": {LOSSES + "squared_weights": 1e-4}},
    "Laplacian penalty 3": {"penalties": {LOSSES + "laplacian": 3.0}},
}
GUESSES = {"in fill, first guess none": "none", "in fill, first guess oi": "oi"}


def corrected(first_guess: str, seed: int, minutes: float = 1.0) -> dict[str, float]:
    """What `dincae2`, which has the refinement, makes of a first guess in so many minutes of `fill`."""
    field = open_field("sample:sst_clouds.nc")
    truth = read_truth(field, "sample:sst_clouds_truth.nc")
    start = time.process_time()
    data = GapData(field, DataSettings(held_out=HELD_OUT, first_guess=first_guess, seed=seed))
    how = Training(epochs=1000, time_budget=minutes, first_guess=first_guess)
    (candidates,) = find_method("dincae2")(data, FillSettings(training=how))
    mean, error = candidates["dincae2"].estimate
    return {
        "saved epochs: RMSE": rmse(mean, truth),
        "saved epochs: coverage of ±1 sigma": coverage(mean, error, truth),
        "saved epochs: CRPS": crps_gaussian(mean, error, truth),
        "seconds": time.process_time() - start,
    }


def run(
    epochs: int, seed: int, network: str = "DINCAE2", init_args: dict[str, Any] | None = None, **change: Any
) -> dict[str, float]:
    """The findings of one training."""
    how: dict[str, Any] = {
        "batch": 4,
        "learning_rate": 3e-3,
        "annealed": True,
        "first_save": epochs // 2 + 1,
        "save_every": 1,
        "averaged_over": 50,
        "seed": seed,
    }
    start = time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        made = {"class_path": f"oceanfill.models.dincae.{network}", "init_args": init_args or {}}
        options = DincaeOptions(network=made, epochs=epochs, **(how | change))
        found = run_dincae(Path(folder), options)
    return {finding.quantity: finding.value for finding in found} | {"seconds": time.process_time() - start}


def line(name: str, found: dict[str, float], what: str = "saved epochs") -> None:
    """Print a row."""
    cells = [
        name,
        f"{found[f'{what}: RMSE']:.3f}",
        f"{100 * found[f'{what}: coverage of ±1 sigma']:.1f} %",
        f"{found[f'{what}: CRPS']:.3f}",
        f"{found['seconds']:.0f}",
    ]
    print("| " + " | ".join(cells) + " |", flush=True)


def main() -> None:
    """Print a line an option."""
    epochs = int(sys.argv[1]) if len(sys.argv) > 1 else 10
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else 0
    print("| | RMSE | within 1 sigma | CRPS | s |")
    print("| --- | ---: | ---: | ---: | ---: |", flush=True)
    asked = sys.argv[3:]
    whole = (("DINCAE 2 without refinement", True), ("at a constant rate", False))
    for name, annealed in () if asked else whole:
        found = run(epochs, seed, annealed=annealed)
        for what in ("saved epochs", "saved epochs, mean sigma", "last epoch", "averaged weights"):
            line(f"{name}: {what}", found, what)
    for name in asked or [*CHANGES, *GUESSES]:
        if name in GUESSES:
            found = corrected(GUESSES[name], seed)
        else:
            found = run(epochs, **({"seed": seed} | CHANGES[name]))
        line(name, found)


if __name__ == "__main__":
    main()
