"""Signals that come at a bad moment: held back until a write, or a step of a training, is done."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Any

TERMINATED = 128 + signal.SIGTERM  # exit code of a process that ends at a SIGTERM


def exit_on_sigterm(number: int, frame: FrameType | None) -> None:
    """End the process as an exception does, so that unfinished files are removed; a handler of SIGTERM."""
    raise SystemExit(TERMINATED)


@contextmanager
def handle_signals(numbers: Sequence[int], handler: Callable[[int, Any], Any]) -> Iterator[None]:
    """Have ``handler`` called for these signals in the block.

    Signals that the process ignores or leaves to the system stay as they are, and outside the main thread all
    do, because Python allows no handlers there.
    """
    before: dict[int, Any] = {}
    if threading.current_thread() is threading.main_thread():
        before = {number: signal.getsignal(number) for number in numbers}
        before = {number: held for number, held in before.items() if callable(held)}
    for number in before:
        signal.signal(number, handler)
    try:
        yield
    finally:
        for number, held in before.items():
            signal.signal(number, held)


@contextmanager
def defer_signals() -> Iterator[Callable[[], None]]:
    """Hold back SIGINT and SIGTERM until the block ends, and then let them through.

    Libraries that are interrupted while they hold a lock may wait for it for ever. The function that is
    yielded lets a signal through before the end, where nothing is held.
    """
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.getsignal(number) for number in numbers}
    arrived: list[int] = []

    def release() -> None:
        if arrived:
            number = arrived[-1]
            arrived.clear()
            handler = before[signal.Signals(number)]
            assert callable(handler)
            handler(number, None)

    with handle_signals(numbers, lambda number, frame: arrived.append(number)):
        yield release
    release()
