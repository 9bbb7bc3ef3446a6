"""How far a network should be ahead of its first guess on held-out values to be delivered.

    python benchmarks/choice.py [EPOCHS [CASE ...]]

Parts of the SST sample and of the Alboran Sea (the latter does not ship: its folder is OCEANFILL_SHARED, or
../shared/data), each with a hold-out of its own and a U-Net of EPOCHS (default 2). A line a case (SST0 to
SST8, ALB0 to ALB3, all by default): the RMSE of the network over that of optimal interpolation on the half of
the hold-out that chooses, by how many standard errors it is ahead, and the same ratio on the other half.
Then for several thresholds how often the network is delivered, and how the RMSE of the other half changes.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
from oceanfill.pipeline.holdout.scores import rmse, rmse_interval, sums
from oceanfill.pipeline.io.field import open_field
from oceanfill.pipeline.jobs.methods import find_method
from oceanfill.pipeline.settings import FillSettings, Training
from oceanfill.pipeline.training.data import GapData
from oceanfill.pipeline.training.heldout import DataSettings, Pairs

HERE = Path(__file__).resolve().parents[1]
SST = HERE / "sample_data" / "sst_clouds.nc"
SHARED = Path(os.environ.get("OCEANFILL_SHARED", HERE.parent / "shared" / "data"))
ALBORAN = SHARED / "alboran_avhrr_sst_2017.nc"
CASES = {
    **{f"SST{k}": (SST, 36 + 1.5 * (k % 3), 2 * (k // 3) - 15, 1.8, 2.0, k) for k in range(9)},
    **{f"ALB{k}": (ALBORAN, 35.2 + 0.3 * k, 0.8 * k - 5, 0.8, 1.2, k) for k in range(4)},
}  # file, southern and western rim, extents in degrees, seed
ONE = 0.6827
ERRORS = (-np.inf, 0, 0.5, 1, 2, np.inf)


def main() -> None:
    """Print the lines."""
    epochs = int(sys.argv[1]) if len(sys.argv) > 1 else 2
    found = []
    print("| case | dates | ratio, choosing | standard errors ahead | ratio, scored |")
    print("| --- | ---: | ---: | ---: | ---: |", flush=True)
    for case in sys.argv[2:] or CASES:
        path, south, west, tall, wide, seed = CASES[case]
        field = open_field(str(path), region=(south, south + tall, west, west + wide))
        data = GapData(field, DataSettings(held_out=0.2, masked_copies=4, seed=seed))
        (candidates,) = find_method("unet")(data, FillSettings(training=Training(epochs=epochs)))
        chosen, scored = (
            [data.pairs(part, *one.trial) for one in candidates.values()] for part in ("validation", "test")
        )
        dates, by, other = np.count_nonzero(data.validation.any(axis=(1, 2))), ahead(*chosen), ratio(*scored)
        found.append((by, other))
        print(f"| {case} | {dates} | {ratio(*chosen):.3f} | {by:.2f} | {other:.3f} |", flush=True)
    every, others = np.array(found).T
    for errors in ERRORS:
        delivered = every > errors
        mean = np.where(delivered, np.log(others), 0).mean()
        print(f"ahead by {errors}: {delivered.sum()} of {len(every)}, {100 * np.expm1(mean):+.1f} %")


def ratio(guess: Pairs, network: Pairs) -> float:
    """Of their RMSE."""
    return rmse(network.mean, network.truth, network.weight) / rmse(guess.mean, guess.truth, guess.weight)


def ahead(guess: Pairs, network: Pairs) -> float:
    """By how many standard errors the network is better, by dates or by places, whichever is less."""
    squares = [one.weight * (one.mean - one.truth) ** 2 for one in (guess, network)]
    found = []
    for group in guess.groups:
        ours, theirs, weight = (sums(group, part) for part in (*squares, guess.weight))
        low, high = rmse_interval(ours, weight, theirs, ONE)
        found.append((low + high) / (high - low))
    return min(found)


if __name__ == "__main__":
    main()
