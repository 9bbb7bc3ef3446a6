"""Currents and their projections against matrices; stream functions and divergence on the sphere."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from oceanfill.models.projection import (
    Grid,
    apply_factor,
    compose_factors,
    project,
    projected_loss,
    read_bivariate,
)
from torch.distributions import Normal

RADIUS = 6.371e6


def draw(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def make_triangle(factor):
    """Write the factor out as matrices (batch, y, x, 2, 2)."""
    first, below, second = factor.unbind(1)
    return torch.stack([first, torch.zeros_like(first), below, second], -1).unflatten(-1, (2, 2))


def make_grid(rows=9, columns=11):
    lat = torch.linspace(40, 41, rows, dtype=torch.float64)
    return Grid(lat, torch.linspace(5, 7, columns, dtype=torch.float64))


def test_channels_of_zero_are_a_zero_mean_and_the_identity():
    mean, factor = read_bivariate(torch.zeros(2, 5, 3, 4))
    assert not mean.any()
    torch.testing.assert_close(make_triangle(factor), torch.eye(2).expand(2, 3, 4, 2, 2))
    assert (read_bivariate(torch.full((1, 5, 1, 1), 99.0))[1][0, [0, 2]] == np.float32(np.exp(4))).all()


def test_factors_are_applied_composed_and_projected_like_matrices():
    current, left, right = draw(2, 2, 3, 4), draw(2, 3, 3, 4, seed=1), draw(2, 3, 3, 4, seed=2)
    expected = (make_triangle(left) @ current.movedim(1, -1)[..., None])[..., 0].movedim(-1, 1)
    torch.testing.assert_close(apply_factor(left, current), expected)
    torch.testing.assert_close(
        make_triangle(compose_factors(left, right)), make_triangle(left) @ make_triangle(right)
    )
    angle = draw(2, 5, 3, 4, seed=3)
    towards = torch.stack([angle.sin(), angle.cos()], 2)
    along, variance = project(current, left, towards)
    for station in range(5):
        h = towards[:, station].movedim(1, -1)[..., None]
        square = make_triangle(left) @ make_triangle(left).mT
        torch.testing.assert_close(variance[:, station], (h.mT @ square @ h)[..., 0, 0])
        torch.testing.assert_close(along[:, station], (h[..., 0] * current.movedim(1, -1)).sum(-1))


def test_the_loss_is_the_likelihood_where_the_weight_is_above_zero():
    mean, factor, angle = draw(2, 2, 3, 4), draw(2, 3, 3, 4, seed=1), draw(2, 2, 3, 4, seed=2)
    towards = torch.stack([angle.sin(), angle.cos()], 2)
    weight = (draw(2, 2, 3, 4, seed=3) > 0).double() * 2
    radial = draw(2, 2, 3, 4, seed=4).where(weight > 0, torch.nan)
    along, variance = project(mean, factor, towards)
    counts = weight > 0
    density = Normal(along[counts], (variance[counts] + 0.3).sqrt()).log_prob(radial[counts])
    expected = -density.mean() - np.log(2 * np.pi) / 2
    found = projected_loss(radial, torch.full_like(radial, 0.3), towards, mean, factor, weight)
    torch.testing.assert_close(found, expected)


def test_crossed_directions_determine_the_gaussian_of_the_current():
    """Mean and full covariance are learnt from projections, each onto a single direction."""
    truth = torch.tensor([[0.5, 0.0], [-0.4, 0.3]], dtype=torch.float64)
    current = torch.tensor([0.2, -0.7], dtype=torch.float64) + draw(40_000, 2) @ truth.T
    angle = torch.linspace(0, np.pi, 8, dtype=torch.float64)[torch.arange(40_000) % 7]
    towards = torch.stack([angle.sin(), angle.cos()], -1)[None, None].movedim(-1, 2)
    radial = (current[None, None].movedim(-1, 2) * towards).sum(2)[..., None, :]
    channels = torch.zeros(1, 5, 1, 1, dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.LBFGS([channels], max_iter=60, line_search_fn="strong_wolfe")

    def closure():
        optimiser.zero_grad()
        mean, factor = (part.expand(-1, -1, 1, 40_000) for part in read_bivariate(channels))
        same = torch.ones_like(radial)
        loss = projected_loss(radial, 0 * same, towards[..., None, :], mean, factor, same)
        loss.backward()
        return loss

    optimiser.step(closure)
    mean, factor = read_bivariate(channels.detach())
    torch.testing.assert_close(mean.flatten(), torch.tensor([0.2, -0.7]).double(), atol=0.01, rtol=0)
    torch.testing.assert_close(make_triangle(factor)[0, 0, 0], truth, atol=0.01, rtol=0)


def test_a_stream_function_that_increases_northwards_flows_west():
    here = make_grid()
    assert here.row_spacing == pytest.approx(RADIUS * np.pi / 180 / 8)
    y = RADIUS * torch.deg2rad(torch.linspace(40, 41, 9, dtype=torch.float64))[:, None].expand(9, 11)
    u, v = here.compute_flow(0.3 * y[None])[0]
    torch.testing.assert_close(u, torch.full_like(u, -0.3))
    assert v.abs().max() < 1e-12
    lon = torch.deg2rad(torch.linspace(5, 7, 11, dtype=torch.float64)).expand(9, 11)
    u, v = here.compute_flow(RADIUS * lon[None])[0]
    torch.testing.assert_close(v, 1 / torch.cos(y / RADIUS))


def test_only_the_flow_of_a_stream_function_has_no_divergence():
    here = make_grid()
    rough = here.compute_flow(1e4 * draw(1, 9, 11))
    gradients = here.differentiate_east(rough[:, 0]).abs().mean()
    assert here.compute_divergence(rough).abs().max() < 1e-12 * gradients
    lon = RADIUS * torch.deg2rad(torch.linspace(5, 7, 11, dtype=torch.float64))
    lat = torch.deg2rad(torch.linspace(40, 41, 9, dtype=torch.float64))[:, None]
    sink = torch.stack([-1e-5 * lon * torch.cos(lat), torch.zeros(9, 11)])[None]
    torch.testing.assert_close(
        here.compute_divergence(sink), torch.full((1, 9, 11), -1e-5, dtype=torch.float64)
    )
