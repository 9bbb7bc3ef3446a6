"""The commands: they call and print."""

from __future__ import annotations

import argparse
import logging
import shlex
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.logging import RichHandler
from rich.table import Table

from ..errors import InputError
from .arguments import LIGHTNING, METHODS, parser
from .checks import check_options, check_targets, refuse
from .options import with_negative_regions

_PRINTED_WIDTH = 120  # characters, in a file
_OPENING = (
    "variable",
    "mask_variable",
    "error_variable",
    "observation_error",
    "region",
    "period",
    "transform",
    "minimum_coverage",
)
_log = logging.getLogger("oceanfill")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command. 0: done; 1: a fault of ours; 2: the input or the options; 130: interrupted."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words and words[0] in LIGHTNING:
        options = argparse.Namespace(command=words[0], debug="--debug" in words, quiet=False)
    else:
        options, others = parser().parse_known_args(with_negative_regions(words))
        if others and options.command != "reproduce":
            parser().error(f"unrecognized arguments: {' '.join(others)}")
        options.others = others
    options.words = words
    with _logging(getattr(options, "quiet", False)):
        try:
            _COMMANDS[options.command](options)
        except InputError as error:
            print(f"oceanfill: {error}", file=sys.stderr)
            return 2
        except (KeyboardInterrupt, SystemExit) as stop:
            # Lightning makes an exit of an interrupt, rich one of a reader, as head, that has seen enough.
            cause = stop.__context__ if isinstance(stop, SystemExit) else stop
            if isinstance(cause, BrokenPipeError):
                return 0
            if not isinstance(cause, KeyboardInterrupt):
                raise
            print("oceanfill: interrupted; no unfinished file is left", file=sys.stderr)
            return 130
        except Exception as error:
            if options.debug:
                raise
            what = (str(error).splitlines() or ["no message"])[0]
            print(
                f"oceanfill: a fault of ours ({type(error).__name__}: {what}); please report it with what "
                "the same command shows under --debug",
                file=sys.stderr,
            )
            return 1
    return 0


def _info(options: argparse.Namespace) -> None:
    from ..io.tracks import is_along_track
    from ..io.variables import files_and_opening, first_and_others
    from .info import describe
    from .track_info import describe_tracks

    first, others = first_and_others(options.inputs)
    if others:
        raise InputError(f"{others[0].files}: one variable is described at a time; leave out the others")
    files, opening = files_and_opening(first, _opening(options))
    if is_along_track(files):
        refuse(
            options, ("mask_variable", "transform", "minimum_coverage"), "points along tracks, not a field"
        )
        Console().print(describe_tracks(files, **opening))
    else:
        Console().print(describe(files, **opening))


def _fill(options: argparse.Namespace) -> None:
    from ..io.tracks import is_along_track
    from ..io.variables import files_and_opening, first_and_others, parse_spec

    first, others = first_and_others(options.inputs)
    helping = [spec for text in options.auxiliary for spec in parse_spec(text)]
    further = [*others, *helping]
    files, opening = files_and_opening(first, _opening(options))
    tracks = is_along_track(files)
    check_options(options, tracks)
    check_targets(options, [files, *(spec.files for spec in further)])
    if further and (tracks or options.radial_direction is not None):
        raise InputError(f"{further[0].files}: further variables go with a field on a grid; leave them out")
    from ..io.writing import write_dataset
    from ..jobs.fill import fill
    from ..jobs.large import check_several, fill_large, needs_blocks
    from ..jobs.tracks import fill_tracks
    from ..training.networks import Training

    how: dict[str, Any] = {
        "method": options.method,
        "training": Training(**{part.name: getattr(options, part.name) for part in fields(Training)}),
        "seed": options.seed,
        "device": options.device,
        "quiet": options.quiet,
        "report": lambda rows: None if options.quiet else _show_held_out(rows, options, tracks),
        "attributes": {"command": shlex.join(["oceanfill", *options.words])},
    }
    if options.radial_direction is not None:
        _fill_radials(options, how)
        return
    how |= {
        "holdout": not options.no_holdout,
        "analysis_everywhere": options.analysis_everywhere,
        "intervals": options.intervals,
    }
    asked = options.workers > 1 or options.cluster is not None or options.cache is not None
    if tracks:
        dataset = fill_tracks(
            files,
            grid=options.grid,
            bounds=options.bounds,
            step=options.time_step or 1.0,
            mask=options.mask,
            hold_out_mission=options.hold_out_mission,
            cluster=options.cluster,
            number=options.workers,
            samples=options.samples,
            **how,
            **opening,
        )
        write_dataset(dataset, options.output)
    elif not further and (asked or needs_blocks(files, opening, options.method, options.memory)):
        if options.samples:
            raise InputError(
                "plausible fields are drawn in memory and not block by block; leave out --samples, or "
                "--workers, --cluster and --cache, choose a smaller --region or --period, or "
                "allow more --memory"
            )
        dataset = fill_large(
            files,
            options.output,
            cache=options.cache,
            memory=options.memory,
            cluster=options.cluster,
            number=options.workers,
            opening=opening,
            **how,
        )
    else:
        if further:
            check_several(files, opening, 1 + len(further), options.memory, asked)
        how |= {"samples": options.samples}
        dataset = fill(first, others=others, auxiliary=helping, **how, **_opening(options))
        write_dataset(dataset, options.output)
    name, *beside = dataset.data_vars
    _log.info("%s without gaps, with %s, is in %s", name, ", ".join(map(str, beside)), options.output)
    if options.plot is not None:
        from ..plots.maps import plot_fill

        plot_fill(dataset, str(name), options.plot)
        _log.info("a map of it is in %s", options.plot)


def _fill_radials(options: argparse.Namespace, how: dict[str, Any]) -> None:
    from ..io.writing import write_dataset
    from ..jobs.currents import fill_radials

    flow, opening = options.flow or "free", _opening(options)
    dataset = fill_radials(options.inputs, options.radial_direction, flow=flow, **how, **opening)
    write_dataset(dataset, options.output)
    _log.info("%s are in %s", ", ".join(map(str, dataset.data_vars)), options.output)
    if options.plot is not None:
        from ..plots.currents import plot_current

        plot_current(dataset, options.plot)
        _log.info("a map of the current is in %s", options.plot)


def _prepare(options: argparse.Namespace) -> None:
    from ..records.prepare import prepare

    target = prepare(
        options.inputs,
        options.output,
        skip_bad=options.skip_bad,
        cluster=options.cluster,
        number=options.workers,
        quiet=options.quiet,
        **_opening(options),
    )
    _log.info("%s is ready: oceanfill fill %s -o FILLED.zarr", target, target)


def _batch(options: argparse.Namespace) -> None:
    from ..io.writing import check_folder
    from ..jobs.batch import read, run, table, write

    if options.output is not None:
        check_folder(options.output)
    lines = run(read(options.table), number=options.workers, quiet=options.quiet, only=options.row)
    Console(width=None if sys.stdout.isatty() else _PRINTED_WIDTH).print(table(lines))
    if options.output is not None:
        write(lines, options.output)
    failed = [line["job"] for line in lines if line["state"].startswith("failed")]
    if failed:
        raise InputError(f"{options.table}: {len(failed)} of {len(lines)} jobs failed ({', '.join(failed)})")


def _score(options: argparse.Namespace) -> None:
    from ..holdout.score_files import score_files, score_table

    rows = score_files(options.filled, options.truth, variable=options.variable, by=options.by)
    if options.json:
        Console().print_json(data=rows)
    else:
        Console(width=None if sys.stdout.isatty() else _PRINTED_WIDTH).print(score_table(rows))


def _compare(options: argparse.Namespace) -> None:
    from ..holdout.score_files import read_truth
    from ..io.field import open_field
    from ..io.writing import check_folder
    from ..jobs.compare import USUAL, compare, table, write
    from ..training.networks import Training

    if options.output is not None:
        check_folder(options.output)
    if options.plot is not None:
        from ..plots.maps import check_drawable

        check_drawable(options.plot)
    methods = {"usual": USUAL, "all": [name for name in METHODS if name != "auto"]}.get(
        options.methods, [name.strip() for name in options.methods.split(",")]
    )
    field = open_field(options.inputs, **_opening(options))
    comparison = compare(
        field,
        methods,
        holdout=options.holdout,
        folds=options.folds,
        truth=None if options.truth is None else read_truth(field, options.truth),
        training=Training(epochs=options.epochs, time_budget=options.time_budget),
        seed=options.seed,
        device=options.device,
        quiet=options.quiet,
    )
    Console(width=None if sys.stdout.isatty() else _PRINTED_WIDTH).print(table(comparison))
    if options.output is not None:
        written = write(comparison, Path(options.output))
        _log.info("the table is in %s", " and ".join(map(str, written)))
    if options.plot is not None:
        from ..plots.comparison import plot_comparison

        plot_comparison(comparison, options.plot)
        _log.info("errors by date, distance and age, and maps of them, are in %s", options.plot)


def _challenge(options: argparse.Namespace) -> None:
    from ..jobs.challenge import challenge, table
    from ..training.networks import Training

    rows = challenge(
        options.name,
        Path(options.data),
        [name.strip() for name in options.methods.split(",")],
        observations=options.observations,
        step=options.step,
        training=Training(epochs=options.epochs, time_budget=options.time_budget),
        seed=options.seed,
        device=options.device,
        quiet=options.quiet,
        output=None if options.output is None else Path(options.output),
    )
    Console(width=None if sys.stdout.isatty() else _PRINTED_WIDTH).print(table(options.name, rows))


def _reproduce(options: argparse.Namespace) -> None:
    from ..experiments.reproduce import make_experiments_table, make_findings_table, reproduce

    console = Console(width=None if sys.stdout.isatty() else _PRINTED_WIDTH)
    if options.name is None:
        console.print(make_experiments_table())
        return
    folder = Path(options.output or f"runs/{options.name}")
    findings = reproduce(options.name, folder, options.others, quick=options.quick, quiet=options.quiet)
    console.print(make_findings_table(findings, options.name))
    _log.info("figures, checkpoints, table.md and config.yaml are in %s", folder)


def _lightning(options: argparse.Namespace) -> None:
    from .lightning import run

    run([word for word in options.words if word != "--debug"])


def _show_held_out(rows: list[dict[str, Any]], options: argparse.Namespace, tracks: bool) -> None:
    if not rows:
        return
    table = Table(title="Score on held-out values", title_justify="left", caption_justify="left")
    if "variable" in rows[0]:
        table.add_column("variable")
    table.add_column("method")
    for heading in ("n", "RMSE", "bias", "within ±1σ", "within ±2σ"):
        table.add_column(heading, justify="right")
    for row in rows:
        shares = (f"{100 * row[key]:.1f} %" for key in ("coverage_1sigma", "coverage_2sigma"))
        names = (row[key] for key in ("variable", "method") if key in row)
        figures = str(row["n"]), f"{row['rmse']:.4g}", f"{row['bias']:+.2g}", *shares
        table.add_row(*names, *figures, style="bold" if row.get("choice") else None)
    table.caption = "whole tracks, at their points" if tracks else "hidden by the clouds of other dates"
    from ..jobs.fill import GUESSING

    if options.method in GUESSING:
        table.caption += ",\nweighted to be as hard as the real gaps"
    Console(stderr=True).print(table)


def _opening(options: argparse.Namespace) -> dict[str, Any]:
    given = {name: getattr(options, name, None) for name in _OPENING}
    return {name: value for name, value in given.items() if value is not None}


@contextmanager
def _logging(quiet: bool) -> Iterator[None]:
    """What `oceanfill` logs goes to standard error, and no further."""
    before = _log.level, _log.propagate
    handler = RichHandler(console=Console(stderr=True), show_path=False, log_time_format="%H:%M:%S")
    _log.addHandler(handler)
    _log.setLevel(logging.WARNING if quiet else logging.INFO)
    _log.propagate = False
    try:
        yield
    finally:
        _log.removeHandler(handler)
        _log.setLevel(before[0])
        _log.propagate = before[1]


_COMMANDS = {
    "info": _info,
    "prepare": _prepare,
    "fill": _fill,
    "batch": _batch,
    "score": _score,
    "compare": _compare,
    "challenge": _challenge,
    "reproduce": _reproduce,
    **dict.fromkeys(LIGHTNING, _lightning),
}
