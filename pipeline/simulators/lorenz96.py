"""The system of Lorenz 1996 (Predictability: a problem partly solved, ECMWF), for `lorenz63.integrate`.

A ring of variables, dx_i/dt = (x_{i+1} - x_{i-2}) x_{i-1} - x_i + F. With 40 variables and F = 8 its largest
Lyapunov exponent is about 1.67 (Lorenz and Emanuel 1998, doi:10.1175/1520-0469(1998)055<0399:OSFSWO>2.0.CO;2:
errors double in 2.1 days of 0.2 time units).
"""

from __future__ import annotations

from torch import Tensor


def tendency(state: Tensor, forcing: float = 8.0) -> Tensor:
    """Compute d/dt of a state (..., variables)."""
    advection = (state.roll(-1, -1) - state.roll(2, -1)) * state.roll(1, -1)
    return advection - state + forcing
