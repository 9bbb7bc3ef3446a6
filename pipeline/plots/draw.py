"""Pictures of a file, filled or not: `oceanfill plot`."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import xarray as xr
from matplotlib.figure import Figure

from ..errors import InputError
from ..io.field import open_field
from ..io.layout.dates import in_period
from ..io.maps.selection import add_missing_date
from ..io.opening import Opening, make_opening
from ..io.output import is_filled
from ..io.reading import Inputs, list_inputs, open_input
from ..io.targets import check_targets, list_paths
from ..keywords import take_keywords
from ..progress import progress
from .layers import MapSeries, cut_series, read_filled, read_gappy
from .maps import KINDS, check_drawable, draw_maps, save_figure
from .scores import draw_reliability, read_classes
from .series import FILMS, check_film, draw_section, draw_series, write_film
from .spectra import draw_spectra

LINES = ("lat", "lon")
CHARTS = ("reliability", "spectra")  # are drawn alone


@take_keywords(Opening)
def plot(
    source: Inputs,
    output: str | os.PathLike[str] | None = None,
    *,
    date: str | None = None,
    what: str | Sequence[str] = (),
    at: Sequence[float] | None = None,
    along: tuple[str, float] | None = None,
    limits: Sequence[float] | None = None,
    colours: str | None = None,
    opening: Opening | None = None,
    overwrite: bool = False,
    quiet: bool = True,
    **options: Any,
) -> Figure | None:
    """Draw a file or a dataset, filled or not: maps, an animation, a time series or a section.

    Land is grey, gaps are hatched.

    Parameters
    ----------
    source
        What `oceanfill.fill` returned or wrote, or an input with gaps.
    output
        The picture (.png, .pdf, .svg, .jpg) or the animation of all dates (.gif, .mp4) to write.
    date
        The date of the maps, as "2024-05-19"; by default the one with the median share of gaps.
    what
        Which maps: "observed", "filled", "analysis", "error", "source", "samples", "intervals"; a sequence,
        or names with commas between them. Or one chart: "reliability" (of the error on hidden values) or
        "spectra".
    at
        Latitude and longitude of a pixel, whose time series is drawn.
    along
        ``("lat", 36.5)`` draws time against longitude along this latitude, ``("lon", -4)`` against latitude.
    limits
        The ends of the colours, in the units of the values.
    colours
        A colour map of Matplotlib or cmocean, as "viridis" or "cmo.thermal".
    opening
        Options that were put together before. Those given by name replace them.
    overwrite
        Whether a picture that exists is replaced.
    quiet
        Whether to hide the progress of an animation.
    variable, region, period, ...
        What is opened: the options of `Opening`.

    Returns
    -------
    matplotlib.figure.Figure or None
        The picture; None for an animation.

    Raises
    ------
    InputError
        For what cannot be opened, drawn or written.

    Examples
    --------
    >>> import oceanfill
    >>> part = {"region": (37, 38, -12, -11), "period": "2024-04-01/2024-04-10"}
    >>> figure = oceanfill.plot("sample:sst_clouds.nc", date="2024-04-03", **part)
    >>> print(figure.get_suptitle())
    sea surface temperature, 2024-04-03 12:00
    (2% of the sea missing)
    """
    opening = make_opening(opening, options)
    target = None if output is None else Path(output)
    film = target is not None and target.suffix.lower() in FILMS
    if target is not None:
        check_targets([target], list_paths([source]), overwrite=overwrite)
    if at is not None and along is not None:
        raise InputError("at= and along= are two pictures; give one of them")
    if film and (at or along or date):
        raise InputError(
            f"{target}: an animation shows all dates; name a picture {KINDS[0]} for date=, at=, along="
        )
    if target is not None:
        (check_film if film else check_drawable)(target)
    for name, pair in (("at", at), ("limits", limits)):
        if pair is not None and len(pair) != 2:
            raise InputError(f"{name}=: give two numbers, separated by a comma")
    if along is not None and along[0] not in LINES:
        raise InputError(f"along={along!r} is neither along a latitude nor a longitude; give ('lat', 36.5)")
    parts = what.split(",") if isinstance(what, str) else what
    layers = tuple(part.strip() for part in parts if part.strip())
    chart = next((part for part in layers if part in CHARTS), None)
    if chart and (len(layers) > 1 or film or at or along or date):
        raise InputError(f"what={chart!r} is a chart of all dates; leave out other layers and date=")
    how: dict[str, Any] = {"what": layers}
    how |= {"limits": None if limits is None else tuple(limits), "colours": colours}
    if chart == "reliability":
        figure = _draw_reliability(source, opening)
        if target is not None:
            save_figure(figure, target)
        return figure
    series = _read(source, opening)
    if opening.region is not None:
        series = cut_series(series, opening.region)
    if film:
        assert target is not None
        with progress("drawing", len(series.dates), quiet) as advance:
            write_film(series, target, advance=advance, **how)
        return None
    if chart:
        figure = draw_spectra(series)
    elif at is not None:
        figure = draw_series(series, (at[0], at[1]))
    elif along is not None:
        line: dict[str, Any] = {along[0]: along[1]}
        figure = draw_section(series, **line, **how)
    else:
        figure = draw_maps(series, date, **how)
    if target is not None:
        save_figure(figure, target)
    return figure


def _draw_reliability(source: Inputs, opening: Opening) -> Figure:
    """Return the reliability of the error of a filled file, from its attributes."""
    entries = list_inputs(source)
    if len(entries) != 1:
        raise InputError("what='reliability' is about one filled file; name one")
    with open_input(entries[0], opening.group) as (file, dataset):
        name = _find_filled(dataset, opening)
        if name is None:
            raise InputError(f"{file}: it is not a field that `oceanfill fill` wrote; fill it first")
        classes = read_classes(dataset.attrs, name)
        return draw_reliability(() if classes is None else classes.reliability)


def _find_filled(dataset: xr.Dataset, opening: Opening) -> str | None:
    """Return the name of the variable asked for, or else of the first one, that was filled."""
    names = [opening.variable] if opening.variable else [str(name) for name in dataset.data_vars]
    return next((one for one in names if is_filled(dataset, one)), None)


def _read(source: Inputs, opening: Opening) -> MapSeries:
    """Return the layers of a filled file, or the observed values of another, on the dates of the period."""
    entries = list_inputs(source)
    if len(entries) == 1:
        with open_input(entries[0], opening.group) as (_, dataset):
            name = _find_filled(dataset, opening)
            if name is not None:
                series = read_filled(add_missing_date(dataset).compute(), name)
                if opening.period is None:
                    return series
                return series.select(in_period(series.dates, opening.period))
    return read_gappy(open_field(source, opening))
