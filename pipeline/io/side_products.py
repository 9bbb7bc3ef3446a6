"""Files next to the output: written once the output is safe, and no reason to lose it where they fail."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from ..errors import InputError

_log = logging.getLogger(__name__)

_waiting: ContextVar[list[Callable[[], None]] | None] = ContextVar("waiting", default=None)
_failed: ContextVar[list[InputError] | None] = ContextVar("failed", default=None)


def write_side_product(write: Callable[[], None]) -> None:
    """Call ``write`` at the end of the block of `postpone_side_products`, or now where there is none."""
    waiting = _waiting.get()
    if waiting is None:
        write()
    else:
        waiting.append(write)


@contextmanager
def postpone_side_products() -> Iterator[list[InputError]]:
    """Write the side products of the block at its end, unless it fails.

    Each that cannot be written is a warning in the log, and its error is in the list that is yielded. Blocks
    may lie in each other; the errors of the inner one are in the lists of both.
    """
    outer = _failed.get()
    waiting: list[Callable[[], None]] = []
    failed: list[InputError] = []
    tokens = _waiting.set(waiting), _failed.set(failed)
    try:
        yield failed
        for write in waiting:
            try:
                write()
            except InputError as error:
                _log.warning("%s", error)
                failed.append(error)
    finally:
        _waiting.reset(tokens[0])
        _failed.reset(tokens[1])
        if outer is not None:
            outer.extend(failed)


@contextmanager
def write_at_once() -> Iterator[None]:
    """Write the side products of the block when they are made: a run needs them to go on."""
    token = _waiting.set(None)
    try:
        yield
    finally:
        _waiting.reset(token)
