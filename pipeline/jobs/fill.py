"""The one door: files, a store or a dataset with gaps in; the filled field, its error and its score out."""

from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from ..classical.drift import is_static, remove_drift
from ..errors import InputError
from ..holdout.apart import set_apart, validate_delivered
from ..holdout.calibration import Calibration
from ..io.alignment import restore_grid
from ..io.field import Field
from ..io.layout.coordinates import list_names
from ..io.maps.selection import drop_missing_date
from ..io.opening import Opening, make_opening
from ..io.output import describe_run, to_dataset
from ..io.reading import Inputs, list_inputs, open_input
from ..io.remote import is_remote, send, stage
from ..io.side_products import postpone_side_products
from ..io.targets import check_space, lock
from ..io.variables import (
    Source,
    Spec,
    merge_filled,
    name_variables,
    open_variables,
    parse_inputs,
    separate,
)
from ..io.writing import write_dataset, write_netcdf
from ..keywords import take_keywords
from ..progress import WRITE, enter_stage, plan_stages, show_stages
from ..records.radials import count_radials
from ..records.survey import count_values, survey_file
from ..settings import HELD_OUT, PARTS, FillSettings, choose_device, make_settings
from ..training.data import GapData
from ..training.heldout import DataSettings
from .blockwise import fill_inputs
from .calls import describe_call, describe_inputs, describe_versions, is_lazy, rechunk_as
from .checks import check_outputs, check_settings, find_kind
from .current_blocks import fill_radial_inputs
from .currents import fill_radials
from .deliver import Report, deliver, log_input, report_nothing, warn_of_unknown_error
from .memory import BYTES_TO_LEARN, BYTES_TO_START, LEAST_REACH, default_memory, prepare_cut
from .methods import Method, find_method, find_method_for, settle_method
from .stages import Plan, Size, expect, list_stages, measure_record, measure_size
from .tracks import fill_tracks, open_tracks

_LEAST_BYTES, _BYTES_OF_DRAW = 0.1, 3  # a value in the output, compressed; noise hardly is

_log = logging.getLogger(__name__)
_KEPT: list[tempfile.TemporaryDirectory[str]] = []  # stores of datasets that were returned lazily


@take_keywords(Opening, FillSettings, *PARTS.values())
def fill(
    source: Inputs | Spec | Field,
    output: str | os.PathLike[str] | None = None,
    *,
    others: Sequence[Source] = (),
    auxiliary: Sequence[Source] = (),
    opening: Opening | None = None,
    settings: FillSettings | None = None,
    report: Report | None = None,
    attributes: dict[str, Any] | None = None,
    overwrite: bool = False,
    **options: Any,
) -> xr.Dataset:
    """Fill the gaps of a field, of along-track points or of radial velocities.

    Inputs that need more than the memory allowed, and global grids, whose last column is next to the first,
    are filled block by block.

    Parameters
    ----------
    source
        A file, a glob, a list of these, a Zarr store, ``sample:NAME``, a dataset or array in memory, an
        opened `Field`, or ``FILE:NAME`` for one of the variables of a file.
    output
        The NetCDF file or Zarr store to write.
    others, auxiliary
        Further variables: ``others`` are filled too, ``auxiliary`` ones only help. Each is a ``FILE:NAME``
        (`variables.parse_spec`), a dataset or a `Field`.
    opening, settings
        Options that were put together before. Those given by name replace them.
    report
        Called with the rows of the score.
    attributes
        Global attributes of the result, such as ``{"creator_name": "..."}``.
    overwrite
        Whether ``output`` and other files that a run wrote earlier are replaced. Inputs, and what oceanfill
        did not write, never are.
    variable, region, period, transform, grid, bounds, quality, outliers, ...
        What is opened, and what its values mean: the options of `Opening`.
    method, intervals, samples, holdout, seed, device, quiet, ...
        How it is filled: the options of `FillSettings`. ``method`` is one of `oceanfill fill --help`, or a
        function of a `Field` that returns the estimate and its standard error; ``quiet=False`` shows
        progress.
    epochs, time_budget, checkpoint, save_checkpoint, ensemble, ...
        How a network is trained, or which one is used: the options of `Training`.
    memory, n_workers, cluster, cache
        Where the work is done: the options of `Resources`.
    hold_out, hold_out_reach
        Points that are kept out of the filling, with the values of the (first) field at them, and validate
        the result, as `validate` does: a file, or a mission of along-track input.

    Returns
    -------
    xarray.Dataset
        For a variable V: V (observed values, and filled ones between them), V_analysis, V_error (standard
        error), V_source (origin of each value), with the score on held-out values in the attributes; where
        `update` can extend it, also provisional(time). A field that was filled block by block is returned
        lazily, as it lies in ``output``. Without an output it is loaded, unless the ``source`` is a
        dask-backed dataset: then it lies in a temporary store until Python ends. What is filled in memory has
        the chunks of a dask-backed ``source``.

    Raises
    ------
    InputError
        For input that cannot be filled, and for options that do not exist or do not fit.

    Examples
    --------
    >>> import oceanfill
    >>> part = {"region": (37, 38, -12, -11), "period": "2024-04-01/2024-04-10"}
    >>> filled = oceanfill.fill("sample:sst_clouds.nc", method="oi", **part)
    >>> list(filled.data_vars)
    ['sst', 'sst_analysis', 'sst_error', 'sst_source', 'provisional']
    >>> int(filled.sst.isnull().sum())
    0
    """
    known = Opening.__dataclass_fields__
    opening = make_opening(opening, {name: value for name, value in options.items() if name in known})
    settings = make_settings(settings, {name: options[name] for name in options.keys() - known.keys()})
    given = (
        {"method": settings.method, "seed": settings.seed or None} | settings.described() | opening.given()
    )
    found = {"call": describe_call(source, output, others, auxiliary, given)}
    found |= {
        "versions": describe_versions(),
        "input_checksums": describe_inputs([source, *others, *auxiliary, *_list_points(settings)]),
    }
    found |= attributes or {}
    settings = settle_method(settings)
    method = find_method(settings.method)
    remote = output if isinstance(output, str) and is_remote(output) else None
    place = output if remote is None else stage(remote)
    job = _Job(opening, method, settings, report or report_nothing, found, place)
    if isinstance(source, str):
        source, more = parse_inputs([source])
        others = [*more, *others]
    check_outputs(output, [source, *others, *auxiliary], opening, settings, overwrite=overwrite)
    stages = list_stages(method, settings)
    with lock(place), postpone_side_products(), show_stages(stages, settings.quiet):
        if remote is None or not _is_made(job, stage(remote)):
            dataset = _fill(job, source, others, auxiliary, overwrite or remote is not None)
        if remote is not None:
            send(stage(remote), remote)
            return xr.open_dataset(remote, engine="zarr", chunks={})
    return rechunk_as(dataset, source)


def _is_made(job: _Job, store: Path) -> bool:
    """Whether a store that was not sent yet was made by the same call from the same inputs."""
    if not store.exists():
        return False
    with xr.open_zarr(store, decode_cf=False) as dataset:
        held, call = dataset.attrs, job.attributes.get("command") or job.attributes["call"]
    same = held.get("input_checksums") == job.attributes["input_checksums"]
    return same and str(held.get("history", "")).endswith(call)


def plan_fill(
    source: Inputs | Spec | Field,
    output: str | os.PathLike[str] | None = None,
    *,
    others: Sequence[Source] = (),
    auxiliary: Sequence[Source] = (),
    opening: Opening | None = None,
    settings: FillSettings | None = None,
) -> Plan:
    """Return what `fill` would do with the same arguments, and write nothing.

    Inputs that are filled in memory are read for it; larger ones are only surveyed.

    Returns
    -------
    Plan
        The stages with the time expected on this machine, and the memory.
    """
    opening, settings = opening or Opening(), settle_method(settings or FillSettings())
    method, device = find_method(settings.method), choose_device(settings.device)
    job = _Job(opening, method, settings, lambda rows: None, {}, output)
    allowed = (settings.resources.memory or default_memory()) * 1e9
    if isinstance(source, Field):
        files, own, kind = None, opening, "field"
    else:
        files, own = separate(source, opening)
        kind = find_kind(files, settings, own.group)
    if files is not None and kind == "tracks":
        _, _, grid = open_tracks(files, own, settings)
        method = find_method_for(len(grid.dates), settings.method)
        values = int(grid.sea.sum()) * len(grid.dates)
        return expect(method, settings, Size(values, len(grid.dates), missing=0.9), device, allowed)
    names = name_variables(files, own) if files is not None and kind == "field" else []
    further = len(others) + len(auxiliary) + len(names[1:])
    large = files is not None and job.needs_blocks(files, own, further)
    if files is not None and kind == "radials":
        direction = str(settings.currents.radial_direction)
        size = measure_record((1, count_radials(files, direction, own), 1), allowed, int(large))
        return expect(method, settings, replace(size, dates=100, missing=1.0), device, allowed)
    if files is not None and large:
        surveys = [survey_file(entry, replace(own, variable=names[0])) for entry in list_inputs(files)]
        dates = max(len({date for one in surveys for date in one.dates}), 1)
        method = find_method_for(dates, settings.method)
        cells = count_values(surveys, own) // dates
        rows, columns = next((one.shape for one in surveys if one.shape), (1, cells))
        cut = prepare_cut((dates, rows, columns), method, settings, cyclic=any(one.cyclic for one in surveys))
        size = measure_record((dates, rows, columns), allowed, len(cut(LEAST_REACH)))
        return expect(method, settings, size, device, allowed)
    fields, helpers = open_variables(source, others, auxiliary, opening)
    method = find_method_for(len(fields[0].days), settings.method)
    check_settings(method, settings, opening, "field")
    return expect(method, settings, measure_size([*fields, *helpers], len(fields)), device, allowed)


def _fill(
    job: _Job,
    source: Inputs | Spec | Field,
    others: Sequence[Source],
    auxiliary: Sequence[Source],
    overwrite: bool,
) -> xr.Dataset:
    """Fill as `fill` does, after what is to be written was checked."""
    opening, method, settings, report = job.opening, job.method, job.settings, job.report
    if isinstance(source, Field):
        check_settings(method, settings, opening, "field")
        dataset = job.fill_variables(source, others, auxiliary)
    else:
        files, own = separate(source, opening)
        kind = find_kind(files, settings, own.group)
        check_settings(method, settings, own, kind)
        names = name_variables(files, own) if kind == "field" else []
        further = len(others) + len(auxiliary) + len(names[1:])
        if kind != "field" and further:
            raise InputError("further variables go with a field on a grid; leave them out")
        if kind != "tracks" and job.needs_blocks(files, own, further):
            return job.fill_blocks(files, own, overwrite)
        if kind != "field":
            run = fill_tracks if kind == "tracks" else fill_radials
            dataset = run(files, own, settings, report, job.provenance(own))
        else:
            dataset = job.fill_variables(source, others, auxiliary)
    dataset = drop_missing_date(dataset)
    if job.output is not None:
        enter_stage(WRITE)
        write_dataset(dataset, job.output)
    return dataset


@dataclass(frozen=True)
class _Job:
    """What one call of `fill` was asked for."""

    opening: Opening
    method: Method
    settings: FillSettings
    report: Report
    attributes: dict[str, Any]
    output: str | os.PathLike[str] | None

    def provenance(self, opening: Opening, **more: Any) -> dict[str, Any]:
        configuration = self.settings.described() | opening.given() | more
        found = {"device": choose_device(self.settings.device)} | self.attributes
        return describe_run(self.method.name, self.settings.seed, configuration, found)

    def fill_variables(
        self, source: Inputs | Spec | Field, others: Sequence[Source], auxiliary: Sequence[Source]
    ) -> xr.Dataset:
        """Fill one or more variables in memory."""
        settings = self.settings
        fields, helpers = open_variables(source, others, auxiliary, self.opening)
        method = find_method_for(len(fields[0].days), settings.method)
        check_settings(method, settings, self.opening, "field")
        values = sum(field.values.size for field in fields)
        check_space(self.output, values * (_LEAST_BYTES + _BYTES_OF_DRAW * settings.samples))
        self = replace(self, method=method)
        where = choose_device(settings.device)
        plan_stages(list_stages(method, settings, measure_size([*fields, *helpers], len(fields))))
        for number, field in enumerate((*fields, *helpers)):
            _log.info(
                "%s: %d dates, %d sea pixels, %.1f%% of their values missing; %s",
                field.name,
                len(field.days),
                field.sea.sum(),
                100 * (~field.observed[:, field.sea]).mean(),
                f"{self.method.name} on {where}" if number < len(fields) else "input only",
            )
            log_input(field)
        apart = None
        if settings.points.hold_out is not None:
            apart = set_apart(fields[0], settings.points.hold_out, settings.points.hold_out_reach)
            fields = [fields[0].hide(apart.hidden), *fields[1:]]
        names = {"others": [field.name for field in fields[1:]] or None}
        names |= {"auxiliary": [field.name for field in helpers] or None}
        found = self.provenance(self.opening, **names)
        complete = [field for field in fields if field.observed[:, field.sea].all()]
        made = {field.name: _copy(field, settings, found) for field in complete}
        gappy = [field for field in fields if field.name not in made]
        if gappy:
            static = [field for field in helpers if is_static(field)]
            dated = [field for field in helpers if not is_static(field)]
            if static:
                gappy = [remove_drift(field, static) for field in gappy]
            data = GapData(
                [*gappy, *complete, *dated],
                DataSettings(
                    held_out=HELD_OUT if settings.holdout else 0.0,
                    first_guess=settings.training.first_guess,
                    seed=settings.seed,
                    device=where,
                    quiet=settings.quiet,
                ),
                outputs=len(gappy),
            )
            # Several inputs are each opened in a way of their own, which an update does not know.
            own = None if isinstance(source, Field) or others else separate(source, self.opening)[1]
            delivered = deliver(data, self.method, settings, self.report, found, own)
            made |= {field.name: dataset for field, dataset in zip(gappy, delivered, strict=True)}
        scored = next((made[field.name].attrs for field in gappy), {})
        datasets = [made[field.name] for field in fields]
        # The first variable may be complete; the score is that of the filled ones.
        datasets[0] = datasets[0].assign_attrs(
            {key: scored[key] for key in scored.keys() - datasets[0].attrs.keys()}
        )
        merged = merge_filled(datasets)
        if apart is not None:
            label, name = list_names(apart.points.inputs), fields[0].name
            scores, row = validate_delivered(merged, apart.points, name, label)
            merged = merged.assign_attrs(scores)
            self.report([row | ({"variable": name} if len(gappy) > 1 else {})])
        return merged

    def needs_blocks(self, files: Inputs, opening: Opening, further: int) -> bool:
        """Whether the inputs are filled block by block.

        These are inputs that need more than the memory allowed, and global grids for methods that use
        neighbours. Raises `InputError` where that does not go with several variables or with samples.
        """
        where = self.settings.resources
        asked = where.n_workers > 1 or where.cluster is not None or where.cache is not None
        direction, cyclic, surveys = self.settings.currents.radial_direction, False, []
        if direction is not None:
            values = count_radials(files, direction, opening)
        else:
            named = replace(opening, variable=name_variables(files, opening)[0])
            surveys = [survey_file(entry, named) for entry in list_inputs(files)]
            values = count_values(surveys, opening)
            cyclic = any(one.cyclic for one in surveys)
        allowed = (where.memory or default_memory()) * 1e9 / (1 + further)
        large = BYTES_TO_START + BYTES_TO_LEARN * values > allowed
        if further:
            if asked or large:
                raise InputError(
                    f"{1 + further} variables are filled together in memory and not block by block; leave "
                    "out n_workers=, cluster= and cache=, choose one with variable=, choose a smaller "
                    "region= or period=, or allow more memory="
                )
            return False
        needed = asked or large or (self.method.wraps and cyclic)
        if needed and self.settings.points.hold_out is not None:
            raise InputError(
                "points are kept out of a field that is filled in memory and not block by block; leave out "
                "hold_out= (and validate the output), or n_workers=, cluster= and cache=, choose a smaller "
                "region= or period=, or allow more memory="
            )
        if needed and self.settings.samples:
            raise InputError(
                "posterior draws are made in memory and not block by block; leave out samples=, or "
                "n_workers=, "
                "cluster= and cache=, choose a smaller region= or period=, or allow more memory="
            )
        if needed and direction is None and opening.grid is None and opening.like is None:
            dates = len({date for one in surveys for date in one.dates})
            method, shape = find_method_for(dates, self.settings.method), surveys[0].shape
            if dates and shape:  # refused before the inputs are prepared
                prepare_cut((dates, shape[0], shape[1]), method, self.settings, cyclic=cyclic)
        return needed

    def fill_blocks(self, files: Inputs, opening: Opening, overwrite: bool) -> xr.Dataset:
        """Fill block by block, in a temporary folder where no output is named.

        What becomes of lazy inputs is lazy: it then lies in a folder that is removed when Python ends.
        """
        settings, output = self.settings, self.output
        lazy = output is None and is_lazy(files)
        if lazy:
            kept = tempfile.TemporaryDirectory(prefix="oceanfill-")
            _KEPT.append(kept)
            output = Path(kept.name) / "filled.zarr"
            _log.warning(
                "the filled field is larger than the memory allowed, and lies in %s until Python ends; give "
                "output= to keep it",
                output,
            )
        with tempfile.TemporaryDirectory() as folder:
            target = Path(folder) / "filled.zarr" if output is None else Path(output)
            entries = [_on_disk(entry, Path(folder), k) for k, entry in enumerate(list_inputs(files))]
            currents = settings.currents.radial_direction is not None
            run = fill_radial_inputs if currents else fill_inputs
            found = self.provenance(opening)
            run(entries, target, opening, settings, self.report, found, overwrite=overwrite)
            engine: Any = "zarr" if target.suffix == ".zarr" else "netcdf4"
            dataset = xr.open_dataset(target, engine=engine, chunks={})
            # A store has no order of its own: the filled variable comes first, as from memory.
            if currents:
                parts = ["u", "u_error", "v", "v_error", "uv_covariance"]
            else:
                (name,) = (str(key) for key in dataset.data_vars if f"{key}_source" in dataset)
                parts = [name, *(f"{name}_{part}" for part in ("analysis", "error", "source"))]
            dataset = dataset[[*parts, *sorted(set(map(str, dataset.data_vars)) - set(parts))]]
            return dataset.load() if output is None else dataset


def _list_points(settings: FillSettings) -> list[Path]:
    """Return the file of points that are kept out; none for a mission of the input."""
    apart = settings.points.hold_out
    return [Path(apart)] if apart is not None and Path(apart).is_file() else []


def _copy(field: Field, settings: FillSettings, attributes: dict[str, Any]) -> xr.Dataset:
    """Return the dataset of a field without gaps."""
    _log.warning("%s: nothing is missing, so the values are copied through", field.name)
    known = bool(field.error_variance[:, field.sea].any())
    if not known:
        warn_of_unknown_error(field.name)
    dataset = to_dataset(
        field,
        field.values,
        np.sqrt(field.error_variance) if known else None,
        intervals=Calibration().half_widths_of(settings.intervals),
        attributes=attributes,
        packing=settings.packing,
    )
    return restore_grid(dataset, field.source, field.layout)


def _on_disk(entry: str | xr.Dataset, folder: Path, number: int) -> str:
    """Return the path of an input, after writing it where it is a dataset in memory."""
    if isinstance(entry, str):
        return entry
    path = folder / f"input{number}.nc"
    with open_input(entry) as (_, dataset):
        write_netcdf(dataset.drop_encoding(), path)
    return str(path)
