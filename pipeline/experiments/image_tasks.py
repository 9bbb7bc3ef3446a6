"""What the networks of the digits are trained on: to give images back, to restore them, to name them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset

from ...models.autoencoder import LinearAutoEncoder
from ...models.fourdvarnet import FourDVarNet
from ...models.variational import VariationalAutoEncoder, divergence, draw
from ..training.tasks import build_network
from ..training.trainer import History, Task, TrainerSettings, train_task

_Pair = tuple[Tensor, Tensor]


class Reconstruction(pl.LightningModule):
    """Trains a network on (input, target) with AdamW; validation logs its ``error``, the loss."""

    def __init__(self, network: nn.Module, learning_rate: float, weight_decay: float = 0.0) -> None:
        super().__init__()
        self.network, self.learning_rate, self.weight_decay = network, learning_rate, weight_decay

    def loss(self, inputs: Tensor, target: Tensor) -> Tensor:
        """The mean square of what is left."""
        return (self.network(inputs) - target).square().mean()

    def training_step(self, batch: list[Tensor], index: int) -> Tensor:
        loss = self.loss(*batch)
        self.log("training_error", loss, on_step=False, on_epoch=True, batch_size=len(batch[0]))
        return loss

    def validation_step(self, batch: list[Tensor], index: int) -> None:
        self.log("error", self.loss(*batch), batch_size=len(batch[0]))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        trained = [parameter for parameter in self.parameters() if parameter.requires_grad]
        return torch.optim.AdamW(trained, lr=self.learning_rate, weight_decay=self.weight_decay)


class Restoration(Reconstruction):
    """A network that corrects degraded images, the first channel of its inputs (batch, channels, y, x)."""

    def forward(self, inputs: Tensor) -> Tensor:
        """The restored images (batch, 1, y, x)."""
        return inputs[:, :1] + self.network(inputs)

    def loss(self, inputs: Tensor, target: Tensor) -> Tensor:
        return (self(inputs) - target).square().mean()


class Assimilated(nn.Module):
    """A `FourDVarNet` as what a `Restoration` trains: of values and what is known (batch, 2, y, x).

    The states start at the values, and at the ``usual`` image (1, y, x) where nothing is known.
    """

    usual: Tensor

    def __init__(self, assimilation: FourDVarNet, usual: Tensor) -> None:
        super().__init__()
        self.assimilation = assimilation
        self.register_buffer("usual", usual)

    def forward(self, inputs: Tensor) -> Tensor:
        values, known = inputs[:, :1], inputs[:, 1:] > 0
        return self.assimilation(torch.where(known, values, self.usual), values, known) - values


class Eofs(Reconstruction):
    """A `LinearAutoEncoder` on anomalies, by L-BFGS over all of them at once, in steps of 20 iterations.

    The loss is the share of the area-weighted sum of squares that is left.
    """

    network: LinearAutoEncoder

    def loss(self, inputs: Tensor, target: Tensor) -> Tensor:
        truth = self.network.weighted(target)
        left = self.network.decoder(self.network.encode(inputs)) - truth
        return left.square().sum() / truth.square().sum()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.LBFGS(
            self.parameters(),
            history_size=20,
            tolerance_grad=0,
            tolerance_change=1e-12,
            line_search_fn="strong_wolfe",
        )


class Generation(Reconstruction):
    """A variational auto-encoder: minus the evidence lower bound, in nats a pixel.

    The pixels' error is Gaussian, of the variance that is most likely for the batch (Rybkin, Daniilidis and
    Levine 2021, arXiv 2006.13202). The divergence weighs ``beta``, and ``moments`` the squares by which the
    covariance of a batch's latent numbers is not the identity: new images are drawn from one Gaussian, which
    the numbers of all images together have to follow (Kumar, Sattigeri and Balakrishnan 2018,
    arXiv 1711.00848).
    """

    network: VariationalAutoEncoder

    def __init__(
        self, network: VariationalAutoEncoder, learning_rate: float, beta: float = 1.0, moments: float = 0.0
    ) -> None:
        super().__init__(network, learning_rate)
        self.beta, self.moments = beta, moments

    def loss(self, inputs: Tensor, target: Tensor) -> Tensor:
        mean, log_variance = self.network.gaussian(inputs)
        left = (self.network.decode(draw(mean, log_variance)) - target).square().mean()
        covariance = torch.cov(mean.T) + torch.diag(log_variance.exp().mean(0))
        uneven = (covariance - torch.eye(len(covariance)).to(covariance)).square().sum()
        nats = self.beta * divergence(mean, log_variance).mean() + self.moments * uneven
        return left.log() / 2 + nats / target[0].numel()


class Classification(Reconstruction):
    """Scores (batch, classes) of images, by cross-entropy; validation logs the ``accuracy`` too."""

    def loss(self, inputs: Tensor, target: Tensor) -> Tensor:
        return functional.cross_entropy(self.network(inputs), target)

    def validation_step(self, batch: list[Tensor], index: int) -> None:
        super().validation_step(batch, index)
        images, labels = batch
        right = (self.network(images).argmax(1) == labels).float().mean()
        self.log("accuracy", right, batch_size=len(images))


def pairs(
    inputs: Tensor,
    target: Tensor,
    size: int,
    change: Callable[[Tensor], Tensor] | None = None,
    shuffle: bool = False,
) -> DataLoader[Any]:
    """Batches (input, target) of ``size``; ``change`` is applied to the inputs each time they are drawn."""

    def collate(batch: list[_Pair]) -> _Pair:
        first, second = (torch.stack(part) for part in zip(*batch, strict=True))
        return (first if change is None else change(first)), second

    return DataLoader(TensorDataset(inputs, target), size, shuffle=shuffle, collate_fn=collate)


def fitted(
    task: Task,
    training: DataLoader[Any],
    validation: DataLoader[Any],
    *,
    epochs: int,
    seed: int,
    device: str,
    quiet: bool,
    history: History | None = None,
) -> Task:
    """The task of the epoch with the least validation error, its weights averaged over some steps."""
    return train_task(
        task,
        training,
        validation,
        settings=TrainerSettings(
            epochs=epochs,
            monitor="error",
            averaged_over=max(2, epochs * len(training) // 20),
            seed=seed,
            device=device,
            quiet=quiet,
        ),
        history=history,
    )


def built(network: dict[str, Any], inputs: int, outputs: int, seed: int) -> nn.Module:
    """The network of a ``class_path`` and ``init_args``, its weights drawn by ``seed``."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return build_network(network, inputs, outputs, window=1)


def keep(path: Path, network: nn.Module, options: dict[str, Any]) -> None:
    """Write the network's weights and plain ``options``, to be loaded with weights_only=True."""
    torch.save({"state_dict": network.state_dict(), "options": options}, path)
