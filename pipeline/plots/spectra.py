"""Spectra of a variable along its rows: how much of each wavelength observed and filled values hold."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy.signal import periodogram

from ..errors import InputError
from ..io.layout.positions import EARTH_RADIUS
from .layers import MapSeries, escape_math
from .scores import BLUE, VERMILION, make_axes

_SHORTEST, _LONGEST = 16, 256  # cells of sea in a row: fewer have no spectrum, more no longer segment
_FEWEST = 5  # segments of which a spectrum is averaged
_MOSTLY = 0.5  # share of a segment in gaps

Floats = NDArray[np.floating]


@dataclass(frozen=True)
class Spectra:
    """Mean power spectral densities of segments of rows."""

    wavenumber: NDArray[np.float64]  # (k,) cycles per km
    density: dict[str, NDArray[np.float64]]  # (k,) by what they are of
    segments: dict[str, int]  # by the same names


def find_spectra(series: MapSeries) -> Spectra:
    """Average the spectra of the segments of rows that are all sea.

    The segments overlap by half, have their mean removed and a Hann window (Welch 1967,
    doi:10.1109/TAU.1967.1161901). Their length is half of the longest run of sea in a row, but 16 cells at
    least and 128 at most. Observed values have a spectrum where whole segments are observed, and it is
    compared with that of the analysis at the same places; a further one is of the analysis where most of a
    segment is missing.

    Raises `InputError` where no segment is long enough, or where there are too few of them.
    """
    size = min(_find_longest(series.sea), _LONGEST)
    if size < _SHORTEST:
        raise InputError(
            f"{series.name}: a spectrum needs {_SHORTEST} cells of sea in a row; the longest has {size}"
        )
    size = max(size // 4 * 2, _SHORTEST)  # even
    observed = series.layers["observed"]
    estimate = series.layers.get("analysis")
    parts: dict[str, list[Floats]] = {}
    for row, start in _list_segments(series.sea, size):
        here = np.s_[:, row, start : start + size]
        known = np.isfinite(observed[here])
        whole = known.all(axis=1)
        parts.setdefault("observed values", []).append(observed[here][whole])
        if estimate is not None:
            lost = known.mean(axis=1) < 1 - _MOSTLY
            parts.setdefault("analysis at the same places", []).append(estimate[here][whole])
            parts.setdefault("analysis, mostly in gaps", []).append(estimate[here][lost])
    joined = {name: np.concatenate(found) for name, found in parts.items()}
    kept = {name: found for name, found in joined.items() if len(found) >= _FEWEST}
    if not kept:
        raise InputError(f"{series.name}: too few segments of rows are without gaps for a spectrum")
    step = _find_step(series)
    density = {name: _compute_density(found, step) for name, found in kept.items()}
    wavenumber = np.fft.rfftfreq(size, step)[1:-1].astype(np.float64)
    return Spectra(wavenumber, density, {name: len(found) for name, found in kept.items()})


def draw_spectra(series: MapSeries) -> Figure:
    """Draw the spectra of `find_spectra`, which raises the same errors, against the wavelength."""
    found = find_spectra(series)
    figure, axes = make_axes(height=4.2)
    styles = dict(zip(("observed values", "analysis at the same places"), ("-", "--"), strict=True))
    colours = {"observed values": "0.1", "analysis at the same places": BLUE}
    for name, density in found.density.items():
        colour, style = colours.get(name, VERMILION), styles.get(name, "-.")
        label = f"{name} ({found.segments[name]} segments)"
        axes.loglog(1 / found.wavenumber, density, color=colour, ls=style, lw=1.4, label=label)
    axes.invert_xaxis()
    axes.set_xlabel("wavelength along rows (km)")
    units = escape_math(f"({series.units})² km" if series.units else "km")
    axes.set_ylabel(f"power spectral density ({units})")
    figure.legend(fontsize=8, loc="outside lower left")
    return figure


def _find_longest(sea: NDArray[np.bool_]) -> int:
    """Return the longest run of sea in a row, in cells."""
    return max((end - start for _, start, end in _list_runs(sea)), default=0)


def _list_runs(sea: NDArray[np.bool_]) -> list[tuple[int, int, int]]:
    """Return row, start and end of every run of sea."""
    edges = np.diff(np.pad(sea, ((0, 0), (1, 1))).astype(np.int8), axis=1)
    starts, ends = (np.argwhere(edges == sign) for sign in (1, -1))
    return [(int(row), int(start), int(end)) for (row, start), (_, end) in zip(starts, ends, strict=True)]


def _list_segments(sea: NDArray[np.bool_], size: int) -> list[tuple[int, int]]:
    """Return row and start of the segments of sea of a ``size``, which overlap by half."""
    return [
        (row, first)
        for row, start, end in _list_runs(sea)
        for first in range(start, end - size + 1, max(size // 2, 1))
    ]


def _find_step(series: MapSeries) -> float:
    """Return the median distance between the cells of a row, km."""
    lat, lon = np.radians(series.lat), np.radians(series.lon)
    return float(EARTH_RADIUS * np.median(np.abs(np.diff(lon, axis=1)) * np.cos(lat[:, 1:])))


def _compute_density(values: Floats, step: float) -> NDArray[np.float64]:
    """(k,) mean one-sided power spectral density of segments (n, size) that are ``step`` apart."""
    _, density = periodogram(values.astype(np.float64), fs=1 / step, window="hann", detrend="constant")
    found: NDArray[np.float64] = density.mean(axis=0)[1:-1]  # the shortest wave has half a class
    return found
