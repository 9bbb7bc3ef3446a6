"""The tendency of Lorenz 1996 and its known Lyapunov exponent."""

from __future__ import annotations

import pytest
import torch
from oceanfill.models.dynamics import rk4
from oceanfill.pipeline.simulators.lorenz63 import estimate_lyapunov_exponent, integrate
from oceanfill.pipeline.simulators.lorenz96 import tendency

torch.set_num_threads(1)


def test_each_variable_follows_its_equation_and_advection_conserves_energy():
    x = torch.randn(3, 7, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    found = tendency(x, forcing=5.0)
    for i in range(7):
        expected = (x[:, (i + 1) % 7] - x[:, i - 2]) * x[:, i - 1] - x[:, i] + 5
        torch.testing.assert_close(found[:, i], expected)
    torch.testing.assert_close((x * found).sum(-1), (5 * x - x**2).sum(-1))


def test_small_errors_grow_at_the_published_rate():
    """Lorenz and Emanuel: doubling in 2.1 days of 0.2, i.e. an exponent of 1.65; later estimates: 1.67."""
    start = 8 + torch.randn(8, 40, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    state = integrate(start, 400, 0.05, system=tendency)[:, -1]
    found = estimate_lyapunov_exponent(lambda x: rk4(tendency, x, 0.05), state, 800, 0.05)
    assert found == pytest.approx(1.67, abs=0.06)
