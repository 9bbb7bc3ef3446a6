"""A record of any size, filled block by block: learn on a part of it, then fill all of it.

Memory holds one block, some dates of a part of the map with what is around them, which is read more than once
and written once. A block's result depends on nothing but what it sees and what was learnt, so blocks can be
done in any order and by any worker, and a run that was killed does the rest.
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

from ..classical.baselines import tabulate_spatial_structure, tabulate_temporal_structure
from ..classical.kriging import Kriging
from ..classical.neighbours import Component, Scales
from ..errors import InputError
from ..holdout.calibration import Calibration, check_levels
from ..io.dates import days_since_first
from ..io.field import Field, RecordStatistics, grid_spacing
from ..io.output import coverage_in_time, provenance, summary, to_dataset
from ..io.workers import start_workers
from ..io.writing import check_writable, replace_atomically, resume_store
from ..progress import progress
from ..records.blocks import Block, Box, cut_blocks
from ..records.prepare import CELLS, DATES
from ..records.record import Record
from ..records.subset import select_subset
from ..training.data import GapData
from ..training.features import StaticFeatures, static_features
from ..training.firstguess import Guess, PixelMeans, anomaly_spread
from ..training.networks import NETWORKS, Training, has_fixed_grid
from .evaluate import Estimate, evaluate_candidates
from .fill import AUTOMATIC, DEFAULTS, GUESSING, HELD_OUT, METHODS, choose_device

_log = logging.getLogger(__name__)

_FILLING, _FILLING_SIMPLY = 120, 85  # bytes a value of a block, and where it is filled without a first guess
_WHOLE_MAPS = ("dineof", "blend", "auto")  # what they learn of a part is not true of the next one
_POINTWISE = ("climatology", "persistence", "linear-time")  # methods that look at no neighbours
_LENGTHS = 2  # of the covariance's nearer part that are seen around a block
_LEAST_REACH, _USUAL_REACH, _MOST_REACH = 12, 36, 96  # cells around a block
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
    whole: dict[str, Any]  # fields of a `RecordStatistics`
    reach: int  # cells around a block that it has to see

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

    ``memory`` (GB, half of the machine's without it) is what all ``number`` workers (`start_workers`) share; it
    decides how large a block is. Other options are those of `fill.fill`. The same call after a kill
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
    cut = partial(
        cut_blocks,
        record.shape,
        memory / number,
        _FILLING if method in GUESSING else _FILLING_SIMPLY,
        cyclic=record.cyclic and not _of_one_grid(method),
        whole_maps=method in _WHOLE_MAPS or _of_one_grid(method),
    )
    # What cannot be done is said before the training, which tells the reach.
    cut(_LEAST_REACH if method in _POINTWISE else _MOST_REACH)
    opened = {key: getattr(record, key) for key in ("error_variable", "observation_error", "transform")}
    found = provenance(method, seed, None, holdout=holdout, **asdict(training), **opened)
    plan = found | {
        "record": [str(Path(record.path).resolve()), (Path(record.path) / "zarr.json").stat().st_mtime_ns],
        "opening": repr(record),
        "memory": memory / number,
        "analysis_everywhere": analysis_everywhere,
        "intervals": list(intervals),
    }
    _log.info(
        "%s: %d dates of %d x %d pixels; %s on %s", record.layout.variable, *record.shape, method, where
    )
    make = partial(_make, record, found | (attributes or {}), intervals)
    with resume_store(output, plan, make) as store:
        held = store.parent / _LEARNT
        if not held.exists():
            sample = select_subset(record, memory, whole_maps=method in _WHOLE_MAPS or _of_one_grid(method))
            learnt = _learn(record, sample, store, method, training, holdout, seed, where, quiet)
            with replace_atomically(held) as temporary:
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
        job = Job(record, learnt, how, store, where, analysis_everywhere, widths, threads)
        marks = store.parent / "done"
        marks.mkdir(exist_ok=True)
        blocks = cut(learnt.reach)
        left = [(k, block) for k, block in enumerate(blocks) if not (marks / str(k)).exists()]
        _log.info("%d blocks of up to %d dates of %d x %d pixels", len(blocks), *blocks[0].core.shape)
        with start_workers(cluster, number) as everywhere, progress("filling", len(blocks), quiet) as advance:
            advance(len(blocks) - len(left))
            for k in everywhere(partial(_fill_block, job), left):
                (marks / str(k)).touch()
                advance(1)
        _describe(store, record, learnt)


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
    (products,) = METHODS[method](data, how)
    if training.save_checkpoint and network.exists():
        with replace_atomically(training.save_checkpoint) as temporary:
            temporary.write_bytes(network.read_bytes())
    chosen, rows, calibration = evaluate_candidates(sample, data, products)
    made = ["oi", method] if method in NETWORKS else [method]
    if method == "auto":
        made = [*AUTOMATIC[:-1], "oi", AUTOMATIC[-1]]
    guess = None if data.kriging is None else asdict(data.kriging)
    score = next((row for row in rows if row["method"] == chosen.name), {})
    cell = float(np.mean(grid_spacing(sample)[1:]))
    whole = RecordStatistics(
        anomaly_spread(sample), tabulate_temporal_structure(sample), tabulate_spatial_structure(sample), cell
    )
    name = made[products.index(chosen)]
    reach = _reach(name, data.kriging, sample)
    return Learnt(name, calibration, guess, rows, score, seed, asdict(whole), reach)


def _reach(method: str, guess: Guess | None, sample: Field) -> int:
    """How many cells away a method still learns something of a pixel."""
    if method in _POINTWISE or (isinstance(guess, PixelMeans) and method == "oi"):
        return _LEAST_REACH
    if not isinstance(guess, Kriging):
        return _USUAL_REACH
    length = min(float(part.length) for part in guess.scales.components)
    return int(np.clip(_LENGTHS * length / min(grid_spacing(sample)[1:]), _USUAL_REACH, _MOST_REACH))


def _fill_block(job: Job, numbered: tuple[int, Block]) -> int:
    """Fill a block, write it, and return its number."""
    number, (core, seen) = numbered
    if job.threads is not None:
        torch.set_num_threads(job.threads)
    ever = job.record.share[core.rows, core.columns] > 0
    if not (ever | job.record.sea[core.rows, core.columns]).any():
        return number  # land: the store is empty there
    field = replace(job.record.field(*seen), whole=RecordStatistics(**job.learnt.whole))
    own = core.within(seen)
    mean, error = _estimate(job, field, seen)
    part = replace(field.part(*own), ever_observed=ever)
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
    filled.to_zarr(job.store, region=dict(zip(part.dims, core, strict=True)), consolidated=False)
    return number


def _estimate(job: Job, field: Field, seen: Box) -> Estimate:
    """Mean and scaled standard error (time, lat, lon) of what a block sees."""
    record, learnt = job.record, job.learnt
    if not field.observed.any():
        mean, deviation = (np.broadcast_to(part, field.values.shape) for part in record.usual(*seen[1:]))
        if record.transform == "log":
            mean, deviation = np.log(mean), np.sqrt(np.log1p((deviation / mean) ** 2))
        return mean, deviation
    data = GapData(
        field,
        held_out=0.0,
        first_guess=job.training.first_guess,
        kriging=learnt.first_guess(),
        around=_around(record, field),
        seed=learnt.seed,
        device=job.device,
    )
    mean, error = METHODS[learnt.method](data, job.training)[0][-1].estimate
    return mean, learnt.calibration.scale_error(field, error)


def _of_one_grid(method: str) -> bool:
    return method in NETWORKS and has_fixed_grid(NETWORKS[method])


def _around(record: Record, part: Field) -> StaticFeatures:
    """The surroundings of a part of the record: its place on the whole map, in a record as long as it is."""
    lat, lon = record.grid
    if record.cyclic:
        part = replace(part, lon=lon.min() + (part.lon - lon.min()) % 360)
    long = bool(days_since_first(record.dates)[-1] >= _YEAR)
    return static_features(part, long=long, bounds=((lat.min(), lat.max()), (lon.min(), lon.max())))


def _make(record: Record, attributes: dict[str, Any], intervals: Sequence[int], store: Path) -> None:
    """The empty store, with all coordinates and attributes."""
    field = record.field(slice(0, 1))
    nothing = np.broadcast_to(np.float32(0), field.values.shape)
    widths = Calibration().half_widths_of(intervals)
    example = to_dataset(field, nothing, nothing, intervals=widths, attributes=attributes)
    template = xr.Dataset(attrs=example.attrs)
    time = record.dataset[record.layout.time]
    for name, array in example.coords.items():
        kept = time if name == record.layout.time else array
        template = template.assign_coords({name: kept.variable})
        template[name].attrs = array.attrs
    template[record.layout.time].encoding = {**time.encoding, "chunks": None}
    chunks = tuple(min(size, n) for size, n in zip((DATES, CELLS, CELLS), record.shape, strict=True))
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
    attrs: dict[str, Any] = coverage_in_time(record.dates.to_numpy(), days_since_first(record.dates))
    attrs["summary"] = summary(name, what, at_sea, n * int(record.sea.sum()))
    attrs |= {"delivered": learnt.method} | learnt.calibration.attributes()
    attrs |= {f"held_out_{key}": value for key, value in learnt.score.items() if key != "method"}
    import zarr  # a quarter of a second, for those who write it

    zarr.open_group(store, mode="r+").attrs.update(attrs)
