"""The command ``plot``: its arguments, and what it draws."""

from __future__ import annotations

import argparse
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import InputError
from ..io.opening import Opening
from .options import add_opening, add_overwrite, numbers

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ..plots.layers import MapSeries

_log = logging.getLogger("oceanfill")
LINES = ("lat", "lon")
CHARTS = ("reliability", "spectra")  # are drawn alone


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
    from ..io.targets import check_targets, list_paths
    from ..plots.layers import cut_series
    from ..plots.maps import KINDS, check_drawable, draw_maps, save_figure
    from ..plots.series import FILMS, check_film, draw_section, draw_series, write_film
    from ..plots.spectra import draw_spectra
    from ..progress import progress

    target = Path(options.output)
    check_targets([target], list_paths([options.inputs]), overwrite=options.overwrite)
    if options.at is not None and options.along is not None:
        raise InputError("--at and --along are two pictures; give one of them")
    film = target.suffix.lower() in FILMS
    if film and (options.at or options.along or options.date):
        raise InputError(
            f"{target}: an animation shows all dates; name a picture {KINDS[0]} for --date, --at, --along"
        )
    (check_film if film else check_drawable)(target)
    for name in ("at", "limits"):
        given = getattr(options, name)
        if given is not None and len(given) != 2:
            raise InputError(f"--{name}: give two numbers, separated by a comma")
    what = tuple(part.strip() for part in (options.what or "").split(",") if part.strip())
    charts = set(what) & set(CHARTS)
    if charts and (len(what) > 1 or film or options.at or options.along or options.date):
        raise InputError(f"--what {charts.pop()} is a chart of all dates; leave out other layers and --date")
    if what == ("reliability",):
        save_figure(_draw_reliability(options, opening), target)
        _log.info("wrote %s", target)
        return
    series = _read(options, opening)
    if opening.region is not None:
        series = cut_series(series, opening.region)
    how: dict[str, Any] = {"what": what, "limits": options.limits, "colours": options.colours}
    if film:
        with progress("drawing", len(series.dates), options.quiet) as advance:
            write_film(series, target, advance=advance, **how)
    elif charts:
        save_figure(draw_spectra(series), target)
    elif options.at is not None:
        save_figure(draw_series(series, options.at), target)
    elif options.along is not None:
        name, value = options.along
        save_figure(draw_section(series, **{name: value}, **how), target)
    else:
        save_figure(draw_maps(series, options.date, **how), target)
    _log.info("wrote %s", target)


def _draw_reliability(options: argparse.Namespace, opening: Opening) -> Figure:
    """Return the reliability of the error of a filled file, from its attributes."""
    from ..io.reading import list_inputs, open_input
    from ..plots.layers import is_filled
    from ..plots.scores import draw_reliability, read_classes

    entries = list_inputs(options.inputs)
    if len(entries) != 1:
        raise InputError("--what reliability is about one filled file; name one")
    with open_input(entries[0], opening.group) as (file, dataset):
        names = [opening.variable] if opening.variable else [str(name) for name in dataset.data_vars]
        name = next((one for one in names if is_filled(dataset, one)), None)
        if name is None:
            raise InputError(f"{file}: it is not a field that `oceanfill fill` wrote; fill it first")
        classes = read_classes(dataset.attrs, name)
        return draw_reliability(() if classes is None else classes.reliability)


def _read(options: argparse.Namespace, opening: Opening) -> MapSeries:
    """Return the layers of a filled file, or the observed values of another, on the dates of the period."""
    from ..io.field import open_field
    from ..io.layout.dates import in_period
    from ..io.maps.selection import add_missing_date
    from ..io.reading import list_inputs, open_input
    from ..plots.layers import is_filled, read_filled, read_gappy

    entries = list_inputs(options.inputs)
    if len(entries) == 1:
        with open_input(entries[0], opening.group) as (_, dataset):
            names = [opening.variable] if opening.variable else [str(name) for name in dataset.data_vars]
            name = next((one for one in names if is_filled(dataset, one)), None)
            if name is not None:
                dataset = add_missing_date(dataset)
                series = read_filled(dataset.load(), name)
                if opening.period is None:
                    return series
                return series.select(in_period(series.dates, opening.period))
    return read_gappy(open_field(options.inputs, opening))
