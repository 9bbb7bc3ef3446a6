"""The ends of the networks: a layer that starts at zero, and a Gaussian read from the last channels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import torch
from torch import Tensor, nn

Layer = TypeVar("Layer", bound=nn.Module)


def zero_weights(layer: Layer) -> Layer:
    """The layer, its weights and bias at zero: as a last layer, an untrained network changes nothing."""
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
    return layer


def mix_gaussians(means: Tensor, variances: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and variance (...) of an even mixture of n Gaussians of ``means`` and ``variances`` (n, ...).

    The variance is the mean of theirs and the variance of their means (the law of total variance): where they
    disagree, the mixture is less sure than they are.
    """
    return means.mean(0), variances.mean(0) + means.var(0, correction=0)


class Mixture(nn.Module):
    """Networks for one task, as one: (batch, inputs, y, x) to mean and log-error of the mixture they say."""

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
    """Mean and log-variance (batch, variables, y, x) in the channels (batch, 2 variables, y, x) of a network.

    The means come first, then the logarithms of the standard errors, which are held between the two bounds:
    without the lower one a likelihood has no bound where a value is met exactly. DINCAE 2
    (doi:10.5194/gmd-15-2183-2022) has ``least_log_error`` -5. Ours to differ from it: the second channel is
    log(error), not log(1 / error^2), and the first is the mean itself, not the mean over the variance, as
    `read_gaussian_by_precision` has them.

    The units are the caller's. Of a network that corrects a first guess g with error s the truth is
    g + s mean, with log-variance 2 log s + log-variance; without a first guess both are of the anomaly.
    Raises ValueError for an odd number of channels.
    """
    if channels.shape[1] % 2:
        raise ValueError(
            f"{channels.shape[1]} channels are not a mean and an error a variable: ask for an even number"
        )
    mean, log_error = channels.chunk(2, dim=1)
    return mean, 2 * log_error.clamp(least_log_error, most_log_error)


def read_gaussian_by_precision(
    channels: Tensor, most: float = 10.0, least: float = -6.9078
) -> tuple[Tensor, Tensor]:
    """The same as DINCAE has it: the first channels are means over variances, the second log-precisions.

    The logarithm of 1 / variance is held between ``least`` and ``most``, by default from a variance of a
    thousand to a standard error of exp(-5).
    """
    ratio, log_precision = channels.chunk(2, dim=1)
    log_variance = -log_precision.clamp(least, most)
    return ratio * log_variance.exp(), log_variance
