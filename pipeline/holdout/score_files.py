"""Scores of a filled file against a truth file; values are paired by date and position."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from ..errors import InputError
from ..io.field import Field
from ..io.layout.coordinates import find_fillable, find_layout, list_names
from ..io.layout.dates import format_date, format_dates
from ..io.layout.positions import read_grid
from ..io.maps.selection import add_missing_date
from ..io.opening import Opening
from ..io.reading import drop_undeclared, find_sample, open_input, read_part
from .score_sums import ScoreSums

_SUFFIXES = ("_analysis", "_error", "_source")
_MOST_KINDS = 50  # values of a flag; a variable with more is not a flag


def score(
    filled: str | os.PathLike[str] | xr.Dataset,
    truth: str | os.PathLike[str] | xr.Dataset,
    *,
    variable: str | None = None,
    by: str | None = None,
) -> list[dict[str, Any]]:
    """Score a filled field where the truth is finite.

    The values are paired by date and position, whatever the order of dimensions, the direction of the
    coordinates or the convention of longitude.

    Parameters
    ----------
    filled
        A filled file or dataset. Its <variable>_error, where there is one, is the standard error.
    truth
        A file or a dataset with the truth, which may hold fewer dates and points.
    variable
        The variable to score; by default the only one that both have.
    by
        A flag of the truth, each of whose values is scored separately.

    Returns
    -------
    list of dict
        A row for each flag, and one for all. Each has a ``label``, the ``variable``, its ``units`` and the
        scores of `ScoreSums.to_dict`: n, rmse, bias, mae and, where there is a standard error, crps,
        coverage_1sigma and coverage_2sigma. Where some values lack one (those observed outside the sea mask),
        their number is ``without_error``, and crps and coverage refer to the others.

    Raises
    ------
    InputError
        For files that cannot be read or paired, and for gaps left where there is truth.

    Examples
    --------
    >>> import oceanfill
    >>> part = {"region": (37, 38, -12, -11), "period": "2024-04-01/2024-04-10"}
    >>> filled = oceanfill.fill("sample:sst_clouds.nc", method="oi", **part)
    >>> import xarray as xr
    >>> with xr.open_dataset(oceanfill.find_sample("sample:sst_clouds_truth.nc")) as dataset:
    ...     truth = dataset[["sst_full"]].rename(sst_full="sst").sel(time=filled.time)
    >>> (row,) = oceanfill.score(filled, truth.sel(lat=filled.lat, lon=filled.lon))
    >>> row["rmse"] < 1, row["units"]
    (True, 'degree_Celsius')
    """
    inputs = find_input(filled), find_input(truth)
    with open_input(inputs[0]) as (filled_file, filled), open_input(inputs[1]) as (truth_file, truth):
        name = variable or _find_common_variable(filled_file, filled, truth_file, truth)
        filled, truth = (add_missing_date(one, name) for one in (filled, truth))
        for file, dataset in ((filled_file, filled), (truth_file, truth)):
            if name not in dataset.data_vars:
                choice = (
                    f"{filled_file} has {_list_fillable(filled)}, {truth_file} has {_list_fillable(truth)}"
                )
                raise InputError(
                    f"{file}: there is no variable {name!r}; choose one that both have: {choice}"
                )
        expected = _read_series(truth_file, truth, name, kind=_check_flag(truth_file, truth, name, by))
        error = f"{name}_error" if f"{name}_error" in filled.data_vars else None
        if filled[name].shape == truth[name].shape and _lacks_coordinates(filled, name):
            dims = truth[name].dims
            filled = truth.assign({held: (dims, filled[held].data) for held in (name, error) if held})
        found = _read_series(filled_file, filled, name, error=error)
    return _make_rows(filled_file, found, truth_file, expected, name, by)


def read_truth(field: Field, path: str | os.PathLike[str]) -> NDArray[np.float32]:
    """Read the truth (time, lat, lon) of a field from a file, NaN elsewhere, transformed as the field is.

    Dates and points are paired as in `score`, which raises the same errors.
    """
    with open_input(find_input(path)) as (name, truth):
        if field.name not in truth.data_vars:
            raise InputError(f"{name}: there is no variable {field.name!r}; it has {_list_fillable(truth)}")
        expected = _read_series(name, add_missing_date(truth, field.name), field.name)
    values = expected.value.to_numpy()
    t, y, x = np.nonzero(np.isfinite(values))
    if not t.size:
        raise InputError(f"{name}: no value of {field.name} is finite, so there is no truth to score against")
    own = xr.Dataset(coords={"lat": (("y", "x"), field.lat), "lon": (("y", "x"), field.lon)})
    date = _match_dates(field.name, field.dates, name, expected.indexes["time"], np.unique(t))[t]
    points, inverse = np.unique(y * expected.sizes["x"] + x, return_inverse=True)
    row, column = np.unravel_index(_match_points(field.name, own, name, expected, points), field.lat.shape)
    known = np.full(field.observed.shape, np.float32(np.nan))
    known[date, row[inverse], column[inverse]] = values[t, y, x]
    transform = field.space
    usable = transform.can_take(known)
    known[~usable] = np.nan
    known[usable] = transform.forward(known[usable])
    return known


def find_input(source: str | os.PathLike[str] | xr.Dataset) -> str | xr.Dataset:
    if isinstance(source, xr.Dataset):
        return source
    path = find_sample(source)
    if not Path(path).exists():
        raise InputError(f"{path}: no such file; check the path")
    return path


def _list_fillable(dataset: xr.Dataset) -> str:
    return list_names(name for name in find_fillable(dataset) if not name.endswith(_SUFFIXES))


def _find_common_variable(filled_file: str, filled: xr.Dataset, truth_file: str, truth: xr.Dataset) -> str:
    both = [n for n in find_fillable(filled) if not n.endswith(_SUFFIXES) and n in find_fillable(truth)]
    both = [n for n in both if filled[n].ndim >= 2]
    if len(both) == 1:
        return both[0]
    if both:
        raise InputError(
            f"{filled_file}: {list_names(both)} are also in {truth_file}; choose one of them with variable="
        )
    raise InputError(
        f"{filled_file}: it has no variable in common with {truth_file} ({_list_fillable(filled)} against "
        f"{_list_fillable(truth)}); give the truth of the same variable"
    )


def _check_flag(file: str, truth: xr.Dataset, name: str, by: str | None) -> str | None:
    """Return ``by`` if it is on the grid of the truth. Raises `InputError`."""
    if by is None:
        return None
    maps = {
        str(key): array.dtype.kind in "biu"
        for key, array in truth.data_vars.items()
        if array.ndim >= 2 and set(array.dims) <= set(truth[name].dims) and array.dtype.kind in "biuf"
    }
    if by not in maps:
        flags = list_names(key for key, whole in maps.items() if whole)
        raise InputError(f"{file}: there is no flag {by!r} on the grid of {name}; choose among {flags}")
    return by


def _lacks_coordinates(dataset: xr.Dataset, name: str) -> bool:
    """Return whether only the order of the values gives their place, as in the files that DINEOF writes."""
    try:
        find_layout("", dataset, name)
    except InputError:
        return not any(dim in dataset.variables for dim in dataset[name].dims)
    return False


def _read_series(file: str, dataset: xr.Dataset, name: str, **others: str | None) -> xr.Dataset:
    """Read ``value`` and ``others`` on (time, y, x) into memory, with dates and lat and lon (y, x)."""
    layout = find_layout(file, dataset, name)
    names = {"value": name} | {key: other for key, other in others.items() if other is not None}
    part = read_part(file, dataset, layout, list(names.values())[1:])
    data = drop_undeclared([part], layout, Opening())[0][0].data
    dims = (layout.t, layout.y, layout.x)
    lat, lon = read_grid(file, data, layout)
    full = {key: data[held].broadcast_like(data[name]).transpose(*dims) for key, held in names.items()}
    return xr.Dataset(
        {key: (("time", "y", "x"), array.to_numpy(), array.attrs) for key, array in full.items()},
        {
            "time": data[layout.time].to_index().rename("time"),
            "lat": (("y", "x"), lat),
            "lon": (("y", "x"), lon),
        },
    )


def _match_nearest(
    have: NDArray[np.float64], want: NDArray[np.float64], period: float = 0
) -> tuple[NDArray[np.intp], NDArray[np.float64], NDArray[np.bool_]]:
    """Find for each point (n, k) the nearest of others, its distance, and whether it is the same point.

    It is the same if it is twenty times nearer than the next: rounded coordinates and those stored as float32
    match, a grid shifted by half a cell does not. The last coordinate has the ``period``.
    """
    box = [0.0] * (have.shape[1] - 1) + [period]
    tree = cKDTree(_wrap_last(have, period), boxsize=box)
    distance, index = tree.query(_wrap_last(want, period), k=2, p=np.inf)
    limit = np.where(np.isfinite(distance[:, 1]), distance[:, 1] / 20, 1e-3)
    return index[:, 0], distance[:, 0], distance[:, 0] <= limit


def _wrap_last(points: NDArray[np.float64], period: float) -> NDArray[np.float64]:
    if not period:
        return points
    last = points[:, -1] % period
    return np.column_stack([points[:, :-1], np.where(last < period, last, 0)])  # -1e-20 % 360 is 360


def _match_dates(
    filled_file: str, have: pd.Index, truth_file: str, want: pd.Index, needed: NDArray[np.intp]
) -> NDArray[np.intp]:
    """Find the number of each date of the truth in the filled file. Raises `InputError`."""
    calendars = [getattr(dates, "calendar", "standard") for dates in (have, want)]
    if type(have) is not type(want) or calendars[0] != calendars[1]:
        raise InputError(
            f"{filled_file}: its calendar is {calendars[0]}, that of {truth_file} is {calendars[1]}; "
            "convert both files to one calendar"
        )
    one_day = np.timedelta64(1, "D") if isinstance(want, pd.DatetimeIndex) else timedelta(days=1)
    days = [((dates.to_numpy() - want.to_numpy()[0]) / one_day).astype(np.float64) for dates in (have, want)]
    index, _, same = _match_nearest(days[0][:, None], days[1][:, None])
    lost = want[needed[~same[needed]]]
    if len(lost):
        raise InputError(
            f"{filled_file}: {len(lost)} of the {len(needed)} dates of {truth_file} are not in it "
            f"({format_dates(lost)}; it covers {format_date(have[0])} to {format_date(have[-1])}); "
            "fill that period"
        )
    return index


def _match_points(
    filled_file: str, found: xr.Dataset, truth_file: str, expected: xr.Dataset, needed: NDArray[np.intp]
) -> NDArray[np.intp]:
    """Find the number of each needed point of the truth in the filled file. Raises `InputError`."""
    have, want = (
        np.column_stack([s.lat.to_numpy().ravel(), s.lon.to_numpy().ravel()]) for s in (found, expected)
    )
    index, distance, same = _match_nearest(have, want[needed], period=360)
    if not same.all():
        first = int(np.argmin(same))
        lat, lon = want[needed[first]]
        shapes = [f"{s.sizes['y']} x {s.sizes['x']}" for s in (found, expected)]
        raise InputError(
            f"{filled_file}: its grid ({shapes[0]}) is not that of {truth_file} ({shapes[1]}), where "
            f"{np.count_nonzero(~same)} of {len(needed)} points have no counterpart (the first at "
            f"{lat:.3f} N, {lon:.3f} E is {distance[first]:.3g} degrees from the nearest); regrid one of them"
        )
    return index


def _make_rows(
    filled_file: str, found: xr.Dataset, truth_file: str, expected: xr.Dataset, name: str, by: str | None
) -> list[dict[str, Any]]:
    t, y, x = np.nonzero(np.isfinite(expected.value.to_numpy()))
    if not t.size:
        raise InputError(f"{truth_file}: no value of {name} is finite, so there is no truth to score against")
    dates = expected.indexes["time"]
    date = _match_dates(filled_file, found.indexes["time"], truth_file, dates, np.unique(t))[t]
    points, inverse = np.unique(y * expected.sizes["x"] + x, return_inverse=True)
    point = _match_points(filled_file, found, truth_file, expected, points)[inverse]
    here = (date, *np.unravel_index(point, found.lat.shape))

    estimate, truth = found.value.to_numpy()[here], expected.value.to_numpy()[t, y, x]
    gaps = np.flatnonzero(~np.isfinite(estimate))
    if gaps.size:
        k = gaps[0]
        lat, lon = (float(expected[axis][y[k], x[k]]) for axis in ("lat", "lon"))
        raise InputError(
            f"{filled_file}: {name} is missing at {gaps.size} of the {t.size} values with truth (the first "
            f"on {format_date(dates[t[k]])} at {lat:.3f} N, {lon:.3f} E); fill it there as well"
        )
    error = None
    if "error" in found and np.isfinite(found.error).any():
        error = found.error.to_numpy()[here]
        negative = np.count_nonzero(error < 0)
        if negative:
            raise InputError(
                f"{filled_file}: {name}_error is negative at {negative} values, so it is not a standard "
                "error; rename or repair it"
            )
    kinds: list[str] = []
    number = np.zeros(t.size, np.int64)
    if by is not None:
        kind = expected.kind.to_numpy()[t, y, x]
        kinds, number = _number_kinds(truth_file, kind, expected.kind.attrs, by)
    pooled = _pool_errors(estimate, error, truth, number)
    rows = {label: pooled.select([k]) for k, label in enumerate(kinds)} | {"all": pooled}
    units = str(expected.value.attrs.get("units") or found.value.attrs.get("units", ""))
    return [
        {"label": label, "variable": name, "units": units, **_make_scores(part)}
        for label, part in rows.items()
    ]


def _pool_errors(
    estimate: NDArray[Any], error: NDArray[Any] | None, truth: NDArray[Any], group: NDArray[np.int64]
) -> ScoreSums:
    """Sum the errors of all values; those without a standard error do not enter crps and coverage."""
    has_error = np.zeros(truth.shape, bool) if error is None else np.isfinite(error)
    pooled = ScoreSums.empty()
    for part, sigma in ((~has_error, None), (has_error, error)):
        own = None if sigma is None else sigma[part]
        pooled += ScoreSums.from_estimate(estimate[part], own, truth[part], 1.0, group[part])
    return pooled


def _make_scores(part: ScoreSums) -> dict[str, float]:
    without = part.n - part.n_with_error
    return part.to_dict() | ({"without_error": without} if 0 < without < part.n else {})


def _number_kinds(
    file: str, kind: NDArray[Any], attrs: dict[str, Any], by: str
) -> tuple[list[str], NDArray[np.int64]]:
    """List the kinds of a flag (n,), by meaning (CF 3.5) or value, and number the values (n,) by kind.

    Missing flags have the number -1.
    """
    values = np.unique(kind[np.isfinite(kind)])
    if values.size > _MOST_KINDS or (values != np.rint(values)).any():
        raise InputError(f"{file}: {by} has {values.size} different values and is not a flag; choose another")
    meanings = str(attrs.get("flag_meanings", "")).split()
    numbers = np.ravel(attrs.get("flag_values", [])).tolist()
    named = dict(zip(numbers, meanings, strict=True)) if len(numbers) == len(meanings) else {}
    number = np.where(np.isfinite(kind), np.searchsorted(values, kind), -1)
    return [named.get(value, f"{by} = {value:g}") for value in values], number
