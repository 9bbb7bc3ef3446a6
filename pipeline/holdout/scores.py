"""How far an estimate and its standard error are from the truth.

Every score is taken where the truth is finite. An estimate that is missing there is an error, because to
leave it out would reward a method for what it did not fill.
"""

from __future__ import annotations

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy.constants import g
from scipy.special import ndtr, ndtri

Values = xr.DataArray | NDArray[np.floating] | float

_RADIUS = 6.371e6  # m, of the Earth
_ROTATION = 7.2921e-5  # 1/s, of the Earth
_EQUATORIAL = 5.0  # degrees
_RESAMPLES = 2000


def rmse(estimate: Values, truth: Values, weights: Values = 1.0) -> float:
    """Root mean square error, in the units of the values.

    ``truth`` may have any shape; the estimate has the same (`xarray.DataArray` are matched by dimension
    names and labels), and ``weights``, as areas, can be broadcast to it. Raises `ValueError` for an
    estimate that is not finite where the truth is, and where there is no truth; so do the others.
    """
    difference, weight = _at_truth(estimate, truth, weights)
    return float(np.sqrt(np.average(difference**2, weights=weight)))


def sums(group: NDArray[np.integer], values: NDArray[np.floating]) -> NDArray[np.float64]:
    """(g,) of values (n,) by the number of their group, as a date."""
    return np.bincount(np.unique(group, return_inverse=True)[1], values).astype(float)


def rmse_interval(
    squares: NDArray[np.floating],
    weight: NDArray[np.floating],
    other: NDArray[np.floating] | None = None,
    level: float = 0.95,
) -> tuple[float, float]:
    """Central interval of the RMSE, or of its excess over that of ``other``, when groups are drawn anew.

    Of each group (g,), as a date, whose errors hang together, the `sums` of weighted squares and of weights
    are given. Infinite for fewer than two groups with a weight.
    """
    from scipy.stats import bootstrap  # half a second that most commands have no use for

    kept = weight > 0
    if np.count_nonzero(kept) < 2:
        return -np.inf, np.inf

    def statistic(*drawn: NDArray[np.floating], axis: int = -1) -> NDArray[np.floating]:
        total = drawn[-1].sum(axis)
        roots = [np.sqrt(part.sum(axis) / total) for part in drawn[:-1]]
        return roots[0] if len(roots) == 1 else roots[0] - roots[1]

    found = bootstrap(
        [part[kept] for part in (squares, other, weight) if part is not None],
        statistic,
        paired=True,
        vectorized=True,
        n_resamples=_RESAMPLES,
        confidence_level=level,
        method="percentile",
        rng=np.random.default_rng(0),
        batch=200,
    ).confidence_interval
    return float(found.low), float(found.high)


def bias(estimate: Values, truth: Values, weights: Values = 1.0) -> float:
    """Mean of estimate - truth; shapes and errors as for `rmse`."""
    difference, weight = _at_truth(estimate, truth, weights)
    return float(np.average(difference, weights=weight))


def mae(estimate: Values, truth: Values, weights: Values = 1.0) -> float:
    """Mean absolute error; shapes and errors as for `rmse`."""
    difference, weight = _at_truth(estimate, truth, weights)
    return float(np.average(np.abs(difference), weights=weight))


def coverage(
    estimate: Values, error: Values, truth: Values, sigmas: float = 1, weights: Values = 1.0
) -> float:
    """Share of the truth within ``sigmas`` standard errors of the estimate, 0 to 1.

    An honest Gaussian error gives 0.683 for 1 and 0.954 for 2. Raises `ValueError` as `rmse` does, and for
    a standard error that is not finite or negative where the truth is finite.
    """
    difference, sigma, weight = _at_truth(estimate, truth, error, weights)
    _check_errors(sigma)
    return float(np.average(np.abs(difference) <= sigmas * sigma, weights=weight))


def crps_gaussian(estimate: Values, error: Values, truth: Values, weights: Values = 1.0) -> float:
    """Mean continuous ranked probability score of N(estimate, error^2), in the units of the values.

    sigma (z (2 Phi(z) - 1) + 2 phi(z) - 1/sqrt(pi)) with z = (truth - estimate) / sigma, in the negative
    orientation (less is better), and |truth - estimate| where sigma is zero (Gneiting & Raftery 2007,
    J. Amer. Statist. Assoc. 102, 359, equation 21). Raises as `coverage` does.
    """
    difference, sigma, weight = _at_truth(estimate, truth, error, weights)
    _check_errors(sigma)
    z = np.divide(difference, sigma, out=np.zeros_like(sigma), where=sigma > 0)
    density = np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi)
    score = sigma * (z * (2 * ndtr(z) - 1) + 2 * density - 1 / np.sqrt(np.pi))
    return float(np.average(np.where(sigma > 0, score, np.abs(difference)), weights=weight))


def crps_ensemble(members: NDArray[np.floating], truth: NDArray[np.floating]) -> float:
    """Mean continuous ranked probability score of members (n, ...) that are drawn, where the truth is finite.

    The fair estimate, whose expectation does not depend on how many there are: mean |x_i - y| less half the
    mean |x_i - x_j| of different ones (Ferro 2014, 10.1002/qj.2270).
    """
    drawn = np.sort(np.asarray(members, np.float64)[:, np.isfinite(truth)], axis=0)
    n = len(drawn)
    off = np.abs(drawn - truth[np.isfinite(truth)]).mean(axis=0)
    # Sorted, half the mean difference of two members is a weighted sum.
    rank = 2 * np.arange(n) - n + 1
    return float((off - (rank @ drawn) / (n * (n - 1))).mean())


def energy_score(members: NDArray[np.floating], truth: NDArray[np.floating]) -> float:
    """Fair energy score of members (n, time, ...) by date, the mean over dates with finite truth.

    Mean |x_i - y| less half the mean |x_i - x_j|, lengths being root mean squares over the values of the date
    (Gneiting & Raftery 2007, equation 22): unlike `crps_ensemble` it sees whether cells vary together.
    """
    n, scores = len(members), []
    for date, wanted in enumerate(truth):
        here = np.isfinite(wanted)
        if not here.any():
            continue
        drawn = np.asarray(members[:, date][:, here], np.float64)
        off = np.sqrt(((drawn - wanted[here]) ** 2).mean(axis=1)).mean()
        apart = [np.sqrt(((drawn[i + 1 :] - drawn[i]) ** 2).mean(axis=1)).sum() for i in range(n - 1)]
        scores.append(off - sum(apart) / (n * (n - 1)))
    return float(np.mean(scores))


def rank_histogram(members: NDArray[np.floating], truth: NDArray[np.floating]) -> NDArray[np.float64]:
    """(n + 1,) share of the finite truth above 0, 1, ... n of the members (n, ...): even if they are honest.

    Hamill 2001 (10.1175/1520-0493(2001)129<0550:IORHFV>2.0.CO;2).
    """
    here = np.isfinite(truth)
    rank = (members[:, here] < truth[here]).sum(axis=0)
    return np.bincount(rank, minlength=len(members) + 1) / here.sum()


def log_score_gaussian(estimate: Values, error: Values, truth: Values, weights: Values = 1.0) -> float:
    """Mean of -log of the density of N(estimate, error^2) at the truth, in nats (less is better).

    Units matter: in others that are a times smaller it is log(a) more (Gneiting & Raftery 2007, equation 8).
    Raises as `coverage` does, and for zero errors.
    """
    z, sigma, weight = _standardised(estimate, error, truth, weights)
    return float(np.average(z**2 / 2 + np.log(np.sqrt(2 * np.pi) * sigma), weights=weight))


def spread_skill(estimate: Values, error: Values, truth: Values, weights: Values = 1.0) -> float:
    """Root mean square standard error over RMSE: 1 is honest, less is too sure of itself.

    Fortin et al. 2014 (10.1175/JHM-D-14-0008.1), equation 15. Raises as `coverage` does.
    """
    difference, sigma, weight = _at_truth(estimate, truth, error, weights)
    _check_errors(sigma)
    return float(np.sqrt(np.average(sigma**2, weights=weight) / np.average(difference**2, weights=weight)))


def pit(estimate: Values, error: Values, truth: Values) -> NDArray[np.float64]:
    """(n,) the share of N(estimate, error^2) below each finite truth: even from 0 to 1 if it is honest.

    Dawid 1984 (10.2307/2981683). Raises as `coverage` does, and for zero errors.
    """
    z, _ = _standardised(estimate, error, truth)
    return ndtr(-z)


def reliability(
    estimate: Values, error: Values, truth: Values, levels: NDArray[np.floating], weights: Values = 1.0
) -> NDArray[np.float64]:
    """Share of the truth in each of the central intervals that should hold ``levels`` (k,) of it."""
    z, _, weight = _standardised(estimate, error, truth, weights)
    within = np.abs(z) <= ndtri((1 + levels[:, None]) / 2)
    return np.average(within, axis=1, weights=weight)


def summary(estimate: Values, error: Values | None, truth: Values) -> dict[str, float]:
    """n, rmse, bias and mae; with a standard error crps, coverage_1sigma and coverage_2sigma as well."""
    scores: dict[str, float] = {
        "n": int(np.count_nonzero(np.isfinite(truth))),
        "rmse": rmse(estimate, truth),
        "bias": bias(estimate, truth),
        "mae": mae(estimate, truth),
    }
    if error is not None:
        scores["crps"] = crps_gaussian(estimate, error, truth)
        scores["coverage_1sigma"] = coverage(estimate, error, truth, 1)
        scores["coverage_2sigma"] = coverage(estimate, error, truth, 2)
    return scores


def areas(lat: Values) -> NDArray[np.float64]:
    """Weights of the cells of a grid that is regular in degrees, from their latitudes."""
    return np.cos(np.radians(np.asarray(lat, np.float64)))


def gradient(
    values: Values, lat: NDArray[np.floating], lon: NDArray[np.floating]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Eastward and northward derivatives of (..., y, x), in units of the values per metre.

    ``lat`` and ``lon`` are (y, x) in degrees, of a grid that may be turned or curved. Central differences,
    one-sided at the rim; NaN beside a missing value.
    """
    turns = np.radians(lat), np.unwrap(np.radians(lon), axis=1)
    north, east = ([_RADIUS * step for step in np.gradient(turn)] for turn in turns)
    east = [step * np.cos(turns[0]) for step in east]
    down, across = np.gradient(np.asarray(values, np.float64), axis=(-2, -1))
    area = east[1] * north[0] - east[0] * north[1]
    return (across * north[0] - down * north[1]) / area, (down * east[1] - across * east[0]) / area


def geostrophic_velocity(
    height: Values, lat: NDArray[np.floating], lon: NDArray[np.floating]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Eastward and northward velocity (m/s) that balance the slope of a sea level (..., y, x) in metres.

    u = -(g/f) dh/dy, v = (g/f) dh/dx, with f = 2 Omega sin(lat); NaN within 5 degrees of the equator, where
    the balance does not hold.
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


def _standardised(
    estimate: Values, error: Values, truth: Values, *others: Values
) -> list[NDArray[np.float64]]:
    """(estimate - truth) / error, the error and the others where the truth is finite, (n,) each."""
    difference, sigma, *rest = _at_truth(estimate, truth, error, *others)
    _check_errors(sigma)
    zero = np.count_nonzero(sigma == 0)
    if zero:
        raise ValueError(f"the standard error is zero at {zero} of {sigma.size} values with truth")
    return [difference / sigma, sigma, *rest]


def _at_truth(estimate: Values, truth: Values, *others: Values) -> list[NDArray[np.float64]]:
    """estimate - truth and the others where the truth is finite, (n,) each."""
    arrays = _matched(estimate, truth, *others)
    if not np.size(estimate) == np.size(truth) == arrays[0].size:
        shapes = ", ".join(str(np.shape(value)) for value in (estimate, truth, *others))
        raise ValueError(f"estimate, truth and what goes with them have other shapes: {shapes}")
    here = np.isfinite(arrays[1])
    if not here.any():
        raise ValueError("the truth has no finite value")
    found, expected, *rest = (array[here] for array in arrays)
    missing = np.count_nonzero(~np.isfinite(found))
    if missing:
        raise ValueError(f"the estimate is not finite at {missing} of {found.size} values with truth")
    return [found - expected, *rest]


def _matched(*values: Values) -> list[NDArray[np.float64]]:
    """On the dimensions of all, in one order; labels that differ are an error, not an intersection."""
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


def _check_errors(sigma: NDArray[np.float64]) -> None:
    wrong = np.count_nonzero(~(np.isfinite(sigma) & (sigma >= 0)))
    if wrong:
        raise ValueError(
            f"the standard error is missing or negative at {wrong} of {sigma.size} values with truth"
        )
