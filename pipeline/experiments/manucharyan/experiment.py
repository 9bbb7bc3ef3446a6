"""Sea surface height and the deep flow from altimeter tracks (Manucharyan, Siegelman and Klein 2021,
doi:10.1029/2019MS001965).

A residual network sees two-layer turbulence along the tracks of ten days before and after, and says the
surface everywhere and the flow of the lower layer. Linear, optimal and dynamical interpolation see the same.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from torch.utils.data import DataLoader

from ...simulators.two_layer import TwoLayer
from ...training.checkpoints import save_checkpoint
from ...training.data import Dates, Patches
from ...training.features import NetworkInputs
from ...training.tasks import Correction
from ...training.trainer import TrainerSettings, train_task
from ..findings import Finding
from . import figures
from .data import REACH, Sampling, Statistics, dynamical, flow, linear, statistics
from .masked_heights import (
    GUESS_REACH,
    SHARES,
    WINDOW,
    Under,
    observed_with_noise,
    prepared,
    seen_under,
    segments,
    surroundings,
)

_log = logging.getLogger(__name__)

_NETWORK: dict[str, Any] = {
    "class_path": "oceanfill.models.resnet.ResNet",
    "init_args": {"width": 48, "steps": 8, "fold": 2},
}
_WRAP = 16  # cells by which the square is continued when a network is tested


def manucharyan(
    folder: Path,
    *,
    cells: int = 64,
    length: float = 1e6,
    beta: float = 1e-11,
    deformation_radius: float = 30e3,
    thickness_ratio: float = 0.25,
    shear: float = 0.1,
    drag: float = 2e-6,
    dt: float = 4320.0,
    members: int = 8,
    spin_up: float = 3.0,
    years: float = 3.0,
    tracks: tuple[int, ...] = (5, 3, 8),
    repeats: tuple[int, ...] = (10, 5, 20),
    network: dict[str, Any] = _NETWORK,
    epochs: int = 100,
    minutes: float | None = 4.0,
    batch: int = 8,
    learning_rate: float = 2e-3,
    test_days: int = 60,
    seed: int = 0,
    device: str = "cpu",
    quiet: bool = True,
) -> list[Finding]:
    """Residual networks map sea surface height from tracks, and the deep flow, better than what they correct.

    Turbulence in ``members`` squares of ``cells`` to a side (lengths in m, ``shear`` in m/s, ``beta`` in
    1/(m s), ``drag`` in 1/s, ``dt`` in s); the last member tests, the one before chooses, the others train.
    Of ``tracks`` a direction and ``repeats`` in days the first ones are the sampling of the main figures;
    each other one is a row too, with the first of the other kind. A network is trained once for all
    samplings, for ``minutes`` at most. Skill is 1 - error variance / variance. Writes ``flow.zarr``,
    ``maps.png``, ``skill.png``, and ``ssh.ckpt``, with which ``oceanfill fill --checkpoint`` fills a file.
    """
    model = TwoLayer(
        cells,
        length,
        beta,
        deformation_radius,
        thickness_ratio,
        shear,
        0.0,
        drag,
        dt,
        "exponential",
        device=device,
    )
    heights = flow(
        model, folder / "flow.zarr", members=members, years=years, spin_up=spin_up, seed=seed, quiet=quiet
    )
    known = statistics(heights[:-2], 2 * REACH + GUESS_REACH)
    spread = float(known.surface[len(known.surface) // 2, 0, 0]) ** 0.5
    samplings = [Sampling(tracks[0], repeats[0])]
    samplings += [Sampling(number, repeats[0]) for number in tracks[1:]]
    samplings += [Sampling(tracks[0], number) for number in repeats[1:]]
    under = [prepared(sampling, known, cells) for sampling in samplings]

    rng = np.random.default_rng(seed)
    training = segments(heights[:-2], under, spread, rng)
    chosen = segments(heights[-2:-1], under[:1], spread, rng)
    trained = {}
    for layer in ("surface", "deep"):
        torch.manual_seed(seed)
        trained[layer] = _trained(
            Correction(network, WINDOW, learning_rate),
            [pair[layer == "deep"] for pair in training],
            chosen[0][layer == "deep"],
            epochs=epochs,
            minutes=minutes,
            batch=batch,
            seed=seed,
            device=device,
            quiet=quiet,
        )
    _ignore_place_and_season(trained["surface"])
    save_checkpoint(trained["surface"], folder / "ssh.ckpt")

    share = _best_share(model, heights[-2], under[0], rng, test_days)
    findings: list[Finding] = []
    skills: dict[Sampling, dict[str, float]] = {}
    for number, one in enumerate(under):
        truth, maps = _tested(model, heights[-1], one, trained, spread, share, test_days, known, rng)
        surface = {name: skill(truth[:, 0], found) for name, found in maps["surface"].items()}
        skills[one.sampling] = surface
        deep = {name: correlation(truth[:, 1], found) for name, found in maps["deep"].items()}
        if number == 0:
            figures.maps(folder / "maps.png", truth, one, maps)
        findings += _rows(one.sampling, length, surface, deep, main=number == 0)
    figures.skill(folder / "skill.png", skills, length, len(tracks))
    return findings


def skill(truth: Tensor, found: Tensor) -> float:
    """1 - error variance / variance, of all cells and days together."""
    return float(1 - (found - truth).square().mean() / truth.square().mean())


def correlation(truth: Tensor, found: Tensor) -> float:
    """Of all cells and days together; the mean of both is zero by construction."""
    return float((truth * found).sum() / (truth.square().sum() * found.square().sum()).sqrt())


def _trained(
    task: Correction,
    scenes: Sequence[NetworkInputs],
    chosen: NetworkInputs,
    *,
    epochs: int,
    minutes: float | None,
    batch: int,
    seed: int,
    device: str,
    quiet: bool,
) -> Correction:
    cells, longest = scenes[0].anomaly.shape[-1], max(scene.anomaly.shape[1] for scene in (*scenes, chosen))
    around = surroundings(cells, longest)
    patches = Patches(list(scenes), around, WINDOW, cells, flipped=0.0, seed=seed)
    dates = np.zeros(chosen.anomaly.shape, bool)
    dates[:, :: max(1, dates.shape[1] // 25)] = True
    return train_task(
        task,
        patches.loader(batch),
        DataLoader(Dates(chosen, around, WINDOW, dates), batch_size=1),
        settings=TrainerSettings(
            epochs=epochs,
            monitor="held_out",
            averaged_over=100,
            time_budget=minutes,
            clip=1.0,
            mixed=True,
            seed=seed,
            device=device,
            quiet=quiet,
        ),
    )


def _ignore_place_and_season(task: Correction) -> None:
    """Weights of inputs that were zero throughout the training are as they were drawn: make them zero.

    On a file with places and seasons they would add what nothing was learnt of.
    """
    first = next(layer for layer in task.network.modules() if isinstance(layer, torch.nn.Conv2d))
    each = first.in_channels // (2 * WINDOW + 5)
    with torch.no_grad():
        for channel in (2 * WINDOW, 2 * WINDOW + 1, 2 * WINDOW + 3, 2 * WINDOW + 4):
            first.weight[:, channel * each : (channel + 1) * each] = 0


def _corrected(task: Correction, scene: NetworkInputs, guess: tuple[Tensor, Tensor], days: Tensor) -> Tensor:
    """(days, y, x) of the task, on the square continued over its ends."""
    wrapped = [functional.pad(part, 4 * [_WRAP], mode="circular") for part in vars(scene).values()]
    around = surroundings(wrapped[0].shape[-1], wrapped[0].shape[1])
    inner = slice(_WRAP, -_WRAP)
    mean, error = guess
    dates = Dates(NetworkInputs(*wrapped), around, WINDOW)
    with torch.no_grad():
        said = [task(dates[int(day)][0][None])[0][0, 0, inner, inner] for day in days]
    return mean[days] + error[days] * torch.stack(said)


def _test_dates(heights: Tensor, count: int) -> Tensor:
    """``count`` days, spread over the member, as far from its ends as what is seen of them reaches."""
    return torch.linspace(2 * REACH, len(heights) - 2 * REACH - 1, count).round().long()


def _carried(
    model: TwoLayer, observations: Tensor, under: Under, share: float, days: Tensor
) -> tuple[Tensor, Tensor]:
    """(days, y, x) by optimal interpolation and by dynamical interpolation between its maps."""
    turn = days % under.sampling.repeat
    maps = torch.empty(3, len(days), *observations.shape[-2:])
    for day, which in enumerate(under.best):
        for k, one in enumerate(which):
            maps[k, turn == day] = one.estimate(observations, days[turn == day])
    best, before, after = maps
    with torch.no_grad():
        carried = dynamical(model, before, after, observations, under.seen, 0, days, under.daily[share])
    return best, carried


def _best_share(
    model: TwoLayer, heights: Tensor, under: Under, rng: np.random.Generator, count: int
) -> float:
    """Of `SHARES`, by the skill on the member that chooses."""
    observations, days = observed_with_noise(heights, rng), _test_dates(heights, max(1, count // 4))
    found = {
        share: skill(heights[days, 0], _carried(model, observations, under, share, days)[1])
        for share in SHARES
    }
    _log.info("dynamical interpolation, skill by forecast error: %s", found)
    return max(found, key=lambda share: found[share])


def _tested(
    model: TwoLayer,
    heights: Tensor,
    under: Under,
    trained: dict[str, Correction],
    spread: float,
    share: float,
    count: int,
    known: Statistics,
    rng: np.random.Generator,
) -> tuple[Tensor, dict[str, dict[str, Tensor]]]:
    """Truth (days, 2, y, x), and the maps (days, y, x) of both layers by each method."""
    observations, days = observed_with_noise(heights, rng), _test_dates(heights, count)
    best, carried = _carried(model, observations, under, share, days)
    part = seen_under(heights[None], observations[None], under, torch.zeros(1, dtype=torch.long))
    ((surface, deep),) = part.scenes(spread)
    guess = {layer: (mean[0], error[0]) for layer, (mean, error) in part.guess.items()}
    day_in_cells = _day_in_cells(known)
    maps = {
        "surface": {
            "linear": linear(observations, under.seen, 0, days, day_in_cells),
            "optimal": best,
            "dynamical": carried,
            "network": _corrected(trained["surface"], surface, guess["surface"], days - REACH),
        },
        "deep": {
            "regression on the true surface": heights[days, 0],
            "linear from the tracks": guess["deep"][0][days - REACH],
            "network": _corrected(trained["deep"], deep, guess["deep"], days - REACH),
        },
    }
    return heights[days], maps


def _day_in_cells(known: Statistics) -> float:
    """How many cells away the surface has changed as much as in a day."""
    longest = len(known.surface) // 2
    start = known.surface[longest]
    per_day = start[0, 0] - known.surface[longest + 5, 0, 0]
    across = (start[0, :8] + start[:8, 0]) / 2
    return float(np.interp(float(per_day), (start[0, 0] - across).numpy(), np.arange(8))) / 5


def _rows(
    sampling: Sampling, length: float, surface: dict[str, float], deep: dict[str, float], main: bool
) -> list[Finding]:
    where = f"{length / sampling.tracks / 1000:.0f} km, {sampling.repeat} d"
    rows = [Finding(f"{where}: surface, {name}", value) for name, value in surface.items()]
    regression = deep["regression on the true surface"]
    rows += [
        Finding(
            f"{where}: surface, network minus dynamical",
            surface["network"] - surface["dynamical"],
            at_least=0,
        ),
        Finding(
            f"{where}: surface, dynamical minus linear", surface["dynamical"] - surface["linear"], at_least=0
        ),
    ]
    rows += [Finding(f"{where}: deep correlation, {name}", value) for name, value in deep.items()]
    rows.append(
        Finding(f"{where}: deep, network minus regression", deep["network"] - regression, at_least=0.1)
    )
    return rows if main else [row for row in rows if "minus" not in row.what]
