"""Windows of Lorenz's systems, of 1963 and 1996, seen through gaps and noise (Fablet et al. 2021)."""

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

LENGTH = 200  # steps of a window
NOISE_VARIANCE = 2.0
_EDGE = 10  # steps at both ends of a window of Lorenz-63 that are not observed


class Seen(NamedTuple):
    """Windows (batch, n, time) in the units of the system."""

    truth: Tensor
    first: Tensor  # linear interpolation between the observations
    observed: Tensor  # 0 where not known
    known: Tensor  # boolean


Pattern = Callable[[Tensor, torch.Generator], Tensor]  # of windows: where they are seen


@dataclass(frozen=True)
class System:
    """A series of a system and how it is seen."""

    tendency: Step
    dt: float
    pattern: Pattern
    series: Callable[[], Tensor]  # (time, n)
    training: slice  # of the series
    validation: slice
    test: slice
    ring: bool = False  # its variables obey one equation around a ring

    def windows(self, part: slice, count: int, seed: int) -> Tensor:
        """(count, n, LENGTH) from random places in a part of the series."""
        series = self.series()[part].float()
        rng = np.random.default_rng(seed)
        starts = rng.integers(0, len(series) - LENGTH + 1, count)
        return series.unfold(0, LENGTH, 1)[torch.from_numpy(starts)]

    def observe(self, truth: Tensor, draws: torch.Generator) -> Seen:
        """Windows with noise where the pattern sees them."""
        known = self.pattern(truth, draws)
        noise = torch.randn(truth.shape, generator=draws)
        observed = torch.where(known, truth + NOISE_VARIANCE**0.5 * noise, 0.0)
        return Seen(truth, interpolated(observed, known), observed, known)


def interpolated(observed: Tensor, known: Tensor) -> Tensor:
    """Linear along the last axis, constant beyond the ends; in a row that is not known the mean of all."""
    values, where = (
        observed.numpy().reshape(-1, observed.shape[-1]),
        known.numpy().reshape(-1, known.shape[-1]),
    )
    at = np.arange(values.shape[1])
    mean = values[where].mean()
    found = [
        np.interp(at, at[seen], row[seen]) if seen.any() else np.full(len(at), mean)
        for row, seen in zip(values, where, strict=True)
    ]
    return torch.from_numpy(np.stack(found).astype(np.float32)).view_as(observed)


@cache
def _series63() -> Tensor:
    start = torch.tensor([[8.0, 0.0, 30.0]], dtype=torch.float64)
    return lorenz63.integrate(start, 19_999, 0.01)[0]


@cache
def _series96() -> Tensor:
    start = 8 + torch.randn(1, 40, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    return lorenz63.integrate(start, 20_999, 0.05, system=lorenz96.tendency)[0, 1000:]


def _every_eighth(components: int) -> Pattern:
    def pattern(truth: Tensor, draws: torch.Generator) -> Tensor:
        known = torch.zeros_like(truth, dtype=torch.bool)
        known[:, :components, _EDGE : LENGTH - _EDGE : 8] = True
        return known

    return pattern


def _half_of_every_fourth(truth: Tensor, draws: torch.Generator) -> Tensor:
    known = torch.zeros_like(truth, dtype=torch.bool)
    batch, variables, steps = truth[..., ::4].shape
    order = torch.rand(batch, variables, steps, generator=draws).argsort(1)
    known[..., ::4] = order < variables // 2
    return known


_PARTS: dict[str, Any] = {
    "training": slice(0, 12_000),
    "validation": slice(12_000, 15_000),
    "test": slice(15_000, 20_000),
}
LORENZ63 = System(lorenz63.tendency, 0.01, _every_eighth(3), _series63, **_PARTS)
LORENZ63_FIRST = System(lorenz63.tendency, 0.01, _every_eighth(1), _series63, **_PARTS)
LORENZ96 = System(lorenz96.tendency, 0.05, _half_of_every_fourth, _series96, **_PARTS, ring=True)
