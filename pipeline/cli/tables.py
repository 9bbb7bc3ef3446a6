"""Tables for the terminal."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Console, Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from ..jobs.methods import find_method

if TYPE_CHECKING:
    from ..experiments.findings import Finding
    from ..jobs.challenges.challenge import Row
    from ..jobs.compare import Comparison
    from ..jobs.stages import Plan

_PRINTED_WIDTH = 120  # characters, in a file


def print_table(table: RenderableType) -> None:
    """Print to standard output, as wide as the terminal, or with a fixed width to a file."""
    Console(width=None if sys.stdout.isatty() else _PRINTED_WIDTH).print(table)


def held_out_table(rows: Sequence[Mapping[str, Any]], method: Any, kind: str) -> Group:
    """Make the table of what a fill was scored with on hidden values; the delivered row is marked."""
    units = {row.get("variable", ""): row["units"] for row in rows if row.get("units")}
    named = [f"{name} in {unit}" if name else unit for name, unit in units.items()]
    title = "Hidden values" + (f", RMSE and bias of {', '.join(named)}" if len(named) > 1 else "")
    title += f", RMSE and bias in {named[0]}" if len(named) == 1 else ""
    table = Table(title=escape(title), title_justify="left", collapse_padding=True, pad_edge=False)
    if "variable" in rows[0]:
        table.add_column("variable")
    table.add_column("method")
    shrunken = any("share" in row for row in rows)
    headings = ["validation RMSE", "test RMSE", "bias", "±1σ", "±2σ", "n"]
    for heading in [*headings, *["share"] * shrunken]:
        table.add_column(heading, justify="right", min_width=max(map(len, heading.split())))
    table.add_column("", no_wrap=True, min_width=len("delivered"))
    for row in rows:
        names = [escape(row[key]) for key in ("variable", "method") if key in row]
        chose = f"{row['validation_rmse']:.4g}" if "validation_rmse" in row else ""
        shares = (f"{100 * row[key]:.1f}%" for key in ("coverage_1sigma", "coverage_2sigma"))
        figures = [chose, f"{row['rmse']:.4g}", f"{row['bias']:+.2g}", *shares, f"{row['n']:.0f}"]
        if shrunken:
            figures.append(f"{100 * row['share']:.0f}%" if "share" in row else "")
        delivered = is_delivered(row, rows)
        mark = "delivered" if delivered else ""
        table.add_row(*names, *figures, mark, style="bold" if delivered else None)
    hidden = "whole tracks, at their points" if kind == "tracks" else "with cloud masks from other dates"
    if find_method(method).needs_first_guess:
        hidden += ", reweighted to match the difficulty of the real gaps"
    below = "validation: the part that chose what is delivered; test: the part that scores it"
    below += f"\nhidden: {hidden}"
    below += "\n±1σ, ±2σ: how many values are within one and two standard errors"
    if shrunken:
        below += "\nshare: how much of a correction of the first guess is taken"
    return Group(table, Text(below))


def plan_table(plan: Plan) -> Group:
    """Make the table of what a fill would do, without doing it."""
    from ..progress import say_time

    size = plan.size
    table = Table(title=f"Stages of {plan.method.title} on {plan.device}", title_justify="left")
    table.add_column("stage")
    table.add_column("about", justify="right")
    for number, stage in enumerate(plan.stages, start=1):
        last = number == len(plan.stages)
        table.add_row(
            f"{number} of {len(plan.stages)}: {stage.name}", say_time(stage.seconds), end_section=last
        )
    table.add_row("together", say_time(plan.seconds), style="bold")
    how = f"in {size.blocks} blocks" if size.blocks else "in memory"
    below = f"{size.values} values at sea on {size.dates} dates, filled {how}"
    below += f"\nmemory: about {plan.memory / 1e9:.2g} GB, of {plan.allowed / 1e9:.2g} GB allowed"
    below += "\nthe times are rough: expect half to twice as long; nothing was written"
    return Group(table, Text(below))


def is_delivered(row: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> bool:
    """Return whether a row is that of the delivered method: the one that was chosen, or the only one."""
    rivals = [one for one in rows if one.get("variable") == row.get("variable") and "mission" not in one]
    return "mission" not in row and (bool(row.get("choice")) or len(rivals) == 1)


def is_optimistic(method: Any, kind: str) -> bool:
    """Return whether the score on hidden values is too good by construction.

    Values that clouds of other dates hide lie closer to others than the real gaps do. Methods without a first
    guess know no difficulty by which they could be weighted.
    """
    return kind == "field" and not find_method(method).needs_first_guess


def batch_table(lines: Sequence[Mapping[str, Any]]) -> Table:
    """Return the lines of `batch.run` as a table."""
    shown = Table(title="Score on held-out values", title_justify="left")
    for heading in ("job", "state", "method", "n", "RMSE", "bias", "units", "within ±1σ", "seconds"):
        shown.add_column(
            heading, justify="left" if heading in ("job", "state", "method", "units") else "right"
        )
    for line in lines:
        cells = [line["job"], line["state"], str(line.get("delivered", ""))]
        if "held_out_rmse" in line:
            cells += [
                str(line["held_out_n"]),
                f"{line['held_out_rmse']:.4g}",
                f"{line['held_out_bias']:+.2g}",
                str(line.get("held_out_units", "")),
                f"{100 * line['held_out_coverage_1sigma']:.1f}%",
                str(line.get("seconds", "")),
            ]
        shown.add_row(*map(escape, cells))
    return shown


def comparison_table(comparison: Comparison) -> Table:
    """Return the rows; the best is marked, with those that are statistically indistinguishable from it."""
    from ..jobs.compare import comparison_cells
    from ..jobs.evaluate import name_space

    units = comparison.field.source.attrs.get("units", "1")
    space = name_space(comparison.field)
    units = units if space == "values" else f"{space} of {units}"
    title = escape(f"{comparison.field.name} ({units})")
    shown = Table(title=title, collapse_padding=True, pad_edge=False)  # all columns in 120 characters
    shown.title_justify = shown.caption_justify = "left"
    shown.add_column("method")
    headings, lines = comparison_cells(comparison)
    for heading in headings[1:]:
        shown.add_column(heading, justify="right")
    for line in lines:
        shown.add_row(*map(escape, line), style="bold" if line[-1] == "best" else None)
    shown.caption = "RMSE with its 95 % interval over dates; a tie: that of the difference has zero in it"
    if comparison.weighted:
        shown.caption += ";\nhidden values weighted to be as hard as the real gaps"
    return shown


def challenge_table(name: str, rows: Sequence[Row]) -> Table:
    """Return our rows and, below them, those of the challenge's leaderboard."""
    from ..jobs.challenges.challenge import CHALLENGES

    task = CHALLENGES[name]
    shown = Table(title=f"Challenge {name}", title_justify="left", caption_justify="left")
    shown.add_column("method")
    shown.add_column("observations")
    for heading in ("µ", "σ", f"λx ({task.unit})", "λt (d)", "s"):
        shown.add_column(heading, justify="right")
    digits = (".2f", ".2f", ".2f" if task.unit == "°" else ".0f", ".3g", ".0f")
    for number, row in enumerate((*rows, *task.published)):
        told = zip(row[2:], digits, strict=True)
        cells = ("" if value is None else format(value, how) for value, how in told)
        shown.add_row(row.method, row.observations, *cells, end_section=number == len(rows) - 1)
    shown.caption = "below: the public leaderboard"
    return shown


def findings_table(findings: Sequence[Finding], title: str = "") -> Table:
    """Make a table of the findings, the published values, the targets and whether these are met."""
    from ..experiments.reproduce import HEADINGS, format_cells

    table = Table(title=title or None, title_justify="left")
    table.add_column("")
    for heading in HEADINGS:
        table.add_column(heading, justify="right")
    for finding in findings:
        table.add_row(*format_cells(finding))
    return table


def experiments_table() -> Table:
    """Make a table of the shipped experiments: what each does, what it takes and what it should reach."""
    from ..experiments.reproduce import COSTS, find_experiment, list_names

    table = Table(title="Experiments: oceanfill reproduce NAME", title_justify="left")
    table.add_column("name", no_wrap=True)
    table.add_column("summary")
    for cost in COSTS:
        table.add_column(cost)
    for name in list_names():
        experiment = find_experiment(name)
        table.add_row(name, experiment.summary, *experiment.costs.values())
    table.caption = "time on one core, largest memory; NAME --help lists the options of an experiment"
    return table


def forecast_table(found: Mapping[str, Any], method: str) -> Table:
    """Make a table of the RMSE of a forecast's candidates by lead, from its attributes."""
    names = {"method": method, "damped_persistence": "damped persistence"}
    scores = {key.removeprefix("rmse_"): list(one) for key, one in found.items() if key.startswith("rmse_")}
    table = Table(title="RMSE on observed values that followed the starts")
    table.add_column("steps ahead", justify="right")
    for key in scores:
        table.add_column(names.get(key, key), justify="right")
    table.add_column("delivered")
    for step, delivered in enumerate(found["delivered"].split(", ")):
        cells = [f"{values[step]:.4g}" for values in scores.values()]
        table.add_row(str(step + 1), *cells, names.get(delivered, delivered))
    return table


def score_table(rows: Sequence[Mapping[str, Any]], title: str = "") -> Table:
    """Make a table of the rows of `score`, with numbers to a thousandth of the RMSE of all values."""
    import numpy as np

    size = max(row["rmse"] for row in rows)
    decimals = int(np.clip(2 - np.floor(np.log10(size)), 0, 12)) if size > 0 else 3
    headings = ["n", "RMSE", "bias", "MAE"]
    if any("crps" in row for row in rows):
        headings += ["CRPS", "within ±1σ", "within ±2σ"]
    table = Table(title=title or None)
    heading = " in ".join(filter(None, (rows[-1]["variable"], rows[-1]["units"])))
    table.add_column(escape(heading), overflow="fold")
    for heading in headings:
        table.add_column(heading, justify="right")
    for row in rows:
        cells = [
            escape(row["label"]),
            str(row["n"]),
            *(f"{row[key]:.{decimals}f}" for key in ("rmse", "bias", "mae")),
        ]
        if "crps" in row:
            shares = (f"{100 * row[key]:.1f}%" for key in ("coverage_1sigma", "coverage_2sigma"))
            cells += [f"{row['crps']:.{decimals}f}", *shares]
        table.add_row(*cells)
    without = rows[-1].get("without_error", 0)
    if without:
        table.caption = f"CRPS and ±σ exclude the {without} values that have no standard error"
    return table
