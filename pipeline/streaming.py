"""A record of any length, filled block by block: learn on a part of it, then fill all of it.

Memory holds one block, some dates with others before and after them that are read twice and written once.
A block's result depends on nothing but its own dates and what was learnt, so blocks can be done in any order
and by any worker, and a run that was killed does the rest.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import dask.array
import numpy as np
import psutil
import torch
import xarray as xr
import zarr
from numpy.typing import NDArray

from .calibration import Calibration, check_levels
from .classical.kriging import Kriging
from .classical.neighbours import Component, Scales
from .data import GapData
from .dates import days_since_first
from .errors import InputError
from .features import Surroundings, surroundings
from .field import Field
from .fill import AUTOMATIC, DEFAULTS, GUESSING, HELD_OUT, METHODS, Estimate, choose_device, judge
from .firstguess import Guess, PixelMeans
from .networks import NETWORKS, Training, has_fixed_grid
from .output import check_writable, coverage_in_time, replacing, resuming, summary, to_dataset
from .prepare import DATES
from .progress import progress
from .record import Record
from .workers import workers

_log = logging.getLogger(__name__)

BASE = 0.6e9  # bytes: Python, torch and the libraries
LEARNING = 250  # bytes a value: what a method holds of a field at its peak, when it learns,
_FILLING, _FILLING_SIMPLY = 120, 85  # when it fills, and when it does so without a first guess
_LEAST_HALO, _MOST_HALO = 8, 32  # dates on each side of a block
SPAN = 32  # dates in a row of what is learnt on
_MOST_LEARNT = 1e7  # values: more take long and teach little
_WRAP = 32  # columns of a global grid that are repeated beyond its ends
_CELLS = 256  # of a chunk of the output, to a side
_YEAR = 365  # days
_LEARNT, _NETWORK = "learnt.json", "network.ckpt"  # beside the unfinished store


@dataclass(frozen=True)
class Learnt:
    """What a block is filled with."""

    method: str  # of `fill.METHODS`
    calibration: Calibration
    guess: dict[str, Any] | None  # fields of a `Kriging` or a `PixelMeans`; None for methods without one
    rows: list[dict[str, Any]]  # the scores of all that was tried on what was held out
    score: dict[str, Any]  # that of the method
    seed: int

    def first_guess(self) -> Guess | None:
        """The first guess as it was fitted."""
        if self.guess is None:
            return None
        if "scales" not in self.guess:
            return PixelMeans(**self.guess)
        components, nugget = self.guess["scales"]
        scales = Scales(tuple(Component(*part) for part in components), nugget)
        return Kriging(**self.guess | {"scales": scales})


@dataclass(frozen=True)
class Job:
    """All that a worker needs to fill a block; it can be sent to another process."""

    record: Record
    learnt: Learnt
    training: Training
    store: Path
    blocks: Sequence[tuple[slice, slice]]
    device: str
    analysis_everywhere: bool
    intervals: dict[int, float]  # half-widths by level
    threads: int | None


def default_memory() -> float:
    """GB: half of the machine's."""
    return psutil.virtual_memory().total / 2e9


def fill_record(
    record: Record,
    output: str | os.PathLike[str],
    *,
    method: str = "unet",
    training: Training = DEFAULTS,
    holdout: bool = True,
    analysis_everywhere: bool = False,
    intervals: Sequence[int] = (),
    seed: int = 0,
    device: str = "auto",
    memory: float | None = None,
    cluster: str | None = None,
    number: int = 1,
    quiet: bool = True,
    report: Callable[[list[dict[str, Any]]], None] = lambda rows: None,
    attributes: dict[str, Any] | None = None,
) -> None:
    """Fill the gaps of a record and write V, V_analysis, V_error and V_source (`output.to_dataset`).

    ``memory`` (GB, half of the machine's without it) is what all ``number`` workers (`workers`) share; it
    decides how many dates a block has. Other options are those of `fill.fill`. The same call after a kill
    goes on where that one was, and gives the same values. Raises `InputError` for options that do not fit.
    """
    if method not in METHODS:
        raise InputError(f"no method is called {method!r}; choose one of {', '.join(METHODS)}")
    if training.cv_points is not None or training.save_eofs is not None:
        raise InputError(
            f"{record.path}: is filled block by block, each with EOFs of its own; leave out --cv-points and "
            "--save-eofs, or allow more --memory"
        )
    check_writable(output)
    check_levels(intervals)
    if (record.share[record.sea] == 1).all():
        _log.warning("%s: nothing is missing, so the values are copied through", record.layout.variable)
        method, holdout = "persistence", False
    where = choose_device(device)
    memory = (memory or default_memory()) * 1e9
    bytes_a_value = _FILLING if method in GUESSING else _FILLING_SIMPLY
    blocks = blocks_of(record.shape, memory / number, bytes_a_value)
    found: dict[str, Any] = {"method": method, "seed": seed}
    opened = {key: getattr(record, key) for key in ("error_variable", "observation_error", "transform")}
    found["configuration"] = json.dumps({"holdout": holdout} | asdict(training) | opened)
    plan = found | {
        "record": [str(Path(record.path).resolve()), (Path(record.path) / "zarr.json").stat().st_mtime_ns],
        "opening": repr(record),
        "blocks": repr(blocks),
        "analysis_everywhere": analysis_everywhere,
        "intervals": list(intervals),
    }
    _log.info(
        "%s: %d dates of %d x %d pixels in %d blocks; %s on %s",
        record.layout.variable,
        *record.shape,
        len(blocks),
        method,
        where,
    )
    make = partial(_make, record, found | (attributes or {}), intervals)
    with resuming(output, plan, make) as store:
        held = store.parent / _LEARNT
        if not held.exists():
            sample = _sample(record, memory)
            learnt = _learn(record, sample, store, method, training, holdout, seed, where, quiet)
            with replacing(held) as temporary:
                temporary.write_text(json.dumps(asdict(learnt)), encoding="utf-8")
        kept = json.loads(held.read_text(encoding="utf-8"))
        learnt = Learnt(**kept | {"calibration": Calibration(**kept["calibration"])})
        report(learnt.rows)
        how = training
        if learnt.method in NETWORKS:
            how = replace(
                training, checkpoint=training.checkpoint or str(store.parent / _NETWORK), save_checkpoint=None
            )
        threads = max(1, torch.get_num_threads() // number) if number > 1 else None
        widths = learnt.calibration.half_widths_of(intervals)
        job = Job(record, learnt, how, store, blocks, where, analysis_everywhere, widths, threads)
        marks = store.parent / "done"
        marks.mkdir(exist_ok=True)
        left = [k for k in range(len(blocks)) if not (marks / str(k)).exists()]
        with workers(cluster, number) as everywhere, progress("filling", len(blocks), quiet) as advance:
            advance(len(blocks) - len(left))
            for k in everywhere(partial(_fill_block, job), left):
                (marks / str(k)).touch()
                advance(1)
        _describe(store, record, learnt)


def blocks_of(
    shape: tuple[int, int, int], memory: float, bytes_a_value: int = _FILLING
) -> list[tuple[slice, slice]]:
    """The dates of each block, and the dates around them that it sees, for ``memory`` bytes.

    Blocks are whole chunks of the stores, so that no two write to one chunk. At the ends of the record a
    block sees further inwards: its means are of as many dates as those of the others.
    """
    dates, rows, columns = shape
    most = int((memory - BASE) / (bytes_a_value * rows * columns))
    enough = int(np.clip(most // 6, _LEAST_HALO, _MOST_HALO))
    core = DATES * max(1, (most - 2 * enough) // DATES)
    halo = int(np.clip((most - core) // 2, _LEAST_HALO, _MOST_HALO))
    if dates <= core + 2 * halo:
        return [(slice(0, dates), slice(0, dates))]
    blocks = []
    for start in range(0, dates, core):
        stop = min(start + core, dates)
        first = int(np.clip(start - halo, 0, dates - core - 2 * halo))
        blocks.append((slice(start, stop), slice(first, first + core + 2 * halo)))
    return blocks


def _sample(record: Record, memory: float) -> Field:
    """Spans of dates, spread over the record, on which a method is learnt."""
    dates, rows, columns = record.shape
    most = int(min((memory - BASE) / (LEARNING * rows * columns), _MOST_LEARNT / (rows * columns)))
    most = max(most, SPAN)
    if most >= dates:
        return record.field(slice(0, dates))
    # Not where next to nothing was seen, as in a winter of clouds or a sensor's pause.
    seen = np.convolve(record.seen, np.ones(SPAN), "valid")
    useful = np.flatnonzero(seen >= np.median(seen[seen > 0]) / 2)
    places = np.linspace(0, len(useful) - 1, most // SPAN + 2)[1:-1].round().astype(int)
    starts = useful[places]
    spans = [record.field(slice(start, start + SPAN)) for start in starts]
    days = np.concatenate([_days(record)[start : start + SPAN] for start in starts])
    first = spans[0]
    _log.info("learning on %d of the %d dates, in %d spans", len(days), dates, len(spans))
    return replace(
        first,
        values=np.concatenate([span.values for span in spans]),
        error_variance=np.concatenate([span.error_variance for span in spans]),
        days=days - days[0],
        season=np.concatenate([span.season for span in spans]),
    )


def _learn(
    record: Record,
    sample: Field,
    store: Path,
    method: str,
    training: Training,
    holdout: bool,
    seed: int,
    device: str,
    quiet: bool,
) -> Learnt:
    data = GapData(
        sample,
        held_out=HELD_OUT if holdout else 0.0,
        first_guess=training.first_guess,
        around=_around(record, sample),
        seed=seed,
        device=device,
        quiet=quiet,
    )
    network = store.parent / _NETWORK
    how = training if training.checkpoint else replace(training, save_checkpoint=str(network))
    products = METHODS[method](data, how)
    if training.save_checkpoint and network.exists():
        with replacing(training.save_checkpoint) as temporary:
            temporary.write_bytes(network.read_bytes())
    chosen, rows, calibration = judge(sample, data, products)
    made = ["oi", method] if method in NETWORKS else [method]
    if method == "auto":
        made = [*AUTOMATIC[:-1], "oi", AUTOMATIC[-1]]
    guess = None if data.kriging is None else asdict(data.kriging)
    score = next((row for row in rows if row["method"] == chosen.name), {})
    return Learnt(made[products.index(chosen)], calibration, guess, rows, score, seed)


def _fill_block(job: Job, number: int) -> int:
    """Fill a block, write it, and return its number."""
    if job.threads is not None:
        torch.set_num_threads(job.threads)
    core, seen = job.blocks[number]
    field = job.record.field(seen)
    mean, error = _estimate(job, field)
    own = slice(core.start - seen.start, core.stop - seen.start)
    part = replace(field.between(own), ever_observed=job.record.share > 0)
    filled = to_dataset(
        part,
        mean[own],
        error[own],
        intervals=job.intervals,
        analysis_everywhere=job.analysis_everywhere,
    )
    filled = filled.drop_vars([name for name in filled.variables if name not in filled.data_vars])
    for array in filled.data_vars.values():
        array.encoding = {}
    filled = filled.transpose(*part.dims)
    filled.to_zarr(job.store, region={part.dims[0]: core}, consolidated=False)
    return number


def _estimate(job: Job, field: Field) -> Estimate:
    """Mean and scaled standard error (time, lat, lon) of a block."""
    record, learnt = job.record, job.learnt
    if not field.observed.any():
        mean, spread = record.usual()
        if record.transform == "log":
            mean, spread = np.log(mean), np.sqrt(np.log1p((spread / mean) ** 2))
        return np.broadcast_to(mean, field.values.shape), np.broadcast_to(spread, field.values.shape)
    wrap = min(_WRAP, field.sea.shape[1] // 2) if record.cyclic and not _of_one_grid(learnt.method) else 0
    around = _around(record, field)
    if wrap:
        field = _wrapped(field, wrap)
        around = Surroundings(torch.from_numpy(_beyond(around.place.numpy(), wrap)), around.season)
    data = GapData(
        field,
        held_out=0.0,
        first_guess=job.training.first_guess,
        kriging=learnt.first_guess(),
        around=around,
        seed=learnt.seed,
        device=job.device,
    )
    mean, error = METHODS[learnt.method](data, job.training)[-1].estimate
    columns = slice(wrap, mean.shape[2] - wrap)
    return mean[:, :, columns], learnt.calibration.scaled(field, error)[:, :, columns]


def _of_one_grid(method: str) -> bool:
    return method in NETWORKS and has_fixed_grid(NETWORKS[method])


def _around(record: Record, part: Field) -> Surroundings:
    """The surroundings of a part of the record, as long as it is."""
    return surroundings(part, long=bool(_days(record)[-1] >= _YEAR))


def _days(record: Record) -> NDArray[np.float64]:
    return days_since_first(record.dates)


def _beyond(array: NDArray[Any], columns: int) -> NDArray[Any]:
    """(..., lon) with columns of the other end added at both ends."""
    return np.concatenate([array[..., -columns:], array, array[..., :columns]], axis=-1)


def _wrapped(field: Field, columns: int) -> Field:
    """A global field with columns of the other end added at both ends."""
    lon = _beyond(field.lon, columns)
    turn = 360 * np.sign(field.lon[0, -1] - field.lon[0, 0])
    lon[:, :columns] -= turn
    lon[:, -columns:] += turn
    return replace(
        field,
        values=_beyond(field.values, columns),
        error_variance=_beyond(field.error_variance, columns),
        sea=_beyond(field.sea, columns),
        lat=_beyond(field.lat, columns),
        lon=lon,
    )


def _make(record: Record, attributes: dict[str, Any], intervals: Sequence[int], store: Path) -> None:
    """The empty store, with all coordinates and attributes."""
    field = record.field(slice(0, 2))
    nothing = np.zeros(field.values.shape)
    widths = Calibration().half_widths_of(intervals)
    example = to_dataset(field, nothing, nothing, intervals=widths, attributes=attributes)
    template = xr.Dataset(attrs=example.attrs)
    time = record.dataset[record.layout.time]
    for name, array in example.coords.items():
        kept = time if name == record.layout.time else array
        template = template.assign_coords({name: kept.variable})
        template[name].attrs = array.attrs
    template[record.layout.time].encoding = {**time.encoding, "chunks": None}
    chunks = tuple(min(size, n) for size, n in zip((DATES, _CELLS, _CELLS), record.shape, strict=True))
    encoding: dict[Any, Any] = {}
    for name, array in example.data_vars.items():
        fill = np.float32(np.nan) if array.dtype.kind == "f" else np.int8(0)
        whole = dask.array.full(record.shape, fill, chunks=chunks)
        template[name] = xr.Variable(field.dims, whole, array.attrs)
        encoding[name] = {"chunks": chunks, "_FillValue": fill if array.dtype.kind == "f" else None}
    template.to_zarr(store, mode="w", compute=False, consolidated=False, encoding=encoding)


def _describe(store: Path, record: Record, learnt: Learnt) -> None:
    """Attributes of the whole: its dates, how much was observed, its score."""
    name = record.layout.variable
    n = record.shape[0]
    at_sea = round(float(record.share[record.sea].sum(dtype=float)) * n)
    with xr.open_zarr(store, consolidated=False) as data:
        what = str(data[name].attrs["long_name"])
    attrs: dict[str, Any] = coverage_in_time(record.dates.to_numpy(), _days(record))
    attrs["summary"] = summary(name, what, at_sea, n * int(record.sea.sum()))
    attrs |= {"delivered": learnt.method} | learnt.calibration.attributes()
    attrs |= {f"held_out_{key}": value for key, value in learnt.score.items() if key != "method"}
    zarr.open_group(store, mode="r+").attrs.update(attrs)
