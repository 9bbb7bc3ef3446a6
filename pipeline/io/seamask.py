"""Sea masks: from a mask or flags in the file, or else from where values are observed."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from ..errors import InputError
from .layout.coordinates import Layout, find_fillable, find_map, is_mask, list_names
from .layout.positions import read_grid, unit_vectors
from .reading import list_inputs, open_input

_UNITED = "united"  # attribute of a mask: how those of several files became one, in words
_SEA_WORDS = frozenset(("sea", "water", "ocean", "marine", "wet"))
_FAR = 1.0  # degree, the largest distance from which a mask is used
_RARELY = 0.3  # share of observed land over that of the sea, below which a coastline holds
_LAND_WORDS = frozenset(("land", "lake", "river", "inland", "dry", "ground", "soil"))


def find_mask(file: str, dataset: xr.Dataset, layout: Layout, mask_variable: str | None) -> str | None:
    """Return the name of the mask variable, or None. Raises `InputError` if ``mask_variable`` is absent."""
    if mask_variable is not None:
        if mask_variable not in dataset.variables:
            choice = list_names(dataset.data_vars)
            raise InputError(f"{file}: there is no mask variable {mask_variable!r}; choose among {choice}")
        return mask_variable
    masks = [
        str(name)
        for name, array in dataset.variables.items()
        if is_mask(str(name), dataset[name]) and array.ndim >= 2
    ]
    masks = [name for name in masks if name != layout.variable]
    on_grid = [name for name in masks if {layout.y, layout.x} <= set(dataset[name].dims)]
    # Return a mask of another shape as well, because ignoring it silently would fill land.
    return next(iter(on_grid + masks), None)


def check_masks(file: str, mask: str | None, first: str, of_first: str | None) -> None:
    """Raise `InputError` where only one of a file and the ``first`` one has a mask, given by their names."""
    if (mask is None) != (of_first is None):
        differs = f"lacks the sea mask {of_first!r} of {first}"
        if mask is not None:
            differs = f"has the sea mask {mask!r}, which {first} lacks"
        raise InputError(
            f"{file}: it {differs}; give files that all have one, or remove it from those that have it"
        )


def sea_from_mask(file: str, mask: xr.DataArray, layout: Layout) -> tuple[NDArray[np.bool_], str]:
    """Return the sea (lat, lon), for a mask with dates that of any date, and how the mask was read.

    Raises `InputError` for a mask that is not on (lat, lon) or not numeric.
    """
    array, how = _read_sea(file, mask, layout)
    if layout.t in array.dims:
        array = array.any(layout.t)
    words = "; ".join(filter(None, (how, mask.attrs.get(_UNITED))))
    return array.transpose(layout.y, layout.x).values, f"{mask.name} ({words})"


def unite_masks(masks: Sequence[tuple[str, xr.DataArray]], layout: Layout) -> xr.Variable:
    """Return one mask (lat, lon) of several, each with its file: sea is where any of them has it.

    Where they agree it is the first. Raises `InputError` as `sea_from_mask`.
    """
    seas = np.stack([sea_from_mask(file, mask, layout)[0] for file, mask in masks])
    differ = np.count_nonzero((seas != seas[0]).any(axis=0))
    if not differ:
        return masks[0][1].variable
    attrs = {"flag_values": np.array([0, 1], np.int8), "flag_meanings": "land sea"}
    united = {_UNITED: f"of any file, for their masks differ at {differ} pixels"}
    return xr.Variable((layout.y, layout.x), seas.any(axis=0).astype(np.int8), attrs | united)


def sea_of_dates(file: str, mask: xr.DataArray, layout: Layout) -> NDArray[np.bool_]:
    """Return the sea (time, lat, lon) of a mask with dates. Raises `InputError` as `sea_from_mask`."""
    return _read_sea(file, mask, layout)[0].transpose(layout.t, layout.y, layout.x).to_numpy()


def sea_from_coverage(share: NDArray[np.floating], minimum_coverage: float) -> tuple[NDArray[np.bool_], str]:
    """Return the sea (lat, lon), where the observed ``share`` (lat, lon) of the dates is large enough.

    This is at least ``minimum_coverage``, and at least one date.
    """
    sea = (share >= minimum_coverage) & (share > 0)
    return sea, f"derived: observed on at least {100 * minimum_coverage:g}% of the dates"


def derive_sea(
    share: NDArray[np.floating],
    dates: int,
    minimum_coverage: float,
    lat: NDArray[np.floating],
    lon: NDArray[np.floating],
) -> tuple[NDArray[np.bool_], str]:
    """Return the sea (lat, lon) of a field without a mask, and how it was derived.

    It is `sea_from_coverage`, except of a single date, whose gaps would be land. There it is all that is
    observed or off Natural Earth's coastline; where values are as common inland as at sea, the coastline does
    not apply, and all of the map is sea.
    """
    if dates > 1:
        return sea_from_coverage(share, minimum_coverage)
    seen = share > 0
    at_sea, _ = sea_from_coastline(lat, lon)
    land = ~at_sea
    applies = land.any() and at_sea.any() and seen[land].mean() < _RARELY * seen[at_sea].mean()
    if applies or not land.any():
        return seen | at_sea, "derived: off Natural Earth's coastline (1:110 million), or observed"
    return np.ones_like(seen), "derived: the whole map, of which land is observed as often as sea"


def sea_from_coastline(lat: NDArray[np.floating], lon: NDArray[np.floating]) -> tuple[NDArray[np.bool_], str]:
    """Return the sea at positions in degrees, of any shape, from Natural Earth's land at 1:110 million.

    This coastline is wrong by tens of kilometres in places, and has no small islands.
    """
    import shapely

    east = np.mod(np.asarray(lon) + 180, 360) - 180
    return ~shapely.contains_xy(_load_land(), east, lat), "Natural Earth's coastline, 1:110 million"


def sea_from_file(
    file: str, variable: str | None, lat: NDArray[np.floating], lon: NDArray[np.floating]
) -> tuple[NDArray[np.bool_], str]:
    """Return the sea at positions in degrees, of any shape, as at the nearest position in a file.

    The sea of the file, which need not have dates, is that of ``variable``, or else of its mask, or else
    where its first variable has values. Raises `InputError` where there is none or it does not cover the
    positions.
    """
    from scipy.spatial import KDTree  # slow to import

    with open_input(list_inputs(file)[0]) as (name, dataset):
        masks = [str(key) for key, array in dataset.data_vars.items() if is_mask(str(key), array)]
        found = [variable] if variable is not None else masks + find_fillable(dataset)
        if not found or found[0] not in dataset:
            choice = list_names(dataset.data_vars)
            raise InputError(f"{name}: there is no mask {found[0] if found else ''}; choose among {choice}")
        layout = find_map(name, dataset, found[0])
        array = dataset[found[0]]
        if variable is not None or masks:
            sea, how = sea_from_mask(name, array, layout)
        else:
            seen = array.notnull().any([dim for dim in array.dims if dim not in (layout.y, layout.x)])
            sea, how = seen.transpose(layout.y, layout.x).to_numpy(), f"where {array.name} has values"
        north, east = read_grid(name, dataset, layout)
    near = (north > lat.min() - _FAR) & (north < lat.max() + _FAR)
    wanted = unit_vectors(lat, lon)
    limit = 2 * np.sin(np.radians(_FAR) / 2)
    found_at = KDTree(unit_vectors(north[near], east[near])).query(wanted, distance_upper_bound=limit)
    lacking = np.count_nonzero(~np.isfinite(found_at[0]))
    if lacking:
        raise InputError(
            f"{name}: its mask is more than {_FAR:g} degree away from {lacking} cells of the grid; give a "
            "mask that covers them"
        )
    return sea[near][found_at[1]], f"{Path(name).name}: {how}"


@cache
def _load_land() -> Any:
    import shapely
    from cartopy.io.shapereader import Reader

    with as_file(files("oceanfill.pipeline.io") / "coastlines") as folder:
        land = shapely.union_all(list(Reader(folder / "ne_110m_land.shp").geometries()))
    shapely.prepare(land)
    return land


def _read_sea(file: str, mask: xr.DataArray, layout: Layout) -> tuple[xr.DataArray, str]:
    if not {layout.y, layout.x} <= set(mask.dims) or mask.dtype.kind not in "biuf":
        raise InputError(
            f"{file}: {mask.name}({', '.join(map(str, mask.dims))}, {mask.dtype}) is not a mask on "
            f"({layout.y}, {layout.x}); choose a numeric one, 1 at sea, with mask_variable="
        )
    sea, how = _read_flags(mask)
    if sea is None:
        sea, how = _read_numbers(mask)
    return xr.DataArray(sea, dims=mask.dims), how


def _read_flags(mask: xr.DataArray) -> tuple[NDArray[np.bool_] | None, str]:
    """Return the sea by CF flags, or None without flags of sea or land, and how they were read.

    CF 3.5: meaning i holds where (mask & flag_masks[i]) == flag_values[i]; either attribute may be absent.
    """
    text = str(mask.attrs.get("flag_meanings", ""))
    # MUR's until 2018 hold blanks: "9=open-sea with ice in the grid, 13=...".
    sizes = {np.size(mask.attrs[key]) for key in ("flag_masks", "flag_values") if key in mask.attrs}
    phrases = [phrase.strip() for phrase in text.split(",")]
    meanings = phrases if len(phrases) > 1 and len(phrases) in sizes else text.replace(",", " ").split()
    masks = _read_integers(mask.attrs.get("flag_masks"), len(meanings))
    values = _read_integers(mask.attrs.get("flag_values"), len(meanings))
    if not meanings or (masks is None and values is None):
        return None, ""
    if masks is not None and values is not None and ((values & masks) != values).any():
        masks = None  # as in MUR, whose flag_values are whole values and not parts of flag_masks
    known = np.isfinite(mask.values)
    number = np.where(known, mask.values, 0).astype(np.int64)
    if values is None and masks is not None:
        holds = [(number & bits) == bits for bits in masks]
    elif masks is None and values is not None:
        holds = [number == value for value in values]
    else:
        assert masks is not None
        assert values is not None
        holds = [(number & bits) == value for bits, value in zip(masks, values, strict=True)]
    words = [set(re.split(r"[^a-z]+", meaning.lower())) for meaning in meanings]
    sea_meanings = [i for i, word in enumerate(words) if word & _SEA_WORDS and not word & _LAND_WORDS]
    land_meanings = [i for i, word in enumerate(words) if word & _LAND_WORDS]
    if not sea_meanings and not land_meanings:
        return None, ""
    nowhere = np.zeros(number.shape, bool)
    land = np.logical_or.reduce([holds[i] for i in land_meanings] or [nowhere])
    sea = np.logical_or.reduce([holds[i] for i in sea_meanings]) if sea_meanings else ~nowhere
    chosen = (
        list_names(meanings[i] for i in sea_meanings)
        if sea_meanings
        else "not " + list_names(meanings[i] for i in land_meanings)
    )
    return known & sea & ~land, f"flags: {chosen}"


def _read_integers(attribute: Any, count: int) -> NDArray[np.int64] | None:
    if attribute is None or isinstance(attribute, str) or np.size(attribute) != count:
        return None
    return np.ravel(np.asarray(attribute)).astype(np.int64)


def _read_numbers(mask: xr.DataArray) -> tuple[NDArray[np.bool_], str]:
    """Return the sea by numbers: above 0.5 is land in masks named after land, sea in all others.

    NaN counts as zero.
    """
    standard_name = str(mask.attrs.get("standard_name", ""))
    name = str(mask.name).lower()
    land_is_one = standard_name.startswith("land") or (
        not standard_name.startswith("sea") and (name.startswith(("land", "is_land")) or name == "lsm")
    )
    positive = np.nan_to_num(mask.values.astype(float)) > 0.5
    return (~positive, "1 = land") if land_is_one else (positive, "1 = sea")
