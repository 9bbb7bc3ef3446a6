"""Random fields with a given covariance, and simulated errors of their interpolation.

By Matheron's rule (Journel and Huijbregts 1978, Mining Geostatistics, section VII.A) an error is drawn by
interpolating a random field like the data and taking the difference.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import fft
from torch import Tensor

from ..io.field import Field, grid_spacing
from .kriging import Kriging, build_system, solve, solve_in_tiles
from .neighbours import Scales, compute_covariance, find_nearest, gather_observations

Floats = NDArray[np.float32]


def draw_random_fields(field: Field, scales: Scales, number: int, rng: np.random.Generator) -> Floats:
    """Draw random fields (number, time, lat, lon) without nugget on the cells of ``field``.

    By circulant embedding (Dietrich and Newsam 1997, doi:10.1137/S1064827592240555): exact on an even grid of
    the steps of `grid_spacing`, except for scales longer than the domain, whose negative eigenvalues are set
    to zero.
    """
    step = grid_spacing(field)
    when = np.rint((field.days - field.days[0]) / step[0]).astype(int)
    extents = when[-1] + 1, *field.sea.shape
    torus = [fft.next_fast_len(2 * n, real=True) for n in extents]
    t, y, x = np.meshgrid(
        *(np.minimum(np.arange(n), n - np.arange(n)) * s for n, s in zip(torus, step, strict=True)),
        indexing="ij",
        sparse=True,
    )
    distance2 = np.broadcast_to(y**2 + x**2, torus).astype(np.float32)
    lag2 = np.broadcast_to(t**2, torus).astype(np.float32)
    known = compute_covariance(scales, torch.from_numpy(distance2), torch.from_numpy(lag2)).numpy()
    amplitude = np.sqrt(fft.rfftn(known, workers=-1).real.clip(min=0))
    drawn = np.empty((number, *field.values.shape), np.float32)
    for one in drawn:
        white = rng.standard_normal(torus, np.float32)
        whole = fft.irfftn(fft.rfftn(white, workers=-1) * amplitude, torus, workers=-1)
        one[:] = whole[when, : extents[1], : extents[2]]
    return drawn


def simulate_errors(
    field: Field,
    kriging: Kriging,
    number: int,
    rng: np.random.Generator,
    device: str = "cpu",
) -> tuple[Floats, Floats]:
    """Draw errors (number, time, lat, lon) of the ``kriging`` of a field, and their standard error.

    The standard error (time, lat, lon) is that of the kriging. Both refer to the field without noise and are
    NaN except at sea where the field is not observed.
    """
    where, drawn = ~field.observed & field.sea, draw_random_fields(field, kriging.scales, number, rng)
    noise = np.sqrt(np.float32(kriging.scales.nugget) + field.error_variance)
    seen = drawn + noise * rng.standard_normal(drawn.shape, np.float32)
    processor = torch.device(device)
    data = gather_observations(field, seen, kriging.scales, processor)

    def estimate(centres: Tensor, members: Tensor) -> list[Tensor]:
        found = find_nearest(data, data.cell(centres), kriging.neighbours)
        estimates, variance = solve(kriging.scales, build_system(data, data.cell(members), *found))
        return [variance, *estimates.unbind(2)]

    variance, *estimates = solve_in_tiles(where, estimate, 1 + number, processor, lambda cells: None)
    return drawn - np.stack(estimates), np.sqrt(variance.clip(min=0))
