"""Options that several commands have, and how their values are read."""

from __future__ import annotations

import argparse
from typing import Any


def add_opening(command: argparse.ArgumentParser, prepared: bool = False) -> None:
    """Which field; what ``prepare`` leaves to ``fill`` is left out for it."""
    command.add_argument("inputs", nargs="+", metavar="INPUT", help="NetCDF files, a glob or a Zarr store")
    command.add_argument("--quiet", action="store_true", help="only warnings and errors")
    command.add_argument("--debug", action="store_true", help="show where a fault of ours happened")
    field = command.add_argument_group("the field")
    field.add_argument("--variable", metavar="NAME", help="what to fill, where there are several")
    field.add_argument("--mask-variable", metavar="NAME", help="the sea mask")
    field.add_argument("--error-variable", metavar="NAME", help="observation error (standard error)")
    if not prepared:
        field.add_argument(
            "--observation-error", type=positive(float), metavar="E", help="one for all values"
        )
        field.add_argument("--transform", choices=("none", "log"), help="log: fill logarithms (chlorophyll)")
    field.add_argument(
        "--region", type=region, metavar="LAT0,LAT1,LON0,LON1", help="only this part, in degrees"
    )
    field.add_argument("--period", metavar="START/END", help="only these dates, as 2017-05-14/2017-05-20")
    field.add_argument(
        "--minimum-coverage",
        type=float,
        metavar="SHARE",
        help="of the dates with a value that makes a pixel sea, without a mask; default 0.05",
    )


def add_workers(command: argparse.ArgumentParser) -> Any:
    """Where the work is done; the group, for more."""
    large = command.add_argument_group("large records")
    large.add_argument(
        "--workers", type=positive(int), default=1, metavar="N", help="processes, or jobs of a cluster"
    )
    large.add_argument(
        "--cluster",
        metavar="local|slurm|ADDRESS",
        help="of dask: on this machine, in a queue (dask-jobqueue's configuration), or one that runs",
    )
    return large


def add_training(command: argparse.ArgumentParser) -> Any:
    """The options that every command that trains has; their group, for more."""
    training = command.add_argument_group("training")
    training.add_argument(
        "--time-budget", type=positive(float), metavar="MINUTES", help="of training a network at most"
    )
    training.add_argument("--epochs", type=positive(int), metavar="N", help="at most; default 10")
    training.add_argument(
        "--seed", type=int, default=0, help="the same seed gives the same result; default 0"
    )
    training.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto", help="default auto")
    return training


def region(text: str) -> tuple[float, ...]:
    try:
        parts = tuple(float(part) for part in text.split(","))
    except ValueError:
        parts = ()
    if len(parts) != 4:
        raise argparse.ArgumentTypeError(f"{text!r} is not lat0,lat1,lon0,lon1 in degrees, as 35,45,0,18")
    return parts


def levels(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is not a list of whole percents, as 50,90") from error


def degrees(text: str) -> tuple[float, ...]:
    parts = tuple(positive(float)(part) for part in text.split(","))
    if len(parts) > 2:
        raise argparse.ArgumentTypeError(f"{text!r} is not one step in degrees, or two, as 0.25,0.5")
    return parts


def positive(kind: type) -> Any:
    def convert(text: str) -> Any:
        try:
            value = kind(text)
        except ValueError:
            value = 0
        if not value > 0:
            raise argparse.ArgumentTypeError(f"{text!r} is not a positive number")
        return value

    return convert


def with_negative_regions(words: list[str]) -> list[str]:
    """argparse takes the ``-10,...`` of a region for an option; ``--region=-10,...`` it understands."""
    joined: list[str] = []
    for word in words:
        if joined and joined[-1] in ("--region", "--bounds"):
            joined[-1] += f"={word}"
        else:
            joined.append(word)
    return joined
