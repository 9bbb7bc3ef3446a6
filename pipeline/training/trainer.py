"""Train any task with Lightning's trainer: a seed, the best epoch kept, a progress bar on request."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import tempfile
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
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
from torch import Tensor
from torch.utils.data import DataLoader

from ..interrupts import TERMINATED, handle_signals
from ..progress import Step

_log = logging.getLogger(__name__)
_LIGHTNING = "pytorch_lightning", "lightning_fabric", "lightning.pytorch", "lightning.fabric"  # its loggers

_MOST_RETURNS, _LOWER = 3, 0.3  # to the last good epoch in a training; factor of the learning rate each time

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
    name: str = ""  # of what is trained, in the log; without one, only a choice of epochs is logged


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


class ShowEpochs(Callback):
    """The epochs of a training as a step of a job, with the best validation RMSE so far.

    ``rmse`` is that of the first guess and ``guess`` its name; the task logs the share of it that is left.
    """

    def __init__(
        self,
        step: Step,
        minutes: float | None = None,
        rmse: float | None = None,
        units: str = "",
        guess: str = "oi",
    ) -> None:
        self.step, self.minutes, self.rmse, self.units, self.guess = step, minutes, rmse, units, guess
        self.share, self.best, self.begun = 0.0, float("inf"), time.monotonic()

    def on_train_start(self, trainer: pl.Trainer, task: pl.LightningModule) -> None:
        self.begun = time.monotonic()
        self.step.say(f"epoch 1 of {trainer.max_epochs}")

    def on_train_batch_end(
        self, trainer: pl.Trainer, task: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        epochs = trainer.current_epoch + (batch_idx + 1) / max(trainer.num_training_batches, 1)
        share = epochs / max(trainer.max_epochs or 1, 1)
        if self.minutes is not None:
            share = max(share, (time.monotonic() - self.begun) / (60 * self.minutes))
        share = min(share, 1.0)
        self.step.say(f"epoch {trainer.current_epoch + 1} of {trainer.max_epochs}")
        self.step(share - self.share)
        self.share = share

    def on_validation_epoch_end(self, trainer: pl.Trainer, task: pl.LightningModule) -> None:
        left = trainer.callback_metrics.get("held_out")
        if left is not None and float(left) < self.best:
            self.best = float(left)
            self.step.say(f"epoch {trainer.current_epoch + 1} of {trainer.max_epochs}", self.describe())

    def describe(self) -> str:
        """Return the best validation RMSE so far next to that of the first guess."""
        guess = {"oi": "optimal interpolation", "none": "mean of each pixel"}[self.guess]
        if self.rmse is None:
            return f"validation RMSE so far {self.best:.3f} of that of {guess}"
        units = f" {self.units}".rstrip()
        return f"validation RMSE so far {self.best * self.rmse:.4g}{units} ({guess}: {self.rmse:.4g})"


class Recovery(Callback):
    """A way back to the last good epoch, with a lower learning rate, for a training that diverges.

    A step whose loss or gradient is not finite is not taken, so weights that are not finite are never
    validated or saved. After three ways back the training ends at the last good epoch.
    """

    def __init__(self) -> None:
        self.good: dict[str, Tensor] = {}
        self.epoch, self.returns, self.bad = 0, 0, False

    def on_train_start(self, trainer: pl.Trainer, task: pl.LightningModule) -> None:
        self._keep(trainer.current_epoch, task)

    def on_before_optimizer_step(
        self, trainer: pl.Trainer, task: pl.LightningModule, optimizer: torch.optim.Optimizer
    ) -> None:
        if getattr(trainer.precision_plugin, "scaler", None) is not None:
            return  # of 16 bits, which looks for infinite gradients itself
        gradients = [part.grad for part in task.parameters() if part.grad is not None]
        if gradients and not bool(torch.isfinite(torch.stack(torch._foreach_norm(gradients))).all()):
            self.bad = True
            optimizer.zero_grad(set_to_none=True)  # an optimiser leaves weights without a gradient alone

    def on_train_batch_end(
        self, trainer: pl.Trainer, task: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        loss = outputs.get("loss") if isinstance(outputs, dict) else outputs
        bad = self.bad or (isinstance(loss, Tensor) and not bool(torch.isfinite(loss).all()))
        if trainer.is_last_batch:
            bad = bad or not all(bool(torch.isfinite(part).all()) for part in task.parameters())
        if trainer.world_size > 1:
            bad = trainer.strategy.reduce_boolean_decision(bad, all=False)
        if bad:
            self._return(trainer, task)

    def on_train_epoch_end(self, trainer: pl.Trainer, task: pl.LightningModule) -> None:
        self._keep(trainer.current_epoch + 1, task)

    def _keep(self, epoch: int, task: pl.LightningModule) -> None:
        self.epoch = epoch
        self.good = {name: part.detach().clone() for name, part in task.state_dict().items()}

    def _return(self, trainer: pl.Trainer, task: pl.LightningModule) -> None:
        self.bad = False
        self.returns += 1
        task.load_state_dict(self.good)
        where = f"epoch {self.epoch}" if self.epoch else "the start"
        if self.returns > _MOST_RETURNS:
            trainer.should_stop = True
            _log.warning("the loss is not finite again; the training ends with the weights of %s", where)
            return
        for optimizer in trainer.optimizers:
            optimizer.state.clear()  # its averages of gradients may be what diverged
            for group in optimizer.param_groups:
                group["lr"] *= _LOWER
        for config in trainer.lr_scheduler_configs:
            if hasattr(config.scheduler, "base_lrs"):
                config.scheduler.base_lrs = [rate * _LOWER for rate in config.scheduler.base_lrs]
        _log.warning(
            "the loss is not finite in epoch %d; the training goes on from the weights of %s with %g of its "
            "learning rate",
            trainer.current_epoch + 1,
            where,
            _LOWER**self.returns,
        )


class StopOnSignal(Callback):
    """The end of a training after the step in which a signal came.

    The first SIGINT ends it as if it had run to its end; the second abandons it. With a path to ``resume``
    from, a SIGTERM writes a checkpoint there and ends the process with 143; so does a SIGUSR1 of SLURM
    (`await_requeue`), which also puts the job back into the queue. ``asked`` is the signal that came, or 0.
    """

    def __init__(self, resume: Callable[[pl.Trainer], Path] | None = None) -> None:
        self.resume = resume
        self.asked: int = 0
        self.told = False
        self.handlers = ExitStack()

    @contextmanager
    def await_requeue(self) -> Iterator[None]:
        """Heed the SIGUSR1 with which SLURM announces the end of the time, also before the training starts.

        Lightning handles it only while it trains, and in the middle of a step, where the processes may save
        different steps or wait for each other for ever. It leaves a handler that it finds.
        """
        if "SLURM_STEP_ID" not in os.environ or threading.current_thread() is not threading.main_thread():
            yield
            return
        before = signal.signal(signal.SIGUSR1, self._ask)
        try:
            yield
        finally:
            signal.signal(signal.SIGUSR1, before)

    def on_train_start(self, trainer: pl.Trainer, task: pl.LightningModule) -> None:
        numbers = [signal.SIGINT] if self.resume is None else [signal.SIGINT, signal.SIGTERM]
        self.handlers.enter_context(handle_signals(numbers, self._ask))

    def _ask(self, number: int, frame: Any) -> None:
        if number == signal.SIGINT and self.asked == signal.SIGINT:
            raise KeyboardInterrupt
        self.asked = number

    def on_train_batch_end(
        self, trainer: pl.Trainer, task: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self._act(trainer)

    def on_validation_batch_end(self, trainer: pl.Trainer, *others: Any, **more: Any) -> None:
        self._act(trainer, may_save=False)

    def _act(self, trainer: pl.Trainer, may_save: bool = True) -> None:
        asked = self.asked
        if trainer.world_size > 1:  # the processes must agree on the step
            own = torch.tensor(self.asked, device=trainer.strategy.root_device)
            asked = int(trainer.strategy.reduce(own, reduce_op="max"))  # SIGTERM, SIGUSR1, SIGINT
        if asked in (signal.SIGTERM, signal.SIGUSR1) and may_save:
            assert self.resume is not None
            path = self.resume(trainer)
            trainer.save_checkpoint(path)
            if trainer.is_global_zero:
                _log.warning("terminated; wrote %s, from which --ckpt_path last goes on", path)
                if asked == signal.SIGUSR1:
                    _requeue()
            trainer.strategy.barrier("requeue")
            raise SystemExit(TERMINATED)
        if asked == signal.SIGINT:
            trainer.should_stop = True
            if not self.told:
                self.told = True
                _log.warning("stopping now; the best network so far is used; press Ctrl-C again to abandon")

    def on_train_end(self, trainer: pl.Trainer, task: pl.LightningModule) -> None:
        self.handlers.close()

    def on_exception(self, trainer: pl.Trainer, task: pl.LightningModule, exception: BaseException) -> None:
        self.handlers.close()


def _requeue() -> None:
    """Put the SLURM job of this process back into the queue."""
    job = os.environ["SLURM_JOB_ID"]
    command = ["scontrol", "requeue", job]
    try:
        subprocess.run(command, check=True, capture_output=True, text=True)
    except (OSError, subprocess.CalledProcessError) as error:
        reason = (getattr(error, "stderr", "") or str(error)).strip()
        _log.warning("job %s cannot be requeued (%s); submit it again", job, reason)
        return
    _log.info("job %s is back in the queue", job)


def train_task(
    task: Task,
    batches: Loader,
    validation: Loader | None = None,
    *,
    settings: TrainerSettings,
    history: History | None = None,
    saves: Saves | None = None,
    stop: StopOnSignal | None = None,
    show: ShowEpochs | None = None,
) -> Task:
    """Train a task on ``batches`` and return it with the weights of its best epoch, on the CPU.

    A SIGINT ends the training early, of which ``stop`` then tells; a second one abandons it. Where it is,
    is shown by ``show``, or in a bar of its own unless the settings are quiet.
    The state of torch's random numbers is left as it was found.
    """
    monitor, averaged_over, minutes = settings.monitor, settings.averaged_over, settings.time_budget
    with tempfile.TemporaryDirectory() as folder, torch.random.fork_rng(), silence_lightning():
        torch.manual_seed(settings.seed)
        # Averaged weights are only put into checkpoints that hold more than weights.
        weights_only = averaged_over is None
        best = ModelCheckpoint(folder, monitor=monitor, mode=settings.mode, save_weights_only=weights_only)
        callbacks: list[Callback] = [Recovery(), stop or StopOnSignal()]
        callbacks += [] if monitor is None else [best]  # weights of the last epoch stay
        if averaged_over is not None:
            callbacks.insert(2, EMAWeightAveraging(decay=1 - 1 / averaged_over))
        if settings.patience is not None and monitor is not None:
            callbacks.append(EarlyStopping(monitor, patience=settings.patience, mode=settings.mode))
        callbacks += [callback for callback in (history, saves, show) if callback is not None]
        own_bar = not settings.quiet and show is None
        if own_bar:
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
            enable_progress_bar=own_bar,
            enable_model_summary=False,
            logger=False,
        )
        named = f"{settings.name}: " if settings.name else ""
        trainer.fit(task, batches, validation)
        if best.best_model_path:
            kept = torch.load(best.best_model_path, map_location="cpu", weights_only=True)
            task.load_state_dict(kept["state_dict"])
            score = "" if best.best_model_score is None else f", {monitor} {float(best.best_model_score):.3f}"
            if show is not None and score:
                score = f"; {show.describe()}".replace(" so far", "")
            _log.info(
                "%strained %d epochs; best epoch %d%s", named, trainer.current_epoch, kept["epoch"] + 1, score
            )
        elif named:
            _log.info("%strained %d epochs", named, trainer.current_epoch)
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
