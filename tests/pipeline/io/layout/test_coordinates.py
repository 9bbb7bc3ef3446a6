"""Which variable is filled, where its coordinates are, and the grid they make."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from oceanfill.pipeline.errors import InputError
from oceanfill.pipeline.io.layout.coordinates import (
    Layout,
    find_fillable,
    find_layout,
    find_map,
    find_track_layouts,
    list_names,
)
from oceanfill.pipeline.io.layout.positions import EARTH_RADIUS, read_grid, unit_vectors, unwrap_longitude
from series import series


def test_unit_vectors_point_from_the_centre_and_span_great_circles() -> None:
    lat, lon = [0, 0, 90, 45], [0, 90, 12, 180]
    half = np.sqrt(0.5)
    np.testing.assert_allclose(
        unit_vectors(lat, lon), [[1, 0, 0], [0, 1, 0], [0, 0, 1], [-half, 0, half]], atol=1e-15
    )
    paris, tokyo = unit_vectors([48.8566, 35.6762], [2.3522, 139.6503])
    assert EARTH_RADIUS * np.arccos(paris @ tokyo) == pytest.approx(9712, abs=1)  # by the haversine formula


def test_longitudes_are_continuous_across_either_seam() -> None:
    rows = np.array([[178.0, 179, -180, -179], [359, 0, 1, 2], [-1, 0, 1, 2]])
    np.testing.assert_array_equal(
        unwrap_longitude(rows), [[178, 179, 180, 181], [-1, 0, 1, 2], [-1, 0, 1, 2]]
    )
    assert unwrap_longitude(np.array([[179.0, 180], [-179, -178]])).tolist() == [[179, 180], [181, 182]]


def test_y_is_the_dimension_along_which_latitude_changes_most() -> None:
    row, column = np.indices((3, 4))
    data = xr.Dataset(
        {"sst": (("b", "a"), np.zeros((4, 3)))},
        {
            "nav_lat": (("b", "a"), (40 + row + 0.1 * column).T),
            "nav_lon": (("b", "a"), (5 + column - 0.1 * row).T),
        },
    )
    layout = find_map("a.nc", data, "sst")
    assert layout == Layout("sst", time="", lat="nav_lat", lon="nav_lon", t="", y="a", x="b")
    lat, lon = read_grid("a.nc", data, layout)
    np.testing.assert_allclose(lat, 40 + row + 0.1 * column)
    np.testing.assert_allclose(lon, 5 + column - 0.1 * row)


def test_attributes_come_before_names_and_grid_numbers_in_metres_are_no_degrees() -> None:
    data = series().rename(lat="y", lon="x")
    data = data.assign_coords(y=data.y.assign_attrs(units="m"), x=data.x.assign_attrs(units="km"))
    with pytest.raises(InputError, match=r"no latitude was found for sst\(time, y, x\)"):
        find_layout("a.nc", data)
    phi = ("y", [40.0, 41, 42], {"standard_name": "latitude"})
    named = data.assign_coords(lat=("y", [1.0, 2, 3]), phi=phi, lon=("x", np.arange(5.0)))
    assert find_layout("a.nc", named) == Layout("sst", "time", "phi", "lon", "time", "y", "x")


def test_masks_flags_errors_bounds_and_counts_are_not_filled() -> None:
    data = series()
    data["sst_error"] = data.sst.assign_attrs(standard_name="sea_surface_temperature standard_error")
    data["quality"] = data.sst.assign_attrs(flag_meanings="bad good")
    data["land_mask"] = data.sst[0]
    data["uncertainty"], data["digits"] = data.sst, data.sst.astype("i4")
    data.sst.attrs["ancillary_variables"] = "uncertainty"
    assert find_fillable(data) == ["sst"]
    assert find_fillable(data, others=["sst"]) == ["digits"], "whole numbers where there are no real ones"


def test_points_on_one_dimension_are_a_track() -> None:
    data = xr.Dataset(
        {"level": ("obs", np.zeros(3)), "other": ("n", np.zeros(2))},
        {
            "when": ("obs", np.arange(3), {"units": "days since 2020-01-01"}),
            "lat": ("obs", np.zeros(3)),
            "lon": ("obs", np.zeros(3)),
        },
    )
    assert find_track_layouts(data) == [Layout("level", "when", "lat", "lon", "obs", "obs", "obs")]
    assert find_track_layouts(data, "other") == []
    assert find_track_layouts(series()) == []


def test_long_lists_of_names_are_cut() -> None:
    assert list_names("abcdefghij") == "a, b, c, d, e, f, g, h and 2 more"
    assert list_names("abc", most=3) == "a, b, c"
    assert list_names([]) == "nothing"
