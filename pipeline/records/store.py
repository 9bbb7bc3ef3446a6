"""The prepared store: created empty, written chunk by chunk, completed with its mask and statistics."""

from __future__ import annotations

import json
import logging
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import dask.array
import numpy as np
import xarray as xr
from numpy.typing import NDArray

from ..errors import InputError
from ..io.layout.positions import read_grid
from ..io.maps.merging import COUNTS, Plan
from ..io.opening import Opening
from ..io.providers.missing import NOTHING, Extent, find_undeclared, warn_of_kept
from ..io.seamask import derive_sea
from ..io.workers import Mapper
from ..io.writing import replace_atomically
from ..progress import READ, progress
from .blocks import DATES
from .chunks import Chunk, Notes, PlannedChunk
from .statistics import Statistics

_SAVED_EVERY = 5.0  # seconds between two states that a killed run resumes from
_SAVING = 0.05  # fraction of the time that saving may take
_STATE = "state.npz"  # next to the unfinished store
_UNDECLARED = "undeclared.json"  # also there, once such values are known

_log = logging.getLogger(__name__)


def create_store(store: Path, first: Chunk, plan: Plan, opening: Opening, cells: int) -> None:
    """Create the empty store, with all coordinates."""
    layout, dates = first.layout, plan.dates
    shape = (len(dates), *(first.data.sizes[dim] for dim in (layout.y, layout.x)))
    chunks = tuple(min(size, extent) for size, extent in zip((DATES, cells, cells), shape, strict=True))
    dims = (layout.t, layout.y, layout.x)
    template = xr.Dataset(attrs=first.data.attrs)
    for name, array in first.data.coords.items():
        if layout.t not in array.dims and name != layout.time:
            template = template.assign_coords({name: array})
    index = xr.Variable(layout.t, dates, first.data[layout.time].attrs)
    encoding = first.data[layout.time].encoding
    index.encoding = {key: encoding[key] for key in ("units", "calendar") if key in encoding}
    index.encoding["dtype"] = np.float64  # for times of day, which the first file's units may lack
    template = template.assign_coords({layout.time: index})
    for name in first.stored:
        empty = dask.array.full(shape, first.type_of(name)(np.nan), chunks=chunks)
        template[name] = xr.Variable(dims, empty, first.data[name].attrs)
    encodings: dict[str, Any] = {name: {"chunks": chunks} for name in first.stored}
    if _keeps_counts(plan, opening):
        attrs = {"long_name": f"number of maps in the mean of {layout.variable}", "units": "1"}
        template[COUNTS] = xr.Variable(dims, dask.array.zeros(shape, dtype=np.int8, chunks=chunks), attrs)
        encodings[COUNTS] = {"chunks": chunks}
    for array in template.coords.values():
        if array is not template[layout.time]:
            array.encoding = {}
    for name, what in (
        ("seen", "observed values"),
        ("positive_seen", "values above zero"),
        ("negative_seen", "values below zero"),
    ):
        name = f"{layout.variable}_{name}"
        template[name] = xr.Variable(
            layout.t,
            dask.array.zeros(shape[0], np.int64, chunks=chunks[0]),
            {"units": "1", "long_name": f"number of {what} of {layout.variable}"},
        )
        encodings[name] = {"chunks": chunks[:1]}
    template.to_zarr(store, mode="w", compute=False, consolidated=False, encoding=encodings)


# Statistics of a chunk, what was done to its values, and the files that were left out.
Written = tuple[Statistics | None, Notes, dict[str, str]]


def write_chunks(
    run: Mapper,
    store: Path,
    chunks: Sequence[PlannedChunk],
    read: Callable[..., tuple[Chunk | None, dict[str, str]]],
    first: Chunk,
    opening: Opening,
    quiet: bool,
) -> tuple[Statistics, Notes]:
    """Write all chunks, and again where missing values are recognised that are not declared.

    These are known when all values were seen, and then must not be merged with others. ``read`` is
    `read_chunk` with its options; the grid is that of the ``first`` chunk.
    """
    name = first.layout.variable
    held = store.parent / _UNDECLARED
    read = partial(read, reference=first.reference)
    if not held.exists():
        total, notes = _write_missing(
            run, store, chunks, partial(_write_chunk, store=store, read=read), quiet
        )
        undeclared = find_undeclared(notes[2], name, first.data[name])
        if opening.missing_value is not None:
            for text in warn_of_kept(undeclared):
                _log.warning("%s: %s", name, text)
        if opening.missing_value is not None or not undeclared:
            return total, notes
        _log.info("%s: reading again without the undeclared missing values", name)
        (store.parent / _STATE).unlink()
        with replace_atomically(held) as temporary:
            temporary.write_text(json.dumps(undeclared), encoding="utf-8")
    read = partial(read, undeclared=json.loads(held.read_text(encoding="utf-8")))
    return _write_missing(run, store, chunks, partial(_write_chunk, store=store, read=read), quiet)


def _write_missing(
    run: Mapper,
    store: Path,
    chunks: Sequence[PlannedChunk],
    write: Callable[[tuple[int, PlannedChunk]], Written],
    quiet: bool,
) -> tuple[Statistics, Notes]:
    """Write the chunks that are missing, and return the statistics of all and what was done to the values."""
    done, total, (texts, lost, extent) = _load_state(store)
    warned: set[str] = set()
    with progress("reading", len(chunks), quiet, READ) as advance:
        advance(done)
        saved, took = time.monotonic(), 0.0
        todo: Iterable[Any] = ((number, chunks[number]) for number in range(done, len(chunks)))
        try:
            for more, notes, bad in run(write, todo):
                for path in bad.keys() - warned:
                    _log.warning("its dates stay missing: %s", bad[path])
                warned |= bad.keys()
                texts = list(dict.fromkeys([*texts, *notes[0]]))
                lost.update(notes[1])
                extent += notes[2]
                if total is None:
                    total = more
                elif more is not None:
                    total.add(more)
                done += 1
                advance(1)
                if time.monotonic() - saved > max(_SAVED_EVERY, took / _SAVING):
                    start = time.monotonic()
                    _save_state(store, done, total, (texts, lost, extent))
                    saved = time.monotonic()
                    took = saved - start
        except Exception:  # not an interrupt, which may come while statistics are added
            _save_state(store, done, total, (texts, lost, extent))
            raise
    _save_state(store, done, total, (texts, lost, extent))
    assert total is not None
    return total, (texts, lost, extent)


def _save_state(store: Path, done: int, total: Statistics | None, notes: Notes) -> None:
    if total is not None:
        with replace_atomically(store.parent / _STATE) as temporary:
            texts, lost, extent = notes
            held = {f"extent_{name}": part for name, part in vars(extent).items()}
            np.savez(temporary, done=done, notes=json.dumps([texts, lost]), **held, **vars(total))


def _load_state(store: Path) -> tuple[int, Statistics | None, Notes]:
    if not (store.parent / _STATE).exists():
        return 0, None, ([], Counter(), NOTHING)
    with np.load(store.parent / _STATE) as held:
        state = dict(held)
    texts, lost = json.loads(str(state.pop("notes")))
    extent = Extent(*(state.pop(f"extent_{name}") for name in ("values", "counts")))
    return int(state.pop("done")), Statistics(**state), (texts, Counter(lost), extent)


def _write_chunk(
    numbered: tuple[int, PlannedChunk],
    store: Path,
    read: Callable[[PlannedChunk], tuple[Chunk | None, dict[str, str]]],
) -> Written:
    """Read a chunk of dates, write it, and return its statistics."""
    number, planned = numbered
    chunk, bad = read(planned)
    if chunk is None:
        return None, ([], Counter(), NOTHING), bad
    layout = chunk.layout
    dims = (layout.t, layout.y, layout.x)
    found = xr.Dataset()
    for name in chunk.stored:
        array = chunk.data[name].variable
        sizes = {dim: chunk.data.sizes[dim] for dim in dims}
        values = array.set_dims(sizes | dict(array.sizes)).transpose(*dims).to_numpy()
        found[name] = xr.Variable(dims, values.astype(chunk.type_of(name)))
    if COUNTS in chunk.data:
        found[COUNTS] = chunk.data[COUNTS].variable.transpose(*dims)
    raw = found[layout.variable].to_numpy()
    found[f"{layout.variable}_seen"] = layout.t, np.isfinite(raw).sum(axis=(1, 2))
    found[f"{layout.variable}_positive_seen"] = layout.t, (raw > 0).sum(axis=(1, 2))
    found[f"{layout.variable}_negative_seen"] = layout.t, (raw < 0).sum(axis=(1, 2))
    start = number * DATES
    found.to_zarr(store, region={layout.t: slice(start, start + len(planned.dates))}, consolidated=False)
    month = np.asarray(planned.dates.month)
    return Statistics.compute(raw, month, chunk.read_sea()[0]), chunk.notes, bad


def _keeps_counts(plan: Plan, opening: Opening) -> bool:
    """Whether the store keeps the number of maps in each mean, for their one observation error."""
    return plan.merges and opening.merge == "mean" and opening.error_variable is None


def write_statistics(
    store: Path,
    first: Chunk,
    total: Statistics,
    minimum_coverage: float,
    plan: Plan,
    attributes: Mapping[str, str],
) -> None:
    """Write the mask and the statistics into the store."""
    layout = first.layout
    name, plane = layout.variable, (layout.y, layout.x)
    coverage = total.number[0] / len(plan.dates)
    if first.mask is None:
        grid = read_grid(first.file, first.data, layout)
        share = total.number[0] / plan.present.sum()
        sea, origin = derive_sea(share, len(plan.dates), minimum_coverage, *grid)
    else:
        sea, origin = first.read_sea()
        if not np.array_equal(sea, total.sea) and not first.mask_varies:
            origin = f"{first.mask} (of any file, for their masks differ)"
        sea = total.sea
    if not (sea & (total.number[0] > 0)).any():
        raise InputError(
            f"{name}: no sea pixel ({origin}) is ever observed; check the mask, the fill value and "
            "the valid range"
        )
    observed = total.number > 0
    kind = first.type_of(name)
    mean: NDArray[np.floating] = np.where(observed, total.mean, np.nan).astype(kind)
    deviation = np.sqrt(total.squares / np.maximum(total.number[0], 1))
    units = {key: first.data[name].attrs[key] for key in ("units",) if key in first.data[name].attrs}
    found = xr.Dataset(
        {
            "sea_mask": (
                plane,
                sea.astype(np.int8),
                {"flag_values": [0, 1], "flag_meanings": "land sea", "comment": origin},
            ),
            f"{name}_mean": (plane, mean[0], units | {"long_name": f"mean of {name}"}),
            f"{name}_std": (
                plane,
                np.where(observed[0], deviation, np.nan).astype(np.float32),
                units | {"long_name": f"standard deviation of {name}"},
            ),
            f"{name}_share": (
                plane,
                coverage.astype(np.float32),
                {"units": "1", "long_name": f"fraction of the dates on which {name} is observed"},
            ),
            f"{name}_positive_share": (
                plane,
                (total.positive / len(plan.dates)).astype(np.float32),
                {"units": "1", "long_name": f"fraction of the dates on which {name} is above zero"},
            ),
            f"{name}_climatology": (
                ("month", *plane),
                mean[1:],
                units | {"long_name": f"mean of {name} by calendar month"},
            ),
        }
    )
    found.attrs = dict(first.data.attrs) | {name: text for name, text in attributes.items() if text}
    found.to_zarr(store, mode="a", consolidated=False)
