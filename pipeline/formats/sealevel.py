"""Copernicus Marine's level 4 of sea level (DUACS): heights, formal error and geostrophic currents."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..derived.geostrophy import describe_current, is_anomaly
from ..derived.maps import FilledMaps
from ..io.providers.units import find_conversion
from .layers import Extras, Format, Layer, format_day, is_global, pack, read_map

_HEIGHTS = {  # whether an anomaly: name, long name, CF standard name
    False: ("adt", "absolute dynamic topography", "sea_surface_height_above_geoid"),
    True: ("sla", "sea level anomaly", "sea_surface_height_above_sea_level"),
}
_FILL = -2147483647
_ICE = 0.15  # sea ice fraction from which flag_ice is set


def make_layers(maps: FilledMaps, extras: Extras) -> dict[str, Layer]:
    """Return adt and sla, as far as they are known, the currents of each, their errors, and the ice flag."""
    known = _read_heights(maps, extras)
    layers: dict[str, Layer] = {}
    for anomaly in sorted(known):
        name, what, standard = _HEIGHTS[anomaly]
        attrs = {"long_name": what, "standard_name": standard, "ancillary_variables": "err_sla flag_ice"}
        layers[name] = _make_layer(known[anomaly], attrs, "m", "physicalMeasurement")
    scale = maps.find_factor("m", "a sea level")[0]
    _, _, standard = _HEIGHTS[True]
    attrs = {"long_name": "formal error of the sea level", "standard_name": f"{standard} standard_error"}
    layers["err_sla"] = _make_layer(read_map(maps, "error") * scale, attrs, "m", "qualityInformation")
    assert extras.currents is not None
    for anomaly in sorted(known):
        for component, letter, operator in zip(("eastward", "northward"), "uv", extras.currents, strict=True):
            attrs = describe_current(component, anomaly)
            attrs |= {"ancillary_variables": f"err_{letter}gosa"} if extras.spread is not None else {}
            values = operator.apply(known[anomaly][None])[0]
            layers[f"{letter}gos{'a' * anomaly}"] = _make_layer(values, attrs, "m s-1", "modelResult")
    if extras.spread is not None:
        spread = replace(extras.spread, maps=maps)
        for component, letter, operator in zip(("eastward", "northward"), "uv", extras.currents, strict=True):
            about = describe_current(component, True)
            attrs = {
                "long_name": f"formal error of the {about['long_name']}",
                "standard_name": f"{about['standard_name']} standard_error",
                "comment": spread.comment,
            }
            error = spread.find_error(operator.scale(np.full(maps.shape, scale)), 0)
            layers[f"err_{letter}gosa"] = _make_layer(error, attrs, "m s-1", "qualityInformation")
    ice, sea = extras.find_ice(maps), np.isfinite(read_map(maps, "analysis"))
    flag = np.zeros(sea.shape) if ice is None else np.where(np.nan_to_num(ice) >= _ICE, 1, 0)
    layers["flag_ice"] = Layer(
        np.where(sea, flag, -1).astype(np.int8),
        {
            "long_name": "ice flag",
            "flag_values": np.array([0, 1], np.int8),
            "flag_meanings": "no_ice ice",
            "grid_mapping": "crs",
            "coverage_content_type": "auxiliaryInformation",
            "comment": "No ice was given." if ice is None else f"Sea ice fraction of at least {_ICE:g}.",
        },
        {"dtype": np.dtype("i1"), "_FillValue": np.int8(-1)},
    )
    return layers


def _make_layer(values: NDArray[np.float64], attrs: Mapping[str, Any], units: str, content: str) -> Layer:
    more = {"units": units, "grid_mapping": "crs", "coverage_content_type": content}
    return Layer(values, dict(attrs) | more, pack("i4", 0.0001, 0.0, _FILL))


def _read_heights(maps: FilledMaps, extras: Extras) -> dict[bool, NDArray[np.float64]]:
    """Return the heights (y, x) in metres by whether they are anomalies.

    Both are known where both were filled, or where the mean dynamic topography is given.
    """
    known: dict[bool, NDArray[np.float64]] = {}
    for one in [maps, *maps.list_filled()]:
        if is_height(one) and is_anomaly(one) not in known:
            scale = one.find_factor("m", "a sea level")[0]
            known[is_anomaly(one)] = read_map(one, "analysis") * scale
    if len(known) == 1 and extras.mdt is not None:
        ((anomaly, height),) = known.items()
        known[not anomaly] = height + extras.mdt if anomaly else height - extras.mdt
    return known


def is_height(maps: FilledMaps) -> bool:
    """Whether the maps are of a length, as heights are."""
    found = find_conversion(maps.units, "m") if maps.units else None
    return found is not None and found[1] == 0


def name_file(maps: FilledMaps, date: pd.Timestamp, attributes: Mapping[str, Any]) -> str:
    """Return the name of a file as DUACS forms it: delayed time, region, date and production date."""
    place = "global" if is_global(maps) else "regional"
    return f"dt_{place}_allsat_phy_l4_{format_day(date)}_{datetime.now(UTC):%Y%m%d}.nc"


def describe(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Return no further global attributes."""
    return {}


SEA_LEVEL = Format(
    quantity="a sea level",
    units="m",
    offset=False,
    axes=("latitude", "longitude"),
    time={"units": "days since 1950-01-01 00:00:00", "dtype": np.dtype("f8"), "calendar": "standard"},
    make=make_layers,
    name=name_file,
    describe=describe,
)
