"""Along-track files read: layouts, missions, what is left out, tracks, noise."""

import numpy as np
import pytest
import xarray as xr
from oceanfill.pipeline.errors import InputError
from oceanfill.pipeline.io.points.tracks import is_along_track, read_tracks
from tracks import BOUNDS, mission, write_missions


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    made = {"alpha": mission("alpha", seed=1), "beta": mission("beta", noise=0.03, seed=2)}
    return write_missions(tmp_path_factory.mktemp("tracks"), **made)


def test_two_missions_come_together_in_order_of_time(files):
    found = read_tracks(files)
    expected = mission("alpha", seed=1)
    assert found.name == "sla_filtered", "the filtered level where both are there"
    assert found.missions == ("alpha", "beta")
    first = found.at(found.of("alpha"))
    assert len(found) == 2 * len(first) == 2 * 720
    np.testing.assert_allclose(first.value, expected.sla_filtered, atol=1e-4)
    np.testing.assert_allclose(first.lon, expected.longitude)
    np.testing.assert_array_equal(first.time, expected.time)
    assert found.attrs["units"] == "m"
    assert found.inputs[1].startswith("dt_global_beta")
    unfiltered = read_tracks(files, variable="sla_unfiltered")
    np.testing.assert_allclose(unfiltered.value - found.value, 0.001, atol=2e-4)


def test_files_are_the_same_in_any_order_and_by_several_processes(files):
    found, turned = read_tracks(files), read_tracks(files[::-1], n_workers=2)
    beta = found.at(found.of("beta"))
    np.testing.assert_array_equal(turned.value[: len(beta)], beta.value)
    assert turned.missions == ("beta", "alpha")


def test_missions_stay_with_their_points_where_longitudes_come_in_no_order():
    """The first longitude is next to the last one, as on a grid around the globe."""
    lon = np.array([5.3, 40.0, 70.0, -60.0, 5.5])
    names = np.array(["c", "a", "b", "e", "d"], dtype=object)
    time = np.datetime64("2020-01-01", "ns") + np.arange(5) * np.timedelta64(1, "h")
    values = {"value": ("obs", np.arange(5.0)), "platform": ("obs", names), "time": ("obs", time)}
    found = read_tracks(
        xr.Dataset(values | {"lat": ("obs", lon / 10), "lon": ("obs", lon)}), observation_error=1
    )
    assert found.missions == ("a", "b", "c", "d", "e")
    assert found.value.tolist() == [1, 2, 0, 4, 3]
    assert found.lon.tolist() == [40, 70, 5.3, 5.5, -60]


def test_a_track_ends_where_time_jumps(files):
    found = read_tracks(files)
    assert len(np.unique(found.track)) == 2 * 24
    assert (np.bincount(found.track) == 30).all()
    holes = mission("alpha", seed=1).isel(time=np.r_[0:10, 14:30, 30:40, 52:60])
    assert np.bincount(read_tracks(holes).track).tolist() == [26, 10, 8], "4 s are bridged, 12 s are not"


def test_the_noise_is_estimated_along_the_tracks(files):
    found = read_tracks(files, variable="sla_unfiltered")
    sigma = [float(np.sqrt(found.error_variance[found.of(name)][0])) for name in found.missions]
    np.testing.assert_allclose(sigma, [0.01, 0.03], rtol=0.1)
    assert any("estimated from noise along the tracks: alpha 0.0" in oddity for oddity in found.oddities)
    assert (read_tracks(files, observation_error=0.05).error_variance == 0.05**2).all()


@pytest.mark.parametrize(("units", "scale"), [("m", 1), ("cm", 100)])
def test_filtered_values_have_the_noise_of_unfiltered_ones(units, scale):
    """Smoothed over five points, the noise of 3 cm would be estimated as 1 mm."""
    data = mission("alpha", noise=0.03, seed=1)
    smooth = (
        scale
        * data.sla_filtered.rolling(time=5, center=True, min_periods=1)
        .mean()
        .rolling(time=5, center=True, min_periods=1)
        .mean()
    )
    data["sla_filtered"] = smooth.assign_attrs(data.sla_filtered.attrs | {"units": units})
    found = read_tracks(data)
    assert np.unique(np.sqrt(found.error_variance)) == pytest.approx([0.02 * scale])
    (raised,) = [oddity for oddity in found.oddities if "filtered" in oddity]
    assert f"the standard error of alpha is raised to {0.02 * scale:g} (1 Hz altimetry" in raised
    unfiltered = data.rename(sla_filtered="level").drop_vars("sla_unfiltered")
    estimated = float(np.sqrt(read_tracks(unfiltered).error_variance[0]))
    assert estimated < 0.005 * scale
    given = read_tracks(data, observation_error=0.001)
    assert np.unique(np.sqrt(given.error_variance)) == pytest.approx([0.001])
    assert not any("filtered" in oddity for oddity in given.oddities)


def test_the_lines_of_a_swath_are_one_track():
    """Each line has five points of one time; their noise is estimated across the swath."""
    line = mission("wide", noise=0)
    swath = line.isel(time=np.repeat(np.arange(line.sizes["time"]), 5))
    noise = 0.03 * np.random.default_rng(0).standard_normal(swath.sizes["time"])
    east = swath.longitude + np.tile(0.02 * np.arange(5), line.sizes["time"])
    found = read_tracks(swath.assign(longitude=east, sla_filtered=swath.sla_filtered + noise))
    assert (np.bincount(found.track) == 5 * 30).all()
    assert float(np.sqrt(found.error_variance[0])) == pytest.approx(0.03, rel=0.1)


def test_each_point_may_have_a_standard_error_of_its_own():
    data = mission("alpha")
    error = np.linspace(0, 0.1, data.sizes["time"])
    found = read_tracks(
        data.rename(sla_filtered="level").drop_vars("sla_unfiltered").assign(err=("time", error)),
        error_variable="err",
    )
    np.testing.assert_allclose(found.error_variance, error[1:] ** 2)
    assert "values without a standard error: 1" in found.oddities, "of zero"


def test_what_is_of_no_use_is_left_out_and_counted():
    data = mission("alpha").drop_vars("sla_unfiltered")
    data.sla_filtered[3:7] = np.nan
    data.sla_filtered[8] = 99.0
    data.sla_filtered.attrs |= {"valid_max": 10.0, "ancillary_variables": "quality"}
    data.latitude[9] = np.nan
    quality = np.ones(data.sizes["time"], np.int8)
    quality[11:14] = 2, 4, 2
    flags = {"flag_values": np.int8([1, 2, 4]), "flag_meanings": "good_data probably_good bad"}
    data = data.assign(quality=("time", quality, flags))
    found = read_tracks([data][0], region=BOUNDS, period="2020-01-01/2020-01-06")
    outside = mission("alpha").sel(time=slice("2020-01-07", None)).sizes["time"]
    assert set(found.oddities) >= {
        "missing or invalid values: 4",
        "values without a position: 1",
        f"values outside the period: {outside}",
    }
    # Two of the three flags are "probably good", which is kept.
    lost = ["outside the valid range of the file: 1", "flagged by quality: 1"]
    assert list(found.treatment[-2:]) == [f"{count} (0.1% of the values)" for count in lost]
    assert len(found) == 720 - 7 - outside


def test_bounds_hold_across_the_date_line():
    data = mission("alpha")
    whole = read_tracks(data, region=BOUNDS)
    east = read_tracks(data, region=(40, 43, 178, 180))
    west = read_tracks(data, region=(40, 43, -180, -178))
    assert len(whole) == 720
    assert len(east) + len(west) == 720
    assert len(east) > 100
    assert (west.lon < 0).all()
    assert len(read_tracks(data, region=(41, 42, 0, 360))) == np.count_nonzero(
        (data.latitude >= 41) & (data.latitude <= 42)
    )


def test_points_on_the_edges_of_a_region_lie_in_it():
    data = mission("alpha").isel(time=slice(5))
    lat, lon = [40.0, 43, 41, 41, 43.001], [180.0, -180, 178, -178, 180]
    found = read_tracks(data.assign(latitude=("time", lat), longitude=("time", lon)), region=BOUNDS)
    assert found.lat.tolist() == lat[:4]


def test_points_that_come_twice_count_once():
    data = mission("alpha")
    twice = xr.concat([data, data.isel(time=slice(5))], "time")
    found = read_tracks(twice)
    assert len(found) == 720
    assert "points that occur more than once: 5" in found.oddities


def test_missions_are_named_by_the_points_the_attributes_or_the_file(tmp_path):
    data = mission("alpha", dates=2)
    mixed = data.assign(mission=("time", np.array(["b", "a"] * 60)))
    assert read_tracks(mixed).missions == ("a", "b")
    bare = data.assign_attrs(platform="")
    names = ["nrt_global_s6a_hr_phy_l3_20200101.nc", "cryosat_2020-01-01.nc", "20200101.nc"]
    for name in names:
        bare.to_netcdf(tmp_path / name)
    found = [read_tracks(tmp_path / name).missions[0] for name in names]
    assert found == ["s6a", "cryosat", "20200101"]
    with pytest.raises(InputError, match=r"no mission is called 'jason'; choose among a, b"):
        read_tracks(mixed).of("jason")


def test_any_points_with_cf_attributes_will_do():
    random = np.random.default_rng(0)
    data = xr.Dataset(
        {
            "temperature": ("obs", random.normal(15, 1, 80), {"units": "degC"}),
            "when": ("obs", np.arange(80.0), {"units": "hours since 2020-01-01", "standard_name": "time"}),
            "y": ("obs", random.uniform(40, 43, 80), {"standard_name": "latitude", "units": "degrees_north"}),
            "x": ("obs", random.uniform(1, 4, 80), {"standard_name": "longitude", "units": "degrees_east"}),
        }
    )
    found = read_tracks(data)
    assert found.name == "temperature"
    assert found.missions == ("dataset",)
    np.testing.assert_array_equal(found.lat, data.y)
    assert found.time[-1] == np.datetime64("2020-01-04T07")
    assert is_along_track(data)


def test_grids_are_no_tracks(files):
    from fields import cloudy_dataset

    assert is_along_track(files)
    assert not is_along_track(cloudy_dataset())


def test_refusals(files, tmp_path):
    data = mission("alpha", dates=2)
    with pytest.raises(
        InputError, match="dataset: found no variable on one dimension with time, latitude and longitude"
    ):
        read_tracks(data.drop_vars("longitude"))
    with pytest.raises(InputError, match=r"found no chl on one dimension .*; give along-track files"):
        read_tracks(data, variable="chl")
    with pytest.raises(
        InputError, match=r"2 along-track variables could be used .b, a.; choose one with variable="
    ):
        read_tracks(data.rename(sla_filtered="a", sla_unfiltered="b"))
    with pytest.raises(
        InputError, match=r"no value of sla_filtered is usable .values outside the region: 120"
    ):
        read_tracks(data, region=(0, 1, 0, 1))
    with pytest.raises(InputError, match=r"there is no error variable 'err'; choose among .*cycle"):
        read_tracks(data, error_variable="err")
    other = tmp_path / "other.nc"
    data.drop_vars("sla_filtered").to_netcdf(other)
    with pytest.raises(
        InputError, match=r"other.nc: its variable is sla_unfiltered but that of .* is sla_filtered"
    ):
        read_tracks([*files, other])
    broken = tmp_path / "broken.nc"
    broken.write_bytes(open(files[0], "rb").read()[:3000])  # noqa: SIM115, PTH123
    with pytest.raises(InputError, match=r"broken.nc: the file is truncated or damaged .*; fetch it again"):
        read_tracks([*files, broken])
    calendar = data.assign_coords(time=("time", np.arange(120.0), {"units": "days since 2000-01-01"}))
    calendar.time.attrs["calendar"] = "noleap"
    with pytest.raises(InputError, match="the file uses noleap; convert"):
        read_tracks(calendar)
    with pytest.raises(InputError, match="its positions are not in degrees"):
        read_tracks(data.assign_coords(latitude=data.latitude * 1000))


def test_bounds_with_longitudes_first_are_answered():
    data = mission("alpha")
    data["longitude"] = 5 + (data.latitude - 40)
    sentence = "no point lies in 4 to 9 N, 40 to 43 E; latitude comes first, perhaps region=.40, 43, 4, 9."
    with pytest.raises(InputError, match=sentence):
        read_tracks(data, region=(4, 9, 40, 43))
    with pytest.raises(InputError, match="choose another region"):
        read_tracks(data, region=(4, 9, 50, 53))
