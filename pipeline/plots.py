"""Maps of what was filled. Nothing here needs a display or a network."""

from __future__ import annotations

import os
from importlib.resources import as_file, files
from pathlib import Path

import cartopy.crs as ccrs
import cmocean
import numpy as np
import xarray as xr
from cartopy.io.shapereader import Reader
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import Colormap, LogNorm, Normalize
from matplotlib.figure import Figure

from .coordinates import continuous, find_layout, grid
from .errors import InputError
from .output import check_folder

_LAND = "0.72"
_GAP = "0.97"
_WIDTH = 15.0  # inches, of three maps


def plot_fill(dataset: xr.Dataset, name: str, path: str | os.PathLike[str], date: str | None = None) -> None:
    """Draw input, filled field and standard error of one date side by side.

    ``dataset`` is what `output.to_dataset` made of the variable ``name``. Without a ``date`` (ISO 8601) the
    one is drawn whose share of missing values is the median. Raises `InputError` for a file that cannot
    be written or is of no kind that matplotlib draws.
    """
    check_drawable(path)
    target = Path(path)
    layout = find_layout(str(target), dataset, name)
    dims = layout.t, layout.y, layout.x
    lat, lon = grid(str(target), dataset, layout)
    lon = continuous(lon)
    filled, origin, error = (
        dataset[name + suffix].transpose(*dims).to_numpy() for suffix in ("", "_source", "_error")
    )
    sea = (origin != 0).any(axis=0)
    missing = (origin[:, sea] != 1).mean(axis=1)
    dates = dataset[layout.time].to_index()
    chosen = int(np.argsort(missing)[len(missing) // 2])
    if date is not None:
        chosen = int(dates.get_indexer([date], method="nearest")[0])
    seen = np.where(origin[chosen] == 1, filled[chosen], np.nan)

    units = dataset[name].attrs.get("units", "")
    colours, scale = _colours(name, dataset[name].attrs, filled[chosen][sea])
    errors = Normalize(0, np.nanpercentile(error[chosen][sea], 99))
    figure, maps = _three_maps(lat, lon)
    panels = (
        (
            seen,
            f"input: {100 * missing[chosen]:.0f} % of the sea missing",
            colours,
            scale,
            _label(name, units),
        ),
        (filled[chosen], "filled", colours, scale, _label(name, units)),
        (error[chosen], "standard error", cmocean.cm.amp, errors, _label("standard error", units)),
    )
    for axes, (values, title, colour, norm, label) in zip(maps, panels, strict=True):
        axes.pcolormesh(
            lon, lat, np.where(sea, 1.0, np.nan), cmap="gray", vmin=0, vmax=1 / float(_GAP), **_plain()
        )
        shown = np.where(sea, values, np.nan)
        mesh = axes.pcolormesh(lon, lat, shown, cmap=colour, norm=norm, **_plain())
        axes.set_title(title, fontsize=11)
        extend = "max" if norm is errors else "both"
        figure.colorbar(mesh, ax=axes, orientation="horizontal", pad=0.08, extend=extend, label=label)
    figure.suptitle(f"{dataset[name].attrs.get('long_name', name)}, {str(dates[chosen])[:10]}", fontsize=12)
    _save(figure, target)


def check_drawable(path: str | os.PathLike[str]) -> None:
    """Raise `InputError` unless `plot_fill` can draw there; to be asked before the long computation."""
    target = Path(path)
    if target.suffix[1:].lower() not in FigureCanvasAgg.get_supported_filetypes():
        raise InputError(
            f"{target}: no picture of this kind can be drawn; end the name in .png, .pdf or .svg"
        )
    check_folder(target)


def _plain() -> dict[str, object]:
    return {"transform": ccrs.PlateCarree(), "shading": "nearest", "rasterized": True}


def _label(name: str, units: str) -> str:
    shown = units.replace("degree_Celsius", "°C").replace("degrees_C", "°C")
    return f"{name} ({shown})" if shown else name


def _colours(name: str, attrs: dict[str, object], values: np.ndarray) -> tuple[Colormap, Normalize]:
    """The field's usual colours, by standard name, between the 2nd and the 98th percentile."""
    what = f"{attrs.get('standard_name', '')} {attrs.get('long_name', '')} {name}".lower()
    low, high = np.nanpercentile(values, (2, 98))
    if high <= low:
        high = low + 1e-6 + abs(low) * 1e-6
    if "chlorophyll" in what and low > 0:
        return cmocean.cm.algae, LogNorm(low, high)
    if "temperature" in what or "sst" in what:
        return cmocean.cm.thermal, Normalize(low, high)
    if "salinity" in what:
        return cmocean.cm.haline, Normalize(low, high)
    if "surface_height" in what or "topography" in what or "anomaly" in what:
        if low < 0 < high:
            widest = max(-low, high)
            return cmocean.cm.balance, Normalize(-widest, widest)
        return cmocean.cm.delta, Normalize(low, high)
    return cmocean.cm.haline, Normalize(low, high)


def _three_maps(lat: np.ndarray, lon: np.ndarray) -> tuple[Figure, list[Axes]]:
    """A figure with three maps of the domain, land in grey, with the coastlines that ship."""
    projection = ccrs.PlateCarree(central_longitude=float((lon.min() + lon.max()) / 2))
    tall = float(np.ptp(lat) / max(np.ptp(lon), 1e-6))
    figure = Figure(figsize=(_WIDTH, min(12.0, 2.2 + _WIDTH / 3 * tall)), layout="constrained")
    FigureCanvasAgg(figure)
    with as_file(files("oceanfill.pipeline") / "coastlines") as folder:
        coast = list(Reader(folder / "ne_110m_coastline.shp").geometries())
    maps = [figure.add_subplot(1, 3, column, projection=projection) for column in (1, 2, 3)]
    for axes in maps:
        axes.set_facecolor(_LAND)
        axes.add_geometries(coast, ccrs.PlateCarree(), facecolor="none", edgecolor="0.35", linewidth=0.5)
        extent = (float(lon.min()), float(lon.max()), float(lat.min()), float(lat.max()))
        axes.set_extent(extent, ccrs.PlateCarree())
        lines = axes.gridlines(draw_labels=True, linewidth=0.3, color="0.5", alpha=0.6)
        lines.top_labels = lines.right_labels = False
        lines.xlabel_style = lines.ylabel_style = {"size": 8}
    return figure, maps


def _save(figure: Figure, target: Path) -> None:
    temporary = target.with_name(f".{target.stem}.{os.getpid()}{target.suffix}")
    try:
        figure.savefig(temporary, dpi=130)
        temporary.replace(target)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise InputError(f"{target}: cannot be written ({error.strerror}); choose another folder") from error
