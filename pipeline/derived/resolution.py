"""Effective resolution of a filled field as a map.

The spectra of the estimate and of the truth are compared on segments along rows or along tracks, averaged
over boxes. The effective resolution is the wavelength at which the spectrum of the error is half that of the
truth (Ballarotta et al. 2019, doi:10.5194/os-15-1091-2019); the other scale is that of a squared coherence of
0.5, which is blind to an amplitude that is wrong.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.fft import rfft
from scipy.interpolate import RegularGridInterpolator
from scipy.signal import get_window

from ..errors import InputError
from ..holdout.score_files import read_truth
from ..holdout.spectra import find_crossing
from ..io.field import open_field
from ..io.layout.dates import days_since_first
from ..io.layout.positions import EARTH_RADIUS, unit_vectors
from ..io.opening import Opening
from ..io.points.tracks import is_along_track, read_tracks
from ..io.reading import list_inputs, open_input
from .maps import FilledMaps, describe_variable
from .options import Derived, DeriveOptions

_SPAN = 500.0  # km
_FEWEST = 8  # values of a segment
_START_EVERY = 0.25  # segments
_LONGEST_BREAK = 3.0  # median steps, within a segment along a track

Floats = NDArray[np.floating]


@dataclass(frozen=True)
class Segments:
    """Segments of equal length: where they are, and the spectra of estimate and truth."""

    lat: Floats  # (n,) of the middle
    lon: Floats
    truth: NDArray[np.float64]  # (n, harmonics) power
    error: NDArray[np.float64]
    estimate: NDArray[np.float64]
    cross: NDArray[np.complex128]  # of estimate and truth


def measure_segments(lat: Floats, lon: Floats, estimate: Floats, truth: Floats, count: int) -> Segments:
    """Compute the spectra of segments (..., points), averaged over all dimensions but the first.

    ``count`` harmonics of the segment's length are kept; Hann window, mean removed.
    """
    window = get_window("hann", truth.shape[-1])

    def transform(values: Floats) -> NDArray[np.complex128]:
        centred = values - values.mean(axis=-1, keepdims=True)
        found: NDArray[np.complex128] = rfft(centred * window)[..., 1 : count + 1]
        return found

    parts = transform(estimate), transform(truth)
    over = tuple(range(1, truth.ndim - 1))
    power = [(np.abs(part) ** 2).mean(axis=over) for part in (parts[1], parts[0] - parts[1], parts[0])]
    return Segments(lat, lon, power[0], power[1], power[2], (parts[0] * parts[1].conj()).mean(axis=over))


def derive_resolution(maps: FilledMaps, options: DeriveOptions) -> Derived:
    """Return the map of the effective resolution against a truth, or against the samples."""
    span = options.span or _SPAN
    if options.truth is None:
        if not maps.n_samples:
            raise InputError(
                f"{maps.file}: it has no samples to compare its spectra with; give truth=, or fill it with "
                "samples="
            )
        segments, source = _cut_rows(maps, None, span), f"{maps.n_samples} posterior draws"
    elif is_along_track(options.truth):
        segments, source = _cut_tracks(maps, options.truth, span), "points along tracks"
    else:
        segments, source = _cut_rows(maps, options.truth, span), "maps of the truth"
    lat, lon, found = _average_boxes(maps, segments, span)
    what = maps.attrs.get("long_name", maps.name)
    comment = f"Spectra of segments of {span:g} km against {source}; missing where nothing is resolved."
    texts = {
        "effective_resolution": "wavelength at which the error has half the spectral power of the truth",
        "coherent_scale": "wavelength at which the squared coherence with the truth is 0.5",
    }
    dims = "box_lat", "box_lon"
    parts: dict[str, tuple[Any, ...]] = {
        "box_lat": (dims[:1], lat, describe_variable("latitude of the box", "degrees_north", "latitude")),
        "box_lon": (dims[1:], lon, describe_variable("longitude of the box", "degrees_east", "longitude")),
    }
    for number, (name, text) in enumerate(texts.items()):
        attrs = describe_variable(f"{text} of {what}", "km", comment=comment)
        values = np.where(np.isfinite(found[number]), found[number], np.nan)
        parts[f"{maps.name}_{name}"] = (dims, values.astype(np.float32), attrs)
    counts = describe_variable("number of segments in the box", "1")
    parts["segments"] = (dims, found[2].astype(np.int32), counts)
    return Derived(parts, f"effective resolution of {what}")


def _cut_rows(maps: FilledMaps, truth: Any, span: float) -> Segments:
    """Return segments along the rows of the grid, averaged over dates or over dates and samples."""
    known = None if truth is None else _read_maps(maps, truth)
    analysis = maps.read("analysis").astype(np.float64)
    steps = np.radians(1) * EARTH_RADIUS * np.cos(np.radians(maps.lat))
    steps = steps * float(np.median(np.abs(np.diff(maps.lon))))
    sizes = np.rint(span / steps).astype(int)
    usable = (sizes >= _FEWEST) & (sizes <= maps.lon.size)
    if not usable.any():
        width = steps.max() * maps.lon.size
        raise InputError(
            f"{maps.file}: segments of {span:g} km do not fit into rows of {width:.0f} km, or have fewer "
            f"than {_FEWEST} cells; give another span="
        )
    count = int(sizes[usable].min()) // 2
    found: list[Segments] = []
    for row in np.flatnonzero(usable):
        size = int(sizes[row])
        starts = np.arange(0, maps.lon.size - size + 1, max(int(_START_EVERY * size), 1))
        index = starts[:, None] + np.arange(size)
        estimate = analysis[:, row][:, index]  # (time, n, size)
        if known is None:
            draws = np.stack([maps.read_samples(date)[:, row][:, index] for date in range(len(analysis))])
            estimate = np.broadcast_to(estimate[:, None], draws.shape)
            estimate, own = (part.reshape(-1, *index.shape) for part in (estimate, draws.astype(np.float64)))
        else:
            own = known[:, row][:, index]
        whole = np.asarray(np.isfinite(estimate + own).all(axis=2))  # (dates, n)
        for k in np.flatnonzero(whole.any(axis=0)):
            dates = whole[:, k]
            middle = maps.lon[index[k]].mean()
            part = (
                np.array([maps.lat[row]]),
                np.array([middle]),
                estimate[None, dates, k],
                own[None, dates, k],
            )
            found.append(measure_segments(*part, count))
    if not found:
        raise InputError(
            f"{maps.file}: no row has {span:g} km of values without land and with truth; give a smaller span="
        )
    return _join(found)


def _join(parts: list[Segments]) -> Segments:
    names = Segments.__dataclass_fields__
    return Segments(**{name: np.concatenate([getattr(part, name) for part in parts]) for name in names})


def _read_maps(maps: FilledMaps, truth: Any) -> NDArray[np.float64]:
    """Read the truth (time, y, x) on the grid and the dates of the maps, NaN elsewhere."""
    own = maps.dataset[[maps.name]]
    field = open_field(
        own, Opening(variable=maps.name, outliers="keep", transform="none", minimum_coverage=0.0)
    )
    known = read_truth(field, truth)
    return np.asarray(field.space.backward(known), np.float64)


def _cut_tracks(maps: FilledMaps, truth: Any, span: float) -> Segments:
    """Return segments along tracks, to whose points the analysis is interpolated linearly."""
    tracks = read_tracks(truth, Opening(variable=_find_track_name(truth, maps), outliers="keep"))
    dates = maps.dates
    first = dates.to_numpy()[0]
    days = days_since_first(dates)
    if len(days) < 2:
        raise InputError(f"{maps.file}: tracks lie between dates, and it has a single one; give several")
    when = (tracks.time - first) / np.timedelta64(1, "D")
    east = maps.lon[0] + np.mod(tracks.lon - maps.lon[0], 360)
    grid = RegularGridInterpolator(
        (days, maps.lat, maps.lon), maps.read("analysis").astype(np.float64), bounds_error=False
    )
    estimate = grid(np.stack([when, tracks.lat, east], axis=-1))
    use = np.isfinite(estimate)
    lat, lon, value, track = (part[use] for part in (tracks.lat, east, tracks.value, tracks.track))
    estimate = estimate[use]
    distance = EARTH_RADIUS * np.linalg.norm(np.diff(unit_vectors(lat, lon), axis=0), axis=1)
    step = float(np.median(distance)) if distance.size else 0.0
    size = int(span / step) if step else 0
    breaks = np.flatnonzero((np.diff(track) != 0) | (distance > _LONGEST_BREAK * step)) + 1
    runs = np.split(np.arange(len(lat)), breaks)
    every = max(int(_START_EVERY * size), 1)
    starts = [s for run in runs if len(run) for s in range(run[0], run[-1] - size + 2, every)]
    if size < _FEWEST or not starts:
        raise InputError(
            f"{maps.file}: no track has {span:g} km with {_FEWEST} points or more inside the maps and their "
            "dates; give a smaller span= or other tracks"
        )
    index = np.array(starts)[:, None] + np.arange(size)
    middle = index[:, size // 2]
    return measure_segments(lat[middle], lon[middle], estimate[index], value[index], size // 2)


def _find_track_name(truth: Any, maps: FilledMaps) -> str | None:
    """Return the variable of the tracks: that of the maps where the tracks have it, else their own."""
    with open_input(list_inputs(truth)[0]) as (_, dataset):
        return maps.name if maps.name in dataset.variables else None


def _average_boxes(maps: FilledMaps, segments: Segments, span: float) -> tuple[Floats, Floats, Floats]:
    """Return the boxes' latitudes and longitudes, and resolution, coherent scale and number of segments."""
    axes, places = [], []
    middle = np.cos(np.radians(maps.lat.mean()))
    for grid, own, shrink in ((maps.lat, segments.lat, 1.0), (maps.lon, segments.lon, middle)):
        width = np.degrees(span / EARTH_RADIUS) / max(shrink, 0.01)
        number = max(round(float(np.ptp(grid)) / width), 1)
        edges = np.linspace(grid.min(), grid.max(), number + 1)
        axes.append((edges[1:] + edges[:-1]) / 2)
        places.append(np.clip(np.searchsorted(edges, own, side="right") - 1, 0, number - 1))
    found = np.full((3, len(axes[0]), len(axes[1])), np.nan)
    length = span / np.arange(1, segments.truth.shape[1] + 1)
    for row in range(len(axes[0])):
        for column in range(len(axes[1])):
            inside = (places[0] == row) & (places[1] == column)
            found[2, row, column] = inside.sum()
            if inside.any():
                truth, error, own = (
                    part[inside].mean(axis=0) for part in (segments.truth, segments.error, segments.estimate)
                )
                cross = segments.cross[inside].mean(axis=0)
                safe = np.where(truth > 0, truth, 1)
                score = np.where(truth > 0, 1 - error / safe, -np.inf)
                both = np.where(truth * own > 0, truth * own, 1)
                coherence = np.where(truth * own > 0, np.abs(cross) ** 2 / both, 0)
                found[:2, row, column] = find_crossing(length, score), find_crossing(length, coherence)
    return axes[0], axes[1], found
