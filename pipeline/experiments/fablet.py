"""Learnt variational assimilation of Lorenz's systems (Fablet et al. 2021, doi:10.1029/2021MS002572)."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from ...models.dynamics import rk4
from ...models.fourdvarnet import (
    AutoEncoderPrior,
    Descent,
    Evolution,
    FourDVarNet,
    RecurrentSolver,
    TwoScalePrior,
)
from ...models.recurrent import LSTM, BothWays
from ...models.unet import UNet
from ..classical.fourdvar import analyse, dynamics
from ..fitting import fit
from . import fablet_figures as figures
from .fablet_data import LORENZ63, LORENZ63_FIRST, LORENZ96, NOISE_VARIANCE, Seen, System
from .findings import Finding
from .lorenz63_tasks import Annealed

_log = logging.getLogger(__name__)

_PRIOR_SHARE = 0.05  # of the prior's residual in the loss
_VARIANCES = (1e-3, 1e-2, 1e-1)  # of a step of the true equations, tried on training windows
_GIVEN_VARIANCE = 1e-2  # of them, where the cost is given and not learnt
_WITHOUT_TRUTH = {"learnt solver, from hidden observations": "hidden", "learnt solver, from its cost": "cost"}
_TUNED_ON = 20  # training windows
_TOGETHER = 250  # windows that share a line search


class Assimilation(Annealed):
    """Trains what makes states of a first guess and observations, all (batch, n, time), normalised.

    ``loss`` is "supervised": the mean square error, and a twentieth of the prior's residual for the states
    and for the truth; "hidden": the same square at observations that are hidden by chance (``share``) and at
    no other value, for who has no truth; "cost": the variational cost itself, whose prior then has to be
    given, and its weights fixed. A `FourDVarNet` begins with a third of its iterations and has two
    thirds and all of them after a third and two thirds of the epochs.
    """

    def __init__(
        self,
        network: nn.Module,
        encode: Callable[[Seen], tuple[Tensor, ...]],
        learning_rate: float,
        loss: str = "supervised",
        share: float = 0.2,
    ) -> None:
        super().__init__(learning_rate)
        if loss not in ("supervised", "hidden", "cost"):
            raise ValueError(f"loss {loss!r} is none of supervised, hidden, cost")
        self.network, self.encode, self.kind, self.share = network, encode, loss, share
        self.iterations = network.iterations if isinstance(network, FourDVarNet) else 0
        if loss == "cost":
            assert isinstance(network, FourDVarNet)
            network.log_weights.requires_grad_(False)  # at minus infinity the cost would be least

    def on_train_epoch_start(self) -> None:
        if isinstance(self.network, FourDVarNet):
            third = 1 + 3 * self.current_epoch // max(1, self.trainer.max_epochs or 1)
            self.network.iterations = max(1, self.iterations * min(third, 3) // 3)

    def on_train_end(self) -> None:
        if isinstance(self.network, FourDVarNet):
            self.network.iterations = self.iterations

    def training_step(self, batch: Seen, index: int) -> Tensor:
        truth, first, observed, known = self.encode(Seen(*batch))
        if self.kind == "hidden":
            hidden = known & (torch.rand(known.shape, device=known.device) < self.share)
            states = self.network(first, observed, known & ~hidden)
            return (states - observed)[hidden].square().mean()
        states = self.network(first, observed, known)
        if self.kind == "cost":
            assimilation: Any = self.network
            return assimilation.cost(states, observed, known).mean()
        loss = (states - truth).square().mean()
        if isinstance(self.network, FourDVarNet):
            loss = loss + _PRIOR_SHARE * sum(
                (part - self.network.prior(part)).square().mean() for part in (states, truth)
            )
        return loss

    def validation_step(self, batch: Seen, index: int) -> None:
        truth, first, observed, known = self.encode(Seen(*batch))
        self.log("error", (self.network(first, observed, known) - truth).square().mean())


class Direct(nn.Module):
    """A network of the first guess and of where it is observed that corrects it, for series.

    ``network`` is (batch, 2 n, time) to (batch, n, time); one for maps sees a map of one row.
    """

    def __init__(self, network: nn.Module, maps: bool) -> None:
        super().__init__()
        self.network, self.maps = network, maps

    def forward(self, first: Tensor, observed: Tensor, known: Tensor) -> Tensor:
        inputs = torch.cat([first, known.to(first.dtype)], dim=1)
        if self.maps:
            return first + self.network(inputs[:, :, None])[:, :, 0]
        return first + self.network(inputs)


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
    seed: int = 0,
    device: str = "cpu",
    quiet: bool = True,
) -> list[Finding]:
    """A learnt solver fills gaps of noisy Lorenz-63 better than as many steps of plain descent.

    Windows of 200 steps seen every 8 with noise variance 2 and not at their ends, all components, and the
    first alone. Writes ``l63.png``, ``l63-first-component.png`` and a checkpoint of each network. ``search``
    are L-BFGS iterations.
    """
    build = partial(
        _networks, variables=3, hidden=15, prior=24, direct=11, iterations=iterations, system=LORENZ63
    )
    how: dict[str, Any] = {
        "training": training,
        "tests": tests,
        "epochs": epochs,
        "batch": batch,
        "search": search,
    }
    how |= {"learning_rate": learning_rate, "seed": seed, "device": device, "quiet": quiet}
    found = _compared(
        folder, "L63", LORENZ63, build, bar=1.34, references={"two-scale": 1.34, "descent": 3.55}, **how
    )
    some = {"learnt solver, two-scale prior", "U-Net"}
    first = _compared(folder, "L63, first component", LORENZ63_FIRST, build, only=some, **how)
    return found + first


def lorenz96(
    folder: Path,
    *,
    training: int = 2_000,
    tests: int = 256,
    iterations: int = 6,
    epochs: int = 9,
    batch: int = 16,
    learning_rate: float = 3e-3,
    search: int = 250,
    seed: int = 0,
    device: str = "cpu",
    quiet: bool = True,
) -> list[Finding]:
    """The same of Lorenz-96: 40 variables, a random half of them seen at every fourth step.

    Writes ``l96.png`` and a checkpoint of each network.
    """
    build = partial(
        _networks, variables=40, hidden=40, prior=32, direct=48, iterations=iterations, system=LORENZ96
    )
    how: dict[str, Any] = {
        "training": training,
        "tests": tests,
        "epochs": epochs,
        "batch": batch,
        "search": search,
    }
    how |= {"learning_rate": learning_rate, "seed": seed, "device": device, "quiet": quiet}
    return _compared(
        folder, "L96", LORENZ96, build, bar=0.40, references={"two-scale": 0.38, "descent": 1.06}, **how
    )


def _networks(
    mean: float,
    deviation: float,
    *,
    variables: int,
    hidden: int,
    prior: int,
    direct: int,
    iterations: int,
    system: System,
) -> dict[str, Callable[[], nn.Module]]:
    """What is trained, by name; all take and give normalised (batch, variables, time)."""

    def learnt(prior: nn.Module) -> FourDVarNet:
        return FourDVarNet(prior, RecurrentSolver(variables, hidden), iterations)

    def evolution() -> Evolution:
        return Evolution(lambda state: rk4(system.tendency, state, system.dt), deviation, mean)

    def given() -> FourDVarNet:
        network = learnt(evolution())
        network.log_weights.data[0] = math.log(_GIVEN_VARIANCE / NOISE_VARIANCE)
        return network

    hidden_ones, cost = _WITHOUT_TRUTH
    return {
        "fixed-step descent, two-scale prior": lambda: FourDVarNet(
            TwoScalePrior(variables, prior), Descent(0.2), iterations
        ),
        "learnt solver, ODE prior": lambda: learnt(evolution()),
        "learnt solver, auto-encoder prior": lambda: learnt(AutoEncoderPrior(variables, prior)),
        "learnt solver, two-scale prior": lambda: learnt(TwoScalePrior(variables, prior)),
        hidden_ones: lambda: learnt(TwoScalePrior(variables, prior)),
        cost: given,
        "U-Net": lambda: Direct(
            UNet(2 * variables, variables, widths=(direct // 2, direct, direct)), maps=True
        ),
        "LSTM both ways": lambda: Direct(
            BothWays(LSTM(2 * variables, direct), LSTM(2 * variables, direct), variables), maps=False
        ),
    }


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
    references: dict[str, float] | None = None,
    only: set[str] | None = None,
) -> list[Finding]:
    """Every method on the same test windows: mean square errors in the units of the system."""
    truth = system.windows(system.training, training, seed)
    mean, deviation = float(truth.mean()), float(truth.std())
    test = system.observe(system.windows(system.test, tests, seed + 1), _draws(seed + 1))
    chosen = system.observe(system.windows(system.validation, max(tests // 4, 2), seed + 2), _draws(seed + 2))

    def encode(seen: Seen) -> Seen:
        normal = [(part - mean) / deviation for part in seen[:3]]
        return Seen(normal[0], normal[1], torch.where(seen.known, normal[2], 0.0), seen.known)

    states = {
        "linear interpolation": test.first,
        "4DVar, the true ODE": _assimilated(system, truth, test, search, seed),
    }
    residuals = {}
    draws = _draws(seed + 3)
    for name, make in build(mean, deviation).items():
        if only is not None and name not in only:
            continue
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            network = make()
        loss = _WITHOUT_TRUTH.get(name, "supervised")
        task = fit(
            Assimilation(network, encode, learning_rate, loss),
            DataLoader(
                TensorDataset(truth),
                batch,
                shuffle=True,
                collate_fn=lambda rows: system.observe(torch.stack([row for (row,) in rows]), draws),
            ),
            DataLoader(TensorDataset(*chosen), 256),
            epochs=epochs,
            monitor="error" if loss == "supervised" else None,  # the truth would choose the epoch
            clip=1.0,
            seed=seed,
            device=device,
            quiet=quiet,
        )
        weights = sum(weight.numel() for weight in network.parameters())
        file = f"{title} {name}".lower().replace(", ", "-").replace(" ", "-")
        torch.save(
            {"state_dict": task.network.state_dict(), "options": {"mean": mean, "deviation": deviation}},
            folder / f"{file}.pt",
        )
        with torch.no_grad():
            parts = [
                task.network(*encode(Seen(*(part[start : start + 256] for part in test)))[1:])
                for start in range(0, tests, 256)
            ]
            states[name] = torch.cat(parts) * deviation + mean
            if isinstance(network, FourDVarNet):
                normal = encode(test).truth
                residual = (normal - network.prior(normal)).square().mean()
                residuals[name] = float(residual) * deviation**2
        _log.info("%s: %d parameters", name, weights)
    figures.windows(folder / f"{title.lower().replace(', ', '-').replace(' ', '-')}.png", test, states)
    return _findings(title, test, states, residuals, bar, references or {})


def _findings(
    title: str,
    test: Seen,
    states: dict[str, Tensor],
    residuals: dict[str, float],
    bar: float | None,
    references: dict[str, float],
) -> list[Finding]:
    found, overall = [], {}
    for name, said in states.items():
        square = (said - test.truth).square()
        overall[name] = float(square.mean())
        key = "descent" if "descent" in name else "two-scale" if "two-scale" in name else ""
        least = bar if key == "two-scale" else None
        found += [
            Finding(f"{title}: {name}, MSE", overall[name], references.get(key), at_most=least),
            Finding(f"{title}: {name}, MSE where observed", float(square[test.known].mean())),
            Finding(f"{title}: {name}, MSE where not", float(square[~test.known].mean())),
        ]
        if name in residuals:
            found.append(Finding(f"{title}: {name}, residual of the prior for the truth", residuals[name]))
    descent, learnt = "fixed-step descent, two-scale prior", "learnt solver, two-scale prior"
    if descent in overall:
        ratio = overall[learnt] / overall[descent]
        found.append(Finding(f"{title}: learnt solver over fixed-step descent", ratio, at_most=0.5))
    return found


def _assimilated(system: System, training: Tensor, test: Seen, search: int, seed: int) -> Tensor:
    """Weak-constraint 4DVar from linear interpolation, its model error chosen on training windows."""
    step = partial(dynamics, lambda state: rk4(system.tendency, state, system.dt))

    def best(seen: Seen, variance: float) -> Tensor:
        found = []
        for start in range(0, len(seen.truth), _TOGETHER):
            first, observed, known = (part[start : start + _TOGETHER].transpose(1, 2) for part in seen[1:])
            found.append(
                analyse(
                    first.double(),
                    observed.double(),
                    known,
                    step,
                    noise_variance=NOISE_VARIANCE,
                    prior_variance=variance,
                    iterations=search,
                )
            )
        return torch.cat(found).transpose(1, 2).float()

    tuning = system.observe(training[:_TUNED_ON], _draws(seed + 4))
    errors = {
        variance: float((best(tuning, variance) - tuning.truth).square().mean()) for variance in _VARIANCES
    }
    _log.info("4DVar, MSE on training windows by the variance of the model error: %s", errors)
    return best(test, min(errors, key=lambda variance: errors[variance]))


def _draws(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)
