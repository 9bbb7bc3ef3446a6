"""Scores of predictions against formulas and analytic values."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from oceanfill.pipeline.experiments.skill import (
    compute_amplitude_ratio,
    compute_energy_distance,
    compute_explained_variance,
    compute_skill,
    correlate_fields,
    correlate_in_time,
)


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_skill_is_relative_to_the_reference() -> None:
    truth = torch.tensor([1.0, -1.0, 2.0, -2.0])
    assert compute_skill(0.9 * truth, truth, torch.zeros(4)).item() == pytest.approx(0.99)
    assert compute_skill(0.9 * truth, truth, 0.8 * truth).item() == pytest.approx(0.75)
    assert compute_skill(0.8 * truth, truth, 0.9 * truth).item() == pytest.approx(-3)


def test_skill_averages_over_the_given_dimensions() -> None:
    truth, reference = torch.ones(2, 3, 4), torch.zeros(2, 3, 4)
    prediction = truth - torch.tensor([0.1, 0.5, 2.0])[:, None]
    expected = torch.tensor([0.99, 0.75, -3.0])
    torch.testing.assert_close(compute_skill(prediction, truth, reference, (0, 2)), expected)


def test_explained_variance_is_around_the_common_mean() -> None:
    images = torch.rand(50, 1, 4, 4, generator=rng())
    assert compute_explained_variance(images, images) == 1
    assert compute_explained_variance(images.mean().expand_as(images), images) == pytest.approx(0, abs=1e-6)
    expected = 1 - 0.01 / images.numpy().var()
    assert compute_explained_variance(images + 0.1, images) == pytest.approx(expected, rel=1e-5)


def test_field_correlation_ignores_amplitude_but_not_sign() -> None:
    truth = torch.tensor([1.0, -1.0, 2.0, -2.0])
    assert correlate_fields(-3 * truth, truth) == pytest.approx(-1)
    assert correlate_fields(torch.tensor([2.0, 2.0, 1.0, 1.0]), truth) == pytest.approx(0)
    # No mean is subtracted: (1 + 2) / sqrt(2 * 5) for (1, 1) and (1, 2).
    assert correlate_fields(torch.ones(2), torch.tensor([1.0, 2.0])) == pytest.approx(3 / math.sqrt(10))


def test_correlation_in_time_and_amplitude_ratio_by_point() -> None:
    truth = torch.randn(50, 5, 6, generator=rng()).double()
    prediction = 0.5 * truth + 3
    prediction[:, 2] *= -1
    expected = torch.ones(5, 6, dtype=torch.float64)
    expected[2] = -1
    torch.testing.assert_close(correlate_in_time(prediction, truth), expected)
    assert compute_amplitude_ratio(prediction, truth) == pytest.approx(0.5)
    where = torch.zeros(5, 6, dtype=torch.bool)
    where[1, 1] = True
    prediction[:, 1, 1] = 2 * truth[:, 1, 1]
    assert compute_amplitude_ratio(prediction, truth, where) == pytest.approx(2)
    noise = torch.randn(50, 5, 6, generator=rng(1)).double()
    found = correlate_in_time(noise, truth)[3, 4].item()
    assert found == pytest.approx(np.corrcoef(noise[:, 3, 4], truth[:, 3, 4])[0, 1], rel=1e-10)


def test_energy_distance_of_two_gaussians() -> None:
    """In one dimension, one apart: E|X - Y| of N(1, 2) and E|X - X'| of N(0, 2), folded normals."""
    x = torch.randn(3000, 1, generator=rng())
    y = 1 + torch.randn(3000, 1, generator=rng(1))
    apart = 2 / math.sqrt(math.pi) * math.exp(-1 / 4) + math.erf(1 / 2)
    expected = math.sqrt(2 * apart - 2 * 2 / math.sqrt(math.pi))
    assert compute_energy_distance(x, y) == pytest.approx(expected, rel=0.05)
    assert compute_energy_distance(x, torch.randn(3000, 1, generator=rng(2))) < 0.05
