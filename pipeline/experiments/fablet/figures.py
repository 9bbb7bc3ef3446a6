"""Figures of the learnt assimilation of Lorenz's systems."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from torch import Tensor

from ..figures import PALETTE, make_figure
from .data import AssimilationWindows

_CURVES = 3  # variables up to which each is drawn as a curve, and not all as an image
_BEYOND = 1.5  # scale of the errors, in medians over the methods of the largest error of each


def draw_window(path: Path, windows: AssimilationWindows, states: Mapping[str, Tensor]) -> None:
    """Write the figure of `compare_errors` to a file."""
    compare_errors(windows, states).savefig(path, dpi=110)


def compare_errors(windows: AssimilationWindows, states: Mapping[str, Tensor]) -> Figure:
    """Draw the first test window: the truth, its observations, and the error of each method.

    The errors share a scale, which a method that fails does not set.
    """
    truth, observed = windows.truth[0], windows.observed[0]
    errors = {name: estimate[0] - truth for name, estimate in states.items()}
    limit = _BEYOND * float(torch.stack([error.abs().max() for error in errors.values()]).median())
    values = torch.where(observed, windows.values[0], torch.nan)
    draw = _draw_curves if len(truth) <= _CURVES else _draw_images
    return draw(truth, values, errors, limit)


def _draw_curves(truth: Tensor, values: Tensor, errors: Mapping[str, Tensor], limit: float) -> Figure:
    figure = make_figure(10, 1.3 * (len(errors) + 1))
    first, *others = axes = figure.subplots(len(errors) + 1, sharex=True)
    for number, name in enumerate("xyz"[: len(truth)]):
        colour = PALETTE[number]
        first.plot(truth[number], color=colour, linewidth=1, label=name)
        first.plot(values[number], ".", color=colour)
        for panel, error in zip(others, errors.values(), strict=True):
            panel.plot(error[number], color=colour, linewidth=1)
    first.plot([], [], ".", color="0.4", label="observed")
    _entitle(first, "truth and observations", "state")
    for panel, (name, error) in zip(others, errors.items(), strict=True):
        panel.set_ylim(-limit, limit)
        _entitle(panel, _describe(name, error, limit), "error")
    axes[-1].set_xlabel("time step")
    figure.legend(*first.get_legend_handles_labels(), loc="outside upper right", ncols=4, fontsize=8)
    return figure


def _draw_images(truth: Tensor, values: Tensor, errors: Mapping[str, Tensor], limit: float) -> Figure:
    figure = make_figure(10, 1.3 * (len(errors) + 2))
    axes = figure.subplots(len(errors) + 2, sharex=True)
    largest = float(truth.abs().max())
    for panel, title, field in zip(axes[:2], ("truth", "observations"), (truth, values), strict=True):
        state = _draw_image(panel, field, largest)
        _entitle(panel, title, "variable")
    for panel, (name, error) in zip(axes[2:], errors.items(), strict=True):
        drawn = _draw_image(panel, error, limit)
        _entitle(panel, _describe(name, error, limit), "variable")
    axes[1].set_facecolor("0.8")  # not observed
    axes[-1].set_xlabel("time step")
    figure.colorbar(state, ax=axes[:2], label="state")
    figure.colorbar(drawn, ax=axes[2:], label="error", extend="both", aspect=40)
    return figure


def _draw_image(panel: Axes, field: Tensor, limit: float) -> AxesImage:
    return panel.imshow(
        field.numpy(), cmap="RdBu_r", vmin=-limit, vmax=limit, aspect="auto", interpolation="nearest"
    )


def _entitle(panel: Axes, title: str, label: str) -> None:
    panel.set_title(title, fontsize=8, loc="left")
    panel.set_ylabel(label, fontsize=8)


def _describe(name: str, error: Tensor, limit: float) -> str:
    beyond = ", beyond the scale" if float(error.abs().max()) > limit else ""
    return f"error of {name} (RMSE {float(error.square().mean().sqrt()):.2f}{beyond})"
