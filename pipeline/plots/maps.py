"""Maps of filled fields, and of fields with gaps. Nothing here needs a display or a network."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cartopy.crs as ccrs
import numpy as np
import xarray as xr
from cartopy.mpl.ticker import LongitudeLocator
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Polygon
from numpy.typing import NDArray

from ..errors import InputError
from ..io.writing import check_folder, replace_atomically
from .layers import LAYERS, MapSeries, Style, check_layers, choose_styles, escape_math, find_date, read_filled

KINDS = (".png", ".pdf", ".svg", ".jpg")

LAND = ListedColormap(["0.72"])  # greys: 0 black, 1 white
_COAST = "0.35"
HATCHED: dict[str, Any] = {"facecolor": "0.98", "edgecolor": "0.75", "hatch": "////", "linewidth": 0}  # gaps
_WIDTH = 5.0  # of a map, inches
_TALL = 9.0  # inches, at most
MESH: dict[str, Any] = {"shading": "nearest", "rasterized": True}


def check_drawable(path: str | os.PathLike[str]) -> None:
    """Raise `InputError` unless a picture can be written there; call it before a long computation."""
    target = Path(path)
    if target.suffix.lower() not in KINDS:
        found = f"the extension {target.suffix}" if target.suffix else "no extension"
        raise InputError(f"{target}: the picture has {found}; name it {', '.join(KINDS[:-1])} or {KINDS[-1]}")
    check_folder(target)


def plot_fill(dataset: xr.Dataset, name: str, path: str | os.PathLike[str], date: str | None = None) -> None:
    """Write the picture of `draw_maps` of a filled dataset, under a temporary name that is then renamed.

    Raises `InputError` for a file that cannot be written or has none of the extensions `KINDS`, and as
    `draw_maps` does.
    """
    check_drawable(path)
    save_figure(draw_maps(read_filled(dataset, name), date), path)


def draw_maps(
    series: MapSeries,
    date: str | None = None,
    what: Sequence[str] = (),
    limits: tuple[float, float] | None = None,
    colours: str | None = None,
) -> Figure:
    """Draw one date of a variable as maps side by side; land is grey and gaps are hatched.

    ``date`` is the beginning of a date in ISO 8601 ("2017-05-19"); without it the date with the median share
    of missing values is drawn. ``what`` are names of `LAYERS`, by default observed values, filled field and
    standard error, as far as the ``series`` has them. The colours of values end at the ``limits``, by default
    at the 2nd and the 98th percentile; ``colours`` names a colour map instead of the usual one. Raises
    `InputError` for a date, a layer or a colour map that does not exist.
    """
    chosen = series.median_date if date is None else find_date(series, date)
    shown = check_layers(series, what)
    figure, _, _ = draw_date(series, chosen, shown, choose_styles(series, shown, limits, colours, chosen))
    median = ", the median of the dates" if date is None and len(series.dates) > 1 else ""
    title = describe_date(series, chosen, median)
    figure.suptitle(title if len(shown) > 1 else title.replace(" (", "\n("), fontsize=12)
    return figure


def draw_date(
    series: MapSeries, date: int, shown: Sequence[str], styles: dict[str, Style]
) -> tuple[Figure, list[ScalarMappable], list[Axes]]:
    """Draw the layers of a date without a title above them; return also what holds their values."""
    figure, maps, x = make_maps(len(shown), series.lat, series.lon, series.sea)
    drawn: list[ScalarMappable] = []
    for number, (axes, layer) in enumerate(zip(maps, shown, strict=True)):
        style = styles[layer]
        values = get_map(series, layer, date)
        drawn.append(
            axes.pcolormesh(x, series.lat, values, cmap=style.colours, norm=style.norm, zorder=2, **MESH)
        )
        letter = f"({chr(ord('a') + number)}) " if len(shown) > 1 else ""
        axes.set_title(f"{letter}{LAYERS[layer]}", fontsize=11)
    add_colour_bars(figure, drawn, maps, [styles[layer] for layer in shown])
    return figure, drawn, maps


def get_map(series: MapSeries, layer: str, date: int) -> NDArray[np.floating]:
    """Return the map (lat, lon) of a layer, NaN on land."""
    return np.where(series.sea, series.layers[layer][date], np.nan)


def describe_date(series: MapSeries, date: int, more: str = "") -> str:
    """Return the title of the maps of a date."""
    when = str(series.dates[date])[:16].replace("T", " ").removesuffix(" 00:00")
    missing = f"({100 * series.missing[date]:.0f}% of the sea missing{more})"
    return f"{escape_math(series.title)}, {when} {missing}"


def add_colour_bars(
    figure: Figure, drawn: Sequence[ScalarMappable], axes: Sequence[Axes], styles: Sequence[Style]
) -> None:
    """Add a colour bar below the maps; neighbours with one style share theirs."""
    start = 0
    while start < len(styles):
        end = start + 1
        while end < len(styles) and styles[end] is styles[start]:
            end += 1
        style = styles[start]
        bar = figure.colorbar(
            drawn[start],
            ax=axes[start:end],
            orientation="horizontal",
            pad=0.04,
            aspect=30 * (end - start),
            label=style.label,
            **style.bar,
        )
        bar.minorticks_off()
        if style.ticks:
            bar.ax.set_xticklabels(style.ticks, fontsize=7)
        start = end


def make_maps(
    number: int, lat: NDArray[np.float64], lon: NDArray[np.float64], sea: NDArray[np.bool_]
) -> tuple[Figure, list[Axes], NDArray[np.float64]]:
    """Make a figure with a ``number`` of maps of land and gaps; return also the abscissa (y, x) of the grid.

    The coast is the edge of the sea mask: any other coastline would contradict the cells that are drawn. A
    degree of longitude is as long as it is in the middle of the map.
    """
    middle = float((lon.min() + lon.max()) / 2)
    projection = ccrs.PlateCarree(central_longitude=(middle + 180) % 360 - 180)
    x = lon - middle  # within half a turn, while longitudes may exceed 180
    stretch = 1 / max(np.cos(np.radians(float(lat.min() + lat.max()) / 2)), 0.2)
    tall = stretch * float(np.ptp(lat)) / max(float(np.ptp(x)), 1e-6)
    height = 1.7 + min(max(tall * (_WIDTH - 0.5), 1.0), _TALL)
    figure = Figure(figsize=(number * _WIDTH, height), layout="compressed")
    FigureCanvasAgg(figure)
    half = max(float(np.ptp(x)) / max(2 * (x.shape[1] - 1), 1), 1e-3)  # of a cell
    # Ticks of the continuous longitude, because cartopy's own are lost beyond the date line.
    meridians = np.unique((LongitudeLocator(nbins=6).tick_values(lon.min(), lon.max()) + 180) % 360 - 180)
    maps: list[Axes] = []
    for position in range(1, number + 1):
        axes = figure.add_subplot(1, number, position, projection=projection)
        axes.set_aspect(stretch)
        outline = trace_outline(x, lat, half)
        axes.add_patch(Polygon(outline, zorder=0.9, **HATCHED))
        land = np.where(sea, np.nan, 1.0)
        axes.pcolormesh(x, lat, land, cmap=LAND, zorder=1, **MESH)
        if not sea.all() and min(sea.shape) > 1:
            axes.contour(x, lat, sea.astype(float), [0.5], colors=_COAST, linewidths=0.6, zorder=2.5)
        axes.set_xlim(x.min() - half, x.max() + half)
        axes.set_ylim(max(lat.min() - half, -90), min(lat.max() + half, 90))
        lines = axes.gridlines(
            xlocs=meridians, draw_labels=True, linewidth=0.3, color="0.5", alpha=0.6, zorder=3
        )
        lines.top_labels = lines.right_labels = False
        lines.xlabel_style = lines.ylabel_style = {"size": 8}
        maps.append(axes)
    return figure, maps, x


def trace_outline(x: NDArray[np.float64], lat: NDArray[np.float64], half: float) -> NDArray[np.float64]:
    """Return the outline (n, 2) of a grid's cells; ``half`` of a cell is added where there is one row."""

    def to_edges(centres: NDArray[np.float64], axis: int, reach: float) -> NDArray[np.float64]:
        a = np.moveaxis(centres, axis, 0)
        step = np.diff(a, axis=0) / 2 if len(a) > 1 else np.full_like(a, reach)
        return np.moveaxis(
            np.concatenate([a[:1] - step[:1], a[:-1] + step[: len(a) - 1], a[-1:] + step[-1:]]), 0, axis
        )

    corners = np.stack(
        [to_edges(to_edges(x, 1, half), 0, 0.0), to_edges(to_edges(lat, 0, half), 1, 0.0)], axis=-1
    )
    ring = corners[0, :-1], corners[:-1, -1], corners[-1, :0:-1], corners[:0:-1, 0]
    return np.concatenate(ring)


def save_figure(figure: Figure, path: str | os.PathLike[str]) -> None:
    """Write a figure, whole or not at all. Raises `InputError` where it cannot be written."""
    with replace_atomically(path) as temporary:
        figure.savefig(temporary, dpi=130)
