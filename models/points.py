"""Bilinear interpolation from maps to points, and its adjoint, which spreads points over maps.

As in DINCAE 2 (Barth et al. 2022, doi:10.5194/gmd-15-2183-2022, section 2.3).
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Corners(NamedTuple):
    """The four cells around each point, and their weights: a sparse matrix with four numbers a row."""

    cell: Tensor  # (..., points, 4) flat index of the map, or of the series of maps
    weight: Tensor  # (..., points, 4) which add up to one; all zero where a point lies outside


def find_corners(
    date: Tensor, row: Tensor, column: Tensor, sea: Tensor, dates: int = 1, cyclic: bool = False
) -> Corners:
    """The corners of points (n,) in a series (dates, rows, columns), its cells numbered in this order.

    ``date`` are whole numbers, ``row`` and ``column`` fractions of indices; outside are points beyond the
    centres of the rim's cells, and those that are not a number. With ``cyclic`` the first column is the last
    one's neighbour. The weights of land are given to the ``sea`` (rows, columns) beside it; a point among
    four cells of land is outside. Both sides of the map need two cells or more.
    """
    rows, columns = sea.shape
    inside = (date >= 0) & (date < dates) & (row >= 0) & (row <= rows - 1)
    inside &= torch.isfinite(column) if cyclic else (column >= 0) & (column <= columns - 1)
    row, column = row.where(inside, 0), column.where(inside, 0)
    below = row.floor().clamp(max=rows - 2)
    left = column.floor() if cyclic else column.floor().clamp(max=columns - 2)
    up, right = row - below, column - left
    share = torch.stack([(1 - up) * (1 - right), (1 - up) * right, up * (1 - right), up * right], -1)
    y = torch.stack([below, below, below + 1, below + 1], -1).long()
    x = torch.stack([left, left + 1, left, left + 1], -1).long() % columns
    share = share * (sea[y, x] & inside[:, None])
    total = share.sum(-1, keepdim=True)
    cell = (date.where(inside, 0)[:, None] * rows + y) * columns + x
    return Corners(cell, share / total.where(total > 0, 1))


def to_points(maps: Tensor, at: Corners) -> Tensor:
    """The maps (..., cells) at the points (..., n); one set of points for all maps, or one for each."""
    found = maps.gather(-1, at.cell.flatten(-2).expand(*maps.shape[:-1], -1))
    return (found.unflatten(-1, at.cell.shape[-2:]) * at.weight).sum(-1)


def to_cells(values: Tensor, at: Corners, cells: int) -> Tensor:
    """The adjoint of `to_points`: (cells,) the values (n,) of points, spread."""
    shares = values[:, None] * at.weight
    return shares.new_zeros(cells).index_add_(0, at.cell.flatten(), shares.flatten())
