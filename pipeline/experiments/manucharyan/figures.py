"""Figures of the mapping of two-layer turbulence."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..figures import PALETTE, make_figure
from .data import REACH, Sampling

_METHODS = {
    "linear": "linear interpolation",
    "optimal": "optimal interpolation",
    "dynamical": "dynamical interpolation",
    "linear from the tracks": "best linear estimate\nfrom the tracks",
}
_LAYERS = {"surface": "sea surface height (cm)", "deep": "deep stream function (cm)"}


def draw_maps(
    path: Path, truth: Tensor, observed: Tensor, maps: Mapping[str, Mapping[str, Tensor]], length: float
) -> None:
    """Draw the middle test day: truth (days, 2, y, x), tracks, and the maps (days, y, x) of each method.

    ``length`` is that of a side of the domain, in m.
    """
    side = length / 1000
    day = len(truth) // 2
    columns = 2 + max(len(methods) for methods in maps.values())
    figure = make_figure(2.1 * columns, 5.2)
    axes = figure.subplots(2, columns, sharex=True, sharey=True)
    for row, (layer, methods) in enumerate(maps.items()):
        limit = 1.1 * float(truth[day, row].abs().max())
        fields: dict[str, Any] = {"truth": truth[day, row]}
        if row == 0:
            tracks = observed[torch.arange(-REACH, REACH + 1) % len(observed)].any(0)
            fields[f"tracks of {2 * REACH + 1} days"] = torch.where(tracks, truth[day, 0], torch.nan)
        fields |= {name: field[day] for name, field in methods.items()}
        for panel, (name, field) in zip(axes[row], fields.items(), strict=False):
            if "regression" in name:
                # A correlation does not depend on the amplitude: draw that of the best fit.
                field = field * float((field * truth[day, row]).sum() / field.square().sum())
            image = panel.imshow(
                100 * np.asarray(field),
                origin="lower",
                cmap="RdBu_r",
                vmin=-100 * limit,
                vmax=100 * limit,
                extent=(0, side, 0, side),
            )
            panel.set_title(_METHODS.get(name, name).replace(" on ", "\non "), fontsize=8)
            panel.set_xlabel("x (km)", fontsize=8)
            panel.tick_params(labelsize=8, labelbottom=True)
        for panel in axes[row, len(fields) :]:
            panel.set_axis_off()
        axes[row, 0].set_ylabel("y (km)", fontsize=8)
        figure.colorbar(image, ax=axes[row], label=_LAYERS.get(layer, layer), shrink=0.8)
    figure.savefig(path, dpi=110)


def draw_skill(
    path: Path, skills: Mapping[Sampling, Mapping[str, float]], length: float, tracks: int
) -> None:
    """Draw the skill of each method by track spacing and by repeat period."""
    samplings = list(skills)
    groups = {
        "track spacing (km)": (samplings[:tracks], lambda one: length / one.tracks / 1000),
        "repeat period (days)": ([samplings[0], *samplings[tracks:]], lambda one: one.repeat),
    }
    figure = make_figure(9, 3.6)
    for panel, (label, (some, at)) in zip(figure.subplots(1, 2, sharey=True), groups.items(), strict=True):
        some = sorted(some, key=at)
        for name, colour, marker in zip(skills[samplings[0]], PALETTE, "o^sD", strict=False):
            values = [skills[one][name] for one in some]
            label_of = _METHODS.get(name, name)
            panel.plot([at(one) for one in some], values, f"{marker}-", color=colour, label=label_of)
        panel.set(xlabel=label)
        panel.grid(alpha=0.3)
    figure.axes[0].set_ylabel("skill, 1 - error variance / variance")
    figure.legend(*figure.axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=4)
    figure.savefig(path, dpi=120)
