"""Fields with gaps, opened and checked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from dataclasses import field as dataclass_field
from functools import partial
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from ..errors import InputError
from ..keywords import take_keywords
from .layout.coordinates import Layout, find_layout
from .layout.dates import days_since_first, find_time_oddities, format_date, season_phase
from .layout.positions import check_positions, measure_cells, read_grid
from .maps.merging import COUNTS, merge_parts
from .maps.regridding import fix_grid, regrid_part
from .maps.selection import check_undated, open_maps
from .opening import Opening, make_opening
from .outliers import NO_SCREEN, describe_outliers, learn_screen
from .providers.missing import IMPOSSIBLE, OUT_OF_BOUNDS, VALID_RANGE, warn_of_losses
from .providers.quality import took_all
from .reading import Inputs, Part, convert_part, drop_undeclared, list_inputs, read_part
from .seamask import check_masks, derive_sea, find_mask, sea_from_mask
from .transforms import (
    Centred,
    Transform,
    centre_values,
    choose_transform,
    find_asked,
    find_offset,
    find_transform,
    transform_values,
)

_LARGEST, _SMALLEST = 1e16, 1e-15  # of values and of their range, whose squares are added up
_IMPOSSIBLE_ERROR = 1e19  # stands for a missing one

Table = tuple[list[float], list[float]]  # distances, and the statistic at each


@dataclass(frozen=True)
class RecordStatistics:
    """Statistics of a whole record, so its parts are filled alike."""

    spread: float  # standard deviation of the anomalies
    in_time: Table  # variance of the difference between two dates at a pixel, by days
    in_space: Table  # variance of the difference between two pixels on a date, by cells
    cell: float  # km between the centres of neighbouring cells
    bearable: tuple[float, float] = (np.inf, -np.inf)  # `extremes.find_bearable`


@dataclass(frozen=True, repr=False)
class Field:
    """One variable on (time, lat, lon), with its sea mask, errors and coordinates.

    ``values`` are in the space in which they are filled: their ``transform`` less the ``offset`` (`space`).
    ``displacement`` is the Cartesian vector from the centre of each cell to the position of its value.
    """

    name: str
    values: NDArray[np.float32]  # (time, lat, lon), NaN where missing or land
    sea: NDArray[np.bool_]  # (lat, lon)
    error_variance: NDArray[np.float32]  # (time, lat, lon) of the observations, units of values squared
    days: NDArray[np.float64]  # (time,) days since the first date, increasing
    season: NDArray[np.float64]  # (time,) fraction of the year in [0, 1)
    lat: NDArray[np.float64]  # (lat, lon) degrees north
    lon: NDArray[np.float64]  # (lat, lon) degrees east, without a jump inside the domain
    source: xr.DataArray  # the variable as opened, in its own order of dimensions
    transform: str = "none"  # name of one of `transforms`
    offset: float = 0.0  # taken off the transformed values, where these are large
    asked_transform: str = "none"  # in whose space estimates are judged; a default is asked for by nobody
    oddities: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()  # the oddities that change what is filled
    treatment: tuple[str, ...] = ()  # what was done to the values of the input, in words
    dims: tuple[str, str, str] = ("time", "lat", "lon")  # source.transpose(*dims) is aligned with values
    mask_origin: str = ""  # which variable the mask comes from and how it was read, or how it was derived
    dataset_attrs: dict[Hashable, Any] = dataclass_field(default_factory=dict)  # global, of the input
    inputs: tuple[str, ...] = ()  # names of the files, without their folders
    ever_observed: NDArray[np.bool_] | None = None  # (lat, lon) on any date of the whole record
    cycle: NDArray[np.float32] | None = None  # (4, lat, lon) seasonal cycle of the whole record (`season`)
    mean: NDArray[np.float32] | None = None  # (lat, lon) of each pixel, fitted before; None: of this field
    displacement: NDArray[np.float32] | None = None  # (time, lat, lon, 3) km
    statistics: RecordStatistics | None = None  # of the whole record; None: of this field alone
    drift: NDArray[np.float32] | None = None  # (lat, lon) taken off ``values``, of maps without time
    outliers: NDArray[np.bool_] | None = None  # (time, lat, lon) taken out of ``values`` (`io.outliers`)
    keeps_outliers: bool = False  # whether the output has them as they were observed
    jitter: float = 0.0  # standard deviation of the noise that training adds to its network inputs

    @property
    def observed(self) -> NDArray[np.bool_]:
        """(time, lat, lon) True where there is an observed value."""
        return np.isfinite(self.values)

    @property
    def space(self) -> Transform:
        """The way from the variable's units to ``values`` and back."""
        return Centred(find_transform(self.transform), self.offset)

    @property
    def dates(self) -> pd.Index:
        """(time,) as in the input: a `pandas.DatetimeIndex`, or a `CFTimeIndex` in another calendar."""
        return self.source[self.layout.time].to_index()

    @property
    def layout(self) -> Layout:
        """The names of the variable, its coordinates and its dimensions."""
        return find_layout(self.name, self.source.to_dataset(name=self.name), self.name)

    @property
    def never_observed(self) -> NDArray[np.bool_]:
        """(lat, lon) True at sea pixels without a value on any date."""
        seen = self.observed.any(axis=0) if self.ever_observed is None else self.ever_observed
        return self.sea & ~seen

    @property
    def facts(self) -> dict[str, str]:
        """What a notebook shows of the field."""
        attrs, dates = self.source.attrs, [format_date(self.dates[end]) for end in (0, -1)]
        sea = int(self.sea.sum())
        missing = 100 * float((~self.observed[:, self.sea]).mean())
        return {
            "variable": str(attrs.get("long_name", self.name)),
            "units": str(attrs.get("units", "unknown")),
            "dates": f"{len(self.days)}, {dates[0]} to {dates[1]}",
            "grid": f"{self.lat.shape[0]} x {self.lat.shape[1]} (lat x lon)",
            "latitude": f"{self.lat.min():.3f} to {self.lat.max():.3f} N",
            "longitude": f"{self.lon.min():.3f} to {self.lon.max():.3f} E",
            "sea": f"{sea:,} of {self.sea.size:,} pixels",
            "missing": f"{missing:.1f}% of the sea values",
            "transform": self.transform,
            "oddities": "; ".join(self.oddities) or "none found",
        }

    def __repr__(self) -> str:
        facts = self.facts
        return (
            f"<Field {self.name}: dates {facts['dates']}; grid {facts['grid']}; {facts['missing']} missing>"
        )

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><th style='text-align:left'>{name}</th><td style='text-align:left'>{escape(text)}</td></tr>"
            for name, text in self.facts.items()
        )
        return f"<table><caption>Field {escape(self.name)}</caption>{rows}</table>"

    def part(
        self, dates: slice | NDArray[np.intp], rows: slice = slice(None), columns: slice = slice(None)
    ) -> Field:
        """Return the field on some of its dates and pixels."""
        whole = dates, rows, columns
        return replace(
            self,
            values=self.values[whole],
            error_variance=self.error_variance[whole],
            sea=self.sea[rows, columns],
            days=self.days[dates] - self.days[dates][0],
            season=self.season[dates],
            lat=self.lat[rows, columns],
            lon=self.lon[rows, columns],
            source=self.source.isel(dict(zip(self.dims, whole, strict=True))),
            displacement=None if self.displacement is None else self.displacement[whole],
            outliers=None if self.outliers is None else self.outliers[whole],
            drift=None if self.drift is None else self.drift[rows, columns],
            ever_observed=None if self.ever_observed is None else self.ever_observed[rows, columns],
            cycle=None if self.cycle is None else self.cycle[:, rows, columns],
            mean=None if self.mean is None else self.mean[rows, columns],
        )

    def hide(self, hidden: NDArray[np.bool_]) -> Field:
        """Return the field without the values at ``hidden`` (time, lat, lon)."""
        return replace(self, values=np.where(hidden, np.float32(np.nan), self.values))


def grid_spacing(field: Field) -> tuple[float, float, float]:
    """Return the median step of the grid: days, kilometres between rows, kilometres between columns."""
    days = float(np.median(np.diff(field.days))) if len(field.days) > 1 else 1.0
    return days, *measure_cells(field.lat, field.lon)


@take_keywords(Opening)
def open_field(inputs: Inputs, opening: Opening | None = None, **options: Any) -> Field:
    """Open a field with gaps, and check that it can be filled.

    Parameters
    ----------
    inputs
        Files, a glob, a Zarr store, ``sample:NAME``, or a dataset or array in memory.
    opening
        Options that were put together before. Those given by name replace them.
    variable, region, period, ...
        What is opened: the options of `Opening`.

    Returns
    -------
    Field
        The values on (time, lat, lon) in memory, with sea mask, errors and coordinates.

    Raises
    ------
    InputError
        For input that cannot be filled.

    Examples
    --------
    >>> import oceanfill
    >>> part = {"region": (37, 38, -12, -11), "period": "2024-04-01/2024-04-10"}
    >>> field = oceanfill.open_field("sample:sst_clouds.nc", **part)
    >>> field.values.shape
    (10, 20, 20)
    """
    opening = make_opening(opening, options)
    return build_field(*read_parts(inputs, opening))


def read_parts(inputs: Inputs, opening: Opening) -> tuple[list[Part], Layout, str | None, Opening]:
    """Read every input, cut to region and period; return also their layout and the name of the mask.

    The opening that is returned has the extent of the new grid where it asks for one. Dates and values are
    not checked yet. Raises `InputError` where an input cannot be read.
    """
    layout: Layout | None = None
    mask_name: str | None = None
    parts: list[Part] = []
    for entry in list_inputs(inputs):
        with open_maps(entry, opening) as (file, dataset):
            if layout is None:
                layout = find_layout(file, dataset, opening.variable, others=opening.names)
                mask_name = find_mask(file, dataset, layout, opening.mask_variable)
            else:
                found = find_mask(file, dataset, layout, opening.mask_variable)
                check_masks(file, found, parts[0].file, mask_name)
            others = [name for name in (mask_name, opening.error_variable) if name is not None]
            others += [COUNTS] if COUNTS in dataset else []
            if not parts:
                opening = fix_grid(file, dataset, layout, opening)
            parts.append(read_part(file, dataset, layout, others, opening))
    check_undated(parts)
    assert layout is not None  # list_inputs gives at least one
    return parts, layout, mask_name, opening


def build_field(parts: Sequence[Part], layout: Layout, mask_name: str | None, opening: Opening) -> Field:
    """Build the field from the result of `read_parts`. Raises `InputError` as `open_field` does."""
    parts, looks = drop_undeclared(parts, layout, opening)
    units = str(parts[0].data[layout.variable].attrs.get("units", ""))
    convert = partial(convert_part, name=layout.variable, wanted=units, first=parts[0].file)
    parts = [convert(part, error=opening.error_variable) for part in parts]
    parts = [regrid_part(part, layout, mask_name, opening) for part in parts]
    data, plan = merge_parts(parts, layout, mask_name, opening)
    file = parts[0].file if len(parts) == 1 else f"{parts[0].file} and {len(parts) - 1} more"
    dims = (layout.t, layout.y, layout.x)
    source = data[layout.variable]
    # One memory order, so sums and results are the same to the bit for any order of dimensions in the file.
    raw = np.ascontiguousarray(source.transpose(*dims).to_numpy())
    raw = raw.astype(np.result_type(raw, np.float32), copy=False)
    dates = source[layout.time].to_index()
    lat, lon = read_grid(file, data, layout)
    texts, lost = add_up_treatment(parts)
    left = int(np.isfinite(raw).sum())
    treatment = describe_treatment(texts, lost, left)
    if np.isnan(raw).all():
        check_lost(file, layout.variable, lost, treatment)
    _check_values(file, layout.variable, raw, dates)

    warnings = *warn_of_losses(lost, left), *looks
    oddities: list[str] = [*warnings, *find_time_oddities(dates)]
    seen = np.isfinite(raw)
    check_positions(file, data, layout, np.any(seen, axis=0))
    if mask_name is not None:
        sea, mask_origin = sea_from_mask(file, data[mask_name], layout)
    else:
        share = seen[plan.present].mean(axis=0)
        sea, mask_origin = derive_sea(share, len(dates), opening.minimum_coverage, lat, lon)
        oddities.append(f"the file has no sea mask: sea is {mask_origin.removeprefix('derived: ')}")
    _check_sea(file, layout.variable, seen, sea, mask_origin)
    values = np.where(sea, raw, np.float32(np.nan))
    oddities += describe_mask_oddities(outside=int(np.count_nonzero(seen & ~sea)))

    error = read_standard_error(file, data, opening, np.isfinite(values), dims, oddities)
    negative = np.count_nonzero(np.nan_to_num(raw) < 0) / left
    transform, why = choose_transform(opening, layout.variable, source.attrs, negative)
    values, error = transform_values(file, layout.variable, transform, values, error, oddities)
    check_range(file, layout.variable, float(np.nanmin(values)), float(np.nanmax(values)))
    offset = find_offset(values)
    values, variance = centre_values(values, offset), np.where(np.isfinite(values), error, np.float32(0)) ** 2
    screen = NO_SCREEN if opening.outliers == "keep" else learn_screen([(values, variance)])
    outliers = screen.find(values, variance)
    treatment += describe_outliers(int(outliers.sum()), int(np.isfinite(values).sum()), opening.outliers)
    field = Field(
        name=layout.variable,
        values=np.where(outliers, np.float32(np.nan), values),
        sea=sea,
        error_variance=variance,
        days=days_since_first(dates),
        season=season_phase(dates),
        lat=lat,
        lon=lon,
        source=source,
        transform=transform,
        offset=offset,
        asked_transform=find_asked(opening),
        dims=dims,
        mask_origin=mask_origin,
        dataset_attrs=dict(data.attrs),
        inputs=tuple(Path(part.file).name for part in parts),
        treatment=(*treatment, *plan.notes, *([why] if why else [])),
        outliers=outliers,
        keeps_outliers=opening.outliers == "flag",
    )
    oddities += describe_mask_oddities(never_observed=int(np.count_nonzero(field.never_observed)))
    if field.observed[:, sea].all():
        oddities.append("nothing is missing: there is nothing to fill")
    return replace(field, oddities=tuple(oddities), warnings=warnings)


def describe_treatment(texts: Iterable[str], lost: Mapping[str, int], left: int) -> tuple[str, ...]:
    """Return in words what was done to the values of the input, of which ``left`` remain.

    ``texts`` are those of all parts, ``lost`` the numbers of values taken as missing, by reason.
    """
    total = left + sum(lost.values())
    taken = [
        f"{why}: {count} ({100 * count / total:.1f}% of the values)" for why, count in lost.items() if count
    ]
    return (*dict.fromkeys(texts), *taken)


def add_up_treatment(parts: Iterable[Part]) -> tuple[list[str], Counter[str]]:
    """Return the texts of all parts, and the numbers of values taken as missing, by reason."""
    texts: dict[str, None] = {}
    lost: Counter[str] = Counter()
    for part in parts:
        texts |= dict.fromkeys(part.treatment)
        lost.update(part.lost)
    return list(texts), lost


def check_lost(file: str, name: str, lost: Mapping[str, int], treatment: Sequence[str]) -> None:
    """Raise `InputError` where the valid range or quality flags are a reason why no value is left."""
    remedy = took_all([why for why, count in lost.items() if count])
    if 2 * lost.get(VALID_RANGE, 0) > sum(lost.values()):
        remedy = "the valid range may be wrong: keep the values with ignore_valid_range=True"
    if 2 * lost.get(OUT_OF_BOUNDS, 0) > sum(lost.values()):
        remedy = "give other bounds_of_values="
    if 2 * lost.get(IMPOSSIBLE, 0) > sum(lost.values()):
        remedy = "check its _FillValue, or give it in other units"
    if remedy:
        raise InputError(f"{file}: no value of {name} is left ({'; '.join(treatment)}); {remedy}")


def describe_mask_oddities(outside: int = 0, never_observed: int = 0) -> list[str]:
    """Return the disagreements between the mask and the values, in words."""
    found = [
        (outside, f"values outside the sea mask, not used: {outside}"),
        (never_observed, f"sea pixels that are never observed: {never_observed}"),
    ]
    return [text for count, text in found if count]


def _check_values(file: str, name: str, raw: NDArray[np.floating], dates: pd.Index) -> None:
    if len(dates) == 0:
        raise InputError(
            f"{file}: {name} has no dates (its time dimension has length 0); give a series of maps"
        )
    if np.isnan(raw).all():
        raise InputError(
            f"{file}: every value of {name} is missing; check its _FillValue and valid range, or "
            "choose another variable, region or period"
        )


def _check_sea(file: str, name: str, seen: NDArray[np.bool_], sea: NDArray[np.bool_], origin: str) -> None:
    if origin.startswith("derived"):
        if not sea.any():
            raise InputError(
                f"{file}: no pixel of {name} counts as sea ({origin}, the best-observed pixel on "
                f"{100 * seen.mean(axis=0).max():.2g}%); lower minimum_coverage= or give a mask"
            )
        return
    total, outside = np.count_nonzero(seen), np.count_nonzero(seen & ~sea)
    remedy = (
        "set its standard_name to land_binary_mask or sea_binary_mask, whichever applies, "
        "or choose another mask_variable="
    )
    if not sea.any():
        raise InputError(
            f"{file}: the mask {origin} has no sea, although {total} values of {name} are observed, "
            f"so it may be inverted; {remedy}"
        )
    if outside > 0.9 * total and np.mean(np.any(seen, axis=0)[sea]) < 0.1:
        raise InputError(
            f"{file}: {outside} of the {total} values of {name} lie outside the sea of the mask "
            f"{origin}, so it may be inverted; {remedy}"
        )


def check_range(file: str, name: str, low: float, high: float) -> None:
    """Raise `InputError` where values between ``low`` and ``high`` are constant or lose their precision."""
    if low == high:
        raise InputError(
            f"{file}: {name} is constant ({low:g} wherever it is observed at sea); choose another variable"
        )
    size = "too large" if max(-low, high) > _LARGEST else "too small" if high - low < _SMALLEST else ""
    if size:
        raise InputError(
            f"{file}: the values of {name}, {low:g} to {high:g}, are {size} for single precision; give them "
            "in other units"
        )


def read_standard_error(
    file: str,
    data: xr.Dataset,
    opening: Opening,
    observed: NDArray[np.bool_],
    dims: tuple[str, str, str],
    oddities: list[str],
) -> NDArray[np.float32]:
    """Return standard errors in the variable's units, (time, lat, lon) or broadcastable to it.

    Observed values without one get the median, which is added to the ``oddities``. Raises `InputError` where
    no observed value has one.
    """
    error_variable = opening.error_variable
    if error_variable is None:
        one = np.full((1, 1, 1), opening.observation_error or 0, np.float32)
        counts = data.get(COUNTS)
        if counts is None or not opening.observation_error:
            return one
        return one / np.sqrt(np.maximum(counts.transpose(*dims).to_numpy(), 1).astype(np.float32))
    array = data[error_variable]
    if array.dtype.kind not in "iuf":
        raise InputError(f"{file}: the error variable {error_variable} is not numeric; choose another")
    sizes = {dim: 1 for dim in dims if dim not in array.dims}
    full = array.variable.set_dims({**sizes, **array.sizes}).transpose(*dims)
    error = np.broadcast_to(full.to_numpy().astype(np.float32), observed.shape)
    unusable = observed & ~((error >= 0) & (error < _IMPOSSIBLE_ERROR))
    usable = error[observed & ~unusable]
    if not usable.size:
        raise InputError(
            f"{file}: {error_variable} has no standard error at any observed value; choose another "
            "variable or set observation_error="
        )
    count = np.count_nonzero(unusable)
    if not count:
        return error
    middle = np.median(usable)
    oddities.append(
        f"observed values without a standard error in {error_variable}: {count}, "
        f"given the median {middle:.3g}"
    )
    return np.where(unusable, middle, error).astype(np.float32)
