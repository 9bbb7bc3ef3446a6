"""Ground tracks of satellite altimeters, and simulated observations of a field along them.

Orbits are circles whose ground track closes exactly after the repeat cycle: in a cycle of D nodal days the
Earth turns D times relative to the orbital plane while the satellite completes N revolutions (Parke et al.
1987, doi:10.1029/JC092iC11p11693). The precession of the plane (due to the Earth's oblateness) is contained
in the length of the cycle. Returned longitudes are in [-180, 180).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import ArrayLike, NDArray
from scipy.interpolate import RegularGridInterpolator
from scipy.spatial import KDTree

from ..errors import InputError
from ..io.layout.positions import EARTH_RADIUS, unit_vectors

Floats = NDArray[np.floating]
SWATH = tuple(float(side * distance) for side in (-1, 1) for distance in range(10, 61, 2))  # km, as for SWOT
_STRIDE = 32  # points of a track tested together: one test every 200 km finds a domain
_SPEED_RATIO = 1.1  # upper bound of ground speed over that above an Earth at rest (westward, at the equator)


@dataclass(frozen=True)
class Mission:
    """One altimeter. At time 0 it crosses the equator northwards at ``first_longitude``.

    The default ``noise`` of 0.02 m is that of Poseidon at 1 Hz in waves of 2 m (Tran et al. 2002,
    doi:10.1175/1520-0426(2002)019<2095:AOTCTC>2.0.CO;2; TOPEX 0.018 m, GFO 0.025 m).
    """

    name: str
    inclination: float  # degrees, above 90 for a westward (retrograde) orbit
    revolutions: int  # per repeat cycle
    nodal_days: int  # turns of the Earth relative to the orbital plane per repeat cycle
    days: float  # of 86400 s, per repeat cycle
    first_longitude: float = 0.0  # degrees east
    spacing: float = 7.0  # km between points along the orbit: about 1 Hz
    noise: float = 0.02  # m, standard deviation of a point's error
    across: tuple[float, ...] = (0.0,)  # km to the right of the track, of the points of a line; see `SWATH`


# Cycles and inclinations: aviso.altimetry.fr and altimetry.info (Jason, SARAL, SWOT), sentinel.esa.int
# (Sentinel-3), openadb.dgfi.tum.de (CryoSat-2), ilrs.gsfc.nasa.gov (HY-2B, its inclination). The oblateness
# implies the same cycle lengths to within a few parts in 100 000 (see the tests). Jason's first longitude is
# that of pass 1; the others are arbitrary but distinct.
MISSIONS = {
    mission.name: mission
    for mission in (
        Mission("jason", 66.04, 127, 10, 9.9156, 99.92),  # and TOPEX, Sentinel-6
        Mission("sentinel-3a", 98.65, 385, 27, 27.0, 5.0),
        Mission("saral", 98.55, 501, 35, 35.0, 10.0),  # and ERS, Envisat
        Mission("cryosat-2", 92.03, 5344, 369, 368.24, 15.0),
        Mission("hy-2b", 99.35, 193, 14, 14.0, 0.0),
        Mission("swot-nadir", 77.6, 292, 21, 20.86455, 20.0),
        Mission("swot", 77.6, 292, 21, 20.86455, 20.0, spacing=2.0, across=SWATH),
    )
}


def locate_nadir(mission: Mission, time: ArrayLike) -> tuple[Floats, Floats]:
    """Compute latitude and longitude, degrees, of the nadir point at times of any shape, days."""
    phase = np.mod(np.asarray(time, np.float64) / mission.days, 1.0)
    u = 2 * np.pi * np.mod(mission.revolutions * phase, 1.0)  # the argument of latitude
    inclination = np.radians(mission.inclination)
    lat = np.degrees(np.arcsin(np.sin(inclination) * np.sin(u)))
    from_node = np.degrees(np.arctan2(np.cos(inclination) * np.sin(u), np.cos(u)))
    return lat, _wrap_longitude(mission.first_longitude + from_node - 360.0 * mission.nodal_days * phase)


def sample_ground_track(mission: Mission, start_day: float, end_day: float) -> tuple[Floats, Floats, Floats]:
    """Sample the nadir points in [start, end): time in days, latitude and longitude in degrees, each (n,).

    Every cycle has the same points, and adjoining windows share none.
    """
    first, end, step = _number_points(mission, start_day, end_day)
    time = np.arange(first, end) * step
    return time, *locate_nadir(mission, time)


def locate_swath(mission: Mission, time: ArrayLike) -> tuple[Floats, Floats]:
    """Compute latitude and longitude (n, across), degrees, of the swath at times (n,), days.

    The points lie on the great circle perpendicular to the track, at the distances ``mission.across``.
    """
    days, second = np.asarray(time, np.float64), 1 / 86400
    under = unit_vectors(*locate_nadir(mission, days))
    after, before = (unit_vectors(*locate_nadir(mission, days + step)) for step in (second, -second))
    right = np.cross(after - before, under)
    right /= np.linalg.norm(right, axis=-1, keepdims=True)
    angle = np.array(mission.across)[:, None] / EARTH_RADIUS
    points = under[:, None] * np.cos(angle) + right[:, None] * np.sin(angle)
    return np.degrees(np.arcsin(points[..., 2].clip(-1, 1))), _wrap_longitude(
        np.degrees(np.arctan2(points[..., 1], points[..., 0]))
    )


def find_points_in_circle(
    mission: Mission, start_day: float, end_day: float, circle: tuple[Floats, float]
) -> tuple[Floats, Floats, Floats]:
    """Find the points of a mission, swath included, within a ``circle`` and the times [start, end).

    Returns time, latitude and longitude (n,). The circle is that of `find_bounding_circle`; some points
    around it are included. Points far from a small domain cost almost nothing.
    """
    centre, radius = circle
    first, end, step = _number_points(mission, start_day, end_day)
    coarse = np.arange(first, end, _STRIDE)
    reach = (_SPEED_RATIO * _STRIDE * mission.spacing + np.abs(mission.across).max()) / EARTH_RADIUS
    near = unit_vectors(*locate_nadir(mission, coarse * step)) @ centre >= np.cos(min(np.pi, radius + reach))
    number = (coarse[near, None] + np.arange(_STRIDE)).ravel()
    time = number[number < end] * step
    if mission.across == (0.0,):
        return time, *locate_nadir(mission, time)
    latitude, longitude = locate_swath(mission, time)
    return np.repeat(time, len(mission.across)), latitude.ravel(), longitude.ravel()


def find_bounding_circle(lat: ArrayLike, lon: ArrayLike) -> tuple[Floats, float]:
    """Find the mean direction (3,) of points in degrees, and the radius (radians) that contains them all.

    Points all around the globe give the North Pole and a radius of pi.
    """
    places = unit_vectors(np.ravel(lat), np.ravel(lon))
    middle = places.mean(axis=0)
    length = np.linalg.norm(middle)
    if length < 1e-6:  # all around the globe
        return np.array([0.0, 0.0, 1.0]), np.pi
    centre = middle / length
    return centre, float(np.arccos((places @ centre).min().clip(-1, 1)))


def find_observed_cells(
    lat: ArrayLike, lon: ArrayLike, days: ArrayLike, missions: Iterable[Mission]
) -> NDArray[np.bool_]:
    """Mark the cells (time, lat, lon) that contain a point of a mission on each date.

    ``lat`` and ``lon``, degrees, are both (lat, lon) or the two axes of a regular grid. A point belongs to
    the cell with the nearest centre. Date k lasts from ``days[k] - 0.5`` to ``days[k] + 0.5``. Raises
    `InputError` for a grid of one row or one column, whose cells have no size.
    """
    y, x = np.asarray(lat, np.float64), np.asarray(lon, np.float64)
    if y.ndim == 1:
        y, x = np.meshgrid(y, x, indexing="ij")
    if min(y.shape) < 2:
        raise InputError(
            f"the grid has {y.shape[0]} rows and {y.shape[1]} columns; simulated altimeters need at least "
            "two of each, because a cell must have a height and a width"
        )
    tree, cells, radius = _build_tree(y, x)
    domain = find_bounding_circle(y, x)
    dates = np.asarray(days, np.float64)
    observed = np.zeros((len(dates), y.size + 1), np.bool_)  # the last column is for points outside
    for mission in missions:
        for date, day in zip(observed, dates, strict=True):
            _, *points = find_points_in_circle(mission, day - 0.5, day + 0.5, domain)
            date[cells[tree.query(unit_vectors(*points), distance_upper_bound=radius)[1]]] = True
    return observed[:, :-1].reshape(len(dates), *y.shape)


def observe_along_tracks(
    field: xr.DataArray, missions: Iterable[Mission], rng: np.random.Generator
) -> xr.Dataset:
    """Simulate altimeter observations of a sea level in metres (time, lat, lon).

    The dimensions of ``field`` are in this order and have coordinates: times (`numpy.datetime64`; the first
    is time 0 of the missions) and axes in degrees, increasing or decreasing. The field is interpolated
    linearly in all three, and each point gets a normal error with the mission's ``noise``. Points outside the
    field and next to missing values are omitted.

    The layout and the names are those of the along-track files of the Copernicus Marine Service (``time``,
    ``latitude``, ``longitude``, ``sla_unfiltered``), plus the ``mission`` of each point. Raises `InputError`
    for a field without these axes.
    """
    if field.ndim != 3 or any(dim not in field.coords or field.sizes[dim] < 2 for dim in field.dims):
        raise InputError(
            f"{field.name or 'the field'} has the dimensions {field.dims}; it needs time, latitude and "
            "longitude, each with a coordinate of at least two values"
        )
    t, y, x = field.dims
    axes = field.assign_coords({x: np.degrees(np.unwrap(np.radians(field[x].to_numpy())))}).sortby([t, y, x])
    dates = pd.DatetimeIndex(axes[t].to_numpy())
    days = ((dates - dates[0]) / pd.Timedelta(days=1)).to_numpy()
    lat, lon = axes[y].to_numpy().astype(np.float64), axes[x].to_numpy().astype(np.float64)
    values = axes.to_numpy()
    if lon[-1] + 1.5 * (lon[-1] - lon[-2]) > lon[0] + 360:  # all longitudes: close the circle
        lon, values = np.append(lon, lon[0] + 360), np.concatenate([values, values[..., :1]], axis=2)
    sample = RegularGridInterpolator((days, lat, lon), values, bounds_error=False, fill_value=np.nan)
    domain = find_bounding_circle(*np.meshgrid(lat, lon))
    series = []
    for mission in missions:
        for day in np.arange(days[0], days[-1], 1.0):  # a day at a time: swaths have millions of points
            until = min(day + 1.0, days[-1])
            time, latitude, east = find_points_in_circle(mission, day, until, domain)
            longitude = lon[0] + np.mod(east - lon[0], 360.0)
            level = sample(np.stack([time, latitude, longitude], axis=-1))
            kept = np.isfinite(level)
            level = level[kept] + mission.noise * rng.standard_normal(np.count_nonzero(kept))
            names = np.full(level.size, mission.name, dtype=object)
            series.append((time[kept], latitude[kept], _wrap_longitude(longitude[kept]), level, names))
    time, latitude, longitude, level, names = (np.concatenate(part) for part in zip(*series, strict=True))
    order = np.argsort(time, kind="stable")
    times = dates[0] + pd.to_timedelta(time[order], unit="D")
    return xr.Dataset(
        {
            "sla_unfiltered": (
                "time",
                level[order],
                {"units": "m", "standard_name": "sea_surface_height_above_sea_level"},
            ),
            "mission": ("time", names[order].astype(str), {"long_name": "name of the altimeter"}),
        },
        {
            "time": times,
            "latitude": ("time", latitude[order], {"units": "degrees_north", "standard_name": "latitude"}),
            "longitude": ("time", longitude[order], {"units": "degrees_east", "standard_name": "longitude"}),
        },
    )


def _number_points(mission: Mission, start_day: float, end_day: float) -> tuple[int, int, float]:
    """Return the half-open range of point numbers in [start, end), and the spacing of points in days."""
    length = 2 * np.pi * EARTH_RADIUS * mission.revolutions
    step = mission.days / round(length / mission.spacing)  # a whole number of points in a cycle
    return int(np.ceil(start_day / step)), int(np.ceil(end_day / step)), step


def _build_tree(lat: Floats, lon: Floats) -> tuple[KDTree, NDArray[np.int64], float]:
    """Build a search tree of cells with a ring around them; return it, cell numbers and a search radius.

    Points of the ring, and points beyond the search radius, get the number of cells as their cell number. The
    ring is omitted where it coincides with the opposite side of the grid, as in a global grid.
    """
    cells = np.arange(lat.size).reshape(lat.shape)
    inside = unit_vectors(lat.ravel(), lon.ravel())
    # Odd reflection about the edge extrapolates the next row or column.
    around = unit_vectors(*(np.pad(axis, 1, mode="reflect", reflect_type="odd") for axis in (lat, lon)))
    diagonal = float(np.linalg.norm(around[1:, 1:] - around[:-1, :-1], axis=-1).max())
    beyond = np.pad(cells, 1, constant_values=lat.size) == lat.size
    ring, edge = around[beyond], inside[np.pad(cells, 1, mode="edge")[beyond]]
    alone = KDTree(inside).query(ring)[0] > 0.5 * np.linalg.norm(ring - edge, axis=1)
    places = np.concatenate([inside, ring[alone]])
    return KDTree(places), np.minimum(np.arange(len(places) + 1), lat.size), diagonal


def _wrap_longitude(lon: Floats) -> Floats:
    """Wrap degrees to [-180, 180)."""
    return np.mod(lon + 180.0, 360.0) - 180.0
