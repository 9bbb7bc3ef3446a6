"""Processes that do without the seconds that imports take: forked from one that has imported everything."""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from multiprocessing.process import BaseProcess
from pathlib import Path

# The command is imported here so that the processes need not import it.
import oceanfill.pipeline.cli.lightning
import oceanfill.pipeline.cli.main
import oceanfill.pipeline.jobs.fill  # noqa: F401
from oceanfill.pipeline.io.workers import choose_context

SECONDS = 120  # within which every process ends


def start_command(words: Sequence[str], folder: Path, log: Path, **variables: str) -> BaseProcess:
    """Start a command of oceanfill in a folder; what it says is added to a log."""
    program = f"import sys\nfrom oceanfill.pipeline.cli.main import main\nsys.exit(main({list(words)!r}))"
    return start(program, folder, log, **variables)


def start(program: str, folder: Path, log: Path, **variables: str) -> BaseProcess:
    """Start the text of a program in a folder, with some environment variables."""
    process = choose_context().Process(target=_run, args=(program, folder, log, variables))
    process.start()
    return process


def wait(process: BaseProcess) -> int:
    """Return how a process ended, as `subprocess.Popen.wait` does."""
    process.join(SECONDS)
    if process.exitcode is None:
        process.kill()
        raise TimeoutError(f"a process was still running after {SECONDS} s")
    return process.exitcode


def wait_until(happened: Callable[[], object], process: BaseProcess, log: Path) -> None:
    """Return as soon as something has happened while a process is running."""
    end = time.monotonic() + SECONDS
    while not happened():
        if time.monotonic() > end:
            process.kill()
        assert process.is_alive(), log.read_text()
        time.sleep(0.02)


def _run(program: str, folder: Path, log: Path, variables: Mapping[str, str]) -> None:
    with log.open("a") as file:
        for stream in (sys.stdout, sys.stderr):
            os.dup2(file.fileno(), stream.fileno())
    os.chdir(folder)
    os.environ |= variables
    tempfile.tempdir = None  # TMPDIR may be among them
    exec(program, {"__name__": "__main__"})
