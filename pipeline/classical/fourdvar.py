"""Weak-constraint variational assimilation with automatic differentiation, of tensors (batch, time, n).

Trémolet 2006 (doi:10.1256/qj.05.224): the states of a window minimise their distance from the observations
and from the prediction of a prior, each weighted by its error variance.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ...models.dynamics import Step


def dynamics(step: Step, states: Tensor) -> Tensor:
    """Predict each state from the one before with a one-step model (batch, n); the first stays as it is."""
    expected = step(states[:, :-1].flatten(0, 1)).view_as(states[:, 1:])
    return torch.cat([states[:, :1], expected], dim=1)


def cost(
    states: Tensor, observed: Tensor, known: Tensor, prior: Step, noise_variance: float, prior_variance: float
) -> Tensor:
    """Compute the variational cost (batch,) of states (batch, time, n): half the sum of normalised squares.

    ``observed`` counts where ``known`` (boolean, same shape) is true, with the error variance
    ``noise_variance``. ``prior`` maps states to their predictions (`dynamics`, or a network), with the error
    variance ``prior_variance``.
    """
    misfit = torch.where(known, states - observed, 0.0).square().sum((1, 2)) / noise_variance
    return (misfit + (states - prior(states)).square().sum((1, 2)) / prior_variance) / 2


def analyse(
    first: Tensor,
    observed: Tensor,
    known: Tensor,
    prior: Step,
    *,
    noise_variance: float,
    prior_variance: float,
    iterations: int = 500,
) -> Tensor:
    """Minimise the `cost` over states (batch, time, n) by L-BFGS, starting from ``first``.

    All windows share the line search. Liu and Nocedal 1989 (doi:10.1007/BF01589116).
    """
    states = first.clone(memory_format=torch.contiguous_format).requires_grad_()
    search = torch.optim.LBFGS(
        [states],
        max_iter=iterations,
        max_eval=2 * iterations,
        history_size=30,
        tolerance_grad=1e-6,
        tolerance_change=1e-12,
        line_search_fn="strong_wolfe",
    )

    def closure() -> Tensor:
        search.zero_grad()
        total = cost(states, observed, known, prior, noise_variance, prior_variance).sum()
        total.backward()
        return total

    search.step(closure)
    return states.detach()
