"""The variational auto-encoder's Gaussians."""

from __future__ import annotations

import torch
from oceanfill.models.variational import VariationalAutoEncoder, compute_kl_divergence, draw_gaussian
from torch.distributions import Normal, kl_divergence
from torch.nn.init import normal_

torch.set_num_threads(1)


def gaussians(*shape):
    draws = torch.Generator().manual_seed(0)
    return torch.randn(shape, generator=draws), torch.randn(shape, generator=draws)


def test_the_divergence_is_that_of_torch():
    mean, log_variance = gaussians(7, 3)
    expected = kl_divergence(Normal(mean, torch.exp(log_variance / 2)), Normal(0.0, 1.0)).sum(1)
    torch.testing.assert_close(compute_kl_divergence(mean, log_variance), expected)
    assert compute_kl_divergence(torch.zeros(1, 4), torch.zeros(1, 4)).item() == 0


def test_draws_have_the_mean_and_the_variance():
    torch.manual_seed(0)
    mean, log_variance = gaussians(1, 3)
    drawn = draw_gaussian(mean.expand(100_000, -1), log_variance.expand(100_000, -1))
    deviation = torch.exp(log_variance[0] / 2)
    assert ((drawn.mean(0) - mean[0]).abs() < 4 * deviation / 100_000**0.5).all()
    torch.testing.assert_close(drawn.std(0), deviation, rtol=0.01, atol=0)


def test_the_mean_is_decoded_except_in_training():
    torch.manual_seed(0)
    module = VariationalAutoEncoder(1, 1, (9, 8), 2, widths=(4, 4))
    normal_(module.decoder[-1].weight)
    x = torch.rand(3, 1, 9, 8)
    module.eval()
    assert torch.equal(module(x), module.decode(module.encode(x))[..., :9, :8])
    module.train()
    assert not torch.equal(module(x), module(x))
    module(x).square().sum().backward()
    assert module.log_variance.weight.grad.any()
