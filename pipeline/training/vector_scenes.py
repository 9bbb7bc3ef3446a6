"""What a network sees of a current, and what it is trained on: the first guess of its two components."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import block_array, coo_array, diags_array, eye_array, kron, vstack
from scipy.sparse.linalg import splu
from torch import Tensor
from torch.utils.data import Dataset

from ...models.projection import Grid
from ..errors import InputError
from ..io.radials import Radials

EACH = 5  # channels of a date: u, v, the logarithms of two errors, a correlation
_LEAST_ERROR = 1e-3  # of the spread
_HELD = 1e-6  # how little a stream function is drawn to zero, so that there is one only


@dataclass(frozen=True)
class VectorInputs:
    """A current under some gaps, in units of its ``spread``; a guess of zero and an error of one on land."""

    guess: Tensor  # (time, 2, lat, lon)
    factor: Tensor  # (time, 3, lat, lon) Cholesky factor of its error's covariance: `models.projection`
    radial: Tensor  # (time, station, lat, lon) what is hidden, zero elsewhere
    noise: Tensor  # (time, station, lat, lon) its error variance
    weight: Tensor  # (time, station, lat, lon) one where it is hidden


def make_vector_inputs(
    radials: Radials,
    current: NDArray[np.float32],
    nugget: float,
    spread: float,
    hidden: NDArray[np.bool_] | None = None,
) -> VectorInputs:
    """Of a first guess (5, time, lat, lon), of `VectorKriging`, and of what was ``hidden`` from it."""
    weight = np.zeros(radials.values.shape, np.float32) if hidden is None else hidden.astype(np.float32)
    u, v, uu, vv, uv = np.where(radials.sea, current, 0)
    first = np.sqrt(np.where(radials.sea, uu, spread**2)).clip(min=_LEAST_ERROR * spread)
    below = uv / first
    second = np.sqrt((np.where(radials.sea, vv, spread**2) - below**2).clip(min=(_LEAST_ERROR * spread) ** 2))
    parts = (
        np.stack([u, v], 1) / spread,
        np.stack([first, below, second], 1) / spread,
        np.where(weight > 0, radials.values, 0) / spread,
        (radials.error_variance + nugget) / spread**2,
        weight,
    )
    return VectorInputs(*(torch.from_numpy(part.astype(np.float32)) for part in parts))


def count_channels(window: int) -> int:
    """How many input channels a network has that sees ``window`` dates: theirs, and the sea mask."""
    return EACH * window + 1


class VectorDates(Dataset[tuple[Tensor, ...]]):
    """Whole dates of scenes: what the network sees, and guess, factor, radial, noise and weight.

    ``where`` (time, station, lat, lon), which only makes sense for one scene, limits dates and weights.
    """

    def __init__(
        self,
        scenes: Sequence[VectorInputs],
        sea: NDArray[np.bool_],
        window: int,
        where: NDArray[np.bool_] | None = None,
    ) -> None:
        """The dates with something hidden, or all where nothing is."""
        if where is not None:
            scenes = [replace(scenes[0], weight=scenes[0].weight * torch.from_numpy(where))]
        self.scenes, self.window = scenes, window
        self.sea = torch.from_numpy(sea.astype(np.float32))
        self.dates = [
            (number, date)
            for number, one in enumerate(scenes)
            for date in range(len(one.weight))
            if one.weight[date].any() or not one.weight.any()
        ]

    def __len__(self) -> int:
        return len(self.dates)

    def __getitem__(self, item: int) -> tuple[Tensor, ...]:
        number, date = self.dates[item]
        one = self.scenes[number]
        first, below, second = one.factor.unbind(1)
        error = torch.hypot(below, second)
        every = [*one.guess.unbind(1), first.log(), error.log(), below / error]
        made = torch.zeros(count_channels(self.window), *self.sea.shape)
        for place, other in enumerate(range(date - self.window // 2, date + self.window // 2 + 1)):
            if 0 <= other < len(one.guess):  # before the first and after the last date the error is one
                made[EACH * place : EACH * (place + 1)] = torch.stack([part[other] for part in every])
        made[-1] = self.sea
        parts = (one.guess, one.factor, one.radial, one.noise, one.weight)
        return made, *(part[date] for part in parts)


def regular_grid(radials: Radials) -> Grid:
    """The derivatives on the grid. Raises `InputError` for one that is not regular in degrees."""
    lat, lon = radials.stations[0].lat, radials.stations[0].lon
    if min(lat.shape) < 2 or np.ptp(lat, axis=1).max() > 1e-6 or np.ptp(lon, axis=0).max() > 1e-6:
        raise InputError(
            "the grid of the radial velocities is not regular in degrees, as divergence and stream functions "
            "need it here; leave out --flow"
        )
    return Grid(*(torch.tensor(axis, dtype=torch.float32) for axis in (lat[:, 0], lon[0])))


def remove_divergence(one: VectorInputs, grid: Grid, sea: NDArray[np.bool_]) -> VectorInputs:
    """The scene with the flow of a stream function for its guess, the nearest in units of its error."""
    at = np.flatnonzero(sea)
    flow = _rotation(grid).tocsr()[np.concatenate([at, sea.size + at])]
    found = np.zeros((len(one.guess), 2, *sea.shape), np.float32)
    for date, (guess, factor) in enumerate(zip(one.guess.numpy(), one.factor.numpy(), strict=True)):
        first, below, second = factor[:, sea].astype(np.float64)
        inverse = block_array(
            [[diags_array(1 / first), None], [diags_array(-below / first / second), diags_array(1 / second)]]
        )
        left = inverse @ flow
        square = left.T @ left
        held = diags_array(np.full(sea.size, _HELD * np.median(square.diagonal())))
        psi = splu((square + held).tocsc()).solve(left.T @ (inverse @ guess[:, sea].reshape(-1)))
        found[date][:, sea] = (flow @ psi).reshape(2, -1)
    return replace(one, guess=torch.from_numpy(found))


def _rotation(grid: Grid) -> Any:
    """(2 cells, cells) u and v of a stream function, by the differences of the grid, in units of its rows."""
    north = torch.gradient(torch.eye(len(grid.northward)), spacing=(grid.northward,), dim=(0,))[0]
    east = torch.gradient(torch.eye(len(grid.eastward)), spacing=(grid.eastward,), dim=(0,))[0]
    rows, columns = (grid.row_spacing * part.double().numpy() for part in (north, east))
    across = diags_array(1 / grid.latitude[:, 0].double().numpy())
    return vstack([-kron(coo_array(rows), eye_array(len(columns))), kron(across, coo_array(columns))])
