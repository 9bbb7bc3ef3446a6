"""The networks by name, and how they are built, without importing torch or Lightning before that."""

from __future__ import annotations

import inspect
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import nn

from ..errors import InputError
from ..settings import LOSSES


def _named(family: str, name: str, **options: Any) -> dict[str, Any]:
    return {"class_path": f"oceanfill.models.{family}.{name}", "init_args": options}


_RECURRENT = {"hidden": 16, "width": 32, "fold": 4}
NETWORKS: dict[str, dict[str, Any]] = {
    "unet": _named("unet", "UNet", widths=[32, 64], skips="added", fold=2),
    "resnet": _named("resnet", "ResNet", fold=2),
    "rednet": _named("rednet", "REDNet"),
    "dincae1": _named("dincae", "DINCAE1"),
    "dincae2": _named("dincae", "DINCAE2", refinement=True),
    "convlstm": _named("convolutional_recurrent", "RecurrentFiller", cell="lstm", **_RECURRENT),
    "convgru": _named("convolutional_recurrent", "RecurrentFiller", cell="gru", **_RECURRENT),
    "convlstm-unet": _named(
        "convolutional_recurrent", "RecurrentUNet", widths=[16, 32], skips="added", fold=2
    ),
    "4dvarnet": _named("fourdvarnet", "VariationalFiller"),
    "rnn": _named("recurrent", "PixelFiller", cell="rnn"),
    "lstm": _named("recurrent", "PixelFiller", cell="lstm"),
    "gru": _named("recurrent", "PixelFiller", cell="gru"),
    "autoencoder": _named("autoencoder", "ConvolutionalAutoEncoder", latent=64),
    "vae": _named("variational", "VariationalAutoEncoder", latent=64),
    "dense-autoencoder": _named("autoencoder", "DenseAutoEncoder", latent=64),
    "linear-autoencoder": _named("autoencoder", "LinearAutoEncoder", latent=64),
}
FIXED_GRID = (
    "dincae1",
    "autoencoder",
    "vae",
    "dense-autoencoder",
    "linear-autoencoder",
)  # dense layers: one grid only


def build_network(
    network: dict[str, Any], inputs: int, outputs: int, window: int, variables: int = 1
) -> nn.Module:
    """The module that a ``class_path`` with ``init_args`` names. Raises `InputError` for one that is not.

    One that takes ``dates`` is told the window, one that takes ``variables`` how many it sees.
    """
    path = str(network.get("class_path", ""))
    try:
        options = dict(network.get("init_args") or {})
        made = _class(path)
        told = {"dates": window, "variables": variables}
        options |= {name: told[name] for name in told if name in inspect.signature(made).parameters}
        return made(inputs=inputs, outputs=outputs, **options)
    except (ImportError, AttributeError, ValueError, TypeError) as error:
        raise InputError(
            f"network {path!r}: {error}; {_remedy(path, 'check its class_path and init_args')}"
        ) from error


def has_fixed_grid(network: dict[str, Any]) -> bool:
    """Whether a network is made for one ``shape`` (rows, columns), as those with dense layers are."""
    return "shape" in inspect.signature(_class(network["class_path"])).parameters


def import_path(path: str) -> Any:
    """The function that a path names. Raises `InputError` for one that names none."""
    try:
        return _class(path)
    except (ImportError, AttributeError, ValueError) as error:
        remedy = _remedy(path, f"name a function in full, as {LOSSES['gaussian']}")
        raise InputError(f"{path!r}: {error}; {remedy}") from error


def _remedy(path: str, remedy: str) -> str:
    return remedy if path.startswith("oceanfill.") else f"{remedy}, with its folder in PYTHONPATH"


def _class(path: str) -> Any:
    module, _, name = path.rpartition(".")
    return getattr(import_module(module), name)
