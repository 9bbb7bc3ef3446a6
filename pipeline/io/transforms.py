"""Transforms of values to the space in which they are filled, and of estimates and errors back from it.

``none`` keeps the values, ``log`` takes natural logarithms, and ``logit(least,greatest)`` takes logits of the
place of a value between two bounds. Errors that are not small follow the distributions, so they come back
unchanged.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from .opening import Opening
from .providers.missing import ROUNDING
from .providers.quantities import is_lognormal

# Distance from the ends of (0, 1) at which values on the bounds are placed. Less sets these far apart from
# their neighbours: 0.005 made the RMSE of clipped percentages a third larger than 0.1 did.
_SQUEEZE = 0.1
_MOST_SPREAD = 6.0  # standard deviation of a logarithm above which the moments would overflow
_MOST_NEGATIVE = 0.01  # share of negative values above which a quantity is not lognormal after all
_LARGE = 100.0  # deviations from zero, beyond which single precision leaves fewer than five digits
_SAMPLE = 100_000
_MIDDLE, _DEVIATIONS = (0.05, 0.95), 3.29  # quantiles of a normal distribution, and the distance between both
_NODES = 41  # of the quadrature over a Gaussian density

Floats = NDArray[np.floating]


class Transform(Protocol):
    """A monotone function of the values, with what it makes of errors."""

    @property
    def lack(self) -> str:
        """Why a value has no transform, in words."""
        ...

    def can_take(self, values: Floats) -> NDArray[np.bool_]:
        """Whether each value has a transform."""
        ...

    def forward(self, values: Floats) -> Floats:
        """Transform values, all of which have a transform."""
        ...

    def forward_error(self, values: Floats, error: Floats) -> Floats:
        """Return the standard errors of transformed ``values`` with a standard ``error``."""
        ...

    def backward(self, values: Any) -> Any:
        """Undo `forward`; it maps quantiles to quantiles. Works on dask arrays, too."""
        ...

    def backward_error(self, values: Floats, error: Floats) -> Floats:
        """Return the standard errors of ``values``, in their own units, from those of their transforms."""
        ...

    def find_moments(self, mean: Floats, error: Floats) -> tuple[Floats, Floats]:
        """Return mean and standard deviation, in the values' units, of a Gaussian transform."""
        ...

    def match_moments(self, mean: Floats, deviation: Floats) -> tuple[Floats, Floats]:
        """Return mean and standard deviation of the transform from those of the values."""
        ...


class Identity:
    """Values as they are."""

    lack = ""

    def can_take(self, values: Floats) -> NDArray[np.bool_]:
        return np.isfinite(values)

    def forward(self, values: Floats) -> Floats:
        return values

    def forward_error(self, values: Floats, error: Floats) -> Floats:
        return error

    def backward(self, values: Any) -> Any:
        return values

    def backward_error(self, values: Floats, error: Floats) -> Floats:
        return error

    def find_moments(self, mean: Floats, error: Floats) -> tuple[Floats, Floats]:
        return mean, error

    def match_moments(self, mean: Floats, deviation: Floats) -> tuple[Floats, Floats]:
        return mean, deviation


class Logarithm:
    """Natural logarithms of positive values.

    The exponential of a Gaussian variable of mean m and variance s^2 has the mean exp(m + s^2/2) and the
    standard deviation exp(m + s^2/2) sqrt(exp(s^2) - 1) (Aitchison & Brown 1957, The Lognormal Distribution,
    section 2.3; Campbell 1995, J. Geophys. Res. 100, 13237, for chlorophyll). So a relative error r is a
    standard error sqrt(log(1 + r^2)) of the logarithm.
    """

    lack = "zero or less, missing because they have no logarithm"

    def can_take(self, values: Floats) -> NDArray[np.bool_]:
        return np.nan_to_num(values) > 0

    def forward(self, values: Floats) -> Floats:
        return np.log(values)

    def forward_error(self, values: Floats, error: Floats) -> Floats:
        return np.sqrt(np.log1p((error / values) ** 2))

    def backward(self, values: Any) -> Any:
        return np.exp(values)

    def backward_error(self, values: Floats, error: Floats) -> Floats:
        return values * np.sqrt(np.expm1(np.minimum(error, _MOST_SPREAD) ** 2))

    def find_moments(self, mean: Floats, error: Floats) -> tuple[Floats, Floats]:
        mean, variance = mean.astype(np.float64), error.astype(np.float64) ** 2
        mean = np.exp(mean + variance / 2)
        return mean, mean * np.sqrt(np.expm1(variance))

    def match_moments(self, mean: Floats, deviation: Floats) -> tuple[Floats, Floats]:
        variance = np.log1p((deviation / mean) ** 2)
        return np.log(mean) - variance / 2, np.sqrt(variance)


@dataclass(frozen=True)
class Logit:
    """Logits of values between two bounds, which keep whatever is estimated between them.

    Values on the bounds have no logit, so all are squeezed towards the middle before (Smithson and
    Verkuilen 2006, doi:10.1037/1082-989X.11.1.54); estimates beyond the squeezed bounds lie on the bounds.
    """

    least: float
    greatest: float

    @property
    def lack(self) -> str:
        return f"outside the bounds {self.least:g} to {self.greatest:g}, taken as missing"

    @property
    def _extent(self) -> float:
        return self.greatest - self.least

    def can_take(self, values: Floats) -> NDArray[np.bool_]:
        beyond = np.maximum(self.least - values, values - self.greatest)
        return beyond <= ROUNDING * self._extent  # False for NaN

    def forward(self, values: Floats) -> Floats:
        place = np.clip((values - self.least) / self._extent, 0, 1)
        place = _SQUEEZE + (1 - 2 * _SQUEEZE) * place
        return np.log(place / (1 - place))

    def forward_error(self, values: Floats, error: Floats) -> Floats:
        # The slope is endless on the bounds: half of the distance between both ends of the error is not.
        return (self.forward(values + error) - self.forward(values - error)) / 2

    def backward(self, values: Any) -> Any:
        # By the hyperbolic tangent, which does not overflow.
        place = (0.5 + 0.5 * np.tanh(values / 2) - _SQUEEZE) / (1 - 2 * _SQUEEZE)
        return self.least + self._extent * np.clip(place, 0, 1)

    def backward_error(self, values: Floats, error: Floats) -> Floats:
        middle = self.forward(values)
        return (self.backward(middle + error) - self.backward(middle - error)) / 2

    def find_moments(self, mean: Floats, error: Floats) -> tuple[Floats, Floats]:
        # There is no closed form (Aitchison and Shen 1980, doi:10.1093/biomet/67.2.261).
        nodes = np.linspace(-5, 5, _NODES)
        weights = np.exp(-(nodes**2) / 2)
        weights /= weights.sum()
        middle = self.backward(mean.astype(np.float64))
        first = second = np.zeros(np.broadcast_shapes(mean.shape, error.shape))
        for node, weight in zip(nodes, weights, strict=True):
            departure = self.backward(mean + node * error.astype(np.float64)) - middle
            first = first + weight * departure
            second = second + weight * departure**2
        return middle + first, np.sqrt(np.maximum(second - first**2, 0))

    def match_moments(self, mean: Floats, deviation: Floats) -> tuple[Floats, Floats]:
        return self.forward(mean), self.forward_error(mean, deviation)


@dataclass(frozen=True)
class Centred:
    """Another transform, less a number near the middle of its values.

    The departures from it keep the digits in single precision that large values would not have.
    """

    base: Transform
    offset: float

    @property
    def lack(self) -> str:
        return self.base.lack

    def can_take(self, values: Floats) -> NDArray[np.bool_]:
        return self.base.can_take(values)

    def forward(self, values: Floats) -> Floats:
        return self.base.forward(values.astype(np.float64)) - self.offset

    def forward_error(self, values: Floats, error: Floats) -> Floats:
        return self.base.forward_error(values, error)

    def backward(self, values: Any) -> Any:
        return self.base.backward(values.astype(np.float64) + self.offset)

    def backward_error(self, values: Floats, error: Floats) -> Floats:
        return self.base.backward_error(values, error)

    def find_moments(self, mean: Floats, error: Floats) -> tuple[Floats, Floats]:
        return self.base.find_moments(mean.astype(np.float64) + self.offset, error)

    def match_moments(self, mean: Floats, deviation: Floats) -> tuple[Floats, Floats]:
        centre, spread = self.base.match_moments(mean.astype(np.float64), deviation)
        return centre - self.offset, spread


def name_logit(bounds: Sequence[float]) -> str:
    """Return the name of the transform of values between two bounds."""
    return f"logit({','.join(f'{float(bound):.9g}' for bound in bounds)})"


def find_transform(name: str) -> Transform:
    """Return the transform of this name. Raises `ValueError` for another."""
    if name == "none":
        return Identity()
    if name == "log":
        return Logarithm()
    bounded = re.fullmatch(r"logit\((.+),(.+)\)", name)
    if bounded is None:
        raise ValueError(f"there is no transform {name!r}")
    return Logit(float(bounded[1]), float(bounded[2]))


def choose_transform(
    opening: Opening, name: str, attrs: Mapping[Any, Any], negative: float
) -> tuple[str, str]:
    """Return the name of the transform of a variable, and in words why where the ``opening`` leaves it open.

    ``negative`` is the share of its values below zero, as anomalies have.
    """
    if opening.bounds_of_values is not None:
        return name_logit(opening.bounds_of_values), ""
    if opening.transform != "auto":
        return opening.transform, ""
    if negative > _MOST_NEGATIVE or not is_lognormal(name, attrs):
        return "none", ""
    kind = "its standard name" if attrs.get("standard_name") else "its name and units"
    return "log", f"filled in logarithms, as a lognormal quantity by {kind} (transform='none' for the values)"


def find_asked(opening: Opening) -> str:
    """Return the name of the transform in whose space a user looks at the values: "log" or "none".

    Logarithms that were chosen for a lognormal quantity, and logits between bounds, are a way of filling:
    what is delivered has the units of the input, and is judged in them.
    """
    return opening.transform if opening.transform == "log" else "none"


def name_option(transform: str) -> str:
    """Return the option that asks for a transform."""
    if transform.startswith("logit("):
        return f"bounds_of_values={transform.removeprefix('logit')}"
    return f"transform={transform!r}"


def transform_values(
    file: str,
    name: str,
    transform: str,
    values: Floats,
    error: NDArray[np.float32],
    oddities: list[str],
) -> tuple[Floats, NDArray[np.float32]]:
    """Return the transforms of ``values``, in double precision where these are, and of their standard errors.

    Values without a transform become missing and are counted in the ``oddities``. Raises `InputError` where
    no value has one.
    """
    if transform == "none":
        return values, error
    chosen = find_transform(transform)
    observed = np.isfinite(values)
    usable = observed & chosen.can_take(values)
    if not usable.any():
        if transform == "log":
            raise InputError(
                f"{file}: no value of {name} is positive, so none has a logarithm; use transform='none'"
            )
        raise InputError(f"{file}: no value of {name} lies within its bounds; give other bounds_of_values=")
    count = np.count_nonzero(observed & ~usable)
    if count:
        oddities.append(f"values {'of ' * (transform == 'log')}{chosen.lack}: {count}")
    safe = np.where(usable, values, values[usable].flat[0])
    taken = np.where(usable, chosen.forward(safe), np.float32(np.nan))
    return taken, chosen.forward_error(safe, error).astype(np.float32)


def find_offset(values: Floats) -> float:
    """Return what is taken off values (`Centred`): their median where single precision is coarse, else zero.

    That is where it exceeds a hundred of their standard deviations. Few outliers move neither.
    """
    known = values[np.isfinite(values)]
    some = known[:: max(1, known.size // _SAMPLE)].astype(np.float64)
    return choose_offset(float(np.median(some)), float(np.ptp(np.quantile(some, _MIDDLE)) / _DEVIATIONS))


def choose_offset(middle: float, deviation: float) -> float:
    """Return the ``middle`` of values where it is large compared to their standard deviation, else zero."""
    return middle if abs(middle) > _LARGE * deviation else 0.0


def centre_values(values: Floats, offset: float) -> NDArray[np.float32]:
    """Return values less the offset, in single precision."""
    return (values.astype(np.float64) - offset).astype(np.float32)
