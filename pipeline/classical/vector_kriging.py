"""Optimal interpolation of a current from its components along given directions.

A share of the current derives from a stream function, which couples its components (Bretherton, Davis and
Fandry 1976, doi:10.1016/0011-7471(76)90001-2); in the rest the components are independent with the same
covariance (`neighbours.Scales`). An observation is the projection on its direction, with noise. The estimate
is the Gaussian conditional on the nearest observations (Kim, Terrill and Cornuelle 2008,
doi:10.1029/2007JC004244).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit
from torch import Tensor

from ..holdout.patterns import hide_clouds
from ..io.field import grid_spacing
from ..io.radials import Radials
from .neighbours import Observations, Scales, find_date_reach, find_nearest, gather_observations
from .optimal_interpolation import make_scales
from .tiles import solve_in_tiles

_log = logging.getLogger(__name__)
_TARGETS = 500  # hidden values that the scales are fitted to
_HIDDEN = 0.2  # share of the values from which targets are drawn
_ROUNDS = (6, 12)  # iterations of each round; neighbours follow from the scales of the round before
_SIDE = 3  # cells between the centres of tiles
_BATCH = {"cpu": 128, "cuda": 4096}  # tiles solved at once
_LEAST_NUGGET = 1e-4  # of the sill: single precision needs it
_NEAR = 1e-9  # added below a root whose gradient at zero is not finite
_LATTICE = 0.35  # step of the lattice of distant observations, in units of the shorter scales
_MOST_LOGIT = 6.0  # bound on the logit of the share without divergence


class VectorSystem(NamedTuple):
    """Systems of n groups of m targets and their k observations; the scales come in addition."""

    places: Tensor  # (n, k, 3) east and north of the first target, km, and days
    targets: Tensor  # (n, m, 3)
    towards: Tensor  # (n, k, 2) direction; zero where a target has fewer observations
    noise: Tensor  # (n, k) error variance
    anomaly: Tensor  # (n, k, s) of s series


class _StationData(NamedTuple):
    """Observations of a station, on its lattice or between."""

    data: Observations
    towards: Tensor  # (padded rows x columns, 2)


@dataclass(frozen=True)
class VectorKriging:
    """Optimal interpolation of a current with known scales. Call it on radial velocities."""

    scales: Scales
    mean: tuple[float, float]  # current from which anomalies are taken
    share: float = 0.0  # of the variance that has no divergence
    neighbours: int = 12  # of each station, and the same number of its lattice

    def __call__(
        self,
        radials: Radials,
        *,
        device: torch.device | str = "cpu",
        advance: Callable[[int], None] = lambda cells: None,
    ) -> NDArray[np.float32]:
        """Return u, v, var(u), var(v) and cov(u, v) (5, time, lat, lon) at sea, NaN elsewhere.

        The covariance is that of the error of the current itself, without the nugget.
        """
        anomaly = radials.values - np.tensordot(self.mean, radials.towards, (0, 1))
        (current,), covariance = self.interpolate(radials, anomaly[None], device=device, advance=advance)
        current += np.array(self.mean, np.float32).reshape(2, 1, 1, 1)
        return np.concatenate([current, covariance])

    def find_reach(self, radials: Radials) -> tuple[int, int]:
        """Find how many dates away observations matter, and how many dates apart those of the lattice are."""
        return find_date_reach(radials.stations[0], self.scales), _find_strides(radials, self.scales)[0]

    def interpolate(
        self,
        radials: Radials,
        anomalies: NDArray[np.floating],
        *,
        device: torch.device | str = "cpu",
        advance: Callable[[int], None] = lambda cells: None,
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Interpolate n series of ``anomalies`` (n, time, station, lat, lon), seen where ``radials`` are.

        Returns u and v (n, 2, time, lat, lon), and var(u), var(v) and cov(u, v) (3, time, lat, lon) of all.
        """
        device, number = torch.device(device), len(anomalies)
        seen = _gather_stations(radials, anomalies, self.scales, device)

        def estimate(centres: Tensor, members: Tensor) -> list[Tensor]:
            mean, spread = condition_current(
                self.scales, self.share, _build_vector_system(seen, centres, members, self.neighbours)
            )
            variances = [spread[..., 0, 0], spread[..., 1, 1], spread[..., 0, 1]]
            return [*mean.transpose(2, 3).flatten(2).unbind(2), *variances]

        wanted = np.broadcast_to(radials.sea, radials.shape)
        batch = _BATCH[device.type]
        maps = solve_in_tiles(wanted, estimate, 2 * number + 3, device, advance, _SIDE, batch)
        return maps[:-3].reshape(number, 2, *radials.shape), maps[-3:]


def condition_current(scales: Scales, share: Tensor | float, given: VectorSystem) -> tuple[Tensor, Tensor]:
    """Estimate the anomalies (n, m, 2, s) of the current and the covariance (n, m, 2, 2) of their error."""
    towards = given.towards[:, :, None]
    alike, turning, aside = _compare_places(scales, share, given.places, given.places)
    across = (towards * aside).sum(-1)
    between = alike * (given.towards @ given.towards.mT) + turning * across * across.mT
    between.diagonal(dim1=1, dim2=2).add_(scales.nugget + _LEAST_NUGGET * scales.sill + given.noise)
    alike, turning, aside = _compare_places(scales, share, given.places, given.targets)
    across = (towards * aside).sum(-1)
    to_targets = alike[..., None] * towards - (turning * across)[..., None] * aside
    right = torch.cat([to_targets.flatten(2), given.anomaly], 2)
    half = torch.linalg.solve_triangular(torch.linalg.cholesky(between), right, upper=False)
    targets, series = half.split([2 * to_targets.shape[2], given.anomaly.shape[2]], 2)
    part = targets.unflatten(2, (-1, 2))
    mean = torch.einsum("nkmi,nks->nmis", part, series)
    explained = torch.einsum("nkmi,nkmj->nmij", part, part)
    return mean, scales.sill * torch.eye(2).to(explained) - explained


def _compare_places(
    scales: Scales, share: Tensor | float, here: Tensor, there: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Compute f and share c (n, a, b) between places (n, a, 3) and (n, b, 3), and p (n, a, b, 2)."""
    east, north, lag = (here[:, :, None] - there[:, None]).unbind(-1)
    return *compute_flow_covariance(scales, share, east, north, lag), torch.stack([-north, east], -1)


def compute_flow_covariance(
    scales: Scales, share: Tensor | float, east: Tensor, north: Tensor, lag: Tensor
) -> tuple[Tensor, Tensor]:
    """Compute f and share c of the covariance f 1 - share c p p' of currents; separations in km and days.

    p is the separation r turned left by 90 degrees. A stream function with a Matern-5/2 covariance gives the
    Matern-3/2 covariance f = sill (1 + s) exp(-s) along r, with s^2 = 3 (r^2 / length^2 + t^2 / duration^2),
    and f - c r^2 across it, with c = 3 sill / length^2 exp(-s).
    """
    alike = turning = torch.zeros(()).to(east)
    for sill, length, duration in scales.components:
        root = (3 * ((east**2 + north**2) / length**2 + lag**2 / duration**2) + _NEAR).sqrt()
        fall = sill * torch.exp(-root)
        alike = alike + fall * (1 + root)
        turning = turning + share * (3 / length**2) * fall
    return alike, turning


def fit_vector_covariance(
    radials: Radials,
    *,
    divergent: bool = True,
    neighbours: int = 12,
    seed: int = 0,
    device: torch.device | str = "cpu",
) -> VectorKriging:
    """Fit scales, noise and the share without divergence to hidden velocities.

    The gaps of other dates are laid over each station's values; the loss is the negative log-likelihood of
    the hidden values under the projected Gaussian.
    """
    device = torch.device(device)
    rng = np.random.default_rng(seed)
    hidden = hide_radials(radials, _HIDDEN, rng)
    known = radials.hide(hidden)
    mean = fit_mean_current(known)
    anomaly = radials.values - np.tensordot(mean, radials.towards, (0, 1))
    unit = float(np.nanstd(anomaly))
    step, *cells = grid_spacing(radials.stations[0])
    cell = float(np.mean(cells))
    # The large-scale, long-lived component accounts for what the constant mean current lacks.
    log = np.append(np.log([0.03, 0.8, 5 * cell, 5 * step, 0.3, 20 * cell, 20 * step]), 0.0)
    low = np.append(np.log([1e-4, *2 * [0.01, 0.5 * cell, 0.3 * step]]), -_MOST_LOGIT)
    high = np.append(np.log([1, *2 * [30, 300 * cell, 300 * step]]), _MOST_LOGIT)
    if not divergent:
        log[-1] = low[-1] = high[-1] = 30.0  # a share of one

    targets = rng.permutation(np.argwhere(hidden))[:_TARGETS]
    date, station, row, column = targets.T
    towards, value, noise = (
        torch.as_tensor(part, dtype=torch.float64, device=device)
        for part in (
            radials.towards[station, :, row, column],
            anomaly[date, station, row, column] / unit,
            radials.error_variance[date, station, row, column] / unit**2,
        )
    )
    place = torch.as_tensor(targets[:, [0, 2, 3]], device=device)
    for iterations in _ROUNDS if len(targets) else ():
        scales = make_scales(np.exp(log[:-1]).tolist(), unit**2)
        with torch.no_grad():
            given = _build_vector_system(
                _gather_stations(known, anomaly[None], scales, device), place, place[:, None], neighbours
            )
        given = given._replace(noise=given.noise / unit**2, anomaly=given.anomaly / unit)
        # In single precision the loss is too rough for the line search: rounding would decide where it ends.
        given = VectorSystem(*(part.double() for part in given))

        def compute_loss(
            numbers: NDArray[np.float64], given: VectorSystem = given
        ) -> tuple[float, NDArray[np.float64]]:
            free = torch.tensor(numbers, requires_grad=True)
            scales = make_scales(free[:-1].exp().to(device))
            found, spread = condition_current(scales, free[-1].sigmoid().to(device), given)
            variance = torch.einsum("ni,nij,nj->n", towards, spread[:, 0], towards) + scales.nugget + noise
            left = value - (found[:, 0, :, 0] * towards).sum(1)
            total = (variance.log() + left**2 / variance).mean() / 2
            (gradient,) = torch.autograd.grad(total, free)
            return float(total.detach()), gradient.numpy()

        bounds = list(zip(low, high, strict=True))
        log = minimize(
            compute_loss, log, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": iterations}
        ).x
    if not len(targets):
        _log.warning("too few gaps to fit the first guess; its scales are the defaults")
    scales = make_scales(np.exp(log[:-1]).tolist(), unit**2)
    return VectorKriging(scales, mean, float(expit(log[-1])), neighbours)


def hide_radials(radials: Radials, share: float, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Hide values of each station with its gaps of other dates: a mask (time, station, lat, lon)."""
    return np.stack([hide_clouds(station, share, rng) for station in radials.stations], 1)


def fit_mean_current(radials: Radials) -> tuple[float, float]:
    """Fit a constant current (u, v) to all velocities by least squares."""
    towards = np.moveaxis(radials.towards, 1, -1)
    seen = np.isfinite(radials.values)
    count = seen.sum(axis=0)[..., None]
    square = np.einsum("syxi,syxj->ij", towards * count, towards)
    right = np.einsum("syxi,syx->i", towards, np.where(seen, radials.values, 0).sum(axis=0, dtype=np.float64))
    u, v = np.linalg.lstsq(square, right)[0]
    return float(u), float(v)


def _gather_stations(
    radials: Radials, anomalies: NDArray[np.floating], scales: Scales, device: torch.device
) -> list[_StationData]:
    """Gather each station's observations in two parts: a lattice as wide as the scales allow, and the others.

    The ``anomalies`` are (n, time, station, lat, lon) of n series.

    The nearest of dense observations alone cover a few cells and do not constrain the flow beyond.
    """
    strides = _find_strides(radials, scales)
    t, y, x = np.ogrid[tuple(slice(extent) for extent in radials.shape)]
    lattice = (t % strides[0] == 0) & (y % strides[1] == 0) & (x % strides[2] == 0)
    found = []
    for station, towards, series in zip(
        radials.stations, radials.towards, np.moveaxis(anomalies, 2, 0), strict=True
    ):
        for hidden in (~lattice, lattice):
            data = gather_observations(station.hide(hidden), series, scales, device)
            padded = np.pad(towards, [(0, 0), *((reach, reach) for reach in data.pad[1:])])
            found.append(_StationData(data, torch.as_tensor(padded.reshape(2, -1).T.copy(), device=device)))
    return found


def _find_strides(radials: Radials, scales: Scales) -> list[int]:
    """Find how many dates, rows and columns apart the observations of the lattice are."""
    steps = grid_spacing(radials.stations[0])
    length, duration = (min(float(part[i]) for part in scales.components) for i in (1, 2))
    return [
        max(2, round(_LATTICE * reach / step))
        for reach, step in zip((duration, length, length), steps, strict=True)
    ]


def _build_vector_system(
    seen: Sequence[_StationData], centres: Tensor, members: Tensor, neighbours: int
) -> VectorSystem:
    """Build the systems of targets (n, m, 3) from each station's nearest observations to centres (n, 3)."""
    places, towards, noise, anomaly = [], [], [], []
    for data, direction in seen:
        found, exists = find_nearest(data, data.cell(centres), neighbours)
        places.append(data.place(found))
        # An observation that does not exist has no direction, and hence no covariance with anything.
        towards.append(direction[found % len(direction)] * exists[..., None])
        noise.append(data.noise[found] + ~exists)
        anomaly.append(data.anomaly[found])
    wanted = seen[0].data.place(seen[0].data.cell(members))
    plane = _find_tangent_plane(wanted[:, :1])
    near, wanted = (((part - wanted[:, :1]) @ plane).float() for part in (torch.cat(places, 1), wanted))
    return VectorSystem(near, wanted, *(torch.cat(part, 1) for part in (towards, noise, anomaly)))


def _find_tangent_plane(origin: Tensor) -> Tensor:
    """Return the projection (n, 4, 3) of places relative to ``origin`` (n, 1, 4) to east, north and days."""
    up = torch.nn.functional.normalize(origin[:, 0, :3], dim=-1)
    pole = torch.tensor([0.0, 0.0, 1.0]).to(up)
    east = torch.nn.functional.normalize(torch.linalg.cross(pole.expand_as(up), up), dim=-1)
    plane = torch.zeros(len(up), 4, 3).to(up)
    plane[:, :3, 0], plane[:, :3, 1], plane[:, 3, 2] = east, torch.linalg.cross(up, east), 1
    return plane
