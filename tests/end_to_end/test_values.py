"""Products whose values need understanding: errors in log10 or percent, chlorophyll, bounded quantities."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from fields import unit
from oceanfill.pipeline.jobs.fill import fill
from scipy.ndimage import gaussian_filter

SHAPE = (20, 16, 18)
DIMS = ("time", "lat", "lon")


def smooth(seed: int, *lengths: float) -> np.ndarray:
    return unit(gaussian_filter(np.random.default_rng(seed).standard_normal(SHAPE), lengths))


def on_grid(**variables: tuple[np.ndarray, dict[str, str]]) -> xr.Dataset:
    return xr.Dataset(
        {name: (DIMS, values.astype(np.float32), attrs) for name, (values, attrs) in variables.items()},
        {
            "time": np.datetime64("2019-06-01", "ns") + np.arange(SHAPE[0]) * np.timedelta64(1, "D"),
            "lat": ("lat", 40 + 0.04 * np.arange(SHAPE[1]), {"units": "degrees_north"}),
            "lon": ("lon", 5 + 0.04 * np.arange(SHAPE[2]), {"units": "degrees_east"}),
        },
    )


LOG10 = -0.3 + 0.35 * smooth(0, 3, 4, 4)
CLOUDS = smooth(1, 0.8, 3, 3) > 0.3
SEEN = np.where(CLOUDS, np.nan, 1.0)
NOISE = np.where(np.random.default_rng(2).random(SHAPE) < 0.5, 0.04, 0.4)  # of the decimal logarithm
CHLOROPHYLL = SEEN * 10 ** (LOG10 + NOISE * np.random.default_rng(3).standard_normal(SHAPE))
TITLE = "Root-mean-square-difference of log10-transformed chlorophyll-a concentration in seawater."


def error_under_clouds(error: np.ndarray | None, attrs: dict[str, str], name: str = "err") -> float:
    """The RMSE of the decimal logarithm of what is filled."""
    data = on_grid(chlor_a=(CHLOROPHYLL, {"units": "milligram m-3"}))
    options = {}
    if error is not None:
        data = data.merge(on_grid(**{name: (SEEN * error, attrs)}))
        options = {"error_variable": name}
    filled = fill(data, variable="chlor_a", method="oi", **options)
    assert filled.attrs["transform"] == "log"
    return float(np.sqrt(np.mean((np.log10(filled.chlor_a.to_numpy()) - LOG10)[CLOUDS] ** 2)))


def test_errors_of_chlorophyll_are_understood_in_every_form():
    """The CCI's log10, Copernicus' percent, and other units: all nearly as good."""
    spread = np.log(10) * NOISE
    relative = np.sqrt(np.expm1(spread**2))
    found = [
        error_under_clouds(NOISE, {"long_name": TITLE}, "chlor_a_log10_rmsd"),
        error_under_clouds(100 * relative, {"units": "%"}, "CHL_uncertainty"),
        error_under_clouds(1e-6 * relative * CHLOROPHYLL, {"units": "kg m^-3"}),
    ]
    np.testing.assert_allclose(found, found[0], rtol=0.05)  # rounding changes the fitted scales
    assert found[0] < 0.04
    assert error_under_clouds(None, {}) > 2 * found[0]


def test_a_percentage_stays_inside_and_keeps_what_was_observed():
    truth = np.clip(50 + 60 * smooth(4, 2, 4, 4), 0, 100)
    data = on_grid(siconc=(SEEN * truth, {"units": "%", "standard_name": "sea_ice_area_fraction"}))
    filled = fill(data, method="oi", bounds_of_values=(0, 100), intervals=(90,))
    for name in ("siconc", "siconc_analysis", "siconc_lower_90", "siconc_upper_90"):
        assert filled[name].min() >= 0, name
        assert filled[name].max() <= 100, name
    np.testing.assert_array_equal(filled.siconc.to_numpy()[~CLOUDS], data.siconc.to_numpy()[~CLOUDS])
    assert (filled.siconc_source == 1).sum() == (~CLOUDS).sum()
    inside = (filled.siconc_lower_90 - 0.01 <= truth) & (truth <= filled.siconc_upper_90 + 0.01)
    assert float(inside.to_numpy()[CLOUDS].mean()) == pytest.approx(0.9, abs=0.06)
    plain = fill(data, method="oi")
    assert float(plain.siconc.max()) > 105, "without the bounds it does not"
    error, usual = (np.sqrt(np.mean((one.siconc - truth).to_numpy()[CLOUDS] ** 2)) for one in (filled, plain))
    assert error < usual
