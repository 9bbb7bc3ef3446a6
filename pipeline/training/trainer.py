"""Fit any task: Lightning's trainer with the best epoch kept, a bar that is quiet when asked, a seed."""

from __future__ import annotations

import logging
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, TypeVar

import pytorch_lightning as pl
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


class History(Callback):
    """Every logged value of every epoch, as plain numbers."""

    def __init__(self) -> None:
        self.epochs: list[dict[str, float]] = []

    def on_train_epoch_end(self, trainer: pl.Trainer, task: pl.LightningModule) -> None:
        self.epochs.append({name: float(value) for name, value in trainer.callback_metrics.items()})


class Saves(Callback):
    """Hands the task over to ``take`` every so many epochs, from an epoch on, as it is at their ends."""

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
    epochs: int,
    monitor: str | None = None,
    mode: str = "min",
    patience: int | None = None,
    averaged_over: int | None = None,
    time_budget: float | None = None,
    clip: float | None = None,
    mixed: bool = False,
    seed: int = 0,
    device: str = "cpu",
    quiet: bool = True,
    history: History | None = None,
    saves: Saves | None = None,
) -> Task:
    """The task after training, on the processor and ready to predict.

    It learns from ``batches`` and is validated on those of ``validation``. Of all epochs the one with the
    best ``monitor`` (a logged value; ``mode`` "min" or "max") is kept, without one the last; after
    ``patience`` epochs that are no better training ends. ``averaged_over`` steps the weights are averaged
    exponentially; ``time_budget`` is in minutes; ``clip`` limits the norm of the gradient.
    With ``mixed`` a GPU multiplies in bfloat16, which what asks for many digits does not bear.
    The state of torch's random numbers is left as it was found.
    """
    with tempfile.TemporaryDirectory() as folder, torch.random.fork_rng(), silence_lightning():
        torch.manual_seed(seed)
        # Averaged weights are only put into checkpoints that hold more than weights.
        weights_only = averaged_over is None
        best = ModelCheckpoint(folder, monitor=monitor, mode=mode, save_weights_only=weights_only)
        callbacks: list[Callback] = [] if monitor is None else [best]  # weights of the last epoch stay
        if averaged_over is not None:
            callbacks.insert(0, EMAWeightAveraging(decay=1 - 1 / averaged_over))
        if patience is not None and monitor is not None:
            callbacks.append(EarlyStopping(monitor, patience=patience, mode=mode))
        callbacks += [callback for callback in (history, saves) if callback is not None]
        if not quiet:
            callbacks.append(RichProgressBar(leave=False, console_kwargs={"stderr": True}))
        trainer = pl.Trainer(
            accelerator="gpu" if device == "cuda" else "cpu",
            devices=1,
            precision="bf16-mixed" if mixed and device == "cuda" else "32-true",
            max_epochs=epochs,
            max_time=None if time_budget is None else timedelta(minutes=time_budget),
            gradient_clip_val=clip,
            callbacks=callbacks,
            # One process, whatever a job scheduler has reserved; it must not resume another job's checkpoint.
            plugins=[LightningEnvironment()],
            default_root_dir=folder,
            num_sanity_val_steps=0,
            enable_checkpointing=monitor is not None,
            enable_progress_bar=not quiet,
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
    """Suppress Lightning's advice, which is for those who write the training loop."""
    loggers = [logging.getLogger(name) for name in _LIGHTNING]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module="pytorch_lightning|lightning_fabric|torch")
            warnings.simplefilter("ignore", PossibleUserWarning)  # of whatever module it is said to be
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
