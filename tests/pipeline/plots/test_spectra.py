"""Spectra along rows."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from oceanfill.pipeline.errors import InputError
from oceanfill.pipeline.plots.layers import MapSeries
from oceanfill.pipeline.plots.spectra import draw_spectra, find_spectra

_STEP = np.radians(0.1) * 6371  # km at the equator


def make_series(values: np.ndarray, lost: np.ndarray | None = None, smooth: float = 1.0) -> MapSeries:
    """Values (time, lat, lon) at the equator, some of them lost; the analysis is ``smooth`` of them."""
    lon, lat = np.meshgrid(0.1 * np.arange(values.shape[2]), np.zeros(values.shape[1]))
    observed = values if lost is None else np.where(lost, np.nan, values)
    layers = {"observed": observed, "filled": values, "analysis": smooth * values}
    dates = pd.date_range("2020-01-01", periods=len(values))
    return MapSeries("sst", {"units": "K"}, dates, lat, lon, np.ones(lat.shape, bool), layers)


def test_a_wave_is_found_at_its_wavelength_and_noise_has_its_variance():
    noise = np.random.default_rng(0).standard_normal((20, 10, 64))
    wave = 30 * np.sin(2 * np.pi * np.arange(64) / 8)
    found = find_spectra(make_series(noise + wave))
    density = found.density["observed values"]
    assert 1 / found.wavenumber[density.argmax()] == pytest.approx(8 * _STEP, rel=1e-3)
    white = find_spectra(make_series(noise)).density["observed values"]
    # A variance of one over all wavenumbers up to half a cycle a cell; the longest wave loses to the mean.
    assert white[1:].mean() == pytest.approx(2 * _STEP, rel=0.04)


def test_what_is_smoothed_in_gaps_is_seen():
    noise = np.random.default_rng(0).standard_normal((20, 10, 64))
    lost = np.zeros(noise.shape, bool)
    lost[::2] = True
    found = find_spectra(make_series(noise, lost, smooth=0.5))
    assert found.segments["observed values"] == found.segments["analysis, mostly in gaps"] == 10 * 10 * 3
    ratio = found.density["analysis at the same places"] / found.density["observed values"]
    np.testing.assert_allclose(ratio, 0.25)
    labels = [line.get_label() for line in draw_spectra(make_series(noise, lost)).axes[0].lines]
    assert labels[0] == "observed values (300 segments)"


def test_too_narrow_a_sea_has_no_spectrum():
    with pytest.raises(InputError, match="needs 16 cells of sea in a row; the longest has 12"):
        find_spectra(make_series(np.zeros((20, 10, 12))))
    with pytest.raises(InputError, match="too few segments"):
        find_spectra(make_series(np.zeros((1, 2, 20))))
