"""Losses against torch's distributions, and penalties against values computed by hand."""

import math

import pytest
import torch
from oceanfill.models.losses import (
    absolute_weights,
    average_loss,
    gaussian,
    kullback_leibler,
    laplacian,
    laplacian_of_error,
    squared_weights,
)
from torch.distributions import Normal, kl_divergence

torch.set_num_threads(1)


@pytest.fixture
def estimates():
    """Mean, log-variance, truth, its variance and weights, a third of which are zero; (2, 4, 5)."""
    draws = torch.Generator().manual_seed(0)
    mean, log_variance, truth = torch.randn(3, 2, 4, 5, generator=draws)
    variance, weight = torch.rand(2, 2, 4, 5, generator=draws) + 0.1
    return mean, log_variance, truth, variance, weight * (torch.rand(2, 4, 5, generator=draws) < 2 / 3)


def test_the_likelihood_equals_torchs(estimates):
    mean, log_variance, truth, variance, _ = estimates
    expected = torch.nn.GaussianNLLLoss(reduction="none")(mean, truth, log_variance.exp())
    torch.testing.assert_close(gaussian(mean, log_variance, truth, variance), expected)
    density = -Normal(mean, (log_variance / 2).exp()).log_prob(truth) - math.log(2 * math.pi) / 2
    torch.testing.assert_close(gaussian(mean, log_variance, truth, variance), density)


def test_the_divergence_equals_torchs(estimates):
    mean, log_variance, truth, variance, _ = estimates
    network, observation = Normal(mean, (log_variance / 2).exp()), Normal(truth, variance.sqrt())
    divergence = kullback_leibler(mean, log_variance, truth, variance)
    torch.testing.assert_close(divergence, kl_divergence(observation, network))
    nothing = kullback_leibler(truth, variance.log(), truth, variance)
    torch.testing.assert_close(nothing, torch.zeros(nothing.shape), atol=1e-6, rtol=0)


def test_both_losses_have_the_same_gradient_for_an_exact_truth(estimates):
    _, _, truth, variance, _ = estimates
    gradients = []
    for loss in (gaussian, kullback_leibler):
        mean, log_variance = (part.clone().requires_grad_() for part in estimates[:2])
        loss(mean, log_variance, truth, 0 * variance).sum().backward()
        gradients.append((mean.grad, log_variance.grad))
    torch.testing.assert_close(gradients[0], gradients[1], atol=1e-5, rtol=1e-5)
    # By hand: (m - y) / v and (1 - (m - y)^2 / v) / 2.
    mean, log_variance = estimates[:2]
    z = (mean - truth) / (log_variance / 2).exp()
    torch.testing.assert_close(gradients[0], (z / (log_variance / 2).exp(), (1 - z**2) / 2))


def test_the_best_variance_is_that_of_the_observation_plus_the_squared_error():
    """An error of 2 and a variance of 3: 3 + 4."""
    log_variance = torch.tensor(7.0).log().requires_grad_()
    kullback_leibler(torch.tensor(1.0), log_variance, torch.tensor(3.0), torch.tensor(3.0)).backward()
    assert log_variance.grad.abs() < 1e-6


def test_the_mean_is_weighted_and_stages_have_their_shares(estimates):
    mean, log_variance, truth, variance, weight = estimates
    stages = [(mean, log_variance), (truth + 1, 0 * log_variance)]
    first = (gaussian(mean, log_variance, truth, variance) * weight).sum() / weight.sum()
    blind = truth.where(weight > 0, torch.nan), variance.where(weight > 0, torch.nan)
    torch.testing.assert_close(average_loss(gaussian, stages[:1], *blind, weight), first)
    torch.testing.assert_close(average_loss(gaussian, stages, *blind, weight), 0.3 * first + 0.7 * 0.5)
    torch.testing.assert_close(average_loss(gaussian, stages, *blind, weight, (2, 1)), 2 * first + 0.5)
    assert average_loss(gaussian, stages, *blind, 0 * weight) == 0


def test_penalties_of_weights_leave_biases_out():
    network = torch.nn.Conv2d(1, 1, (1, 2))
    with torch.no_grad():
        network.weight[:] = torch.tensor([3.0, -4.0])
        network.bias[:] = 100
    field = torch.zeros(1, 3, 3)
    assert absolute_weights(network, field, field) == 7
    loss = squared_weights(network, field, field)
    assert loss == 25
    loss.backward()
    assert network.weight.grad.flatten().tolist() == [6, -8]


def test_roughness_is_the_mean_square_of_second_differences():
    """They are 2 and 6 for x^2 + 3 y^2 and 0 for a plane; a standard error is exp(log-variance / 2)."""
    y, x = torch.meshgrid(torch.arange(5.0), torch.arange(6.0), indexing="ij")
    network, nothing = torch.nn.Identity(), torch.zeros(1, 5, 6)
    assert laplacian(network, (x**2 + 3 * y**2)[None], nothing) == 4 + 36
    assert laplacian(network, (x - 2 * y)[None], nothing) == 0
    assert laplacian(network, nothing, x[None]) == 0
    error = laplacian_of_error(network, nothing, 2 * (1 + x**2)[None].log())
    torch.testing.assert_close(error, torch.tensor(4.0), rtol=1e-4, atol=0)
