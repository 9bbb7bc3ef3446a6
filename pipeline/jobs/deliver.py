"""From candidates to the datasets that are delivered: one way for fields and along-track points."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import xarray as xr

from ..classical.kriging import Kriging
from ..io.alignment import restore_grid
from ..io.extremes import find_bearable, warn_of_extremes
from ..io.field import Field
from ..io.opening import Opening
from ..io.output import measure_spans, to_dataset
from ..io.reading import UNDATED
from ..progress import enter_stage
from ..settings import FillSettings
from ..training.data import GapData
from .dependent import find_provisional, mark_provisional
from .draws import add_samples
from .evaluate import Evaluation, evaluate_candidates
from .fitted import describe_fitted
from .methods import Candidate, Method

_log = logging.getLogger(__name__)

Report = Callable[[list[dict[str, Any]]], None]


def report_nothing(rows: list[dict[str, Any]]) -> None:
    """Show the rows of a score to nobody."""


def log_input(field: Field) -> None:
    """Log what was done to the values of an input, and what is odd about it."""
    for text in field.treatment:
        _log.info("%s: %s", field.name, text)
    for text in field.oddities:
        _log.log(logging.WARNING if text in field.warnings else logging.INFO, "%s: %s", field.name, text)


def warn_of_unknown_error(name: str) -> None:
    """Say that a field without gaps has no error that is known."""
    _log.warning(
        "%s: its error is unknown and %s_error is missing, because no error is given and no gap was filled; "
        "give observation_error= or error_variable=",
        name,
        name,
    )


def deliver(
    data: GapData,
    method: Method,
    settings: FillSettings,
    report: Report,
    attributes: Mapping[str, Any],
    opening: Opening | None = None,
) -> list[xr.Dataset]:
    """Return a dataset of the best candidate for each variable to be filled.

    Where there are several variables, the attributes of each score carry its name. ``report`` is called with
    the rows of all scores. From the attributes of a field that was opened by the ``opening`` it can be
    updated; dates that this would change are marked as provisional.
    """
    found, rows = dict(attributes), []
    provisional = np.zeros(len(data.field.days), bool)
    evaluations: list[Evaluation[Candidate]] = []
    if not method.needs_first_guess:
        enter_stage(method.title)
    for part, candidates in zip(data.filled_variables, method(data, settings), strict=True):
        if part.held_out.any() and not part.is_judged:
            _log.warning("%s: too few values are held out for a score", part.field.name)
        evaluation = evaluate_candidates(part, candidates)
        own = {"variable": part.field.name} if data.outputs > 1 else {}
        rows += [own | row for row in evaluation.rows]
        described = evaluation.attributes() | part.learned
        if opening is not None:
            alone = len(data.variables) == 1
            fitted = describe_fitted(part, alone, evaluation, settings, opening)
            described |= fitted
            if fitted:
                assert isinstance(part.kriging, Kriging)  # or it could not be updated
                provisional |= find_provisional(part.field, part.kriging, evaluation.delivered.window)
        found |= {f"{part.field.name}_{key}" if own else key: value for key, value in described.items()}
        evaluations.append(evaluation)
    report(rows)
    made = []
    for part, evaluation in zip(data.filled_variables, evaluations, strict=True):
        calibration = evaluation.scale.calibration
        mean = evaluation.delivered.estimate[0]
        error = evaluation.scale.of_estimate(part.field, evaluation.delivered)
        dataset = to_dataset(
            part.field,
            mean,
            error,
            noise=evaluation.scale.noise,
            intervals=calibration.half_widths_of(settings.intervals),
            analysis_everywhere=settings.analysis_everywhere,
            attributes=found,
            packing=settings.packing,
        )
        span = measure_spans(part.field, dataset, settings.analysis_everywhere)[f"{part.field.name}_analysis"]
        warn_of_extremes(part.field.name, span, part.field.space, find_bearable(part.field))
        if provisional.any() and UNDATED not in dataset.dims:
            dataset = mark_provisional(dataset, provisional, part.field.layout.t)
        if settings.samples:
            dataset = add_samples(dataset, part, (mean, error), calibration, settings.samples)
        made.append(restore_grid(dataset, part.field.source, part.field.layout))
    return made
