"""The variational cost and its minimum for linear dynamics with a known analysis."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch
from oceanfill.pipeline.classical.fourdvar import analyse, cost, dynamics

NOISE, PRIOR = 0.5, 0.02


def _turn(state):
    """A turn by 0.3 rad."""
    angle = torch.tensor(0.3, dtype=torch.float64)
    matrix = torch.stack([torch.stack([angle.cos(), -angle.sin()]), torch.stack([angle.sin(), angle.cos()])])
    return state @ matrix.T


def _observations():
    rng = torch.Generator().manual_seed(0)
    observed = torch.randn(3, 12, 2, generator=rng, dtype=torch.float64)
    known = torch.zeros(3, 12, 2, dtype=torch.bool)
    known[:, ::3, 0] = known[:, 1::4, 1] = True
    return observed, known


def _least_squares(observed, known):
    """The same minimum as a linear least-squares problem, window by window."""
    matrix = np.array([[np.cos(0.3), -np.sin(0.3)], [np.sin(0.3), np.cos(0.3)]])
    rows, values = [], []
    for place in np.flatnonzero(known.numpy().ravel()):
        rows.append(np.eye(24)[place] / NOISE**0.5)
        values.append(observed.numpy().ravel()[place] / NOISE**0.5)
    for time in range(1, 12):
        for component in range(2):
            row = np.eye(24)[2 * time + component].copy()
            row[2 * time - 2 : 2 * time] -= matrix[component]
            rows.append(row / PRIOR**0.5)
            values.append(0.0)
    return np.linalg.lstsq(np.array(rows), np.array(values), rcond=None)[0].reshape(12, 2)


def test_the_analysis_of_linear_dynamics_is_that_of_least_squares():
    observed, known = _observations()
    found = analyse(
        torch.zeros_like(observed),
        observed,
        known,
        partial(dynamics, _turn),
        noise_variance=NOISE,
        prior_variance=PRIOR,
    )
    expected = np.stack([_least_squares(*pair) for pair in zip(observed, known, strict=True)])
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-5)


def test_the_cost_by_hand():
    states = torch.tensor([[[1.0], [3.0]]])
    observed = torch.tensor([[[0.0], [9.0]]])
    known = torch.tensor([[[True], [False]]])
    found = cost(states, observed, known, partial(dynamics, lambda x: 2 * x), 0.5, 0.1)
    assert found.tolist() == pytest.approx([(1 / 0.5 + 1 / 0.1) / 2])


def test_unknown_values_change_nothing():
    observed, known = _observations()
    hidden = torch.where(known, observed, torch.nan)
    options = {"noise_variance": NOISE, "prior_variance": PRIOR, "iterations": 20}
    first, prior = torch.zeros_like(observed), partial(dynamics, _turn)
    torch.testing.assert_close(
        analyse(first, hidden, known, prior, **options), analyse(first, observed, known, prior, **options)
    )
