"""Where the log of a command goes: standard error, and a file."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.logging import RichHandler

from ..errors import InputError
from .spelling import spell_options


class _Formatter(logging.Formatter):
    """Spells options as the command line does."""

    def format(self, record: logging.LogRecord) -> str:
        return spell_options(super().format(record))


_LINE = _Formatter("%(asctime)s %(levelname)-7s %(message)s", "%Y-%m-%dT%H:%M:%S")

log = logging.getLogger("oceanfill")


def add_logging(command: argparse.ArgumentParser) -> None:
    """Add the options of the log, which every command has."""
    group = command.add_argument_group("messages")
    group.add_argument(
        "-q", "--quiet", action="store_true", help="show only warnings and errors, no progress"
    )
    group.add_argument(
        "-v", "--verbose", action="store_true", help="show details too, as how long each stage took"
    )
    group.add_argument(
        "--log-file", metavar="FILE", help="add all messages to this file too, with their dates, also with -q"
    )
    group.add_argument("--debug", action="store_true", help="show the traceback of an internal error")


@contextmanager
def send_log(options: argparse.Namespace) -> Iterator[None]:
    """Send the log of `oceanfill` to standard error and to the file of the options, and nowhere else.

    Raises `InputError` where the file cannot be written, or is not a log.
    """
    level = logging.DEBUG if options.verbose else logging.INFO
    console = Console(stderr=True)
    terminal: logging.Handler
    if console.is_terminal:
        terminal = RichHandler(console=console, show_path=False, log_time_format="%H:%M:%S")
        terminal.setFormatter(_Formatter("%(message)s"))
    else:  # a file or a pipe, whose lines are not to be wrapped
        terminal = logging.StreamHandler(sys.stderr)
        terminal.setFormatter(_LINE)
    terminal.setLevel(logging.WARNING if options.quiet else level)
    terminal.addFilter(lambda record: not getattr(record, "shown", False))  # a bar, or an error
    handlers: list[logging.Handler] = [terminal]
    if options.log_file is not None:
        handlers.append(_open_file(Path(options.log_file), level))
    before = log.level, log.propagate
    for handler in handlers:
        log.addHandler(handler)
    log.setLevel(min(handler.level for handler in handlers))
    log.propagate = False
    try:
        yield
    finally:
        for handler in handlers:
            log.removeHandler(handler)
            handler.close()
        log.setLevel(before[0])
        log.propagate = before[1]


def _open_file(path: Path, level: int) -> logging.Handler:
    try:
        if path.exists() and path.read_bytes()[:2] not in (b"", b"20"):  # a log begins with a date
            raise InputError(f"{path}: is not a log of oceanfill; give another --log-file")
        handler = logging.FileHandler(path, encoding="utf-8", delay=False)
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror}); give another --log-file") from error
    handler.setFormatter(_LINE)
    handler.setLevel(level)
    return handler
