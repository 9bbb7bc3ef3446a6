"""What can be drawn of a variable: a series of maps for each layer, and their colours."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import cmocean
import numpy as np
import pandas as pd
import xarray as xr
from matplotlib import colormaps
from matplotlib.colors import Colormap, ListedColormap, LogNorm, Normalize
from matplotlib.ticker import LogLocator
from numpy.typing import NDArray

from ..errors import InputError
from ..io.alignment import straighten_grid
from ..io.field import Field
from ..io.layout.coordinates import find_layout
from ..io.layout.positions import read_grid
from ..io.output import SOURCES

LAYERS = {
    "observed": "where observed",
    "filled": "filled",
    "analysis": "analysis",
    "error": "standard error",
    "source": "origin of the values",
    "samples": "one of the samples",
    "intervals": "width of the interval",
}
_USUAL = "observed", "filled", "error"
_POSITIVE = "error", "intervals"  # layers whose colours start at zero
_OBSERVED = SOURCES.index("observed")
_ORIGINS = ListedColormap(["0.72", "#0072b2", "#f0e442", "#e69f00", "#cc79a7"])  # Okabe and Ito 2008
_CELSIUS = re.compile(r"(deg(ree)?s?[ _]?)?(c|celsius)|°c", re.IGNORECASE)
_KELVIN = re.compile(r"k|(deg(ree)?s?[ _]?)?kelvins?|deg(ree)?s?[ _]?k", re.IGNORECASE)

Floats = NDArray[np.floating]


@dataclass(frozen=True)
class MapSeries:
    """Maps of a variable (time, lat, lon), by layer."""

    name: str
    attrs: Mapping[str, Any]  # of the variable
    dates: pd.Index
    lat: NDArray[np.float64]  # (lat, lon)
    lon: NDArray[np.float64]
    sea: NDArray[np.bool_]  # (lat, lon)
    layers: Mapping[str, Floats]  # by the names in `LAYERS`, in their order
    interval: int = 0  # percent, of the layer `intervals`

    @property
    def usual(self) -> tuple[str, ...]:
        """The layers that are drawn by default."""
        return tuple(layer for layer in _USUAL if layer in self.layers)

    @property
    def title(self) -> str:
        """The long name of the variable, or its name."""
        return str(self.attrs.get("long_name", self.name))

    @property
    def units(self) -> str:
        """The units as they are written on a picture."""
        return format_units(str(self.attrs.get("units", "")))

    @property
    def missing(self) -> Floats:
        """(time,) share of the sea without an observed value."""
        return np.isnan(self.layers["observed"][:, self.sea]).mean(axis=1)

    def select(self, dates: NDArray[np.bool_]) -> MapSeries:
        """Return the maps of some dates."""
        layers = {layer: maps[dates] for layer, maps in self.layers.items()}
        return replace(self, dates=self.dates[dates], layers=layers)

    @property
    def median_date(self) -> int:
        """The date with the median share of missing values."""
        return int(np.argsort(self.missing)[len(self.dates) // 2])


def read_filled(dataset: xr.Dataset, name: str) -> MapSeries:
    """Return the layers of a variable that `fill` wrote."""
    layout = find_layout("dataset", dataset, name)
    dataset = straighten_grid(dataset, layout)

    def read(array: xr.DataArray) -> Floats:
        values: Floats = array.transpose(layout.t, layout.y, layout.x).to_numpy()
        return values

    values, analysis, origin, error = (
        read(dataset[name + suffix]) for suffix in ("", "_analysis", "_source", "_error")
    )
    # Not by origin: values observed on land are kept as observed.
    sea: NDArray[np.bool_] = np.asarray(np.isfinite(analysis).any(axis=0))
    layers = {
        "observed": np.where(origin == _OBSERVED, values, np.nan),
        "filled": values,
        "analysis": analysis,
        "error": error,
        "source": origin.astype(np.float32),
    }
    if f"{name}_samples" in dataset:
        layers["samples"] = read(dataset[f"{name}_samples"].isel(sample=0))
    widest = max((int(found[1]) for found in _find_intervals(dataset, name)), default=0)
    if widest:
        upper, lower = (read(dataset[f"{name}_{end}_{widest}"]) for end in ("upper", "lower"))
        layers["intervals"] = upper - lower
    grid = read_grid("dataset", dataset, layout)
    dates = dataset[layout.time].to_index()
    return MapSeries(name, dataset[name].attrs, dates, *grid, sea, layers, widest)


def _find_intervals(dataset: xr.Dataset, name: str) -> list[re.Match[str]]:
    found = (re.fullmatch(rf"{re.escape(name)}_upper_(\d+)", str(key)) for key in dataset.data_vars)
    return [one for one in found if one is not None]


def read_gappy(field: Field) -> MapSeries:
    """Return the only layer of a field that is not filled: its observed values."""
    values = field.space.backward(field.values).astype(np.float32)
    layers = {"observed": np.where(field.sea, values, np.float32(np.nan))}
    return MapSeries(field.name, field.source.attrs, field.dates, field.lat, field.lon, field.sea, layers)


def cut_series(series: MapSeries, region: Sequence[float]) -> MapSeries:
    """Return the part of the maps inside a region: latitudes and longitudes, from south and west.

    Raises `InputError` where nothing is inside.
    """
    south, north, west, east = region
    turned = (series.lon - west) % 360
    inside = (series.lat >= south) & (series.lat <= north) & (turned <= (east - west) % 360)
    if not inside.any():
        raise InputError(
            f"{series.name}: the region {south:g},{north:g},{west:g},{east:g} holds no cell; latitudes are "
            f"{series.lat.min():g} to {series.lat.max():g}, longitudes {series.lon.min():g} to "
            f"{series.lon.max():g}"
        )
    rows, columns = (np.flatnonzero(inside.any(axis=axis)) for axis in (1, 0))
    cut = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    layers = {layer: maps[:, *cut] for layer, maps in series.layers.items()}
    return replace(series, lat=series.lat[cut], lon=series.lon[cut], sea=series.sea[cut], layers=layers)


@dataclass(frozen=True)
class Style:
    """How a layer is drawn."""

    colours: Colormap
    norm: Normalize
    label: str
    bar: Mapping[str, Any]  # options of the colour bar
    ticks: tuple[str, ...] = ()  # texts of the colour bar


def choose_styles(
    series: MapSeries,
    shown: Sequence[str],
    limits: tuple[float, float] | None = None,
    colours: str | None = None,
    dates: int | slice = slice(None),
) -> dict[str, Style]:
    """Return the style of each layer; values share theirs, fitted to the ``dates`` drawn.

    Raises `InputError` for a colour map that does not exist, and for limits in the wrong order.
    """
    units = series.units

    def label(what: str) -> str:
        return escape_math(f"{what} ({units})" if units else what)

    layer = "filled" if "filled" in series.layers else "observed"
    values = series.layers[layer][dates][..., series.sea]
    values = values[np.isfinite(values)]
    some = values if values.size else np.array([0.0, 1.0])
    usual, norm = choose_colours(series.name, dict(series.attrs), some)
    if limits is not None:
        if not limits[0] < limits[1]:
            raise InputError(f"limits {limits[0]:g},{limits[1]:g}: give the lower end first")
        norm = LogNorm(*limits) if isinstance(norm, LogNorm) and limits[0] > 0 else Normalize(*limits)
    ticks = {"ticks": LogLocator(subs=(1, 2, 5)), "format": "%g"} if isinstance(norm, LogNorm) else {}
    of_values = Style(find_colours(colours) or usual, norm, label(series.name), {"extend": "both", **ticks})
    styles = dict.fromkeys(shown, of_values)
    for layer in set(shown) & set(_POSITIVE):
        known = series.layers[layer][dates]
        known = known[np.isfinite(known)]  # none where the error is unknown
        highest = float(np.percentile(known, 99)) if known.size else 1.0
        what = LAYERS[layer] if layer == "error" else f"width of the {series.interval}% interval"
        styles[layer] = Style(
            cmocean.cm.amp, Normalize(0, highest if highest > 0 else 1), label(what), {"extend": "max"}
        )
    if "source" in styles:
        ends = Normalize(-0.5, len(SOURCES) - 0.5)
        texts = tuple(source.replace("_", " ") for source in SOURCES)
        bar = {"ticks": range(len(SOURCES))}
        styles["source"] = Style(_ORIGINS, ends, LAYERS["source"], bar, texts)
    return styles


def find_colours(name: str | None) -> Colormap | None:
    """Return a colour map of Matplotlib or cmocean by its name, or None without a name."""
    if name is None:
        return None
    try:
        return colormaps[name]  # cmocean's are registered as cmo.thermal and so on
    except KeyError:
        raise InputError(
            f"no colour map is called {name!r}; name one of Matplotlib (viridis) or cmocean (cmo.thermal)"
        ) from None


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
    if temperature or format_units(str(attrs.get("units", ""))) in ("°C", "K"):
        return cmocean.cm.thermal, Normalize(low, high)
    return cmocean.cm.haline, Normalize(low, high)


def format_units(units: str) -> str:
    """Return units as they are written on a picture."""
    if _CELSIUS.fullmatch(units):
        return "°C"
    return "K" if _KELVIN.fullmatch(units) else units


def escape_math(text: str) -> str:
    """Return the text of a file so that Matplotlib draws its dollars instead of reading mathematics."""
    return text.replace("$", r"\$")


def find_date(series: MapSeries, date: str) -> int:
    """Return the number of the first date that begins with ``date``. Raises `InputError` without one."""
    written = [str(each).replace(" ", "T") for each in series.dates]
    for number, each in enumerate(written):
        if each.startswith(date.replace(" ", "T")):
            return number
    raise InputError(
        f"{series.name}: there is no date {date} to draw; choose one from {written[0][:10]} to "
        f"{written[-1][:10]}"
    )


def check_layers(series: MapSeries, what: Sequence[str]) -> tuple[str, ...]:
    """Return the layers to draw: those asked for, or the usual ones. Raises `InputError` for one it lacks."""
    for layer in what:
        if layer not in series.layers:
            raise InputError(
                f"{series.name}: there is no {layer!r} to draw; choose among {', '.join(series.layers)}"
            )
    return tuple(what) or series.usual
