"""Opening an input as a series of maps: one of its levels, and a date for a map that has none."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import xarray as xr

from ...errors import InputError
from ..layout.coordinates import TIME_NAMES, is_time
from ..layout.levels import select_level
from ..opening import Opening
from ..reading import LEVEL, UNDATED, Part, open_input

_NO_DATE = np.datetime64("1970-01-01", "ns")  # is never written


@contextmanager
def open_maps(source: str | xr.Dataset, opening: Opening) -> Iterator[tuple[str, xr.Dataset]]:
    """Yield what `open_input` does, on one level and with a dimension `UNDATED` where there is no time.

    Raises `InputError` as `open_input` and `select_level`.
    """
    with open_input(source, opening.group) as (file, dataset):
        if opening.level is not None:
            dataset, words = select_level(file, dataset, opening.level, opening.variable)
            dataset = dataset.assign_attrs({LEVEL: words})
        yield file, add_missing_date(dataset, opening.variable)


def add_missing_date(dataset: xr.Dataset, variable: str | None = None) -> xr.Dataset:
    """Return the dataset with a dimension `UNDATED` of ``variable``, or of all maps, if it has no time.

    A time of length one that is no dimension of a map is its date.
    """
    names = [variable] if variable in dataset.variables else list(dataset.data_vars)
    maps = [name for name in names if dataset[name].ndim >= 2]
    times = [array for array in dataset.variables.values() if is_time(array)]
    for name in names:
        dims = set(dataset[name].dims)
        named = any(str(dim).lower() in TIME_NAMES for dim in dims)
        if named or any(set(time.dims) <= dims for time in times):
            return dataset
    if not maps or UNDATED in dataset.dims:
        return dataset
    single = [time.dims for time in times if time.dims and time.size == 1]
    if single:  # a variable with the date of the map, which has no dimension of time
        return dataset.set_coords(
            [str(n) for n, array in dataset.variables.items() if is_time(array)]
        ).squeeze(single[0])
    dataset = dataset.assign_coords({UNDATED: (UNDATED, [_NO_DATE])})
    return dataset.assign({name: dataset[name].expand_dims({UNDATED: 1}) for name in maps})


def drop_missing_date(dataset: xr.Dataset) -> xr.Dataset:
    """Return a filled dataset without the dimension `UNDATED`, if it has that, and without its dates."""
    if UNDATED not in dataset.dims:
        return dataset
    made = dataset.isel({UNDATED: 0}, drop=True)
    made.attrs = {key: value for key, value in dataset.attrs.items() if not key.startswith("time_coverage_")}
    for name, array in made.data_vars.items():
        before = dataset[name]
        array.encoding = dict(before.encoding)
        if "chunksizes" in array.encoding:
            chunks = zip(before.dims, before.encoding["chunksizes"], strict=True)
            array.encoding["chunksizes"] = tuple(size for dim, size in chunks if dim != UNDATED)
    return made


def check_undated(parts: Sequence[Part]) -> None:
    """Raise `InputError` where several inputs have no time, so that their maps cannot be sorted."""
    undated = [part.file for part in parts if UNDATED in part.data.dims]
    if len(undated) > 1:
        raise InputError(
            f"{undated[1]}: it has no time axis, and neither has {undated[0]}; add a time dimension with "
            "units such as 'days since 2000-01-01', or give one map"
        )
