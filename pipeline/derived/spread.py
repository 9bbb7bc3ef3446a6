"""Standard errors of what is derived from a filled field by a linear operator."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from .maps import FilledMaps
from .stencils import Operator, find_position

_FEWEST = 2  # samples with a standard deviation
_OF_FITTED = 0.5  # errors are correlated over less than the field, because observations lie in between
_FITTED = re.compile(r"([\d.eE+-]+) km")

BY_SAMPLES = "Standard deviation over {} posterior draws."
BY_LENGTH = "From the standard errors of the field, with Matern-3/2 correlations of {:.3g} km."


@dataclass(frozen=True)
class Spread:
    """Carries the errors of a filled field to derived ones, by its samples or by a correlation length."""

    maps: FilledMaps
    length: float  # km; 0: by the samples
    position: NDArray[np.float64]  # (cells, 3) km

    @property
    def comment(self) -> str:
        """How errors are derived, in words."""
        return BY_LENGTH.format(self.length) if self.length else BY_SAMPLES.format(self.maps.n_samples)

    def derive(self, name: str, operator: Operator, attrs: dict[str, Any]) -> dict[str, tuple[Any, ...]]:
        """Return the derived field NAME of all dates, and its standard error NAME_error."""
        maps = self.maps
        value = operator.apply(maps.read("analysis")).astype(np.float32)
        error = np.stack([self.find_error(operator, date) for date in range(len(value))]).astype(np.float32)
        return describe_pair(maps, name, (value, error), attrs, self.comment)

    def find_error(self, operator: Operator, date: int) -> NDArray[np.float64]:
        """Return the standard error (y, x) of a derived field at a date."""
        if not self.length:
            draws = operator.apply(self.maps.read_samples(date))
            return np.asarray(draws.std(axis=0, ddof=1))
        error = self.maps.read("error", slice(date, date + 1))[0]
        return operator.propagate(error, self.position, self.length)


def describe_pair(
    maps: FilledMaps, name: str, values: tuple[Any, Any], attrs: dict[str, Any], comment: str
) -> dict[str, tuple[Any, ...]]:
    """Return a derived field (time, y, x) and its standard error with their attributes."""
    error_attrs = {
        "long_name": f"standard error of {attrs['long_name']}",
        "units": attrs["units"],
        "coverage_content_type": "qualityInformation",
        "comment": comment,
    }
    if "standard_name" in attrs:
        error_attrs["standard_name"] = f"{attrs['standard_name']} standard_error"
    error_attrs |= {key: attrs[key] for key in ("units_metadata",) if key in attrs}
    return {
        name: (maps.dims, values[0], attrs | {"ancillary_variables": f"{name}_error"}),
        f"{name}_error": (maps.dims, values[1], error_attrs),
    }


def make_spread(maps: FilledMaps, length: float | None) -> Spread:
    """Return how errors are derived: by the samples of the file, unless a correlation ``length`` is given.

    Raises `InputError` where the file has neither samples nor a fitted covariance.
    """
    found = find_spread(maps, length)
    if found is None:
        raise InputError(
            f"{maps.file}: it has no samples and no fitted covariance for the errors of derivatives; fill it "
            "with samples= or method='oi', or give the correlation length of the errors in km with length="
        )
    return found


def find_spread(maps: FilledMaps, length: float | None = None) -> Spread | None:
    """Return how errors are derived, as `make_spread`; None where the file has nothing to derive them by."""
    position = find_position(maps.lat, maps.lon)
    if length is None and maps.n_samples >= _FEWEST:
        return Spread(maps, 0.0, position)
    if length is None:
        attrs = maps.dataset.attrs
        text = attrs.get(f"{maps.name}_fitted_covariance", attrs.get("fitted_covariance", ""))
        found = _FITTED.search(str(text))
        if found is None:
            return None
        length = _OF_FITTED * float(found[1])
    return Spread(maps, length, position)
