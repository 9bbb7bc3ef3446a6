"""Small fields of our own making, with what is under their clouds."""

from __future__ import annotations

import numpy as np
import xarray as xr
from oceanfill.pipeline.io.field import Field, open_field
from oceanfill.pipeline.simulators.radar import Station, observe_radials
from oceanfill.pipeline.simulators.seas.domain import Domain
from scipy.ndimage import gaussian_filter


def cloudy_dataset(dates: int = 24, rows: int = 20, columns: int = 24, seed: int = 0) -> xr.Dataset:
    """Smooth temperatures ``sst`` under smooth clouds, a sea mask, and the ``truth``.

    About half of the sea is hidden; noise 0.02; the first column and a corner are land.
    """
    rng = np.random.default_rng(seed)
    truth = 15 + 3 * unit(gaussian_filter(rng.standard_normal((dates, rows, columns)), (2, 3, 3)))
    clouds = unit(gaussian_filter(rng.standard_normal((dates, rows, columns)), (0.8, 3, 3)))
    sea = np.ones((rows, columns), bool)
    sea[:, 0] = sea[:4, :5] = False
    seen = np.where(sea & (clouds < 0), truth + 0.02 * rng.standard_normal(truth.shape), np.nan)
    dims = ("time", "lat", "lon")
    return xr.Dataset(
        {
            "sst": (dims, seen.astype(np.float32), {"units": "degree_Celsius"}),
            "mask": (dims[1:], sea.astype(np.int8), {"flag_values": [0, 1], "flag_meanings": "land sea"}),
        },
        {
            "time": np.datetime64("2020-01-01", "ns") + np.arange(dates) * np.timedelta64(1, "D"),
            "lat": 35 + 0.1 * np.arange(rows),
            "lon": -6 + 0.1 * np.arange(columns),
        },
    ).assign(truth=(dims, np.where(sea, truth, np.nan)))


def cloudy_field(**options: int) -> Field:
    """The same as a `Field`."""
    return open_field(cloudy_dataset(**options), variable="sst")


def plain_values(field: Field) -> np.ndarray:
    """The values of a field with what was taken off them, in double precision."""
    return field.values + np.float64(field.offset)


def eddies(dates: int = 16, rows: int = 18, columns: int = 20, seed: int = 0) -> xr.Dataset:
    """A current ``u`` and ``v``, m/s, of a stream function of random eddies that drift; a coast in the south.

    Cells of about 3 km, dates six hours apart; 0.2 m/s each on average; no divergence but by the grid.
    """
    rng = np.random.default_rng(seed)
    psi = unit(gaussian_filter(rng.standard_normal((dates, rows, columns)), (4, 4, 4), mode="wrap"))
    v, u = np.gradient(psi, axis=2), -np.gradient(psi, axis=1)
    scale = 0.2 / np.sqrt((u**2 + v**2).mean() / 2)
    sea = np.ones((rows, columns), bool)
    sea[0] = sea[:3, :4] = False
    dims = ("time", "lat", "lon")
    parts = {name: (dims, np.where(sea, scale * part, np.nan)) for name, part in (("u", u), ("v", v))}
    time = np.datetime64("2024-05-01", "ns") + np.arange(dates) * np.timedelta64(6, "h")
    return xr.Dataset(
        parts, {"time": time, "lat": 43 + 0.027 * np.arange(rows), "lon": 5 + 0.037 * np.arange(columns)}
    )


def seen_by_radars(current: xr.Dataset, noise: float = 0.03, seed: int = 0) -> xr.Dataset:
    """The radial velocities of two stations of ``eddies``, south and west of it."""
    stations = [Station(43.0, 5.5, 70, noise), Station(43.3, 4.95, 60, noise)]
    return observe_radials(current, stations, np.random.default_rng(seed))


def unit(values: np.ndarray) -> np.ndarray:
    """Without mean, of variance one."""
    return (values - values.mean()) / values.std()


def open_water(dates: int = 12, rows: int = 40, columns: int = 48, step: float = 1.0) -> Domain:
    """A domain of synthetic seas without land, 2 km and ``step`` days apart."""
    return Domain(np.ones((rows, columns), bool), 2.0, step, step * np.arange(dates))
