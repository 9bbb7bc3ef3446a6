"""Maps of a current and its error."""

from __future__ import annotations

import os
from typing import Any

import cmocean
import numpy as np
import xarray as xr
from matplotlib.collections import EllipseCollection
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from numpy.typing import NDArray

from ..io.layout.coordinates import find_layout
from ..io.layout.positions import read_grid
from .layers import escape_math
from .maps import MESH, check_drawable, make_maps, save_figure

_ARROWS = 20  # along the longer side of the map
_LONG = 1.6  # length of the longest arrow, in distances between arrows
_APART = 2  # distance between ellipses, in distances between arrows
_BAR: dict[str, Any] = {"orientation": "horizontal", "pad": 0.04, "aspect": 30, "extend": "max"}

Floats = NDArray[np.floating]


def plot_current(dataset: xr.Dataset, path: str | os.PathLike[str]) -> None:
    """Write the picture of `draw_current`. Raises `InputError` as `maps.plot_fill` does."""
    check_drawable(path)
    save_figure(draw_current(dataset), path)


def draw_current(dataset: xr.Dataset) -> Figure:
    """Draw the current on one date next to its standard error along the least certain direction.

    ``dataset`` is the result of `currents.fill_radials`; the date is that of the median error. The half-axes
    of each ellipse are standard errors; the largest ellipses are nearly as wide as their distance.
    """
    layout = find_layout("dataset", dataset, "u")
    names = ("u", "v", "u_error", "v_error", "uv_covariance")
    u, v, *errors = (dataset[name].transpose(layout.t, layout.y, layout.x).to_numpy() for name in names)
    sea = np.isfinite(u[0])
    ellipses = compute_ellipses(*errors)
    worst = ellipses[0][:, sea].mean(axis=1)
    date = int(np.argsort(worst)[len(worst) // 2])
    longer, shorter, angle = (part[date] for part in ellipses)
    speed = np.hypot(u[date], v[date])
    fastest, largest = (float(np.percentile(part[sea], 99)) for part in (speed, longer))

    units = escape_math(str(dataset.u.attrs.get("units", "m s-1")))
    lat, lon = read_grid("dataset", dataset, layout)
    figure, (flow, error), x = make_maps(2, lat, lon, sea)
    for axes, values, colours, highest, title in (
        (flow, speed, cmocean.cm.speed, fastest, "speed"),
        (error, longer, cmocean.cm.amp, largest, "standard error along the longer axis"),
    ):
        lighter = cmocean.tools.crop_by_percent(colours, 30, which="max")  # under black arrows and ellipses
        mesh = axes.pcolormesh(x, lat, values, cmap=lighter, norm=Normalize(0, highest), zorder=2, **MESH)
        figure.colorbar(mesh, ax=axes, label=f"{title} ({units})", **_BAR)

    step = max(1, round(max(sea.shape) / _ARROWS))
    between = step * float(np.ptp(x)) / (sea.shape[1] - 1)  # degrees
    at = _thin(sea, step)
    arrows = flow.quiver(
        x[at],
        lat[at],
        u[date][at],
        v[date][at],
        angles="uv",
        scale_units="x",
        scale=fastest / (_LONG * between),
        width=0.004,
        edgecolor="white",
        linewidth=0.4,
        zorder=4,
    )
    flow.quiverkey(arrows, 0.9, 1.03, fastest, f"{fastest:.2g} {units}", labelpos="W")
    flow.set_title("current", fontsize=11)
    at = _thin(sea, _APART * step)
    size = 0.9 * _APART * between / largest
    drawn = EllipseCollection(
        size * longer[at],
        size * shorter[at],
        angle[at],
        units="x",
        offsets=np.column_stack([x[at], lat[at]]),
        offset_transform=error.transData,
        facecolor="none",
        edgecolor="black",
        linewidth=0.8,
        zorder=4,
    )
    error.add_collection(drawn)
    error.set_title("ellipses of one standard error", fontsize=11)
    when = str(dataset[layout.time].to_index()[date])[:16]
    figure.suptitle(f"{dataset.attrs['title']}, {when} (the median of the dates)", fontsize=12)
    return figure


def compute_ellipses(u_error: Floats, v_error: Floats, covariance: Floats) -> tuple[Floats, Floats, Floats]:
    """Return the half-axes of one standard error, the longer first, and its angle.

    The angle is that of the longer one in degrees from east toward north.
    """
    east, north = u_error**2, v_error**2
    middle, half = (east + north) / 2, np.hypot((east - north) / 2, covariance)
    angle = np.degrees(np.arctan2(2 * covariance, east - north)) / 2
    return np.sqrt(middle + half), np.sqrt((middle - half).clip(min=0)), angle


def _thin(sea: NDArray[np.bool_], step: int) -> NDArray[np.bool_]:
    """Return the sea (y, x) in every ``step``-th row and column."""
    shown = np.zeros_like(sea)
    shown[step // 2 :: step, step // 2 :: step] = True
    return shown & sea
