"""Checkpoint files as plain data: nothing that a file holds is run, and its weights are a network's."""

from __future__ import annotations

import os
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psutil
import torch
from pytorch_lightning.plugins.io import TorchCheckpointIO
from torch import Tensor

from ...errors import InputError

_MOST_WEIGHT = 1e6  # trained weights are about one


class PlainCheckpoints(TorchCheckpointIO):
    """Lightning's files, which are loaded as plain data whatever its callers ask for."""

    def load_checkpoint(
        self, path: Any, map_location: Any = "cpu", weights_only: bool | None = True
    ) -> dict[str, Any]:
        """Return the content of a file (`load_plain`), or the bare weights that processes hand over."""
        return load_plain(path, map_location, may_be_bare=True)


def load_plain(
    path: str | os.PathLike[str], map_location: Any = "cpu", may_be_bare: bool = False
) -> dict[str, Any]:
    """Return the content of a checkpoint: tensors and plain data. Nothing that the file holds is run.

    With ``may_be_bare``, the content may also be weights and nothing else.
    Raises `InputError` for a file that is none, and for weights that are not finite or are huge.
    """
    if not Path(path).is_file():
        raise InputError(f"{path}: no such checkpoint; check the path")
    if Path(path).stat().st_size > psutil.virtual_memory().total / 2:
        raise InputError(f"{path}: larger than half of the memory; give another checkpoint")
    try:
        content = torch.load(path, map_location=map_location, weights_only=True)
        state = dict(content if may_be_bare and "state_dict" not in content else content["state_dict"])
    except (
        pickle.UnpicklingError,
        RuntimeError,
        LookupError,
        TypeError,
        ValueError,
        AttributeError,
        AssertionError,
        EOFError,
        OSError,
    ) as error:
        raise InputError(f"{path}: not a checkpoint of oceanfill; make one with save_checkpoint=") from error
    check_weights(path, state)
    return dict(content)


def check_weights(path: str | os.PathLike[str], state: Mapping[Any, Any]) -> None:
    """Raise `InputError` for weights that no training leaves."""
    for name, weights in state.items():
        found = ""
        if not isinstance(name, str) or not isinstance(weights, Tensor) or weights.layout != torch.strided:
            found = "not numbers"
        elif weights.numel() * weights.element_size() > weights.untyped_storage().nbytes():
            found = "fewer numbers than it says"  # a small block of memory that is to be read many times
        elif weights.is_floating_point() and weights.numel():
            if not bool(torch.isfinite(weights).all()):
                found = "not finite"
            elif float(weights.abs().max()) > _MOST_WEIGHT:
                found = f"as large as {float(weights.abs().max()):.3g}"
        if found:
            raise InputError(
                f"{path}: the weights {str(name)[:60]!r} are {found}, as after a training that diverged or "
                "in a damaged file; train another network"
            )
