"""``dataset.oceanfill`` and ``array.oceanfill``: the functions of oceanfill on what xarray holds."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import xarray as xr

import oceanfill

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from .pipeline.cli.description import Description
    from .pipeline.holdout.validation import Validation
    from .pipeline.io.points.platforms import Source
    from .pipeline.io.reading import Inputs
    from .pipeline.io.targets import Target
    from .pipeline.jobs.compare import Comparison


@xr.register_dataset_accessor("oceanfill")
class DatasetAccessor:
    """The functions of oceanfill on a dataset.

    Examples
    --------
    >>> import oceanfill, xarray as xr
    >>> with xr.open_dataset(oceanfill.find_sample("sample:sst_clouds.nc")) as dataset:
    ...     part = dataset.sel(time="2024-04", lat=slice(37, 38), lon=slice(-12, -11)).load()
    >>> filled = part.oceanfill.fill("sst", method="linear-time")
    >>> int(filled.sst.isnull().sum())
    0
    """

    def __init__(self, dataset: xr.Dataset) -> None:
        self._dataset = dataset

    def fill(self, variable: str | None = None, output: Target = None, **options: Any) -> xr.Dataset:
        """Fill the gaps of a variable, or of several with commas between them, as `oceanfill.fill` does."""
        return oceanfill.fill(self._dataset, output, variable=variable, **options)

    def info(self, variable: str | None = None, **options: Any) -> Description:
        """Describe the dataset and what a fill would do with it, as `oceanfill.info` does."""
        return oceanfill.info(self._dataset, variable=variable, **options)

    def compare(
        self, variable: str | None = None, methods: str | Sequence[Any] = "usual", **options: Any
    ) -> Comparison:
        """Score methods on hidden values of a variable, as `oceanfill.compare` does."""
        return oceanfill.compare(self._dataset, methods, variable=variable, **options)

    def score(self, truth: str | xr.Dataset, **options: Any) -> list[dict[str, Any]]:
        """Score a filled dataset where the truth is finite, as `oceanfill.score` does."""
        return oceanfill.score(self._dataset, truth, **options)

    def validate(self, points: Source, variable: str | None = None, **options: Any) -> Validation:
        """Validate a filled dataset against independent points, as `oceanfill.validate` does."""
        return oceanfill.validate(self._dataset, points, variable=variable, **options)

    def derive(
        self, what: str, variable: str | None = None, output: Target = None, **options: Any
    ) -> xr.Dataset:
        """Derive a quantity from a filled variable, as `oceanfill.derive` does."""
        return oceanfill.derive(self._dataset, output, what=what, variable=variable, **options)

    def export(self, output: str | Path, format: str, **options: Any) -> list[Path]:
        """Write a filled variable in a provider's format, as `oceanfill.export` does."""
        return oceanfill.export(self._dataset, output, format=format, **options)

    def plot(self, variable: str | None = None, output: Target = None, **options: Any) -> Figure | None:
        """Draw a variable, filled or not, as `oceanfill.plot` does."""
        return oceanfill.plot(self._dataset, output, variable=variable, **options)


@xr.register_dataarray_accessor("oceanfill")
class ArrayAccessor:
    """The functions of oceanfill on one variable. What else the dataset holds, as a sea mask, is not seen."""

    def __init__(self, array: xr.DataArray) -> None:
        self._array: Inputs = array

    def fill(self, output: Target = None, **options: Any) -> xr.Dataset:
        """Fill the gaps, as `oceanfill.fill` does; the dataset that is returned holds the errors too."""
        return oceanfill.fill(self._array, output, **options)

    def info(self, **options: Any) -> Description:
        """Describe the variable and what a fill would do with it, as `oceanfill.info` does."""
        return oceanfill.info(self._array, **options)

    def compare(self, methods: str | Sequence[Any] = "usual", **options: Any) -> Comparison:
        """Score methods on hidden values, as `oceanfill.compare` does."""
        return oceanfill.compare(self._array, methods, **options)

    def plot(self, output: Target = None, **options: Any) -> Figure | None:
        """Draw the variable, as `oceanfill.plot` does."""
        return oceanfill.plot(self._array, output, **options)
