"""What the experiments share in building, training and saving networks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from ..training.trainer import History, Task, TrainerSettings, train_task
from .options import TrainingOptions

Built = TypeVar("Built")
_Pair = tuple[Tensor, Tensor]


def build_with_seed(build: Callable[[], Built], seed: int) -> Built:
    """Call ``build`` with torch's random numbers seeded, and leave their state as it was."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return build()


def save_network(path: Path, network: nn.Module, options: dict[str, Any]) -> None:
    """Save the weights and plain ``options`` of a network, loadable with ``weights_only=True``."""
    torch.save({"state_dict": network.state_dict(), "options": options}, path)


def make_loader(
    inputs: Tensor,
    target: Tensor,
    batch: int,
    transform: Callable[[Tensor], Tensor] | None = None,
    shuffle: bool = False,
) -> DataLoader[Any]:
    """Make batches (inputs, target); ``transform`` is applied to the inputs each time they are drawn."""

    def collate(samples: list[_Pair]) -> _Pair:
        first, second = (torch.stack(part) for part in zip(*samples, strict=True))
        return (first if transform is None else transform(first)), second

    return DataLoader(TensorDataset(inputs, target), batch, shuffle=shuffle, collate_fn=collate)


class Regression(pl.LightningModule):
    """Trains a network on (input, target) with AdamW and the mean square error.

    Validation logs the loss as ``error``.
    """

    def __init__(self, network: nn.Module, learning_rate: float, weight_decay: float = 0.0) -> None:
        super().__init__()
        self.network, self.learning_rate, self.weight_decay = network, learning_rate, weight_decay

    def loss(self, inputs: Tensor, target: Tensor) -> Tensor:
        """Compute the mean square error."""
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


def fit(
    task: Task,
    training: DataLoader[Any],
    validation: DataLoader[Any],
    options: TrainingOptions,
    history: History | None = None,
    name: str = "",
) -> Task:
    """Train a task with averaged weights and restore the epoch with the lowest validation ``error``.

    The log calls it ``name``.
    """
    return train_task(
        task,
        training,
        validation,
        settings=TrainerSettings(
            epochs=options.epochs,
            monitor="error",
            averaged_over=max(2, options.epochs * len(training) // 20),
            seed=options.seed,
            device=options.device,
            quiet=options.quiet,
            name=name,
        ),
        history=history,
    )
