"""Many files, or one that is too large, into one chunked Zarr store: the cache that `streaming` fills from.

Everything is done once and in chunks of dates: files are read in parallel and checked, dates sorted, double
ones dropped, and statistics gathered on the way. A run that was killed goes on where it was.
"""

from __future__ import annotations

import hashlib
import logging
import os
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import dask.array
import numpy as np
import pandas as pd
import xarray as xr

from ..errors import InputError
from ..io.coordinates import Layout, find_layout
from ..io.dates import format_dates
from ..io.opening import Opening, make_opening
from ..io.reading import Inputs, combine_parts, list_inputs, open_input, read_part
from ..io.seamask import find_mask, sea_from_coverage, sea_from_mask
from ..io.workers import Mapper, start_workers
from ..io.writing import check_writable, replace_atomically, resume_store
from ..progress import progress
from .blocks import CELLS, DATES
from .record import PREPARED, read_digest
from .statistics import Statistics
from .survey import FileSurvey, survey_files

_SAVED_EVERY = 5.0  # seconds between two states that a killed run goes on from
_SAVING = 0.05  # share of the time that these take, at most
_STATE = "state.npz"  # beside the unfinished store

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
    **options: Any,
) -> Path:
    """Write the variable of all inputs, sorted by date, to the Zarr store ``cache``, and return its path.

    Beside it are its sea mask, ``V_mean``, ``V_std``, ``V_share`` (of the dates that see a pixel),
    ``V_climatology`` (month, lat, lon) and ``V_seen`` (values of each date). The options are
    those of `Opening`, ``cluster`` and ``n_workers`` those of `start_workers`. Of dates that come twice the last file's is
    kept. The same call after a kill goes on where that one was. Raises `InputError` with all files that
    cannot be used, unless ``skip_bad`` leaves them out; the dates of one whose values turn out to be
    unreadable stay missing.
    """
    opening = make_opening(opening, options)
    check_writable(cache)
    target = Path(cache)
    if target.suffix != ".zarr":
        raise InputError(f"{target}: a cache is a Zarr store; name it .zarr")
    paths = [entry for entry in list_inputs(inputs) if isinstance(entry, str)]
    if not paths:
        raise InputError("only files can be prepared; a dataset in memory is there already")
    files = [(path, Path(path).stat().st_size, Path(path).stat().st_mtime_ns) for path in paths]
    plan = {
        "files": files,
        "opening": repr(opening),
        "skip_bad": skip_bad,
    }
    digest = hashlib.sha256(repr(plan).encode()).hexdigest()
    if target.exists() and read_digest(target) == digest:
        _log.info("%s: holds these files already", target)
        return target
    with start_workers(cluster, n_workers) as everywhere:
        good = survey_files(everywhere, paths, opening, skip_bad, quiet)
        dates, chunks = _chunks(good)
        first = next(filter(None, (_read(chunk, opening, skip_bad)[0] for chunk in chunks)), None)
        if first is None:
            raise InputError(f"{paths[0]}: no value of {len(paths)} files can be read; check the files")
        with resume_store(target, plan, lambda store: _make(store, first, dates, opening)) as store:
            write = partial(_write, store=store, opening=opening, skip_bad=skip_bad)
            total = _written(everywhere, store, chunks, write, quiet)
            _finish(store, first, total, opening.minimum_coverage, len(dates), digest)
    return target


Piece = tuple[str, int]  # a file and the number of a date in it


def _chunks(surveys: Sequence[FileSurvey]) -> tuple[list[Any], list[list[Piece]]]:
    """All dates in order, and which date of which file is where in the store, chunk by chunk."""
    place: dict[Any, Piece] = {}
    double = []
    for one in surveys:
        for date, number in zip(one.dates, one.numbers, strict=True):
            if date in place:
                double.append(date)
            place[date] = (one.path, number)
    if double:
        _log.warning(
            "dates that come twice: %d (%s); the last one's map is kept", len(double), format_dates(double)
        )
    dates = sorted(place)
    if len(dates) == 1:
        raise InputError(
            f"{surveys[0].path}: there is a single date, and gaps are filled from the dates around them; "
            "give more files or a longer period"
        )
    pieces = [place[date] for date in dates]
    return dates, [pieces[start : start + DATES] for start in range(0, len(pieces), DATES)]


@dataclass(frozen=True)
class _Read:
    file: str
    data: xr.Dataset
    layout: Layout
    mask: str | None
    rows: list[int]  # of the chunk's dates, which they are


def _read(
    pieces: Sequence[Piece], opening: Opening, skip_bad: bool = False
) -> tuple[_Read | None, dict[str, str]]:
    """The dates of a chunk in memory, in order, and what is wrong with files that were left out."""
    numbers: dict[str, list[int]] = {}
    for path, number in pieces:
        numbers.setdefault(path, []).append(number)
    parts, bad = [], {}
    layout, mask = None, None
    for path, chosen in numbers.items():
        try:
            with open_input(path) as (file, dataset):
                if layout is None:
                    layout = find_layout(file, dataset, opening.variable, others=opening.names)
                    mask = find_mask(file, dataset, layout, opening.mask_variable)
                others = [name for name in (mask, opening.error_variable) if name is not None]
                # Slices are read several times as fast as lists of numbers.
                low, high = min(chosen), max(chosen) + 1
                cut = dataset.isel({layout.t: slice(low, high)}, missing_dims="ignore")
                part = read_part(file, cut, layout, others, Opening(region=opening.region))
            if len(chosen) < high - low:
                data = part.data.isel({layout.t: [number - low for number in sorted(chosen)]})
                part = type(part)(part.file, data, part.dates)
            infinite = int(np.isinf(part.data[layout.variable]).sum())
            if infinite:
                raise InputError(
                    f"{path}: {layout.variable} has {infinite} infinite values; replace them by the fill "
                    "value"
                )
        except InputError as error:
            if not skip_bad:
                raise
            bad[path] = str(error)
        else:
            parts.append(part)
    if layout is None or not parts:
        return None, bad
    rows = [row for row, (path, _) in enumerate(pieces) if path not in bad]
    return _Read(parts[0].file, combine_parts(parts, layout), layout, mask, rows), bad


def _kept(read: _Read, opening: Opening) -> list[str]:
    return [name for name in (read.layout.variable, opening.error_variable) if name is not None]


def _make(store: Path, first: _Read, dates: Sequence[Any], opening: Opening) -> None:
    """The empty store, with all coordinates."""
    layout = first.layout
    shape = (len(dates), *(first.data.sizes[dim] for dim in (layout.y, layout.x)))
    chunks = tuple(min(size, extent) for size, extent in zip((DATES, CELLS, CELLS), shape, strict=True))
    dims = (layout.t, layout.y, layout.x)
    template = xr.Dataset(attrs=first.data.attrs)
    for name, array in first.data.coords.items():
        if layout.t not in array.dims and name != layout.time:
            template = template.assign_coords({name: array})
    index = xr.Variable(layout.t, pd.Index(dates), first.data[layout.time].attrs)
    encoding = first.data[layout.time].encoding
    index.encoding = {key: encoding[key] for key in ("units", "calendar") if key in encoding}
    index.encoding["dtype"] = np.float64  # times of day that the first file's units do not have
    template = template.assign_coords({layout.time: index})
    for name in _kept(first, opening):
        empty = dask.array.full(shape, np.float32(np.nan), chunks=chunks)
        template[name] = xr.Variable(dims, empty, first.data[name].attrs)
    encodings: dict[str, Any] = {name: {"chunks": chunks} for name in _kept(first, opening)}
    for array in template.coords.values():
        if array is not template[layout.time]:
            array.encoding = {}
    seen = f"{layout.variable}_seen"
    template[seen] = xr.Variable(
        layout.t,
        dask.array.zeros(shape[0], np.int64, chunks=chunks[0]),
        {"units": "1", "long_name": f"observed values of {layout.variable}"},
    )
    encodings[seen] = {"chunks": chunks[:1]}
    template.to_zarr(store, mode="w", compute=False, consolidated=False, encoding=encodings)


_Written = tuple[Statistics | None, dict[str, str]]


def _written(
    everywhere: Mapper,
    store: Path,
    chunks: Sequence[Sequence[Piece]],
    write: Callable[[tuple[int, Sequence[Piece]]], _Written],
    quiet: bool,
) -> Statistics:
    """Write the chunks that are not, and return the statistics of all."""
    done, total = _state(store)
    warned: set[str] = set()
    with progress("reading", len(chunks), quiet) as advance:
        advance(done)
        saved, took = time.monotonic(), 0.0
        todo: Iterable[Any] = ((number, chunks[number]) for number in range(done, len(chunks)))
        for more, bad in everywhere(write, todo):
            for path in bad.keys() - warned:
                _log.warning("dates of it stay missing: %s", bad[path])
            warned |= bad.keys()
            if total is None:
                total = more
            elif more is not None:
                total.add(more)
            done += 1
            advance(1)
            due = time.monotonic() - saved > max(_SAVED_EVERY, took / _SAVING)
            if total is not None and (due or done == len(chunks)):
                start = time.monotonic()
                with replace_atomically(store.parent / _STATE) as temporary:
                    np.savez(temporary, done=done, **vars(total))
                saved = time.monotonic()
                took = saved - start
    assert total is not None
    return total


def _state(store: Path) -> tuple[int, Statistics | None]:
    if not (store.parent / _STATE).exists():
        return 0, None
    with np.load(store.parent / _STATE) as held:
        return int(held["done"]), Statistics(held["number"], held["mean"], held["squares"])


def _write(numbered: tuple[int, Sequence[Piece]], store: Path, opening: Opening, skip_bad: bool) -> _Written:
    """Read a chunk of dates, write it, and return its statistics and the files that were left out."""
    number, pieces = numbered
    read, bad = _read(pieces, opening, skip_bad)
    if read is None:
        return None, bad
    layout = read.layout
    dims = (layout.t, layout.y, layout.x)
    found = xr.Dataset()
    for name in _kept(read, opening):
        array = read.data[name].variable
        lacking = {dim: read.data.sizes[dim] for dim in dims if dim not in array.dims}
        values = array.set_dims({**lacking, **array.sizes}).transpose(*dims).to_numpy()
        chunk = np.full((len(pieces), *values.shape[1:]), np.nan, np.float32)
        chunk[read.rows] = values
        found[name] = xr.Variable(dims, chunk)
    raw = found[layout.variable].to_numpy()
    found[f"{layout.variable}_seen"] = layout.t, np.isfinite(raw).sum(axis=(1, 2))
    start = number * DATES
    found.to_zarr(store, region={layout.t: slice(start, start + len(pieces))}, consolidated=False)
    month = read.data[layout.time].dt.month.to_numpy()
    return Statistics.of(raw[read.rows], month), bad


def _finish(
    store: Path, first: _Read, total: Statistics, minimum_coverage: float, dates: int, digest: str
) -> None:
    """Mask and statistics into the store."""
    layout = first.layout
    name, plane = layout.variable, (layout.y, layout.x)
    share = total.number[0] / dates
    if first.mask is None:
        sea, origin = sea_from_coverage(share, minimum_coverage)
    else:
        sea, origin = sea_from_mask(first.file, first.data[first.mask], layout)
    if not (sea & (total.number[0] > 0)).any():
        raise InputError(
            f"{name}: no pixel of the sea ({origin}) is ever observed; check the mask, the fill value and "
            "the valid range"
        )
    seen = total.number > 0
    mean = np.where(seen, total.mean, np.nan).astype(np.float32)
    spread = np.sqrt(total.squares / np.maximum(total.number[0], 1))
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
                np.where(seen[0], spread, np.nan).astype(np.float32),
                units | {"long_name": f"standard deviation of {name}"},
            ),
            f"{name}_share": (
                plane,
                share.astype(np.float32),
                {"units": "1", "long_name": f"share of the dates on which {name} is observed"},
            ),
            f"{name}_climatology": (
                ("month", *plane),
                mean[1:],
                units | {"long_name": f"mean of {name} by calendar month"},
            ),
        }
    )
    found.attrs = dict(first.data.attrs) | {PREPARED: digest}
    found.to_zarr(store, mode="a", consolidated=False)
