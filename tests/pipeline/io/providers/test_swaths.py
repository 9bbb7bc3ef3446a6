"""Swaths become points, whatever their layout."""

import numpy as np
import pytest
import xarray as xr
from fields import cloudy_dataset
from oceanfill.pipeline.io.points.tracks import average_points, is_along_track, read_tracks
from oceanfill.pipeline.io.providers.swaths import find_swath, flatten_swath
from oceanfill.pipeline.io.reading import open_input
from swaths import LINES, PIXELS, positions, truth, write_l2, write_l2p


@pytest.mark.parametrize("write", [write_l2, write_l2p])
def test_every_pixel_is_a_point_with_its_position_and_time(tmp_path, write):
    paths = write(tmp_path, dates=2)
    assert is_along_track(paths)
    kelvin, minutes = (273.15, 120) if write is write_l2p else (0, 75)  # the middle of a granule
    for day, path in enumerate(paths):
        lat, lon = positions(day)
        tracks = read_tracks(path, quality="none")
        assert len(tracks) == LINES * PIXELS
        time = np.datetime64("2020-06-01") + np.timedelta64(day, "D") + np.timedelta64(minutes, "m")
        assert (tracks.time == time).all()
        order, expected = np.lexsort((tracks.lon, tracks.lat)), np.lexsort((lon.ravel(), lat.ravel()))
        np.testing.assert_allclose(tracks.lat[order], lat.ravel()[expected], atol=1e-5)
        good = np.abs(tracks.value - kelvin - truth(tracks.lat, tracks.lon, day)) < 0.011
        assert good.mean() == pytest.approx(0.7, abs=0.03)


def test_the_time_of_a_line_is_that_of_its_pixels():
    time = np.datetime64("2020-01-01", "ns") + np.arange(3) * np.timedelta64(1, "s")
    lat, lon = np.meshgrid([1.0, 2, 3], [5.0, 6], indexing="ij")
    dataset = xr.Dataset(
        {"ssha": (("num_lines", "num_pixels"), lat + 10 * lon)},
        {
            "time": ("num_lines", time),
            "latitude": (("num_lines", "num_pixels"), lat, {"units": "degrees_north"}),
            "longitude": (("num_lines", "num_pixels"), lon, {"units": "degrees_east"}),
        },
    )
    flat = flatten_swath(dataset)
    assert flat.time.values.tolist() == np.repeat(time, 2).tolist()
    assert flat.ssha.values.tolist() == [51, 61, 52, 62, 53, 63]


def test_positions_that_change_with_time_are_those_of_a_swath():
    lat, lon = np.meshgrid([1.0, 2, 3], [5.0, 6], indexing="ij")
    time = np.array(["2020-01-01", "2020-01-05"], "datetime64[ns]")
    dataset = xr.Dataset(
        {"sst": (("time", "y", "x"), np.arange(12.0).reshape(2, 3, 2))},
        {
            "time": time,
            "lat": (("time", "y", "x"), np.stack([lat, lat + 1]), {"units": "degrees_north"}),
            "lon": (("time", "y", "x"), np.stack([lon, lon]), {"units": "degrees_east"}),
        },
    )
    assert find_swath(dataset) == ("lat", "lon")
    flat = flatten_swath(dataset)
    assert flat.lat.values.tolist() == [1, 1, 2, 2, 3, 3, 2, 2, 3, 3, 4, 4]
    assert flat.time.values.tolist() == np.repeat(time, 6).tolist()


def test_a_curved_grid_is_no_swath(tmp_path):
    """Neither by one file with dates, nor by files whose positions are the same."""
    field = cloudy_dataset(dates=3, rows=4, columns=5)
    lat, lon = np.meshgrid(field.lat, field.lon, indexing="ij")
    field = field.rename(lat="nj", lon="ni").drop_vars(["nj", "ni"])
    field["lat"] = ("nj", "ni"), lat, {"units": "degrees_north"}
    field["lon"] = ("nj", "ni"), lon, {"units": "degrees_east"}
    field = field.set_coords(["lat", "lon"])
    assert find_swath(field) is None
    paths = [tmp_path / f"{number}.nc" for number in range(3)]
    for number, path in enumerate(paths):
        field.isel(time=[number]).to_netcdf(path)
    assert not is_along_track(paths)
    with open_input(str(paths[0])) as (_, one):
        assert find_swath(one) is not None


def test_pixels_of_a_cell_are_averaged(tmp_path):
    (path,) = write_l2(tmp_path, dates=1)
    tracks = read_tracks(path, quality="none", observation_error=0.3)
    bounds = (36.0, 40.0, 3.0, 7.0)
    averaged = average_points(tracks, 0.5, bounds)
    near = (np.abs(tracks.lat - 38) < 0.25) & (np.abs(tracks.lon - 5) < 0.25)
    assert near.sum() > 10
    here = np.argmin((averaged.lat - 38) ** 2 + (averaged.lon - 5) ** 2)
    for name in ("lat", "lon", "value"):
        assert getattr(averaged, name)[here] == pytest.approx(getattr(tracks, name)[near].mean(), abs=1e-9)
    assert averaged.error_variance[here] == pytest.approx(0.09)  # their errors are correlated
    assert (averaged.time == tracks.time[0]).all()


def test_each_pass_is_a_track(tmp_path):
    tracks = read_tracks(write_l2(tmp_path, dates=4), grid=0.5, bounds=(36, 40, 3, 7), quality="none")
    assert tracks.missions == ("Suomi-NPP",)
    assert np.unique(tracks.track).size == 4
    assert all(np.unique(tracks.time[tracks.track == track]).size == 1 for track in range(4))
