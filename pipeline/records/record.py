"""A record that is larger than memory, in a store of `prepare`: its values stay on the disk."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from ..errors import InputError
from ..io.coordinates import Layout, find_layout, read_grid
from ..io.dates import days_since_first, season_phase
from ..io.field import Field, read_standard_error, take_logarithms
from ..io.opening import Opening
from ..io.reading import is_cyclic
from ..io.seamask import sea_from_mask

PREPARED = "oceanfill_prepared"  # global attribute of a store of `prepare`: the digest of its plan


def read_digest(path: str | os.PathLike[str]) -> str | None:
    """The digest of the plan by which a store was prepared; None for whatever else is at ``path``."""
    if not (Path(path) / "zarr.json").is_file():
        return None
    with xr.open_zarr(path, chunks=None, consolidated=False) as dataset:
        return dataset.attrs.get(PREPARED)


@dataclass(frozen=True)
class Record:
    """A store of `prepare` at ``path``, opened with the error and the transform of an ``opening``.

    Raises `InputError` for another store and for one that lacks the error variable.
    """

    path: str
    opening: Opening = Opening()

    def __post_init__(self) -> None:
        """Check what can be checked without the values."""
        if read_digest(self.path) is None:
            raise InputError(f"{self.path}: not a store of `oceanfill prepare`; make one of it")
        if self.opening.error_variable is not None and self.opening.error_variable not in self.dataset:
            raise InputError(
                f"{self.path}: there is no {self.opening.error_variable}; prepare it anew with --error-variable "
                f"{self.opening.error_variable}"
            )

    def __reduce__(self) -> tuple[Any, ...]:
        """Sent to another process it is opened there anew."""
        return Record, (self.path, self.opening)

    @cached_property
    def dataset(self) -> xr.Dataset:
        """All of it, lazy."""
        return xr.open_zarr(self.path, chunks=None, consolidated=False)

    @cached_property
    def layout(self) -> Layout:
        return find_layout(self.path, self.dataset, others=(self.opening.error_variable,))

    @cached_property
    def dates(self) -> pd.Index:
        """(time,)"""
        return self.dataset[self.layout.time].to_index()

    @cached_property
    def shape(self) -> tuple[int, int, int]:
        """Dates, rows, columns."""
        sizes = self.dataset.sizes
        return sizes[self.layout.t], sizes[self.layout.y], sizes[self.layout.x]

    @cached_property
    def sea(self) -> NDArray[np.bool_]:
        """(lat, lon)"""
        return sea_from_mask(self.path, self.dataset["sea_mask"], self.layout)[0]

    @cached_property
    def share(self) -> NDArray[np.float32]:
        """(lat, lon) of the dates on which a pixel is observed."""
        return self._plane("share")

    @cached_property
    def seen(self) -> NDArray[np.int64]:
        """(time,) how many values a date has."""
        return self.dataset[f"{self.layout.variable}_seen"].to_numpy()

    @cached_property
    def grid(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Latitude and longitude (lat, lon)."""
        return read_grid(self.path, self.dataset, self.layout)

    @cached_property
    def cyclic(self) -> bool:
        """Whether the last column's neighbour is the first."""
        return is_cyclic(self.grid[1])

    def usual(self, rows: slice, columns: slice) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """(lat, lon) mean and standard deviation of some pixels; where one has none, the others' mean."""
        mean, spread = self._plane("mean"), self._plane("std")
        return (
            np.where(np.isfinite(mean), mean, np.nanmean(mean))[rows, columns],
            np.where(np.isfinite(spread), spread, np.nanmean(spread))[rows, columns],
        )

    def field(self, dates: slice, rows: slice | None = None, columns: slice | None = None) -> Field:
        """Some dates of some pixels (slices from start to stop) as a field in memory.

        Columns of a grid around the globe may begin below zero and end beyond the last.
        """
        layout, name = self.layout, self.layout.variable
        rows = rows or slice(0, self.shape[1])
        columns = columns or slice(0, self.shape[2])
        dims = (layout.t, layout.y, layout.x)
        number = np.arange(columns.start, columns.stop)
        turns, place = np.divmod(number, self.shape[2])
        across = place if turns.any() else columns
        data = self.dataset.isel({layout.t: dates, layout.y: rows, layout.x: across})
        source = data[name].load()
        raw = source.transpose(*dims).to_numpy()
        sea = self.sea[rows, across]
        values = np.where(sea, raw, np.float32(np.nan))
        oddities: list[str] = []
        observed = np.isfinite(values)
        if self.opening.error_variable is not None and not observed.any():
            error = np.zeros((1, 1, 1), np.float32)
        else:
            error = read_standard_error(self.path, data, self.opening, observed, dims, oddities)
        if self.opening.transform == "log" and observed.any():
            values, error = take_logarithms(self.path, name, values, error, oddities)
        lat, lon = self.grid
        turn = 360 * np.sign(lon[0, -1] - lon[0, 0])
        attrs: dict[Any, Any] = dict(self.dataset.attrs)
        attrs.pop(PREPARED, None)
        return Field(
            name=name,
            values=values,
            sea=sea,
            error_variance=np.where(np.isfinite(values), error, np.float32(0)) ** 2,
            days=days_since_first(self.dates[dates]),
            season=season_phase(self.dates[dates]),
            lat=lat[rows, across],
            lon=lon[rows, across] + turn * turns,
            source=source,
            transform=self.opening.transform,
            dims=dims,
            mask_origin=str(self.dataset["sea_mask"].attrs.get("comment", "")),
            dataset_attrs=attrs,
            inputs=(Path(self.path).name,),
        )

    def _plane(self, what: str) -> NDArray[np.float32]:
        array = self.dataset[f"{self.layout.variable}_{what}"]
        return array.transpose(self.layout.y, self.layout.x).to_numpy()
