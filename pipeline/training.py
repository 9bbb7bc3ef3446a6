"""Train a correction on a field's rehearsals, keep it, fetch it, apply it."""

from __future__ import annotations

import os
import pickle
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.data import DataLoader

from .data import GapData
from .errors import InputError
from .fitting import Saves, Task, fit
from .networks import Training
from .tasks import Correction
from .writing import replacing

Floats = NDArray[np.float32]
EPOCHS = 10
_AVERAGED_OVER = 0.05, 100  # share of the training, steps at most
_OURS = "oceanfill.models."  # a checkpoint may only name networks of ours: nothing else is imported for it


def train(task: Correction, data: GapData, how: Training) -> Correction:
    """The task with the averaged weights of its best epoch, chosen by the first part of the hold-out.

    Where ``how`` has saves: that of the networks of the last epochs, as they were, together. An ensemble is
    that of networks begun with other seeds, each with dates of its own on which its epoch is chosen and not
    trained; the hold-out is none's, and the time budget all's.
    """
    if how.ensemble is not None:
        alone = replace(how, ensemble=None, time_budget=how.time_budget and how.time_budget / how.ensemble)
        members = []
        for data_of_one in data.members(how.ensemble):
            torch.manual_seed(data_of_one.seed)
            members.append(train(Correction(**task.hparams), data_of_one, alone))
        return _together(task, [network.state_dict() for member in members for network in member.networks])
    kept: deque[dict[str, Tensor]] = deque(maxlen=how.saves)
    epochs = how.epochs or EPOCHS
    share, most = _AVERAGED_OVER
    trained = fit(
        task,
        data.train_dataloader(),
        data.val_dataloader() if data.choosing.any() else None,
        epochs=epochs,
        # The RMSE on held-out values as a share of the first guess's.
        monitor="held_out" if data.choosing.any() else None,
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
    return made.eval()


def _copied(network: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.detach().cpu().clone() for name, tensor in network.state_dict().items()}


def predict(
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


def save(task: pl.LightningModule, path: str | os.PathLike[str]) -> None:
    """Write weights and configuration, nothing that has to be unpickled. Atomic."""
    content = {
        "state_dict": task.state_dict(),
        "hyper_parameters": dict(task.hparams),
        "pytorch-lightning_version": pl.__version__,
    }
    with replacing(path) as temporary, temporary.open("wb") as file:  # an open file fails as files do
        torch.save(content, file)


def load(
    path: str | os.PathLike[str], window: int | None = None, variables: int = 1, outputs: int = 1
) -> Correction:
    """The task in a checkpoint of `save` or of ``oceanfill fit``.

    Raises `InputError` for a file that is none, for another window or other numbers of variables and outputs.
    """
    options, state = contents(path, window)
    found = options.get("variables", 1), options.get("outputs", 1)
    if found != (variables, outputs):
        raise InputError(
            f"{path}: trained to fill {found[1]} of {found[0]} variables, not {outputs} of {variables}; "
            "give the variables that it was trained on, or train anew"
        )
    return restored(path, Correction, options, state)


def contents(
    path: str | os.PathLike[str], window: int | None = None
) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """The options and the weights in a checkpoint, which name nothing but what is ours.

    Raises `InputError` for a file that is none and for another window.
    """
    if not Path(path).is_file():
        raise InputError(f"{path}: no such checkpoint; check the path")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        options, state = dict(content["hyper_parameters"]), content["state_dict"]
    except (
        pickle.UnpicklingError,
        RuntimeError,
        LookupError,
        TypeError,
        ValueError,
        EOFError,
        OSError,
    ) as error:
        raise InputError(f"{path}: not a checkpoint of oceanfill; make one with --save-checkpoint") from error
    options = {key: value for key, value in options.items() if not key.startswith("_")}
    if window is not None and options.get("window") != window:
        raise InputError(
            f"{path}: trained on a window of {options.get('window')} dates, not {window}; "
            "leave --window out or train anew"
        )
    network = options.get("network")
    if not isinstance(network, dict) or not str(network.get("class_path", "")).startswith(_OURS):
        raise InputError(f"{path}: names a network that is not oceanfill's; it is not loaded")
    losses = [options.get("loss", _OURS), *(options.get("penalties") or {})]
    if not all(str(name).startswith(_OURS) for name in losses):
        raise InputError(f"{path}: names a loss that is not oceanfill's; it is not loaded")
    return options, state


def restored(
    path: str | os.PathLike[str],
    make: Callable[..., Task],
    options: Mapping[str, Any],
    state: Mapping[str, Tensor],
) -> Task:
    """The task that is made with these options, with these weights of a checkpoint's `contents`."""
    try:
        task = make(**options)
        task.load_state_dict(state)
    except (RuntimeError, TypeError) as error:
        raise InputError(f"{path}: weights and configuration do not belong together; train anew") from error
    return task.eval()
