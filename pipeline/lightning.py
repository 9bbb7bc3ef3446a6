"""``oceanfill fit|validate|test|predict``: the task of `fill` through Lightning's own command line."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

from pytorch_lightning.cli import LightningCLI

from .data import GapData
from .tasks import Correction


def run(words: Sequence[str]) -> None:
    """Run a subcommand of LightningCLI on `tasks.Correction` and `data.GapData`.

    ``--config`` takes a path or the name of a configuration that ships, as ``fill/unet.yaml``.
    """
    # The default of `LightningCLI` is to write the configuration beside the checkpoints, once: a requeued
    # job meets its own.
    LightningCLI(
        Correction,
        GapData,
        args=[_found(word, before) for before, word in zip(["", *words], words, strict=False)],
        save_config_kwargs={"overwrite": True},
        seed_everything_default=0,
    )


def _found(word: str, before: str) -> str:
    option, equals, value = word.partition("=")
    if before in ("--config", "-c"):
        return _shipped(word)
    return f"{option}={_shipped(value)}" if option == "--config" and equals else word


def _shipped(name: str) -> str:
    if Path(name).exists():
        return name
    shipped = files("oceanfill.configs") / (name if name.endswith(".yaml") else f"{name}.yaml")
    return str(shipped) if shipped.is_file() else name
