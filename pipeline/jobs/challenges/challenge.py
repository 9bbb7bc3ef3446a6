"""The public SSH mapping challenges: a leaderboard row for a method, from the challenge's own files.

github.com/ocean-data-challenges: 2020a_SSH_mapping_NATL60 maps tracks over a simulation and is scored on it;
2021a_SSH_mapping_OSE maps six altimeters of 2017 and is scored along the tracks of a seventh, CryoSat-2.
"""

from __future__ import annotations

import logging
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import ClassVar, NamedTuple

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray
from scipy import linalg
from scipy.interpolate import RegularGridInterpolator
from scipy.spatial.distance import cdist

from ...errors import InputError
from ...holdout import spectra
from ...io.opening import Opening
from ...io.targets import check_targets
from ...io.writing import write_dataset
from ...progress import progress
from ...settings import FillSettings
from ..methods import find_method, find_methods
from ..tracks import fill_tracks
from .files import Points, find_file, join_points, read_mean_topography, read_points, read_reference

_log = logging.getLogger(__name__)

Floats = NDArray[np.floating]
BASELINE = "baseline"
_REGION = 33.0, 43.0, 295.0, 305.0  # of both challenges: lat0, lat1, lon0, lon1
_AROUND = 32.0, 44.0, 294.0, 306.0  # what is seen
_DAYS_AROUND = 14  # that are seen after the last map
# The challenges' own optimal interpolation: covariance exp(-(d / L)^2), values 5 by 5, those of 2 L_t.
_BASELINE_STEP, _BASELINE_AVERAGED, _BASELINE_NOISE = 0.2, 5, 0.05
_SCALES = np.array([7.0, 1.0, 1.0])  # days, degrees of latitude and longitude
_MOST = 30_000  # values that one matrix holds
_TRACK_RIM = 0.25  # degrees inside the region that are not scored


class Row(NamedTuple):
    """A line of a leaderboard."""

    method: str
    observations: str
    mu: float
    sigma: float | None
    lambda_x: float
    lambda_t: float | None = None  # days
    seconds: float | None = None  # of a line of ours


class Challenge(ABC):
    """A challenge's folder: the observations to map, the dates, and the scores of maps.

    The reference data are read first, so a missing file is reported before hours are spent on mapping.
    """

    # Files by their names on the leaderboard; the usual ones first.
    missions: ClassVar[dict[str, tuple[str, ...]]]
    published: ClassVar[tuple[Row, ...]]
    unit: ClassVar[str]  # of lambda_x
    first_seen: ClassVar[pd.Timestamp]
    dates: ClassVar[pd.DatetimeIndex]  # of the maps that are scored
    noon: ClassVar[bool]  # maps are compared with daily means, not with fields at midnight

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def read_observations(self, observations: str, averaged: int = 1) -> dict[str, Points]:
        """Return the observations to map, in the region and a degree around it, by mission."""
        last = self.dates[-1] + pd.Timedelta(days=_DAYS_AROUND)
        points = {
            name: self._read(name, averaged).within(_AROUND, self.first_seen, last)
            for name in self.missions[observations]
        }
        points = {name: part for name, part in points.items() if len(part.level)}
        if not points:
            raise InputError(
                f"{self.folder}: no value of {observations} lies in the region and the dates of the "
                "challenge; give --data the folder of this challenge"
            )
        return points

    @abstractmethod
    def _read(self, mission: str, averaged: int) -> Points:
        """Read a file of observations."""

    def to_scored_level(self, maps: xr.DataArray) -> xr.DataArray:
        """Return the sea level to score (time, lat, lon) from maps of the observed quantity."""
        return maps

    @abstractmethod
    def score(self, levels: xr.DataArray) -> dict[str, float]:
        """Return mu, sigma, lambda_x (and lambda_t) of sea levels (time, lat, lon) on the ``dates``."""


class Simulated(Challenge):
    """2020a: from 22 October to 2 December 2012, against the daily means of the simulation."""

    _NADIRS = "jason1", "topex-poseidon_interleaved", "envisat", "geosat2"
    _SWOT = "karin_swot", "nadir_swot"
    missions: ClassVar = {
        "4-nadirs": _NADIRS,
        "1-nadir": _NADIRS[:1],
        "swot": _SWOT,
        "swot+4-nadirs": (*_SWOT, *_NADIRS),
    }
    published: ClassVar = (
        Row("DUACS", "4-nadirs", 0.92, 0.01, 1.42, 12.1),
        Row("4DVarNet v2022", "4-nadirs", 0.94, 0.01, 0.83, 8.0),
        Row("4DVarQG", "4-nadirs", 0.95, 0.01, 0.82, 5.8),
        Row("4DVarNet", "swot+4-nadirs", 0.96, None, 0.62, 4.35),
    )
    unit: ClassVar = "°"
    first_seen: ClassVar = pd.Timestamp("2012-10-01")
    dates: ClassVar = pd.date_range("2012-10-22", "2012-12-02")
    noon: ClassVar = True

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.truth = read_reference(folder / "dc_ref", self.dates)

    def _read(self, mission: str, averaged: int) -> Points:
        path = find_file(self.folder / "dc_obs", f"2020a_SSH_mapping_NATL60_{mission}.nc")
        return read_points(path, {"ssh_model": 1}, averaged=averaged)

    def score(self, levels: xr.DataArray) -> dict[str, float]:
        truth = self.truth.to_numpy()
        found = interpolate_maps(levels, self.truth).to_numpy()
        mu, sigma = spectra.skill(found, truth)
        days = np.arange(len(self.dates), dtype=float)
        lambda_x, lambda_t = spectra.resolution(found, truth, days, self.truth.lon.to_numpy())
        return {"mu": mu, "sigma": sigma, "lambda_x": lambda_x, "lambda_t": lambda_t}


class Observed(Challenge):
    """2021a: the maps of 2017, at midnight, interpolated to CryoSat-2's tracks, which no map has seen."""

    missions: ClassVar = {"6-nadirs": ("alg", "h2g", "j2g", "j2n", "j3", "s3a")}
    published: ClassVar = (
        Row("baseline", "6-nadirs", 0.85, None, 140),
        Row("DUACS", "6-nadirs", 0.88, None, 152),
        Row("4DVarNet v2022", "6-nadirs", 0.89, None, 109),
        Row("ConvLSTM, with SST", "6-nadirs", 0.90, None, 100),
    )
    unit: ClassVar = "km"
    first_seen: ClassVar = pd.Timestamp("2016-12-01")
    dates: ClassVar = pd.date_range("2017-01-01", "2017-12-31")
    noon: ClassVar = False

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.mean = read_mean_topography(folder / "dc_maps")
        lat0, lat1, lon0, lon1 = _REGION
        inside = lat0 + _TRACK_RIM, lat1 - _TRACK_RIM, lon0 + _TRACK_RIM, lon1 - _TRACK_RIM
        truth = self._track("c2", {"sla_unfiltered": 1, "mdt": 1, "lwe": -1})
        self.truth = truth.within(inside, self.dates[0], self.dates[-1])

    def _read(self, mission: str, averaged: int) -> Points:
        return self._track(mission, {"sla_unfiltered": 1}, averaged)

    def _track(self, mission: str, terms: dict[str, float], averaged: int = 1) -> Points:
        path = find_file(self.folder / "dc_obs", f"dt_*_{mission}_phy_l3_*.nc")
        return read_points(path, terms, "latitude", "longitude", averaged)

    def to_scored_level(self, maps: xr.DataArray) -> xr.DataArray:
        return maps + interpolate_maps(self.mean, maps)

    def score(self, levels: xr.DataArray) -> dict[str, float]:
        truth = self.truth
        days = _days(truth.time, self.dates[0])
        axes = _days(levels.time.to_numpy(), self.dates[0]), levels.lat.to_numpy(), levels.lon.to_numpy()
        found = RegularGridInterpolator(axes, levels.to_numpy())(np.stack([days, truth.lat, truth.lon], -1))
        mu, sigma = spectra.track_skill(found, truth.level, days)
        return {
            "mu": mu,
            "sigma": sigma,
            "lambda_x": spectra.track_resolution(found, truth.level, days * 86400),
        }


CHALLENGES: dict[str, type[Challenge]] = {"2020a": Simulated, "2021a": Observed}


def challenge(
    name: str,
    folder: Path,
    methods: Sequence[str] = (BASELINE, "oi"),
    *,
    observations: str | None = None,
    step: float = 0.1,
    settings: FillSettings | None = None,
    output: Path | None = None,
    overwrite: bool = False,
) -> list[Row]:
    """Map a challenge's observations with each method and score the maps by the challenge's definitions.

    ``methods`` are "baseline", the challenge's own optimal interpolation, and the names of
    `methods.find_methods`, with which `fill_tracks` fills a grid of ``step`` degrees; the row has the name of
    the candidate that was delivered, where that is another. The maps of each method are written to the folder
    ``output``, as ``ssh`` (time, lat, lon), in place of earlier ones only if ``overwrite``.
    Raises `InputError` for unknown names and for a folder that lacks files.
    """
    if name not in CHALLENGES:
        raise InputError(f"there is no challenge {name!r}; choose one of {', '.join(CHALLENGES)}")
    missions = CHALLENGES[name].missions
    chosen = observations or next(iter(missions))
    wrong = [method for method in methods if method != BASELINE and method not in find_methods()]
    if wrong or chosen not in missions:
        what, choice = (wrong, (BASELINE, *find_methods())) if wrong else ([chosen], tuple(missions))
        raise InputError(f"challenge {name} has no {', '.join(what)}; choose among {', '.join(choice)}")
    if output is not None:
        check_targets([output / f"{name}_{chosen}_{method}.nc" for method in methods], overwrite=overwrite)
    settings = settings or FillSettings()
    task = CHALLENGES[name](folder)
    rows = []
    for method in sorted(methods, key=lambda method: method != BASELINE):  # first what may be refused
        if not settings.quiet:
            _log.info("%s of %s", method, chosen)
        start = time.perf_counter()
        shown = method
        if method == BASELINE:
            points = join_points(list(task.read_observations(chosen, _BASELINE_AVERAGED).values()))
            maps = map_baseline(points, task.dates, quiet=settings.quiet)
        else:
            filled = fill_tracks(
                make_track_dataset(task.read_observations(chosen), task.noon),
                Opening(grid=step, bounds=_AROUND),
                replace(settings, method=method),
            )
            maps = filled["ssh_analysis"].rename(latitude="lat", longitude="lon").reindex(time=task.dates)
            if find_method(method).trains and filled.attrs["delivered"] != method:
                shown = f"{method}: {filled.attrs['delivered']}"
        levels = task.to_scored_level(maps)
        seconds = time.perf_counter() - start
        if output is not None:
            kept = levels.drop_attrs().assign_attrs(units="m", long_name=f"sea level by {shown}")
            whole = kept.to_dataset(name="ssh").assign_attrs(source=f"oceanfill, {shown}")
            write_dataset(whole, output / f"{name}_{chosen}_{method}.nc")
        try:
            rows.append(Row(shown, chosen, **task.score(levels), seconds=seconds))
        except ValueError as error:
            raise InputError(f"{folder}: the maps cannot be scored ({error}); check its files") from error
    return rows


def map_baseline(points: Points, dates: pd.DatetimeIndex, quiet: bool = True) -> xr.DataArray:
    """Map values within 14 days by the challenges' optimal interpolation (time, lat, lon), at midnight.

    Raises `InputError` for more values than one matrix can hold, such as those of a swath.
    """
    lat0, lat1, lon0, lon1 = _REGION
    lat, lon = (
        np.linspace(low, high, round((high - low) / _BASELINE_STEP) + 1)
        for low, high in ((lat0, lat1), (lon0, lon1))
    )
    days = _days(points.time, dates[0])
    place = np.stack([days, points.lat, points.lon], axis=-1) / _SCALES
    seen = [np.abs(days - date) < 2 * _SCALES[0] for date in range(len(dates))]
    most = max(np.count_nonzero(near) for near in seen)
    if most > _MOST:
        raise InputError(
            f"the baseline has {most} values within two weeks of a date and solves for {_MOST} at most; "
            "leave SWOT's swath out, or choose another method"
        )
    maps = []
    with progress(BASELINE, len(dates), quiet) as advance:
        for date, near in enumerate(seen):
            known = place[near]
            covariance = np.exp(-cdist(known, known, "sqeuclidean"))
            covariance[np.diag_indices_from(covariance)] += _BASELINE_NOISE**2
            weight = linalg.solve(covariance, points.level[near], assume_a="pos", overwrite_a=True)
            cells = np.stack(np.meshgrid(date, lat, lon, indexing="ij"), axis=-1).reshape(-1, 3) / _SCALES
            maps.append(np.exp(-cdist(cells, known, "sqeuclidean")) @ weight)
            advance(1)
    shape = len(dates), len(lat), len(lon)
    return xr.DataArray(np.reshape(maps, shape), {"time": dates, "lat": lat, "lon": lon})


def make_track_dataset(seen: Mapping[str, Points], noon: bool) -> xr.Dataset:
    """Return ``ssh`` at the points of missions as a dataset that `fill_tracks` reads.

    With ``noon`` the map of a date is that of its noon instead of its midnight.
    """
    points = join_points(list(seen.values()))
    mission = np.repeat(list(seen), [len(part.level) for part in seen.values()])
    order = np.argsort(points.time, kind="stable")
    shift = np.timedelta64(12, "h") if noon else np.timedelta64(0, "h")
    return xr.Dataset(
        {
            "ssh": ("time", points.level[order], {"units": "m"}),
            "mission": ("time", mission[order].astype(object)),
        },
        {
            "time": points.time[order] - shift,
            "latitude": ("time", points.lat[order], {"units": "degrees_north"}),
            "longitude": ("time", points.lon[order], {"units": "degrees_east"}),
        },
    )


def interpolate_maps(maps: xr.DataArray, grid: xr.DataArray) -> xr.DataArray:
    """Interpolate maps bilinearly to the ``lat`` and ``lon`` of another grid; rounding errors extrapolate."""
    return maps.interp(lat=grid.lat, lon=grid.lon, kwargs={"fill_value": "extrapolate"})


def _days(times: NDArray[np.datetime64], since: pd.Timestamp) -> Floats:
    return (times - since.to_datetime64()) / np.timedelta64(1, "D")
