"""Turbulence in two layers seen along altimeter tracks, and what linear methods make of it.

The flow is that of `simulators.two_layer`, as sea surface height: f0 / g times the stream function, in
metres, in the lower layer too. The tracks are straight lines across the periodic square, `Sampling`, that
come back after some days.
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

METRES = 1e-4 / 9.81  # f0 / g: m of sea surface height for 1 m2/s of stream function
REACH = 10  # days before and after that are used
NOISE = 0.02  # m, of an observation
_SLANT = 0.36  # of a track to the meridian, about that of Jason's at 40 degrees


@dataclass(frozen=True)
class Sampling:
    """``tracks`` of each direction across the square, each flown again after ``repeat`` days."""

    tracks: int
    repeat: int

    def cells(self, cells: int) -> Tensor:
        """(repeat, y, x) True at the cells under the tracks of each day of the cycle.

        Tracks close across the ends of the square; those of one direction are flown in an order in which
        neighbours are some days apart, those of the other half a cycle later.
        """
        seen = torch.zeros(self.repeat, cells, cells, dtype=torch.bool)
        rows = torch.arange(cells)
        lean = max(1, round(_SLANT * self.tracks)) / self.tracks
        stride = next(k for k in range(max(1, round(0.38 * self.tracks)), 99) if np.gcd(k, self.tracks) == 1)
        for track in range(self.tracks):
            turn = track * stride % self.tracks
            for sign, late in ((1, 0.0), (-1, 0.5)):
                day = int((turn / self.tracks + late) * self.repeat) % self.repeat
                columns = (track / self.tracks + sign * lean * (rows + 0.5) / cells) * cells
                seen[day, rows, columns.floor().long() % cells] = True
        return seen


def flow(
    model: TwoLayer, path: Path, *, members: int, years: float, spin_up: float, seed: int, quiet: bool
) -> Tensor:
    """(member, day, 2, y, x) sea surface height of both layers, m, after ``spin_up`` years.

    From a run in the Zarr store ``path``, which is made where it is not there.
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
class Statistics:
    """Covariances (2 lags + 1, dy, dx), m2, of the surface with a layer so many days and cells farther."""

    surface: Tensor
    deep: Tensor
    deep_variance: float  # m2


def statistics(heights: Tensor, longest: int, every: int = 5) -> Statistics:
    """Of (member, day, 2, y, x), from each ``every``-th day, for lags of up to ``longest`` days."""
    cells = heights.shape[-1]
    found = torch.zeros(2 * longest + 1, 2, cells, cells, dtype=torch.float64)
    for one in heights:
        transform = torch.fft.rfft2(one.double())
        days = torch.arange(longest, len(one) - longest, every)
        for lag in range(-longest, longest + 1):
            cross = (transform[days + lag] * transform[days, :1].conj()).mean(0)
            found[lag + longest] += torch.fft.irfft2(cross, s=(cells, cells)) / cells**2
    found /= len(heights)
    return Statistics(found[:, 0], found[:, 1], float(heights[:, :, 1].double().var()))


@dataclass(frozen=True)
class Interpolation:
    """Optimal interpolation (Bretherton, Davis and Fandry 1976, doi:10.1016/0011-7471(76)90001-2), global.

    Of one target from the observations around one day of the cycle, which are numbered one after another.
    """

    covariance: Tensor  # (2 lags + 1, dy, dx) of the surface with the target, m2
    variance: float  # of the target, m2
    when: int  # the days from the day of the cycle on which it is wanted
    root: Tensor  # of the observations' covariances: Cholesky's triangle
    offset: Tensor  # (observations,) days from the day of the cycle
    y: Tensor  # (observations,) rows
    x: Tensor  # columns

    @property
    def _cells(self) -> int:
        return self.covariance.shape[-1]

    @property
    def _towards(self) -> Tensor:
        """(y * x, observations) covariances of the target with the observations."""
        lag = self.when - self.offset + len(self.covariance) // 2
        rows = (torch.arange(self._cells)[:, None] - self.y) % self._cells
        columns = (torch.arange(self._cells)[:, None] - self.x) % self._cells
        return self.covariance[lag, rows[:, None], columns].flatten(0, 1)

    @cached_property
    def gain(self) -> Tensor:
        """(y * x, observations), for who needs it often."""
        return torch.cholesky_solve(self._towards.T, self.root).T.float()

    @cached_property
    def error(self) -> Tensor:
        """(y, x) the standard error, m."""
        explained = torch.linalg.solve_triangular(self.root, self._towards.T, upper=False).square().sum(0)
        left = (self.variance - explained).clamp(min=1e-3 * self.variance)
        return left.sqrt().float().reshape(self._cells, self._cells)

    def estimate(self, observations: Tensor, days: Tensor) -> Tensor:
        """(days, y, x) from observations (time, y, x) on the grid, for ``days`` (n,) of this day of it."""
        values = observations[days[:, None] + self.offset, self.y, self.x].double()
        found = self._towards @ torch.cholesky_solve(values.T, self.root)
        return found.T.float().reshape(len(days), self._cells, self._cells)


def interpolations(
    known: Statistics,
    seen: Tensor,
    day: int,
    reach: int,
    targets: Sequence[tuple[str, int]] = (("surface", 0),),
    noise: float = NOISE,
) -> list[Interpolation]:
    """One for each target: a layer (``surface`` or ``deep``), and the days from the ``day`` of the cycle.

    ``seen`` (repeat, y, x) are the cells of each day of the cycle; those of ``reach`` days before and after
    are observed.
    """
    parts = [(offset, seen[(day + offset) % len(seen)].nonzero()) for offset in range(-reach, reach + 1)]
    offset = torch.cat([torch.full((len(place),), o) for o, place in parts])
    y, x = torch.cat([place for _, place in parts]).unbind(1)
    cells, longest = seen.shape[-1], len(known.surface) // 2
    lag, dy, dx = (one[:, None] - one for one in (offset, y, x))
    square = known.surface[lag + longest, dy % cells, dx % cells]
    square = (square + square.T) / 2
    square.diagonal().add_(noise**2)
    root = torch.linalg.cholesky(square)
    variances = {"surface": float(known.surface[longest, 0, 0]), "deep": known.deep_variance}
    return [
        Interpolation(getattr(known, layer), variances[layer], when, root, offset, y, x)
        for layer, when in targets
    ]


def linear(observations: Tensor, seen: Tensor, phase: int, days: Tensor, day_in_cells: float) -> Tensor:
    """(days, y, x) linear between the observations of `REACH` days around, in space and time (Delaunay).

    A day is as far as ``day_in_cells``; the square is continued over its ends by a quarter; the nearest
    observation where there is no triangle.
    """
    cells = seen.shape[-1]
    margin = cells // 4
    grid = np.stack(np.meshgrid(*2 * [np.arange(cells)], indexing="ij"), -1).reshape(-1, 2)
    wanted = np.column_stack([np.zeros(cells**2), grid])
    found = []
    for day in days.tolist():
        points, values = [], []
        for offset in range(-REACH, REACH + 1):
            place = seen[(day + offset + phase) % len(seen)].nonzero().numpy()
            value = observations[day + offset].numpy()[tuple(place.T)]
            for dy in (-cells, 0, cells):
                for dx in (-cells, 0, cells):
                    there = place + np.array([dy, dx])
                    near = ((there >= -margin) & (there < cells + margin)).all(1)
                    points.append(np.column_stack([np.full(near.sum(), offset * day_in_cells), there[near]]))
                    values.append(value[near])
        at, known = np.concatenate(points), np.concatenate(values)
        inside = LinearNDInterpolator(at, known)(wanted)
        nearest = NearestNDInterpolator(at, known)(wanted)
        found.append(np.where(np.isfinite(inside), inside, nearest).reshape(cells, cells))
    return torch.from_numpy(np.stack(found).astype(np.float32))


def dynamical(
    model: TwoLayer,
    before: Tensor,
    after: Tensor,
    observations: Tensor,
    seen: Tensor,
    phase: int,
    days: Tensor,
    corrections: Sequence[Interpolation],
) -> Tensor:
    """(days, y, x) where potential vorticity carries the map of `REACH` days before and that of after.

    Dynamical interpolation (Ubelmann, Klein and Fu 2015, doi:10.1175/JTECH-D-14-00152.1): the upper layer
    over a lower one at rest, from ``before`` forward and from ``after`` (days, y, x) backward; on the way
    each day's observations correct it, by ``corrections`` of the days of the cycle. The mean of the two.
    """
    radius = model.deformation_radius * (1 + model.thickness_ratio) ** 0.5
    resting = replace(model, deformation_radius=radius, thickness_ratio=0.0, drag=0.0)
    steps, found = round(86400 / model.dt), []
    for height, way in ((before, 1), (after, -1)):
        carried = height.clone()
        carrier = replace(resting, dt=way * model.dt)
        for offset in range(-way * REACH, 0, way):
            psi = torch.stack([carried, torch.zeros_like(carried)], 1) / METRES
            carried = carrier.psi(carrier.advance(carrier.make_state(psi), steps))[:, 0] * METRES
            when = days + offset + way
            for k, day in enumerate(when.tolist()):
                one = corrections[(day + phase) % len(seen)]
                left = observations[day, one.y, one.x] - carried[k, one.y, one.x]
                carried[k] += (one.gain @ left).reshape(carried[k].shape)
        found.append(carried)
    return (found[0] + found[1]) / 2
