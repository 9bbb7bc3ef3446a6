"""Copernicus Marine's gap-free level 4 of chlorophyll, with the error of its logarithm."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from ..derived.maps import FilledMaps
from ..io.output import OUTLIER, SOURCES
from .layers import Extras, Format, Layer, format_day, is_global, read_map

_LAND, _FILLED, _NEVER, _OUTLIER = 1, 2, 4, 8  # bits of the flags
_BITS = {"land": _LAND, "filled": _FILLED, "filled_never_observed": _FILLED | _NEVER}


def make_layers(maps: FilledMaps, extras: Extras) -> dict[str, Layer]:
    """Return CHL (observed and filled values), its standard error in three ways, and the flags."""
    scale = maps.find_factor("mg m-3", "chlorophyll")[0]
    value, origin = read_map(maps) * scale, read_map(maps, "source").astype(int)
    analysis, error = read_map(maps, "analysis") * scale, read_map(maps, "error") * scale
    positive = analysis > 0
    relative = np.where(positive, error / np.where(positive, analysis, 1), np.nan)
    flags = np.zeros(value.shape, np.int8)
    for meaning, bits in _BITS.items():
        flags[origin == SOURCES.index(meaning)] = bits
    flags[origin == OUTLIER] = _OUTLIER
    standard = "mass_concentration_of_chlorophyll_a_in_sea_water"
    quality = {"coverage_content_type": "qualityInformation"}
    return {
        "CHL": Layer(
            value,
            {
                "long_name": "chlorophyll-a concentration",
                "standard_name": standard,
                "units": "mg m-3",
                "valid_min": np.float32(0),
                "ancillary_variables": "CHL_uncertainty CHL_error CHL_log10_error flags",
                "coverage_content_type": "physicalMeasurement",
            },
            {"dtype": np.dtype("f4"), "_FillValue": np.float32(-999)},
        ),
        "CHL_uncertainty": Layer(
            100 * relative,
            quality
            | {
                "long_name": "relative standard error of the analysis of the chlorophyll-a concentration",
                "units": "%",
            },
            {"dtype": np.dtype("f4"), "_FillValue": np.float32(-999)},
        ),
        "CHL_error": Layer(
            error,
            quality
            | {
                "long_name": "standard error of the analysis of the chlorophyll-a concentration",
                "standard_name": f"{standard} standard_error",
                "units": "mg m-3",
            },
            {"dtype": np.dtype("f4"), "_FillValue": np.float32(-999)},
        ),
        "CHL_log10_error": Layer(
            np.sqrt(np.log1p(relative**2)) / np.log(10),
            quality
            | {
                "long_name": "standard error of the decimal logarithm of the chlorophyll-a concentration",
                "standard_name": f"{standard} standard_error",
                "units": "lg(re 1 mg m-3)",
                "comment": "That of a lognormal quantity with the mean and standard error of the analysis.",
            },
            {"dtype": np.dtype("f4"), "_FillValue": np.float32(-999)},
        ),
        "flags": Layer(
            flags,
            {
                "long_name": "flags",
                "standard_name": "status_flag",
                "flag_masks": np.array([_LAND, _FILLED, _NEVER, _OUTLIER], np.int8),
                "flag_meanings": "LAND INTERPOLATED NEVER_OBSERVED OUTLIER",
                "coverage_content_type": "auxiliaryInformation",
            },
            {"dtype": np.dtype("i1"), "_FillValue": np.int8(-1)},
        ),
    }


def name_file(maps: FilledMaps, date: pd.Timestamp, attributes: Mapping[str, Any]) -> str:
    """Return the name of a file, formed as those of Copernicus Marine."""
    place, step = "glo" if is_global(maps) else "reg", attributes["time_coverage_resolution"]
    return f"{format_day(date)}_oceanfill_obs-oc_{place}_bgc-plankton_l4-gapfree_{step}.nc"


def describe(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Return no further global attributes."""
    return {}


COLOUR = Format(
    quantity="chlorophyll",
    units="mg m-3",
    offset=False,
    axes=("lat", "lon"),
    time={"units": "days since 1900-01-01 00:00:00", "dtype": np.dtype("f8"), "calendar": "standard"},
    make=make_layers,
    name=name_file,
    describe=describe,
)
