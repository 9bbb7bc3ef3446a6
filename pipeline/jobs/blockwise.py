"""Records larger than memory, filled block by block: learn on a part, then fill all of it.

Memory holds one block, some dates of a part of the map with their surroundings, which are read more than once
and written once. The result of a block depends on nothing but its surroundings and what was learned, so blocks
can be filled in any order and by any worker, and a run that was killed does the rest.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import dask.array
import numpy as np
import psutil
import torch
import xarray as xr
from numpy.typing import NDArray

from ..classical.baselines import differences_in_space, differences_in_time
from ..classical.kriging import Kriging
from ..classical.neighbours import Component, Scales
from ..errors import InputError
from ..holdout.calibration import Calibration
from ..io.dates import days_since_first
from ..io.field import Field, RecordStatistics, grid_spacing
from ..io.opening import Opening
from ..io.output import coverage_in_time, provenance, summary, to_dataset
from ..io.workers import start_workers
from ..io.writing import check_writable, replace_atomically, resume_store
from ..progress import progress
from ..records.blocks import BASE, CELLS, DATES, Block, Box, cut_blocks
from ..records.prepare import prepare
from ..records.record import Record, read_digest
from ..records.subset import LEARNING, select_subset
from ..settings import HELD_OUT, FillSettings, choose_device
from ..training.data import GapData
from ..training.features import StaticFeatures, make_static_features
from ..training.firstguess import Guess, PixelMeans, measure_spread
from ..training.heldout import DataSettings
from .deliver import Report
from .evaluate import ErrorScale, evaluate_candidates
from .methods import Candidate, Method, find_method, find_methods

_log = logging.getLogger(__name__)

BYTES_TO_START, BYTES_TO_LEARN = BASE, LEARNING  # of the process, and for each value of a field

_FILLING, _FILLING_SIMPLY = 120, 85  # bytes a value of a block, and where it is filled without a first guess
_LENGTHS = 2  # of the covariance's nearer part that are seen around a block
_LEAST_REACH, _USUAL_REACH, _MOST_REACH = 12, 36, 96  # cells around a block
_YEAR = 365  # days
_LEARNED, _NETWORK = "learned.json", "network.ckpt"  # next to the unfinished store
_OF_FIELD = ("error_variable", "observation_error", "transform")  # what `prepare` leaves to the filling


@dataclass(frozen=True)
class Learned:
    """What a block is filled with, as plain data."""

    candidate: str  # the one that is delivered
    method: str  # that makes it
    scale: ErrorScale
    guess: dict[str, Any] | None  # fields of a `Kriging` or a `PixelMeans`; None for methods without one
    rows: list[dict[str, Any]]  # the scores of all candidates
    attributes: dict[str, Any]  # of the output
    statistics: dict[str, Any]  # fields of a `RecordStatistics`
    reach: int  # cells around a block that it depends on

    def first_guess(self) -> Guess | None:
        """Return the first guess as it was fitted."""
        if self.guess is None:
            return None
        if "scales" not in self.guess:
            return PixelMeans(**self.guess)
        components, nugget = self.guess["scales"]
        scales = Scales(tuple(Component(*part) for part in components), nugget)
        return Kriging(**self.guess | {"scales": scales})

    @staticmethod
    def read(path: Path) -> Learned:
        """Return what an earlier run wrote."""
        kept = json.loads(path.read_text(encoding="utf-8"))
        parts = (kept["scale"][name] for name in ("calibration", "floor"))
        scale = ErrorScale(*(None if part is None else Calibration(**part) for part in parts))  # type: ignore[arg-type]
        return Learned(**kept | {"scale": scale})


@dataclass(frozen=True)
class Job:
    """All that a worker needs to fill a block; it can be sent to another process."""

    record: Record
    learned: Learned
    method: Method
    settings: FillSettings
    store: Path
    device: str
    threads: int | None


def default_memory() -> float:
    """Return half of the machine's memory in GB."""
    return psutil.virtual_memory().total / 2e9


def fill_inputs(
    inputs: Sequence[str],
    output: str | os.PathLike[str],
    opening: Opening,
    settings: FillSettings,
    report: Report = lambda rows: None,
    attributes: Mapping[str, Any] | None = None,
) -> None:
    """Prepare the inputs, unless they are a store of `prepare`, and fill them (`fill_record`).

    Without a cache the store is next to the output and is removed when that is complete.
    """
    resources = settings.resources
    given = {name: value for name, value in opening.given().items() if name not in _OF_FIELD}
    place = Path(output).with_name(f".{Path(output).name}.cache.zarr")
    store = Path(resources.cache or place)
    if len(inputs) == 1 and read_digest(inputs[0]) is not None:
        if given:
            raise InputError(
                f"{inputs[0]}: is prepared already, and too large to be cut here; give "
                f"{', '.join('--' + name.replace('_', '-') for name in given)} to `oceanfill prepare`"
            )
        store = Path(inputs[0])
    else:
        _log.info("filling block by block; preparing %s", store)
        prepare(
            inputs,
            store,
            replace(opening, observation_error=None, transform="none"),
            cluster=resources.cluster,
            n_workers=resources.n_workers,
            quiet=settings.quiet,
        )
    values = {name: getattr(opening, name) for name in _OF_FIELD}
    fill_record(Record(str(store), Opening(**values)), output, settings, report, attributes)
    if resources.cache is None and store == place:
        shutil.rmtree(store)


def fill_record(
    record: Record,
    output: str | os.PathLike[str],
    settings: FillSettings,
    report: Report = lambda rows: None,
    attributes: Mapping[str, Any] | None = None,
) -> None:
    """Fill the gaps of a record and write V, V_analysis, V_error and V_source (`output.to_dataset`).

    The memory of the settings' resources is what all workers share; it decides how large a block is. The same
    call after a kill resumes where that one stopped, and gives the same values. ``report`` and ``attributes``
    are those of `fill.fill`. Raises `InputError` for settings that do not fit.
    """
    method, resources = find_method(settings.method), settings.resources
    if settings.eofs.cv_points is not None or settings.eofs.save_eofs is not None:
        raise InputError(
            f"{record.path}: is filled block by block, each with EOFs of its own; leave out --cv-points and "
            "--save-eofs, or allow more --memory"
        )
    check_writable(output)
    if (record.share[record.sea] == 1).all():
        _log.warning("%s: nothing is missing, so the values are copied through", record.layout.variable)
        method, settings = find_method("persistence"), replace(settings, holdout=False)
    device = choose_device(settings.device)
    memory = (resources.memory or default_memory()) * 1e9
    cut = partial(
        cut_blocks,
        record.shape,
        memory / resources.n_workers,
        _FILLING if method.needs_first_guess else _FILLING_SIMPLY,
        cyclic=record.cyclic and method.wraps,
        whole_maps=method.whole_maps,
    )
    # Blocks that cannot be cut are refused before the training, which decides the reach.
    cut(_LEAST_REACH if method.pointwise else _MOST_REACH)
    found = dict(attributes or provenance(method.name, settings.seed, settings.described()))
    plan = {
        "record": [str(Path(record.path).resolve()), (Path(record.path) / "zarr.json").stat().st_mtime_ns],
        "opening": repr(record.opening),
        "settings": repr(replace(settings, method=method.name, quiet=True, resources=resources)),
        "memory": memory / resources.n_workers,
    }
    sizes = record.layout.variable, *record.shape
    _log.info("%s: %d dates of %d x %d pixels; %s on %s", *sizes, method.name, device)
    make = partial(_make, record, found, settings.intervals)
    with resume_store(output, plan, make) as store:
        held = store.parent / _LEARNED
        if not held.exists():
            sample = select_subset(record, memory, whole_maps=method.whole_maps)
            learned = _learn(record, sample, store, method, replace(settings, device=device))
            with replace_atomically(held) as temporary:
                temporary.write_text(json.dumps(asdict(learned)), encoding="utf-8")
        learned = Learned.read(held)
        report(learned.rows)
        chosen = find_methods().get(learned.method, method)
        if chosen.trains:
            network = settings.training.checkpoint or str(store.parent / _NETWORK)
            training = replace(settings.training, checkpoint=network, save_checkpoint=None)
            settings = replace(settings, training=training)
        n_workers = resources.n_workers
        threads = max(1, torch.get_num_threads() // n_workers) if n_workers > 1 else None
        job = Job(record, learned, chosen, settings, store, device, threads)
        marks = store.parent / "done"
        marks.mkdir(exist_ok=True)
        blocks = cut(learned.reach)
        left = [(k, block) for k, block in enumerate(blocks) if not (marks / str(k)).exists()]
        _log.info("%d blocks of up to %d dates of %d x %d pixels", len(blocks), *blocks[0].core.shape)
        with (
            start_workers(resources.cluster, n_workers) as run,
            progress("filling", len(blocks), settings.quiet) as advance,
        ):
            advance(len(blocks) - len(left))
            for k in run(partial(_fill_block, job), left):
                (marks / str(k)).touch()
                advance(1)
        _describe(store, record, learned)


def _learn(record: Record, sample: Field, store: Path, method: Method, settings: FillSettings) -> Learned:
    data = GapData(
        sample,
        DataSettings(
            held_out=HELD_OUT if settings.holdout else 0.0,
            first_guess=settings.training.first_guess,
            seed=settings.seed,
            device=settings.device,
            quiet=settings.quiet,
        ),
        static=_around(record, sample),
    )
    training, network = settings.training, store.parent / _NETWORK
    if training.checkpoint is None:
        settings = replace(settings, training=replace(training, save_checkpoint=str(network)))
    (candidates,) = method(data, settings)
    if training.save_checkpoint and network.exists():
        with replace_atomically(training.save_checkpoint) as temporary:
            temporary.write_bytes(network.read_bytes())
    evaluation = evaluate_candidates(data, candidates)
    best = evaluation.delivered
    guess = None if data.kriging is None else asdict(data.kriging)
    cell = float(np.mean(grid_spacing(sample)[1:]))
    statistics = RecordStatistics(
        measure_spread(sample), differences_in_time(sample), differences_in_space(sample), cell
    )
    return Learned(
        best.name,
        best.method or best.name,
        evaluation.scale,
        guess,
        evaluation.rows,
        evaluation.attributes(),
        asdict(statistics),
        _reach(best, method, data.kriging, sample),
    )


def _reach(candidate: Candidate, method: Method, guess: Guess | None, sample: Field) -> int:
    """Return how many cells away a method still depends on a pixel."""
    chosen = find_methods().get(candidate.method or candidate.name, method)
    if chosen.pointwise or candidate.name == "pixel-means":
        return _LEAST_REACH
    if not isinstance(guess, Kriging):
        return _USUAL_REACH
    length = min(float(part.length) for part in guess.scales.components)
    return int(np.clip(_LENGTHS * length / min(grid_spacing(sample)[1:]), _USUAL_REACH, _MOST_REACH))


def _fill_block(job: Job, numbered: tuple[int, Block]) -> int:
    """Fill a block, write it, and return its number."""
    number, (core, seen) = numbered
    record, learned, settings = job.record, job.learned, job.settings
    if job.threads is not None:
        torch.set_num_threads(job.threads)
    ever = record.share[core.rows, core.columns] > 0
    if not (ever | record.sea[core.rows, core.columns]).any():
        return number  # land: the store is empty there
    around = record.share[seen.rows, np.arange(seen.columns.start, seen.columns.stop) % record.shape[2]] > 0
    field = record.field(*seen)
    field = replace(field, ever_observed=around, statistics=RecordStatistics(**learned.statistics))
    own = core.within(seen)
    mean, error = _estimate(job, field, seen)
    part = field.part(*own)
    filled = to_dataset(
        part,
        mean[own],
        error[own],
        intervals=learned.scale.calibration.half_widths_of(settings.intervals),
        analysis_everywhere=settings.analysis_everywhere,
    )
    filled = filled.drop_vars([name for name in filled.variables if name not in filled.data_vars])
    for array in filled.data_vars.values():
        array.encoding = {}
    filled = filled.transpose(*part.dims)
    filled.to_zarr(job.store, region=dict(zip(part.dims, core, strict=True)), consolidated=False)
    return number


def _estimate(job: Job, field: Field, seen: Box) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the mean and the scaled standard error (time, lat, lon) of a block and its surroundings."""
    record, learned = job.record, job.learned
    if not field.observed.any():
        mean, deviation = (np.broadcast_to(part, field.values.shape) for part in record.usual(*seen[1:]))
        if record.opening.transform == "log":
            variance = np.log1p((deviation / mean) ** 2)
            mean, deviation = np.log(mean) - variance / 2, np.sqrt(variance)
        return mean, deviation
    data = GapData(
        field,
        DataSettings(
            held_out=0.0,
            first_guess=job.settings.training.first_guess,
            seed=job.settings.seed,
            device=job.device,
        ),
        kriging=learned.first_guess(),
        static=_around(record, field),
    )
    (candidates,) = job.method(data, job.settings)
    candidate = candidates[learned.candidate]
    return candidate.estimate[0], learned.scale.of_estimate(field, candidate)


def _around(record: Record, part: Field) -> StaticFeatures:
    """Return the static features of a part of the record: its place on the map, in a record as long as it is."""
    lat, lon = record.grid
    if record.cyclic:
        part = replace(part, lon=lon.min() + (part.lon - lon.min()) % 360)
    long = bool(days_since_first(record.dates)[-1] >= _YEAR)
    return make_static_features(part, long=long, bounds=((lat.min(), lat.max()), (lon.min(), lon.max())))


def _make(record: Record, attributes: dict[str, Any], intervals: Sequence[int], store: Path) -> None:
    """Make the empty store, with all coordinates and attributes."""
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


def _describe(store: Path, record: Record, learned: Learned) -> None:
    """Write the attributes of the whole: its dates, how much was observed, its score."""
    name = record.layout.variable
    n = record.shape[0]
    at_sea = round(float(record.share[record.sea].sum(dtype=float)) * n)
    with xr.open_zarr(store, consolidated=False) as data:
        what = str(data[name].attrs["long_name"])
    attrs: dict[str, Any] = coverage_in_time(record.dates.to_numpy(), days_since_first(record.dates))
    attrs["summary"] = summary(name, what, at_sea, n * int(record.sea.sum()))
    attrs |= learned.attributes
    import zarr  # a quarter of a second, for those who write it

    zarr.open_group(store, mode="r+").attrs.update(attrs)
