"""What is seen of the turbulence under a sampling, as the networks of the pipeline see fields."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from ...training.features import NetworkInputs, StaticFeatures
from .data import NOISE, REACH, Interpolation, Sampling, Statistics, interpolations

WINDOW = 5  # dates that a network sees, each filled from the tracks of `GUESS_REACH` days around it:
GUESS_REACH = REACH - WINDOW // 2  # together those of `REACH`
SHARES = (0.02, 0.05, 0.1, 0.2)  # of the variance, that a forecast of a day is in error by
_SEGMENT = 150  # days of a training member under one sampling


@dataclass(frozen=True)
class Under:
    """A sampling with the interpolations of each day of its cycle."""

    sampling: Sampling
    seen: Tensor  # (repeat, y, x)
    guess: list[Interpolation]  # of the surface, from `GUESS_REACH` days
    deep: list[Interpolation]
    best: list[list[Interpolation]]  # from `REACH` days: on the day, and the first and the last of them
    daily: dict[float, list[Interpolation]]  # by the share of the variance, from a day's own tracks


def prepared(sampling: Sampling, known: Statistics, cells: int) -> Under:
    seen = sampling.cells(cells)
    guess, deep, best = [], [], []
    daily: dict[float, list[Interpolation]] = {share: [] for share in SHARES}
    for day in range(sampling.repeat):
        one, other = interpolations(known, seen, day, GUESS_REACH, (("surface", 0), ("deep", 0)))
        guess.append(one)
        deep.append(other)
        best.append(
            interpolations(known, seen, day, REACH, [("surface", when) for when in (0, -REACH, REACH)])
        )
        for share, found in daily.items():
            found += interpolations(replace(known, surface=share * known.surface), seen, day, 0)
    return Under(sampling, seen, guess, deep, best, daily)


def observed_with_noise(heights: Tensor, rng: np.random.Generator) -> Tensor:
    """(..., y, x) the surface of (..., 2, y, x) with an observation's noise, everywhere."""
    surface = heights[..., 0, :, :]
    return surface + NOISE * torch.from_numpy(rng.standard_normal(surface.shape, np.float32))


@dataclass(frozen=True)
class Seen:
    """Segments of one length under one sampling, and the first guess of both layers on their inner days."""

    heights: Tensor  # (segment, day, 2, y, x)
    days: Tensor  # (day,) the inner ones: all but `REACH` at both ends
    observed: Tensor  # (segment, inner day, y, x) the observations, the guess where there is none
    sigma: Tensor  # their standard errors
    guess: dict[str, tuple[Tensor, Tensor]]  # of each layer, with its error

    def scenes(self, spread: float) -> list[tuple[NetworkInputs, NetworkInputs]]:
        """What a network sees of each segment, and what it is to say of the surface and of the deep layer."""
        anomaly, log_error = self.observed / spread, (self.sigma / spread).log()
        residual = [
            (self.heights[:, self.days, layer] - mean) / error
            for layer, (mean, error) in enumerate(self.guess.values())
        ]
        exact = torch.zeros_like(anomaly[:1]), torch.ones_like(anomaly[:1])
        return [
            (NetworkInputs(a, e, surface, *exact), NetworkInputs(a, e, deep, *exact))
            for a, e, surface, deep in zip(
                *(part[:, None] for part in (anomaly, log_error, *residual)), strict=True
            )
        ]


def seen_under(heights: Tensor, observations: Tensor, under: Under, phases: Tensor) -> Seen:
    """Segments (segment, day, 2, y, x) with their observations, each ``phases`` days into the cycle."""
    segments, length = observations.shape[:2]
    days = torch.arange(REACH, length - REACH)
    turn = (days + phases[:, None]) % under.sampling.repeat
    place = days + length * torch.arange(segments)[:, None]  # of all segments one after another
    guess = {}
    for layer, which in (("surface", under.guess), ("deep", under.deep)):
        mean = torch.empty(*turn.shape, *observations.shape[-2:])
        for day, one in enumerate(which):
            mean[turn == day] = one.estimate(observations.flatten(0, 1), place[turn == day])
        guess[layer] = mean, torch.stack([one.error for one in which])[turn]
    seen, (mean, error) = under.seen[turn], guess["surface"]
    observed = torch.where(seen, observations[:, days], mean)
    return Seen(heights, days, observed, torch.where(seen, torch.tensor(NOISE), error), guess)


def segments(
    heights: Tensor, under: Sequence[Under], spread: float, rng: np.random.Generator
) -> list[tuple[NetworkInputs, NetworkInputs]]:
    """Scenes of `_SEGMENT` days of the members, under each sampling in turn, somewhere over the square."""
    length = min(_SEGMENT + 2 * REACH, heights.shape[1])
    parts = [
        member[start : start + length].roll(tuple(rng.integers(0, heights.shape[-1], 2).tolist()), (-2, -1))
        for member in heights
        for start in range(0, len(member) - length + 1, _SEGMENT)
    ]
    found = []
    for number, one in enumerate(under):
        if own := parts[number :: len(under)]:
            phases = torch.from_numpy(rng.integers(0, one.sampling.repeat, len(own)))
            together = torch.stack(own)
            found += seen_under(together, observed_with_noise(together, rng), one, phases).scenes(spread)
    return found


def surroundings(cells: int, days: int) -> StaticFeatures:
    """Neither place nor season: all is sea."""
    place = torch.zeros(3, cells, cells)
    place[2] = 1
    return StaticFeatures(place, torch.zeros(days, 2))
