"""Networks in files: weights and the plain data that rebuilds them; nothing is unpickled."""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

import pytorch_lightning as pl
import torch
from torch import Tensor

from ..errors import InputError
from ..io.transforms import name_option
from ..io.writing import replace_atomically
from ..settings import Training
from .data import GapData
from .files.loading import check_weights, load_plain
from .files.options import check_numbers, check_options, check_plain, is_ours, list_foreign
from .tasks import Correction
from .trainer import Task
from .vector_data import RadialData
from .vector_tasks import VectorCorrection

_log = logging.getLogger(__name__)
SHIPPED = "shipped:general-2.ckpt"  # the general network; earlier ones stay, for those who name them
_SHIPPED = "shipped:"  # before the name of a network that comes with the package
_MISMATCH = "weights and configuration do not belong together; train another network"


class Checkpoint(NamedTuple):
    """The content of a checkpoint."""

    options: dict[str, Any]  # of the task
    state: dict[str, Tensor]
    trained_on: dict[str, Any]  # `GapData.describe`; empty in files of earlier versions

    @property
    def is_general(self) -> bool:
        """Whether the network knows the scales of the first guess instead of place and season."""
        return self.trained_on.get("static") == "scales"


def save_checkpoint(task: pl.LightningModule, path: str | os.PathLike[str]) -> None:
    """Write weights, configuration and a description of the training data as plain data. Atomic.

    Raises `InputError` for weights that are not finite, and where the file cannot be written.
    """
    check_weights(path, task.state_dict())
    content = {
        "state_dict": task.state_dict(),
        "hyper_parameters": dict(task.hparams),
        "pytorch-lightning_version": pl.__version__,
    }
    task.on_save_checkpoint(content)
    with (
        replace_atomically(path) as temporary,
        temporary.open("wb") as file,
    ):  # an open file fails as files do
        torch.save(content, file)


def load_correction(path: str | os.PathLike[str], data: GapData, how: Training) -> Correction:
    """Return the task in a checkpoint of `save_checkpoint` or of ``oceanfill fit``, to be used on the data.

    Raises `InputError` for a file that is no checkpoint, and for a task that was trained on other data than
    these (`check_data`) or for another window.
    """
    kept = read_checkpoint(path, how.window, how.trust)
    if "flow" in kept.options:
        raise InputError(f"{path}: trained on currents, not on a field; give another checkpoint")
    check_data(path, kept, data)
    data.general = kept.is_general
    task = restore_task(path, Correction, kept.options, kept.state)
    task.trained_on = kept.trained_on
    return task


def load_general(path: str | os.PathLike[str] | None = None, trust: bool = False) -> Correction:
    """Return a general network: that in a checkpoint of ``oceanfill pretrain``, or the one that ships.

    Raises `InputError` for a checkpoint of a network that was trained on a field of its own.
    """
    path = find_network(SHIPPED if path is None else path)
    kept = read_checkpoint(path, trust=trust)
    if not kept.is_general or "flow" in kept.options:
        raise InputError(
            f"{path}: trained on one field, not on many seas; give a checkpoint of oceanfill pretrain, or "
            "another method="
        )
    task = restore_task(path, Correction, kept.options, kept.state)
    task.trained_on = kept.trained_on
    return task


def find_network(path: str | os.PathLike[str]) -> str:
    """Return the path of a checkpoint; that of ``shipped:NAME`` is in the package."""
    text = os.fspath(path)
    if not text.startswith(_SHIPPED):
        return text
    return str(files("oceanfill.models") / "weights" / Path(text.removeprefix(_SHIPPED)).name)


def hash_weights(state: Mapping[str, Tensor]) -> str:
    """Return the SHA-256 of the weights of a network, whatever file they are in."""
    total = hashlib.sha256()
    for name in sorted(state):
        array = state[name].detach().cpu().contiguous().numpy()
        total.update(f"{name} {array.dtype} {array.shape}".encode())
        total.update(array.tobytes())
    return total.hexdigest()


def check_data(path: str | os.PathLike[str], kept: Checkpoint, data: GapData) -> None:
    """Raise `InputError` for data that a network cannot be used on; warn of those it was not trained on.

    Numbers of variables and outputs, first guess and transforms must be the same. Names and units may
    differ, because a network works on anomalies in units of their standard deviations. A general network
    takes any of these and any transform.
    """
    trained, given = kept.trained_on, data.describe()
    variables, outputs = kept.options.get("variables", 1), kept.options.get("outputs", 1)
    if (variables, outputs) != (len(data.variables), data.outputs):
        raise InputError(
            f"{path}: trained to fill {outputs} of {variables} variables, not {data.outputs} of "
            f"{len(data.variables)}; give the variables that it was trained on, or train another network"
        )
    shape = (kept.options["network"].get("init_args") or {}).get("shape")
    cells = data.field.sea.shape
    if shape is not None and any(size > most for size, most in zip(cells, shape, strict=True)):
        raise InputError(
            f"{path}: made for grids of up to {shape[0]} x {shape[1]} cells, not {cells[0]} x {cells[1]}; "
            "give a smaller region=, or train another network"
        )
    guess = trained.get("first_guess", data.first_guess)
    if guess != data.first_guess:
        raise InputError(
            f"{path}: trained with the first guess {guess}, not {data.first_guess}; "
            f"give first_guess={guess!r}, or train another network"
        )
    if kept.is_general:
        return
    transforms = trained.get("transforms", given["transforms"])
    if transforms != given["transforms"]:
        found, wanted = (", ".join(names) for names in (given["transforms"], transforms))
        options = ", ".join(dict.fromkeys(map(name_option, transforms)))
        raise InputError(
            f"{path}: trained on values with the transform {wanted}, not {found}; give {options} "
            "(FILE:NAME:log for further variables), or train another network"
        )
    _warn_of_names(path, trained, given)


def check_flow(path: str | os.PathLike[str], kept: Checkpoint, data: RadialData) -> None:
    """Raise `InputError` for a network of currents that was trained with another flow, or on a field."""
    if kept.options.get("flow") != data.flow:
        how = f"with flow={kept.options['flow']!r}" if "flow" in kept.options else "on a field"
        raise InputError(f"{path}: trained {how}, not with flow={data.flow!r}; give another checkpoint")
    _warn_of_names(path, kept.trained_on, data.describe())


def _warn_of_names(
    path: str | os.PathLike[str], trained: Mapping[str, Any], given: Mapping[str, Any]
) -> None:
    """Warn where a network is used on variables or units that it was not trained on."""
    if any(trained.get(key, given[key]) != given[key] for key in ("variables", "units")):
        _warn_once("%s: trained on %s, used on %s", str(path), _list_names(trained), _list_names(given))


@cache
def _warn_once(message: str, *parts: str) -> None:
    """Warn; not again for each block of a large field."""
    _log.warning(message, *parts)


def _list_names(described: Mapping[str, Any]) -> str:
    pairs = zip(described["variables"], described["units"], strict=True)
    return ", ".join(f"{name} ({units})" if units else name for name, units in pairs)


def read_checkpoint(
    path: str | os.PathLike[str],
    window: int | None = None,
    trust: bool = False,
    trusted: Sequence[str] = (),
) -> Checkpoint:
    """Return the content of a checkpoint; nothing of other packages that it names is imported.

    Raises `InputError` for a file that is none, for weights and options that no training leaves, for another
    window, and without ``trust`` for one that names classes or functions of other packages that are not among
    the ``trusted`` ones.
    """
    content = load_plain(path)
    options, trained_on = content.get("hyper_parameters"), content.get("trained_on", {})
    if not isinstance(options, Mapping) or not isinstance(trained_on, Mapping):
        raise InputError(f"{path}: not a checkpoint of oceanfill; make one with save_checkpoint=")
    check_plain(path, options)
    check_plain(path, trained_on)
    named = options
    options = {key: value for key, value in options.items() if not key.startswith("_")}
    network = options.get("network")
    if not isinstance(network, dict) or "class_path" not in network:
        raise InputError(f"{path}: names no network; give a checkpoint of oceanfill fit or save_checkpoint=")
    check_options(path, options, trained_on)
    foreign = [name for name in list_foreign(named) if name not in trusted]
    if foreign and not trust:
        raise InputError(
            f"{path}: names {' and '.join(foreign)}, which is no network or loss of oceanfill's and would be "
            "imported; add trust=True if you trust the file"
        )
    if window is not None and options.get("window") != window:
        raise InputError(
            f"{path}: trained on a window of {options.get('window')} dates, not {window}; "
            "leave window= out or train another network"
        )
    if is_ours(named):
        check_numbers(path, network)
        _check_shapes(path, options, content["state_dict"])
    return Checkpoint(options, content["state_dict"], dict(trained_on))


def _check_shapes(path: str | os.PathLike[str], options: Mapping[str, Any], state: Mapping[str, Any]) -> None:
    """Raise `InputError` where the options do not make the weights, before memory is taken for them."""
    make = VectorCorrection if "flow" in options else Correction
    with torch.device("meta"):
        outline = _make_task(path, make, options).state_dict()
    if {name: one.shape for name, one in outline.items()} != {n: one.shape for n, one in state.items()}:
        raise InputError(f"{path}: {_MISMATCH}")


def restore_task(
    path: str | os.PathLike[str],
    make: Callable[..., Task],
    options: Mapping[str, Any],
    state: Mapping[str, Tensor],
) -> Task:
    """Return the task that is made with these options, with the weights of a checkpoint."""
    task = _make_task(path, make, options)
    try:
        task.load_state_dict(state)
    except (RuntimeError, TypeError) as error:
        raise InputError(f"{path}: {_MISMATCH}") from error
    return task.eval()


def _make_task(path: str | os.PathLike[str], make: Callable[..., Task], options: Mapping[str, Any]) -> Task:
    try:
        return make(**options)
    except (RuntimeError, TypeError, ValueError, ArithmeticError, LookupError, AssertionError) as error:
        if isinstance(error, InputError):
            raise InputError(f"{path}: {error}") from error
        raise InputError(f"{path}: {_MISMATCH}") from error
