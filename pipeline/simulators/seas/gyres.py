"""Heights of wind-driven seas without a dynamical model: meandering jets, double gyres, rings, Rossby waves.

The jet is that of Bower (1991, doi:10.1175/1520-0485(1991)021<0173:ASKMOM>2.0.CO;2), with several meanders;
the gyres are those of Stommel (1948, doi:10.1029/TR029i002p00202).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .domain import Domain, Floats, Parameters, draw_log_uniform, surround
from .gaussian import draw_eddies

_REGIMES = ("jet", "gyres", "rings")


def draw_gyres(rng: np.random.Generator, domain: Domain) -> tuple[NDArray[np.floating], Parameters]:
    """Draw heights (time, lat, lon) in one of three regimes, with eddies all over the sea."""
    _, rows, columns = domain.shape
    regime = str(rng.choice(_REGIMES))
    y, x = np.mgrid[:rows, :columns].astype(np.float32)
    size = max(rows, columns)
    pace = draw_log_uniform(rng, 0.02, 0.5)  # cells per step of the westward waves and rings, over sqrt(size)
    pace *= np.sqrt(size)
    field = draw_rings(rng, domain, y, x, pace)
    if regime == "jet":
        field = draw_jet(rng, domain, y, x, pace) + rng.uniform(0.2, 0.7) * field
    elif regime == "gyres":
        field = draw_double_gyre(rng, domain, y, x, pace) + rng.uniform(0, 0.4) * field
    waves = surround(rows, columns)
    share = rng.uniform(0.1, 0.6)
    eddies, _ = draw_eddies(rng, domain, waves, draw_log_uniform(rng, 2, 30))
    field = field / max(float(field.std()), 1e-6) + share * eddies[:, :rows, :columns]
    return field, {"regime": regime, "pace": float(pace), "eddies": share}


def draw_jet(
    rng: np.random.Generator, domain: Domain, y: Floats, x: Floats, pace: float
) -> NDArray[np.floating]:
    """Draw a step of height (time, lat, lon) across a jet whose meanders move, grow and decay."""
    size = max(domain.shape[1:])
    angle = rng.uniform(-0.6, 0.6) + rng.choice([0, np.pi / 2])
    along, across = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    across = across - np.median(across) - rng.normal(0, 0.15) * size
    steps = domain.steps[:, None, None]
    axis = np.zeros(domain.shape, np.float32)
    for _ in range(int(rng.integers(2, 5))):
        length = draw_log_uniform(rng, 0.25, 1.5) * size
        height = rng.uniform(0.03, 0.12) * length
        change = np.cos(2 * np.pi * steps / draw_log_uniform(rng, 20, 300) + rng.uniform(0, 6))
        moved = along - pace * rng.uniform(-0.5, 1.5) * steps
        axis += height * (0.7 + 0.3 * change) * np.cos(2 * np.pi * moved / length + rng.uniform(0, 6))
    slope = np.gradient(axis, axis=2) * np.cos(angle) + np.gradient(axis, axis=1) * np.sin(angle)
    width = draw_log_uniform(rng, 0.03, 0.2) * size
    return np.tanh((across - axis) / (width * np.sqrt(1 + slope**2)))  # the width holds on the flanks, too


def draw_double_gyre(
    rng: np.random.Generator, domain: Domain, y: Floats, x: Floats, pace: float
) -> NDArray[np.floating]:
    """Draw gyres (time, lat, lon) with a western boundary current, its jet, and Rossby waves."""
    _, rows, columns = domain.shape
    size = max(rows, columns)
    steps = domain.steps[:, None, None]
    boundary = rng.uniform(0.03, 0.12)
    east = (x + rng.uniform(0, 0.3) * size) / (1.3 * size)  # 0 at the western, 1 at the eastern wall
    profile = 1 - east - np.exp(-east / boundary)
    middle = rng.uniform(0.3, 0.7) * rows
    length = rng.uniform(0.2, 0.6) * size
    meander = rng.uniform(0.02, 0.08) * size * np.cos(2 * np.pi * (x - pace * steps) / length)
    north = y - middle - meander * np.exp(-2 * east)
    wind = 1 + rng.uniform(0, 0.3) * np.cos(2 * np.pi * steps / draw_log_uniform(rng, 20, 400))
    field = -wind * profile * np.sin(np.pi * north / (rng.uniform(0.6, 1.4) * rows))
    field -= rng.uniform(0.2, 0.8) * np.exp(-2 * east) * np.tanh(north / (rng.uniform(0.03, 0.1) * size))
    for _ in range(3):
        k, m = rng.normal(0, 2 * np.pi / (0.4 * size), 2)
        crests = k * (x + pace * steps) + m * y  # which go west
        field += rng.uniform(0.02, 0.12) * np.cos(crests + rng.uniform(0, 6))
    return field


def draw_rings(
    rng: np.random.Generator, domain: Domain, y: Floats, x: Floats, pace: float
) -> NDArray[np.floating]:
    """Draw isolated eddies (time, lat, lon) of either sign, which drift west, grow and decay."""
    _, rows, columns = domain.shape
    size, span = max(rows, columns), float(domain.steps[-1])
    total = np.zeros(domain.shape, np.float32)
    for _ in range(int(rng.integers(4, 25))):
        radius = draw_log_uniform(rng, max(1.5, 0.03 * size), 0.16 * size)
        born, age = rng.uniform(-0.5 * span, span), draw_log_uniform(rng, 5, 100)
        since = (domain.steps - born)[:, None, None]
        row = rng.uniform(0, rows) + rng.normal(0, 0.2 * pace) * since
        column = rng.uniform(0, columns + 0.5 * pace * span) - pace * rng.uniform(0.5, 1.5) * since
        life = np.exp(-((since / age - 0.5) ** 2) * 2)
        distance = ((y - row) ** 2 + ((x - column) * rng.uniform(0.7, 1.4)) ** 2) / (2 * radius**2)
        total += rng.choice([-1, 1]) * rng.uniform(0.3, 1) * life * np.exp(-distance)
    return total
