"""Train any task with Lightning's trainer: a seed, the best epoch kept, a progress bar on request."""

from __future__ import annotations

import logging
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import pytorch_lightning as pl
import rich
import torch
from lightning_fabric.utilities.warnings import PossibleUserWarning
from pytorch_lightning.callbacks import (
    Callback,
    EarlyStopping,
    EMAWeightAveraging,
    ModelCheckpoint,
    RichProgressBar,
)
from pytorch_lightning.plugins.environments import LightningEnvironment
from torch.utils.data import DataLoader

_log = logging.getLogger(__name__)
_LIGHTNING = "pytorch_lightning", "lightning_fabric", "lightning.pytorch", "lightning.fabric"  # its loggers

Task = TypeVar("Task", bound=pl.LightningModule)
Loader = DataLoader[Any]


@dataclass(frozen=True)
class TrainerSettings:
    """How long a task is trained, on what device, and which epoch is kept."""

    epochs: int
    monitor: str | None = None  # logged value whose best epoch is kept; without one the last is
    mode: str = "min"  # or "max": which value of the monitor is the best
    patience: int | None = None  # epochs without a better one after which training ends
    averaged_over: int | None = None  # steps over which weights are averaged exponentially
    time_budget: float | None = None  # minutes
    clip: float | None = None  # largest norm of the gradient
    mixed: bool = False  # bfloat16 on a GPU: for tasks that need few digits
    seed: int = 0
    device: str = "cpu"  # or "cuda"
    quiet: bool = True  # no progress bar


class History(Callback):
    """A record of every logged value of every epoch, as plain numbers."""

    def __init__(self) -> None:
        self.epochs: list[dict[str, float]] = []

    def on_train_epoch_end(self, trainer: pl.Trainer, task: pl.LightningModule) -> None:
        self.epochs.append({name: float(value) for name, value in trainer.callback_metrics.items()})


class Saves(Callback):
    """A callback that gives the task to ``take`` at the end of ``every`` n-th epoch from the ``first`` on."""

    def __init__(self, take: Callable[[Any], None], every: int = 1, first: int = 1) -> None:
        self.take, self.every, self.first = take, every, first

    def on_train_epoch_end(self, trainer: pl.Trainer, task: pl.LightningModule) -> None:
        after = trainer.current_epoch + 1 - self.first
        if after >= 0 and after % self.every == 0:
            self.take(task)


def train_task(
    task: Task,
    batches: Loader,
    validation: Loader | None = None,
    *,
    settings: TrainerSettings,
    history: History | None = None,
    saves: Saves | None = None,
) -> Task:
    """Train a task on ``batches`` and return it with the weights of its best epoch, on the CPU.

    The state of torch's random numbers is left as it was found.
    """
    monitor, averaged_over, minutes = settings.monitor, settings.averaged_over, settings.time_budget
    with tempfile.TemporaryDirectory() as folder, torch.random.fork_rng(), silence_lightning():
        torch.manual_seed(settings.seed)
        # Averaged weights are only put into checkpoints that hold more than weights.
        weights_only = averaged_over is None
        best = ModelCheckpoint(folder, monitor=monitor, mode=settings.mode, save_weights_only=weights_only)
        callbacks: list[Callback] = [] if monitor is None else [best]  # weights of the last epoch stay
        if averaged_over is not None:
            callbacks.insert(0, EMAWeightAveraging(decay=1 - 1 / averaged_over))
        if settings.patience is not None and monitor is not None:
            callbacks.append(EarlyStopping(monitor, patience=settings.patience, mode=settings.mode))
        callbacks += [callback for callback in (history, saves) if callback is not None]
        if not settings.quiet:
            callbacks.append(RichProgressBar(leave=False, console_kwargs={"stderr": True}))
        trainer = pl.Trainer(
            accelerator="gpu" if settings.device == "cuda" else "cpu",
            devices=1,
            precision="bf16-mixed" if settings.mixed and settings.device == "cuda" else "32-true",
            max_epochs=settings.epochs,
            max_time=None if minutes is None else timedelta(minutes=minutes),
            gradient_clip_val=settings.clip,
            callbacks=callbacks,
            # One process, whatever a job scheduler has reserved; it must not resume another job's checkpoint.
            plugins=[LightningEnvironment()],
            default_root_dir=folder,
            num_sanity_val_steps=0,
            enable_checkpointing=monitor is not None,
            enable_progress_bar=not settings.quiet,
            enable_model_summary=False,
            logger=False,
        )
        trainer.fit(task, batches, validation)
        if best.best_model_path:
            kept = torch.load(best.best_model_path, map_location="cpu", weights_only=True)
            task.load_state_dict(kept["state_dict"])
            score = "" if best.best_model_score is None else f", {monitor} {float(best.best_model_score):.3f}"
            _log.info("trained %d epochs; best epoch %d%s", trainer.current_epoch, kept["epoch"] + 1, score)
    return task.cpu().eval()


@contextmanager
def silence_lightning() -> Iterator[None]:
    """Suppress Lightning's advice, which is for those who write the training loop.

    Its progress bar reconfigures rich's console for the whole process; where that writes is restored.
    """
    console = rich.get_console()
    to_stderr = console.stderr
    loggers = [logging.getLogger(name) for name in _LIGHTNING]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module="pytorch_lightning|lightning_fabric|torch")
            for kind in (PossibleUserWarning, DeprecationWarning):  # attributed to whatever module calls
                warnings.simplefilter("ignore", kind)
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
        console.stderr = to_stderr
