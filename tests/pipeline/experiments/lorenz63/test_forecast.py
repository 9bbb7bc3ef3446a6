"""The comparison of Lorenz-63 forecasts, shortened."""

from __future__ import annotations

import pandas as pd
import pytest
import torch
from oceanfill.models.dynamics import Bilinear, OneStep
from oceanfill.pipeline.experiments.lorenz63.data import TRAINING, cut_windows, simulate_series
from shipped import run_shipped

torch.set_num_threads(1)

NONLINEAR = ["MLP Euler", "MLP RK4", "bilinear Euler", "bilinear RK4", "RNN", "LSTM", "GRU"]


def test_nonlinear_models_forecast_better_than_the_linear_one(tmp_path):
    found = run_shipped("l63-forecast", tmp_path, "--every 6 --epochs 6 --free 400 --starts 5 --hidden 24")
    skill = pd.read_csv(tmp_path / "explained.csv", index_col="steps")
    assert list(skill.index) == list(range(1, 29))
    assert list(skill.columns) == ["linear AR", *NONLINEAR]
    for name in skill:
        for step, label in ((1, "1 step"), (28, "28 steps")):
            value = found[f"{name}: skill at {label}"].value
            assert value == pytest.approx(skill.loc[step, name], abs=1e-6)
    assert (skill.loc[1, NONLINEAR] > 0.8).all()
    assert (skill.loc[28, NONLINEAR] > skill.loc[28, "linear AR"] + 0.2).all()
    assert skill.loc[28, "linear AR"] < 0.5
    target = found["MLP RK4: skill at 1 step"]
    assert (target.reference, target.at_least) == (0.9945, 0.995)
    target = found["MLP RK4: skill at 28 steps"]
    assert (target.reference, target.at_least) == (0.9869, 0.988)

    (best,) = (finding for quantity, finding in found.items() if quantity.startswith("best model"))
    name = best.quantity.split("(")[1].split(")")[0]
    assert name in NONLINEAR
    assert best.value == found[f"{name}: skill at 28 steps"].value

    # The true equations are chaotic with the climate of the series; the linear model is damped.
    assert found["true equations: Wasserstein distance of the free runs from the climate"].value < 0.2
    assert 0.6 < found["true equations: largest Lyapunov exponent"].value < 1.4
    assert found["linear AR: Wasserstein distance of the free runs from the climate"].value > 0.3
    assert found["linear AR: largest Lyapunov exponent"].value < 0
    assert {path.name for path in tmp_path.glob("*.png")} == {
        "attractor.png", "horizon.png", "trajectories.png"
    }  # fmt: skip

    # The checkpoint has the skill of the table.
    saved = torch.load(tmp_path / "bilinear-rk4.pt", weights_only=True)
    model = OneStep(Bilinear(3))
    model.load_state_dict(saved["state_dict"])
    normalised = (simulate_series() - saved["options"]["mean"]) / saved["options"]["deviation"]
    assert normalised[TRAINING].std().item() == pytest.approx(1, abs=1e-6)
    past, future = cut_windows(normalised[9:].float(), slice(17500, 19991), 2).unbind(1)
    with torch.no_grad():
        error = (model(past) - future)[:-27].square().mean()
    expected = 1 - error / (past - future)[:-27].square().mean()
    assert skill.loc[1, "bilinear RK4"] == pytest.approx(expected.item(), abs=1e-4)
