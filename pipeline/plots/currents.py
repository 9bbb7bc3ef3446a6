"""Maps of a current and its error."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import cmocean
import numpy as np
import xarray as xr
from matplotlib.collections import EllipseCollection
from matplotlib.colors import Normalize
from numpy.typing import NDArray

from ..io.coordinates import find_layout, read_grid
from .maps import MESH, check_drawable, maps_of, save_figure

_ARROWS = 20  # along the longer side of the map
_LONG = 1.6  # the longest arrow, over the distance between two
_APART = 2  # arrows from one ellipse to the next
_BAR: dict[str, Any] = {"orientation": "horizontal", "pad": 0.04, "aspect": 30, "extend": "max"}

Floats = NDArray[np.floating]


def plot_current(dataset: xr.Dataset, path: str | os.PathLike[str]) -> None:
    """Draw the current of one date, and beside it the standard error along the direction known worst.

    ``dataset`` is what `vectors.fill_radials` makes; the date is that of the median error. Each ellipse has
    the standard errors for half-axes; the largest are nearly as wide as ellipses are apart. Raises
    `InputError` as `plots.plot_fill` does.
    """
    target = Path(path)
    check_drawable(target)
    layout = find_layout(str(target), dataset, "u")
    names = ("u", "v", "u_error", "v_error", "uv_covariance")
    u, v, *errors = (dataset[name].transpose(layout.t, layout.y, layout.x).to_numpy() for name in names)
    sea = np.isfinite(u[0])
    axes_of_all = ellipses(*errors)
    worst = axes_of_all[0][:, sea].mean(axis=1)
    date = int(np.argsort(worst)[len(worst) // 2])
    longer, shorter, angle = (part[date] for part in axes_of_all)
    speed = np.hypot(u[date], v[date])
    fastest, largest = (float(np.percentile(part[sea], 99)) for part in (speed, longer))

    units = str(dataset.u.attrs.get("units", "m s-1"))
    lat, lon = read_grid(str(target), dataset, layout)
    figure, (flow, error), x = maps_of(2, lat, lon, sea)
    for axes, values, colours, highest, title in (
        (flow, speed, cmocean.cm.speed, fastest, "speed"),
        (error, longer, cmocean.cm.amp, largest, "standard error along the longer axis"),
    ):
        lighter = cmocean.tools.crop_by_percent(colours, 30, which="max")  # what is drawn on it is black
        mesh = axes.pcolormesh(x, lat, values, cmap=lighter, norm=Normalize(0, highest), zorder=2, **MESH)
        figure.colorbar(mesh, ax=axes, label=f"{title} ({units})", **_BAR)

    step = max(1, round(max(sea.shape) / _ARROWS))
    between = step * float(np.ptp(x)) / (sea.shape[1] - 1)  # degrees
    at = _every(step, sea)
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
    at = _every(_APART * step, sea)
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
    save_figure(figure, target)


def ellipses(u_error: Floats, v_error: Floats, covariance: Floats) -> tuple[Floats, Floats, Floats]:
    """The half-axes of one standard error, the longer one first, and its degrees from east toward north."""
    east, north = u_error**2, v_error**2
    middle, half = (east + north) / 2, np.hypot((east - north) / 2, covariance)
    angle = np.degrees(np.arctan2(2 * covariance, east - north)) / 2
    return np.sqrt(middle + half), np.sqrt((middle - half).clip(min=0)), angle


def _every(step: int, sea: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """(y, x) True at the sea of every so many rows and columns."""
    shown = np.zeros_like(sea)
    shown[step // 2 :: step, step // 2 :: step] = True
    return shown & sea
