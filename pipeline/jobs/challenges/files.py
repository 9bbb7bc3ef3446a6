"""The files of the public SSH mapping challenges, in the folders that they come in.

2020a (doi:10.24400/527896/a01-2020.002): ``dc_obs/2020a_SSH_mapping_NATL60_MISSION.nc``, of which that of
SWOT's swath has points across the track, and ``dc_ref/NATL60-CJM165_GULFSTREAM_yYYYYmMMdDD.1h_SSH.nc``.
2021a (doi:10.24400/527896/a01-2021.005): ``dc_obs/dt_*_MISSION_phy_l3_*.nc`` and ``dc_maps/mdt.nc``.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from ...errors import InputError
from ...io.layout.coordinates import list_names
from ...io.reading import open_input

Floats = NDArray[np.floating]
_REFERENCE = "NATL60-CJM165_GULFSTREAM_y{0:%Y}m{0:%m}d{0:%d}.1h_SSH.nc"


class Points(NamedTuple):
    """Sea levels (n,) along tracks, in the order of the files."""

    time: NDArray[np.datetime64]
    lat: Floats  # degrees north
    lon: Floats  # degrees east, 0 to 360
    level: Floats  # m

    def within(
        self, region: tuple[float, float, float, float], first: pd.Timestamp, last: pd.Timestamp
    ) -> Points:
        """Those in a region (lat0, lat1, lon0, lon1) and between two times; its rim and both ends count."""
        lat0, lat1, lon0, lon1 = region
        here = (self.lat >= lat0) & (self.lat <= lat1) & (self.lon >= lon0) & (self.lon <= lon1)
        here &= (self.time >= first.to_datetime64()) & (self.time <= last.to_datetime64())
        return Points(self.time[here], self.lat[here], self.lon[here], self.level[here])


def find_file(folder: Path, pattern: str) -> Path:
    """The file of a folder that matches. Raises `InputError` where there is none, or more than one."""
    found = sorted(folder.glob(pattern))
    if len(found) != 1:
        what = "no file matches" if not found else f"{len(found)} files match"
        raise InputError(
            f"{folder}: {what} {pattern!r}, and one is expected; give --data the folder of the challenge "
            "with its files unpacked as they come (dc_obs next to dc_ref or dc_maps)"
        )
    return found[0]


def read_points(
    path: Path, terms: Mapping[str, float], lat: str = "lat", lon: str = "lon", averaged: int = 1
) -> Points:
    """The weighted sum of variables (time) or (time, across) of a file, where it is finite.

    ``averaged`` values that follow each other in time are made one, as the challenges' baseline has it.
    Raises `InputError` for a file that cannot be read, for variables that are not there, and for no dates.
    """
    with open_input(str(path)) as (file, dataset):
        _check(file, dataset, ["time", lat, lon, *terms])
        if dataset["time"].dtype.kind != "M":
            raise InputError(
                f"{file}: its times are {dataset['time'].dtype} and no dates of the standard calendar; fetch "
                "the challenge's own file"
            )
        data = dataset.set_coords("time")[[lat, lon, *terms]].load()
    data[lon] = data[lon] % 360
    if averaged > 1:
        data = data.coarsen(time=averaged, boundary="trim").mean()
    level = sum(weight * data[name] for name, weight in terms.items())
    assert isinstance(level, xr.DataArray)
    known = np.isfinite(level.to_numpy())
    parts = (data[name].broadcast_like(level).transpose(*level.dims) for name in ("time", lat, lon))
    return Points(*(part.to_numpy()[known] for part in (*parts, level)))


def join_points(parts: list[Points]) -> Points:
    """The points of several files."""
    return Points(*(np.concatenate(values) for values in zip(*parts, strict=True)))


def read_reference(folder: Path, dates: pd.DatetimeIndex) -> xr.DataArray:
    """(time, lat, lon) daily means of the simulated sea level, longitudes 0 to 360.

    Raises `InputError` for a date without its file, and for files that cannot be read.
    """
    days = []
    for date in dates:
        with open_input(str(find_file(folder, _REFERENCE.format(date)))) as (file, dataset):
            _check(file, dataset, ["time", "lat", "lon", "sossheig"])
            days.append(dataset["sossheig"].mean("time").compute())
    joint = xr.concat(days, pd.Index(dates, name="time"))
    return joint.assign_coords(lon=joint.lon % 360).transpose("time", "lat", "lon")


def read_mean_topography(folder: Path) -> xr.DataArray:
    """(lat, lon) the mean dynamic topography (m) that is added to anomalies, longitudes 0 to 360."""
    with open_input(str(find_file(folder, "mdt.nc"))) as (file, dataset):
        _check(file, dataset, ["lat", "lon", "mdt"])
        mean = dataset["mdt"].squeeze(drop=True).load()
    return mean.assign_coords(lon=mean.lon % 360).sortby(["lat", "lon"])


def _check(file: str, dataset: xr.Dataset, names: list[str]) -> None:
    lacking = [name for name in names if name not in dataset.variables]
    if lacking:
        raise InputError(
            f"{file}: there is no {list_names(lacking)}, which this file of the challenge should have "
            f"(it has {list_names(dataset.variables)}); fetch the challenge's own file"
        )
