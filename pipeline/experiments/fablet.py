"""Learnt variational assimilation of Lorenz's systems (Fablet et al. 2021, doi:10.1029/2021MS002572)."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterator, Sequence
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
    closed,
)
from ...models.recurrent import LSTM, BothWays
from ...models.unet import UNet
from ..classical.fourdvar import analyse, dynamics
from ..errors import InputError
from ..fitting import fit
from . import fablet_figures as figures
from .fablet_data import LORENZ63, LORENZ63_FIRST, LORENZ96, NOISE_VARIANCE, Seen, System, interpolated
from .findings import Finding
from .lorenz63_tasks import Annealed

_log = logging.getLogger(__name__)

_PRIOR_SHARE = 0.05  # of the prior's residual in the loss
_VARIANCES = (10.0, 3.0, 1.0, 0.3, 0.1, 0.03, 0.01, 0.003)  # of a step of the true equations, in turn
_GIVEN_VARIANCE = 1e-2  # of them, where the cost is given and not learnt
_WITHOUT_TRUTH = {"learnt solver, from hidden observations": "hidden", "learnt solver, from its cost": "cost"}
_TUNED_ON = 20  # training windows
_TOGETHER = 50  # windows that share a line search


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
            kept = known & ~hidden
            # The first guess would tell what is hidden: it goes through the observations.
            first = interpolated(observed.cpu(), kept.cpu()).to(first)
            states = self.network(first, observed, kept)
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
    """A network of the first guess and of where it is observed that corrects it.

    Both are joined along their channels, and brought by ``arrange`` to what the network takes.
    """

    def __init__(self, network: nn.Module, arrange: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.network, self.arrange = network, arrange

    def forward(self, first: Tensor, observed: Tensor, known: Tensor) -> Tensor:
        inputs = torch.cat([first, known.to(first.dtype)], dim=1)
        return first + self.network(self.arrange(inputs)).view_as(first)


def lorenz63(
    folder: Path,
    *,
    training: int = 10_000,
    tests: int = 2_000,
    iterations: int = 9,
    epochs: int = 3,
    batch: int = 32,
    learning_rate: float = 5e-3,
    search: int = 60,
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
    found = _compared(
        folder,
        "L63",
        LORENZ63,
        build,
        bar=1.34,
        references={"two-scale": 1.34, "descent": 3.55},
        only=only,
        **how,
    )
    some = [name for name in ("learnt solver, two-scale prior", "U-Net") if only is None or name in only]
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
        references={"two-scale": 0.38, "descent": 1.06},
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
        "fixed-step descent, two-scale prior": lambda: FourDVarNet(two_scale(), Descent(0.2), iterations),
        "learnt solver, ODE prior": lambda: learnt(evolution()),
        "learnt solver, auto-encoder prior": lambda: learnt(AutoEncoderPrior(channels, prior, dimensions)),
        "learnt solver, two-scale prior": lambda: learnt(two_scale()),
        hidden_ones: lambda: learnt(two_scale()),
        cost: given,
        "U-Net": unet,
        "LSTM both ways": lstm,
    }
    if not system.ring:
        return made
    return {name: (lambda make=make: closed(make())) for name, make in made.items()}


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
            states[name] = (torch.cat(parts) * deviation + mean).view_as(test.truth)
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
    if descent in overall and learnt in overall:
        ratio = overall[learnt] / overall[descent]
        found.append(Finding(f"{title}: learnt solver over fixed-step descent", ratio, at_most=0.5))
    return found


def _shaped(system: System, windows: Tensor) -> Tensor:
    """Windows (batch, n, time); of a ring as maps (batch, 1, n, time)."""
    return windows[:, None] if system.ring else windows


def _assimilated(system: System, training: Tensor, test: Seen, search: int, seed: int) -> Tensor:
    """Weak-constraint 4DVar, its model error chosen on training windows.

    From linear interpolation by one variance of the model error after the other: while the equations bind
    little the cost has few minima.
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
    errors = [float((states - tuning.truth).square().mean()) for states in bound(tuning, _VARIANCES)]
    _log.info("4DVar, MSE on training windows by the variances %s of the model error: %s", _VARIANCES, errors)
    *_, states = bound(test, _VARIANCES[: errors.index(min(errors)) + 1])
    return states


def _draws(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)
