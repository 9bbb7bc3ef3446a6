"""The SSH challenges' scores, on series whose skill and resolution are known."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
from oceanfill.pipeline.holdout.spectra import TRACK_STEP, resolution, skill, track_resolution, track_skill
from scipy.fft import fft, fftfreq, ifft
from scipy.ndimage import gaussian_filter
from scipy.signal import windows

RNG = np.random.default_rng(0)


def half_resolved(truth, step, scale, axis):
    """The truth with an error whose power is (k scale)^2 / 2 of the truth's: half of it at 1 / k = scale."""
    shape = [1] * truth.ndim
    shape[axis] = -1
    share = np.abs(fftfreq(truth.shape[axis], step)).reshape(shape) * scale / np.sqrt(2)
    return truth + ifft(share * fft(truth, axis=axis), axis=axis).real


def test_skill_pools_all_values_and_varies_with_the_date():
    truth = RNG.standard_normal((30, 10, 12))
    truth[3] = np.nan
    share = np.where(np.arange(30) % 2, 0.1, 0.3)[:, None, None]
    mu, sigma = skill((1 + share) * truth, truth)
    size = np.delete((truth**2).mean(axis=(1, 2)), 3)
    part = np.delete(share.ravel(), 3)
    assert mu == pytest.approx(1 - np.sqrt((part**2 * size).sum() / size.sum()))
    assert sigma == pytest.approx(part.std())


def test_track_skill_is_the_mean_of_days_with_enough_values():
    truth = RNG.standard_normal(70)
    days = np.concatenate([np.full(20, 3.2), np.full(9, 4.5), np.full(41, 6.9)])
    share = np.where(days < 4, 0.1, np.where(days < 5, 9, 0.3))
    mu, sigma = track_skill((1 - share) * truth, truth, days)
    assert mu == pytest.approx(0.8)
    assert sigma == pytest.approx(0.1)
    with pytest.raises(ValueError, match="no day has 10"):
        track_skill(truth[20:29], truth[20:29], days[20:29])


def test_resolution_of_maps_in_longitude_and_in_time():
    truth = RNG.standard_normal((64, 300, 100))
    days, lon = np.arange(64.0), 0.25 * np.arange(100)
    wavelength, period = resolution(half_resolved(truth, 0.25, 2.0, 2), truth, days, lon)
    assert wavelength == pytest.approx(2, rel=0.08)  # the least of the contour, which scatters by chance
    assert period == pytest.approx(64 / 31, rel=1e-6)  # it crosses all periods
    wavelength, period = resolution(half_resolved(truth, 1.0, 8.0, 0), truth, days, lon)
    assert period == pytest.approx(8, rel=0.08)
    assert wavelength == pytest.approx(25 / 49, rel=1e-6)


def test_the_first_contour_is_that_of_the_challenges_plots():
    rng = np.random.default_rng(1)  # of many the first that algorithms order differently
    truth = rng.standard_normal((30, 2, 40))
    estimate = gaussian_filter(truth, (1, 0, 1)) + 0.35 * rng.standard_normal(truth.shape)
    days, lon = np.arange(30.0), 0.25 * np.arange(40)
    window = np.multiply.outer(windows.hann(30, sym=False), windows.hann(40, sym=False))[:, None]

    def power(values):
        tapered = window * (values - values.mean(axis=(0, 2), keepdims=True))
        return (np.abs(np.fft.fft2(tapered, axes=(0, 2))) ** 2).mean(axis=1)[1:15, 1:20]

    score = 1 - power(estimate - truth) / power(truth)
    (lines,) = plt.contour(10 / np.arange(1, 20), 30 / np.arange(1, 15), score, [0.5]).allsegs
    plt.close()
    least = np.min([line.min(axis=0) for line in lines], axis=0)
    assert len(lines) > 1
    assert lines[0].min() > least.min(), "the first and the finest are not the same"
    assert resolution(estimate, truth, days, lon) == pytest.approx(tuple(lines[0].min(axis=0)))


def test_resolution_where_nothing_or_everything_is_resolved():
    truth = RNG.standard_normal((20, 4, 30))
    days, lon = np.arange(20.0), 0.1 * np.arange(30)
    assert resolution(0 * truth, truth, days, lon) == (np.inf, np.inf)
    assert resolution(1.1 * truth, truth, days, lon) == pytest.approx((0.2, 2))


def test_a_spectrum_asks_for_even_steps_without_gaps():
    truth = RNG.standard_normal((8, 3, 9))
    with pytest.raises(ValueError, match="days are not evenly"):
        resolution(truth, truth, np.arange(8.0) ** 2, np.arange(9.0))
    with pytest.raises(ValueError, match="without gaps"):
        resolution(np.where(truth > 1, np.nan, truth), truth, np.arange(8.0), np.arange(9.0))


def test_resolution_along_tracks_with_breaks_in_them():
    truth = RNG.standard_normal(60_000)
    seconds = 0.9434 * np.arange(truth.size)
    estimate = half_resolved(truth, TRACK_STEP, 100.0, 0)
    assert track_resolution(estimate, truth, seconds) == pytest.approx(100, rel=0.03)
    broken = seconds + 1e4 * (np.arange(truth.size) // 1000)
    damaged = np.where(np.arange(truth.size) % 1000 < 6 * 156, estimate, 1e3)
    assert track_resolution(damaged, truth, np.where(damaged == 1e3, broken + 5e3, broken)) == pytest.approx(
        100, rel=0.03
    )  # the rest is too short for a segment


def test_resolution_along_a_track_that_is_resolved_wholly_not_at_all_or_too_short():
    truth = RNG.standard_normal(400)
    seconds = 0.9434 * np.arange(400)
    assert track_resolution(0 * truth, truth, seconds) == np.inf
    assert track_resolution(1.1 * truth, truth, seconds) == pytest.approx(2 * TRACK_STEP)
    with pytest.raises(ValueError, match="1000 km"):
        track_resolution(truth, truth, 10 * seconds)
