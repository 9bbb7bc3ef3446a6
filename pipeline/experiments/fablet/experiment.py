"""Learnt variational assimilation of Lorenz's systems (Fablet et al. 2021, doi:10.1029/2021MS002572)."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from ....models.fourdvarnet import FourDVarNet
from ...errors import InputError
from ...training.trainer import TrainerSettings, train_task
from ..findings import Finding
from ..options import TrainingOptions
from ..training import build_with_seed, save_network
from . import figures
from .data import LORENZ63, LORENZ63_FIRST, LORENZ96, AssimilationWindows, System
from .fourdvar import assimilate
from .networks import (
    DESCENT,
    DESCENT_ON_LEARNT,
    FROM_COST,
    FROM_HIDDEN,
    LEARNT,
    UNET,
    list_networks,
    tune_descent,
)
from .tasks import Assimilation

_log = logging.getLogger(__name__)

_LOSSES = {FROM_HIDDEN: "hidden", FROM_COST: "cost"}  # of networks trained without the truth
_TUNING = 20  # training windows that tune the reference methods
_BATCH = 256  # windows of a prediction

BuildNetworks = Callable[[float, float], dict[str, Callable[[], nn.Module]]]


@dataclass(frozen=True, kw_only=True)
class AssimilationOptions(TrainingOptions):
    """Options of the learnt assimilation.

    Parameters
    ----------
    training
        Number of training windows.
    tests
        Number of test windows.
    iterations
        Iterations of the learnt solvers and of fixed-step descent.
    search
        L-BFGS iterations of 4DVar for each variance of the model error.
    only
        Names of the networks to train; by default all.
    """

    training: int
    tests: int
    iterations: int
    search: int
    only: list[str] | None = None


@dataclass(frozen=True, kw_only=True)
class Lorenz63Options(AssimilationOptions):
    """Options of the learnt assimilation of Lorenz-63."""

    training: int = 10_000
    tests: int = 2_000
    iterations: int = 9
    epochs: int = 3
    batch: int = 32
    learning_rate: float = 5e-3
    search: int = 250


@dataclass(frozen=True, kw_only=True)
class Lorenz96Options(AssimilationOptions):
    """Options of the learnt assimilation of Lorenz-96."""

    training: int = 2_000
    tests: int = 256
    iterations: int = 6
    epochs: int = 6
    batch: int = 8
    learning_rate: float = 3e-3
    search: int = 60


def assimilate_lorenz63(folder: Path, options: Lorenz63Options) -> list[Finding]:
    """Compare learnt solvers, fixed-step descent and 4DVar on gaps of noisy Lorenz-63.

    Windows of 200 steps are observed every 8 steps, except at their ends, with noise variance 2: all
    components, then the first one alone. Writes ``l63.png``, ``l63-first-component.png`` and a checkpoint of
    each network.
    """
    build = partial(list_networks, LORENZ63, hidden=15, prior=24, direct=11, iterations=options.iterations)
    findings = _compare(folder, "L63", LORENZ63, build, options, options.only, target=1.34)
    only = [name for name in (LEARNT, UNET) if options.only is None or name in options.only]
    return findings + _compare(folder, "L63, first component", LORENZ63_FIRST, build, options, only)


def assimilate_lorenz96(folder: Path, options: Lorenz96Options) -> list[Finding]:
    """Compare learnt solvers, fixed-step descent and 4DVar on gaps of noisy Lorenz-96.

    A random half of 40 variables is observed every 4 steps. For networks a window is a map, the ring of
    variables by time, and convolutions are periodic along the ring: all variables obey the same equation.
    Writes ``l96.png`` and a checkpoint of each network.
    """
    build = partial(list_networks, LORENZ96, hidden=16, prior=16, direct=32, iterations=options.iterations)
    return _compare(folder, "L96", LORENZ96, build, options, options.only, target=0.40)


def _compare(
    folder: Path,
    title: str,
    system: System,
    build: BuildNetworks,
    options: AssimilationOptions,
    only: list[str] | None,
    target: float | None = None,
) -> list[Finding]:
    """Score all methods on the same test windows, by mean square errors in the units of the system."""
    seed = options.seed
    truth = system.draw_windows(system.training, options.training, seed)
    mean, deviation = float(truth.mean()), float(truth.std())
    networks = build(mean, deviation)
    names = list(networks) if only is None else only
    if unknown := set(names) - set(networks):
        raise InputError(
            f"only: there is no network {', '.join(sorted(unknown))}; choose among {', '.join(networks)}"
        )
    test = _draw_observed(system, system.test, options.tests, seed + 1)
    validation = _draw_observed(system, system.validation, max(options.tests // 4, 2), seed + 2)
    tuning = system.observe(truth[:_TUNING], torch.Generator().manual_seed(seed + 4))

    def normalise(windows: AssimilationWindows) -> AssimilationWindows:
        observed = system.arrange(windows.observed)
        truth, first_guess, values = (system.arrange((part - mean) / deviation) for part in windows[:3])
        return AssimilationWindows(truth, first_guess, torch.where(observed, values, 0.0), observed)

    def predict(network: nn.Module) -> Tensor:
        batches = zip(*(part.split(_BATCH) for part in test), strict=True)
        states = [network(*normalise(AssimilationWindows(*parts))[1:]).detach() for parts in batches]
        return (torch.cat(states) * deviation + mean).view_as(test.truth)

    states = {
        "linear interpolation": test.first_guess,
        "4DVar, the true ODE": assimilate(system, test, tuning, options.search),
    }
    residuals = {}
    rng = torch.Generator().manual_seed(seed + 3)
    for name in names:
        network = build_with_seed(networks[name], seed)
        loss = _LOSSES.get(name, "supervised")
        task = train_task(
            Assimilation(network, normalise, options.learning_rate, loss),
            DataLoader(
                TensorDataset(truth),
                options.batch,
                shuffle=True,
                collate_fn=lambda samples: system.observe(torch.stack([row for (row,) in samples]), rng),
            ),
            DataLoader(TensorDataset(*validation), _BATCH),
            settings=TrainerSettings(
                epochs=options.epochs,
                # Validation against the truth must not choose the epoch of a network trained without it.
                monitor="error" if loss == "supervised" else None,
                clip=1.0,
                seed=seed,
                device=options.device,
                quiet=options.quiet,
                name=f"{title}, {name}",
            ),
        )
        save_network(
            folder / f"{_name_file(f'{title} {name}')}.pt",
            task.network,
            {"mean": mean, "deviation": deviation},
        )
        states[name] = predict(task.network)
        if isinstance(network, FourDVarNet):
            if name == LEARNT:
                states[DESCENT_ON_LEARNT] = predict(tune_descent(network, normalise(tuning)))
            normalised = normalise(test).truth
            with torch.no_grad():
                residual = float((normalised - network.prior(normalised)).square().mean())
            residuals[name] = residual * deviation**2
        _log.info("%s: %d parameters", name, sum(weight.numel() for weight in network.parameters()))
    figures.draw_window(folder / f"{_name_file(title)}.png", test, states)
    return _list_findings(title, test, states, residuals, target)


def _draw_observed(system: System, part: slice, count: int, seed: int) -> AssimilationWindows:
    """Draw and observe windows of a part of the series, both with the same seed."""
    return system.observe(system.draw_windows(part, count, seed), torch.Generator().manual_seed(seed))


def _name_file(title: str) -> str:
    return title.lower().replace(", ", "-").replace(" ", "-")


def _list_findings(
    title: str,
    test: AssimilationWindows,
    states: dict[str, Tensor],
    residuals: dict[str, float],
    target: float | None,
) -> list[Finding]:
    findings, overall = [], {}
    for name, estimate in states.items():
        square = (estimate - test.truth).square()
        overall[name] = float(square.mean())
        findings += [
            Finding(f"{title}: {name}, MSE", overall[name], at_most=target if name == LEARNT else None),
            Finding(f"{title}: {name}, MSE where observed", float(square[test.observed].mean())),
            Finding(f"{title}: {name}, MSE where not observed", float(square[~test.observed].mean())),
        ]
        if name in residuals:
            findings.append(
                Finding(f"{title}: {name}, mean square prior residual of the truth", residuals[name])
            )
    for descent in (DESCENT_ON_LEARNT, DESCENT):
        if descent in overall and LEARNT in overall:
            ratio = overall[LEARNT] / overall[descent]
            findings.append(Finding(f"{title}: MSE of the learnt solver / of {descent}", ratio, at_most=0.5))
    return findings
