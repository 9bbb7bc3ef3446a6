"""One component of hourly currents: tides and inertial oscillations over eddies with a memory of hours."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .domain import Domain, Floats, Parameters, Waves, draw_log_uniform, evolve, make_amplitude, surround
from .gaussian import draw_eddies

_PERIODS = {"M2": 12.42, "S2": 12.0, "K1": 23.93, "O1": 25.82}  # hours
_DAY = 23.93  # hours, of the Earth's turn relative to the stars
_REGIMES = ("tidal", "inertial", "windy")


def draw_currents(rng: np.random.Generator, domain: Domain) -> tuple[NDArray[np.floating], Parameters]:
    """Draw a component (time, lat, lon) of the current in one of three regimes."""
    _, rows, columns = domain.shape
    waves = surround(rows, columns)
    regime = str(rng.choice(_REGIMES))
    hours = 24 * domain.days
    memory = draw_log_uniform(rng, 3, 60) / (24 * domain.step)  # of 3 to 60 hours
    field, parameters = draw_eddies(rng, domain, waves, max(memory, 0.3))
    strength = rng.uniform(0.3, 1.5) if regime != "windy" else rng.uniform(0.0, 0.4)
    periods = [float(_DAY / (2 * np.sin(np.radians(rng.uniform(15, 65)))))]
    if regime == "tidal":
        periods = [_PERIODS[name] for name in rng.choice(list(_PERIODS), rng.integers(1, 4), replace=False)]
    for period in periods:
        # Inertial oscillations forget their phase, tides hardly.
        kept = draw_log_uniform(rng, 100, 1000) if regime == "tidal" else draw_log_uniform(rng, 20, 80)
        field += strength / len(periods) * oscillate(rng, waves, hours, period, kept)
    wide = make_amplitude(waves, 3.0, 200)
    wind = rng.uniform(0.5, 1.2) if regime == "windy" else rng.uniform(0.0, 0.5)
    field += wind * evolve(rng, waves, wide, draw_log_uniform(rng, 3, 30), hours)
    lasting = make_amplitude(waves, rng.uniform(2.0, 3.0), rng.uniform(15, 80))
    field += rng.uniform(0, 1.0) * waves.invert(waves.draw(rng, lasting))
    drawn: dict[str, float | str] = {
        "regime": regime,
        "oscillation": strength,
        "period": periods[0],
        "wind": wind,
    }
    return field[:, :rows, :columns], {**parameters, **drawn}


def oscillate(
    rng: np.random.Generator, waves: Waves, hours: Floats, period: float, memory: float
) -> NDArray[np.floating]:
    """Draw an oscillation (time, rows, columns) whose phase and amplitude vary in space.

    ``hours`` are those of the dates, ``period`` is in hours, as is the ``memory`` of phase and amplitude. A
    part that is drawn, too, is in phase everywhere.
    """
    amplitude = make_amplitude(waves, rng.uniform(2.0, 3.5), draw_log_uniform(rng, 20, 200))
    cosine, sine = (evolve(rng, waves, amplitude, memory, hours, smooth=True) for _ in range(2))
    phase = (2 * np.pi * hours / period)[:, None, None]
    mean = rng.uniform(0, 1.5) * np.cos(phase + rng.uniform(0, 2 * np.pi))
    return cosine * np.cos(phase) + sine * np.sin(phase) + mean
