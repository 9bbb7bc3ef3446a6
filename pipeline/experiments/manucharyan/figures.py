"""Figures of the mapping of two-layer turbulence."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..figures import make_figure
from .data import REACH, Sampling


def draw_maps(path: Path, truth: Tensor, observed: Tensor, maps: Mapping[str, Mapping[str, Tensor]]) -> None:
    """Draw the middle test day: truth (days, 2, y, x), tracks, and the maps (days, y, x) of each method."""
    day = len(truth) // 2
    columns = 2 + max(len(methods) for methods in maps.values())
    figure = make_figure(2.1 * columns, 4.8)
    axes = figure.subplots(2, columns)
    for row, (layer, methods) in enumerate(maps.items()):
        limit = 1.1 * float(truth[day, row].abs().max())
        fields: dict[str, Any] = {"truth": truth[day, row]}
        if row == 0:
            tracks = observed[torch.arange(-REACH, REACH + 1) % len(observed)].any(0)
            fields["tracks of 21 days"] = torch.where(tracks, truth[day, 0], torch.nan)
        fields |= {name: field[day] for name, field in methods.items()}
        for panel, (name, field) in zip(axes[row], fields.items(), strict=False):
            if "regression" in name:
                # A correlation does not depend on the amplitude: draw that of the best fit.
                field = field * float((field * truth[day, row]).sum() / field.square().sum())
            image = panel.imshow(
                100 * np.asarray(field), origin="lower", cmap="RdBu_r", vmin=-100 * limit, vmax=100 * limit
            )
            panel.set_title(name.replace(" on ", "\non ").replace(" from ", "\nfrom "), fontsize=8)
        figure.colorbar(image, ax=axes[row], label=f"{layer}, cm", shrink=0.8)
        for panel in axes[row]:
            panel.set_axis_off()
    figure.savefig(path, dpi=110)


def draw_skill(
    path: Path, skills: Mapping[Sampling, Mapping[str, float]], length: float, tracks: int
) -> None:
    """Draw the skill of each method by track spacing and by repeat period."""
    samplings = list(skills)
    groups = {
        "track spacing, km": (samplings[:tracks], lambda one: length / one.tracks / 1000),
        "repeat period, days": ([samplings[0], *samplings[tracks:]], lambda one: one.repeat),
    }
    figure = make_figure(9, 3.6)
    for panel, (label, (some, at)) in zip(figure.subplots(1, 2, sharey=True), groups.items(), strict=True):
        some = sorted(some, key=at)
        for name in skills[samplings[0]]:
            panel.plot([at(one) for one in some], [skills[one][name] for one in some], "o-", label=name)
        panel.set(xlabel=label)
        panel.grid(alpha=0.3)
    figure.axes[0].set_ylabel("skill, 1 - error variance / variance")
    figure.legend(*figure.axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=4)
    figure.savefig(path, dpi=120)
