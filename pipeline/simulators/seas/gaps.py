"""Gaps of synthetic observations: clouds, swaths, tracks of altimeters, radars, lost pixels."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_dilation

from .domain import (
    Booleans,
    Domain,
    Parameters,
    draw_log_uniform,
    draw_red_noise,
    evolve,
    make_amplitude,
    surround,
)

SHARE = 0.05, 0.97  # of the sea that is missing, over all dates
FEWEST, FEWEST_DATES = 30, 3  # values on so many dates at least
_ATTEMPTS = 40
_EXTREME = 0.97  # the largest and, less 1, the smallest cover of one date


def draw_gaps(rng: np.random.Generator, domain: Domain, kind: str) -> tuple[Booleans, Parameters]:
    """Draw what is missing (time, lat, lon) of the sea, True on land too, of one of the `KINDS`.

    Between 5% and 97% of the sea is missing, and at least `FEWEST` values are left on `FEWEST_DATES` dates.
    Raises KeyError for an unknown kind.
    """
    for _ in range(_ATTEMPTS):
        missing, drawn = KINDS[kind](rng, domain)
        extra = {}
        if rng.random() < 0.25:
            extra["never"] = share = draw_log_uniform(rng, 0.01, 0.15)
            missing = missing | lose_places(rng, domain, share)
        if rng.random() < 0.3:
            extra["dropout"] = share = draw_log_uniform(rng, 0.005, 0.2)
            missing = missing | (rng.random(domain.shape) < share)
        if rng.random() < 0.1 and domain.shape[0] > 10:
            missing = missing | (rng.random((domain.shape[0], 1, 1)) < 0.15)  # whole dates
        if is_usable(missing, domain.sea):
            return missing | ~domain.sea, {**drawn, **extra, "gaps": kind}
    missing = draw_clouds(rng, domain, cover=0.5)[0]
    return missing | ~domain.sea, {"gaps": "clouds", "cover": 0.5}


def is_usable(missing: Booleans, sea: Booleans) -> bool:
    """Whether the share missing is within `SHARE`, and enough is left on enough dates."""
    hidden = missing[:, sea]
    enough = int(((~hidden).sum(axis=1) >= FEWEST).sum())
    return SHARE[0] <= hidden.mean() <= SHARE[1] and enough >= FEWEST_DATES


def draw_clouds(
    rng: np.random.Generator, domain: Domain, cover: float | None = None
) -> tuple[Booleans, dict[str, float | str]]:
    """Draw clouds that move and change, and cover more of the sea on some dates than on others.

    ``cover`` is their typical share, drawn if None. Regions where clouds persist, and broad rims that a
    cautious cloud screen adds, come in some.
    """
    dates, rows, columns = domain.shape
    waves = surround(rows, columns)
    slope, longest = rng.uniform(1.2, 2.8), draw_log_uniform(rng, 12, 150)
    amplitude = make_amplitude(waves, slope, longest, rng.uniform(1, 2.5), rng.uniform(0, np.pi))
    persistence = float(rng.choice([0.1, draw_log_uniform(rng, 0.3, 4)]))  # steps
    drift = rng.normal(0, 5, 2)
    field = evolve(rng, waves, amplitude, persistence, domain.steps, drift)[:, :rows, :columns]
    region = float(rng.choice([0.0, rng.uniform(0.3, 1.5)]))
    field = field + region * draw_red_noise(rng, rows, columns, 2.5, 100)
    middle = cover if cover is not None else 1 / (1 + np.exp(-rng.normal(0.3, 1.2)))
    logit = np.log(middle / (1 - middle)) + evolve_series(rng, dates, rng.uniform(0, 0.8)) * rng.uniform(
        0.3, 2.5
    )
    shares = np.clip(1 / (1 + np.exp(-logit)), 1 - _EXTREME, _EXTREME)
    missing = np.stack(
        [one > np.quantile(one[domain.sea], 1 - share) for one, share in zip(field, shares, strict=True)]
    )
    rim = int(rng.choice([0, 0, 0, 1, 2]))
    if rim and middle < 0.7:
        missing = binary_dilation(missing, np.ones((1, 3, 3), bool), iterations=rim)
    return missing, {
        "cloud_slope": slope,
        "cloud_size": longest,
        "cloud_memory": persistence,
        "cover": float(middle),
        "region": region,
        "rim": rim,
    }


def draw_swaths(rng: np.random.Generator, domain: Domain) -> tuple[Booleans, dict[str, float | str]]:
    """Draw what lies between swaths, with clouds over half of them."""
    widest = max(domain.shape[1:])
    spacing = rng.uniform(0.3, 1.6) * widest
    width = rng.uniform(0.3, 0.85) * spacing
    middle = float(rng.choice([0.0, 0.15])) * width  # which a nadir gap leaves out
    missing = ~pass_over(rng, domain, spacing, width, middle)
    drawn: dict[str, float | str] = {"spacing": spacing, "width": width}
    if rng.random() < 0.5:
        clouds, more = draw_clouds(rng, domain, cover=rng.uniform(0.1, 0.5))
        return missing | clouds, {**more, **drawn}
    return missing, drawn


def draw_tracks(rng: np.random.Generator, domain: Domain) -> tuple[Booleans, dict[str, float | str]]:
    """Draw what lies between the tracks of one to four altimeters, gridded."""
    seen = np.zeros(domain.shape, bool)
    missions, spacings = int(rng.integers(1, 5)), []
    for _ in range(missions):
        spacings.append(draw_log_uniform(rng, 9, 50) * np.sqrt(missions))
        seen |= pass_over(rng, domain, spacings[-1], rng.uniform(1.0, 2.0), 0.0)
    return ~seen, {"missions": missions, "spacing": float(np.mean(spacings))}


def pass_over(rng: np.random.Generator, domain: Domain, spacing: float, width: float, gap: float) -> Booleans:
    """Draw what a satellite sees: ascending and descending stripes that move from date to date.

    Stripes are ``width`` cells wide and ``spacing`` apart, without the ``gap`` in their middle; they return
    after a cycle of some dates.
    """
    _, rows, columns = domain.shape
    y, x = np.mgrid[:rows, :columns]
    tilt, cycle = rng.uniform(0.1, 0.9), rng.uniform(1.5, 12)
    first = dict(zip((1, -1), rng.uniform(0, spacing, 2), strict=True))
    both = bool(rng.random() < 0.7)
    seen = np.zeros(domain.shape, bool)
    for number, step in enumerate(domain.steps):
        signs = (1, -1) if both else (1,) if int(step) % 2 else (-1,)
        for sign in signs:
            across = x * np.cos(tilt) + sign * y * np.sin(tilt) + first[sign] + spacing * step / cycle
            apart = np.abs(across % spacing - spacing / 2)
            seen[number] |= (apart <= width / 2) & (apart >= gap / 2)
    return seen


def draw_outages(rng: np.random.Generator, domain: Domain) -> tuple[Booleans, dict[str, float | str]]:
    """Draw what coastal radars miss: beyond a reach that varies, at times half of the sea, at times all."""
    dates, rows, columns = domain.shape
    y, x = np.mgrid[:rows, :columns]
    land = np.argwhere(~domain.sea)
    sides = np.array([[rng.uniform(0, rows), -1], [-1, rng.uniform(0, columns)]])
    station = land[rng.integers(len(land))] if len(land) else sides[rng.integers(2)]
    distance = np.hypot(y - station[0], x - station[1])
    farthest = float(distance[domain.sea].max())
    reach = rng.uniform(0.6, 1.15) * farthest
    varying = evolve_series(rng, dates, rng.uniform(0.3, 0.95)) * rng.uniform(0.03, 0.25)
    if domain.step < 0.3:  # interference by night
        varying = varying + rng.uniform(0, 0.15) * np.cos(2 * np.pi * domain.days)
    waves = surround(rows, columns)
    amplitude = make_amplitude(waves, rng.uniform(1.2, 2.2), draw_log_uniform(rng, 6, 40))
    ragged = evolve(rng, waves, amplitude, rng.uniform(0.3, 6), domain.steps)[:, :rows, :columns]
    edge = reach * (1 + varying[:, None, None]) * (1 + rng.uniform(0.02, 0.2) * ragged)
    missing = distance > edge
    lost, halves = rng.choice([0.0, rng.uniform(0.02, 0.25)]), rng.choice([0.0, rng.uniform(0.05, 0.35)])
    missing |= draw_runs(rng, dates, lost)[:, None, None]
    angle = rng.uniform(0, np.pi)
    side = (y - rows / 2) * np.cos(angle) + (x - columns / 2) * np.sin(angle) > rng.normal(0, 0.15 * rows)
    missing |= draw_runs(rng, dates, halves)[:, None, None] & side
    return missing, {"reach": reach / farthest, "dates_lost": float(lost), "halves_lost": float(halves)}


def draw_runs(rng: np.random.Generator, dates: int, share: float) -> Booleans:
    """Draw (time,) runs of dates that together are about ``share`` of all."""
    lost = np.zeros(dates, bool)
    while lost.mean() < share:
        first = rng.integers(dates)
        lost[first : first + 1 + rng.geometric(0.3)] = True
    return lost


def lose_places(rng: np.random.Generator, domain: Domain, share: float) -> Booleans:
    """Draw places (lat, lon), about ``share`` of all, that are never observed: patches, often at a coast."""
    _, rows, columns = domain.shape
    field = draw_red_noise(rng, rows, columns, 1.5, 10)
    if rng.random() < 0.5:
        field = field + 1.5 * binary_dilation(~domain.sea, iterations=2)
    return field > np.quantile(field[domain.sea], 1 - share)


def evolve_series(rng: np.random.Generator, dates: int, kept: float) -> NDArray[np.float64]:
    """Draw a series (time,) of variance 1 whose neighbours have the correlation ``kept``."""
    series = rng.standard_normal(dates)
    for k in range(1, dates):
        series[k] = kept * series[k - 1] + np.sqrt(1 - kept**2) * series[k]
    return series


KINDS: Mapping[str, Callable[[np.random.Generator, Domain], tuple[Booleans, dict[str, float | str]]]] = {
    "clouds": draw_clouds,
    "swaths": draw_swaths,
    "tracks": draw_tracks,
    "outages": draw_outages,
}
