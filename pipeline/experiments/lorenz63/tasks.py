"""What the Lorenz-63 networks are trained on: to forecast, and to fill gaps."""

from __future__ import annotations

from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor, nn

from ....models.dynamics import OneStep, roll_out
from ....models.recurrent import RecurrentStep

Model = OneStep | RecurrentStep


def forecast(model: Model, past: Tensor, steps: int) -> Tensor:
    """The ``steps`` states after observed ones (batch, time, n): (batch, steps, n)."""
    return roll_out(model, model.start(past), steps)[..., : past.shape[-1]]


class Annealed(pl.LightningModule):
    """Adam; the learning rate rises, then falls along a cosine (Smith and Topin 2018, arXiv 1708.07120)."""

    def __init__(self, learning_rate: float) -> None:
        super().__init__()
        self.learning_rate = learning_rate

    def configure_optimizers(self) -> Any:
        optimiser = torch.optim.Adam(self.parameters(), lr=self.learning_rate)
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimiser, self.learning_rate, int(self.trainer.estimated_stepping_batches), pct_start=0.1
        )
        return {"optimizer": optimiser, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


class Forecasts(Annealed):
    """Trains a model to forecast the ``steps`` after the ``past`` ones of windows (batch, time, n).

    The loss is the mean square; validation logs ``unexplained``, the mean over the steps of its windows of
    the share of the mean square of persistence that is left.
    """

    def __init__(self, model: Model, past: int, steps: int, learning_rate: float) -> None:
        super().__init__(learning_rate)
        self.model, self.past, self.steps = model, past, steps

    def training_step(self, batch: list[Tensor], index: int) -> Tensor:
        (window,) = batch
        past, future = window[:, : self.past], window[:, self.past : self.past + self.steps]
        return (forecast(self.model, past, self.steps) - future).square().mean()

    def validation_step(self, batch: list[Tensor], index: int) -> None:
        self.log("unexplained", 1 - explained(self.model, batch[0], self.past).mean())


@torch.no_grad()
def explained(model: Model, window: Tensor, past: int) -> Tensor:
    """Variance explained against persistence at each step after the ``past`` ones of windows: (steps,).

    1 - MSE of the model / MSE of persistence, over windows (batch, time, n) and components.
    """
    seen, future = window[:, :past], window[:, past:]
    error = (forecast(model, seen, future.shape[1]) - future).square().mean((0, 2))
    return 1 - error / (seen[:, -1:] - future).square().mean((0, 2))


class Filling(Annealed):
    """Trains a network to correct an interpolation of windows seen through gaps.

    A batch is (inputs, correction), both (batch, channels, time); the loss is the mean square of the rest.
    """

    def __init__(self, network: nn.Module, learning_rate: float) -> None:
        super().__init__(learning_rate)
        self.network = network

    def _left(self, batch: list[Tensor]) -> Tensor:
        inputs, correction = batch
        return (self.network(inputs) - correction).square().mean()

    def training_step(self, batch: list[Tensor], index: int) -> Tensor:
        return self._left(batch)

    def validation_step(self, batch: list[Tensor], index: int) -> None:
        self.log("error", self._left(batch))
