"""The store that a record is filled into, block by block."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import dask.array
import numpy as np
import pandas as pd
import xarray as xr
from zarr.codecs import BloscCodec

from ..holdout.calibration import Calibration
from ..io.alignment import restore_grid
from ..io.layout.dates import days_since_first
from ..io.maps.selection import drop_missing_date
from ..io.outliers import describe_outliers
from ..io.output import OUTLIER, UNKNOWN, describe_time_coverage, summarise_field, to_dataset
from ..io.reading import TREATMENT
from ..io.storage import Span, encode_filled
from ..io.workers import start_workers
from ..io.writing import replace_atomically
from ..progress import BLOCKS, progress
from ..settings import FillSettings, Packing, Resources
from .blocks import Block, Box
from .record import Record

_log = logging.getLogger(__name__)

_DONE = "done"  # folder of the marks of blocks, next to the unfinished store


def make_example(record: Record, settings: FillSettings, attributes: Mapping[str, Any]) -> xr.Dataset:
    """Return the filled dataset of the first date, for `create_store`."""
    field = record.read_field(slice(0, 1))
    nothing = np.broadcast_to(np.float32(0), field.observed.shape)
    return to_dataset(
        field,
        nothing,
        nothing,
        intervals=Calibration().half_widths_of(settings.intervals),
        analysis_everywhere=settings.analysis_everywhere,
        attributes=attributes,
        packing=replace(settings.packing, pack="none"),
    )


def create_store(store: Path, record: Record, make: Callable[[], xr.Dataset]) -> None:
    """Create the empty store of all dates, with the variables and attributes of the dataset of the first."""
    layout = record.layout
    example = make()
    template = xr.Dataset(attrs=example.attrs)
    time = record.dataset[record.layout.time]
    for name, array in example.coords.items():
        kept = time if name == record.layout.time else array
        template = template.assign_coords({name: kept.variable})
        template[name].attrs = array.attrs
    template[record.layout.time].encoding = {**time.encoding, "chunks": None}
    encoding: dict[Any, Any] = {}
    for name, array in example.data_vars.items():
        codec = BloscCodec(cname="zlib", clevel=array.encoding.get("complevel", 4), shuffle="shuffle")
        fill = array.dtype.type(np.nan if array.dtype.kind == "f" else 0)
        shape = record.shape[0], *(example.sizes[dim] for dim in (layout.y, layout.x))
        whole = dask.array.full(shape, fill, chunks=record.chunks)
        template[name] = xr.Variable((layout.t, layout.y, layout.x), whole, array.attrs)
        held = array.encoding.get("_FillValue", fill)
        encoding[name] = {"chunks": record.chunks, "compressors": codec}
        encoding[name]["_FillValue"] = array.dtype.type(held) if array.dtype.kind == "f" else None
    template.to_zarr(store, mode="w", compute=False, consolidated=False, encoding=encoding)


def encode_store(store: Path, record: Record, packing: Packing) -> xr.Dataset:
    """Return the complete store, lazily, on the grid of the file and encoded as the output.

    The encodings are those of `storage.encode_filled`.
    """
    name, time = record.layout.variable, record.layout.t
    data = xr.open_zarr(store, consolidated=False, decode_times=False)
    parts = [name, *(f"{name}_{part}" for part in ("analysis", "error", "source"))]
    data = data[[*parts, *sorted(set(map(str, data.data_vars)) - set(parts))]]  # a store has no order
    flags = data[f"{name}_source"]
    # CF 3.5: of the variable's type, which JSON does not keep.
    flags.attrs["flag_values"] = np.asarray(flags.attrs["flag_values"], flags.dtype)
    encode_filled(data, name, time, record.storage, read_spans(store), packing)
    for array in data.data_vars.values():
        array.encoding["chunksizes"] = (1, *record.chunks[1:])
    return drop_missing_date(restore_grid(data, record.dataset, record.layout))


def restore_store(store: Path, record: Record) -> xr.Dataset:
    """Return the complete store, lazily, on the grid of the file."""
    data = xr.open_zarr(store, consolidated=False, decode_times=False)
    data = data[sorted(map(str, data.data_vars))]  # a store has no order
    for array in data.data_vars.values():
        fill = array.encoding.get("_FillValue")
        array.encoding = {"dtype": array.dtype, "_FillValue": fill, "zlib": True, "complevel": 4}
        array.encoding["chunksizes"] = (1, *record.chunks[1:])
    return restore_grid(data, record.dataset, record.layout)


def write_block(store: Path, filled: xr.Dataset, core: Box) -> None:
    """Write a filled block (time, lat, lon) in its place."""
    filled = filled.drop_vars([name for name in filled.variables if name not in filled.data_vars])
    for array in filled.data_vars.values():
        array.encoding = {}
    dims = [str(dim) for dim in next(iter(filled.data_vars.values())).dims]
    region = dict(zip(dims, core, strict=True))
    filled.to_zarr(store, region=region, consolidated=False)


def fill_store(
    store: Path,
    blocks: Sequence[Block],
    fill: Callable[[tuple[int, Block]], tuple[int, Mapping[str, Span]]],
    resources: Resources,
    quiet: bool,
) -> None:
    """Fill the blocks that an earlier run has left.

    ``fill`` takes a block and returns its number and the spans of its variables, which are kept for
    `encode_store`.
    """
    marks = store.parent / _DONE
    marks.mkdir(exist_ok=True)
    left = [(k, block) for k, block in enumerate(blocks) if not (marks / str(k)).exists()]
    _log.info("%d blocks of up to %d dates of %d x %d pixels", len(blocks), *blocks[0].core.shape)
    with (
        start_workers(resources.cluster, resources.n_workers) as run,
        progress(BLOCKS, len(blocks), quiet, BLOCKS) as advance,
    ):
        advance(len(blocks) - len(left))
        for k, spans in run(fill, left):
            with replace_atomically(marks / str(k)) as temporary:
                temporary.write_text(json.dumps({name: asdict(span) for name, span in spans.items()}))
            advance(1)


def read_spans(store: Path) -> dict[str, Span]:
    """Return the span of each variable over all blocks of an unfinished store."""
    spans: dict[str, Span] = {}
    for mark in (store.parent / _DONE).iterdir():
        for name, span in json.loads(mark.read_text()).items():
            spans[name] = spans.get(name, Span()).join(Span(**span))
    return spans


def summarise_record(store: Path, record: Record) -> str:
    """Return the summary of a filled record."""
    name, n = record.layout.variable, record.shape[0]
    at_sea = round(float(record.coverage[record.sea].sum(dtype=float)) * n)
    with xr.open_zarr(store, consolidated=False) as data:
        what = str(data[name].attrs["long_name"])
    summary = summarise_field(name, what, at_sea, n * int(record.sea.sum()))
    given = record.dataset.attrs.get("summary")
    return f"{summary} The input: {given}" if given else summary


def find_treatment(store: Path, record: Record) -> list[str]:
    """Return what was done to the values of the input, in words, the last of them about outliers."""
    with xr.open_zarr(store, consolidated=False) as data:
        count = int((data[f"{record.layout.variable}_source"] == OUTLIER).sum())
    outliers = describe_outliers(count, int(record.n_observed.sum()), record.opening.outliers)
    for text in outliers:
        _log.info("%s: %s", record.layout.variable, text)
    before = record.dataset.attrs.get(TREATMENT), record.chosen_transform[1]
    return [text for text in (*before, *outliers) if text]


def write_attributes(store: Path, dates: pd.Index, attributes: Mapping[str, Any]) -> None:
    """Write the global attributes of the whole record: those of its dates, and further ones."""
    attrs: dict[str, Any] = describe_time_coverage(dates.to_numpy(), days_since_first(dates))
    import zarr  # a quarter of a second, for those who write it

    zarr.open_group(store, mode="r+").attrs.update(attrs | dict(attributes))


def mark_unknown_error(store: Path, name: str) -> None:
    """Say in the attributes of the error and the bounds that they are unknown."""
    import zarr

    for key, array in zarr.open_group(store, mode="r+").arrays():
        if key.startswith((f"{name}_error", f"{name}_lower", f"{name}_upper")):
            array.attrs["comment"] = UNKNOWN
