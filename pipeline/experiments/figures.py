"""Figures that need no display."""

from __future__ import annotations

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

# Of Okabe and Ito 2008: colour-blind readers can distinguish them.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")


def make_figure(width: float, height: float) -> Figure:
    """Make an empty figure of this size, in inches."""
    figure = Figure((width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure
