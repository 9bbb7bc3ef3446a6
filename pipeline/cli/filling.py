"""The commands that fill fields, or look at them and prepare them first: their arguments and help."""

from __future__ import annotations

from typing import Any

from ..jobs.methods import find_methods
from . import products
from .logs import add_logging
from .options import (
    add_command,
    add_hold_out,
    add_opening,
    add_overwrite,
    add_storage,
    add_training,
    add_vectors,
    add_workers,
    levels,
    positive,
)


def add_info(commands: Any) -> None:
    """Add `info`."""
    info = add_command(
        commands,
        "info",
        help="describe a file and what would be filled in it",
        description="List variables, grid, dates, missing values by date, the variable to fill, and every "
        "oddity.",
        epilog="example:\n  oceanfill info sst_clouds.nc",
    )
    add_opening(info)
    add_logging(info)


def add_prepare(commands: Any) -> None:
    """Add `prepare`."""
    prepare = add_command(
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


def add_fill(commands: Any) -> None:
    """Add `fill`."""
    fill = add_command(
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


def add_batch(commands: Any) -> None:
    """Add `batch`."""
    batch = add_command(
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
