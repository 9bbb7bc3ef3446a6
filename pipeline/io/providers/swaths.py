"""Swaths: values on lines and pixels whose positions differ from pass to pass."""

from __future__ import annotations

from itertools import product

import numpy as np
import xarray as xr

from ..layout.coordinates import find_candidates, is_time

POINT = "point"  # dimension of flattened swaths
# Dimensions of GHRSST's GDS 2.1, of OB.DAAC's level 2 files, of AVISO's and JPL's SWOT files and of others.
_LINES = frozenset(
    (
        *("nj", "ni", "number_of_lines", "pixels_per_line", "num_lines", "num_pixels", "num_sides"),
        *("scan", "scans", "scanline", "along_track", "cross_track", "rows", "columns", "nscan", "npix"),
    )
)


def find_swath(dataset: xr.Dataset) -> tuple[str, str] | None:
    """Return the latitude and the longitude of the pixels of a swath, or None where there is no swath.

    Both have the same two dimensions, or three with the time. So have grids with curved axes; in a swath the
    time runs along one of the two, or the positions change with time, or the dimensions are called lines and
    pixels and there is a single time.
    """
    times = [array for array in dataset.variables.values() if is_time(array)]
    candidates = [find_candidates(dataset, axis) for axis in ("latitude", "longitude")]
    for lat, lon in product(*candidates):
        dims = dataset[lat].dims
        if dims != dataset[lon].dims or len(dims) not in (2, 3):
            continue
        along = any(array.ndim and set(array.dims) < set(dims) for array in times)
        several = any(array.size > 1 for array in times)
        if along or len(dims) == 3 or (not several and _LINES.intersection(map(str, dims))):
            return lat, lon
    return None


def flatten_swath(dataset: xr.Dataset) -> xr.Dataset:
    """Return the pixels of a swath as points along one dimension; a dataset without a swath as it is.

    Values stay lazy. The time of a pixel is that of its line or of the file, to which GHRSST's ``sst_dtime``
    (seconds) is added.
    """
    found = find_swath(dataset)
    if found is None:
        return dataset
    dims = dataset[found[0]].dims
    sizes = {dim: dataset.sizes[dim] for dim in dims}
    flat = {}
    lone = [dim for dim in dataset.dims if dataset.sizes[dim] == 1 and dim not in dims]
    for name, array in dataset.reset_coords().squeeze(lone).chunk().variables.items():
        if set(array.dims) <= set(dims) and (array.ndim or is_time(dataset[name])):
            missing = {dim: size for dim, size in sizes.items() if dim not in array.dims}
            flat[name] = array.set_dims({**missing, **array.sizes}).transpose(*dims).stack({POINT: dims})
            flat[name].encoding = dataset[name].encoding
    made = xr.Dataset(flat, attrs=dataset.attrs)
    time = next((name for name, array in flat.items() if is_time(array)), None)
    delay = made.get("sst_dtime")
    if time is not None and delay is not None and str(delay.attrs.get("units", "")).startswith("s"):
        nanoseconds = (delay.fillna(0) * 1e9).astype("timedelta64[ns]")
        made[time] = made[time].astype("datetime64[ns]") + nanoseconds
        made = made.drop_vars("sst_dtime")
    return made


def have_same_positions(one: xr.Dataset, other: xr.Dataset) -> bool:
    """Whether two files with lines and pixels are on one grid with curved axes, and so no swaths."""
    found = find_swath(one)
    return found is not None and all(
        name in other and one[name].shape == other[name].shape and bool(np.allclose(one[name], other[name]))
        for name in found
    )
