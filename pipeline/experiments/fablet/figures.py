"""Figures of the learnt assimilation of Lorenz's systems."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from ..figures import make_figure
from .data import AssimilationWindows

_CURVES = 3  # variables up to which each is drawn as a curve, and not all as an image


def draw_window(path: Path, windows: AssimilationWindows, states: Mapping[str, Tensor]) -> None:
    """Draw the first test window: the truth with its observations, and the error of each method."""
    panels = len(states) + 1
    figure = make_figure(10, 1.3 * panels)
    axes = figure.subplots(panels, sharex=True)
    truth, observed = windows.truth[0], windows.observed[0]
    limit = 1.05 * float(truth.abs().max())
    curves = len(truth) <= _CURVES
    fields = {"truth and observations": truth}
    fields |= {f"error of {name}": estimate[0] - truth for name, estimate in states.items()}
    for panel, (title, field) in zip(axes, fields.items(), strict=True):
        if curves:
            panel.plot(field.T.numpy(), linewidth=1)
            if field is truth:
                for variable in range(len(truth)):
                    steps = observed[variable].nonzero()[:, 0]
                    panel.plot(steps, windows.values[0, variable, steps], f"C{variable}.")
            else:
                panel.set_ylim(-limit / 3, limit / 3)
        else:
            panel.imshow(field.numpy(), cmap="RdBu_r", vmin=-limit, vmax=limit, aspect="auto")
        panel.set_title(title, fontsize=8, loc="left")
    axes[-1].set_xlabel("steps")
    figure.savefig(path, dpi=110)
