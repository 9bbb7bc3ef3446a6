"""Simulated coastal high-frequency radars, which measure the current along the line of sight."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from scipy.special import ndtri

from ..io.layout.positions import EARTH_RADIUS, unit_vectors

_MISSING = (0.15, 0.75)  # fraction of missing values next to the radar and at its reach
_GAP_SCALES = (1.5, 3.0, 3.0)  # dates, rows and columns over which gaps are correlated


@dataclass(frozen=True)
class Station:
    """A radar on the coast."""

    lat: float  # degrees
    lon: float
    reach: float  # km
    noise: float = 0.05  # m/s, standard deviation of an observation's error


def compute_bearing(
    station: Station, lat: NDArray[np.floating], lon: NDArray[np.floating]
) -> NDArray[np.float64]:
    """Compute the direction away from the station along the great circle, degrees clockwise from north."""
    (y, x), (y0, x0) = np.radians([lat, lon]), np.radians([station.lat, station.lon])
    east = np.sin(x0 - x) * np.cos(y0)
    north = np.cos(y) * np.sin(y0) - np.sin(y) * np.cos(y0) * np.cos(x0 - x)
    return np.degrees(np.arctan2(-east, -north)) % 360


def observe_radials(current: xr.Dataset, stations: Sequence[Station], rng: np.random.Generator) -> xr.Dataset:
    """Simulate ``radial`` velocities (time, station, lat, lon), m/s, positive away from the radar.

    ``current`` has ``u`` and ``v`` (time, lat, lon), m/s, missing on land. Observations have the noise of
    their station, and gaps that become more frequent with distance. The result also has their ``direction``.
    """
    lat, lon = np.meshgrid(current.lat, current.lon, indexing="ij")
    u, v = (current[name].transpose("time", "lat", "lon").to_numpy() for name in ("u", "v"))
    radial, direction = [], []
    for station in stations:
        away = compute_bearing(station, lat, lon)
        angle = np.radians(away)
        between = unit_vectors(lat, lon) @ unit_vectors(station.lat, station.lon)
        distance = EARTH_RADIUS * np.arccos(between.clip(-1, 1)) / station.reach  # 1 at the reach
        smooth = gaussian_filter(rng.standard_normal(u.shape), _GAP_SCALES, mode="wrap")
        missing = _MISSING[0] + (_MISSING[1] - _MISSING[0]) * distance.clip(max=1) ** 2
        observed = ((smooth - smooth.mean()) / smooth.std() > ndtri(missing)) & (distance <= 1)
        noisy = u * np.sin(angle) + v * np.cos(angle) + station.noise * rng.standard_normal(u.shape)
        radial.append(np.where(observed, noisy, np.nan))
        direction.append(away)
    away_from = "away_from_instrument"
    return xr.Dataset(
        {
            "radial": (
                ("time", "station", "lat", "lon"),
                np.stack(radial, 1).astype(np.float32),
                {"units": "m s-1", "standard_name": f"radial_sea_water_velocity_{away_from}"},
            ),
            "direction": (
                ("station", "lat", "lon"),
                np.stack(direction),
                {"units": "degree", "standard_name": f"direction_of_radial_vector_{away_from}"},
            ),
        },
        {"time": current.time, "lat": current.lat, "lon": current.lon},
    )
