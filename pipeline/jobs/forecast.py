"""Forecasts of the dates after the last one, scored on the last dates of the record."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from ..errors import InputError
from ..io.field import Field, grid_spacing, open_field
from ..io.opening import Opening
from ..io.reading import Inputs
from ..io.targets import check_targets, list_paths
from ..io.writing import write_dataset
from ..keywords import take_keywords
from ..progress import progress
from .fill import fill

_log = logging.getLogger(__name__)

PERSISTENCE, DAMPED = "persistence", "damped persistence"
_FEWEST = 8  # dates that a forecast starts from
_MARGIN = 0.02  # share of its RMSE by which a method has to beat persistence where it is chosen

Map = NDArray[np.float64]


class Skill(NamedTuple):
    """RMSE on observed values that no candidate saw, at one lead."""

    lead: int  # steps after the last date
    validation: dict[str, float]  # of each candidate, on the starts that choose
    test: dict[str, float]  # and on the others
    delivered: str


@take_keywords(Opening)
def forecast(
    source: Inputs,
    output: str | os.PathLike[str] | None = None,
    *,
    days: float,
    method: Any = "oi",
    starts: int = 6,
    opening: Opening | None = None,
    overwrite: bool = False,
    seed: int = 0,
    quiet: bool = True,
    **options: Any,
) -> xr.Dataset:
    """Forecast a field on the dates after its last one.

    The dates that follow are filled as gaps without any observation, by any method of `fill`. The same is
    done from earlier ``starts`` in the second half of the record, without the dates after them. Two simple
    forecasts compete: persistence of the last analysis, and damped persistence, its anomaly times r^lead,
    where r is the correlation of the observed anomalies of successive dates. Every other start chooses for
    each lead, and the method is delivered only where its RMSE is 2% below both.

    Parameters
    ----------
    source
        One variable of a file, a glob, a list of files or a dataset, as of `fill`.
    output
        A NetCDF file or a Zarr store.
    days
        How far ahead, in days; a map for each step of the record.
    method
        A method of `fill`.
    starts
        Number of earlier forecasts that choose and score, at least 2.
    opening
        How the inputs are opened; or its fields as keywords, such as ``variable`` and ``region``.
    overwrite
        Whether an ``output`` that exists is replaced.
    seed
        Of the method.
    quiet
        Whether to hide progress.

    Returns
    -------
    xarray.Dataset
        The forecast V (time, lat, lon) and V_error, its standard error: of the method, scaled to its own
        residuals, or the RMSE at this lead. Attributes: the RMSE of each candidate and lead.

    Raises
    ------
    InputError
        For records that are too short, and where no start has observed values at some lead.

    Examples
    --------
    >>> import oceanfill
    >>> part = {"region": (37, 38, -12, -11), "period": "2024-04-01/2024-04-24"}
    >>> ahead = oceanfill.forecast("sample:sst_clouds.nc", days=1, starts=2, **part)
    >>> ahead.sizes["time"], ahead.attrs["delivered"]
    (1, 'method')
    """
    check_targets([output], list_paths([source]), overwrite=overwrite)
    field = open_field(source, opening=opening, **options)
    step = grid_spacing(field)[0]
    number = round(days / step)
    if number < 1 or starts < 2:
        raise InputError(
            f"days={days:g} and starts={starts}: a forecast is at least one step of {step:g} days ahead, and "
            "needs at least two starts"
        )
    dates = len(field.days)
    first = max(_FEWEST, dates // 2)
    if dates - number - first < starts - 1:
        raise InputError(
            f"{field.name}: {dates} dates are too few for {starts} starts of {number} steps after the first "
            f"{first}; give a longer record, fewer starts= or fewer days="
        )
    places = np.linspace(first, dates - number, starts).round().astype(int)
    residuals: list[list[dict[str, tuple[Map, Map]]]] = []
    with progress("forecasts", starts + 1, quiet) as advance:
        for place in places:
            found = _forecast_from(field.part(slice(0, int(place))), number, method, seed)
            truth = field.space.backward(field.values[place : place + number])
            residuals.append(
                [
                    {name: (maps[k] - truth[k], errors[k]) for name, (maps, errors) in found.items()}
                    for k in range(number)
                ]
            )
            advance(1)
        ahead = _forecast_from(field, number, method, seed)
        advance(1)
    skills = [_choose(field.name, [one[k] for one in residuals], k + 1) for k in range(number)]
    dataset = _make_dataset(field, ahead, skills, residuals)
    for skill in skills:
        shown = ", ".join(f"{name} {skill.test[name]:.4g}" for name in skill.test)
        _log.info(
            "%s, %d steps ahead: RMSE %s; %s is delivered", field.name, skill.lead, shown, skill.delivered
        )
    if output is not None:
        write_dataset(dataset, output)
    return dataset


def _forecast_from(field: Field, number: int, method: Any, seed: int) -> dict[str, tuple[Map, Map]]:
    """Return maps (lead, lat, lon) and standard errors of all candidates, in the variable's units."""
    name = field.name
    own = field.space.backward(field.values)
    index = _extend(field, number)
    empty = np.full((number, *own.shape[1:]), np.nan)
    dataset = xr.Dataset(
        {
            name: (("time", "y", "x"), np.concatenate([own, empty]), field.source.attrs),
            "sea": (("y", "x"), field.sea.astype(np.int8)),
        },
        {"time": index, "lat": (("y", "x"), field.lat), "lon": (("y", "x"), field.lon)},
    )
    dataset["lat"].attrs["units"], dataset["lon"].attrs["units"] = "degrees_north", "degrees_east"
    filled = fill(
        dataset,
        variable=name,
        mask_variable="sea",
        method=method,
        transform=field.transform,
        time_step="none",
        holdout=False,
        seed=seed,
    )
    analysis, error = (
        filled[part].transpose("time", "y", "x").to_numpy() for part in (f"{name}_analysis", f"{name}_error")
    )
    last, mean = analysis[-number - 1], analysis[:-number].mean(axis=0)
    anomaly = own - mean
    before, after = anomaly[:-1], anomaly[1:]
    both = np.isfinite(before) & np.isfinite(after)
    scale = np.sqrt((before[both] ** 2).sum() * (after[both] ** 2).sum())
    memory = float(np.clip((before[both] * after[both]).sum() / scale, 0, 1)) if scale > 0 else 0.0
    lead = np.arange(1, number + 1)[:, None, None]
    unknown = np.full(empty.shape, np.nan)
    return {
        "method": (analysis[-number:], error[-number:]),
        DAMPED: (mean + memory**lead * (last - mean), unknown),
        PERSISTENCE: (np.broadcast_to(last, empty.shape), unknown),
    }


def _extend(field: Field, number: int) -> Any:
    """Return the dates of a field and so many more, at its typical step."""
    dates = field.dates
    gap = np.median(np.diff(dates.to_numpy()))
    return dates.append(type(dates)([dates[-1] + gap * (k + 1) for k in range(number)]))


def _choose(name: str, found: Sequence[dict[str, tuple[Map, Map]]], lead: int) -> Skill:
    """Choose the candidate of a lead on every other start, and score all on the others."""
    scores: list[dict[str, float]] = []
    for part in (found[::2], found[1::2]):
        score = {}
        for candidate in found[0]:
            residual = np.concatenate([one[candidate][0].ravel() for one in part])
            if not np.isfinite(residual).any():
                raise InputError(
                    f"{name}: no value is observed {lead} steps after the starts of the forecasts; give a "
                    "longer record, or more starts="
                )
            score[candidate] = float(np.sqrt(np.nanmean(residual**2)))
        scores.append(score)
    validation, test = scores
    simple = min((PERSISTENCE, DAMPED), key=validation.__getitem__)
    better = validation["method"] < (1 - _MARGIN) * validation[simple]
    return Skill(lead, validation, test, "method" if better else simple)


def _make_dataset(
    field: Field,
    ahead: dict[str, tuple[Map, Map]],
    skills: Sequence[Skill],
    residuals: Sequence[Sequence[dict[str, tuple[Map, Map]]]],
) -> xr.Dataset:
    """Return the forecast with its errors and scores."""
    index = _extend(field, len(skills))[-len(skills) :]
    values, errors = [], []
    for k, skill in enumerate(skills):
        value, own = (part[k] for part in ahead[skill.delivered])
        past = [one[k][skill.delivered] for one in residuals]
        if skill.delivered == "method":
            squares = np.concatenate([(residual / error).ravel() for residual, error in past]) ** 2
            own = own * np.sqrt(np.nanmean(squares))
        else:
            squares = np.concatenate([residual.ravel() for residual, _ in past]) ** 2
            own = np.where(field.sea, np.sqrt(np.nanmean(squares)), np.nan)
        values.append(np.where(field.sea, value, np.nan))
        errors.append(own)
    template = field.source.transpose(*field.dims)
    time = field.dims[0]
    places = {key: array for key, array in template.coords.items() if time not in array.dims}
    made = xr.Dataset(
        {
            field.name: (field.dims, np.stack(values).astype(np.float32), template.attrs),
            f"{field.name}_error": (field.dims, np.stack(errors).astype(np.float32)),
        },
        {time: (time, index, template[time].attrs), **places},
    )
    made[f"{field.name}_error"].attrs = {
        "long_name": f"standard error of the forecast of {field.name}",
        "units": template.attrs.get("units", ""),
    }
    made.attrs["delivered"] = ", ".join(skill.delivered for skill in skills)
    for candidate in skills[0].test:
        key = f"rmse_{candidate.replace(' ', '_')}"
        made.attrs[key] = [skill.test[candidate] for skill in skills]
    return made
