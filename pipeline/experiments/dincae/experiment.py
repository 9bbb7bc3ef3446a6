"""DINCAE as published, for any field (Barth et al. 2020, doi:10.5194/gmd-13-1609-2020, and 2022,
doi:10.5194/gmd-15-2183-2022).

There is no first guess: the network maps anomalies and their precision on a few dates to the mean and the
variance on the middle one. It is trained on values hidden by the clouds of other dates.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader

from ....models.losses import REFINED
from ...classical.kriging import pixel_means
from ...holdout.score_files import read_truth
from ...holdout.scores import coverage, crps_gaussian, rmse
from ...holdout.splits import hold_out
from ...io.field import Field, open_field
from ...io.output import to_dataset
from ...io.writing import write_dataset
from ...plots.maps import plot_fill
from ...training.firstguess import measure_spread
from ...training.networks import LOSSES, build_network, has_fixed_grid, import_path
from ...training.trainer import Saves, TrainerSettings, train_task
from ..findings import Finding
from ..options import Network, TrainingOptions
from ..training import build_with_seed
from .data import TrainingDates, count_input_channels, normalise_field
from .tasks import Reconstruction, RunningMixture

Floats = NDArray[np.float32]

# RMSE and seconds of the authors' DINCAE 1 (TensorFlow, two cores) on fields that are not shipped.
_PUBLISHED = {"alboran_heldout_input.nc": (0.328, 565.0), "med_heldout_input.nc": (0.02102, 505.0)}
_TIME_TARGET = 1 / 3  # of the authors' seconds
_MIXTURE = "saved epochs"


@dataclass(frozen=True, kw_only=True)
class DincaeOptions(TrainingOptions):
    """Options of DINCAE; anomalies and error variances are normalised by the anomalies' standard deviation.

    Parameters
    ----------
    network
        ``class_path`` and ``init_args`` of the network.
    data
        File or sample with gaps.
    truth
        File or sample to score with, where it is finite; unused if values are held out.
    variable
        Name of the variable, if the file has several.
    held_out
        Fraction of the observations hidden and used for the scores.
    window
        Dates in the network's input.
    error_variance
        Error variance of observations without one of their own.
    jitter
        Standard deviation of the noise added to the inputs in training.
    clouds
        Whether values are hidden by the clouds of other dates in training.
    loss
        Import path of the loss, such as those of oceanfill.models.losses.
    penalties
        Weights of the penalties in the loss, by their import paths.
    parts
        Weights of the losses of a network and of the network that refines it.
    halved
        Epochs after which the learning rate is halved; by default it is constant.
    annealed
        Whether the learning rate rises, then decays along a cosine.
    first_save
        First epoch whose reconstruction goes into the mean over saved epochs.
    save_every
        Epochs from one such reconstruction to the next.
    averaged_over
        Steps of an exponential average of the weights, which is scored too.
    """

    network: Network
    data: str = "sample:sst_clouds.nc"
    truth: str | None = "sample:sst_clouds_truth.nc"
    variable: str | None = None
    held_out: float = 0.0
    window: int = 3
    error_variance: float = 1.0
    jitter: float = 0.05
    clouds: bool = True
    loss: str = LOSSES["gaussian"]
    penalties: dict[str, float] | None = None
    parts: tuple[float, float] = REFINED
    epochs: int = 1000
    batch: int = 50
    learning_rate: float = 1e-3
    halved: float | None = None
    annealed: bool = False
    first_save: int = 200
    save_every: int = 10
    averaged_over: int | None = None


def run_dincae(folder: Path, options: DincaeOptions) -> list[Finding]:
    """Fill a field with DINCAE as published, without a first guess; report accuracy, coverage and time.

    The reconstructions of several epochs are combined into a mixture. The scores are taken at held-out
    values, or at the truth. Writes ``filled.nc``, ``maps.png`` and ``network.pt``.
    """
    field = open_field(options.data, variable=options.variable)
    rng = np.random.default_rng(options.seed)
    hidden = np.logical_or(*hold_out(field, options.held_out, rng))
    truth = np.where(hidden, field.values, np.float32(np.nan))
    if not options.held_out and options.truth is not None:
        truth = read_truth(field, options.truth)
    visible = field.hide(hidden)
    start = time.perf_counter()
    normalised = normalise_field(visible, options.error_variance)
    saved, last = RunningMixture(), {}

    def save_reconstruction(task: Reconstruction) -> None:
        last["last epoch"] = task.reconstruct(normalised, options.window)
        saved.add(*last["last epoch"])

    task = train_task(
        _build_task(field, options),
        DataLoader(
            TrainingDates(normalised, options.window, options.jitter, options.clouds),
            options.batch,
            shuffle=True,
        ),
        settings=TrainerSettings(
            epochs=options.epochs,
            averaged_over=options.averaged_over,
            clip=5.0,
            seed=options.seed,
            device=options.device,
            quiet=options.quiet,
            name=str(options.network["class_path"]).rpartition(".")[2],
        ),
        saves=Saves(save_reconstruction, options.save_every, min(options.first_save, options.epochs)),
    )
    reconstructions = {
        _MIXTURE: (saved.mean, saved.variance),
        f"{_MIXTURE}, mean sigma": (saved.mean, saved.sigma**2),
    }
    if options.averaged_over is not None:
        reconstructions["averaged weights"] = task.reconstruct(normalised, options.window)
    seconds = time.perf_counter() - start
    torch.save(task.network.state_dict(), folder / "network.pt")
    mean, error = _denormalise(visible, *reconstructions[_MIXTURE])
    filled = to_dataset(field, mean, error, attributes={"method": "dincae", "saves": saved.number})
    write_dataset(filled, folder / "filled.nc")
    plot_fill(filled, field.name, folder / "maps.png")
    published = None if options.held_out else _PUBLISHED.get(Path(options.data).name)
    published_rmse, published_seconds = published or (None, None)
    target = None if published_seconds is None else published_seconds * _TIME_TARGET
    findings = [Finding("time (s)", seconds, published_seconds, at_most=target)]
    if np.isfinite(truth).any():
        for name, (mean, variance) in (reconstructions | last).items():
            reference = published_rmse if name == _MIXTURE else None
            findings += _list_scores(name, *_denormalise(visible, mean, variance), truth, reference)
    return findings


def _build_task(field: Field, options: DincaeOptions) -> Reconstruction:
    network = options.network
    if has_fixed_grid(network):
        network = network | {"init_args": (network.get("init_args") or {}) | {"shape": list(field.sea.shape)}}
    channels = count_input_channels(options.window)
    built = build_with_seed(partial(build_network, network, channels, 2, options.window), options.seed)
    penalties = (options.penalties or {}).items()
    return Reconstruction(
        built,
        options.learning_rate,
        import_path(options.loss),
        [(import_path(name), factor) for name, factor in penalties],
        options.parts,
        options.halved,
        options.annealed,
    )


def _denormalise(field: Field, mean: Tensor, variance: Tensor) -> tuple[Floats, Floats]:
    """Convert to estimate and standard error (time, lat, lon) in the units of the field, NaN on land."""
    scale = np.where(field.sea, np.float32(measure_spread(field)), np.float32(np.nan))
    return pixel_means(field) + scale * mean.numpy(), scale * variance.sqrt().numpy()


def _list_scores(
    name: str, mean: Floats, error: Floats, truth: Floats, reference: float | None
) -> list[Finding]:
    return [
        Finding(f"{name}: RMSE", rmse(mean, truth), reference, at_most=reference),
        Finding(f"{name}: coverage of ±1 sigma", coverage(mean, error, truth)),
        Finding(f"{name}: CRPS", crps_gaussian(mean, error, truth)),
    ]
