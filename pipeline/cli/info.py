"""Describing an input and what `fill` would do with it: `oceanfill info`."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray
from rich import box
from rich.console import Group, RenderableType
from rich.markup import escape
from rich.padding import Padding
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from ..errors import InputError
from ..io.alignment import find_columns, find_rows
from ..io.field import Field, build_field, describe_mask_oddities, read_parts
from ..io.layout.coordinates import Layout, find_fillable, find_layout
from ..io.layout.dates import find_time_oddities, format_date, format_dates
from ..io.layout.positions import EARTH_RADIUS, read_grid
from ..io.maps.merging import combine_parts
from ..io.maps.selection import drop_missing_date, open_maps
from ..io.opening import Opening, make_opening
from ..io.providers.quality import describe_unused, find_rules
from ..io.reading import UNDATED, Inputs, Part, list_inputs
from ..io.seamask import derive_sea, find_mask, sea_from_mask

Spell = Callable[[str], str]

_KM_PER_DEGREE = EARTH_RADIUS * np.pi / 180  # along a great circle
_MOST_DATES = 31  # more dates are summarised by month or year


@dataclass(frozen=True)
class _Outline:
    """The description of an input, whether or not it can be filled."""

    lat: NDArray[np.float64]  # (lat, lon)
    lon: NDArray[np.float64]  # (lat, lon)
    regular: bool
    dates: pd.Index
    observed: NDArray[np.float32]  # (time, lat, lon) the values at sea, NaN where missing or land
    sea: NDArray[np.bool_]  # (lat, lon)
    mask_origin: str
    units: str
    oddities: tuple[str, ...]
    treatment: tuple[str, ...] = ()


def describe(
    inputs: Inputs, opening: Opening | None = None, spell: Spell = str, **options: Any
) -> tuple[Group, InputError | None]:
    """Return tables for a rich console, and why `fill` would refuse the input, or None.

    The options are those of `Opening`; ``spell`` writes sentences that name one in other words. A
    refused input is described as far as possible. Raises `InputError` only where no file can
    be opened or an option makes no sense.
    """
    opening = make_opening(opening, options)
    entries = list_inputs(inputs)
    shown: list[RenderableType] = []
    refusal: InputError | None = None
    outline: _Outline | None = None
    with open_maps(entries[0], opening) as (file, dataset):
        more = f" and {len(entries) - 1} more" if len(entries) > 1 else ""
        shown.append(Text(f"{file}{more}", style="bold", overflow="fold"))
        try:
            layout = find_layout(file, dataset, opening.variable, others=opening.names)
            mask = find_mask(file, dataset, layout, opening.mask_variable)
            shown += [
                _tabulate_variables(dataset, _assign_roles(layout, mask, opening.error_variable)),
                Text(spell(_explain_choice(dataset, layout, opening.variable))),
            ]
            rules = find_rules(file, dataset, layout.variable, opening)
            unused = describe_unused(dataset, layout.variable, rules, opening.sses)
            flags = (*(rule.words for rule in rules), *unused)
            if flags:
                shown.append(make_list("Quality", map(spell, flags)))
        except InputError as error:
            refusal = error
            shown.append(_tabulate_variables(dataset, {}))
    if refusal is None:
        try:
            parts, layout, mask, opening = read_parts(inputs, opening)
            outline = _outline_parts(parts, layout, mask, opening.minimum_coverage)
            field = build_field(parts, layout, mask, opening)
            outline = _outline_field(field, layout)
        except InputError as error:
            refusal = error
    if outline is not None:
        shown.append(_tabulate_facts(outline))
        if outline.dates.size and outline.sea.any():
            shown.append(_tabulate_missing(outline))
        if outline.treatment:
            shown.append(make_list("Treatment", map(spell, outline.treatment)))
        shown.append(make_list("Oddities", map(spell, outline.oddities)))
    if refusal is not None:
        shown.append(make_list("Cannot be filled", (spell(str(refusal)),), style="bold red"))
    return Group(*(Padding(part, (0, 0, 1, 0)) for part in shown)), refusal


def _outline_field(field: Field, layout: Layout) -> _Outline:
    raw = field.source.transpose(*field.dims).to_numpy()
    lat, lon = _order_as_in_file(field.lat, field.lon, field.source, layout)
    return _Outline(
        lat=lat,
        lon=lon,
        regular=field.source[layout.lat].ndim == 1,
        dates=field.source[layout.time].to_index(),
        observed=np.where(field.observed, raw, np.nan).astype(np.float32),
        sea=field.sea,
        mask_origin=field.mask_origin,
        units=str(field.source.attrs.get("units", "")),
        oddities=field.oddities,
        treatment=field.treatment,
    )


def _outline_parts(
    parts: list[Part], layout: Layout, mask: str | None, minimum_coverage: float
) -> _Outline | None:
    """Outline all parts where they fit together, else the first; return None where they have no grid."""
    together = len({getattr(part.dates, "calendar", "standard") for part in parts}) == 1
    for chosen in (parts, parts[:1]) if together else (parts[:1],):
        try:
            data = combine_parts(chosen, layout, mask).sortby(layout.time)
            lat, lon = read_grid(chosen[0].file, data, layout)
            given = None if mask is None else sea_from_mask(chosen[0].file, data[mask], layout)
        except InputError:
            continue
        source = data[layout.variable]
        raw = source.transpose(layout.t, layout.y, layout.x).to_numpy().astype(np.float32)
        seen = np.isfinite(raw)
        if given is not None:
            sea, origin = given
        elif len(raw):
            sea, origin = derive_sea(seen.mean(axis=0), len(raw), minimum_coverage, lat, lon)
        else:
            sea, origin = np.zeros(lat.shape, bool), "none, because there are no dates"
        dates = source[layout.time].to_index()
        distinct = dates.unique()
        oddities = find_time_oddities(distinct) if len(distinct) > 1 else []
        if len(dates) > len(distinct):
            repeated = dates[dates.duplicated()].unique()
            oddities.append(f"dates that occur more than once: {len(repeated)} ({format_dates(repeated)})")
        outside, never = np.count_nonzero(seen & ~sea), np.count_nonzero(sea & ~seen.any(axis=0))
        oddities += describe_mask_oddities(int(outside), int(never))
        lat, lon = _order_as_in_file(lat, lon, data, layout)
        return _Outline(
            lat=lat,
            lon=lon,
            regular=data[layout.lat].ndim == 1,
            dates=dates,
            observed=np.where(sea & seen, raw, np.float32(np.nan)),
            sea=sea,
            mask_origin=origin,
            units=str(source.attrs.get("units", "")),
            oddities=tuple(oddities),
        )
    return None


def _order_as_in_file(
    lat: NDArray[np.float64], lon: NDArray[np.float64], source: xr.Dataset | xr.DataArray, layout: Layout
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return positions (lat, lon) of a straightened grid in the order of the file's rows and columns."""
    rows = np.argsort(find_rows(source[layout.lat], layout))
    columns = np.argsort(find_columns(source[layout.lon], layout))
    return lat[np.ix_(rows, columns)], lon[np.ix_(rows, columns)]


def _assign_roles(layout: Layout, mask: str | None, error_variable: str | None) -> dict[str, str]:
    roles = {layout.time: "time", layout.lat: "latitude", layout.lon: "longitude", layout.variable: "filled"}
    roles |= {mask: "sea mask"} if mask is not None else {}
    return roles | ({error_variable: "error"} if error_variable is not None else {})


def _explain_choice(dataset: xr.Dataset, layout: Layout, variable: str | None) -> str:
    others = [name for name in find_fillable(dataset) if name != layout.variable]
    if variable is not None:
        why = "chosen by name"
    elif layout.partner:
        return (
            f"{layout.variable} and {layout.partner} would be filled: {layout.why}; {layout.variable} is "
            f"described below, {layout.partner} with variable={layout.partner!r}"
        )
    elif layout.why:
        why = layout.why
    elif others:
        why = f"the only candidate on (time, lat, lon), not {', '.join(others)}"
    else:
        why = "the only variable of real numbers that is not a mask, flag or error"
    return f"{layout.variable} would be filled: {why}"


def _tabulate_variables(dataset: xr.Dataset, roles: dict[str, str]) -> RenderableType:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, collapse_padding=True)
    for heading in ("Variable", "Dimensions", "Type", "Units", "Description"):
        gives_way = heading in ("Units", "Description")
        table.add_column(heading, no_wrap=not gives_way, overflow="fold", min_width=13 if gives_way else None)
    dataset = drop_missing_date(dataset)
    for name in sorted(dataset.variables, key=lambda name: (-dataset[name].ndim, str(name))):
        array = dataset[name]
        encoding = array.encoding
        packed = " packed" if "scale_factor" in encoding or "add_offset" in encoding else ""
        units = array.attrs.get("units") or encoding.get("units", "")
        title = str(array.attrs.get("long_name") or array.attrs.get("standard_name", ""))
        role = roles.get(str(name), "")
        what = role if title.lower() == role else ": ".join(filter(None, (role, title)))
        stored = str(encoding.get("dtype", array.dtype)) + packed
        cells = (str(name), " ".join(map(str, array.dims)), stored, str(units), what)
        table.add_row(*map(escape, cells), style="bold" if role == "filled" else "")
    sizes = ", ".join(f"{dim} {size}" for dim, size in dataset.sizes.items())
    return Group(table, Text(f"with {sizes}" if sizes else "without dimensions", style="dim"))


def _tabulate_facts(outline: _Outline) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    lat, lon = outline.lat, outline.lon
    kind = "regular" if outline.regular else "curvilinear"
    table.add_row("Grid", f"{lat.shape[0]} x {lat.shape[1]} (lat x lon), {kind}")
    direction = "northward" if lat[-1].mean() > lat[0].mean() else "southward"
    table.add_row(
        "Latitude", f"{lat.min():.3f} to {lat.max():.3f} N, {direction}{_describe_spacing(lat, lon, axis=0)}"
    )
    direction = "eastward" if lon[:, -1].mean() > lon[:, 0].mean() else "westward"
    table.add_row(
        "Longitude", f"{lon.min():.3f} to {lon.max():.3f} E, {direction}{_describe_spacing(lat, lon, axis=1)}"
    )
    table.add_row("Dates", _describe_dates(outline.dates))
    pixels, sea = outline.sea.size, np.count_nonzero(outline.sea)
    share = f"{sea:,} of {pixels:,} pixels ({100 * sea / pixels:.1f}%)"
    table.add_row("Sea", escape(f"{share}; mask: {outline.mask_origin}"))
    observed = outline.observed[:, outline.sea]
    seen = np.isfinite(observed)
    if seen.any():
        low, middle, high = np.nanpercentile(observed, [0, 50, 100])
        table.add_row("Values", escape(f"{low:.4g} to {high:.4g} {outline.units}, median {middle:.4g}"))
    missing = seen.size - np.count_nonzero(seen)
    if seen.size:
        never = np.count_nonzero(~seen.any(axis=0))
        text = f"{missing:,} of {seen.size:,} sea values ({100 * missing / seen.size:.1f}%)"
        if never:
            text += f", of which {never * len(seen):,} at the {never:,} pixels that are never observed"
        table.add_row("Missing", text)
    return table


def _describe_spacing(lat: NDArray[np.float64], lon: NDArray[np.float64], axis: int) -> str:
    """Return the median distance between neighbours along an axis: ", every 0.25 degrees (27.8 km)"."""
    if lat.shape[axis] < 2:
        return ""
    north, east = np.diff(lat, axis=axis), np.diff(lon, axis=axis)
    middle = np.take(lat, range(lat.shape[axis] - 1), axis=axis) + north / 2
    degrees = np.median(np.abs(north if axis == 0 else east))
    km = _KM_PER_DEGREE * np.median(np.hypot(north, east * np.cos(np.deg2rad(middle))))
    return f", every {degrees:.4g} degrees ({km:.3g} km)"


def _describe_dates(dates: pd.Index) -> str:
    if not dates.size:
        return "none"
    if dates.name == UNDATED:
        return "none, a single map"
    calendar = getattr(dates, "calendar", "standard")
    text = f"{dates.size}, {format_date(dates[0])} to {format_date(dates[-1])}, calendar {calendar}"
    if dates.size > 1:
        elapsed = dates.to_numpy()[1:] - dates.to_numpy()[:-1]
        step = float(np.median([pd.Timedelta(gap) / pd.Timedelta(days=1) for gap in elapsed]))
        unit, count = ("days", step) if step >= 1 else ("hours", 24 * step)
        text += f", median step {count:.3g} {unit if count != 1 else unit[:-1]}"
    return text


def _tabulate_missing(outline: _Outline) -> RenderableType:
    percent = 100 * np.isnan(outline.observed[:, outline.sea]).mean(axis=1)
    labels = ["" if outline.dates.name == UNDATED else format_date(date) for date in outline.dates]
    if len(labels) <= _MOST_DATES:
        table = _make_bar_table("Date")
        for label, share in zip(labels, percent, strict=True):
            table.add_row(label, f"{share:.1f}", _make_bar(share))
        return table
    months = outline.dates.strftime("%Y-%m").to_numpy().astype(str)
    by_year = len(set(months)) > _MOST_DATES
    groups = np.array([month.rpartition("-")[0] for month in months]) if by_year else months
    table = _make_bar_table("Year" if by_year else "Month", "Least", "Most", "Dates")
    for group in sorted(set(groups)):
        shares = percent[groups == group]
        table.add_row(
            group,
            f"{shares.mean():.1f}",
            _make_bar(shares.mean()),
            f"{shares.min():.1f}",
            f"{shares.max():.1f}",
            str(shares.size),
        )
    order = np.argsort(percent, kind="stable")
    extremes = Table.grid(padding=(0, 2))
    for title, picked in (("Clearest", order[:3]), ("Cloudiest", order[::-1][:3])):
        extremes.add_row(title, *(f"{labels[i]} ({percent[i]:.1f}%)" for i in picked))
    return Group(table, Text(), extremes)


def _make_bar_table(first: str, *further: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    table.add_column(first, no_wrap=True)
    table.add_column("Missing %", justify="right")
    table.add_column("of the sea", width=24)
    for heading in further:
        table.add_column(heading, justify="right")
    return table


def _make_bar(percent: float) -> ProgressBar:
    return ProgressBar(
        total=100, completed=float(percent), width=24, complete_style="cyan", finished_style="cyan"
    )


def make_list(title: str, lines: Iterable[str], style: str = "bold") -> Table:
    """Return a list with dashes under its title."""
    table = Table.grid(padding=(0, 1))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for line in tuple(lines) or ("none found",):
        table.add_row("-", escape(line))
    framed = Table.grid()
    framed.add_row(Text(title, style=style))
    framed.add_row(table)
    return framed
