"""Lorenz 1963 against its fixed points, scipy and its known Lyapunov exponent."""

from __future__ import annotations

import pytest
import torch
from oceanfill.models.dynamics import rk4
from oceanfill.pipeline.simulators.lorenz63 import estimate_lyapunov_exponent, integrate, tendency
from scipy.integrate import solve_ivp

START = torch.tensor([[8.0, 0.0, 30.0]], dtype=torch.float64)


def test_the_tendency_is_zero_at_the_three_fixed_points():
    wing = (8 / 3 * 27) ** 0.5
    points = torch.tensor([[0.0, 0, 0], [wing, wing, 27], [-wing, -wing, 27]], dtype=torch.float64)
    assert tendency(points).abs().max() < 1e-12


def test_trajectory_agrees_with_scipy():
    found = integrate(START, 200, substeps=10)[0, -1]
    expected = solve_ivp(
        lambda _, x: tendency(torch.from_numpy(x)).numpy(), (0, 2), START[0], "DOP853", rtol=1e-11, atol=1e-11
    ).y[:, -1]
    assert found.numpy() == pytest.approx(expected, abs=1e-5)


def test_the_error_decreases_with_the_fourth_power_of_the_step():
    truth = integrate(START, 100, substeps=40)[:, -1]
    coarse, fine = ((integrate(START, 100, substeps=n)[:, -1] - truth).norm() for n in (2, 4))
    assert torch.log2(coarse / fine).item() == pytest.approx(4, abs=0.15)


def test_batches_and_single_precision():
    states = torch.cat([START, START + 1])
    both = integrate(states, 20)
    assert both.shape == (2, 21, 3)
    torch.testing.assert_close(both[1:], integrate(START + 1, 20))
    single = integrate(states.float(), 20)
    assert single.dtype == torch.float32
    torch.testing.assert_close(single.double(), both, rtol=1e-5, atol=1e-4)


def test_the_largest_exponent_of_lorenz_1963():
    starts = START + 5 * torch.randn(400, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    climate = integrate(starts, 1000, substeps=1)[:, -1]
    found = estimate_lyapunov_exponent(lambda state: rk4(tendency, state, 0.01), climate, 2000, 0.01)
    assert found == pytest.approx(0.906, abs=0.02)


def test_the_largest_exponent_of_a_linear_map():
    growth = torch.tensor([0.98, 0.5], dtype=torch.float64)
    found = estimate_lyapunov_exponent(
        lambda state: state * growth, torch.ones(1, 2, dtype=torch.float64), 200, 0.5
    )
    assert found == pytest.approx(growth[0].log().item() / 0.5, rel=1e-3)
