"""The simplest gap fillers: what every other method has to beat. Their errors are those of the hold-out."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import LinearNDInterpolator, NearestNDInterpolator
from scipy.ndimage import distance_transform_edt

from ..field import Field

Estimate = tuple[NDArray[np.float32], NDArray[np.float32]]


def climatology(field: Field) -> Estimate:
    """The mean of each pixel over the record, with its standard deviation as the error."""
    observed = field.observed
    number = np.maximum(observed.sum(axis=0), 1)
    mean = _nearest_known(np.where(observed, field.values, 0).sum(axis=0) / number, observed.any(axis=0))
    spread = np.sqrt((np.where(observed, field.values - mean, 0) ** 2).sum(axis=0) / number)
    usual = spread[spread > 0].mean() if spread.any() else np.nanstd(field.values)
    return _everywhere(field, mean), _everywhere(field, np.where(spread > 0, spread, usual))


def linear_in_time(field: Field) -> Estimate:
    """Linear between the dates that see a pixel, constant before the first and after the last."""
    observed = field.observed
    known = observed.any(axis=0)
    estimate = np.zeros(field.values.shape)
    for y, x in np.argwhere(known & field.sea):
        dates = observed[:, y, x]
        estimate[:, y, x] = np.interp(field.days, field.days[dates], field.values[dates, y, x])
    return _with_even_error(field, np.stack([_nearest_known(date, known) for date in estimate]))


def linear_in_space(field: Field) -> Estimate:
    """Date by date linear on Delaunay triangles, the nearest value outside; empty dates linear in time."""
    columns = np.cos(np.radians(field.lat.mean()))
    place = np.stack([field.lat, field.lon * columns], axis=-1)
    estimate = linear_in_time(field)[0].astype(np.float64)
    for date, values in enumerate(field.values):
        seen, gap = np.isfinite(values), field.sea & ~np.isfinite(values)
        if not seen.any() or not gap.any():
            continue
        estimate[date][gap] = NearestNDInterpolator(place[seen], values[seen])(place[gap])
        if np.linalg.matrix_rank(place[seen] - place[seen][0], tol=1e-9) == 2:
            inside = LinearNDInterpolator(place[seen], values[seen])(place[gap])
            estimate[date][gap] = np.where(np.isfinite(inside), inside, estimate[date][gap])
    return _with_even_error(field, estimate)


def _nearest_known(values: NDArray[np.floating], known: NDArray[np.bool_]) -> NDArray[np.floating]:
    """(lat, lon) with the nearest known cell's value where nothing is known."""
    nearest = distance_transform_edt(~known, return_distances=False, return_indices=True)
    return values[tuple(nearest)]


def _with_even_error(field: Field, estimate: NDArray[np.floating]) -> Estimate:
    """The estimate with one error for all cells: a scale for the hold-out to adjust."""
    return _everywhere(field, estimate), _everywhere(field, np.nanstd(field.values))


def _everywhere(field: Field, values: NDArray[np.floating] | float) -> NDArray[np.float32]:
    return np.where(field.sea, values, np.nan).astype(np.float32) + np.zeros(field.values.shape, np.float32)
