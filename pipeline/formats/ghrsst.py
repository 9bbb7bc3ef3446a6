"""GHRSST level 4: the GHRSST Data Specification, GDS 2.1 revision 0 (doi:10.5281/zenodo.6984989)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from ..derived.maps import FilledMaps
from .layers import Extras, Format, Layer, clean_name, is_global, pack, read_map

_TYPES = {  # by CF standard name
    "sea_surface_foundation_temperature": "SSTfnd",
    "sea_surface_skin_temperature": "SSTskin",
    "sea_surface_subskin_temperature": "SSTsubskin",
    "sea_surface_temperature": "SSTdepth",
}
_OTHER = "SSTblend"
_WATER, _LAND, _ICE = 1, 2, 8  # bits of the mask
_MEANINGS = "water land optional_lake_surface sea_ice optional_river_surface"


def make_layers(maps: FilledMaps, extras: Extras) -> dict[str, Layer]:
    """Return the analysis in kelvin, its error, the mask and, where one is given, the sea ice fraction."""
    scale, offset = maps.find_factor("kelvin", "temperature", offset=True)
    value, error = read_map(maps, "analysis") * scale + offset, read_map(maps, "error") * scale
    ice, sea = extras.find_ice(maps), np.isfinite(value)
    standard = str(maps.attrs.get("standard_name", "sea_surface_temperature"))
    kelvin = {"units": "kelvin"}
    mask = np.where(sea, _WATER, _LAND)
    if ice is not None:
        mask |= np.where(sea & (np.nan_to_num(ice) > 0), _ICE, 0)
    layers = {
        "analysed_sst": Layer(
            value,
            kelvin
            | {
                "long_name": "analysed sea surface temperature",
                "standard_name": standard,
                "units_metadata": "temperature: on_scale",
                "valid_min": np.int16(-32767),
                "valid_max": np.int16(32767),
                "ancillary_variables": "analysis_error mask",
                "coverage_content_type": "physicalMeasurement",
                "comment": f"{maps.name}_analysis of the filled file",
            },
            pack("i2", 0.001, 298.15),
        ),
        "analysis_error": Layer(
            error,
            kelvin
            | {
                "long_name": "estimated error standard deviation of analysed_sst",
                "standard_name": f"{standard} standard_error",
                "units_metadata": "temperature: difference",
                "valid_min": np.int16(0),
                "valid_max": np.int16(32767),
                "coverage_content_type": "qualityInformation",
            },
            pack("i2", 0.001),
        ),
        "mask": Layer(
            mask.astype(np.int8),
            {
                "long_name": "sea/land/ice composite mask",
                "flag_masks": np.array([1, 2, 4, 8, 16], np.int8),
                "flag_meanings": _MEANINGS,
                "valid_min": np.int8(1),
                "valid_max": np.int8(31),
                "coverage_content_type": "auxiliaryInformation",
                "comment": "Lakes and rivers are not told apart from the sea.",
            },
            {"dtype": np.dtype("i1"), "_FillValue": np.int8(-128)},
        ),
    }
    if ice is not None:
        layers["sea_ice_fraction"] = Layer(
            np.where(sea, ice, np.nan),
            {
                "long_name": "sea ice area fraction",
                "standard_name": "sea_ice_area_fraction",
                "units": "1",
                "valid_min": np.int8(0),
                "valid_max": np.int8(100),
                "coverage_content_type": "auxiliaryInformation",
            },
            pack("i1", 0.01),
        )
    return layers


def name_file(maps: FilledMaps, date: pd.Timestamp, attributes: Mapping[str, Any]) -> str:
    """Return the name of a file, as GDS 2.1 forms it.

    The producer is the attribute ``institution``, the product ``id``, the file version ``product_version``.
    """
    kind = _TYPES.get(str(maps.attrs.get("standard_name", "")), _OTHER)
    producer = clean_name(attributes.get("institution", ""), "oceanfill").upper()
    product = clean_name(attributes.get("id", ""), "OCEANFILL")
    whole, _, part = str(attributes["product_version"]).partition(".")
    version = f"{clean_name(whole, '1').zfill(2)}.{clean_name(part, '0')}"
    place = "GLOB" if is_global(maps) else "REG"
    stamp = f"{date:%Y%m%d%H%M%S}"
    return f"{stamp}-{producer}-L4_GHRSST-{kind}-{product}-{place}-v02.1-fv{version}.nc"


def describe(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Return the global attributes that GDS 2.1 asks for in addition to ACDD's."""
    return {
        "gds_version_id": "2.1",
        "netcdf_version_id": "4",
        "naming_authority": attributes.get("naming_authority", "org.ghrsst"),
        "file_quality_level": np.int32(3),
        "spatial_resolution": f"{attributes['geospatial_lat_resolution']:g} degrees",
        "cdm_data_type": "grid",
        "keywords": "EARTH SCIENCE > OCEANS > OCEAN TEMPERATURE > SEA SURFACE TEMPERATURE",
        "keywords_vocabulary": "NASA Global Change Master Directory (GCMD) Science Keywords",
        "platform": attributes.get("platform", "unknown"),
        "instrument": attributes.get("instrument", "unknown"),
    }


GHRSST = Format(
    quantity="temperature",
    units="kelvin",
    offset=True,
    axes=("lat", "lon"),
    time={"units": "seconds since 1981-01-01 00:00:00", "dtype": np.dtype("i4"), "calendar": "standard"},
    make=make_layers,
    name=name_file,
    describe=describe,
    series=False,
)
