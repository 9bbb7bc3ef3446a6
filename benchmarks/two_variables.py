"""What a second variable is worth that sees through a third of the first one's clouds.

    python benchmarks/two_variables.py [EPOCHS [CASE[:SEED] ...]]

A made-up case with a known link: maps of small and large eddies, seen where there are no clouds; and a
second variable, as of microwaves, which is the tanh of the same, smoothed over a cell, with a wide part of
its own and noise, and hidden by showers in two thirds of the same clouds, not elsewhere.
The first is filled without and with the second, each network trained for as many epochs (6), and compared
with the truth, which neither sees: RMSE of optimal interpolation, of the networks and of what `fill` would
deliver, and the ratios of two variables to one. CASE is the seed of the case (0 to 4) and SEED that of its
hold-out and networks (0).
"""

from __future__ import annotations

import sys

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from oceanfill.pipeline.holdout.scores import rmse
from oceanfill.pipeline.io.variables import open_variables
from oceanfill.pipeline.jobs.evaluate import evaluate_candidates
from oceanfill.pipeline.jobs.methods import find_method
from oceanfill.pipeline.settings import HELD_OUT, FillSettings, Training
from oceanfill.pipeline.training.data import GapData
from oceanfill.pipeline.training.heldout import DataSettings
from scipy.ndimage import gaussian_filter

DATES, ROWS, COLUMNS = 30, 32, 32
CLOUDY, SEEN_THROUGH = 0.6, 1 / 3
DIMS = ("time", "lat", "lon")


def case(seed: int = 0) -> tuple[xr.Dataset, xr.Dataset, NDArray[np.float64]]:
    """The first variable, the second, and the truth of the first (time, lat, lon)."""
    rng = np.random.default_rng(seed)

    def waves(*scales: float) -> NDArray[np.float64]:
        """Of unit variance, with these scales along time, rows and columns."""
        drawn = gaussian_filter(rng.standard_normal((DATES, ROWS, COLUMNS)), scales, mode="wrap")
        return drawn / drawn.std()

    large, small, own = waves(3, 6, 6), waves(0.8, 2.5, 2.5), waves(3, 10, 10)
    truth = 15 + 1.5 * large + small
    clouds = waves(1, 6, 6)
    hidden = clouds > np.quantile(clouds, 1 - CLOUDY)
    rain = waves(1, 2, 2)
    thick = hidden & (rain > np.quantile(rain[hidden], SEEN_THROUGH))
    seen = np.where(hidden, np.nan, truth + 0.05 * rng.standard_normal(truth.shape))
    linked = gaussian_filter(3 * np.tanh((truth - 15) / 3), (0, 1, 1))
    other = np.where(thick, np.nan, linked + 0.2 * own + 0.1 * rng.standard_normal(truth.shape))
    place = {
        "time": np.datetime64("2020-01-01", "ns") + np.arange(DATES) * np.timedelta64(1, "D"),
        "lat": 35 + 0.1 * np.arange(ROWS),
        "lon": -6 + 0.1 * np.arange(COLUMNS),
    }
    first = xr.Dataset({"sst": (DIMS, seen.astype(np.float32), {"units": "degree_Celsius"})}, place)
    second = xr.Dataset({"brightness": (DIMS, other.astype(np.float32), {"units": "K"})}, place)
    return first, second, np.where(hidden, truth, np.nan)


def main() -> None:
    """Print a line of Markdown a case."""
    epochs = int(sys.argv[1]) if len(sys.argv) > 1 else 6
    print("| case | oi | network, one | two | delivered, one | two | networks | delivered |")
    print("| --- |" + " ---: |" * 7, flush=True)
    for word in sys.argv[2:] or "01234":
        number, _, seed = word.partition(":")
        first, second, truth = case(int(number))
        guesses, networks, delivered = [], [], []
        for auxiliary in ([], [second]):
            fields, helpers = open_variables(first, (), auxiliary)
            data = GapData([*fields, *helpers], DataSettings(held_out=HELD_OUT, seed=int(seed or 0)))
            (candidates,) = find_method("unet")(data, FillSettings(training=Training(epochs=epochs)))
            guess, network = (rmse(one.estimate[0], truth) for one in candidates.values())
            guesses.append(guess)
            networks.append(network)
            delivered.append(rmse(evaluate_candidates(data, candidates).delivered.estimate[0], truth))
        ratios = [two / one for one, two in (networks, delivered)]
        cells = [f"{value:.3f}" for value in (guesses[0], *networks, *delivered, *ratios)]
        print("| " + " | ".join([word, *cells]) + " |", flush=True)


if __name__ == "__main__":
    main()
