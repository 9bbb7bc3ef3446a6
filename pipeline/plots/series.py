"""Pictures along time: the series of a pixel, sections along a line of the grid, and animations."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.animation import AbstractMovieWriter, FFMpegWriter, PillowWriter
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.figure import Figure
from numpy.typing import NDArray

from ..errors import InputError
from ..io.layout.positions import unit_vectors
from ..io.writing import check_folder, replace_atomically
from .layers import LAYERS, MapSeries, Style, check_layers, choose_styles, escape_math
from .maps import HATCHED, LAND, add_colour_bars, describe_date, draw_date, get_map

FILMS = (".gif", ".mp4")
_OBSERVED, _FILLED = "#d55e00", "#0072b2"  # vermilion and blue (Okabe and Ito 2008), told apart by all eyes
_RATE = 4  # dates a second


def draw_series(series: MapSeries, at: tuple[float, float]) -> Figure:
    """Draw the values of the sea pixel nearest to a latitude and longitude against time.

    Of a filled variable the filled value and two standard errors around the analysis as well.
    """
    row, column = find_pixel(series, *at)
    figure = Figure(figsize=(9, 3.5), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    days = to_days(series)
    of_pixel = {layer: maps[:, row, column] for layer, maps in series.layers.items()}
    if "filled" in of_pixel:
        middle, reach = of_pixel["analysis"], 2 * of_pixel["error"]
        axes.fill_between(
            days, middle - reach, middle + reach, color=_FILLED, alpha=0.2, lw=0, label="2 standard errors"
        )
        axes.plot(days, of_pixel["filled"], color=_FILLED, lw=1.2, label="filled")
    axes.plot(days, of_pixel["observed"], "o", color=_OBSERVED, ms=4, label="observed")
    axes.set_ylabel(choose_styles(series, ["observed"])["observed"].label)
    axes.grid(lw=0.3)
    axes.legend(fontsize=8, ncols=3)
    show_dates(axes.xaxis)
    where = f"{name_latitude(series.lat[row, column])}, {name_longitude(series.lon[row, column])}"
    axes.set_title(f"{escape_math(series.title)} at {where}", fontsize=11)
    return figure


def draw_section(
    series: MapSeries,
    lat: float | None = None,
    lon: float | None = None,
    what: Sequence[str] = (),
    limits: tuple[float, float] | None = None,
    colours: str | None = None,
) -> Figure:
    """Draw time against longitude along the row nearest to ``lat``, or against latitude along a column.

    Such sections are named after Hovmoeller (1949, doi:10.1111/j.2153-3490.1949.tb01260.x).
    """
    shown = check_layers(series, what)
    styles = choose_styles(series, shown, limits, colours)
    if lat is not None:
        row = int(np.argmin(np.abs(series.lat.mean(axis=1) - lat)))
        cut: tuple[slice | int, ...] = np.s_[:, row]
        position, sea = series.lon[row], series.sea[row]
        label, where = "longitude (°E)", name_latitude(series.lat[row].mean())
    else:
        assert lon is not None
        column = int(np.argmin(np.abs((series.lon.mean(axis=0) - lon + 180) % 360 - 180)))
        cut = np.s_[:, :, column]
        position, sea = series.lat[:, column], series.sea[:, column]
        label, where = "latitude (°N)", name_longitude(series.lon[:, column].mean())
    figure = Figure(figsize=(4.2 * len(shown), 5), layout="constrained")
    FigureCanvasAgg(figure)
    every = np.atleast_1d(figure.subplots(1, len(shown), sharey=True))
    drawn = []
    for number, (axes, layer) in enumerate(zip(every, shown, strict=True)):
        style: Style = styles[layer]
        values = np.where(sea, series.layers[layer][cut], np.nan)
        axes.patch.set(**HATCHED)
        land = np.broadcast_to(np.where(sea, np.nan, 1.0), values.shape)
        axes.pcolormesh(position, to_days(series), land, cmap=LAND, shading="nearest")
        mesh = axes.pcolormesh(
            position, to_days(series), values, cmap=style.colours, norm=style.norm, shading="nearest"
        )
        drawn.append(mesh)
        axes.set_xlabel(label)
        letter = f"({chr(ord('a') + number)}) " if len(shown) > 1 else ""
        axes.set_title(f"{letter}{LAYERS[layer]}", fontsize=11)
    show_dates(every[0].yaxis)
    add_colour_bars(figure, drawn, list(every), [styles[layer] for layer in shown])
    figure.suptitle(f"{escape_math(series.title)} along {where}", fontsize=12)
    return figure


def check_film(path: str | os.PathLike[str]) -> None:
    """Raise `InputError` unless an animation can be written there."""
    check_folder(path)
    if Path(path).suffix.lower() == ".mp4" and not FFMpegWriter.isAvailable():
        raise InputError(f"{path}: an .mp4 needs the program ffmpeg, which is not installed; name it .gif")


def write_film(
    series: MapSeries,
    path: str | os.PathLike[str],
    what: Sequence[str] = (),
    limits: tuple[float, float] | None = None,
    colours: str | None = None,
    advance: Callable[[int], None] = lambda dates: None,
) -> None:
    """Write the maps of all dates as an animation (.gif, or .mp4 with ffmpeg), whole or not at all.

    ``advance`` is called with 1 for each date. Raises `InputError` as `maps.draw_maps` and `check_film` do.
    """
    check_film(path)
    shown = check_layers(series, what)
    figure, drawn, _ = draw_date(series, 0, shown, choose_styles(series, shown, limits, colours))
    title = figure.suptitle(describe_date(series, 0), fontsize=12)
    figure.canvas.draw()
    figure.set_layout_engine("none")  # or the maps would jump from date to date
    kind = FFMpegWriter if Path(path).suffix.lower() == ".mp4" else PillowWriter
    writer: AbstractMovieWriter = kind(fps=_RATE)
    with replace_atomically(path) as temporary, writer.saving(figure, str(temporary), dpi=80):
        for date in range(len(series.dates)):
            for mesh, layer in zip(drawn, shown, strict=True):
                mesh.set_array(get_map(series, layer, date))
            title.set_text(describe_date(series, date))
            writer.grab_frame()
            advance(1)


def find_pixel(series: MapSeries, lat: float, lon: float) -> tuple[int, int]:
    """Return row and column of the sea pixel nearest to a position in degrees.

    Raises `InputError` for a position more than three cells outside the grid.
    """
    target = unit_vectors(np.array([lat]), np.array([lon]))[0]
    apart = 1 - unit_vectors(series.lat, series.lon) @ target
    nearest = np.unravel_index(int(np.argmin(np.where(series.sea, apart, np.inf))), series.sea.shape)
    cell = max(float(np.ptp(series.lat)) / max(series.sea.shape[0] - 1, 1), 1e-3)
    degrees = np.degrees(np.arccos(np.clip(1 - apart.min(), -1, 1)))
    if degrees > 3 * cell:
        raise InputError(
            f"{series.name}: {lat:g},{lon:g} is outside the grid: latitudes {series.lat.min():g} to "
            f"{series.lat.max():g} and longitudes {series.lon.min():g} to {series.lon.max():g}"
        )
    return int(nearest[0]), int(nearest[1])


def name_latitude(degrees: float) -> str:
    """Return a latitude in words, as 36.50°N."""
    return f"{abs(degrees):.2f}°{'N' if degrees >= 0 else 'S'}"


def name_longitude(degrees: float) -> str:
    """Return a longitude in words, as 4.25°W."""
    east = (degrees + 180) % 360 - 180
    return f"{abs(east):.2f}°{'E' if east >= 0 else 'W'}"


def to_days(series: MapSeries) -> NDArray[np.datetime64]:
    """Return the dates as Matplotlib draws them; those of other calendars as days from their first year."""
    return convert_dates(series.dates)


def convert_dates(dates: pd.Index) -> NDArray[np.datetime64]:
    """Return dates of any calendar as `to_days` does."""
    if isinstance(dates, pd.DatetimeIndex):
        return dates.to_numpy()
    first = dates[0]
    start = pd.Timestamp(first.year, 1, 1) + pd.Timedelta(days=first.dayofyr - 1, hours=first.hour)
    return np.array([np.datetime64(start + (date - first)) for date in dates])


def show_dates(axis: object) -> None:
    """Label an axis with dates."""
    locator = AutoDateLocator()
    axis.set_major_locator(locator)  # type: ignore[attr-defined]
    axis.set_major_formatter(ConciseDateFormatter(locator))  # type: ignore[attr-defined]
