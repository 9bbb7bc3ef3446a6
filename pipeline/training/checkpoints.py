"""Networks in files: weights and the configuration that rebuilds them, nothing that has to be unpickled."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor

from ..errors import InputError
from ..io.writing import replace_atomically
from ..settings import Training
from .data import GapData
from .tasks import Correction
from .trainer import Task

_OURS = "oceanfill.models."  # a checkpoint may only name networks of ours: nothing else is imported for it


def save_checkpoint(task: pl.LightningModule, path: str | os.PathLike[str]) -> None:
    """Write weights and configuration, nothing that has to be unpickled. Atomic."""
    content = {
        "state_dict": task.state_dict(),
        "hyper_parameters": dict(task.hparams),
        "pytorch-lightning_version": pl.__version__,
    }
    with (
        replace_atomically(path) as temporary,
        temporary.open("wb") as file,
    ):  # an open file fails as files do
        torch.save(content, file)


def load_correction(path: str | os.PathLike[str], data: GapData, how: Training) -> Correction:
    """Return the task in a checkpoint of `save_checkpoint` or of ``oceanfill fit``, to be used on the data.

    Raises `InputError` for a file that is no checkpoint, and where it was trained for another window or for
    other numbers of variables and outputs.
    """
    variables, outputs = len(data.variables), data.outputs
    options, state = read_checkpoint(path, how.window)
    found = options.get("variables", 1), options.get("outputs", 1)
    if found != (variables, outputs):
        raise InputError(
            f"{path}: trained to fill {found[1]} of {found[0]} variables, not {outputs} of {variables}; "
            "give the variables that it was trained on, or train another network"
        )
    return restore_task(path, Correction, options, state)


def read_checkpoint(
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


def restore_task(
    path: str | os.PathLike[str],
    make: Callable[..., Task],
    options: Mapping[str, Any],
    state: Mapping[str, Tensor],
) -> Task:
    """The task that is made with these options, with these weights of a checkpoint's `read_checkpoint`."""
    try:
        task = make(**options)
        task.load_state_dict(state)
    except (RuntimeError, TypeError) as error:
        raise InputError(f"{path}: weights and configuration do not belong together; train anew") from error
    return task.eval()
