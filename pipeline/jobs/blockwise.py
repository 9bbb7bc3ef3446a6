"""Records larger than memory, filled block by block: learn on a part, then fill all of it.

Memory holds one block: some dates of a part of the map with a margin, which neighbouring blocks share. The
result depends only on the padded block and on what was learned, so blocks can be filled in any order and by
any worker, and a killed run resumes with those that are left.
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

import numpy as np
import torch
from numpy.typing import NDArray

from ..classical.baselines import tabulate_spatial_structure, tabulate_temporal_structure
from ..classical.kriging import Kriging
from ..classical.season import remove_season
from ..errors import InputError
from ..holdout.shrinkage import Shrinkage
from ..io.alignment import is_moved
from ..io.extremes import find_bearable, warn_of_extremes
from ..io.field import Field, RecordStatistics, check_range, grid_spacing
from ..io.layout.coordinates import list_names
from ..io.layout.dates import days_since_first
from ..io.opening import Opening
from ..io.output import describe_run, measure_spans, to_dataset
from ..io.reading import TREATMENT
from ..io.side_products import write_at_once, write_side_product
from ..io.storage import Span, is_packed
from ..io.writing import check_writable, has_state, hide, replace_atomically, resume_store, write_bytes
from ..progress import WRITE, enter_stage, plan_stages
from ..records.blocks import Block, Box
from ..records.filled import (
    create_store,
    encode_store,
    fill_store,
    find_treatment,
    make_example,
    mark_unknown_error,
    read_spans,
    summarise_record,
    write_attributes,
    write_block,
)
from ..records.prepare import prepare
from ..records.record import Record, read_digest
from ..records.subset import select_subset
from ..settings import HELD_OUT, FillSettings, Packing, choose_device
from ..training.data import GapData
from ..training.features import YEAR, StaticFeatures, make_static_features
from ..training.firstguess import Guess, PixelMeans, measure_spread
from ..training.heldout import DataSettings
from .deliver import Report, warn_of_unknown_error
from .evaluate import ErrorScale, apply_shrinkage, evaluate_candidates
from .fitted import read_kriging, read_scale
from .memory import LEAST_REACH, MOST_REACH, USUAL_REACH, default_memory, prepare_cut
from .methods import Candidate, Method, find_method_for, find_methods, make_method, settle_method
from .stages import list_stages, measure_record

_log = logging.getLogger(__name__)

Floats = NDArray[np.float32]

_LENGTHS = 2.5  # of the covariance's shortest component, in the margin of a block
_COPY = "copy"  # name of the method for a record without gaps
_LEARNED, _NETWORK = "learned.json", "network.ckpt"  # next to the unfinished store
# What `prepare` leaves to the filling.
_OF_FIELD = ("error_variable", "observation_error", "transform", "bounds_of_values", "outliers")


@dataclass(frozen=True)
class Learned:
    """What blocks are filled with, as plain data."""

    candidate: str  # the one that is delivered
    method: str  # that makes this candidate
    scale: ErrorScale
    guess: dict[str, Any] | None  # fields of a `Kriging` or a `PixelMeans`; None for methods without one
    rows: list[dict[str, Any]]  # the scores of all candidates
    attributes: dict[str, Any]  # of the output
    statistics: dict[str, Any]  # fields of a `RecordStatistics`
    reach: int  # cells around a block on which its result depends
    shrinkage: Shrinkage | None = None  # of the candidate's correction

    def first_guess(self) -> Guess | None:
        """Return the first guess as it was fitted."""
        if self.guess is None:
            return None
        if "scales" not in self.guess:
            return PixelMeans(**self.guess)
        return read_kriging(self.guess)

    @staticmethod
    def read(path: Path) -> Learned:
        """Return what an earlier run wrote."""
        kept = json.loads(path.read_text(encoding="utf-8"))
        share = kept.get("shrinkage")
        read = {"scale": read_scale(kept["scale"])}
        return Learned(**kept | read | {"shrinkage": None if share is None else Shrinkage(**share)})


@dataclass(frozen=True)
class Job:
    """Everything that a worker needs to fill a block; it can be sent to another process."""

    record: Record
    learned: Learned
    method: Method
    settings: FillSettings
    store: Path
    device: str
    threads: int | None


def fill_inputs(
    inputs: Sequence[str],
    output: str | os.PathLike[str],
    opening: Opening,
    settings: FillSettings,
    report: Report = lambda rows: None,
    attributes: Mapping[str, Any] | None = None,
    overwrite: bool = False,
) -> None:
    """Prepare the inputs, unless they are a store of `prepare`, and fill them (`fill_record`).

    Without a cache the store is next to the output and is removed when the output is complete, or when the
    filling is refused.
    """
    resources = settings.resources
    names = {"input_files": list_names(Path(path).name for path in inputs)}
    given = {name: value for name, value in opening.given().items() if name not in _OF_FIELD}
    place = hide(Path(output), "cache.zarr")
    store = Path(resources.cache or place)
    if len(inputs) == 1 and read_digest(inputs[0]) is not None:
        if given:
            raise InputError(
                f"{inputs[0]}: the store is already prepared and too large to be cut here; give "
                f"{', '.join(f'{name}=' for name in given)} to `oceanfill prepare`"
            )
        store = Path(inputs[0])
    else:
        _log.info("filling block by block; preparing %s", store)
        prepare(
            inputs,
            store,
            replace(opening, observation_error=None, transform="auto", outliers="drop"),
            cluster=resources.cluster,
            n_workers=resources.n_workers,
            quiet=settings.quiet,
            overwrite=overwrite or store == place,
        )
    values = {name: getattr(opening, name) for name in _OF_FIELD}
    record = Record(str(store), Opening(**values))
    if TREATMENT in record.dataset.attrs and str(store) == str(inputs[0]):
        _log.info("%s: %s", record.layout.variable, record.dataset.attrs[TREATMENT])
    try:
        fill_record(record, output, settings, report, names | dict(attributes or {}), overwrite=overwrite)
    except InputError:
        if store == place and not has_state(output):  # there is nothing to resume
            shutil.rmtree(store)
        raise
    if store == place:
        shutil.rmtree(store)


def fill_record(
    record: Record,
    output: str | os.PathLike[str],
    settings: FillSettings,
    report: Report = lambda rows: None,
    attributes: Mapping[str, Any] | None = None,
    training_subset: Field | None = None,
    overwrite: bool = True,
) -> None:
    """Fill the gaps of a record and write V, V_analysis, V_error and V_source (`output.to_dataset`).

    All workers share the memory of the settings. It decides how large a block is, and how much of the record
    is learned from where no ``training_subset`` is given. The same call after a kill resumes where that one
    stopped, and gives the same values. ``report``, ``attributes`` and ``overwrite`` are those of `fill.fill`.
    Raises `InputError` for settings that do not fit.
    """
    settings = settle_method(settings)
    method, resources = find_method_for(record.shape[0], settings.method), settings.resources
    check_writable(output)
    found = describe_run(method.name, settings.seed, settings.described()) | dict(attributes or {})
    found["method"] = method.name
    if (record.coverage[record.sea] == 1).all():
        _log.warning("%s: nothing is missing, so the values are copied through", record.layout.variable)
        method, settings = make_method(_copy_values, _COPY, pointwise=True), replace(settings, holdout=False)
        if not record.has_error:
            warn_of_unknown_error(record.layout.variable)
    device = choose_device(settings.device)
    memory = (resources.memory or default_memory()) * 1e9
    cut = prepare_cut(record.shape, method, settings, cyclic=record.cyclic, chunk=max(record.chunks[1:]))
    name = record.layout.variable
    mean, deviation = (record.dataset[f"{name}_{part}"].to_numpy() for part in ("mean", "std"))
    check_range(record.path, name, float(np.nanmin(mean - deviation)), float(np.nanmax(mean + deviation)))
    plan = {
        "record": _identify(record),
        "opening": repr(record.opening),
        "settings": repr(replace(settings, method=method.name, quiet=True)),
        "memory": memory,
    }
    if record.chosen_transform[1]:
        _log.info("%s: %s", record.layout.variable, record.chosen_transform[1])
    sizes = record.layout.variable, *record.shape
    _log.info("%s: %d dates of %d x %d pixels; %s on %s", *sizes, method.name, device)
    size = measure_record(record.shape, memory, len(cut(LEAST_REACH)), float(record.sea.mean()))
    plan_stages(list_stages(method, settings, size))
    create = partial(create_store, record=record, make=partial(make_example, record, settings, found))
    finish = partial(encode_store, record=record, packing=settings.packing)
    moved = is_moved(record.dataset, record.layout)
    encoded = is_packed(record.storage) or Path(output).suffix == ".nc" or moved
    with resume_store(output, plan, create, finish if encoded else None, overwrite) as store:
        held = store.parent / _LEARNED
        if not held.exists():
            subset = training_subset or select_subset(record, memory, whole_maps=method.whole_maps)
            learned = _learn(record, subset, store, method, replace(settings, device=device))
            with replace_atomically(held) as temporary:
                temporary.write_text(json.dumps(asdict(learned)), encoding="utf-8")
        learned = Learned.read(held)
        report(learned.rows)
        chosen, network = find_methods().get(learned.method, method), store.parent / _NETWORK
        if settings.training.save_checkpoint and network.exists():
            kept = partial(write_bytes, network.read_bytes(), settings.training.save_checkpoint)
            write_side_product(kept)
        if chosen.trains or chosen.general:
            path = settings.training.checkpoint or str(network)
            training = replace(settings.training, checkpoint=path, save_checkpoint=None, finetune=None)
            settings = replace(settings, training=training)
        job = Job(record, learned, chosen, settings, store, device, share_threads(resources.n_workers))
        fill_store(store, cut(learned.reach), partial(_fill_block, job), resources, settings.quiet)
        span = read_spans(store).get(f"{record.layout.variable}_analysis", Span())
        enter_stage(WRITE)
        warn_of_extremes(record.layout.variable, span, record.space, learned.statistics["bearable"])
        summary = {"summary": summarise_record(store, record)}
        treatment = find_treatment(store, record)
        summary |= {TREATMENT: "; ".join(treatment)} if treatment else {}
        write_attributes(store, record.dates, summary | learned.attributes)
        if method.name == _COPY and not record.has_error:
            mark_unknown_error(store, record.layout.variable)
        if _identify(record) != plan["record"]:
            raise InputError(f"{record.path}: was replaced while it was filled; run the fill again")


def _identify(record: Record) -> list[str | int]:
    """Return which store a record is in, and the state of that store."""
    return [str(Path(record.path).resolve()), (Path(record.path) / "zarr.json").stat().st_mtime_ns]


def share_threads(n_workers: int) -> int | None:
    """Return how many threads each of several workers has on this machine; None for all."""
    return max(1, torch.get_num_threads() // n_workers) if n_workers > 1 else None


def _copy_values(field: Field) -> tuple[Floats, Floats]:
    """Return the values and their errors, of a field without gaps."""
    return field.values, np.sqrt(field.error_variance)


def _learn(record: Record, subset: Field, store: Path, method: Method, settings: FillSettings) -> Learned:
    """Fit the method to the training subset, and select and calibrate the candidate to deliver."""
    if not subset.observed.any():
        lack = {
            "none": "at sea; check the mask",
            "log": "positive, so none has a logarithm; use transform='none'",
        }.get(record.transform, "within its bounds; give other bounds_of_values=")
        raise InputError(f"{record.path}: no observed value of {subset.name} is {lack}")
    data = GapData(
        subset,
        DataSettings(
            held_out=HELD_OUT if settings.holdout else 0.0,
            first_guess=settings.training.first_guess,
            seed=settings.seed,
            device=settings.device,
            quiet=settings.quiet,
        ),
        static=_make_static_features(record, subset),
    )
    training = replace(settings.training, save_checkpoint=str(store.parent / _NETWORK))
    if not method.needs_first_guess:
        enter_stage(method.title)
    with write_at_once():
        (candidates,) = method(data, replace(settings, training=training))
    evaluation = evaluate_candidates(data, candidates)
    best = evaluation.delivered
    guess = None if data.kriging is None else asdict(data.kriging)
    cell = float(np.mean(grid_spacing(subset)[1:]))
    without, _ = remove_season(subset)
    statistics = RecordStatistics(
        measure_spread(without),
        tabulate_temporal_structure(without),
        tabulate_spatial_structure(without),
        cell,
        find_bearable(subset),
    )
    return Learned(
        best.name,
        best.method or best.name,
        evaluation.scale,
        guess,
        evaluation.rows,
        {} if method.name == _COPY else evaluation.attributes() | data.learned,
        asdict(statistics),
        _find_reach(best, method, data.kriging, subset),
        evaluation.shrinkage,
    )


def _find_reach(candidate: Candidate, method: Method, guess: Guess | None, subset: Field) -> int:
    """Return how many cells away from a pixel an observation still matters."""
    chosen = find_methods().get(candidate.method or candidate.name, method)
    if chosen.pointwise or candidate.name == "pixel-means":
        return LEAST_REACH
    if not isinstance(guess, Kriging):
        return USUAL_REACH
    length = min(float(part.length) for part in guess.scales.components)
    return int(np.clip(_LENGTHS * length / min(grid_spacing(subset)[1:]), USUAL_REACH, MOST_REACH))


def _fill_block(job: Job, numbered: tuple[int, Block]) -> tuple[int, dict[str, Span]]:
    """Fill a block, write it, and return its number and the spans of its variables."""
    number, (core, padded) = numbered
    record, learned, settings = job.record, job.learned, job.settings
    if job.threads is not None:
        torch.set_num_threads(job.threads)
    observed = record.coverage > 0
    if not (observed | record.sea)[core.rows, core.columns].any():
        return number, {}  # land: the store is empty there
    statistics = RecordStatistics(**learned.statistics)
    field = replace(record.read_field(*padded), statistics=statistics)
    mean, error = _estimate(job, field, padded)
    own = core.relative_to(padded)
    # To the method, what is observed on other dates of the record only is never observed.
    part = replace(field.part(*own), ever_observed=observed[core.rows, core.columns])
    known = job.method.name != _COPY or record.has_error
    filled = to_dataset(
        part,
        mean[own],
        error[own] if known else None,
        noise=learned.scale.noise,
        intervals=learned.scale.calibration.half_widths_of(settings.intervals),
        analysis_everywhere=settings.analysis_everywhere,
        packing=Packing(pack="none"),
    )
    write_block(job.store, filled.transpose(*part.dims), core)
    return number, measure_spans(part, filled, settings.analysis_everywhere)


def _estimate(job: Job, field: Field, padded: Box) -> tuple[Floats, Floats]:
    """Return mean and scaled standard error (time, lat, lon) of a padded block.

    A block without observations gets the mean and the standard deviation of each pixel.
    """
    record, learned = job.record, job.learned
    if not field.observed.any():
        columns = np.arange(padded.columns.start, padded.columns.stop) % record.shape[2]
        mean, deviation = (part[padded.rows, columns] for part in record.pixel_statistics)
        return np.broadcast_to(mean, field.values.shape), np.broadcast_to(deviation, field.values.shape)
    data = GapData(
        field,
        DataSettings(
            held_out=0.0,
            first_guess=job.settings.training.first_guess,
            seed=job.settings.seed,
            device=job.device,
        ),
        kriging=learned.first_guess(),
        static=_make_static_features(record, field),
    )
    (candidates,) = job.method(data, job.settings)
    candidate = candidates[learned.candidate]
    if learned.shrinkage is not None:
        candidate = apply_shrinkage(candidate, learned.shrinkage)
    return candidate.estimate[0], learned.scale.of_estimate(field, candidate)


def _make_static_features(record: Record, part: Field) -> StaticFeatures:
    """Make the static features of a part of the record: places are relative to the whole map."""
    lat, lon = record.grid
    if record.cyclic:
        part = replace(part, lon=lon.min() + (part.lon - lon.min()) % 360)
    long = bool(days_since_first(record.dates)[-1] >= YEAR)
    return make_static_features(part, long=long, bounds=((lat.min(), lat.max()), (lon.min(), lon.max())))
