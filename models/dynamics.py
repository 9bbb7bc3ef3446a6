"""One-step models of an autonomous system: state (batch, n) to the state one time step later.

A tendency is any function of the state. An integrator, a plain function passed as an argument, turns it into
a step. Chen et al. 2018 (arXiv 1806.07366) and Fablet, Ouala and Herzet 2018 (arXiv 1712.07003) fit such
models to data.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor, nn

from .head import zero_weights

Step = Callable[[Tensor], Tensor]  # from a state (batch, n) to its tendency, or to the state one step later
Integrator = Callable[[Step, Tensor, float], Tensor]


def euler(tendency: Step, state: Tensor, dt: float) -> Tensor:
    """Advance the state by ``dt`` with the explicit Euler scheme, of order 1."""
    return state + dt * tendency(state)


def rk4(tendency: Step, state: Tensor, dt: float) -> Tensor:
    """Advance the state by ``dt`` with the classical Runge-Kutta scheme (Kutta 1901), of order 4."""
    k1 = tendency(state)
    k2 = tendency(state + dt / 2 * k1)
    k3 = tendency(state + dt / 2 * k2)
    k4 = tendency(state + dt * k3)
    return state + dt / 6 * (k1 + 2 * k2 + 2 * k3 + k4)


def roll_out(step: Step, state: Tensor, steps: int) -> Tensor:
    """Return the ``steps`` states that follow a state (batch, n): (batch, steps, n)."""
    states = []
    for _ in range(steps):
        state = step(state)
        states.append(state)
    return torch.stack(states, dim=1)


class OneStep(nn.Module):
    """A learnt tendency with the ``integrator`` that turns it into a step; the unit of time is one step.

    `euler` with ``nn.Linear(n, n)`` is the linear autoregressive model; `euler` with a perceptron
    (`make_mlp`) is a residual network.
    """

    def __init__(self, tendency: nn.Module, integrator: Integrator = rk4) -> None:
        super().__init__()
        self.tendency, self.integrator = tendency, integrator

    def start(self, past: Tensor) -> Tensor:
        """Return the state to step from: the last of the observed states (batch, time, n)."""
        return past[:, -1]

    def forward(self, state: Tensor) -> Tensor:
        return self.integrator(self.tendency, state, 1.0)


def make_mlp(size: int, hidden: int = 64, layers: int = 2) -> nn.Sequential:
    """Build a tendency (batch, size) to (batch, size) of ``layers`` hidden layers, initially zero."""
    widths = [size] + [hidden] * layers
    inner = [part for before, after in pairwise(widths) for part in (nn.Linear(before, after), nn.Tanh())]
    return nn.Sequential(*inner, zero_weights(nn.Linear(widths[-1], size)))


class Bilinear(nn.Module):
    """The quadratic tendency b + A x + x' B x: (batch, size) to (batch, size).

    Fablet, Ouala and Herzet 2018 (arXiv 1712.07003); Lorenz's systems have this form. It starts at zero, i.e.
    as persistence, because products with random weights would diverge before they are trained.
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        self.linear = zero_weights(nn.Linear(size, size))
        self.products = zero_weights(nn.Bilinear(size, size, size, bias=False))

    def forward(self, state: Tensor) -> Tensor:
        return self.linear(state) + self.products(state, state)
