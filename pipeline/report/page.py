"""The report on a filled file: one page that needs nothing next to it and no network."""

from __future__ import annotations

import os
from collections.abc import Iterator
from importlib.resources import files
from typing import Any

import jinja2
import xarray as xr

from ..errors import InputError
from ..holdout.score_files import score
from ..holdout.validation import VALIDATION, Validation
from ..io.maps.selection import add_missing_date
from ..io.output import is_filled
from ..io.reading import open_input
from ..io.writing import write_bytes
from ..plots.layers import format_units
from .contents import (
    Attributes,
    describe_choice,
    describe_input,
    describe_repeat,
    describe_scores,
    score_units,
    tabulate_truth,
)
from .parts import Section, format_number, format_share, format_time
from .pictures import (
    draw_by_date,
    draw_map_sections,
    draw_reliability_section,
    draw_scores,
    draw_spectra_section,
    draw_training,
)
from .survey import Survey, survey_filled
from .validation import describe_validation

_TEMPLATE = "page.html.jinja"


def write_report(
    filled: str | os.PathLike[str],
    target: str | os.PathLike[str],
    *,
    truth: str | os.PathLike[str] | None = None,
    validation: Validation | None = None,
) -> None:
    """Write a report on a filled file as one HTML page, whole or not at all.

    Parameters
    ----------
    filled
        A file or Zarr store that `fill` wrote.
    target
        The page to write.
    truth
        A file with the true values, to score the filled ones against as well.
    validation
        What `validate` returned for the file; by default what `fill` did with points that it held out.

    Raises
    ------
    InputError
        Where the file cannot be read or holds no variable that `fill` wrote, where the truth does not fit
        it, and where the page cannot be written.
    """
    write_bytes(render_report(filled, truth=truth, validation=validation).encode(), target)


def render_report(
    filled: str | os.PathLike[str],
    *,
    truth: str | os.PathLike[str] | None = None,
    validation: Validation | None = None,
) -> str:
    """Return the page of `write_report`, which raises the same errors."""
    with open_input(str(filled)) as (file, opened):
        names = [str(name) for name in opened.data_vars if is_filled(opened, str(name))]
        if not names:
            raise InputError(
                f"{file}: no variable comes with its analysis, standard error and origin, so it is not a "
                "field that `oceanfill fill` wrote; fill it first (currents have no report)"
            )
        dataset = add_missing_date(opened, names[0])
        surveys = {name: survey_filled(dataset, name) for name in names}
        sections = []
        for name, survey in surveys.items():
            made = list(_make_sections(dataset, survey))
            if len(names) > 1:
                made = [_rename(section, name) for section in made]
            sections += made
        sections += [] if truth is None else [tabulate_truth(score(filled, truth))]
        if validation is None and VALIDATION in dataset.attrs:
            validation = Validation.from_json(str(dataset.attrs[VALIDATION]))
        sections += [] if validation is None else [describe_validation(validation)]
        sections.append(describe_repeat(dataset.attrs))
        return _render(dataset, surveys, sections)


def _make_sections(dataset: xr.Dataset, survey: Survey) -> Iterator[Section]:
    """Yield the sections of a variable."""
    attributes = Attributes(dataset.attrs, survey.name)
    yield describe_input(survey, attributes)
    yield describe_choice(survey, attributes)
    scores = describe_scores(survey, attributes)
    yield Section(scores.heading, scores.text, scores.facts, scores.tables, draw_scores(survey, attributes))
    for section in (draw_reliability_section(attributes), draw_training(attributes)):
        if section is not None:
            yield section
    yield from draw_map_sections(dataset, survey)
    if len(survey.dates) > 1:
        yield draw_by_date(survey, format_units(str(survey.attrs.get("units", ""))))
    yield draw_spectra_section(dataset, survey)


def _rename(section: Section, name: str) -> Section:
    return Section(
        f"{name}: {section.heading[0].lower()}{section.heading[1:]}",
        section.text,
        section.facts,
        section.tables,
        section.pictures,
        section.code,
    )


def _render(dataset: xr.Dataset, surveys: dict[str, Survey], sections: list[Section]) -> str:
    template = (files(__package__) / _TEMPLATE).read_text(encoding="utf-8")
    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    leads = [_summarise(survey, Attributes(dataset.attrs, name)) for name, survey in surveys.items()]
    held: dict[str, Any] = {
        "title": str(dataset.attrs.get("title") or f"{', '.join(surveys)}, gaps filled"),
        "leads": leads,
        "sections": sections,
        "attributes": [(str(key), str(value)) for key, value in dataset.attrs.items()],
    }
    return environment.from_string(template).render(held)


def _summarise(survey: Survey, attributes: Attributes) -> str:
    """Return the report in two sentences."""
    first, last = (format_time(date) for date in (survey.dates[0], survey.dates[-1]))
    period = f"on {first}" if first == last else f"from {first} to {last}"
    total = max(sum(survey.totals.values()), 1)
    text = f"{survey.name} {period}: {format_share(1 - survey.totals['observed'] / total)} of "
    text += f"{total:,} values at sea were missing and are filled"
    delivered = attributes.get("delivered")
    text += f" by {delivered}. " if delivered else ". "
    rmse, within = attributes.get("held_out_rmse"), attributes.get("held_out_coverage_1sigma")
    if rmse is None:
        return text + "There is no score, because no values were held out."
    text += f"On {int(attributes.get('held_out_n')):,} hidden values its RMSE is {format_number(rmse)} "
    text = f"{text}{score_units(survey, attributes)}".rstrip()
    return text + (f", and {format_share(within)} of them lie within one standard error." if within else ".")
