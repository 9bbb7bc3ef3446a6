"""Quasi-geostrophic seas: scales of heights, vorticities and tracers, and how dates part."""

from __future__ import annotations

import numpy as np
from fields import open_water
from oceanfill.pipeline.simulators.seas.quasigeostrophic import draw_heights


def test_regimes_differ_in_their_smallest_scales():
    """Slopes over spread: heights are the smoothest; the tracer stays within the range it is restored to."""
    rough, kept = {"heights": [], "vorticity": [], "tracer": []}, []
    for seed in range(10):
        field, drawn = draw_heights(np.random.default_rng(seed), open_water(6, 36, 32))
        assert np.isfinite(field).all()
        slope = np.diff(field, axis=1).std() / field.std() * drawn["radius"]
        rough[drawn["regime"]].append(slope)
        if drawn["regime"] == "tracer":
            assert np.abs(field).max() <= 1
        first = (field - field.mean()).reshape(6, -1)
        kept.append([np.corrcoef(first[0], first[k])[0, 1] for k in (1, 5)])
    assert np.mean(rough["heights"]) < 0.7 * np.mean(rough["vorticity"])
    near, far = np.mean(kept, axis=0)
    assert near > 0.8
    assert far < near - 0.1
