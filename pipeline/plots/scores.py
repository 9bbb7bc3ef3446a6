"""Pictures of a score: by class of hidden values, of reliability, and of the training that led to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from ..errors import InputError
from ..holdout.score_classes import ALL, LEVELS, Score, ScoreClasses
from .layers import escape_math
from .series import convert_dates, show_dates

KINDS = {
    "origin": "by origin of the cells around the point",
    "region": "by region (quarters of the map)",
    "season": "by season",
    "distance": "by distance to the nearest value of the date",
    "age": "by age of the gap (days to the nearest value of the pixel)",
}
BLUE, VERMILION = "#0072b2", "#d55e00"  # Okabe and Ito 2008, told apart by all eyes
_SIZE = 4.0, 3.2  # inches: small, so that texts are readable on a phone
Floats = NDArray[np.floating]
_ROW = 0.36  # inches, of a class


def make_axes(width: float = _SIZE[0], height: float = _SIZE[1]) -> tuple[Figure, Axes]:
    """Return a figure with one pair of axes; nothing of it needs a display."""
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.grid(lw=0.3)
    return figure, axes


def read_classes(attrs: Mapping[Any, Any], name: str) -> ScoreClasses | None:
    """Return the scores by class of a variable from the attributes of a filled file; None without them.

    With several variables the attributes of a score carry the name of theirs.
    """
    held = attrs.get(f"{name}_score_classes", attrs.get("score_classes"))
    return None if held is None else ScoreClasses.from_json(str(held))


def draw_classes(scores: Sequence[Score], kind: str, units: str) -> Figure:
    """Draw the RMSE of each class of a kind with its 95% interval, and that of all values as a line."""
    rows = [score for score in scores if score.by == kind]
    figure, axes = make_axes(height=1.1 + _ROW * len(rows))
    for at, row in enumerate(rows):
        if row.low is not None and row.high is not None:
            axes.plot([row.low, row.high], [at, at], color=BLUE, lw=2, alpha=0.5)
        axes.plot(row.rmse, at, "o", color=BLUE)
    whole = next((score.rmse for score in scores if score.by == ALL), None)
    if whole is not None:
        axes.axvline(whole, color=VERMILION, lw=1.2, ls="--")
    axes.set_yticks(range(len(rows)), [row.name for row in rows])
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_xlim(left=0)
    axes.set_xlabel(_with_units("RMSE", units))
    return figure


def draw_dates(dates: pd.Index, missing: Floats, error: Floats, units: str) -> Figure:
    """Draw the share of missing values and the root mean square standard error of each date."""
    figure = Figure(figsize=(5.5, 3.6), layout="constrained")
    FigureCanvasAgg(figure)
    days = convert_dates(dates)
    for axes, values, label in zip(
        figure.subplots(2, 1, sharex=True),
        (100 * missing, error),
        ("sea missing (%)", _with_units("standard error", units)),
        strict=True,
    ):
        axes.plot(days, values, ".-", color=BLUE, lw=1, ms=4)
        axes.set_ylabel(label)
        axes.set_ylim(bottom=0)
        axes.grid(lw=0.3)
    show_dates(axes.xaxis)
    return figure


def draw_spread(rows: Sequence[Mapping[str, Any]], units: str) -> Figure:
    """Draw the root mean square difference found in each class of the standard error against the expected."""
    figure, axes = make_axes(height=4.0)
    expected, found = ([row[key] for row in rows] for key in ("expected", "found"))
    most = 1.05 * max(*expected, *found)
    axes.plot([0, most], [0, most], color="0.5", lw=0.8, label="a perfect error")
    axes.plot(expected, found, "o-", color=BLUE, ms=4, lw=1.2, label="points")
    axes.set(xlim=(0, most), ylim=(0, most), aspect="equal")
    axes.set_xlabel(_with_units("standard error", units))
    axes.set_ylabel(_with_units("RMS difference", units))
    axes.legend(fontsize=8, loc="upper left")
    return figure


def draw_reliability(found: Sequence[float], what: str = "hidden values") -> Figure:
    """Draw the share of hidden values, or of ``what``, inside each central interval against its level.

    Raises `InputError` where the shares, one for each of `score_classes.LEVELS`, are unknown.
    """
    if len(found) != len(LEVELS):
        raise InputError(
            "the reliability is not known: the file holds no score by class; fill the field again, with "
            "values held out"
        )
    figure, axes = make_axes(height=4.0)
    axes.plot([0, 100], [0, 100], color="0.5", lw=0.8, label="a perfect error")
    axes.plot(LEVELS, 100 * np.asarray(found), "o-", color=BLUE, ms=4, lw=1.2, label=what)
    axes.set(xlim=(0, 100), ylim=(0, 100), aspect="equal")
    axes.set_xlabel("nominal level of the interval (%)")
    axes.set_ylabel(f"{what} inside (%)")
    axes.legend(fontsize=8, loc="upper left")
    return figure


def draw_curve(epochs: Sequence[Mapping[str, float]]) -> Figure:
    """Draw what a network logged in each epoch: its loss, and its RMSE on validation values.

    The RMSE is a fraction of that of the first guess.
    """
    figure, axes = make_axes()
    number = np.arange(1, len(epochs) + 1)
    held = [epoch.get("held_out", np.nan) for epoch in epochs]
    if np.isfinite(held).any():
        axes.plot(number, held, "o-", color=BLUE, ms=4)
        axes.axhline(1, color="0.5", lw=0.8)
        axes.set_ylabel("RMSE on validation values /\nRMSE of the first guess", color=BLUE)
        below = axes.twinx()
    else:
        below = axes
    losses = [epoch.get("loss", np.nan) for epoch in epochs]
    if np.isfinite(losses).any():
        below.plot(number, losses, "s--", color=VERMILION, ms=4)
        below.set_ylabel("training loss", color=VERMILION)
    axes.set_xlabel("epoch")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    return figure


def _with_units(what: str, units: str) -> str:
    return escape_math(f"{what} ({units})" if units else what)
