"""Pictures of a comparison: where and when each method errs, and how reliable its standard error is."""

from __future__ import annotations

import os
from typing import Any

import cmocean
import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from ..holdout.scores import reliability
from ..jobs.compare import Comparison
from .layers import escape_math
from .maps import check_drawable, save_figure

_LINES = 8  # methods drawn
_APART = 1.01  # least ratio of RMSE between methods with separate lines
_MAPS = 4
_CLASSES = 8  # of distance
_NOT_SCORED = "#e3ecf5"  # colour of sea without a score
_LEVELS = np.arange(0.05, 1, 0.05)

Floats = NDArray[np.floating]


def plot_comparison(comparison: Comparison, path: str | os.PathLike[str]) -> None:
    """Write the picture of `draw_comparison`. Raises `InputError` as `maps.plot_fill` does."""
    check_drawable(path)
    save_figure(draw_comparison(comparison), path)


def draw_comparison(comparison: Comparison) -> Figure:
    """Draw the RMSE by date, distance and age of the gap, the reliability, and maps of the RMSE."""
    field, scored = comparison.field, comparison.scored
    names = _choose_methods([row for row in comparison.rows if "failed" not in row])
    units = escape_math(str(field.source.attrs.get("units", "1")))
    figure = Figure(figsize=(16, 8), layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.add_gridspec(2, 1)
    upper, lower = (figure.add_subfigure(grid[row]) for row in range(2))
    dates, distances, ages, honest = upper.subplots(1, 4)
    colours = colormaps["tab10"].colors  # type: ignore[attr-defined]

    edges = np.unique(np.quantile(scored.distance[np.isfinite(scored.distance)], np.linspace(0, 1, _CLASSES)))
    days, day = np.unique(scored.cell[:, 0], return_inverse=True)
    spans, age = np.unique(scored.age, return_inverse=True)
    near = np.digitize(scored.distance, edges[1:-1])
    for number, name in enumerate(names):
        mean, error = scored.estimates[name]
        style = {"color": colours[number], "label": name, "marker": ".", "lw": 1}
        squares = (mean - scored.truth) ** 2
        for axes, x, which in (
            (dates, field.days[days], day),
            (distances, _average_classes(scored.distance, near), near),
            (ages, np.where(np.isfinite(spans), spans, 1.3 * spans[np.isfinite(spans)].max(initial=1)), age),
        ):
            axes.plot(x, _score_classes(squares, scored.weight, which, len(x)), **style)
        if (error > 0).all():
            off = scored.residuals.get(name, (mean - scored.truth) / error)
            found = reliability(off, np.ones_like(off), np.zeros_like(off), _LEVELS, scored.weight)
            honest.plot(100 * _LEVELS, 100 * found, **style)
    _label(dates, "by date", "days since the first", f"RMSE ({units})")
    _label(distances, "by distance", "km to the nearest value on the same date", None)
    _label(ages, "by age of the gap", "days to the nearest date on which the pixel is observed", None)
    honest.plot([0, 100], [0, 100], color="0.6", lw=0.8, zorder=0)
    _label(honest, "reliability", "central interval (%)", "truth inside (%)")
    honest.legend(fontsize=8, loc="upper left")

    maps = {name: _map_rmse(comparison, name) for name in names[:_MAPS]}
    most = max(np.nanquantile(values, 0.98) for values in maps.values())
    for axes, (name, values) in zip(np.ravel(lower.subplots(1, len(maps))), maps.items(), strict=True):
        axes.set_facecolor(_NOT_SCORED)
        land = np.where(field.sea, np.nan, 1.0)
        axes.pcolormesh(field.lon, field.lat, land, cmap="Greys", vmin=0, vmax=3, rasterized=True)
        mesh = axes.pcolormesh(
            field.lon, field.lat, values, cmap=cmocean.cm.amp, vmin=0, vmax=most, rasterized=True
        )
        axes.set_aspect(1 / np.cos(np.radians(field.lat.mean())))
        axes.set_title(name, fontsize=10)
    lower.colorbar(mesh, ax=lower.axes, label=f"RMSE ({units})", extend="max")
    return figure


def _choose_methods(rows: list[dict[str, Any]]) -> list[str]:
    """Return the best methods. Where there are too many, skip those hardly different from a better one."""
    names: list[str] = []
    least = 0.0
    for row in rows:
        if len(rows) <= _LINES or row["rmse"] >= least:
            names.append(row["method"])
            least = _APART * row["rmse"]
    return names[:_LINES]


def _score_classes(squares: Floats, weight: Floats, which: NDArray[np.int64], classes: int) -> Floats:
    total, count = (np.bincount(which, part, classes) for part in (weight * squares, weight))
    return np.sqrt(np.divide(total, count, out=np.full(classes, np.nan), where=count > 0))


def _average_classes(values: Floats, which: NDArray[np.int64]) -> Floats:
    finite = np.where(np.isfinite(values), values, 0)
    return np.bincount(which, finite) / np.bincount(which, np.isfinite(values)).clip(min=1)


def _map_rmse(comparison: Comparison, name: str) -> Floats:
    scored, shape = comparison.scored, comparison.field.sea.shape
    which = np.ravel_multi_index(tuple(scored.cell[:, 1:].T), shape)
    squares = (scored.estimates[name][0] - scored.truth) ** 2
    return _score_classes(squares, np.ones(squares.shape), which, comparison.field.sea.size).reshape(shape)


def _label(axes: Axes, title: str, x: str, y: str | None) -> None:
    axes.set_title(title, fontsize=10)
    axes.set_xlabel(x)
    if y is not None:
        axes.set_ylabel(y)
    axes.set_ylim(bottom=0)
    axes.grid(lw=0.3)
