"""Lognormal concentrations, as of chlorophyll: eddies, blooms that grow and fade, plumes along coasts."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt

from .domain import Domain, Parameters, draw_log_uniform, evolve, make_amplitude, surround
from .gaussian import draw_eddies

_REGIMES = ("open", "blooms", "plumes")


def draw_concentrations(rng: np.random.Generator, domain: Domain) -> tuple[NDArray[np.floating], Parameters]:
    """Draw logarithms of concentrations (time, lat, lon) in one of three regimes.

    Those of the open sea are Gaussian. Plumes need a coast; where there is none, one side is the coast.
    """
    _, rows, columns = domain.shape
    waves = surround(rows, columns)
    regime = str(rng.choice(_REGIMES))
    field, parameters = draw_eddies(rng, domain, waves, draw_log_uniform(rng, 0.5, 12.0))
    field = field[:, :rows, :columns]
    lasting = make_amplitude(waves, rng.uniform(2.0, 3.5), rng.uniform(20, 150))
    field = field + rng.uniform(0, 1.0) * waves.invert(waves.draw(rng, lasting))[:rows, :columns]
    if regime == "blooms":
        field = field + draw_blooms(rng, domain)
    if regime == "plumes":
        field = field + draw_plumes(rng, domain)
    return field, {**parameters, "regime": regime}


def draw_blooms(rng: np.random.Generator, domain: Domain) -> NDArray[np.floating]:
    """Draw patches (time, lat, lon) that drift while they grow and fade, up to a few deviations high."""
    dates, rows, columns = domain.shape
    y, x = np.mgrid[:rows, :columns].astype(np.float32)
    last = domain.steps[-1]
    total = np.zeros(domain.shape, np.float32)
    for _ in range(int(rng.integers(2, 4 + dates // 4))):
        radius = draw_log_uniform(rng, 2, 0.3 * max(rows, columns))
        peak, duration = rng.uniform(0, last), draw_log_uniform(rng, 0.7, 8)
        north, east = rng.normal(0, 0.5, 2)
        row, column = rng.uniform(0, rows), rng.uniform(0, columns)
        stretch = draw_log_uniform(rng, 0.5, 2.0)
        since = (domain.steps - peak)[:, None, None]
        apart = ((y - row - north * since) * stretch) ** 2 + ((x - column - east * since) / stretch) ** 2
        total += rng.uniform(0.5, 2.5) * np.exp(-apart / (2 * radius**2) - (since / duration) ** 2 / 2)
    return total


def draw_plumes(rng: np.random.Generator, domain: Domain) -> NDArray[np.floating]:
    """Draw what rivers and upwelling add (time, lat, lon) near coasts, in places and widths that vary."""
    _, rows, columns = domain.shape
    land = ~domain.sea
    if not land.any():
        land = np.zeros_like(land)
        land[(slice(None), 0) if rng.random() < 0.5 else (0, slice(None))] = True
    distance = distance_transform_edt(~land)
    waves = surround(rows, columns)
    amplitude = make_amplitude(waves, rng.uniform(2.0, 3.0), draw_log_uniform(rng, 15, 80))
    memory = draw_log_uniform(rng, 1, 20)
    where = evolve(rng, waves, amplitude, memory, domain.steps, smooth=True)[:, :rows, :columns]
    width = draw_log_uniform(rng, 1.5, 12) * np.exp(0.5 * where)
    return rng.uniform(1.0, 3.0) * np.exp(-distance / width) * (1 + 0.5 * np.tanh(where))
