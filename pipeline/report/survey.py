"""What a filled file holds date by date, read in slabs so that a large record fits into memory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from ..io.layout.coordinates import Layout, find_layout
from ..io.layout.positions import read_grid
from ..io.output import SOURCES

_SLAB = 20_000_000  # values that are read at once
_OBSERVED, _LAND = SOURCES.index("observed"), SOURCES.index("land")

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Survey:
    """What a file holds of a filled variable."""

    name: str
    attrs: Mapping[str, Any]  # of the variable
    layout: Layout
    dates: pd.Index
    lat: Floats  # (lat, lon)
    lon: Floats
    counts: NDArray[np.int64]  # (time, 5) cells by the flags of `output.SOURCES`
    error: Floats  # (time,) root mean square standard error; NaN where it is unknown

    @property
    def missing(self) -> Floats:
        """(time,) share of the sea without an observed value."""
        sea = self.counts.sum(axis=1) - self.counts[:, _LAND]
        return 1 - self.counts[:, _OBSERVED] / sea.clip(min=1)

    @property
    def totals(self) -> dict[str, int]:
        """Number of values at sea by their origin."""
        named = zip(SOURCES, self.counts.sum(axis=0).tolist(), strict=True)
        return {source.replace("_", " "): number for source, number in named if source != "land"}

    def find_ends(self) -> tuple[int, int]:
        """Return the numbers of the dates with the largest and the least standard error.

        Where it is unknown, they are the dates with most and fewest missing values.
        """
        order = self.error if np.isfinite(self.error).all() else self.missing
        return int(np.argmax(order)), int(np.argmin(order))


def survey_filled(dataset: xr.Dataset, name: str) -> Survey:
    """Survey a variable that `fill` wrote; the ``dataset`` may be lazy and larger than memory."""
    layout = find_layout("dataset", dataset, name)
    lat, lon = read_grid("dataset", dataset, layout)
    dates = dataset[layout.time].to_index()
    counts, errors = [], []
    step = max(_SLAB // max(lat.size, 1), 1)
    for start in range(0, len(dates), step):
        part = dataset.isel({layout.t: slice(start, start + step)})
        source, error = (
            part[f"{name}_{what}"].transpose(layout.t, ...).to_numpy().reshape(part.sizes[layout.t], -1)
            for what in ("source", "error")
        )
        for flags, values in zip(source, error, strict=True):
            counts.append(np.bincount(np.nan_to_num(flags).astype(np.int64), minlength=len(SOURCES)))
            known = values[np.isfinite(values)].astype(np.float64)
            errors.append(np.sqrt(np.mean(known**2)) if known.size else np.nan)
    return Survey(
        name, dataset[name].attrs, layout, dates, lat, lon, np.array(counts), np.array(errors, np.float64)
    )


def spread_dates(survey: Survey, most: int) -> list[int]:
    """Return the numbers of up to so many dates, evenly spread, whose maps fit into memory together."""
    number = min(len(survey.dates), most, max(_SLAB // max(survey.lat.size, 1), 1))
    return sorted(set(np.linspace(0, len(survey.dates) - 1, number).round().astype(int).tolist()))
