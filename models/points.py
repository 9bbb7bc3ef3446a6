"""Bilinear interpolation from maps to points, and its adjoint, which spreads point values over maps.

After DINCAE 2 (Barth et al. 2022, doi:10.5194/gmd-15-2183-2022, section 2.3).
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Corners(NamedTuple):
    """The four cells around each point and their weights: a sparse matrix with four entries per row."""

    cell: Tensor  # (..., points, 4) flat index into the map or the series of maps
    weight: Tensor  # (..., points, 4) that sum to one, or all zero for a point outside


def find_corners(
    date: Tensor, row: Tensor, column: Tensor, sea: Tensor, dates: int = 1, cyclic: bool = False
) -> Corners:
    """Find the cells around points (n,) in a series of maps (dates, rows, columns), and their weights.

    Cells are numbered in this order. ``date`` holds whole numbers, ``row`` and ``column`` fractional indices.
    Points are outside, with zero weights, beyond the centres of the outermost cells and where they are NaN.
    With ``cyclic`` the first column is next to the last. The weights of land cells are redistributed to the
    ``sea`` cells (rows, columns) around the point; a point among four land cells is outside. The map needs at
    least two rows and two columns.
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
    """Interpolate maps (..., cells) to points (..., n), the same for all maps or different for each."""
    values = maps.gather(-1, at.cell.flatten(-2).expand(*maps.shape[:-1], -1))
    return (values.unflatten(-1, at.cell.shape[-2:]) * at.weight).sum(-1)


def to_cells(values: Tensor, at: Corners, cells: int) -> Tensor:
    """Spread point values (n,) over (cells,), the adjoint of `to_points`."""
    shares = values[:, None] * at.weight
    return shares.new_zeros(cells).index_add_(0, at.cell.flatten(), shares.flatten())
