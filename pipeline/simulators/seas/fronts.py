"""Fronts, water masses and filaments: nonlinear transforms of Gaussian fields."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates

from .domain import Domain, Parameters, draw_log_uniform, evolve, make_amplitude, surround
from .gaussian import draw_eddies

_REGIMES = ("fronts", "masses", "filaments", "ramps")


def draw_fronts(rng: np.random.Generator, domain: Domain) -> tuple[NDArray[np.floating], Parameters]:
    """Draw a sea (time, lat, lon) with fronts in one of four regimes, and some Gaussian variability."""
    _, rows, columns = domain.shape
    waves = surround(rows, columns)
    regime = str(rng.choice(_REGIMES))
    memory = draw_log_uniform(rng, 1.0, 25.0)
    sharpness = draw_log_uniform(rng, 0.8, 6.0)
    parameters: dict[str, float | str] = {}
    if regime == "filaments":
        field = warp(rng, domain, memory)
    else:
        longest = draw_log_uniform(rng, 15, 120)
        amplitude = make_amplitude(
            waves, rng.uniform(2.2, 3.6), longest, rng.uniform(1, 3), rng.uniform(0, 3)
        )
        drift = rng.normal(0, 0.7, 2)
        memories = memory * np.maximum(1, waves.total * longest / (2 * np.pi)) ** -rng.uniform(0.2, 1.0)
        smooth = bool(rng.random() < 0.7)
        field = evolve(rng, waves, amplitude, np.maximum(memories, 0.2), domain.steps, drift, smooth)
        field = field[:, :rows, :columns]
        transforms = {"fronts": sharpen, "masses": separate_masses, "ramps": make_ramps}
        field = transforms[regime](rng, field, sharpness)
        parameters = {"longest": longest}
    rest = rng.uniform(0.0, 0.5)
    eddies, _ = draw_eddies(rng, domain, waves, draw_log_uniform(rng, 0.5, 15.0))
    field = field / max(float(field.std()), 1e-6) + rest * eddies[:, :rows, :columns]
    drawn: dict[str, float | str] = {"regime": regime, "memory": memory, "sharpness": sharpness, "rest": rest}
    return field, {**parameters, **drawn}


def sharpen(rng: np.random.Generator, field: NDArray[np.floating], sharpness: float) -> NDArray[np.floating]:
    """Return two water masses and fronts between them: tanh of the field, centred at a random level."""
    return np.tanh(sharpness * (field - rng.normal(0, 0.4)))


def separate_masses(
    rng: np.random.Generator, field: NDArray[np.floating], sharpness: float
) -> NDArray[np.floating]:
    """Return three to six water masses, whose values need not follow their order."""
    edges = np.sort(rng.normal(0, 0.9, rng.integers(2, 6)))
    jumps = rng.normal(0.4, 1.0, len(edges))
    steps = (np.tanh(2 * sharpness * (field - edge)) for edge in edges)
    return np.sum([jump * step for jump, step in zip(jumps, steps, strict=True)], axis=0)


def make_ramps(
    rng: np.random.Generator, field: NDArray[np.floating], sharpness: float
) -> NDArray[np.floating]:
    """Return a skewed field: flat on one side of a front, a steep slope on the other."""
    return rng.choice([-1.0, 1.0]) * np.logaddexp(0, sharpness * (field - rng.normal(0.3, 0.5)))


def warp(rng: np.random.Generator, domain: Domain, memory: float) -> NDArray[np.floating]:
    """Return filaments (time, lat, lon): a large-scale field displaced along the streamlines of eddies."""
    _, rows, columns = domain.shape
    waves = surround(rows, columns)
    size = draw_log_uniform(rng, 12, 60)
    amplitude = make_amplitude(waves, rng.uniform(3.0, 4.5), size)
    stream = evolve(rng, waves, amplitude, memory, domain.steps, rng.normal(0, 0.5, 2), smooth=True)
    wide = make_amplitude(waves, rng.uniform(2.5, 4.0), rng.uniform(60, 200))
    base = waves.invert(waves.draw(rng, wide))
    centres = np.mgrid[:rows, :columns].astype(np.float32)
    turns, reach = int(rng.integers(3, 8)), draw_log_uniform(rng, 0.3, 1.6) * size / 2
    warped = []
    for psi in stream:
        north, east = np.gradient(psi)
        scale = reach / turns / np.sqrt((north**2 + east**2).mean())
        flow = scale * east, -scale * north
        place = centres
        for _ in range(turns):  # follow the streamlines in short steps, which folds nothing over
            place = place - [map_coordinates(part, place, order=1, mode="grid-wrap") for part in flow]
        warped.append(map_coordinates(base, place, order=3, mode="grid-wrap"))
    return np.stack(warped)
