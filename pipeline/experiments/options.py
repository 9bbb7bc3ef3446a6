"""Options that the experiments have in common."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from ..settings import check_seed

Network = Annotated[dict[str, Any], "network"]  # its ``class_path`` and ``init_args``


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """Options of every experiment.

    Parameters
    ----------
    seed
        Seed of all random numbers.
    device
        Device to train on: auto, cpu or cuda.
    quiet
        Whether to hide progress bars.
    """

    seed: int = 0
    device: str = "cpu"
    quiet: bool = True

    def __post_init__(self) -> None:
        check_seed(self.seed)


@dataclass(frozen=True, kw_only=True)
class TrainingOptions(RunOptions):
    """Options of an experiment that trains networks.

    Parameters
    ----------
    epochs
        Training epochs of each network.
    batch
        Samples in a training batch.
    learning_rate
        Learning rate; the highest one if it changes during training.
    """

    epochs: int = 10
    batch: int = 50
    learning_rate: float = 2e-3
