"""Gaussian seas: random anisotropic spectra, memory that depends on scale, drift, weather of single dates."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .domain import Domain, Parameters, Waves, draw_log_uniform, evolve, make_amplitude, surround

_REGIMES = {
    "eddies": (2.0, 20.0),
    "quick": (0.5, 2.0),
    "still": (20.0, 200.0),
}  # memory of the largest scales


def draw_gaussian(rng: np.random.Generator, domain: Domain) -> tuple[NDArray[np.floating], Parameters]:
    """Draw a sea (time, lat, lon) of eddies, with the weather and the offset of each date."""
    dates, rows, columns = domain.shape
    waves = surround(rows, columns)
    regime = str(rng.choice(list(_REGIMES), p=(0.55, 0.3, 0.15)))
    field, parameters = draw_eddies(rng, domain, waves, draw_log_uniform(rng, *_REGIMES[regime]))
    weather, offset = rng.uniform(0, 0.6), rng.uniform(0, 0.3) * rng.integers(0, 2)
    wide = make_amplitude(waves, rng.uniform(2.0, 3.5), rng.uniform(60, 300))
    field += weather * evolve(rng, waves, wide, draw_log_uniform(rng, 0.2, 1.5), domain.steps)
    field += offset * rng.standard_normal((dates, 1, 1))
    if regime == "still" or rng.random() < 0.3:  # a part that stays: climate, topography
        lasting = make_amplitude(waves, rng.uniform(2.0, 3.5), rng.uniform(20, 150))
        field += rng.uniform(0.3, 1.5) * waves.invert(waves.draw(rng, lasting))
    drawn: dict[str, float | str] = {"regime": regime, "weather": weather, "offset": offset}
    return field[:, :rows, :columns], {**parameters, **drawn}


def draw_eddies(
    rng: np.random.Generator, domain: Domain, waves: Waves, memory: float
) -> tuple[NDArray[np.float32], dict[str, float | str]]:
    """Draw eddies (time, rows, columns) of the periodic domain, whose largest scales have a ``memory``."""
    slope, longest = rng.uniform(1.4, 3.6), draw_log_uniform(rng, 10, 120)
    anisotropy, angle = rng.uniform(1, 2.5), rng.uniform(0, np.pi)
    shortening = rng.uniform(0, 1.2)  # exponent of the memory: 1 for eddies that turn at one speed
    drift = rng.normal(0, rng.choice([0.0, 0.5, 1.5]), 2)
    smooth = bool(rng.random() < 0.5)
    amplitude = make_amplitude(waves, slope, longest, anisotropy, angle)
    memories = memory * np.maximum(1, waves.total * longest / (2 * np.pi)) ** -shortening
    field = evolve(rng, waves, amplitude, np.maximum(memories, 0.1), domain.steps, drift, smooth)
    return field, {
        "slope": slope,
        "longest": longest,
        "anisotropy": anisotropy,
        "memory": memory,
        "shortening": shortening,
        "drift": float(np.hypot(*drift)),
        "smooth": float(smooth),
    }
