"""Scores of an estimate and its standard error against the truth.

Every score is taken where the truth is finite. An estimate that is missing there is an error: leaving it out
would reward a method for what it did not fill.
"""

from __future__ import annotations

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy.constants import g
from scipy.special import ndtr, ndtri

from ..io.layout.positions import EARTH_RADIUS
from .score_sums import ScoreSums, check_values
from .score_sums import rmse_interval as rmse_interval

Values = xr.DataArray | NDArray[np.floating] | float

_ROTATION = 7.2921e-5  # 1/s, of the Earth
_EQUATORIAL = 5.0  # degrees


def rmse(estimate: Values, truth: Values, weights: Values = 1.0) -> float:
    """Root mean square error, in the units of the values.

    ``truth`` may have any shape; the estimate has the same (`xarray.DataArray` are matched by dimension
    names and labels), and ``weights``, such as areas, can be broadcast to it. Raises `ValueError` for an
    estimate that is not finite where the truth is, and where there is no truth; the other scores do the same.
    """
    return _sum_errors(estimate, None, truth, weights).rmse


def bias(estimate: Values, truth: Values, weights: Values = 1.0) -> float:
    """Mean of estimate - truth; shapes and errors as for `rmse`."""
    return _sum_errors(estimate, None, truth, weights).bias


def mae(estimate: Values, truth: Values, weights: Values = 1.0) -> float:
    """Mean absolute error; shapes and errors as for `rmse`."""
    return _sum_errors(estimate, None, truth, weights).mae


def coverage(
    estimate: Values, error: Values, truth: Values, sigmas: float = 1, weights: Values = 1.0
) -> float:
    """Share of the truth within ``sigmas`` standard errors of the estimate, 0 to 1.

    An honest Gaussian error gives 0.683 for 1 and 0.954 for 2. Raises `ValueError` as `rmse` does, and for
    a standard error that is not finite or negative where the truth is finite.
    """
    return _sum_errors(estimate, sigmas * error, truth, weights).coverage(1)


def crps_gaussian(estimate: Values, error: Values, truth: Values, weights: Values = 1.0) -> float:
    """Mean continuous ranked probability score of N(estimate, error^2), in the units of the values.

    In the negative orientation: less is better. Raises as `coverage` does.
    """
    return _sum_errors(estimate, error, truth, weights).crps


def sums(group: NDArray[np.integer], values: NDArray[np.floating]) -> NDArray[np.float64]:
    """(g,) sums of values (n,) by the number of their group, such as the date."""
    return np.bincount(np.unique(group, return_inverse=True)[1], values).astype(float)


def crps_ensemble(members: NDArray[np.floating], truth: NDArray[np.floating]) -> float:
    """Fair mean continuous ranked probability score of an ensemble (n, ...) where the truth is finite.

    Its expectation does not depend on the number of members: mean |x_i - y| less half the mean |x_i - x_j| of
    different members (Ferro 2014, 10.1002/qj.2270).
    """
    drawn = np.sort(np.asarray(members, np.float64)[:, np.isfinite(truth)], axis=0)
    n = len(drawn)
    misfit = np.abs(drawn - truth[np.isfinite(truth)]).mean(axis=0)
    # Of sorted members, half the mean absolute difference is a weighted sum.
    rank = 2 * np.arange(n) - n + 1
    return float((misfit - (rank @ drawn) / (n * (n - 1))).mean())


def energy_score(members: NDArray[np.floating], truth: NDArray[np.floating]) -> float:
    """Fair energy score of an ensemble (n, time, ...), the mean over dates with finite truth.

    Mean |x_i - y| less half the mean |x_i - x_j|, where lengths are root mean squares over the values of the
    date (Gneiting & Raftery 2007, equation 22). Unlike `crps_ensemble` it depends on the covariance of cells.
    """
    n, scores = len(members), []
    for date, wanted in enumerate(truth):
        here = np.isfinite(wanted)
        if not here.any():
            continue
        drawn = np.asarray(members[:, date][:, here], np.float64)
        misfit = np.sqrt(((drawn - wanted[here]) ** 2).mean(axis=1)).mean()
        distances = [np.sqrt(((drawn[i + 1 :] - drawn[i]) ** 2).mean(axis=1)).sum() for i in range(n - 1)]
        scores.append(misfit - sum(distances) / (n * (n - 1)))
    return float(np.mean(scores))


def rank_histogram(members: NDArray[np.floating], truth: NDArray[np.floating]) -> NDArray[np.float64]:
    """(n + 1,) share of the finite truth above 0, 1, ... n of the members (n, ...): uniform if calibrated.

    Hamill 2001 (10.1175/1520-0493(2001)129<0550:IORHFV>2.0.CO;2).
    """
    here = np.isfinite(truth)
    rank = (members[:, here] < truth[here]).sum(axis=0)
    return np.bincount(rank, minlength=len(members) + 1) / here.sum()


def log_score_gaussian(estimate: Values, error: Values, truth: Values, weights: Values = 1.0) -> float:
    """Mean of -log of the density of N(estimate, error^2) at the truth, in nats (less is better).

    In units that are a times smaller it is greater by log(a) (Gneiting & Raftery 2007, equation 8).
    Raises as `coverage` does, and for zero errors.
    """
    z, sigma, weight = _standardise(estimate, error, truth, weights)
    return float(np.average(z**2 / 2 + np.log(np.sqrt(2 * np.pi) * sigma), weights=weight))


def spread_skill(estimate: Values, error: Values, truth: Values, weights: Values = 1.0) -> float:
    """Root mean square standard error over RMSE: 1 is calibrated, less is overconfident.

    Fortin et al. 2014 (10.1175/JHM-D-14-0008.1), equation 15. Raises as `coverage` does.
    """
    _, _, sigma, weight = _select_truth(estimate, truth, error, weights)
    check_values(sigma, "standard error", negative=False)
    return float(np.sqrt(np.average(sigma**2, weights=weight))) / rmse(estimate, truth, weights)


def pit(estimate: Values, error: Values, truth: Values) -> NDArray[np.float64]:
    """(n,) share of N(estimate, error^2) below each finite truth: uniform from 0 to 1 if calibrated.

    Dawid 1984 (10.2307/2981683). Raises as `coverage` does, and for zero errors.
    """
    z, _ = _standardise(estimate, error, truth)
    return ndtr(-z)


def reliability(
    estimate: Values, error: Values, truth: Values, levels: NDArray[np.floating], weights: Values = 1.0
) -> NDArray[np.float64]:
    """Share of the truth within each of the central intervals of the nominal ``levels`` (k,)."""
    z, _, weight = _standardise(estimate, error, truth, weights)
    within = np.abs(z) <= ndtri((1 + levels[:, None]) / 2)
    return np.average(within, axis=1, weights=weight)


def areas(lat: Values) -> NDArray[np.float64]:
    """Area weights of the cells of a grid that is regular in degrees, from their latitudes."""
    return np.cos(np.radians(np.asarray(lat, np.float64)))


def gradient(
    values: Values, lat: NDArray[np.floating], lon: NDArray[np.floating]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Eastward and northward derivatives of (..., y, x), in units of the values per metre.

    ``lat`` and ``lon`` are (y, x) in degrees, of a grid that may be rotated or curvilinear. Central
    differences, one-sided at the edges; NaN next to a missing value.
    """
    turns = np.radians(lat), np.unwrap(np.radians(lon), axis=1)
    north, east = ([1000 * EARTH_RADIUS * step for step in np.gradient(turn)] for turn in turns)
    east = [step * np.cos(turns[0]) for step in east]
    down, across = np.gradient(np.asarray(values, np.float64), axis=(-2, -1))
    area = east[1] * north[0] - east[0] * north[1]
    return (across * north[0] - down * north[1]) / area, (down * east[1] - across * east[0]) / area


def geostrophic_velocity(
    height: Values, lat: NDArray[np.floating], lon: NDArray[np.floating]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Eastward and northward geostrophic velocity (m/s) of a sea level (..., y, x) in metres.

    u = -(g/f) dh/dy, v = (g/f) dh/dx, with f = 2 Omega sin(lat); NaN within 5 degrees of the equator, where
    geostrophy does not hold.
    """
    away = np.where(np.abs(lat) >= _EQUATORIAL, lat, np.nan)
    ratio = g / (2 * _ROTATION * np.sin(np.radians(away)))
    east, north = gradient(height, lat, lon)
    return -ratio * north, ratio * east


def gradient_rmse(
    estimate: Values,
    truth: Values,
    lat: NDArray[np.floating],
    lon: NDArray[np.floating],
    weights: Values = 1.0,
) -> float:
    """Root mean square length of the error of `gradient`, per metre. Raises as `rmse` does."""
    return _vector_rmse(gradient(estimate, lat, lon), gradient(truth, lat, lon), weights)


def velocity_rmse(
    estimate: Values,
    truth: Values,
    lat: NDArray[np.floating],
    lon: NDArray[np.floating],
    weights: Values = 1.0,
) -> float:
    """Root mean square length of the error of `geostrophic_velocity`, m/s. Raises as `rmse` does."""
    found, expected = (geostrophic_velocity(height, lat, lon) for height in (estimate, truth))
    return _vector_rmse(found, expected, weights)


def _vector_rmse(
    found: tuple[NDArray[np.float64], ...], expected: tuple[NDArray[np.float64], ...], weights: Values
) -> float:
    east, north = (rmse(one, other, weights) for one, other in zip(found, expected, strict=True))
    return float(np.hypot(east, north))


def _sum_errors(estimate: Values, error: Values | None, truth: Values, weights: Values) -> ScoreSums:
    """Sum the errors at all values with truth in one group."""
    others = [weights] if error is None else [weights, error]
    found, expected, weight, *sigma = _select_truth(estimate, truth, *others)
    group = np.zeros(found.size, np.int64)
    return ScoreSums.from_estimate(found, sigma[0] if sigma else None, expected, weight, group)


def _standardise(
    estimate: Values, error: Values, truth: Values, *others: Values
) -> list[NDArray[np.float64]]:
    """(estimate - truth) / error, the error and the others where the truth is finite, (n,) each."""
    found, expected, sigma, *rest = _select_truth(estimate, truth, error, *others)
    check_values(sigma, "standard error", negative=False)
    zero = np.count_nonzero(sigma == 0)
    if zero:
        raise ValueError(f"the standard error is zero at {zero} of {sigma.size} values with truth")
    return [(found - expected) / sigma, sigma, *rest]


def _select_truth(estimate: Values, truth: Values, *others: Values) -> list[NDArray[np.float64]]:
    """Estimate, truth and the others where the truth is finite, (n,) each."""
    arrays = _align(estimate, truth, *others)
    if not np.size(estimate) == np.size(truth) == arrays[0].size:
        shapes = ", ".join(str(np.shape(value)) for value in (estimate, truth, *others))
        raise ValueError(f"the shapes of the estimate, the truth and their companions differ: {shapes}")
    here = np.isfinite(arrays[1])
    if not here.any():
        raise ValueError("the truth has no finite value")
    selected = [array[here] for array in arrays]
    check_values(selected[0], "estimate")
    return selected


def _align(*values: Values) -> list[NDArray[np.float64]]:
    """Bring all to the same dimensions in one order; labels that differ are an error, not an intersection."""
    labelled = [value for value in values if isinstance(value, xr.DataArray)]
    if labelled:
        dims = labelled[0].dims
        arrays = [
            value
            if isinstance(value, xr.DataArray)
            else xr.DataArray(value, dims=dims if np.ndim(value) else ())
            for value in values
        ]
        values = tuple(array.to_numpy() for array in xr.broadcast(*xr.align(*arrays, join="exact")))
    return [np.asarray(array, np.float64) for array in np.broadcast_arrays(*values)]
