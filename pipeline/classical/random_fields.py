"""Random fields with a given covariance, and simulated errors of their interpolation.

By Matheron's rule (Journel and Huijbregts 1978, Mining Geostatistics, section VII.A) an error is drawn by
interpolating a random field like the data and taking the difference.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import fft
from torch import Tensor

from ..io.field import Field, grid_spacing
from .kriging import Kriging
from .neighbours import Scales, compute_covariance

Floats = NDArray[np.float32]

SCALES = 4  # in a torus, beyond which almost nothing is correlated
_MOST_CELLS = 2e6  # of a torus that is enlarged for its scales


@dataclass(frozen=True)
class Torus:
    """A periodic grid, at least twice as large as that of a field, to draw stationary fields on.

    By circulant embedding (Dietrich and Newsam 1997, doi:10.1137/S1064827592240555): exact on an even grid of
    the steps of `grid_spacing`, except for scales longer than the torus, whose negative eigenvalues are set
    to zero.
    """

    shape: tuple[int, ...]
    lags: tuple[NDArray[np.int64], ...]  # steps from the origin in time, rows and columns, broadcastable
    inside: tuple[NDArray[np.int64], slice, slice]  # dates, rows and columns of the field

    @staticmethod
    def around(field: Field, scales: Scales | None = None) -> Torus:
        """Return the torus around the grid of a field, twice as large or, with ``scales``, as these need it.

        These enlarge it to two million cells at most.
        """
        steps = grid_spacing(field)
        when = np.rint((field.days - field.days[0]) / steps[0]).astype(int)
        extents = when[-1] + 1, *field.sea.shape
        least, growth = 2 * np.array(extents), np.ones(3)
        if scales is not None:
            length, duration = (max(float(part[i]) for part in scales.components) for i in (1, 2))
            growth = (SCALES * np.array([duration, length, length]) / steps / least).clip(min=1)
            room = max(1.0, _MOST_CELLS / prod(least))
            growth **= min(1.0, np.log(room) / max(np.log(growth).sum(), 1e-9))
        shape = tuple(fft.next_fast_len(int(n), real=True) for n in np.ceil(growth * least))
        lags = np.ix_(*((np.arange(n) + n // 2) % n - n // 2 for n in shape))
        return Torus(shape, lags, (when, slice(extents[1]), slice(extents[2])))

    def transform(self, covariance: Tensor) -> Floats:
        """Return the spectrum, real, of a covariance at the lags."""
        return fft.rfftn(covariance.numpy(), workers=-1).real

    def draw(self, root: Floats, rng: np.random.Generator) -> Floats:
        """Draw n related fields (n, time, lat, lon) with a ``root`` (n, n, ...) of the spectral matrix."""
        axes = (1, 2, 3)
        white = rng.standard_normal((len(root), *self.shape), np.float32)
        spectrum = (root * fft.rfftn(white, axes=axes, workers=-1)).sum(axis=1)
        whole = fft.irfftn(spectrum, self.shape, axes=axes, workers=-1)
        return whole[:, self.inside[0], self.inside[1], self.inside[2]]


def draw_random_fields(field: Field, scales: Scales, number: int, rng: np.random.Generator) -> Floats:
    """Draw random fields (number, time, lat, lon) without nugget on the cells of ``field`` (`Torus`)."""
    torus = Torus.around(field)
    t, y, x = (lag * step for lag, step in zip(torus.lags, grid_spacing(field), strict=True))
    distance2 = np.broadcast_to(y**2 + x**2, torus.shape).astype(np.float32)
    lag2 = np.broadcast_to(t**2, torus.shape).astype(np.float32)
    known = compute_covariance(scales, torch.from_numpy(distance2), torch.from_numpy(lag2))
    root = np.sqrt(torus.transform(known).clip(min=0))[None, None]
    drawn = np.empty((number, *field.values.shape), np.float32)
    for one in drawn:
        (one[:],) = torus.draw(root, rng)
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
    variance, *estimates = kriging.interpolate(field, seen, where, device=device)
    return drawn - np.stack(estimates), np.sqrt(variance.clip(min=0))
