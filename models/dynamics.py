"""One-step models of a state that evolves by itself: (batch, n) to (batch, n), one time step later.

A tendency is any function of the state; an integrator, a plain function passed as an argument, makes a step
of it. Chen et al. 2018 (arXiv 1806.07366) and Fablet, Ouala and Herzet 2018 (arXiv 1712.07003) fit such
models to data.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor, nn

from .head import zero_weights

Step = Callable[[Tensor], Tensor]  # of a state (batch, n): its tendency, or the state one step later
Integrator = Callable[[Step, Tensor, float], Tensor]


def euler(tendency: Step, state: Tensor, dt: float) -> Tensor:
    """The state after ``dt`` by the explicit Euler scheme, of order 1."""
    return state + dt * tendency(state)


def rk4(tendency: Step, state: Tensor, dt: float) -> Tensor:
    """The state after ``dt`` by the classical Runge-Kutta scheme (Kutta 1901), of order 4."""
    k1 = tendency(state)
    k2 = tendency(state + dt / 2 * k1)
    k3 = tendency(state + dt / 2 * k2)
    k4 = tendency(state + dt * k3)
    return state + dt / 6 * (k1 + 2 * k2 + 2 * k3 + k4)


def roll_out(step: Step, state: Tensor, steps: int) -> Tensor:
    """The ``steps`` states that follow a state (batch, n): (batch, steps, n)."""
    states = []
    for _ in range(steps):
        state = step(state)
        states.append(state)
    return torch.stack(states, dim=1)


class OneStep(nn.Module):
    """A learnt tendency made a step by an ``integrator``; time counts in steps.

    The linear autoregressive model is `euler` of ``nn.Linear(n, n)``; a residual network is `euler` of an
    `make_mlp`.
    """

    def __init__(self, tendency: nn.Module, integrator: Integrator = rk4) -> None:
        super().__init__()
        self.tendency, self.integrator = tendency, integrator

    def start(self, past: Tensor) -> Tensor:
        """The state to step from, after the observed states (batch, time, n): the last of them."""
        return past[:, -1]

    def forward(self, state: Tensor) -> Tensor:
        return self.integrator(self.tendency, state, 1.0)


def make_mlp(size: int, hidden: int = 64, layers: int = 2) -> nn.Sequential:
    """A tendency (batch, size) to (batch, size) of ``layers`` hidden layers, zero at first."""
    widths = [size] + [hidden] * layers
    inner = [part for before, after in pairwise(widths) for part in (nn.Linear(before, after), nn.Tanh())]
    return nn.Sequential(*inner, zero_weights(nn.Linear(widths[-1], size)))


class Bilinear(nn.Module):
    """The quadratic tendency b + A x + x' B x: (batch, size) to (batch, size).

    Fablet, Ouala and Herzet 2018 (arXiv 1712.07003); Lorenz's systems are of this form. It
    starts at zero, as persistence: products of random weights would run away before they learn.
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        self.linear = zero_weights(nn.Linear(size, size))
        self.products = zero_weights(nn.Bilinear(size, size, size, bias=False))

    def forward(self, state: Tensor) -> Tensor:
        return self.linear(state) + self.products(state, state)
