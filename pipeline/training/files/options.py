"""The options in a checkpoint, which comes from elsewhere: checked before anything is imported or built."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import entry_points
from typing import Any

from ...errors import InputError
from ...settings import FLOWS, STATIC

# Nothing else is imported for a checkpoint that the user does not trust, except what is declared as an entry
# point of the group.
_OURS = (
    "oceanfill.models.",
    "oceanfill.pipeline.training.tasks.Correction",
    "oceanfill.pipeline.training.vector_tasks.VectorCorrection",
)
GROUP = "oceanfill.networks"
_MOST_PARTS, _DEEPEST = 10_000, 20  # of the options in a checkpoint
_MOST_NUMBER = 10_000  # among the options of a network: layers, channels, rows of a grid


def list_foreign(options: Mapping[str, Any]) -> list[str]:
    """Return the classes and functions that the options of a task name and that are not known.

    Known are oceanfill's networks, losses and tasks, and what packages declare in the group of entry points
    ``oceanfill.networks``.
    """
    named = dict.fromkeys(str(name) for name in _list_named(options))
    declared = {entry.value.replace(":", ".") for entry in entry_points(group=GROUP)}
    return [name for name in named if not name.startswith(_OURS) and name not in declared]


def is_ours(options: Mapping[str, Any]) -> bool:
    """Whether all that the options of a task name is oceanfill's."""
    return all(str(name).startswith(_OURS) for name in _list_named(options))


def _list_named(options: Any) -> Iterator[Any]:
    """List every class and function that would be imported, however deep in the options."""
    if isinstance(options, Mapping):
        for key, value in options.items():
            if key in ("class_path", "_class_path", "loss"):
                yield value
            elif key == "penalties":
                yield from value or () if isinstance(value, Mapping) else ()
            yield from _list_named(value)
    elif isinstance(options, list | tuple):
        for value in options:
            yield from _list_named(value)


def check_plain(path: str | os.PathLike[str], options: Any) -> None:
    """Raise `InputError` for nested options that are no plain data, or are too many to be looked through."""
    waiting, seen = [(options, 0)], 0
    while waiting:
        part, depth = waiting.pop()
        seen += 1
        inner: list[Any] = []
        if isinstance(part, Mapping):
            if not all(isinstance(key, str) for key in part):
                raise InputError(f"{path}: its options have names that are no text; train another network")
            inner = list(part.values())
        elif isinstance(part, list | tuple):
            inner = list(part)
        elif not (part is None or isinstance(part, str | bool | int | float)):
            raise InputError(f"{path}: its options hold a {type(part).__name__}; train another network")
        if seen + len(waiting) + len(inner) > _MOST_PARTS or depth > _DEEPEST:
            raise InputError(f"{path}: its options are too many or too deep; train another network")
        waiting += [(one, depth + 1) for one in inner]


def check_options(
    path: str | os.PathLike[str], options: Mapping[str, Any], trained_on: Mapping[str, Any]
) -> None:
    """Raise `InputError` for options of a task of the wrong type or size, before anything is built."""
    for where, rules in ((options, _OPTIONS), (trained_on, _DESCRIPTION)):
        for name, (expected, fits) in rules.items():
            if name in where and not fits(where[name]):
                raise InputError(
                    f"{path}: {name} is {str(where[name])[:40]}, not {expected}; train another network"
                )
    if len(trained_on.get("variables", ())) != len(trained_on.get("units", ())):
        raise InputError(f"{path}: its variables and their units differ in number; train another network")


def check_numbers(path: str | os.PathLike[str], network: Mapping[str, Any]) -> None:
    """Raise `InputError` for a network of oceanfill's whose numbers are too large to build."""
    for value in _list_numbers(network):
        if not (math.isfinite(value) and abs(value) <= _MOST_NUMBER):
            raise InputError(
                f"{path}: an option of its network is {value}, not a number up to {_MOST_NUMBER}; "
                "train another network"
            )


def _is_whole(value: Any, least: int, most: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most


def _is_number(value: Any, least: float = -math.inf) -> bool:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and math.isfinite(value) and value >= least


def _is_texts(value: Any) -> bool:
    return isinstance(value, list | tuple) and all(isinstance(one, str) for one in value)


def _is_network(value: Any) -> bool:
    named = isinstance(value, Mapping) and isinstance(value.get("class_path"), str)
    return named and isinstance(value.get("init_args") or {}, Mapping)


def _is_penalties(value: Any) -> bool:
    return value is None or (isinstance(value, Mapping) and all(map(_is_number, value.values())))


Rules = dict[str, tuple[str, Callable[[Any], bool]]]

_OPTIONS: Rules = {
    "network": ("a class_path with init_args", _is_network),
    "window": ("an odd number of dates up to 99", lambda value: _is_whole(value, 1, 99) and value % 2 == 1),
    "saves": ("a number of networks from 1 to 100", lambda value: _is_whole(value, 1, 100)),
    "patch": ("a number of cells from 4 to 100000", lambda value: _is_whole(value, 4, 100_000)),
    "variables": ("a number of variables from 1 to 100", lambda value: _is_whole(value, 1, 100)),
    "outputs": ("a number of variables from 1 to 100", lambda value: _is_whole(value, 1, 100)),
    "learning_rate": ("a positive number", lambda value: value is None or _is_number(value, 0)),
    "weight_decay": ("a positive number", lambda value: _is_number(value, 0)),
    "loss": ("the name of a loss", lambda value: isinstance(value, str)),
    "penalties": ("a number for each penalty", _is_penalties),
    "flow": (f"one of {', '.join(FLOWS)}", lambda value: isinstance(value, str) and value in FLOWS),
}
_DESCRIPTION: Rules = {
    "variables": ("a list of names", _is_texts),
    "units": ("a list of units", _is_texts),
    "transforms": ("a list of transforms", _is_texts),
    "first_guess": ("the name of a first guess", lambda value: isinstance(value, str)),
    "static": (f"one of {', '.join(STATIC)}", lambda value: isinstance(value, str) and value in STATIC),
    "finetuned": ("true or false", lambda value: isinstance(value, bool)),
}


def _list_numbers(options: Any) -> Iterator[float]:
    """List every number, however deep in the options; texts are not numbers."""
    if isinstance(options, Mapping | list | tuple):
        for value in options.values() if isinstance(options, Mapping) else options:
            yield from _list_numbers(value)
    elif isinstance(options, int | float):
        yield options
