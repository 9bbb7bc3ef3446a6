"""Marine heatwaves and their categories (Hobday et al. 2016, 2018) with their probability."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..io.layout.dates import days_since_first, format_date
from .climatology import describe_references, find_leap_days, open_climatology
from .maps import FilledMaps, describe_variable, find_difference_units
from .options import Derived, DeriveOptions

SHORTEST, LONGEST_GAP = 5, 2  # days (Hobday et al. 2016, doi:10.1016/j.pocean.2015.12.014)
CATEGORIES = (
    "none",
    "moderate",
    "strong",
    "severe",
    "extreme",
)  # Hobday et al. 2018, 10.5670/oceanog.2018.205
_OFF_A_DAY = 0.1  # days

Floats = NDArray[np.floating]


def detect(above: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Find the days (time, ...) of heatwaves from those above the threshold.

    They are runs of five days or more; gaps of up to two days between two runs belong to them.
    """
    event = above & (_measure_runs(above) >= SHORTEST)
    inside = np.maximum.accumulate(event, axis=0) & np.maximum.accumulate(event[::-1], axis=0)[::-1]
    return event | (~event & inside & (_measure_runs(~event) <= LONGEST_GAP))


def _measure_runs(days: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return the length of the run that each day (time, ...) belongs to, 0 outside runs."""
    length = np.zeros(days.shape, np.int64)
    for date in range(len(days)):
        length[date] = np.where(days[date], 1 + (length[date - 1] if date else 0), 0)
    for date in range(len(days) - 2, -1, -1):
        goes_on = days[date] & days[date + 1]
        length[date] = np.where(goes_on, length[date + 1], length[date])
    return length


def derive_heatwaves(maps: FilledMaps, options: DeriveOptions) -> Derived:
    """Return the category of each day, the events and, where the file has samples, their probability."""
    _check_daily(maps)
    found, values = open_climatology(maps, options), maps.read()
    days = find_leap_days(maps.file, maps.dates)
    mean, threshold = found.mean[days], found.threshold[days]
    event = detect(values > threshold)
    excess = np.where(event, (values - mean) / np.where(threshold > mean, threshold - mean, np.nan), 0)
    category = np.where(event, np.clip(np.floor(np.nan_to_num(excess)), 1, 4), 0).astype(np.int8)
    sea = np.isfinite(threshold).any(axis=0)
    what = maps.attrs.get("long_name", maps.name)
    parts = describe_references(maps, found, days)
    parts[f"{maps.name}_heatwave_category"] = (
        maps.dims,
        np.where(sea, category, -1).astype(np.int8),
        {
            "long_name": f"category of the marine heatwave of {what}",
            "standard_name": "status_flag",
            "flag_values": np.arange(-1, len(CATEGORIES), dtype=np.int8),
            "flag_meanings": " ".join(("no_climatology", *CATEGORIES)),
            "coverage_content_type": "modelResult",
        },
    )
    probability = None
    if maps.n_samples:
        probability = np.zeros(values.shape, np.float32)
        for number in range(maps.n_samples):
            probability += detect(maps.read_sample(number) > threshold)
        probability = np.where(sea, probability / maps.n_samples, np.nan).astype(np.float32)
        parts[f"{maps.name}_heatwave_probability"] = (
            maps.dims,
            probability,
            describe_variable(
                f"probability of a marine heatwave of {what}",
                "1",
                comment=f"Share of {maps.n_samples} posterior draws; the climatology is taken as known.",
            ),
        )
    parts |= _list_events(maps, event, (values - mean, excess), probability)
    return Derived(parts, f"marine heatwaves of {what}", {"climatology_period": found.period})


def _check_daily(maps: FilledMaps) -> None:
    """Raise `InputError` for units that are none of temperature, and for dates that are not daily."""
    maps.find_factor("kelvin", "temperature", offset=True)
    dates = maps.dates
    steps = np.diff(days_since_first(dates))
    if not len(steps) or np.abs(np.median(steps) - 1) > _OFF_A_DAY:
        step = f"{np.median(steps):.3g} days apart" if len(steps) else "a single one"
        raise InputError(
            f"{maps.file}: heatwaves need daily values, and the dates are {step}; fill daily maps"
        )
    wide = np.flatnonzero(np.abs(steps - 1) > _OFF_A_DAY)
    if wide.size:
        raise InputError(
            f"{maps.file}: heatwaves need every day, and {steps[wide[0]]:.3g} days follow "
            f"{format_date(dates[wide[0]])}; fill with time_step=1"
        )


def _list_events(
    maps: FilledMaps,
    event: NDArray[np.bool_],
    strength: tuple[Floats, Floats],
    probability: NDArray[np.float32] | None,
) -> dict[str, tuple[Any, ...]]:
    """Return the events of all pixels as variables on a dimension ``event``."""
    by_pixel = np.moveaxis(event, 0, -1).reshape(-1, len(event))
    edges = np.diff(np.pad(by_pixel.astype(np.int8), ((0, 0), (1, 1))), axis=1)
    pixel, start = np.nonzero(edges == 1)
    end = np.nonzero(edges == -1)[1] - 1
    row, column = np.unravel_index(pixel, event.shape[1:])
    anomaly, excess = (np.moveaxis(part, 0, -1).reshape(by_pixel.shape) for part in strength)
    peak = np.array(
        [a + np.argmax(anomaly[p, a : b + 1]) for p, a, b in zip(pixel, start, end, strict=True)], int
    )
    total = np.array([anomaly[p, a : b + 1].sum() for p, a, b in zip(pixel, start, end, strict=True)], float)
    duration = end - start + 1
    units, more = maps.units or "1", find_difference_units(maps)
    worst = np.clip(np.floor(np.nan_to_num(excess[pixel, peak])), 1, 4).astype(np.int8)
    dates, content = maps.dataset[maps.layout.time].to_numpy(), {"coverage_content_type": "modelResult"}
    named: dict[str, tuple[Any, dict[str, Any]]] = {
        "event_latitude": (
            maps.lat[row],
            describe_variable("latitude of the event", "degrees_north", "latitude"),
        ),
        "event_longitude": (
            maps.lon[column],
            describe_variable("longitude of the event", "degrees_east", "longitude"),
        ),
        "event_start": (dates[start], {"long_name": "first day of the event"} | content),
        "event_end": (dates[end], {"long_name": "last day of the event"} | content),
        "event_peak": (dates[peak], {"long_name": "day of the largest anomaly"} | content),
        "event_duration": (duration.astype(np.int32), describe_variable("duration of the event", "days")),
        "event_intensity_max": (
            anomaly[pixel, peak].astype(np.float32),
            describe_variable("largest anomaly of the event", units, **more),
        ),
        "event_intensity_mean": (
            (total / np.maximum(duration, 1)).astype(np.float32),
            describe_variable("mean anomaly of the event", units, **more),
        ),
        "event_intensity_cumulative": (
            total.astype(np.float32),
            describe_variable("cumulative anomaly of the event", f"{units} days", **more),
        ),
        "event_category": (
            worst,
            {
                "long_name": "category of the event at its peak",
                "flag_values": np.arange(1, len(CATEGORIES), dtype=np.int8),
                "flag_meanings": " ".join(CATEGORIES[1:]),
            }
            | content,
        ),
    }
    if probability is not None:
        share = np.moveaxis(probability, 0, -1).reshape(by_pixel.shape)[pixel, peak]
        named["event_probability"] = (
            share,
            describe_variable("probability of a heatwave on the day of the largest anomaly", "1"),
        )
    return {name: ("event", values, attrs) for name, (values, attrs) in named.items()}
