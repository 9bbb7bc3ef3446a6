"""A filled field as a CF and ACDD dataset."""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from ..settings import Packing
from .extremes import count_extremes
from .field import Field
from .layout.coordinates import is_time, list_names
from .reading import TREATMENT
from .storage import Span, encode_filled, find_storage, measure_span

SOURCES = ("land", "observed", "filled", "filled_never_observed", "outlier")  # the flags 0 to 4 of V_source

OUTLIER = SOURCES.index("outlier")

Floats = NDArray[np.floating]
UNKNOWN = "Unknown: nothing was missing, and the input has no observation error; give one."
# Attributes of packing, which is undone, and names of variables that are not carried over.
_DROPPED = (
    r"_.*|scale_factor|add_offset|missing_value|bounds|climatology|coordinates|ancillary_variables"
    r"|cell_measures|grid_mapping|actual_(min|max|range)"
)
_DROPPED_FROM_COORDINATES = re.compile(_DROPPED)
# Attributes that describe the input's values and do not hold for the filled ones.
_DROPPED_FROM_VARIABLE = re.compile(
    _DROPPED + r"|valid_(min|max|range)|(scale_factor|add_offset)_err|calibrated_nt"
    r"|least_significant_digit|number_of_significant_digits"
)
_DROPPED_FROM_GLOBAL = re.compile(
    r"_.*|conventions|metadata_conventions|coordinates|geospatial_(lat|lon|bounds).*|time_coverage_.*"
    r"|(north|south|east|west)ernmost_.*|(start|stop)_(time|date)|(min|max)_(lat|lon|latitude|longitude)"
    r"|date_.*|creation_(date|time)|id|uuid|doi|tracking_id|naming_authority|netcdf_version_id|dods.*"
    r"|processing_level|file_quality_level|.*checksum.*|md5.*",
    re.IGNORECASE,
)
# CF 4.1 and 4.2: the preferred and the allowed spellings of the units.
_DEGREES = {
    "latitude": ("degrees_north", r"degrees?_(north|N)|degrees?N"),
    "longitude": ("degrees_east", r"degrees?_(east|E)|degrees?E"),
}


def describe_run(
    method: str, seed: int, configuration: Mapping[str, Any], attributes: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Return the attributes that describe a run: method, seed, the configuration that repeats it, and others.

    Options of the ``configuration`` that are None are left out.
    """
    given = json.dumps({key: value for key, value in configuration.items() if value is not None}, default=str)
    return {"method": method, "seed": seed, "configuration": given} | dict(attributes or {})


def to_dataset(
    field: Field,
    mean: NDArray[np.floating],
    error: NDArray[np.floating] | None,
    *,
    noise: float = 0.0,
    intervals: Mapping[int, float] | None = None,
    analysis_everywhere: bool = False,
    attributes: Mapping[str, Any] | None = None,
    packing: Packing = Packing(),
) -> xr.Dataset:
    """Return a dataset of V, V_analysis, V_error and V_source on the grid and dimensions of the input.

    ``mean`` and ``error`` (standard error) are (time, lat, lon) in the space in which the field is filled,
    finite at every sea pixel; the dataset is in the units of the input. The error is that of a new
    observation; ``noise`` is the part of its variance that is the observation's own. An ``error`` of None is
    unknown: the error and the bounds are missing, and their attributes say so. V keeps the observed values,
    also outside the sea mask, unless ``analysis_everywhere`` replaces them with the analysis at sea.
    ``intervals`` maps the levels of central prediction intervals in percent to their half-widths in standard
    errors; each adds V_lower_LEVEL and V_upper_LEVEL. ``attributes`` become global attributes and override
    those of the input; their ``command``, or else their ``call``, is added to the history. ``packing`` says
    how the values are to be stored (`storage.encode_filled`).

    The attributes follow the CF conventions 1.11 (3.3 for standard errors, 3.4 for ancillary variables, 3.5
    for flags) and the Attribute Convention for Data Discovery 1.3.

    Raises `ValueError` where an estimate at sea is not finite or an error is negative.
    """
    name, source = field.name, field.source
    if field.drift is not None:
        mean = mean + field.drift
    unknown = error is None
    if error is None:
        error = np.zeros_like(mean)
    analysis, deviation = _undo_transform(field, mean, error, noise)
    if unknown:
        deviation, error = np.full_like(deviation, np.nan), np.full_like(error, np.nan)
    raw = source.transpose(*field.dims).to_numpy()
    # Hidden values, and those that have no transform (zero under a logarithm), do not count as observed.
    observed = np.isfinite(raw) & (field.observed | ~field.sea)
    outliers = np.zeros(observed.shape, bool) if field.outliers is None else field.outliers
    kept = observed | (outliers & field.keeps_outliers)
    filled = np.where(kept & ~field.sea if analysis_everywhere else kept, raw, analysis)
    flags = np.where(field.sea, np.where(field.never_observed, 3, 2), 0)

    kind = raw.dtype if raw.dtype.kind == "f" else np.dtype(np.float32)
    data = xr.Dataset(coords=source.coords).copy()
    for key in data.variables:
        data[key].attrs = _clean_attributes(data[key].attrs, _DROPPED_FROM_COORDINATES)
    _complete_coordinates(field, data)
    new = {
        name: filled.astype(kind, copy=False),
        f"{name}_analysis": analysis.astype(kind, copy=False),
        f"{name}_error": deviation,
        f"{name}_source": np.where(outliers, OUTLIER, np.where(observed, 1, flags)).astype(np.int8),
    }
    for level, width in (intervals or {}).items():
        for side, sign in (("lower", -1), ("upper", 1)):
            bound = np.where(field.sea, mean + np.float64(sign * width) * error, np.nan)
            # A monotone transform maps quantiles to quantiles.
            bound = field.space.backward(bound)
            new[f"{name}_{side}_{level}"] = bound.astype(kind)
    for key, values in new.items():
        data[key] = xr.Variable(field.dims, values).transpose(*source.dims)
        data[key].attrs = _make_variable_attributes(field, key, analysis_everywhere)
        if unknown and key.startswith((f"{name}_error", f"{name}_lower", f"{name}_upper")):
            data[key].attrs["comment"] = UNKNOWN
    spans = measure_spans(field, data, analysis_everywhere)
    encode_filled(data, name, field.dims[0], find_storage(source), spans, packing)
    data.attrs = _make_global_attributes(field, data, attributes or {})
    return data


def is_filled(dataset: xr.Dataset, name: str) -> bool:
    """Tell whether the dataset holds what `fill` makes of the variable."""
    return {name, f"{name}_analysis", f"{name}_error", f"{name}_source"} <= set(dataset.data_vars)


def measure_spans(field: Field, data: xr.Dataset, analysis_everywhere: bool) -> dict[str, Span]:
    """Return the spans of the variables of a filled dataset in the units of the field."""
    storage, name, analysis = find_storage(field.source), field.name, f"{field.name}_analysis"
    flags = (SOURCES.index("observed"), *((OUTLIER,) if field.keeps_outliers else ()))
    kept = np.isin(data[f"{name}_source"].to_numpy(), flags)
    if analysis_everywhere:
        kept &= ~xr.DataArray(field.sea, dims=field.dims[1:]).broadcast_like(data[name]).to_numpy()
    spans = {
        str(key): measure_span(array.to_numpy(), storage, kept if key == name else None)
        for key, array in data.data_vars.items()
        if key not in (f"{name}_error", f"{name}_source")
    }
    extremes = count_extremes(field, data[analysis].to_numpy())
    return spans | {analysis: replace(spans[analysis], extremes=extremes)}


def _undo_transform(
    field: Field, mean: NDArray[np.floating], error: NDArray[np.floating], noise: float
) -> tuple[Floats, NDArray[np.float32]]:
    """Return mean and standard error in the variable's units, missing outside the sea.

    The mean is that of the quantity itself, on which the ``noise`` of an observation has no part: noise in
    logarithms has the median one, and a mean above. The standard error is relative to this mean.
    """
    negative = np.count_nonzero((error < 0) & field.sea)
    if negative:
        raise ValueError(f"{field.name}: the standard error is negative at {negative} sea values")
    with np.errstate(over="ignore", invalid="ignore"):
        transform = field.space
        centre, deviation = transform.find_moments(mean, error)
        if noise and field.transform != "none":
            own = np.sqrt(np.maximum(error.astype(np.float64) ** 2 - noise, 0))
            found = transform.find_moments(mean, own)[0]
            centre, deviation = found, np.hypot(deviation, centre - found)
        mean, error = centre, deviation
        error = error.astype(np.float32)
        kind = np.result_type(field.source.dtype, np.float32)  # large numbers need the precision of the input
        mean = mean.astype(kind)
        mean, error = (np.where(field.sea, part, np.float32(np.nan)) for part in (mean, error))
    for what, values in (("estimate", mean), ("standard error", error)):
        wrong = np.count_nonzero(~np.isfinite(values) & field.sea)
        if wrong:
            raise ValueError(f"{field.name}: the {what} is not finite at {wrong} sea values")
    return mean, error


def _complete_coordinates(field: Field, data: xr.Dataset) -> None:
    """Add the attributes of coordinates that CF requires where the input lacks or misspells them."""
    layout = field.layout
    names = {"latitude": (layout.lat, "Y"), "longitude": (layout.lon, "X"), "time": (layout.time, "T")}
    for role, (name, axis) in names.items():
        attrs = data[name].attrs
        attrs["standard_name"] = role
        attrs.setdefault("long_name", role)
        if data[name].ndim == 1:
            attrs.setdefault("axis", axis)
        units, allowed = _DEGREES.get(role, ("", ".*"))
        if not re.fullmatch(allowed, str(attrs.get("units"))):
            attrs["units"] = units
    for array in data.coords.values():
        if is_time(array):
            for held in ("units", "calendar"):
                array.attrs.pop(held, None)  # these belong to the encoding
            kept = choose_time_encoding(array)
        else:
            before = array.encoding
            kept = {held: before[held] for held in ("dtype", "scale_factor", "add_offset") if held in before}
        array.encoding = {**kept, "_FillValue": None}  # CF 2.5.1: no missing values in coordinates


def choose_time_encoding(time: xr.DataArray) -> dict[str, Any]:
    """Return units, calendar and type of the input, unless later files have dates that they cannot hold."""
    before = time.encoding
    kept = {key: before[key] for key in ("units", "calendar", "dtype") if key in before}
    near = np.timedelta64(1, "ms") if time.dtype.kind == "M" else timedelta(milliseconds=1)
    exact = xr.Variable(time.dims, time.values, encoding=kept)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            stored = xr.conventions.encode_cf_variable(exact, name=time.name)
            back = xr.coders.CFDatetimeCoder().decode(stored, time.name).values
            fits = bool(np.all(np.abs(back - exact.values) < near))
        except (ValueError, OverflowError, TypeError):
            fits = False
    return kept if fits else {key: kept[key] for key in ("calendar",) if key in kept}


def _clean_attributes(attrs: Mapping[Any, Any], dropped: re.Pattern[str]) -> dict[str, Any]:
    kept = {str(key): value for key, value in attrs.items() if not dropped.fullmatch(str(key))}
    return {key: _make_storable(value) for key, value in kept.items()}


def _make_storable(value: Any) -> Any:
    """Return an attribute in a form that NetCDF and Zarr can store: text, numbers or JSON."""
    if isinstance(value, str | int | float | np.number | np.ndarray) and not isinstance(value, bool):
        return value
    if isinstance(value, list | tuple) and value and all(type(item) in (int, float) for item in value):
        return list(value)
    return json.dumps(value, default=str, ensure_ascii=False)


def _make_variable_attributes(field: Field, key: str, analysis_everywhere: bool) -> dict[str, Any]:
    name = field.name
    attrs = _clean_attributes(field.source.attrs, _DROPPED_FROM_VARIABLE)
    standard_name = attrs.get("standard_name", "")
    what = attrs.setdefault("long_name", standard_name.replace("_", " ") or name)
    if key == name:
        attrs.setdefault("coverage_content_type", "physicalMeasurement")
        attrs["ancillary_variables"] = f"{name}_error {name}_source"
        where = "where it was observed" + (" outside the sea mask" if analysis_everywhere else "")
        origin = f"Values of the input {where}, {name}_analysis elsewhere."
        attrs["comment"] = f"{attrs.get('comment', '')}\n{origin}".strip()
        return attrs
    if key == f"{name}_source":
        return {
            "long_name": f"origin of {name}",
            "standard_name": "status_flag",
            "flag_values": np.arange(len(SOURCES), dtype=np.int8),
            "flag_meanings": " ".join(SOURCES),
            "coverage_content_type": "qualityInformation",
        }
    attrs.pop("comment", None)
    if key == f"{name}_analysis":
        attrs["long_name"] = f"analysis of {what}"
        attrs["ancillary_variables"] = f"{name}_error"
        attrs["coverage_content_type"] = "modelResult"
        return attrs
    attrs = {held: attrs[held] for held in ("units",) if held in attrs}
    attrs["coverage_content_type"] = "qualityInformation"
    bound = re.fullmatch(r"_(lower|upper)_(\d+)", key.removeprefix(name))
    if standard_name:
        # CF has a modifier for standard errors (appendix C), but none for quantiles.
        attrs["standard_name"] = standard_name if bound else f"{standard_name} standard_error"
    attrs["long_name"] = f"standard error of {name}_analysis"
    if bound:
        attrs["long_name"] = f"{bound[1]} bound of the {bound[2]}% prediction interval of {what}"
    return attrs


def _make_global_attributes(field: Field, data: xr.Dataset, attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Return the input's global attributes, updated, and those that ACDD 1.3 requires."""
    name = field.name
    attrs = _clean_attributes(field.dataset_attrs, _DROPPED_FROM_GLOBAL)
    what = str(data[name].attrs["long_name"])
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    program = f"oceanfill {version('oceanfill')}"
    at_sea = int(np.count_nonzero(field.observed[:, field.sea]))
    cells = len(field.days) * int(np.count_nonzero(field.sea))
    west, east = float(field.lon.min()), float(field.lon.max())
    turns = 360 if east > 360 else 0  # on a grid across 0 degrees `Field.lon` continues beyond 360
    dates = data[field.layout.time].values
    attrs.setdefault("keywords", f"oceans, gap filling, {what}")
    attrs |= {
        "Conventions": "CF-1.11, ACDD-1.3",
        "title": f"{attrs.get('title') or what}, gaps filled",
        "summary": summarise_field(name, what, at_sea, cells)
        + (f" The input: {attrs['summary']}" if attrs.get("summary") else ""),
        "history": f"{attrs['history']}\n" if attrs.get("history") else "",
        "source": (f"{attrs['source']}; " if attrs.get("source") else "") + f"gaps filled by {program}",
        "processing_level": "L4",
        "date_created": now,
        "geospatial_lat_min": float(field.lat.min()),
        "geospatial_lat_max": float(field.lat.max()),
        "geospatial_lat_units": "degrees_north",
        "geospatial_lon_min": west - turns,
        "geospatial_lon_max": east - turns,
        "geospatial_lon_units": "degrees_east",
        **describe_time_coverage(dates, field.days),
        "input_files": list_names(field.inputs),
        "sea_mask": field.mask_origin,
        "transform": field.transform,
    }
    if field.treatment:
        attrs.pop(TREATMENT, None)  # which is part of the field's
        attrs[TREATMENT] = "; ".join(field.treatment)
    attrs["history"] += f"{now}: {attributes.get('command') or attributes.get('call', program)}"
    return attrs | {key: _make_storable(value) for key, value in attributes.items()}


def describe_time_coverage(dates: NDArray[Any], days: NDArray[np.float64]) -> dict[str, str]:
    """Return ACDD's attributes for dates in any calendar, with ``days`` since the first."""
    step = np.median(np.diff(days)) if len(days) > 1 else 0
    start, end = (f"{str(date)[:19].replace(' ', 'T')}Z" for date in (dates.min(), dates.max()))
    return {
        "time_coverage_start": start,
        "time_coverage_end": end,
        "time_coverage_duration": format_duration(np.ptp(days)),
        "time_coverage_resolution": format_duration(step),
    }


def summarise_field(name: str, what: str, at_sea: int, cells: int) -> str:
    """Return ACDD's summary of a filled variable, observed ``at_sea`` times in ``cells`` sea cells."""
    return (
        f"{what} without gaps: {name} was observed at {at_sea} of {cells} sea values "
        f"({100 * at_sea / cells:.1f}%); the others are estimated from them. {name}_analysis is the "
        f"estimate at all sea pixels, {name}_error its standard error, {name}_source the origin of each "
        f"value of {name}."
    )


def format_duration(days: float) -> str:
    """Return a duration in ISO 8601."""
    seconds = round(float(days) * 86400)
    whole, rest = divmod(seconds, 86400)
    return f"P{whole}D" + (f"T{rest}S" if rest else "")
