"""Losses for networks that estimate a mean and a variance, and penalties that may be added to them.

A loss maps mean, log-variance, truth and the variance of the truth's error (all of one shape) to the cost of
each value. A penalty maps a network and its mean and log-variance (batch, y, x) to one number. Both are given
by their full names, for example ``oceanfill.models.losses.gaussian``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

Loss = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]
Penalty = Callable[[nn.Module, Tensor, Tensor], Tensor]

REFINED = (0.3, 0.7)  # loss weights of a network and of the one that refines it (DINCAE 2)
_LEAST_VARIANCE = 1e-8  # the divergence from an exactly known truth is infinite


def gaussian(mean: Tensor, log_variance: Tensor, truth: Tensor, variance: Tensor) -> Tensor:
    """Negative log-likelihood of the truth, less log(2 pi) / 2; the truth's ``variance`` is not used.

    Nix and Weigend 1994, doi:10.1109/ICNN.1994.374138.
    """
    return (truth - mean) ** 2 * torch.exp(-log_variance) / 2 + log_variance / 2


def kullback_leibler(mean: Tensor, log_variance: Tensor, truth: Tensor, variance: Tensor) -> Tensor:
    """Divergence of the estimated Gaussian from the observation's, N(truth, variance).

    Kullback and Leibler 1951, doi:10.1214/aoms/1177729694. The mean is taken over the observation's Gaussian,
    so this is the likelihood of an uncertain truth (DINCAE 2, doi:10.5194/gmd-15-2183-2022). The best
    variance is that of the observation plus the squared error of the mean.
    """
    variance = variance.clamp(min=_LEAST_VARIANCE)
    from_noise = (variance * torch.exp(-log_variance) - variance.log() - 1) / 2
    return gaussian(mean, log_variance, truth, variance) + from_noise


def average_loss(
    loss: Loss,
    stages: Sequence[tuple[Tensor, Tensor]],
    truth: Tensor,
    variance: Tensor,
    weight: Tensor,
    parts: Sequence[float] = REFINED,
) -> Tensor:
    """Average a loss of mean and log-variance (batch, y, x) over a batch, by the ``weight`` of its cells.

    Where the weight is zero, truth and variance may have any value, NaN included. The losses of several
    ``stages`` are added, each times its share in ``parts``.
    """
    truth, variance = (torch.where(weight > 0, known, 1.0) for known in (truth, variance))
    share = weight / weight.float().sum().clamp(min=1e-6)
    losses = [(loss(*stage, truth, variance) * share).sum() for stage in stages]
    shares = parts if len(losses) > 1 else [1.0]
    return torch.stack([part * one for part, one in zip(shares, losses, strict=True)]).sum()


def absolute_weights(network: nn.Module, mean: Tensor, log_variance: Tensor) -> Tensor:
    """L1 penalty: the sum of absolute weights, without biases."""
    return torch.stack([weight.abs().sum() for weight in _list_weights(network)]).sum()


def squared_weights(network: nn.Module, mean: Tensor, log_variance: Tensor) -> Tensor:
    """L2 penalty: the sum of squared weights, without biases."""
    return torch.stack([weight.square().sum() for weight in _list_weights(network)]).sum()


def laplacian(network: nn.Module, mean: Tensor, log_variance: Tensor) -> Tensor:
    """Roughness of the mean: the mean squared second difference along y plus that along x."""
    return _roughness(mean)


def laplacian_of_error(network: nn.Module, mean: Tensor, log_variance: Tensor) -> Tensor:
    """Roughness of the standard error, defined as in `laplacian`."""
    return _roughness(torch.exp(log_variance / 2))


def _list_weights(network: nn.Module) -> list[Tensor]:
    return [weight for weight in network.parameters() if weight.dim() > 1]


def _roughness(field: Tensor) -> Tensor:
    return field.diff(n=2, dim=-2).square().mean() + field.diff(n=2, dim=-1).square().mean()
