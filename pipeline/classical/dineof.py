"""DINEOF: gap filling by an iterated, truncated singular value decomposition.

Beckers & Rixen 2003 (10.1175/1520-0426(2003)020<1839:ECADFF>2.0.CO;2), Alvera-Azcárate et al. 2005
(10.1016/j.ocemod.2004.08.001), 2007 for several variables (10.1029/2006JC003660), 2009 for the filter in
time (10.5194/os-5-475-2009), Beckers et al. 2006 for the error (10.5194/os-2-183-2006).
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from ..errors import InputError
from ..holdout.patterns import hide_clouds
from ..io.alignment import find_columns, find_rows, restore_grid
from ..io.field import Field
from ..io.reading import check_file
from .baselines import Estimate, build_spatial_structure, fill_from_nearest, mask_land
from .season import remove_season

_HELD_OUT = 0.03  # share of the observed values for choosing the number of modes
_FEWEST_HELD_OUT = 20
MODES = 30  # the largest number that is tried
_BLOCK = 2048  # pixels filled at once, to fit into the cache
_RELAXATION = 1.5  # of each update of the gaps; below 2 it converges to the same values, faster
_ITERATIONS = 300  # at most, for each number of modes
_LARGEST = 1e9  # bytes of a file of points
_log = logging.getLogger(__name__)

Floats = NDArray[np.float64]
Values = NDArray[np.float32]
Mask = NDArray[np.bool_]
Indices = NDArray[np.integer]  # (n, 3) of date, row, column


@dataclass(frozen=True)
class Eofs:
    """Empirical orthogonal functions of the first of the fields, with their cross-validation.

    The analysis is mean + temporal @ (singular[:, None, None] * spatial), in the field's units.
    """

    mean: float  # less the offset of the field
    temporal: Floats  # (dates, modes), orthonormal
    singular: Floats  # (modes,) in units of the field
    spatial: Floats  # (modes, lat, lon) NaN where never observed; of norm one for a single field
    cross_validation: Floats  # (numbers of modes tried,) RMSE at the held-out values, in units of the field
    error: Floats  # (time, lat, lon) standard error of the analysis, NaN where never observed

    @property
    def analysis(self) -> Floats:
        """(time, lat, lon), NaN where never observed."""
        return self.mean + np.tensordot(self.temporal * self.singular, self.spatial, 1)

    def to_dataset(self, field: Field) -> xr.Dataset:
        """Return the EOFs of a ``field`` as a dataset on its coordinates, with their cross-validation."""
        time, *place = field.dims
        units = str(field.source.attrs.get("units", "1"))
        name = field.name if field.transform == "none" else f"{field.transform}({field.name})"
        data = xr.Dataset(coords=field.source.coords).drop_encoding()
        for key, dims, values, unit, what in (
            (
                "mean",
                (),
                self.mean + field.offset,
                units,
                f"mean of {name}, removed before the decomposition",
            ),
            ("singular_value", ("mode",), self.singular, units, "singular values"),
            ("temporal_eof", (time, "mode"), self.temporal, "1", "temporal EOFs, orthonormal"),
            ("spatial_eof", ("mode", *place), self.spatial, "1", "spatial EOFs"),
            (
                "cross_validation",
                ("modes_tried",),
                self.cross_validation,
                units,
                "RMSE at the held-out values",
            ),
        ):
            data[key] = xr.Variable(dims, np.asarray(values), {"units": unit, "long_name": what})
        data["mode"] = np.arange(1, len(self.singular) + 1)
        data["modes_tried"] = np.arange(1, len(self.cross_validation) + 1)
        data.attrs = {
            "Conventions": "CF-1.11",
            "title": f"Empirical orthogonal functions of {name}",
            "source": "oceanfill",
            "comment": "analysis = mean + sum over the modes of temporal_eof * singular_value * spatial_eof"
            + ("" if field.cycle is None else ", to which the seasonal cycle is added"),
        }
        return restore_grid(data, field.source, field.layout)


def dineof(field: Field, *others: Field, advance: Callable[[int], None] = lambda modes: None) -> Estimate:
    """Iterated truncated SVD with the cross-validated number of modes, and the error that it implies.

    It decomposes the departures from the seasonal cycle of a long record. For ``advance`` see `decompose`.
    """
    first, *further = (remove_season(one)[0] for one in (field, *others))
    mean, error = estimate_from_eofs(first, decompose([first, *further], advance=advance))
    return mean + remove_season(field)[1], error


def estimate_from_eofs(field: Field, eofs: Eofs) -> Estimate:
    """Estimate a field and its standard error everywhere at sea from its EOFs.

    Pixels that are never observed are not in the decomposition. They get the nearest pixel's series, and the
    variance of the difference of two pixels at that distance is added to its error variance.
    """
    known = field.sea & ~field.never_observed
    mean, _ = fill_from_nearest(eofs.analysis, known)
    error, distance = fill_from_nearest(eofs.error, known)
    if field.never_observed.any():
        _log.info(
            "%s: %d sea pixels are never observed; DINEOF fills them with the nearest pixel's series",
            field.name,
            field.never_observed.sum(),
        )
        error = np.where(distance > 0, np.sqrt(error**2 + build_spatial_structure(field)(distance)), error)
    return mask_land(field, mean), mask_land(field, error)


def read_points(path: str | os.PathLike[str], field: Field) -> Indices:
    """Read held-out points (n, 3) from the columns date, row and column of a CSV file, counted from zero.

    A header is skipped. A fourth column may hold the observed values; it reveals points of another file or
    order. Raises `InputError` for a malformed file and for points that are not observed.
    """
    if Path(path).exists():
        check_file(path, _LARGEST)
    try:
        table = np.atleast_2d(np.genfromtxt(path, delimiter=","))
    except (OSError, ValueError) as reason:
        why = str(reason).splitlines()[0]
        raise InputError(
            f"{path}: no points can be read ({why}); give a CSV file of date,row,column"
        ) from reason
    table = table[1:] if np.isnan(table[0]).any() else table
    if not table.size or table.shape[1] < 3 or not np.isfinite(table).all():
        raise InputError(f"{path}: not every line is date,row,column; give three columns of numbers")
    points = table[:, :3].astype(np.int64)
    outside = ((points < 0) | (points >= field.values.shape)).any(axis=1)
    if outside.any():
        raise InputError(
            f"{path}: {outside.sum()} points are outside of {field.name}, which has "
            f"{' x '.join(map(str, field.values.shape))} values; count from zero"
        )
    layout = field.layout  # the file counts the rows and columns in its own order
    points[:, 1] = np.argsort(find_rows(field.source[layout.lat], layout))[points[:, 1]]
    points[:, 2] = np.argsort(find_columns(field.source[layout.lon], layout))[points[:, 2]]
    at = tuple(points.T)
    if not field.observed[at].all():
        raise InputError(
            f"{path}: {np.count_nonzero(~field.observed[at])} of {len(points)} points are not observed in "
            f"{field.name}; give points that are"
        )
    if table.shape[1] > 3 and not np.allclose(
        table[:, 3], field.values[at] + np.float64(field.offset), rtol=1e-3, atol=1e-3
    ):
        raise InputError(
            f"{path}: its fourth column is not what {field.name} has there; give the points of this field"
        )
    return points


def decompose(
    fields: Sequence[Field],
    *,
    modes: int = MODES,
    alpha: float = 0.01,
    numit: int = 3,
    tolerance: float = 1e-3,
    held_out: Indices | None = None,
    seed: int = 0,
    advance: Callable[[int], None] = lambda modes: None,
) -> Eofs:
    """Decompose a field with gaps into EOFs; further fields of the same dates, on any grid, contribute.

    Up to ``modes`` are tried; the number with the least error at ``held_out`` is chosen: observed values (n,
    3) of the first field by date, row and column, by default under clouds of other dates. The search ends at
    the third number in a row that is worse than the one before. ``alpha`` (days squared) and ``numit`` are
    the strength and the passes of the filter in time. For each number of modes the gaps are filled until they
    change by less than ``tolerance`` standard deviations; every field is divided by its own. ``advance`` is
    called with the numbers of modes that are done, `count_modes` in all.

    Raises `ValueError` for fields of different dates and for held-out values that are not observed.
    """
    first = fields[0]
    if any(not np.array_equal(field.days, first.days) for field in fields):
        raise ValueError("the fields do not have the same dates; cut them to the dates that they share")
    if held_out is None:
        held_out = _choose_held_out(first, seed)
    hidden = np.zeros(first.values.shape, bool)
    hidden[tuple(np.asarray(held_out).T)] = True
    if (hidden & ~first.observed).any():
        raise ValueError(f"{np.count_nonzero(hidden & ~first.observed)} held-out values are not observed")

    known = [field.sea & ~field.never_observed for field in fields]
    learnt = [first.hide(hidden), *fields[1:]]
    centre, unit = (
        np.array([f(field.values, dtype=float) for field in learnt]) for f in (np.nanmean, np.nanstd)
    )
    unit = np.where(unit > 0, unit, 1)
    scaled = [(x.values[:, k] - c) / u for x, k, c, u in zip(fields, known, centre, unit, strict=True)]
    observed = np.concatenate(scaled, axis=1, dtype=np.float32)
    missing = ~np.isfinite(observed)
    test = np.zeros_like(missing)
    test[:, : known[0].sum()] = hidden[:, known[0]]
    passes = _build_filter(first.days, alpha, numit)

    gaps = missing | test
    filled = np.where(gaps, 0, observed)
    best: Values = filled
    errors = [np.inf]
    residual: Values = np.zeros(0, np.float32)
    most = count_modes(first, modes)
    for number in range(1, most + 1):
        _fill(filled, gaps, number, passes, tolerance)
        misfit = filled[test] - observed[test]
        errors.append(float(np.sqrt(np.mean(misfit**2))))
        advance(1)
        if errors[-1] < min(errors[:-1]):
            best, residual = filled.copy(), misfit
        if len(errors) > 4 and (np.diff(errors[-4:]) > 0).all():
            break
    advance(most + 1 - len(errors))
    number = int(np.argmin(errors))
    best[test] = observed[test]
    temporal, singular, spatial = _fill(best, missing, number, passes, tolerance)
    _log.info("%s: DINEOF with %d modes (error %.4g)", first.name, number, errors[number] * unit[0])

    pixels = slice(0, known[0].sum())
    sigma = _estimate_error(
        singular, spatial, (temporal * singular) @ spatial - observed, pixels, test, residual
    )
    maps, error = (np.full((len(part), *first.sea.shape), np.nan) for part in (spatial, sigma))
    maps[:, known[0]], error[:, known[0]] = spatial[:, pixels], unit[0] * sigma
    return Eofs(float(centre[0]), temporal, unit[0] * singular, maps, unit[0] * np.array(errors[1:]), error)


def count_modes(field: Field, modes: int = MODES) -> int:
    """Return how many numbers of modes are tried at most: fewer than there are dates."""
    return max(min(modes, len(field.days) - 1), 0)


def _choose_held_out(field: Field, seed: int) -> Indices:
    """Choose observed values under the clouds of other dates, or at random if too few are under clouds."""
    rng = np.random.default_rng(seed)
    clouds = np.argwhere(hide_clouds(field, _HELD_OUT, rng))
    if len(clouds) >= _FEWEST_HELD_OUT:
        return clouds
    observed = np.argwhere(field.observed)
    return rng.permutation(observed)[: max(1, round(_HELD_OUT * len(observed)))]


def _build_filter(days: Floats, alpha: float, numit: int) -> Floats:
    """Build the filter in time (dates, dates): ``numit`` explicit steps of diffusion, no flux at the ends."""
    step = np.diff(days)
    slope = np.diff(np.eye(len(days)), axis=0)
    edges = np.concatenate([days[:1] - step[0] / 2, days[:-1] + step / 2, days[-1:] + step[-1] / 2])
    stable = min(alpha, step.min() ** 2 / 4)  # at half of the square the fastest change would not decay
    laplacian = -slope.T @ (slope / step[:, None]) / np.diff(edges)[:, None]
    return np.linalg.matrix_power(np.eye(len(days)) + stable * laplacian, numit)


def _fill(
    filled: Values, gaps: Mask, number: int, passes: Floats, tolerance: float
) -> tuple[Floats, Floats, Floats]:
    """Fill ``gaps`` of (dates, pixels) in place with the truncated decomposition until they converge.

    Returns its temporal modes (dates, n), singular values (n,) and spatial modes (n, pixels). Each pass over
    the blocks of pixels fills them and accumulates the covariance of the dates for the next pass.
    """
    blocks = [slice(start, start + _BLOCK) for start in range(0, filled.shape[1], _BLOCK)]
    covariance = np.sum([_compute_gram(filled[:, block]) for block in blocks], axis=0)
    limit = tolerance**2 * np.count_nonzero(gaps)
    for _ in range(_ITERATIONS):
        temporal, singular, norm = _find_modes(covariance, number, passes)
        onto, back = temporal.T.astype(filled.dtype), (temporal * singular / norm).astype(filled.dtype)
        changed, covariance = 0.0, np.zeros_like(covariance)
        for block in blocks:
            part = filled[:, block]
            change = back @ (onto @ part)
            change -= part
            change *= gaps[:, block]
            changed += float(np.vdot(change, change))
            part += np.float32(_RELAXATION) * change
            covariance += _compute_gram(part)
        if changed <= limit:
            break
    temporal, singular, _ = _find_modes(covariance, number, passes)
    spatial = temporal.T @ filled
    # Where a mode explains nothing, the norm from the covariance would be a rounding error.
    return temporal, singular, spatial / np.linalg.norm(spatial, axis=1, keepdims=True).clip(min=1e-30)


def _compute_gram(part: Values) -> Floats:
    return (part @ part.T).astype(np.float64)


def _find_modes(covariance: Floats, number: int, passes: Floats) -> tuple[Floats, Floats, Floats]:
    """Find the leading temporal modes (dates, n), their singular values and the norms of their spatial modes.

    The singular values are those of the filtered covariance: the filter damps fast changes.
    """
    value, vector = np.linalg.eigh(passes @ covariance @ passes.T)
    value, vector = value[: -number - 1 : -1], vector[:, : -number - 1 : -1]
    norm = np.sqrt(np.einsum("tk,tu,uk->k", vector, covariance, vector, optimize=True).clip(min=1e-30))
    return vector, np.sqrt(value.clip(min=0)), norm


def _estimate_error(
    singular: Floats, spatial: Floats, misfit: Floats, pixels: slice, test: Mask, residual: Values
) -> Floats:
    """Standard error (dates, pixels of the first field) of optimal interpolation with these EOFs.

    The amplitudes of a date have the covariance (I + L'L / (r m))^-1, where L are the EOFs in units of the
    field at the observations, m is the variance of the ``misfit`` (NaN where not observed) and r the number
    of pixels with a common error (Beckers et al. 2006, sections 2 and 3). The result is scaled so that 68.27%
    of the held-out values are within one standard error, and is at most one, the spread of the field.
    """
    modes = singular[:, None] * spatial / np.sqrt(len(misfit))
    left = float(np.nanmean(misfit**2)) + 1e-12
    inflated = left * _count_correlated(misfit)
    own = modes[:, pixels]

    def compute_variance(seen: NDArray[np.bool_]) -> Floats:
        at = modes[:, seen]
        information = np.eye(len(modes)) + at @ at.T / inflated
        return np.einsum("kp,kp->p", own, np.linalg.solve(information, own)) + left

    observed = np.isfinite(misfit)
    sigma = np.sqrt([compute_variance(seen) for seen in observed])
    hidden = np.flatnonzero(test.any(axis=1))
    without = [np.sqrt(compute_variance(observed[t] & ~test[t])[test[t, pixels]]) for t in hidden]
    ratio = np.abs(residual) / np.concatenate(without)
    return (sigma * np.quantile(ratio, 0.6827)).clip(max=1)


def _count_correlated(misfit: Floats) -> float:
    """Count the pixels with a common error: the integral of exp(-distance / length) over the plane.

    The length follows from the correlation of neighbours along the rows of the grid.
    """
    product = misfit[:, 1:] * misfit[:, :-1]
    if not np.isfinite(product).any():
        return 1.0
    correlation = np.clip(np.nanmean(product) / np.nanmean(misfit**2), 1e-3, 0.99)
    return max(1.0, 2 * np.pi / np.log(correlation) ** 2)
