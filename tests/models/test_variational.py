"""The Gaussians of the variational auto-encoder."""

from __future__ import annotations

import torch
from oceanfill.models.variational import VariationalAutoEncoder, compute_kl_divergence, draw_gaussian
from torch.distributions import Normal, kl_divergence
from torch.nn.init import normal_

torch.set_num_threads(1)


def make_gaussians(*shape):
    draws = torch.Generator().manual_seed(0)
    return torch.randn(shape, generator=draws), torch.randn(shape, generator=draws)


def test_the_divergence_equals_torchs():
    mean, log_variance = make_gaussians(7, 3)
    expected = kl_divergence(Normal(mean, torch.exp(log_variance / 2)), Normal(0.0, 1.0)).sum(1)
    torch.testing.assert_close(compute_kl_divergence(mean, log_variance), expected)
    assert compute_kl_divergence(torch.zeros(1, 4), torch.zeros(1, 4)).item() == 0


def test_draws_have_the_given_mean_and_variance():
    torch.manual_seed(0)
    mean, log_variance = make_gaussians(1, 3)
    draws = draw_gaussian(mean.expand(100_000, -1), log_variance.expand(100_000, -1))
    deviation = torch.exp(log_variance[0] / 2)
    assert ((draws.mean(0) - mean[0]).abs() < 4 * deviation / 100_000**0.5).all()
    torch.testing.assert_close(draws.std(0), deviation, rtol=0.01, atol=0)


def test_a_draw_is_decoded_in_training_and_the_mean_otherwise():
    torch.manual_seed(0)
    module = VariationalAutoEncoder(1, 1, (9, 8), 2, widths=(4, 4))
    normal_(module.decoder[-1].weight)
    x = torch.rand(3, 1, 9, 8)
    module.eval()
    assert torch.equal(module(x), module.decode(module.encode(x))[..., :9, :8])
    module.train()
    torch.manual_seed(1)
    output = module(x)
    torch.manual_seed(1)
    mean, log_variance = module.encode_gaussian(x)
    code = mean + torch.exp(log_variance / 2) * torch.randn(3, 2)
    torch.testing.assert_close(output, module.decode(code)[..., :9, :8])
    assert (code - mean).abs().min() > 1e-3
    output.square().sum().backward()
    assert module.log_variance.weight.grad.any()
