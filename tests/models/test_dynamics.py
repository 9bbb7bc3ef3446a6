"""One-step models and their integrators."""

from __future__ import annotations

import math

import pytest
import torch
from oceanfill.models.dynamics import Bilinear, OneStep, euler, make_mlp, rk4, roll_out
from torch import nn


def _turn(state):
    return torch.stack([state[:, 1], -state[:, 0]], dim=-1)


@pytest.mark.parametrize(("integrator", "order"), [(euler, 1), (rk4, 4)])
def test_the_error_of_an_integrator_falls_at_its_order(integrator, order):
    start = torch.tensor([[1.0, 0.0]], dtype=torch.float64)
    truth = torch.tensor([math.cos(1), -math.sin(1)], dtype=torch.float64)

    def error(steps):
        return (
            roll_out(lambda state: integrator(_turn, state, 1 / steps), start, steps)[0, -1] - truth
        ).norm()

    assert torch.log2(error(20) / error(40)).item() == pytest.approx(order, abs=0.1)


def test_a_step_of_a_linear_tendency_is_the_truncated_exponential_series():
    tendency = nn.Linear(3, 3, bias=False).double()
    matrix = tendency.weight.detach()
    state = torch.randn(5, 3, generator=torch.Generator().manual_seed(0)).double()
    powers = [torch.linalg.matrix_power(matrix, order) for order in range(5)]
    first_order = powers[0] + powers[1]
    fourth_order = first_order + powers[2] / 2 + powers[3] / 6 + powers[4] / 24
    torch.testing.assert_close(OneStep(tendency, euler)(state), state @ first_order.T)
    torch.testing.assert_close(OneStep(tendency, rk4)(state), state @ fourth_order.T)


def test_the_bilinear_tendency_represents_lorenz_1963_exactly():
    model = Bilinear(3)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
        model.linear.weight.copy_(torch.tensor([[-10.0, 10, 0], [28, -1, 0], [0, 0, -8 / 3]]))
        model.products.weight[1, 0, 2] = -1  # - x z
        model.products.weight[2, 0, 1] = 1  # x y
    found = model(torch.tensor([[1.0, 2.0, 3.0]]))
    torch.testing.assert_close(found, torch.tensor([[10.0, 23.0, -6.0]]))


@pytest.mark.parametrize(
    ("tendency", "count"),
    [
        (nn.Linear(3, 3), 12),
        (make_mlp(3, hidden=8, layers=2), 3 * 8 + 8 + 8 * 8 + 8 + 8 * 3 + 3),
        (Bilinear(3), 12 + 27),
    ],
)
def test_shape_count_and_gradient(tendency, count):
    model = OneStep(tendency)
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.1)
    states = roll_out(model, model.start(torch.rand(7, 4, 3)), 6)
    assert states.shape == (7, 6, 3)
    assert sum(parameter.numel() for parameter in model.parameters()) == count
    states.square().sum().backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in model.parameters())


def test_a_forecast_starts_from_the_last_observed_state():
    model = OneStep(nn.Linear(2, 2), euler)
    past = torch.rand(3, 5, 2)
    torch.testing.assert_close(model.start(past), past[:, -1])
