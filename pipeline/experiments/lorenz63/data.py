"""The course's Lorenz-63 series: which of its steps train, select and test, and noisy observations of it."""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import numpy as np
import torch
from scipy.interpolate import make_interp_spline
from torch import Tensor

from ...simulators.lorenz63 import integrate

DT = 0.01
TRAINING, VALIDATION, TEST = slice(3000, 15000), slice(15000, 17500), slice(17500, 20000)
NOISE_VARIANCE = 2.0  # of an observation, in the units of the system


@cache
def series() -> Tensor:
    """(20000, 3) float64: 19999 steps of 0.01 from (8, 0, 30)."""
    start = torch.tensor([[8.0, 0.0, 30.0]], dtype=torch.float64)
    return integrate(start, 19999, DT)[0]


def windows(states: Tensor, part: slice, length: int, every: int = 1) -> Tensor:
    """(count, length, 3): the windows that lie in a part of the series (time, 3), each ``every`` steps."""
    return states[part].unfold(0, length, every).transpose(1, 2)


class Observed(NamedTuple):
    """Windows seen through gaps and noise."""

    truth: Tensor  # (batch, time, 3)
    values: Tensor  # (batch, time, 3), 0 where not seen
    known: Tensor  # (batch, time, 3), boolean


def observe(truth: Tensor, every: int, draws: torch.Generator) -> Observed:
    """All components of windows (batch, time, 3) each ``every`` steps from the first, with noise."""
    known = torch.zeros_like(truth, dtype=torch.bool)
    known[:, ::every] = True
    noise = torch.randn(truth.shape, dtype=truth.dtype, generator=draws)
    return Observed(truth, torch.where(known, truth + NOISE_VARIANCE**0.5 * noise, 0.0), known)


def interpolate(seen: Observed, degree: int = 1) -> Tensor:
    """(batch, time, 3) of the spline of a ``degree`` through the observed steps; constant beyond the last."""
    times = np.flatnonzero(seen.known[0, :, 0].numpy())
    wanted = np.arange(seen.truth.shape[1]).clip(times[0], times[-1])
    spline = make_interp_spline(times, seen.values[:, times].numpy(), k=degree, axis=1)
    return torch.from_numpy(spline(wanted)).to(seen.truth)
