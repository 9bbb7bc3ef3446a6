"""How much of the truth the intervals hold: one factor for all errors, as before, against the calibration.

    python benchmarks/calibration.py [MINUTES [CASE ...]]

Prints a Markdown table and draws calibration.png: percent within intervals of 50, 68, 90 and 95 %, and within
that of 68 % by the distance to the nearest observation of the date and at pixels that are never observed. The
one factor is fitted on the hold-out, and its intervals are Gaussian. No method sees the truth.
"""

from __future__ import annotations

import sys
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from fill_cases import found
from oceanfill.pipeline.holdout.calibration import standardise_residuals
from oceanfill.pipeline.holdout.score_files import read_truth
from oceanfill.pipeline.io.field import open_field
from oceanfill.pipeline.jobs.evaluate import fit_error_scale
from oceanfill.pipeline.jobs.methods import Candidate, find_method
from oceanfill.pipeline.settings import HELD_OUT, FillSettings, Training
from oceanfill.pipeline.training.data import GapData
from oceanfill.pipeline.training.heldout import DataSettings
from scipy.stats import norm

# input, truth, error of an observation that the truth is without: the intervals are of a new observation
TITLES = {
    "alboran": "Alboran Sea, temperature",
    "med": "Mediterranean, sea level",
    "sst": "sample, temperature",
    "ssh": "sample, sea level",
}  # of the panels
CASES = {
    "alboran": ("alboran_heldout_input.nc", "alboran_heldout_truth.nc", 0.0),
    "med": ("med_heldout_input.nc", "med_heldout_truth.nc", 0.0),
    "sst": ("sst_clouds.nc", "sst_clouds_truth.nc", 0.07),
    "ssh": ("ssh_med.nc", "ssh_med_truth.nc", 0.0),
}
LEVELS = 50, 68, 90, 95
COLOURS, STYLES = {"oi": "tab:blue", "unet": "tab:orange"}, {"one factor": ":", "calibrated": "-"}


def shares(z: np.ndarray, widths: list[float]) -> list[float]:
    """Percent of misses that are no larger than each width."""
    return [100 * float(np.mean(z <= width)) for width in widths]


def reached(
    truth: np.ndarray, data: GapData, product: Candidate
) -> dict[str, tuple[list[float], list[float], list[float]]]:
    """Percent of the truth in the intervals; in that of 68 % by fifths of the distance, and of the unseen."""
    assert product.trial is not None  # values are held out
    field, here = data.field, np.isfinite(truth)
    there = standardise_residuals(field, truth, *product.estimate, np.ones(truth.shape))
    held, scale = data.residuals("held_out", *product.trial), fit_error_scale(data, product, "held_out")
    level = norm.cdf(1) - norm.cdf(-1)
    factor = np.quantile(held.residual, level, weights=held.weight, method="inverted_cdf")
    fifths = np.array_split(np.argsort(there.covariates[:, 1], kind="stable"), 5)
    unseen = (field.observed.any(axis=0) < here)[here]
    scaled = scale.of_estimate(field, product) / product.estimate[1]
    lines = {}
    for name, z, widths in (
        ("one factor", there.residual / factor, norm.ppf((1 + np.array(LEVELS) / 100) / 2)),
        ("calibrated", there.residual / scaled[here], [scale.calibration.half_width(one) for one in LEVELS]),
    ):
        by_distance = [shares(z[fifth], widths[1:2])[0] for fifth in fifths]
        lines[name] = shares(z, widths), by_distance, shares(z[unseen], widths[1:2]) if unseen.any() else []
    return lines


def main() -> None:
    """Print two lines a case and method, and draw them."""
    minutes = float(sys.argv[1]) if len(sys.argv) > 1 else 1.0
    print("| case | method | error | 50% | 68% | 90% | 95% | 68%, nearest | farthest | never |")
    print("| --- | --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |", flush=True)
    names = sys.argv[2:] or list(CASES)
    shape = {"figsize": (1 + 3 * len(names), 6), "sharex": "row", "sharey": "row", "squeeze": False}
    figure, axes = plt.subplots(2, len(names), layout="constrained", **shape)
    for name, (above, below) in zip(names, axes.T, strict=True):
        field = open_field(found(CASES[name][0]))
        truth = read_truth(field, found(CASES[name][1]))
        truth = truth + CASES[name][2] * np.random.default_rng(0).standard_normal(truth.shape)
        data = GapData(field, DataSettings(held_out=HELD_OUT))
        settings = FillSettings(training=Training(epochs=1000, time_budget=minutes))
        (candidates,) = find_method("unet")(data, settings)
        for method, product in candidates.items():
            for error, (all_of_it, by_distance, never) in reached(truth, data, product).items():
                cells = [f"{share:.1f}" for share in (*all_of_it, by_distance[0], by_distance[-1], *never)]
                cells += [""] * (not never)
                print("| " + " | ".join([name, method, error, *cells]) + " |", flush=True)
                style = {"color": COLOURS[method], "ls": STYLES[error], "label": f"{method}, {error}"}
                above.plot(LEVELS, np.subtract(all_of_it, LEVELS), marker="o", **style)
                below.plot(range(1, 6), by_distance, marker="o", **style)
        above.set(title=TITLES[name], xticks=LEVELS, xlabel="level of the interval (%)")
        above.axhspan(-3, 3, color="0.9")
        below.axhspan(65, 71, color="0.9")
        below.set(xticks=range(1, 6), xlabel="distance to an observation, fifths")
    axes[0, 0].set_ylabel("share inside minus level (points)")
    axes[1, 0].set_ylabel("share inside the 68% interval (%)")
    axes[0, 0].legend(fontsize="small")
    figure.savefig(Path("calibration.png"), dpi=110)


if __name__ == "__main__":
    main()
