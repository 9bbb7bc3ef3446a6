"""The command ``report``, and the option of ``fill``: their arguments, and what they write."""

from __future__ import annotations

import argparse
import logging
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import InputError
from .options import add_overwrite

if TYPE_CHECKING:
    from ..holdout.validation import Validation

_log = logging.getLogger("oceanfill")
_KINDS = ".html", ".htm"


def add_arguments(command: argparse.ArgumentParser) -> None:
    """Add the arguments of ``report``."""
    command.add_argument("filled", metavar="FILLED", help="file or Zarr store that `oceanfill fill` wrote")
    command.add_argument(
        "-o", "--output", metavar="OUT.html", help="page to write (default: FILLED with the ending .html)"
    )
    add_overwrite(command)
    command.add_argument("--truth", metavar="FILE", help="also score the file against the truth in this file")


def run(options: argparse.Namespace) -> None:
    """Write the report on a filled file. Raises `InputError` for what has none."""
    from ..io.targets import check_targets, list_paths

    filled = Path(options.filled)
    if not filled.exists():
        raise InputError(f"{filled}: no such file; check the path")
    target = filled.with_suffix(".html") if options.output is None else Path(options.output)
    check_name(target)
    inputs = list_paths([str(filled), options.truth])
    check_targets([target], inputs, overwrite=options.overwrite)
    write(filled, target, options.truth)


def check_fill(options: argparse.Namespace, kind: str) -> None:
    """Raise `InputError` where ``fill --report`` cannot be written; call it before a long computation."""
    from ..io.targets import check_targets

    if kind == "radials":
        raise InputError("--report is about fields and maps of tracks; leave it out with --radial-direction")
    check_name(Path(options.report))
    check_targets([options.report], others=[options.output, options.plot], overwrite=options.overwrite)


def write(
    filled: str | Path,
    target: str | Path,
    truth: str | None = None,
    validation: Validation | None = None,
) -> None:
    """Write the page and say so."""
    from ..report.page import write_report

    write_report(filled, target, truth=truth, validation=validation)
    _log.info("wrote %s", target)


def check_name(target: Path) -> None:
    """Raise `InputError` for a name that is not that of a page."""
    if target.suffix.lower() not in _KINDS:
        raise InputError(f"{target}: a report is an HTML page; name it {_KINDS[0]}")
