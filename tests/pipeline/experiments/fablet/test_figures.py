"""The scale of the errors in the figures of learnt assimilation."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from oceanfill.pipeline.experiments.fablet.data import AssimilationWindows
from oceanfill.pipeline.experiments.fablet.figures import compare_errors
from torch import Tensor

SIZES = {"good": 1.0, "fair": 2.0, "failed": 50.0}  # largest error of each method


def make_case(variables: int) -> tuple[AssimilationWindows, dict[str, Tensor]]:
    truth = 10 * torch.sin(torch.arange(20.0)).expand(1, variables, 20)
    observed = torch.zeros(1, variables, 20, dtype=torch.bool)
    observed[:, ::2, ::4] = True
    wave = torch.cos(torch.arange(20.0))  # its largest value is the first, 1
    states = {name: truth + size * wave for name, size in SIZES.items()}
    return AssimilationWindows(truth, truth, torch.where(observed, truth, 0.0), observed), states


@pytest.mark.parametrize("variables", [3, 8])
def test_a_method_that_fails_does_not_set_the_scale(variables: int) -> None:
    figure = compare_errors(*make_case(variables))
    panels = [panel for panel in figure.axes if panel.get_title(loc="left").startswith("error")]
    if variables == 3:
        scales = [panel.get_ylim() for panel in panels]
    else:
        scales = [panel.images[0].get_clim() for panel in panels]
    assert np.asarray(scales) == pytest.approx(
        np.array(3 * [(-3.0, 3.0)])
    )  # 1.5 times the median of 1, 2 and 50
    rms = float(torch.cos(torch.arange(20.0)).square().mean().sqrt())
    assert [panel.get_title(loc="left") for panel in panels] == [
        f"error of good (RMSE {rms:.2f})",
        f"error of fair (RMSE {2 * rms:.2f})",
        f"error of failed (RMSE {50 * rms:.2f}, beyond the scale)",
    ]


def test_observations_of_many_variables_have_their_own_panel_and_colour_bars_name_both_scales() -> None:
    figure = compare_errors(*make_case(8))
    (seen,) = (panel for panel in figure.axes if panel.get_title(loc="left") == "observations")
    values = seen.images[0].get_array()
    assert values is not None
    assert (~np.ma.getmaskarray(np.ma.masked_invalid(values))).sum() == 4 * 5
    assert [panel.get_ylabel() for panel in figure.axes[-2:]] == ["state", "error"]
