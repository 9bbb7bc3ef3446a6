"""The course's Lorenz-63 series, its training, validation and test parts, and noisy observations of it."""

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
def simulate_series() -> Tensor:
    """Simulate the series: (20000, 3) float64, 19999 steps of 0.01 from (8, 0, 30)."""
    start = torch.tensor([[8.0, 0.0, 30.0]], dtype=torch.float64)
    return integrate(start, 19999, DT)[0]


def cut_windows(series: Tensor, part: slice, length: int, every: int = 1) -> Tensor:
    """Cut the windows (count, length, 3) that start ``every`` steps in a part of the series (time, 3)."""
    return series[part].unfold(0, length, every).transpose(1, 2)


class ObservedWindows(NamedTuple):
    """Windows with noisy observations of some of their steps."""

    truth: Tensor  # (batch, time, 3)
    values: Tensor  # (batch, time, 3), 0 where not observed
    observed: Tensor  # (batch, time, 3), boolean


def observe_windows(truth: Tensor, every: int, rng: torch.Generator) -> ObservedWindows:
    """Observe all components of windows (batch, time, 3) with noise, ``every`` steps from the first."""
    observed = torch.zeros_like(truth, dtype=torch.bool)
    observed[:, ::every] = True
    noise = torch.randn(truth.shape, dtype=truth.dtype, generator=rng)
    return ObservedWindows(truth, torch.where(observed, truth + NOISE_VARIANCE**0.5 * noise, 0.0), observed)


def interpolate_spline(windows: ObservedWindows, degree: int = 1) -> Tensor:
    """Interpolate (batch, time, 3) by a spline of this degree, constant after the last observation."""
    times = np.flatnonzero(windows.observed[0, :, 0].numpy())
    wanted = np.arange(windows.truth.shape[1]).clip(times[0], times[-1])
    spline = make_interp_spline(times, windows.values[:, times].numpy(), k=degree, axis=1)
    return torch.from_numpy(spline(wanted)).to(windows.truth)
