"""The comparison of Lorenz-63 interpolations, shortened."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from oceanfill.pipeline.experiments.lorenz63.data import (
    TEST,
    TRAINING,
    observe_windows,
    simulate_series,
)
from shipped import run_shipped

torch.set_num_threads(1)

TESTS = 4


def interpolate_with_numpy():
    """Square errors (window, time, component) of linear interpolation, normalised by the mean variance."""
    series = simulate_series()
    places = np.linspace(0, 2300, TESTS).astype(int)
    truth = torch.stack([series[TEST][place : place + 200] for place in places])
    _, values, _ = observe_windows(truth, 8, torch.Generator().manual_seed(0))
    times, observed = np.arange(200), np.arange(0, 200, 8)
    linear = [[np.interp(times, observed, window[::8, c]) for c in range(3)] for window in values.numpy()]
    square = (np.array(linear).transpose(0, 2, 1) - truth.numpy()) ** 2
    return square / series[TRAINING].numpy().var(0, ddof=1).mean()


def test_networks_beat_linear_interpolation_and_4dvar_beats_networks(tmp_path):
    found = run_shipped(
        "l63-interpolate",
        tmp_path,
        f"--every 15 --epochs 2 --tests {TESTS} --iterations 25 --hidden 8",
    )
    square = interpolate_with_numpy()
    unobserved = np.delete(square, np.arange(0, 200, 8), axis=1)
    linear = found["linear: normalised MSE"].value
    assert linear == pytest.approx(square.mean(), rel=1e-9)
    assert found["linear: normalised MSE at observed times"].value == pytest.approx(
        square[:, ::8].mean(), rel=1e-9
    )
    assert found["linear: normalised MSE at unobserved times"].value == pytest.approx(
        unobserved.mean(), rel=1e-9
    )
    assert found["U-Net: normalised MSE"].value < 0.93 * linear
    assert found["LSTM both ways: normalised MSE"].value < 0.97 * linear
    assert found["GRU both ways: normalised MSE"].value < 0.98 * linear
    fourdvar = found["4DVar: normalised MSE"]
    assert fourdvar.value < 0.4 * linear
    assert (fourdvar.reference, fourdvar.at_most) == (0.014, 0.014)
    assert found["4DVar: model-error variance chosen on training windows"].value in (1e-4, 1e-3, 1e-2)
    assert {path.name for path in tmp_path.glob("*.p*")} == {
        "gaps.png", "gru-both-ways.pt", "lstm-both-ways.pt", "u-net.pt"
    }  # fmt: skip
