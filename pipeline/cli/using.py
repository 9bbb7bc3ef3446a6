"""The commands that judge, show, continue and publish what was filled: their arguments and help."""

from __future__ import annotations

from typing import Any

from . import plotting, products, reporting, updating, validating
from .logs import add_logging
from .options import (
    HOLDOUTS,
    add_command,
    add_hold_out,
    add_opening,
    add_overwrite,
    add_training,
    positive,
)


def add_score(commands: Any) -> None:
    """Add `score`."""
    score = add_command(
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


def add_update(commands: Any) -> None:
    """Add `update`."""
    update = add_command(
        commands,
        "update",
        help="add new dates to a filled file",
        description="Add new dates to a filled file, with the covariance, the network and the calibration of "
        "its fill.\nOnly dates that new observations change are filled again; the others stay to the bit.",
        epilog="examples:\n"
        "  oceanfill update filled.nc today.nc --overwrite\n"
        "  oceanfill update filled.nc 'sst_202406*.nc' -o updated.nc",
    )
    updating.add_arguments(update)
    add_logging(update)


def add_rerun(commands: Any) -> None:
    """Add `rerun`."""
    again = add_command(
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


def add_compare(commands: Any) -> None:
    """Add `compare`."""
    compare = add_command(
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


def add_plot(commands: Any) -> None:
    """Add `plot`."""
    plot = add_command(
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


def add_report(commands: Any) -> None:
    """Add `report`."""
    report = add_command(
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


def add_export(commands: Any) -> None:
    """Add `export`."""
    export = add_command(
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


def add_derive(commands: Any) -> None:
    """Add `derive`."""
    derive = add_command(
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


def add_validate(commands: Any) -> None:
    """Add `validate`."""
    validate = add_command(
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


def add_forecast(commands: Any) -> None:
    """Add `forecast`."""
    ahead = add_command(
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
