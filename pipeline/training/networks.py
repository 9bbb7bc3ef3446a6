"""The networks by name, and how they are built; torch is imported only then."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import nn

from ..errors import InputError
from ..settings import LOSSES


def _describe(family: str, name: str, **options: Any) -> dict[str, Any]:
    return {"class_path": f"oceanfill.models.{family}.{name}", "init_args": options}


_RECURRENT = {"hidden": 16, "width": 32, "fold": 4}
NETWORKS: dict[str, Any] = {  # a class_path with init_args each
    "unet": _describe("unet", "UNet", widths=[32, 64], skips="added", fold=2),
    "resnet": _describe("resnet", "ResNet", fold=2),
    "rednet": _describe("rednet", "REDNet"),
    "dincae1": _describe("dincae", "DINCAE1"),
    "dincae2": _describe("dincae", "DINCAE2", refinement=True),
    "convlstm": _describe("convolutional_recurrent", "RecurrentFiller", cell="lstm", **_RECURRENT),
    "convgru": _describe("convolutional_recurrent", "RecurrentFiller", cell="gru", **_RECURRENT),
    "convlstm-unet": _describe(
        "convolutional_recurrent", "RecurrentUNet", widths=[16, 32], skips="added", fold=2
    ),
    "4dvarnet": _describe("fourdvarnet", "VariationalFiller"),
    "rnn": _describe("recurrent", "PixelFiller", cell="rnn"),
    "lstm": _describe("recurrent", "PixelFiller", cell="lstm"),
    "gru": _describe("recurrent", "PixelFiller", cell="gru"),
    "autoencoder": _describe("autoencoder", "ConvolutionalAutoEncoder", latent=64),
    "vae": _describe("variational", "VariationalAutoEncoder", latent=64),
    "dense-autoencoder": _describe("autoencoder", "DenseAutoEncoder", latent=64),
    "linear-autoencoder": _describe("autoencoder", "LinearAutoEncoder", latent=64),
}
DESCRIBED = {  # the same, in words
    "unet": "a U-Net that corrects optimal interpolation",
    "resnet": "residual blocks as the steps of a flow",
    "rednet": "convolutions and deconvolutions with symmetric skips",
    "dincae1": "DINCAE 1, with its dense layers",
    "dincae2": "DINCAE 2, with refinement",
    "convlstm": "a convolutional LSTM in both directions of time",
    "convgru": "the same with gated recurrent units",
    "convlstm-unet": "a U-Net that is recurrent at its deepest level",
    "4dvarnet": "a variational cost with a learned prior and a learned solver",
    "rnn": "a plain recurrent network for each pixel's series, in both directions of time",
    "lstm": "the same with long short-term memory",
    "gru": "the same with gated recurrent units",
    "autoencoder": "a convolutional auto-encoder",
    "vae": "the same, variational: its code is random in training",
    "dense-autoencoder": "a dense auto-encoder, for small grids",
    "linear-autoencoder": "two matrices that span a subspace as EOFs do, for small grids",
}
FIXED_GRID = (
    "dincae1",
    "autoencoder",
    "vae",
    "dense-autoencoder",
    "linear-autoencoder",
)  # dense layers: one grid only


def build_network(network: Any, inputs: int, outputs: int, window: int, variables: int = 1) -> nn.Module:
    """Build the module that a ``class_path`` with ``init_args`` names.

    The numbers of channels are added, and ``dates`` (the window) and ``variables`` for a module that takes
    them. Raises `InputError` for a network that cannot be built and for init_args that contradict these.
    """
    if not isinstance(network, Mapping):
        raise InputError(f"the network {network!r} is not a class_path with init_args; write it as one")
    path = str(network.get("class_path", ""))
    try:
        made = _import_attribute(path)
        known = inspect.signature(made).parameters
        set_here = {"inputs": inputs, "outputs": outputs}
        further = {"dates": window, "variables": variables}
        set_here |= {name: value for name, value in further.items() if name in known}
        options = dict(network.get("init_args") or {})
        for name, value in set_here.items():
            # A configuration of Lightning's command line holds the defaults too.
            default = known[name].default if name in known else value
            if options.get(name, value) not in (value, default):
                raise InputError(f"{name} is {value} here, not {options[name]}")
        return made(**options | set_here)
    except (ImportError, AttributeError, ValueError, TypeError) as error:
        remedy = _remedy(path, "check its class_path and init_args")
        raise InputError(f"network {path!r}: {error}; {remedy}") from error


def has_fixed_grid(network: Any) -> bool:
    """Tell whether a network is made for one ``shape`` (rows, columns), as those with dense layers are."""
    return "shape" in inspect.signature(_import_attribute(network["class_path"])).parameters


def import_path(path: str) -> Any:
    """Import the function that a path names. Raises `InputError` for one that names none."""
    try:
        return _import_attribute(path)
    except (ImportError, AttributeError, ValueError) as error:
        remedy = _remedy(path, f"name a function in full, as {LOSSES['gaussian']}")
        raise InputError(f"{path!r}: {error}; {remedy}") from error


def _remedy(path: str, remedy: str) -> str:
    return remedy if path.startswith("oceanfill.") else f"{remedy}, with its folder in PYTHONPATH"


def _import_attribute(path: str) -> Any:
    module, _, name = path.rpartition(".")
    found = getattr(import_module(module), name)
    # A checkpoint may name what is ours, but not what our modules import.
    if path.startswith("oceanfill.") and getattr(found, "__module__", None) != module:
        raise AttributeError(f"module {module!r} has no attribute {name!r} of its own")
    return found
