"""Two-layer quasi-geostrophic turbulence: its surface height, its vorticity, and a tracer that it stirs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates

from ..two_layer import TwoLayer
from .domain import Domain, Floats, Parameters, Waves, draw_log_uniform, make_amplitude
from .tracers import stir

_SPACING = 5000.0  # m between the points of the model
_SHEAR = 0.1  # m/s between the layers
_REGIMES = ("heights", "vorticity", "tracer")
_CELLS = 48, 64, 96  # along each side of the model
_SPIN_UP, _MOST_STEPS = 150, 250  # steps of the model before the first date, and between first and last
_COURANT = 0.22  # of three times the speed at the start
_STIR_EVERY = 6  # steps of the model
_RESTORING = 0.01  # share of the anomaly that a tracer loses whenever it is stirred


def draw_heights(rng: np.random.Generator, domain: Domain) -> tuple[NDArray[np.floating], Parameters]:
    """Draw heights, vorticities or a tracer (time, lat, lon) of turbulence, on a finer or coarser grid."""
    _, rows, columns = domain.shape
    regime = str(rng.choice(_REGIMES, p=(0.6, 0.1, 0.3)))
    cells = next(number for number in _CELLS if number >= 0.7 * max(rows, columns))
    zoom = max(
        1.05 * max(rows, columns) / cells, draw_log_uniform(rng, 0.5, 1.5)
    )  # cells per point of the model
    radius = draw_log_uniform(rng, 1.2, 3.5)  # points of the model
    model = TwoLayer(
        cells=cells,
        length=cells * _SPACING,
        beta=float(rng.choice([0.0, rng.uniform(0.1, 0.6)])) * _SHEAR / (radius * _SPACING) ** 2,
        deformation_radius=radius * _SPACING,
        thickness_ratio=float(rng.choice([0.2, 0.5, 1.0])),
        upper=_SHEAR,
        drag=rng.uniform(0.02, 0.4) * _SHEAR / (radius * _SPACING),
    )
    speed = rng.uniform(2.0, 6.0) * _SHEAR
    psi = _start(rng, model, rng.uniform(4.0, 6.0), speed)
    dt = _COURANT * _SPACING / (3 * speed)
    turnover = 2 * radius * _SPACING / speed / dt  # steps of the model
    every = min(rng.uniform(0.1, 1.0) * turnover, _MOST_STEPS / domain.steps[-1])
    stamps = np.round(every * domain.steps).astype(int)
    fields = None
    while fields is None:
        fields = _run(replace(model, dt=dt), psi, stamps, regime)
        dt, stamps = dt / 2, 2 * stamps  # only where the flow outran the step
    place = np.mgrid[:rows, :columns] / zoom + rng.uniform(0, cells, (2, 1, 1))
    truth = np.stack([map_coordinates(field, place, order=3, mode="grid-wrap") for field in fields])
    if regime == "tracer":  # cubic interpolation overshoots at fronts
        truth = truth.clip(-1, 1)
    return truth, {
        "regime": regime,
        "radius": radius * zoom,
        "turnovers": every / turnover,
        "beta": model.beta * (radius * _SPACING) ** 2 / _SHEAR,
        "speed": speed / _SHEAR,
    }


def _start(rng: np.random.Generator, model: TwoLayer, slope: float, speed: float) -> torch.Tensor:
    """Draw stream functions (1, 2, y, x), m2/s, with the root-mean-square ``speed`` (m/s) above."""
    waves = Waves(model.cells, model.cells)
    amplitude = make_amplitude(waves, slope, rng.uniform(2, 4) * np.pi * model.deformation_radius / _SPACING)
    upper, other = (waves.invert(waves.draw(rng, amplitude)) for _ in range(2))
    psi = np.stack([upper, 0.35 * upper + 0.25 * other])
    return torch.from_numpy(psi * speed / np.hypot(*_differentiate(upper)).std())[None]


def _run(
    model: TwoLayer, psi: torch.Tensor, stamps: NDArray[np.integer], regime: str
) -> list[NDArray[np.floating]] | None:
    """Return a field (y, x) at each of the ``stamps``, steps since the spin-up; None if one is not finite."""
    state = model.make_state(psi)
    pattern = np.sin(2 * np.pi * (np.arange(model.cells)[:, None] + np.zeros(model.cells)) / model.cells)
    tracer, fields, done = pattern, [], -_SPIN_UP
    for stamp in stamps:
        while done < stamp:
            number = min(_STIR_EVERY, int(stamp) - done)
            state = model.advance(state, number)
            done += number
            if regime == "tracer":
                north, east = _differentiate(model.psi(state)[0, 0].numpy())
                moves = np.stack([east, -north - model.upper]) * number * model.dt / _SPACING
                tracer = stir(tracer, moves)
                tracer = tracer + _RESTORING * (pattern - tracer)
        if not bool(torch.isfinite(state[0]).all()):
            return None
        upper = model.psi(state)[0, 0].numpy()
        if regime == "vorticity":
            north, east = _differentiate(upper)
            upper = _differentiate(north)[0] + _differentiate(east)[1]
        fields.append(tracer if regime == "tracer" else upper)
    return fields


def _differentiate(field: Floats) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
    """Compute the northward and eastward gradient of a periodic field (y, x)."""
    return tuple((np.roll(field, -1, axis) - np.roll(field, 1, axis)) / (2 * _SPACING) for axis in (0, 1))  # type: ignore[return-value]
