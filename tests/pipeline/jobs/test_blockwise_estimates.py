"""Estimates of records filled block by block: as in memory, in tiles, and around the globe."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from fields import cloudy_dataset, unit
from oceanfill.pipeline.jobs.fill import fill
from oceanfill.pipeline.records.blocks import BASE
from scipy.ndimage import gaussian_filter
from smallrecord import COLUMNS, ROWS, SMALL, fill_blocks, make_record


def test_gaps_shorter_than_the_halo_of_a_block_are_filled_as_in_memory(tmp_path):
    dataset = cloudy_dataset(dates=150, rows=ROWS, columns=COLUMNS).drop_vars("truth")
    dataset.sst[::6] = cloudy_dataset(dates=150, rows=ROWS, columns=COLUMNS).truth[::6]
    record = make_record(tmp_path, dataset)
    how = {"method": "linear-time", "holdout": False}
    found = fill_blocks(record, tmp_path / "out.zarr", memory=SMALL, **how)
    whole = fill(dataset, variable="sst", **how)
    for name in ("sst", "sst_analysis"):
        np.testing.assert_allclose(found[name], whole[name], rtol=1e-6)
        assert found[name].attrs == whole[name].attrs
    np.testing.assert_array_equal(found.sst_source, whole.sst_source)
    # The growth of errors in time was learned from 32 of the 150 dates.
    ratio = found.sst_error.mean() / whole.sst_error.mean()
    assert float(ratio) == pytest.approx(1, abs=0.07)


def test_blocks_of_optimal_interpolation_are_as_good_as_the_whole(tmp_path):
    dataset = cloudy_dataset(dates=80, rows=ROWS, columns=COLUMNS)
    truth = dataset.truth
    record = make_record(tmp_path, dataset.drop_vars("truth"))
    found = fill_blocks(record, tmp_path / "out.zarr", method="oi", memory=SMALL)
    whole = fill(dataset.drop_vars("truth"), variable="sst", method="oi")
    gaps = (whole.sst_source == 2) & truth.notnull()

    def error(filled: xr.Dataset) -> float:
        return float(np.sqrt(((filled.sst - truth) ** 2).where(gaps).mean()))

    assert error(found) < 1.2 * error(whole)  # scales fitted to 32 dates


def test_the_ends_of_a_global_grid_are_neighbours(tmp_path):
    """A wave around the globe, hidden at one end: only the other end is near."""
    lon = np.arange(0, 360, 7.5)
    wave = 10 + 3 * np.sin(np.radians(lon)) * np.ones((40, 8, 1))
    seen = wave + 0.1 * np.random.default_rng(0).standard_normal(wave.shape)
    rng = np.random.default_rng(1)
    seen[rng.random(seen.shape) < 0.3] = np.nan
    seen[10:30, :, -4:] = np.nan
    dataset = xr.Dataset(
        {"sst": (("time", "lat", "lon"), seen.astype(np.float32))},
        {
            "time": np.datetime64("2020-01-01", "ns") + np.arange(40) * np.timedelta64(1, "D"),
            "lat": 7.5 * np.arange(8),
            "lon": lon,
        },
    )
    record = make_record(tmp_path, dataset)
    assert record.cyclic
    how = {"method": "linear-space", "holdout": False}
    found = fill_blocks(record, tmp_path / "out.zarr", **how).sst_analysis.to_numpy()
    regional = dataset.assign_coords(lon=0.9 * lon)  # its ends are not neighbours
    alone = fill(regional, **how).sst_analysis.to_numpy()
    at = (slice(10, 30), slice(1, -1), slice(-3, None))
    assert np.abs(found[at] - wave[at]).mean() < 0.15
    assert np.abs(alone[at] - wave[at]).mean() > 0.5


def memory_of(dates: int, cells: int, bytes_a_value: float) -> float:
    """GB with which no more than ``cells`` are read at once."""
    return (BASE + bytes_a_value * dates * cells + 1) / 1e9


def coast(dates: int, rows: int, columns: int) -> xr.Dataset:
    """A cloudy field with land in its south-west, where one pixel has values all the same."""
    dataset = cloudy_dataset(dates=dates, rows=rows, columns=columns).drop_vars("truth")
    dataset.mask[:18, :18] = 0
    dataset["sst"] = dataset.sst.where(dataset.mask == 1)
    dataset.sst[:, 20, 21] = np.nan  # at sea and never observed
    dataset.sst[3, 12, 12] = 1.0
    return dataset


@pytest.mark.parametrize("method", ["linear-time", "climatology"])
def test_pointwise_methods_are_the_same_in_tiles_and_land_is_skipped(tmp_path, method):
    record = make_record(tmp_path, coast(dates=20, rows=35, columns=51), cells=8)
    how = {"method": method, "holdout": False, "learn_all": True}
    whole = fill_blocks(record, tmp_path / "whole.zarr", **how)
    found = fill_blocks(record, tmp_path / "tiles.zarr", memory=memory_of(20, 35 * 43, 85), **how)
    xr.testing.assert_equal(whole, found)
    chunks = [tmp_path / f"{name}.zarr" / "sst" / "c" / "0" / "0" / "0" for name in ("whole", "tiles")]
    assert [chunk.exists() for chunk in chunks] == [False, False]  # nothing but missing values
    assert float(found.sst[3, 12, 12]) == 1
    assert found.sst_source[3, 12, 12] == 1


def test_the_margin_of_tiles_is_as_wide_as_the_covariance(tmp_path):
    """Eddies of 16 cells, hidden from column 131 to 235: what is 12 cells away still matters.

    With margins of 12 cells the tile from column 144 on has no observation in the west: the standard errors
    there are up to 4.2 times those of the whole, the estimates off by 1.1 standard errors.
    """
    rng = np.random.default_rng(0)
    waves = gaussian_filter(rng.standard_normal((6, 4, 256)), (2, 8, 8))
    seen = 15 + 3 * unit(waves) + 0.02 * rng.standard_normal(waves.shape)
    seen[rng.random(seen.shape) < 0.3] = np.nan
    seen[:, :, 131:236] = np.nan
    time = np.datetime64("2020-01-01", "ns") + np.arange(6) * np.timedelta64(1, "D")
    dataset = xr.Dataset(
        {
            "sst": (("time", "lat", "lon"), seen.astype(np.float32)),
            "sea_mask": (("lat", "lon"), np.ones((4, 256), np.int8)),
        },
        {"time": time, "lat": 35 + 0.1 * np.arange(4), "lon": -6 + 0.1 * np.arange(256)},
    )
    record = make_record(tmp_path, dataset, cells=8)
    how = {"method": "oi", "learn_all": True, "holdout": False}
    whole = fill_blocks(record, tmp_path / "whole.zarr", **how)
    found = fill_blocks(record, tmp_path / "tiles.zarr", memory=memory_of(6, 4 * 208, 120), **how)
    difference = abs(found.sst_analysis - whole.sst_analysis) / whole.sst_error
    assert float(difference[:, :, :170].max()) < 0.2
    # Farther than 35 cells from any observation the estimate is the mean of those that the block has.
    assert float(difference.max()) < 0.6
    np.testing.assert_allclose(found.sst_error, whole.sst_error, rtol=0.02)


@pytest.mark.parametrize(("value", "transform"), [(np.nan, "none"), (np.nan, "log"), (0, "log")])
def test_a_block_without_observations_gets_mean_and_deviation_of_each_pixel(tmp_path, value, transform):
    """Those of the lognormal distribution where logarithms are filled; zeros have no logarithm."""
    dataset = cloudy_dataset(dates=200, rows=ROWS, columns=COLUMNS).drop_vars("truth")
    dataset["sst"] = np.exp(dataset.sst / 5).assign_attrs(units="mg m-3")
    dataset.sst[64:160] = dataset.sst[64:160] * 0 + value
    mean, deviation = dataset.sst.mean("time").to_numpy(), dataset.sst.std("time").to_numpy()
    record = make_record(tmp_path, dataset, transform=transform)
    found = fill_blocks(record, tmp_path / "out.zarr", method="linear-time", memory=SMALL)
    sea = dataset.mask.to_numpy() == 1
    dark = found.isel(time=slice(96, 112))
    for name, expected in (("sst", mean), ("sst_error", deviation)):
        np.testing.assert_allclose(
            dark[name].to_numpy()[:, sea], np.broadcast_to(expected[sea], (16, sea.sum())), rtol=1e-4
        )
    assert (dark.sst_source.to_numpy()[:, sea] == 2).all()  # observed on other dates of the record


@pytest.mark.parametrize("method", ["linear-time", "persistence", "climatology"])
def test_pixels_observed_only_in_other_blocks_are_estimated_from_their_neighbours(tmp_path, method):
    """Six pixels under a cloud of 80 dates: the blocks of the middle have 44 dates."""
    dataset = cloudy_dataset(dates=150, rows=ROWS, columns=COLUMNS)
    dataset.sst[40:120, 4:6, 6:9] = np.nan
    record = make_record(tmp_path, dataset.drop_vars("truth"))
    found = fill_blocks(record, tmp_path / "out.zarr", method=method, memory=SMALL)
    hidden = {"time": slice(70, 90), "lat": slice(4, 6), "lon": slice(6, 9)}
    made, truth = found.isel(hidden), dataset.truth.isel(hidden)
    assert (made.sst_source == 2).all()
    assert float(np.sqrt(((made.sst - truth) ** 2).mean())) < 4  # the field's deviation is 3
    assert 0.5 < float(made.sst_error.min()) < float(made.sst_error.max()) < 10


def test_logarithms_and_pixels_that_are_never_observed(tmp_path):
    dataset = cloudy_dataset(dates=100, rows=ROWS, columns=COLUMNS).drop_vars("truth")
    dataset["sst"] = np.exp(dataset.sst / 5).assign_attrs(units="mg m-3")
    dataset.sst[:, 7, 7] = np.nan
    dataset.sst[:, 7, 8] = dataset.sst[:, 7, 8] * 0  # without a logarithm on any date
    record = make_record(tmp_path, dataset, observation_error=0.5, transform="log")
    found = fill_blocks(record, tmp_path / "out.zarr", method="climatology", memory=SMALL)
    assert (found.sst_source[:, 7, 7:9] == 3).all()
    assert float(found.sst.min()) > 0
    sea = dataset.mask.to_numpy() == 1
    assert np.isfinite(found.sst.to_numpy()[:, sea]).all()
    assert np.isnan(found.sst.to_numpy()[:, ~sea]).all()
