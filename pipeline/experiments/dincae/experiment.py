"""DINCAE as published, on a field of one's own (Barth et al. 2020, doi:10.5194/gmd-13-1609-2020, and 2022,
doi:10.5194/gmd-15-2183-2022).

No first guess: the network sees anomalies and their precision on a few dates, and says mean and variance of
the one in the middle. It learns from values that the clouds of other dates hide.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.data import DataLoader

from ....models.head import by_precision
from ....models.losses import REFINED, Loss, Penalty, weighted
from ...classical.kriging import pixel_means
from ...holdout.score_files import read_truth
from ...holdout.scores import coverage, crps_gaussian, rmse
from ...holdout.splits import hold_out
from ...io.field import Field, open_field
from ...io.output import to_dataset
from ...io.writing import write_dataset
from ...plots.maps import plot_fill
from ...settings import LOSSES
from ...training.firstguess import measure_spread
from ...training.networks import build_network, has_fixed_grid, import_path
from ...training.trainer import Saves, TrainerSettings, train_task
from ..findings import Finding
from .data import Clouded, Series, Shown, channels, series

_log = logging.getLogger(__name__)

Floats = NDArray[np.float32]

# RMSE and seconds of the authors' DINCAE 1 (TensorFlow, two cores) on fields that do not ship.
_THEIRS = {"alboran_heldout_input.nc": (0.328, 565.0), "med_heldout_input.nc": (0.02102, 505.0)}
_SHARE_OF_TIME = 1 / 3  # of theirs, at most


class Reconstruction(pl.LightningModule):
    """Trains a network (batch, channels, y, x) to (batch, 2, y, x) on the batches of `Clouded`.

    ``parts`` weigh the losses of a network and of the one that refines it. The rate is constant, or halved
    every ``halved`` epochs; ``annealed`` it rises and falls along a cosine.
    """

    def __init__(
        self,
        network: nn.Module,
        learning_rate: float,
        loss: Loss,
        penalties: Sequence[tuple[Penalty, float]] = (),
        parts: Sequence[float] = REFINED,
        halved: float | None = None,
        annealed: bool = False,
    ) -> None:
        super().__init__()
        self.network = nn.utils.convert_conv2d_weight_memory_format(network, torch.channels_last)
        self.learning_rate, self.halved, self.annealed = learning_rate, halved, annealed
        self.loss, self.penalties, self.parts = loss, penalties, parts

    def stages(self, seen: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Mean and log-variance (batch, y, x) as each network of a refinement gives them."""
        seen = seen.contiguous(memory_format=torch.channels_last)
        made: Any = getattr(self.network, "stages", None)
        said = [self.network(seen)] if made is None else made(seen)
        return [(mean[:, 0], log_variance[:, 0]) for mean, log_variance in map(by_precision, said)]

    def training_step(self, batch: tuple[Tensor, Tensor, Tensor, Tensor], index: int) -> Tensor:
        seen, truth, variance, weight = batch
        stages = self.stages(seen)
        loss = weighted(self.loss, stages, truth, variance, weight, self.parts)
        for penalty, factor in self.penalties:
            loss = loss + factor * penalty(self.network, *stages[-1])
        self.log("loss", loss, prog_bar=True)
        return loss

    def configure_optimizers(self) -> Any:
        # Fused: the dense layers of version 1 have tens of millions of weights.
        optimiser = torch.optim.Adam(self.parameters(), self.learning_rate, fused=True)
        if self.annealed:
            steps = int(self.trainer.estimated_stepping_batches)
            rise = torch.optim.lr_scheduler.OneCycleLR(optimiser, self.learning_rate, steps, pct_start=0.1)
            return {"optimizer": optimiser, "lr_scheduler": {"scheduler": rise, "interval": "step"}}
        if self.halved is not None:
            return [optimiser], [torch.optim.lr_scheduler.ExponentialLR(optimiser, 0.5 ** (1 / self.halved))]
        return optimiser

    def reconstructed(self, whole: Series, window: int) -> tuple[Tensor, Tensor]:
        """(time, lat, lon) mean and variance of every date, from all that is observed."""
        learning = self.training
        self.eval()
        with torch.no_grad():
            parts = [self.stages(seen.to(self.device))[-1] for seen in DataLoader(Shown(whole, window), 4)]
        self.train(learning)
        mean, log_variance = (torch.cat(part).cpu() for part in zip(*parts, strict=True))
        return mean, log_variance.exp()


class Average:
    """What saves say, added up: a mixture of Gaussians in equal parts, as `head.mixture`, of any number."""

    def __init__(self) -> None:
        self.number = 0
        self.mean: Any = 0.0
        self.square: Any = 0.0  # of the mean, with the variance
        self.sigma: Any = 0.0

    def add(self, mean: Tensor, variance: Tensor) -> None:
        """One more."""
        self.number += 1
        for name, value in (("mean", mean), ("square", mean**2 + variance), ("sigma", variance.sqrt())):
            before = getattr(self, name)
            setattr(self, name, before + (value - before) / self.number)

    @property
    def variance(self) -> Tensor:
        """Of the mixture."""
        return (self.square - self.mean**2).clamp(min=0)


def dincae(
    folder: Path,
    *,
    network: dict[str, Any],
    data: str = "sample:sst_clouds.nc",
    truth: str | None = "sample:sst_clouds_truth.nc",
    variable: str | None = None,
    held_out: float = 0.0,
    window: int = 3,
    error_variance: float = 1.0,
    jitter: float = 0.05,
    clouds: bool = True,
    loss: str = LOSSES["gaussian"],
    penalties: dict[str, float] | None = None,
    parts: tuple[float, float] = REFINED,
    epochs: int = 1000,
    batch: int = 50,
    learning_rate: float = 1e-3,
    halved: float | None = None,
    annealed: bool = False,
    first_save: int = 200,
    save_every: int = 10,
    averaged_over: int | None = None,
    seed: int = 0,
    device: str = "cpu",
    quiet: bool = True,
) -> list[Finding]:
    """DINCAE as published, without a first guess: what it fills, how sure it is, how long it takes.

    ``network`` (`models.dincae`) learns from ``data``, hiding the clouds of other dates and a share
    ``held_out``, and is scored on these values or, without them, where ``truth`` is finite. ``penalties`` go
    by name (`models.losses`). Anomalies, ``jitter`` and ``error_variance`` are in standard deviations of the
    field's anomalies, rates in epochs. Every ``save_every`` epochs from ``first_save`` on the field is
    reconstructed, and these saves are mixed; ``averaged_over`` steps the weights are averaged besides. Writes
    ``filled.nc``, ``maps.png`` and ``network.pt``.
    """
    field = open_field(data, variable=variable)
    hidden = np.logical_or(*hold_out(field, held_out, np.random.default_rng(seed)))
    answers = np.where(hidden, field.values, np.float32(np.nan))
    if not held_out and truth is not None:
        answers = read_truth(field, truth)
    seen = field.hide(hidden)
    start = time.perf_counter()
    whole = series(seen, error_variance)
    if has_fixed_grid(network):
        network = network | {"init_args": (network.get("init_args") or {}) | {"shape": list(field.sea.shape)}}
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        made = build_network(network, channels(window), 2, window)
    task = Reconstruction(
        made,
        learning_rate,
        import_path(loss),
        [(import_path(name), factor) for name, factor in (penalties or {}).items()],
        parts,
        halved,
        annealed,
    )
    saved, last = Average(), {}

    def take(task: Reconstruction) -> None:
        last["last epoch"] = task.reconstructed(whole, window)
        saved.add(*last["last epoch"])

    task = train_task(
        task,
        DataLoader(Clouded(whole, window, jitter, clouds), batch, shuffle=True),
        settings=TrainerSettings(
            epochs=epochs, averaged_over=averaged_over, clip=5.0, seed=seed, device=device, quiet=quiet
        ),
        saves=Saves(take, save_every, min(first_save, epochs)),
    )
    said = {"saves": (saved.mean, saved.variance), "saves, mean of sigmas": (saved.mean, saved.sigma**2)}
    if averaged_over is not None:
        said["averaged weights"] = task.reconstructed(whole, window)
    seconds = time.perf_counter() - start
    torch.save(task.network.state_dict(), folder / "network.pt")
    mean, error = _in_units(seen, *said["saves"])
    filled = to_dataset(field, mean, error, attributes={"method": "dincae", "saves": saved.number})
    write_dataset(filled, folder / "filled.nc")
    plot_fill(filled, field.name, folder / "maps.png")
    rmse_theirs, seconds_theirs = _THEIRS.get(Path(data).name, (None, None)) if not held_out else (None, None)
    bar = None if seconds_theirs is None else seconds_theirs * _SHARE_OF_TIME
    findings = [Finding("seconds", seconds, seconds_theirs, at_most=bar)]
    if np.isfinite(answers).any():
        for name, (mean, variance) in (said | last).items():
            findings += _scores(name, *_in_units(seen, mean, variance), answers, rmse_theirs)
    return findings


def _in_units(field: Field, mean: Tensor, variance: Tensor) -> tuple[Floats, Floats]:
    """Estimate and standard error (time, lat, lon) in the units of the field, NaN on land."""
    scale = np.where(field.sea, np.float32(measure_spread(field)), np.float32(np.nan))
    return pixel_means(field) + scale * mean.numpy(), scale * variance.sqrt().numpy()


def _scores(name: str, mean: Floats, error: Floats, truth: Floats, bar: float | None) -> list[Finding]:
    bar = bar if name == "saves" else None
    return [
        Finding(f"{name}: RMSE", rmse(mean, truth), bar, at_most=bar),
        Finding(f"{name}: within 1 sigma", coverage(mean, error, truth)),
        Finding(f"{name}: CRPS", crps_gaussian(mean, error, truth)),
    ]
