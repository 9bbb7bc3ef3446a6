"""Along-track files in; out comes the field on a grid, with its error and its score at the points."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import xarray as xr

from ..errors import InputError
from ..holdout.calibration import check_levels
from ..io.gridding import make_grid
from ..io.output import provenance
from ..io.reading import Inputs, Region
from ..io.tracks import read_tracks
from ..training.networks import Training
from ..training.trackdata import TrackData
from .evaluate import score_pairs
from .fill import DEFAULTS, HELD_OUT, METHODS, choose_device, deliver

_log = logging.getLogger(__name__)


def fill_tracks(
    source: Inputs,
    *,
    grid: float | Sequence[float],
    bounds: Region,
    step: float = 1.0,
    mask: str | None = None,
    mask_variable: str | None = None,
    hold_out_mission: str | None = None,
    method: str = "unet",
    training: Training = DEFAULTS,
    holdout: bool = True,
    analysis_everywhere: bool = False,
    intervals: Sequence[int] = (),
    samples: int = 0,
    seed: int = 0,
    device: str = "auto",
    quiet: bool = True,
    report: Callable[[list[dict[str, Any]]], None] = lambda rows: None,
    attributes: dict[str, Any] | None = None,
    cluster: str | None = None,
    number: int = 1,
    **opening: Any,
) -> xr.Dataset:
    """Map along-track values on a grid of `gridding.make_grid`; other keywords go to `alongtrack.read_tracks`.

    Whole tracks are held out, and the score is taken at their points. The points of ``hold_out_mission`` are
    not used for anything but a score of what is delivered, which is in the attributes as ``mission_rmse``
    and so on. All else is as in `fill.fill`, and `InputError` is raised likewise.
    """
    if method not in METHODS:
        raise InputError(f"no method is called {method!r}; choose one of {', '.join(METHODS)}")
    check_levels(intervals)
    where = choose_device(device)
    tracks = read_tracks(source, bounds=bounds, cluster=cluster, number=number, **opening)
    apart = np.zeros(len(tracks), bool) if hold_out_mission is None else tracks.of(hold_out_mission)
    if apart.all():
        raise InputError(f"{hold_out_mission} is the only mission; give files of others, or hold out none")
    made = make_grid(tracks.at(~apart), grid, bounds, step=step, mask=mask, mask_variable=mask_variable)
    data = TrackData(
        tracks.at(~apart),
        made,
        held_out=HELD_OUT if holdout else 0.0,
        first_guess=training.first_guess,
        seed=seed,
        device=where,
        quiet=quiet,
    )
    field = data.field
    _log.info(
        "%s: %d points of %s on %d dates, %.1f %% of the sea's cells; %s on %s",
        field.name,
        len(data.tracks),
        ", ".join(name for name in tracks.missions if name != hold_out_mission),
        len(field.days),
        100 * field.observed[:, field.sea].mean(),
        method,
        where,
    )
    places = {"grid": grid, "bounds": bounds, "step": step, "mask": mask, "mask_variable": mask_variable}
    found = provenance(
        method,
        seed,
        attributes,
        holdout=holdout,
        hold_out_mission=hold_out_mission,
        **asdict(training),
        **places,
        **opening,
    )
    rows: list[dict[str, Any]] = []
    (dataset,) = deliver(
        data,
        method,
        training,
        analysis_everywhere=analysis_everywhere,
        intervals=intervals,
        samples=samples,
        report=rows.extend,
        attributes=found,
    )
    if hold_out_mission is not None:
        maps = (dataset[f"{field.name}_{part}"].to_numpy() for part in ("analysis", "error"))
        figures = score_pairs(data.pairs_of(tracks.at(apart), *maps))
        rows.append({"method": f"delivered, at {hold_out_mission}"} | figures)
        dataset.attrs |= {"mission_held_out": hold_out_mission}
        dataset.attrs |= {f"mission_{key}": value for key, value in figures.items()}
    report(rows)
    return dataset
