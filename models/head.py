"""Network outputs: a last layer that starts at zero, and the Gaussian in the last channels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import torch
from torch import Tensor, nn

Layer = TypeVar("Layer", bound=nn.Module)


def zero_weights(layer: Layer) -> Layer:
    """Set the weights and bias of a layer to zero and return it.

    With such a last layer an untrained network changes nothing.
    """
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
    return layer


def mix_gaussians(means: Tensor, variances: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean and variance (...) of an even mixture of n Gaussians, given theirs (n, ...).

    The variance is the mean of the variances plus the variance of the means (the law of total variance), so
    it grows where the members disagree.
    """
    return means.mean(0), variances.mean(0) + means.var(0, correction=0)


class Mixture(nn.Module):
    """Combines networks for one task: (batch, inputs, y, x) to mean and log error of their mixture."""

    def __init__(self, networks: Sequence[nn.Module]) -> None:
        super().__init__()
        self.networks = nn.ModuleList(networks)

    def forward(self, x: Tensor) -> Tensor:
        means, log_variances = zip(*(read_gaussian(network(x)) for network in self.networks), strict=True)
        mean, variance = mix_gaussians(torch.stack(means), torch.stack(log_variances).exp())
        return torch.cat([mean, variance.log() / 2], dim=1)


def read_gaussian(
    channels: Tensor, least_log_error: float = -4.0, most_log_error: float = 4.0
) -> tuple[Tensor, Tensor]:
    """Read mean and log-variance (batch, variables, y, x) from network channels (batch, 2 variables, y, x).

    The first half of the channels are the means, the second half the logarithms of the standard errors, which
    are clipped to the two bounds: without the lower one the likelihood is unbounded where a value is met
    exactly. DINCAE 2 (doi:10.5194/gmd-15-2183-2022) uses ``least_log_error`` -5. Differences from it: the
    second channel is log(error), not log(1 / error^2), and the first is the mean itself, not the mean over
    the variance (`read_gaussian_by_precision` has the original form).

    The units are the caller's. If a network corrects a first guess g with standard error s, the truth is g +
    s mean, with log-variance 2 log s + log-variance; without a first guess both refer to the anomaly. Raises
    ValueError for an odd number of channels.
    """
    if channels.shape[1] % 2:
        raise ValueError(
            f"{channels.shape[1]} channels are not a mean and an error per variable; the number must be even"
        )
    mean, log_error = channels.chunk(2, dim=1)
    return mean, 2 * log_error.clamp(least_log_error, most_log_error)


def read_gaussian_by_precision(
    channels: Tensor, most: float = 10.0, least: float = -6.9078
) -> tuple[Tensor, Tensor]:
    """Read mean and log-variance from DINCAE's own outputs: mean over variance and log-precision.

    The logarithm of 1 / variance is clipped to ``least`` and ``most``; by default the variance is at most
    1000 and the standard error at least exp(-5).
    """
    ratio, log_precision = channels.chunk(2, dim=1)
    log_variance = -log_precision.clamp(least, most)
    return ratio * log_variance.exp(), log_variance
