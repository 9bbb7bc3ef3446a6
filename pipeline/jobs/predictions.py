"""Fill with a trained task, whatever applies it: the dataset of ``oceanfill predict``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytorch_lightning as pl
import xarray as xr
from torch.utils.data import DataLoader

from ..io.output import describe_run
from ..settings import FillSettings, Training
from ..training.corrections import correct_guesses
from ..training.data import GapData
from ..training.vector_data import RadialData
from .currents import deliver_current, make_candidate, make_guess
from .deliver import deliver
from .methods import Candidates, Method, correct_first_guess

Predict = Callable[[DataLoader[Any]], list[Any]]


def fill_with(
    task: pl.LightningModule, data: GapData | RadialData, predict: Predict, checkpoint: str
) -> xr.Dataset:
    """Return the filled dataset of prepared data, with the score on held-out values in its attributes.

    ``predict`` returns the predictions of the task for the batches of a loader. As in `fill`, the first guess
    is delivered where the network is not better on the validation values.
    """
    name = str(task.hparams["network"]["class_path"]).rpartition(".")[2]
    settings = FillSettings(training=Training(checkpoint=checkpoint), seed=data.settings.seed)
    attributes = describe_run(name, settings.seed, settings.described())
    if isinstance(data, RadialData):
        products = [make_guess(data), make_candidate(data, name, predict)]
        candidates = {product.name: product for product in products}
        return deliver_current(data, candidates, settings, lambda rows: None, attributes)

    def correct(dates: DataLoader[Any], guesses: Sequence[Any]) -> list[Any]:
        return correct_guesses(guesses, predict(dates))

    def run(data: GapData, settings: FillSettings) -> list[Candidates]:
        return correct_first_guess(name, correct, data, settings)

    (dataset,) = deliver(data, Method(name, run), settings, lambda rows: None, attributes)
    return dataset
