"""The simplest gap fillers: what every other method has to beat.

Their errors grow with the distance to what was observed, as the field's own differences do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import LinearNDInterpolator, NearestNDInterpolator
from scipy.ndimage import distance_transform_edt

from ..io.field import Field, Table

Estimate = tuple[NDArray[np.float32], NDArray[np.float32]]
Floats = NDArray[np.floating]
Growth = Callable[[Any], NDArray[np.float32]]

_SEASONAL = 1.5 * 365.25  # days that a record has to span for a seasonal cycle
_HARMONICS = (1, 2)  # of the year
_NO_HELP = 1e30  # error variance of an estimate from an observation that does not exist


def climatology(field: Field) -> Estimate:
    """The mean of each pixel, with the seasonal cycle where the record spans one and a half years.

    The cycle has the annual and the semi-annual harmonic, fitted to the pixel by least squares with a ridge
    of one observation. The error is the standard deviation of what is left.
    """
    observed, known = field.observed, field.sea & ~field.never_observed
    design = np.ones((len(field.days), 1))
    if field.days[-1] >= _SEASONAL:
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
    return _finished(
        field,
        nearest_known(_mapped(mean, known), known)[0],
        nearest_known(_mapped(error, known), known)[0] ** 2,
    )


def persistence(field: Field) -> Estimate:
    """The last value that a pixel showed; the first one before there is any."""
    mean, variance = np.empty_like(field.values), np.empty_like(field.values)
    for date, (growth, before, after) in enumerate(_in_turn(field)):
        last = before.date >= 0
        mean[date] = np.where(last, before.value, after.value)
        variance[date] = growth[np.where(last, before.date, after.date)]
    return _completed(field, mean, variance)


def nearest(field: Field) -> Estimate:
    """The nearest observation in space and time, where a date is as far as the field changes in it."""
    in_time, across = _in_time(field), in_space(field)
    cells = float(np.clip(in_time(np.median(np.diff(field.days))) / across(1), 0.02, 50))
    index = distance_transform_edt(
        ~field.observed, sampling=(cells, 1, 1), return_distances=False, return_indices=True
    )
    y, x = np.ogrid[: field.sea.shape[0], : field.sea.shape[1]]
    days = np.abs(field.days[index[0]] - field.days[:, None, None])
    variance = in_time(days) + across(np.hypot(index[1] - y, index[2] - x))
    return _finished(field, field.values[tuple(index)], variance)


def linear_in_time(field: Field) -> Estimate:
    """Linear between the dates that see a pixel, constant before the first and after the last."""
    mean, variance = np.empty_like(field.values), np.empty_like(field.values)
    days = np.append(field.days, np.nan).astype(np.float32)
    for date, (growth, before, after) in enumerate(_in_turn(field)):
        earlier, between = days[date] - days[before.date], days[after.date] - days[before.date]
        inside = between > 0
        weight = np.divide(earlier, between, out=(before.date < 0).astype(np.float32), where=inside)
        first, second = np.where(before.date >= 0, before.value, 0), np.where(after.date >= 0, after.value, 0)
        mean[date] = first + weight * (second - first)
        variance[date] = _together(growth[before.date], growth[after.date])
    return _completed(field, mean, variance)


def linear_in_space(field: Field) -> Estimate:
    """Date by date linear on Delaunay triangles, the nearest value outside; empty dates linear in time."""
    columns = np.cos(np.radians(field.lat.mean()))
    place = np.stack([field.lat, field.lon * columns], axis=-1)
    mean, error = (part.astype(np.float64) for part in linear_in_time(field))
    variance, growth = error**2, in_space(field)
    for date, values in enumerate(field.values):
        seen, gap = np.isfinite(values), field.sea & ~np.isfinite(values)
        if not seen.any() or not gap.any():
            continue
        variance[date] = growth(distance_transform_edt(~seen))
        mean[date][gap] = NearestNDInterpolator(place[seen], values[seen])(place[gap])
        if np.linalg.matrix_rank(place[seen] - place[seen][0], tol=1e-9) == 2:
            inside = LinearNDInterpolator(place[seen], values[seen])(place[gap])
            mean[date][gap] = np.where(np.isfinite(inside), inside, mean[date][gap])
    return _finished(field, mean, variance)


def linear_in_space_time(field: Field) -> Estimate:
    """The mean of linear in time and linear in space, weighted by their error variances."""
    (time, time_error), (space, space_error) = linear_in_time(field), linear_in_space(field)
    total = time_error**2 + space_error**2
    mean = time + time_error**2 / total * (space - time)
    return _finished(field, mean, _together(time_error**2, space_error**2))


def nearest_known(values: Floats, known: NDArray[np.bool_]) -> tuple[Floats, NDArray[np.float64]]:
    """(..., lat, lon) with the nearest known cell's values where nothing is known, and how many cells off."""
    distance, (y, x) = distance_transform_edt(~known, return_indices=True)
    return values[..., y, x], distance


def everywhere(field: Field, values: Floats) -> NDArray[np.float32]:
    """(time, lat, lon) of values that may lack the time, NaN outside the sea."""
    full = np.broadcast_to(values, field.values.shape)
    return np.where(field.sea, full, np.nan).astype(np.float32, copy=False)


def in_space(field: Field) -> Growth:
    """The variance of the difference of two cells of a date, by how many cells lie between them."""
    return _growth(differences_in_space(field) if field.statistics is None else field.statistics.in_space)


def _in_time(field: Field) -> Growth:
    """The variance of the difference of two dates of a pixel, by the days between them."""
    return _growth(differences_in_time(field) if field.statistics is None else field.statistics.in_time)


def _growth(table: Table) -> Growth:
    return lambda gap: np.where(
        np.isinf(gap), np.float32(_NO_HELP), np.interp(gap, *table).astype(np.float32)
    )


def differences_in_space(field: Field) -> Table:
    """Cells between two cells of a date, and the variance of their difference."""
    return _differences(
        [(field.values.swapaxes(0, axis), np.arange(field.values.shape[axis])) for axis in (1, 2)]
    )


def differences_in_time(field: Field) -> Table:
    """Days between two dates, and the variance of the difference of a pixel."""
    return _differences([(field.values, field.days)])


def _differences(series: list[tuple[Floats, NDArray[Any]]]) -> Table:
    """Mean squared differences by distance, along the first axis of each of ``series`` (values, positions).

    They are taken at lags of 1, 2, 4... and linear between them; what two equal places differ by is what the
    first two lags leave at zero, and never nothing: a twentieth of the first.
    """
    most = max(len(values) for values, _ in series)
    distance, variance = [0.0], [0.0]
    for lag in 2 ** np.arange(most.bit_length()):
        gaps, squares, number = [], 0.0, 0
        for values, position in series:
            gap = position[lag:] - position[:-lag]
            # Where dates are spans of a record, others would be years apart.
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
    if len(distance) == 1:
        return distance, [float(np.nanvar(np.concatenate([values.ravel() for values, _ in series])))]
    one, two = variance[1], variance[min(2, len(variance) - 1)]
    variance[0] = float(np.clip(2 * one - two, one / 20, one))
    return distance, variance


class _Seen(NamedTuple):
    """The nearest date on one side that sees a pixel, which may be the date itself."""

    date: NDArray[np.int32]  # (lat, lon), -1 where there is none
    value: NDArray[np.float32]  # (lat, lon)


def _in_turn(field: Field) -> Iterator[tuple[NDArray[np.float32], _Seen, _Seen]]:
    """For each date how the variance grows to each date (and to none), what was seen last and what is next.

    Date by date, since a map fits into a processor's cache and a record does not.
    """
    growth = _in_time(field)
    nothing = _Seen(np.full(field.sea.shape, -1, np.int32), np.zeros(field.sea.shape, np.float32))
    later = [nothing]
    for date in range(len(field.days))[::-1]:
        later.append(_updated(later[-1], field.values[date], date))
    before = nothing
    for date, day in enumerate(field.days):
        before = _updated(before, field.values[date], date)
        row = growth(np.append(np.abs(field.days - day), np.inf)).astype(np.float32)
        yield row, before, later.pop()


def _updated(held: _Seen, values: NDArray[np.float32], date: int) -> _Seen:
    seen = np.isfinite(values)
    return _Seen(np.where(seen, np.int32(date), held.date), np.where(seen, values, held.value))


def _together(one: Floats, other: Floats) -> Floats:
    """The error variance of the best mean of two estimates whose errors have nothing in common."""
    return 1 / (1 / one + 1 / other)


def _completed(field: Field, mean: NDArray[np.float32], variance: NDArray[np.float32]) -> Estimate:
    """With the nearest pixel's estimate where a pixel is never observed."""
    lone = field.never_observed
    if lone.any():
        distance, (y, x) = distance_transform_edt(lone | ~field.sea, return_indices=True)
        mean[:, lone] = mean[:, y[lone], x[lone]]
        variance[:, lone] = variance[:, y[lone], x[lone]] + in_space(field)(distance[lone])
    return _finished(field, mean, variance)


def _finished(field: Field, mean: Floats, variance: Floats) -> Estimate:
    return everywhere(field, mean), everywhere(field, np.sqrt(variance))


def _mapped(values: Floats, known: NDArray[np.bool_]) -> Floats:
    """(..., pixels) on (..., lat, lon), NaN elsewhere."""
    full = np.full((*values.shape[:-1], *known.shape), np.nan)
    full[..., known] = values
    return full
