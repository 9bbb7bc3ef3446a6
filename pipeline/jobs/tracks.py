"""Along-track points in; the field on a grid, its error and its score at the points out."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from ..errors import InputError
from ..holdout.apart import validate_delivered
from ..io.opening import Opening
from ..io.points.gridding import Grid, make_grid
from ..io.points.platforms import is_points, read_platforms
from ..io.points.tracks import Tracks, read_tracks
from ..io.reading import Inputs
from ..progress import plan_stages
from ..settings import HELD_OUT, FillSettings, choose_device
from ..training.heldout import DataSettings
from ..training.trackdata import TrackData
from .checks import check_settings
from .deliver import Report, deliver, log_input
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

    Whole tracks are held out, and the score is taken at their points. The points that are kept out (a
    mission, or a file and the missions of its names) validate the delivered maps, in the attributes
    ``validation_rmse`` and so on. Returns and raises as `fill`.
    """
    device = choose_device(settings.device)
    tracks, apart, grid = open_tracks(source, opening, settings)
    label, kept = settings.points.hold_out, tracks.at(~apart)
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
        ", ".join(name for name in np.array(tracks.missions)[np.unique(kept.mission)]),
        len(field.days),
        100 * field.observed[:, field.sea].mean(),
        method.name,
        device,
    )
    log_input(field)
    rows: list[dict[str, Any]] = []
    found = dict(attributes or {}) | {"method": method.name}
    (dataset,) = deliver(data, method, settings, rows.extend, found)
    if label is not None:
        points = (
            tracks.at(apart) if label in tracks.missions else read_platforms(label, field.name, tracks.attrs)
        )
        scores, row = validate_delivered(dataset, points, field.name, label, analysis=True)
        rows.append(row)
        dataset.attrs |= scores
    report(rows)
    return dataset


def open_tracks(
    source: Inputs, opening: Opening, settings: FillSettings
) -> tuple[Tracks, NDArray[np.bool_], Grid]:
    """Return the points, a mask of those that are kept out, and the grid to map them on.

    Raises `InputError` where no other points are left.
    """
    asked, where = settings.tracks, settings.resources
    assert opening.grid is not None and opening.bounds is not None  # noqa: PT018 - `check_settings` came before
    tracks = read_tracks(
        source, opening, region=opening.bounds, cluster=where.cluster, n_workers=where.n_workers
    )
    label = settings.points.hold_out
    apart = np.zeros(len(tracks), bool)
    if label is not None and (label in tracks.missions or not is_points(label)):
        apart = tracks.of(label)
    elif label is not None:
        named = read_platforms(label, tracks.name, tracks.attrs).missions
        apart = np.isin(np.array(tracks.missions), named)[tracks.mission]
    if apart.all():
        raise InputError(f"{label} is the only mission; give files of others, or hold out none")
    grid = make_grid(
        tracks.at(~apart),
        opening.grid,
        opening.bounds,
        step=opening.track_step,
        mask=asked.mask,
        mask_variable=opening.mask_variable,
    )
    return tracks, apart, grid
