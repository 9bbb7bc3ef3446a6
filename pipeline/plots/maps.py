"""Maps of filled fields. Nothing here needs a display or a network."""

from __future__ import annotations

import os
import re
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

import cartopy.crs as ccrs
import cmocean
import numpy as np
import pandas as pd
import xarray as xr
from cartopy.io.shapereader import Reader
from cartopy.mpl.ticker import LongitudeLocator
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import Colormap, LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator
from numpy.typing import NDArray

from ..errors import InputError
from ..io.alignment import straighten_grid
from ..io.layout.coordinates import find_layout
from ..io.layout.positions import read_grid
from ..io.writing import check_folder, replace_atomically

KINDS = (".png", ".pdf", ".svg", ".jpg")

_LAND = 0.72  # greys: 0 black, 1 white
_GAP, _STRIPE = 0.98, 0.82
_WIDTH = 5.0  # of a map, inches
_CELSIUS = re.compile(r"(deg(ree)?s?[ _]?)?(c|celsius)|°c", re.IGNORECASE)
_KELVIN = re.compile(r"k|(deg(ree)?s?[ _]?)?kelvins?|deg(ree)?s?[ _]?k", re.IGNORECASE)
MESH: dict[str, Any] = {"shading": "nearest", "rasterized": True}
_LOG_TICKS: dict[str, Any] = {"ticks": LogLocator(subs=(1, 2, 5)), "format": "%g"}


def check_drawable(path: str | os.PathLike[str]) -> None:
    """Raise `InputError` unless a picture can be written there; call it before a long computation."""
    target = Path(path)
    if target.suffix.lower() not in KINDS:
        found = f"the extension {target.suffix}" if target.suffix else "no extension"
        raise InputError(f"{target}: the picture has {found}; name it {', '.join(KINDS[:-1])} or {KINDS[-1]}")
    check_folder(target)


def plot_fill(dataset: xr.Dataset, name: str, path: str | os.PathLike[str], date: str | None = None) -> None:
    """Write the picture of `draw_fill`, under a temporary name that is then renamed.

    Raises `InputError` for a file that cannot be written or has none of the extensions `KINDS`, and as
    `draw_fill` does.
    """
    check_drawable(path)
    save_figure(draw_fill(dataset, name, date), path)


def draw_fill(dataset: xr.Dataset, name: str, date: str | None = None) -> Figure:
    """Draw the observed values, the filled field and its standard error on one date side by side.

    ``dataset`` is the result of `output.to_dataset` for the variable ``name``. ``date`` is the beginning of a
    date in ISO 8601 ("2017-05-19"); without it, the date with the median share of missing values is drawn.
    Land is grey and gaps are striped. The colours of the first two maps span the 2nd to the 98th percentile
    of the filled field.

    Raises `InputError` for a ``date`` that the dataset does not have.
    """
    layout = find_layout("dataset", dataset, name)
    dataset = straighten_grid(dataset, layout)
    filled, analysis, origin, error = (
        dataset[name + suffix].transpose(layout.t, layout.y, layout.x).to_numpy()
        for suffix in ("", "_analysis", "_source", "_error")
    )
    sea = np.isfinite(analysis).any(axis=0)  # not by origin: values observed on land are kept as observed
    missing = (origin[:, sea] != 1).mean(axis=1)
    dates = dataset[layout.time].to_index()
    chosen = int(np.argsort(missing)[len(missing) // 2]) if date is None else _find_date(name, dates, date)

    attrs = dataset[name].attrs
    units = _format_units(str(attrs.get("units", "")))
    whole = np.where(sea, filled[chosen], np.nan)
    colours, scale = choose_colours(name, attrs, whole[sea])
    known = error[chosen][np.isfinite(error[chosen])]  # none where the error is unknown
    highest = np.percentile(known, 99) if known.size else 1.0
    errors = Normalize(0, highest if highest > 0 else 1)
    observed = np.where(origin[chosen] == 1, whole, np.nan)
    deviation = np.where(sea, error[chosen], np.nan)
    panels = (
        ("where observed", observed, colours, scale, name),
        ("filled", whole, colours, scale, name),
        ("standard error", deviation, cmocean.cm.amp, errors, "standard error"),
    )

    lat, lon = read_grid("dataset", dataset, layout)
    figure, maps, x = make_maps(3, lat, lon, sea)
    for axes, (title, values, colour, norm, quantity) in zip(maps, panels, strict=True):
        mesh = axes.pcolormesh(x, lat, values, cmap=colour, norm=norm, zorder=2, **MESH)
        axes.set_title(title, fontsize=11)
        figure.colorbar(
            mesh,
            ax=axes,
            orientation="horizontal",
            pad=0.04,
            aspect=30,
            extend="max" if norm is errors else "both",
            label=f"{quantity} ({units})" if units else quantity,
            **(_LOG_TICKS if isinstance(norm, LogNorm) else {}),
        ).minorticks_off()
    median = ", the median of the dates" if date is None else ""
    figure.suptitle(
        f"{escape_math(str(attrs.get('long_name', name)))}, {str(dates[chosen])[:10]} "
        f"({100 * missing[chosen]:.0f}% of the sea missing{median})",
        fontsize=12,
    )
    return figure


def _find_date(name: str, dates: pd.Index, date: str) -> int:
    """Return the index of the first date that begins with ``date``."""
    written = [str(each).replace(" ", "T") for each in dates]
    for index, each in enumerate(written):
        if each.startswith(date.replace(" ", "T")):
            return index
    raise InputError(
        f"{name}: there is no date {date} to draw; choose one from {written[0][:10]} to {written[-1][:10]}"
    )


def _format_units(units: str) -> str:
    if _CELSIUS.fullmatch(units):
        return "°C"
    return "K" if _KELVIN.fullmatch(units) else escape_math(units)


def escape_math(text: str) -> str:
    """Return the text of a file so that Matplotlib draws its dollars instead of reading mathematics."""
    return text.replace("$", r"\$")


def choose_colours(
    name: str, attrs: dict[str, Any], values: NDArray[np.floating]
) -> tuple[Colormap, LogNorm | Normalize]:
    """Return the usual colours of the quantity (Thyng et al. 2016, Oceanography 29(3), 9) and their limits.

    The quantity is recognised by its standard name, long name, name and units.
    """
    what = f"{attrs.get('standard_name', '')} {attrs.get('long_name', '')} {name}".lower().replace("_", " ")
    low, high = (float(limit) for limit in np.percentile(values, (2, 98)))
    if high <= low:
        low, high = low - 1e-6 * max(abs(low), 1), high + 1e-6 * max(abs(high), 1)
    if re.search(r"chlorophyll|\bchl", what) and low > 0:
        return cmocean.cm.algae, LogNorm(low, high)
    height = re.search(r"sea surface height|dynamic topography|sea level|\b(adt|sla|ssh|zos)\b", what)
    anomaly = re.search(r"\banomal(y|ies)\b", what)
    if (height or anomaly) and min(-low, high) > 0.4 * max(-low, high):  # around zero, not merely across it
        widest = max(-low, high)
        return cmocean.cm.balance, Normalize(-widest, widest)
    temperature = re.search(r"temperature|\bsst\b", what)
    if temperature or _format_units(str(attrs.get("units", ""))) in ("°C", "K"):
        return cmocean.cm.thermal, Normalize(low, high)
    return cmocean.cm.haline, Normalize(low, high)


def make_maps(
    number: int, lat: NDArray[np.float64], lon: NDArray[np.float64], sea: NDArray[np.bool_]
) -> tuple[Figure, list[Axes], NDArray[np.float64]]:
    """Make a figure with a ``number`` of maps of land and gaps; return also the abscissa (y, x) of the grid.

    The coastline that ships with the package is coarse, so it is drawn on land only, below the sea of the
    dataset.
    """
    middle = float((lon.min() + lon.max()) / 2)
    projection = ccrs.PlateCarree(central_longitude=(middle + 180) % 360 - 180)
    x = lon - middle  # within half a turn, while longitudes may exceed 180
    tall = float(np.ptp(lat) / max(np.ptp(x), 1e-6))
    height = 1.7 + min(max(tall * (_WIDTH - 0.5), 1.0), 9.0)
    figure = Figure(figsize=(number * _WIDTH, height), layout="compressed")
    FigureCanvasAgg(figure)
    with as_file(files("oceanfill.pipeline.io") / "coastlines") as folder:
        coast = list(Reader(folder / "ne_110m_coastline.shp").geometries())
    half = max(float(np.ptp(x)) / max(2 * (x.shape[1] - 1), 1), 1e-3)  # of a cell
    row, column = np.indices(sea.shape)
    period = max(4, max(sea.shape) // 32)
    stripes = np.where((row + column) % period < period / 4, _STRIPE, _GAP)
    # Ticks of the continuous longitude, because cartopy's own are lost beyond the date line.
    meridians = np.unique((LongitudeLocator(nbins=6).tick_values(lon.min(), lon.max()) + 180) % 360 - 180)
    maps: list[Axes] = []
    for position in range(1, number + 1):
        axes = figure.add_subplot(1, number, position, projection=projection)
        for shown, zorder in ((np.where(sea, np.nan, _LAND), 1.0), (np.where(sea, stripes, np.nan), 1.9)):
            axes.pcolormesh(x, lat, shown, cmap="gray", vmin=0, vmax=1, zorder=zorder, **MESH)
        axes.add_geometries(
            coast, ccrs.PlateCarree(), facecolor="none", edgecolor="0.45", linewidth=0.6, zorder=1.5
        )
        axes.set_xlim(x.min() - half, x.max() + half)
        axes.set_ylim(max(lat.min() - half, -90), min(lat.max() + half, 90))
        lines = axes.gridlines(
            xlocs=meridians, draw_labels=True, linewidth=0.3, color="0.5", alpha=0.6, zorder=3
        )
        lines.top_labels = lines.right_labels = False
        lines.xlabel_style = lines.ylabel_style = {"size": 8}
        maps.append(axes)
    return figure, maps, x


def save_figure(figure: Figure, path: str | os.PathLike[str]) -> None:
    """Write a figure, whole or not at all. Raises `InputError` where it cannot be written."""
    with replace_atomically(path) as temporary:
        figure.savefig(temporary, dpi=130)
