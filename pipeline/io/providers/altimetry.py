"""The noise of filtered altimetry, which its own values no longer show.

A low-pass filter makes the errors of neighbouring points alike instead of removing them: the mean of many
points is as wrong as it was. Points that are used as if their errors were independent therefore need the
noise of the unfiltered values.
"""

from __future__ import annotations

from dataclasses import dataclass

_METRES = {"m": 1.0, "metre": 1.0, "metres": 1.0, "meter": 1.0, "meters": 1.0, "cm": 0.01, "mm": 0.001}


@dataclass(frozen=True)
class Noise:
    """The standard error of single values before they were filtered, and where that is from."""

    metres: float
    source: str


_NADIR = Noise(
    0.02,
    # TOPEX 1.8 cm, Poseidon 2.0 cm, Geosat Follow-On 2.5 cm at a wave height of 2 m
    "1 Hz altimetry in waves of 2 m, Tran et al. 2002, J. Atmos. Oceanic Technol. 19, 2095",
)
_SWATH = Noise(
    0.0137,
    # 2.74 cm at 1 km, so half of it at 2 km
    "2 km values of SWOT in waves of 2 m, Science Requirements Document, JPL D-61923",
)
FILTERED: dict[str, Noise] = {  # by name of the variable
    "sla_filtered": _NADIR,
    "adt_filtered": _NADIR,
    "ssha_filtered": _SWATH,
    "ssha_noiseless": _SWATH,
}


def find_least_noise(name: str, units: str) -> tuple[float, str] | None:
    """Return the least standard error of a filtered variable in its ``units``, and its source.

    None for other variables.
    """
    noise = FILTERED.get(name.lower())
    return None if noise is None else (noise.metres / _METRES.get(units.strip().lower(), 1.0), noise.source)
