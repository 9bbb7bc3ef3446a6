"""Depths and other levels: which dimension they are on, and the choice of one."""

from __future__ import annotations

import re
from collections.abc import Hashable

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from ...errors import InputError

_NAMES = re.compile(
    r"(dep(th)?|lev(el)?s?|z|zc|zt|zlev|s_rho|sigma|st_ocean|plev|pres(sure)?|height|altitude|deptht)(_?\d+)?"
    r"|(dep|lev|z_).*",
    re.IGNORECASE,
)
_STANDARD_NAMES = re.compile(r"depth|height|altitude|.*pressure|.*sigma.*|.*level.*|.*coordinate")
_MOST = 12  # levels that are listed


def find_level_dim(dataset: xr.Dataset, variable: Hashable) -> str | None:
    """Return the dimension of a variable that is one of levels (CF 4.3, or else by name)."""
    for dim in dataset[variable].dims:
        attrs = dataset[dim].attrs if dim in dataset.variables else {}
        by_attributes = (
            str(attrs.get("axis")).upper() == "Z"
            or str(attrs.get("positive")).lower() in ("up", "down")
            or _STANDARD_NAMES.fullmatch(str(attrs.get("standard_name", "")))
        )
        if by_attributes or _NAMES.fullmatch(str(dim)):
            return str(dim)
    return None


def describe_levels(dataset: xr.Dataset, dim: str) -> str:
    """Return the values of a dimension of levels in words: ``depth 0.5, 1.5, 2.6 m``."""
    levels = _read_levels(dataset, dim)
    shown = [f"{level:.4g}" for level in levels[:_MOST]]
    rest = f" and {len(levels) - _MOST} more up to {levels[-1]:.4g}" if len(levels) > _MOST else ""
    units = str(dataset[dim].attrs.get("units", "")) if dim in dataset.variables else "(its number)"
    return f"{dim} {', '.join(shown)}{rest} {units}".strip()


def select_level(
    file: str, dataset: xr.Dataset, level: float, variable: str | None = None
) -> tuple[xr.Dataset, str]:
    """Return the dataset on the level nearest to ``level``, and this choice in words.

    A dimension without a coordinate has the numbers 0, 1, 2... Raises `InputError` where there are no levels,
    and where the nearest one is further away than half the distance to the next.
    """
    names = [variable] if variable in dataset.variables else list(dataset.data_vars)
    dim = next(filter(None, (find_level_dim(dataset, name) for name in names)), None)
    if dim is None:
        raise InputError(
            f"{file}: {variable or 'no variable'} has {'no ' if variable else 'a '}dimension of depths or "
            "levels; leave out level="
        )
    levels = _read_levels(dataset, dim)
    nearest = int(np.argmin(np.abs(levels - level)))
    gaps = np.abs(np.diff(levels))[max(nearest - 1, 0) : nearest + 1]
    half = gaps.max() / 2 if gaps.size else max(abs(levels[0]), 1) / 2
    if not abs(levels[nearest] - level) <= half * (1 + 1e-6):
        raise InputError(
            f"{file}: there is no level near {level:g} (the levels are {describe_levels(dataset, dim)}); "
            "choose one of them with level="
        )
    chosen = describe_levels(dataset.isel({dim: [nearest]}), dim)
    return dataset.isel({dim: nearest}), f"level {chosen}, the nearest to {level:g}"


def _read_levels(dataset: xr.Dataset, dim: str) -> NDArray[np.float64]:
    if dim in dataset.variables and dataset[dim].dtype.kind in "iuf":
        return dataset[dim].to_numpy().astype(np.float64)
    return np.arange(dataset.sizes[dim], dtype=np.float64)
