"""Survey many files before their values are read: dates, grids, and which files cannot be used."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from ..errors import InputError
from ..io.alignment import explain_difference, match_grids, read_axes
from ..io.layout.coordinates import Layout, find_layout
from ..io.layout.dates import in_period
from ..io.layout.positions import is_cyclic, read_grid
from ..io.maps.merging import join_dates, plan_dates
from ..io.maps.regridding import fix_grid, regrid_part
from ..io.maps.selection import open_maps
from ..io.opening import Opening
from ..io.providers.quality import find_rules
from ..io.reading import UNDATED, read_dates, read_part
from ..io.seamask import check_masks, find_mask
from ..io.workers import Mapper
from ..progress import READ, progress

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class FileSurvey:
    """The contents of one input, or why it cannot be used."""

    path: str
    dates: pd.Index = field(default_factory=lambda: pd.DatetimeIndex([]))  # in the period, as in the file
    numbers: Sequence[int] = ()  # positions of these dates in the file
    calendar: str = ""
    shape: tuple[int, ...] = ()  # rows, columns
    axes: tuple[NDArray[np.float64], ...] = ()  # of `read_axes`, degrees; dropped once it is compared
    cyclic: bool = False
    units: str = ""  # of the variable
    wrong: str = ""
    undated: bool = False
    mask: str | None = None  # name of the sea mask


def survey_files(
    run: Mapper, paths: Sequence[str], opening: Opening, skip_bad: bool, quiet: bool
) -> list[FileSurvey]:
    """Return the surveys of the usable files.

    Raises `InputError` with all unusable ones, unless ``skip_bad`` leaves them out.
    """
    with progress("surveying the files", len(paths), quiet, READ) as advance:
        found = []
        reference: FileSurvey | None = None
        for one in run(partial(survey_file, opening=opening), paths):
            reference = reference or (None if one.wrong else one)
            found.append(one if reference is None else _compare(one, reference))
            advance(1)
    bad = [one.wrong for one in found if one.wrong]
    good = [one for one in found if not one.wrong]
    if bad and (len(found) == 1 or not skip_bad):
        if len(found) == 1:
            raise InputError(bad[0])
        raise InputError(
            f"{len(bad)} of {len(found)} files cannot be used; repair them or skip them with "
            "skip_bad=True:\n  "
            + "\n  ".join(bad[:20])
            + (f"\n  and {len(bad) - 20} more" if len(bad) > 20 else "")
        )
    for wrong in bad:
        _log.warning("skipped: %s", wrong)
    if not any(len(one.dates) for one in good):
        raise InputError(
            f"{paths[0]}: none of the {len(paths)} files has a date in the period; check both"
            if opening.period is not None
            else f"{paths[0]}: none of the {len(paths)} files has a date; check the files"
        )
    return good


def fix_grid_of_first(paths: Sequence[str], opening: Opening) -> Opening:
    """Return the opening with the extent of the new grid, from the first file that can be read."""
    if opening.grid is None and opening.like is None:
        return opening
    for path in paths:
        try:
            with open_maps(path, opening) as (file, dataset):
                layout = find_layout(file, dataset, opening.variable, others=opening.names)
                return fix_grid(file, dataset, layout, opening)
        except InputError:
            if path == paths[-1]:
                raise
    return opening


def count_values(surveys: Sequence[FileSurvey], opening: Opening) -> int:
    """Return the number of values of the files that can be used, or of their field if that has more."""
    usable = [one for one in surveys if not one.wrong]
    total = sum(len(one.dates) * int(np.prod(one.shape)) for one in usable)
    if len({one.calendar for one in usable}) != 1:
        return total
    files = [one.path for one in usable for _ in one.dates]
    plan = plan_dates(join_dates([one.dates for one in usable]), files, opening)
    return max(total, len(plan.dates) * int(np.prod(usable[0].shape)))


def _compare(one: FileSurvey, reference: FileSurvey) -> FileSurvey:
    """Return the survey without its grid, or why the file does not go with the ``reference``."""
    if one.wrong:
        return one
    if match_grids(*reference.axes, *one.axes) is None:
        same = one.shape == reference.shape
        difference = "positions" if same else f"shape {one.shape} instead of {reference.shape}"
        return FileSurvey(one.path, wrong=explain_difference(one.path, reference.path, difference))
    if one.undated and one is not reference:
        wrong = f"{one.path}: it has no time axis, so its map cannot be sorted; add one"
        return FileSurvey(one.path, wrong=wrong)
    if one.calendar != reference.calendar:
        wrong = (
            f"{one.path}: its calendar is {one.calendar}, that of {reference.path} is "
            f"{reference.calendar}; bring all files to one calendar"
        )
        return FileSurvey(one.path, wrong=wrong)
    try:
        check_masks(one.path, one.mask, reference.path, reference.mask)
    except InputError as error:
        return FileSurvey(one.path, wrong=str(error))
    return replace(one, axes=())


def survey_file(path: str | xr.Dataset, opening: Opening) -> FileSurvey:
    """Survey one input: its dates and its grid, or the reason why it cannot be used."""
    name = path if isinstance(path, str) else "dataset"
    try:
        with open_maps(path, opening) as (file, dataset):
            layout = find_layout(file, dataset, opening.variable, others=opening.names)
            dates = read_dates(file, dataset, layout)
            find_rules(file, dataset, layout.variable, opening)
            period = None if layout.t == UNDATED else opening.period
            chosen = np.ones(len(dates), bool) if period is None else in_period(dates, period)
            nothing = _leave_out_values(dataset, layout)
            own = fix_grid(file, nothing, layout, opening)
            part = read_part(file, nothing, layout, opening=Opening(region=own.region))
            part = regrid_part(part, layout, None, own)
            lat, lon = read_grid(file, part.data, layout)
            return FileSurvey(
                name,
                dates[chosen],
                np.flatnonzero(chosen).tolist(),
                getattr(dates, "calendar", "standard"),
                lat.shape,
                read_axes(file, part.data, layout),
                is_cyclic(lon),
                str(dataset[layout.variable].attrs.get("units", "")),
                undated=layout.t == UNDATED,
                mask=find_mask(file, dataset, layout, opening.mask_variable),
            )
    except InputError as error:
        return FileSurvey(name, wrong=str(error))


def _leave_out_values(dataset: xr.Dataset, layout: Layout) -> xr.Dataset:
    """Return the grid of a dataset, without any date."""
    sizes = {layout.t: 0, **{dim: dataset.sizes[dim] for dim in (layout.y, layout.x)}}
    grid = {name: dataset[name].variable for name in (layout.lat, layout.lon)}
    empty = xr.Dataset(coords={**grid, layout.time: (layout.t, pd.DatetimeIndex([]))})
    return empty.assign({layout.variable: (tuple(sizes), np.zeros(tuple(sizes.values()), np.float32))})
