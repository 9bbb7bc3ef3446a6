"""Figures of the Lorenz-63 experiments: error growth, trajectories, attractors and filled gaps."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from torch import Tensor

from ..figures import make_figure
from .data import DT, ObservedWindows

_COMPONENTS = "xyz"


def draw_error_growth(path: Path, unexplained: Mapping[str, Tensor]) -> None:
    """Draw the MSE of each model relative to persistence (steps,) against the forecast step."""
    figure = make_figure(7, 5)
    axes = figure.subplots()
    for number, (name, ratio) in enumerate(unexplained.items()):
        style = ("-", "--", ":")[number // 4 % 3]
        axes.semilogy(1 + np.arange(len(ratio)), ratio.numpy(), style, label=name)
    axes.set(xlabel="steps ahead", ylabel="MSE of the model / MSE of persistence")
    axes.grid(alpha=0.3)
    figure.legend(loc="outside upper center", ncols=4, fontsize="small")
    figure.savefig(path, dpi=120)


def draw_trajectories(path: Path, truth: Tensor, runs: Mapping[str, Tensor]) -> None:
    """Draw x of free runs (steps, 3) on top of that of the truth from the same start."""
    figure = make_figure(9, 1.2 * len(runs) + 0.6)
    times = DT * (1 + np.arange(len(truth)))
    low, high = (1.3 * float(value) for value in (truth[:, 0].min(), truth[:, 0].max()))
    for axes, (name, run) in zip(
        figure.subplots(len(runs), sharex=True, squeeze=False)[:, 0], runs.items(), strict=True
    ):
        axes.plot(times, truth[:, 0], color="0.7", linewidth=2.5, label="truth")
        axes.plot(times, run[:, 0].clamp(2 * low, 2 * high), color="C0", linewidth=1, label="free run")
        axes.set(ylim=(low, high), ylabel=f"{name}\nx")
    axes.set_xlabel("time")
    figure.legend(*figure.axes[0].get_legend_handles_labels(), loc="outside upper right", ncols=2)
    figure.savefig(path, dpi=120)


def draw_attractors(path: Path, truth: Tensor, runs: Mapping[str, Tensor]) -> None:
    """Draw x and z of the truth and of free runs, each (batch, steps, 3), on the axes of the truth."""
    panels = {"truth": truth, **runs}
    columns = min(5, len(panels))
    rows = -(-len(panels) // columns)
    figure = make_figure(2.6 * columns, 2.6 * rows)
    spread = truth.flatten(0, 1)
    low, high = spread.amin(0) - 3, spread.amax(0) + 3
    grid = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).ravel()
    for axes, (name, states) in zip(grid, panels.items(), strict=False):
        for run in states[:8].clamp(low - 50, high + 50):
            axes.plot(run[:, 0], run[:, 2], color="C0" if name != "truth" else "0.4", linewidth=0.4)
        axes.set(
            title=name,
            xlim=(float(low[0]), float(high[0])),
            ylim=(float(low[2]), float(high[2])),
        )
    for axes in grid[len(panels) :]:
        axes.remove()
    figure.supxlabel("x")
    figure.supylabel("z")
    figure.savefig(path, dpi=120)


def draw_filled_gaps(path: Path, windows: ObservedWindows, filled: Mapping[str, Tensor]) -> None:
    """Draw the first window: truth, observations, states (batch, time, 3) and errors of each method."""
    figure = make_figure(11, 8)
    times = DT * np.arange(windows.truth.shape[1])
    observed = windows.observed[0, :, 0].numpy()
    panels = figure.subplots(6, sharex=True, height_ratios=[3, 2] * 3)
    for component, letter in enumerate(_COMPONENTS):
        states, errors = panels[2 * component], panels[2 * component + 1]
        truth = windows.truth[0, :, component]
        states.plot(times, truth, color="0.7", linewidth=3, label="truth")
        states.plot(times[observed], windows.values[0, observed, component], "k.", label="observed")
        for name, states_of in filled.items():
            states.plot(times, states_of[0, :, component], linewidth=1, label=name)
            errors.plot(times, states_of[0, :, component] - truth, linewidth=1)
        states.set_ylabel(letter)
        errors.set_ylabel("error")
        errors.axhline(0, color="0.7", zorder=0)
    panels[-1].set_xlabel("time")
    figure.legend(
        *panels[0].get_legend_handles_labels(), loc="outside upper center", ncols=5, fontsize="small"
    )
    figure.savefig(path, dpi=120)
