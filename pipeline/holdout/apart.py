"""Points that are kept out of a filling and validate it at the end."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from ..errors import InputError
from ..io.field import Field
from ..io.layout.positions import EARTH_RADIUS, unit_vectors
from ..io.points.platforms import read_platforms
from ..io.points.tracks import Tracks
from .gridded import GridSeries
from .matchups import Matched, Matching, match_points
from .point_scores import Differences
from .score_files import find_input
from .validation import VALIDATION, validate

_log = logging.getLogger(__name__)
_MATCHING = Matching()

Mask = NDArray[np.bool_]
Floats = NDArray[np.floating]


@dataclass(frozen=True)
class Apart:
    """Points that are kept out of a field."""

    points: Tracks  # in the units of the field
    matched: Matched  # those on the grid and in the period
    hidden: Mask  # (time, lat, lon) observed values that are hidden with them

    def interpolate(self, field: Field, mean: Floats, error: Floats) -> Differences:
        """Interpolate an estimate of the field (time, lat, lon), in the space in which it is filled.

        ``error`` is its own standard error, without the noise of observations. Points on land are left out.
        """
        around, spread = (self.matched.gather(maps.__getitem__) for maps in (mean, error))
        usable = np.isfinite(around)
        if field.drift is not None:
            drift = field.drift
            around = around + self.matched.gather(lambda date: drift)
        values = np.asarray(field.space.find_moments(around, spread)[0], np.float64)
        known = self.matched.is_near(usable)
        own, estimate = self.matched.points.at(known), self.matched.interpolate(values, usable)[known]
        return Differences(estimate, np.full(len(own), np.nan), own.value, own.mission, own.time)


def set_apart(field: Field, source: str, reach: float | None = None) -> Apart:
    """Find the values of a field that points reach.

    These are the cells between which a point is interpolated, on its nearest date, or with a ``reach`` all
    cells within so many km of it. Raises `InputError` where the points cannot be read, lie off the grid or
    in another period, or where nothing else is observed.
    """
    grid = GridSeries.open(field.name, field.source.to_dataset(name=field.name), field.name)
    points = read_platforms(find_input(source), field.name, field.source.attrs, max_depth=_MATCHING.max_depth)
    matched = match_points(points, grid.dates, grid.lat, grid.lon, _MATCHING)
    hidden = np.zeros((len(grid.dates), grid.lat.size), bool)
    date = matched.date[:, 0]
    around = matched.weight > 0
    hidden[np.repeat(date, 4)[around.ravel()], matched.cell[around]] = True
    if reach is not None:
        centres = unit_vectors(grid.lat, grid.lon).reshape(-1, 3)
        chord = 2 * np.sin(min(reach / EARTH_RADIUS / 2, np.pi / 2))
        for own, place in zip(date, unit_vectors(matched.points.lat, matched.points.lon), strict=True):
            hidden[own] |= ((centres - place) ** 2).sum(axis=1) <= chord**2
    made = hidden.reshape(field.values.shape) & field.observed
    left = int(field.observed.sum() - made.sum())
    if not left:
        raise InputError(
            f"{points.file}: every value of {field.name} is within reach of its points, so none is left to "
            "fill from; give fewer points or a smaller hold_out_reach="
        )
    _log.info(
        "%s: %d values are kept out of the filling, at %d points (platforms: %d; %s)",
        field.name,
        made.sum(),
        len(date),
        len(np.unique(matched.points.mission)),
        points.file,
    )
    return Apart(points, matched, made)


def validate_delivered(
    dataset: xr.Dataset, points: Tracks, name: str, label: str, *, analysis: bool = False
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Validate what is delivered at points that were kept out of it.

    Returns the attributes of the output and the row of the printed scores.
    """
    # The standard error of the field is that of a new observation, noise included.
    points = replace(points, error_variance=np.zeros(len(points)))
    found = validate(dataset, points, variable=name, analysis=analysis)
    whole = {key: value for key, value in found.scores[0].items() if value is not None}
    kept = (
        "n",
        "platforms",
        "bias",
        "rmse",
        "robust_sd",
        "correlation",
        "coverage_1sigma",
        "coverage_2sigma",
    )
    attributes = {f"{VALIDATION}_{key}": whole[key] for key in kept if key in whole}
    attributes |= {VALIDATION: found.to_json(), f"{VALIDATION}_points": label}
    row = {
        "method": f"delivered, at {label}",
        "mission": True,
        "coverage_1sigma": np.nan,
        "coverage_2sigma": np.nan,
    }
    return attributes, row | whole
