"""Radial velocities: stations in a dimension, in files and in variables; directions; what is refused."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from fields import eddies, seen_by_radars
from oceanfill.pipeline.errors import InputError
from oceanfill.pipeline.io.radials import open_radials

SEEN = seen_by_radars(eddies(dates=8))


def same(first, second):
    np.testing.assert_array_equal(first.values, second.values)
    np.testing.assert_array_equal(first.towards, second.towards)
    np.testing.assert_array_equal(first.sea, second.sea)


def test_values_and_unit_vectors_are_those_of_the_file():
    radials = open_radials(SEEN, "direction", observation_error=0.03)
    expected = SEEN.radial.to_numpy()
    expected = np.where(np.isfinite(expected).mean(axis=0) >= 0.05, expected, np.nan)
    np.testing.assert_array_equal(radials.values, expected)
    angle = np.radians(SEEN.direction.to_numpy())
    np.testing.assert_allclose(radials.towards, np.stack([np.sin(angle), np.cos(angle)], 1), atol=1e-6)
    np.testing.assert_array_equal(radials.sea, np.isfinite(expected).any(axis=(0, 1)))
    assert radials.error_variance.max() == pytest.approx(0.03**2)


def test_stations_may_be_files_or_variables(tmp_path):
    whole = open_radials(SEEN, "direction")
    paths = []
    for number in range(2):
        paths.append(tmp_path / f"{number}.nc")
        SEEN.isel(station=number).to_netcdf(paths[-1])
    same(open_radials(paths, "direction"), whole)
    apart = xr.Dataset(
        {f"{name}{number}": SEEN[name].isel(station=number) for name in SEEN for number in range(2)}
    )
    same(open_radials(apart, "direction0,direction1", variable="radial0,radial1"), whole)
    with pytest.raises(InputError, match=r"1 directions .direction0. were given for 2 variables"):
        open_radials(apart, "direction0", variable="radial0,radial1")


def test_dates_are_those_of_any_station(tmp_path):
    for number, dates in enumerate((slice(0, 6), slice(2, 8))):
        SEEN.isel(station=number, time=dates).to_netcdf(tmp_path / f"{number}.nc")
    found = open_radials(str(tmp_path / "*.nc"), "direction", minimum_coverage=0.0)
    expected = SEEN.radial.to_numpy().copy()
    expected[6:, 0] = expected[:2, 1] = np.nan
    np.testing.assert_array_equal(found.values, expected)
    np.testing.assert_allclose(found.stations[0].days, np.arange(8) / 4)


def test_a_direction_towards_the_instrument_is_turned_about():
    turned = SEEN.assign(direction=(SEEN.direction + 180) % 360)
    turned.direction.attrs = {"standard_name": "direction_of_radial_vector_toward_instrument"}
    np.testing.assert_allclose(
        open_radials(turned, "direction").towards, open_radials(SEEN, "direction").towards, atol=1e-6
    )
    turned.direction.attrs = {}
    np.testing.assert_allclose(
        open_radials(turned, "direction").towards, -open_radials(SEEN, "direction").towards, atol=1e-6
    )


def test_a_direction_may_be_repeated_on_the_dates():
    repeated = (SEEN.direction * xr.ones_like(SEEN.time, float)).where(SEEN.radial.notnull())
    found, once = open_radials(SEEN.assign(direction=repeated), "direction"), open_radials(SEEN, "direction")
    np.testing.assert_array_equal(found.values, once.values)
    seen = np.isfinite(found.values).any(axis=0)[:, None]
    np.testing.assert_allclose(found.towards, np.where(seen, once.towards, 0), atol=1e-6)


def test_a_mask_says_where_the_sea_is():
    mask = xr.DataArray(
        np.ones((18, 20), np.int8), dims=("lat", "lon"), attrs={"standard_name": "sea_binary_mask"}
    )
    mask[0] = 0
    radials = open_radials(SEEN.assign(mask=mask), "direction")
    np.testing.assert_array_equal(radials.sea, mask == 1)
    assert not radials.stations[0].never_observed.any()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda seen: seen.rename(direction="bearing"), "no direction 'direction'.*bearing"),
        (
            lambda seen: seen.assign(direction=np.radians(seen.direction).assign_attrs(units="radian")),
            "not in degrees",
        ),
        (lambda seen: seen.assign(direction=4 * seen.direction), "not in degrees"),
        (
            lambda seen: seen.assign(direction=seen.direction.where(seen.lat > 43.2)),
            "velocities have no direction",
        ),
        (
            lambda seen: seen.assign(direction=seen.direction + 2 * xr.ones_like(seen.time, float).cumsum()),
            "one direction per cell",
        ),
    ],
)
def test_directions_that_are_none_are_refused(change, says):
    with pytest.raises(InputError, match=says):
        open_radials(change(SEEN), "direction")


def test_stations_on_two_grids_are_refused(tmp_path):
    SEEN.isel(station=0).to_netcdf(tmp_path / "0.nc")
    SEEN.isel(station=1).assign_coords(lat=SEEN.lat + 0.01).to_netcdf(tmp_path / "1.nc")
    with pytest.raises(InputError, match="its grid differs from that of the first station"):
        open_radials(str(tmp_path / "*.nc"), "direction")
