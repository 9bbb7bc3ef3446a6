"""The simplest gap fillers: what every other method has to beat.

Their errors grow with the distance to what was observed, as the field's own differences do.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import LinearNDInterpolator, NearestNDInterpolator
from scipy.ndimage import distance_transform_edt

from ..field import Field

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
    before, after = _neighbours(field.observed)
    mean = _taken(field.values, np.where(before >= 0, before, after))
    age = np.where(before >= 0, _gap(field, before), _gap(field, after))
    return _completed(field, mean, _in_time(field)(age))


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
    before, after = _neighbours(field.observed)
    earlier, later = _gap(field, before), _gap(field, after)
    first, second = (
        _taken(field.values, np.where(i >= 0, i, j)) for i, j in ((before, after), (after, before))
    )
    between = earlier + later
    inside = np.isfinite(between) & (between > 0)
    weight = np.divide(earlier, between, out=np.zeros_like(between), where=inside)
    mean = first + weight * (second - first)
    growth = _in_time(field)
    return _completed(field, mean, _together(growth(earlier), growth(later)))


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
    return np.where(field.sea, np.broadcast_to(values, field.values.shape), np.nan).astype(np.float32)


def in_space(field: Field) -> Growth:
    """The variance of the difference of two cells of a date, by how many cells lie between them."""
    return _differences(
        [(field.values.swapaxes(0, axis), np.arange(field.values.shape[axis])) for axis in (1, 2)]
    )


def _in_time(field: Field) -> Growth:
    """The variance of the difference of two dates of a pixel, by the days between them."""
    return _differences([(field.values, field.days)])


def _differences(series: list[tuple[Floats, NDArray[Any]]]) -> Growth:
    """Mean squared differences by distance, along the first axis of each of ``series`` (values, positions).

    They are taken at lags of 1, 2, 4... and linear between them; what two equal places differ by is what the
    first two lags leave at zero, and never nothing: a twentieth of the first.
    """
    most = max(len(values) for values, _ in series)
    distance, variance = [], []
    for lag in 2 ** np.arange(most.bit_length()):
        pairs = [
            (values[lag:] - values[:-lag], position[lag:] - position[:-lag]) for values, position in series
        ]
        squares = np.concatenate([difference[np.isfinite(difference)] for difference, _ in pairs]) ** 2
        if squares.size:
            distance.append(np.concatenate([gap for _, gap in pairs]).mean())
            variance.append(squares.mean(dtype=float))
    if not distance:
        usual = float(np.nanvar(np.concatenate([values.ravel() for values, _ in series])))
        return lambda gap: np.where(np.isinf(gap), np.float32(_NO_HELP), np.float32(usual))
    one, two = variance[0], variance[min(1, len(variance) - 1)]
    at = np.array([0.0, *distance]), np.array([np.clip(2 * one - two, one / 20, one), *variance])
    return lambda gap: np.where(np.isinf(gap), np.float32(_NO_HELP), np.interp(gap, *at).astype(np.float32))


def _neighbours(observed: NDArray[np.bool_]) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """(time, lat, lon) the last date up to each, and the first from it on, that sees the pixel; else -1."""
    dates = np.arange(len(observed), dtype=np.int32)[:, None, None]
    before = np.maximum.accumulate(np.where(observed, dates, np.int32(-1)))
    after = np.minimum.accumulate(np.where(observed, dates, np.int32(len(observed)))[::-1])[::-1]
    return before, np.where(after < len(observed), after, np.int32(-1))


def _gap(field: Field, date: NDArray[np.int32]) -> NDArray[np.float32]:
    """Days from each date to another, infinite where there is none (-1)."""
    days = field.days.astype(np.float32)
    return np.where(date >= 0, np.abs(days[date] - days[:, None, None]), np.float32(np.inf))


def _taken(values: Floats, date: NDArray[np.int32]) -> Floats:
    return np.take_along_axis(values, date.clip(min=0), axis=0)


def _together(one: Floats, other: Floats) -> Floats:
    """The error variance of the best mean of two estimates whose errors have nothing in common."""
    return 1 / (1 / one + 1 / other)


def _completed(field: Field, mean: Floats, variance: Floats) -> Estimate:
    """With the nearest pixel's estimate where a pixel is never observed."""
    known = field.sea & ~field.never_observed
    mean, _ = nearest_known(mean, known)
    variance, distance = nearest_known(variance, known)
    return _finished(field, mean, np.where(distance > 0, variance + in_space(field)(distance), variance))


def _finished(field: Field, mean: Floats, variance: Floats) -> Estimate:
    return everywhere(field, mean), everywhere(field, np.sqrt(variance))


def _mapped(values: Floats, known: NDArray[np.bool_]) -> Floats:
    """(..., pixels) on (..., lat, lon), NaN elsewhere."""
    full = np.full((*values.shape[:-1], *known.shape), np.nan)
    full[..., known] = values
    return full
