"""``oceanfill fit|validate|test|predict``: the task of `fill` through Lightning's own command line."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.cli import LightningArgumentParser, LightningCLI

from ..errors import InputError
from ..training.checkpoints import read_checkpoint
from ..training.data import GapData
from ..training.tasks import Correction
from ..training.trainer import silence_lightning

_PLACES = ("best", "last", "hpc")  # words that Lightning takes for a checkpoint's path


class GapDataModule(GapData, pl.LightningDataModule):
    """The same data, as Lightning asks for it."""


class CommandLine(LightningCLI):
    """LightningCLI with one window for network and data, and checkpoints that are checked."""

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        parser.link_arguments("model.window", "data.window")

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        super().parse_arguments(parser, args)
        checkpoint = self.config[self.config.subcommand].get("ckpt_path")
        if checkpoint not in (None, *_PLACES):
            read_checkpoint(checkpoint)

    def after_instantiate_classes(self) -> None:
        data = self.datamodule
        part = {"fit": data.validation, "validate": data.validation, "test": data.test}.get(
            str(self.subcommand)
        )
        if part is not None and not part.any():
            raise InputError(
                f"{', '.join(data.field.inputs)}: no value of {data.field.name} is held out to "
                f"{self.subcommand} with; give a longer series with more gaps, or raise data.held_out"
            )


def run(words: Sequence[str]) -> None:
    """Run a subcommand of LightningCLI on `tasks.Correction` and `GapDataModule`.

    ``--config`` takes a path or the name of a configuration that ships, as ``fill/unet``. Raises
    `InputError` for data and checkpoints that do not fit; wrong options end the program.
    """
    with silence_lightning():
        CommandLine(
            Correction,
            GapDataModule,
            args=[_found(word, before) for before, word in zip(["", *words], words, strict=False)],
            # A job that is put back into the queue meets the configuration of its first run.
            save_config_kwargs={"overwrite": True},
            seed_everything_default=0,
            # 4DVarNet takes gradients when it predicts, which inference mode forbids.
            trainer_defaults={"inference_mode": False},
            auto_configure_optimizers=False,
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
