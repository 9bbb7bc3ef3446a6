"""Survey many files before their values are read: dates, grids, and which files cannot be used."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import xarray as xr

from ..errors import InputError
from ..io.coordinates import find_layout, read_grid
from ..io.dates import in_period
from ..io.opening import Opening
from ..io.reading import is_cyclic, open_input, read_part
from ..io.workers import Mapper
from ..progress import progress

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class FileSurvey:
    """The contents of one input, or why it cannot be used."""

    path: str
    dates: Sequence[Any] = ()  # within the period, in the file's order
    numbers: Sequence[int] = ()  # positions of these dates in the file
    calendar: str = ""
    shape: tuple[int, ...] = ()  # rows, columns
    corners: tuple[float, ...] = ()  # degrees
    cyclic: bool = False
    wrong: str = ""


def survey_files(
    run: Mapper, paths: Sequence[str], opening: Opening, skip_bad: bool, quiet: bool
) -> list[FileSurvey]:
    """Return the surveys of the usable files.

    Raises `InputError` with all unusable ones, unless ``skip_bad`` leaves them out.
    """
    with progress("surveying the files", len(paths), quiet) as advance:
        found = []
        for one in run(partial(survey_file, opening=opening), paths):
            found.append(one)
            advance(1)
    usable = [one for one in found if not one.wrong]
    for one in usable[1:]:
        reference = usable[0]
        if one.shape != reference.shape or not np.allclose(one.corners, reference.corners, atol=1e-4):
            wrong = f"{one.path}: its grid differs from that of {reference.path}; bring all files to one grid"
        elif one.calendar != reference.calendar:
            wrong = (
                f"{one.path}: its calendar is {one.calendar}, that of {reference.path} is "
                f"{reference.calendar}; bring all files to one calendar"
            )
        else:
            continue
        found[found.index(one)] = FileSurvey(one.path, wrong=wrong)
    bad = [one.wrong for one in found if one.wrong]
    good = [one for one in found if not one.wrong]
    if bad and (len(found) == 1 or not skip_bad):
        if len(found) == 1:
            raise InputError(bad[0])
        raise InputError(
            f"{len(bad)} of {len(found)} files cannot be used; repair them or skip them with --skip-bad:\n  "
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


def survey_file(path: str | xr.Dataset, opening: Opening) -> FileSurvey:
    """Survey one input: its dates and its grid, or the reason why it cannot be used."""
    name = path if isinstance(path, str) else "dataset"
    try:
        with open_input(path, opening.group) as (file, dataset):
            layout = find_layout(file, dataset, opening.variable, others=opening.names)
            nothing = dataset.isel({layout.t: slice(0, 0)}, missing_dims="ignore")
            part = read_part(file, nothing, layout, opening=replace(opening, period=None))
            lat, lon = read_grid(file, part.data, layout)
            dates = dataset[layout.time].to_index()
            # Invalid dates are found now and not after hours.
            read_part(file, dataset.isel({layout.t: slice(0, 1)}, missing_dims="ignore"), layout)
            if dates.hasnans:
                raise InputError(f"{file}: {int(dates.isna().sum())} of the dates are missing; repair them")
            chosen = np.ones(len(dates), bool) if opening.period is None else in_period(dates, opening.period)
            return FileSurvey(
                name,
                list(dates[chosen]),
                np.flatnonzero(chosen).tolist(),
                getattr(dates, "calendar", "standard"),
                lat.shape,
                (lat[0, 0], lat[-1, -1], lon[0, 0] % 360, lon[-1, -1] % 360),
                is_cyclic(lon),
            )
    except InputError as error:
        return FileSurvey(name, wrong=str(error))
