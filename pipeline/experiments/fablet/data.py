"""Windows of Lorenz's systems of 1963 and 1996 and their noisy observations (Fablet et al. 2021)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ....models.dynamics import Step
from ...simulators import lorenz63, lorenz96
from ..lorenz63.data import NOISE_VARIANCE, simulate_series

LENGTH = 200  # steps of a window
_MARGIN = 10  # steps at both ends of a window of Lorenz-63 that are not observed
_SPIN_UP = 1000  # steps of Lorenz-96


class AssimilationWindows(NamedTuple):
    """Windows (batch, n, time) in the units of the system."""

    truth: Tensor
    first_guess: Tensor  # linear interpolation between the observations
    values: Tensor  # of the observations, 0 where there is none
    observed: Tensor  # boolean


Pattern = Callable[[Tensor, torch.Generator], Tensor]  # windows to the mask of their observations


@dataclass(frozen=True)
class System:
    """A series of a dynamical system and the pattern of its observations."""

    tendency: Step
    dt: float
    pattern: Pattern
    series: Callable[[], Tensor]  # (time, n)
    training: slice  # of the series
    validation: slice
    test: slice
    ring: bool = False  # whether the variables lie on a ring and obey one equation

    def draw_windows(self, part: slice, count: int, seed: int) -> Tensor:
        """Draw windows (count, n, LENGTH) from random places in a part of the series."""
        series = self.series()[part].float()
        rng = np.random.default_rng(seed)
        starts = rng.integers(0, len(series) - LENGTH + 1, count)
        return series.unfold(0, LENGTH, 1)[torch.from_numpy(starts)]

    def observe(self, truth: Tensor, rng: torch.Generator) -> AssimilationWindows:
        """Observe windows (batch, n, time) with noise, where the pattern has observations."""
        observed = self.pattern(truth, rng)
        noise = torch.randn(truth.shape, generator=rng)
        values = torch.where(observed, truth + NOISE_VARIANCE**0.5 * noise, 0.0)
        return AssimilationWindows(truth, interpolate_linearly(values, observed), values, observed)

    def arrange(self, windows: Tensor) -> Tensor:
        """Arrange windows (batch, n, time) for networks: on a ring as maps (batch, 1, n, time)."""
        return windows[:, None] if self.ring else windows


def interpolate_linearly(values: Tensor, observed: Tensor) -> Tensor:
    """Interpolate along the last axis, constant beyond the outermost observations.

    A row without observations gets the mean of all observations.
    """
    rows, masks = (part.numpy().reshape(-1, part.shape[-1]) for part in (values, observed))
    steps = np.arange(rows.shape[1])
    mean = rows[masks].mean()
    interpolated = [
        np.interp(steps, steps[mask], row[mask]) if mask.any() else np.full(len(steps), mean)
        for row, mask in zip(rows, masks, strict=True)
    ]
    return torch.from_numpy(np.stack(interpolated).astype(np.float32)).view_as(values)


@cache
def _simulate_lorenz96() -> Tensor:
    start = 8 + torch.randn(1, 40, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    steps = 20_000 + _SPIN_UP - 1
    return lorenz63.integrate(start, steps, 0.05, system=lorenz96.tendency)[0, _SPIN_UP:]


def _observe_every_eighth(components: int) -> Pattern:
    def pattern(truth: Tensor, rng: torch.Generator) -> Tensor:
        observed = torch.zeros_like(truth, dtype=torch.bool)
        observed[:, :components, _MARGIN : LENGTH - _MARGIN : 8] = True
        return observed

    return pattern


def _observe_half_of_every_fourth(truth: Tensor, rng: torch.Generator) -> Tensor:
    observed = torch.zeros_like(truth, dtype=torch.bool)
    batch, variables, steps = truth[..., ::4].shape
    order = torch.rand(batch, variables, steps, generator=rng).argsort(1)
    observed[..., ::4] = order < variables // 2
    return observed


_PARTS: dict[str, Any] = {
    "training": slice(0, 12_000),
    "validation": slice(12_000, 15_000),
    "test": slice(15_000, 20_000),
}
LORENZ63 = System(lorenz63.tendency, 0.01, _observe_every_eighth(3), simulate_series, **_PARTS)
LORENZ63_FIRST = System(lorenz63.tendency, 0.01, _observe_every_eighth(1), simulate_series, **_PARTS)
LORENZ96 = System(
    lorenz96.tendency, 0.05, _observe_half_of_every_fourth, _simulate_lorenz96, **_PARTS, ring=True
)
