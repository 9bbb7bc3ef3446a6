"""Sea ice and other fields on the grid and the dates of a product."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from filledmaps import make_filled
from oceanfill.pipeline.derived.maps import FilledMaps, open_filled
from oceanfill.pipeline.errors import InputError
from oceanfill.pipeline.formats.extras import Given, open_given

LAT, LON = 60 + 0.5 * np.arange(5), 170 + 0.5 * np.arange(40)  # across the date line
DAY = pd.Timestamp("2020-01-02")


@pytest.fixture
def maps() -> FilledMaps:
    with open_filled(make_filled(np.ones((3, 5, 40)), LAT, LON)) as found:
        return found


def read(data: xr.Dataset) -> Given:
    return open_given(data, ("ice",), ("1", "sea ice concentration"), default="1")


def test_linear_on_a_globe_across_its_ends(maps: FilledMaps) -> None:
    lat, lon = np.arange(50, 81, 2.0), np.arange(-180, 180, 2.0)
    plane = 0.01 * (lat[:, None] - 50) + 0.1 * np.cos(np.radians(lon))
    found = read(xr.Dataset({"ice": (("lat", "lon"), plane)}, {"lat": lat, "lon": lon})).regrid(maps, DAY)
    expected = 0.01 * (LAT[:, None] - 50) + 0.1 * np.cos(np.radians(LON))
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_nearest_on_a_polar_grid_and_nothing_far_away(maps: FilledMaps) -> None:
    x, y = np.meshgrid(np.arange(-30.0, 31), np.arange(-30.0, 31))
    lat, lon = 90 - np.hypot(x, y), np.degrees(np.arctan2(y, x))
    data = xr.Dataset(
        {"ice": (("yc", "xc"), 100 * (lat > 61), {"units": "%"})},
        {"lat": (("yc", "xc"), lat), "lon": (("yc", "xc"), lon)},
    )
    found = read(data).regrid(maps, DAY)
    np.testing.assert_array_equal(found[4], 1)  # 62 degrees north, in fractions
    np.testing.assert_array_equal(found[0], 0)
    south = read(data.isel(yc=slice(0, 30))).regrid(maps, DAY)
    assert np.isfinite(south[:, LON > 185]).all()
    assert np.isnan(south[:, LON < 177]).all()


def test_the_date_of_the_same_day(maps: FilledMaps) -> None:
    dates = pd.date_range("2020-01-01T12:00", periods=2)
    values = np.array([0.2, 0.7])[:, None, None] + np.zeros((2, 5, 40))
    given = read(
        xr.Dataset({"ice": (("time", "lat", "lon"), values)}, {"time": dates, "lat": LAT, "lon": LON})
    )
    np.testing.assert_allclose(given.regrid(maps, DAY), 0.7)
    with pytest.raises(InputError, match="ice has no date 2020-01-03; give a file with those of dataset"):
        given.regrid(maps, pd.Timestamp("2020-01-03"))


def test_other_units_are_refused() -> None:
    data = xr.Dataset({"ice": (("lat", "lon"), np.ones((5, 40)), {"units": "K"})}, {"lat": LAT, "lon": LON})
    with pytest.raises(InputError, match="ice is in K, not in units of sea ice concentration such as 1"):
        read(data)
