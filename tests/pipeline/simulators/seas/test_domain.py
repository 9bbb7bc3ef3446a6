"""Random fields of synthetic seas: variance, spectrum, anisotropy, memory, drift."""

from __future__ import annotations

import numpy as np
import pytest
from oceanfill.pipeline.simulators.seas.domain import (
    Waves,
    draw_log_uniform,
    draw_red_noise,
    evolve,
    make_amplitude,
    standardise,
)


def draw_fields(waves, amplitude, number=40):
    rng = np.random.default_rng(0)
    return np.stack([waves.invert(waves.draw(rng, amplitude)) for _ in range(number)])


@pytest.mark.parametrize("columns", [64, 75])
def test_fields_have_the_variance_one(columns):
    waves = Waves(60, columns)
    fields = draw_fields(waves, make_amplitude(waves, 2.0, 20.0), 80)
    assert fields.var() == pytest.approx(1, abs=0.04)
    assert np.abs(fields.mean((1, 2))).max() < 1e-5


@pytest.mark.parametrize("slope", [1.4, 2.5, 3.6])
def test_the_spectrum_has_the_slope_that_was_asked(slope):
    """The power of a wave falls as k^(-2 slope) far below the longest wavelength."""
    waves = Waves(128, 128)
    power = (np.abs(np.fft.rfft2(draw_fields(waves, make_amplitude(waves, slope, 100.0)))) ** 2).mean(0)
    inside = (waves.total > 0.3) & (waves.total < 2.5)
    fitted = np.polyfit(np.log(waves.total[inside]), np.log(power[inside]), 1)[0]
    assert fitted == pytest.approx(-2 * slope, abs=0.1)


def test_anisotropy_stretches_along_its_angle():
    """Slopes along the angle are smaller by the factor of the anisotropy."""
    waves = Waves(128, 128)
    fields = draw_fields(waves, make_amplitude(waves, 4.0, 40.0, 2.0, np.pi / 2), 20)
    north, east = (np.diff(fields, axis=axis).std() for axis in (1, 2))
    assert east / north == pytest.approx(2, rel=0.1)


@pytest.mark.parametrize("smooth", [False, True])
@pytest.mark.parametrize("gap", [0.5, 4.0, 9.0])
def test_the_correlation_falls_to_one_over_e_within_the_memory(smooth, gap):
    waves, steps = Waves(90, 96), np.arange(12) * gap
    field = evolve(
        np.random.default_rng(1), waves, make_amplitude(waves, 1.0, 6.0), 4.0, steps, smooth=smooth
    )
    passed = 2.146 * gap / 4
    expected = (1 + passed) * np.exp(-passed) if smooth else np.exp(-gap / 4)
    assert field.var() == pytest.approx(1, abs=0.08)
    assert np.corrcoef(field[1:].ravel(), field[:-1].ravel())[0, 1] == pytest.approx(expected, abs=0.04)


def test_uneven_dates_are_as_alike_as_the_time_between_them_asks():
    waves = Waves(90, 96)
    field = evolve(np.random.default_rng(2), waves, make_amplitude(waves, 1.0, 6.0), 3.0, [0, 0.3, 4.3])
    found = [np.corrcoef(field[k].ravel(), field[k + 1].ravel())[0, 1] for k in range(2)]
    np.testing.assert_allclose(found, np.exp([-0.3 / 3, -4 / 3]), atol=0.04)


def test_each_wave_has_its_own_memory():
    waves = Waves(96, 96)
    memory = np.where(waves.total < 0.6, 20.0, 0.5)
    field = evolve(np.random.default_rng(3), waves, make_amplitude(waves, 1.0, 10.0), memory, np.arange(10))
    transform = np.fft.rfft2(field)
    for inside, expected in ((waves.total < 0.6, np.exp(-1 / 20)), (waves.total > 0.6, np.exp(-2))):
        pairs = (transform[1:, inside] * transform[:-1, inside].conj()).real.sum()
        assert pairs / (np.abs(transform[:, inside]) ** 2).sum() * 10 / 9 == pytest.approx(expected, abs=0.05)


def test_drift_moves_the_field():
    waves = Waves(64, 64)
    field = evolve(
        np.random.default_rng(4), waves, make_amplitude(waves, 2.0, 20.0), 1e9, [0, 2], drift=(1.5, -2.0)
    )
    assert np.corrcoef(np.roll(field[0], (3, -4), (0, 1)).ravel(), field[1].ravel())[0, 1] > 0.99
    assert np.corrcoef(field[0].ravel(), field[1].ravel())[0, 1] < 0.9


def test_small_domains_have_trends_across_them():
    """Waves longer than the domain leave it a mean."""
    means = [draw_red_noise(np.random.default_rng(k), 17, 21, 3.0, 60).mean() for k in range(100)]
    assert np.std(means) > 0.4


def test_standardised_seas_leave_land_out():
    sea = np.ones((10, 12), bool)
    sea[:, :3] = False
    field = np.random.default_rng(0).normal(7, 3, (4, 10, 12))
    field[:, ~sea] = 1e4
    found = standardise(field, sea)[:, sea]
    np.testing.assert_allclose([found.mean(), found.std()], [0, 1], atol=1e-12)


def test_log_uniform_numbers_have_their_median_at_the_geometric_mean():
    rng = np.random.default_rng(0)
    drawn = [draw_log_uniform(rng, 0.1, 10) for _ in range(2000)]
    assert 0.1 <= min(drawn) < 0.11
    assert 9 < max(drawn) <= 10
    assert np.median(drawn) == pytest.approx(1, rel=0.15)
