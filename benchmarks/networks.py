"""Every network of `oceanfill fill` on the SST sample, each trained for as many minutes on the same gaps.

    python benchmarks/networks.py [MINUTES [NETWORK ...]]

Prints a Markdown table: RMSE and coverage where the sample's truth is hidden, parameters, seconds an epoch,
and the RMSE over that of the first guess, which all of them correct. No network sees the truth.
"""

from __future__ import annotations

import logging
import sys
from pathlib import Path

import numpy as np
import xarray as xr
from oceanfill.pipeline.holdout.scores import coverage, rmse
from oceanfill.pipeline.io.field import open_field
from oceanfill.pipeline.jobs.evaluate import fit_error_scale
from oceanfill.pipeline.jobs.methods import find_method
from oceanfill.pipeline.settings import HELD_OUT, FillSettings, Training
from oceanfill.pipeline.training.data import GapData
from oceanfill.pipeline.training.heldout import DataSettings
from oceanfill.pipeline.training.networks import NETWORKS

SAMPLES = Path(__file__).resolve().parents[1] / "sample_data"


class Said(logging.Handler):
    """The numbers that `fill` logs of a network: its parameters, and the epochs it was trained."""

    def emit(self, record: logging.LogRecord) -> None:
        if "parameters" in record.msg:
            self.parameters = record.args[1]
        if record.msg.startswith("trained"):
            self.epochs = record.args[0]


def main() -> None:
    """Print a line a network."""
    minutes = float(sys.argv[1]) if len(sys.argv) > 1 else 3.0
    data = GapData(open_field(SAMPLES / "sst_clouds.nc"), DataSettings(held_out=HELD_OUT))
    truth = xr.load_dataset(SAMPLES / "sst_clouds_truth.nc").sst.to_numpy()
    patch = data.patch
    print("| network | RMSE | / first guess | within 1 sigma | parameters | s an epoch | epochs |")
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: |", flush=True)
    said = Said()
    logging.getLogger("oceanfill").setLevel(logging.INFO)
    logging.getLogger("oceanfill").addHandler(said)
    first = 0.0
    for name in sys.argv[2:] or NETWORKS:
        data.patch = patch
        settings = FillSettings(training=Training(epochs=1000, time_budget=minutes))
        (candidates,) = find_method(name)(data, settings)
        for product in list(candidates.values())[0 if not first else 1 :]:
            mean, _ = product.estimate
            sigma = fit_error_scale(data, product, "held_out").of_estimate(data.field, product)
            found = rmse(np.where(np.isfinite(truth), mean, np.nan), truth)
            first = first or found
            ours = product.name in NETWORKS
            cells = [
                product.name,
                f"{found:.3f}",
                f"{found / first:.3f}",
                f"{100 * coverage(mean, sigma, truth, 1):.1f} %",
                f"{said.parameters:,}" if ours else "",
                f"{60 * minutes / said.epochs:.1f}" if ours else "",
                f"{said.epochs}" if ours else "",
            ]
            print("| " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
