"""The sections of a report: what is in the attributes of a filled file, in words and tables."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from ..holdout.score_classes import ALL, Score, ScoreClasses
from ..io.reading import TREATMENT
from ..jobs.methods import find_methods
from ..plots.layers import format_units
from ..plots.scores import read_classes
from .parts import Section, Table, format_number, format_share, format_time
from .survey import Survey

_SCORES = {  # key of the score: its heading, and whether it is a share
    "rmse": ("RMSE", False),
    "bias": ("bias", False),
    "mae": ("mean absolute error", False),
    "crps": ("CRPS", False),
    "coverage_1sigma": ("within ±1σ", True),
    "coverage_2sigma": ("within ±2σ", True),
}
KIND_NAMES = {
    "origin": "Origin",
    "region": "Region",
    "season": "Season",
    "distance": "Distance",
    "age": "Age of gap",
}


@dataclass(frozen=True)
class Attributes:
    """The attributes of a file as they refer to one of its variables."""

    attrs: Mapping[Any, Any]
    name: str

    def get(self, key: str, default: Any = None) -> Any:
        """Return an attribute; with several variables those of a score carry the name of theirs."""
        return self.attrs.get(f"{self.name}_{key}", self.attrs.get(key, default))

    @property
    def space(self) -> str:
        """The space of the scores in words where it is not that of the values."""
        found = str(self.get("held_out_space", "values"))
        return "" if found == "values" else found

    @property
    def classes(self) -> ScoreClasses | None:
        """The scores by class; None where the file has none."""
        return read_classes(self.attrs, self.name)

    @property
    def curve(self) -> list[dict[str, float]]:
        """What was logged in each epoch of a training; empty without one."""
        found: list[dict[str, float]] = json.loads(str(self.get("learning_curve", "[]")))
        return found


def score_units(survey: Survey, attributes: Attributes) -> str:
    """Return the units of RMSE, bias, mean absolute error and CRPS."""
    units = format_units(str(survey.attrs.get("units", "")))
    return f"{attributes.space} of {units or '1'}" if attributes.space else units


def describe_input(survey: Survey, attributes: Attributes) -> Section:
    """Return what came in and what was done with it."""
    attrs, units = attributes.attrs, format_units(str(survey.attrs.get("units", "")))
    dates, rows, columns = survey.dates, *survey.lat.shape
    long_name = str(survey.attrs.get("long_name", survey.name))
    facts = [
        ("Files", str(attrs.get("input_files", "unknown"))),
        ("Variable", survey.name if long_name == survey.name else f"{survey.name} ({long_name})"),
        ("Units", units or "none given"),
        ("Dates", f"{len(dates)}, {format_time(dates[0])} to {format_time(dates[-1])}"),
        (
            "Grid",
            f"{rows} × {columns} cells, latitudes {survey.lat.min():g} to {survey.lat.max():g}, longitudes "
            f"{survey.lon.min():g} to {survey.lon.max():g}",
        ),
        ("Sea mask", str(attrs.get("sea_mask", "unknown"))),
        ("Transform", str(attrs.get("transform", "none"))),
    ]
    treated = [part for part in str(attrs.get(TREATMENT, "")).split("; ") if part]
    facts += [("Treatment", part) for part in treated] or [("Treatment", "values were used as they are")]
    total = max(sum(survey.totals.values()), 1)
    rows_of_origin = [
        (source, f"{number:,}", format_share(number / total)) for source, number in survey.totals.items()
    ]
    table = Table(
        f"Values at sea by origin ({survey.name}_source)",
        ("origin", "values", "share"),
        rows_of_origin,
    )
    return Section("Input and treatment", facts=facts, tables=[table])


def describe_choice(survey: Survey, attributes: Attributes) -> Section:
    """Return which method was delivered, and why."""
    attrs = attributes.attrs
    asked, delivered = str(attrs.get("method", "unknown")), str(attributes.get("delivered", "unknown"))
    methods = find_methods()
    facts = [("Method asked for", _describe_method(asked, methods))]
    facts += [("Delivered", _describe_method(delivered, methods))] if delivered != "unknown" else []
    why = attributes.get("held_out_choice")
    facts += [("Why", f"{why} on the validation values")] if why else []
    share = attributes.get("correction_share")
    facts += [] if share is None else [("Share of the correction that is delivered", format_share(share))]
    factor, limit = attributes.get("error_factor"), attributes.get("error_limit")
    facts += [] if factor is None else [("Factor of the standard error", format_number(factor))]
    units = format_units(str(survey.attrs.get("units", "")))
    facts += [] if limit is None else [("Largest standard error", f"{format_number(limit)} {units}".strip())]
    text: list[str] = []
    tables = _tabulate_candidates(survey, attributes)
    if tables or delivered not in (asked, "unknown"):
        text = [
            "Several candidates were compared on validation values. The simplest one that is no worse than "
            "the best by more than a standard error of the difference is delivered. The scores below are on "
            "other values, which took no part in the choice."
        ]
    return Section("Choice of the method", text, facts, tables)


def _tabulate_candidates(survey: Survey, attributes: Attributes) -> list[Table]:
    """Return the scores of all candidates, of which one was delivered."""
    rows = json.loads(str(attributes.get("candidate_scores", "[]")))
    if len(rows) < 2:
        return []
    lines = [
        (
            row["method"] + (" (delivered)" if row.get("choice") else ""),
            format_number(row["rmse"]),
            f"{row['bias']:+.2g}",
            *(format_share(row[key]) if key in row else "–" for key in ("coverage_1sigma", "share")),
        )
        for row in rows
    ]
    units = score_units(survey, attributes)
    caption = "Scores of the candidates"
    caption += f", in {units}" if units else ""
    return [Table(caption, ("candidate", "RMSE", "bias", "within ±1σ", "share of correction"), lines)]


def _describe_method(name: str, methods: Mapping[str, Any]) -> str:
    described = methods[name].describe if name in methods else ""
    return f"{name} ({described})" if described else name


def describe_scores(survey: Survey, attributes: Attributes) -> Section:
    """Return the scores on hidden values, of all of them and by class."""
    heading = "Score on hidden values"
    if attributes.get("held_out_rmse") is None:
        return Section(heading, ["No values were held out, so the file has no score of its own."])
    units, classes = score_units(survey, attributes), attributes.classes
    whole = next((score for score in classes.scores if score.by == ALL), None) if classes else None
    facts = [("Hidden values scored", f"{int(attributes.get('held_out_n')):,}")]
    for key, (what, is_share) in _SCORES.items():
        value = attributes.get(f"held_out_{key}")
        if value is None:
            continue
        shown = format_share(value) if is_share else f"{format_number(value)} {units}".strip()
        if key == "rmse" and whole is not None and whole.low is not None and whole.high is not None:
            shown += f", 95% interval {format_number(whole.low)} to {format_number(whole.high)}"
        what = what.replace("±1σ", "one standard error").replace("±2σ", "two standard errors")
        facts.append((what[0].upper() + what[1:], shown))
    text = [
        "These values were observed and hidden from the method, as the values in the gaps are. They took no "
        "part in the choice of the method. If the standard error is honest, 68% of them lie within one "
        "standard error of the estimate and about 95% within two."
    ]
    tables = [] if classes is None else [_tabulate(classes.scores, units)]
    text.append(
        "The file holds no score by class."
        if classes is None
        else "Regions are quarters of the map; distance is that to the nearest value of the date, and age is "
        "the time to the nearest value of the pixel. Intervals are from a bootstrap over dates or places."
    )
    return Section(heading, text, facts, tables)


def _tabulate(scores: tuple[Score, ...], units: str) -> Table:
    """Return the scores by class."""
    rows = []
    for score in scores:
        name = "all hidden values" if score.by == ALL else f"{KIND_NAMES[score.by]}: {score.name}"
        known = score.low is not None and score.high is not None
        interval = f"{format_number(score.low)} to {format_number(score.high)}" if known else "–"
        rows.append(
            (
                name,
                f"{score.n:,}",
                format_number(score.rmse),
                interval,
                f"{score.bias:+.2g}",
                format_share(score.coverage_1sigma),
                format_share(score.coverage_2sigma),
            )
        )
    caption = "Scores by class" + (f", in {units}" if units else "")
    return Table(
        caption, ("class", "values", "RMSE", "95% interval", "bias", "within ±1σ", "within ±2σ"), rows
    )


def tabulate_truth(rows: list[dict[str, Any]]) -> Section:
    """Return the scores against a truth, the rows of `score`."""
    heads = [what for what, _ in _SCORES.values()]
    lines = [
        (
            str(row["label"]),
            f"{int(row['n']):,}",
            *(
                "–" if key not in row else format_share(row[key]) if share else format_number(row[key])
                for key, (_, share) in _SCORES.items()
            ),
        )
        for row in rows
    ]
    units = format_units(str(rows[0]["units"]))
    caption = f"{rows[0]['variable']} against the truth" + (f", in {units}" if units else "")
    return Section("Score against a truth", tables=[Table(caption, ("values of", "number", *heads), lines)])


def describe_repeat(attrs: Mapping[Any, Any]) -> Section:
    """Return what repeats the run."""
    configuration = str(attrs.get("configuration", "{}"))
    with suppress(json.JSONDecodeError):  # a file of another version may hold something else
        configuration = json.dumps(json.loads(configuration), indent=2, ensure_ascii=False)
    facts = [
        (what, str(attrs[key]))
        for what, key in (("Source", "source"), ("Made", "date_created"), ("Seed", "seed"))
        if key in attrs
    ]
    code = [("Command", str(attrs["command"]))] if "command" in attrs else []
    code.append(("Configuration (options that differ from the defaults)", configuration))
    code += [("History of the file", str(attrs["history"]))] if "history" in attrs else []
    return Section("How to repeat it", facts=facts, code=code)
