"""The command ``validate``: its arguments, what it writes, and its tables."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich import box
from rich.console import Console, Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from ..errors import InputError
from . import reporting
from .options import add_overwrite, positive
from .tables import print_table

if TYPE_CHECKING:
    from ..holdout.validation import Validation

_log = logging.getLogger("oceanfill")
_OPTIONS = ("max_distance", "max_time", "interpolation", "max_depth", "units", "point_error", "columns")


def add_arguments(command: argparse.ArgumentParser) -> None:
    """Add the arguments of ``validate``."""
    command.add_argument("filled", metavar="FILLED", help="file or Zarr store that `oceanfill fill` wrote")
    command.add_argument(
        "points",
        nargs="+",
        metavar="POINTS",
        help="points that took no part in the filling: CSV, Parquet or NetCDF files, or a pattern in quotes",
    )
    command.add_argument("--variable", metavar="NAME", help="variable to validate, where there are several")
    command.add_argument(
        "-o",
        "--output",
        metavar="OUT",
        help="write the scores to OUT.csv and the match-ups to OUT_matchups.csv",
    )
    command.add_argument("--report", metavar="OUT.html", help="also write the page of `oceanfill report`")
    add_overwrite(command)
    command.add_argument("--json", action="store_true", help="print the scores as JSON")
    read = command.add_argument_group("the points")
    read.add_argument(
        "--columns",
        type=_columns,
        metavar="ROLE=NAME,...",
        help="names of columns or variables that are not recognised; roles are time, lat, lon, value, "
        "platform, depth and error",
    )
    read.add_argument(
        "--units", metavar="UNITS", help="units of the points, where their files do not say them"
    )
    read.add_argument(
        "--max-depth", type=float, metavar="METRES", help="leave out deeper values (default: 10)"
    )
    read.add_argument(
        "--point-error",
        type=positive(float),
        metavar="E",
        help="standard error of the points, in the units of the field (default: 0)",
    )
    read.add_argument(
        "--remove-offsets",
        action="store_true",
        help="subtract the mean difference of each platform, as for tide gauges with levels of their own",
    )
    read.add_argument(
        "--third",
        metavar="FILE",
        help="field or points of a third, independent source, for triple collocation",
    )
    pairs = command.add_argument_group("pairing")
    pairs.add_argument(
        "--max-distance",
        type=positive(float),
        metavar="KM",
        help="largest distance to the centre of a cell with a value (default: half the diagonal of a cell)",
    )
    pairs.add_argument(
        "--max-time",
        type=positive(float),
        metavar="HOURS",
        help="largest difference from a date of the field (default: half its time step)",
    )
    pairs.add_argument(
        "--analysis",
        action="store_true",
        help="validate the analysis, also where the filled variable holds observed values",
    )
    pairs.add_argument(
        "--interpolation",
        metavar="nearest|linear",
        help="take the nearest date (the default), or interpolate linearly between two dates",
    )


def _columns(text: str) -> dict[str, str]:
    pairs = [part.partition("=") for part in text.split(",")]
    if any(not (role and equals and name) for role, equals, name in pairs):
        raise argparse.ArgumentTypeError(f"{text!r} is not ROLE=NAME, as value=temperature,platform=wmo")
    return {role.strip(): name.strip() for role, _, name in pairs}


def run(options: argparse.Namespace) -> None:
    """Validate a filled file, print the scores and write what was asked for."""
    from ..holdout.validation import name_tables, validate, write_validation
    from ..io.targets import check_targets, list_paths

    if not Path(options.filled).exists() and not options.filled.startswith("sample:"):
        raise InputError(f"{options.filled}: no such file; check the path")
    targets = [] if options.output is None else name_tables(Path(options.output))
    inputs = list_paths([options.filled, options.points, options.third])
    if options.report is not None:
        reporting.check_name(Path(options.report))
    check_targets([*targets, options.report], inputs, overwrite=options.overwrite)
    given = {name: getattr(options, name) for name in _OPTIONS if getattr(options, name) is not None}
    found = validate(
        options.filled,
        options.points,
        variable=options.variable,
        third=options.third,
        remove_offsets=options.remove_offsets,
        analysis=options.analysis,
        **given,
    )
    if options.json:
        Console().print_json(found.to_json())
    else:
        print_table(validation_table(found))
    if options.output is not None:
        written = write_validation(found, Path(options.output))
        _log.info("wrote %s", " and ".join(map(str, written)))
    if options.report is not None:
        reporting.write(options.filled, options.report, validation=found)


def validation_table(validation: Validation) -> Group:
    """Make the table of the scores, that of the triple collocation, and the notes."""
    unit = f" ({validation.units})" if validation.units else ""
    title = f"{validation.variable}{unit} against {validation.points}: field - points"
    rows = validation.scores
    honest = any("coverage_1sigma" in row for row in rows)
    shares = ["±1σ", "±2σ"] * honest
    table = _make_table(title, "class", "n", "platforms", "bias", "RMSE", "95%", "robust SD", "r", *shares)
    for row in rows:
        cells = [str(row["name"] if row["by"] == row["name"] else f"{row['by']}: {row['name']}")]
        cells += [f"{row['n']:,}", str(row["platforms"]), _number(row, "bias", "+.2g")]
        cells += [_number(row, "rmse"), _interval(row, "rmse")]
        cells += [_number(row, "robust_sd"), _number(row, "correlation")]
        cells += [_share(row, f"coverage_{k}sigma") for k in (1, 2)] * honest
        table.add_row(*map(escape, cells))
    parts: list[RenderableType] = [table]
    if validation.collocation:
        heads = "source", "n", "error", "95%", "r with the truth"
        errors = _make_table(f"Triple collocation: random errors{unit}", *heads)
        for row in validation.collocation:
            cells = [
                str(row["source"]),
                f"{row['n']:,}",
                _number(row, "error_sd"),
                _interval(row, "error_sd"),
            ]
            errors.add_row(*map(escape, cells), _number(row, "correlation"))
        parts.append(errors)
    whole = rows[0]
    below = ["95%: interval from a bootstrap over platforms"]
    below.append(f"bias of all: {_number(whole, 'bias', '+.2g')}, 95% {_interval(whole, 'bias')}")
    if honest:
        below.append(f"root mean square standard error over RMSE: {_number(whole, 'spread_skill')}")
    return Group(*parts, Text("\n".join([*below, *validation.notes])))


def _make_table(title: str, first: str, *others: str) -> Table:
    table = Table(title=escape(title), title_justify="left", pad_edge=False, box=box.SIMPLE_HEAD)
    table.add_column(first, no_wrap=True)
    for heading in others:
        table.add_column(heading, justify="right", no_wrap=True)
    return table


def _number(row: Mapping[str, Any], key: str, form: str = ".3g") -> str:
    value = row.get(key)
    return "–" if value is None else format(value, form)


def _interval(row: Mapping[str, Any], key: str) -> str:
    low, high = row[f"{key}_low"], row[f"{key}_high"]
    return "–" if low is None or high is None else f"{low:.2g} to {high:.2g}"


def _share(row: Mapping[str, Any], key: str) -> str:
    value = row.get(key)
    return "–" if value is None else f"{100 * value:.0f}%"
