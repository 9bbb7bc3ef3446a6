"""Errors of synthetic observations, in standard deviations of the sea."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_opening, distance_transform_edt

from .domain import Booleans, Domain, draw_log_uniform, draw_red_noise, evolve, make_amplitude, surround

_WHITE = 0.02, 0.5
_OUTLIERS = 2.0, 8.0  # deviations


def draw_errors(
    rng: np.random.Generator, domain: Domain, missing: Booleans, clouded: bool
) -> tuple[NDArray[np.floating], dict[str, float]]:
    """Draw errors (time, lat, lon) of observations with gaps: white ones always, others by chance.

    Only those of ``clouded`` seas have rims.
    """
    white = draw_log_uniform(rng, *_WHITE)
    errors = white * rng.standard_normal(domain.shape, dtype=np.float32)
    drawn = {"white": white}
    if rng.random() < 0.2:  # two or three sensors take turns
        drawn["sensors"] = number = int(rng.integers(2, 4))
        factors = np.exp(rng.normal(0, 0.6, number))[np.arange(len(errors)) % number]
        errors *= factors[:, None, None]
        errors += rng.normal(0, 0.3 * white, number)[np.arange(len(errors)) % number, None, None]
    if rng.random() < 0.35:
        drawn["correlated"] = size = draw_log_uniform(rng, 0.03, 0.3)
        errors += size * draw_correlated(rng, domain)
    if rng.random() < 0.3:
        drawn["offsets"] = size = draw_log_uniform(rng, 0.02, 0.3)
        errors += size * rng.standard_normal((len(errors), 1, 1))
    if rng.random() < 0.2:
        drawn["stripes"] = size = draw_log_uniform(rng, 0.03, 0.25)
        errors += size * draw_stripes(rng, domain)
    if clouded and rng.random() < 0.5:
        drawn["rims"] = size = rng.uniform(0.1, 0.9)
        errors += rng.choice([-1, -1, -1, 1]) * size * draw_rims(rng, domain, missing)
    if rng.random() < 0.15:
        drawn["outliers"] = share = draw_log_uniform(rng, 0.0005, 0.01)
        wild = rng.choice([-1, 1], domain.shape) * rng.uniform(*_OUTLIERS, domain.shape)
        errors += wild * (rng.random(domain.shape) < share)
    return errors, drawn


def draw_correlated(rng: np.random.Generator, domain: Domain) -> NDArray[np.floating]:
    """Draw errors (time, lat, lon) of variance 1 that are alike over a few cells of a date."""
    _, rows, columns = domain.shape
    waves = surround(rows, columns)
    amplitude = make_amplitude(waves, rng.uniform(1.2, 2.5), draw_log_uniform(rng, 3, 20))
    return evolve(rng, waves, amplitude, 0.05, domain.steps)[:, :rows, :columns]


def draw_stripes(rng: np.random.Generator, domain: Domain) -> NDArray[np.floating]:
    """Draw errors (time, lat, lon) of variance 1 that are constant along rows, columns or diagonals."""
    dates, rows, columns = domain.shape
    y, x = np.mgrid[:rows, :columns]
    tilt = int(rng.integers(1, 4))
    along = (y, x, tilt * x + y)[rng.integers(3)]
    number = along // int(rng.integers(1, 4))
    return rng.standard_normal((dates, int(number.max()) + 1))[:, number]


def draw_rims(rng: np.random.Generator, domain: Domain, missing: Booleans) -> NDArray[np.floating]:
    """Draw what undetected cloud adds (time, lat, lon): of order 1 in patches, falling off from the gaps.

    Single missing cells have no rim.
    """
    _, rows, columns = domain.shape
    gaps = binary_opening(missing & domain.sea, np.ones((1, 3, 3), bool))
    width = draw_log_uniform(rng, 0.8, 4.0)
    rims = np.zeros(domain.shape, np.float32)
    for number, gap in enumerate(gaps):
        if gap.any():
            patches = np.maximum(draw_red_noise(rng, rows, columns, 2.0, 15), 0)
            rims[number] = patches * np.exp(-distance_transform_edt(~gap) / width)
    return rims
