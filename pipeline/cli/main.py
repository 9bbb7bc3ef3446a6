"""The command ``oceanfill``: parse, call, and turn errors into sentences and exit codes."""

from __future__ import annotations

import argparse
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from ..errors import InputError
from ..interrupts import TERMINATED, exit_on_sigterm
from .arguments import parse
from .commands import COMMANDS
from .logs import log, send_log
from .options import UsageError
from .spelling import spell_options


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code.

    0: done; 1: an internal error; 2: the input or the options; 130: interrupted; 143: terminated.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        options = parse(words)
        with send_log(options), _termination():
            return _run(options)
    except UsageError as error:
        print(f"{error.command}: {spell_options(str(error))}", file=sys.stderr)
    except InputError as error:  # of the log
        print(f"oceanfill: {spell_options(str(error))}", file=sys.stderr)
    return 2


def _run(options: argparse.Namespace) -> int:
    """Run a command whose options are understood, and return its exit code."""
    try:
        COMMANDS[options.command](options)
    except UsageError as error:
        _say(error, error.command)
        return 2
    except InputError as error:
        _say(error)
        return 2
    except (KeyboardInterrupt, SystemExit) as stop:
        # Lightning makes an exit of an interrupt, rich one of a reader, as head, that has seen enough.
        cause = stop.__context__ if isinstance(stop, SystemExit) else stop
        if isinstance(cause, BrokenPipeError):
            return 0
        if isinstance(stop, SystemExit) and stop.code == TERMINATED:
            _say(f"terminated; {_describe_rest(options)}")
            return TERMINATED
        if not isinstance(cause, KeyboardInterrupt):
            raise
        _say(f"interrupted; {_describe_rest(options)}")
        return 130
    except Exception as error:
        if options.debug:
            raise
        what = (str(error).splitlines() or ["no message"])[0]
        _say(
            f"internal error ({type(error).__name__}: {what}); please rerun with --debug and report the "
            "traceback"
        )
        return 1
    return 0


def _say(what: object, command: str = "oceanfill") -> None:
    """Print how a command failed to standard error, and add it to the log file, if there is one."""
    print(f"{command}: {spell_options(str(what))}", file=sys.stderr)
    log.error("%s", what, extra={"shown": True})


def _describe_rest(options: argparse.Namespace) -> str:
    """Return in words what an interrupted or terminated command leaves."""
    from ..io.remote import is_remote, stage
    from ..io.writing import find_unfinished

    output = getattr(options, "output", None)
    output = stage(str(output)) if is_remote(output) else output
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
