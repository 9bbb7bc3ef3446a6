"""A filled file in the format of a provider's product: one file for each date, or one series."""

from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
import pandas as pd
import xarray as xr

from ..derived.geostrophy import find_currents
from ..derived.maps import FilledMaps, find_factor, open_filled
from ..derived.spread import find_spread
from ..errors import InputError
from ..io.alignment import turn_globe
from ..io.layout.coordinates import find_layout
from ..io.layout.dates import format_date
from ..io.layout.positions import read_grid
from ..io.maps.selection import open_maps
from ..io.opening import Opening
from ..io.providers.units import find_conversion
from ..io.reading import Inputs, list_inputs
from ..io.targets import check_targets, list_paths, lock
from ..io.variables import name_variables
from ..io.writing import check_folder, replace_atomically, write_dataset
from .attributes import check_attributes, find_step, make_attributes
from .colour import COLOUR
from .extras import open_given
from .ghrsst import GHRSST
from .layers import Extras, Format, check_packed
from .sealevel import SEA_LEVEL

FORMATS: dict[str, Format] = {"ghrsst": GHRSST, "cmems-ssh": SEA_LEVEL, "cmems-oc": COLOUR}
_ICE = "sea_ice_fraction", "sea_ice_area_fraction", "ice_conc", "siconc", "sic", "ice"
_MDT = "mdt", "mean_dynamic_topography"

_log = logging.getLogger(__name__)


def export(
    filled: str | os.PathLike[str] | xr.Dataset,
    output: str | os.PathLike[str],
    *,
    format: str,
    variable: str | None = None,
    ice: Any = None,
    mdt: Any = None,
    attributes: Mapping[str, Any] | None = None,
    overwrite: bool = False,
) -> list[Path]:
    """Write a filled field in the format of a provider's product.

    Parameters
    ----------
    filled
        A file or dataset that `fill` wrote.
    output
        A folder for one file a date, which is made where it does not exist, or a file ``.nc`` for the series
        of all dates.
    format
        "ghrsst" (GDS 2.1 level 4, kelvin), "cmems-ssh" (heights and geostrophic currents as DUACS, m and
        m/s) or "cmems-oc" (chlorophyll, mg m-3).
    variable
        The filled variable; by default the first of this kind.
    ice
        A file or dataset of sea ice concentration on any grid, for ghrsst and cmems-ssh.
    mdt
        A file or dataset of the mean dynamic topography in metres, for cmems-ssh: adt is sla + mdt.
    attributes
        Global attributes, such as ``{"creator_name": "..."}``.
    overwrite
        Whether files that oceanfill wrote are replaced.

    Returns
    -------
    list of Path
        The files that were written.

    Raises
    ------
    InputError
        For a file that does not fit the format, and for what cannot be written. No file is written then.

    Examples
    --------
    >>> import oceanfill, tempfile
    >>> part = {"region": (37, 38, -12, -11), "period": "2024-04-01/2024-04-02"}
    >>> filled = oceanfill.fill("sample:sst_clouds.nc", method="nearest", **part)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     [path.name for path in oceanfill.export(filled, folder, format="ghrsst")]
    ['20240401120000-OCEANFILL-L4_GHRSST-SSTdepth-OCEANFILL-REG-v02.1-fv01.0.nc',
     '20240402120000-OCEANFILL-L4_GHRSST-SSTdepth-OCEANFILL-REG-v02.1-fv01.0.nc']
    """
    chosen, given = check_options(format, ice=ice, mdt=mdt), check_attributes(attributes)
    target = Path(output)
    series = target.suffix == ".nc"
    if series and not chosen.series:
        raise InputError(f"{target}: {format} has one file for each date; give a folder, without .nc")
    with _open(filled, variable, chosen) as maps:
        dates, step = _find_dates(maps), find_step(maps)
        described = [make_attributes(maps, format, date, step, given) for date in dates]
        described = [found | chosen.describe(found) | given for found in described]
        if series:
            described[0]["time_coverage_end"] = described[-1]["time_coverage_end"]
            targets = [target]
        else:
            names = [chosen.name(maps, date, own) for date, own in zip(dates, described, strict=True)]
            _check_names(maps, names, dates)
            check_product_folder(target)
            targets = [target / name for name in names]
        if series or target.exists():
            check_targets(targets, list_paths([filled, ice, mdt]), overwrite=overwrite)
        extras = _open_extras(maps, chosen, ice, mdt)
        with lock(target), tempfile.TemporaryDirectory(prefix=".oceanfill-", dir=target.parent) as made:
            paths = [Path(made) / f"{number}.nc" for number in range(len(dates))]
            for number, path in enumerate(paths):
                day = replace(maps, dataset=maps.dataset.isel({maps.layout.t: [number]}))
                write_dataset(_make_day(day, chosen, extras, described[number]), path)
            if series:
                _join(paths, target)
            else:
                target.mkdir(exist_ok=True)
                for path, place in zip(paths, targets, strict=True):
                    path.replace(place)
    return targets


def find_format(name: str) -> Format:
    """Return a format by its name. Raises `InputError` for one that does not exist."""
    if name not in FORMATS:
        raise InputError(f"there is no format {name!r}; choose one of {', '.join(FORMATS)}")
    return FORMATS[name]


def check_options(format: str, *, ice: Any = None, mdt: Any = None) -> Format:
    """Return a format. Raises `InputError` for one that does not exist, and for files it has no use for."""
    chosen = find_format(format)
    if mdt is not None and chosen is not SEA_LEVEL:
        raise InputError(f"{format} has no mean dynamic topography; leave out mdt=")
    if ice is not None and chosen is COLOUR:
        raise InputError(f"{format} has no sea ice; leave out ice=")
    return chosen


def check_variable(inputs: Inputs, opening: Opening, format: str) -> None:
    """Raise `InputError` where the variable that would be filled does not fit a format."""
    chosen = find_format(format)
    with open_maps(list_inputs(inputs)[0], opening) as (file, dataset):
        names = name_variables(inputs, opening)
        layout = find_layout(file, dataset, names[0])
        units = str(dataset[layout.variable].attrs.get("units", ""))
        find_factor(file, layout.variable, units, (chosen.units, chosen.quantity), offset=chosen.offset)


def check_product_folder(folder: Path) -> None:
    """Raise `InputError` unless files of a product can be written into a folder or the folder be made."""
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder}: it is a file; give a folder, or for a series a name that ends in .nc")
    check_folder(folder / "x.nc" if folder.exists() else folder)


@contextmanager
def _open(filled: Any, variable: str | None, chosen: Format) -> Iterator[FilledMaps]:
    """Yield the maps of the variable with columns from the date line on, after its units were checked."""
    with open_filled(filled, variable) as maps:
        if variable is None:
            maps = next((one for one in maps.list_filled() if _fits(one, chosen)), maps)
        maps.find_factor(chosen.units, chosen.quantity, chosen.offset)
        dataset = turn_globe(maps.dataset, maps.layout)
        lat, lon = read_grid(maps.file, dataset, maps.layout)
        lon = lon - 360 * np.floor((lon[0, 0] + 180) / 360)
        yield replace(maps, dataset=dataset, lat=lat[:, 0], lon=lon[0])


_LEAPS = {"units_metadata": "leap_seconds: none"}  # CF 1.11, section 4.4


def _fits(maps: FilledMaps, chosen: Format) -> bool:
    found = find_conversion(maps.units, chosen.units) if maps.units else None
    return found is not None and (chosen.offset or not found[1])


def _find_dates(maps: FilledMaps) -> pd.DatetimeIndex:
    dates = maps.dates
    if not isinstance(dates, pd.DatetimeIndex):
        raise InputError(
            f"{maps.file}: a product has dates in the standard calendar, and the file uses "
            f"{getattr(dates, 'calendar', 'another')}; convert the dates"
        )
    return dates


def _check_names(maps: FilledMaps, names: list[str], dates: pd.DatetimeIndex) -> None:
    """Raise `InputError` where two dates would have the same file."""
    twice = next((number for number, name in enumerate(names) if name in names[:number]), None)
    if twice is not None:
        raise InputError(
            f"{maps.file}: several maps of {format_date(dates[twice])} would have the same file; write a "
            "series, with a name that ends in .nc"
        )


def _open_extras(maps: FilledMaps, chosen: Format, ice: Any, mdt: Any) -> Extras:
    found = Extras(
        None if ice is None else open_given(ice, _ICE, ("1", "sea ice concentration"), default="1")
    )
    if chosen is not SEA_LEVEL:
        return found
    if mdt is not None:
        mean = open_given(mdt, _MDT, ("m", "a mean dynamic topography"))
        found = replace(found, mdt=mean.regrid(maps, maps.dates[0]))
    spread = find_spread(maps)
    if spread is None:
        message = (
            "%s: err_ugosa and err_vgosa are left out, because it has no samples and no fitted covariance"
        )
        _log.info(message, maps.file)
    currents = find_currents(maps.find_sea(), maps.lat, maps.lon, maps.cyclic)
    return replace(found, currents=currents, spread=spread)


def _make_day(maps: FilledMaps, chosen: Format, extras: Extras, attributes: Mapping[str, Any]) -> xr.Dataset:
    """Return the product of the only date of the maps."""
    lat, lon = chosen.axes
    axes = {
        "time": (
            "time",
            maps.dates,
            {"long_name": "reference time", "standard_name": "time", "axis": "T"} | _LEAPS,
        ),
        lat: (lat, maps.lat.astype(np.float32), _describe_axis("latitude", "degrees_north", "Y", maps.lat)),
        lon: (lon, maps.lon.astype(np.float32), _describe_axis("longitude", "degrees_east", "X", maps.lon)),
    }
    made = xr.Dataset(coords=axes, attrs=dict(attributes))
    made["time"].encoding = dict(chosen.time) | {"_FillValue": None}
    for name in (lat, lon):
        made[name].encoding = {"_FillValue": None}
    for name, layer in chosen.make(maps, extras).items():
        check_packed(maps.file, name, layer)
        made[name] = (("time", lat, lon), layer.maps[None], dict(layer.attrs))
        rows = min(maps.lat.size, max(2**20 // (4 * maps.lon.size), 1))
        compressed = {"zlib": True, "complevel": 4, "shuffle": True, "chunksizes": (1, rows, maps.lon.size)}
        made[name].encoding = dict(layer.encoding) | compressed
    if any("grid_mapping" in array.attrs for array in made.data_vars.values()):
        made["crs"] = ((), np.int32(0), _EARTH)
    return made


_EARTH = {
    "long_name": "coordinate reference system",
    "grid_mapping_name": "latitude_longitude",
    "semi_major_axis": 6371000.0,
    "inverse_flattening": 0.0,
}


def _describe_axis(name: str, units: str, axis: str, values: Any) -> dict[str, Any]:
    return {
        "long_name": name,
        "standard_name": name,
        "units": units,
        "axis": axis,
        "valid_min": np.float32(values.min()),
        "valid_max": np.float32(values.max()),
    }


def _join(paths: list[Path], target: Path) -> None:
    """Write files of one date each as a series, one after another, as they are stored."""
    with replace_atomically(target) as temporary:
        paths[0].replace(temporary)
        with netCDF4.Dataset(temporary, "a") as series:
            series.set_auto_maskandscale(False)
            for number, path in enumerate(paths[1:], 1):
                with netCDF4.Dataset(path) as day:
                    day.set_auto_maskandscale(False)
                    for name, array in day.variables.items():
                        if "time" in array.dimensions:
                            series[name][number] = array[0]
