"""Pictures of a score."""

from __future__ import annotations

import numpy as np
import pytest
from oceanfill.pipeline.errors import InputError
from oceanfill.pipeline.holdout.score_classes import LEVELS, Score
from oceanfill.pipeline.plots.scores import draw_classes, draw_curve, draw_reliability, draw_spread


def test_classes_have_their_rmse_and_interval():
    rows = [
        Score("all", "all", 9, 0.5, 0.4, 0.6, 0, 0.7, 0.9),
        Score("age", "up to 1 day", 5, 0.3, 0.2, 0.4, 0, 0.7, 0.9),
        Score("age", "more than 1 day", 4, 0.7, None, None, 0, 0.7, 0.9),
    ]
    axes = draw_classes(rows, "age", "°C").axes[0]
    drawn = [np.ravel(line.get_xdata()).tolist() for line in axes.lines]
    assert drawn == [[0.2, 0.4], [0.3], [0.7], [0.5, 0.5]]
    assert [text.get_text() for text in axes.get_yticklabels()] == ["up to 1 day", "more than 1 day"]
    assert axes.get_xlabel() == "RMSE (°C)"


def test_reliability_is_in_percent():
    found = np.linspace(0.1, 0.9, len(LEVELS))
    diagonal, line = draw_reliability(found).axes[0].lines
    np.testing.assert_allclose(line.get_ydata(), 100 * found)
    assert list(diagonal.get_xdata()) == list(diagonal.get_ydata())
    with pytest.raises(InputError, match="fill the field again"):
        draw_reliability(())


def test_spread_is_drawn_against_what_was_expected():
    rows = [{"expected": 0.2, "found": 0.25}, {"expected": 0.6, "found": 0.5}]
    figure = draw_spread(rows, "°C")
    diagonal, line = figure.axes[0].lines
    assert line.get_xydata().tolist() == [[0.2, 0.25], [0.6, 0.5]]
    assert list(diagonal.get_xdata()) == list(diagonal.get_ydata()) == pytest.approx([0, 0.63])
    assert figure.axes[0].get_ylabel() == "RMS difference (°C)"


def test_curve_without_validation_has_the_loss_alone():
    both = draw_curve([{"loss": 2, "held_out": 0.9}, {"loss": 1, "held_out": 0.8}])
    assert [list(axes.lines[0].get_ydata()) for axes in both.axes] == [[0.9, 0.8], [2, 1]]
    (alone,) = draw_curve([{"loss": 2}, {"loss": 1}]).axes
    assert list(alone.lines[0].get_ydata()) == [2, 1]
