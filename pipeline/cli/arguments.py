"""The arguments of the command line and their help."""

from __future__ import annotations

import argparse
from importlib.metadata import version
from typing import Any

import shtab

from ..jobs.methods import find_methods
from . import plotting, products, reporting, validating
from .logs import add_logging
from .options import (
    HOLDOUTS,
    Parser,
    UsageError,
    add_hold_out,
    add_opening,
    add_overwrite,
    add_pretraining,
    add_storage,
    add_training,
    add_vectors,
    add_workers,
    levels,
    positive,
    with_negative_regions,
)

LIGHTNING = {
    "fit": "train a network from a configuration",
    "test": "score a trained network on the test values",
    "predict": "fill a file with a trained network",
}
_OF_LIGHTNING = "--config", "--ckpt_path"  # with one of these `validate` is the stage of Lightning
_FILES = (
    "INPUT",
    "FILE",
    "FILE:NAME",
    "FILLED",
    "TRUTH",
    "POINTS",
)  # as options call them, or by their endings
_HELP = argparse.RawDescriptionHelpFormatter
_WHO = {
    "to fill a field": ("info", "fill", "plot", "report", "score", "compare", "rerun"),
    "to check and publish it": ("validate", "export", "derive", "forecast"),
    "to fill many or large files": ("prepare", "batch"),
    "to repeat what was published": ("challenge", "reproduce"),
    "to train networks (`pretrain`, and the stages of Lightning)": ("pretrain", *LIGHTNING),
}


class _ByUser(argparse.RawDescriptionHelpFormatter):
    """The help of the root, whose commands are grouped by who needs them."""

    def _format_action(self, action: argparse.Action) -> str:
        if not isinstance(action, argparse._SubParsersAction):
            return super()._format_action(action)
        described = {one.dest: one.help for one in action._get_subactions()}
        parts = []
        for who, names in _WHO.items():
            parts += [f"  {who}:", *(f"    {name:10} {described[name]}" for name in names)]
        return "\n".join(parts) + "\n"


class _Help(argparse._HelpAction):
    """The help of `reproduce`, or of the experiment that is named before it."""

    def __call__(self, command: argparse.ArgumentParser, options: argparse.Namespace, *_: Any) -> None:
        if options.name is not None:
            from ..experiments.reproduce import build_parser, find_experiment

            command = build_parser(find_experiment(options.name), options.quick)
        command.print_help()
        command.exit()


def parser() -> argparse.ArgumentParser:
    """Return the parser of all commands; it stores the name of the command in ``command``.

    It raises `UsageError` for words that it does not understand.
    """
    root = Parser(
        prog="oceanfill",
        description="Fills the gaps of satellite ocean fields, with an honest error for each pixel.",
        epilog="`oceanfill COMMAND --help` explains a command.\n\nexamples:\n"
        "  oceanfill fill sample:sst_clouds.nc -o filled.nc --plot filled.png\n"
        "  oceanfill --print-completion bash > ~/.local/share/bash-completion/completions/oceanfill",
        formatter_class=_ByUser,
        allow_abbrev=False,
    )
    root.add_argument("--version", action="version", version=f"oceanfill {version('oceanfill')}")
    shtab.add_argument_to(
        root, "--print-completion", help="print the completion of this command line for a shell and exit"
    )
    commands = root.add_subparsers(title="commands", required=True, metavar="COMMAND", dest="command")
    _add_info(commands)
    _add_prepare(commands)
    _add_fill(commands)
    _add_batch(commands)
    _add_score(commands)
    _add_rerun(commands)
    _add_compare(commands)
    _add_plot(commands)
    _add_report(commands)
    _add_export(commands)
    _add_derive(commands)
    _add_validate(commands)
    _add_forecast(commands)
    _add_challenge(commands)
    _add_reproduce(commands)
    _add_pretrain(commands)
    for name, what in LIGHTNING.items():
        commands.add_parser(name, help=what, add_help=False)
    for command in commands.choices.values():
        _complete_files(command)
    return root


def _complete_files(command: argparse.ArgumentParser) -> None:
    """Have the shell complete the names of files and folders."""
    for action in command._actions:
        kind = str(action.metavar)
        if kind == "FOLDER":
            action.complete = shtab.DIRECTORY  # type: ignore[attr-defined]
        elif kind in _FILES or "." in kind:
            action.complete = shtab.FILE  # type: ignore[attr-defined]


def parse(words: list[str]) -> argparse.Namespace:
    """Return the options of a command line. Raises `UsageError` where it is not understood."""
    if words and (words[0] in LIGHTNING or (words[0] == "validate" and _is_stage(words))):
        own = Parser(prog=f"oceanfill {words[0]}", add_help=False, allow_abbrev=False)
        add_logging(own)  # the other options are for Lightning to understand
        options, others = own.parse_known_args(words[1:])
        options.command, options.others = words[0], others
    else:
        options, others = parser().parse_known_args(with_negative_regions(words))
        if others and options.command not in ("reproduce", "pretrain"):
            raise UsageError(f"unrecognized arguments: {' '.join(others)}", f"oceanfill {options.command}")
        options.others = others
    options.words = words
    return options


def _is_stage(words: list[str]) -> bool:
    return any(word.partition("=")[0] in _OF_LIGHTNING for word in words)


def _command(commands: Any, name: str, **about: Any) -> argparse.ArgumentParser:
    made: argparse.ArgumentParser = commands.add_parser(
        name, formatter_class=_HELP, allow_abbrev=False, **about
    )
    return made


def _add_info(commands: Any) -> None:
    info = _command(
        commands,
        "info",
        help="describe a file and what would be filled in it",
        description="List variables, grid, dates, missing values by date, the variable to fill, and every "
        "oddity.",
        epilog="example:\n  oceanfill info sst_clouds.nc",
    )
    add_opening(info)
    add_logging(info)


def _add_prepare(commands: Any) -> None:
    prepare = _command(
        commands,
        "prepare",
        help="put many or large files into one store, for `fill`",
        description="Read the files in parallel, check them, sort their dates, and write one chunked Zarr "
        "store\nwith a sea mask, means, deviations and a climatology. If it is interrupted, run it\nagain: "
        "it resumes.",
        epilog="examples:\n"
        "  oceanfill prepare 'sst_*.nc' -o sst.zarr --workers 8\n"
        "  oceanfill prepare 'sst_*.nc' -o sst.zarr --cluster slurm --workers 20 --skip-bad\n"
        "  oceanfill fill sst.zarr -o filled.zarr",
    )
    add_opening(prepare, prepared=True)
    prepare.add_argument("-o", "--output", required=True, metavar="CACHE.zarr", help="Zarr store to write")
    add_overwrite(prepare)
    prepare.add_argument("--skip-bad", action="store_true", help="skip files that cannot be read")
    add_workers(prepare)
    add_logging(prepare)


def _add_fill(commands: Any) -> None:
    fill = _command(
        commands,
        "fill",
        help="fill the gaps of a field",
        description="Fill the gaps of a field and write it with its standard error, the origin of each\n"
        "value and its score.",
        epilog="methods:\n"
        + "\n".join(f"  {name:18} {method.describe}" for name, method in find_methods().items())
        + "\n  PACKAGE:FUNCTION   a function of your own: a Field in, estimate and standard error out"
        + "\n\nseveral variables, each in a file of its own, or in several (a pattern in quotes):\n"
        "  FILE:NAME[:log][,NAME ...][,error=NUMBER or NAME][,jitter=NUMBER]\n"
        "The others are regridded to the grid and the dates of the first. `log` fills logarithms, `error` "
        "is\n"
        "the observation error (a number, or the variable that holds it), `jitter` the standard deviation "
        "of\n"
        "noise added to the network inputs in training.\n"
        "\nexamples:\n"
        "  oceanfill fill sst_clouds.nc -o filled.nc --plot filled.png\n"
        "  oceanfill fill sst.nc:sst 'chl_*.nc:CHL:log,error=0.3' --auxiliary wind.nc:u,v -o both.nc\n"
        "  oceanfill fill 'chl_*.nc' -o chl.nc --transform log --region 35,45,-6,18\n"
        "  oceanfill fill new.nc -o new_filled.nc --checkpoint trained.ckpt\n"
        "  oceanfill fill 'dt_*_phy_l3_*.nc' -o sla.nc --grid 0.25 --bounds 30,46,-6,37\n"
        "  oceanfill fill 'sst_*.nc' -o filled.nc --method unet --dry-run",
    )
    add_opening(fill)
    fill.add_argument("-o", "--output", required=True, metavar="OUT.nc", help="file or Zarr store to write")
    add_overwrite(fill)
    fill.add_argument(
        "--dry-run",
        action="store_true",
        help="show the stages, the memory and the time to expect on this machine, and write nothing",
    )
    fill.add_argument(
        "--auxiliary",
        nargs="+",
        action="extend",
        default=[],
        metavar="FILE:NAME",
        help="further variables used as inputs only",
    )
    fill.add_argument(
        "--method",
        metavar="METHOD",
        help="method of filling, see the list below (default: pretrained, oi for a single map, or unet "
        "if options of a training are given)",
    )
    fill.add_argument(
        "--plot",
        metavar="OUT.png",
        help="draw a map of the input, the filled field and its error",
    )
    fill.add_argument("--report", metavar="OUT.html", help="also write the page of `oceanfill report`")
    fill.add_argument(
        "--analysis-everywhere", action="store_true", help="replace observed values by the analysis too"
    )
    fill.add_argument(
        "--intervals",
        type=levels,
        default=(),
        metavar="50,90",
        help="also write prediction intervals at these levels (percent)",
    )
    fill.add_argument(
        "--samples",
        type=positive(int, most=10_000),
        default=0,
        metavar="N",
        help="also write N posterior draws",
    )
    fill.add_argument(
        "--no-holdout", action="store_true", help="use every value for the filling; there is no score then"
    )
    add_hold_out(fill)
    add_storage(fill)
    products.add_format(fill)
    products.add_attributes(fill)
    tracks = fill.add_argument_group("along-track files (altimeters, any points)")
    tracks.add_argument(
        "--mask", metavar="FILE", help="file with a sea mask on any grid (default: a coarse coastline)"
    )
    large = add_workers(fill)
    large.add_argument(
        "--memory",
        type=positive(float),
        metavar="GB",
        help="memory that all workers may use together; larger inputs are filled block by block (default: "
        "half "
        "of the machine's)",
    )
    large.add_argument(
        "--cache", metavar="CACHE.zarr", help="keep the store that a large input is prepared in, here"
    )
    training = add_training(fill)
    training.add_argument(
        "--window",
        type=positive(int, most=999),
        metavar="DATES",
        help="number of dates that a network uses at once (default: 5, or 3 for a short record)",
    )
    training.add_argument(
        "--checkpoint", metavar="FILE", help="fill with this trained network; nothing is trained"
    )
    training.add_argument("--save-checkpoint", metavar="FILE", help="save the trained network to this file")
    training.add_argument(
        "--finetune",
        type=positive(float, most=525_600),
        metavar="MINUTES",
        help="train the pretrained network further on the file, for at most this long; the result is used "
        "where it is better on the validation values",
    )
    training.add_argument(
        "--trust",
        action="store_true",
        default=None,
        help="import networks and losses from other packages if the checkpoint names them",
    )
    training.add_argument(
        "--first-guess",
        choices=("oi", "none"),
        default="oi",
        help="field that a network corrects: oi (optimal interpolation, the default) or none (the mean of "
        "each "
        "pixel, as in the papers)",
    )
    training.add_argument(
        "--loss",
        choices=("gaussian", "kullback-leibler"),
        default="gaussian",
        help="loss of a network: gaussian likelihood (the default) or the Kullback-Leibler divergence from "
        "observations with their own errors",
    )
    training.add_argument(
        "--saves",
        type=positive(int),
        metavar="N",
        help="average the predictions of the networks of the last N epochs (default: the averaged weights "
        "of the "
        "best epoch)",
    )
    training.add_argument(
        "--ensemble",
        type=positive(int, most=100),
        metavar="N",
        help="average N networks trained with different seeds and validation dates. They share "
        "--time-budget; "
        "for the same total time a single network scored better (docs/errors.md)",
    )
    modes = fill.add_argument_group("DINEOF")
    modes.add_argument(
        "--cv-points",
        metavar="POINTS.csv",
        help="CSV file with date,row,column (from zero) of the values that select the number of modes",
    )
    modes.add_argument("--save-eofs", metavar="EOFS.nc", help="write the EOFs to this file")
    add_vectors(fill)
    add_logging(fill)


def _add_batch(commands: Any) -> None:
    batch = _command(
        commands,
        "batch",
        help="fill many files, regions or variables in one go",
        description="Run the rows of a table. A row that fails does not stop the others; a row that is up "
        "to date is\n"
        "skipped. The log of each row is in OUTPUT.log. The scores of all rows are printed at the end.",
        epilog="a table; its keys are the options of `oceanfill fill`:\n"
        "  defaults: {method: unet, time_budget: 10}\n"
        "  jobs:\n"
        "    - {inputs: 'sst_*.nc', output: alboran.nc, region: [35, 37, -6, 0]}\n"
        "    - {inputs: chl.nc, output: chl_filled.nc, transform: log, method: oi}\n\n"
        "examples:\n"
        "  oceanfill batch jobs.yaml -o scores.csv --workers 4\n"
        "  oceanfill batch jobs.yaml --row $SLURM_ARRAY_TASK_ID",
    )
    batch.add_argument("table", metavar="JOBS.yaml")
    batch.add_argument("-o", "--output", metavar="SCORES.csv", help="also write the scores to this file")
    add_overwrite(batch)
    batch.add_argument("--row", type=int, metavar="K", help="run only row K, counted from 0")
    batch.add_argument(
        "--workers",
        type=positive(int),
        default=1,
        metavar="N",
        help="number of rows to run at the same time (default: 1)",
    )
    add_logging(batch)


def _add_score(commands: Any) -> None:
    score = _command(
        commands,
        "score",
        help="score a filled file on values that were hidden",
        description="Print RMSE, bias, MAE, CRPS and coverage over the cells where the truth file is finite.",
        epilog="example:\n  oceanfill score filled.nc sst_clouds_truth.nc",
    )
    score.add_argument("filled", metavar="FILLED")
    score.add_argument("truth", metavar="TRUTH")
    score.add_argument("--variable", metavar="NAME", help="variable to score, where both files have several")
    score.add_argument(
        "--by", metavar="FLAG", help="score each value of this flag of the truth file separately"
    )
    score.add_argument("--json", action="store_true", help="print the rows as JSON")
    add_logging(score)


def _add_rerun(commands: Any) -> None:
    again = _command(
        commands,
        "rerun",
        help="repeat a fill and compare the values",
        description="Repeat a fill from the attributes of its output, and say whether the values are "
        "the same\nand what has changed of inputs, versions and device.",
        epilog="example:\n  oceanfill rerun filled.nc",
    )
    again.add_argument("filled", metavar="FILLED")
    again.add_argument("-o", "--output", metavar="OUT.nc", help="keep the new result in this file or store")
    add_overwrite(again)
    again.add_argument(
        "--trust", action="store_true", help="run code of other packages that the file names as its method"
    )
    add_logging(again)


def _add_compare(commands: Any) -> None:
    compare = _command(
        commands,
        "compare",
        help="find the best method for a file",
        description="Hide values of a field and score every method on them.",
        epilog="The methods are those of `oceanfill fill --help`.\n\nexamples:\n"
        "  oceanfill compare sst_clouds.nc -o comparison --plot comparison.png\n"
        "  oceanfill compare sst_clouds.nc --methods oi,dineof,unet --truth sst_clouds_truth.nc\n"
        "  oceanfill compare ssh_med.nc --methods all --time-budget 0.2 --holdout tracks --folds 2",
    )
    add_opening(compare)
    compare.add_argument(
        "--methods",
        default="usual",
        metavar="A,B,...",
        help="methods to compare: names, `all`, or `usual` (the classical methods, the pretrained network "
        "and a U-Net; the default)",
    )
    compare.add_argument(
        "--holdout",
        choices=HOLDOUTS,
        default="clouds",
        metavar="HOLDOUT",
        help="pattern of the hidden values: "
        + ", ".join(f"{name} ({what})" for name, what in HOLDOUTS.items()),
    )
    compare.add_argument(
        "--folds",
        type=positive(int),
        default=1,
        metavar="K",
        help="repeat K times with other hidden values (default: 1)",
    )
    compare.add_argument(
        "--truth", metavar="FILE", help="score the gaps themselves against the truth in this file"
    )
    add_hold_out(compare)
    compare.add_argument("-o", "--output", metavar="OUT", help="write the table to OUT.csv and OUT.md")
    add_overwrite(compare)
    compare.add_argument(
        "--plot", metavar="OUT.png", help="draw errors by date, distance and age of the gap, and their maps"
    )
    add_training(compare)
    add_logging(compare)


def _add_plot(commands: Any) -> None:
    plot = _command(
        commands,
        "plot",
        help="draw a file, filled or not",
        description="Draw maps of one date, an animation, the time series of a pixel, or a section along a "
        "line.\nThe land is grey, gaps are hatched.",
        epilog="examples:\n"
        "  oceanfill plot filled.nc -o map.png --date 2024-05-02\n"
        "  oceanfill plot filled.nc -o film.gif --what observed,filled\n"
        "  oceanfill plot filled.nc -o series.pdf --at 36.2,-3.9\n"
        "  oceanfill plot 'sst_*.nc' -o section.png --along lat=36 --limits 14,20",
    )
    plotting.add_arguments(plot)
    add_logging(plot)


def _add_report(commands: Any) -> None:
    report = _command(
        commands,
        "report",
        help="write an HTML page about a filled file",
        description="Write one page on what came in and what was done with it, the choice of the method,\n"
        "the scores, maps, reliability, spectra and the command that repeats it. The page needs\n"
        "no other file and no network.",
        epilog="examples:\n"
        "  oceanfill report filled.nc -o report.html\n"
        "  oceanfill report filled.nc --truth sst_clouds_truth.nc",
    )
    reporting.add_arguments(report)
    add_logging(report)


def _add_export(commands: Any) -> None:
    export = _command(
        commands,
        "export",
        help="write a filled file in a provider's format",
        description="Write a filled file in the format of a provider's product: one file for each date, or "
        "one series.",
        epilog="examples:\n"
        "  oceanfill export filled.nc --format ghrsst -o FOLDER --attribute creator_name='A. Name'\n"
        "  oceanfill export sla_filled.nc --format cmems-ssh -o series.nc --mdt mdt.nc",
    )
    products.add_export(export)
    add_logging(export)


def _add_derive(commands: Any) -> None:
    derive = _command(
        commands,
        "derive",
        help="derive currents, fronts, anomalies or heatwaves from a filled file",
        description="Derive a quantity from a filled file, with its standard error or its probability.",
        epilog="examples:\n"
        "  oceanfill derive sla_filled.nc --what geostrophic -o currents.nc\n"
        "  oceanfill derive filled.nc --what fronts --threshold 0.05 -o fronts.nc\n"
        "  oceanfill derive filled.nc --what heatwaves --climatology sst_30_years.nc -o heatwaves.nc\n"
        "  oceanfill derive filled.nc --what resolution --truth 'tracks_*.nc' -o resolution.nc",
    )
    products.add_derive(derive)
    add_logging(derive)


def _add_validate(commands: Any) -> None:
    validate = _command(
        commands,
        "validate",
        help="score a filled file against independent points",
        description="Pair drifters, floats, moorings, tide gauges or another mission with a filled file, and "
        "print\nbias, RMSE, robust standard deviation, correlation and coverage.",
        epilog="examples:\n"
        "  oceanfill validate filled.nc points.csv -o validation --report validation.html\n"
        "  oceanfill validate filled.nc 'argo_*.nc' --max-depth 5 --point-error 0.002\n"
        "  oceanfill validate sla.nc gauges.csv --columns value=level,platform=gauge --remove-offsets\n\n"
        "With --config or --ckpt_path this is a stage of Lightning: it scores a trained network on the\n"
        "validation values.\n"
        "  oceanfill validate --config runs/unet/config.yaml --ckpt_path best",
    )
    validating.add_arguments(validate)
    add_logging(validate)


def _add_forecast(commands: Any) -> None:
    ahead = _command(
        commands,
        "forecast",
        help="forecast the dates after the last one",
        description="Fill the dates after the last one, and score the same forecast on earlier dates\n"
        "against persistence and damped persistence.",
        epilog="example:\n  oceanfill forecast sst.nc -o ahead.nc --days 5",
    )
    add_opening(ahead)
    ahead.add_argument("-o", "--output", metavar="OUT.nc", required=True, help="file or Zarr store to write")
    add_overwrite(ahead)
    ahead.add_argument(
        "--days",
        type=float,
        required=True,
        metavar="DAYS",
        help="how many days after the last date",
    )
    ahead.add_argument("--method", default="oi", metavar="NAME", help="a method of `fill` (default: oi)")
    ahead.add_argument(
        "--starts",
        type=int,
        default=6,
        metavar="N",
        help="earlier forecasts that choose and score (default: 6)",
    )
    ahead.add_argument("--seed", type=int, default=0, metavar="SEED", help="seed of the method (default: 0)")
    add_logging(ahead)


def _add_challenge(commands: Any) -> None:
    challenge = _command(
        commands,
        "challenge",
        help="map a public sea level challenge and print a leaderboard row",
        description="Map the observations of a public SSH mapping challenge from its own files and score the "
        "maps\nby its definitions, next to its leaderboard.",
        epilog="The methods are those of `oceanfill fill --help`, and `baseline`, the challenge's own.\n\n"
        "examples:\n"
        "  oceanfill challenge 2020a --data 2020a --methods baseline,oi,4dvarnet\n"
        "  oceanfill challenge 2020a --data 2020a --observations swot+4-nadirs --methods oi\n"
        "  oceanfill challenge 2021a --data 2021a --methods oi,unet --time-budget 60",
    )
    challenge.add_argument("name", metavar="2020a|2021a")
    challenge.add_argument(
        "--data", required=True, metavar="FOLDER", help="folder with dc_obs, dc_ref or dc_maps"
    )
    challenge.add_argument(
        "--methods", default="baseline,oi", metavar="A,B,...", help="methods to score (default: baseline,oi)"
    )
    challenge.add_argument(
        "--observations",
        metavar="NAME",
        help="observations of 2020a: 4-nadirs (default), 1-nadir, swot or swot+4-nadirs",
    )
    challenge.add_argument(
        "--step",
        type=positive(float),
        default=0.1,
        metavar="DEGREES",
        help="spacing of the grid (default: 0.1)",
    )
    challenge.add_argument(
        "-o", "--output", metavar="FOLDER", help="write the maps of each method to this folder"
    )
    add_overwrite(challenge)
    add_training(challenge)
    add_logging(challenge)


def _add_reproduce(commands: Any) -> None:
    again = _command(
        commands,
        "reproduce",
        help="run an experiment of the course or of a paper",
        description="Run an experiment and print its table next to the published figures; write pictures "
        "and checkpoints.\n"
        "Without a name, list the experiments.",
        epilog="An experiment's own options follow its name (`oceanfill reproduce NAME --help` lists them):\n"
        "  oceanfill reproduce mnist-autoencoder --epochs 20 -o runs/longer",
        add_help=False,
    )
    again.add_argument("name", nargs="?", metavar="NAME")
    again.add_argument("-h", "--help", action=_Help, help="show this message, or that of NAME, and exit")
    again.add_argument(
        "--quick", action="store_true", help="run a small version in seconds, too short to reach the figures"
    )
    again.add_argument("-o", "--output", metavar="FOLDER", help="folder for the results (default: runs/NAME)")
    add_overwrite(again)
    add_logging(again)


def _add_pretrain(commands: Any) -> None:
    pretrain = _command(
        commands,
        "pretrain",
        help="train a general network on synthetic seas",
        description="Make synthetic seas with their first guess, one file each, and train a network on them "
        "that\ncorrects the first guess of any field. Seas that are there already are kept.",
        epilog="Other options are those of `oceanfill fit`, such as --trainer.accelerator gpu.\n\nexamples:\n"
        "  oceanfill pretrain --minutes 60\n"
        "  oceanfill pretrain --seas 5000 --workers 16 --seas-only\n"
        "  oceanfill pretrain --minutes 600 --resume --trainer.accelerator gpu --trainer.devices 2",
    )
    add_pretraining(pretrain)
    add_logging(pretrain)
