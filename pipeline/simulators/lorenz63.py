"""The system of Lorenz 1963 (doi:10.1175/1520-0469(1963)020<0130:DNF>2.0.CO;2), batched, in torch.

Its largest Lyapunov exponent is 0.9056 (Sprott 2003, Chaos and Time-Series Analysis) for the usual sigma 10,
rho 28, beta 8/3.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ...models.dynamics import Step, rk4, roll_out

_NEAR = 1e-6  # of a neighbour: far above double precision, far below what bends


def tendency(state: Tensor, sigma: float = 10.0, rho: float = 28.0, beta: float = 8 / 3) -> Tensor:
    """d/dt of a state (..., 3), in the dimensionless time of Lorenz."""
    x, y, z = state.unbind(-1)
    return torch.stack([sigma * (y - x), x * (rho - z) - y, x * y - beta * z], dim=-1)


def integrate(
    state: Tensor, steps: int, dt: float = 0.01, substeps: int = 2, system: Step = tendency
) -> Tensor:
    """A state (batch, n) and the ``steps`` that follow it every ``dt``: (batch, 1 + steps, n).

    Each is integrated in ``substeps`` of the Runge-Kutta scheme, so that a model which steps by ``dt`` does
    not share the error of the truth. ``system`` is the tendency, of Lorenz 1963 or another.
    """

    def step(state: Tensor) -> Tensor:
        for _ in range(substeps):
            state = rk4(system, state, dt / substeps)
        return state

    return torch.cat([state[:, None], roll_out(step, state, steps)], dim=1)


def estimate_lyapunov_exponent(step: Step, state: Tensor, steps: int, dt: float) -> float:
    """The mean exponential growth, per unit of time, of small errors of a step (batch, n) to (batch, n).

    A neighbour follows each state and is brought back to a distance of 1e-6 at every step (Benettin et al.
    1980, doi:10.1007/BF02128236): ask for it in double precision. The first tenth of the ``steps``, while it
    turns into the growing direction, does not count.
    """
    away = torch.full_like(state, _NEAR / state.shape[-1] ** 0.5)
    growth = []
    for _ in range(steps):
        neighbour = step(state + away)
        state = step(state)
        distance = (neighbour - state).norm(dim=-1, keepdim=True)
        growth.append((distance / _NEAR).log())
        away = (neighbour - state) * (_NEAR / distance)
    return float(torch.stack(growth[steps // 10 :]).mean()) / dt
