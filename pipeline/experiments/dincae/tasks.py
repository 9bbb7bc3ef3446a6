"""Training task of DINCAE, and the mixture of its saved reconstructions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from ....models.head import read_gaussian_by_precision
from ....models.losses import REFINED, Loss, Penalty, average_loss
from .data import NormalisedField, PredictionDates


class Reconstruction(pl.LightningModule):
    """Trains a network (batch, channels, y, x) to (batch, 2, y, x) on the batches of `TrainingDates`.

    ``parts`` weight the losses of a network and of the network that refines it. The learning rate is
    constant, or halved every ``halved`` epochs, or rises and decays along a cosine if ``annealed``.
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

    def compute_stages(self, inputs: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Compute mean and log-variance (batch, y, x) after each network of a refinement."""
        inputs = inputs.contiguous(memory_format=torch.channels_last)
        stages: Any = getattr(self.network, "stages", None)
        outputs = [self.network(inputs)] if stages is None else stages(inputs)
        return [
            (mean[:, 0], log_variance[:, 0])
            for mean, log_variance in map(read_gaussian_by_precision, outputs)
        ]

    def training_step(self, batch: tuple[Tensor, Tensor, Tensor, Tensor], index: int) -> Tensor:
        inputs, truth, variance, weight = batch
        stages = self.compute_stages(inputs)
        loss = average_loss(self.loss, stages, truth, variance, weight, self.parts)
        for penalty, factor in self.penalties:
            loss = loss + factor * penalty(self.network, *stages[-1])
        self.log("loss", loss, prog_bar=True)
        return loss

    def configure_optimizers(self) -> Any:
        # Fused: the dense layers of version 1 have tens of millions of weights.
        optimiser = torch.optim.Adam(self.parameters(), self.learning_rate, fused=True)
        if self.annealed:
            steps = int(self.trainer.estimated_stepping_batches)
            cycle = torch.optim.lr_scheduler.OneCycleLR(optimiser, self.learning_rate, steps, pct_start=0.1)
            return {"optimizer": optimiser, "lr_scheduler": {"scheduler": cycle, "interval": "step"}}
        if self.halved is not None:
            return [optimiser], [torch.optim.lr_scheduler.ExponentialLR(optimiser, 0.5 ** (1 / self.halved))]
        return optimiser

    def reconstruct(self, field: NormalisedField, window: int) -> tuple[Tensor, Tensor]:
        """Reconstruct mean and variance (time, lat, lon) of every date from all observations."""
        training = self.training
        self.eval()
        loader = DataLoader(PredictionDates(field, window), 4)
        with torch.no_grad():
            parts = [self.compute_stages(inputs.to(self.device))[-1] for inputs in loader]
        self.train(training)
        mean, log_variance = (torch.cat(part).cpu() for part in zip(*parts, strict=True))
        return mean, log_variance.exp()


class RunningMixture:
    """An equal mixture of Gaussians, added one by one (`head.mix_gaussians` of a known number of them)."""

    def __init__(self) -> None:
        self.number = 0
        self.mean: Any = 0.0
        self.square: Any = 0.0  # second moment
        self.sigma: Any = 0.0  # mean of the standard deviations

    def add(self, mean: Tensor, variance: Tensor) -> None:
        """Add a Gaussian."""
        self.number += 1
        for name, value in (("mean", mean), ("square", mean**2 + variance), ("sigma", variance.sqrt())):
            before = getattr(self, name)
            setattr(self, name, before + (value - before) / self.number)

    @property
    def variance(self) -> Tensor:
        """Variance of the mixture."""
        return (self.square - self.mean**2).clamp(min=0)
