"""What each command does: it calls and prints."""

from __future__ import annotations

import argparse
import logging
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from ..errors import InputError
from . import plotting, products, reporting, updating, validating
from .arguments import LIGHTNING, parse
from .spelling import spell_options
from .tables import (
    batch_table,
    challenge_table,
    comparison_table,
    experiments_table,
    findings_table,
    forecast_table,
    held_out_table,
    is_optimistic,
    plan_table,
    print_table,
    score_table,
)

if TYPE_CHECKING:
    import xarray as xr

    from ..io.opening import Opening
    from ..jobs.batch import Row
    from ..settings import FillSettings

_log = logging.getLogger("oceanfill")


def _info(options: argparse.Namespace) -> None:
    from .description import info

    found = info(options.inputs, opening=make_opening(options), spell=spell_options)
    Console().print(found.shown)
    if found.refusal is not None:
        raise found.refusal


def _fill(options: argparse.Namespace) -> None:
    from ..io.remote import is_remote
    from ..io.side_products import postpone_side_products
    from ..io.variables import parse_inputs, parse_spec, separate
    from ..jobs.checks import check_outputs, check_settings, find_kind
    from ..jobs.methods import find_method, settle_method

    first, others = parse_inputs(options.inputs)
    auxiliary = [spec for text in options.auxiliary for spec in parse_spec(text)]
    opening, settings = make_opening(options), settle_method(make_fill_settings(options))
    files, own = separate(first, opening)
    kind = find_kind(files, settings, own.group)
    check_settings(find_method(settings.method), settings, own, kind)  # before torch is imported
    plot, overwrite = options.plot, options.overwrite
    if plot is not None:
        from ..plots.maps import check_drawable

        check_drawable(plot)
    sources = [first, *others, *auxiliary]
    if is_remote(options.output) and (options.report is not None or options.format is not None):
        raise InputError(
            f"{options.output}: reports and products are made of files; name a path as the output"
        )
    if options.report is not None:
        reporting.check_fill(options, kind)
    check_outputs(options.output, sources, opening, settings, plot=plot, overwrite=overwrite)
    given = products.read_given(options)
    products.check_fill(options, files, own, kind)
    from ..jobs.fill import fill, plan_fill

    if options.dry_run:
        how: dict[str, Any] = {"others": others, "auxiliary": auxiliary}
        how |= {"opening": opening, "settings": settings}
        print_table(plan_table(plan_fill(first, options.output, **how)))
        return
    rows: list[dict[str, Any]] = []
    words = [word for word in options.words if word != "--overwrite"]  # the values are the same without it
    with postpone_side_products() as failed:
        dataset = fill(
            first,
            options.output,
            others=others,
            auxiliary=auxiliary,
            opening=opening,
            settings=settings,
            report=rows.extend,
            attributes={"command": shlex.join(["oceanfill", *words])} | given,
            overwrite=overwrite,
        )
        _log.info("wrote %s (%s)", options.output, ", ".join(map(str, dataset.data_vars)))
    if plot is not None:
        _plot(dataset, options)
    if rows and not options.quiet:
        print_table(held_out_table(rows, settings.method, kind))
        if is_optimistic(settings.method, kind):
            _log.warning(
                "this score is optimistic: hidden values are easier than real gaps (see oceanfill compare)"
            )
    if options.report is not None:
        reporting.write(options.output, options.report)
    if options.format is not None:
        products.write_product(options)
    if failed:
        raise InputError(f"{options.output} is complete, but not all that was to be written next to it")


def _plot(dataset: xr.Dataset, options: argparse.Namespace) -> None:
    from ..io.maps.selection import add_missing_date

    dataset = add_missing_date(dataset)
    if options.radial_direction is not None:
        from ..plots.currents import plot_current

        plot_current(dataset, options.plot)
    else:
        from ..plots.maps import plot_fill

        plot_fill(dataset, str(next(iter(dataset.data_vars))), options.plot)
    _log.info("wrote %s", options.plot)


def _prepare(options: argparse.Namespace) -> None:
    from ..records.prepare import prepare

    target = prepare(
        options.inputs,
        options.output,
        make_opening(options),
        skip_bad=options.skip_bad,
        overwrite=options.overwrite,
        cluster=options.cluster,
        n_workers=options.workers,
        quiet=options.quiet,
    )
    _log.info("wrote %s; fill it with: oceanfill fill %s -o FILLED.zarr", target, target)


def _batch(options: argparse.Namespace) -> None:
    from ..io.targets import check_targets
    from ..jobs.batch import read, run, write

    rows = read(options.table)
    check_targets([options.output], [Path(options.table)], overwrite=options.overwrite)
    _check_rows(options.table, rows if options.row is None else rows[max(options.row, 0) :][:1])
    how = {"n_workers": options.workers, "only": options.row, "overwrite": options.overwrite}
    lines = run(rows, quiet=options.quiet, **how)
    print_table(batch_table(lines))
    if options.output is not None:
        write(lines, options.output)
    failed = [line["job"] for line in lines if line["state"].startswith("failed")]
    if failed:
        raise InputError(f"{options.table}: {len(failed)} of {len(lines)} jobs failed ({', '.join(failed)})")


def _check_rows(table: str, rows: Sequence[Row]) -> None:
    """Raise `InputError` with the mistakes in the options of all rows; their files are another matter."""
    from ..jobs.methods import find_method

    wrong = []
    for row in rows:
        try:
            options = parse(list(row.words))
            make_opening(options)
            find_method(make_fill_settings(options).method)
        except InputError as error:
            wrong.append(f"{row.name} ({error})")
    if wrong:
        raise InputError(f"{table}: nothing was started, because of {len(wrong)} jobs: {'; '.join(wrong)}")


def _score(options: argparse.Namespace) -> None:
    from ..holdout.score_files import score

    rows = score(options.filled, options.truth, variable=options.variable, by=options.by)
    if options.json:
        Console().print_json(data=rows)
    else:
        print_table(score_table(rows))


def _forecast(options: argparse.Namespace) -> None:
    from ..jobs.forecast import forecast

    made = forecast(
        options.inputs,
        options.output,
        days=options.days,
        method=options.method,
        starts=options.starts,
        opening=make_opening(options),
        overwrite=options.overwrite,
        seed=options.seed,
        quiet=options.quiet,
    )
    _log.info("wrote %s", options.output)
    print_table(forecast_table(made.attrs, options.method))


def _rerun(options: argparse.Namespace) -> None:
    from ..jobs.rerun import rerun

    how = {"trust": options.trust, "overwrite": options.overwrite, "quiet": options.quiet}
    found = rerun(options.filled, options.output, **how)
    if not found.same:
        raise InputError(f"{options.filled}: {found}")
    Console().print(f"{options.filled}: {found}", soft_wrap=True, highlight=False, markup=False)


def _compare(options: argparse.Namespace) -> None:
    from ..io.targets import check_targets, list_paths
    from ..jobs.compare import compare, name_files, write

    tables = [] if options.output is None else name_files(Path(options.output))
    inputs = list_paths([options.inputs, options.like, options.truth])
    check_targets([*tables, options.plot], inputs, overwrite=options.overwrite)
    if options.plot is not None:
        from ..plots.maps import check_drawable

        check_drawable(options.plot)
    comparison = compare(
        options.inputs,
        options.methods,
        holdout=options.holdout,
        folds=options.folds,
        truth=options.truth,
        opening=make_opening(options),
        settings=make_fill_settings(options),
    )
    print_table(comparison_table(comparison))
    if options.output is not None:
        written = write(comparison, Path(options.output))
        _log.info("wrote %s", " and ".join(map(str, written)))
    if options.plot is not None:
        from ..plots.comparison import plot_comparison

        plot_comparison(comparison, options.plot)
        _log.info("wrote %s", options.plot)


def _challenge(options: argparse.Namespace) -> None:
    from ..jobs.challenges.challenge import challenge

    rows = challenge(
        options.name,
        Path(options.data),
        [name.strip() for name in options.methods.split(",")],
        observations=options.observations,
        step=options.step,
        settings=make_fill_settings(options),
        output=None if options.output is None else Path(options.output),
        overwrite=options.overwrite,
    )
    print_table(challenge_table(options.name, rows))


def _reproduce(options: argparse.Namespace) -> None:
    from ..experiments.reproduce import reproduce

    if options.name is None:
        print_table(experiments_table())
        return
    folder = Path(options.output or f"runs/{Path(options.name).stem}")
    how = {"quick": options.quick, "quiet": options.quiet, "overwrite": options.overwrite}
    findings = reproduce(options.name, folder, options.others, **how)
    print_table(findings_table(findings, options.name))
    _log.info("wrote figures, checkpoints, table.md and config.yaml to %s", folder)


def _pretrain(options: argparse.Namespace) -> None:
    from .pretrain import pretrain

    pretrain(options)


def _lightning(options: argparse.Namespace) -> None:
    from .lightning import run

    quiet = ["--trainer.enable_progress_bar", "false"] if options.quiet else []
    run([options.command, *options.others, *quiet])


def make_opening(options: argparse.Namespace) -> Opening:
    from ..io.opening import Opening

    given = {name: getattr(options, name, None) for name in Opening.__dataclass_fields__}
    return Opening(**{name: value for name, value in given.items() if value is not None})


def make_fill_settings(options: argparse.Namespace) -> FillSettings:
    """Return the settings of what was given; other options keep their defaults."""
    from ..settings import make_settings, names_of_settings

    given = {name: getattr(options, name, None) for name in names_of_settings()}
    given |= {"n_workers": getattr(options, "workers", None)}
    given |= {"holdout": False if getattr(options, "no_holdout", False) else None}
    return make_settings(None, {name: value for name, value in given.items() if value is not None})


COMMANDS = {
    "info": _info,
    "prepare": _prepare,
    "fill": _fill,
    "batch": _batch,
    "score": _score,
    "update": updating.run,
    "rerun": _rerun,
    "compare": _compare,
    "plot": lambda options: plotting.run(options, make_opening(options)),
    "report": reporting.run,
    "forecast": _forecast,
    "export": products.run_export,
    "derive": products.run_derive,
    "validate": lambda options: validating.run(options) if "filled" in options else _lightning(options),
    "challenge": _challenge,
    "reproduce": _reproduce,
    "pretrain": _pretrain,
    **dict.fromkeys(LIGHTNING, _lightning),
}
