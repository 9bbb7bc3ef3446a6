"""The seasonal cycle of a record: what methods fall back to in long gaps."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from ..io.field import Field

LEAST = 1.5 * 365.25  # days, the shortest record with a cycle
HARMONICS = np.array([1, 2])  # of the year
_SMOOTH = 3.0  # cells; neighbours have nearly the same cycle
_RIDGE = 0.1  # months that speak for no cycle; few months alone do not decide


def remove_season(field: Field) -> tuple[Field, NDArray[np.float32]]:
    """Return the field without its seasonal cycle, and the cycle (time, lat, lon).

    The cycle of a record of less than one and a half years is zero, and has the shape (1, 1, 1). It is that
    of the whole record where the field is a part of it (``field.cycle``).
    """
    if field.cycle is None and field.days[-1] < LEAST:
        return field, np.zeros((1, 1, 1), np.float32)
    coefficients = fit_cycle(average_months(field)) if field.cycle is None else field.cycle
    angle = 2 * np.pi * field.season[:, None] * HARMONICS
    waves = np.concatenate([np.cos(angle), np.sin(angle)], axis=1).astype(np.float32)
    cycle = np.tensordot(waves, coefficients, 1)
    without = replace(field, values=field.values - cycle, cycle=np.zeros_like(coefficients))
    return without, cycle


def average_months(field: Field) -> NDArray[np.float64]:
    """Average the values (12, lat, lon) of each calendar month, NaN where there are none."""
    months = np.asarray(field.dates.month)
    found = np.full((12, *field.sea.shape), np.nan)
    for month in np.unique(months):
        chosen = field.values[months == month]
        number = np.isfinite(chosen).sum(axis=0)
        total = np.nansum(chosen, axis=0, dtype=np.float64)
        found[month - 1] = np.divide(total, number, out=found[month - 1], where=number > 0)
    return found


def fit_cycle(monthly: NDArray[np.floating]) -> NDArray[np.float32]:
    """Fit the annual and the semi-annual harmonic to monthly means (12, lat, lon), NaN where missing.

    Returns (4, lat, lon): cosines, then sines. The normal equations of each pixel are smoothed over its
    surroundings. A ridge draws cycles of few months to zero.
    """
    angle = 2 * np.pi * (np.arange(12)[:, None] + 0.5) / 12 * HARMONICS
    design = np.concatenate([np.ones((12, 1)), np.cos(angle), np.sin(angle)], axis=1)
    seen = np.isfinite(monthly)
    centre = np.divide(
        np.nansum(monthly, axis=0), seen.sum(axis=0), out=np.zeros(seen.shape[1:]), where=seen.any(axis=0)
    )
    anomaly = np.where(seen, monthly - centre, 0)  # pixels have different means, which must not be smoothed
    squares = np.einsum("myx,mi,mj->ijyx", seen, design, design, optimize=True)
    products = np.einsum("myx,mi->iyx", anomaly, design, optimize=True)
    smooth = (0, 0, _SMOOTH, _SMOOTH)
    squares = gaussian_filter(squares, smooth).transpose(2, 3, 0, 1)
    products = gaussian_filter(products, smooth[1:]).transpose(1, 2, 0)
    weight = gaussian_filter(seen.any(axis=0).astype(np.float64), _SMOOTH)[..., None, None]
    ridge = np.diag([1e-9] + [_RIDGE] * (design.shape[1] - 1))
    found = np.linalg.solve(squares + (weight + 1e-9) * ridge, products[..., None])[..., 0]
    return found[..., 1:].transpose(2, 0, 1).astype(np.float32)
