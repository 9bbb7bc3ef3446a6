"""Lorenz-63 forecast by linear, residual, bilinear and recurrent models."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import torch
from scipy.stats import wasserstein_distance
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from ....models.dynamics import Bilinear, OneStep, euler, mlp, rk4
from ....models.head import zero_weights
from ....models.recurrent import GRU, LSTM, RNN, RecurrentStep
from ...simulators.lorenz63 import largest_lyapunov, tendency
from ...training.trainer import TrainerSettings, train_task
from ..findings import Finding
from . import figures
from .data import DT, TEST, TRAINING, VALIDATION, series, windows
from .tasks import Forecasts, Model, explained, forecast

_HORIZON = 28  # steps ahead that are scored
_CLIMATE = slice(3000, 20000)  # the attractor, without the way to it
_BEYOND = 1e3  # standard deviations: a free run that left the attractor for good


def forecasting(
    folder: Path,
    *,
    epochs: int = 40,
    hidden: int = 64,
    past: int = 10,
    steps: int = 5,
    every: int = 1,
    free: int = 1000,
    starts: int = 20,
    seed: int = 0,
    device: str = "cpu",
    quiet: bool = True,
) -> list[Finding]:
    """Forecasts of Lorenz-63: variance explained against persistence, and the climate of free runs.

    Each model is trained for ``epochs`` to forecast ``steps`` after ``past`` observed ones (of which only the
    recurrent ones use more than the last), on windows each ``every`` steps; the epoch is chosen on the
    validation windows. The free runs are ``free`` steps from ``starts`` states of the test part. Writes
    ``explained.csv``, three figures and a checkpoint for each model.
    """
    states = series()
    mean, deviation = states[TRAINING].mean(), states[TRAINING].std()
    normal = ((states - mean) / deviation).float()
    training = _batches(windows(normal, TRAINING, past + steps, every), 256, shuffle=True)
    chosen = windows(normal, VALIDATION, past + _HORIZON, 5)
    test = windows(normal, TEST, past + _HORIZON)
    spin_up = windows(normal.double(), TEST, past + free, 1)
    spin_up = spin_up[:: max(1, len(spin_up) // starts)][:starts]

    table, selection, runs, findings = {}, {}, {}, []
    for name, build in _models(hidden).items():
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            model = build()
        task = train_task(
            Forecasts(model, past, steps, learning_rate=1e-2),
            training,
            _batches(chosen, 1024),
            settings=TrainerSettings(
                epochs=epochs, monitor="unexplained", clip=1.0, seed=seed, device=device, quiet=quiet
            ),
        )
        options = {"model": name, "hidden": hidden, "mean": float(mean), "deviation": float(deviation)}
        saved = {"state_dict": task.model.state_dict(), "options": options}
        torch.save(saved, folder / f"{name.lower().replace(' ', '-')}.pt")
        table[name] = explained(task.model, test, past)
        selection[name] = float(explained(task.model, chosen, past)[-1])
        findings += _skill(name, table[name])
        runs[name] = task.model.double()

    best = max(selection, key=lambda name: selection[name])
    findings.append(
        Finding(f"best on validation ({best}), {_HORIZON} steps", float(table[best][-1]), at_least=0.999)
    )
    pd.DataFrame(table, index=pd.RangeIndex(1, _HORIZON + 1, name="steps")).to_csv(folder / "explained.csv")
    figures.horizon(folder / "horizon.png", {name: 1 - values for name, values in table.items()})
    truth = spin_up[:, past:]
    climate = normal[_CLIMATE].double()
    true_step = OneStep(_Normalised(mean, deviation))
    free_runs = {}
    for name, model in {"true equations": true_step, **runs}.items():
        free_runs[name], more = _free_run(name, model, spin_up[:, :past], free, climate)
        findings += more
    back = {name: run * deviation + mean for name, run in free_runs.items()}
    figures.trajectories(
        folder / "trajectories.png",
        truth[0] * deviation + mean,
        {name: run[0] for name, run in back.items()},
    )
    figures.attractors(folder / "attractor.png", truth * deviation + mean, back)
    return findings


def _models(hidden: int) -> dict[str, Callable[[], Model]]:
    return {
        "linear AR": lambda: OneStep(zero_weights(nn.Linear(3, 3)), euler),
        "MLP Euler": lambda: OneStep(mlp(3, hidden), euler),
        "MLP RK4": lambda: OneStep(mlp(3, hidden), rk4),
        "bilinear Euler": lambda: OneStep(Bilinear(3), euler),
        "bilinear RK4": lambda: OneStep(Bilinear(3), rk4),
        "RNN": lambda: RecurrentStep(RNN(3, hidden), 3),
        "LSTM": lambda: RecurrentStep(LSTM(3, hidden), 3),
        "GRU": lambda: RecurrentStep(GRU(3, hidden), 3),
    }


# The course's figures for MLP-RK4, and the bars: (reference, at least) at one step and at the horizon.
_COURSE: dict[str, tuple[tuple[float | None, float | None], ...]] = {
    "MLP RK4": ((0.9945, 0.9950), (0.9869, 0.9880)),
    "LSTM": ((None, 0.99), (None, None)),
    "GRU": ((None, 0.99), (None, None)),
}


def _skill(name: str, values: Tensor) -> list[Finding]:
    first, last = _COURSE.get(name, ((None, None), (None, None)))
    return [
        Finding(f"{name}, variance explained, 1 step", float(values[0]), *first),
        Finding(f"{name}, variance explained, {_HORIZON} steps", float(values[-1]), *last),
    ]


def _batches(window: Tensor, size: int, shuffle: bool = False) -> DataLoader[tuple[Tensor, ...]]:
    return DataLoader(TensorDataset(window.contiguous()), size, shuffle=shuffle)


class _Normalised(nn.Module):
    """The true tendency in normalised states, time counted in steps."""

    def __init__(self, mean: Tensor, deviation: Tensor) -> None:
        super().__init__()
        self.mean, self.deviation = mean, deviation

    def forward(self, state: Tensor) -> Tensor:
        return DT * tendency(state * self.deviation + self.mean) / self.deviation


@torch.no_grad()
def _free_run(
    name: str, model: Model, past: Tensor, steps: int, climate: Tensor
) -> tuple[Tensor, list[Finding]]:
    """Free runs (batch, steps, 3), their distance from the climate (time, 3) and their largest exponent."""
    run = forecast(model, past, steps).nan_to_num(_BEYOND, _BEYOND, -_BEYOND).clamp(-_BEYOND, _BEYOND)
    distance = sum(
        wasserstein_distance(run[..., component].flatten(), climate[:, component]) for component in range(3)
    )
    exponent = largest_lyapunov(model, model.start(past), steps, DT)
    reference = 0.906 if name != "true equations" else None
    return run, [
        Finding(f"{name}, free run, Wasserstein distance of the histograms", distance / 3),
        Finding(f"{name}, free run, largest Lyapunov exponent", exponent, reference),
    ]
