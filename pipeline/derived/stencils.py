"""Derivatives on the sphere as sparse operators, which also propagate standard errors."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array, diags_array

from ..io.layout.positions import EARTH_RADIUS, unit_vectors

Floats = NDArray[np.floating]


@dataclass(frozen=True)
class Operator:
    """A linear operator on maps (y, x): a sparse matrix, and the cells where it is defined."""

    matrix: csr_array  # (cells, cells)
    defined: NDArray[np.bool_]  # (cells,)

    def __matmul__(self, other: Operator) -> Operator:
        """Return this operator after the ``other``."""
        touches = abs(self.matrix) > 0
        return Operator(csr_array(self.matrix @ other.matrix), self.defined & (touches @ ~other.defined == 0))

    def scale(self, factor: NDArray[np.float64]) -> Operator:
        """Return the operator with its rows multiplied by a factor (y, x)."""
        return Operator(csr_array(diags_array(factor.ravel()) @ self.matrix), self.defined)

    def apply(self, maps: Floats) -> NDArray[np.float64]:
        """Apply to maps (..., y, x); NaN where the operator is not defined."""
        flat = maps.reshape(-1, self.defined.size).astype(np.float64)
        found = (self.matrix @ flat.T).T
        found[:, ~self.defined] = np.nan
        return found.reshape(maps.shape)

    def propagate(self, errors: Floats, position: NDArray[np.float64], length: float) -> NDArray[np.float64]:
        """Return the standard error (..., y, x) of the result from those of the values.

        The errors have Matern-3/2 correlations of the distance over ``length``, both in km; ``position``
        (cells, 3) is Cartesian.
        """
        count = np.diff(self.matrix.indptr)
        most = int(count.max(initial=1))
        place = self.matrix.indptr[:-1, None] + np.arange(most)
        exists = np.arange(most) < count[:, None]
        place = np.where(exists, place, 0)
        cell = np.where(exists, self.matrix.indices[place], 0)
        weight = np.where(exists, self.matrix.data[place], 0.0)
        flat = errors.reshape(-1, self.defined.size).astype(np.float64)
        variance = np.zeros(flat.shape)
        for i in range(most):
            for j in range(i, most):
                distance = np.linalg.norm(position[cell[:, i]] - position[cell[:, j]], axis=1)
                root = np.sqrt(3) * distance / length
                both = weight[:, i] * weight[:, j] * (1 + root) * np.exp(-root) * (1 if i == j else 2)
                used = both != 0  # elsewhere the error may be missing, as on land
                variance[:, used] += both[used] * flat[:, cell[used, i]] * flat[:, cell[used, j]]
        deviation = np.sqrt(np.maximum(variance, 0))
        deviation[:, ~self.defined] = np.nan
        return deviation.reshape(errors.shape)


def find_position(lat: Floats, lon: Floats) -> NDArray[np.float64]:
    """Return the Cartesian positions (cells, 3) in km of a grid of latitudes (y,) and longitudes (x,)."""
    rows, columns = np.meshgrid(lat, lon, indexing="ij")
    return EARTH_RADIUS * unit_vectors(rows.ravel(), columns.ravel())


def differentiate(
    sea: NDArray[np.bool_], lat: Floats, lon: Floats, cyclic: bool
) -> tuple[Operator, Operator]:
    """Return the derivatives to the east and to the north, per metre.

    They are central differences, and one-sided ones at the coast and at the edges. They are defined at the
    cells of the ``sea`` (y, x) with a neighbour on their line.
    """
    east = np.broadcast_to(np.radians(lon), sea.shape)
    metres = 1000 * EARTH_RADIUS * np.cos(np.radians(lat))[:, None]
    north = np.broadcast_to(1000 * EARTH_RADIUS * np.radians(lat)[:, None], sea.shape)
    return _difference(sea, east, metres, 1, cyclic), _difference(
        sea, north, np.ones((lat.size, 1)), 0, False
    )


def _difference(
    sea: NDArray[np.bool_], coordinate: Floats, scale: Floats, axis: int, cyclic: bool
) -> Operator:
    cell = np.arange(sea.size).reshape(sea.shape)
    ends = []
    for step in (-1, 1):
        near = np.roll(cell, -step, axis)
        exists = np.roll(sea, -step, axis) & sea
        if not cyclic:
            edge = [slice(None)] * 2
            edge[axis] = slice(-1, None) if step > 0 else slice(0, 1)
            exists[tuple(edge)] = False
        ends.append(np.where(exists, near, cell))
    first, last = ends
    flat = coordinate.ravel()
    distance = flat[last] - flat[first]
    if cyclic:
        distance = (distance + np.pi) % (2 * np.pi) - np.pi
    distance = distance * scale
    defined = ((first != last) & sea).ravel()
    rows = cell.ravel()[defined]
    value = 1 / distance.ravel()[defined]
    entries = (
        np.concatenate([value, -value]),
        (
            np.concatenate([rows, rows]),
            np.concatenate([last.ravel()[defined], first.ravel()[defined]]),
        ),
    )
    return Operator(csr_array(entries, shape=(sea.size, sea.size)), defined)
