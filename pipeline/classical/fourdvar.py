"""Weak-constraint variational assimilation by automatic gradients, of tensors (batch, time, n).

Trémolet 2006 (doi:10.1256/qj.05.224): the states of a window are those that minimise their distance from the
observations and from what a prior makes of them, each weighed by its error variance.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ...models.dynamics import Step


def dynamics(step: Step, states: Tensor) -> Tensor:
    """What a one-step model (batch, n) expects of each state after the one before it; the first is free."""
    expected = step(states[:, :-1].flatten(0, 1)).view_as(states[:, 1:])
    return torch.cat([states[:, :1], expected], dim=1)


def cost(
    states: Tensor, observed: Tensor, known: Tensor, prior: Step, noise_variance: float, prior_variance: float
) -> Tensor:
    """The variational cost (batch,) of states (batch, time, n), half of each sum of normalised squares.

    ``observed`` counts where ``known`` (boolean, same shape) is true, with errors of ``noise_variance``;
    ``prior`` maps states to states that it expects (`dynamics`, or a network), within ``prior_variance``.
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
    """The states (batch, time, n) that minimise the `cost`, from those of ``first``, by L-BFGS.

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
