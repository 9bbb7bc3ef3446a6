"""The command ``plot``: its arguments, and what it draws."""

from __future__ import annotations

import argparse
import logging

from ..io.opening import Opening
from .options import add_opening, add_overwrite, numbers

_log = logging.getLogger("oceanfill")
LINES = ("lat", "lon")


def add_arguments(command: argparse.ArgumentParser) -> None:
    """Add the arguments of ``plot``."""
    add_opening(command)
    drawn = command.add_argument_group("the picture")
    drawn.add_argument(
        "-o",
        "--output",
        required=True,
        metavar="OUT.png",
        help="picture (.png, .pdf, .svg, .jpg), or an animation of all dates (.gif, .mp4)",
    )
    add_overwrite(command)
    drawn.add_argument(
        "--date", metavar="DATE", help="date of the maps, as 2017-05-19 (default: that with the median gaps)"
    )
    drawn.add_argument(
        "--what",
        metavar="A,B,...",
        help="observed, filled, analysis, error, source, samples, intervals (default: the first two, error); "
        "or one of: reliability of the error on hidden values, spectra along rows",
    )
    drawn.add_argument("--at", type=numbers, metavar="LAT,LON", help="the time series of the pixel there")
    drawn.add_argument(
        "--along",
        type=_line,
        metavar="lat=LAT",
        help="time against longitude along lat=LAT, or against latitude along lon=LON",
    )
    drawn.add_argument(
        "--limits", type=numbers, metavar="LOW,HIGH", help="ends of the colours, in the units of the values"
    )
    drawn.add_argument(
        "--colours", metavar="NAME", help="colour map of Matplotlib or cmocean, as viridis or cmo.thermal"
    )


def _line(text: str) -> tuple[str, float]:
    name, _, value = text.partition("=")
    if name not in LINES:
        raise argparse.ArgumentTypeError(f"{text!r} is neither lat=LAT nor lon=LON")
    return name, float(value)


def run(options: argparse.Namespace, opening: Opening) -> None:
    """Draw a file, filled or not. Raises `InputError` for what cannot be drawn."""
    from ..plots.draw import plot

    plot(
        options.inputs,
        options.output,
        date=options.date,
        what=options.what or (),
        at=options.at,
        along=options.along,
        limits=options.limits,
        colours=options.colours,
        opening=opening,
        overwrite=options.overwrite,
        quiet=options.quiet,
    )
    _log.info("wrote %s", options.output)
