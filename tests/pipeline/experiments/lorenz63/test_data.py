"""The course's Lorenz-63 series and its observations."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from oceanfill.pipeline.experiments.lorenz63.data import (
    TEST,
    TRAINING,
    VALIDATION,
    cut_windows,
    interpolate_spline,
    observe_windows,
    simulate_series,
)
from oceanfill.pipeline.simulators.lorenz63 import integrate
from scipy.interpolate import CubicSpline


def test_the_series_is_that_of_the_course():
    states = simulate_series()
    assert states.shape == (20000, 3)
    assert states[0].tolist() == [8, 0, 30]
    torch.testing.assert_close(states[1], integrate(states[:1], 1, substeps=20)[0, 1], rtol=0, atol=1e-7)
    # The mean of z on the attractor is 23.55 (Sprott 2003); x and y are symmetric about zero.
    assert states[3000:].mean(0).tolist() == pytest.approx([0, 0, 23.55], abs=1.0)


def test_windows_lie_in_their_part_and_parts_do_not_overlap():
    steps = torch.arange(20000.0)[:, None].expand(-1, 3)
    found = cut_windows(steps, TRAINING, 30, every=7)
    assert found.shape == ((12000 - 30) // 7 + 1, 30, 3)
    assert found[2, :, 1].tolist() == list(range(3014, 3044))
    ends = [cut_windows(steps, part, 200).aminmax() for part in (TRAINING, VALIDATION, TEST)]
    assert [(int(low), int(high)) for low, high in ends] == [(3000, 14999), (15000, 17499), (17500, 19999)]


def test_observations_have_the_given_interval_and_noise():
    windows = observe_windows(torch.zeros(400, 200, 3), 8, torch.Generator().manual_seed(0))
    assert torch.nonzero(windows.observed[0, :, 1]).flatten().tolist() == list(range(0, 200, 8))
    assert windows.values[~windows.observed].abs().max() == 0
    assert windows.values[windows.observed].var().item() == pytest.approx(2.0, rel=0.03)


def test_interpolation_agrees_with_numpy_and_scipy_and_is_constant_after_the_last_observation():
    windows = observe_windows(simulate_series()[3000:3200][None], 8, torch.Generator().manual_seed(0))
    times, values = np.arange(0, 200, 8), windows.values[0, ::8].numpy()
    for component in range(3):
        expected = np.interp(np.arange(200), times, values[:, component])
        np.testing.assert_allclose(interpolate_spline(windows)[0, :, component], expected, atol=1e-12)
    expected = CubicSpline(times, values)(np.arange(200).clip(max=192))
    np.testing.assert_allclose(interpolate_spline(windows, degree=3)[0], expected, atol=1e-10)
