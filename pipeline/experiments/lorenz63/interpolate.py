"""Gaps of noisy Lorenz-63 filled by splines, by networks and by variational assimilation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from ....models.dynamics import rk4
from ....models.recurrent import GRU, LSTM, BothWays
from ....models.unet import UNet
from ...classical.fourdvar import analyse, dynamics
from ...simulators.lorenz63 import tendency
from ...training.trainer import TrainerSettings, train_task
from ..findings import Finding
from ..options import RunOptions
from ..training import build_with_seed, save_network
from . import figures
from .data import (
    DT,
    NOISE_VARIANCE,
    TEST,
    TRAINING,
    VALIDATION,
    ObservedWindows,
    cut_windows,
    interpolate_spline,
    observe_windows,
    simulate_series,
)
from .tasks import GapFilling

_LENGTH, _EVERY = 200, 8  # steps of a window, one in eight of which is observed
_MODEL_VARIANCES = (1e-4, 1e-3, 1e-2)  # candidates of the dynamics' error variance per step
_TUNING = 20  # training windows that choose among these
_COURSE = (0.014, 0.009, 0.014)  # the course's errors of 4DVar: overall, at observed and unobserved times


@dataclass(frozen=True, kw_only=True)
class InterpolationOptions(RunOptions):
    """Options of the Lorenz-63 interpolation.

    Parameters
    ----------
    epochs
        Training epochs of each network.
    hidden
        Hidden units of the recurrent networks and channels of the U-Net.
    every
        Steps between the starts of training windows.
    tests
        Number of test windows.
    iterations
        L-BFGS iterations of 4DVar.
    """

    epochs: int = 15
    hidden: int = 32
    every: int = 8
    tests: int = 50
    iterations: int = 1000


def compare_interpolations(folder: Path, options: InterpolationOptions) -> list[Finding]:
    """Compare splines, networks and weak-constraint 4DVar in filling gaps of noisy Lorenz-63.

    All components are observed every 8 steps with noise variance 2, in windows of 200 steps. The networks
    correct linear interpolation and are trained with new noise in every epoch; the epoch with the lowest
    validation error is kept. 4DVar has the true equations; its model-error variance is chosen on training
    windows. Errors are mean squares divided by the mean variance of the three components. Writes a figure
    and a checkpoint of each network.
    """
    series, seed = simulate_series(), options.seed
    mean, deviation = series[TRAINING].mean(), series[TRAINING].std()
    places = torch.linspace(0, TEST.stop - TEST.start - _LENGTH, options.tests).long()
    test = _observe(cut_windows(series, TEST, _LENGTH)[places], seed)
    filled = {"linear": interpolate_spline(test), "cubic spline": interpolate_spline(test, degree=3)}

    validation = _observe(cut_windows(series, VALIDATION, _LENGTH, 20), seed + 1)
    training = TensorDataset(cut_windows(series, TRAINING, _LENGTH, options.every))
    rng = torch.Generator().manual_seed(seed + 3)

    def observe_batch(samples: list[tuple[Tensor]]) -> tuple[Tensor, Tensor]:
        truth = torch.stack([sample for (sample,) in samples])
        return _make_inputs(observe_windows(truth, _EVERY, rng), mean, deviation)

    for name, build in _list_networks(options.hidden).items():
        task = train_task(
            GapFilling(build_with_seed(build, seed), learning_rate=5e-3),
            DataLoader(training, 64, shuffle=True, collate_fn=observe_batch),
            DataLoader(TensorDataset(*_make_inputs(validation, mean, deviation)), 256),
            settings=TrainerSettings(
                epochs=options.epochs,
                monitor="error",
                clip=1.0,
                seed=seed,
                device=options.device,
                quiet=options.quiet,
                name=name,
            ),
        )
        settings = {
            "network": name, "hidden": options.hidden, "mean": float(mean), "deviation": float(deviation)
        }  # fmt: skip
        save_network(folder / f"{name.lower().replace(' ', '-')}.pt", task.network, settings)
        with torch.no_grad():
            correction = task.network(_make_inputs(test, mean, deviation)[0]).transpose(1, 2)
        filled[name] = filled["linear"] + deviation * correction

    tuning_truth = cut_windows(series, TRAINING, _LENGTH, (TRAINING.stop - TRAINING.start) // _TUNING)
    tuning = _observe(tuning_truth, seed + 2)
    best = min(
        _MODEL_VARIANCES,
        key=lambda variance: float(
            (_assimilate(tuning, variance, options.iterations) - tuning_truth).square().mean()
        ),
    )
    filled["4DVar"] = _assimilate(test, best, options.iterations)
    figures.draw_filled_gaps(folder / "gaps.png", test, filled)
    variance = series[TRAINING].var(0).mean()
    return [
        finding
        for name, states in filled.items()
        for finding in _list_errors(name, (states - test.truth).square() / variance, test.observed)
    ] + [Finding("4DVar: model-error variance chosen on training windows", best)]


def _observe(truth: Tensor, seed: int) -> ObservedWindows:
    return observe_windows(truth, _EVERY, torch.Generator().manual_seed(seed))


def _list_networks(hidden: int) -> dict[str, Callable[[], nn.Module]]:
    """List networks (batch, 4, time) to (batch, 3, time) by name."""
    return {
        "LSTM both ways": lambda: BothWays(LSTM(4, hidden), LSTM(4, hidden), 3),
        "GRU both ways": lambda: BothWays(GRU(4, hidden), GRU(4, hidden), 3),
        "U-Net": lambda: _SeriesNetwork(UNet(4, 3, widths=(hidden // 2, hidden, hidden))),
    }


class _SeriesNetwork(nn.Module):
    """Applies a network of maps to series (batch, inputs, time), as maps of one row."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        return self.network(x[:, :, None])[:, :, 0]


def _make_inputs(windows: ObservedWindows, mean: Tensor, deviation: Tensor) -> tuple[Tensor, Tensor]:
    """Make network inputs (batch, 4, time), linear interpolation and mask, and the correction wanted."""
    first = interpolate_spline(windows)
    inputs = torch.cat([(first - mean) / deviation, windows.observed[..., :1]], dim=-1)
    return inputs.float().transpose(1, 2), ((windows.truth - first) / deviation).float().transpose(1, 2)


def _assimilate(windows: ObservedWindows, model_variance: float, iterations: int) -> Tensor:
    """Run weak-constraint 4DVar with the true equations, starting from linear interpolation."""
    return analyse(
        interpolate_spline(windows),
        windows.values,
        windows.observed,
        partial(dynamics, lambda state: rk4(tendency, state, DT)),
        noise_variance=NOISE_VARIANCE,
        prior_variance=model_variance,
        iterations=iterations,
    )


def _list_errors(name: str, square: Tensor, observed: Tensor) -> list[Finding]:
    target, course = (0.014, _COURSE) if name == "4DVar" else (None, (None, None, None))
    return [
        Finding(f"{name}: normalised MSE", float(square.mean()), course[0], at_most=target),
        Finding(f"{name}: normalised MSE at observed times", float(square[observed].mean()), course[1]),
        Finding(f"{name}: normalised MSE at unobserved times", float(square[~observed].mean()), course[2]),
    ]
