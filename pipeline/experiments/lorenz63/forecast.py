"""Lorenz-63 forecasts by linear, residual, bilinear and recurrent models."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import torch
from scipy.stats import wasserstein_distance
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from ....models.dynamics import Bilinear, OneStep, euler, make_mlp, rk4
from ....models.head import zero_weights
from ....models.recurrent import GRU, LSTM, RNN, RecurrentStep
from ...simulators.lorenz63 import estimate_lyapunov_exponent, tendency
from ...training.trainer import TrainerSettings, train_task
from ..findings import Finding
from ..options import RunOptions
from ..training import build_with_seed, save_network
from . import figures
from .data import DT, TEST, TRAINING, VALIDATION, cut_windows, simulate_series
from .tasks import Forecasting, Model, forecast, score_forecast

_HORIZON = 28  # forecast steps that are scored
_CLIMATE = slice(3000, 20000)  # the series on the attractor, after the transient
_LIMIT = 1e3  # standard deviations: a free run beyond has left the attractor for good
_LYAPUNOV = 0.906  # largest exponent of Lorenz-63
# The course's skill of MLP-RK4, and the targets: (published, at least) at one step and at the horizon.
_COURSE: dict[str, tuple[tuple[float | None, float | None], ...]] = {
    "MLP RK4": ((0.9945, 0.9950), (0.9869, 0.9880)),
    "LSTM": ((None, 0.99), (None, None)),
    "GRU": ((None, 0.99), (None, None)),
}


@dataclass(frozen=True, kw_only=True)
class ForecastOptions(RunOptions):
    """Options of the Lorenz-63 forecasts.

    Parameters
    ----------
    epochs
        Training epochs of each model.
    hidden
        Hidden units of the perceptrons and the recurrent models.
    past
        Observed steps before a forecast; only recurrent models use more than the last one.
    steps
        Forecast steps in training.
    every
        Steps between the starts of training windows.
    free
        Steps of a free run.
    starts
        Number of free runs, from states of the test part.
    """

    epochs: int = 40
    hidden: int = 64
    past: int = 10
    steps: int = 5
    every: int = 1
    free: int = 1000
    starts: int = 20


def compare_forecasts(folder: Path, options: ForecastOptions) -> list[Finding]:
    """Compare Lorenz-63 forecast models by their skill relative to persistence and by their free runs.

    The epoch with the highest skill on the validation windows is kept. Writes ``explained.csv``, three
    figures and a checkpoint of each model.
    """
    series = simulate_series()
    mean, deviation = series[TRAINING].mean(), series[TRAINING].std()
    normalised = ((series - mean) / deviation).float()
    past = options.past
    training = _make_loader(
        cut_windows(normalised, TRAINING, past + options.steps, options.every), 256, shuffle=True
    )
    validation = cut_windows(normalised, VALIDATION, past + _HORIZON, 5)
    test = cut_windows(normalised, TEST, past + _HORIZON)

    skill, validation_skill, models, findings = {}, {}, {}, []
    for name, build in _list_models(options.hidden).items():
        task = train_task(
            Forecasting(build_with_seed(build, options.seed), past, options.steps, learning_rate=1e-2),
            training,
            _make_loader(validation, 1024),
            settings=TrainerSettings(
                epochs=options.epochs,
                monitor="unexplained",
                clip=1.0,
                seed=options.seed,
                device=options.device,
                quiet=options.quiet,
                name=name,
            ),
        )
        settings = {
            "model": name, "hidden": options.hidden, "mean": float(mean), "deviation": float(deviation)
        }  # fmt: skip
        save_network(folder / f"{name.lower().replace(' ', '-')}.pt", task.model, settings)
        skill[name] = score_forecast(task.model, test, past)
        validation_skill[name] = float(score_forecast(task.model, validation, past)[-1])
        findings += _list_skill(name, skill[name])
        models[name] = task.model.double()

    best = max(validation_skill, key=lambda name: validation_skill[name])
    findings.append(
        Finding(
            f"best model on validation windows ({best}): skill at {_HORIZON} steps",
            float(skill[best][-1]),
            at_least=0.999,
        )
    )
    pd.DataFrame(skill, index=pd.RangeIndex(1, _HORIZON + 1, name="steps")).to_csv(folder / "explained.csv")
    figures.draw_error_growth(folder / "horizon.png", {name: 1 - values for name, values in skill.items()})
    models = {"true equations": OneStep(_NormalisedTendency(mean, deviation)), **models}
    return findings + _compare_free_runs(folder, models, normalised.double(), mean, deviation, options)


def _list_models(hidden: int) -> dict[str, Callable[[], Model]]:
    return {
        "linear AR": lambda: OneStep(zero_weights(nn.Linear(3, 3)), euler),
        "MLP Euler": lambda: OneStep(make_mlp(3, hidden), euler),
        "MLP RK4": lambda: OneStep(make_mlp(3, hidden), rk4),
        "bilinear Euler": lambda: OneStep(Bilinear(3), euler),
        "bilinear RK4": lambda: OneStep(Bilinear(3), rk4),
        "RNN": lambda: RecurrentStep(RNN(3, hidden), 3),
        "LSTM": lambda: RecurrentStep(LSTM(3, hidden), 3),
        "GRU": lambda: RecurrentStep(GRU(3, hidden), 3),
    }


def _list_skill(name: str, skill: Tensor) -> list[Finding]:
    first, last = _COURSE.get(name, ((None, None), (None, None)))
    return [
        Finding(f"{name}: skill at 1 step", float(skill[0]), *first),
        Finding(f"{name}: skill at {_HORIZON} steps", float(skill[-1]), *last),
    ]


def _make_loader(windows: Tensor, batch: int, shuffle: bool = False) -> DataLoader[tuple[Tensor, ...]]:
    return DataLoader(TensorDataset(windows.contiguous()), batch, shuffle=shuffle)


class _NormalisedTendency(nn.Module):
    """The true tendency of normalised states, with time counted in steps."""

    def __init__(self, mean: Tensor, deviation: Tensor) -> None:
        super().__init__()
        self.mean, self.deviation = mean, deviation

    def forward(self, state: Tensor) -> Tensor:
        return DT * tendency(state * self.deviation + self.mean) / self.deviation


def _compare_free_runs(
    folder: Path,
    models: dict[str, Model],
    normalised: Tensor,
    mean: Tensor,
    deviation: Tensor,
    options: ForecastOptions,
) -> list[Finding]:
    """Score free runs of the models from states of the test part by their climate, and draw them."""
    windows = cut_windows(normalised, TEST, options.past + options.free, 1)
    windows = windows[:: max(1, len(windows) // options.starts)][: options.starts]
    past, truth = windows[:, : options.past], windows[:, options.past :] * deviation + mean
    climate = normalised[_CLIMATE]
    runs, findings = {}, []
    for name, model in models.items():
        run, distance, exponent = _run_freely(model, past, options.free, climate)
        runs[name] = run * deviation + mean
        reference = _LYAPUNOV if name != "true equations" else None
        findings += [
            Finding(f"{name}: Wasserstein distance of the free runs from the climate", distance),
            Finding(f"{name}: largest Lyapunov exponent", exponent, reference),
        ]
    figures.draw_trajectories(
        folder / "trajectories.png", truth[0], {name: run[0] for name, run in runs.items()}
    )
    figures.draw_attractors(folder / "attractor.png", truth, runs)
    return findings


@torch.no_grad()
def _run_freely(model: Model, past: Tensor, steps: int, climate: Tensor) -> tuple[Tensor, float, float]:
    """Run a model freely: states (batch, steps, 3), distance from the climate (time, 3), largest exponent.

    The distance is that of Wasserstein between the histograms, averaged over the components.
    """
    run = forecast(model, past, steps).nan_to_num(_LIMIT, _LIMIT, -_LIMIT).clamp(-_LIMIT, _LIMIT)
    distance = sum(
        wasserstein_distance(run[..., component].flatten(), climate[:, component]) for component in range(3)
    )
    return run, distance / 3, estimate_lyapunov_exponent(model, model.start(past), steps, DT)
