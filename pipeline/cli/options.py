"""Options shared by several commands, and how their values are parsed."""

from __future__ import annotations

import argparse
from typing import Any, NoReturn

from ..errors import InputError
from ..io.opening import MERGES, OUTLIERS
from ..settings import FLOWS, PACKS

_NEGATIVE = ("--region", "--bounds", "--missing-value", "--bounds-of-values", "--level")
HOLDOUTS = {
    "clouds": "cloud masks of other dates (the default)",
    "tracks": "whole tracks or swaths",
    "random": "single values",
    "dates": "whole dates",
    "altimeters": "ground tracks of simulated altimeters",
}


class UsageError(InputError):
    """Words of a command line that are not understood; ``command`` is the one that they were given to."""

    def __init__(self, message: str, command: str) -> None:
        super().__init__(f"{message}; see {command} --help")
        self.command = command


class Parser(argparse.ArgumentParser):
    """A parser whose errors are sentences, without all options before them."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(message, self.prog)


def add_opening(command: argparse.ArgumentParser, prepared: bool = False) -> None:
    """Add the options of `Opening`, without those that ``prepare`` leaves to ``fill`` if ``prepared``."""
    command.add_argument(
        "inputs", nargs="+", metavar="INPUT", help="NetCDF files, a pattern in quotes or a Zarr store"
    )
    field = command.add_argument_group("the field")
    field.add_argument(
        "--variable",
        metavar="NAME",
        help="variable to fill, where there are several; u,v fills two of one file",
    )
    field.add_argument("--mask-variable", metavar="NAME", help="variable with the sea mask")
    field.add_argument(
        "--error-variable", metavar="NAME", help="variable with the standard error of each observation"
    )
    if not prepared:
        field.add_argument(
            "--observation-error",
            type=positive(float),
            metavar="E",
            help="one standard error for all observations",
        )
        field.add_argument(
            "--transform",
            choices=("none", "log"),
            help="space to fill in: none, or log for lognormal quantities (default: log for chlorophyll and "
            "others whose standard name says so, otherwise none)",
        )
    field.add_argument(
        "--region", type=region, metavar="LAT0,LAT1,LON0,LON1", help="fill only this region (degrees)"
    )
    field.add_argument(
        "--period", metavar="START/END", help="fill only these dates, as 2017-05-14/2017-05-20"
    )
    field.add_argument(
        "--minimum-coverage",
        type=float,
        metavar="FRACTION",
        help="if the file has no mask, treat a pixel as sea when it is observed on at least this fraction "
        "of dates "
        "(default: 0.05)",
    )
    _add_values(command, prepared)
    _add_grid(command)


def _add_values(command: argparse.ArgumentParser, prepared: bool) -> None:
    values = command.add_argument_group("quality and missing values")
    values.add_argument(
        "--quality",
        metavar="RULE",
        help="values to keep by their flags, as 'quality_level>=3' or 'l2_flags&2==0' (without this bit), "
        "several joined by commas, or none to keep all (default: the provider's advice, which "
        "`oceanfill info` shows)",
    )
    values.add_argument(
        "--sses",
        action="store_true",
        default=None,
        help="subtract the sensor-specific bias of GHRSST files and use their standard deviation as "
        "observation error",
    )
    values.add_argument(
        "--missing-value",
        type=missing,
        metavar="VALUE[,VALUE]",
        help="values that stand for missing ones and are not declared as such, or none to keep all (default: "
        "values such as -999 are recognised by their place far outside all others)",
    )
    values.add_argument(
        "--bounds-of-values",
        type=numbers,
        metavar="LEAST,GREATEST",
        help="range of a bounded quantity, as 0,100 for percentages; the filled values stay inside",
    )
    if not prepared:
        values.add_argument(
            "--outliers",
            choices=OUTLIERS,
            help="what to make of values that are unlike all values around them: drop (replaced by the "
            "analysis; the default), flag (kept in the output and flagged, but not used) or keep (used as "
            "they are); points along tracks are compared with those before and after them",
        )
    values.add_argument(
        "--ignore-valid-range",
        action="store_true",
        default=None,
        help="keep values outside the valid range of the file",
    )


def _add_grid(command: argparse.ArgumentParser) -> None:
    grid = command.add_argument_group("dates and grid")
    grid.add_argument(
        "--merge",
        choices=MERGES,
        metavar="HOW",
        help="what to make of several maps of one date: mean (weighted by their observation errors; the "
        "default), last, first or refuse",
    )
    grid.add_argument(
        "--time-step",
        type=step,
        metavar="DAYS",
        help="days from one map to the next, or none for the dates of the input alone (default: the input's "
        "own regular step; 1 for points and swaths)",
    )
    grid.add_argument("--group", metavar="NAME", help="group of an HDF5 file that holds the variable")
    grid.add_argument("--level", type=float, metavar="LEVEL", help="depth or level to fill")
    grid.add_argument(
        "--grid",
        type=degrees,
        metavar="STEP[,STEP]",
        help="spacing in degrees of the grid for points and swaths, or to regrid a field to; one number or "
        "latitude,longitude",
    )
    grid.add_argument(
        "--bounds",
        type=region,
        metavar="LAT0,LAT1,LON0,LON1",
        help="first and last cell centres of that grid",
    )
    grid.add_argument("--like", metavar="FILE", help="regrid the field to the grid of this file")


def add_workers(command: argparse.ArgumentParser) -> Any:
    """Add the options of where the work is done, and return their group."""
    large = command.add_argument_group("large records")
    large.add_argument(
        "--workers",
        type=positive(int, most=10_000),
        default=1,
        metavar="N",
        help="number of processes, or of jobs on a cluster (default: 1)",
    )
    large.add_argument(
        "--cluster",
        metavar="local|slurm|ADDRESS",
        help="Dask cluster to use: local, slurm (configured through dask-jobqueue) or the address of a "
        "running "
        "scheduler",
    )
    return large


def add_hold_out(command: argparse.ArgumentParser) -> None:
    """Add the options of points that validate what was filled without them."""
    command.add_argument(
        "--hold-out",
        metavar="POINTS",
        help="keep these points (a file, or a mission of along-track input) out of the filling, with the "
        "values of a field at them, and validate the result at them",
    )
    command.add_argument(
        "--hold-out-reach",
        type=positive(float),
        metavar="KM",
        help="also hide the values of a field within this distance of them (default: the four cells around)",
    )


def add_overwrite(command: argparse.ArgumentParser) -> None:
    """Add the option of every command that writes files."""
    command.add_argument(
        "--overwrite",
        action="store_true",
        help="replace outputs of earlier runs; inputs and what oceanfill did not write are never replaced",
    )


def add_training(command: argparse.ArgumentParser) -> Any:
    """Add the options of every command that trains, and return their group."""
    training = command.add_argument_group("training")
    training.add_argument(
        "--time-budget",
        type=positive(float, most=525_600),
        metavar="MINUTES",
        help="train each network for at most this long",
    )
    training.add_argument(
        "--epochs", type=positive(int), metavar="N", help="train for at most N epochs (default: 10)"
    )
    training.add_argument(
        "--seed",
        type=int,
        default=0,
        help="seed of all random numbers; the same seed gives the same result (default: 0)",
    )
    training.add_argument(
        "--device", choices=("auto", "cpu", "cuda"), default="auto", help="where to compute (default: auto)"
    )
    return training


def add_storage(fill: argparse.ArgumentParser) -> None:
    """Add the options of how the output is stored."""
    storage = fill.add_argument_group("the output file")
    storage.add_argument(
        "--pack",
        choices=PACKS,
        help="store values as packed integers: auto (as in the input, where the filled values fit; the "
        "default) or none",
    )
    storage.add_argument(
        "--complevel", type=int, metavar="N", help="level of compression, 0 (none) to 9 (default: 4)"
    )


def add_vectors(fill: argparse.ArgumentParser) -> None:
    """Add the options of radial velocities."""
    vectors = fill.add_argument_group("currents from radial velocities (methods oi and unet)")
    vectors.add_argument(
        "--radial-direction",
        metavar="NAME",
        help="variable with the direction of positive velocities, in degrees clockwise from north. Each "
        "file, or "
        "each index of a dimension `station`, is a station; the output has u and v",
    )
    vectors.add_argument(
        "--flow",
        choices=FLOWS,
        metavar="FLOW",
        help="constraint on the current: " + ", ".join(f"{name} ({what})" for name, what in FLOWS.items()),
    )


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


def numbers(text: str) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is not a list of numbers, as 0,100") from error


def missing(text: str) -> tuple[float, ...]:
    return () if text == "none" else numbers(text)


def step(text: str) -> float | str:
    return text if text == "none" else float(positive(float)(text))


def degrees(text: str) -> tuple[float, ...]:
    parts = tuple(positive(float, most=180)(part) for part in text.split(","))
    if len(parts) > 2:
        raise argparse.ArgumentTypeError(f"{text!r} is not one step in degrees, or two, as 0.25,0.5")
    return parts


def positive(kind: type, most: float = 1e15) -> Any:
    def convert(text: str) -> Any:
        try:
            value = kind(text)
        except ValueError:
            value = 0
        if not value > 0:
            raise argparse.ArgumentTypeError(f"{text!r} is not a positive number")
        if value > most:
            raise argparse.ArgumentTypeError(f"{text!r} is more than {most:g}; give a smaller number")
        return value

    return convert


def with_negative_regions(words: list[str]) -> list[str]:
    """Join options and values such as ``--region -10,...``, which argparse takes for two options."""
    joined: list[str] = []
    for word in words:
        if joined and joined[-1] in _NEGATIVE:
            joined[-1] += f"={word}"
        else:
            joined.append(word)
    return joined


def add_pretraining(pretrain: argparse.ArgumentParser) -> None:
    """Add the options of making seas and training on them."""
    pretrain.add_argument(
        "--config",
        default="pretrain/base",
        metavar="FILE",
        help="configuration, a file or one that ships (default: pretrain/base)",
    )
    pretrain.add_argument("--seas", type=positive(int), metavar="N", help="number of seas to train on")
    pretrain.add_argument("--pool", metavar="FOLDER", help="folder in which the seas are kept")
    pretrain.add_argument(
        "--start", metavar="FILE", help="checkpoint to start from, or `shipped` for the network that ships"
    )
    pretrain.add_argument(
        "--leave-out",
        type=lambda text: [name.strip() for name in text.split(",")],
        metavar="FAMILY,...",
        help="families of seas to validate on only",
    )
    pretrain.add_argument(
        "--workers", type=positive(int, most=10_000), metavar="N", help="processes that make seas"
    )
    pretrain.add_argument(
        "--minutes",
        type=positive(float, most=525_600),
        metavar="MINUTES",
        help="train for at most this long, the calls that are resumed included",
    )
    pretrain.add_argument(
        "--seas-only", action="store_true", help="make the seas and train nothing; further calls train"
    )
    pretrain.add_argument(
        "--resume", action="store_true", help="go on from the last checkpoint in the folder of the run"
    )
    pretrain.add_argument(
        "-o", "--output", metavar="FOLDER", help="folder of the run (default: runs/pretrain)"
    )


def add_command(commands: Any, name: str, **about: Any) -> argparse.ArgumentParser:
    """Add a command whose help keeps its lines, and return its parser."""
    made: argparse.ArgumentParser = commands.add_parser(
        name, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False, **about
    )
    return made
