"""Posterior draws: fields that keep the observed values and vary elsewhere according to the standard error.

The marginal distribution of a draw in a cell is that of the calibrated estimate; cells are correlated like
the errors of optimal interpolation (a Gaussian copula: Sklar 1959; Schefzik et al. 2013,
doi:10.1214/13-STS443, for ensembles of this kind).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import dask.array as da
import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy.special import ndtri

from ..classical.kriging import Kriging
from ..classical.optimal_interpolation import fit_covariance
from ..classical.random_fields import simulate_errors
from ..holdout.calibration import LEVELS, Calibration
from ..io.field import Field
from ..io.transforms import find_transform
from ..training.heldout import HeldOut

Floats = NDArray[np.float32]

AT_ONCE = 5e7  # values that are drawn together


def draw_fields(
    field: Field,
    kriging: Kriging,
    estimate: tuple[Floats, Floats],
    calibration: Calibration,
    number: int,
    *,
    seed: int = 0,
    device: str = "cpu",
    at_once: float = AT_ONCE,
) -> da.Array:
    """Draw (number, time, lat, lon) around an ``estimate`` of a field and its scaled standard error.

    Observed values are kept; land is NaN. The array is lazy: about ``at_once`` values are drawn together.
    """
    together = int(np.clip(at_once // field.values.size, 1, number))
    sizes = [min(together, number - first) for first in range(0, number, together)]

    def draw_chunk(block_info: dict[None, dict[str, list[tuple[int, int]]]]) -> Floats:
        first, last = block_info[None]["array-location"][0]
        rng = np.random.default_rng((seed, first))
        errors, deviation = simulate_errors(field, kriging, last - first, rng, device)
        normal = errors / deviation
        # The deviation is that of single blocks; where they overlap, their mean deviates less.
        normal /= np.sqrt(np.nanmean(normal**2))
        return shape_draws(field, estimate, normal, calibration)

    chunks = (tuple(sizes), *((extent,) for extent in field.values.shape))
    return da.map_blocks(draw_chunk, chunks=chunks, dtype=np.float32, meta=np.empty((0,) * 4, np.float32))


def shape_draws(
    field: Field, estimate: tuple[Floats, Floats], normal: Floats, calibration: Calibration
) -> Floats:
    """Turn standard ``normal`` deviates into fields (n, time, lat, lon) with the calibrated quantiles."""
    mean, error = estimate
    whole = mean + error * np.sign(normal) * _interpolate_half_widths(calibration)(np.abs(normal))
    return np.where(field.observed, field.values, whole).astype(np.float32)


def _interpolate_half_widths(calibration: Calibration) -> Callable[[Floats], Floats]:
    """Return the half-width, in standard errors, of the interval that a Gaussian deviate bounds.

    It is interpolated between the levels of the calibration and proportional to the deviate beyond the last.
    """
    at = np.append(0, ndtri((1 + np.array(LEVELS) / 100) / 2))
    width = np.append(0, calibration.half_widths)
    return lambda deviate: np.interp(deviate, at, width) * np.maximum(1, deviate / at[-1])


def add_samples(
    dataset: xr.Dataset,
    part: HeldOut,
    estimate: tuple[Floats, Floats],
    calibration: Calibration,
    n_samples: int,
    *,
    at_once: float = AT_ONCE,
) -> xr.Dataset:
    """Add V_samples (sample, time, lat, lon) to a filled dataset, in the units of the input.

    ``part`` is the filled variable; where its method has no covariance, one is fitted.
    """
    field, kriging = part.field, part.kriging
    if not isinstance(kriging, Kriging):
        kriging = fit_covariance(field, seed=part.seed, device=part.device)
    how: dict[str, Any] = {"seed": part.seed, "device": part.device, "at_once": at_once}
    draws = draw_fields(field, kriging, estimate, calibration, n_samples, **how)
    analysis = dataset[f"{field.name}_analysis"]
    made = xr.Variable(
        ("sample", *field.dims), find_transform(field.transform).backward(draws), analysis.attrs
    )
    made.attrs["long_name"] = f"draws of {dataset[field.name].attrs['long_name']}"
    made.attrs["comment"] = "Observed values are kept; elsewhere all draws are equally likely."
    del made.attrs["ancillary_variables"]
    made = made.transpose("sample", *analysis.dims)
    made.encoding = analysis.encoding | {"chunksizes": (1, *analysis.encoding["chunksizes"])}
    numbers = xr.Variable("sample", np.arange(n_samples), {"long_name": "number of the draw"})
    return dataset.assign({f"{field.name}_samples": made}).assign_coords(sample=numbers)
