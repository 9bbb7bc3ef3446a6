"""Surface geostrophic currents of a filled sea level."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..io.layout.positions import EARTH_RADIUS
from .maps import FilledMaps, describe_variable
from .options import Derived, DeriveOptions
from .spread import make_spread
from .stencils import Operator, differentiate

GRAVITY = 9.81  # m s-2
ROTATION = 7.2921e-5  # s-1
_BAND = 2.2  # degrees, of the beta plane's weight (Lagerloef et al. 1999, doi:10.1029/1999JC900197)
_BAND_ENDS = 8.0  # degrees, where that weight is below 2e-6
_ANOMALY = re.compile(r"above_(mean_)?sea_level")


def find_currents(
    sea: NDArray[np.bool_], lat: NDArray[np.float64], lon: NDArray[np.float64], cyclic: bool
) -> tuple[Operator, Operator]:
    """Return the operators from a sea level in metres to the eastward and the northward current in m/s.

    Off the equator they are -g/f dh/dy and g/f dh/dx. Near it f vanishes, and the derivatives of the balance
    in y hold, -g/beta d2h/dy2 and g/beta d2h/dxdy. The weight of the latter is exp(-(lat/2.2)^2)
    (Lagerloef et al. 1999).
    """
    east, north = differentiate(sea, lat, lon, cyclic)
    coriolis = 2 * ROTATION * np.sin(np.radians(lat))
    beta = 2 * ROTATION * np.cos(np.radians(lat)) / (1000 * EARTH_RADIUS)
    weight = np.where(np.abs(lat) < _BAND_ENDS, np.exp(-((lat / _BAND) ** 2)), 0.0)
    safe = np.where(coriolis == 0, 1.0, coriolis)
    factor = np.where(coriolis == 0, 0.0, GRAVITY * (1 - weight) / safe)
    u, v = (operator.scale(_fill(part, sea)) for operator, part in ((north, -factor), (east, factor)))
    if not weight.any():
        return u, v
    near = GRAVITY * weight / beta
    return _add(u, (north @ north).scale(_fill(-near, sea)), weight), _add(
        v, (north @ east).scale(_fill(near, sea)), weight
    )


def _fill(rows: NDArray[np.float64], sea: NDArray[np.bool_]) -> NDArray[np.float64]:
    return np.broadcast_to(rows[:, None], sea.shape)


def _add(off: Operator, near: Operator, weight: NDArray[np.float64]) -> Operator:
    """Return the sum; where the equatorial one has no weight, it need not be defined."""
    columns = off.defined.size // weight.size
    needed = np.repeat(weight > 0, columns)
    return Operator(off.matrix + near.matrix, off.defined & (near.defined | ~needed))


def is_anomaly(maps: FilledMaps) -> bool:
    """Whether a sea level is an anomaly (sla), not an absolute dynamic topography (adt)."""
    standard = str(maps.attrs.get("standard_name", ""))
    return bool(_ANOMALY.search(standard)) or maps.name.lower().startswith("sla")


def describe_current(component: str, anomaly: bool) -> dict[str, Any]:
    """Return the attributes of the "eastward" or "northward" current."""
    standard = f"surface_geostrophic_{component}_sea_water_velocity"
    standard += "_assuming_sea_level_for_geoid" if anomaly else ""
    what = f"{component} geostrophic current" + (" anomaly" if anomaly else "")
    return describe_variable(what, "m s-1", standard)


def derive_currents(maps: FilledMaps, options: DeriveOptions) -> Derived:
    """Return the current of each date with its standard error."""
    factor = maps.find_factor("m", "a sea level")[0]
    operators = find_currents(maps.find_sea(), maps.lat, maps.lon, maps.cyclic)
    anomaly, spread = is_anomaly(maps), make_spread(maps, options.length)
    parts: dict[str, tuple[Any, ...]] = {}
    for component, letter, operator in zip(("eastward", "northward"), "uv", operators, strict=True):
        name, attrs = f"{letter}gos{'a' * anomaly}", describe_current(component, anomaly)
        parts |= spread.derive(name, operator.scale(np.full(maps.shape, factor)), attrs)
    return Derived(parts, f"geostrophic current of {maps.attrs.get('long_name', maps.name)}")
