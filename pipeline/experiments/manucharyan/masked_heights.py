"""Heights masked to the tracks of a sampling, as inputs of the networks of the pipeline."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from ...training.features import NetworkInputs, StaticFeatures
from .data import NOISE, REACH, Covariances, OptimalInterpolation, Sampling, build_interpolations

WINDOW = 5  # dates in a network's input, each with a first guess from `GUESS_REACH` days around it:
GUESS_REACH = REACH - WINDOW // 2  # together they use the tracks of `REACH` days
FORECAST_ERRORS = (0.02, 0.05, 0.1, 0.2)  # candidate error variances of a one-day forecast, of the variance
_SEGMENT = 150  # days of a training member with one sampling

LayerInputs = tuple[NetworkInputs, NetworkInputs]  # for the networks of the surface and of the deep layer


@dataclass(frozen=True)
class SamplingCycle:
    """A sampling with its mask and its interpolations for each day of the repeat cycle."""

    sampling: Sampling
    observed: Tensor  # (repeat, y, x)
    surface: list[OptimalInterpolation]  # first guess from `GUESS_REACH` days
    deep: list[OptimalInterpolation]
    optimal: list[list[OptimalInterpolation]]  # from `REACH` days: for the day, the first and the last one
    corrections: dict[float, list[OptimalInterpolation]]  # from one day, by the forecast error


def prepare_cycle(sampling: Sampling, covariances: Covariances, cells: int) -> SamplingCycle:
    """Build the mask and the interpolations of a sampling on a grid of ``cells`` x ``cells``."""
    observed = sampling.mark_cells(cells)
    surface, deep, optimal = [], [], []
    corrections: dict[float, list[OptimalInterpolation]] = {share: [] for share in FORECAST_ERRORS}
    leads = [("surface", lead) for lead in (0, -REACH, REACH)]
    for day in range(sampling.repeat):
        one, other = build_interpolations(
            covariances, observed, day, GUESS_REACH, (("surface", 0), ("deep", 0))
        )
        surface.append(one)
        deep.append(other)
        optimal.append(build_interpolations(covariances, observed, day, REACH, leads))
        for share, daily in corrections.items():
            forecast_error = replace(covariances, surface=share * covariances.surface)
            daily += build_interpolations(forecast_error, observed, day, 0)
    return SamplingCycle(sampling, observed, surface, deep, optimal, corrections)


def observe_surface(heights: Tensor, rng: np.random.Generator) -> Tensor:
    """Add observation noise to the surface of heights (..., 2, y, x), in every cell: (..., y, x)."""
    surface = heights[..., 0, :, :]
    return surface + NOISE * torch.from_numpy(rng.standard_normal(surface.shape, np.float32))


@dataclass(frozen=True)
class MaskedHeights:
    """Segments of equal length with one sampling, and the first guess of both layers on their inner days."""

    heights: Tensor  # (segment, day, 2, y, x)
    days: Tensor  # (inner day,) all days but `REACH` at both ends
    values: Tensor  # (segment, inner day, y, x) the observations, elsewhere the first guess
    error: Tensor  # their standard errors
    first_guess: dict[str, tuple[Tensor, Tensor]]  # of each layer, with its standard error

    def make_inputs(self, spread: float) -> list[LayerInputs]:
        """Make the network inputs of each segment, in units of ``spread``, with both layers' residuals."""
        anomaly, log_error = self.values / spread, (self.error / spread).log()
        residuals = [
            (self.heights[:, self.days, layer] - mean) / error
            for layer, (mean, error) in enumerate(self.first_guess.values())
        ]
        exact = torch.zeros_like(anomaly[:1]), torch.ones_like(anomaly[:1])
        return [
            (NetworkInputs(a, e, surface, *exact), NetworkInputs(a, e, deep, *exact))
            for a, e, surface, deep in zip(
                *(part[:, None] for part in (anomaly, log_error, *residuals)), strict=True
            )
        ]


def mask_heights(
    heights: Tensor, observations: Tensor, cycle: SamplingCycle, phases: Tensor
) -> MaskedHeights:
    """Mask segments (segment, day, 2, y, x) to their tracks, each ``phases`` days into the cycle."""
    segments, length = observations.shape[:2]
    days = torch.arange(REACH, length - REACH)
    cycle_day = (days + phases[:, None]) % cycle.sampling.repeat
    position = days + length * torch.arange(segments)[:, None]  # in all segments one after another
    first_guess = {}
    for layer, interpolations in (("surface", cycle.surface), ("deep", cycle.deep)):
        mean = torch.empty(*cycle_day.shape, *observations.shape[-2:])
        for day, one in enumerate(interpolations):
            mean[cycle_day == day] = one.estimate(observations.flatten(0, 1), position[cycle_day == day])
        first_guess[layer] = mean, torch.stack([one.error for one in interpolations])[cycle_day]
    observed, (mean, error) = cycle.observed[cycle_day], first_guess["surface"]
    values = torch.where(observed, observations[:, days], mean)
    return MaskedHeights(
        heights, days, values, torch.where(observed, torch.tensor(NOISE), error), first_guess
    )


def make_training_inputs(
    heights: Tensor, cycles: Sequence[SamplingCycle], spread: float, rng: np.random.Generator
) -> list[LayerInputs]:
    """Make inputs of `_SEGMENT` days of members shifted at random, with each sampling in turn."""
    length = min(_SEGMENT + 2 * REACH, heights.shape[1])
    parts = [
        member[start : start + length].roll(tuple(rng.integers(0, heights.shape[-1], 2).tolist()), (-2, -1))
        for member in heights
        for start in range(0, len(member) - length + 1, _SEGMENT)
    ]
    inputs = []
    for number, cycle in enumerate(cycles):
        if own := parts[number :: len(cycles)]:
            phases = torch.from_numpy(rng.integers(0, cycle.sampling.repeat, len(own)))
            together = torch.stack(own)
            masked = mask_heights(together, observe_surface(together, rng), cycle, phases)
            inputs += masked.make_inputs(spread)
    return inputs


def make_static_features(cells: int, days: int) -> StaticFeatures:
    """Make static features without position and season, all sea."""
    place = torch.zeros(3, cells, cells)
    place[2] = 1
    return StaticFeatures(place, torch.zeros(days, 2))
