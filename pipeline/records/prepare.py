"""Write many files, or one that is too large, to one chunked Zarr store, which `blockwise` fills.

Everything is done once and in chunks of dates: files are read in parallel and checked, dates sorted,
maps of the same date merged, and statistics gathered on the way. A killed run resumes where it stopped.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import dask.array
import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from ..errors import InputError
from ..io.field import add_up_treatment, check_lost, describe_treatment
from ..io.layout.coordinates import Layout, find_layout
from ..io.layout.dates import find_time_oddities
from ..io.layout.positions import read_grid
from ..io.maps.merging import COUNTS, Plan, combine_parts, join_dates, merge_maps, plan_dates
from ..io.maps.regridding import regrid_part
from ..io.maps.selection import open_maps
from ..io.opening import Opening, make_opening
from ..io.providers.missing import NOTHING, Extent, find_undeclared, warn_of_kept, warn_of_losses
from ..io.reading import (
    TREATMENT,
    Inputs,
    Part,
    convert_part,
    drop_values,
    list_inputs,
    measure_extent,
    read_part,
)
from ..io.seamask import derive_sea, find_mask, sea_from_mask
from ..io.storage import Storage, find_storage, needs_double, write_storage
from ..io.targets import check_targets, list_paths, lock
from ..io.workers import Mapper, start_workers
from ..io.writing import check_writable, replace_atomically, resume_store
from ..progress import progress
from .blocks import CELLS, DATES
from .record import PREPARED, STORAGE, read_digest
from .statistics import Statistics
from .survey import FileSurvey, fix_grid_of_first, survey_files

_SAVED_EVERY = 5.0  # seconds between two states that a killed run resumes from
_SAVING = 0.05  # fraction of the time that saving may take
_STATE = "state.npz"  # next to the unfinished store
_UNDECLARED = "undeclared.json"  # also there, once such values are known
_FORMAT = 6  # of the stores; older ones are prepared again

_log = logging.getLogger(__name__)


def prepare(
    inputs: Inputs,
    cache: str | os.PathLike[str],
    opening: Opening | None = None,
    *,
    skip_bad: bool = False,
    cluster: str | None = None,
    n_workers: int = 1,
    quiet: bool = True,
    overwrite: bool = False,
    cells: int = CELLS,
    **options: Any,
) -> Path:
    """Write the variable of all inputs, sorted by date, to the Zarr store ``cache``, and return its path.

    The store also holds its sea mask (sea on any date), ``V_mean``, ``V_std``, ``V_climatology`` (month, lat,
    lon), ``V_share`` (the fraction of the dates on which a pixel is observed) and ``V_seen`` (the number of
    observed values of each date), and of values above zero ``V_positive_share`` and ``V_positive_seen``, and
    ``V_negative_seen`` of values below zero. The
    options are those of `Opening`, ``cluster`` and ``n_workers`` those of `start_workers`; chunks have
    ``cells`` to a side. Dates are merged and completed as in a field (`merging.plan_dates`). The same call
    after a kill resumes; a store of other inputs is replaced only if ``overwrite``. Raises `InputError` where
    the store must not be written, and with all files that cannot be used, unless ``skip_bad`` leaves them
    out; then dates whose values turn out to be unreadable stay missing.
    """
    opening = make_opening(opening, options)
    check_writable(cache)
    target = Path(cache)
    if target.suffix != ".zarr":
        raise InputError(f"{target}: a cache is a Zarr store; name it .zarr")
    paths = [entry for entry in list_inputs(inputs) if isinstance(entry, str)]
    if not paths:
        raise InputError("only files are prepared; a dataset in memory needs no cache")
    files = [(path, Path(path).stat().st_size, Path(path).stat().st_mtime_ns) for path in paths]
    plan = {
        "files": files,
        "opening": repr(opening),
        "skip_bad": skip_bad,
        "cells": cells,
        "format": _FORMAT,
    }
    digest = hashlib.sha256(repr(plan).encode()).hexdigest()
    if target.exists() and read_digest(target) == digest:
        _log.info("%s: up to date", target)
        return target
    check_targets([target], list_paths([paths, opening.like]), overwrite=overwrite)
    with lock(target), start_workers(cluster, n_workers) as run:
        opening = fix_grid_of_first(paths, opening)
        surveys = survey_files(run, paths, opening, skip_bad, quiet)
        plan_of_dates, chunks = _plan_chunks(surveys, opening)
        units = surveys[0].path, surveys[0].units
        read = partial(_read_chunk, opening=opening, units=units, skip_bad=skip_bad)
        first = next(filter(None, (read(chunk)[0] for chunk in chunks)), None)
        if first is None:
            raise InputError(f"{paths[0]}: no value of the {len(paths)} files can be read; check the files")
        create = partial(_create_store, first=first, plan=plan_of_dates, opening=opening, cells=cells)
        with resume_store(target, plan, create, overwrite=overwrite) as store:
            write = partial(_write_chunk, store=store, read=partial(read, reference=first.reference))
            total, (texts, lost, _) = _write_all(run, store, chunks, write, quiet, first, opening)
            left = int(total.number[0].sum())
            treatment = describe_treatment(texts, lost, left)
            if not total.number[0].any():
                check_lost(paths[0], first.layout.variable, lost, treatment)
            for text in treatment:
                _log.info("%s: %s", first.layout.variable, text)
            for text in warn_of_losses(lost, left):
                _log.warning("%s: %s", first.layout.variable, text)
            attributes = {PREPARED: digest, TREATMENT: "; ".join((*treatment, *plan_of_dates.notes))}
            attributes[STORAGE] = write_storage(first.storage)
            _write_statistics(store, first, total, opening.minimum_coverage, plan_of_dates, attributes)
    return target


Piece = tuple[str, int]  # a file and the position of a date in it
# What was done to the values, how many were lost, by reason, and the outermost ones that are left.
Notes = tuple[list[str], Counter[str], Extent]


@dataclass(frozen=True)
class _Planned:
    """The dates of a chunk of the store, and the maps of each."""

    dates: pd.Index
    maps: tuple[tuple[Piece, ...], ...]


def _plan_chunks(surveys: Sequence[FileSurvey], opening: Opening) -> tuple[Plan, list[_Planned]]:
    """Return the plan of all dates, and its part for each chunk of the store."""
    pieces = [(one.path, number) for one in surveys for number in one.numbers]
    plan = plan_dates(join_dates([one.dates for one in surveys]), [path for path, _ in pieces], opening)
    for note in plan.notes:
        _log.info(note)
    dates = plan.dates
    for oddity in find_time_oddities(dates):
        _log.warning(oddity)
    maps = [tuple(pieces[place] for place in found) for found in plan.maps]
    spans = [slice(start, start + DATES) for start in range(0, len(dates), DATES)]
    return plan, [_Planned(dates[span], tuple(maps[span])) for span in spans]


@dataclass(frozen=True)
class _Chunk:
    """The dates of a chunk in memory, in order."""

    file: str
    data: xr.Dataset
    layout: Layout
    mask: str | None
    reference: Part  # without dates; its grid is that of the store
    stored: list[str]  # names of the variables that the store holds
    notes: Notes  # what was done to the values

    @property
    def storage(self) -> Storage:
        """How the input stores the variable."""
        return find_storage(self.data[self.layout.variable])

    def type_of(self, name: str) -> type:
        """Return the type in which the store holds a variable."""
        return np.float64 if name == self.layout.variable and needs_double(self.storage) else np.float32

    def read_sea(self) -> tuple[NDArray[np.bool_], str]:
        """Return the sea (lat, lon) on any of the dates, and how the mask was read; none without a mask."""
        if self.mask is None:
            return np.zeros([self.data.sizes[dim] for dim in (self.layout.y, self.layout.x)], bool), ""
        return sea_from_mask(self.file, self.data[self.mask], self.layout)

    @property
    def mask_varies(self) -> bool:
        """Whether each date has a mask of its own."""
        return self.mask is not None and self.layout.t in self.data[self.mask].dims


def _read_chunk(
    planned: _Planned,
    opening: Opening,
    units: tuple[str, str],
    skip_bad: bool,
    undeclared: Sequence[float] = (),
    reference: Part | None = None,
) -> tuple[_Chunk | None, dict[str, str]]:
    """Read the maps of a chunk, merge them, and return what is wrong with files that were left out.

    ``units`` are the path and the units of the first file, ``undeclared`` are missing values. The grid is
    that of the ``reference``, or of the first part.
    """
    numbers: dict[str, list[int]] = {}
    for path, number in (piece for found in planned.maps for piece in found):
        numbers.setdefault(path, []).append(number)
    parts, extents, bad = [], [], {}
    layout, mask = None, None
    for path, chosen in numbers.items():
        try:
            with open_maps(path, opening) as (file, dataset):
                if layout is None:
                    layout = find_layout(file, dataset, opening.variable, others=opening.names)
                    mask = find_mask(file, dataset, layout, opening.mask_variable)
                others = [name for name in (mask, opening.error_variable) if name is not None]
                # Slices are read several times as fast as lists of numbers.
                low, high = min(chosen), max(chosen) + 1
                wanted = slice(low, high) if len(chosen) == high - low else sorted(chosen)
                cut = dataset.isel({layout.t: wanted}, missing_dims="ignore")
                part = read_part(file, cut, layout, others, replace(opening, period=None))
            error = opening.error_variable
            if error is not None and part.data[error].dtype.kind not in "iuf":
                raise InputError(f"{path}: the error variable {error} does not hold numbers; choose another")
            part = drop_values(part, layout.variable, undeclared)
            extent = measure_extent([part], layout.variable)
            part = convert_part(part, layout.variable, units[1], units[0], error)
            part = regrid_part(part, layout, mask, opening)
        except InputError as reason:
            if not skip_bad:
                raise
            bad[path] = str(reason)
        else:
            parts.append(part)
            extents.append(extent)
    if layout is None or not parts:
        return None, bad
    stored = [name for name in (layout.variable, opening.error_variable) if name is not None]
    held = [
        (path, number) for path, chosen in numbers.items() if path not in bad for number in sorted(chosen)
    ]
    position = {piece: place for place, piece in enumerate(held)}
    maps = [[position[piece] for piece in found if piece in position] for found in planned.maps]
    file = parts[0].file
    reference = reference or replace(parts[0], data=parts[0].data.isel({layout.t: slice(0, 0)}))
    together = combine_parts(parts, layout, mask, reference)
    data = merge_maps(file, together, planned.dates, maps, layout, mask, opening)
    notes = *add_up_treatment(parts), sum(extents[1:], extents[0])
    return _Chunk(file, data, layout, mask, reference, stored, notes), bad


def _create_store(store: Path, first: _Chunk, plan: Plan, opening: Opening, cells: int) -> None:
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


def _write_all(
    run: Mapper,
    store: Path,
    chunks: Sequence[_Planned],
    write: partial[Written],
    quiet: bool,
    first: _Chunk,
    opening: Opening,
) -> tuple[Statistics, Notes]:
    """Write all chunks, and again where missing values are recognised that are not declared.

    These are known when all values were seen, and then must not be merged with others.
    """
    name = first.layout.variable
    held = store.parent / _UNDECLARED
    if not held.exists():
        total, notes = _write_chunks(run, store, chunks, write, quiet)
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
    undeclared = json.loads(held.read_text(encoding="utf-8"))
    read = partial(write.keywords["read"], undeclared=undeclared)
    return _write_chunks(run, store, chunks, partial(write, read=read), quiet)


def _write_chunks(
    run: Mapper,
    store: Path,
    chunks: Sequence[_Planned],
    write: Callable[[tuple[int, _Planned]], Written],
    quiet: bool,
) -> tuple[Statistics, Notes]:
    """Write the chunks that are missing, and return the statistics of all and what was done to the values."""
    done, total, (texts, lost, extent) = _load_state(store)
    warned: set[str] = set()
    with progress("reading", len(chunks), quiet) as advance:
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
    numbered: tuple[int, _Planned],
    store: Path,
    read: Callable[[_Planned], tuple[_Chunk | None, dict[str, str]]],
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


def _write_statistics(
    store: Path,
    first: _Chunk,
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
