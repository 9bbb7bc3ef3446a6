"""The nearest observations of a cell in space and time, found on the grid without a search tree.

Cells of a regular grid share one template: offsets in (date, row, column) sorted by scaled distance. The
neighbours of a cell are the first offsets at which something was observed, so one gather and one cumulative
sum find them for hundreds of cells at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..io.coordinates import EARTH_RADIUS, unit_vectors
from ..io.field import Field, grid_spacing

_REACH = 5.0  # lengths and durations that the template covers
_THINNED_BELOW = (0.6, 0.27)  # correlation from which every second, then every fourth cell is enough
_MOST_OFFSETS = 20_000
_MOST_CELLS = 120  # of the template to each side
_MOST_DATES = 40


class Component(NamedTuple):
    """A part of the covariance: variance in the field's units squared, kilometres and days."""

    sill: Tensor | float
    length: Tensor | float
    duration: Tensor | float


class Scales(NamedTuple):
    """The covariance, the sum of its components. What is most alike under it is near."""

    components: tuple[Component, ...]
    nugget: Tensor | float  # variance of what one observation does not share with its neighbours

    @property
    def sill(self) -> Tensor | float:
        """The variance of the field."""
        return sum(part.sill for part in self.components)


class _Matern(torch.autograd.Function):
    """sill (1 + r) exp(-r), r^2 = 3 (apart / length^2 + lag / duration^2), with its own gradient."""

    @staticmethod
    def forward(ctx: Any, *given: Tensor) -> Tensor:
        sill, length, duration, apart, lag = given
        root = (apart * (3 / length**2)).addcmul_(lag, 3 / duration**2).sqrt_()
        fall = root.neg().exp_()
        ctx.save_for_backward(*given, root, fall)
        return torch.addcmul(fall, root, fall).mul_(sill)

    @staticmethod
    def backward(ctx: Any, *outer: Tensor) -> tuple[Tensor | None, ...]:
        sill, length, duration, apart, lag, root, fall = ctx.saved_tensors
        weight = (outer[0] * fall).flatten()
        of_root, of_apart, of_lag = (torch.dot(weight, part.flatten()) for part in (root, apart, lag))
        return (
            weight.sum() + of_root,
            3 * sill / length**3 * of_apart,
            3 * sill / duration**3 * of_lag,
            None,
            None,
        )


def covariance(scales: Scales, apart: Tensor, lag: Tensor) -> Tensor:
    """At squared distances ``apart`` (km2) and squared lags ``lag`` (days2), of the same shape."""
    total = torch.zeros_like(apart)
    for component in scales.components:
        numbers = (torch.as_tensor(number).to(apart) for number in component)
        total = total + _Matern.apply(*numbers, apart, lag)
    return total


@dataclass(frozen=True)
class Observations:
    """The observed anomalies of a field, padded so that every template offset stays inside.

    Flat tensors are indexed by ``cell``; ``position`` by the horizontal part of it.
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

    def measured(self, cells: Tensor) -> Tensor:
        """The same of where their values were measured."""
        if self.displacement is None:
            return self.place(cells)
        return self.place(cells) + torch.nn.functional.pad(self.displacement[cells], (0, 1))


def gather_observations(
    field: Field,
    anomaly: np.ndarray,
    scales: Scales,
    device: torch.device,
) -> Observations:
    """What is observed, with the template for these scales. ``anomaly`` is (time, lat, lon) or n of them."""
    template = _template(field, scales)
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
            np.pad(_cartesian(field), [*around[1:], (0, 0)], mode="edge").reshape(-1, 3),
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
    """The first ``count`` observed cells of the template around each cell.

    Returns flat indices (n, count) and which of them exist (n, count): at the rim of the data there are
    fewer. ``also_hidden`` hides further observations from each cell.
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
            seen &= ~also_hidden.hides(data, waiting, start, end)
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
    before: Tensor  # (n,) dates of the spell before the cell
    after: Tensor  # (n,) dates of the spell after the cell

    def hides(self, data: Observations, which: Tensor, start: int, end: int) -> Tensor:
        """(n, end - start) True where the template meets a value that the spell hides."""
        date = data.template[start:end, 0]
        during = (date >= -self.before[which, None]) & (date <= self.after[which, None])
        return during & ~data.seen[self.model[which, None] + data.steps[start:end]]


def _template(field: Field, scales: Scales) -> Tensor:
    step = grid_spacing(field)
    length, duration = (max(float(part[i]) for part in scales.components) for i in (1, 2))
    reach = [
        min(most, extent - 1, max(2, int(_REACH * scale / unit)))
        for most, extent, scale, unit in zip(
            (_MOST_DATES, _MOST_CELLS, _MOST_CELLS),
            field.values.shape,
            (duration, length, length),
            step,
            strict=True,
        )
    ]
    t, y, x = torch.meshgrid(*(torch.arange(-n, n + 1) for n in reach), indexing="ij")
    apart = ((y * step[1]) ** 2 + (x * step[2]) ** 2).float()
    alike = covariance(scales, apart, (t * step[0]) ** 2.0) / scales.sill
    kept = torch.ones_like(alike, dtype=torch.bool)
    for level, below in enumerate(_THINNED_BELOW, start=1):
        kept &= (alike > below) | ((y % 2**level == 0) & (x % 2**level == 0))
    offsets = torch.stack([t[kept], y[kept], x[kept]], 1)
    return offsets[torch.argsort(alike[kept], descending=True, stable=True)[:_MOST_OFFSETS]]


def _cartesian(field: Field) -> np.ndarray:
    """(lat, lon, 3) km."""
    return EARTH_RADIUS * unit_vectors(field.lat, field.lon)
