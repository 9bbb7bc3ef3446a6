"""What can be chosen of a derived quantity, and what a derivation returns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..errors import InputError
from ..io.layout.dates import Period

USES = {
    "geostrophic": ("length",),
    "gradient": ("length",),
    "fronts": ("threshold",),
    "anomalies": ("climatology", "baseline"),
    "heatwaves": ("climatology", "baseline"),
    "resolution": ("truth", "span"),
}


@dataclass(frozen=True)
class DeriveOptions:
    """Options of `derive`. Each is for some quantities only (`USES`)."""

    length: float | None = None  # km, correlation length of the errors; None: the fitted one of the file
    threshold: float | None = None  # units per km, least gradient of a front; None: its 90th percentile
    climatology: Any = None  # a file or dataset with a longer record of the variable; None: the filled one
    baseline: Period | None = None  # dates of the climatology; None: all
    truth: Any = None  # a file or dataset with maps or points along tracks; None: the file's samples
    span: float | None = None  # km, length of the segments whose spectra are compared

    def check(self, what: str) -> None:
        """Raise `InputError` for options that do not go with a quantity, and for impossible ones."""
        if what not in USES:
            raise InputError(f"what={what!r} is not known; choose one of {', '.join(USES)}")
        for name in self.__dataclass_fields__:
            if getattr(self, name) is not None and name not in USES[what]:
                users = " and ".join(key for key, names in USES.items() if name in names)
                raise InputError(f"{name}= is an option of {users}; leave it out with what={what!r}")
        for name in ("length", "threshold", "span"):
            value = getattr(self, name)
            if value is not None and not 0 < value < float("inf"):
                raise InputError(f"{name}={value:g} is not a positive number; give another")


@dataclass(frozen=True)
class Derived:
    """Variables of a derived dataset: dimensions, values and attributes by name."""

    parts: Mapping[str, tuple[Any, ...]]
    title: str
    attributes: Mapping[str, Any] | None = None  # global ones
