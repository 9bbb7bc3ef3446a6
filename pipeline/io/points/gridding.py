"""Binning points on a grid: bilinear weights distribute their precision among the cells."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import psutil
import torch
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from ....models.points import Corners, find_corners, to_cells
from ...errors import InputError
from ..alignment import TURNED
from ..field import Field, open_field
from ..layout.positions import EARTH_RADIUS, space_axes, unit_vectors
from ..reading import Region
from ..seamask import sea_from_coastline, sea_from_file
from .tracks import Tracks

_LEAST = 0.1  # precision of a cell below which it stays missing, relative to the median point
_NEAR = 1e-6  # degrees
_BYTES = 50  # of memory for each cell and date, at least


@dataclass(frozen=True)
class Grid:
    """The dates, axes and sea mask of a regular grid for points."""

    dates: pd.DatetimeIndex  # (time,) evenly spaced
    lat: NDArray[np.float64]  # (lat,) degrees north, rising or falling
    lon: NDArray[np.float64]  # (lon,) degrees east, rising without a jump
    sea: NDArray[np.bool_]  # (lat, lon)
    origin: str  # what the sea mask was taken from

    @property
    def shape(self) -> tuple[int, int, int]:
        """Number of dates, rows and columns."""
        return len(self.dates), len(self.lat), len(self.lon)

    @property
    def cyclic(self) -> bool:
        """Whether the first and the last column are neighbours."""
        return bool(self.lon[-1] + 1.5 * (self.lon[-1] - self.lon[-2]) > self.lon[0] + 360)

    def corners(self, tracks: Tracks) -> Corners:
        """Return the four cells around each point on the nearest date, with zero weight outside the grid."""
        date = np.zeros(len(tracks), np.int64)
        if len(self.dates) > 1:
            step = self.dates[1] - self.dates[0]
            date = np.rint((tracks.time - self.dates.to_numpy()[0]) / step.to_timedelta64()).astype(np.int64)
        rising = np.argsort(self.lat)
        row = np.interp(tracks.lat, self.lat[rising], rising, left=np.nan, right=np.nan)
        axis = np.append(self.lon, self.lon[0] + 360) if self.cyclic else self.lon
        east = np.mod(tracks.lon - axis[0] + _NEAR, 360) - _NEAR + axis[0]
        east = np.where(east < axis[0], axis[0], east)
        column = np.interp(east, axis, np.arange(len(axis)), left=np.nan, right=np.nan)
        return find_corners(
            torch.from_numpy(date),
            torch.from_numpy(row),
            torch.from_numpy(column),
            torch.from_numpy(self.sea),
            dates=len(self.dates),
            cyclic=self.cyclic,
        )


def make_grid(
    tracks: Tracks,
    spacing: ArrayLike,
    bounds: Region,
    *,
    step: float = 1.0,
    mask: str | None = None,
    mask_variable: str | None = None,
) -> Grid:
    """Make the grid with cell centres every ``spacing`` degrees in ``bounds`` (lat0, lat1, lon0, lon1).

    ``spacing`` is one number, or one each for latitude and longitude. The dates are ``step`` days apart, from
    the one nearest to the first point to the one nearest to the last. The sea mask is that of the nearest
    position in the ``mask`` file, or without one that of `seamask.sea_from_coastline`. Raises `InputError`
    for a grid with fewer than two rows or columns, or without sea.
    """
    lat, lon = space_axes(spacing, bounds)
    every = pd.Timedelta(days=step)
    first, last = (pd.Timestamp(time).round(every) for time in (tracks.time.min(), tracks.time.max()))
    cells = ((last - first) / every + 1) * len(lat) * len(lon)
    if cells * _BYTES > psutil.virtual_memory().total:
        raise InputError(
            f"a grid of {len(lat)} x {len(lon)} cells every {step:g} days has {cells:.2g} values, more than "
            "the memory holds; give a larger grid= or time_step=, or smaller bounds="
        )
    dates = pd.date_range(first, last, freq=every)
    places = np.meshgrid(lat, lon, indexing="ij")
    sea, origin = sea_from_coastline(*places) if mask is None else sea_from_file(mask, mask_variable, *places)
    if not sea.any():
        raise InputError(
            f"there is no sea within the bounds according to {origin}; give other bounds or another mask="
        )
    return Grid(dates, lat, lon, sea, origin)


def bin_tracks(tracks: Tracks, grid: Grid, offset: float = 0.0) -> Field:
    """Estimate each cell of the grid from the points around it, and return the field.

    With H the bilinear interpolation from the cells to the points and R the error variances of the points,
    the precision of a cell is H^T R^-1 1 and its value H^T R^-1 values divided by it, as in DINCAE 2 (Barth
    et al. 2022, doi:10.5194/gmd-15-2183-2022). So each point is shared among four cells, and the sum of the
    precisions is kept. Cells with less than a tenth of the precision of the median point stay missing. The
    value of a cell belongs to the weighted mean position of its points; ``displacement`` passes this position
    to kriging. ``offset`` is taken off the values of the field.

    Raises `InputError` where no point lies on sea in the grid, and as `open_field` does.
    """
    at = grid.corners(tracks)
    used = (at.weight > 0).any(1).numpy()
    if not used.any():
        raise InputError(
            f"none of the {len(tracks)} points lies on sea in the grid ({grid.origin}); give other "
            "bounds or another mask="
        )
    weight, value = (torch.from_numpy(part) for part in (1 / tracks.error_variance, tracks.value))
    cells = int(np.prod(grid.shape))
    precision = to_cells(weight, at, cells)
    known = precision > _LEAST * weight[used].median()
    middle = value[used].mean()  # sums of anomalies keep more digits
    mean = middle + to_cells(weight * (value - middle), at, cells) / precision.where(known, 1)

    places = torch.from_numpy(EARTH_RADIUS * unit_vectors(tracks.lat, tracks.lon)).unbind(1)
    middles = torch.stack([to_cells(weight * axis, at, cells) for axis in places], 1)
    middles = (middles / precision.where(known, 1)[:, None]).reshape(*grid.shape, 3)
    centres = EARTH_RADIUS * unit_vectors(*np.meshgrid(grid.lat, grid.lon, indexing="ij"))
    displacement = np.where(known.reshape(*grid.shape, 1), middles.numpy() - centres, 0).astype(np.float32)

    def make_variable(values: torch.Tensor) -> tuple[tuple[str, str, str], NDArray[np.float32]]:
        found = values.where(known, torch.nan).reshape(grid.shape)
        return ("time", "latitude", "longitude"), found.numpy().astype(np.float32)

    error = f"{tracks.name}_error"
    east = {"units": "degrees_east", "standard_name": "longitude", TURNED: 0}  # the columns of the grid
    data = xr.Dataset(
        {
            tracks.name: (*make_variable(mean), tracks.attrs),
            error: make_variable(precision.where(known, 1).rsqrt()),
            "sea_mask": (("latitude", "longitude"), grid.sea.astype(np.int8)),
        },
        {
            "time": grid.dates,
            "latitude": ("latitude", grid.lat, {"units": "degrees_north", "standard_name": "latitude"}),
            "longitude": ("longitude", grid.lon, east),
        },
    )
    field = open_field(
        data,
        variable=tracks.name,
        mask_variable="sea_mask",
        error_variable=error,
        transform="none",
        outliers="keep",
    )
    oddities = list(tracks.oddities)
    if not used.all():
        oddities.append(f"points outside the grid or on land: {np.count_nonzero(~used)}")
    centred = (mean - offset).reshape(grid.shape).numpy().astype(np.float32)
    return replace(
        field,
        values=np.where(field.observed, centred, np.float32(np.nan)),
        offset=offset,
        inputs=tracks.inputs,
        mask_origin=grid.origin,
        treatment=tracks.treatment,
        oddities=(*oddities, *field.oddities),
        displacement=displacement,
    )
