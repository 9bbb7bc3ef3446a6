"""The command ``oceanfill``: parse, call, and turn errors into sentences and exit codes."""

from __future__ import annotations

import argparse
import logging
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.logging import RichHandler

from ..errors import InputError
from ..interrupts import TERMINATED, exit_on_sigterm
from .arguments import parse
from .commands import COMMANDS
from .spelling import spell_options

_log = logging.getLogger("oceanfill")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code.

    0: done; 1: an internal error; 2: the input or the options; 130: interrupted; 143: terminated.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        options = parse(words)
    except InputError as error:
        print(f"oceanfill: {spell_options(str(error))}", file=sys.stderr)
        return 2
    with _logging(getattr(options, "quiet", False)), _termination():
        try:
            COMMANDS[options.command](options)
        except InputError as error:
            print(f"oceanfill: {spell_options(str(error))}", file=sys.stderr)
            return 2
        except (KeyboardInterrupt, SystemExit) as stop:
            # Lightning makes an exit of an interrupt, rich one of a reader, as head, that has seen enough.
            cause = stop.__context__ if isinstance(stop, SystemExit) else stop
            if isinstance(cause, BrokenPipeError):
                return 0
            if isinstance(stop, SystemExit) and stop.code == TERMINATED:
                print("oceanfill: terminated; no unfinished file is left", file=sys.stderr)
                return TERMINATED
            if not isinstance(cause, KeyboardInterrupt):
                raise
            print(f"oceanfill: interrupted; {_describe_rest(options)}", file=sys.stderr)
            return 130
        except Exception as error:
            if options.debug:
                raise
            what = (str(error).splitlines() or ["no message"])[0]
            print(
                f"oceanfill: internal error ({type(error).__name__}: {what}); please rerun with --debug and "
                "report the traceback",
                file=sys.stderr,
            )
            return 1
    return 0


def _describe_rest(options: argparse.Namespace) -> str:
    """Return in words what an interrupted command leaves."""
    from ..io.writing import find_unfinished

    output = getattr(options, "output", None)
    if output is not None and find_unfinished(output).exists():
        return f"{find_unfinished(output)} is kept, from which the same command goes on"
    return "no unfinished file is left"


@contextmanager
def _termination() -> Iterator[None]:
    """End at a SIGTERM as at an exception, unless the caller handles it already."""
    own = threading.current_thread() is threading.main_thread()
    own = own and signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    if own:
        signal.signal(signal.SIGTERM, exit_on_sigterm)
    try:
        yield
    finally:
        if own:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)


class _Formatter(logging.Formatter):
    """Spells options as the command line does."""

    def format(self, record: logging.LogRecord) -> str:
        return spell_options(super().format(record))


@contextmanager
def _logging(quiet: bool) -> Iterator[None]:
    """Send the log of `oceanfill` to standard error, and nowhere else."""
    before = _log.level, _log.propagate
    handler = RichHandler(console=Console(stderr=True), show_path=False)
    handler.setFormatter(_Formatter("%(message)s", datefmt="%H:%M:%S"))
    _log.addHandler(handler)
    _log.setLevel(logging.WARNING if quiet else logging.INFO)
    _log.propagate = False
    try:
        yield
    finally:
        _log.removeHandler(handler)
        _log.setLevel(before[0])
        _log.propagate = before[1]
