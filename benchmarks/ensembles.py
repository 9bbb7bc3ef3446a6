"""One network against four in the same time of training, on the truth of the cases of calibration.py.

    python benchmarks/ensembles.py MINUTES SEEDS CASE ...

Prints a Markdown table: the first guess, a network trained for so many minutes, and four that share them, on
the same hold-out, each with the error that `fill` would deliver. CRPS is that of a Gaussian. No network sees
the truth.
"""

from __future__ import annotations

import sys

from calibration import CASES
from fill_cases import found
from oceanfill.pipeline.holdout.score_files import read_truth
from oceanfill.pipeline.holdout.scores import coverage, crps_gaussian, rmse
from oceanfill.pipeline.io.field import open_field
from oceanfill.pipeline.jobs.evaluate import fit_error_scale, score_pairs
from oceanfill.pipeline.jobs.methods import Candidate, find_method
from oceanfill.pipeline.settings import HELD_OUT, FillSettings, Training
from oceanfill.pipeline.training.data import GapData
from oceanfill.pipeline.training.heldout import DataSettings

MEMBERS = 4


def trained(data: GapData, minutes: float, members: int | None) -> list[Candidate]:
    """The first guess and what one network, or so many, make of it."""
    how = Training(epochs=1000, time_budget=minutes, ensemble=members)
    (candidates,) = find_method("unet")(data, FillSettings(training=how))
    return list(candidates.values())


def main() -> None:
    """Print three lines a case and seed."""
    minutes, seeds = float(sys.argv[1]), int(sys.argv[2])
    print("| case | seed | | RMSE | CRPS | within 1 sigma | held-out RMSE |")
    print("| --- | ---: | --- | ---: | ---: | ---: | ---: |", flush=True)
    for name in sys.argv[3:]:
        source, behind = map(found, CASES[name][:2])
        field = open_field(source)
        truth = read_truth(field, behind)
        for seed in range(seeds):
            data = GapData(field, DataSettings(held_out=HELD_OUT, seed=seed))
            guess, one = trained(data, minutes, None)
            _, four = trained(data, minutes, MEMBERS)
            for called, product in (("oi", guess), ("one", one), ("four", four)):
                assert product.trial is not None  # values are held out
                mean, _ = product.estimate
                sigma = fit_error_scale(data, product, "held_out").of_estimate(field, product)
                cells = [
                    f"{rmse(mean, truth):.4g}",
                    f"{crps_gaussian(mean, sigma, truth):.4g}",
                    f"{100 * coverage(mean, sigma, truth):.1f} %",
                    f"{score_pairs(data.pairs('held_out', *product.trial))['rmse']:.4g}",
                ]
                print("| " + " | ".join([name, str(seed), called, *cells]) + " |", flush=True)


if __name__ == "__main__":
    main()
