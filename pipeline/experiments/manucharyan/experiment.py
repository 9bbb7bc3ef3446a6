"""Sea surface height and the deep flow from altimeter tracks (Manucharyan, Siegelman and Klein 2021,
doi:10.1029/2019MS001965).

A residual network maps the surface and the flow of the lower layer of two-layer turbulence from the tracks of
ten days before and after. Linear, optimal and dynamical interpolation use the same tracks.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
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
from ..options import Network, TrainingOptions
from ..skill import compute_skill, correlate_fields
from ..training import build_with_seed
from . import figures
from .data import (
    REACH,
    Covariances,
    Sampling,
    estimate_covariances,
    interpolate_delaunay,
    interpolate_dynamically,
    simulate_heights,
)
from .masked_heights import (
    FORECAST_ERRORS,
    GUESS_REACH,
    WINDOW,
    SamplingCycle,
    make_static_features,
    make_training_inputs,
    mask_heights,
    observe_surface,
    prepare_cycle,
)

_log = logging.getLogger(__name__)

_NETWORK: dict[str, Any] = {
    "class_path": "oceanfill.models.resnet.ResNet",
    "init_args": {"width": 48, "steps": 8, "fold": 2},
}
_MARGIN = 16  # cells by which the periodic square is continued for predictions
_REGRESSION = "regression on the true surface"


@dataclass(frozen=True, kw_only=True)
class TurbulenceOptions(TrainingOptions):
    """Options of the mapping of two-layer turbulence.

    Parameters
    ----------
    cells
        Grid cells along a side of the square.
    length
        Side of the square, in m.
    beta
        Meridional gradient of the Coriolis parameter, in 1/(m s).
    deformation_radius
        Deformation radius, in m.
    thickness_ratio
        Thickness of the upper layer relative to the lower one.
    shear
        Velocity difference between the layers, in m/s.
    drag
        Bottom drag, in 1/s.
    dt
        Time step, in s.
    members
        Number of simulations: the last one tests, the one before validates, the others train.
    spin_up
        Spin-up, in years.
    years
        Length of the simulations after the spin-up, in years.
    tracks
        Numbers of tracks in each direction; the first one is that of the main figures.
    repeats
        Repeat periods in days; the first one is that of the main figures.
    network
        ``class_path`` and ``init_args`` of the network.
    minutes
        Time limit of each training, in minutes.
    test_days
        Number of test dates.
    """

    cells: int = 64
    length: float = 1e6
    beta: float = 1e-11
    deformation_radius: float = 30e3
    thickness_ratio: float = 0.25
    shear: float = 0.1
    drag: float = 2e-6
    dt: float = 4320.0
    members: int = 8
    spin_up: float = 3.0
    years: float = 3.0
    tracks: tuple[int, ...] = (5, 3, 8)
    repeats: tuple[int, ...] = (10, 5, 20)
    network: Network = field(default_factory=_NETWORK.copy)
    epochs: int = 100
    minutes: float | None = 4.0
    batch: int = 8
    learning_rate: float = 2e-3
    test_days: int = 60


def map_turbulence(folder: Path, options: TurbulenceOptions) -> list[Finding]:
    """Map sea surface height and the deep flow from altimeter tracks with residual networks.

    Each network is trained once for all samplings: the first track number with each repeat period, and the
    first repeat period with each track number. Skill is 1 - error variance / variance. Writes ``flow.zarr``,
    ``maps.png``, ``skill.png``, and ``ssh.ckpt``, which ``oceanfill fill --checkpoint`` applies to a file.
    """
    model = TwoLayer(
        cells=options.cells,
        length=options.length,
        beta=options.beta,
        deformation_radius=options.deformation_radius,
        thickness_ratio=options.thickness_ratio,
        upper=options.shear,
        lower=0.0,
        drag=options.drag,
        dt=options.dt,
        filter="exponential",
        device=options.device,
    )
    heights = simulate_heights(
        model,
        folder / "flow.zarr",
        members=options.members,
        years=options.years,
        spin_up=options.spin_up,
        seed=options.seed,
        quiet=options.quiet,
    )
    covariances = estimate_covariances(heights[:-2], 2 * REACH + GUESS_REACH)
    spread = float(covariances.surface[len(covariances.surface) // 2, 0, 0]) ** 0.5
    (tracks, *other_tracks), (repeat, *other_repeats) = options.tracks, options.repeats
    samplings = [Sampling(tracks, repeat)]
    samplings += [Sampling(number, repeat) for number in other_tracks]
    samplings += [Sampling(tracks, number) for number in other_repeats]
    cycles = [prepare_cycle(sampling, covariances, options.cells) for sampling in samplings]

    rng = np.random.default_rng(options.seed)
    training = make_training_inputs(heights[:-2], cycles, spread, rng)
    validation = make_training_inputs(heights[-2:-1], cycles[:1], spread, rng)
    tasks = {
        layer: _train(layer, [inputs[number] for inputs in training], validation[0][number], options)
        for number, layer in enumerate(("surface", "deep"))
    }
    ignore_place_and_season(tasks["surface"])
    save_checkpoint(tasks["surface"], folder / "ssh.ckpt")

    forecast_error = _choose_forecast_error(model, heights[-2], cycles[0], rng, options.test_days)
    day_in_cells = _convert_day_to_cells(covariances)
    findings: list[Finding] = []
    skills: dict[Sampling, dict[str, float]] = {}
    for cycle in cycles:
        observations = observe_surface(heights[-1], rng)
        days = _choose_days(heights[-1], options.test_days)
        optimal, dynamical = _interpolate(model, observations, cycle, forecast_error, days)
        linear = interpolate_delaunay(observations, cycle.observed, 0, days, day_in_cells)
        maps = _apply_networks(tasks, heights[-1], observations, cycle, spread, days)
        maps["surface"] = {"linear": linear, "optimal": optimal, "dynamical": dynamical, **maps["surface"]}
        maps["deep"] = {_REGRESSION: heights[-1][days, 0], **maps["deep"]}
        truth = heights[-1][days]
        surface = {name: score_map(estimate, truth[:, 0]) for name, estimate in maps["surface"].items()}
        deep = {name: correlate_fields(estimate, truth[:, 1]) for name, estimate in maps["deep"].items()}
        skills[cycle.sampling] = surface
        main = cycle is cycles[0]
        if main:
            figures.draw_maps(folder / "maps.png", truth, cycle.observed, maps, options.length)
        findings += _list_findings(cycle.sampling, options.length, surface, deep, main)
    figures.draw_skill(folder / "skill.png", skills, options.length, len(options.tracks))
    return findings


def score_map(estimate: Tensor, truth: Tensor) -> float:
    """Compute 1 - error variance / variance over all cells and days; the mean of heights is zero."""
    return float(compute_skill(estimate, truth, torch.zeros_like(truth)))


def ignore_place_and_season(task: Correction) -> None:
    """Set the weights of position and season in the first layer to zero, in place.

    These inputs are zero in training, so their weights stay at their random initial values, which would add
    noise on a file that has positions and seasons.
    """
    first = next(layer for layer in task.network.modules() if isinstance(layer, torch.nn.Conv2d))
    folded = first.in_channels // (2 * WINDOW + 5)
    with torch.no_grad():
        for channel in (2 * WINDOW, 2 * WINDOW + 1, 2 * WINDOW + 3, 2 * WINDOW + 4):
            first.weight[:, channel * folded : (channel + 1) * folded] = 0


def _train(
    layer: str, training: Sequence[NetworkInputs], validation: NetworkInputs, options: TurbulenceOptions
) -> Correction:
    network: Any = options.network  # plain data, as in a configuration
    task = build_with_seed(partial(Correction, network, WINDOW, options.learning_rate), options.seed)
    days = max(inputs.anomaly.shape[1] for inputs in (*training, validation))
    static = make_static_features(options.cells, days)
    patches = Patches(list(training), static, WINDOW, options.cells, flipped=0.0, seed=options.seed)
    validated = np.zeros(validation.anomaly.shape, bool)
    validated[:, :: max(1, validated.shape[1] // 25)] = True
    return train_task(
        task,
        patches.loader(options.batch),
        DataLoader(Dates(validation, static, WINDOW, validated), batch_size=1),
        settings=TrainerSettings(
            epochs=options.epochs,
            monitor="held_out",
            averaged_over=100,
            time_budget=options.minutes,
            clip=1.0,
            mixed=True,
            seed=options.seed,
            device=options.device,
            quiet=options.quiet,
            name=layer,
        ),
    )


def _choose_days(heights: Tensor, count: int) -> Tensor:
    """Choose ``count`` evenly spaced days whose observations all lie within the member."""
    return torch.linspace(2 * REACH, len(heights) - 2 * REACH - 1, count).round().long()


def _interpolate(
    model: TwoLayer, observations: Tensor, cycle: SamplingCycle, forecast_error: float, days: Tensor
) -> tuple[Tensor, Tensor]:
    """Map (days, y, x) by optimal interpolation, and by dynamical interpolation between its maps."""
    cycle_day = days % cycle.sampling.repeat
    maps = torch.empty(3, len(days), *observations.shape[-2:])
    for day, interpolations in enumerate(cycle.optimal):
        for number, one in enumerate(interpolations):
            maps[number, cycle_day == day] = one.estimate(observations, days[cycle_day == day])
    optimal, before, after = maps
    corrections = cycle.corrections[forecast_error]
    with torch.no_grad():
        dynamical = interpolate_dynamically(
            model, before, after, observations, cycle.observed, 0, days, corrections
        )
    return optimal, dynamical


def _choose_forecast_error(
    model: TwoLayer, heights: Tensor, cycle: SamplingCycle, rng: np.random.Generator, count: int
) -> float:
    """Choose among `FORECAST_ERRORS` by the skill of dynamical interpolation on the validation member."""
    observations, days = observe_surface(heights, rng), _choose_days(heights, max(1, count // 4))
    skills = {
        share: score_map(_interpolate(model, observations, cycle, share, days)[1], heights[days, 0])
        for share in FORECAST_ERRORS
    }
    _log.info("skill of dynamical interpolation by relative forecast error: %s", skills)
    return max(skills, key=lambda share: skills[share])


def _apply_networks(
    tasks: dict[str, Correction],
    heights: Tensor,
    observations: Tensor,
    cycle: SamplingCycle,
    spread: float,
    days: Tensor,
) -> dict[str, dict[str, Tensor]]:
    """Map (days, y, x) both layers with the networks; of the deep layer also return the first guess."""
    masked = mask_heights(heights[None], observations[None], cycle, torch.zeros(1, dtype=torch.long))
    ((surface, deep),) = masked.make_inputs(spread)
    inner = days - REACH
    guess = {layer: (mean[0, inner], error[0, inner]) for layer, (mean, error) in masked.first_guess.items()}
    return {
        "surface": {"network": _correct(tasks["surface"], surface, guess["surface"], inner)},
        "deep": {
            "linear from the tracks": guess["deep"][0],
            "network": _correct(tasks["deep"], deep, guess["deep"], inner),
        },
    }


def _correct(
    task: Correction, inputs: NetworkInputs, first_guess: tuple[Tensor, Tensor], days: Tensor
) -> Tensor:
    """Correct the first guess (days, y, x) by the network, on the periodically continued square."""
    wrapped = [functional.pad(part, 4 * [_MARGIN], mode="circular") for part in vars(inputs).values()]
    static = make_static_features(wrapped[0].shape[-1], wrapped[0].shape[1])
    inner = slice(_MARGIN, -_MARGIN)
    dates = Dates(NetworkInputs(*wrapped), static, WINDOW)
    with torch.no_grad():
        residual = [task(dates[int(day)][0][None])[0][0, 0, inner, inner] for day in days]
    mean, error = first_guess
    return mean + error * torch.stack(residual)


def _convert_day_to_cells(covariances: Covariances) -> float:
    """Find the distance in cells over which the surface changes as much as in a day."""
    longest = len(covariances.surface) // 2
    now = covariances.surface[longest]
    change = now[0, 0] - covariances.surface[longest + 5, 0, 0]
    across = (now[0, :8] + now[:8, 0]) / 2
    return float(np.interp(float(change), (now[0, 0] - across).numpy(), np.arange(8))) / 5


def _list_findings(
    sampling: Sampling, length: float, surface: dict[str, float], deep: dict[str, float], main: bool
) -> list[Finding]:
    """List the scores of a sampling; of the ``main`` one also the differences with their targets."""
    where = f"{length / sampling.tracks / 1000:.0f} km, {sampling.repeat} d"
    surface_rows = [Finding(f"{where}: surface skill, {name}", value) for name, value in surface.items()]
    deep_rows = [Finding(f"{where}: deep correlation, {name}", value) for name, value in deep.items()]
    if main:
        surface_rows += [
            Finding(
                f"{where}: surface skill, {better} minus {worse}",
                surface[better] - surface[worse],
                at_least=0,
            )
            for better, worse in (("network", "dynamical"), ("dynamical", "linear"))
        ]
        gain = deep["network"] - deep[_REGRESSION]
        deep_rows.append(Finding(f"{where}: deep correlation, network minus regression", gain, at_least=0.1))
    return surface_rows + deep_rows
