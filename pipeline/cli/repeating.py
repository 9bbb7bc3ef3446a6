"""The commands that repeat what was published, and that train a network: their arguments and help."""

from __future__ import annotations

import argparse
from typing import Any

from .logs import add_logging
from .options import (
    add_command,
    add_overwrite,
    add_pretraining,
    add_training,
    positive,
)


class _Help(argparse._HelpAction):
    """The help of `reproduce`, or of the experiment that is named before it."""

    def __call__(self, command: argparse.ArgumentParser, options: argparse.Namespace, *_: Any) -> None:
        if options.name is not None:
            from ..experiments.reproduce import build_parser, find_experiment

            command = build_parser(find_experiment(options.name), options.quick)
        command.print_help()
        command.exit()


def add_challenge(commands: Any) -> None:
    """Add `challenge`."""
    challenge = add_command(
        commands,
        "challenge",
        help="map a public sea level challenge and print a leaderboard row",
        description="Map the observations of a public SSH mapping challenge from its own files and score the "
        "maps\nby its definitions, next to its leaderboard.",
        epilog="The methods are those of `oceanfill fill --help`, and `baseline`, the challenge's own.\n\n"
        "examples:\n"
        "  oceanfill challenge 2020a --data 2020a --methods baseline,oi,4dvarnet\n"
        "  oceanfill challenge 2020a --data 2020a --observations swot+4-nadirs --methods oi\n"
        "  oceanfill challenge 2021a --data 2021a --methods oi,unet --time-budget 60",
    )
    challenge.add_argument("name", metavar="2020a|2021a")
    challenge.add_argument(
        "--data", required=True, metavar="FOLDER", help="folder with dc_obs, dc_ref or dc_maps"
    )
    challenge.add_argument(
        "--methods", default="baseline,oi", metavar="A,B,...", help="methods to score (default: baseline,oi)"
    )
    challenge.add_argument(
        "--observations",
        metavar="NAME",
        help="observations of 2020a: 4-nadirs (default), 1-nadir, swot or swot+4-nadirs",
    )
    challenge.add_argument(
        "--step",
        type=positive(float),
        default=0.1,
        metavar="DEGREES",
        help="spacing of the grid (default: 0.1)",
    )
    challenge.add_argument(
        "-o", "--output", metavar="FOLDER", help="write the maps of each method to this folder"
    )
    add_overwrite(challenge)
    add_training(challenge)
    add_logging(challenge)


def add_reproduce(commands: Any) -> None:
    """Add `reproduce`."""
    again = add_command(
        commands,
        "reproduce",
        help="run an experiment of the course or of a paper",
        description="Run an experiment and print its table next to the published figures; write pictures "
        "and checkpoints.\n"
        "Without a name, list the experiments.",
        epilog="An experiment's own options follow its name (`oceanfill reproduce NAME --help` lists them):\n"
        "  oceanfill reproduce mnist-autoencoder --epochs 20 -o runs/longer",
        add_help=False,
    )
    again.add_argument("name", nargs="?", metavar="NAME")
    again.add_argument("-h", "--help", action=_Help, help="show this message, or that of NAME, and exit")
    again.add_argument(
        "--quick", action="store_true", help="run a small version in seconds, too short to reach the figures"
    )
    again.add_argument("-o", "--output", metavar="FOLDER", help="folder for the results (default: runs/NAME)")
    add_overwrite(again)
    add_logging(again)


def add_pretrain(commands: Any) -> None:
    """Add `pretrain`."""
    pretrain = add_command(
        commands,
        "pretrain",
        help="train a general network on synthetic seas",
        description="Make synthetic seas with their first guess, one file each, and train a network on them "
        "that\ncorrects the first guess of any field. Seas that are there already are kept.",
        epilog="Other options are those of `oceanfill fit`, such as --trainer.accelerator gpu.\n\nexamples:\n"
        "  oceanfill pretrain --minutes 60\n"
        "  oceanfill pretrain --seas 5000 --workers 16 --seas-only\n"
        "  oceanfill pretrain --minutes 600 --resume --trainer.accelerator gpu --trainer.devices 2",
    )
    add_pretraining(pretrain)
    add_logging(pretrain)
