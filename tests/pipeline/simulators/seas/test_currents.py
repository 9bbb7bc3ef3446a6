"""Hourly currents: oscillations with the periods of tides and of inertia."""

from __future__ import annotations

import numpy as np
import pytest
from fields import open_water
from oceanfill.pipeline.simulators.seas.currents import draw_currents, oscillate
from oceanfill.pipeline.simulators.seas.domain import Waves


@pytest.mark.parametrize(
    ("period", "memory", "width"), [(12.42, 1000.0, 0.05), (23.93, 1000.0, 0.1), (17.0, 40.0, 0.4)]
)
def test_oscillations_have_their_period_and_a_line_as_wide_as_their_memory_is_short(period, memory, width):
    hours = np.arange(720.0)
    field = oscillate(np.random.default_rng(0), Waves(12, 12), hours, period, memory)
    power = (np.abs(np.fft.rfft(field, axis=0)) ** 2).sum((1, 2))[1:]
    frequency = np.arange(1, 361) / 720 * period  # in cycles per period
    inside = (frequency > 0.5) & (frequency < 2)
    mean = (frequency * power)[inside].sum() / power[inside].sum()
    assert mean == pytest.approx(1, abs=0.06)
    spread = np.sqrt(((frequency - mean) ** 2 * power)[inside].sum() / power[inside].sum())
    assert 0.2 * width < spread < width


def test_tides_have_tidal_periods():
    drawn = [draw_currents(np.random.default_rng(k), open_water(8, 16, 16, 1 / 24))[1] for k in range(24)]
    periods = {one["period"] for one in drawn if one["regime"] == "tidal"}
    assert len(periods) >= 3
    assert periods <= {12.42, 12.0, 23.93, 25.82}


def test_windy_currents_oscillate_less():
    found = {"tidal": [], "inertial": [], "windy": []}
    for seed in range(24):
        _, drawn = draw_currents(np.random.default_rng(seed), open_water(8, 16, 16, 1 / 24))
        found[drawn["regime"]].append(drawn["oscillation"])
    assert max(found["windy"]) <= 0.4
    assert min(found["tidal"] + found["inertial"]) >= 0.3


def test_inertial_periods_are_those_of_15_to_65_degrees():
    drawn = [draw_currents(np.random.default_rng(k), open_water(8, 16, 16, 1 / 24))[1] for k in range(40)]
    periods = [one["period"] for one in drawn if one["regime"] == "inertial"]
    assert 13.2 <= min(periods) < max(periods) <= 46.3
