"""Records filled block by block: the same as in memory, whatever stops them, around the globe."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from fields import cloudy_dataset
from oceanfill.pipeline.errors import InputError
from oceanfill.pipeline.jobs import blockwise as module
from oceanfill.pipeline.jobs.blockwise import fill_record
from oceanfill.pipeline.jobs.fill import fill
from oceanfill.pipeline.jobs.large import needs_blocks
from oceanfill.pipeline.records import blocks
from oceanfill.pipeline.records.blocks import cut_blocks
from oceanfill.pipeline.records.prepare import DATES, prepare
from oceanfill.pipeline.records.record import Record
from oceanfill.pipeline.training.networks import Training

ROWS, COLUMNS = 10, 12
SMALL = 0.6 + 120.01 * 44 * ROWS * COLUMNS / 1e9  # GB: for blocks of 16 dates that see 44


def store(folder: Path, dataset: xr.Dataset) -> str:
    dataset.to_netcdf(folder / "in.nc")
    return str(prepare(folder / "in.nc", folder / "in.zarr", variable="sst"))


@pytest.mark.parametrize(("dates", "memory"), [(1000, 1.0), (150, SMALL), (149, SMALL), (64, SMALL), (17, 9)])
def test_blocks_have_every_date_once_and_fit_the_memory(dates, memory):
    found = [
        (core.dates, seen.dates) for core, seen in cut_blocks((dates, ROWS, COLUMNS), memory * 1e9, 120, 36)
    ]
    assert [t for core, _ in found for t in range(dates)[core]] == list(range(dates))
    lengths = {seen.stop - seen.start for _, seen in found}
    assert len(lengths) == 1
    length = lengths.pop()
    assert length <= max(dates, 32)
    assert 0.6e9 + 120 * length * ROWS * COLUMNS <= memory * 1e9
    for core, seen in found:
        assert core.start % DATES == 0
        assert seen.start <= max(0, core.start - 8)
        assert seen.stop >= min(dates, core.stop + 8)


def test_gaps_shorter_than_what_a_block_sees_are_filled_as_in_memory(tmp_path):
    dataset = cloudy_dataset(dates=150, rows=ROWS, columns=COLUMNS).drop_vars("truth")
    dataset.sst[::6] = cloudy_dataset(dates=150, rows=ROWS, columns=COLUMNS).truth[::6]
    record = Record(store(tmp_path, dataset))
    fill_record(record, tmp_path / "out.zarr", method="linear-time", holdout=False, memory=SMALL)
    whole = fill(dataset, variable="sst", method="linear-time", holdout=False)
    found = xr.open_zarr(tmp_path / "out.zarr").load()
    for name in ("sst", "sst_analysis"):
        np.testing.assert_allclose(found[name], whole[name], rtol=1e-6)
        assert found[name].attrs == whole[name].attrs
    np.testing.assert_array_equal(found.sst_source, whole.sst_source)
    # How errors grow was learnt on 32 dates of the 150.
    ratio = found.sst_error.mean() / whole.sst_error.mean()
    assert float(ratio) == pytest.approx(1, abs=0.07)
    same = (
        "summary",
        "time_coverage_start",
        "time_coverage_end",
        "time_coverage_duration",
        "sea_mask",
        "title",
    )
    assert all(found.attrs[key] == whole.attrs[key] for key in same if key != "sea_mask")


@pytest.mark.parametrize("method", ["oi", "unet"])
def test_a_record_of_one_block_is_filled_as_in_memory(tmp_path, method):
    dataset = cloudy_dataset(dates=34, rows=ROWS, columns=COLUMNS).drop_vars("truth")
    how = Training(epochs=1, first_guess="none" if method == "unet" else "oi")
    record, also = Record(store(tmp_path, dataset)), {"training": how, "intervals": (90,)}
    fill_record(record, tmp_path / "out.nc", method=method, **also)
    whole = fill(dataset, variable="sst", method=method, **also)
    found = xr.load_dataset(tmp_path / "out.nc")
    assert set(found.data_vars) == set(whole.data_vars) > {"sst_lower_90", "sst_upper_90"}
    for name in whole.data_vars:
        np.testing.assert_allclose(found[name], whole[name], rtol=2e-4, atol=2e-5)
    chosen, again = (one.attrs.pop("held_out_choice", None) for one in (whole, found))
    assert chosen == again
    scored = [key for key in whole.attrs if key.startswith(("held_out", "error_factor"))]
    assert len(scored) == 6
    for key in scored:
        assert found.attrs[key] == pytest.approx(whole.attrs[key], rel=1e-3)


def test_blocks_of_optimal_interpolation_are_as_good_as_the_whole(tmp_path):
    dataset = cloudy_dataset(dates=100, rows=ROWS, columns=COLUMNS)
    truth = dataset.truth
    record = Record(store(tmp_path, dataset.drop_vars("truth")))
    fill_record(record, tmp_path / "out.zarr", method="oi", memory=SMALL)
    whole = fill(dataset.drop_vars("truth"), variable="sst", method="oi")
    found = xr.open_zarr(tmp_path / "out.zarr").load()
    gaps = (whole.sst_source == 2) & truth.notnull()

    def error(filled: xr.Dataset) -> float:
        return float(np.sqrt(((filled.sst - truth) ** 2).where(gaps).mean()))

    assert error(found) < 1.2 * error(whole)  # scales fitted to a third of the dates


def test_a_stopped_run_goes_on_and_gives_the_same(tmp_path, monkeypatch):
    dataset = cloudy_dataset(dates=100, rows=ROWS, columns=COLUMNS).drop_vars("truth")
    record = Record(store(tmp_path, dataset))
    how = {"method": "unet", "training": Training(epochs=1, first_guess="none"), "memory": SMALL}
    fill_record(record, tmp_path / "whole.zarr", **how)
    block, done = module._fill_block, []

    def stopping(job, numbered):
        if len(done) == 2:
            raise KeyboardInterrupt
        done.append(numbered[0])
        return block(job, numbered)

    monkeypatch.setattr(module, "_fill_block", stopping)
    with pytest.raises(KeyboardInterrupt):
        fill_record(record, tmp_path / "out.zarr", **how)
    assert not (tmp_path / "out.zarr").exists()
    monkeypatch.setattr(module, "_fill_block", lambda job, k: (done.append(k[0]), block(job, k))[1])
    monkeypatch.setattr(module, "_learn", None)  # is not called again
    fill_record(record, tmp_path / "out.zarr", **how)
    assert done == list(range(7))
    one, other = (xr.open_zarr(tmp_path / name).load() for name in ("whole.zarr", "out.zarr"))
    assert one.equals(other)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.nc", "in.zarr", "out.zarr", "whole.zarr"]


@pytest.mark.slow  # new processes import everything
def test_workers_give_the_same_as_one_process(tmp_path, monkeypatch):
    # Twice the memory would be more to learn on.
    monkeypatch.setattr(module, "sample_of", lambda record, *_, **__: record.field(slice(0, record.shape[0])))
    dataset = cloudy_dataset(dates=50, rows=ROWS, columns=COLUMNS).drop_vars("truth")
    record = Record(store(tmp_path, dataset))
    how = {"method": "persistence", "holdout": False}
    fill_record(record, tmp_path / "one.zarr", memory=SMALL, **how)
    fill_record(record, tmp_path / "two.zarr", memory=2 * SMALL, number=2, **how)
    one, two = (xr.open_zarr(tmp_path / name).load() for name in ("one.zarr", "two.zarr"))
    assert one.equals(two)


def test_a_record_without_gaps_is_copied_through(tmp_path, caplog):
    dataset = cloudy_dataset(dates=40, rows=ROWS, columns=COLUMNS)
    dataset["sst"] = dataset.truth.astype(np.float32)
    fill_record(Record(store(tmp_path, dataset.drop_vars("truth"))), tmp_path / "out.zarr")
    found = xr.open_zarr(tmp_path / "out.zarr").load()
    np.testing.assert_array_equal(found.sst, dataset.sst)
    assert set(np.unique(found.sst_source)) == {0, 1}
    assert "nothing is missing" in caplog.text


def test_other_options_do_not_go_on_with_what_is_left(tmp_path, monkeypatch):
    dataset = cloudy_dataset(dates=100, rows=ROWS, columns=COLUMNS).drop_vars("truth")
    record = Record(store(tmp_path, dataset))
    block = module._fill_block
    monkeypatch.setattr(module, "_fill_block", lambda job, k: block(job, k) if k[0] < 3 else 1 / 0)
    with pytest.raises(ZeroDivisionError):
        fill_record(record, tmp_path / "out.zarr", method="persistence", memory=SMALL)
    monkeypatch.setattr(module, "_fill_block", block)
    fill_record(record, tmp_path / "out.zarr", method="nearest", memory=SMALL)
    fill_record(record, tmp_path / "other.zarr", method="nearest", memory=SMALL)
    assert xr.open_zarr(tmp_path / "out.zarr").equals(xr.open_zarr(tmp_path / "other.zarr"))


def test_the_ends_of_a_global_grid_know_each_other(tmp_path):
    """A wave around the globe, hidden at its ends: nothing but the other end tells what is there."""
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
    record = Record(store(tmp_path, dataset))
    assert record.cyclic
    fill_record(record, tmp_path / "out.zarr", method="linear-space", holdout=False)
    found = xr.open_zarr(tmp_path / "out.zarr").sst_analysis.to_numpy()
    alone = fill(dataset, method="linear-space", holdout=False).sst_analysis.to_numpy()
    at = (slice(10, 30), slice(1, -1), slice(-3, None))
    assert np.abs(found[at] - wave[at]).mean() < 0.15
    assert np.abs(alone[at] - wave[at]).mean() > 0.5


@pytest.fixture
def tiles(monkeypatch):
    """Chunks of eight cells, and the memory (GB) with which no more than ``cells`` are seen at once.

    All is learnt on the whole record, so that nothing but the tiles can make a difference.
    """
    for part in (module, blocks):
        monkeypatch.setattr(part, "CELLS", 8)
    monkeypatch.setattr(module, "sample_of", lambda record, *_, **__: record.field(slice(0, record.shape[0])))
    return lambda dates, cells, bytes_a_value: (blocks.BASE + bytes_a_value * dates * cells + 1) / 1e9


def coast(dates: int, rows: int, columns: int) -> xr.Dataset:
    """A cloudy field with land in its south-west, where one pixel has values all the same."""
    dataset = cloudy_dataset(dates=dates, rows=rows, columns=columns).drop_vars("truth")
    dataset.mask[:18, :18] = 0
    dataset["sst"] = dataset.sst.where(dataset.mask == 1)
    dataset.sst[:, 20, 21] = np.nan  # at sea and never observed
    dataset.sst[3, 12, 12] = 1.0
    return dataset


@pytest.mark.parametrize("method", ["linear-time", "climatology"])
def test_methods_of_a_pixel_are_the_same_in_tiles_and_land_is_skipped(tmp_path, tiles, method):
    dataset = coast(dates=34, rows=43, columns=51)
    record = Record(store(tmp_path, dataset))
    how = {"method": method, "holdout": False}
    fill_record(record, tmp_path / "whole.zarr", **how)
    fill_record(record, tmp_path / "tiles.zarr", memory=tiles(34, 43 * 43, 85), **how)
    whole, found = (xr.open_zarr(tmp_path / name).load() for name in ("whole.zarr", "tiles.zarr"))
    xr.testing.assert_equal(whole, found)
    chunks = [tmp_path / f"{name}.zarr" / "sst" / "c" / "0" / "0" / "0" for name in ("whole", "tiles")]
    assert [chunk.exists() for chunk in chunks] == [False, False]  # nothing but missing values
    assert float(found.sst[3, 12, 12]) == 1
    assert found.sst_source[3, 12, 12] == 1


def test_tiles_of_optimal_interpolation_join(tmp_path, tiles, monkeypatch):
    """What is farther from a tile than it sees changes little, and leaves no edge."""
    dataset = coast(dates=8, rows=43, columns=51)
    record = Record(store(tmp_path, dataset))
    fill_record(record, tmp_path / "whole.zarr", method="oi")
    monkeypatch.setattr(module, "_USUAL_REACH", 9)
    monkeypatch.setattr(module, "_MOST_REACH", 9)
    cut = []
    made = module.blocks_of
    monkeypatch.setattr(module, "blocks_of", lambda *how, **more: cut.append(made(*how, **more)) or cut[-1])
    fill_record(record, tmp_path / "tiles.zarr", method="oi", memory=tiles(8, 37 * 37, 120))
    whole, found = (xr.open_zarr(tmp_path / name).load() for name in ("whole.zarr", "tiles.zarr"))
    apart = (found.sst_analysis - whole.sst_analysis) / whole.sst_error
    assert float(np.sqrt((apart**2).mean())) < 0.04
    edges = sorted({block.core.columns.start for block in cut[-1]} - {0})
    steps = [
        float(np.sqrt((filled.sst_analysis.diff("lon").isel(lon=np.array(edges) - 1) ** 2).mean()))
        for filled in (whole, found)
    ]
    assert steps[1] == pytest.approx(steps[0], rel=0.02)


def test_a_block_that_sees_nothing_gets_the_usual_and_its_spread(tmp_path):
    dataset = cloudy_dataset(dates=200, rows=ROWS, columns=COLUMNS).drop_vars("truth")
    dataset.sst[64:160] = np.nan
    record = Record(store(tmp_path, dataset))
    fill_record(record, tmp_path / "out.zarr", method="linear-time", memory=SMALL)
    found = xr.open_zarr(tmp_path / "out.zarr").load()
    sea = dataset.mask.to_numpy() == 1
    dark = found.isel(time=slice(96, 112))
    mean, spread = dataset.sst.mean("time").to_numpy(), dataset.sst.std("time").to_numpy()
    np.testing.assert_allclose(
        dark.sst.to_numpy()[:, sea], np.broadcast_to(mean[sea], (16, sea.sum())), rtol=1e-5
    )
    np.testing.assert_allclose(dark.sst_error.to_numpy()[0, sea], spread[sea], rtol=1e-4)
    assert (dark.sst_source.to_numpy()[:, sea] == 2).all()  # seen on other dates of the record


def test_logarithms_errors_and_pixels_that_are_never_seen(tmp_path):
    dataset = cloudy_dataset(dates=100, rows=ROWS, columns=COLUMNS).drop_vars("truth")
    dataset["sst"] = np.exp(dataset.sst / 5).assign_attrs(units="mg m-3")
    dataset.sst[:, 7, 7] = np.nan
    how = {"observation_error": 0.5, "transform": "log"}
    fill_record(
        Record(store(tmp_path, dataset), **how), tmp_path / "out.zarr", method="climatology", memory=SMALL
    )
    found = xr.open_zarr(tmp_path / "out.zarr").load()
    assert (found.sst_source[:, 7, 7] == 3).all()
    assert float(found.sst.min()) > 0
    sea = dataset.mask.to_numpy() == 1
    assert np.isfinite(found.sst.to_numpy()[:, sea]).all()
    assert np.isnan(found.sst.to_numpy()[:, ~sea]).all()


def test_what_goes_by_blocks_is_told_from_sizes_alone(tmp_path):
    cloudy_dataset(dates=100, rows=ROWS, columns=COLUMNS).to_netcdf(tmp_path / "in.nc")
    bytes_needed = 0.6e9 + 250 * 100 * ROWS * COLUMNS
    opening = {"variable": "sst"}
    assert needs_blocks(tmp_path / "in.nc", opening, memory=(bytes_needed - 1) / 1e9)
    assert not needs_blocks(tmp_path / "in.nc", opening, memory=(bytes_needed + 1) / 1e9)
    opening |= {"period": "2020-01-01/2020-01-10", "region": (35.0, 35.45, -6, -5.5)}
    assert not needs_blocks(tmp_path / "in.nc", opening, memory=(0.6e9 + 250 * 10 * 5 * 6 + 1) / 1e9)
    assert needs_blocks(tmp_path / "in.nc", opening, memory=(0.6e9 + 250 * 10 * 5 * 6 - 1) / 1e9)


def test_a_global_grid_goes_by_blocks_for_methods_that_look_at_neighbours(tmp_path):
    dataset = cloudy_dataset(dates=20, rows=ROWS, columns=COLUMNS).drop_vars("truth")
    around = np.arange(COLUMNS) * 360 / COLUMNS
    dataset.assign_coords(lon=around).to_netcdf(tmp_path / "global.nc")
    dataset.assign_coords(lon=0.9 * around).to_netcdf(tmp_path / "ocean.nc")
    assert needs_blocks(tmp_path / "global.nc", {}, "oi")
    assert not needs_blocks(tmp_path / "global.nc", {}, "climatology")
    assert not needs_blocks(tmp_path / "global.nc", {"region": (35, 36, 0, 180)}, "oi")
    assert not needs_blocks(tmp_path / "ocean.nc", {}, "oi")


def test_what_is_no_record_is_said(tmp_path):
    dataset = cloudy_dataset(dates=20, rows=ROWS, columns=COLUMNS)
    dataset.to_zarr(tmp_path / "plain.zarr", consolidated=False)
    with pytest.raises(InputError, match="not a store of `oceanfill prepare`"):
        Record(str(tmp_path / "plain.zarr"))
    made = store(tmp_path, dataset)
    with pytest.raises(InputError, match="each with EOFs of its own; leave out --cv-points and --save-eofs"):
        fill_record(Record(made), tmp_path / "out.nc", method="dineof", training=Training(save_eofs="e.nc"))
    with pytest.raises(InputError, match="prepare it anew with --error-variable err"):
        Record(made, error_variable="err")
