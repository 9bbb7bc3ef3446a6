"""Quantities whose values spread over orders of magnitude, and quantities between two bounds."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from .units import spell_units

# Campbell 1995, J. Geophys. Res. 100, 13237: the bio-optical quantities of the sea are lognormal.
_LOGNORMAL = re.compile(
    r"concentration_of_chlorophyll|chlorophyll_concentration_in_sea_water|suspended_(particulate_)?(matter|material|sediment)"
    r"|attenuation_coefficient_of_downwelling|diffuse_attenuation_coefficient"
)
_CHLOROPHYLL = re.compile(r"chl(or|ora|oro|orophyll)?(_?[ab])?[_\d]*(oc\w*|mean|avg)?", re.IGNORECASE)
_CONCENTRATIONS = ("mg m-3", "ug l-1", "kg m-3", "g m-3", "mg l-1")
_OTHER = re.compile(
    r"log_?10|(^|_)(log|ln|ratio)($|_|\()|^l[gn]\b|anomal|tendency|standard_error", re.IGNORECASE
)
_ZEROS = re.compile(r"ice|snow|rain|precip|fraction|probab|anomal|cloud", re.IGNORECASE)


def is_lognormal(name: str, attrs: Mapping[Any, Any]) -> bool:
    """Whether a variable is lognormal by its standard name, or chlorophyll by its name and units."""
    standard, units = str(attrs.get("standard_name", "")), str(attrs.get("units", ""))
    if any(_OTHER.search(text) for text in (name, standard, units)):
        return False
    if _LOGNORMAL.search(standard):
        return True
    return _CHLOROPHYLL.fullmatch(name) is not None and spell_units(units) in _CONCENTRATIONS


def is_bounded(attrs: Mapping[Any, Any]) -> bool:
    """Whether a variable is a percentage or a fraction by its units."""
    return spell_units(str(attrs.get("units", ""))) in ("%", "1")


def can_be_zero(name: str, attrs: Mapping[Any, Any]) -> bool:
    """Whether zero apart from all other values may be a value, as of ice, rain or a fraction."""
    names = name, str(attrs.get("standard_name", "")), str(attrs.get("long_name", ""))
    return is_bounded(attrs) or any(_ZEROS.search(text) for text in names)
