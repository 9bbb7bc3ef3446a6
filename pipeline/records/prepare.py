"""Write many files, or one that is too large, to one chunked Zarr store, which `blockwise` fills.

Everything is done once and in chunks of dates: files are read in parallel and checked, dates sorted,
maps of the same date merged, and statistics gathered on the way. A killed run resumes where it stopped.
"""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..io.field import check_lost, describe_treatment
from ..io.layout.dates import find_time_oddities
from ..io.maps.merging import Plan, join_dates, plan_dates
from ..io.opening import Opening, make_opening
from ..io.providers.missing import warn_of_losses
from ..io.reading import TREATMENT, Inputs, list_inputs
from ..io.remote import identify
from ..io.storage import write_storage
from ..io.targets import check_targets, list_paths, lock
from ..io.workers import start_workers
from ..io.writing import check_writable, resume_store
from ..keywords import take_keywords
from .blocks import CELLS, DATES
from .chunks import PlannedChunk, read_chunk
from .record import PREPARED, STORAGE, read_digest
from .store import create_store, write_chunks, write_statistics
from .survey import FileSurvey, fix_grid_of_first, survey_files

_FORMAT = 6  # of the stores; older ones are prepared again

_log = logging.getLogger(__name__)


@take_keywords(Opening)
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
    """Write the variable of all inputs, sorted by date, to a Zarr store, which `oceanfill.fill` takes.

    Dates are merged and completed as in a field (`merging.plan_dates`). The same call after a kill resumes.

    Parameters
    ----------
    inputs
        Files, or a glob.
    cache
        The store to write.
    opening
        Options that were put together before. Those given by name replace them.
    skip_bad
        Whether files that cannot be read are left out. Dates whose values turn out to be unreadable then
        stay missing.
    cluster, n_workers
        Where the work is done (`start_workers`): None for this machine, "local", "slurm" or the address of a
        dask scheduler; and the number of processes, or of jobs.
    quiet
        Whether to hide the progress.
    overwrite
        Whether a store of other inputs is replaced.
    cells
        Cells to a side of a chunk.
    variable, region, period, ...
        What is opened: the options of `Opening`.

    Returns
    -------
    pathlib.Path
        The store. It also holds the sea mask (sea on any date), ``V_mean``, ``V_std``, ``V_climatology``
        (month, lat, lon), ``V_share`` (the fraction of the dates on which a pixel is observed) and ``V_seen``
        (the number of observed values of each date), and of values above zero ``V_positive_share`` and
        ``V_positive_seen``, and ``V_negative_seen`` of values below zero.

    Raises
    ------
    InputError
        Where the store must not be written, and with all files that cannot be used, unless ``skip_bad``.

    Examples
    --------
    >>> import oceanfill, tempfile
    >>> part = {"region": (37, 38, -12, -11), "period": "2024-04-01/2024-04-10"}
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     store = oceanfill.prepare("sample:sst_clouds.nc", f"{folder}/sst.zarr", **part)
    ...     filled = oceanfill.fill(store, method="oi")
    >>> filled.sst.shape
    (10, 20, 20)
    """
    opening = make_opening(opening, options)
    check_writable(cache)
    target = Path(cache)
    if target.suffix != ".zarr":
        raise InputError(f"{target}: a cache is a Zarr store; name it .zarr")
    paths = [entry for entry in list_inputs(inputs) if isinstance(entry, str)]
    if not paths:
        raise InputError("only files are prepared; a dataset in memory needs no cache")
    files = [identify(path) for path in paths]
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
        read = partial(read_chunk, opening=opening, units=units, skip_bad=skip_bad)
        first = next(filter(None, (read(chunk)[0] for chunk in chunks)), None)
        if first is None:
            raise InputError(f"{paths[0]}: no value of the {len(paths)} files can be read; check the files")
        create = partial(create_store, first=first, plan=plan_of_dates, opening=opening, cells=cells)
        with resume_store(target, plan, create, overwrite=overwrite) as store:
            total, (texts, lost, _) = write_chunks(run, store, chunks, read, first, opening, quiet)
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
            write_statistics(store, first, total, opening.minimum_coverage, plan_of_dates, attributes)
    return target


def _plan_chunks(surveys: Sequence[FileSurvey], opening: Opening) -> tuple[Plan, list[PlannedChunk]]:
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
    return plan, [PlannedChunk(dates[span], tuple(maps[span])) for span in spans]
