"""Gaps of noisy Lorenz-63 filled by splines, by networks and by variational assimilation."""

from __future__ import annotations

from collections.abc import Callable
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
from . import figures
from .data import (
    DT,
    NOISE_VARIANCE,
    TEST,
    TRAINING,
    VALIDATION,
    Observed,
    interpolate,
    observe,
    series,
    windows,
)
from .tasks import Filling

_LENGTH, _EVERY = 200, 8  # steps of a window, of which one in eight is seen
_PRIOR_VARIANCES = (1e-4, 1e-3, 1e-2)  # of a step of the dynamics, tried on training windows
_TUNED_ON = 20  # training windows


def interpolation(
    folder: Path,
    *,
    epochs: int = 15,
    hidden: int = 32,
    every: int = 8,
    tests: int = 50,
    iterations: int = 1000,
    seed: int = 0,
    device: str = "cpu",
    quiet: bool = True,
) -> list[Finding]:
    """Gaps of noisy Lorenz-63: normalised MSE of splines, networks and weak-constraint 4DVar.

    Windows of 200 steps, all components seen each 8 steps with noise variance 2. The networks correct linear
    interpolation; they are trained for ``epochs`` on windows each ``every`` steps, with new noise at every
    epoch, and the epoch is chosen on the validation windows. 4DVar knows the true equations; ``iterations``
    of L-BFGS; the variance of its model error is chosen on training windows. The mean square is divided by
    the mean of the three components' variances. Writes a figure and a checkpoint for each network.
    """
    states = series()
    mean, deviation = states[TRAINING].mean(), states[TRAINING].std()
    places = torch.linspace(0, TEST.stop - TEST.start - _LENGTH, tests).long()
    seen = observe(windows(states, TEST, _LENGTH)[places], _EVERY, _draws(seed))
    filled = {"linear": interpolate(seen), "cubic spline": interpolate(seen, degree=3)}

    chosen = observe(windows(states, VALIDATION, _LENGTH, 20), _EVERY, _draws(seed + 1))
    training = TensorDataset(windows(states, TRAINING, _LENGTH, every))
    draws = _draws(seed + 3)

    def noisy(rows: list[tuple[Tensor]]) -> tuple[Tensor, Tensor]:
        return _encoded(observe(torch.stack([truth for (truth,) in rows]), _EVERY, draws), mean, deviation)

    for name, build in _networks(hidden).items():
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            network = build()
        task = train_task(
            Filling(network, learning_rate=5e-3),
            DataLoader(training, 64, shuffle=True, collate_fn=noisy),
            DataLoader(TensorDataset(*_encoded(chosen, mean, deviation)), 256),
            settings=TrainerSettings(
                epochs=epochs, monitor="error", clip=1.0, seed=seed, device=device, quiet=quiet
            ),
        )
        options = {"network": name, "hidden": hidden, "mean": float(mean), "deviation": float(deviation)}
        saved = {"state_dict": task.network.state_dict(), "options": options}
        torch.save(saved, folder / f"{name.lower().replace(' ', '-')}.pt")
        with torch.no_grad():
            correction = task.network(_encoded(seen, mean, deviation)[0]).transpose(1, 2)
        filled[name] = filled["linear"] + deviation * correction

    some = windows(states, TRAINING, _LENGTH, (TRAINING.stop - TRAINING.start) // _TUNED_ON)
    tuning = observe(some, _EVERY, _draws(seed + 2))
    best = min(
        _PRIOR_VARIANCES,
        key=lambda variance: float((_assimilated(tuning, variance, iterations) - some).square().mean()),
    )
    filled["4DVar"] = _assimilated(seen, best, iterations)
    figures.gaps(folder / "gaps.png", seen, filled)
    variance = states[TRAINING].var(0).mean()
    return [
        finding
        for name, states_of in filled.items()
        for finding in _errors(name, (states_of - seen.truth).square() / variance, seen.known)
    ] + [Finding("4DVar, variance of the model error, chosen on training windows", best)]


def _draws(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _networks(hidden: int) -> dict[str, Callable[[], nn.Module]]:
    """Networks (batch, 4, time) to (batch, 3, time)."""
    return {
        "LSTM both ways": lambda: BothWays(LSTM(4, hidden), LSTM(4, hidden), 3),
        "GRU both ways": lambda: BothWays(GRU(4, hidden), GRU(4, hidden), 3),
        "U-Net": lambda: _OneRow(UNet(4, 3, widths=(hidden // 2, hidden, hidden))),
    }


class _OneRow(nn.Module):
    """A network of maps on a series, (batch, inputs, time) to (batch, outputs, time): a map of one row."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        return self.network(x[:, :, None])[:, :, 0]


def _encoded(seen: Observed, mean: Tensor, deviation: Tensor) -> tuple[Tensor, Tensor]:
    """What a network sees, (batch, 4, time): linear interpolation, where it is observed; the correction."""
    first = interpolate(seen)
    inputs = torch.cat([(first - mean) / deviation, seen.known[..., :1]], dim=-1)
    return inputs.float().transpose(1, 2), ((seen.truth - first) / deviation).float().transpose(1, 2)


def _assimilated(seen: Observed, prior_variance: float, iterations: int) -> Tensor:
    """Weak-constraint 4DVar with the true equations, from linear interpolation."""
    return analyse(
        interpolate(seen),
        seen.values,
        seen.known,
        partial(dynamics, lambda state: rk4(tendency, state, DT)),
        noise_variance=NOISE_VARIANCE,
        prior_variance=prior_variance,
        iterations=iterations,
    )


def _errors(name: str, square: Tensor, known: Tensor) -> list[Finding]:
    bar, course = (0.014, (0.014, 0.009, 0.014)) if name == "4DVar" else (None, (None, None, None))
    return [
        Finding(f"{name}, normalised MSE", float(square.mean()), course[0], at_most=bar),
        Finding(f"{name}, normalised MSE where observed", float(square[known].mean()), course[1]),
        Finding(f"{name}, normalised MSE where not observed", float(square[~known].mean()), course[2]),
    ]
