"""The command ``update``: its arguments, and what it says."""

from __future__ import annotations

import argparse
import logging
import shlex

from . import products
from .options import UsageError

_log = logging.getLogger("oceanfill")


def add_arguments(command: argparse.ArgumentParser) -> None:
    """Add the arguments of ``update``."""
    command.add_argument(
        "filled", metavar="FILLED", help="file or Zarr store that `oceanfill fill` or `update` wrote"
    )
    command.add_argument(
        "new", nargs="+", metavar="NEW", help="files with the new dates, a pattern in quotes or a Zarr store"
    )
    command.add_argument("-o", "--output", metavar="OUT.nc", help="file or Zarr store to write")
    command.add_argument(
        "--overwrite", action="store_true", help="replace OUT.nc or, without -o, FILLED itself"
    )
    command.add_argument(
        "--checkpoint", metavar="FILE", help="where the network that filled FILLED is now, if it was moved"
    )
    command.add_argument(
        "--trust",
        action="store_true",
        help="import networks and losses from other packages if the checkpoint names them",
    )
    command.add_argument(
        "--device", choices=("auto", "cpu", "cuda"), default="auto", help="where to compute (default: auto)"
    )
    products.add_attributes(command)


def run(options: argparse.Namespace) -> None:
    """Update a filled file, and say how many dates are provisional."""
    if options.output is None and not options.overwrite:
        raise UsageError("name a file with -o, or replace FILLED with --overwrite", "oceanfill update")
    given = products.read_given(options)
    from ..jobs.update import update

    dataset = update(
        options.filled,
        options.new,
        options.output,
        checkpoint=options.checkpoint,
        trust=options.trust,
        attributes={"command": shlex.join(["oceanfill", *options.words])} | given,
        overwrite=options.overwrite,
        device=options.device,
        quiet=options.quiet,
    )
    flags = dataset["provisional"]
    _log.info(
        "wrote %s (%d dates, %d of them provisional)",
        options.output or options.filled,
        flags.size,
        int(flags.sum()),
    )
