"""Match-ups: maps at the places and times of independent points."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from ...models.points import find_corners
from ..errors import InputError
from ..io.layout.dates import format_date
from ..io.layout.positions import EARTH_RADIUS, is_cyclic, unit_vectors
from ..io.points.tracks import Tracks

INTERPOLATIONS = ("nearest", "linear")  # in time
_NEAR = 1e-6  # of a cell, by which rounding may move a point
_HOUR = np.timedelta64(1, "h")
_SINGLE = 12.0  # hours: the threshold for a single map
_SLACK = 1.001  # of the default threshold of distance, for rounding

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Matching:
    """How points are read and matched with a field.

    ``max_distance`` is the largest distance in km from a point to the centre of a cell with a value; None is
    half the diagonal of a cell. ``max_time`` is the largest difference in hours from a date of the field;
    None is half its time step. ``interpolation`` in time is "nearest" or "linear". ``max_depth`` is in
    metres. ``columns`` names columns of the points by their role (`platforms.ROLES`), ``units`` are those of
    the points where they say none. ``point_error`` is the standard error of the points, in the units of the
    field. ``remove_offsets`` subtracts the mean difference of each platform, as for tide gauges with
    reference levels of their own. ``analysis`` takes V_analysis in place of V, whose observed cells hold the
    observations.
    """

    max_distance: float | None = None
    max_time: float | None = None
    interpolation: str = "nearest"
    max_depth: float = 10.0
    columns: dict[str, str] | None = None
    units: str | None = None
    point_error: float = 0.0
    remove_offsets: bool = False
    analysis: bool = False

    def __post_init__(self) -> None:
        if self.interpolation not in INTERPOLATIONS:
            raise InputError(
                f"there is no interpolation {self.interpolation!r} in time; choose one of "
                f"{', '.join(INTERPOLATIONS)}"
            )
        for name in ("max_distance", "max_time", "max_depth", "point_error"):
            value = getattr(self, name)
            if value is not None and not value >= 0:
                raise InputError(f"{name}={value} is negative; give a positive number")


@dataclass(frozen=True)
class Matched:
    """Which cells of which dates surround m matched points, and with which weights."""

    points: Tracks  # (m,)
    index: NDArray[np.int64]  # (m,) their numbers among the points given
    date: NDArray[np.int64]  # (m, 2) the nearest date and the one on the other side of the point
    share: Floats  # (m, 2) weights of the dates
    cell: NDArray[np.int64]  # (m, 4) flat numbers of the cells around the point
    weight: Floats  # (m, 4)
    distance: Floats  # (m, 4) km from the centres of the cells
    limit: Floats  # (m,) km: the largest distance to a cell with a value
    notes: tuple[str, ...] = ()  # what was left out

    def at(self, which: NDArray[np.bool_]) -> Matched:
        """Return some of the matched points."""
        names = "index", "date", "share", "cell", "weight", "distance", "limit"
        arrays = {name: getattr(self, name)[which] for name in names}
        return replace(self, points=self.points.at(which), **arrays)

    def gather(self, read: Callable[[int], NDArray[np.generic]]) -> Floats:
        """Return what a map holds around each point (m, 2, 4); ``read`` returns that of a date, (y, x)."""
        found = np.full((*self.date.shape, 4), np.nan)
        for date in np.unique(self.date[self.share > 0]):
            point, side = np.nonzero((self.date == date) & (self.share > 0))
            found[point, side] = np.asarray(read(int(date)), np.float64).ravel()[self.cell[point]]
        return found

    def interpolate(self, around: Floats, usable: NDArray[np.bool_]) -> Floats:
        """Interpolate what is around the points (m, 2, 4) from the ``usable`` cells; NaN without any."""
        weight = self.weight[:, None] * usable
        total = weight.sum(-1)
        maps = (weight * np.where(usable, around, 0)).sum(-1) / np.where(total > 0, total, np.nan)
        return np.where(self.share > 0, self.share * maps, 0).sum(-1)

    def is_near(self, usable: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Whether each point (m,) has a usable cell within its limit on each of its dates."""
        near = usable & ((self.weight > 0) & (self.distance <= self.limit[:, None]))[:, None]
        return np.asarray((near.any(axis=2) | (self.share == 0)).all(axis=1))

    def nearest(self, usable: NDArray[np.bool_]) -> NDArray[np.int64]:
        """Return the number (m,) of the usable cell nearest to each point on its nearest date."""
        far = np.where(usable[:, 0] & (self.weight > 0), self.distance, np.inf)
        return self.cell[np.arange(len(self.cell)), far.argmin(axis=1)]


def match_points(
    points: Tracks, dates: pd.DatetimeIndex, lat: Floats, lon: Floats, matching: Matching
) -> Matched:
    """Find the cells and the dates around points.

    ``dates`` (time,) rise, ``lat`` and ``lon`` (y, x) are the centres of the cells in degrees. Raises
    `InputError` where no point lies on the grid, or none in the period.
    """
    if min(lat.shape) < 2:
        raise InputError(
            f"the grid has {lat.shape[0]} rows and {lat.shape[1]} columns, and points are interpolated "
            "between two or more; give a larger part of the field"
        )
    row, column, cyclic = locate(lat, lon, points.lat, points.lon)
    inside = np.isfinite(row)
    if not inside.any():
        raise InputError(
            f"{points.file}: no point lies on the grid, which covers {lat.min():.2f} to {lat.max():.2f} N, "
            f"{lon.min():.2f} to {lon.max():.2f} E (the points {points.lat.min():.2f} to "
            f"{points.lat.max():.2f} N, {points.lon.min():.2f} to {points.lon.max():.2f} E); give points "
            "there"
        )
    date, share, late = _find_dates(points.time, dates, matching)
    in_time = late <= default_time(dates, matching)
    kept = inside & in_time
    hours = f"{default_time(dates, matching):g} hours"
    if not kept.any():
        first, last = (
            format_date(time.astype("datetime64[m]")) for time in (points.time.min(), points.time.max())
        )
        raise InputError(
            f"{points.file}: no point is within {hours} of a date of the field "
            f"({format_date(dates[0])} to {format_date(dates[-1])}; the points {first} to {last}); give "
            "points of that period, or a larger max_time="
        )
    notes = [
        f"{what}: {np.count_nonzero(lost)}"
        for what, lost in (
            ("points off the grid", ~inside),
            (f"points more than {hours} from a date", inside & ~in_time),
        )
        if lost.any()
    ]
    found = find_corners(
        torch.zeros(int(kept.sum()), dtype=torch.int64),
        torch.from_numpy(row[kept]),
        torch.from_numpy(column[kept]),
        torch.ones(lat.shape, dtype=torch.bool),
        cyclic=cyclic,
    )
    cell, own = found.cell.numpy(), points.at(kept)
    centres = unit_vectors(lat.ravel()[cell], lon.ravel()[cell])
    distance = _measure(centres, unit_vectors(own.lat, own.lon)[:, None])
    limit = np.full(len(own), matching.max_distance, np.float64)
    if matching.max_distance is None:
        # Half the longer diagonal of the four centres: the size of cells may vary over the grid.
        ends = _measure(centres[:, :2], centres[:, :1:-1])
        limit = _SLACK * ends.max(axis=1) / 2
    weight, index = found.weight.numpy(), np.flatnonzero(kept)
    return Matched(own, index, date[kept], share[kept], cell, weight, distance, limit, tuple(notes))


def _measure(one: Floats, other: Floats) -> Floats:
    """Return the distance in km between unit vectors (..., 3)."""
    chord = np.linalg.norm(one - other, axis=-1)
    return np.asarray(2 * EARTH_RADIUS * np.arcsin(np.minimum(chord / 2, 1)))


def default_time(dates: pd.DatetimeIndex, matching: Matching) -> float:
    """Return the threshold of time in hours: half the time step, unless another was given."""
    if matching.max_time is not None:
        return matching.max_time
    return float(np.median(np.diff(dates.to_numpy()) / _HOUR)) / 2 if len(dates) > 1 else _SINGLE


def _find_dates(
    time: NDArray[np.datetime64], dates: pd.DatetimeIndex, matching: Matching
) -> tuple[NDArray[np.int64], Floats, Floats]:
    """Return the two dates around each point, the nearest first, their weights, and its distance in hours."""
    hours = (dates.to_numpy() - dates.to_numpy()[0]) / _HOUR
    now = (time - dates.to_numpy()[0]) / _HOUR
    after = (
        np.clip(np.searchsorted(hours, now), 1, max(len(hours) - 1, 1))
        if len(hours) > 1
        else np.zeros(len(now), np.int64)
    )
    pair = np.column_stack([np.maximum(after - 1, 0), after]).astype(np.int64)
    away = np.abs(hours[pair] - now[:, None])
    order = np.argsort(away, axis=1, kind="stable")
    pair, away = np.take_along_axis(pair, order, 1), np.take_along_axis(away, order, 1)
    share = np.zeros(pair.shape)
    share[:, 0] = 1
    if matching.interpolation == "linear" and len(hours) > 1:
        between = (now >= hours[0]) & (now <= hours[-1])
        total = away.sum(axis=1)
        share[between] = 1 - away[between] / total[between, None]
    return pair, share, away[:, 0]


def find_nearest(points: Tracks, others: Tracks, distance: float, hours: float) -> Floats:
    """Return the value of the nearest of ``others`` for each point (n,); NaN where none is near enough.

    Near are those for which the squares of the distance in km and of the difference in hours, over those of
    the limits, add up to no more than one.
    """
    chord = 2 * np.sin(distance / EARTH_RADIUS / 2)
    scaled = [
        np.column_stack([unit_vectors(one.lat, one.lon) / chord, (one.time - points.time[0]) / _HOUR / hours])
        for one in (others, points)
    ]
    away, index = cKDTree(scaled[0]).query(scaled[1], distance_upper_bound=1)
    return np.where(np.isfinite(away), np.append(others.value, np.nan)[index], np.nan)


def locate(lat: Floats, lon: Floats, wanted_lat: Floats, wanted_lon: Floats) -> tuple[Floats, Floats, bool]:
    """Find the fractional rows and columns of positions (n,) on a grid (y, x), and whether it is cyclic.

    Positions within half a cell of the outermost centres are moved to these; both are NaN further off.
    """
    cyclic = lon.shape[1] > 2 and is_cyclic(lon)
    regular = bool((lat == lat[:, :1]).all() and (lon == lon[:1]).all())
    if regular:
        row, column = _locate_on_axes(lat, lon, wanted_lat, wanted_lon, cyclic)
    else:
        row, column = _locate_on_curves(lat, lon, wanted_lat, wanted_lon)
    rows, columns = lat.shape
    inside = (row >= -0.5 - _NEAR) & (row <= rows - 0.5 + _NEAR)
    if cyclic:
        column = np.mod(column, columns)
        column = np.where(column >= columns, 0, column)
    else:
        inside &= (column >= -0.5 - _NEAR) & (column <= columns - 0.5 + _NEAR)
        column = column.clip(0, columns - 1)
    row = row.clip(0, rows - 1)
    return np.where(inside, row, np.nan), np.where(inside, column, np.nan), cyclic


def _locate_on_axes(
    lat: Floats, lon: Floats, wanted_lat: Floats, wanted_lon: Floats, cyclic: bool
) -> tuple[Floats, Floats]:
    south, east = lat[:, 0], lon[0]
    if cyclic:
        east = np.append(east, east[0] + 360 * np.sign(east[-1] - east[0]))
    # The turn of each longitude that is nearest to the middle of the grid.
    middle = (east.min() + east.max()) / 2
    turned = middle + (wanted_lon - middle + 180) % 360 - 180
    return _find_index(south, wanted_lat), _find_index(east, turned)


def _find_index(axis: Floats, wanted: Floats) -> Floats:
    """Return the fractional index of positions on a monotonic axis, extrapolated beyond its ends."""
    number = np.arange(len(axis), dtype=np.float64)
    if len(axis) < 2:
        return np.where(wanted == axis[0], 0.0, np.nan)
    if axis[-1] < axis[0]:
        return len(axis) - 1 - _find_index(axis[::-1], wanted)
    low, high = axis[1] - axis[0], axis[-1] - axis[-2]
    whole = np.concatenate([[axis[0] - low], axis, [axis[-1] + high]])
    return np.interp(wanted, whole, np.concatenate([[-1.0], number, [len(axis)]]), left=np.nan, right=np.nan)


def _locate_on_curves(
    lat: Floats, lon: Floats, wanted_lat: Floats, wanted_lon: Floats
) -> tuple[Floats, Floats]:
    """Find positions on a curvilinear grid from the nearest centre and the vectors to its neighbours."""
    centres, wanted = unit_vectors(lat, lon), unit_vectors(wanted_lat, wanted_lon)
    _, nearest = cKDTree(centres.reshape(-1, 3)).query(wanted)
    row, column = (part.astype(np.float64) for part in np.divmod(nearest, lat.shape[1]))
    steps = np.gradient(centres, axis=(0, 1))
    for _ in range(3):  # Newton's method; the first step is within a few percent of a cell
        y = np.rint(row).clip(0, lat.shape[0] - 1).astype(np.int64)
        x = np.rint(column).clip(0, lat.shape[1] - 1).astype(np.int64)
        down, across = (np.asarray(step)[y, x] for step in steps)
        base = centres[y, x] + (row - y)[:, None] * down + (column - x)[:, None] * across
        missing = wanted - base
        dd, da, aa = (down * down).sum(-1), (down * across).sum(-1), (across * across).sum(-1)
        md, ma = (missing * down).sum(-1), (missing * across).sum(-1)
        scale = dd * aa - da**2
        scale = np.where(
            scale > 0, scale, np.inf
        )  # cells without a position of their own stay where they are
        row, column = row + (aa * md - da * ma) / scale, column + (dd * ma - da * md) / scale
    return row, column
