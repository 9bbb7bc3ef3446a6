"""A part of a field that follows maps without time, such as the depth of the sea: an external drift.

It is removed before a field is filled and added again, as in kriging with external drift (Goovaerts 1997,
Geostatistics for Natural Resources Evaluation, section 6.1.3; Hengl et al. 2007,
doi:10.1016/j.cageo.2007.05.001), so every method profits from such maps.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ..io.field import Field
from ..io.layout.coordinates import list_names

_LEAST_EXPLAINED = 0.02  # share of the variance within the maps, below which nothing is removed
_RIDGE = 1e-6  # relative, for maps that are alike

_log = logging.getLogger(__name__)


def is_static(field: Field) -> bool:
    """Whether all maps of a field are the same."""
    return bool(np.array_equal(field.values, np.broadcast_to(field.values[:1], field.values.shape), True))


def remove_drift(field: Field, covariates: Sequence[Field]) -> Field:
    """Return the field without its linear regression on the ``covariates``, which is kept as its `drift`.

    The coefficients are those of least squares on the departures from the mean of each date, so that they
    do not depend on which dates see which part of the map. Nothing is removed where the covariates explain
    less than two percent of the variance of these.
    """
    maps = np.stack([_standardise(one.values[0], field.sea) for one in covariates])
    squares, products, total = np.zeros((len(maps), len(maps))), np.zeros(len(maps)), 0.0
    for values, seen in zip(field.values, field.observed, strict=True):
        if seen.any():
            given, wanted = maps[:, seen], values[seen].astype(np.float64)
            given, wanted = given - given.mean(axis=1, keepdims=True), wanted - wanted.mean()
            squares += given @ given.T
            products += given @ wanted
            total += float(wanted @ wanted)
    ridge = _RIDGE * max(float(np.trace(squares)), 1e-30) * np.eye(len(maps))
    slopes = np.linalg.solve(squares + ridge, products)
    explained = float(slopes @ products) / max(total, 1e-30)
    names = list_names(one.name for one in covariates)
    if explained < _LEAST_EXPLAINED:
        _log.info("%s: %s explains %.1f%% of its maps; it is left out", field.name, names, 100 * explained)
        return field
    _log.info("%s: %s explains %.0f%% of its maps (linearly)", field.name, names, 100 * explained)
    drift = np.tensordot(slopes, maps, 1).astype(np.float32)
    return replace(field, values=field.values - drift, drift=drift)


def _standardise(values: NDArray[np.float32], sea: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return a map with the mean 0, also where it is missing, and the variance 1 at sea."""
    known = np.where(sea, values, np.nan).astype(np.float64)
    spread = np.nanstd(known)
    return np.nan_to_num((known - np.nanmean(known)) / (spread if spread > 0 else 1))
