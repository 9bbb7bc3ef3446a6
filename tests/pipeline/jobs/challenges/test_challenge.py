"""The challenges on made-up files of their layout, and their scores where they are known."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from oceanfill.pipeline.cli import main as cli
from oceanfill.pipeline.errors import InputError
from oceanfill.pipeline.holdout.spectra import TRACK_STEP
from oceanfill.pipeline.io.points.gridding import bin_tracks, make_grid
from oceanfill.pipeline.io.points.tracks import read_tracks
from oceanfill.pipeline.jobs.challenges import challenge as challenges
from oceanfill.pipeline.jobs.challenges.challenge import (
    Observed,
    Simulated,
    challenge,
    interpolate_maps,
    make_track_dataset,
    map_baseline,
)
from oceanfill.pipeline.jobs.challenges.files import Points
from oceanfill.pipeline.simulators.altimetry import MISSIONS, find_bounding_circle, find_points_in_circle
from scipy.fft import fft, fftfreq, ifft

RNG = np.random.default_rng(0)
SECONDS = 0.9434  # between the values of a track
MIDNIGHT = np.datetime64("2012-10-01", "ns")


def level(days, lat, lon):
    """Waves of 18 degrees that go west, one in 60 days, 0.3 m high."""
    return 0.3 * np.sin(2 * np.pi * (lon / 18 + days / 60)) * np.cos(2 * np.pi * lat / 14)


def write_reference(folder: Path, truth: xr.DataArray) -> None:
    """Each day's map at two hours whose mean it is."""
    folder.mkdir(parents=True)
    for day in truth.time.to_index():
        values = truth.sel(time=day).to_numpy()
        xr.Dataset(
            {"sossheig": (("time", "lat", "lon"), np.stack([values - 0.1, values + 0.1]))},
            {
                "time": [day, day + pd.Timedelta(hours=12)],
                "lat": truth.lat.to_numpy(),
                "lon": truth.lon - 360,
            },
        ).to_netcdf(folder / f"NATL60-CJM165_GULFSTREAM_y{day:%Y}m{day:%m}d{day:%d}.1h_SSH.nc")


def grid(step: float, dates: pd.DatetimeIndex) -> dict:
    return {"time": dates, "lat": np.arange(33, 43, step), "lon": np.arange(295, 305, step)}


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An altimeter over the waves, whose daily means are the reference."""
    folder = tmp_path_factory.mktemp("2020a")
    axes = grid(0.5, Simulated.dates)
    noon = (Simulated.dates - pd.Timestamp(MIDNIGHT)) / pd.Timedelta(days=1) + 0.5
    values = level(*np.meshgrid(noon, axes["lat"], axes["lon"], indexing="ij"))
    write_reference(folder / "dc_ref", xr.DataArray(values, axes))
    (folder / "dc_obs").mkdir()
    altimeter = replace(MISSIONS["jason"], spacing=20)
    days, lat, lon = find_points_in_circle(
        altimeter, 0, 77, find_bounding_circle([31, 31, 45, 45], [293, 307, 307, 293])
    )
    xr.Dataset(
        {"lat": ("time", lat), "lon": ("time", lon), "ssh_model": ("time", level(days, lat, lon))},
        {"time": MIDNIGHT + (days * 86400e9).astype("timedelta64[ns]")},
    ).to_netcdf(folder / "dc_obs" / "2020a_SSH_mapping_NATL60_jason1.nc")
    return folder


def test_both_interpolations_map_the_waves(simulated, tmp_path, capsys):
    words = ["challenge", "2020a", "--data", str(simulated), "--observations", "1-nadir", "--step", "1"]
    assert cli.main([*words, "--quiet", "--device", "cpu", "-o", str(tmp_path)]) == 0
    lines = [line.split("│") for line in capsys.readouterr().out.splitlines() if "-nadir" in line]
    found = {cells[1].strip(): cells[3].strip() for cells in lines}
    assert list(found) == ["baseline", "oi", "DUACS", "4DVarNet v2022", "4DVarQG", "4DVarNet"]
    assert found["DUACS"] == "0.92"
    assert float(found["oi"]) > 0.9
    assert float(found["baseline"]) > 0.8  # made for eddies of one degree and one week
    maps = xr.load_dataset(tmp_path / "2020a_1-nadir_oi.nc").ssh
    mu = Simulated(simulated).score(maps)["mu"]
    assert f"{mu:.2f}" == found["oi"]


def test_scores_of_maps_whose_error_has_a_known_spectrum(tmp_path):
    axes = grid(0.1, Simulated.dates)
    truth = xr.DataArray(RNG.standard_normal([len(axis) for axis in axes.values()]), axes)
    write_reference(tmp_path / "dc_ref", truth)
    task = Simulated(tmp_path)
    # The power of the error is (k 2 degrees)^2 / 2 of the truth's.
    share = np.abs(fftfreq(len(truth.lon), 0.1)) * 2 / np.sqrt(2)
    found = task.score(truth + ifft(share * fft(truth.to_numpy(), axis=2), axis=2).real)
    assert found["lambda_x"] == pytest.approx(2, rel=0.08)
    shares = np.where(np.arange(42) % 2, 0.1, 0.3)
    found = task.score(truth * (1 + shares[:, None, None]))
    assert found["mu"] == pytest.approx(1 - np.sqrt((shares**2).mean()), abs=1e-3)
    assert found["sigma"] == pytest.approx(0.1, abs=1e-9)


def write_cryosat(folder: Path, mean: xr.DataArray, when, lat, lon, truth) -> None:
    """Its sea level, as anomalies of a mean, and that mean on a grid; 3 cm are the long waves'."""
    (folder / "dc_maps").mkdir()
    (folder / "dc_obs").mkdir()
    xr.Dataset({"mdt": mean.assign_coords(lon=mean.lon - 360)}).to_netcdf(folder / "dc_maps" / "mdt.nc")
    under = mean.interp(lat=xr.DataArray(lat), lon=xr.DataArray(lon)).to_numpy()
    xr.Dataset(
        {
            "latitude": ("time", lat),
            "longitude": ("time", lon),
            "sla_unfiltered": ("time", truth - under + 0.03),
            "mdt": ("time", under),
            "lwe": ("time", np.full(len(lat), 0.03)),
        },
        {"time": Observed.dates[0] + pd.to_timedelta(when, unit="D")},
    ).to_netcdf(folder / "dc_obs" / "dt_global_c2_phy_l3_20161201-20180131_285-315_23-53.nc")


def test_skill_along_tracks_by_hand(tmp_path):
    """Maps that are linear in all three, so that their interpolation is exact."""
    lat, lon = np.arange(33, 43.1, 0.5), np.arange(295, 305.1, 0.5)
    mean = xr.DataArray(0.02 * (lat[:, None] - 30) + 0 * lon, {"lat": lat, "lon": lon})

    def anomaly(days, lat, lon):
        return 0.1 + 0.001 * days + 0.01 * (lon - 300) - 0.02 * (lat - 38)

    axes = np.arange(float(len(Observed.dates))), lat, lon
    maps = anomaly(*np.meshgrid(*axes, indexing="ij"))
    # Three passes of 161 values; of a fourth, which is all wrong, nine are inside the rim.
    north = 33.3 + np.arange(161) * TRACK_STEP / 111.2
    parts = []
    for number, (share, track) in enumerate(
        zip([0.1, 0.3, 0.2, 9.0], [north, north, north, np.linspace(42.95, 42.55, 17)], strict=True)
    ):
        when = 10.25 + 7 * number + np.arange(len(track)) * SECONDS / 86400
        east = np.full(len(track), 296.0 + number)
        parts.append((when, track, east, (anomaly(when, track, east) + 0.02 * (track - 30)) / (1 + share)))
    write_cryosat(tmp_path, mean, *np.concatenate(parts, axis=1))
    maps = xr.DataArray(maps, {"time": Observed.dates, "lat": lat, "lon": lon})
    task = Observed(tmp_path)
    found = task.score(task.to_scored_level(maps))
    assert found["mu"] == pytest.approx(0.8, abs=1e-6)
    assert found["sigma"] == pytest.approx(np.std([0.1, 0.3, 0.2]), abs=1e-6)


def test_resolution_along_tracks_whose_error_has_a_known_spectrum(tmp_path):
    """Tracks along the rows of a grid: the power of the error is (k 100 km)^2 / 2 of the truth's."""
    lat, lon = 33.3 + np.arange(161) * TRACK_STEP / 111.2, np.arange(295.0, 306)
    truth = RNG.standard_normal((161, 9))
    share = np.abs(fftfreq(161, TRACK_STEP))[:, None] * 100 / np.sqrt(2)
    columns = truth + ifft(share * fft(truth, axis=0), axis=0).real
    maps = np.zeros((len(Observed.dates), 161, 11))
    maps[:, :, 1:-1] = columns
    passes = [100 + 20 * number + np.arange(161) * SECONDS / 86400 for number in range(9)]
    write_cryosat(
        tmp_path,
        xr.DataArray(np.zeros((161, 11)), {"lat": lat, "lon": lon}),
        np.concatenate(passes),
        np.tile(lat, 9),
        np.repeat(lon[1:-1], 161),
        truth.T.ravel(),
    )
    task = Observed(tmp_path)
    found = task.score(
        task.to_scored_level(xr.DataArray(maps, {"time": Observed.dates, "lat": lat, "lon": lon}))
    )
    assert found["lambda_x"] == pytest.approx(100, rel=0.08)


def test_the_baseline_is_its_formula_and_sees_two_weeks():
    dates = pd.date_range("2012-10-22", periods=2)
    days = np.array([0.3, -3.0, 5.5, 14.5, -13.5])
    points = Points(
        dates[0].to_datetime64() + (days * 86400e9).astype("timedelta64[ns]"),
        np.array([35, 35.4, 36, 35, 34.2]),
        np.array([300, 299.5, 300.2, 300, 301]),
        np.array([0.2, -0.1, 0.3, 5.0, 0.1]),
    )
    found = map_baseline(points, dates)
    assert found.shape == (2, 51, 51)

    def kernel(a, b):
        return np.exp(-(((a[:, None] - b) / [7, 1, 1]) ** 2).sum(-1))

    place = np.stack([days, points.lat, points.lon], axis=-1)
    for number, seen in enumerate(([0, 1, 2, 4], [0, 1, 2, 3])):
        at = np.array([[number, 35.2, 299.8]])
        weight = kernel(at, place[seen]) @ np.linalg.inv(
            kernel(place[seen], place[seen]) + 0.05**2 * np.eye(4)
        )
        expected = float(weight[0] @ points.level[seen])
        assert float(found[number].sel(lat=35.2, lon=299.8, method="nearest")) == pytest.approx(expected)
    many = Points(*(np.resize(part, 30_001) for part in points))
    with pytest.raises(InputError, match="leave SWOT's swath out"):
        map_baseline(many._replace(time=np.resize(points.time[:3], 30_001)), dates)


def test_a_map_is_of_what_is_within_half_a_day():
    """Of noon where it is scored on the day's mean, of midnight where it is interpolated in time."""
    first = pd.Timestamp("2017-01-01")
    hours = np.array([26, 3.0, 11, 13])
    time = first.to_datetime64() + (hours * 3600e9).astype("timedelta64[ns]")
    points = Points(time, np.array([36.5, 36, 35.5, 35]), np.full(4, 300.0), np.arange(4.0))
    for noon, dates in ((True, [0, 0, 0, 1]), (False, [0, 0, 1, 1])):
        tracks = read_tracks(make_track_dataset({"one": points}, noon), observation_error=0.1)
        grid = make_grid(tracks, 0.5, (34, 37, 299, 301))
        field = bin_tracks(tracks, replace(grid, dates=pd.date_range(first, periods=2)))
        levels = np.nan_to_num(field.values, nan=-1)
        found = {float(levels[tuple(cell)]): int(cell[0]) for cell in np.argwhere(field.observed)}
        assert found == dict(zip([1, 2, 3, 0], dates, strict=True))


def test_maps_are_interpolated_to_another_grid_and_its_rim():
    coarse = xr.DataArray(np.arange(9.0).reshape(1, 3, 3), {"time": [0], "lat": [0, 1, 2], "lon": [0, 1, 2]})
    fine = xr.DataArray(np.zeros((2, 2)), {"lat": [0.5, 2.01], "lon": [0.5, 1.0]})
    np.testing.assert_allclose(interpolate_maps(coarse, fine)[0], [[2, 2.5], [6.53, 7.03]])


def test_what_is_missing_is_said(simulated, tmp_path):
    with pytest.raises(InputError, match="no challenge '2019'"):
        challenge("2019", simulated)
    with pytest.raises(InputError, match="has no magic; choose among baseline, pretrained"):
        challenge("2020a", simulated, ["magic"])
    with pytest.raises(InputError, match="has no swot; choose among 6-nadirs"):
        challenge("2021a", simulated, observations="swot")
    with pytest.raises(InputError, match=r"dc_maps: no file matches 'mdt.nc'.*unpacked"):
        challenge("2021a", tmp_path)
    with pytest.raises(InputError, match=r"no file matches '2020a.*_topex-poseidon"):
        challenge("2020a", simulated)
    with pytest.raises(InputError, match="there is no folder"):
        challenge("2020a", simulated, output=tmp_path / "nowhere")


def test_observations_that_end_too_early_are_told(simulated, tmp_path):
    (tmp_path / "dc_obs").mkdir()
    (tmp_path / "dc_ref").symlink_to(simulated / "dc_ref")
    name = "dc_obs/2020a_SSH_mapping_NATL60_jason1.nc"
    xr.load_dataset(simulated / name).sel(time=slice(None, "2012-11-20")).to_netcdf(tmp_path / name)
    with pytest.raises(InputError, match="not finite at 4800 values with truth"):  # twelve dates of 20 x 20
        challenge("2020a", tmp_path, ["climatology"], observations="1-nadir", step=1)


def test_all_published_rows_have_observations_that_can_be_asked_for():
    for task in challenges.CHALLENGES.values():
        assert all(row.observations in task.missions for row in task.published)
