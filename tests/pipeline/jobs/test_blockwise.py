"""Records filled block by block: which inputs are, and what a stopped run leaves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from fields import cloudy_dataset
from oceanfill.pipeline.classical.baselines import persistence
from oceanfill.pipeline.errors import InputError
from oceanfill.pipeline.io.opening import Opening
from oceanfill.pipeline.jobs.fill import fill
from oceanfill.pipeline.records.blocks import DATES, cut_blocks
from oceanfill.pipeline.records.record import Record
from smallrecord import COLUMNS, ROWS, SMALL, fill_blocks, make_record


@pytest.mark.parametrize(("dates", "memory"), [(1000, 1.0), (150, SMALL), (149, SMALL), (64, SMALL), (17, 9)])
def test_blocks_have_every_date_once_and_fit_the_memory(dates, memory):
    found = [
        (core.dates, padded.dates)
        for core, padded in cut_blocks((dates, ROWS, COLUMNS), memory * 1e9, 120, 36)
    ]
    assert [t for core, _ in found for t in range(dates)[core]] == list(range(dates))
    lengths = {padded.stop - padded.start for _, padded in found}
    assert len(lengths) == 1
    length = lengths.pop()
    assert length <= max(dates, 32)
    assert 0.6e9 + 120 * length * ROWS * COLUMNS <= memory * 1e9
    for core, padded in found:
        assert core.start % DATES == 0
        assert padded.start <= max(0, core.start - 8)
        assert padded.stop >= min(dates, core.stop + 8)


class Stopping:
    """Persistence that is called ``calls`` times and then fails."""

    def __init__(self, calls: float = np.inf) -> None:
        self.left = calls
        self.dates: list[np.datetime64] = []  # the first one of each field that was filled

    def __call__(self, field):
        if not self.left:
            raise KeyboardInterrupt
        self.left -= 1
        self.dates.append(field.dates[0])
        return persistence(field)


def test_a_stopped_run_fills_the_blocks_that_are_left(tmp_path):
    """Four blocks: the field is learned from once, then each block is filled once."""
    record = make_record(tmp_path, cloudy_dataset(dates=100, rows=ROWS, columns=COLUMNS).drop_vars("truth"))
    whole, stopped, resumed = Stopping(), Stopping(3), Stopping()
    how = {"memory": SMALL, "holdout": False}
    expected = fill_blocks(record, tmp_path / "whole.zarr", method=whole, **how)
    assert len(whole.dates) == 1 + 4
    with pytest.raises(KeyboardInterrupt):
        fill_blocks(record, tmp_path / "out.zarr", method=stopped, **how)
    assert not (tmp_path / "out.zarr").exists()
    found = fill_blocks(record, tmp_path / "out.zarr", method=resumed, **how)
    assert stopped.dates + resumed.dates == whole.dates
    assert found.equals(expected)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.nc", "in.zarr", "out.zarr", "whole.zarr"]


def test_a_network_is_not_trained_again_after_a_stop(tmp_path):
    record = make_record(tmp_path, cloudy_dataset(dates=12, rows=ROWS, columns=COLUMNS).drop_vars("truth"))
    how = {"method": "unet", "epochs": 1, "first_guess": "none", "memory": SMALL}
    expected = fill_blocks(record, tmp_path / "whole.zarr", **how)
    trained = []

    def stop(rows):
        network = tmp_path / ".out.zarr.unfinished" / "network.ckpt"
        trained.append((network.stat().st_mtime_ns, rows))
        if len(trained) == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fill_blocks(record, tmp_path / "out.zarr", report=stop, **how)
    found = fill_blocks(record, tmp_path / "out.zarr", report=stop, **how)
    assert trained[0] == trained[1]
    assert found.equals(expected)


def test_another_method_does_not_resume_an_unfinished_store(tmp_path):
    record = make_record(tmp_path, cloudy_dataset(dates=100, rows=ROWS, columns=COLUMNS).drop_vars("truth"))
    how = {"memory": SMALL, "holdout": False}
    with pytest.raises(KeyboardInterrupt):
        fill_blocks(record, tmp_path / "out.zarr", method=Stopping(3), **how)
    found = fill_blocks(record, tmp_path / "out.zarr", method="nearest", **how)
    other = fill_blocks(record, tmp_path / "other.zarr", method="nearest", **how)
    assert found.equals(other)


@pytest.mark.slow  # new processes import everything
def test_workers_give_the_same_as_one_process(tmp_path):
    """With an error variable, whose median for values without one goes to the workers."""
    dataset = cloudy_dataset(dates=50, rows=ROWS, columns=COLUMNS).drop_vars("truth")
    error = xr.where(dataset.sst > 15, 0.1, np.nan).astype(np.float32)
    record = make_record(tmp_path, dataset.assign(err=error), error_variable="err")
    how = {"method": "persistence", "holdout": False, "learn_all": True}
    one = fill_blocks(record, tmp_path / "one.zarr", memory=SMALL, **how)
    two = fill_blocks(record, tmp_path / "two.zarr", memory=2 * SMALL, n_workers=2, **how)
    assert one.equals(two)


def test_a_record_without_gaps_is_copied_through(tmp_path, caplog):
    dataset = cloudy_dataset(dates=40, rows=ROWS, columns=COLUMNS)
    dataset["sst"] = dataset.truth.astype(np.float32)
    dataset = dataset.drop_vars("truth")
    record = make_record(tmp_path, dataset, observation_error=0.3)
    found = fill_blocks(record, tmp_path / "out.zarr", method="oi")
    whole = fill(dataset, variable="sst", observation_error=0.3, method="oi")
    np.testing.assert_array_equal(found.sst, dataset.sst)
    assert set(np.unique(found.sst_source)) == {0, 1}
    np.testing.assert_array_equal(found.sst_error, whole.sst_error)
    assert found.attrs["method"] == whole.attrs["method"] == "oi"
    assert "delivered" not in found.attrs
    assert caplog.text.count("nothing is missing, so") == 2


def test_a_record_without_a_positive_value_has_no_logarithms(tmp_path):
    dataset = cloudy_dataset(dates=20, rows=ROWS, columns=COLUMNS).drop_vars("truth")
    record = make_record(tmp_path, dataset.assign(sst=-dataset.sst), transform="log")
    with pytest.raises(InputError, match=r"no observed value of sst is positive.*use transform='none'"):
        fill_blocks(record, tmp_path / "out.zarr", method="linear-time")


def fills_block_by_block(caplog, path: Path, **options: Any) -> bool:
    caplog.clear()
    fill(path, **({"method": "persistence", "holdout": False} | options))
    return "filling block by block" in caplog.text


def test_inputs_larger_than_the_memory_are_filled_by_blocks(tmp_path, caplog):
    """Larger: 250 bytes a value of the variable, period and region that are filled, and 0.6 GB."""
    caplog.set_level("INFO")
    path = tmp_path / "in.nc"
    cloudy_dataset(dates=100, rows=ROWS, columns=COLUMNS).to_netcdf(path)
    needed = 0.6e9 + 250 * 100 * ROWS * COLUMNS
    assert fills_block_by_block(caplog, path, variable="sst", memory=(needed - 1) / 1e9)
    assert not fills_block_by_block(caplog, path, variable="sst", memory=(needed + 1) / 1e9)
    part = {"variable": "sst", "period": "2020-01-01/2020-01-10", "region": (35.0, 35.45, -6, -5.5)}
    needed = 0.6e9 + 250 * 10 * 5 * 6
    assert fills_block_by_block(caplog, path, memory=(needed - 1) / 1e9, **part)
    assert not fills_block_by_block(caplog, path, memory=(needed + 1) / 1e9, **part)


def test_a_global_grid_is_filled_by_blocks_where_a_method_uses_neighbours(tmp_path, caplog):
    caplog.set_level("INFO")
    dataset = cloudy_dataset(dates=20, rows=ROWS, columns=COLUMNS).drop_vars("truth")
    around = np.arange(COLUMNS) * 360 / COLUMNS
    dataset.assign_coords(lon=around).to_netcdf(tmp_path / "global.nc")
    dataset.assign_coords(lon=0.9 * around).to_netcdf(tmp_path / "ocean.nc")
    neighbours = {"method": "linear-space"}
    assert fills_block_by_block(caplog, tmp_path / "global.nc", **neighbours)
    assert not fills_block_by_block(caplog, tmp_path / "global.nc", method="climatology")
    assert not fills_block_by_block(caplog, tmp_path / "global.nc", region=(35, 36, 0, 180), **neighbours)
    assert not fills_block_by_block(caplog, tmp_path / "ocean.nc", **neighbours)


def test_a_store_of_moved_rows_and_columns_has_the_values_of_memory(tmp_path):
    """From 0 to 360 degrees and from north to south, wider and higher than a chunk."""
    lat, lon = np.linspace(26, -26, 260), np.arange(0, 360, 1.2)
    t, y, x = np.indices((3, 260, 300))
    values = np.where((t + y // 9 + x // 7) % 3 > 0, np.sin(y / 30) + np.cos(x * np.pi / 75) + t, np.nan)
    dataset = xr.Dataset(
        {"sst": (("time", "lat", "lon"), values.astype(np.float32), {"units": "degree_Celsius"})},
        {
            "time": np.datetime64("2020-01-01", "ns") + np.arange(3) * np.timedelta64(1, "D"),
            "lat": lat,
            "lon": lon,
        },
    )
    dataset.to_netcdf(tmp_path / "in.nc")
    how = {"method": "linear-time", "holdout": False}
    whole = fill(str(tmp_path / "in.nc"), **how)
    fill(str(tmp_path / "in.nc"), str(tmp_path / "out.zarr"), cache=str(tmp_path / "cache.zarr"), **how)
    with xr.open_zarr(tmp_path / "out.zarr") as found:
        np.testing.assert_array_equal(found.lat, lat)
        np.testing.assert_array_equal(found.lon, lon)
        assert found.sst.encoding["chunks"] == (1, 256, 256)
        np.testing.assert_array_equal(found.sst, whole.sst)


def test_stores_and_settings_that_do_not_fit_are_refused(tmp_path):
    dataset = cloudy_dataset(dates=20, rows=ROWS, columns=COLUMNS)
    dataset.to_zarr(tmp_path / "plain.zarr", consolidated=False)
    with pytest.raises(InputError, match="not a store of `oceanfill prepare`"):
        Record(str(tmp_path / "plain.zarr"))
    record = make_record(tmp_path, dataset)
    with pytest.raises(InputError, match="each block has its own EOFs; leave out cv_points= and save_eofs="):
        fill_blocks(record, tmp_path / "out.nc", method="dineof", save_eofs="e.nc")
    with pytest.raises(InputError, match="prepare the files again with error_variable='err'"):
        Record(record.path, Opening(error_variable="err"))
