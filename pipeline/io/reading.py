"""Reading NetCDF files, Zarr stores and datasets in memory into one dataset sorted by time."""

from __future__ import annotations

import glob
import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cache
from importlib.metadata import EntryPoints, entry_points
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from ..errors import InputError
from .alignment import concatenate, straighten_grid, turn_globe
from .files import check_size, exists, explain_failure, shorten_error
from .layout.coordinates import Layout, list_names
from .layout.dates import in_period
from .layout.positions import is_cyclic, read_grid
from .opening import Opening, Region, swap_corners
from .providers.flags import SSES
from .providers.groups import merge_groups
from .providers.missing import (
    WRONG_PACKING,
    Extent,
    declare_numbers,
    find_undeclared,
    mask_default_fill,
    mask_invalid,
    name_undeclared,
    warn_of_kept,
)
from .providers.quality import apply_rules, check_sses, find_rules, subtract_bias
from .providers.timestamps import DATED_BY, decode_dates
from .providers.units import convert_error, convert_radians, convert_units
from .remote import is_reference, is_remote, list_remote, open_remote
from .writing import is_zarr

Inputs = str | os.PathLike[str] | Sequence[str | os.PathLike[str]] | xr.Dataset | xr.DataArray

TREATMENT = "input_treatment"  # global attribute: what was done to the values of the input
UNDATED = "undated"  # the dimension, and coordinate, of a map without a time
LEVEL = "selected_level"  # global attribute: the level that was selected, in words
READERS = "oceanfill.readers"  # entry points of other packages: from a path to a dataset, named by suffix


@dataclass(frozen=True)
class Part:
    """The part of one input that is used."""

    file: str
    data: xr.Dataset  # cut to region and period, in memory
    dates: pd.Index  # of the whole file
    lost: Mapping[str, int] = field(default_factory=dict)  # values taken as missing, by reason
    treatment: tuple[str, ...] = ()  # what else was done to the values, in words


def find_sample(path: str | os.PathLike[str]) -> str:
    """Return the path, or for ``sample:NAME`` that of a file that ships with the package.

    Raises `InputError` where there is no such sample.
    """
    path = os.fspath(path)
    if not path.startswith("sample:"):
        return path
    samples = sorted(
        str(file) for file in files("oceanfill.sample_data").iterdir() if file.name.endswith((".nc", ".csv"))
    )
    found = [sample for sample in samples if Path(sample).name == path.removeprefix("sample:")]
    if not found:
        raise InputError(
            f"{path}: no such sample; choose among {list_names(Path(name).name for name in samples)}"
        )
    return found[0]


def check_file(path: str | os.PathLike[str], most: float = np.inf, *, folder: bool = False) -> None:
    """Raise `InputError` for a pipe or a device, which may never end, and for more than ``most`` bytes."""
    place = Path(path)
    if not (place.is_file() or (folder and place.is_dir())):
        raise InputError(f"{path}: is no file; check the path")
    if place.is_file() and place.stat().st_size > most:
        raise InputError(f"{path}: is larger than {most:g} bytes; check the path")


def list_inputs(inputs: Inputs) -> list[str | xr.Dataset]:
    """Return the paths, with globs expanded, or the dataset. Raises `InputError` where no file is found."""
    if isinstance(inputs, xr.DataArray):
        return [inputs.to_dataset(name=inputs.name or "variable")]
    if isinstance(inputs, xr.Dataset):
        return [inputs]
    entries = [inputs] if isinstance(inputs, str | os.PathLike) else list(inputs)
    paths: list[str | xr.Dataset] = []
    for entry in entries:
        path = find_sample(entry)
        if not path:
            raise InputError("the name of an input is empty; name a file")
        if is_remote(path):
            paths.extend(list_remote(path))
        elif exists(path):
            paths.append(path)
        elif glob.has_magic(path):
            found = sorted(glob.glob(path, recursive=True))  # noqa: PTH207  (Path.glob takes no absolute patterns)
            if not found:
                raise InputError(f"{path}: no file matches; check the pattern and the folder")
            paths.extend(found)
        else:
            raise InputError(f"{path}: no such file; check the path")
    if not paths:
        raise InputError("no input was given; name at least one file")
    return paths


@contextmanager
def open_input(source: str | xr.Dataset, group: str | None = None) -> Iterator[tuple[str, xr.Dataset]]:
    """Yield the name of an input and its lazy dataset with decoded values and dates, then close it.

    The variables of its groups are in it (`providers.groups.merge_groups`). Raises `InputError`
    where it cannot be opened or, in the block, read.
    """
    with warnings.catch_warnings():
        # Two fill values, a missing index, old dates: nothing that a user can act on.
        warnings.simplefilter("ignore")
        if isinstance(source, xr.Dataset):
            file = Path(str(source.encoding.get("source", "dataset"))).name
            yield file, convert_radians(decode_dates(file, _decode_values(source)))
            return
        with _open_dataset(source, group) as dataset:
            try:
                yield source, convert_radians(decode_dates(source, dataset))
            except (OSError, RuntimeError) as error:
                what = (
                    "a chunk is damaged"
                    if is_remote(source) or Path(source).is_dir()
                    else "the file is truncated or damaged"
                )
                raise InputError(
                    f"{source}: its values cannot be read ({shorten_error(error)}), so {what}; fetch it again"
                ) from error


def read_part(
    file: str,
    dataset: xr.Dataset,
    layout: Layout,
    others: Sequence[str] = (),
    opening: Opening = Opening(),
) -> Part:
    """Load the variable, and ``others`` on its grid, cut to region and period.

    Values outside the valid range, and those that a quality flag excludes, become missing; errors are
    converted to the variable's units. Raises `InputError` for a variable that is absent or of another shape,
    missing dates, errors whose units are not understood, or an empty region.
    """
    if opening.sses:
        check_sses(file, dataset)
    lacking = [n for n in (layout.variable, layout.time, layout.lat, layout.lon, *others) if n not in dataset]
    if lacking:
        raise InputError(
            f"{file}: there is no {list_names(lacking)}, unlike in the other inputs; give files that have it"
        )
    dataset = straighten_grid(dataset.set_coords([layout.time, layout.lat, layout.lon]), layout)
    data = dataset[[layout.variable]]
    data = data.squeeze([dim for dim in data.dims if dim not in (layout.t, layout.y, layout.x)])
    rules = find_rules(file, dataset, layout.variable, opening)
    flags = {rule.flag for rule in rules}
    for name in {*others, *flags, *(SSES if opening.sses else ())}:
        data[name] = _read_on_grid(file, dataset, layout, name)
    if layout.t not in data.dims:
        # A map without a time dimension: its error and its mask are those of its date, too.
        for key in data.data_vars:
            data[key] = data[key].expand_dims(layout.t)
    dates = read_dates(file, data, layout)
    dated_by = data[layout.time].attrs.get(DATED_BY)
    if opening.period is not None and layout.t != UNDATED:
        data = data.isel({layout.t: np.flatnonzero(in_period(dates, opening.period))})
    data = data.compute() if opening.region is None else _cut_region(file, data, layout, opening.region)
    _check_numbers(file, data)
    data = turn_globe(data, layout)
    for key, array in data.data_vars.items():
        if array.dtype.kind == "f" and key not in flags and key != layout.variable:
            data[key] = array.copy(data=mask_default_fill(mask_invalid(array)[0]))
    array = data[layout.variable]
    values, invalid = mask_invalid(
        array, opening.missing_value, opening.ignore_valid_range, opening.bounds_of_values
    )
    data[layout.variable] = array.copy(data=values)
    data[layout.variable], lost, treatment = apply_rules(data, layout.variable, rules)
    if opening.sses:
        data[layout.variable], words = subtract_bias(data, layout.variable)
        treatment += words
    error = opening.error_variable
    if error in data and data[error].dtype.kind in "iuf":
        data[error], words = convert_error(file, data[layout.variable], data[error])
        treatment += words
    data = data.drop_vars({*flags, SSES[0]}.difference(others), errors="ignore")
    if opening.quality is not None and not rules:
        treatment = ("quality flags not applied", *treatment)
    only = f", of which {layout.variable} is read here" if layout.partner else ""
    level = data.attrs.pop(LEVEL, None)
    before = filter(None, (str(dataset.attrs.get(TREATMENT, "")), layout.why + only, dated_by, level))
    return Part(file, data, dates, invalid | lost, (*before, *treatment))


def _check_numbers(file: str, data: xr.Dataset) -> None:
    """Raise `InputError` where a variable in memory holds no numbers, or such as cannot be unpacked."""
    for name, array in data.data_vars.items():
        if array.to_numpy().dtype.kind == "O":  # of types that a user defined, which xarray takes for numbers
            raise InputError(f"{file}: {name} holds no plain numbers; write it as float or as integers")
        if WRONG_PACKING in array.attrs:
            raise InputError(
                f"{file}: {name} cannot be unpacked ({array.attrs[WRONG_PACKING]}); repair that attribute"
            )


def drop_undeclared(parts: Sequence[Part], layout: Layout, opening: Opening) -> tuple[list[Part], list[str]]:
    """Return the parts without the missing values that are not declared, and in words what looks like one.

    Nothing is dropped where the ``opening`` names the missing values.
    """
    name = layout.variable
    found = find_undeclared(measure_extent(parts, name), name, parts[0].data[name])
    if opening.missing_value is not None:
        return list(parts), warn_of_kept(found)
    return [drop_values(part, name, found) for part in parts], []


def measure_extent(parts: Sequence[Part], name: str) -> Extent:
    """Return the outermost values of a variable in all parts."""
    first, *others = (Extent.of(part.data[name].to_numpy()) for part in parts)
    return sum(others, first)


def drop_values(part: Part, name: str, values: Sequence[float]) -> Part:
    """Return the part without the ``values`` that stand for missing ones."""
    array = part.data[name]
    own = array.to_numpy()
    lost = {name_undeclared(value): int((own == own.dtype.type(value)).sum()) for value in values}
    lost = {reason: count for reason, count in lost.items() if count}
    if not lost:
        return part
    kept = np.where(np.isin(own, np.array(values, own.dtype)), own.dtype.type(np.nan), own)
    return replace(part, data=part.data.assign({name: array.copy(data=kept)}), lost={**part.lost, **lost})


def convert_part(part: Part, name: str, wanted: str, first: str, error: str | None) -> Part:
    """Return the part with a variable and its ``error`` in the ``wanted`` units of the ``first`` file.

    Raises `InputError` where there is no conversion.
    """
    data, words = convert_units(part.file, name, part.data, wanted, first, error)
    return replace(part, data=data, treatment=(*part.treatment, *words)) if words else part


def read_dates(file: str, dataset: xr.Dataset, layout: Layout) -> pd.Index:
    """Return the dates (time,) of a file. Raises `InputError` where some are missing or not decoded."""
    time = dataset[layout.time]
    dates = (time if time.ndim else time.expand_dims(layout.t)).to_index()
    if not isinstance(dates, pd.DatetimeIndex | xr.CFTimeIndex):
        attrs = time.attrs
        raise InputError(
            f"{file}: the dates in {layout.time} cannot be decoded (units {attrs.get('units')!r}, calendar "
            f"{attrs.get('calendar', 'standard')!r}); add units such as 'days since 2000-01-01'"
        )
    if dates.hasnans:
        raise InputError(
            f"{file}: {int(dates.isna().sum())} of the dates are missing or infinite; repair {layout.time}"
        )
    return dates


def _decode_values(raw: xr.Dataset) -> xr.Dataset:
    return xr.decode_cf(declare_numbers(raw), decode_times=False, decode_timedelta=False)


@cache
def find_readers() -> EntryPoints:
    """Return the readers of other packages.

    They are looked for once: the metadata of all packages is read, which takes longer than a file's.
    """
    return entry_points(group=READERS)


def _open_dataset(path: str, group: str | None) -> xr.Dataset:
    for entry in find_readers().select(name=Path(path).suffix):
        try:
            read: xr.Dataset = entry.load()(path)
        except Exception as error:  # a package of somebody else
            raise InputError(
                f"{path}: the reader {entry.value} failed ({shorten_error(error)}); check the file, or "
                "remove the reader's package"
            ) from error
        return read
    if is_remote(path) or is_reference(path):
        return _decode_values(open_remote(path, group))
    folder = Path(path).is_dir()
    if folder and not is_zarr(path):
        raise InputError(
            f"{path}: this folder is not a Zarr store; name the files in it, for example '{path}/*.nc'"
        )
    if not folder:
        check_size(path)
    how: dict[str, Any] = {"engine": "zarr", "consolidated": False} if folder else {"engine": "netcdf4"}

    def read_group(name: str | None = None) -> xr.Dataset:
        return _decode_values(xr.open_dataset(path, group=name, decode_cf=False, **how))

    try:
        dataset = read_group(group if folder else None)
        if folder and not dataset.data_vars:
            arrays = Path(path).glob("*/*/**/zarr.json") if group is None else []
            inner = sorted({str(one.parent.parent.relative_to(path)) for one in arrays})
            if inner:
                raise InputError(
                    f"{path}: its variables are in groups; choose among {list_names(inner)} with group="
                )
        if not folder:
            dataset = merge_groups(path, dataset, group, read_group)
    except InputError:
        raise
    except Exception as error:  # each library raises its own
        raise InputError(explain_failure(path, error)) from error
    return dataset


def _read_on_grid(file: str, dataset: xr.Dataset, layout: Layout, name: str) -> xr.Variable:
    """Return a mask or an error on the dimensions of the field, whatever their names in the file."""
    array = dataset[name].variable
    array = array.squeeze(
        [d for d in array.dims if array.sizes[d] == 1 and d not in (layout.t, layout.y, layout.x)]
    )
    if set(array.dims) <= set(dataset[layout.variable].dims):
        return array
    shape = (dataset.sizes[layout.y], dataset.sizes[layout.x])
    if array.shape == shape:
        return xr.Variable((layout.y, layout.x), array._data, array.attrs, array.encoding)
    raise InputError(
        f"{file}: {name} has the shape {array.shape} but the grid of {layout.variable} {shape}; "
        "put them on one grid"
    )


def _cut_region(file: str, dataset: xr.Dataset, layout: Layout, region: Region) -> xr.Dataset:
    """Load the rows and columns that hold the region, contiguous also across the seam of a global grid.

    Raises `InputError` where the region contains no grid point.
    """
    lat0, lat1, lon0, lon1 = region
    lat, lon = read_grid(file, dataset, layout)
    near = 1e-4  # degrees: coordinates are often float32
    width = 360.0 if lon1 - lon0 >= 360 else (lon1 - lon0) % 360
    east = (lon - lon0 + near) % 360
    inside = (lat >= min(lat0, lat1) - near) & (lat <= max(lat0, lat1) + near) & (east <= width + 2 * near)
    if not inside.any():
        other = (
            (lat >= lon0 - near) & (lat <= lon1 + near) & ((lon - lat0 + near) % 360 <= (lat1 - lat0) % 360)
        )
        if other.any():
            raise InputError(
                f"{file}: the region {lat0:g} to {lat1:g} N, {lon0:g} to {lon1:g} E contains no grid point; "
                f"latitude comes first, perhaps region=({swap_corners(region)})"
            )
        raise InputError(
            f"{file}: the region {lat0:g} to {lat1:g} N, {lon0:g} to {lon1:g} E contains no grid point; "
            f"choose one within {lat.min():.2f} to {lat.max():.2f} N, {lon.min():.2f} to {lon.max():.2f} E"
        )
    rows, columns = np.flatnonzero(inside.any(axis=1)), np.flatnonzero(inside.any(axis=0))
    pieces = [slice(columns[0], columns[-1] + 1)]
    gap = int(np.argmax(np.diff(columns))) if columns.size > 1 else 0
    if columns.size < lon.shape[1] and pieces[0] == slice(0, lon.shape[1]) and is_cyclic(lon):
        pieces = [slice(columns[gap + 1], None), slice(0, columns[gap] + 1)]
    cut = [
        dataset.isel({layout.y: slice(rows[0], rows[-1] + 1), layout.x: piece}).compute() for piece in pieces
    ]
    return cut[0] if len(cut) == 1 else concatenate(cut, layout.x)
