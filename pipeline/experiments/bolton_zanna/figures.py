"""Figures of the experiment after Bolton and Zanna 2019: x to the east and y to the north, in km."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from scipy.signal import periodogram
from torch import Tensor

from ..figures import PALETTE, make_figure
from .data import FilteredRun, Region

_COLOURS = {
    "truth": "k",
    "none": PALETTE[1],
    "A": PALETTE[0],
    "B": PALETTE[2],
    "C": PALETTE[3],
}  # of variants
_SYMBOLS = {"S_x": "$S_x$", "S_y": "$S_y$"}


def _format_symbol(name: str) -> str:
    return _SYMBOLS.get(name, rf"$\psi_{name[-1]}$")


def _select_truth(name: str, truth: FilteredRun) -> Tensor:
    return {"S_x": truth.x, "S_y": truth.y}[name] if name in _SYMBOLS else truth.deeper[int(name[-1])]


def _draw_regions(axes: Axes, regions: Mapping[str, Region], spacing: float) -> None:
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


def draw_flow(path: Path, run: FilteredRun, date: int, spacing: float, regions: Mapping[str, Region]) -> None:
    """Draw the filtered stream function and the forcing at a date, with the regions; ``spacing`` in km."""
    figure = make_figure(12, 3.8)
    panels = {r"$\bar\psi_1$, $10^4$ m$^2$ s$^{-1}$": (run.psi[date], 1e4)}
    panels |= {
        f"{_SYMBOLS[name]}, $10^{{-6}}$ m s$^{{-2}}$": (values[date], 1e-6)
        for name, values in (("S_x", run.x), ("S_y", run.y))
    }
    for axes, (title, (values, unit)) in zip(figure.subplots(1, 3), panels.items(), strict=True):
        field = values.numpy() / unit
        limit = np.quantile(np.abs(field), 0.995)
        side = spacing * (len(field) - 1)
        drawn = axes.imshow(
            field, cmap="RdBu_r", vmin=-limit, vmax=limit, origin="lower", extent=(0, side, 0, side)
        )
        _draw_regions(axes, regions, spacing)
        axes.set(title=title, xlabel="x (km)", ylabel="y (km)")
        figure.colorbar(drawn, ax=axes, shrink=0.8)
    figure.savefig(path, dpi=90)


def draw_correlations(
    path: Path, maps: Mapping[str, Mapping[str, Tensor]], regions: Mapping[str, Region], spacing: float
) -> None:
    """Draw the temporal correlation at each point (y, x) of each region, one panel per target."""
    figure = make_figure(3.6 * len(maps) + 0.8, 3.4)
    boxes = spacing * np.array(list(regions.values()))
    north = (boxes[:, 0].min(), boxes[:, :2].sum(1).max())
    east = (boxes[:, 2].min(), boxes[:, 2:].sum(1).max())
    all_axes = figure.subplots(1, len(maps), squeeze=False)[0]
    for axes, (name, places) in zip(all_axes, maps.items(), strict=True):
        for place, values in places.items():
            south, tall, west, wide = (cells * spacing for cells in regions[place])
            drawn = axes.imshow(
                values.numpy(),
                cmap="viridis",
                vmin=0,
                vmax=1,
                origin="lower",
                extent=(west, west + wide, south, south + tall),
            )
        _draw_regions(axes, {place: regions[place] for place in places}, spacing)
        axes.set(title=_format_symbol(name), xlabel="x (km)", ylabel="y (km)", xlim=east, ylim=north)
    figure.colorbar(drawn, ax=all_axes, label="correlation", shrink=0.8)
    figure.savefig(path, dpi=90)


def draw_fields(path: Path, predictions: Mapping[str, Tensor], run: FilteredRun, spacing: float) -> None:
    """Draw truth and predictions (date, y, x) on the first test date, one column per target."""
    figure = make_figure(3.6 * len(predictions), 4.2)
    all_axes = figure.subplots(2, len(predictions), squeeze=False)
    for column, (name, values) in zip(all_axes.T, predictions.items(), strict=True):
        unit, text = (1e-6, "$10^{-6}$ m s$^{-2}$") if name in _SYMBOLS else (1e4, "$10^4$ m$^2$ s$^{-1}$")
        truth = _select_truth(name, run)[0].numpy() / unit
        limit = np.quantile(np.abs(truth), 0.995)
        extent = (0, spacing * truth.shape[1], 0, spacing * truth.shape[0])
        for axes, field in zip(column, (truth, values[0].numpy() / unit), strict=True):
            drawn = axes.imshow(field, cmap="RdBu_r", vmin=-limit, vmax=limit, origin="lower", extent=extent)
            axes.tick_params(labelsize="small")
        column[0].set_title(f"{_format_symbol(name)}, {text}")
        figure.colorbar(drawn, ax=column, shrink=0.7, location="bottom")
    for axes, label in zip(all_axes[:, 0], ("truth", "network"), strict=True):
        axes.set_ylabel(f"{label}\ny (km)")
    for axes in all_axes[1]:
        axes.set_xlabel("x (km)")
    figure.savefig(path, dpi=90)


def draw_point(
    path: Path,
    predictions: Mapping[str, Tensor],
    run: FilteredRun,
    place: tuple[int, int],
    step: float,
    spacing: float,
) -> None:
    """Draw the forcing at a point (y, x) every ``step`` days, and zonal wavenumber spectra of the region."""
    figure = make_figure(11, 5)
    all_axes = figure.subplots(2, 2, width_ratios=(2, 1))
    for (left, right), name in zip(all_axes, _SYMBOLS, strict=True):
        truth, values = _select_truth(name, run).double().numpy(), predictions[name].double().numpy()
        for label, field, colour in (("truth", truth, "k"), ("network", values, PALETTE[1])):
            days = step * np.arange(len(field))
            left.plot(days, 1e6 * field[:, place[0], place[1]], color=colour, label=label, linewidth=1)
            wavenumber, power = periodogram(field, 1 / spacing, "hann", axis=-1)
            right.loglog(wavenumber[1:], power.mean((0, 1))[1:], color=colour, label=label)
        left.set(ylabel=f"{_SYMBOLS[name]}, $10^{{-6}}$ m s$^{{-2}}$", xlim=(0, days[-1] or 1))
        right.set(ylabel=f"power of {_SYMBOLS[name]}, m$^2$ s$^{{-4}}$ km")
        left.grid(alpha=0.3)
        right.grid(alpha=0.3)
    all_axes[0, 0].legend(fontsize="small")
    all_axes[1, 0].set_xlabel("days in the test part")
    all_axes[1, 1].set_xlabel("zonal wavenumber, cycles / km")
    figure.savefig(path, dpi=90)


def draw_means(
    path: Path, variants: Mapping[str, Mapping[str, Tensor]], run: FilteredRun, step: float
) -> None:
    """Draw the regional mean forcing of each variant and of the truth every ``step`` days."""
    figure = make_figure(11, 3)
    for axes, (name, made) in zip(
        figure.subplots(1, len(variants), squeeze=False)[0], variants.items(), strict=True
    ):
        days = step * np.arange(len(run.psi))
        for label, values in {"truth": _select_truth(name, run), **made}.items():
            mean = 1e9 * values.double().mean((-2, -1)).numpy()
            axes.plot(days, mean, color=_COLOURS[label], label=label, linewidth=1)
        axes.set(xlabel="days in the test part", ylabel=f"mean of {_SYMBOLS[name]}, $10^{{-9}}$ m s$^{{-2}}$")
        axes.grid(alpha=0.3)
        axes.legend(fontsize="small", ncols=5)
    figure.savefig(path, dpi=90)
