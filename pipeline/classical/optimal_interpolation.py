"""Local optimal interpolation with scales and noise that are fitted to the field itself."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize
from torch import Tensor

from ..holdout.patterns import CloudGaps, draw_cloud_gaps
from ..io.field import Field, grid_spacing
from .kriging import Kriging, KrigingSystem, build_system, reference_mean, solve
from .neighbours import COARSE, Component, HiddenGap, Observations, Scales, find_nearest, gather_observations
from .tiles import run_in_threads

_TARGETS = 2500  # cross-validation targets
_ROUNDS = ((0.3, 8), (0.3, 8), (0.4, 16))  # share of the neighbours and iterations of each round
_PRIOR = 1e-3  # relative growth of the loss if a scale changes by e: fixes scales that hardly matter
_TOLERANCE = 1e-4  # relative improvement of the loss at which the fit stops
_FEWEST_TARGETS = 20
_AROUND, _APART = 2, 2  # cells to the farthest, and between, the values around a target that its gap hides
_BATCH = 256
_MOST_NOISE = 1e6  # error variance of an observation, over that of the field

_log = logging.getLogger(__name__)


def optimal_interpolation(field: Field) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Estimate a field and its standard error (time, lat, lon) at sea, with scales fitted to the field."""
    return fit_covariance(field)(field)


def fit_covariance(
    field: Field, *, neighbours: int = 64, seed: int = 0, device: torch.device | str = "cpu"
) -> Kriging:
    """Fit scales and noise by cross-validation under the field's own gaps.

    Each target is an observed value with the gap around a missing date of the same pixel laid over it
    (`draw_cloud_gaps`); the targets are chosen to be as difficult (kriging variance) as the real gaps. The
    loss is the continuous ranked probability score (Gneiting and Raftery 2007, section 4.2).
    """
    device = torch.device(device)
    rng = np.random.default_rng(seed)
    anomaly = field.values - reference_mean(field)
    unit = float(np.nanstd(anomaly))  # single precision needs numbers of order one
    anomaly = anomaly / unit
    # Nothing is learned from values with larger errors, and their squares would not be finite.
    scaled = replace(field, error_variance=(field.error_variance / unit**2).clip(max=_MOST_NOISE))
    step, *cells = grid_spacing(field)
    cell = float(np.mean(cells))
    log = torch.tensor([0.03, 1, 5 * cell, 5 * step], device=device, dtype=torch.float64).log()
    bounds = (
        torch.tensor([1e-5, *2 * [0.01, 0.5 * cell, 0.3 * step]], device=device).log(),
        torch.tensor([1, *2 * [30, 300 * cell, 300 * step]], device=device).log(),
    )

    # The factor of the error refers to errors that include those of the observations.
    noise = float(np.median(field.error_variance[field.observed]))

    def make_kriging() -> Kriging:
        return Kriging(make_scales(log.exp().tolist(), unit**2), neighbours, factor, noise)

    candidates = draw_cloud_gaps(field, 4 * _TARGETS, rng)
    factor = 1.0
    if len(candidates.target) < _FEWEST_TARGETS:
        _log.warning("%s: too few gaps to fit the first guess; its scales are the defaults", field.name)
        return make_kriging()
    for part, iterations in _ROUNDS:
        if (part, iterations) == _ROUNDS[-1]:
            # Add the large-scale, short-lived component; the eddies then last longer.
            log = torch.cat([log, log[1:]]) + torch.tensor([1, 0.7, 1, 2, 0.3, 5, 0.5], device=device).log()
        count = max(8, round(part * neighbours))
        # Rounded, or the last digit of the values would decide which targets are chosen, and so the result.
        scales = make_scales((log / COARSE).round().mul(COARSE).exp().tolist())
        data = gather_observations(scaled, anomaly, scales, device)
        chosen = _match_difficulty(scales, data, candidates, count, rng)
        target = data.cell(torch.as_tensor(candidates.target[chosen], device=device))
        gaps = _overlay_gaps(data, candidates, chosen)
        found, exists = find_nearest(data, target, count, gaps)
        around = _find_hidden_around(data, target, gaps)
        log, factor = _minimise(log, bounds, data, Targets(*around, found, exists), iterations)
    return make_kriging()


def make_scales(numbers: Sequence[Any] | Tensor, unit: float = 1.0) -> Scales:
    """Make scales from nugget and sill, length, duration of each component; ``unit`` scales variances."""
    parts = [numbers[start : start + 3] for start in range(1, len(numbers), 3)]
    return Scales(
        tuple(Component(sill * unit, length, duration) for sill, length, duration in parts), numbers[0] * unit
    )


def _match_difficulty(
    scales: Scales, data: Observations, candidates: CloudGaps, neighbours: int, rng: np.random.Generator
) -> np.ndarray:
    """Choose candidates (by index) whose kriging variances are distributed as those of the real gaps."""
    device = data.seen.device

    def estimate_difficulty(cells: np.ndarray, overlay: bool) -> np.ndarray:
        def estimate_part(part: np.ndarray) -> np.ndarray:
            with torch.no_grad():
                at = data.cell(torch.as_tensor(cells[part], device=device))
                hidden = _overlay_gaps(data, candidates, part) if overlay else None
                found, exists = find_nearest(data, at, neighbours, hidden)
                given = build_system(data, at[:, None], found, exists, displaced=True)
                return solve(scales, given)[1][:, 0].cpu().numpy()

        parts = np.array_split(np.arange(len(cells)), max(1, len(cells) // 512))
        return np.concatenate(list(run_in_threads(estimate_part, parts, device)))

    offered = estimate_difficulty(candidates.target, overlay=True)
    real = estimate_difficulty(candidates.model[:_TARGETS], overlay=False)
    order = np.argsort(offered)
    rank = np.searchsorted(offered[order], real)
    # Where no candidate is as difficult, a random one of the most difficult replaces it.
    hardest = rng.integers(len(order) - max(1, len(order) // 10), len(order), len(rank))
    chosen = order[np.where(rank < len(order), rank, hardest)]
    return rng.permutation(chosen)[:_TARGETS]


def _overlay_gaps(data: Observations, candidates: CloudGaps, chosen: np.ndarray) -> HiddenGap:
    device = data.seen.device
    model, before, after = (
        torch.as_tensor(part[chosen], device=device)
        for part in (candidates.model, candidates.before, candidates.after)
    )
    return HiddenGap(data.cell(model), before, after)


class Targets(NamedTuple):
    """Groups of values to be estimated, each from k observations."""

    cell: Tensor  # (n, m) flat
    weight: Tensor  # (n, m) zero where a group has fewer; of each group, and of all, one in sum
    found: Tensor  # (n, k) flat cells of the observations
    exists: Tensor  # (n, k) False where a group has fewer


def _find_hidden_around(data: Observations, target: Tensor, gaps: HiddenGap) -> tuple[Tensor, Tensor]:
    """Find values around each target (n,) that its gap hides too: flat cells and their weights (n, m).

    They come almost for nothing, because they share the observations.
    """
    columns = data.shape[2]
    north, east = (torch.arange(-_AROUND, _AROUND + 1, _APART, device=target.device) for _ in range(2))
    steps = (north[:, None] * columns + east).flatten()
    steps = torch.cat([steps[steps == 0], steps[steps != 0]])  # the target first
    cell, model = target[:, None] + steps, gaps.model[:, None] + steps
    last = len(data.seen) - 1
    hidden = data.seen[cell.clamp(0, last)] & ~data.seen[model.clamp(0, last)]
    hidden[:, 0] = True
    weight = hidden.float() / hidden.sum(1, keepdim=True) / len(target)
    return torch.where(hidden, cell, target[:, None]), weight


def _minimise(
    log: Tensor, bounds: tuple[Tensor, Tensor], data: Observations, targets: Targets, iterations: int
) -> tuple[Tensor, float]:
    """Improve the logarithms of the scales; return them and the factor that their error still needs."""
    free = log.clone().requires_grad_()
    low, high = (bound[: len(log)] for bound in bounds)

    # A few targets at a time keep the matrices small, which the gradient needs again.
    device = data.seen.device

    def build_part(few: Targets) -> tuple[Targets, KrigingSystem]:
        # In single precision the loss is too rough for the line search: rounding would decide where it ends.
        given = build_system(data, few.cell, few.found, few.exists, displaced=True)
        return few, KrigingSystem(*(part.double() if part.is_floating_point() else part for part in given))

    split = (Targets(*few) for few in zip(*(whole.split(_BATCH) for whole in targets), strict=True))
    parts = list(run_in_threads(build_part, split, device))

    def compute_misfit(few: Targets, given: KrigingSystem) -> tuple[Tensor, Tensor]:
        scales = make_scales(free.exp())
        mean, variance = solve(scales, given)
        sigma = (variance.clamp(min=0) + scales.nugget + data.noise[few.cell]).sqrt()
        return (mean - data.anomaly[few.cell]) / sigma, sigma

    def compute_share(part: tuple[Targets, KrigingSystem]) -> tuple[float, Tensor]:
        """Contribution of the targets of a part to the loss, and its gradient."""
        z, sigma = compute_misfit(*part)
        density = torch.exp(-z * z / 2) * math.sqrt(2 / math.pi)
        crps = sigma * (z * torch.erf(z / math.sqrt(2)) + density - 1 / math.sqrt(math.pi))
        added = (part[0].weight * crps).sum() * (1 + _PRIOR * (free - log).square().sum())
        return float(added.detach()), torch.autograd.grad(added, free)[0]

    def compute_loss(numbers: np.ndarray) -> tuple[float, np.ndarray]:
        with torch.no_grad():
            free.copy_(torch.as_tensor(numbers))
        shares, gradients = zip(*run_in_threads(compute_share, parts, device), strict=True)
        total = sum(shares)
        return math.log(total), torch.stack(gradients).sum(0).double().cpu().numpy() / total

    found_at = minimize(
        compute_loss,
        log.double().cpu().numpy(),
        jac=True,
        method="L-BFGS-B",
        bounds=list(zip(low.tolist(), high.tolist(), strict=True)),
        options={"maxiter": iterations, "ftol": _TOLERANCE},
    )
    with torch.no_grad():
        free.copy_(torch.as_tensor(found_at.x))
    # Of the targets alone: they are as difficult as the real gaps.
    z = torch.cat(list(run_in_threads(lambda part: compute_misfit(*part)[0][:, 0].detach(), parts, device)))
    return free.detach(), float(z.abs().quantile(0.6827))
