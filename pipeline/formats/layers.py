"""The layers of a product: maps with their attributes and their packing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..derived.maps import FilledMaps
from ..derived.spread import Spread
from ..derived.stencils import Operator
from ..errors import InputError
from ..io.storage import find_limits
from .extras import Given


@dataclass(frozen=True)
class Layer:
    """A map of a product, NaN where missing, and how it is stored."""

    maps: NDArray[Any]  # (y, x)
    attrs: Mapping[str, Any]
    encoding: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Extras:
    """What a product holds besides the filled field, and what is computed once for all dates."""

    ice: Given | None = None  # sea ice concentration, any grid
    mdt: NDArray[np.float64] | None = None  # (y, x) mean dynamic topography, m
    currents: tuple[Operator, Operator] | None = None
    spread: Spread | None = (
        None  # of the errors of currents; None where the file has nothing to derive them by
    )

    def find_ice(self, maps: FilledMaps) -> NDArray[np.float64] | None:
        """Return the sea ice fraction (y, x) on the only date of the maps, None where none was given."""
        if self.ice is None:
            return None
        return self.ice.regrid(maps, maps.dates[0])


@dataclass(frozen=True)
class Format:
    """A product's format: which quantity it is for, its axes, layers, file names and attributes."""

    quantity: str
    units: str
    offset: bool  # whether units may differ by an offset, as of temperatures
    axes: tuple[str, str]  # names of latitude and longitude
    time: Mapping[str, Any]  # encoding
    make: Callable[[FilledMaps, Extras], dict[str, Layer]]
    name: Callable[[FilledMaps, Any, Mapping[str, Any]], str]  # of a file, from date and attributes
    describe: Callable[[Mapping[str, Any]], dict[str, Any]]  # further global attributes, from the others
    series: bool = True  # whether one file may hold all dates


def pack(kind: str, scale: float, offset: float = 0.0, fill: int | None = None) -> dict[str, Any]:
    """Return the encoding of a packed layer; without a scale, of one of whole numbers."""
    dtype = np.dtype(kind)
    found: dict[str, Any] = {"dtype": dtype, "_FillValue": np.iinfo(dtype).min if fill is None else fill}
    found["_FillValue"] = dtype.type(found["_FillValue"])
    return found | {"scale_factor": scale, "add_offset": offset}


def check_packed(file: str, name: str, layer: Layer) -> None:
    """Raise `InputError` where values of a layer do not fit into its packing."""
    if "scale_factor" not in layer.encoding:
        return
    low, high = find_limits(dict(layer.encoding))
    values = layer.maps[np.isfinite(layer.maps)]
    outside = int(((values < low) | (values > high)).sum())
    if outside:
        raise InputError(
            f"{file}: {outside} values of {name} are outside {low:g} to {high:g} "
            f"{layer.attrs.get('units', '')}, which its packing holds; check the units of the filled variable"
        )


def read_map(maps: FilledMaps, part: str = "") -> NDArray[np.float64]:
    """Read a part (y, x) of the only date of the maps."""
    return np.asarray(maps.read(part)[0], np.float64)


def clean_name(text: Any, otherwise: str) -> str:
    """Return a text as a part of a file's name, letters and digits only."""
    return "".join(letter for letter in str(text) if letter.isascii() and letter.isalnum()) or otherwise


def is_global(maps: FilledMaps) -> bool:
    """Whether the grid goes around the Earth."""
    return maps.cyclic


def format_day(date: pd.Timestamp) -> str:
    """Return a date as 20200131."""
    return f"{date:%Y%m%d}"
