"""Two-layer turbulence, observations of it along altimeter tracks, and interpolations of these.

The flow is that of `simulators.two_layer`, in both layers expressed as sea surface height in metres, f0 / g
times the stream function. Tracks are straight lines across the periodic square that repeat after some days
(`Sampling`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
import xarray as xr
from scipy.interpolate import LinearNDInterpolator, NearestNDInterpolator
from torch import Tensor

from ...simulators.running import simulate
from ...simulators.two_layer import TwoLayer

METRES = 1e-4 / 9.81  # f0 / g: m of sea surface height per m2/s of stream function
REACH = 10  # days of observations used before and after a date
NOISE = 0.02  # m, of an observation
_SLOPE = 0.36  # of a track relative to the meridian, similar to Jason's at 40 degrees
_STRIDE = 0.38  # of the tracks, from one flown to the next
_LEAST_ERROR = 1e-3  # of the variance: the lower bound of an interpolation's error variance


@dataclass(frozen=True)
class Sampling:
    """``tracks`` in each of two directions across the square, each repeated every ``repeat`` days."""

    tracks: int
    repeat: int

    def mark_cells(self, cells: int) -> Tensor:
        """Mark the cells observed on each day of the repeat cycle: (repeat, y, x), boolean.

        Tracks close across the boundaries of the square. Neighbouring tracks of one direction are flown some
        days apart, those of the other direction half a cycle later.
        """
        observed = torch.zeros(self.repeat, cells, cells, dtype=torch.bool)
        rows = torch.arange(cells)
        slope = max(1, round(_SLOPE * self.tracks)) / self.tracks
        first = max(1, round(_STRIDE * self.tracks))
        stride = next(step for step in range(first, 99) if np.gcd(step, self.tracks) == 1)
        for track in range(self.tracks):
            position = track * stride % self.tracks
            for sign, delay in ((1, 0.0), (-1, 0.5)):
                day = int((position / self.tracks + delay) * self.repeat) % self.repeat
                columns = (track / self.tracks + sign * slope * (rows + 0.5) / cells) * cells
                observed[day, rows, columns.floor().long() % cells] = True
        return observed


def simulate_heights(
    model: TwoLayer, path: Path, *, members: int, years: float, spin_up: float, seed: int, quiet: bool
) -> Tensor:
    """Simulate daily sea surface heights (member, day, 2, y, x) of both layers, m, after ``spin_up`` years.

    The run is stored in the Zarr store ``path`` and read from there if it exists.
    """
    day = round(86400 / model.dt)
    if not path.exists():
        with torch.no_grad():
            state = model.advance(model.start(members, seed, speed=0.3), round(365 * spin_up) * day)
        plan = {"model": repr(model), "members": members, "spin_up": spin_up, "seed": seed}
        simulate(model, state, path, snapshots=round(365 * years), every=day, plan=plan, quiet=quiet)
    with xr.open_zarr(path, chunks=None, consolidated=False) as run:
        psi = run.psi.to_numpy().swapaxes(0, 1)
    return torch.from_numpy(np.ascontiguousarray(psi) * np.float32(METRES))


@dataclass(frozen=True)
class Covariances:
    """Covariances (2 lags + 1, dy, dx), m2, of the surface with each layer, by lag in days and distance."""

    surface: Tensor
    deep: Tensor
    deep_variance: float  # m2


def estimate_covariances(heights: Tensor, longest: int, every: int = 5) -> Covariances:
    """Estimate from heights (member, day, 2, y, x), each ``every`` days, for lags up to ``longest`` days."""
    cells = heights.shape[-1]
    total = torch.zeros(2 * longest + 1, 2, cells, cells, dtype=torch.float64)
    for member in heights:
        transform = torch.fft.rfft2(member.double())
        days = torch.arange(longest, len(member) - longest, every)
        for lag in range(-longest, longest + 1):
            cross = (transform[days + lag] * transform[days, :1].conj()).mean(0)
            total[lag + longest] += torch.fft.irfft2(cross, s=(cells, cells)) / cells**2
    total /= len(heights)
    return Covariances(total[:, 0], total[:, 1], float(heights[:, :, 1].double().var()))


@dataclass(frozen=True)
class OptimalInterpolation:
    """Global optimal interpolation (Bretherton, Davis and Fandry 1976, doi:10.1016/0011-7471(76)90001-2).

    It estimates one target from all observations around one day of the repeat cycle.
    """

    covariance: Tensor  # (2 lags + 1, dy, dx) of the surface with the target, m2
    variance: float  # of the target, m2
    lead: int  # days from the day of the cycle to the target
    factor: Tensor  # Cholesky factor of the observations' covariance matrix
    offset: Tensor  # (observations,) days from the day of the cycle
    y: Tensor  # (observations,) rows
    x: Tensor  # columns

    @property
    def _cells(self) -> int:
        return self.covariance.shape[-1]

    @property
    def _cross_covariance(self) -> Tensor:
        """Covariance (y * x, observations) of the target with the observations."""
        lag = self.lead - self.offset + len(self.covariance) // 2
        rows = (torch.arange(self._cells)[:, None] - self.y) % self._cells
        columns = (torch.arange(self._cells)[:, None] - self.x) % self._cells
        return self.covariance[lag, rows[:, None], columns].flatten(0, 1)

    @cached_property
    def gain(self) -> Tensor:
        """Weights (y * x, observations), for repeated use."""
        return torch.cholesky_solve(self._cross_covariance.T, self.factor).T.float()

    @cached_property
    def error(self) -> Tensor:
        """Standard error (y, x), m."""
        whitened = torch.linalg.solve_triangular(self.factor, self._cross_covariance.T, upper=False)
        variance = (self.variance - whitened.square().sum(0)).clamp(min=_LEAST_ERROR * self.variance)
        return variance.sqrt().float().reshape(self._cells, self._cells)

    def estimate(self, observations: Tensor, days: Tensor) -> Tensor:
        """Estimate maps (days, y, x) from observations (time, y, x), for ``days`` (n,) of this cycle day."""
        values = observations[days[:, None] + self.offset, self.y, self.x].double()
        maps = self._cross_covariance @ torch.cholesky_solve(values.T, self.factor)
        return maps.T.float().reshape(len(days), self._cells, self._cells)


def build_interpolations(
    covariances: Covariances,
    observed: Tensor,
    day: int,
    reach: int,
    targets: Sequence[tuple[str, int]] = (("surface", 0),),
    noise: float = NOISE,
) -> list[OptimalInterpolation]:
    """Build one interpolation per target: a layer (surface or deep), and days from the ``day`` of the cycle.

    ``observed`` (repeat, y, x) is the mask of each day of the cycle; the observations of ``reach`` days
    before and after are used.
    """
    parts = [
        (offset, observed[(day + offset) % len(observed)].nonzero()) for offset in range(-reach, reach + 1)
    ]
    offset = torch.cat([torch.full((len(place),), shift) for shift, place in parts])
    y, x = torch.cat([place for _, place in parts]).unbind(1)
    cells, longest = observed.shape[-1], len(covariances.surface) // 2
    lag, dy, dx = (index[:, None] - index for index in (offset, y, x))
    square = covariances.surface[lag + longest, dy % cells, dx % cells]
    square = (square + square.T) / 2
    square.diagonal().add_(noise**2)
    factor = torch.linalg.cholesky(square)
    variances = {"surface": float(covariances.surface[longest, 0, 0]), "deep": covariances.deep_variance}
    return [
        OptimalInterpolation(getattr(covariances, layer), variances[layer], lead, factor, offset, y, x)
        for layer, lead in targets
    ]


def interpolate_delaunay(
    observations: Tensor, observed: Tensor, phase: int, days: Tensor, day_in_cells: float
) -> Tensor:
    """Interpolate maps (days, y, x) linearly in space and time, on a Delaunay triangulation.

    The observations of `REACH` days before and after are used; a day counts as ``day_in_cells`` cells. The
    square is continued periodically by a quarter; the nearest observation fills cells outside all triangles.
    """
    cells = observed.shape[-1]
    margin = cells // 4
    grid = np.stack(np.meshgrid(*2 * [np.arange(cells)], indexing="ij"), -1).reshape(-1, 2)
    targets = np.column_stack([np.zeros(cells**2), grid])
    maps = []
    for day in days.tolist():
        points, values = [], []
        for offset in range(-REACH, REACH + 1):
            place = observed[(day + offset + phase) % len(observed)].nonzero().numpy()
            value = observations[day + offset].numpy()[tuple(place.T)]
            for dy in (-cells, 0, cells):
                for dx in (-cells, 0, cells):
                    moved = place + np.array([dy, dx])
                    near = ((moved >= -margin) & (moved < cells + margin)).all(1)
                    points.append(np.column_stack([np.full(near.sum(), offset * day_in_cells), moved[near]]))
                    values.append(value[near])
        coordinates, known = np.concatenate(points), np.concatenate(values)
        linear = LinearNDInterpolator(coordinates, known)(targets)
        nearest = NearestNDInterpolator(coordinates, known)(targets)
        maps.append(np.where(np.isfinite(linear), linear, nearest).reshape(cells, cells))
    return torch.from_numpy(np.stack(maps).astype(np.float32))


def interpolate_dynamically(
    model: TwoLayer,
    before: Tensor,
    after: Tensor,
    observations: Tensor,
    observed: Tensor,
    phase: int,
    days: Tensor,
    corrections: Sequence[OptimalInterpolation],
) -> Tensor:
    """Advect the maps of `REACH` days before and after by potential vorticity; average both: (days, y, x).

    Dynamical interpolation (Ubelmann, Klein and Fu 2015, doi:10.1175/JTECH-D-14-00152.1) with an upper layer
    over a lower layer at rest, from ``before`` forwards and from ``after`` (days, y, x) backwards. Each day's
    observations correct the forecast, by the one of the ``corrections`` for that day of the cycle.
    """
    radius = model.deformation_radius * (1 + model.thickness_ratio) ** 0.5
    resting = replace(model, deformation_radius=radius, thickness_ratio=0.0, drag=0.0)
    steps, estimates = round(86400 / model.dt), []
    for height, direction in ((before, 1), (after, -1)):
        forecast = height.clone()
        propagator = replace(resting, dt=direction * model.dt)
        for offset in range(-direction * REACH, 0, direction):
            psi = torch.stack([forecast, torch.zeros_like(forecast)], 1) / METRES
            forecast = propagator.psi(propagator.advance(propagator.make_state(psi), steps))[:, 0] * METRES
            for index, day in enumerate((days + offset + direction).tolist()):
                correction = corrections[(day + phase) % len(observed)]
                y, x = correction.y, correction.x
                innovation = observations[day, y, x] - forecast[index, y, x]
                forecast[index] += (correction.gain @ innovation).reshape(forecast[index].shape)
        estimates.append(forecast)
    return (estimates[0] + estimates[1]) / 2
