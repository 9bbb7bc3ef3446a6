"""Figures of the learnt assimilation of Lorenz's systems."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from torch import Tensor

from .data import Seen

_SERIES = 3  # of few variables each is drawn as a curve


def windows(path: Path, seen: Seen, states: Mapping[str, Tensor]) -> None:
    """Draw the first test window: the truth with what is seen of it, and the error of each method."""
    panels = len(states) + 1
    figure = Figure((10, 1.3 * panels), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(panels, sharex=True)
    truth, known = seen.truth[0], seen.known[0]
    limit = 1.05 * float(truth.abs().max())
    few = len(truth) <= _SERIES
    shown = {"truth, and what is seen": truth, **{name: said[0] - truth for name, said in states.items()}}
    for place, (name, field) in zip(axes, shown.items(), strict=True):
        if few:
            place.plot(field.T.numpy(), linewidth=1)
            if field is truth:
                for variable in range(len(truth)):
                    at = known[variable].nonzero()[:, 0]
                    place.plot(at, seen.observed[0, variable, at], f"C{variable}.")
            else:
                place.set_ylim(-limit / 3, limit / 3)
        else:
            place.imshow(field.numpy(), cmap="RdBu_r", vmin=-limit, vmax=limit, aspect="auto")
        place.set_title(name if field is truth else f"error of {name}", fontsize=8, loc="left")
    axes[-1].set_xlabel("steps")
    figure.savefig(path, dpi=110)
