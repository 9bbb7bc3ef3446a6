"""Along-track files: Copernicus Marine's L3 sea level, or any CF series of points."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from dataclasses import field as dataclass_field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from ...errors import InputError
from ..field import describe_treatment
from ..layout.coordinates import Layout, find_track, find_track_layouts, list_names
from ..layout.dates import in_period
from ..opening import Opening, make_opening, swap_corners
from ..outliers import REACH, describe_outliers, learn_screen
from ..providers.altimetry import find_least_noise
from ..providers.missing import warn_of_losses
from ..providers.quality import took_all
from ..providers.swaths import find_swath, flatten_swath, have_same_positions
from ..providers.units import require_conversion
from ..reading import Inputs, Region, drop_undeclared, list_inputs, open_input, read_part
from ..workers import start_workers

_JUMP = 10  # length of a gap that ends a track, in sampling intervals
_COPERNICUS = re.compile(r"^(dt|nrt)_[a-z]+_(?P<mission>[a-z0-9]+)_")  # dt_global_j3_phy_l3_20190101_...
_NORMAL = 0.6745  # median of |x| of a normal variable, in standard deviations
_FEWEST_NOISE = 50  # second differences that are needed to estimate the noise
_SHARE_OF_SPREAD = 0.1  # noise relative to the spread of the values where it cannot be estimated


@dataclass(frozen=True)
class Tracks:
    """Values at points (n,), one mission after another, each sorted by time."""

    name: str
    time: NDArray[np.datetime64]
    lat: NDArray[np.float64]  # degrees north
    lon: NDArray[np.float64]  # degrees east, in either convention
    value: NDArray[np.float64]
    error_variance: NDArray[np.float64]  # in units of the values squared
    mission: NDArray[np.int64]  # index into `missions`
    track: NDArray[np.int64]  # number of the track or of the pass of a swath, counted over all missions
    missions: tuple[str, ...]
    attrs: dict[Any, Any]  # of the variable
    inputs: tuple[str, ...] = ()  # names of the files, without their folders
    oddities: tuple[str, ...] = ()
    treatment: tuple[str, ...] = ()  # what was done to the values of the input, in words
    lost: Mapping[str, int] = dataclass_field(default_factory=dict)  # values taken as missing, by reason
    given: int = 0  # values of the input that are valid and not taken as missing

    def __len__(self) -> int:
        return len(self.value)

    @property
    def file(self) -> str:
        """The name of the first file, for messages."""
        return self.inputs[0] if self.inputs else "points"

    def at(self, which: NDArray[Any]) -> Tracks:
        """Return the points selected by a mask or indices."""
        series = {part.name: getattr(self, part.name) for part in fields(self)}
        return replace(
            self, **{name: held[which] for name, held in series.items() if isinstance(held, np.ndarray)}
        )

    def of(self, mission: str) -> NDArray[np.bool_]:
        """Return a mask (n,) of the points of a mission. Raises `InputError` for an unknown mission."""
        if mission not in self.missions:
            raise InputError(f"no mission is called {mission!r}; choose among {list_names(self.missions)}")
        return self.mission == self.missions.index(mission)


def is_along_track(inputs: Inputs, group: str | None = None) -> bool:
    """Whether the inputs hold points along tracks, or swaths, instead of a field."""
    entries = list_inputs(inputs)
    with open_input(entries[0], group) as (_, dataset):
        if len(entries) > 1 and find_swath(dataset) is not None:
            with open_input(entries[1], group) as (_, other):
                if have_same_positions(dataset, other):
                    return False
        return bool(find_track_layouts(flatten_swath(dataset)))


def read_tracks(
    inputs: Inputs,
    opening: Opening | None = None,
    *,
    cluster: str | None = None,
    n_workers: int = 1,
    **options: Any,
) -> Tracks:
    """Read along-track files (paths, globs) or a dataset with ``n_workers`` processes or a dask ``cluster``.

    The mission is named by a variable ``mission``, ``platform`` or ``satellite`` on the points, or else by
    the global attribute ``platform``, ``mission`` or ``mission_name``, or else by the file name. A new track
    begins after a gap of more than 10 sampling intervals of the mission. Values that are missing, invalid,
    outside region or period, or repeated are left out and counted in ``oddities``; what their quality flags
    exclude, as on grids, is counted in ``treatment``. ``error_variable`` and ``observation_error`` are
    standard errors; with neither, the noise of each mission is estimated from second differences along its
    tracks, and is at least that of `providers.altimetry.FILTERED`. The ``options`` are those of `Opening`.

    Raises `InputError` for files without usable points.
    """
    opening = make_opening(opening, options)
    entries = list_inputs(inputs)
    with start_workers(cluster, min(n_workers, len(entries))) as mapped:
        parts = list(mapped(partial(_read_file, opening), entries))
    first = parts[0]
    strange = next((part for part in parts if part.name != first.name), None)
    if strange is not None:
        raise InputError(
            f"{strange.inputs[0]}: its variable is {strange.name} but that of {first.inputs[0]} is "
            f"{first.name}; choose one with variable="
        )
    parts = [_convert(part, first) for part in parts]
    missions = tuple(dict.fromkeys(name for part in parts for name in part.missions))
    number_of = [np.array([missions.index(name) for name in part.missions], np.int64) for part in parts]
    mission = np.concatenate([table[part.mission] for table, part in zip(number_of, parts, strict=True)])
    joined = {
        name: np.concatenate([getattr(part, name) for part in parts])
        for name in ("time", "lat", "lon", "value", "error_variance")
    }
    # A pass over a swath is one track; along other tracks only the gaps are known.
    track = np.concatenate([np.where(part.track > 0, k + 1, 0) for k, part in enumerate(parts)])
    oddities = _add_counts([oddity for part in parts for oddity in part.oddities])
    inputs_read = tuple(name for part in parts for name in part.inputs)
    counts = sum((Counter(part.lost) for part in parts), Counter())
    texts = [text for part in parts for text in part.treatment]
    given = sum(part.given for part in parts)
    treatment = describe_treatment(texts, counts, given)
    whole = replace(first, **joined, mission=mission, track=track, missions=missions)
    whole = replace(whole, inputs=inputs_read, treatment=treatment)
    order = np.lexsort((whole.time, mission))
    whole = whole.at(order)
    again = np.zeros(len(whole), bool)
    again[1:] = (np.diff(whole.mission) == 0) & (np.diff(whole.time) == np.timedelta64(0))
    again[1:] &= (np.diff(whole.lat) == 0) & (np.diff(whole.lon) == 0)
    if again.any():
        oddities.append(f"points that occur more than once: {np.count_nonzero(again)}")
        whole = whole.at(~again)
    if not len(whole):
        oddities = [*(f"{why}: {count}" for why, count in counts.items()), *oddities]
        files = first.inputs[0] + (f" and {len(parts) - 1} more" if len(parts) > 1 else "")
        if opening.region is not None:
            anywhere = _read_file(replace(opening, region=None), entries[0])
            lat0, lat1, lon0, lon1 = opening.region
            if _is_inside(anywhere.lat, anywhere.lon, (lon0, lon1, lat0, lat1)).any():
                raise InputError(
                    f"{files}: no point lies in {lat0:g} to {lat1:g} N, {lon0:g} to {lon1:g} E; latitude "
                    f"comes first, perhaps region=({swap_corners(opening.region)})"
                )
        raise InputError(
            f"{files}: no value of {first.name} is usable ({'; '.join(oddities) or 'there are none'}); "
            + (took_all(list(counts)) or "choose another region, period or variable")
        )
    oddities += warn_of_losses(counts, given)
    whole = replace(whole, track=_number_tracks(whole))
    if opening.outliers != "keep":
        whole = _drop_outliers(whole)
    if opening.error_variable is None:
        if opening.observation_error is None:
            noise = _estimate_noise(whole)
            estimates = (f"{name} {sigma:.3g}" for name, sigma in zip(missions, noise, strict=True))
            oddities.append(f"standard error, estimated from noise along the tracks: {list_names(estimates)}")
            least = find_least_noise(whole.name, str(whole.attrs.get("units", "m")))
            if least is not None and (noise < least[0]).any():
                raised = [name for name, sigma in zip(missions, noise, strict=True) if sigma < least[0]]
                noise = noise.clip(min=least[0])
                oddities.append(
                    f"{whole.name} is filtered and no longer shows its noise: the standard error of "
                    f"{list_names(raised)} is raised to {least[0]:.3g} ({least[1]}); observation_error= "
                    "sets another"
                )
        else:
            noise = np.full(len(missions), opening.observation_error)
        whole = replace(whole, error_variance=noise[whole.mission] ** 2)
    return replace(whole, oddities=tuple(oddities))


def _drop_outliers(tracks: Tracks) -> Tracks:
    """Return the points without those whose values are unlike the ones before and after them."""
    breaks = np.concatenate([[0], np.cumsum(np.diff(tracks.track) != 0)])
    place = np.arange(len(tracks)) + REACH * breaks  # points of other tracks are out of reach
    values, variance = np.full((1, 1, place[-1] + 1), np.nan), np.zeros((1, 1, place[-1] + 1))
    values[0, 0, place] = tracks.value - np.median(tracks.value)
    variance[0, 0, place] = tracks.error_variance
    found = learn_screen([(values, variance)]).find(values, variance)[0, 0, place]
    text = describe_outliers(int(found.sum()), len(found), "drop")
    return replace(tracks.at(~found), treatment=(*tracks.treatment, *text))


def _convert(part: Tracks, first: Tracks) -> Tracks:
    """Return the points of a file in the units of the ``first``. Raises `InputError` where they cannot be."""
    units, wanted = (str(one.attrs.get("units", "")) for one in (part, first))
    if not units or not wanted or units == wanted:
        return part
    scale, offset = require_conversion(part.inputs[0], part.name, units, wanted, first.inputs[0])
    return replace(
        part,
        value=scale * part.value + offset,
        error_variance=scale**2 * part.error_variance,
        attrs=first.attrs,
    )


def _read_file(opening: Opening, entry: str | xr.Dataset) -> Tracks:
    with open_input(entry, opening.group) as (file, dataset):
        points = flatten_swath(dataset)
        tracks = _read_points(file, points, opening)
        if points is dataset:
            return tracks
        tracks = replace(tracks, track=np.ones(len(tracks), np.int64))
        if opening.grid is None or opening.bounds is None:
            return tracks
        return average_points(tracks, opening.grid, opening.bounds)


def _read_points(file: str, dataset: xr.Dataset, opening: Opening) -> Tracks:
    layout = find_track(file, dataset, opening.variable, (opening.error_variable,))
    missing = dataset[layout.time].isnull().to_numpy()
    dataset = dataset.isel({layout.t: ~missing}) if missing.any() else dataset
    if opening.error_variable is not None and opening.error_variable not in dataset:
        choice = list_names(dataset.data_vars)
        raise InputError(
            f"{file}: there is no error variable {opening.error_variable!r}; choose among {choice}"
        )
    others = [] if opening.error_variable is None else [opening.error_variable]
    part = read_part(file, dataset, layout, others, replace(opening, region=None, period=None))
    (part,), looks = drop_undeclared([part], layout, opening)
    data = part.data
    time = data[layout.time].to_index()
    if not isinstance(time, pd.DatetimeIndex):
        raise InputError(
            f"{file}: along-track files need the standard calendar, but the file uses "
            f"{getattr(time, 'calendar', 'another')}; convert the dates"
        )
    lat, lon, value = (
        data[name].to_numpy().astype(np.float64) for name in (layout.lat, layout.lon, layout.variable)
    )
    error = data[others[0]].to_numpy().astype(np.float64) if others else np.ones_like(value)
    left_out: list[tuple[str, NDArray[np.bool_]]] = [
        ("missing or invalid values", ~np.isfinite(value)),
        ("values without a position", ~(np.isfinite(lat) & np.isfinite(lon))),
        ("values without a standard error", ~(np.isfinite(error) & (error > 0))),
    ]
    if opening.period is not None:
        left_out.append(("values outside the period", ~in_period(time, opening.period)))
    if opening.region is not None:
        left_out.append(("values outside the region", ~_is_inside(lat, lon, opening.region)))
    kept = np.ones(len(value), bool)
    oddities = [f"values without a time: {np.count_nonzero(missing)}"] if missing.any() else []
    flagged = sum(part.lost.values())  # these are missing from here on
    for what, lost in left_out:
        count = np.count_nonzero(kept & lost) - flagged
        kept &= ~lost
        flagged = 0
        if count:
            oddities.append(f"{what}: {count}")
    if np.abs(lat[kept]).max(initial=0) > 90.01 or np.abs(lon[kept]).max(initial=0) > 720:
        raise InputError(f"{file}: its positions are not in degrees; give latitude and longitude in degrees")
    names, mission = _read_missions(file, dataset, layout)
    return Tracks(
        name=layout.variable,
        time=time.to_numpy().astype("datetime64[ns]"),
        lat=lat,
        lon=lon,
        value=value,
        error_variance=error**2,
        mission=np.broadcast_to(mission, value.shape),
        track=np.zeros(value.shape, np.int64),
        missions=names,
        attrs=dict(dataset[layout.variable].attrs),
        inputs=(Path(file).name,),
        oddities=tuple(oddities),
        treatment=(*part.treatment, *looks),
        lost=part.lost,
        given=int(np.count_nonzero(np.isfinite(value))),
    ).at(kept)


def average_points(tracks: Tracks, spacing: ArrayLike, bounds: Region) -> Tracks:
    """Average the points of one pass over a swath in each cell of a grid, row by row.

    A swath has many pixels in a cell, whose errors are correlated: the error variance is that of a pixel. All
    points get the mean time of the pass, so that points of one row stay together.
    """
    down, across = np.broadcast_to(np.asarray(spacing, np.float64), 2)
    row = np.rint((tracks.lat - bounds[0]) / down).astype(np.int64)
    east = np.mod(tracks.lon - bounds[2] + across / 2, 360)
    cell = row * (int(360 / across) + 2) + (east // across).astype(np.int64)
    cell, index, inverse, count = np.unique(cell, return_index=True, return_inverse=True, return_counts=True)
    if not len(cell):
        return tracks

    def average(values: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.bincount(inverse, values) / count

    turns = tracks.lon - tracks.lon[index][inverse]  # longitudes of one cell may lie on both sides of 0
    lon = tracks.lon[index] + average((turns + 180) % 360 - 180)
    middle = tracks.time.min() + (tracks.time - tracks.time.min()).mean()
    return replace(
        tracks.at(index),
        time=np.full(len(cell), middle),
        lat=average(tracks.lat),
        lon=lon,
        value=average(tracks.value),
        error_variance=average(tracks.error_variance),
    )


def _is_inside(lat: NDArray[np.float64], lon: NDArray[np.float64], region: Region) -> NDArray[np.bool_]:
    lat0, lat1, lon0, lon1 = region
    width = 360.0 if lon1 - lon0 >= 360 else (lon1 - lon0) % 360
    east = np.mod(lon - lon0, 360.0)
    return (lat >= lat0) & (lat <= lat1) & (east <= width)


def _read_missions(
    file: str, dataset: xr.Dataset, layout: Layout
) -> tuple[tuple[str, ...], NDArray[np.int64]]:
    """Return the names of a file's missions and the index of that of each point (n,), or of all (1,)."""
    for name in ("mission", "platform", "satellite"):
        array = dataset.variables.get(name)
        if array is not None and array.dims == (layout.t,) and array.dtype.kind in "OSUT":
            texts = [text.decode() if isinstance(text, bytes) else str(text) for text in array.to_numpy()]
            names, index = np.unique(np.array(texts, dtype=object), return_inverse=True)
            return tuple(names), index.astype(np.int64)
    written = (dataset.attrs.get(name) for name in ("platform", "mission", "mission_name"))
    named = next((text.strip() for text in written if isinstance(text, str) and text.strip()), None)
    stem = Path(file).stem
    matched = _COPERNICUS.match(stem)
    # Without dates, the files of a mission have the same name.
    spelt = matched["mission"] if matched else re.split(r"[_.-]+\d{3}|[\d_.-]+$", stem)[0] or stem
    return (named or spelt,), np.zeros(1, np.int64)


def _number_tracks(tracks: Tracks) -> NDArray[np.int64]:
    """Return the number (n,) of the track of each point."""
    # The points of one line across a swath share their time, so steps of zero do not count.
    same = (np.diff(tracks.mission) == 0) & (np.diff(tracks.track) == 0)
    step = np.diff(tracks.time) / np.timedelta64(1, "s")
    new = ~same
    for mission in np.unique(tracks.mission):
        steps = same & (tracks.mission[1:] == mission) & (step > 0)
        if steps.any():
            new[steps] = step[steps] > _JUMP * max(float(np.median(step[steps])), 1e-3)
    return np.concatenate([[0], np.cumsum(new)])


def _estimate_noise(tracks: Tracks) -> NDArray[np.float64]:
    """Estimate the standard deviation (missions,) of the noise of the values.

    This is the standard deviation of second differences along a track, or across a swath, divided by the
    square root of 6. Variations that are smooth over three points cancel in them. It is taken from their
    median, so fronts and outliers matter little.
    """
    value, track, time = tracks.value, tracks.track, (tracks.time - tracks.time[0]) / np.timedelta64(1, "s")
    second = value[:-2] - 2 * value[1:-1] + value[2:]
    even = np.abs(np.diff(time, 2)) <= 0.5 * np.diff(time)[1:]
    inside = (track[:-2] == track[2:]) & even
    found = np.full(len(tracks.missions), _SHARE_OF_SPREAD * max(float(np.std(value)), 1e-6))
    for mission in range(len(found)):
        differences = np.abs(second[inside & (tracks.mission[1:-1] == mission)])
        if len(differences) >= _FEWEST_NOISE:
            found[mission] = max(float(np.median(differences)) / _NORMAL / np.sqrt(6), 0.1 * found[mission])
    return found


def _add_counts(oddities: Sequence[str]) -> list[str]:
    """Add up the counts of oddities that occur in several files."""
    counts: dict[str, int] = {}
    for oddity in oddities:
        what, _, count = oddity.rpartition(": ")
        counts[what] = counts.get(what, 0) + int(count)
    return [f"{what}: {count}" for what, count in counts.items()]
