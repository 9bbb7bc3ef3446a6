"""How inputs are opened: which variable, which part of it, what its values mean."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from ..errors import InputError
from ..keywords import check_keywords
from .layout.dates import Period, parse_period

_log = logging.getLogger(__name__)

Region = Sequence[float]  # lat0, lat1, lon0, lon1 in degrees
_SHORTEST_STEP, _LONGEST_STEP = 1 / 86400, 36525.0  # days
_LARGEST_ERROR = 1e15  # whose square is a number in single precision

TRANSFORMS = ("auto", "none", "log")
OUTLIERS = ("drop", "flag", "keep")
MERGES = ("mean", "last", "first", "refuse")


@dataclass(frozen=True)
class Opening:
    """Which variable of the inputs is opened, which part of it, and what its values mean.

    ``error_variable`` and ``observation_error`` are standard errors in the variable's units; with neither the
    error variances of a field are zero, and those of along-track points are estimated from their noise.
    ``region`` is (lat0, lat1, lon0, lon1) in degrees, longitudes in either convention; ``period`` is
    "start/end" or (start, end) in ISO 8601, both ends included. ``transform`` is "none", "log" to work on
    natural logarithms, or "auto": "log" for chlorophyll and other quantities that are lognormal by their
    standard names, otherwise "none". ``minimum_coverage`` is the fraction of the dates on which a pixel must
    be observed to count as sea, where the input has no mask.

    ``quality`` says which values are kept by their flags: None follows the rules of the known providers,
    "none" keeps all, and an expression such as "quality_level>=3" replaces the rules. ``sses`` subtracts the
    sensor-specific bias of GHRSST files and takes their standard deviation as observation error.
    ``missing_value`` lists values that stand for missing ones besides the declared ones; None takes those
    that are recognised by their place far outside all others. ``ignore_valid_range`` keeps values outside the
    valid range. ``outliers`` says what becomes of values unlike all others around them (`io.outliers`):
    "drop" replaces them by the analysis, "flag" keeps them in the output but uses them for nothing, "keep"
    takes them as they are. ``bounds_of_values`` are the least and the greatest value that the quantity can
    have; logits are filled, which keeps the filled values between them.

    ``merge`` says what becomes of maps of the same date: their "mean" (weighted by observation errors), the
    "last", the "first", or "refuse". ``time_step`` is the step in days of the dates that are filled, "none"
    for the input's own dates; None is the input's own regular step. ``group`` is a group of an HDF5 file,
    ``level`` the depth or level that is taken. ``grid`` (degrees, or those of latitude and longitude) and
    ``bounds`` (lat0, lat1, lon0, lon1 of the first and last centres) are the grid of points and swaths, and
    the one that a field is regridded to; ``like`` is a file with that grid instead.

    Raises `InputError` for options that make no sense for any input.
    """

    variable: str | None = None
    mask_variable: str | None = None
    error_variable: str | None = None
    observation_error: float | None = None
    region: Region | None = None
    period: Period | None = None
    transform: str = "auto"
    minimum_coverage: float = 0.05
    quality: str | None = None
    sses: bool = False
    missing_value: Sequence[float] | None = None
    ignore_valid_range: bool = False
    bounds_of_values: Sequence[float] | None = None
    outliers: str = "drop"
    merge: str = "mean"
    time_step: float | str | None = None
    group: str | None = None
    level: float | None = None
    grid: float | Sequence[float] | None = None
    bounds: Region | None = None
    like: str | None = None

    def __post_init__(self) -> None:
        error, region, coverage = self.observation_error, self.region, self.minimum_coverage
        if self.sses and self.error_variable is None and error is None:
            object.__setattr__(self, "error_variable", "sses_standard_deviation")
        if self.error_variable is not None and error is not None:
            raise InputError("both an error variable and an observation error were given; give one of them")
        if error is not None and not (error >= 0 and error <= _LARGEST_ERROR):
            raise InputError(f"the observation error {error} is not a standard error; give a positive number")
        if self.transform not in TRANSFORMS:
            raise InputError(f"there is no transform {self.transform!r}; choose none or log")
        if self.outliers not in OUTLIERS:
            raise InputError(f"outliers cannot be treated by {self.outliers!r}; choose {', '.join(OUTLIERS)}")
        if self.bounds_of_values is not None and self.transform != "auto":
            raise InputError(
                f"bounds of values have a transform of their own; leave out either them or the transform "
                f"{self.transform}"
            )
        if not 0 <= coverage <= 1:
            raise InputError(f"the minimum coverage {coverage} is not a fraction of the dates; give 0 to 1")
        if region is not None and (len(region) != 4 or not np.isfinite(region).all()):
            raise InputError(
                f"the region {region} is not lat0, lat1, lon0, lon1; give four numbers in degrees"
            )
        for name in ("region", "bounds"):
            corners = getattr(self, name)
            if corners is not None:
                object.__setattr__(self, name, _order_corners(name, corners))
        if self.period is not None:
            parse_period(self.period)
        if self.merge not in MERGES:
            raise InputError(f"dates cannot be merged by {self.merge!r}; choose {', '.join(MERGES)}")
        step = self.time_step
        if not (step is None or step == "none" or (isinstance(step, int | float) and 0 < step < np.inf)):
            raise InputError(f"the time step {step!r} is not a number of days; give one, or none")
        if isinstance(step, int | float) and not _SHORTEST_STEP <= step <= _LONGEST_STEP:
            raise InputError(
                f"the time step of {step:g} days is not between a second and a century; give another "
                "time_step="
            )
        if self.grid is not None and self.like is not None:
            raise InputError("both a grid and a file like which to grid were given; give grid= or like=")
        if self.bounds is not None and (len(self.bounds) != 4 or not np.isfinite(self.bounds).all()):
            raise InputError(
                f"the bounds {self.bounds} are not lat0, lat1, lon0, lon1; give four numbers in degrees"
            )
        limits = self.bounds_of_values
        if limits is not None and not (len(limits) == 2 and limits[0] < limits[1]):
            raise InputError(f"the bounds of values {limits} are not least,greatest; give them as 0,100")

    def given(self) -> dict[str, Any]:
        """Return the options that differ from their defaults."""
        values = {part.name: (getattr(self, part.name), part.default) for part in fields(self)}
        return {name: value for name, (value, default) in values.items() if value != default}

    @property
    def track_step(self) -> float:
        """The time step in days of maps of points and swaths."""
        return 1.0 if self.time_step is None or isinstance(self.time_step, str) else self.time_step

    @property
    def names(self) -> tuple[str | None, str | None]:
        """The variables next to the one that is opened: mask and error."""
        return self.mask_variable, self.error_variable


def _order_corners(name: str, corners: Region) -> Region:
    """Return lat0, lat1, lon0, lon1 with latitudes that rise. Raises `InputError` for longitudes first."""
    lat0, lat1, lon0, lon1 = corners
    if max(abs(lat0), abs(lat1)) > 90:
        remedy = (
            f"latitude comes first: {name}=({swap_corners(corners)})"
            if max(abs(lon0), abs(lon1)) <= 90
            else f"write {name}=(lat0, lat1, lon0, lon1)"
        )
        raise InputError(f"the {name} {lat0:g},{lat1:g},{lon0:g},{lon1:g} has no such latitudes; {remedy}")
    if lat0 <= lat1:
        return corners
    _log.warning("the latitudes of the %s are taken as %g to %g", name, lat1, lat0)
    return lat1, lat0, lon0, lon1


def swap_corners(corners: Region) -> str:
    """Return a region that was given with longitudes first as it should be written."""
    lon0, lon1, lat0, lat1 = (f"{corner:g}" for corner in corners)
    return f"{lat0}, {lat1}, {lon0}, {lon1}"


def make_opening(opening: Opening | None, options: Mapping[str, Any]) -> Opening:
    """Return ``opening``, or the default one, with some ``options`` replaced.

    Raises `InputError` for an option that does not exist, with the nearest one that does.
    """
    check_keywords(options, list(Opening.__dataclass_fields__))
    return replace(opening or Opening(), **options)
