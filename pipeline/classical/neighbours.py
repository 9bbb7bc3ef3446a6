"""The nearest observations of a cell in space and time, found on the grid without a search tree.

Cells of a regular grid share one template: offsets in (date, row, column) sorted by covariance. The
neighbours of a cell are the first offsets with an observation, so one gather and one cumulative sum find them
for hundreds of cells at once.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..io.field import Field, grid_spacing
from ..io.layout.positions import EARTH_RADIUS, unit_vectors

_REACH = 5.0  # of the template, in lengths and durations
_LATTICES, _CLOSER = (
    3,
    1.25,
)  # of every second, fourth and eighth cell, each by this factor closer than before
_MIDDLE = 0.3  # of the side of a tile, from its centre
_CENTRE = 1e-3  # weight of the correlation with the centre against that with the middle of a tile
COARSE = 0.1  # steps of the logarithms of the scales by which targets and observations are chosen
_LEAST_CORRELATION = 1e-12
_AXES = ((-1, 1, 1), (1, -1, 1), (1, 1, -1))
_MOST_OFFSETS = 20_000
_MOST_CELLS = 120  # of the template on each side
MOST_DATES = 40  # on each side


class Component(NamedTuple):
    """A part of the covariance: variance in the field's units squared, kilometres and days."""

    sill: Tensor | float
    length: Tensor | float
    duration: Tensor | float


class Scales(NamedTuple):
    """Parameters of the covariance, a sum of components and a nugget."""

    components: tuple[Component, ...]
    nugget: Tensor | float  # variance of the uncorrelated part of an observation

    @property
    def sill(self) -> Tensor | float:
        """The variance of the field."""
        return sum(part.sill for part in self.components)

    def describe(self, units: str = "") -> str:
        """Return the scales in words; ``units`` are those of the field, empty for those of a transform."""
        names = ("eddies", "large-scale") if len(self.components) == 2 else ("",) * len(self.components)
        parts = [
            f"{name} {float(part.length):.3g} km / {float(part.duration):.3g} d".strip()
            for name, part in zip(names, self.components, strict=True)
        ]
        return ", ".join([*parts, f"noise {float(self.nugget) ** 0.5:.2g} {units}".strip()])


class _Matern(torch.autograd.Function):
    """sill (1 + r) exp(-r), r^2 = 3 (distance2 / length^2 + lag2 / duration^2), with its own gradient."""

    @staticmethod
    def forward(ctx: Any, *given: Tensor) -> Tensor:
        sill, length, duration, distance2, lag2 = given
        root = (distance2 * (3 / length**2)).addcmul_(lag2, 3 / duration**2).sqrt_()
        fall = root.neg().exp_()
        ctx.save_for_backward(*given, root, fall)
        return torch.addcmul(fall, root, fall).mul_(sill)

    @staticmethod
    def backward(ctx: Any, *outer: Tensor) -> tuple[Tensor | None, ...]:
        sill, length, duration, distance2, lag2, root, fall = ctx.saved_tensors
        weight = (outer[0] * fall).flatten()
        of_root, of_distance, of_lag = (torch.dot(weight, part.flatten()) for part in (root, distance2, lag2))
        return (
            weight.sum() + of_root,
            3 * sill / length**3 * of_distance,
            3 * sill / duration**3 * of_lag,
            None,
            None,
        )


def compute_covariance(scales: Scales, distance2: Tensor, lag2: Tensor) -> Tensor:
    """Compute the covariance at squared distances (km2) and squared lags (days2) of the same shape."""
    total = torch.zeros_like(distance2)
    for component in scales.components:
        numbers = (torch.as_tensor(number).to(distance2) for number in component)
        total = total + _Matern.apply(*numbers, distance2, lag2)
    return total


@dataclass(frozen=True)
class Observations:
    """The observed anomalies of a field, padded to keep every template offset inside.

    Flat tensors are indexed by `cell`, ``position`` by the horizontal part of it.
    """

    seen: Tensor  # (padded cells,) bool
    anomaly: Tensor  # (padded cells,), or (padded cells, n) of n series
    noise: Tensor  # (padded cells,) observation error variance
    position: Tensor  # (padded rows x columns, 3) km, Cartesian on the sphere, float64
    day: Tensor  # (padded dates,) float64
    pad: tuple[int, int, int]
    shape: tuple[int, int, int]  # padded
    template: Tensor  # (offsets, 3) of date, row, column
    displacement: Tensor | None = None  # (padded cells, 3) km from a cell's centre to where it was measured

    def cell(self, index: Tensor) -> Tensor:
        """Flat padded index (n,) of the cells (n, 3) of date, row, column."""
        t, y, x = (index[..., i] + self.pad[i] for i in range(3))
        return (t * self.shape[1] + y) * self.shape[2] + x

    @property
    def steps(self) -> Tensor:
        """The template as differences of flat indices."""
        t, y, x = self.template.unbind(1)
        return (t * self.shape[1] + y) * self.shape[2] + x

    def place(self, cells: Tensor) -> Tensor:
        """Coordinates (..., 4) of cells: three in kilometres, and days."""
        plane = self.shape[1] * self.shape[2]
        return torch.cat([self.position[cells % plane], self.day[cells // plane].unsqueeze(-1)], -1)

    def measurement_place(self, cells: Tensor) -> Tensor:
        """Coordinates (..., 4) of where the values of cells were measured."""
        if self.displacement is None:
            return self.place(cells)
        return self.place(cells) + torch.nn.functional.pad(self.displacement[cells], (0, 1))


def gather_observations(
    field: Field,
    anomaly: np.ndarray,
    scales: Scales,
    device: torch.device,
    side: int = 1,
) -> Observations:
    """Gather the observations of one or n ``anomaly`` (time, lat, lon), and the template for these scales.

    The template is that of a tile of ``side`` cells in both directions.
    """
    template = _make_template(field, scales, side)
    pad = tuple(int(extent) for extent in template.abs().amax(0))
    around = [(reach, reach) for reach in pad]
    seen = np.pad(field.observed, around)
    series = np.pad(np.nan_to_num(anomaly), [(0, 0)] * (anomaly.ndim - 3) + around)
    series = series.reshape(*anomaly.shape[:-3], -1)

    def flat(array: np.ndarray, dtype: torch.dtype) -> Tensor:
        return torch.as_tensor(array.reshape(-1), dtype=dtype, device=device)

    return Observations(
        seen=flat(seen, torch.bool),
        anomaly=torch.as_tensor(series, dtype=torch.float32, device=device).movedim(-1, 0),
        noise=flat(np.pad(field.error_variance, around), torch.float32),
        position=torch.as_tensor(
            np.pad(_compute_positions(field), [*around[1:], (0, 0)], mode="edge").reshape(-1, 3),
            device=device,
        ),
        day=flat(np.pad(field.days, around[0], mode="edge"), torch.float64),
        pad=(pad[0], pad[1], pad[2]),
        shape=(seen.shape[0], seen.shape[1], seen.shape[2]),
        template=template.to(device),
        displacement=None
        if field.displacement is None
        else flat(np.pad(field.displacement, [*around, (0, 0)]), torch.float32).unflatten(0, (-1, 3)),
    )


def find_nearest(
    data: Observations, cells: Tensor, count: int, also_hidden: HiddenGap | None = None
) -> tuple[Tensor, Tensor]:
    """Find the first ``count`` observed cells of the template around each cell (n,).

    Returns flat indices (n, count) and which of them exist (n, count): there are fewer at the edge of the
    data. ``also_hidden`` hides further observations from each cell.
    """
    steps = data.steps
    found = cells[:, None].expand(-1, count).clone()
    exists = torch.zeros(found.shape, dtype=torch.bool, device=cells.device)
    number = torch.zeros(len(cells), dtype=torch.int64, device=cells.device)
    waiting = torch.arange(len(cells), device=cells.device)
    start, width = 0, 4 * count
    while len(waiting) and start < len(steps):
        end = min(len(steps), start + width)
        around = cells[waiting, None] + steps[start:end]
        seen = data.seen[around]
        if also_hidden is not None:
            seen &= ~also_hidden.find_hidden(data, waiting, start, end)
        rank = seen.cumsum(1) + number[waiting, None]
        row, column = torch.nonzero(seen & (rank <= count), as_tuple=True)
        slot = rank[row, column] - 1
        found[waiting[row], slot] = around[row, column]
        exists[waiting[row], slot] = True
        number[waiting] = rank[:, -1].clamp(max=count)
        waiting = waiting[number[waiting] < count]
        start, width = end, 2 * width
    return found, exists


@dataclass(frozen=True)
class HiddenGap:
    """The gap around another date of the same pixel, laid over each cell to be estimated."""

    model: Tensor  # (n,) flat index of the missing cell whose surroundings are laid over the cell
    before: Tensor  # (n,) dates of the gap before the cell
    after: Tensor  # (n,) dates of the gap after the cell

    def find_hidden(self, data: Observations, which: Tensor, start: int, end: int) -> Tensor:
        """Find the template offsets (n, end - start) whose values the gap hides."""
        date = data.template[start:end, 0]
        during = (date >= -self.before[which, None]) & (date <= self.after[which, None])
        return during & ~data.seen[self.model[which, None] + data.steps[start:end]]


def find_date_reach(field: Field, scales: Scales) -> int:
    """Find how many dates away a neighbour can be, in a record of any length."""
    duration = max(float(part.duration) for part in scales.components)
    return min(MOST_DATES, max(2, int(_REACH * duration / grid_spacing(field)[0])))


def _round_scales(scales: Scales) -> Scales:
    """Round the scales, or the last digit of the values would decide which observations are used."""
    first = float(scales.components[0].sill)

    def round_one(number: Tensor | float) -> float:
        return math.exp(COARSE * round(math.log(float(number)) / COARSE))

    parts = (map(round_one, (sill / first, length, duration)) for sill, length, duration in scales.components)
    return Scales(tuple(Component(*part) for part in parts), 0.0)


def _make_template(field: Field, scales: Scales, side: int) -> Tensor:
    """Sort offsets by the correlation with the middle of a tile, those of a coarse lattice before others.

    Observations close together say much the same. Cells of the lattices of every second, fourth and eighth
    row and column rank as if they were closer; where tiles are as far apart they share these lattices.
    """
    scales = _round_scales(scales)
    step = grid_spacing(field)
    length, duration = (max(float(part[i]) for part in scales.components) for i in (1, 2))
    reach = [
        min(most, extent - 1, max(2, int(_REACH * scale / unit)))
        for most, extent, scale, unit in zip(
            (MOST_DATES, _MOST_CELLS, _MOST_CELLS),
            field.values.shape,
            (duration, length, length),
            step,
            strict=True,
        )
    ]
    # One octant; the others are its mirror images.
    t, y, x = (torch.arange(n + 1).reshape(shape) for n, shape in zip(reach, _AXES, strict=True))

    def correlate(middle: float) -> Tensor:
        north, east = ((n - middle).clamp(min=0) * unit for n, unit in zip((y, x), step[1:], strict=True))
        distance2, lag2 = torch.broadcast_tensors((north**2 + east**2).float(), ((t * step[0]) ** 2).float())
        return compute_covariance(scales, distance2, lag2) / scales.sill

    # All cells of the middle are as close, but for this.
    correlation = correlate(_MIDDLE * side if side > 1 else 0)
    correlation = (1 - _CENTRE) * correlation + _CENTRE * correlate(0)
    away = -correlation.clamp(min=_LEAST_CORRELATION).log()
    away = (away * (2 + away)).sqrt()  # close to the distance in lengths
    for level in range(1, _LATTICES + 1):
        away[:, :: 2**level, :: 2**level] /= _CLOSER
    nearest = away.flatten().argsort(stable=True)[:_MOST_OFFSETS]
    octant = torch.stack(torch.meshgrid(*(torch.arange(n + 1) for n in reach), indexing="ij"), -1)
    octant, away = octant.reshape(-1, 3)[nearest], away.flatten()[nearest]
    signs = torch.cartesian_prod(*[torch.tensor([-1, 1])] * 3)
    once = ((octant[:, None] > 0) | (signs > 0)).all(-1)  # there is one zero
    offsets, away = (octant[:, None] * signs)[once], away[:, None].expand(-1, len(signs))[once]
    # Those as far away are in the order of the grid.
    within = (offsets + torch.tensor(reach)) @ torch.tensor([[1 << 40], [1 << 20], [1]])
    order = within[:, 0].argsort()
    order = order[away[order].argsort(stable=True)[:_MOST_OFFSETS]]
    return offsets[order]


def _compute_positions(field: Field) -> np.ndarray:
    """Compute Cartesian coordinates (lat, lon, 3) in km."""
    return EARTH_RADIUS * unit_vectors(field.lat, field.lon)
