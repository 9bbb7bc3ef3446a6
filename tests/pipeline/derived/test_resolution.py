"""The effective resolution of fields that were smoothed at a known scale."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from filledmaps import make_filled
from scipy.ndimage import gaussian_filter1d

import oceanfill

KM = 6371 * np.radians(0.1)
LAT, LON = 0.1 * np.arange(-2, 3), 0.1 * np.arange(128)
SCALE = 2.5  # cells
# (1 - H)^2 = 1/2 for H = exp(-(k s)^2 / 2), so k s = sqrt(-2 ln(1 - sqrt(1/2))).
EXPECTED = 2 * np.pi * SCALE * KM / np.sqrt(-2 * np.log(1 - np.sqrt(0.5)))


def make_pair(dates: int = 60) -> tuple[np.ndarray, np.ndarray]:
    """Noise (time, lat, lon) and the same smoothed along its rows."""
    truth = np.random.default_rng(0).standard_normal((dates, 5, 128))
    return truth, gaussian_filter1d(truth, SCALE, axis=2)


def test_a_field_smoothed_at_a_known_scale() -> None:
    truth, smooth = make_pair()
    filled = make_filled(smooth, LAT, LON)
    found = oceanfill.derive(
        filled, what="resolution", truth=filled[["sst"]].copy(data={"sst": truth}), span=700
    )
    assert found.sst_effective_resolution.shape == (1, 2)
    np.testing.assert_allclose(found.sst_effective_resolution, EXPECTED, rtol=0.04)
    # Smoothing changes amplitudes, not phases: all scales that are left are coherent.
    assert float(found.sst_coherent_scale.max()) < 0.6 * EXPECTED


def test_the_map_tells_a_fine_half_from_a_coarse_one() -> None:
    truth, smooth = make_pair()
    fine = gaussian_filter1d(truth, SCALE / 2, axis=2)
    both = np.where(np.arange(128) < 64, smooth, fine)
    filled = make_filled(both, LAT, LON)
    found = oceanfill.derive(
        filled, what="resolution", truth=filled[["sst"]].copy(data={"sst": truth}), span=400
    )
    row = found.sst_effective_resolution[0]
    assert row.size == 4
    assert float(row[0]) == pytest.approx(EXPECTED, rel=0.08)
    assert float(row[-1]) == pytest.approx(EXPECTED / 2, rel=0.08)


def test_samples_stand_for_a_truth() -> None:
    truth, smooth = make_pair(dates=20)
    filled = make_filled(smooth, LAT, LON, samples=np.stack([truth, truth]))
    found = oceanfill.derive(filled, what="resolution", span=700)
    np.testing.assert_allclose(found.sst_effective_resolution, EXPECTED, rtol=0.06)
    with pytest.raises(oceanfill.InputError, match="it has no samples to compare its spectra with"):
        oceanfill.derive(filled.drop_vars("sst_samples"), what="resolution")
    with pytest.raises(oceanfill.InputError, match="segments of 5000 km do not fit into rows of 1423 km"):
        oceanfill.derive(filled, what="resolution", span=5000)


def test_tracks_along_a_row() -> None:
    truth, smooth = make_pair(dates=60)
    seconds = 1.0 * np.arange(128)
    day = np.arange(60)
    time = np.datetime64("2020-01-01", "ns") + (day[:, None] * 86400e9 + seconds * 1e9).ravel().astype(
        "timedelta64[ns]"
    )
    points = xr.Dataset(
        {"sst": ("time", truth[:, 2].ravel(), {"units": "degree_Celsius"})},
        {
            "time": time,
            "latitude": (
                "time",
                np.zeros(time.size),
                {"standard_name": "latitude", "units": "degrees_north"},
            ),
            "longitude": ("time", np.tile(LON, 60), {"standard_name": "longitude", "units": "degrees_east"}),
        },
    )
    found = oceanfill.derive(make_filled(smooth, LAT, LON), what="resolution", truth=points, span=700)
    # Segments of 62 points start every 15 of the 128; the last track lies after the last map.
    assert int(found.segments.sum()) == 59 * 5
    np.testing.assert_allclose(found.sst_effective_resolution, EXPECTED, rtol=0.08)
