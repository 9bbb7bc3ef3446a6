"""The grid and dates of a synthetic sea, and random fields on it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.fft import irfft2, next_fast_len, rfft2

Floats = NDArray[np.floating]
Booleans = NDArray[np.bool_]
Parameters = Mapping[str, float | str]  # what was drawn, in plain numbers and words
_SMALLEST = 48  # cells of the periodic domain, so that small seas have scales larger than themselves
_FOLD = 2.146  # (1 + x) exp(-x) is 1/e there


@dataclass(frozen=True)
class Domain:
    """Where and when a sea is drawn. Lengths are in cells and durations in steps, except these."""

    sea: Booleans  # (lat, lon)
    cell: float  # km
    step: float  # days, the typical time between dates
    days: NDArray[np.float64]  # (time,) since the first date, increasing

    @property
    def shape(self) -> tuple[int, int, int]:
        """Dates, rows and columns."""
        return len(self.days), *self.sea.shape

    @property
    def steps(self) -> NDArray[np.float64]:
        """(time,) steps since the first date."""
        return self.days / self.step


@dataclass(frozen=True)
class Waves:
    """The wavenumbers, in radians per cell, of a doubly periodic domain of rows x columns."""

    rows: int
    columns: int

    @cached_property
    def north(self) -> Floats:
        """(rows, 1)"""
        return 2 * np.pi * np.fft.fftfreq(self.rows)[:, None]

    @cached_property
    def east(self) -> Floats:
        """(1, columns // 2 + 1)"""
        return 2 * np.pi * np.fft.rfftfreq(self.columns)[None, :]

    @cached_property
    def total(self) -> NDArray[np.float64]:
        """(rows, columns // 2 + 1)"""
        return np.hypot(self.north, self.east)

    def draw(self, rng: np.random.Generator, amplitude: Floats) -> NDArray[np.complex64]:
        """Draw the transform of a Gaussian field with the ``amplitude`` of `make_amplitude`."""
        noise = rng.standard_normal((self.rows, self.columns), dtype=np.float32)
        return rfft2(noise) * amplitude.astype(np.float32)

    def invert(self, transform: NDArray[np.complexfloating]) -> NDArray[np.float32]:
        """Compute the field (rows, columns) of a transform."""
        return irfft2(transform, s=(self.rows, self.columns))


def surround(rows: int, columns: int, factor: float = 1.4) -> Waves:
    """Return the waves of a periodic domain that is larger by ``factor``, so that opposite sides differ."""
    return Waves(*(next_fast_len(max(_SMALLEST, int(factor * size))) for size in (rows, columns)))


def make_amplitude(
    waves: Waves, slope: float, longest: float, anisotropy: float = 1.0, angle: float = 0.0
) -> NDArray[np.float64]:
    """Return amplitudes proportional to k^-slope below the wavelength ``longest``, for a field of variance 1.

    ``anisotropy`` stretches the field along ``angle``, in radians anticlockwise from east.
    """
    along = anisotropy * (waves.east * np.cos(angle) + waves.north * np.sin(angle))
    across = waves.north * np.cos(angle) - waves.east * np.sin(angle)
    amplitude = (along**2 + across**2 + (2 * np.pi / longest) ** 2) ** (-slope / 2)
    amplitude[0, 0] = 0
    twice = np.full(waves.total.shape[1], 2.0)
    twice[0] = 1
    if waves.columns % 2 == 0:
        twice[-1] = 1
    return amplitude / np.sqrt((amplitude**2 * twice).sum() / (waves.rows * waves.columns))


def draw_red_noise(
    rng: np.random.Generator, rows: int, columns: int, slope: float, longest: float
) -> NDArray[np.float32]:
    """Draw one Gaussian field (rows, columns) of expected variance 1."""
    waves = surround(rows, columns)
    return waves.invert(waves.draw(rng, make_amplitude(waves, slope, longest)))[:rows, :columns]


def evolve(
    rng: np.random.Generator,
    waves: Waves,
    amplitude: Floats,
    memory: Floats | float,
    steps: Floats,
    drift: Sequence[float] | Floats = (0.0, 0.0),
    smooth: bool = False,
) -> NDArray[np.float32]:
    """Draw a stationary Gaussian field (time, rows, columns) of the periodic domain, at times ``steps``.

    ``memory`` is the time, in steps, in which the correlation of a wave falls to 1/e: one number, or one for
    each wavenumber. ``drift`` is northward and eastward, in cells per step. The correlation in time is
    exponential, or, if ``smooth``, that of Matern-3/2, whose fields have a rate of change.
    """
    rate = np.maximum(1 / np.asarray(memory, np.float64), 1e-3) * (_FOLD if smooth else 1.0)
    value = waves.draw(rng, amplitude)
    other = waves.draw(rng, amplitude) if smooth else value  # the rate of change over ``rate``
    fields = [waves.invert(value)]
    for gap in np.diff(steps):
        passed = rate * gap
        kept = np.exp(-passed)
        noise = waves.draw(rng, amplitude)
        if smooth:
            # Exact solution of the stochastic equation: transition matrix, and Cholesky factor of the noise.
            first = np.sqrt(np.maximum(1 - kept**2 * ((1 + passed) ** 2 + passed**2), 1e-12))
            both = 2 * (passed * kept) ** 2 / first
            second = np.sqrt(np.maximum(1 - kept**2 * (passed**2 + (1 - passed) ** 2) - both**2, 0))
            value, other = (
                kept * ((1 + passed) * value + passed * other) + first * noise,
                kept * ((1 - passed) * other - passed * value)
                + both * noise
                + second * waves.draw(rng, amplitude),
            )
        else:
            value = kept * value + np.sqrt(1 - kept**2) * noise
        turn = np.exp(-1j * gap * (drift[0] * waves.north + drift[1] * waves.east))
        value, other = (value * turn).astype(np.complex64), (other * turn).astype(np.complex64)
        fields.append(waves.invert(value))
    return np.stack(fields)


def draw_log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    """Draw a number between ``low`` and ``high`` whose logarithm is uniform."""
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def standardise(field: Floats, sea: Booleans) -> NDArray[np.float64]:
    """Return the field (time, lat, lon) with mean 0 and standard deviation 1 over all dates of the sea."""
    values = field[:, sea].astype(np.float64)
    return (field - values.mean()) / max(values.std(), 1e-12)
