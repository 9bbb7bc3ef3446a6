"""Plausible fields: draws that keep what was observed and vary elsewhere as the error says, together.

The marginal distribution of a draw in a cell is that of the calibrated estimate; how cells vary with each
other is how the errors of optimal interpolation do (a Gaussian copula: Sklar 1959; Schefzik et al. 2013,
doi:10.1214/13-STS443, for ensembles of this kind).
"""

from __future__ import annotations

from collections.abc import Callable

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
from ..training.heldout import HeldOut

Floats = NDArray[np.float32]

_AT_ONCE = 5e7  # values that are drawn together


def draw_fields(
    field: Field,
    kriging: Kriging,
    estimate: tuple[Floats, Floats],
    calibration: Calibration,
    number: int,
    *,
    seed: int = 0,
    device: str = "cpu",
) -> da.Array:
    """(number, time, lat, lon) draws around an ``estimate`` of a field and its scaled standard error.

    Observed values are kept; NaN on land. They are made, some at a time, when they are asked for.
    """
    together = int(np.clip(_AT_ONCE // field.values.size, 1, number))
    sizes = [min(together, number - first) for first in range(0, number, together)]

    def some(block_info: dict[None, dict[str, list[tuple[int, int]]]]) -> Floats:
        first, last = block_info[None]["array-location"][0]
        rng = np.random.default_rng((seed, first))
        off, deviation = simulate_errors(field, kriging, last - first, rng, device)
        normal = off / deviation
        # Blocks that overlap are better together than each, whose deviation this is.
        normal /= np.sqrt(np.nanmean(normal**2))
        return shape_draws(field, estimate, normal, calibration)

    chunks = (tuple(sizes), *((extent,) for extent in field.values.shape))
    return da.map_blocks(some, chunks=chunks, dtype=np.float32, meta=np.empty((0,) * 4, np.float32))


def shape_draws(
    field: Field, estimate: tuple[Floats, Floats], normal: Floats, calibration: Calibration
) -> Floats:
    """Fields (n, time, lat, lon) with the calibrated quantiles, from standard ``normal`` deviates."""
    mean, error = estimate
    whole = mean + error * np.sign(normal) * _widths(calibration)(np.abs(normal))
    return np.where(field.observed, field.values, whole).astype(np.float32)


def _widths(calibration: Calibration) -> Callable[[Floats], Floats]:
    """Half-widths in standard errors of the intervals that the deviates of a Gaussian bound.

    Between the levels of the calibration they are interpolated, beyond the last in proportion.
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
) -> xr.Dataset:
    """A filled dataset with V_samples (sample, time, lat, lon), in the units of the input.

    ``part`` is what was filled; where its method has no covariance, one is fitted.
    """
    field, kriging = part.field, part.kriging
    if not isinstance(kriging, Kriging):
        kriging = fit_covariance(field, seed=part.seed, device=part.device)
    draws = draw_fields(field, kriging, estimate, calibration, n_samples, seed=part.seed, device=part.device)
    of = dataset[f"{field.name}_analysis"]
    made = xr.Variable(
        ("sample", *field.dims), da.exp(draws) if field.transform == "log" else draws, of.attrs
    )
    made.attrs["long_name"] = f"draws of {dataset[field.name].attrs['long_name']}"
    made.attrs["comment"] = "Observed values are kept; elsewhere each draw is as likely as another."
    del made.attrs["ancillary_variables"]
    made = made.transpose("sample", *of.dims)
    made.encoding = of.encoding | {"chunksizes": (1, *of.encoding["chunksizes"])}
    numbers = xr.Variable("sample", np.arange(n_samples), {"long_name": "number of the draw"})
    return dataset.assign({f"{field.name}_samples": made}).assign_coords(sample=numbers)
