"""Maps at the places and times of points."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from oceanfill.pipeline.errors import InputError
from oceanfill.pipeline.holdout.matchups import (
    Matching,
    find_nearest,
    locate,
    match_points,
)
from oceanfill.pipeline.io.points.platforms import read_platforms
from oceanfill.pipeline.io.points.tracks import Tracks

DATES = pd.date_range("2020-01-01T12:00", periods=4)
LAT, LON = np.meshgrid(40 + 0.1 * np.arange(6), 5 + 0.1 * np.arange(8), indexing="ij")


def points(lat, lon, hours, value=0.0) -> Tracks:
    """Points some hours after the first date, in the order given."""
    time = DATES[0] + pd.to_timedelta(np.asarray(hours, float), "h")
    frame = pd.DataFrame(
        {
            "time": time,
            "lat": lat,
            "lon": lon,
            "sst": value,
            "platform": [f"p{k:03d}" for k in range(len(time))],
        }
    )
    return read_platforms(frame, "sst", {})


def plane(date: int) -> np.ndarray:
    """Linear in space and time, so interpolation is exact."""
    return 3 * LAT - 2 * LON + 10 * date


def interpolate(found):
    around = found.gather(plane)
    return found.interpolate(around, np.isfinite(around))


def test_a_plane_is_interpolated_exactly_in_space_and_to_the_nearest_date():
    rng = np.random.default_rng(0)
    lat, lon, hours = 40 + 0.5 * rng.random(50), 5 + 0.7 * rng.random(50), 72 * rng.random(50)
    found = match_points(points(lat, lon + 360, hours), DATES, LAT, LON, Matching())
    assert found.index.tolist() == list(range(50))
    assert interpolate(found) == pytest.approx(3 * lat - 2 * lon + 10 * np.rint(hours / 24), abs=1e-9)


def test_time_is_linear_where_asked_for_and_nearest_beyond_the_ends():
    hours = [6.0, 36.0, -5.0, 75.0]
    found = match_points(
        points([40.2] * 4, [5.3] * 4, hours), DATES, LAT, LON, Matching(interpolation="linear")
    )
    at_place = 3 * 40.2 - 2 * 5.3
    assert interpolate(found) == pytest.approx([at_place + 2.5, at_place + 15, at_place, at_place + 30])


def test_order_of_rows_and_columns_does_not_matter():
    at = np.array([40.13, 40.44]), np.array([5.21, 5.68])
    row, column, cyclic = locate(LAT, LON, *at)
    assert row == pytest.approx([1.3, 4.4])
    assert column == pytest.approx([2.1, 6.8])
    assert not cyclic
    falling = locate(LAT[::-1], LON[:, ::-1], *at)
    assert falling[0] == pytest.approx([3.7, 0.6])
    assert falling[1] == pytest.approx([4.9, 0.2])


def test_a_curvilinear_grid_is_inverted():
    y, x = np.mgrid[:20, :30].astype(float)
    turn = np.radians(25)
    lat = 60 + 0.05 * (y * np.cos(turn) + x * np.sin(turn)) + 2e-4 * x**2
    lon = -20 + 0.1 * (x * np.cos(turn) - y * np.sin(turn)) + 1e-4 * x * y
    rng = np.random.default_rng(1)
    row, column = 1 + 17 * rng.random(40), 1 + 27 * rng.random(40)
    below, left = np.floor(row).astype(int), np.floor(column).astype(int)
    up, right = row - below, column - left

    def bilinear(values):
        south = (1 - right) * values[below, left] + right * values[below, left + 1]
        north = (1 - right) * values[below + 1, left] + right * values[below + 1, left + 1]
        return (1 - up) * south + up * north

    found = locate(lat, lon, bilinear(lat), bilinear(lon))
    assert found[0] == pytest.approx(row, abs=0.02)
    assert found[1] == pytest.approx(column, abs=0.02)
    assert np.isnan(locate(lat, lon, np.array([50.0]), np.array([-20.0]))[0]).all()


def test_a_global_grid_goes_on_across_its_ends():
    lat, lon = np.meshgrid(np.arange(-60.0, 61, 30), np.arange(0.0, 360, 30), indexing="ij")
    row, column, cyclic = locate(lat, lon, np.array([15.0, 0]), np.array([-15.0, 345]))
    assert cyclic
    assert row == pytest.approx([2.5, 2])
    assert column == pytest.approx([11.5, 11.5])
    found = match_points(points([15.0], [-15.0], [0.0]), DATES, lat, lon, Matching(max_distance=5000))
    assert sorted(found.cell[0] % 12) == [0, 0, 11, 11]
    assert found.weight[0] == pytest.approx([0.25] * 4)


def test_land_has_no_weight_and_the_distance_is_to_a_cell_with_a_value():
    found = match_points(points([40.04, 40.09], [5.02, 5.09], [0.0, 0]), DATES, LAT, LON, Matching())
    around = found.gather(lambda date: np.where((LAT < 40.05) & (LON < 5.05), 7.0, np.nan))
    usable = np.isfinite(around)
    assert found.interpolate(around, usable) == pytest.approx([7, 7])
    assert found.limit == pytest.approx(np.hypot(11.12, 11.12 * np.cos(np.radians(40.05))) / 2, rel=2e-3)
    assert found.is_near(usable).tolist() == [True, False]
    assert found.nearest(usable).tolist() == [0, 0]
    assert found.distance[0, 0] == pytest.approx(
        np.hypot(0.04, 0.02 * np.cos(np.radians(40.02))) * 111.19, rel=1e-3
    )


def test_the_limit_of_distance_follows_the_size_of_cells():
    lat, lon = np.meshgrid(np.arange(-80.0, 81, 1), np.arange(-180.0, 180, 1), indexing="ij")
    found = match_points(points([0.49, 79.49], [0.49, 0.49], [0.0, 0]), DATES, lat, lon, Matching())
    usable = np.ones((2, 2, 4), bool)
    assert found.is_near(usable).all(), "in the corner of a cell, which is larger at the equator"
    assert found.limit == pytest.approx([78.6, 56.6], rel=5e-3)
    given = match_points(points([0.49], [0.49], [0.0]), DATES, lat, lon, Matching(max_distance=70))
    assert not given.is_near(usable[:1]).any()


def test_points_off_the_grid_and_late_ones_are_counted():
    lat, lon, hours = [40.2, 40.2, 50.0, 40.54], [5.3, 5.3, 5.3, 5.3], [0.0, 90, 0, 0]
    found = match_points(points(lat, lon, hours), DATES, LAT, LON, Matching())
    assert found.index.tolist() == [0, 3], "half a cell beyond the last centre is on the grid"
    assert found.notes == ("points off the grid: 1", "points more than 12 hours from a date: 1")
    assert len(match_points(points(lat, lon, hours), DATES, LAT, LON, Matching(max_time=24)).index) == 3


def test_nothing_to_match_is_a_sentence():
    with pytest.raises(
        InputError, match=r"no point lies on the grid, which covers 40.00 to 40.50 N.*give points there"
    ):
        match_points(points([10.0], [5.3], [0.0]), DATES, LAT, LON, Matching())
    with pytest.raises(
        InputError, match=r"no point is within 12 hours of a date.*2020-01-01T12.*larger max_time="
    ):
        match_points(points([40.2], [5.3], [900.0]), DATES, LAT, LON, Matching())
    with pytest.raises(InputError, match="the grid has 1 rows and 8 columns"):
        match_points(points([40.0], [5.3], [0.0]), DATES, LAT[:1], LON[:1], Matching())
    with pytest.raises(InputError, match="there is no interpolation 'cubic' in time"):
        Matching(interpolation="cubic")
    with pytest.raises(InputError, match="max_time=-1 is negative"):
        Matching(max_time=-1)


def test_the_nearest_of_other_points_is_near_enough():
    ours = points([40.2, 40.2, 40.2], [5.3, 5.3, 5.3], [0.0, 10, 30])
    others = points([40.2, 40.25, 41.0], [5.3, 5.3, 5.3], [1.0, 10.5, 30.0], [1.0, 2.0, 3.0])
    found = find_nearest(ours, others, distance=6.0, hours=3)
    assert found[:2].tolist() == [1, 2]
    assert np.isnan(found[2])
    assert np.isnan(find_nearest(ours, others, distance=5.0, hours=3)[1]), "0.05 degrees are 5.6 km"
