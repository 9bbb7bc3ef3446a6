"""Keywords that a function takes by name only and hands on, made visible in its signature."""

from __future__ import annotations

import difflib
import functools
import inspect
from collections.abc import Callable, Collection, Iterable
from dataclasses import MISSING, fields, is_dataclass
from typing import ParamSpec, TypeVar

from .errors import InputError

P = ParamSpec("P")
R = TypeVar("R")


def take_keywords(*kinds: type) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Show the fields of data classes in place of a function's ``**options``, and refuse all others.

    ``help``, the completion of a notebook and documentation then show them with the defaults of the data
    classes. Fields that hold a data class are taken but not shown: those of that class are.
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        signature = inspect.signature(function)
        own = [one for one in signature.parameters.values() if one.kind is not inspect.Parameter.VAR_KEYWORD]
        shown = [
            inspect.Parameter(
                part.name, inspect.Parameter.KEYWORD_ONLY, default=part.default, annotation=part.type
            )
            for kind in kinds
            for part in fields(kind)
            if part.default is not MISSING
            and not is_dataclass(part.default)
            and part.name not in signature.parameters
        ]
        known = [*(one.name for one in own), *(part.name for kind in kinds for part in fields(kind))]

        @functools.wraps(function)
        def checked(*args: P.args, **kwargs: P.kwargs) -> R:
            check_keywords(kwargs, known)
            return function(*args, **kwargs)

        checked.__signature__ = signature.replace(parameters=own + shown)  # type: ignore[attr-defined]
        return checked

    return decorate


def check_keywords(given: Iterable[str], known: Collection[str]) -> None:
    """Raise `InputError` for keywords that are not among the ``known`` ones, with the nearest that is."""
    for name in given:
        if name not in known:
            near = difflib.get_close_matches(name, known, 1)
            remedy = f"did you mean {near[0]}?" if near else f"choose among {', '.join(sorted(known))}"
            raise InputError(f"there is no option {name!r}; {remedy}")
