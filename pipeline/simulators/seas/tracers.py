"""Tracers stirred by random stream functions, restored to a large-scale pattern, heated by weather."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt, gaussian_filter, map_coordinates

from .domain import (
    Booleans,
    Domain,
    Floats,
    Parameters,
    Waves,
    draw_log_uniform,
    evolve,
    make_amplitude,
    surround,
)

_REGIMES = {"eddies": (0.4, 2.0), "straits": (0.8, 3.0), "slow": (0.1, 0.5)}  # cells per step, speed
_LONGEST_MOVE = 2.0  # cells within a substep, of the mean speed
_MOST_SUBSTEPS = 120  # after the spin-up
_SPIN_UP = 20  # substeps at least
_PUSH = 4  # cells from a coast within which the flow along it falls to zero


def draw_tracer(rng: np.random.Generator, domain: Domain) -> tuple[NDArray[np.floating], Parameters]:
    """Draw a tracer (time, lat, lon) in one of three regimes, which differ in speed and in their coasts."""
    _, rows, columns = domain.shape
    waves = surround(rows, columns, 1.25)
    regime = str(rng.choice(list(_REGIMES)))
    speed = draw_log_uniform(rng, *_REGIMES[regime])
    times = _choose_times(domain.steps, speed)
    flow = draw_flow(rng, domain, waves, times, speed)
    wide = make_amplitude(waves, rng.uniform(2.5, 4.0), draw_log_uniform(rng, 60, 250))
    pattern = waves.invert(waves.draw(rng, wide))
    pattern = pattern / max(float(pattern.std()), 1e-6)
    restoring = draw_log_uniform(rng, 8, 80)  # steps
    patches = make_amplitude(waves, rng.uniform(2.0, 3.5), draw_log_uniform(rng, 30, 200))
    heat, mixing = rng.uniform(0, 0.3), rng.uniform(0.0, 0.5)
    weather = evolve(rng, waves, patches, draw_log_uniform(rng, 0.5, 5.0), times[:: max(1, len(times) // 40)])
    field, kept = pattern, [pattern] if times[0] == 0 else []
    for number, gap in enumerate(np.diff(times)):
        field = stir(field, flow[number] * gap)
        place = number * len(weather) // len(times)
        field = field + (pattern - field) * min(gap / restoring, 1) + heat * gap * weather[place]
        field = gaussian_filter(field, mixing * np.sqrt(gap), mode="wrap") if mixing > 0.2 else field
        if times[number + 1] >= 0:
            kept.append(field)
    dated = np.searchsorted(times[times >= 0], domain.steps - 1e-9)
    skin = rng.uniform(0, 0.5)  # warm layers of calm days
    layers = skin * evolve(rng, waves, patches, 0.3, domain.steps)[:, :rows, :columns]
    truth = np.stack([kept[k][:rows, :columns] for k in dated])
    return truth / max(float(truth.std()), 1e-6) + layers, {
        "regime": regime,
        "speed": speed,
        "restoring": restoring,
        "heat": heat,
        "mixing": mixing,
        "skin": skin,
    }


def draw_flow(
    rng: np.random.Generator, domain: Domain, waves: Waves, times: Floats, speed: float
) -> NDArray[np.float32]:
    """Draw velocities (time, 2, rows, columns), north and east in cells per step, of the periodic domain.

    Each component has the standard deviation ``speed`` over all times. No flow crosses a coast.
    """
    size, slope = draw_log_uniform(rng, 12, 60), rng.uniform(3.0, 4.5)
    memory = draw_log_uniform(rng, 2, 20) * max(1.0, size / (8 * speed + 8))
    amplitude = make_amplitude(waves, slope, size)
    stream = evolve(rng, waves, amplitude, memory, times, rng.normal(0, 0.2 * speed, 2), smooth=True)
    if not domain.sea.all():
        stream *= shelter(domain.sea, waves)
    flow = np.stack([np.gradient(stream, axis=2), -np.gradient(stream, axis=1)], axis=1)
    flow *= speed / max(float(np.sqrt((flow**2).mean())), 1e-12)
    jet = rng.normal(0, 0.5 * speed)
    flow[:, int(rng.integers(2))] += jet if domain.sea.all() else 0.0
    return flow


def shelter(sea: Booleans, waves: Waves) -> NDArray[np.float32]:
    """Return what multiplies a stream function (rows, columns): 0 on land, rising to 1 away from it."""
    around = [(0, waves.rows - sea.shape[0]), (0, waves.columns - sea.shape[1])]
    distance = distance_transform_edt(np.pad(sea, around, mode="edge"))
    return np.tanh(distance / _PUSH).astype(np.float32)


def stir(field: Floats, moves: Floats) -> NDArray[np.floating]:
    """Move a periodic field by ``moves`` (2, rows, columns), in cells, along trajectories.

    Departure points follow from the mean of the velocities at both ends. Values stay within the range of the
    field, because cubic interpolation would overshoot at fronts.
    """
    centres = np.mgrid[: field.shape[0], : field.shape[1]]
    place = centres - moves
    start = np.stack([map_coordinates(part, place, order=1, mode="grid-wrap") for part in moves])
    moved = map_coordinates(field, centres - (moves + start) / 2, order=3, mode="grid-wrap")
    return np.clip(moved, field.min(), field.max())


def _choose_times(steps: Floats, speed: float) -> NDArray[np.float64]:
    """Return the times of all substeps, a spin-up before 0 and the dates among them."""
    span = float(steps[-1])
    gap = max(min(_LONGEST_MOVE / speed, 1.0), span / _MOST_SUBSTEPS)
    spin_up = -gap * np.arange(_SPIN_UP, 0, -1)
    between = [np.linspace(a, b, max(1, round((b - a) / gap)), endpoint=False) for a, b in pairwise(steps)]
    return np.concatenate([spin_up, *between, steps[-1:]])
