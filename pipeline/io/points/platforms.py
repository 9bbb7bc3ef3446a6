"""Independent points (drifters, floats, moorings, tide gauges, another mission), read as `Tracks`.

They come as tables (CSV, Parquet, a data frame) or as NetCDF in any discrete sampling geometry of CF
(chapter 9): one dimension, several dimensions, contiguous or indexed ragged arrays.
"""

from __future__ import annotations

import glob
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
import xarray as xr

from ...errors import InputError
from ..layout.coordinates import TIME_NAMES, find_candidates, find_fillable, is_time, list_names
from ..opening import Opening
from ..providers.units import find_conversion, require_conversion, spell_units
from ..reading import list_inputs, open_input
from .tables import POINT, is_table, read_table
from .tracks import Tracks, read_tracks

Source: TypeAlias = (
    str | os.PathLike[str] | Sequence[str | os.PathLike[str]] | pd.DataFrame | xr.Dataset | Tracks
)

ROLES = ("time", "lat", "lon", "value", "platform", "depth", "error")  # of columns that can be named
_STANDARD = {"time": "time", "lat": "latitude", "lon": "longitude"}
_PLATFORMS = (
    *("platform", "platform_code", "platform_number", "platform_id", "platform_name", "mission", "satellite"),
    *("station", "station_id", "station_name", "buoy", "buoy_id", "drifter", "drifter_id", "float", "wmo"),
    *("wmo_id", "trajectory", "trajectory_id", "mooring", "site", "gauge", "id"),
)
_IDENTIFIERS = ("timeseries_id", "trajectory_id", "profile_id")  # cf_role
_DEPTHS = ("depth", "deph", "z", "pres", "pressure")
_KELVIN = 100.0  # a median temperature above it is in kelvin


def is_points(path: str) -> bool:
    """Whether a text names files of points, rather than a mission."""
    return path.startswith("sample:") or is_table(path) or bool(glob.glob(path)) or Path(path).suffix == ".nc"  # noqa: PTH207


def read_platforms(
    source: Source,
    name: str,
    attrs: Mapping[Any, Any],
    *,
    columns: Mapping[str, str] | None = None,
    units: str | None = None,
    max_depth: float = np.inf,
    error: float = 0.0,
) -> Tracks:
    """Read points of a quantity in the units of a field.

    Parameters
    ----------
    source
        Files, a glob, ``sample:NAME``, a data frame, a dataset, or points that were read before.
    name, attrs
        The variable of the field and its attributes: the points hold a variable of that name or that standard
        name, or a single variable.
    columns
        Names of columns or variables by their role, one of `ROLES`, where they are not found by name.
    units
        Units of the points where the source does not say them; by default those of the field.
    max_depth
        Depth in metres below which points are left out. Of each profile the shallowest value is used.
    error
        Standard error of the points, in the units of the field, where ``columns`` names no error.

    Returns
    -------
    Tracks
        The points by platform (``missions``), each sorted by time. ``oddities`` say what was left out.

    Raises
    ------
    InputError
        For points that cannot be read, have no time or position, or are in units of another quantity.
    """
    if isinstance(source, Tracks):
        return convert_points(source, name, attrs, units)
    wanted = dict(columns or {})
    unknown = [role for role in wanted if role not in ROLES]
    if unknown:
        raise InputError(f"columns= names no {list_names(unknown)}; choose among {', '.join(ROLES)}")
    entries: list[Any] = [source] if isinstance(source, pd.DataFrame) else list(list_inputs(source))
    parts, notes = [], []
    for entry in entries:
        table = isinstance(entry, pd.DataFrame) or (isinstance(entry, str) and is_table(entry))
        with open_input(read_table(entry, wanted) if table else entry) as (file, dataset):
            part, said = _flatten(file, dataset, name, attrs, wanted, max_depth)
            parts.append(part)
            notes += said
    whole = parts[0] if len(parts) == 1 else _concatenate(parts, name)
    opening = Opening(variable=name, outliers="keep")
    if "error" in whole:
        opening = replace(opening, error_variable="error")
    else:
        opening = replace(opening, observation_error=error)
    tracks = read_tracks(whole, opening)
    tracks = replace(tracks, oddities=(*notes, *tracks.treatment, *tracks.oddities))
    return convert_points(tracks, name, attrs, units)


def _flatten(
    file: str,
    dataset: xr.Dataset,
    name: str,
    attrs: Mapping[Any, Any],
    columns: Mapping[str, str],
    max_depth: float,
) -> tuple[xr.Dataset, list[str]]:
    """Return the points of a dataset in a row, without deep ones, and in words what was left out."""
    for role, key in columns.items():
        if key not in dataset.variables:
            choice = list_names(map(str, dataset.variables))
            raise InputError(f"{file}: there is no column {key!r} for columns={role}; choose among {choice}")
    dataset = _drop_single(_spread_ragged(dataset)).reset_coords()
    found = _find_roles(file, dataset, name, attrs, columns)
    value = dataset[found["value"]]
    held = {name if role == "value" else role: dataset[key] for role, key in found.items()}
    flags = _find_flags(dataset, value, name)
    held[name] = value.assign_attrs(ancillary_variables=" ".join(flags))
    held |= flags
    strange = [found[role] for role in found if not set(dataset[found[role]].dims) <= set(value.dims)]
    if strange or not value.dims:
        raise InputError(
            f"{file}: {list_names(strange or [value.name])} is not on the dimensions of {value.name}"
            f"({', '.join(map(str, value.dims))}); give points with a time, a latitude and a longitude each"
        )
    whole = xr.broadcast(*(array.drop_vars(array.coords) for array in held.values()))
    named = {role: {"standard_name": standard} for role, standard in _STANDARD.items()}
    points = xr.Dataset(
        {
            role: (POINT, array.transpose(*value.dims).to_numpy().ravel(), array.attrs | named.get(role, {}))
            for role, array in zip(held, whole, strict=True)
        },
        attrs=dataset.attrs,
    )
    points.encoding["source"] = file
    if "platform" in points:
        texts = [text.decode() if isinstance(text, bytes) else text for text in points["platform"].to_numpy()]
        points["platform"] = (POINT, np.array([_name_platform(text) for text in texts], dtype=object))
    return _keep_shallow(points, name, max_depth) if "depth" in points else (points, [])


def _find_flags(dataset: xr.Dataset, value: xr.DataArray, name: str) -> dict[str, xr.DataArray]:
    """Return the flags of a variable, as those of ``name``: ancillary ones, and ``VALUE_QC``.

    Digits that are written as text, as in Argo's files, are numbers.
    """
    keys = [key for key in str(value.attrs.get("ancillary_variables", "")).split() if key in dataset]
    keys += [str(key) for key in dataset.variables if str(key).lower() == f"{value.name}_qc".lower()]
    found = {}
    for key in dict.fromkeys(keys):
        flag = dataset[key]
        if not set(flag.dims) <= set(value.dims):
            continue
        if flag.dtype.kind in "OSU":
            texts = pd.Series(flag.to_numpy().ravel().astype("U8"))
            flag = flag.copy(data=pd.to_numeric(texts, errors="coerce").to_numpy().reshape(flag.shape))
        found[f"{name}_QC" if key.lower() == f"{value.name}_qc".lower() else key] = flag
    return found


def _name_platform(value: Any) -> str:
    """Return the name of a platform; numbers that a missing value made real are whole again."""
    if isinstance(value, float | np.floating):
        return f"{value:.0f}" if np.isfinite(value) and value == np.rint(value) else str(value)
    return str(value).strip()


def _spread_ragged(dataset: xr.Dataset) -> xr.Dataset:
    """Return a dataset whose ragged arrays (CF 9.3.3, 9.3.4) have all variables on the points."""
    for key, array in dataset.variables.items():
        if array.ndim != 1:
            continue
        platforms = array.dims[0]
        if "sample_dimension" in array.attrs:
            points = str(array.attrs["sample_dimension"])
            index = np.repeat(np.arange(array.size), array.to_numpy().astype(np.int64))
        elif "instance_dimension" in array.attrs:
            points, platforms = str(platforms), str(array.attrs["instance_dimension"])
            index = array.to_numpy().astype(np.int64)
        else:
            continue
        if dataset.sizes.get(points) != index.size:
            raise InputError(
                f"{dataset.encoding.get('source', 'dataset')}: {key} counts {index.size} points, and "
                f"{points} has {dataset.sizes.get(points)}; give a file whose ragged array is complete"
            )
        return dataset.reset_coords().drop_vars(str(key)).isel({platforms: xr.DataArray(index, dims=points)})
    return dataset


def _drop_single(dataset: xr.Dataset) -> xr.Dataset:
    """Return a dataset without dimensions of one element, but for the only one of the dates."""
    single = [dim for dim, size in dataset.sizes.items() if size == 1]
    if len(single) == len(dataset.sizes):
        dated = [dim for array in dataset.variables.values() if is_time(array) for dim in array.dims]
        single = [dim for dim in single if dim != (dated or single)[0]]
    return dataset.squeeze(single)


def _find_roles(
    file: str, dataset: xr.Dataset, name: str, attrs: Mapping[Any, Any], columns: Mapping[str, str]
) -> dict[str, str]:
    """Return the variables by role. Raises `InputError` where time, position or value are not found."""
    found = dict(columns)
    arrays = dataset.variables
    if "time" not in found:
        times = [str(key) for key, array in arrays.items() if is_time(array)]
        times.sort(
            key=lambda key: (arrays[key].attrs.get("standard_name") != "time", key.lower() not in TIME_NAMES)
        )
        found |= {"time": times[0]} if times else {}
    for role, axis in (("lat", "latitude"), ("lon", "longitude")):
        names = find_candidates(dataset, axis)
        found.setdefault(role, names[0]) if names else None
    lacking = [role for role in ("time", "lat", "lon") if role not in found]
    if lacking:
        raise InputError(
            f"{file}: no column is recognised as {' or '.join(lacking)} (found {list_names(map(str, arrays))}"
            "); name it with columns={'" + lacking[0] + "': 'NAME'}"
        )
    marked = [str(key) for key, array in arrays.items() if array.attrs.get("cf_role") in _IDENTIFIERS]
    lower = {str(key).lower(): str(key) for key in arrays}
    named = [lower[key] for key in _PLATFORMS if key in lower]
    if marked or named:
        found.setdefault("platform", (marked or named)[0])
    deep = [str(key) for key, array in arrays.items() if array.attrs.get("standard_name") == "depth"]
    deep += [lower[key] for key in _DEPTHS if key in lower]
    if deep:
        found.setdefault("depth", deep[0])
    if "value" not in found:
        found["value"] = _find_value(file, dataset, name, attrs, set(found.values()))
    return found


def _find_value(file: str, dataset: xr.Dataset, name: str, attrs: Mapping[Any, Any], taken: set[str]) -> str:
    """Return the variable of the name, or the standard name, of the field, or the only one."""
    choices = [key for key in find_fillable(dataset, taken) if key not in taken]
    choices = [key for key in choices if key.lower() not in (*_PLATFORMS, *_DEPTHS)]
    standard = attrs.get("standard_name")
    for alike in (
        [key for key in choices if key.lower() == name.lower()],
        [key for key in choices if standard and dataset[key].attrs.get("standard_name") == standard],
        choices,
    ):
        if len(alike) == 1:
            return alike[0]
    raise InputError(
        f"{file}: no column is called {name}, and {list_names(choices)} could be its values; choose one with "
        "columns={'value': 'NAME'}"
    )


def _keep_shallow(points: xr.Dataset, name: str, max_depth: float) -> tuple[xr.Dataset, list[str]]:
    """Return the shallowest value of each profile, where it is not below ``max_depth``."""
    depth = points["depth"].to_numpy().astype(np.float64)
    depth = np.abs(np.nan_to_num(depth))  # heights count up; without a depth a value is taken at the surface
    value = points[name].to_numpy().astype(np.float64)
    kept = np.isfinite(value) & (depth <= max_depth)
    notes = []
    deep = np.count_nonzero(np.isfinite(value) & ~kept)
    if deep:
        notes.append(f"values deeper than {max_depth:g} m: {deep}")
    keys = {
        role: points[role].to_numpy()[kept] for role in ("platform", "time", "lat", "lon") if role in points
    }
    frame = pd.DataFrame(keys | {"depth": depth[kept]}).sort_values("depth", kind="stable")
    index = np.flatnonzero(kept)[np.sort(frame.drop_duplicates(list(keys)).index.to_numpy())]
    # Rows that are repeated as they are count as repeated, not as parts of a profile.
    same = frame.duplicated(keep="first").sum()
    below = len(frame) - len(index) - int(same)
    if below:
        notes.append(f"values below the shallowest of a profile: {below}")
    if same:
        notes.append(f"points that occur more than once: {same}")
    if index.size and depth[index].max() > 0:
        low, high = depth[index].min(), depth[index].max()
        notes.append(
            f"depth of the points: {low:.3g} to {high:.3g} m" if low < high else f"depth: {low:.3g} m"
        )
    return points.isel({POINT: index}).drop_vars("depth"), notes


def _concatenate(parts: Sequence[xr.Dataset], name: str) -> xr.Dataset:
    """Return the points of several files; what one of them lacks is left out, and platforms are its files."""
    named = []
    for part in parts:
        if "platform" not in part:
            stem = np.full(part.sizes[POINT], Path(str(part.encoding["source"])).stem, dtype=object)
            part = part.assign(platform=(POINT, stem))
        named.append(part)
    common = set.intersection(*({str(key) for key in part.data_vars} for part in named))
    units = {str(part[name].attrs.get("units", "")) for part in named}
    if len({spell_units(unit) for unit in units}) > 1:
        raise InputError(
            f"the points are in different units ({list_names(sorted(units))}); validate each file alone"
        )
    whole = xr.concat([part[sorted(common)] for part in named], POINT, combine_attrs="override")
    whole.encoding["source"] = f"{named[0].encoding['source']} and {len(named) - 1} more"
    return whole


def convert_points(tracks: Tracks, name: str, attrs: Mapping[Any, Any], units: str | None = None) -> Tracks:
    """Return the points in the units of the field ``name`` with ``attrs``; ``oddities`` say what was done.

    Raises `InputError` where the ``units``, or else those of the points, cannot be converted.
    """
    wanted = str(attrs.get("units", ""))
    own = units or str(tracks.attrs.get("units", ""))
    if not own and wanted:
        other = {"degC": "K", "K": "degree_Celsius"}.get(spell_units(wanted))
        middle = float(np.median(tracks.value))
        if other is not None and (middle > _KELVIN) != (spell_units(wanted) == "K"):
            raise InputError(
                f"{tracks.file}: the values have no units and are about {middle:.3g}, which are not {wanted}"
                f"; give units='{other}'"
            )
        return replace(
            tracks, oddities=(*tracks.oddities, f"the points have no units and are taken to be in {wanted}")
        )
    if not own or not wanted or find_conversion(own, wanted) == (1.0, 0.0):
        return tracks
    scale, offset = require_conversion(tracks.file, "the quantity", own, wanted, f"the field {name}")
    return replace(
        tracks,
        value=scale * tracks.value + offset,
        error_variance=scale**2 * tracks.error_variance,
        attrs=dict(tracks.attrs) | {"units": wanted},
        oddities=(*tracks.oddities, f"the points were converted from {own} to {wanted}"),
    )
