"""The system of Lorenz 1963 (doi:10.1175/1520-0469(1963)020<0130:DNF>2.0.CO;2), batched, in torch.

Its largest Lyapunov exponent is 0.9056 (Sprott 2003, Chaos and Time-Series Analysis) for the usual sigma 10,
rho 28, beta 8/3.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ...models.dynamics import Step, rk4, roll_out

_DISTANCE = 1e-6  # of a neighbour: far above rounding errors, far below the scale of nonlinear effects


def tendency(state: Tensor, sigma: float = 10.0, rho: float = 28.0, beta: float = 8 / 3) -> Tensor:
    """Compute d/dt of a state (..., 3), in Lorenz's dimensionless time."""
    x, y, z = state.unbind(-1)
    return torch.stack([sigma * (y - x), x * (rho - z) - y, x * y - beta * z], dim=-1)


def integrate(
    state: Tensor, steps: int, dt: float = 0.01, substeps: int = 2, system: Step = tendency
) -> Tensor:
    """Return a state (batch, n) and the ``steps`` that follow it every ``dt``: (batch, 1 + steps, n).

    Each step is integrated with ``substeps`` of the Runge-Kutta scheme, so a model that steps by ``dt`` does
    not share the numerical error of the truth. ``system`` is the tendency, of Lorenz 1963 or another system.
    """

    def step(state: Tensor) -> Tensor:
        for _ in range(substeps):
            state = rk4(system, state, dt / substeps)
        return state

    return torch.cat([state[:, None], roll_out(step, state, steps)], dim=1)


def estimate_lyapunov_exponent(step: Step, state: Tensor, steps: int, dt: float) -> float:
    """Estimate the largest Lyapunov exponent, per unit of time, of a step (batch, n) to (batch, n).

    It is the mean growth rate of the distance between each state and a neighbour that is brought back to a
    distance of 1e-6 after every step (Benettin et al. 1980, doi:10.1007/BF02128236); use double precision.
    The first tenth of the ``steps``, in which the neighbour turns into the growing direction, is discarded.
    """
    away = torch.full_like(state, _DISTANCE / state.shape[-1] ** 0.5)
    growth = []
    for _ in range(steps):
        neighbour = step(state + away)
        state = step(state)
        distance = (neighbour - state).norm(dim=-1, keepdim=True)
        growth.append((distance / _DISTANCE).log())
        away = (neighbour - state) * (_DISTANCE / distance)
    return float(torch.stack(growth[steps // 10 :]).mean()) / dt
