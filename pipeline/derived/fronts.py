"""Gradients and fronts of a filled field."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from .maps import FilledMaps, describe_variable, find_difference_units
from .options import Derived, DeriveOptions
from .spread import describe_pair, make_spread
from .stencils import Operator, differentiate

_SHARE = 90  # percent of the gradients that are weaker than a front, unless a threshold is given
_SECTORS = ((0, 1), (1, 1), (1, 0), (1, -1))  # rows and columns to the next cell, every 45 degrees

Floats = NDArray[np.float64]


def _find_operators(maps: FilledMaps) -> tuple[Operator, Operator]:
    """Return the derivatives to the east and to the north, per kilometre."""
    per_km = np.full(maps.shape, 1000.0)
    east, north = differentiate(maps.find_sea(), maps.lat, maps.lon, maps.cyclic)
    return east.scale(per_km), north.scale(per_km)


def derive_gradient(maps: FilledMaps, options: DeriveOptions) -> Derived:
    """Return the components and the magnitude of the gradient of each date with their standard errors.

    The error of the magnitude is that of the component along the gradient, to first order.
    """
    operators, spread = _find_operators(maps), make_spread(maps, options.length)
    units, more = f"{maps.units or '1'} km-1", find_difference_units(maps)
    what = maps.attrs.get("long_name", maps.name)
    parts: dict[str, tuple[Any, ...]] = {}
    for way, operator in zip(("eastward", "northward"), operators, strict=True):
        attrs = describe_variable(f"{way} gradient of {what}", units, **more)
        parts |= spread.derive(f"{maps.name}_{way}_gradient", operator, attrs)
    x, x_error, y, y_error = (part[1].astype(np.float64) for part in parts.values())
    size = np.hypot(x, y)
    safe = np.where(size > 0, size, 1)
    error = np.where(
        size > 0, np.hypot(x * x_error, y * y_error) / safe, np.hypot(x_error, y_error) / np.sqrt(2)
    )
    attrs = describe_variable(f"magnitude of the gradient of {what}", units, **more)
    values = size.astype(np.float32), error.astype(np.float32)
    parts |= describe_pair(maps, f"{maps.name}_gradient", values, attrs, spread.comment)
    return Derived(parts, f"gradient of {what}")


def derive_fronts(maps: FilledMaps, options: DeriveOptions) -> Derived:
    """Return the fronts of each date and, where the file has samples, their probability.

    The probability is the share of the samples with a front in the cell or in one next to it.
    """
    east, north = _find_operators(maps)
    shape = (maps.dataset.sizes[maps.layout.t], *maps.shape)
    x, y = (operator.apply(maps.read("analysis")) for operator in (east, north))
    threshold = options.threshold
    if threshold is None:
        size = np.hypot(x, y)
        known = size[np.isfinite(size)]
        if not known.size:
            raise InputError(f"{maps.file}: no two neighbours of {maps.name} are sea, so it has no gradient")
        threshold = float(np.percentile(known, _SHARE))
    front = find_fronts(x, y, threshold, maps.cyclic)
    sea = east.defined.reshape(maps.shape) & north.defined.reshape(maps.shape)
    what = maps.attrs.get("long_name", maps.name)
    units = f"{maps.units or '1'} km-1"
    flags = np.where(sea, front, -1).astype(np.int8)
    parts: dict[str, tuple[Any, ...]] = {
        f"{maps.name}_front": (
            maps.dims,
            flags,
            {
                "long_name": f"fronts of {what}",
                "standard_name": "status_flag",
                "flag_values": np.array([-1, 0, 1], np.int8),
                "flag_meanings": "no_gradient no_front front",
                "coverage_content_type": "modelResult",
                "comment": "Ridges of the magnitude of the gradient of the analysis with at least "
                f"{threshold:.4g} {units}.",
            },
        )
    }
    if maps.n_samples:
        share = np.empty(shape, np.float32)
        for date in range(shape[0]):
            draws = maps.read_samples(date)
            found = find_fronts(east.apply(draws), north.apply(draws), threshold, maps.cyclic)
            share[date] = _widen(found, maps.cyclic).mean(axis=0)
        share[:, ~sea] = np.nan
        parts[f"{maps.name}_front_probability"] = (
            maps.dims,
            share,
            describe_variable(
                f"probability of a front of {what} within one cell",
                "1",
                comment=f"Share of {maps.n_samples} posterior draws.",
            ),
        )
    return Derived(parts, f"fronts of {what}", {"front_threshold": threshold, "front_threshold_units": units})


def find_fronts(x: Floats, y: Floats, threshold: float, cyclic: bool = False) -> NDArray[np.bool_]:
    """Find fronts in maps (..., y, x) of the eastward and northward gradient.

    A cell is a front where the magnitude is at least the ``threshold`` and not smaller than in the two
    neighbours along the gradient, to the nearest 45 degrees (non-maximum suppression: Canny 1986,
    doi:10.1109/TPAMI.1986.4767851).
    """
    size = np.nan_to_num(np.hypot(x, y))
    sector = np.rint(np.arctan2(np.nan_to_num(y), np.nan_to_num(x)) / (np.pi / 4)).astype(int) % 4
    front = size >= threshold
    for number, (down, across) in enumerate(_SECTORS):
        before, after = (_shift(size, -sign * down, -sign * across, cyclic) for sign in (-1, 1))
        front &= (sector != number) | ((size >= after) & (size > before))
    return front


def _shift(maps: NDArray[Any], rows: int, columns: int, cyclic: bool) -> NDArray[Any]:
    """Return maps (..., y, x) moved by rows and columns; what comes in from outside is zero."""
    moved = np.roll(maps, (rows, columns), (-2, -1))
    if rows:
        moved[..., 0 if rows > 0 else -1, :] = 0
    if columns and not cyclic:
        moved[..., 0 if columns > 0 else -1] = 0
    return moved


def _widen(front: NDArray[np.bool_], cyclic: bool) -> NDArray[np.bool_]:
    """Return the cells that are a front or next to one."""
    found = front.copy()
    for rows in (-1, 0, 1):
        for columns in (-1, 0, 1):
            found |= _shift(front, rows, columns, cyclic)
    return found
