"""Posterior draws: fields that keep the observed values and vary elsewhere according to the standard error.

The marginal distribution of a draw in a cell is that of the calibrated estimate; cells are correlated like
the errors of optimal interpolation (a Gaussian copula: Sklar 1959; Schefzik et al. 2013,
doi:10.1214/13-STS443, for ensembles of this kind). The components of a current are correlated in a cell as
the covariance of their errors says.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

import dask.array as da
import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy.special import ndtri

from ..classical.kriging import Kriging
from ..classical.optimal_interpolation import fit_covariance
from ..classical.random_currents import simulate_current_errors
from ..classical.random_fields import simulate_errors
from ..holdout.calibration import LEVELS, Calibration
from ..io.field import Field
from ..io.storage import find_limits, is_packed
from ..training.heldout import HeldOut
from ..training.vector_data import RadialData, factorise, find_nearest_flow

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

    def draw(together: int, rng: np.random.Generator) -> Floats:
        errors, deviation = simulate_errors(field, kriging, together, rng, device)
        return shape_draws(field, estimate, _standardise(errors / deviation), calibration)

    return _draw_in_chunks(draw, (number, *field.values.shape), seed, at_once)


def draw_currents(
    data: RadialData, current: Floats, calibration: Calibration, number: int, *, at_once: float = AT_ONCE
) -> da.Array:
    """Draw (number, 2, time, lat, lon) around u and v of a ``current``, lazily as `draw_fields`.

    The current (5, time, lat, lon) holds u, v, var(u), var(v) and cov(u, v), scaled. Under the flow
    "stream-function" the nearest flow of a stream function takes the place of each deviation, and all are
    enlarged by the share of the variance that this takes.
    """
    radials, grid, spread, sea = data.radials, data.grid, data.spread, data.radials.sea
    mean, factor = current[:2], factorise(current[2:], spread, sea)
    error = spread * np.stack([factor[:, 0], np.hypot(factor[:, 1], factor[:, 2])])

    def draw(together: int, rng: np.random.Generator) -> Floats:
        errors, covariance = simulate_current_errors(
            radials, data.kriging, together, rng, data.settings.device
        )
        own = factorise(covariance, spread, sea)
        u = errors[:, 0] / spread / own[:, 0]
        v = (errors[:, 1] / spread - own[:, 1] * u) / own[:, 2]
        u, v = _standardise(np.stack([u, v]))
        normal = np.stack([u, spread * (factor[:, 1] * u + factor[:, 2] * v) / error[1]], 1)
        off = spread_draws(error, normal, calibration)
        if data.flow == "stream-function" and grid is not None:
            flow = find_nearest_flow(np.nan_to_num(off.swapaxes(1, 2)), factor, grid, sea).swapaxes(1, 2)
            off = flow * np.sqrt(np.nanmean((off / error) ** 2) / np.mean((flow / error)[..., sea] ** 2))
        return (mean + off).astype(np.float32)

    return _draw_in_chunks(draw, (number, *mean.shape), data.settings.seed, at_once)


def _draw_in_chunks(
    draw: Callable[[int, np.random.Generator], Floats], shape: tuple[int, ...], seed: int, at_once: float
) -> da.Array:
    """Return a lazy array of a ``shape`` whose first axis is cut: ``draw`` makes some draws together."""
    number = shape[0]
    together = int(np.clip(at_once // prod(shape[1:]), 1, number))
    sizes = [min(together, number - first) for first in range(0, number, together)]

    def draw_chunk(block_info: dict[None, dict[str, list[tuple[int, int]]]]) -> Floats:
        first, last = block_info[None]["array-location"][0]
        return draw(last - first, np.random.default_rng((seed, first)))

    chunks = (tuple(sizes), *((extent,) for extent in shape[1:]))
    nothing = np.empty((0,) * len(shape), np.float32)
    return da.map_blocks(draw_chunk, chunks=chunks, dtype=np.float32, meta=nothing)


def _standardise(normal: Floats) -> Floats:
    """Scale deviates, whose deviation is that of single blocks: where blocks overlap, their mean has less."""
    return normal / np.sqrt(np.nanmean(normal**2))


def shape_draws(
    field: Field, estimate: tuple[Floats, Floats], normal: Floats, calibration: Calibration
) -> Floats:
    """Turn standard ``normal`` deviates into fields (n, time, lat, lon) with the calibrated quantiles."""
    mean, error = estimate
    whole = mean + spread_draws(error, normal, calibration)
    drift = np.float32(0) if field.drift is None else field.drift
    return (np.where(field.observed, field.values, whole) + drift).astype(np.float32)


def spread_draws(error: Floats, normal: Floats, calibration: Calibration) -> Floats:
    """Return deviations from the estimate with the calibrated quantiles and the standard ``error``."""
    return error * np.sign(normal) * _interpolate_half_widths(calibration)(np.abs(normal))


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
    draws = field.space.backward(draws)
    comment = "Observed values are kept; elsewhere all draws are equally likely."
    return _assign_draws(dataset, field.name, f"{field.name}_analysis", (field.dims, draws), comment)


def add_current_samples(
    dataset: xr.Dataset, data: RadialData, current: Floats, calibration: Calibration, n_samples: int
) -> xr.Dataset:
    """Add u_samples and v_samples (sample, time, lat, lon) to the dataset of a current (`draw_currents`)."""
    draws, dims = draw_currents(data, current, calibration, n_samples), data.radials.stations[0].dims
    comment = "All draws are equally likely; those of u and v with the same number belong together."
    for number, name in enumerate(("u", "v")):
        dataset = _assign_draws(dataset, name, name, (dims, draws[:, number]), comment)
    return dataset


def _assign_draws(
    dataset: xr.Dataset, name: str, analysis: str, drawn: tuple[tuple[str, ...], da.Array], comment: str
) -> xr.Dataset:
    """Add NAME_samples with the attributes and the encoding of the ``analysis``."""
    (dims, draws), like = drawn, dataset[analysis]
    if is_packed(like.encoding):
        # Draws are made when they are written, and a value beyond the packing would be stored as another one.
        draws = draws.clip(*find_limits(like.encoding))
    made = xr.Variable(("sample", *dims), draws, like.attrs)
    made.attrs["long_name"] = f"draws of {dataset[name].attrs['long_name']}"
    made.attrs["comment"] = comment
    del made.attrs["ancillary_variables"]
    made = made.transpose("sample", *like.dims)
    made.encoding = like.encoding | {"chunksizes": (1, *like.encoding["chunksizes"])}
    numbers = xr.Variable("sample", np.arange(draws.shape[0]), {"long_name": "number of the draw"})
    return dataset.assign({f"{name}_samples": made}).assign_coords(sample=numbers)
