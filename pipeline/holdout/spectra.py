"""Scores of the sea surface height mapping challenges: skill, and the finest resolved scales.

2020a is for maps, 2021a for tracks (github.com/ocean-data-challenges, 2020a_SSH_mapping_NATL60 and
2021a_SSH_mapping_OSE; Ballarotta et al. 2019, 10.5194/os-15-1091-2019, for the resolution).
"""

from __future__ import annotations

import numpy as np
from contourpy import contour_generator
from numpy.typing import NDArray
from scipy.fft import fft2, fftfreq
from scipy.signal import get_window, welch

Floats = NDArray[np.floating]

TRACK_STEP = 6.77 * 0.9434  # km between the values of a track: ground speed times sampling interval
_LONGEST_BREAK = 4.0  # seconds, within a segment of a track
_SEGMENT = 1000.0  # km
_START_EVERY = 0.25  # segments, from one start to the next
_FEWEST = 10  # values of a day whose skill is computed


def skill(estimate: Floats, truth: Floats) -> tuple[float, float]:
    """mu and sigma of maps (time, ...): 1 - RMSE / RMS of the truth, and its standard deviation over dates.

    mu is computed from all values together. Only values with finite truth count; dates without truth are
    skipped. Raises `ValueError` for an estimate that is not finite there.
    """
    error2, truth2 = _square_errors(estimate, truth)
    seen = np.isfinite(truth2)
    dates = seen.reshape(len(seen), -1).any(axis=1)
    daily = [
        1 - np.sqrt(np.nanmean(e) / np.nanmean(t)) for e, t in zip(error2[dates], truth2[dates], strict=True)
    ]
    return float(1 - np.sqrt(error2[seen].mean() / truth2[seen].mean())), float(np.std(daily))


def track_skill(estimate: Floats, truth: Floats, days: Floats) -> tuple[float, float]:
    """mu and sigma of values along tracks (n,): mean and standard deviation of the skill of each day.

    ``days`` (n,) count from any midnight; days with fewer than ten values are skipped. Raises `ValueError` if
    no day has enough values, and as `skill` does.
    """
    error2, truth2 = _square_errors(estimate, truth)
    seen = np.isfinite(truth2)
    day = np.floor(days[seen]).astype(np.int64)
    day -= day.min(initial=0)
    errors, truths = (np.bincount(day, squares[seen]) for squares in (error2, truth2))
    enough = np.bincount(day) >= _FEWEST
    if not enough.any():
        raise ValueError(f"no day has {_FEWEST} values with truth")
    daily = 1 - np.sqrt(errors[enough] / truths[enough])
    return float(daily.mean()), float(daily.std())


def resolution(estimate: Floats, truth: Floats, days: Floats, lon: Floats) -> tuple[float, float]:
    """lambda_x (degrees) and lambda_t (days) of maps (time, lat, lon) without gaps.

    The shortest wavelength and period on the first contour on which 1 - PSD(error) / PSD(truth) is 0.5, over
    periods and wavelengths in longitude, with spectra averaged over latitude (Hann window, mean removed).
    Both are infinite if nothing is resolved, and two grid steps if everything is. Raises `ValueError` for
    gaps and for uneven days or longitudes.
    """
    steps = [_find_step(days, "days"), _find_step(lon, "longitudes")]
    if not (np.isfinite(estimate).all() and np.isfinite(truth).all()):
        raise ValueError(
            "a spectrum needs values without gaps; choose a region without land and a filled estimate"
        )
    frequency, wavenumber = (fftfreq(len(x), step) for x, step in zip((days, lon), steps, strict=True))
    t, x = frequency > 0, wavenumber > 0
    score = (1 - _compute_spectrum(estimate - truth) / _compute_spectrum(truth))[np.ix_(t, x)]
    # The order of several contours depends on the algorithm; the challenge's plots use this one.
    lines = contour_generator(1 / wavenumber[x], 1 / frequency[t], score, name="mpl2014").lines(0.5)[0]
    if len(lines):
        first = np.asarray(lines[0])
        return float(first[:, 0].min()), float(first[:, 1].min())
    return (2 * steps[1], 2 * steps[0]) if (score > 0.5).all() else (np.inf, np.inf)


def track_resolution(estimate: Floats, truth: Floats, seconds: Floats, step: float = TRACK_STEP) -> float:
    """lambda_x (km) of values along tracks (n,) at times (n,): where the ratio of Welch spectra is 0.5.

    The spectra of the error and of the truth are averaged over segments of 1000 km that overlap by three
    quarters and have no break of more than four seconds. ``step`` is in km. lambda_x is the first crossing of
    1 - PSD(error) / PSD(truth) with 0.5 from the longest wavelength on, linear in wavelength; infinite if the
    longest is not resolved, the shortest if all are. Raises `ValueError` if there is no whole segment.
    """
    size = int(_SEGMENT / step)
    here = np.isfinite(truth)
    estimate, truth, seconds = estimate[here], truth[here], seconds[here]
    runs = np.split(np.arange(len(truth)), np.flatnonzero(np.diff(seconds) > _LONGEST_BREAK) + 1)
    starts = [
        s for run in runs if len(run) for s in range(run[0], run[-1] - size + 2, int(_START_EVERY * size))
    ]
    if not starts:
        raise ValueError(f"no part of the track has {size} values ({_SEGMENT:g} km) without a break")
    index = np.array(starts)[:, None] + np.arange(size)
    spectra = []
    for values in (estimate - truth, truth):
        wavenumber, density = welch(values[index], fs=1 / step, nperseg=size, noverlap=0)
        spectra.append(density.mean(axis=0))
    return find_crossing(1 / wavenumber[1:], (1 - spectra[0] / spectra[1])[1:])


def find_crossing(length: Floats, score: Floats) -> float:
    """Return the wavelength at which a score (n,) first falls below 0.5, linear in wavelength.

    The wavelengths ``length`` (n,) fall. Infinite if the longest is not resolved, the shortest if all are.
    """
    if not score[0] >= 0.5:
        return np.inf
    lost = np.flatnonzero(~(score >= 0.5))
    if not lost.size:
        return float(length[-1])
    pair = [lost[0], lost[0] - 1]
    return float(np.interp(0.5, score[pair], length[pair]))


def _square_errors(estimate: Floats, truth: Floats) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Square errors and truth, NaN where there is no truth."""
    error2 = (np.asarray(estimate, np.float64) - truth) ** 2
    missing = np.count_nonzero(np.isfinite(truth) & ~np.isfinite(error2))
    if missing:
        raise ValueError(f"the estimate is not finite at {missing} values with truth")
    return error2, np.asarray(truth, np.float64) ** 2


def _find_step(position: Floats, what: str) -> float:
    steps = np.diff(position)
    if not len(steps) or not np.allclose(steps, steps[0], rtol=1e-3):
        raise ValueError(f"the {what} are not evenly spaced, as a spectrum requires")
    return float(steps.mean())


def _compute_spectrum(values: Floats) -> NDArray[np.float64]:
    """(frequency, wavenumber) power of (time, lat, lon), averaged over latitude, in arbitrary units."""
    window = np.multiply.outer(*(get_window("hann", values.shape[axis]) for axis in (0, 2)))
    tapered = (values - values.mean(axis=(0, 2), keepdims=True)) * window[:, None]
    return (np.abs(fft2(tapered, axes=(0, 2))) ** 2).mean(axis=1)
