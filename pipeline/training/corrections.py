"""Train a correction on a field's rehearsals, keep it, fetch it, apply it."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.data import DataLoader

from ..settings import LOSSES, Training
from .data import GapData
from .networks import has_fixed_grid
from .tasks import Correction
from .trainer import Saves, train_task

Floats = NDArray[np.float32]
EPOCHS = 10
_AVERAGED_OVER = 0.05, 100  # share of the training, steps at most


def make_correction(network: dict[str, Any], data: GapData, how: Training) -> Correction:
    """Return the untrained task of a ``network`` (a class_path with init_args) for the data.

    A network with a fixed grid gets the data's, whose patches then are whole maps. The state of torch's
    random numbers is left as it was found.
    """
    patch = 512
    if has_fixed_grid(network):
        data.patch = patch = max(data.field.sea.shape)
        grid = {"shape": list(data.field.sea.shape)}
        network = network | {"init_args": network["init_args"] | grid}
    with torch.random.fork_rng():
        torch.manual_seed(data.seed)
        return Correction(
            network,
            window=how.window or data.window,
            patch=patch,
            loss=LOSSES.get(how.loss, how.loss),
            variables=len(data.variables),
            outputs=data.outputs,
        )


def train_correction(task: Correction, data: GapData, how: Training) -> Correction:
    """The task with the averaged weights of its best epoch, chosen by the first part of the hold-out.

    Where ``how`` has saves: that of the networks of the last epochs, as they were, together. An ensemble is
    that of networks begun with other seeds, each with dates of its own on which its epoch is chosen and not
    trained; the hold-out is none's, and the time budget all's.
    """
    task.trained_on = data.describe()
    if how.ensemble is not None:
        alone = replace(how, ensemble=None, time_budget=how.time_budget and how.time_budget / how.ensemble)
        members = []
        for data_of_one in data.members(how.ensemble):
            with torch.random.fork_rng():
                torch.manual_seed(data_of_one.seed)
                begun = Correction(**task.hparams)
            members.append(train_correction(begun, data_of_one, alone))
        return _together(task, [network.state_dict() for member in members for network in member.networks])
    kept: deque[dict[str, Tensor]] = deque(maxlen=how.saves)
    epochs = how.epochs or EPOCHS
    share, most = _AVERAGED_OVER
    trained = train_task(
        task,
        data.train_dataloader(),
        data.val_dataloader() if data.validation.any() else None,
        epochs=epochs,
        # The RMSE on held-out values as a share of the first guess's.
        monitor="held_out" if data.validation.any() else None,
        averaged_over=int(np.clip(share * epochs * len(data.train_dataloader()), 1, most)),
        time_budget=how.time_budget,
        clip=1.0,
        mixed=True,
        seed=data.seed,
        device=data.device,
        quiet=data.quiet,
        saves=Saves(lambda task: kept.append(_copied(task.network))) if how.saves else None,
    )
    if not how.saves:
        return trained
    return _together(task, kept)


def _together(task: Correction, states: Sequence[Mapping[str, Tensor]]) -> Correction:
    """A task whose networks are those with the weights ``states``."""
    made = Correction(**(dict(task.hparams) | {"saves": len(states)}))
    for network, state in zip(made.networks, states, strict=True):
        network.load_state_dict(state)
    made.trained_on = task.trained_on
    return made.eval()


def _copied(network: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.detach().cpu().clone() for name, tensor in network.state_dict().items()}


def apply_correction(
    task: Correction, dates: DataLoader[Any], guesses: Sequence[tuple[Floats, Floats]], device: str
) -> list[tuple[Floats, Floats]]:
    """The guess of each output and its error (time, lat, lon), corrected on the ``dates``."""
    corrected = [(guess.copy(), error.copy()) for guess, error in guesses]
    task = task.to(device).eval()
    with torch.no_grad():
        for inputs, number in dates:
            when, correction, factor = task.predict_step((inputs.to(device), number), 0)
            done = when.numpy()
            for output, (mean, sigma) in enumerate(corrected):
                mean[done] += guesses[output][1][done] * correction[:, output].numpy()
                sigma[done] *= factor[:, output].numpy()
    return corrected
