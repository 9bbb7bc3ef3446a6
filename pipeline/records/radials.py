"""Radial velocities that are larger than memory, in stores of `prepare`: one for each station."""

from __future__ import annotations

import hashlib
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..io.layout.coordinates import find_layout
from ..io.layout.dates import days_since_first
from ..io.opening import Opening
from ..io.providers.quality import find_rules
from ..io.radials import (
    Radials,
    align_dates,
    check_grid,
    complete_directions,
    keep_one_direction,
    read_directions,
    split_stations,
)
from ..io.reading import Inputs, Part, list_inputs, open_input, read_part
from ..io.remote import identify
from ..io.seamask import find_mask
from ..io.writing import replace_atomically, write_netcdf
from ..settings import Resources
from .blocks import BASE, DATES
from .prepare import prepare
from .record import Record
from .subset import LEARNING, MOST_LEARNT, SPAN, choose_spans, join_dates
from .survey import survey_file

_DIRECTIONS = "directions.npz"
_KEPT = ("dtype", "scale_factor", "add_offset", "_FillValue", "_Unsigned", "units", "calendar")  # encodings


@dataclass(frozen=True)
class RadialRecord:
    """Stores of all stations on the same dates and grid, and their directions (station, 2, lat, lon)."""

    stations: tuple[Record, ...]
    towards: NDArray[np.float32]

    @property
    def shape(self) -> tuple[int, int, int]:
        """Dates, rows, columns."""
        return self.stations[0].shape

    @property
    def dates(self) -> pd.Index:
        """(time,)"""
        return self.stations[0].dates

    @cached_property
    def sea(self) -> NDArray[np.bool_]:
        """(lat, lon) of any station."""
        return np.logical_or.reduce([station.sea for station in self.stations])

    def read(self, dates: slice) -> Radials:
        """Read some dates, with days since the first of the record."""
        days, found = days_since_first(self.dates)[dates], []
        for record in self.stations:
            own = record.sea & (record.coverage > 0)
            found.append(replace(record.read_field(dates, offset=0.0), days=days, sea=own))
        return Radials(tuple(found), self.towards, self.sea)

    def select_subset(self, memory: float) -> Radials:
        """Select spans of dates, spread over the record, as `subset.select_subset` does; maps are whole.

        Where all stations see something at times, dates count by the station that sees least. A station
        without any value on the dates is left out.
        """
        dates, *extents = self.shape
        values = min((memory - BASE) / LEARNING, MOST_LEARNT)
        most = int(values / (np.prod(extents) * len(self.stations)))
        if most >= dates:
            return self.read(slice(0, dates))
        each = np.array([station.n_observed for station in self.stations])
        seen = each.min(axis=0) if each.min(axis=0).any() else each.sum(axis=0)
        spans = choose_spans(seen, max(most, SPAN) // SPAN, min(SPAN, dates))
        parts = [self.read(span) for span in spans]
        days = np.concatenate([part.stations[0].days for part in parts])
        joined = [join_dates(fields, days) for fields in zip(*(part.stations for part in parts), strict=True)]
        kept = [number for number, station in enumerate(joined) if station.observed.any()]
        return replace(
            parts[0], stations=tuple(joined[number] for number in kept), towards=self.towards[kept]
        )

    def measure_coverage(self) -> float:
        """Measure the share of the sea's cells and dates that any station saw."""
        dates, seen = self.shape[0], 0.0
        for start in range(0, dates, DATES):
            part = self.read(slice(start, min(start + DATES, dates)))
            seen += float(np.count_nonzero(np.logical_or.reduce([one.observed for one in part.stations])))
        return seen / (dates * np.count_nonzero(self.sea))


def count_radials(inputs: Inputs, direction: str, opening: Opening) -> int:
    """Count the cells and dates of all stations."""
    total = 0
    for entry in list_inputs(inputs):
        with open_input(entry, opening.group) as (file, dataset):
            for one, name, _ in split_stations(file, dataset, opening.variable, direction):
                survey = survey_file(one, replace(opening, variable=name))
                total += len(survey.dates) * int(np.prod(survey.shape))
    return total


def prepare_radials(
    inputs: Inputs, folder: Path, direction: str, opening: Opening, resources: Resources, quiet: bool = True
) -> RadialRecord:
    """Write a store of each station into the ``folder``, on the dates of all, unless an earlier run did.

    The arguments are those of `io.radials.open_radials` and `prepare`. Raises `InputError` as these do.
    """
    folder.mkdir(exist_ok=True)
    of_values = Opening(
        error_variable=opening.error_variable,
        observation_error=opening.observation_error,
        outliers="keep",
    )
    plan = [identify(str(path)) for path in list_inputs(inputs)]
    digest = hashlib.sha256(repr((plan, direction, opening)).encode()).hexdigest()
    held = folder / _DIRECTIONS
    if held.exists():
        with np.load(held) as kept:
            if str(kept["digest"]) == digest:
                towards = kept["towards"]
                stores = [Record(str(folder / f"{k}.zarr"), of_values) for k in range(len(towards))]
                return RadialRecord(tuple(stores), towards)
        held.unlink()
    names, towards = _split_files(inputs, folder, direction, opening)
    stores = []
    for number, name in enumerate(names):
        path = folder / f"{number}.nc"
        kept_opening = replace(opening, variable=name, observation_error=None, group=None)
        how: dict[str, Any] = {"cluster": resources.cluster, "n_workers": resources.n_workers}
        store = prepare(
            str(path), folder / f"{number}.zarr", kept_opening, quiet=quiet, overwrite=True, **how
        )
        stores.append(Record(str(store), of_values))
        check_grid(plan[0][0], stores[0].grid, stores[-1].grid)
    for number in range(len(names)):
        (folder / f"{number}.nc").unlink()
    values = np.stack([np.rint(store.coverage * store.shape[0]) * store.sea for store in stores])
    towards = complete_directions(plan[0][0], direction, towards, values.astype(np.int64))
    with replace_atomically(held) as temporary:
        np.savez(temporary, towards=towards, digest=digest)
    return RadialRecord(tuple(stores), towards)


def _split_files(
    inputs: Inputs, folder: Path, direction: str, opening: Opening
) -> tuple[list[str], NDArray[np.float32]]:
    """Write a file of each station on the dates of all; return the variables' names and the directions."""
    found, towards = [], []
    with ExitStack() as stack:
        for entry in list_inputs(inputs):
            file, dataset = stack.enter_context(open_input(entry, opening.group))
            for one, name, bearing in split_stations(file, dataset, opening.variable, direction):
                layout = find_layout(file, one, name, others=(*opening.names, bearing))
                one = keep_one_direction(one, layout, bearing)
                mask = find_mask(file, one, layout, opening.mask_variable)
                others = [other for other in (mask, opening.error_variable, bearing) if other is not None]
                first = one.isel({layout.t: slice(0, 1)}, missing_dims="ignore")
                part = read_part(file, first, layout, others, Opening(region=opening.region))
                towards.append(read_directions(file, part.data, layout, bearing))
                flags = {rule.flag for rule in find_rules(file, one, layout.variable, opening)}
                held = list(dict.fromkeys([layout.variable, *others, *sorted(flags)]))
                lazy = one.set_coords([layout.time, layout.lat, layout.lon])[held]
                dates = one[layout.time].to_index()
                found.append((Part(file, lazy.chunk({layout.t: DATES}), dates), layout))
        for number, data in enumerate(align_dates(found)):
            for array in data.variables.values():
                array.encoding = {key: array.encoding[key] for key in _KEPT if key in array.encoding}
            write_netcdf(data, folder / f"{number}.nc")
    return [layout.variable for _, layout in found], np.stack(towards)
