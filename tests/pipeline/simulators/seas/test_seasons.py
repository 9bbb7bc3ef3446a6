"""Seasons of long records, trends of short ones."""

from __future__ import annotations

import numpy as np
import pytest
from fields import open_water
from oceanfill.pipeline.simulators.seas.seasons import draw_season


def test_long_records_have_a_yearly_cycle_of_the_drawn_amplitude():
    domain, ratios = open_water(48, 15, 18, 365.25 / 12), []
    phase = 2 * np.pi * domain.days / 365.25
    cycles = [np.cos(phase), np.sin(phase), np.cos(2 * phase), np.sin(2 * phase)]
    fit = np.linalg.pinv(np.stack([*cycles, domain.days / domain.days[-1], np.ones(48)], 1))
    for seed in range(30):
        added, drawn = draw_season(np.random.default_rng(seed), domain)
        cosine, sine, _, _, trend, _ = np.tensordot(fit, added, 1)
        ratios.append(np.hypot(cosine, sine).mean() / drawn["season"])
        assert abs(trend.mean() / drawn["trend"] - 1) < 0.9
    assert np.mean(ratios) == pytest.approx(1, abs=0.1)


def test_one_short_record_in_four_has_a_trend_and_none_a_season():
    domain = open_water(10, 15, 15)
    drawn = [draw_season(np.random.default_rng(seed), domain) for seed in range(300)]
    share = np.mean([one["trend"] != 0 for _, one in drawn])
    assert share == pytest.approx(0.25, abs=0.075)  # three standard errors
    assert all(one["season"] == 0 for _, one in drawn)
    still = [added for added, one in drawn if one["trend"] == 0]
    assert np.abs(still).max() == 0
