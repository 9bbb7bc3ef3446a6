"""Geostrophic currents against analytic height fields."""

from __future__ import annotations

import numpy as np
import pytest
from filledmaps import make_filled
from oceanfill.pipeline.derived.geostrophy import GRAVITY, ROTATION

import oceanfill

RADIUS = 6371e3
HEIGHT = {"name": "adt", "units": "m", "standard_name": "sea_surface_height_above_geoid"}


def rotate(lat: np.ndarray, speed: float) -> np.ndarray:
    """The height whose geostrophic current is a solid-body rotation, ``speed`` at the equator."""
    return -(RADIUS * ROTATION * speed / GRAVITY) * np.sin(np.radians(lat)) ** 2


@pytest.mark.parametrize("south", [-6.0, -3.125, 30.0])
def test_solid_body_rotation_also_across_the_equator(south: float) -> None:
    lat, lon = south + 0.25 * np.arange(49), 10 + 0.25 * np.arange(6)
    height = np.broadcast_to(rotate(lat, 0.5)[:, None], (1, 49, 6))
    found = oceanfill.derive(make_filled(height, lat, lon, **HEIGHT), what="geostrophic", length=100)
    inner = slice(2, -2)  # differences to one side are less exact
    expected = 0.5 * np.cos(np.radians(lat[inner]))
    np.testing.assert_allclose(found.ugos[0, inner, 2], expected, rtol=2e-3)
    np.testing.assert_allclose(found.vgos[0, inner, 1:-1], 0, atol=1e-6)
    assert found.ugos.attrs["standard_name"] == "surface_geostrophic_eastward_sea_water_velocity"


def test_meridional_current_of_a_slope_to_the_east_and_its_error() -> None:
    lat, lon = 40 + 0.25 * np.arange(5), 10 + 0.25 * np.arange(7)
    step = RADIUS * np.radians(0.25) * np.cos(np.radians(lat[2]))
    height = np.broadcast_to(0.1 * np.arange(7), (1, 5, 7)).copy()
    height[0, 0, 0] = np.nan
    filled = make_filled(height, lat, lon, error=0.02, **HEIGHT)
    found = oceanfill.derive(filled, what="geostrophic", length=50)
    coriolis = 2 * ROTATION * np.sin(np.radians(lat[2]))
    assert float(found.vgos[0, 2, 3]) == pytest.approx(GRAVITY / coriolis * 0.1 / step, rel=1e-4)
    root = np.sqrt(3) * 2 * step / 50e3
    correlation = (1 + root) * np.exp(-root)
    expected = GRAVITY / coriolis * 0.02 * np.sqrt(2 - 2 * correlation) / (2 * step)
    assert float(found.vgos_error[0, 2, 3]) == pytest.approx(expected, rel=1e-3)
    assert np.isnan(found.vgos[0, 0, 0])
    # Next to the land the difference is to one side, over half the distance.
    assert float(found.vgos[0, 0, 1]) == pytest.approx(
        GRAVITY
        / (2 * ROTATION * np.sin(np.radians(40)))
        * 0.1
        / (RADIUS * np.radians(0.25) * np.cos(np.radians(40))),
        rel=1e-4,
    )


def test_error_from_samples_and_names_of_an_anomaly() -> None:
    lat, lon = 40 + 0.25 * np.arange(5), 10 + 0.25 * np.arange(5)
    slopes = np.array([-1.0, 0.0, 1.0])
    samples = slopes[:, None, None, None] * 0.01 * np.arange(5) + np.zeros((3, 1, 5, 5))
    filled = make_filled(np.zeros((1, 5, 5)), lat, lon, samples=samples, name="sla", units="cm")
    found = oceanfill.derive(filled, what="geostrophic")
    step = RADIUS * np.radians(0.25) * np.cos(np.radians(41))
    per_slope = GRAVITY / (2 * ROTATION * np.sin(np.radians(41))) * 0.01 * 0.01 / step  # centimetres
    assert float(found.vgosa_error[0, 4, 2]) == pytest.approx(per_slope, rel=1e-4)
    assert "3 posterior draws" in found.vgosa_error.attrs["comment"]


def test_across_the_ends_of_a_globe_nothing_is_lost() -> None:
    lat, lon = 40 + np.arange(4.0), np.arange(0, 360, 10.0)
    height = np.broadcast_to(np.sin(np.radians(lon)), (1, 4, 36))
    found = oceanfill.derive(make_filled(height, lat, lon, **HEIGHT), what="geostrophic", length=500)
    assert np.isfinite(found.vgos).all()
    np.testing.assert_allclose(found.vgos[0, 1, 0], -found.vgos[0, 1, 18], rtol=1e-5)


def test_refusals() -> None:
    lat, lon = 40 + np.arange(4.0), np.arange(4.0)
    warm = make_filled(np.ones((1, 4, 4)), lat, lon)
    with pytest.raises(
        oceanfill.InputError, match="sst is in degree_Celsius, not in units of a sea level such as m"
    ):
        oceanfill.derive(warm, what="geostrophic", length=10)
    height = make_filled(np.ones((1, 4, 4)), lat, lon, **HEIGHT)
    with pytest.raises(oceanfill.InputError, match="no samples and no fitted covariance"):
        oceanfill.derive(height, what="geostrophic")
    with pytest.raises(oceanfill.InputError, match=r"threshold= is an option of fronts; leave it out"):
        oceanfill.derive(height, what="geostrophic", threshold=1.0)
    with pytest.raises(oceanfill.InputError, match="it is not a field that `oceanfill fill` wrote"):
        oceanfill.derive(height.drop_vars("adt_error"), what="geostrophic")
    height.attrs["fitted_covariance"] = "eddies 32.7 km / 3.55 d, large-scale 215 km / 0.67 d, noise 0.07"
    comment = oceanfill.derive(height, what="geostrophic").ugos_error.attrs["comment"]
    assert "correlations of 16.4 km" in comment
