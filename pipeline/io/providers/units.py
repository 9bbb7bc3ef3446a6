"""Units of values, of their errors and of coordinates: their spellings, and conversions between them."""

from __future__ import annotations

import re

import numpy as np
import xarray as xr

from ...errors import InputError

_SPELLINGS = {
    r"(degrees?|deg)[ _]?c(elsius|elcius|entigrade)?|celsius|celcius|°c|ºc|c": "degC",
    r"kelvins?|deg(rees?)?[ _]?k(elvin)?|k": "K",
    r"met(er|re)s?|m": "m",
    r"centimet(er|re)s?|cm": "cm",
    r"psu|pss(-?78)?|practical[ _]salinity[ _]units?|1e-0?3|0?\.001": "psu",
    r"%|per ?cents?|pct|0?\.01": "%",
    r"1|1\.0|unitless|dimensionless|fraction|none|nondim|-": "1",
}
_WORDS = {
    "milligrams?": "mg",
    "micrograms?": "ug",
    "kilograms?": "kg",
    "grams?": "g",
    "met(er|re)s?": "m",
    "lit(er|re)s?|L": "l",
    "seconds?": "s",
}
_RADIANS = re.compile(r"rad(ian)?s?([ _](north|east))?", re.IGNORECASE)
_LOG10 = re.compile(r"log_?10|\blg\b", re.IGNORECASE)
_LN = re.compile(r"\bln\b|natural log", re.IGNORECASE)
_HORIZONTAL = re.compile(r"(nav_?)?(lat|lon)s?(itudes?)?|long", re.IGNORECASE)
_DIMENSIONLESS = ("1", "%", "psu")
_PHRASES = {"%": "percent", "1": "dimensionless"}  # as pint parses them
_OWN = "standard error of {}, in its units"  # long_name of a converted error

Conversion = tuple[float, float]  # scale and offset


def spell_units(units: str) -> str:
    """Return units in one spelling: ``deg C``, ``celsius`` and ``degree_C`` are ``degC``."""
    text = " ".join(str(units).split())
    for pattern, spelling in _SPELLINGS.items():
        if re.fullmatch(pattern, text, re.IGNORECASE):
            return spelling
    text = re.sub(r"\*\*|\^|[{}]", "", text)
    for pattern, word in _WORDS.items():
        text = re.sub(rf"(?<![A-Za-z])({pattern})(?![A-Za-z])", word, text)
    # a/b2 is a b-2
    text = re.sub(r" ?/ ?([A-Za-z]+)(\d*)", lambda found: f" {found[1]}-{found[2] or 1}", text)
    return " ".join(re.sub(r" ?[*.·] ?(?=[A-Za-z])", " ", text).split())


def find_conversion(units: str, wanted: str, power: float = 1.0) -> Conversion | None:
    """Return scale and offset from a ``power`` of ``units`` to the ``wanted`` ones, or None without them."""
    units, wanted = spell_units(units), spell_units(wanted)
    if units == wanted and power == 1:
        return 1.0, 0.0
    from cf_xarray.units import units as registry  # a third of a second, for those who need it

    try:
        given = registry.Quantity(np.array([0.0, 1.0]), _PHRASES.get(units, units)) ** power
        ends = given.to(_PHRASES.get(wanted, wanted)).magnitude
    except Exception:  # pint raises many, also TypeError and tokenize's, for what it cannot parse
        return None
    return float(f"{ends[1] - ends[0]:.12g}"), float(f"{ends[0]:.12g}")


def require_conversion(file: str, name: str, units: str, wanted: str, first: str) -> Conversion:
    """Return the conversion of ``name`` to the ``wanted`` units of the ``first`` file.

    Raises `InputError` where there is none.
    """
    conversion = find_conversion(units, wanted)
    if conversion is None:
        raise InputError(
            f"{file}: {name} is in {units} but in {wanted} in {first}, and there is no conversion between "
            "them; bring all files to the same units"
        )
    return conversion


def convert_units(
    file: str, name: str, data: xr.Dataset, wanted: str, first: str, error: str | None = None
) -> tuple[xr.Dataset, tuple[str, ...]]:
    """Return a file's data with ``name`` in the ``wanted`` units of the ``first`` file, and what was done.

    A variable of standard errors is converted, too. Units that a file lacks are taken to be the wanted ones.
    Raises `InputError` where the units cannot be converted.
    """
    units = str(data[name].attrs.get("units", ""))
    if not units or not wanted or spell_units(units) == spell_units(wanted):
        return data, ()
    conversion = require_conversion(file, name, units, wanted, first)
    data = data.copy()
    for held, (scale, offset) in {name: conversion, error: (conversion[0], 0.0)}.items():
        if held is not None and held in data:
            array = data[held]
            kind = np.result_type(array.dtype, np.float32)
            values = (array.to_numpy().astype(np.float64) * scale + offset).astype(kind)
            data[held] = array.copy(data=values)
            data[held].attrs["units"] = wanted
    return data, (f"values in {units} were converted to {wanted}, the units of the first file",)


def convert_radians(dataset: xr.Dataset) -> xr.Dataset:
    """Return the dataset with latitudes and longitudes in degrees where they are in radians."""
    for key, array in dataset.variables.items():
        standard = array.attrs.get("standard_name")
        horizontal = standard in ("latitude", "longitude") or _HORIZONTAL.fullmatch(str(key))
        if not horizontal or not _RADIANS.fullmatch(str(array.attrs.get("units", "")).strip()):
            continue
        north = standard == "latitude" or (standard is None and "lat" in str(key).lower())
        attrs = array.attrs | {"units": "degrees_north" if north else "degrees_east"}
        limits = ("valid_min", "valid_max", "valid_range", "actual_range")
        attrs = {held: value for held, value in attrs.items() if held not in limits}
        degrees = np.degrees(array.to_numpy().astype(np.float64))
        dataset = dataset.assign({key: xr.Variable(array.dims, degrees, attrs)})
    return dataset


def convert_error(
    file: str, values: xr.DataArray, error: xr.DataArray
) -> tuple[xr.DataArray, tuple[str, ...]]:
    """Return standard errors in the units of the ``values``, and in words what their meaning is.

    Errors in percent, and fractions of a value that is none, are relative. Those of decimal (or natural)
    logarithms become the standard deviations of the lognormal distributions with the values as medians. Other
    units are converted; those of the values squared are variances. Raises `InputError` for errors without
    such a meaning, such as a bias.
    """
    name, variable = str(error.name), str(values.name)
    own, wanted = (str(array.attrs.get("units", "")) for array in (error, values))
    words = f"{name} {error.attrs.get('long_name', '')}"
    if error.attrs.get("long_name") == _OWN.format(variable):
        return error, ()
    if re.search(r"bias", words, re.IGNORECASE) and not re.search("rmsd?|unbiased|std", words, re.IGNORECASE):
        raise InputError(f"{file}: {name} is a bias, not a standard error; choose another variable of errors")
    size = abs(values)
    found = _find_meaning(words, own, variable, wanted)
    if found is None:
        raise InputError(
            f"{file}: the units of {name} ({own or 'none'}) are not understood as those of an error of "
            f"{variable} (in {wanted or 'no units'}); write it in the units of {variable}, or give "
            "observation_error="
        )
    meaning, scale = found
    if not meaning or (meaning == "absolute" and scale == 1):
        return error, ()
    given = error.astype(np.float64)
    if meaning == "relative":
        made = given * scale * size
    elif meaning == "log":
        # `transforms.Logarithm` returns the error of the logarithm unchanged.
        spread = (given * scale).clip(max=6.0)
        made = size * xr.apply_ufunc(np.expm1, spread**2).where(given >= 0) ** 0.5
    elif meaning == "variance":
        made = given.where(given >= 0) ** 0.5 * scale
    else:
        made = given * scale
    made = made.astype(np.float32)
    made.name, made.attrs = name, {"units": wanted, "long_name": _OWN.format(variable)}
    described = {
        "relative": f"relative errors{' in percent' if scale == 0.01 else ''}",
        "log": f"standard errors of the {'decimal' if scale > 1 else 'natural'} logarithm",
        "variance": "error variances",
        "absolute": f"standard errors in {own}",
    }[meaning]
    return made, (f"{name} was understood as {described}",)


def _find_meaning(words: str, own: str, variable: str, wanted: str) -> tuple[str, float] | None:
    """Return the meaning of an error in the units ``own`` and its scale; an empty one for plain errors."""
    unit, target = spell_units(own), spell_units(wanted)
    plain = "", 1.0
    if own and unit == target and target not in _DIMENSIONLESS:
        return plain
    if _LOG10.search(f"{words} {own}"):
        return plain if _LOG10.search(f"{variable} {wanted}") else ("log", float(np.log(10)))
    if _LN.search(f"{words} {own}"):
        return "log", 1.0
    relative = re.search("relative|fraction", words, re.IGNORECASE) is not None
    percent = unit == "%" or (not own and re.search("percent", words, re.IGNORECASE) is not None)
    if relative or (target not in _DIMENSIONLESS and (percent or (wanted and unit == "1"))):
        known = (wanted or relative or not own) and target != "degC"  # relative to which zero?
        return ("relative", 0.01 if percent else 1.0) if known else None
    if not own and re.search("variance", words, re.IGNORECASE):
        return "variance", 1.0
    if not own or not wanted or unit == target or {unit, target} == {"1", "psu"}:
        return plain
    conversion = find_conversion(own, wanted)
    if conversion is not None:
        return "absolute", conversion[0]
    root = find_conversion(own.replace(wanted, "K") if target == "degC" else own, wanted, power=0.5)
    return None if root is None else ("variance", root[0])
