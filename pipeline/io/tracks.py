"""Along-track files: Copernicus Marine's L3 sea level, or any CF series of points."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from ..errors import InputError
from .coordinates import Layout, find_track, list_names, track_layouts
from .dates import in_period
from .opening import Opening, make_opening
from .reading import Inputs, Region, list_inputs, open_input, read_part
from .workers import start_workers

_JUMP = 10  # samplings without a value that end a track
_COPERNICUS = re.compile(
    r"^(dt|nrt)_[a-z]+_(?P<mission>[a-z0-9]+)_"
)  # as in dt_global_j3_phy_l3_20190101_...
_GOOD = frozenset(("good", "valid", "ok", "correct"))
_BAD = frozenset(("not", "bad", "probably", "invalid", "suspect"))
_NORMAL = 0.6745  # the median of |x| of a normal variable, in standard deviations
_FEWEST_NOISE = 50  # second differences that tell a noise
_SHARE_OF_SPREAD = 0.1  # of the deviation of the values, where nothing tells their noise


@dataclass(frozen=True)
class Tracks:
    """Values at points (n,), those of a mission after those of the one before it, in order of time."""

    name: str
    time: NDArray[np.datetime64]
    lat: NDArray[np.float64]  # degrees north
    lon: NDArray[np.float64]  # degrees east, in the convention of the files
    value: NDArray[np.float64]
    error_variance: NDArray[np.float64]  # in units of the values squared
    mission: NDArray[np.int64]  # index into `missions`
    track: NDArray[np.int64]  # number of the track, of all missions together
    missions: tuple[str, ...]
    attrs: dict[Any, Any]  # of the variable
    inputs: tuple[str, ...] = ()  # names of the files, without their folders
    oddities: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.value)

    def at(self, which: NDArray[Any]) -> Tracks:
        """The points of a mask or of indices."""
        series = {part.name: getattr(self, part.name) for part in fields(self)}
        return replace(
            self, **{name: held[which] for name, held in series.items() if isinstance(held, np.ndarray)}
        )

    def of(self, mission: str) -> NDArray[np.bool_]:
        """(n,) True at the points of a mission. Raises `InputError` for one that has none."""
        if mission not in self.missions:
            raise InputError(f"no mission is called {mission!r}; there are {list_names(self.missions)}")
        return self.mission == self.missions.index(mission)


def is_along_track(inputs: Inputs) -> bool:
    """Whether the first input holds points along a track and no field."""
    with open_input(list_inputs(inputs)[0]) as (_, dataset):
        return bool(track_layouts(dataset))


def read_tracks(
    inputs: Inputs,
    opening: Opening | None = None,
    *,
    cluster: str | None = None,
    n_workers: int = 1,
    **options: Any,
) -> Tracks:
    """Read along-track files (paths, globs) or a dataset, by ``n_workers`` processes or on a dask ``cluster``.

    The mission is that of a variable ``mission``, ``platform`` or ``satellite`` on the points, else of the
    global attribute ``platform`` or ``mission``, else of the name of the file. A new track begins where the
    time jumps by more than 10 samplings of the mission. Missing and invalid values, those that an ancillary
    flag does not call good, and what lies outside the region or occurs twice
    are left out, and counted in ``oddities``. ``error_variable`` and ``observation_error`` are standard
    errors; with neither the noise of each mission is told from its second differences along the tracks.

    Raises `InputError` for files that hold no points, or none of use.
    """
    opening = make_opening(opening, options)
    entries = list_inputs(inputs)
    with start_workers(cluster, min(n_workers, len(entries))) as mapped:
        parts = list(mapped(_Reader(opening), entries))
    first = parts[0]
    strange = next((part for part in parts if part.name != first.name), None)
    if strange is not None:
        raise InputError(
            f"{strange.inputs[0]}: its values are {strange.name}, those of {first.inputs[0]} {first.name}; "
            "choose one with --variable"
        )
    missions = tuple(dict.fromkeys(name for part in parts for name in part.missions))
    number_of = [np.array([missions.index(name) for name in part.missions], np.int64) for part in parts]
    mission = np.concatenate([table[part.mission] for table, part in zip(number_of, parts, strict=True)])
    joined = {
        name: np.concatenate([getattr(part, name) for part in parts])
        for name in ("time", "lat", "lon", "value", "error_variance")
    }
    oddities = _summed([oddity for part in parts for oddity in part.oddities])
    inputs_read = tuple(name for part in parts for name in part.inputs)
    whole = replace(first, **joined, mission=mission, track=mission, missions=missions, inputs=inputs_read)
    order = np.lexsort((whole.time, mission))
    whole = whole.at(order)
    again = np.zeros(len(whole), bool)
    again[1:] = (np.diff(whole.mission) == 0) & (np.diff(whole.time) == np.timedelta64(0))
    again[1:] &= (np.diff(whole.lat) == 0) & (np.diff(whole.lon) == 0)
    if again.any():
        oddities.append(f"points that occur more than once: {np.count_nonzero(again)}")
        whole = whole.at(~again)
    if not len(whole):
        files = first.inputs[0] + (f" and {len(parts) - 1} more" if len(parts) > 1 else "")
        raise InputError(
            f"{files}: no value of {first.name} is of use ({'; '.join(oddities) or 'there are none'}); "
            "choose other bounds, another period or variable"
        )
    whole = replace(whole, track=_numbered(whole))
    if opening.error_variable is None:
        if opening.observation_error is None:
            noise = _noise(whole)
            told = (f"{name} {sigma:.3g}" for name, sigma in zip(missions, noise, strict=True))
            oddities.append(f"standard error of the values, told from their noise: {list_names(told)}")
        else:
            noise = np.full(len(missions), opening.observation_error)
        whole = replace(whole, error_variance=noise[whole.mission] ** 2)
    return replace(whole, oddities=tuple(oddities))


@dataclass(frozen=True)
class _Reader:
    """Reads one file; an object of its own, for it travels to other processes."""

    opening: Opening

    def __call__(self, entry: str | xr.Dataset) -> Tracks:
        with open_input(entry) as (file, dataset):
            return _read(file, dataset, self.opening)


def _read(file: str, dataset: xr.Dataset, opening: Opening) -> Tracks:
    layout = find_track(file, dataset, opening.variable, (opening.error_variable,))
    missing = dataset[layout.time].isnull().to_numpy()
    dataset = dataset.isel({layout.t: ~missing}) if missing.any() else dataset
    if opening.error_variable is not None and opening.error_variable not in dataset:
        raise InputError(f"{file}: there is no error variable {opening.error_variable!r}; choose another")
    others = [] if opening.error_variable is None else [opening.error_variable]
    part = read_part(file, dataset, layout, others)
    data = part.data
    time = data[layout.time].to_index()
    if not isinstance(time, pd.DatetimeIndex):
        raise InputError(
            f"{file}: its calendar is {getattr(time, 'calendar', 'unknown')}, and satellites fly in the "
            "standard one; convert the dates"
        )
    lat, lon, value = (
        data[name].to_numpy().astype(np.float64) for name in (layout.lat, layout.lon, layout.variable)
    )
    error = data[others[0]].to_numpy().astype(np.float64) if others else np.ones_like(value)
    left_out: list[tuple[str, NDArray[np.bool_]]] = [
        ("missing or invalid values", ~np.isfinite(value)),
        ("values without a place", ~(np.isfinite(lat) & np.isfinite(lon))),
        ("values without a standard error", ~(np.isfinite(error) & (error > 0))),
        ("values that a flag does not call good", ~_good(dataset, layout)),
    ]
    if opening.period is not None:
        left_out.append(("values outside the period", ~in_period(time, opening.period)))
    if opening.region is not None:
        left_out.append(("values outside the bounds", ~_within(lat, lon, opening.region)))
    kept = np.ones(len(value), bool)
    oddities = [f"values without a time: {np.count_nonzero(missing)}"] if missing.any() else []
    for what, lost in left_out:
        count = np.count_nonzero(kept & lost)
        kept &= ~lost
        if count:
            oddities.append(f"{what}: {count}")
    if np.abs(lat[kept]).max(initial=0) > 90.01 or np.abs(lon[kept]).max(initial=0) > 720:
        raise InputError(f"{file}: its places are not degrees; give latitude and longitude in degrees")
    names, mission = _missions(file, dataset, layout)
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
    ).at(kept)


def _within(lat: NDArray[np.float64], lon: NDArray[np.float64], bounds: Region) -> NDArray[np.bool_]:
    lat0, lat1, lon0, lon1 = bounds
    width = 360.0 if lon1 - lon0 >= 360 else (lon1 - lon0) % 360
    east = np.mod(lon - lon0, 360.0)
    return (lat >= lat0) & (lat <= lat1) & (east <= width)


def _good(dataset: xr.Dataset, layout: Layout) -> NDArray[np.bool_]:
    """(n,) False where a flag (CF 3.4 and 3.5: ancillary, with values and meanings) has none that is good."""
    good = np.ones(dataset.sizes[layout.t], bool)
    for name in str(dataset[layout.variable].attrs.get("ancillary_variables", "")).split():
        if name not in dataset or dataset[name].dims != (layout.t,):
            continue
        attrs = dataset[name].attrs
        meanings = str(attrs.get("flag_meanings", "")).lower().split()
        values = np.ravel(attrs.get("flag_values", ()))
        words = [set(re.split(r"[^a-z]+", meaning)) for meaning in meanings]
        wanted = [i for i, word in enumerate(words) if word & _GOOD and not word & _BAD]
        if wanted and len(values) == len(meanings):
            good &= np.isin(dataset[name].to_numpy(), values[wanted])
    return good


def _missions(file: str, dataset: xr.Dataset, layout: Layout) -> tuple[tuple[str, ...], NDArray[np.int64]]:
    """The names of a file's missions and the index of each point's (n,), or of all (1,)."""
    for name in ("mission", "platform", "satellite"):
        array = dataset.variables.get(name)
        if array is not None and array.dims == (layout.t,) and array.dtype.kind in "OSUT":
            texts = [text.decode() if isinstance(text, bytes) else str(text) for text in array.to_numpy()]
            names, index = np.unique(np.array(texts, dtype=object), return_inverse=True)
            return tuple(names), index.astype(np.int64)
    written = (dataset.attrs.get(name) for name in ("platform", "mission"))
    named = next((text.strip() for text in written if isinstance(text, str) and text.strip()), None)
    stem = Path(file).stem
    matched = _COPERNICUS.match(stem)
    # Without their dates the files of a mission have one name.
    spelt = matched["mission"] if matched else re.sub(r"[\d_.-]+$", "", stem) or stem
    return (named or spelt,), np.zeros(1, np.int64)


def _numbered(tracks: Tracks) -> NDArray[np.int64]:
    """(n,) the number of each point's track. The points of a swath's line have one time."""
    same = np.diff(tracks.mission) == 0
    step = np.diff(tracks.time) / np.timedelta64(1, "s")
    new = ~same
    for mission in np.unique(tracks.mission):
        steps = same & (tracks.mission[1:] == mission) & (step > 0)
        if steps.any():
            new[steps] = step[steps] > _JUMP * max(float(np.median(step[steps])), 1e-3)
    return np.concatenate([[0], np.cumsum(new)])


def _noise(tracks: Tracks) -> NDArray[np.float64]:
    """(missions,) standard deviation of the noise of the values.

    That of their second differences along a track, or across a swath, over the root of 6, in which what is
    smooth over three points has no part; from their median, so that a front or a wrong value hardly matters.
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


def _summed(oddities: Sequence[str]) -> list[str]:
    """Those of many files that differ in their count only, as one."""
    counts: dict[str, int] = {}
    for oddity in oddities:
        what, _, count = oddity.rpartition(": ")
        counts[what] = counts.get(what, 0) + int(count)
    return [f"{what}: {count}" for what, count in counts.items()]
