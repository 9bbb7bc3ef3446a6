"""What networks are trained on that say a mean and a variance, and what may be added to it.

A loss is a function of mean, log-variance, truth and the variance of the truth's error (all of one shape) to
what each value costs. A penalty is one of a network and of the mean and log-variance (batch, y, x) that it
says, to one number. Both are passed by their names in full, as ``oceanfill.models.losses.gaussian``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

Loss = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]
Penalty = Callable[[nn.Module, Tensor, Tensor], Tensor]

REFINED = (0.3, 0.7)  # weights of the losses of a network and of the one that refines it (DINCAE 2)
_LEAST_VARIANCE = 1e-8  # of a truth that is known exactly: its divergence has no bound


def gaussian(mean: Tensor, log_variance: Tensor, truth: Tensor, variance: Tensor) -> Tensor:
    """Negative log-likelihood of the truth, less log(2 pi) / 2; its own ``variance`` plays no part.

    Nix and Weigend 1994, doi:10.1109/ICNN.1994.374138.
    """
    return (truth - mean) ** 2 * torch.exp(-log_variance) / 2 + log_variance / 2


def kullback_leibler(mean: Tensor, log_variance: Tensor, truth: Tensor, variance: Tensor) -> Tensor:
    """Divergence of the Gaussian that is said from the observation's, N(truth, variance).

    Kullback and Leibler 1951, doi:10.1214/aoms/1177729694; the mean is taken over the observation's Gaussian,
    so that this is the likelihood of an uncertain truth (DINCAE 2, doi:10.5194/gmd-15-2183-2022). It is least
    with a variance of the observation's and the square of what the mean misses.
    """
    variance = variance.clamp(min=_LEAST_VARIANCE)
    own = (variance * torch.exp(-log_variance) - variance.log() - 1) / 2
    return gaussian(mean, log_variance, truth, variance) + own


def average_loss(
    loss: Loss,
    stages: Sequence[tuple[Tensor, Tensor]],
    truth: Tensor,
    variance: Tensor,
    weight: Tensor,
    parts: Sequence[float] = REFINED,
) -> Tensor:
    """The loss of mean and log-variance (batch, y, x), averaged over a batch by the ``weight`` of its cells.

    Truth and variance may be anything, NaN too, where the weight is zero. Of several ``stages`` the losses
    are added, each times its part.
    """
    truth, variance = (torch.where(weight > 0, known, 1.0) for known in (truth, variance))
    share = weight / weight.float().sum().clamp(min=1e-6)
    losses = [(loss(*said, truth, variance) * share).sum() for said in stages]
    shares = parts if len(losses) > 1 else [1.0]
    return torch.stack([part * one for part, one in zip(shares, losses, strict=True)]).sum()


def absolute_weights(network: nn.Module, mean: Tensor, log_variance: Tensor) -> Tensor:
    """L1: the sum of the weights' sizes. Biases are free."""
    return torch.stack([weight.abs().sum() for weight in _list_weights(network)]).sum()


def squared_weights(network: nn.Module, mean: Tensor, log_variance: Tensor) -> Tensor:
    """L2: the sum of the weights' squares. Biases are free."""
    return torch.stack([weight.square().sum() for weight in _list_weights(network)]).sum()


def laplacian(network: nn.Module, mean: Tensor, log_variance: Tensor) -> Tensor:
    """Roughness of the mean: that of the squares of its second differences along y and x, added."""
    return _roughness(mean)


def laplacian_of_error(network: nn.Module, mean: Tensor, log_variance: Tensor) -> Tensor:
    """The same of the standard error."""
    return _roughness(torch.exp(log_variance / 2))


def _list_weights(network: nn.Module) -> list[Tensor]:
    return [weight for weight in network.parameters() if weight.dim() > 1]


def _roughness(field: Tensor) -> Tensor:
    return field.diff(n=2, dim=-2).square().mean() + field.diff(n=2, dim=-1).square().mean()
