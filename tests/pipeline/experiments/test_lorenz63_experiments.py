"""The Lorenz-63 experiments as their configurations make them quick."""

from __future__ import annotations

from importlib.resources import files

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from oceanfill.models.dynamics import Bilinear, OneStep
from oceanfill.pipeline.experiments.lorenz63.data import TEST, TRAINING, observe, series, windows
from oceanfill.pipeline.experiments.lorenz63.forecast import forecasting
from oceanfill.pipeline.experiments.lorenz63.interpolate import interpolation


def _quick(name):
    text = (files("oceanfill.configs") / "sanity" / f"{name}.yaml").read_text(encoding="utf-8")
    return yaml.safe_load(text)["quick"]


def test_the_forecasts_written_are_those_of_the_checkpoints(tmp_path):
    found = {finding.what: finding for finding in forecasting(tmp_path, **_quick("l63-forecast"))}
    table = pd.read_csv(tmp_path / "explained.csv", index_col="steps")
    assert list(table.index) == list(range(1, 29))
    assert table.shape[1] == 8

    saved = torch.load(tmp_path / "bilinear-rk4.pt", weights_only=True)
    model = OneStep(Bilinear(3))
    model.load_state_dict(saved["state_dict"])
    normal = (series() - saved["options"]["mean"]) / saved["options"]["deviation"]
    assert normal[TRAINING].std().item() == pytest.approx(1, abs=1e-6)
    past, future = windows(normal[9:].float(), slice(17500, 19991), 2).unbind(1)
    with torch.no_grad():
        skill = 1 - (model(past) - future)[:-27].square().mean() / (past - future)[:-27].square().mean()
    assert table.loc[1, "bilinear RK4"] == pytest.approx(skill.item(), abs=1e-4)
    assert found["bilinear RK4, variance explained, 1 step"].ours == pytest.approx(skill.item(), abs=1e-4)

    # The equations that made the series leave next to nothing, of whatever is wrong above.
    assert found["true equations, free run, Wasserstein distance of the histograms"].ours < 0.3
    assert found["MLP RK4, variance explained, 1 step"].at_least == 0.995
    assert {path.name for path in tmp_path.glob("*.png")} == {
        "attractor.png",
        "horizon.png",
        "trajectories.png",
    }


def test_gaps_are_scored_at_seen_and_unseen_times_and_the_equations_win(tmp_path):
    options = _quick("l63-interpolate")
    found = {finding.what: finding.ours for finding in interpolation(tmp_path, **options)}
    states = series()
    places = np.linspace(0, 2300, options["tests"]).astype(int)
    truth = torch.stack([states[TEST][place : place + 200] for place in places])
    _, noisy, _ = observe(truth, 8, torch.Generator().manual_seed(0))
    values = noisy.numpy()
    linear = np.stack(
        [
            [np.interp(np.arange(200), np.arange(0, 200, 8), window[::8, c]) for c in range(3)]
            for window in values
        ]
    ).transpose(0, 2, 1)
    square = (linear - truth.numpy()) ** 2 / states[TRAINING].numpy().var(0, ddof=1).mean()
    unseen = np.delete(square, np.arange(0, 200, 8), axis=1)
    assert found["linear, normalised MSE"] == pytest.approx(square.mean(), rel=1e-9)
    assert found["linear, normalised MSE where observed"] == pytest.approx(square[:, ::8].mean(), rel=1e-9)
    assert found["linear, normalised MSE where not observed"] == pytest.approx(unseen.mean(), rel=1e-9)
    assert found["4DVar, normalised MSE"] < found["linear, normalised MSE"] / 2
    saved = torch.load(tmp_path / "u-net.pt", weights_only=True)
    assert saved["options"]["network"] == "U-Net"
    assert (tmp_path / "gaps.png").exists()
