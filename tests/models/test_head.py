"""The Gaussian in a network's channels, and mixtures of Gaussians."""

import math

import pytest
import torch
from oceanfill.models.head import (
    Mixture,
    mix_gaussians,
    read_gaussian,
    read_gaussian_by_precision,
    zero_weights,
)


def test_means_come_first_and_log_errors_are_clipped():
    channels = torch.tensor([1.0, -20.0, 0.5, -9.0])[None, :, None, None].expand(1, 4, 2, 3)
    mean, log_variance = read_gaussian(channels)
    assert mean[0, :, 1, 2].tolist() == [1, -20]
    assert log_variance[0, :, 1, 2].tolist() == [1, -8]
    assert read_gaussian(20 - channels)[1][0, :, 0, 0].tolist() == [8, 8]
    assert read_gaussian(channels, least_log_error=-5)[1][0, 1, 0, 0] == -10  # as in DINCAE 2


def test_the_variance_of_a_mixture_includes_the_spread_of_its_means():
    """Means 1 and 3 with variances 0.5 and 1.5: mean 2, variance 1 + 1, not the squared mean of sigmas."""
    mean, variance = mix_gaussians(
        torch.tensor([[1.0, 4.0], [3.0, 4.0]]), torch.tensor([[0.5, 9.0], [1.5, 1.0]])
    )
    assert (mean.tolist(), variance.tolist()) == ([2, 4], [2, 5])
    assert [part.tolist() for part in mix_gaussians(mean[None], variance[None])] == [[2, 4], [2, 5]]


def test_combined_networks_return_the_mean_and_error_of_their_mixture():
    networks = [torch.nn.Conv2d(3, 4, 1) for _ in range(3)]
    x = torch.randn(2, 3, 5, 6)
    members = [read_gaussian(network(x)) for network in networks]
    first = sum(mean for mean, _ in members) / 3
    second = sum(mean**2 + log_variance.exp() for mean, log_variance in members) / 3
    mean, log_variance = read_gaussian(Mixture(networks)(x))
    torch.testing.assert_close(mean, first)
    torch.testing.assert_close(log_variance.exp(), second - first**2)


def test_dincaes_outputs_are_mean_over_variance_and_log_precision():
    """Precisions 2 and 0.5; one with a standard error below exp(-5), one with a variance above 1000."""
    logs = torch.tensor([2.0, 0.5]).log().tolist()
    channels = torch.tensor([[3.0, 3, 3, 3], [*logs, 11, -9]])[None, :, :, None]
    mean, log_variance = read_gaussian_by_precision(channels)
    assert mean.flatten().tolist() == pytest.approx([1.5, 6, 3 * math.exp(-10), 3000], rel=1e-4)
    assert log_variance.exp().flatten().tolist() == pytest.approx([0.5, 2, math.exp(-10), 1000], rel=1e-4)


def test_three_channels_are_refused():
    with pytest.raises(ValueError, match="3 channels are not a mean and an error per variable"):
        read_gaussian(torch.zeros(1, 3, 2, 2))


def test_a_layer_with_zero_weights_returns_zero():
    layer = torch.nn.Conv2d(3, 2, 1)
    assert layer(torch.ones(1, 3, 4, 4)).all()
    assert zero_weights(layer) is layer
    assert not layer(torch.ones(1, 3, 4, 4)).any()
