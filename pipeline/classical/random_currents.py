"""Random currents with a given covariance, and simulated errors of their interpolation.

As `random_fields` for fields: circulant embedding and Matheron's rule, with two components at a time.
"""

from __future__ import annotations

from itertools import product

import numpy as np
import torch
from numpy.typing import NDArray

from ..io.field import Field, grid_spacing
from ..io.layout.positions import EARTH_RADIUS
from ..io.radials import Radials
from .neighbours import Scales
from .random_fields import SCALES, Torus
from .vector_kriging import VectorKriging, compute_flow_covariance

Floats = NDArray[np.float32]


def draw_random_currents(
    field: Field, scales: Scales, share: float, number: int, rng: np.random.Generator
) -> Floats:
    """Draw random currents (number, 2, time, lat, lon) without nugget on the cells of ``field`` (`Torus`).

    A ``share`` of their variance has no divergence (`vector_kriging.compute_flow_covariance`).
    """
    # Their mean is known, not estimated: variance that large scales lack or have in excess would remain.
    torus, steps = Torus.around(field, scales), grid_spacing(field)
    length, duration = (max(float(part[i]) for part in scales.components) for i in (1, 2))
    (east_up, north_up), (east_along, north_along) = _find_steps(field)
    far = 2 * SCALES * np.array([duration, length, length])
    # The sum over a cell's copies is a covariance; that of the nearest alone has a kink halfway around.
    copies = [
        (-1, 0, 1) if extent * step < most else (0,)
        for extent, step, most in zip(torus.shape, steps, far, strict=True)
    ]
    covariance = torch.zeros(3, *torus.shape)
    for around in product(*copies):
        t, y, x = (lag + n * one for lag, n, one in zip(torus.lags, around, torus.shape, strict=True))
        separations = (y * east_up + x * east_along, y * north_up + x * north_along, t * steps[0])
        east, north, lag = (torch.from_numpy(part.astype(np.float32)) for part in separations)
        alike, turning = compute_flow_covariance(scales, share, east, north, lag)
        parts = alike - turning * north**2, alike - turning * east**2, turning * east * north
        for total, part in zip(covariance, parts, strict=True):
            total += part
    uu, vv, uv = (torus.transform(part) for part in covariance)
    root = _take_root(uu, vv, uv)
    drawn = np.empty((number, 2, *field.values.shape), np.float32)
    for one in drawn:
        one[:] = torus.draw(root, rng)
    return drawn


def simulate_current_errors(
    radials: Radials, kriging: VectorKriging, number: int, rng: np.random.Generator, device: str = "cpu"
) -> tuple[Floats, Floats]:
    """Draw errors (number, 2, time, lat, lon) of the ``kriging`` of a current, NaN outside the sea.

    Returns also their var(u), var(v) and cov(u, v) (3, time, lat, lon) according to the kriging.
    """
    drawn = draw_random_currents(radials.stations[0], kriging.scales, kriging.share, number, rng)
    seen = np.einsum("siyx,nityx->ntsyx", radials.towards, drawn)
    noise = np.sqrt(np.float32(kriging.scales.nugget) + radials.error_variance)
    seen += noise * rng.standard_normal(seen.shape, np.float32)
    estimates, covariance = kriging.interpolate(radials, seen, device=device)
    return drawn - estimates, covariance


def _find_steps(field: Field) -> NDArray[np.float64]:
    """Find how far east and north, in km, the next row and the next column are: the medians (2, 2).

    Signed, because the covariance of u and v changes its sign with the direction.
    """
    steps = np.zeros((2, 2))
    for axis in (0, 1):
        if field.lat.shape[axis] > 1:
            north = np.radians(np.diff(field.lat, axis=axis))
            east = np.radians(np.diff(field.lon, axis=axis))
            middle = np.cos(np.radians(np.take(field.lat, range(north.shape[axis]), axis)) + north / 2)
            steps[axis] = EARTH_RADIUS * np.median(east * middle), EARTH_RADIUS * np.median(north)
    return steps


def _take_root(uu: Floats, vv: Floats, uv: Floats) -> Floats:
    """Return the symmetric roots (2, 2, ...) of symmetric matrices; negative eigenvalues become zero."""
    mean, half = (uu + vv) / 2, np.hypot((uu - vv) / 2, uv)
    large, small = (np.sqrt((mean + sign * half).clip(min=0)) for sign in (1, -1))
    slope = (large - small) / np.where(half > 0, 2 * half, 1)
    middle = (large + small) / 2
    across = slope * uv
    return np.stack(
        [
            np.stack([middle + slope * (uu - vv) / 2, across]),
            np.stack([across, middle + slope * (vv - uu) / 2]),
        ]
    )
