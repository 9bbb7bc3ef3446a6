"""Quantities that are derived from a filled field, with the errors of the filling."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any

import xarray as xr

from ..io.targets import check_targets, list_paths, lock
from ..io.writing import check_writable, write_dataset
from ..keywords import take_keywords
from .climatology import derive_anomalies
from .fronts import derive_fronts, derive_gradient
from .geostrophy import derive_currents
from .heatwaves import derive_heatwaves
from .maps import FilledMaps, make_dataset, open_filled
from .options import USES, Derived, DeriveOptions
from .resolution import derive_resolution

_DERIVATIONS: dict[str, Callable[[FilledMaps, DeriveOptions], Derived]] = {
    "geostrophic": derive_currents,
    "gradient": derive_gradient,
    "fronts": derive_fronts,
    "anomalies": derive_anomalies,
    "heatwaves": derive_heatwaves,
    "resolution": derive_resolution,
}
assert _DERIVATIONS.keys() == USES.keys()


@take_keywords(DeriveOptions)
def derive(
    filled: str | os.PathLike[str] | xr.Dataset,
    output: str | os.PathLike[str] | None = None,
    *,
    what: str,
    variable: str | None = None,
    attributes: Mapping[str, Any] | None = None,
    overwrite: bool = False,
    **options: Any,
) -> xr.Dataset:
    """Derive a quantity from a filled field, with its standard error or probability.

    Derivatives are those of the analysis; anomalies and heatwaves those of the filled values. Errors come
    from the posterior draws where the file has them, otherwise from the standard errors and a correlation
    length.

    Parameters
    ----------
    filled
        A file or dataset that `fill` wrote.
    output
        The NetCDF file or Zarr store to write.
    what
        "geostrophic" (currents of a sea level, m/s), "gradient" (units per km), "fronts", "anomalies" (from
        a climatology, with percentiles), "heatwaves" (Hobday et al. 2016) or "resolution" (effective
        resolution, km).
    variable
        The filled variable; by default the first.
    attributes
        Global attributes of the result, such as ``{"creator_name": "..."}``.
    overwrite
        Whether an ``output`` that oceanfill wrote is replaced.
    length
        Correlation length in km of the errors, for geostrophic and gradient: instead of the samples or of
        the covariance that was fitted.
    threshold
        Least gradient of a front, in the units of the variable per km; by default the 90th percentile.
    climatology, baseline
        A file with a longer record of the variable on the same grid, and the dates to use.
    truth, span
        Maps or points along tracks to compare spectra with, and the length of the segments in km.

    Returns
    -------
    xarray.Dataset
        The derived variables on the grid of the file; those of a resolution are on boxes.

    Raises
    ------
    InputError
        For a file that has not what the quantity needs, and for options that do not go with it.

    Examples
    --------
    >>> import oceanfill
    >>> part = {"region": (37, 38, -12, -11), "period": "2024-04-01/2024-04-10"}
    >>> filled = oceanfill.fill("sample:sst_clouds.nc", method="oi", **part)
    >>> fronts = oceanfill.derive(filled, what="fronts", threshold=0.05)
    >>> list(fronts.data_vars)
    ['sst_front']
    """
    chosen = DeriveOptions(**options)
    chosen.check(what)
    if output is not None:
        check_writable(output)
        check_targets([output], list_paths([filled, chosen.climatology, chosen.truth]), overwrite=overwrite)
    with lock(output), open_filled(filled, variable) as maps:
        found = _DERIVATIONS[what](maps, chosen)
        dataset = make_dataset(
            maps, found.parts, found.title, {**(found.attributes or {}), **(attributes or {})}
        )
        if output is not None:
            write_dataset(dataset, output)
        return dataset.load()
