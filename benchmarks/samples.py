"""What draws are worth: scores against the Gaussian of each cell alone, spectra against that of the truth.

    python benchmarks/samples.py METHOD NUMBER [MINUTES [CASE ...]]

Prints a line of Markdown a case and draws samples.png: spectra along rows over that of the truth. The energy
score of the Gaussian is that of draws whose cells vary each by itself. The truth only scores.
"""

from __future__ import annotations

import sys

import matplotlib.pyplot as plt
import numpy as np
from calibration import CASES, TITLES
from fill_cases import found
from numpy.lib.stride_tricks import sliding_window_view
from oceanfill.pipeline.holdout.score_files import read_truth
from oceanfill.pipeline.holdout.scores import crps_ensemble, crps_gaussian, energy_score, rank_histogram
from oceanfill.pipeline.settings import Training
from scipy.signal import welch

import oceanfill

SEGMENT = 32  # cells
FINEST = 3  # cells


def spectrum(values: np.ndarray, complete: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Wavelengths (cells), and the mean spectrum of segments of rows (time, lat, lon) that are complete."""
    rows, known = (
        sliding_window_view(one, SEGMENT, axis=2)[:, :, :: SEGMENT // 2].reshape(-1, SEGMENT)
        for one in (values, complete)
    )
    wavenumber, density = welch(rows[known.all(axis=1)], nperseg=SEGMENT, detrend="linear")
    return 1 / wavenumber[1:], density.mean(axis=0)[1:]


LINES = {"draw": "-", "filled": "--"}


def main() -> None:
    """Print and draw."""
    method, number = sys.argv[1], int(sys.argv[2])
    training = Training(time_budget=float(sys.argv[3]) if len(sys.argv) > 3 else None)
    columns = [
        "case",
        "CRPS, Gaussian",
        "draws",
        "energy score, Gaussian",
        "draws",
        "ranks",
        "spectrum",
        "filled",
    ]
    print("| " + " | ".join(columns) + " |\n| --- |" + " ---: |" * (len(columns) - 1), flush=True)
    names = sys.argv[4:] or list(CASES)
    shape = {"figsize": (3.3 * len(names), 3.2), "sharex": True, "sharey": True, "squeeze": False}
    figure, (axes,) = plt.subplots(1, len(names), layout="constrained", **shape)
    for name, ax in zip(names, axes, strict=True):
        source, behind = map(found, CASES[name][:2])
        field = oceanfill.open_field(source)
        truth = read_truth(field, behind)
        made = oceanfill.fill(source, method=method, training=training, samples=number)
        filled, analysis, error, draws = (
            made[field.name + part].transpose(..., *field.dims).to_numpy()
            for part in ("", "_analysis", "_error", "_samples")
        )
        assert (draws[:, field.observed] == field.values[field.observed]).all()
        alone = analysis + error * np.random.default_rng(0).standard_normal(draws.shape)
        ranks = rank_histogram(draws, truth) * (number + 1)
        whole = np.where(field.observed, field.values, truth)
        cells, of_truth = spectrum(whole, np.isfinite(whole))
        ratios = {
            "draw": spectrum(draws[0], np.isfinite(whole))[1] / of_truth,
            "filled": spectrum(filled, np.isfinite(whole))[1] / of_truth,
        }
        fine = cells >= FINEST
        cells_of_table = [
            f"{crps_gaussian(analysis, error, truth):.4g}",
            f"{crps_ensemble(draws, truth):.4g}",
            f"{energy_score(alone, truth):.4g}",
            f"{energy_score(draws, truth):.4g}",
            f"{ranks.min():.2f} to {ranks.max():.2f}",
            *(f"{ratio[fine].min():.2f} to {ratio[fine].max():.2f}" for ratio in ratios.values()),
        ]
        print("| " + " | ".join([name, *cells_of_table]) + " |", flush=True)
        for what, ratio in ratios.items():
            ax.loglog(cells, ratio, LINES[what], label=what)
        ax.axhspan(0.8, 1.25, color="0.9")
        ax.set(title=TITLES[name], xlabel="wavelength (cells)", ylim=(0.5, 20))
        ax.set_xticks([2, 3, 4, 8, 16, 32], ["2", "3", "4", "8", "16", "32"], minor=False)
        ax.minorticks_off()
        ax.set_yticks([0.5, 1, 2, 5, 10, 20], ["0.5", "1", "2", "5", "10", "20"])
    axes[0].set_ylabel("power spectrum / that of the truth")
    axes[0].legend()
    figure.savefig("samples.png", dpi=100)


if __name__ == "__main__":
    main()
