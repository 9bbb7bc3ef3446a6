"""Small records, and blocks of a few dates to fill them by."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import xarray as xr
from oceanfill.pipeline.io.opening import Opening
from oceanfill.pipeline.jobs.blockwise import fill_record
from oceanfill.pipeline.records.prepare import prepare
from oceanfill.pipeline.records.record import Record
from oceanfill.pipeline.settings import make_settings

ROWS, COLUMNS = 10, 12
SMALL = 0.6 + 120.01 * 44 * ROWS * COLUMNS / 1e9  # GB: for blocks of 16 dates, padded to 44


def make_record(folder: Path, dataset: xr.Dataset, cells: int = 256, **opening: Any) -> Record:
    dataset.to_netcdf(folder / "in.nc")
    kept = {name: opening[name] for name in opening.keys() & {"error_variable"}}
    store = prepare(folder / "in.nc", folder / "in.zarr", variable="sst", cells=cells, **kept)
    return Record(str(store), Opening(**opening))


def fill_blocks(record: Record, output: Path, **options: Any) -> xr.Dataset:
    """Fill a record with some options of the settings, learning from all of it if ``learn_all``."""
    subset = record.read_field(slice(0, record.shape[0])) if options.pop("learn_all", False) else None
    report = options.pop("report", lambda rows: None)
    fill_record(record, output, make_settings(None, options), report, training_subset=subset)
    return xr.open_zarr(output).load() if output.suffix == ".zarr" else xr.load_dataset(output)
