"""Learnt variational assimilation of Lorenz's systems (Fablet et al. 2021, doi:10.1029/2021MS002572)."""

from __future__ import annotations

import copy
import logging
import math
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from ....models.dynamics import rk4
from ....models.fourdvarnet import (
    AutoEncoderPrior,
    Descent,
    Evolution,
    FourDVarNet,
    RecurrentSolver,
    TwoScalePrior,
    closed,
)
from ....models.recurrent import LSTM, BothWays
from ....models.unet import UNet
from ...classical.fourdvar import analyse, dynamics
from ...errors import InputError
from ...training.trainer import TrainerSettings, train_task
from ..findings import Finding
from . import figures
from .data import LORENZ63, LORENZ63_FIRST, LORENZ96, NOISE_VARIANCE, Seen, System
from .tasks import Assimilation, Direct

_log = logging.getLogger(__name__)

_VARIANCES = (10.0, 3.0, 1.0, 0.3, 0.1, 0.03, 0.01, 0.003, 0.001)  # of a step of the true equations
_GIVEN_VARIANCE = 1e-2  # of them, where the cost is given and not learnt
_LEARNT = "learnt solver, two-scale prior"
_DESCENT = "fixed-step descent, two-scale prior"
_ON_ITS_PRIOR = "fixed-step descent on the learnt solver's prior"
_RATES, _LONGER = (0.02, 0.05, 0.1, 0.2), (30, 100)  # lengths and numbers of its steps
_WITHOUT_TRUTH = {"learnt solver, from hidden observations": "hidden", "learnt solver, from its cost": "cost"}
_TUNED_ON = 20  # training windows
_TOGETHER = 100  # windows that share a line search


def lorenz63(
    folder: Path,
    *,
    training: int = 10_000,
    tests: int = 2_000,
    iterations: int = 9,
    epochs: int = 3,
    batch: int = 32,
    learning_rate: float = 5e-3,
    search: int = 250,
    only: list[str] | None = None,
    seed: int = 0,
    device: str = "cpu",
    quiet: bool = True,
) -> list[Finding]:
    """A learnt solver fills gaps of noisy Lorenz-63 better than as many steps of plain descent.

    Windows of 200 steps seen every 8 with noise variance 2 and not at their ends, all components, and the
    first alone. Writes ``l63.png``, ``l63-first-component.png`` and a checkpoint of each network. ``search``
    are L-BFGS iterations for each variance of the model error that 4DVar goes through; ``only`` the networks
    to train, by their names.
    """
    build = partial(_networks, LORENZ63, hidden=15, prior=24, direct=11, iterations=iterations)
    how: dict[str, Any] = {
        "training": training,
        "tests": tests,
        "epochs": epochs,
        "batch": batch,
        "search": search,
    }
    how |= {"learning_rate": learning_rate, "seed": seed, "device": device, "quiet": quiet}
    found = _compared(folder, "L63", LORENZ63, build, bar=1.34, only=only, **how)
    some = [name for name in (_LEARNT, "U-Net") if only is None or name in only]
    return found + _compared(folder, "L63, first component", LORENZ63_FIRST, build, only=some, **how)


def lorenz96(
    folder: Path,
    *,
    training: int = 2_000,
    tests: int = 256,
    iterations: int = 6,
    epochs: int = 6,
    batch: int = 8,
    learning_rate: float = 3e-3,
    search: int = 60,
    only: list[str] | None = None,
    seed: int = 0,
    device: str = "cpu",
    quiet: bool = True,
) -> list[Finding]:
    """The same of Lorenz-96: 40 variables, a random half of them seen at every fourth step.

    Networks take a window for a map, the ring of variables by time, whose convolutions close around the ring:
    all variables obey the same equation. Writes ``l96.png`` and a checkpoint of each network.
    """
    build = partial(_networks, LORENZ96, hidden=16, prior=16, direct=32, iterations=iterations)
    return _compared(
        folder,
        "L96",
        LORENZ96,
        build,
        bar=0.40,
        training=training,
        tests=tests,
        epochs=epochs,
        batch=batch,
        search=search,
        only=only,
        learning_rate=learning_rate,
        seed=seed,
        device=device,
        quiet=quiet,
    )


def _networks(
    system: System,
    mean: float,
    deviation: float,
    *,
    hidden: int,
    prior: int,
    direct: int,
    iterations: int,
) -> dict[str, Callable[[], nn.Module]]:
    """What is trained, by name; all take and give normalised states, as `_shaped` for the system."""
    variables = system.series().shape[1]
    channels, dimensions = (1, 2) if system.ring else (variables, 1)

    def learnt(prior: nn.Module) -> FourDVarNet:
        return FourDVarNet(prior, RecurrentSolver(channels, hidden, dimensions), iterations)

    def evolution() -> Evolution:
        return Evolution(lambda state: rk4(system.tendency, state, system.dt), deviation, mean)

    def given() -> FourDVarNet:
        network = learnt(evolution())
        network.log_weights.data[0] = math.log(_GIVEN_VARIANCE / NOISE_VARIANCE)
        return network

    def two_scale() -> TwoScalePrior:
        return TwoScalePrior(channels, prior, dimensions)

    def unet() -> Direct:
        network = UNet(2 * channels, channels, widths=(direct // 2, direct, direct))
        return Direct(network, nn.Identity() if system.ring else partial(torch.unsqueeze, dim=2))

    def lstm() -> Direct:
        ways = (LSTM(2 * variables, direct), LSTM(2 * variables, direct))
        series = partial(torch.flatten, start_dim=1, end_dim=-2)
        return Direct(BothWays(*ways, variables), series)

    hidden_ones, cost = _WITHOUT_TRUTH
    made: dict[str, Callable[[], nn.Module]] = {
        _DESCENT: lambda: FourDVarNet(two_scale(), Descent(0.2), iterations),
        "learnt solver, ODE prior": lambda: learnt(evolution()),
        "learnt solver, auto-encoder prior": lambda: learnt(AutoEncoderPrior(channels, prior, dimensions)),
        _LEARNT: lambda: learnt(two_scale()),
        hidden_ones: lambda: learnt(two_scale()),
        cost: given,
        "U-Net": unet,
        "LSTM both ways": lstm,
    }
    if not system.ring:
        return made
    return {name: partial(_closed, make) for name, make in made.items()}


def _closed(make: Callable[[], nn.Module]) -> nn.Module:
    return closed(make())


def _compared(
    folder: Path,
    title: str,
    system: System,
    build: Callable[[float, float], dict[str, Callable[[], nn.Module]]],
    *,
    training: int,
    tests: int,
    epochs: int,
    batch: int,
    search: int,
    learning_rate: float,
    seed: int,
    device: str,
    quiet: bool,
    bar: float | None = None,
    only: list[str] | None = None,
) -> list[Finding]:
    """Every method on the same test windows: mean square errors in the units of the system."""
    truth = system.windows(system.training, training, seed)
    mean, deviation = float(truth.mean()), float(truth.std())
    networks = build(mean, deviation)
    names = list(networks) if only is None else only
    if unknown := set(names) - set(networks):
        raise InputError(f"only: {', '.join(sorted(unknown))} is none of {', '.join(networks)}")
    test = system.observe(system.windows(system.test, tests, seed + 1), _draws(seed + 1))
    chosen = system.observe(system.windows(system.validation, max(tests // 4, 2), seed + 2), _draws(seed + 2))

    def encode(seen: Seen) -> Seen:
        known = _shaped(system, seen.known)
        truth, first, observed = (_shaped(system, (part - mean) / deviation) for part in seen[:3])
        return Seen(truth, first, torch.where(known, observed, 0.0), known)

    states = {
        "linear interpolation": test.first,
        "4DVar, the true ODE": _assimilated(system, truth, test, search, seed),
    }
    residuals = {}
    draws = _draws(seed + 3)
    for name in names:
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            network = networks[name]()
        loss = _WITHOUT_TRUTH.get(name, "supervised")
        task = train_task(
            Assimilation(network, encode, learning_rate, loss),
            DataLoader(
                TensorDataset(truth),
                batch,
                shuffle=True,
                collate_fn=lambda rows: system.observe(torch.stack([row for (row,) in rows]), draws),
            ),
            DataLoader(TensorDataset(*chosen), 256),
            settings=TrainerSettings(
                epochs=epochs,
                monitor="error" if loss == "supervised" else None,  # the truth would choose the epoch
                clip=1.0,
                seed=seed,
                device=device,
                quiet=quiet,
            ),
        )
        weights = sum(weight.numel() for weight in network.parameters())
        file = f"{title} {name}".lower().replace(", ", "-").replace(" ", "-")
        torch.save(
            {"state_dict": task.network.state_dict(), "options": {"mean": mean, "deviation": deviation}},
            folder / f"{file}.pt",
        )
        kinds = {name: task.network}
        if name == _LEARNT and isinstance(network, FourDVarNet):
            kinds[_ON_ITS_PRIOR] = _descending(
                network, encode(system.observe(truth[:_TUNED_ON], _draws(seed + 4)))
            )
        for kind, made in kinds.items():
            batches = zip(*(part.split(256) for part in test), strict=True)
            said = torch.cat([made(*encode(Seen(*parts))[1:]).detach() for parts in batches])
            states[kind] = (said * deviation + mean).view_as(test.truth)
        if isinstance(network, FourDVarNet):
            normal = encode(test).truth
            with torch.no_grad():
                residual = float((normal - network.prior(normal)).square().mean())
            residuals[name] = residual * deviation**2
        _log.info("%s: %d parameters", name, weights)
    figures.windows(folder / f"{title.lower().replace(', ', '-').replace(' ', '-')}.png", test, states)
    return _findings(title, test, states, residuals, bar)


def _findings(
    title: str,
    test: Seen,
    states: dict[str, Tensor],
    residuals: dict[str, float],
    bar: float | None,
) -> list[Finding]:
    found, overall = [], {}
    for name, said in states.items():
        square = (said - test.truth).square()
        overall[name] = float(square.mean())
        found += [
            Finding(f"{title}: {name}, MSE", overall[name], at_most=bar if name == _LEARNT else None),
            Finding(f"{title}: {name}, MSE where observed", float(square[test.known].mean())),
            Finding(f"{title}: {name}, MSE where not", float(square[~test.known].mean())),
        ]
        if name in residuals:
            found.append(Finding(f"{title}: {name}, residual of the prior for the truth", residuals[name]))
    for descent in (_ON_ITS_PRIOR, _DESCENT):
        if descent in overall and _LEARNT in overall:
            ratio = overall[_LEARNT] / overall[descent]
            found.append(Finding(f"{title}: learnt solver over {descent}", ratio, at_most=0.5))
    return found


@torch.no_grad()
def _descending(network: FourDVarNet, tuning: Seen) -> FourDVarNet:
    """The network with steps of one length in place of its solver; their length and number suit windows."""
    descending = copy.deepcopy(network)
    tried = {}
    for rate, iterations in product(_RATES, (network.iterations, *_LONGER)):
        descending.solver, descending.iterations = Descent(rate), iterations
        error = float((descending(*tuning[1:]) - tuning.truth).square().mean())
        tried[rate, iterations] = error if math.isfinite(error) else math.inf
    rate, descending.iterations = min(tried, key=lambda steps: tried[steps])
    descending.solver = Descent(rate)
    _log.info("%d steps of %g on the learnt prior", descending.iterations, rate)
    return descending.eval()


def _shaped(system: System, windows: Tensor) -> Tensor:
    """Windows (batch, n, time); of a ring as maps (batch, 1, n, time)."""
    return windows[:, None] if system.ring else windows


def _assimilated(system: System, training: Tensor, test: Seen, search: int, seed: int) -> Tensor:
    """Weak-constraint 4DVar, its model error chosen on training windows.

    From linear interpolation by one variance of the model error after the other: while the equations bind
    little the cost has few minima. The windows say where to begin and where to end.
    """
    step = partial(dynamics, lambda state: rk4(system.tendency, state, system.dt))

    def bound(seen: Seen, variances: Sequence[float]) -> Iterator[Tensor]:
        first, observed, known = (part.transpose(1, 2) for part in seen[1:])
        states = list(first.double().split(_TOGETHER))
        for variance in variances:
            for number, start in enumerate(range(0, len(first), _TOGETHER)):
                part = slice(start, start + _TOGETHER)
                states[number] = analyse(
                    states[number],
                    observed[part].double(),
                    known[part],
                    step,
                    noise_variance=NOISE_VARIANCE,
                    prior_variance=variance,
                    iterations=search,
                )
            yield torch.cat(states).transpose(1, 2).float()

    tuning = system.observe(training[:_TUNED_ON], _draws(seed + 4))
    errors = {
        (start, start + number + 1): float((states - tuning.truth).square().mean())
        for start in range(len(_VARIANCES))
        for number, states in enumerate(bound(tuning, _VARIANCES[start:]))
    }
    start, stop = min(errors, key=lambda part: errors[part])
    error = errors[start, stop]
    _log.info("4DVar through variances %s: MSE %.3g on training windows", _VARIANCES[start:stop], error)
    *_, states = bound(test, _VARIANCES[start:stop])
    return states


def _draws(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)
