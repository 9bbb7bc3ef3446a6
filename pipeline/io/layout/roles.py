"""What a variable of a file is, by its names and attributes: the field to fill, or what describes it.

The tables hold what the CF standard names and the large providers call their variables.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

MASK_NAMES = (
    *("mask", "land_mask", "landmask", "sea_mask", "seamask", "ocean_mask", "oceanmask", "wetmask", "tmask"),
    *("lsm", "lsmask", "land_sea_mask", "sea_land_mask", "landseamask", "mask_rho", "is_land", "is_sea"),
    *("land_binary_mask", "sea_binary_mask", "land_area_fraction", "sea_area_fraction"),
)
MASK_STANDARD_NAMES = ("land_binary_mask", "sea_binary_mask", "land_area_fraction", "sea_area_fraction")
# Parts of the names of variables that describe others and are never filled: errors, biases, quality, counts,
# geometry, offsets in time, weights.
_DESCRIBING = frozenset(
    (
        *("err", "error", "errors", "stderr", "uncertainty", "unc", "rmsd", "rmse", "rms", "bias", "biases"),
        *("std", "stdev", "stddev", "sd", "deviation", "variance", "covariance", "cov", "sses"),
        *("quality", "qual", "qc", "qcflag", "flag", "flags", "confidence", "status", "dtime", "mask"),
        *("count", "counts", "nobs", "num", "number", "weight", "weights", "npixels", "nscenes"),
        *("hdop", "gdop", "dop", "dopx", "dopy", "angle", "angles", "zenith", "azimuth", "bearing"),
    )
)
# Variables of products whose names do not say what they are. HF radar: the European common data model
# (Corgnati et al. 2018, JERICO-NEXT D5.13): deviations and covariance of the velocities, codes of sites.
_DESCRIBING_NAMES = frozenset(
    (
        *(
            "ewcs",
            "nscs",
            "ccov",
            "narx",
            "natx",
            "sltr",
            "uacc",
            "vacc",
            "slnr",
            "slta",
            "slna",
            "scdr",
            "scdt",
            "etmp",
        ),
        *("maxv", "minv", "ersc", "ertc", "xdst", "ydst", "rnge", "sprc"),
    )
)
_DESCRIBING_STANDARD = re.compile(
    r"_angle$|status_flag|quality_flag|standard_error|number_of_observations|detection_minimum"
)
_DESCRIBING_TITLE = re.compile(
    r"^((formal|estimated|mapping|standard|total|relative|absolute|random|systematic) )*"
    r"(errors?|uncertainty|bias|quality|number|count|standard deviation|dilution|accuracy)\b"
    r"|\b(uncertainty|standard error|standard deviation)$"
    r"|\b(standard deviation|standard error|uncertainty|bias|number|covariance|dilution) (of|in|estimate)\b",
    re.IGNORECASE,
)
_DESCRIBING_UNITS = re.compile(r"^(counts?|degrees?|deg|rad|radians?)$", re.IGNORECASE)

# Fields next to which the product carries its own subject. GHRSST Data Specification 2.0 and the data models
# of ACSPO and MODIS L2P; OISST; DUACS L3 and L4; SMAP; HF radar.
_SECONDARY = re.compile(
    r"dt_analysis|wind_speed(_.*)?|sea_ice_(area_)?fraction.*|ice|siconc|.*ice_conc.*|aerosol_.*"
    r"|brightness_temperature.*|.*(gradient_magnitude|front_position).*|sources_of_.*|or_latitude|or_longitude"
    r"|chlorophyll_a|k_490|surface_solar_irradiance|dt_1km_data|anom|.*_anom(aly)?|ssta|anc_.*|.*climatology.*"
    r"|[uv]gosa?(_.*)?|mdt|mss|mean_sea_surface.*|dac|lwe|ocean_tide|internal_tide|tpa_.*"
    r"|.*_correction|sigma0.*|.*sig0.*|geoid|cross_track_distance|swh.*|dynamic_atmospheric.*"
    r"|smap_(spd|high_spd)|surtep|cspd|cdir|speed|direction|.*_(speed|direction)|.*vorticity|.*divergence",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Kind:
    """A quantity, and the names of its fields by preference: the first that a file has is filled."""

    names: tuple[str, ...]  # regular expressions of whole names, in lower case
    standard_names: tuple[str, ...]  # regular expressions of whole CF standard names


# Heights: the absolute dynamic topography is preferred to the anomaly, because currents and fronts are in it;
# along tracks and in swaths the filtered heights to the noisy ones.
KINDS = {
    "temperature": Kind(
        (
            *("analysed_sst", "adjusted_sea_surface_temperature", "sea_surface_temperature", "sst", "tos"),
            *("sst_subskin|sst_skin|sea_surface_subskin_temperature", "sst4", "thetao", "temperature|temp"),
        ),
        (
            "sea_surface(_subskin|_skin|_foundation)?_temperature",
            "sea_water_(potential_|conservative_)?temperature",
        ),
    ),
    "chlorophyll": Kind(
        (
            "chl",
            "chlor_a",
            "chl_?a|chl1|chlorophyll(_a)?",
            "chl_ocx|chl_oc[0-9]",
            "k?d_?490|kd",
            "rrs_?[0-9]+",
        ),
        ("mass_concentration_of_chlorophyll(_a)?_in_sea_water",),
    ),
    "height": Kind(
        (
            *("adt", "sla", "sla_filtered", "sla_unfiltered", "ssha_filtered", "ssha_noiseless"),
            *("ssha_smoothed", "ssha", "ssha_unfiltered", "ssha_unedited", "ssha_karin_2", "ssha_karin"),
            *("zos", "ssh", "ssh_karin_2", "ssh_karin"),
        ),
        (
            "sea_surface_height_above_(geoid|reference_ellipsoid)",
            "sea_surface_height_above_(sea_level|mean_sea_level)",
        ),
    ),
    "salinity": Kind(
        ("sos", "sss", "sss_smap", "smap_sss", "sss_.*", "so", "salinity|psal"),
        ("sea_surface_salinity", "sea_water_(practical_|absolute_)?salinity"),
    ),
    "sea ice": Kind(
        (
            *("ice_conc", "cdr_seaice_conc", "siconc|sic|ice_concentration", "sea_ice_(area_)?fraction"),
            *("ice_conc_unfiltered", "raw_ice_conc_values", "(nsidc_)?(nt|bt)_seaice_conc", "ice"),
        ),
        ("sea_ice_area_fraction",),
    ),
    "radial velocity": Kind(("rdva",), ("radial_sea_water_velocity_.*",)),
    "eastward current": Kind(
        ("ewct", "uo", "u", "water_u", "u_current", "ucur", "ugos", "ugosa"),
        ("(surface_)?(geostrophic_)?eastward_sea_water_velocity.*",),
    ),
    "northward current": Kind(
        ("nsct", "vo", "v", "water_v", "v_current", "vcur", "vgos", "vgosa"),
        ("(surface_)?(geostrophic_)?northward_sea_water_velocity.*",),
    ),
}
_PAIR = {"eastward current", "northward current"}


def is_describing(name: str, attrs: Mapping[Any, Any]) -> bool:
    """Whether a variable describes another one (error, bias, quality, count) and is never filled."""
    words = re.findall(r"[a-z]+", re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower())
    standard_name = str(attrs.get("standard_name", ""))
    if {"corrected", "adjusted", "removed"}.intersection(words):
        words = [word for word in words if word != "bias"]
    if _DESCRIBING.intersection(words) or name.lower() in _DESCRIBING_NAMES or words[:1] == ["n"]:
        return True
    if " " in standard_name or _DESCRIBING_STANDARD.search(standard_name):
        return True  # a blank introduces a modifier, such as "standard_error" (CF, appendix C)
    if re.search(r"standard_deviation|variance", str(attrs.get("cell_methods", ""))):
        return True
    if _find_kind(name, attrs) is not None:
        return False
    title, units = (str(attrs.get(key, "")).strip() for key in ("long_name", "units"))
    return bool(_DESCRIBING_TITLE.search(title) or _DESCRIBING_UNITS.match(units))


def choose(variables: Mapping[str, Mapping[Any, Any]]) -> tuple[list[str], str]:
    """Return which of several candidates, with their attributes, is the field, and why.

    These are two variables for the components of a current with nothing else, and none where no candidate is
    clearly the field.
    """
    every = list(variables)
    main = [name for name in every if not is_secondary(name, variables[name])] or every
    aside = [name for name in every if name not in main]
    also = f", which is accompanied by {', '.join(aside)}" if aside else ""
    if len(main) == 1:
        return main, f"{main[0]} is the field{also}" if aside else ""
    ranked = {name: found for name in main if (found := _find_kind(name, variables[name])) is not None}
    kinds = {kind for kind, _ in ranked.values()}
    if kinds == _PAIR and len(ranked) == len(main) == 2:
        pair = sorted(main, key=lambda name: ranked[name][0])
        return pair, f"{' and '.join(pair)} are the components of one current{also}"
    if len(kinds) != 1:
        return [], ""
    first, *others = sorted(ranked, key=lambda name: ranked[name][1])
    if others and ranked[others[0]][1] == ranked[first][1]:
        return [], ""
    kind = next(iter(kinds))
    left = [name for name in main if name != first]
    preferred = f"{first} is preferred to {', '.join(others)}" if others else f"{first} is the {kind}"
    unknown = [name for name in left if name not in others]
    return [first], preferred + (f", not {', '.join(unknown)}" if unknown else "") + also


def is_secondary(name: str, attrs: Mapping[Any, Any]) -> bool:
    """Whether a product carries this field along with its own subject."""
    standard_name = str(attrs.get("standard_name", ""))
    return bool(_SECONDARY.fullmatch(name) or "geostrophic" in standard_name or "wind" in standard_name)


def is_radial(name: str, attrs: Mapping[Any, Any]) -> bool:
    """Whether a variable is the velocity along the beam of a radar."""
    found = _find_kind(name, attrs)
    return found is not None and found[0] == "radial velocity"


def split_names(text: Any) -> Sequence[str]:
    """Return the names in an attribute such as ``ancillary_variables``; some providers write commas."""
    return re.split(r"[\s,;]+", text.strip(" ,;\n")) if isinstance(text, str) and text.strip() else ()


def _find_kind(name: str, attrs: Mapping[Any, Any]) -> tuple[str, tuple[int, int]] | None:
    """Return the quantity of a variable, and its rank among the fields of that quantity."""
    standard_name = str(attrs.get("standard_name", ""))
    for kind, known in KINDS.items():
        by_name = _find_match(name.lower(), known.names)
        by_standard_name = _find_match(standard_name, known.standard_names)
        if by_standard_name < len(known.standard_names):
            return kind, (by_name, by_standard_name)
    for kind, known in KINDS.items():
        by_name = _find_match(name.lower(), known.names)
        if by_name < len(known.names):
            return kind, (by_name, len(known.standard_names))
    return None


def _find_match(text: str, patterns: Sequence[str]) -> int:
    """Return the number of the first pattern that the whole text matches, or how many there are."""
    return next((k for k, pattern in enumerate(patterns) if re.fullmatch(pattern, text)), len(patterns))
