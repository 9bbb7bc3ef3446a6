"""The commands: they parse, call and print."""

from __future__ import annotations

import argparse
import logging
import shlex
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.logging import RichHandler
from rich.table import Table

from .errors import InputError

_LIGHTNING = ("fit", "validate", "test", "predict")
_NETWORKS = {
    "unet": "a U-Net that corrects optimal interpolation (the default)",
    "resnet": "residual blocks as steps of a flow",
    "rednet": "convolutions and deconvolutions with symmetric skips",
    "dincae1": "DINCAE 1, with its dense layers",
    "dincae2": "DINCAE 2, with refinement",
    "convlstm": "a convolutional LSTM in both directions of time",
    "convgru": "the same with gated recurrent units",
    "convlstm-unet": "a U-Net that is recurrent at its deepest level",
    "autoencoder": "a convolutional auto-encoder, without skips",
    "dense-autoencoder": "a dense auto-encoder: for small grids",
}
_METHODS = _NETWORKS | {
    "oi": "local optimal interpolation in space and time, fitted to the field",
    "dineof": "iterated truncated SVD, its number of modes cross-validated",
    "climatology": "the mean of each pixel, with its season where the record is long",
    "persistence": "the last value seen",
    "nearest": "the nearest value of the date",
    "linear-time": "linear between the dates that see a pixel",
    "linear-space": "linear between the pixels that a date sees",
    "linear-space-time": "both, each weighted by its error",
    "blend": "a mean of oi, linear-time and dineof, weighted by their errors",
    "auto": "the best of one of each family on held-out values",
}
_WEIGHTED = (*_NETWORKS, "oi", "auto")  # whose first guess tells how hard each held-out value is
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
_PRINTED_WIDTH = 120  # characters, in a file
_HELP = argparse.RawDescriptionHelpFormatter
_log = logging.getLogger("oceanfill")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command. 0: done; 1: a fault of ours; 2: the input or the options; 130: interrupted."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words and words[0] in _LIGHTNING:
        options = argparse.Namespace(run=_lightning, debug="--debug" in words, quiet=False)
    else:
        options, others = _parser().parse_known_args(_with_negative_regions(words))
        if others and options.run is not _reproduce:
            _parser().error(f"unrecognized arguments: {' '.join(others)}")
        options.others = others
    options.words = words
    with _logging(getattr(options, "quiet", False)):
        try:
            options.run(options)
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
    from .info import describe

    Console().print(describe(options.inputs, **_opening(options)))


def _fill(options: argparse.Namespace) -> None:
    _check_options(options)
    _check_targets(options)
    from .fill import fill
    from .output import write
    from .training import Training

    training = Training(
        options.window,
        options.epochs,
        options.time_budget,
        options.checkpoint,
        options.save_checkpoint,
        options.first_guess,
        options.cv_points,
        options.save_eofs,
    )
    dataset = fill(
        options.inputs,
        method=options.method,
        training=training,
        holdout=not options.no_holdout,
        analysis_everywhere=options.analysis_everywhere,
        seed=options.seed,
        device=options.device,
        quiet=options.quiet,
        report=lambda rows: None if options.quiet else _show_held_out(rows, options.method),
        attributes={"command": shlex.join(["oceanfill", *options.words])},
        **_opening(options),
    )
    write(dataset, options.output)
    name, *others = dataset.data_vars
    _log.info("%s without gaps, with %s, is in %s", name, ", ".join(map(str, others)), options.output)
    if options.plot is not None:
        from .plots import plot_fill

        plot_fill(dataset, str(name), options.plot)
        _log.info("a map of it is in %s", options.plot)


def _score(options: argparse.Namespace) -> None:
    from .pairing import score_files, score_table

    rows = score_files(options.filled, options.truth, variable=options.variable, by=options.by)
    if options.json:
        Console().print_json(data=rows)
    else:
        Console(width=None if sys.stdout.isatty() else _PRINTED_WIDTH).print(score_table(rows))


def _compare(options: argparse.Namespace) -> None:
    from .compare import USUAL, compare, table, write
    from .field import open_field
    from .output import check_folder
    from .pairing import truth_of
    from .training import Training

    if options.output is not None:
        check_folder(options.output)
    if options.plot is not None:
        from .plots import check_drawable

        check_drawable(options.plot)
    methods = {"usual": USUAL, "all": [name for name in _METHODS if name != "auto"]}.get(
        options.methods, [name.strip() for name in options.methods.split(",")]
    )
    field = open_field(options.inputs, **_opening(options))
    comparison = compare(
        field,
        methods,
        holdout=options.holdout,
        folds=options.folds,
        truth=None if options.truth is None else truth_of(field, options.truth),
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
        from .comparison_plots import plot_comparison

        plot_comparison(comparison, options.plot)
        _log.info("errors by date, distance and age, and maps of them, are in %s", options.plot)


def _reproduce(options: argparse.Namespace) -> None:
    from .reproduce import listing, reproduce, table

    console = Console(width=None if sys.stdout.isatty() else _PRINTED_WIDTH)
    if options.name is None:
        console.print(listing())
        return
    folder = Path(options.output or f"runs/{options.name}")
    findings = reproduce(options.name, folder, options.others, quick=options.quick, quiet=options.quiet)
    console.print(table(findings, options.name))
    _log.info("figures, checkpoints, table.md and config.yaml are in %s", folder)


def _lightning(options: argparse.Namespace) -> None:
    from .lightning import run

    run([word for word in options.words if word != "--debug"])


def _show_held_out(rows: list[dict[str, Any]], method: str) -> None:
    if not rows:
        return
    table = Table(title="Score on held-out values", title_justify="left", caption_justify="left")
    table.add_column("method")
    for heading in ("n", "RMSE", "bias", "within ±1σ", "within ±2σ"):
        table.add_column(heading, justify="right")
    for row in rows:
        shares = (f"{100 * row[key]:.1f} %" for key in ("coverage_1sigma", "coverage_2sigma"))
        table.add_row(row["method"], str(row["n"]), f"{row['rmse']:.4g}", f"{row['bias']:+.2g}", *shares)
    table.caption = "hidden by the clouds of other dates"
    if method in _WEIGHTED:
        table.caption += ",\nweighted to be as hard as the real gaps"
    Console(stderr=True).print(table)


def _check_options(options: argparse.Namespace) -> None:
    training = ("window", "epochs", "time_budget", "checkpoint", "save_checkpoint")
    given = [name for name in training if getattr(options, name) is not None]
    if given and options.method not in (*_NETWORKS, "auto"):
        raise InputError(f"--method {options.method} trains no network; leave out {_listed(given)}")
    of_dineof = [name for name in ("cv_points", "save_eofs") if getattr(options, name) is not None]
    if of_dineof and options.method != "dineof":
        raise InputError(f"--method {options.method} has no EOFs; leave out {_listed(of_dineof)}")
    trained = [name for name in given if name in ("epochs", "time_budget")]
    if trained and options.checkpoint is not None:
        raise InputError(f"a network from --checkpoint is not trained further; leave out {_listed(trained)}")


def _check_targets(options: argparse.Namespace) -> None:
    """What will be written can be, and is neither an input nor written twice."""
    from .output import check_folder, check_writable
    from .reading import list_inputs

    check_writable(options.output)
    if options.plot is not None:
        from .plots import check_drawable

        check_drawable(options.plot)
    if options.save_checkpoint is not None:
        check_folder(options.save_checkpoint)
    if options.save_eofs is not None:
        check_writable(options.save_eofs)
    taken = {Path(str(path)).resolve() for path in list_inputs(options.inputs)}
    for path in filter(None, (options.output, options.plot, options.save_checkpoint, options.save_eofs)):
        if Path(path).resolve() in taken:
            raise InputError(f"{path}: is an input or another output; choose another name")
        taken.add(Path(path).resolve())


def _listed(names: Sequence[str]) -> str:
    return ", ".join(f"--{name.replace('_', '-')}" for name in names)


def _opening(options: argparse.Namespace) -> dict[str, Any]:
    given = {name: getattr(options, name) for name in _OPENING}
    return {name: value for name, value in given.items() if value is not None}


def _region(text: str) -> tuple[float, ...]:
    try:
        parts = tuple(float(part) for part in text.split(","))
    except ValueError:
        parts = ()
    if len(parts) != 4:
        raise argparse.ArgumentTypeError(f"{text!r} is not lat0,lat1,lon0,lon1 in degrees, as 35,45,0,18")
    return parts


def _positive(kind: type) -> Any:
    def convert(text: str) -> Any:
        try:
            value = kind(text)
        except ValueError:
            value = 0
        if not value > 0:
            raise argparse.ArgumentTypeError(f"{text!r} is not a positive number")
        return value

    return convert


def _with_negative_regions(words: list[str]) -> list[str]:
    """argparse takes the ``-10,...`` of a region for an option; ``--region=-10,...`` it understands."""
    joined: list[str] = []
    for word in words:
        if joined and joined[-1] == "--region":
            joined[-1] = f"--region={word}"
        else:
            joined.append(word)
    return joined


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


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="oceanfill",
        description="Fills the gaps of satellite ocean fields, with an honest error for each pixel.",
        epilog="`oceanfill COMMAND --help` explains a command. The last four are Lightning's:\n"
        "  oceanfill fit --config fill/unet.yaml --data.source sst.nc",
        formatter_class=_HELP,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"oceanfill {version('oceanfill')}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    _add_info(commands)
    _add_fill(commands)
    _add_score(commands)
    _add_compare(commands)
    _add_reproduce(commands)
    for name, what in zip(
        _LIGHTNING,
        (
            "train a network from a configuration",
            "score it on the half of the held-out values that chooses the epoch",
            "score it on the other half",
            "run it for callbacks of your own; `fill --checkpoint` is what writes a file",
        ),
        strict=True,
    ):
        commands.add_parser(name, help=what, add_help=False)
    return parser


def _add_info(commands: Any) -> None:
    info = commands.add_parser(
        "info",
        help="say what a file holds and what would be filled",
        description="Variables, grid, dates, missing values by date, what would be filled, and every oddity.",
        epilog="example:\n  oceanfill info sst_clouds.nc",
        formatter_class=_HELP,
        allow_abbrev=False,
    )
    _add_opening(info)
    info.set_defaults(run=_info)


def _add_fill(commands: Any) -> None:
    fill = commands.add_parser(
        "fill",
        help="fill the gaps of a field",
        description="Fill the gaps of a field and write it with its error, its sources and its score.",
        epilog="methods:\n"
        + "\n".join(f"  {name:18} {what}" for name, what in _METHODS.items())
        + "\n\nexamples:\n"
        "  oceanfill fill sst_clouds.nc -o filled.nc --plot filled.png\n"
        "  oceanfill fill 'chl_*.nc' -o chl.nc --transform log --region 35,45,-6,18\n"
        "  oceanfill fill new.nc -o new_filled.nc --checkpoint trained.ckpt",
        formatter_class=_HELP,
        allow_abbrev=False,
    )
    _add_opening(fill)
    fill.add_argument("-o", "--output", required=True, metavar="OUT.nc", help="the filled file")
    fill.add_argument(
        "--method", choices=_METHODS, default="unet", metavar="METHOD", help="see below; default unet"
    )
    fill.add_argument("--plot", metavar="OUT.png", help="a map of input, filled field and error")
    fill.add_argument("--analysis-everywhere", action="store_true", help="replace observed values too")
    fill.add_argument("--no-holdout", action="store_true", help="train on everything, without a score")
    training = fill.add_argument_group("training")
    training.add_argument(
        "--time-budget", type=_positive(float), metavar="MINUTES", help="of training at most"
    )
    training.add_argument(
        "--epochs", type=_positive(int), metavar="N", help="of training at most; default 10"
    )
    training.add_argument(
        "--window",
        type=_positive(int),
        metavar="DATES",
        help="that are seen at once; default 5, or 3 of a short record",
    )
    training.add_argument(
        "--checkpoint", metavar="FILE", help="fill with this trained network, without training"
    )
    training.add_argument("--save-checkpoint", metavar="FILE", help="keep the trained network")
    training.add_argument(
        "--first-guess",
        choices=("oi", "none"),
        default="oi",
        help="what a network corrects: optimal interpolation (the default), or nothing, as in the papers",
    )
    training.add_argument(
        "--seed", type=int, default=0, help="the same seed gives the same result; default 0"
    )
    training.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto", help="default auto")
    modes = fill.add_argument_group("DINEOF")
    modes.add_argument(
        "--cv-points",
        metavar="POINTS.csv",
        help="date,row,column (from zero) of the values that choose the number of modes",
    )
    modes.add_argument("--save-eofs", metavar="EOFS.nc", help="keep the EOFs")
    fill.set_defaults(run=_fill)


def _add_score(commands: Any) -> None:
    score = commands.add_parser(
        "score",
        help="score a filled file on values that were hidden",
        description="RMSE, bias, MAE, CRPS and coverage over the cells where the truth file is finite.",
        epilog="example:\n  oceanfill score filled.nc sst_clouds_truth.nc",
        formatter_class=_HELP,
        allow_abbrev=False,
    )
    score.add_argument("filled", metavar="FILLED")
    score.add_argument("truth", metavar="TRUTH")
    score.add_argument("--variable", metavar="NAME", help="which one, where both files have several")
    score.add_argument("--by", metavar="FLAG", help="a row for each value of this flag of the truth file")
    score.add_argument("--json", action="store_true", help="the rows as JSON")
    score.add_argument("--debug", action="store_true", help=argparse.SUPPRESS)
    score.set_defaults(run=_score)


def _add_compare(commands: Any) -> None:
    compare = commands.add_parser(
        "compare",
        help="find the method that is best on a file",
        description="Hide values of a field and score every method on them.",
        epilog="The methods are those of `oceanfill fill --help`.\n\nexamples:\n"
        "  oceanfill compare sst_clouds.nc -o comparison --plot comparison.png\n"
        "  oceanfill compare sst_clouds.nc --methods oi,dineof,unet --truth sst_clouds_truth.nc\n"
        "  oceanfill compare ssh_med.nc --methods all --time-budget 0.2 --holdout tracks --folds 2",
        formatter_class=_HELP,
        allow_abbrev=False,
    )
    _add_opening(compare)
    compare.add_argument(
        "--methods",
        default="usual",
        metavar="A,B,...",
        help="which; `all`, or `usual` (the default): the classical ones and the U-Net",
    )
    compare.add_argument(
        "--holdout",
        choices=("clouds", "tracks", "random", "dates"),
        default="clouds",
        help="what is hidden: the clouds of other dates (the default), whole tracks or swaths, single "
        "values, whole dates",
    )
    compare.add_argument(
        "--folds", type=_positive(int), default=1, metavar="K", help="repeat with other hidden values"
    )
    compare.add_argument("--truth", metavar="FILE", help="score the gaps themselves on what this file knows")
    compare.add_argument("-o", "--output", metavar="OUT", help="write the table to OUT.csv and OUT.md")
    compare.add_argument("--plot", metavar="OUT.png", help="errors by date, distance and age, and their maps")
    compare.add_argument("--epochs", type=_positive(int), metavar="N", help="of training at most; default 10")
    compare.add_argument(
        "--time-budget", type=_positive(float), metavar="MINUTES", help="of training each network at most"
    )
    compare.add_argument("--seed", type=int, default=0, help="of what is hidden and of training; default 0")
    compare.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto", help="default auto")
    compare.set_defaults(run=_compare)


def _add_reproduce(commands: Any) -> None:
    again = commands.add_parser(
        "reproduce",
        help="run an experiment of the course or of a paper",
        description="Run an experiment: its table beside the figures to reach, pictures, checkpoints.\n"
        "Without a name: the list.",
        epilog="An experiment's own options follow its name (`--print_config` shows them):\n"
        "  oceanfill reproduce mnist-autoencoder --epochs 20 -o runs/longer",
        formatter_class=_HELP,
        allow_abbrev=False,
    )
    again.add_argument("name", nargs="?", metavar="NAME")
    again.add_argument(
        "--quick", action="store_true", help="a look in seconds: too short to reach the figures"
    )
    again.add_argument("-o", "--output", metavar="FOLDER", help="default runs/NAME")
    again.add_argument("--quiet", action="store_true", help="only warnings and errors")
    again.add_argument("--debug", action="store_true", help="show where a fault of ours happened")
    again.set_defaults(run=_reproduce)


def _add_opening(command: argparse.ArgumentParser) -> None:
    command.add_argument("inputs", nargs="+", metavar="INPUT", help="NetCDF files, a glob or a Zarr store")
    command.add_argument("--quiet", action="store_true", help="only warnings and errors")
    command.add_argument("--debug", action="store_true", help="show where a fault of ours happened")
    field = command.add_argument_group("the field")
    field.add_argument("--variable", metavar="NAME", help="what to fill, where there are several")
    field.add_argument("--mask-variable", metavar="NAME", help="the sea mask")
    field.add_argument("--error-variable", metavar="NAME", help="observation error (standard error)")
    field.add_argument("--observation-error", type=_positive(float), metavar="E", help="one for all values")
    field.add_argument(
        "--region", type=_region, metavar="LAT0,LAT1,LON0,LON1", help="only this part, in degrees"
    )
    field.add_argument("--period", metavar="START/END", help="only these dates, as 2017-05-14/2017-05-20")
    field.add_argument("--transform", choices=("none", "log"), help="log: fill logarithms (chlorophyll)")
    field.add_argument(
        "--minimum-coverage",
        type=float,
        metavar="SHARE",
        help="of the dates with a value that makes a pixel sea, without a mask; default 0.05",
    )


if __name__ == "__main__":
    sys.exit(main())
