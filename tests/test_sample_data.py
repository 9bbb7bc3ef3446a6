"""Properties of the two samples that scores on them rely on."""

from __future__ import annotations

import hashlib
import re
import runpy
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from oceanfill.pipeline.io.field import open_field

import oceanfill

SAMPLES = Path(str(files("oceanfill.sample_data")))
NAMES = {"sst_clouds": "sst", "ssh_med": "adt"}


def load_sample(name: str) -> xr.Dataset:
    with xr.open_dataset(SAMPLES / f"{name}.nc") as data:
        return data.load()


def assert_same_values(made: Path, shipped: Path) -> None:
    """Assert that names, types, packed values and attributes agree exactly."""
    with (
        xr.open_dataset(made, decode_cf=False) as new,
        xr.open_dataset(shipped, decode_cf=False) as old,
    ):
        assert list(new.variables) == list(old.variables)
        for name in old.variables:
            assert new[name].dtype == old[name].dtype
        xr.testing.assert_identical(new.load(), old.load())


@pytest.fixture(scope="module")
def sst() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Observed and true temperature (time, lat, lon) and the sea (lat, lon)."""
    observed, truth = load_sample("sst_clouds"), load_sample("sst_clouds_truth")
    return observed.sst.values, truth.sst_full.values, observed["mask"].values == 1


def test_the_folder_is_small():
    assert sum(path.stat().st_size for path in SAMPLES.iterdir() if path.is_file()) < 6e6


def test_checksums_agree_with_the_readme():
    stated = dict(
        re.findall(
            r"^\| (\S+\.(?:nc|csv)) \| `([0-9a-f]{64})` \|$", (SAMPLES / "README.md").read_text(), re.M
        )
    )
    assert stated == {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in [*SAMPLES.glob("*.nc"), *SAMPLES.glob("*.csv")]
    }
    assert len(stated) == 5


def test_points_differ_from_the_truth_by_their_own_error():
    found = oceanfill.validate(
        SAMPLES / "sst_clouds_truth.nc", SAMPLES / "sst_clouds_points.csv", variable="sst_full"
    )
    whole, *rest = found.scores
    assert not rest
    assert (whole["n"], whole["platforms"]) == (967, 12)
    off = (found.matchups.field - found.matchups.point).groupby(found.matchups.platform)
    assert off.std().to_numpy() == pytest.approx([0.05] * 12, rel=0.35)
    assert off.mean().std() == pytest.approx(0.03, rel=0.5)
    assert whole["rmse"] == pytest.approx(np.hypot(0.05, 0.03), rel=0.2)


@pytest.mark.parametrize("name", NAMES)
def test_the_truth_covers_the_missing_input_over_sea(name):
    data, truth = load_sample(name), load_sample(f"{name}_truth")
    sea = data["mask"].values == 1
    observed, hidden = (np.isfinite(part[NAMES[name]].values) for part in (data, truth))
    np.testing.assert_array_equal(hidden, ~observed & sea)
    assert not observed[:, ~sea].any()


@pytest.mark.parametrize(
    ("name", "standard_name", "units", "start", "dates", "shape", "corner"),
    [
        (
            "sst_clouds",
            "sea_surface_temperature",
            "degree_Celsius",
            "2024-03-21T12",
            90,
            (96, 128),
            (36.025, -14.975),
        ),
        (
            "ssh_med",
            "sea_surface_height_above_geoid",
            "m",
            "2005-04-01T00",
            60,
            (80, 144),
            (35.0625, 0.0625),
        ),
    ],
)
def test_cf_attributes_and_grid(name, standard_name, units, start, dates, shape, corner):
    variable = NAMES[name]
    for data in (load_sample(name), load_sample(f"{name}_truth")):
        array = data[variable]
        assert (array.attrs["standard_name"], array.attrs["units"]) == (standard_name, units)
        assert array.encoding["dtype"] == np.int16
        assert array.shape == (dates, *shape)
        time, y, x = (data[dim] for dim in array.dims)
        assert [axis.attrs["standard_name"] for axis in (time, y, x)] == ["time", "latitude", "longitude"]
        assert "_FillValue" not in y.encoding
        assert time.values[0] == np.datetime64(start)
        assert (np.diff(time.values) == np.timedelta64(1, "D")).all()
        assert (float(y[0]), float(x[0])) == corner
        np.testing.assert_allclose(np.diff(y), {"sst": 0.05, "adt": 0.125}[variable], atol=1e-5)
        np.testing.assert_allclose(np.diff(x), {"sst": 0.05, "adt": 0.125}[variable], atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_the_mask_is_read_as_sea(name):
    field = open_field(SAMPLES / f"{name}.nc")
    np.testing.assert_array_equal(field.sea, load_sample(name)["mask"].values == 1)
    assert field.name == NAMES[name]


def test_clouds_hide_30_to_80_percent_of_each_date_and_persist(sst):
    observed, _, sea = sst
    missing = ~np.isfinite(observed[:, sea])
    share = missing.mean(axis=1)
    assert 0.30 <= share.min() < 0.35
    assert 0.70 < share.max() <= 0.80
    assert 0.45 < share.mean() < 0.55
    # Clouds overlap more with those of the next day than with those two weeks later.
    next_day, later = ((missing[lag:] & missing[:-lag]).mean() / missing.mean() for lag in (1, 14))
    assert next_day > 0.65
    assert later < 0.55
    edges = np.diff(np.pad(missing.astype(np.int8), ((1, 1), (0, 0))), axis=0)
    lengths = np.argwhere(edges.T == -1)[:, 1] - np.argwhere(edges.T == 1)[:, 1]
    assert 0.15 < (lengths >= 5).mean() < 0.35
    assert not missing.all(axis=0).any()


def test_noise_of_the_observations(sst):
    observed, truth, _ = sst
    error = (observed - truth)[np.isfinite(observed)]
    assert error.std() == pytest.approx(0.07, abs=0.001)
    assert abs(error.mean()) < 0.001
    # Independent from cell to cell.
    product = (observed - truth)[:, :, 1:] * (observed - truth)[:, :, :-1]
    assert abs(np.nanmean(product)) < 0.01 * 0.07**2


def test_the_hidden_truth_equals_the_full_field(sst):
    _, whole, sea = sst
    hidden = load_sample("sst_clouds_truth").sst.values
    np.testing.assert_array_equal(hidden[np.isfinite(hidden)], whole[np.isfinite(hidden)])
    np.testing.assert_array_equal(np.isfinite(whole), np.broadcast_to(sea, whole.shape))


def test_structures_move_from_day_to_day(sst):
    """The best match of a 16 x 16 box among shifts of up to 4 cells, two days later."""
    _, truth, _ = sst
    anomaly = truth - np.nanmean(truth, axis=(1, 2), keepdims=True)
    size, reach = 16, 4
    shifts, matches = [], []
    for date in range(0, 85, 12):
        boxes = np.lib.stride_tricks.sliding_window_view(anomaly[date + 2], (size, size))
        for y in range(reach, 96 - size - reach, size):
            for x in range(reach, 128 - size - reach, size):
                box = anomaly[date, y : y + size, x : x + size]
                later = boxes[y - reach : y + reach + 1, x - reach : x + reach + 1]
                if not (np.isfinite(box).all() and np.isfinite(later).all()):
                    continue
                box, later = box - box.mean(), later - later.mean(axis=(2, 3), keepdims=True)
                match = (box * later).sum(axis=(2, 3)) / np.sqrt((box**2).sum() * (later**2).sum(axis=(2, 3)))
                dy, dx = np.unravel_index(match.argmax(), match.shape)
                shifts.append(np.hypot(dy - reach, dx - reach))
                matches.append(match.max() - match[reach, reach])
    assert len(shifts) > 100
    assert np.mean(np.array(shifts) >= 1) > 0.9
    assert 2 <= np.median(shifts) <= 4
    assert np.median(matches) > 0.05  # the structure has moved, rather than changed in place


def test_the_spectral_slope_is_that_of_the_ocean(sst):
    """Between 30 and 160 km the zonal spectrum of temperature follows k^-2 to k^-3."""
    _, truth, sea = sst
    rows = truth[:, sea.all(axis=1)]
    rows = (rows - rows.mean(axis=2, keepdims=True)) * np.hanning(rows.shape[2])
    power = (np.abs(np.fft.rfft(rows, axis=2)) ** 2).mean(axis=(0, 1))
    k = np.arange(4, 20)
    slope = np.polyfit(np.log(k), np.log(power[k]), 1)[0]
    assert -3 < slope < -2


def test_linear_interpolation_in_time_has_the_stated_error(sst):
    observed, _, sea = sst
    hidden = load_sample("sst_clouds_truth").sst.values[:, sea]
    day = np.arange(len(observed))
    linear = [np.interp(day, day[known := np.isfinite(pixel)], pixel[known]) for pixel in observed[:, sea].T]
    assert np.sqrt(np.nanmean((np.transpose(linear) - hidden) ** 2)) == pytest.approx(0.667, abs=0.01)


def test_the_script_reproduces_sst(tmp_path):
    runpy.run_path(str(SAMPLES / "make_sst_clouds.py"))["main"](tmp_path)
    for name in ("sst_clouds.nc", "sst_clouds_truth.nc"):
        assert_same_values(tmp_path / name, SAMPLES / name)


@pytest.mark.shared
def test_the_script_reproduces_ssh(tmp_path, shared):
    source = shared / "duacs_med_adt_2005q2.nc"
    stated = (SAMPLES / "README.md").read_text()
    assert hashlib.sha256(source.read_bytes()).hexdigest() in stated
    runpy.run_path(str(SAMPLES / "make_ssh_med.py"))["main"](source, tmp_path)
    for name in ("ssh_med.nc", "ssh_med_truth.nc"):
        assert_same_values(tmp_path / name, SAMPLES / name)


@pytest.mark.shared
def test_ssh_equals_the_analysis(shared):
    """Input and truth together are the source, without noise."""
    observed, truth = load_sample("ssh_med").adt, load_sample("ssh_med_truth").adt
    with xr.open_dataset(shared / "duacs_med_adt_2005q2.nc") as source:
        real = source.adt.sel(time=observed.time, latitude=observed.latitude, longitude=observed.longitude)
        real = real.transpose(*observed.dims).values
    both = observed.fillna(truth).values
    np.testing.assert_allclose(both, np.where(np.isfinite(both), real, np.nan), atol=1e-7)
    # Three sea pixels of the source are missing on some dates and count as land.
    assert np.isfinite(real).any(axis=0).sum() - np.isfinite(both).all(axis=0).sum() == 3


def test_tracks_repeat_after_ten_days():
    """Jason's tracks return after 10 days; four altimeters cover a few percent of the sea each day."""
    data = load_sample("ssh_med")
    observed = np.isfinite(data.adt.values)[:, data["mask"].values == 1]
    share = observed.mean(axis=1)
    assert 0.015 < share.min() < 0.025
    assert 0.075 < share.max() < 0.085
    overlap = {lag: (observed[lag:] & observed[:-lag]).sum() / observed[lag:].sum() for lag in (5, 10)}
    assert overlap[10] > 0.4
    assert overlap[5] < 0.1
    assert (~observed.any(axis=0)).mean() == pytest.approx(0.336, abs=0.001)


def test_ground_track_of_jason():
    """It turns at the latitude of its inclination; ascending passes are 360 / 127 degrees apart."""
    script = runpy.run_path(str(SAMPLES / "make_ssh_med.py"))
    jason = script["ORBITS"]["Jason-1"]
    days, lat, lon = script["compute_track"](jason, 0)
    assert lat.max() == pytest.approx(66.04, abs=0.01)
    assert days[-1] * 24 * 60 == pytest.approx(112.43, abs=0.01)  # minutes of a revolution
    crossings = np.sort([script["compute_track"](jason, revolution)[2][0] % 360 for revolution in range(127)])
    np.testing.assert_allclose(np.diff(crossings), 360 / 127, atol=1e-6)
    assert lon[0] == pytest.approx(99.92)
