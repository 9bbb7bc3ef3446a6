"""The section of a report about independent points."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..holdout.point_scores import Row
from ..holdout.score_classes import ALL, LEVELS, Score
from ..holdout.validation import Validation
from ..plots.layers import format_units
from ..plots.scores import KINDS, draw_classes, draw_reliability, draw_spread
from .contents import KIND_NAMES
from .parts import Picture, Section, Table, embed_figure, format_number, format_share

_FACTS = {
    "bias": "Bias (field - points)",
    "rmse": "RMSE",
    "sd": "Standard deviation of the differences",
    "robust_sd": "Robust standard deviation",
    "correlation": "Correlation",
}


def describe_validation(validation: Validation) -> Section:
    """Return the scores at independent points, by class, and how well the standard error fits them."""
    units = format_units(validation.units)
    whole = validation.scores[0]
    facts = [
        ("Points", validation.points),
        ("Match-ups", f"{whole['n']:,} of {whole['platforms']} platforms"),
    ]
    for key, what in _FACTS.items():
        unit = "" if key == "correlation" else f" {units}"
        facts.append((what, f"{_number(whole, key)}{unit}{_interval(whole, key)}".strip()))
    if "coverage_1sigma" in whole:
        shares = [format_share(whole[f"coverage_{k}sigma"]) for k in (1, 2)]
        facts.append(("Within one and two standard errors", " and ".join(shares)))
        facts.append(("Root mean square standard error over RMSE", _number(whole, "spread_skill")))
    facts += [("Note", note) for note in validation.notes]
    text = [
        "These points took no part in the filling. Intervals are from a bootstrap over platforms. The "
        "differences contain the errors of the points, and the variations that a cell of the grid does not "
        "resolve."
    ]
    tables = [_tabulate_classes(validation.scores, units)]
    tables += [_tabulate_sources(validation.collocation, units)] if validation.collocation else []
    return Section(
        f"Validation of {validation.variable} against independent points",
        text,
        facts,
        tables,
        list(_draw(validation, units)),
    )


def _tabulate_classes(rows: Sequence[Row], units: str) -> Table:
    lines = []
    for row in rows:
        name = "all" if row["by"] == ALL else f"{KIND_NAMES[str(row['by'])]}: {row['name']}"
        line = [name, f"{row['n']:,}", str(row["platforms"])]
        for key in ("bias", "rmse"):
            line += [_number(row, key), _interval(row, key).removeprefix(", 95% interval ") or "–"]
        line += [_number(row, key) for key in ("robust_sd", "correlation")]
        lines.append([*line, *(_share(row, f"coverage_{k}sigma") for k in (1, 2))])
    heads = ["class", "match-ups", "platforms", "bias", "95% interval", "RMSE", "95% interval"]
    heads += ["robust SD", "correlation", "within ±1σ", "within ±2σ"]
    return Table("Scores at points by class" + (f", in {units}" if units else ""), heads, lines)


def _tabulate_sources(rows: Sequence[Row], units: str) -> Table:
    lines = [
        [
            str(row["source"]),
            f"{row['n']:,}",
            _number(row, "error_sd"),
            _interval(row, "error_sd").removeprefix(", 95% interval ") or "–",
            _number(row, "correlation"),
        ]
        for row in rows
    ]
    heads = ("source", "match-ups", "random error", "95% interval", "correlation with the truth")
    return Table("Triple collocation" + (f", in {units}" if units else ""), heads, lines)


def _draw(validation: Validation, units: str) -> list[Picture]:
    made = []
    scores = [_as_score(row) for row in validation.scores]
    for kind in ("origin", "distance", "age"):
        rows = [score for score in scores if score.by == kind]
        if rows:
            alt = f"Chart of the RMSE at points {KINDS[kind]}: "
            alt += (
                ", ".join(f"{row.name} {format_number(row.rmse)}" for row in rows)
                + f" {units}".rstrip()
                + "."
            )
            caption = (
                f"RMSE at points {KINDS[kind]}; bars are 95% intervals, the dashed line is for all points"
            )
            made.append(embed_figure(draw_classes(scores, kind, units), alt, caption))
    if len(validation.spread) > 1:
        ends = validation.spread[0], validation.spread[-1]
        alt = "Chart of the differences found against those expected: "
        alt += ", ".join(
            f"{_number(row, 'found')} where {_number(row, 'expected')} is expected" for row in ends
        )
        caption = (
            "Root mean square difference from the points against the standard error; on the diagonal the "
        )
        caption += "error is honest, above it too small"
        made.append(embed_figure(draw_spread(validation.spread, units), f"{alt}.", caption))
    if validation.reliability:
        inside = dict(zip(LEVELS, validation.reliability, strict=True))
        alt = ", ".join(f"{100 * inside[level]:.0f}% in the {level}% interval" for level in (50, 80, 95))
        figure = draw_reliability(validation.reliability, "points")
        caption = "Share of the points inside each central interval of the standard error"
        made.append(embed_figure(figure, f"Reliability diagram: of the points, {alt}.", caption))
    return made


def _as_score(row: Row) -> Score:
    known: dict[str, Any] = {key: row[key] for key in ("by", "name", "n", "rmse", "bias")}
    shares = {f"coverage_{k}sigma": row.get(f"coverage_{k}sigma", float("nan")) for k in (1, 2)}
    return Score(**known, **shares, low=row["rmse_low"], high=row["rmse_high"])  # type: ignore[arg-type]


def _number(row: Row, key: str) -> str:
    value = row.get(key)
    return "–" if value is None else format_number(value)


def _share(row: Row, key: str) -> str:
    value = row.get(key)
    return "–" if value is None else format_share(value)


def _interval(row: Row, key: str) -> str:
    low, high = row[f"{key}_low"], row[f"{key}_high"]
    return "" if low is None else f", 95% interval {format_number(low)} to {format_number(high)}"
