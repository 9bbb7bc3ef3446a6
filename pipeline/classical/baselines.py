"""The simplest gap fillers, which every other method has to beat.

Their errors grow with the distance to the observations as the field's own structure functions do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import wraps
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import LinearNDInterpolator, NearestNDInterpolator
from scipy.ndimage import distance_transform_edt

from ..io.field import Field, Table, grid_spacing
from .season import LEAST, remove_season

Estimate = tuple[NDArray[np.float32], NDArray[np.float32]]
Floats = NDArray[np.floating]
StructureFunction = Callable[[Any], NDArray[np.float32]]

_HARMONICS = (1, 2)  # of the year
_DIGITS = 6  # of positions in degrees: a tenth of a metre
_LEAST_VARIANCE = 1e-8  # of a difference, over that of the field
_NO_INFORMATION = 1e30  # error variance of an estimate from an observation that does not exist


def _apply_to_anomalies(method: Callable[[Field], Estimate]) -> Callable[[Field], Estimate]:
    """Apply a method to the departures from the seasonal cycle, which a long gap then returns to."""

    @wraps(method)
    def estimate(field: Field) -> Estimate:
        without, cycle = remove_season(field)
        mean, error = method(without)
        return mean + cycle, error

    return estimate


def climatology(field: Field) -> Estimate:
    """The mean of each pixel, with the seasonal cycle where the record spans one and a half years.

    The cycle has the annual and the semi-annual harmonic, fitted to each pixel by ridge regression; the ridge
    weighs as much as one observation. The error is the standard deviation of the residuals.
    """
    observed, known = field.observed, field.sea & ~field.never_observed
    design = np.ones((len(field.days), 1))
    if field.days[-1] >= LEAST:
        phase = 2 * np.pi * field.season[:, None] * _HARMONICS
        design = np.concatenate([design, np.cos(phase), np.sin(phase)], axis=1)
    ridge = np.diag([0.0] + [1.0] * (design.shape[1] - 1))
    seen, values = observed[:, known], np.where(observed, field.values, 0)[:, known].astype(np.float64)
    squares = np.einsum("tp,ti,tj->pij", seen, design, design, optimize=True) + ridge
    coefficients = np.linalg.solve(squares, (values.T @ design)[:, :, None])[:, :, 0]
    mean = design @ coefficients.T
    spread = np.sqrt((np.where(seen, values - mean, 0) ** 2).sum(axis=0) / seen.sum(axis=0))
    usual = spread[spread > 0].mean() if spread.any() else np.nanstd(field.values)
    error = np.where(spread > 0, spread, usual)
    return _make_estimate(
        field,
        fill_from_nearest(_place_on_map(mean, known), known)[0],
        fill_from_nearest(_place_on_map(error, known), known)[0] ** 2,
    )


@_apply_to_anomalies
def persistence(field: Field) -> Estimate:
    """The last observed value of each pixel; before the first observation, the first."""
    mean, variance = np.empty_like(field.values), np.empty_like(field.values)
    for date, (growth, before, after) in enumerate(_scan_dates(field)):
        last = before.date >= 0
        mean[date] = np.where(last, before.value, after.value)
        variance[date] = growth[np.where(last, before.date, after.date)]
    return _fill_unobserved(field, mean, variance)


@_apply_to_anomalies
def nearest(field: Field) -> Estimate:
    """The nearest observation in space and time; a date counts as many cells as the field changes in it."""
    in_time, across = _build_temporal_structure(field), build_spatial_structure(field)
    step, *_ = grid_spacing(field)
    cells = float(np.clip(in_time(step) / across(1), 0.02, 50))
    index = distance_transform_edt(
        ~field.observed, sampling=(cells, 1, 1), return_distances=False, return_indices=True
    )
    y, x = np.ogrid[: field.sea.shape[0], : field.sea.shape[1]]
    days = np.abs(field.days[index[0]] - field.days[:, None, None])
    variance = in_time(days) + across(np.hypot(index[1] - y, index[2] - x))
    return _make_estimate(field, field.values[tuple(index)], variance)


@_apply_to_anomalies
def linear_in_time(field: Field) -> Estimate:
    """Linear between the observations of each pixel, constant before the first and after the last.

    The error variance of (1 - w) x + w y is (1 - w) g(x) + w g(y) - w (1 - w) g(x, y): g are the variances of
    the differences from the value to be estimated, and between the two.
    """
    mean, variance = np.empty_like(field.values), np.empty_like(field.values)
    in_time = _build_temporal_structure(field)
    least = in_time(0.0) / 2
    days = np.append(field.days, np.nan)
    for date, (growth, before, after) in enumerate(_scan_dates(field)):
        # Single precision holds the steps of a record of minutes, but not its days.
        earlier, between = ((days[end] - days[before.date]).astype(np.float32) for end in (date, after.date))
        inside = between > 0
        weight = np.divide(earlier, between, out=(before.date < 0).astype(np.float32), where=inside)
        first, second = np.where(before.date >= 0, before.value, 0), np.where(after.date >= 0, after.value, 0)
        mean[date] = first + weight * (second - first)
        one, other = growth[before.date], growth[after.date]
        both = (
            (1 - weight) * one
            + weight * other
            - weight * (1 - weight) * in_time(np.where(inside, between, 0))
        )
        variance[date] = np.where(inside, np.maximum(both, least), np.minimum(one, other))
    return _fill_unobserved(field, mean, variance)


@_apply_to_anomalies
def linear_in_space(field: Field) -> Estimate:
    """Linear on Delaunay triangles date by date, the nearest value outside; empty dates linear in time."""
    columns = np.cos(np.radians(field.lat.mean()))
    # Rounded: the diagonal of a square must not depend on how longitudes are counted.
    east = (field.lon - field.lon.min()).round(_DIGITS)
    place = np.stack([field.lat.round(_DIGITS), east * columns], axis=-1)
    mean, error = (part.astype(np.float64) for part in linear_in_time(field))
    variance, growth = error**2, build_spatial_structure(field)
    for date, values in enumerate(field.values):
        seen, gap = np.isfinite(values), field.sea & ~np.isfinite(values)
        if not seen.any() or not gap.any():
            continue
        variance[date] = growth(distance_transform_edt(~seen))
        mean[date][gap] = NearestNDInterpolator(place[seen], values[seen])(place[gap])
        if np.linalg.matrix_rank(place[seen] - place[seen][0], tol=1e-9) == 2:
            inside = LinearNDInterpolator(place[seen], values[seen])(place[gap])
            mean[date][gap] = np.where(np.isfinite(inside), inside, mean[date][gap])
    return _make_estimate(field, mean, variance)


@_apply_to_anomalies
def linear_in_space_time(field: Field) -> Estimate:
    """The mean of linear in time and linear in space, weighted by their error variances."""
    (time, time_error), (space, space_error) = linear_in_time(field), linear_in_space(field)
    total = time_error**2 + space_error**2
    mean = time + time_error**2 / total * (space - time)
    return _make_estimate(field, mean, _combine_variances(time_error**2, space_error**2))


def fill_from_nearest(values: Floats, known: NDArray[np.bool_]) -> tuple[Floats, NDArray[np.float64]]:
    """Fill (..., lat, lon) with the values of the nearest known cells; return distances (cells) as well."""
    distance, (y, x) = distance_transform_edt(~known, return_indices=True)
    return values[..., y, x], distance


def mask_land(field: Field, values: Floats) -> NDArray[np.float32]:
    """Set values, (time, lat, lon) or (lat, lon), to NaN on land; return (time, lat, lon)."""
    full = np.broadcast_to(values, field.values.shape)
    return np.where(field.sea, full, np.nan).astype(np.float32, copy=False)


def build_spatial_structure(field: Field) -> StructureFunction:
    """Variance of the difference of two cells of a date as a function of their distance (cells)."""
    return _interpolate_table(
        tabulate_spatial_structure(field) if field.statistics is None else field.statistics.in_space
    )


def _build_temporal_structure(field: Field) -> StructureFunction:
    """Variance of the difference of two dates of a pixel as a function of the days between them."""
    return _interpolate_table(
        tabulate_temporal_structure(field) if field.statistics is None else field.statistics.in_time
    )


def _interpolate_table(table: Table) -> StructureFunction:
    return lambda gap: np.where(
        np.isinf(gap), np.float32(_NO_INFORMATION), np.interp(gap, *table).astype(np.float32)
    )


def tabulate_spatial_structure(field: Field) -> Table:
    """Tabulate the variance of the difference of two cells of a date by their distance (cells)."""
    return _tabulate_structure(
        [(field.values.swapaxes(0, axis), np.arange(field.values.shape[axis])) for axis in (1, 2)]
    )


def tabulate_temporal_structure(field: Field) -> Table:
    """Tabulate the variance of the difference of two dates of a pixel by the days between them."""
    return _tabulate_structure([(field.values, field.days)])


def _tabulate_structure(series: list[tuple[Floats, NDArray[Any]]]) -> Table:
    """Mean squared differences by distance, along the first axis of each of ``series`` (values, positions).

    Lags are 1, 2, 4... The value at zero distance is extrapolated from the first two lags, and at least a
    twentieth of the first.
    """
    most = max(len(values) for values, _ in series)
    distance, variance = [0.0], [0.0]
    for lag in 2 ** np.arange(most.bit_length()):
        gaps, squares, number = [], 0.0, 0
        for values, position in series:
            gap = position[lag:] - position[:-lag]
            # The dates may be spans of a record that are years apart.
            near = gap <= 2 * lag * np.median(np.diff(position)) if len(gap) else np.zeros(0, bool)
            for k in np.flatnonzero(near if near.any() else ~near):
                difference = values[k + lag] - values[k]
                known = difference[np.isfinite(difference)]
                squares += float(np.dot(known, known))
                number += known.size
                gaps.append(gap[k])
        if number:
            distance.append(float(np.mean(gaps)))
            variance.append(squares / number)
    whole = float(np.nanvar(np.concatenate([values.ravel() for values, _ in series]), dtype=np.float64))
    if len(distance) == 1:
        return distance, [whole]
    one, two = variance[1], variance[min(2, len(variance) - 1)]
    variance[0] = float(np.clip(2 * one - two, one / 20, one))
    # A field that does not change along an axis is not known without any error.
    return distance, [max(part, _LEAST_VARIANCE * whole) for part in variance]


class _NearestDate(NamedTuple):
    """The nearest date on one side with an observation of each pixel, possibly the date itself."""

    date: NDArray[np.int32]  # (lat, lon), -1 where there is none
    value: NDArray[np.float32]  # (lat, lon)


def _scan_dates(field: Field) -> Iterator[tuple[NDArray[np.float32], _NearestDate, _NearestDate]]:
    """Yield for each date its structure function to each date (and to none), the last and the next values.

    A map fits into a processor's cache; a record does not.
    """
    growth = _build_temporal_structure(field)
    nothing = _NearestDate(np.full(field.sea.shape, -1, np.int32), np.zeros(field.sea.shape, np.float32))
    later = [nothing]
    for date in range(len(field.days))[::-1]:
        later.append(_update_nearest(later[-1], field.values[date], date))
    before = nothing
    for date, day in enumerate(field.days):
        before = _update_nearest(before, field.values[date], date)
        row = growth(np.append(np.abs(field.days - day), np.inf)).astype(np.float32)
        yield row, before, later.pop()


def _update_nearest(held: _NearestDate, values: NDArray[np.float32], date: int) -> _NearestDate:
    seen = np.isfinite(values)
    return _NearestDate(np.where(seen, np.int32(date), held.date), np.where(seen, values, held.value))


def _combine_variances(one: Floats, other: Floats) -> Floats:
    """Error variance of the optimal mean of two estimates with independent errors."""
    return 1 / (1 / one + 1 / other)


def _fill_unobserved(field: Field, mean: NDArray[np.float32], variance: NDArray[np.float32]) -> Estimate:
    """Fill pixels that are never observed with the nearest pixel's estimate."""
    unobserved = field.never_observed
    if unobserved.any():
        distance, (y, x) = distance_transform_edt(unobserved | ~field.sea, return_indices=True)
        mean[:, unobserved] = mean[:, y[unobserved], x[unobserved]]
        growth = build_spatial_structure(field)(distance[unobserved])
        variance[:, unobserved] = variance[:, y[unobserved], x[unobserved]] + growth
    return _make_estimate(field, mean, variance)


def _make_estimate(field: Field, mean: Floats, variance: Floats) -> Estimate:
    return mask_land(field, mean), mask_land(field, np.sqrt(variance))


def _place_on_map(values: Floats, known: NDArray[np.bool_]) -> Floats:
    """Place (..., pixels) on (..., lat, lon), NaN elsewhere."""
    full = np.full((*values.shape[:-1], *known.shape), np.nan)
    full[..., known] = values
    return full
