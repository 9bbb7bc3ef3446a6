"""Training tasks of the Lorenz-63 experiments: forecasting and gap filling."""

from __future__ import annotations

from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor, nn

from ....models.dynamics import OneStep, roll_out
from ....models.recurrent import RecurrentStep
from ..skill import compute_skill

Model = OneStep | RecurrentStep


def forecast(model: Model, past: Tensor, steps: int) -> Tensor:
    """Forecast the ``steps`` states after observed ones (batch, time, n): (batch, steps, n)."""
    return roll_out(model, model.start(past), steps)[..., : past.shape[-1]]


@torch.no_grad()
def score_forecast(model: Model, windows: Tensor, past: int) -> Tensor:
    """Compute the skill (steps,) of a model relative to persistence at each step after the ``past`` ones.

    1 - MSE of the model / MSE of persistence, over windows (batch, time, n) and components.
    """
    observed, future = windows[:, :past], windows[:, past:]
    return compute_skill(forecast(model, observed, future.shape[1]), future, observed[:, -1:], (0, 2))


class OneCycleTask(pl.LightningModule):
    """Optimises with Adam and a one-cycle learning rate, which rises, then decays along a cosine.

    Smith and Topin 2018, arXiv 1708.07120.
    """

    def __init__(self, learning_rate: float) -> None:
        super().__init__()
        self.learning_rate = learning_rate

    def configure_optimizers(self) -> Any:
        optimiser = torch.optim.Adam(self.parameters(), lr=self.learning_rate)
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimiser, self.learning_rate, int(self.trainer.estimated_stepping_batches), pct_start=0.1
        )
        return {"optimizer": optimiser, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


class Forecasting(OneCycleTask):
    """Trains a model to forecast the ``steps`` after the ``past`` ones of windows (batch, time, n).

    The loss is the mean square error; validation logs ``unexplained``, one minus the skill relative to
    persistence, averaged over the steps of the validation windows.
    """

    def __init__(self, model: Model, past: int, steps: int, learning_rate: float) -> None:
        super().__init__(learning_rate)
        self.model, self.past, self.steps = model, past, steps

    def training_step(self, batch: list[Tensor], index: int) -> Tensor:
        (windows,) = batch
        past, future = windows[:, : self.past], windows[:, self.past : self.past + self.steps]
        return (forecast(self.model, past, self.steps) - future).square().mean()

    def validation_step(self, batch: list[Tensor], index: int) -> None:
        self.log("unexplained", 1 - score_forecast(self.model, batch[0], self.past).mean())


class GapFilling(OneCycleTask):
    """Trains a network to correct an interpolation of observed windows.

    A batch is (inputs, correction), both (batch, channels, time); the loss is the mean square error of the
    predicted correction.
    """

    def __init__(self, network: nn.Module, learning_rate: float) -> None:
        super().__init__(learning_rate)
        self.network = network

    def _compute_error(self, batch: list[Tensor]) -> Tensor:
        inputs, correction = batch
        return (self.network(inputs) - correction).square().mean()

    def training_step(self, batch: list[Tensor], index: int) -> Tensor:
        return self._compute_error(batch)

    def validation_step(self, batch: list[Tensor], index: int) -> None:
        self.log("error", self._compute_error(batch))
