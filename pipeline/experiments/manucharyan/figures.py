"""Figures of the experiment with tracks over turbulence."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from torch import Tensor

from .data import REACH, Sampling


def _figure(width: float, height: float) -> Figure:
    figure = Figure((width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def maps(path: Path, truth: Tensor, under: Any, found: Mapping[str, Mapping[str, Tensor]]) -> None:
    """Draw the middle test day: truth (days, 2, y, x), tracks, and what each method says (days, y, x)."""
    day = len(truth) // 2
    columns = 2 + max(len(methods) for methods in found.values())
    figure = _figure(2.1 * columns, 4.8)
    axes = figure.subplots(2, columns)
    for row, (layer, methods) in enumerate(found.items()):
        limit = 1.1 * float(truth[day, row].abs().max())
        shown: dict[str, Any] = {"truth": truth[day, row]}
        if row == 0:
            seen = under.seen[torch.arange(-REACH, REACH + 1) % len(under.seen)].any(0)
            shown["tracks of 21 days"] = torch.where(seen, truth[day, 0], torch.nan)
        shown |= {name: field[day] for name, field in methods.items()}
        for place, (name, field) in zip(axes[row], shown.items(), strict=False):
            if "regression" in name:
                # A correlation knows no amplitude: draw it with that of the best fit.
                field = field * float((field * truth[day, row]).sum() / field.square().sum())
            image = place.imshow(
                100 * np.asarray(field), origin="lower", cmap="RdBu_r", vmin=-100 * limit, vmax=100 * limit
            )
            place.set_title(name.replace(" on ", "\non ").replace(" from ", "\nfrom "), fontsize=8)
        figure.colorbar(image, ax=axes[row], label=f"{layer}, cm", shrink=0.8)
        for place in axes[row]:
            place.set_axis_off()
    figure.savefig(path, dpi=110)


def skill(path: Path, skills: Mapping[Sampling, Mapping[str, float]], length: float, tracks: int) -> None:
    """Draw the skill of each method by track spacing, and by return period."""
    samplings = list(skills)
    groups = {
        "track spacing, km": (samplings[:tracks], lambda one: length / one.tracks / 1000),
        "return period, days": ([samplings[0], *samplings[tracks:]], lambda one: one.repeat),
    }
    figure = _figure(9, 3.6)
    for place, (label, (some, at)) in zip(figure.subplots(1, 2, sharey=True), groups.items(), strict=True):
        some = sorted(some, key=at)
        for name in skills[samplings[0]]:
            place.plot([at(one) for one in some], [skills[one][name] for one in some], "o-", label=name)
        place.set(xlabel=label)
        place.grid(alpha=0.3)
    figure.axes[0].set_ylabel("skill, 1 - error variance / variance")
    figure.legend(*figure.axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=4)
    figure.savefig(path, dpi=120)
