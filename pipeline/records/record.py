"""A record that is larger than memory, in a store of `prepare`: its values stay on the disk."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from ..classical.season import LEAST, fit_cycle
from ..errors import InputError
from ..io.field import Field, read_standard_error
from ..io.layout.coordinates import Layout, find_layout
from ..io.layout.dates import days_since_first, season_phase
from ..io.layout.positions import is_cyclic, read_grid
from ..io.opening import Opening
from ..io.outliers import NO_SCREEN, Screen, learn_screen
from ..io.reading import TREATMENT
from ..io.seamask import sea_from_mask
from ..io.storage import Storage, find_storage, read_storage
from ..io.transforms import (
    Centred,
    Transform,
    centre_values,
    choose_offset,
    choose_transform,
    find_asked,
    find_transform,
    transform_values,
)

PREPARED = "oceanfill_prepared"  # global attribute of a store of `prepare`: the digest of its plan
STORAGE = "oceanfill_storage"  # and how the input stores the variable (`storage.write_storage`)
_MOST_RANKED = 2e7  # values that are read at once for the median of their errors, or for what is usual
_DATES_OF_BOX = 16
_GOLDEN = 0.618034  # the golden section


def read_digest(path: str | os.PathLike[str]) -> str | None:
    """Return the digest of the plan by which a store was prepared; None for anything else at ``path``."""
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
            raise InputError(f"{self.path}: not a store of `oceanfill prepare`; prepare it first")
        error = self.opening.error_variable
        if error is not None and error not in self.dataset:
            raise InputError(
                f"{self.path}: there is no {error}; prepare the files again with error_variable={error!r}"
            )

    def __reduce__(self) -> tuple[Any, ...]:
        """Another process opens the store itself; what was read from all of it is sent along."""
        known = {"median_error": self.median_error, "screen": self.screen}
        return Record, (self.path, self.opening), known

    @cached_property
    def dataset(self) -> xr.Dataset:
        """All of it, lazy."""
        return xr.open_zarr(self.path, chunks=None, consolidated=False)

    @cached_property
    def layout(self) -> Layout:
        """Names of the variable and its coordinates."""
        name = next(str(name) for name in self.dataset if f"{name}_climatology" in self.dataset)
        return find_layout(self.path, self.dataset, name)

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
    def chunks(self) -> tuple[int, int, int]:
        """Dates, rows and columns of a chunk of the store."""
        variable = self.dataset[self.layout.variable]
        sizes = dict(zip(variable.dims, variable.encoding["chunks"], strict=True))
        return sizes[self.layout.t], sizes[self.layout.y], sizes[self.layout.x]

    @cached_property
    def storage(self) -> Storage:
        """How the input stores the variable."""
        text = self.dataset.attrs.get(STORAGE)
        return find_storage(self.dataset[self.layout.variable]) if text is None else read_storage(text)

    @cached_property
    def sea(self) -> NDArray[np.bool_]:
        """(lat, lon)"""
        return sea_from_mask(self.path, self.dataset["sea_mask"], self.layout)[0]

    @cached_property
    def coverage(self) -> NDArray[np.float32]:
        """(lat, lon) fraction of the dates on which a pixel has a value that can be filled from."""
        return self._read_usable("share")

    @cached_property
    def n_observed(self) -> NDArray[np.int64]:
        """(time,) number of these values of each date."""
        return self._read_usable("seen")

    @cached_property
    def grid(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Latitude and longitude (lat, lon)."""
        return read_grid(self.path, self.dataset, self.layout)

    @cached_property
    def cyclic(self) -> bool:
        """Whether the last column is next to the first."""
        return is_cyclic(self.grid[1])

    @cached_property
    def chosen_transform(self) -> tuple[str, str]:
        """The transform in which the record is filled, and why where it was chosen here."""
        name = self.layout.variable
        seen, negative = (self.dataset.get(f"{name}_{what}") for what in ("seen", "negative_seen"))
        share = 0.0 if seen is None or negative is None else float(negative.sum()) / max(1, int(seen.sum()))
        return choose_transform(self.opening, name, self.dataset[name].attrs, share)

    @property
    def transform(self) -> str:
        """The transform in which the record is filled."""
        return self.chosen_transform[0]

    @property
    def has_error(self) -> bool:
        """Whether the observations have a standard error."""
        return self.opening.error_variable is not None or bool(self.opening.observation_error)

    @cached_property
    def median_error(self) -> float | None:
        """That of the error variable (`find_median_error`); None without one."""
        return None if self.opening.error_variable is None else self.find_median_error()

    def find_median_error(self, most: float = _MOST_RANKED) -> float:
        """Return the median of the usable errors of observed values, which those without one are given.

        It is that of all dates, or of evenly spaced ones where the record has more than ``most`` values.
        Raises `InputError` where no observed value has a usable error.
        """
        name = self.opening.error_variable
        dates, rows, columns = self.shape
        number = int(np.clip(most // (rows * columns), 1, dates))
        chosen = (np.arange(number) + 0.5) / number * dates
        data = self.dataset.isel({self.layout.t: chosen.astype(int)})
        values, error = (self._order(data[part]) for part in (self.layout.variable, name))
        usable = error[np.isfinite(values) & self.sea & np.isfinite(error) & (error >= 0)]
        if not usable.size:
            raise InputError(
                f"{self.path}: {name} has no standard error at any observed value; choose another variable "
                "or give one observation_error="
            )
        return float(np.median(usable))

    @cached_property
    def pixel_statistics(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Mean and standard deviation (lat, lon) of each pixel, in the space that is filled.

        A pixel without one gets the average of the others. Of transformed values they are those of the
        distribution with the pixel's mean and deviation.
        """
        mean, deviation = self._read_statistic("mean"), self._read_statistic("std")
        transform = find_transform(self.transform)
        known = transform.can_take(mean)
        mean = np.where(known, mean, mean[known].mean())
        if (deviation > 0).any():
            deviation = np.where(deviation > 0, deviation, deviation[deviation > 0].mean())
        return self.space.match_moments(mean, deviation)

    @cached_property
    def cycle(self) -> NDArray[np.float32] | None:
        """Seasonal cycle (4, lat, lon) in the space that is filled; None for a record that is too short."""
        if days_since_first(self.dates)[-1] < LEAST:
            return None
        stored = self.dataset[f"{self.layout.variable}_climatology"]
        monthly = stored.transpose("month", self.layout.y, self.layout.x).to_numpy()
        transform = find_transform(self.transform)
        able = transform.can_take(monthly)
        transformed = np.full(monthly.shape, np.nan)
        transformed[able] = transform.forward(monthly[able])
        return fit_cycle(transformed)

    @property
    def space(self) -> Transform:
        """The way from the variable's units to the values of its fields and back."""
        return Centred(find_transform(self.transform), self.offset)

    @cached_property
    def offset(self) -> float:
        """What is taken off the transformed values (`transforms.Centred`), of all parts alike."""
        transform = find_transform(self.transform)
        mean, deviation = (self._read_statistic(what)[self.sea].astype(float) for what in ("mean", "std"))
        known = transform.can_take(mean)
        if not known.any():
            return 0.0
        mean, deviation = transform.match_moments(mean[known], deviation[known])
        return choose_offset(float(np.median(mean)), float(np.hypot(np.median(deviation), mean.std())))

    @cached_property
    def screen(self) -> Screen:
        """What outliers are recognised by in all parts, learned from the record or from boxes of it."""
        if self.opening.outliers == "keep":
            return NO_SCREEN
        fields = [self.read_with_outliers(*box) for box in self.choose_boxes()]
        return learn_screen([(field.values, field.error_variance) for field in fields])  # noqa: PD011

    def choose_boxes(self, most: float = _MOST_RANKED) -> list[tuple[slice, slice, slice]]:
        """Choose boxes of dates, rows and columns, spread over the sea: all where there are few values."""
        dates, *extents = self.shape
        if np.prod(self.shape) <= most:
            return [(slice(0, dates), slice(0, extents[0]), slice(0, extents[1]))]
        side, length = self.chunks[1], min(_DATES_OF_BOX, dates)
        squares = [
            (slice(row, min(row + side, extents[0])), slice(column, min(column + side, extents[1])))
            for row in range(0, extents[0], side)
            for column in range(0, extents[1], side)
        ]
        squares = [square for square in squares if (self.coverage[square] * self.sea[square]).any()]
        number = max(1, int(most // (length * side**2)))
        spans = dates // length
        # The steps through squares and through spans have no common rhythm, so boxes differ in both.
        places = {(k * len(squares) // number, int(k * _GOLDEN % 1 * spans)): None for k in range(number)}
        return [(slice(length * span, length * (span + 1)), *squares[square]) for square, span in places]

    def read_field(
        self,
        dates: slice,
        rows: slice | None = None,
        columns: slice | None = None,
        offset: float | None = None,
    ) -> Field:
        """Read some dates of some pixels (slices from start to stop) as a field.

        The ``offset`` is by default that of the record. Outliers are taken out (`screen`).

        Columns of a global grid may begin below zero and end beyond the last. Where no value has a
        transform, nothing is observed.
        """
        field = self.read_with_outliers(dates, rows, columns, offset)
        outliers = self.screen.find(field.values, field.error_variance)
        return replace(
            field.hide(outliers), outliers=outliers, keeps_outliers=self.opening.outliers == "flag"
        )

    def read_with_outliers(
        self,
        dates: slice,
        rows: slice | None = None,
        columns: slice | None = None,
        offset: float | None = None,
    ) -> Field:
        """Read a field as `read_field` does, with its outliers."""
        layout, name = self.layout, self.layout.variable
        rows = rows or slice(0, self.shape[1])
        columns = columns or slice(0, self.shape[2])
        number = np.arange(columns.start, columns.stop)
        turns, place = np.divmod(number, self.shape[2])
        across = place if turns.any() else columns
        data = self.dataset.isel({layout.t: dates, layout.y: rows, layout.x: across})
        source = data[name].load()
        source.encoding = dict(self.storage)
        sea = self.sea[rows, across]
        values = np.where(sea, self._order(source), np.float32(np.nan))
        error = self._read_error(data, np.isfinite(values))
        if find_transform(self.transform).can_take(values).any():
            values, error = transform_values(self.path, name, self.transform, values, error, [])
        else:
            values = np.full_like(values, np.nan)
        offset = self.offset if offset is None else offset
        lat, lon = self.grid
        turn = 360 * np.sign(lon[0, -1] - lon[0, 0])
        attrs: dict[Any, Any] = dict(self.dataset.attrs)
        for own in (PREPARED, STORAGE):
            attrs.pop(own, None)
        treatment = attrs.pop(TREATMENT, ""), self.chosen_transform[1]
        return Field(
            name=name,
            values=centre_values(values, offset),
            sea=sea,
            error_variance=np.where(np.isfinite(values), error, np.float32(0)) ** 2,
            days=days_since_first(self.dates[dates]),
            season=season_phase(self.dates[dates]),
            lat=lat[rows, across],
            lon=lon[rows, across] + turn * turns,
            source=source,
            transform=self.transform,
            offset=offset,
            asked_transform=find_asked(self.opening),
            dims=(layout.t, layout.y, layout.x),
            mask_origin=str(self.dataset["sea_mask"].attrs.get("comment", "")),
            dataset_attrs=attrs,
            treatment=tuple(filter(None, treatment)),
            inputs=(Path(self.path).name,),
            cycle=None if self.cycle is None else self.cycle[:, rows, across],
        )

    def _read_error(self, data: xr.Dataset, observed: NDArray[np.bool_]) -> NDArray[np.float32]:
        """Return standard errors (time, lat, lon) or broadcastable; the record's median where they lack."""
        name, median = self.opening.error_variable, self.median_error
        if name is not None and median is not None:
            if not observed.any():
                return np.zeros((1, 1, 1), np.float32)
            given = data[name]
            data = data.assign({name: given.where((given >= 0) & np.isfinite(given), median)})
        dims = (self.layout.t, self.layout.y, self.layout.x)
        return read_standard_error(self.path, data, self.opening, observed, dims, [])

    def _order(self, array: xr.DataArray) -> NDArray[Any]:
        """Return an array as (time, lat, lon), or (lat, lon)."""
        dims = (self.layout.t, self.layout.y, self.layout.x)
        return array.transpose(*(dim for dim in dims if dim in array.dims)).to_numpy()

    def _read_usable(self, what: str) -> NDArray[Any]:
        """Read a count of the observed values, or of those with a logarithm, which older stores lack."""
        positive = f"{self.layout.variable}_positive_{what}"
        if self.transform == "log" and positive in self.dataset:
            return self._order(self.dataset[positive])
        return self._read_statistic(what)

    def _read_statistic(self, what: str) -> NDArray[Any]:
        return self._order(self.dataset[f"{self.layout.variable}_{what}"])
