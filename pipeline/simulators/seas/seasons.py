"""Seasonal cycles of long records, and slow trends of short ones."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .domain import Domain, draw_red_noise

_YEAR = 365.25  # days
_LONG = 2 * _YEAR
_TREND_SHARE = 0.25  # of the short records


def draw_season(rng: np.random.Generator, domain: Domain) -> tuple[NDArray[np.floating], dict[str, float]]:
    """Draw what is added (time, lat, lon) to a sea of standard deviation 1.

    Records longer than two years have a cycle whose amplitude and phase vary in space, sometimes with a
    second harmonic, and a trend. Of the others one in four has a trend, as in spring or autumn.
    """
    _, rows, columns = domain.shape
    added = np.zeros(domain.shape, np.float32)
    drawn = {"season": 0.0, "trend": 0.0}
    if domain.days[-1] > _LONG:
        drawn["season"] = season = rng.uniform(0.3, 2.5)
        strength = 1 + 0.4 * draw_red_noise(rng, rows, columns, 3.0, 150)
        late = rng.uniform(0, 2 * np.pi) + 0.5 * draw_red_noise(rng, rows, columns, 3.0, 150)
        phase = 2 * np.pi * domain.days[:, None, None] / _YEAR - late
        second = rng.choice([0.0, rng.uniform(0.1, 0.6)])
        added += season * strength * (np.cos(phase) + second * np.cos(2 * phase + rng.uniform(0, 6)))
        drawn["trend"] = rng.normal(0, 0.5)
    elif rng.random() < _TREND_SHARE:
        drawn["trend"] = rng.normal(0, 1.5)
    if drawn["trend"]:
        pattern = 1 + 0.4 * draw_red_noise(rng, rows, columns, 3.0, 200)
        added += drawn["trend"] * (domain.days / domain.days[-1] - 0.5)[:, None, None] * pattern
    return added, drawn
