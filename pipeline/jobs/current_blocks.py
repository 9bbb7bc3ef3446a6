"""Currents from radial velocities that are larger than memory: learn on some dates, then fill block by block.

As `blockwise` for fields. A block has whole maps and all dates before and after it that its result depends
on, so its values are those of the whole record.
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
import xarray as xr

from ..classical.neighbours import MOST_DATES, Component, Scales
from ..classical.vector_kriging import VectorKriging
from ..errors import InputError
from ..holdout.calibration import Calibration
from ..io.alignment import is_moved
from ..io.layout.coordinates import list_names
from ..io.opening import Opening
from ..io.output import describe_run
from ..io.radials import Radials, make_current_dataset, summarise_current
from ..io.side_products import write_at_once, write_side_product
from ..io.storage import Span
from ..io.writing import check_writable, has_state, hide, replace_atomically, resume_store, write_bytes
from ..progress import WRITE, enter_stage, plan_stages
from ..records.blocks import Block, cut_dates
from ..records.filled import (
    create_store,
    fill_store,
    read_spans,
    restore_store,
    write_attributes,
    write_block,
)
from ..records.radials import RadialRecord, prepare_radials
from ..settings import FillSettings, choose_device
from ..training.vector_data import RadialData, RadialSettings
from .blockwise import share_threads
from .currents import (
    choose_method,
    evaluate_currents,
    find_bearable_speed,
    make_candidates,
    make_radial_settings,
    measure_components,
    mix_currents,
    scale_current,
    warn_of_speeds,
)
from .deliver import Report
from .memory import FILLING, default_memory
from .methods import find_method, settle_method
from .stages import list_stages, measure_record

_log = logging.getLogger(__name__)
_LEARNED, _NETWORK = "learned.json", "network.ckpt"  # next to the unfinished store


@dataclass(frozen=True)
class LearnedCurrent:
    """What blocks are filled with, as plain data."""

    candidate: str  # the one that is delivered
    kriging: dict[str, Any]  # fields of a `VectorKriging`
    calibration: dict[str, Any]  # fields of a `Calibration`
    rows: list[dict[str, Any]]  # the scores of all candidates
    attributes: dict[str, Any]  # of the output
    reach: int  # dates around a block on which its result depends
    speed: float  # the largest component that is bearable
    step: int  # dates, of whose multiples the dates that are read for a block begin with one
    share: float = 1.0  # of the candidate's correction

    def first_guess(self) -> VectorKriging:
        """Return the optimal interpolation as it was fitted."""
        components, nugget = self.kriging["scales"]
        scales = Scales(tuple(Component(*part) for part in components), nugget)
        return VectorKriging(**self.kriging | {"scales": scales, "mean": tuple(self.kriging["mean"])})


@dataclass(frozen=True)
class _Job:
    """Everything that a worker needs to fill a block; it can be sent to another process."""

    record: RadialRecord
    learned: LearnedCurrent
    settings: FillSettings
    store: Path
    device: str
    threads: int | None


def fill_radial_inputs(
    inputs: Sequence[str],
    output: str | os.PathLike[str],
    opening: Opening,
    settings: FillSettings,
    report: Report = lambda rows: None,
    attributes: Mapping[str, Any] | None = None,
    overwrite: bool = False,
) -> None:
    """Prepare the inputs in a folder next to the output, and fill them.

    The folder is removed at the end, or when the filling is refused.
    """
    place = hide(Path(output), "stations")
    direction = settings.currents.radial_direction
    assert direction is not None
    choose_method(settings)  # refuses before the hours that preparing may take
    _log.info("filling block by block; preparing %s", place)
    record = prepare_radials(inputs, place, direction, opening, settings.resources, settings.quiet)
    names = {"input_files": list_names(Path(path).name for path in inputs)} | dict(attributes or {})
    try:
        fill_radial_record(record, output, settings, report, names, overwrite=overwrite)
    except InputError:
        if not has_state(output):  # there is nothing to resume
            shutil.rmtree(place)
        raise
    shutil.rmtree(place)


def fill_radial_record(
    record: RadialRecord,
    output: str | os.PathLike[str],
    settings: FillSettings,
    report: Report = lambda rows: None,
    attributes: Mapping[str, Any] | None = None,
    training_subset: Radials | None = None,
    overwrite: bool = True,
) -> None:
    """Fill a record and write u and v, their errors and covariance, as `currents.fill_radials` returns them.

    All workers share the memory of the settings, as in `blockwise.fill_record`. The same call after a kill
    resumes. Raises `InputError` for settings that do not fit.
    """
    settings = settle_method(settings)
    method, flow = find_method(settings.method), settings.currents.flow or "free"
    check_writable(output)
    device, resources = choose_device(settings.device), settings.resources
    memory = (resources.memory or default_memory()) * 1e9
    first = record.stations[0]
    plan = {
        "record": [(one.path, (Path(one.path) / "zarr.json").stat().st_mtime_ns) for one in record.stations],
        "opening": repr(first.opening),
        "settings": repr(replace(settings, method=method.name, quiet=True)),
        "memory": memory,
    }
    sizes = len(record.stations), record.shape[0], record.sea.sum()
    _log.info("%d stations, %d dates, %d sea pixels; %s on %s", *sizes, method.name, device)
    cut = partial(
        cut_dates, record.shape, memory, FILLING * len(record.stations), n_workers=resources.n_workers
    )
    number = len(cut(MOST_DATES))  # refused before the training, which decides the reach
    size = measure_record(record.shape, memory, number, float(record.sea.mean()))
    plan_stages(list_stages(method, settings, replace(size, missing=1.0)))
    run = describe_run(method.name, settings.seed, settings.described(), attributes)
    example = partial(_make_example, record, settings, {"flow": flow} | run)
    create = partial(create_store, record=first, make=example)
    finish = partial(restore_store, record=first) if is_moved(first.dataset, first.layout) else None
    with resume_store(output, plan, create, finish, overwrite) as store:
        held, network = store.parent / _LEARNED, store.parent / _NETWORK
        if not held.exists():
            subset = training_subset or record.select_subset(memory)
            learned = _learn(subset, network, replace(settings, device=device), flow)
            with replace_atomically(held) as temporary:
                temporary.write_text(json.dumps(asdict(learned)), encoding="utf-8")
        learned = LearnedCurrent(**json.loads(held.read_text(encoding="utf-8")))
        report(learned.rows)
        if settings.training.save_checkpoint and network.exists():
            kept = partial(write_bytes, network.read_bytes(), settings.training.save_checkpoint)
            write_side_product(kept)
        checkpoint = settings.training.checkpoint or str(network)
        training = replace(settings.training, checkpoint=checkpoint, save_checkpoint=None)
        job = _Job(
            record,
            learned,
            replace(settings, training=training),
            store,
            device,
            share_threads(resources.n_workers),
        )
        blocks = cut(learned.reach, step=learned.step)
        fill_store(store, blocks, partial(_fill_block, job), resources, settings.quiet)
        enter_stage(WRITE)
        warn_of_speeds(read_spans(store), learned.speed)
        summary = summarise_current(len(record.stations), record.measure_coverage())
        write_attributes(store, record.dates, {"summary": summary} | learned.attributes)


def _make_example(record: RadialRecord, settings: FillSettings, attributes: Mapping[str, Any]) -> xr.Dataset:
    """Return the dataset of the first date, which shows the variables and attributes."""
    nothing = np.where(record.sea, np.zeros((5, 1, 1, 1), np.float32), np.float32(np.nan))
    intervals = Calibration().half_widths_of(settings.intervals)
    return make_current_dataset(record.read(slice(0, 1)), nothing, attributes, intervals, settings.packing)


def _learn(subset: Radials, network: Path, settings: FillSettings, flow: str) -> LearnedCurrent:
    """Fit the covariance and the network to the subset, and select and calibrate the candidate to deliver."""
    method = find_method(settings.method)
    data = RadialData(subset, make_radial_settings(settings, settings.device), flow)
    training = replace(settings.training, save_checkpoint=str(network))
    with write_at_once():
        made = make_candidates(data, method, replace(settings, training=training))
    evaluation = evaluate_currents(data, made)
    reach, step = data.kriging.find_reach(subset)
    name = evaluation.delivered.name
    return LearnedCurrent(
        name,
        asdict(data.kriging),
        asdict(evaluation.scale.calibration),
        evaluation.rows,
        evaluation.attributes(),
        reach + (0 if name == "oi" else data.window // 2),
        find_bearable_speed(subset),
        step,
        1.0 if evaluation.shrinkage is None else evaluation.shrinkage.shares[0],
    )


def _fill_block(job: _Job, numbered: tuple[int, Block]) -> tuple[int, dict[str, Span]]:
    """Fill a block, write it, and return its number and the spans of its components."""
    number, (core, padded) = numbered
    learned, settings = job.learned, job.settings
    if job.threads is not None:
        torch.set_num_threads(job.threads)
    radials = job.record.read(padded.dates)
    method, flow = find_method(learned.candidate), settings.currents.flow or "free"
    how = RadialSettings(held_out=0.0, seed=settings.seed, device=job.device)
    data = RadialData(radials, how, flow, learned.first_guess())
    guess, *_ = candidates = make_candidates(data, method, settings)
    before, after = (candidates[name].estimate for name in (guess, learned.candidate))
    estimate = mix_currents(before, after, learned.share)
    calibration = Calibration(**learned.calibration)
    own = core.relative_to(padded).dates
    current = scale_current(estimate[:, own], calibration)
    intervals = calibration.half_widths_of(settings.intervals)
    filled = make_current_dataset(radials.part(own), current, {}, intervals)
    write_block(job.store, filled.transpose(*radials.stations[0].dims), core)
    return number, measure_components(filled, learned.speed)
