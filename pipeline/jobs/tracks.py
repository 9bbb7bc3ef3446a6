"""Along-track points in; the field on a grid, its error and its score at the points out."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from ..errors import InputError
from ..io.opening import Opening
from ..io.points.gridding import Grid, make_grid
from ..io.points.tracks import Tracks, read_tracks
from ..io.reading import Inputs
from ..progress import plan_stages
from ..settings import HELD_OUT, FillSettings, choose_device
from ..training.heldout import DataSettings
from ..training.trackdata import TrackData
from .checks import check_settings
from .deliver import Report, deliver, log_input
from .evaluate import score_pairs
from .methods import find_method_for
from .stages import list_stages, measure_size

_log = logging.getLogger(__name__)


def fill_tracks(
    source: Inputs,
    opening: Opening,
    settings: FillSettings,
    report: Report = lambda rows: None,
    attributes: Mapping[str, Any] | None = None,
) -> xr.Dataset:
    """Map along-track values on the grid of the opening.

    Whole tracks are held out, and the score is taken at their points. The points of the mission that is held
    out are used for nothing but a score of the delivered maps, in the attributes ``mission_rmse`` and so on.
    Returns and raises as `fill`.
    """
    asked = settings.tracks
    device = choose_device(settings.device)
    tracks, apart, grid = open_tracks(source, opening, settings)
    mission, kept = asked.hold_out_mission, tracks.at(~apart)
    method = find_method_for(len(grid.dates), settings.method)
    check_settings(method, settings, opening, "tracks")
    data = TrackData(
        kept,
        grid,
        DataSettings(
            held_out=HELD_OUT if settings.holdout else 0.0,
            first_guess=settings.training.first_guess,
            seed=settings.seed,
            device=device,
            quiet=settings.quiet,
        ),
    )
    field = data.field
    plan_stages(list_stages(method, settings, measure_size([field], 1)))
    _log.info(
        "%s: %d points of %s on %d dates, in %.1f%% of the sea's cells; %s on %s",
        field.name,
        len(data.tracks),
        ", ".join(name for name in tracks.missions if name != mission),
        len(field.days),
        100 * field.observed[:, field.sea].mean(),
        method.name,
        device,
    )
    log_input(field)
    rows: list[dict[str, Any]] = []
    found = dict(attributes or {}) | {"method": method.name}
    (dataset,) = deliver(data, method, settings, rows.extend, found)
    if mission is not None:
        maps = (dataset[f"{field.name}_{part}"].to_numpy() for part in ("analysis", "error"))
        figures = score_pairs(data.pairs_of(tracks.at(apart), *maps))
        rows.append({"method": f"delivered, at {mission}", "mission": True} | figures)
        dataset.attrs |= {"mission_held_out": mission}
        dataset.attrs |= {f"mission_{key}": value for key, value in figures.items()}
    report(rows)
    return dataset


def open_tracks(
    source: Inputs, opening: Opening, settings: FillSettings
) -> tuple[Tracks, NDArray[np.bool_], Grid]:
    """Return the points, a mask of those from the held-out mission, and the grid to map them on.

    Raises `InputError` where no other points are left.
    """
    asked, where = settings.tracks, settings.resources
    assert opening.grid is not None and opening.bounds is not None  # noqa: PT018 - `check_settings` came before
    tracks = read_tracks(
        source, opening, region=opening.bounds, cluster=where.cluster, n_workers=where.n_workers
    )
    mission = asked.hold_out_mission
    apart = np.zeros(len(tracks), bool) if mission is None else tracks.of(mission)
    if apart.all():
        raise InputError(f"{mission} is the only mission; give files of others, or hold out none")
    grid = make_grid(
        tracks.at(~apart),
        opening.grid,
        opening.bounds,
        step=opening.track_step,
        mask=asked.mask,
        mask_variable=opening.mask_variable,
    )
    return tracks, apart, grid
