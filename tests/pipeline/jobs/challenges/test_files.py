"""Files of the challenges' layout, made up, and what is read from them."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from oceanfill.pipeline.errors import InputError
from oceanfill.pipeline.jobs.challenges.files import (
    join_points,
    read_mean_topography,
    read_points,
    read_reference,
)


def write(path: Path, variables: dict, **coordinates: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    xr.Dataset(variables, coordinates).to_netcdf(path)
    return path


def test_points_of_a_nadir_altimeter(tmp_path):
    time = np.datetime64("2012-10-01", "ns") + np.arange(12) * np.timedelta64(1, "s")
    level = np.arange(12.0)
    level[1] = np.nan
    path = write(
        tmp_path / "jason1.nc",
        {
            "lat": ("time", 30 + 0.1 * np.arange(12)),
            "lon": ("time", np.full(12, -60.0)),
            "ssh_model": ("time", level),
            "lwe": ("time", np.full(12, 0.5)),
        },
        time=time,
    )
    points = read_points(path, {"ssh_model": 1, "lwe": -1})
    np.testing.assert_array_equal(points.level, level[np.isfinite(level)] - 0.5)
    np.testing.assert_array_equal(points.time, time[np.isfinite(level)])
    assert set(points.lon) == {300.0}
    averaged = read_points(path, {"ssh_model": 1}, averaged=5)
    np.testing.assert_allclose(averaged.level, [np.mean([0, 2, 3, 4]), 7])
    np.testing.assert_allclose(averaged.lat, [30.2, 30.7])
    np.testing.assert_array_equal(averaged.time, time[[2, 7]])
    assert len(join_points([points, averaged]).level) == 13
    with pytest.raises(InputError, match="there is no mdt"):
        read_points(path, {"mdt": 1})
    with pytest.raises(InputError, match="times are int64 and no dates"):
        read_points(write(tmp_path / "counted.nc", {"ssh_model": 1.0, "lat": 0, "lon": 0}, time=[1]), {})


def test_points_of_a_swath_have_the_time_of_their_line(tmp_path):
    time = np.datetime64("2012-10-01", "ns") + np.arange(4) * np.timedelta64(1, "s")
    level = np.arange(12.0).reshape(4, 3)
    level[2, 1] = np.nan
    lat, lon = np.meshgrid(40 + np.arange(4.0), 300 + np.arange(3.0), indexing="ij")
    across = ("time", "nC")
    path = write(
        tmp_path / "karin.nc",
        {
            "lat": (across, lat),
            "lon": (across, lon),
            "x_ac": ("nC", [-10.0, 0, 10]),
            "ssh_model": (across, level),
        },
        time=time,
    )
    points = read_points(path, {"ssh_model": 1})
    known = np.isfinite(level)
    np.testing.assert_array_equal(points.level, level[known])
    np.testing.assert_array_equal(points.time, np.repeat(time[:, None], 3, axis=1)[known])
    np.testing.assert_array_equal(points.lat, lat[known])
    part = points.within((41, 43, 300, 301), pd.Timestamp(time[0]), pd.Timestamp(time[2]))
    np.testing.assert_array_equal(part.level, [3, 4, 6])


def test_the_reference_is_the_mean_of_each_day(tmp_path):
    hourly = np.arange(2 * 24 * 2 * 3, dtype=float).reshape(2, 24, 2, 3)
    days = pd.date_range("2012-10-22", periods=2)
    for day, values in zip(days, hourly, strict=True):
        write(
            tmp_path / f"NATL60-CJM165_GULFSTREAM_y2012m10d{day.day}.1h_SSH.nc",
            {"sossheig": (("time", "lat", "lon"), values)},
            time=day + pd.to_timedelta(np.arange(24), unit="h"),
            lat=[33.0, 34],
            lon=[-65.0, -64, -63],
        )
    found = read_reference(tmp_path, days)
    np.testing.assert_allclose(found, hourly.mean(axis=1))
    np.testing.assert_array_equal(found.lon, [295, 296, 297])
    with pytest.raises(InputError, match=r"no file matches .*y2012m10d24"):
        read_reference(tmp_path, pd.date_range("2012-10-22", periods=3))


def test_the_mean_topography_may_have_a_date_and_western_longitudes(tmp_path):
    values = np.arange(6.0).reshape(1, 2, 3)
    write(tmp_path / "mdt.nc", {"mdt": (("time", "lat", "lon"), values)}, lat=[34.0, 33], lon=[-1.0, 0, 1])
    found = read_mean_topography(tmp_path)
    np.testing.assert_array_equal(found.lon, [0, 1, 359])
    np.testing.assert_array_equal(found.sel(lat=34), [1, 2, 0])
