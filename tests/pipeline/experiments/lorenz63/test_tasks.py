"""Forecasts and losses of the Lorenz-63 tasks."""

from __future__ import annotations

import math

import pytest
import torch
from oceanfill.models.dynamics import OneStep, euler
from oceanfill.pipeline.experiments.lorenz63.tasks import Forecasting, GapFilling, forecast, score_forecast
from torch import nn


def build_growth(rate):
    """Build a model that multiplies the state by 1 + rate at each step."""
    model = OneStep(nn.Linear(1, 1, bias=False), euler)
    nn.init.constant_(model.tendency.weight, rate)
    return model


WINDOW = 1.1 ** torch.arange(8.0).reshape(1, 8, 1) * torch.tensor([1.0, -2.0]).reshape(2, 1, 1)


def test_the_true_model_has_skill_1_and_persistence_0():
    torch.testing.assert_close(forecast(build_growth(0.1), WINDOW[:, :3], 5), WINDOW[:, 3:])
    torch.testing.assert_close(score_forecast(build_growth(0.1), WINDOW, 3), torch.ones(5))
    torch.testing.assert_close(score_forecast(build_growth(0.0), WINDOW, 3), torch.zeros(5))


def test_half_the_growth_has_a_skill_of_three_quarters_at_one_step():
    assert score_forecast(build_growth(0.05), WINDOW, 3)[0].item() == pytest.approx(0.75, rel=1e-4)


def test_the_forecast_loss_is_the_mean_square_over_the_training_steps():
    task = Forecasting(build_growth(0.0), past=2, steps=2, learning_rate=1e-3)
    expected = ((1.1**2 - 1.1) ** 2 + (1.1**3 - 1.1) ** 2) * (1 + 4) / 4
    assert task.training_step([WINDOW], 0).item() == pytest.approx(expected, rel=1e-4)


def test_the_gap_filling_loss_is_the_mean_square_of_the_remaining_error():
    network = nn.Conv1d(2, 1, 1, bias=False)
    nn.init.constant_(network.weight, 1.0)
    loss = GapFilling(network, 1e-3).training_step([torch.ones(3, 2, 5), torch.full((3, 1, 5), math.pi)], 0)
    assert loss.item() == pytest.approx((math.pi - 2) ** 2, rel=1e-5)
