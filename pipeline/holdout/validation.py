"""Validation of a filled file against points that took no part in it."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from ..errors import InputError
from ..io.layout.coordinates import find_fillable, list_names
from ..io.points.platforms import Source, convert_points, read_platforms
from ..io.points.tables import is_table
from ..io.points.tracks import Tracks, is_along_track
from ..io.reading import open_input
from ..io.writing import replace_atomically
from ..keywords import take_keywords
from .gridded import GridSeries, find_places
from .matchups import Matched, Matching, default_time, find_nearest, match_points
from .point_scores import (
    Differences,
    Row,
    bin_spread,
    collocate,
    count_reliability,
    score_points,
)
from .score_classes import Places
from .score_files import find_input

VALIDATION = "validation"  # global attribute of a file that was filled without the points
_SUFFIXES = ("_analysis", "_error", "_source", "_samples", "_lower_", "_upper_")
_FEW_PLATFORMS = 5
_FEWEST_COLLOCATED = 10
_SEA_TEMPERATURES = ("sea_surface_temperature", "sea_water_temperature")  # of no depth in particular
_DEPTHS_OF_TEMPERATURE = {
    # Donlon et al. 2002, J. Climate 15, 353, for winds above 6 m/s
    "sea_surface_skin_temperature": "skin temperature, which is about 0.17 K below that of the water",
    "sea_surface_subskin_temperature": "subskin temperature, which the sun warms on calm days",
    "sea_surface_foundation_temperature": "foundation temperature, which is free of the warming of the day",
}

Floats = NDArray[np.float64]


@dataclass(repr=False)
class Validation:
    """Scores of a filled variable at independent points.

    ``scores`` are rows by class (`point_scores.score_points`), ``spread`` compares the standard error with
    the differences in classes of the error, ``reliability`` is the share inside each central interval of
    `score_classes.LEVELS`, ``collocation`` holds the errors of three sources (`point_scores.collocate`).
    ``matchups`` has a row for each point that was matched, and is not kept in files. ``notes`` say what was
    converted and left out.
    """

    variable: str
    units: str
    points: str  # names of the files
    scores: list[Row]
    spread: list[Row]
    reliability: tuple[float, ...]
    collocation: list[Row]
    notes: tuple[str, ...]
    matchups: pd.DataFrame

    @property
    def table(self) -> pd.DataFrame:
        """The scores by class."""
        return pd.DataFrame(self.scores).set_index(["by", "name"])

    def __repr__(self) -> str:
        text = self.table.to_string(float_format="%.4g")
        return "\n".join([f"<Validation of {self.variable} ({self.units})>", text, *self.notes])

    def _repr_html_(self) -> str:
        return str(self.table.to_html(float_format="%.4g"))

    def to_json(self) -> str:
        """Return everything but the match-ups as text for an attribute."""
        held = {key: value for key, value in vars(self).items() if key != "matchups"}
        return json.dumps(_shorten(held))

    @classmethod
    def from_json(cls, text: str) -> Validation:
        """Read what `to_json` returned."""
        held = json.loads(text)
        held |= {key: tuple(held[key]) for key in ("reliability", "notes")}
        return cls(**held, matchups=pd.DataFrame())


@take_keywords(Matching)
def validate(
    filled: str | os.PathLike[str] | xr.Dataset,
    points: Source,
    *,
    variable: str | None = None,
    third: str | os.PathLike[str] | xr.Dataset | None = None,
    matching: Matching | None = None,
    **options: Any,
) -> Validation:
    """Validate a filled field against points that took no part in it.

    Each point is paired with the field by bilinear interpolation in space, without cells on land, and with
    the nearest date or linearly in time. Intervals are from a bootstrap over platforms, because the errors of
    one platform are alike.

    Parameters
    ----------
    filled
        A file or dataset that `fill` wrote, or any gridded field.
    points
        Drifters, floats, moorings, tide gauges or another mission: CSV, Parquet, NetCDF (a discrete sampling
        geometry of CF), a glob of these, a data frame or a dataset.
    variable
        The variable to validate, where there are several.
    third
        A gridded file, or further points, of a third source that is independent of both. With it the random
        errors of the three are estimated by triple collocation.
    matching
        Options that were put together before. Those given by name replace them.
    max_distance, max_time, interpolation, max_depth, columns, units, point_error, remove_offsets, ...
        How points are read and matched: the options of `Matching`.

    Returns
    -------
    Validation
        Its ``scores`` by class, ``table``, a data frame of them, and ``matchups``, a data frame of the pairs.

    Raises
    ------
    InputError
        For files that cannot be read, points of another quantity, and where no point lies on the grid, in the
        period, or at sea.

    Examples
    --------
    >>> import oceanfill
    >>> part = {"region": (37, 39, -13, -11), "period": "2024-04-01/2024-04-10"}
    >>> filled = oceanfill.fill("sample:sst_clouds.nc", method="oi", **part)
    >>> found = oceanfill.validate(filled, "sample:sst_clouds_points.csv")
    >>> found.scores[0]["platforms"], found.units
    (1, 'degree_Celsius')
    """
    chosen = replace(matching or Matching(), **options)
    with open_input(find_input(filled)) as (file, dataset):
        name = variable or _choose_variable(file, dataset)
        grid = GridSeries.open(file, dataset, name)
        tracks = read_platforms(
            points,
            name,
            grid.attrs,
            columns=chosen.columns,
            units=chosen.units,
            max_depth=chosen.max_depth,
            error=chosen.point_error,
        )
        matched = match_points(tracks, grid.dates, grid.lat, grid.lon, chosen)
        return _validate(grid, matched, chosen, third)


def _choose_variable(file: str, dataset: xr.Dataset) -> str:
    names = [name for name in find_fillable(dataset) if f"{name}_source" in dataset]
    names = names or [name for name in find_fillable(dataset) if not any(part in name for part in _SUFFIXES)]
    if len(names) == 1:
        return names[0]
    raise InputError(f"{file}: it holds {list_names(names)}; choose the variable to validate with variable=")


def _validate(
    grid: GridSeries, matched: Matched, matching: Matching, third: str | os.PathLike[str] | xr.Dataset | None
) -> Validation:
    name, limit = grid.name, float(np.median(matched.limit))
    what = f"{name}_analysis" if matching.analysis else name
    if what not in grid.dataset:
        raise InputError(f"{grid.file}: there is no {what}; leave out analysis=")
    around = grid.at(matched, what)
    usable = np.isfinite(around)
    at_sea = matched.is_near(usable)
    if not at_sea.any():
        raise InputError(
            f"{matched.points.file}: none of the {len(at_sea)} points on the grid is within "
            f"{limit:.3g} km of a cell with a value of {name}; give a larger max_distance="
        )
    notes = [*matched.points.oddities, *matched.notes]
    if not at_sea.all():
        notes.append(
            f"points farther than {limit:.3g} km from a cell with a value: {np.count_nonzero(~at_sea)}"
        )
    matched, around, usable = matched.at(at_sea), around[at_sea], usable[at_sea]
    points = matched.points
    estimate = matched.interpolate(around, usable)
    error = np.full(len(estimate), np.nan)
    if f"{name}_error" in grid.dataset:
        sigma = grid.at(matched, f"{name}_error")
        error = matched.interpolate(sigma, usable & np.isfinite(sigma))
        error = np.sqrt(error**2 + points.error_variance)
    observed = points.value
    if matching.remove_offsets:
        estimate = estimate - _find_offsets(estimate - observed, points.mission)
        notes.append("the mean difference of each platform was removed")
    places = find_places(grid, matched, usable) if f"{name}_source" in grid.dataset else None
    if places is None:
        notes.append(f"{name}_source is not in the file, so there are no scores by distance, age and origin")
    differences = Differences(estimate, error, observed, points.mission, points.time)
    notes += _describe_platforms(points) + _describe_quantity(grid.attrs, points.attrs)
    table = _tabulate(matched, differences, places)
    collocation: list[Row] = []
    if third is not None:
        series, file = _read_third(third, grid, matched, matching)
        table["third"] = series
        collocation, said = _collocate(differences, series, file)
        notes += said
    return Validation(
        variable=name,
        units=str(grid.attrs.get("units", "")),
        points=list_names(points.inputs),
        scores=score_points(differences, places),
        spread=bin_spread(differences),
        reliability=count_reliability(differences),
        collocation=collocation,
        notes=tuple(dict.fromkeys(notes)),
        matchups=table,
    )


def _find_offsets(off: Floats, platform: NDArray[np.int64]) -> Floats:
    """Return the mean difference (n,) of the platform of each point."""
    number = np.unique(platform, return_inverse=True)[1]
    return (np.bincount(number, off) / np.bincount(number))[number]


def _tabulate(matched: Matched, differences: Differences, places: Places | None) -> pd.DataFrame:
    points = matched.points
    table = {
        "platform": np.array(points.missions, dtype=object)[points.mission],
        "time": points.time,
        "lat": points.lat,
        "lon": points.lon,
        "point": points.value,
        "field": differences.estimate,
        "error": differences.error,
    }
    if places is not None:
        origin = np.asarray(places.origin)
        table |= {"distance_km": places.distance, "age_days": places.age, "origin": origin}
    return pd.DataFrame(table)


def _describe_platforms(points: Tracks) -> list[str]:
    number = len(np.unique(points.mission))
    if number == 1:
        return [
            "one platform: the intervals are over runs of ten days of its series and do not cover "
            "differences between platforms"
        ]
    return [f"{number} platforms: the intervals are rough"] if number < _FEW_PLATFORMS else []


def _describe_quantity(field: Mapping[Any, Any], points: Mapping[Any, Any]) -> list[str]:
    """Return what the bias holds besides errors where the two quantities differ."""
    own, other = (str(attrs.get("standard_name", "")) for attrs in (field, points))
    if own == other or not own or not other:
        return []
    told = [
        f"{who} {_DEPTHS_OF_TEMPERATURE[name]}"
        for who, name in (("the field is a", own), ("the points are a", other))
        if name in _DEPTHS_OF_TEMPERATURE
    ]
    if told and {own, other} <= {*_DEPTHS_OF_TEMPERATURE, *_SEA_TEMPERATURES}:
        return [f"the bias includes the difference between {own} and {other}: {'; '.join(told)}"]
    return [f"the field is {own} and the points are {other}: the bias includes their difference"]


def _read_third(
    third: str | os.PathLike[str] | xr.Dataset, grid: GridSeries, matched: Matched, matching: Matching
) -> tuple[Floats, str]:
    """Return a third source at the matched points (m,), NaN where it has no value, and its name."""
    attrs, points, path = grid.attrs, matched.points, find_input(third)
    if (isinstance(path, str) and is_table(path)) or is_along_track(path):
        others = read_platforms(path, grid.name, attrs, max_depth=matching.max_depth)
        limits = float(np.median(matched.limit)), default_time(grid.dates, matching)
        return find_nearest(points, others, *limits), list_names(others.inputs)
    with open_input(path) as (file, dataset):
        other = GridSeries.open(file, dataset, grid.name if grid.name in dataset else None)
        found = match_points(points, other.dates, other.lat, other.lon, matching)
        around = other.at(found, other.name)
        usable = np.isfinite(around)
        near = found.is_near(usable)
        read = replace(found.points, value=found.interpolate(around, usable), attrs=dict(other.attrs))
        series = np.full(len(points), np.nan)
        series[found.index[near]] = convert_points(read, grid.name, attrs).value[near]
        return series, file


def _collocate(differences: Differences, third: Floats, file: str) -> tuple[list[Row], list[str]]:
    known = np.isfinite(third)
    number = int(known.sum())
    if number < _FEWEST_COLLOCATED:
        raise InputError(
            f"{file}: it has a value at {number} of the {len(third)} match-ups, and triple collocation needs "
            f"{_FEWEST_COLLOCATED} or more; give a source of the same places and times"
        )
    part = differences.at(known)
    titles = ["field", "points", "third source"]
    rows = collocate([part.estimate, part.observed, third[known]], titles, part.groups)
    lost = [str(row["source"]) for row in rows if row["error_sd"] is None]
    if lost:
        return rows, [
            f"triple collocation gives no error for {list_names(lost)}: its variance comes out negative, "
            "because the errors are not independent or there are too few match-ups"
        ]
    return rows, []


def write_validation(validation: Validation, output: Path) -> list[Path]:
    """Write the scores and the match-ups as CSV files, each whole or not at all; return their paths."""
    paths = name_tables(output)
    for path, table in zip(paths, (pd.DataFrame(validation.scores), validation.matchups), strict=True):
        with replace_atomically(path) as temporary:
            table.to_csv(temporary, index=False)
    return paths


def name_tables(output: Path) -> list[Path]:
    """Return the paths that `write_validation` writes to."""
    stem = output.with_suffix("") if output.suffix == ".csv" else output
    return [stem.with_name(f"{stem.name}.csv"), stem.with_name(f"{stem.name}_matchups.csv")]


def _shorten(value: Any) -> Any:
    """Return plain data with the digits that matter."""
    if isinstance(value, dict):
        return {key: _shorten(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_shorten(one) for one in value]
    return float(f"{value:.6g}") if isinstance(value, float) else value
