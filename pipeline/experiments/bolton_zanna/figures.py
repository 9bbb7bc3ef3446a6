"""Figures of the experiment after Bolton and Zanna 2019: x to the east and y to the north, in km."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from scipy.signal import periodogram
from torch import Tensor

from .data import Box, Filtered

_COLOURS = {"truth": "k", "none": "C1", "A": "C0", "B": "C2", "C": "C3"}  # of the variants
_SYMBOLS = {"S_x": "$S_x$", "S_y": "$S_y$"}


def _figure(width: float, height: float) -> Figure:
    figure = Figure((width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _symbol(name: str) -> str:
    return _SYMBOLS.get(name, rf"$\psi_{name[-1]}$")


def _truth(name: str, there: Filtered) -> Tensor:
    return {"S_x": there.x, "S_y": there.y}[name] if name in _SYMBOLS else there.deeper[int(name[-1])]


def _boxes(axes: Axes, regions: Mapping[str, Box], spacing: float) -> None:
    for name, (south, tall, west, wide) in regions.items():
        place = (west * spacing, south * spacing)
        axes.add_patch(
            Rectangle(place, wide * spacing, tall * spacing, fill=False, edgecolor="k", linewidth=1)
        )
        axes.annotate(
            name,
            place,
            (4, 4),
            textcoords="offset points",
            fontsize="small",
            bbox={"facecolor": "w", "alpha": 0.6, "linewidth": 0, "pad": 1},
        )


def flow(path: Path, run: Filtered, date: int, spacing: float, regions: Mapping[str, Box]) -> None:
    """Draw the filtered stream function and the forcing at a date, with the regions; ``spacing`` in km."""
    figure = _figure(12, 3.8)
    shown = {r"$\bar\psi_1$, $10^4$ m$^2$ s$^{-1}$": (run.psi[date], 1e4)}
    shown |= {
        f"{_SYMBOLS[name]}, $10^{{-6}}$ m s$^{{-2}}$": (values[date], 1e-6)
        for name, values in (("S_x", run.x), ("S_y", run.y))
    }
    for axes, (title, (values, unit)) in zip(figure.subplots(1, 3), shown.items(), strict=True):
        field = values.numpy() / unit
        limit = np.quantile(np.abs(field), 0.995)
        side = spacing * (len(field) - 1)
        drawn = axes.imshow(
            field, cmap="RdBu_r", vmin=-limit, vmax=limit, origin="lower", extent=(0, side, 0, side)
        )
        _boxes(axes, regions, spacing)
        axes.set(title=title, xlabel="km")
        figure.colorbar(drawn, ax=axes, shrink=0.8)
    figure.savefig(path, dpi=90)


def correlations(
    path: Path, maps: Mapping[str, Mapping[str, Tensor]], regions: Mapping[str, Box], spacing: float
) -> None:
    """Draw the correlation in time at each point (y, x) of each region, a panel for each target."""
    figure = _figure(3.6 * len(maps) + 0.8, 3.4)
    boxes = spacing * np.array(list(regions.values()))
    north = (boxes[:, 0].min(), boxes[:, :2].sum(1).max())
    east = (boxes[:, 2].min(), boxes[:, 2:].sum(1).max())
    all_axes = figure.subplots(1, len(maps), squeeze=False)[0]
    for axes, (name, of) in zip(all_axes, maps.items(), strict=True):
        for place, values in of.items():
            south, tall, west, wide = (cells * spacing for cells in regions[place])
            drawn = axes.imshow(
                values.numpy(),
                cmap="viridis",
                vmin=0,
                vmax=1,
                origin="lower",
                extent=(west, west + wide, south, south + tall),
            )
        _boxes(axes, {place: regions[place] for place in of}, spacing)
        axes.set(title=_symbol(name), xlabel="km", xlim=east, ylim=north)
    figure.colorbar(drawn, ax=all_axes, label="correlation", shrink=0.8)
    figure.savefig(path, dpi=90)


def forcing(path: Path, said: Mapping[str, Tensor], there: Filtered, spacing: float) -> None:
    """Draw the truth and what the networks say at the first date of the test, a column for each target."""
    figure = _figure(3.6 * len(said), 4.2)
    all_axes = figure.subplots(2, len(said), squeeze=False)
    for column, (name, values) in zip(all_axes.T, said.items(), strict=True):
        unit, text = (1e-6, "$10^{-6}$ m s$^{-2}$") if name in _SYMBOLS else (1e4, "$10^4$ m$^2$ s$^{-1}$")
        truth = _truth(name, there)[0].numpy() / unit
        limit = np.quantile(np.abs(truth), 0.995)
        extent = (0, spacing * truth.shape[1], 0, spacing * truth.shape[0])
        for axes, field in zip(column, (truth, values[0].numpy() / unit), strict=True):
            drawn = axes.imshow(field, cmap="RdBu_r", vmin=-limit, vmax=limit, origin="lower", extent=extent)
            axes.set(xticks=[], yticks=[])
        column[0].set_title(f"{_symbol(name)}, {text}")
        figure.colorbar(drawn, ax=column, shrink=0.7, location="bottom")
    for axes, what in zip(all_axes[:, 0], ("truth", "network"), strict=True):
        axes.set_ylabel(what)
    figure.savefig(path, dpi=90)


def point(
    path: Path,
    said: Mapping[str, Tensor],
    there: Filtered,
    place: tuple[int, int],
    step: float,
    spacing: float,
) -> None:
    """Draw the forcing at a point (y, x) every ``step`` days, and spectra of its lines to the east."""
    figure = _figure(11, 5)
    all_axes = figure.subplots(2, 2, width_ratios=(2, 1))
    for (left, right), name in zip(all_axes, _SYMBOLS, strict=True):
        truth, values = _truth(name, there).double().numpy(), said[name].double().numpy()
        for label, field, style in (("truth", truth, "k-"), ("network", values, "C1-")):
            days = step * np.arange(len(field))
            left.plot(days, 1e6 * field[:, place[0], place[1]], style, label=label, linewidth=1)
            wavenumber, power = periodogram(field, 1 / spacing, "hann", axis=-1)
            right.loglog(wavenumber[1:], power.mean((0, 1))[1:], style, label=label)
        left.set(ylabel=f"{_SYMBOLS[name]}, $10^{{-6}}$ m s$^{{-2}}$", xlim=(0, days[-1] or 1))
        right.set(ylabel=f"power of {_SYMBOLS[name]}, m$^2$ s$^{{-4}}$ km")
        left.grid(alpha=0.3)
        right.grid(alpha=0.3)
    all_axes[0, 0].legend(fontsize="small")
    all_axes[1, 0].set_xlabel("days of the test part")
    all_axes[1, 1].set_xlabel("wavenumber to the east, cycles / km")
    figure.savefig(path, dpi=90)


def means(path: Path, variants: Mapping[str, Mapping[str, Tensor]], there: Filtered, step: float) -> None:
    """Draw the mean over the region that each variant makes every ``step`` days, and that of the truth."""
    figure = _figure(11, 3)
    for axes, (name, made) in zip(
        figure.subplots(1, len(variants), squeeze=False)[0], variants.items(), strict=True
    ):
        days = step * np.arange(len(there.psi))
        for label, values in {"truth": _truth(name, there), **made}.items():
            mean = 1e9 * values.double().mean((-2, -1)).numpy()
            axes.plot(days, mean, color=_COLOURS[label], label=label, linewidth=1)
        axes.set(xlabel="days of the test part", ylabel=f"mean of {_SYMBOLS[name]}, $10^{{-9}}$ m s$^{{-2}}$")
        axes.grid(alpha=0.3)
        axes.legend(fontsize="small", ncols=5)
    figure.savefig(path, dpi=90)
