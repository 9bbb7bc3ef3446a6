"""Draw synthetic seas, each from its seed: the truth, its coasts, and observations with errors and gaps."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from zlib import crc32

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from ...errors import InputError
from . import coasts, gaps
from .concentrations import draw_concentrations
from .currents import draw_currents
from .domain import Booleans, Domain, Parameters, draw_log_uniform, standardise
from .errors import draw_errors
from .fronts import draw_fronts
from .gaussian import draw_gaussian
from .gyres import draw_gyres
from .quasigeostrophic import draw_heights
from .seasons import draw_season
from .tracers import draw_tracer

Family = Callable[[np.random.Generator, Domain], tuple[NDArray[np.floating], Parameters]]

FAMILIES: Mapping[str, Family] = {
    "gaussian": draw_gaussian,
    "currents": draw_currents,
    "fronts": draw_fronts,
    "tracers": draw_tracer,
    "quasigeostrophic": draw_heights,
    "gyres": draw_gyres,
    "concentrations": draw_concentrations,
}

_HOUR, _MONTH = 1 / 24, 30.4375  # days
_KM_PER_DEGREE = 111.195


@dataclass(frozen=True)
class _Habits:
    """What is usual where the members of a family are observed."""

    steps: tuple[float, ...]  # days between dates
    cells: tuple[float, float]  # km
    gaps: Mapping[str, float]  # how often each kind comes
    dates: tuple[int, int] = (8, 40)


_CLOUDY = {"clouds": 0.75, "swaths": 0.15, "tracks": 0.1}
_ALTIMETERS = {"clouds": 0.5, "swaths": 0.2, "tracks": 0.3}
_RADARS = {"outages": 0.85, "clouds": 0.15}
_COLOUR = {"clouds": 0.85, "swaths": 0.15}
_MIXED = {"clouds": 0.6, "swaths": 0.15, "tracks": 0.1, "outages": 0.15}
_ANY = _Habits((_HOUR, 3 * _HOUR, 0.25, 0.5, 1, 1, 1, 2, 5, 8, 10, _MONTH), (0.3, 30), _CLOUDY)
_HABITS = {
    "gaussian": _Habits((_HOUR, 0.25, 0.5, 1, 1, 1, 3, 8, 10, _MONTH), (0.3, 30), _MIXED),
    "currents": _Habits((0.5 * _HOUR, _HOUR, _HOUR, 3 * _HOUR), (0.3, 6), _RADARS),
    "quasigeostrophic": _Habits((1, 1, 2, 5, 7, 10), (3, 30), _ALTIMETERS, (8, 20)),
    "gyres": _Habits((1, 1, 2, 5, 7, 10, _MONTH), (3, 30), _ALTIMETERS),
    "concentrations": _Habits((1, 1, 4, 8, _MONTH, _MONTH), (0.3, 15), _COLOUR),
}


def draw_sea(seed: int, family: str | None = None, families: Sequence[str] | None = None) -> xr.Dataset:
    """Draw the sea of a ``seed``: of one ``family``, or else of one among ``families`` (all, if None).

    The dataset has ``observed`` (time, lat, lon) with errors, NaN in gaps and on land, ``truth`` (time, lat,
    lon) without errors, NaN on land, and ``mask`` (lat, lon), 1 at sea. Its attributes are what was drawn.
    The same seed and family give the same numbers. Raises `InputError` for an unknown family.
    """
    names = list(families) if families is not None else list(FAMILIES)
    for name in [*names, *([family] if family is not None else [])]:
        if name not in FAMILIES:
            raise InputError(f"there is no family {name!r} of seas; choose among {', '.join(FAMILIES)}")
    if family is None:
        family = str(np.random.default_rng([seed, 0]).choice(names))
    rng = np.random.default_rng([seed, crc32(family.encode())])
    habits = _HABITS.get(family, _ANY)
    domain, dates, drawn = draw_domain(rng, habits)
    truth, more = FAMILIES[family](rng, domain)
    truth = standardise(truth, domain.sea)
    season, seasonal = draw_season(rng, domain)
    truth = standardise(truth + season, domain.sea)
    kind = str(rng.choice(list(habits.gaps), p=list(habits.gaps.values())))
    missing, hidden = gaps.draw_gaps(rng, domain, kind)
    errors, erring = draw_errors(rng, domain, missing, clouded="cover" in hidden)
    logarithms = family == "concentrations"
    positive = logarithms and bool(rng.random() < 0.5)
    mean, spread = _draw_units(rng, logarithms)
    fields = [mean + spread * field for field in (truth + errors, truth)]
    if positive:
        fields = [10.0**field for field in fields]
    attrs = {**drawn, **more, **seasonal, **hidden, **erring, "mean": mean, "spread": spread}
    attrs |= {"positive": float(positive), "missing": float(missing[:, domain.sea].mean())}
    dataset = _assemble(rng, domain, dates, fields, missing, positive)
    plain = {key: value if isinstance(value, str) else float(value) for key, value in attrs.items()}
    return dataset.assign_attrs(plain, family=family, seed=seed)


def draw_domain(
    rng: np.random.Generator, habits: _Habits = _ANY
) -> tuple[Domain, pd.DatetimeIndex, Parameters]:
    """Draw size, coast, cell and dates; a third of the domains are small."""
    small = bool(rng.random() < 1 / 3)
    rows, columns = (int(size) for size in (rng.integers(15, 41, 2) if small else rng.integers(64, 129, 2)))
    step = float(rng.choice(habits.steps))
    number = int(rng.integers(habits.dates[0], habits.dates[1] + 1))
    if step > 25:
        number = int(rng.integers(28, 61 if small else 41))
    dates, spacing = draw_dates(rng, step, number)
    coast = str(rng.choice(list(coasts.KINDS), p=(0.25, 0.2, 0.15, 0.15, 0.1, 0.15)))
    sea, share = coasts.draw_coast(rng, rows, columns, coast)
    days = (dates - dates[0]) / pd.Timedelta(days=1)
    cell = draw_log_uniform(rng, *habits.cells)
    domain = Domain(sea, cell, step, days.to_numpy(np.float64))
    return domain, dates, {"cell": cell, "step": step, "dates": spacing, "coast": coast, "land": share}


def draw_dates(rng: np.random.Generator, step: float, number: int) -> tuple[pd.DatetimeIndex, str]:
    """Draw ``number`` dates every ``step`` days, regular, with some left out, or jittered; return which."""
    start = pd.Timestamp("1993-01-01") + pd.Timedelta(hours=int(rng.integers(30 * 365 * 24)))
    spacing = str(rng.choice(["regular", "left out", "jittered"], p=(0.6, 0.25, 0.15)))
    if step > 25:
        spacing = "regular" if spacing == "jittered" else spacing
        dates = pd.date_range(start.normalize(), periods=number, freq="MS")
    else:
        steps = np.arange(number, dtype=np.float64)
        if spacing == "jittered":
            steps[1:] += rng.uniform(-0.3, 0.3, number - 1)
        dates = start + pd.to_timedelta(np.round(steps * step * 86400), unit="s")
    if spacing == "left out":
        kept = rng.random(number) > rng.uniform(0.1, 0.4)
        kept[[0, -1]] = kept[rng.choice(number, 8, replace=False)] = True
        dates = dates[kept]
    return dates.as_unit("ns"), spacing


def _draw_units(rng: np.random.Generator, logarithms: bool) -> tuple[float, float]:
    """Draw mean and standard deviation of a sea in its units; those of logarithms are decades."""
    if logarithms:
        return rng.uniform(-1.2, 0.8), draw_log_uniform(rng, 0.1, 0.6)
    spread = draw_log_uniform(rng, 0.02, 4)
    return float(rng.choice([0.0, 1.0])) * rng.uniform(-20, 60) * spread, spread


def _assemble(
    rng: np.random.Generator,
    domain: Domain,
    dates: pd.DatetimeIndex,
    fields: Sequence[NDArray[np.floating]],
    missing: Booleans,
    positive: bool,
) -> xr.Dataset:
    """Return the dataset of ``fields``, observations and truth, around a place that is drawn."""
    _, rows, columns = domain.shape
    height = rows * domain.cell / _KM_PER_DEGREE
    middle = rng.uniform(-1, 1) * (70 - height / 2)
    lat = middle + (np.arange(rows) - (rows - 1) / 2) * domain.cell / _KM_PER_DEGREE
    wide = domain.cell / (_KM_PER_DEGREE * np.cos(np.radians(middle)))
    lon = rng.uniform(-180, 180 - wide * columns) + wide * np.arange(columns)
    dims = ("time", "lat", "lon")
    about = {"units": "1", "long_name": "synthetic sea"}
    if positive:
        about = {"units": "mg m-3", "standard_name": "mass_concentration_of_chlorophyll_a_in_sea_water"}
    observed, truth = fields
    return xr.Dataset(
        {
            "observed": (dims, np.where(missing, np.nan, observed).astype(np.float32), about),
            "truth": (dims, np.where(domain.sea, truth, np.nan).astype(np.float32), about),
            "mask": (
                dims[1:],
                domain.sea.astype(np.int8),
                {"flag_values": np.array([0, 1], np.int8), "flag_meanings": "land sea"},
            ),
        },
        {
            "time": ("time", dates, {"standard_name": "time"}),
            "lat": ("lat", lat, {"standard_name": "latitude", "units": "degrees_north"}),
            "lon": ("lon", lon, {"standard_name": "longitude", "units": "degrees_east"}),
        },
    )
