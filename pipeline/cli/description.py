"""What an input holds and what `fill` would do with it: `oceanfill info`."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from io import StringIO
from typing import Any

from rich.console import Console, Group

from ..errors import InputError
from ..io.opening import Opening, make_opening
from ..io.points.tracks import is_along_track
from ..io.reading import Inputs
from ..io.variables import parse_inputs, separate
from ..keywords import take_keywords
from .info import Spell, describe
from .track_info import describe_tracks

_NOT_OF_TRACKS = ("mask_variable", "transform", "minimum_coverage")


@dataclass(frozen=True, repr=False)
class Description:
    """What an input holds: ``shown``, for a rich console, and why `fill` would refuse it (``refusal``)."""

    shown: Group
    refusal: InputError | None = None

    @property
    def can_be_filled(self) -> bool:
        """Whether `fill` would take the input."""
        return self.refusal is None

    def __repr__(self) -> str:
        console = Console(width=100, no_color=True, file=StringIO())
        with console.capture() as capture:
            console.print(self.shown)
        return "\n".join(line.rstrip() for line in capture.get().splitlines())

    def _repr_html_(self) -> str:
        console = Console(width=100, record=True, file=StringIO())
        console.print(self.shown)
        return console.export_html(inline_styles=True, code_format="<pre>{code}</pre>")


@take_keywords(Opening)
def info(
    source: Inputs, *, opening: Opening | None = None, spell: Spell = str, **options: Any
) -> Description:
    """Describe an input: its grid, dates, sea and gaps, what is odd about it, and what `fill` would do.

    Parameters
    ----------
    source
        What `oceanfill.fill` takes as one variable.
    opening
        Options that were put together before. Those given by name replace them.
    spell
        Called with each sentence that may name an option, to write it in other words.
    variable, region, period, ...
        What is opened: the options of `Opening`.

    Returns
    -------
    Description
        It prints as tables; ``can_be_filled``, and ``refusal``, the error that `fill` would raise.

    Raises
    ------
    InputError
        Where no file can be opened, or an option makes no sense. An input that cannot be filled is
        described as far as possible.

    Examples
    --------
    >>> import oceanfill
    >>> found = oceanfill.info("sample:sst_clouds.nc", region=(37, 38, -12, -11))
    >>> found.can_be_filled
    True
    >>> next(line for line in str(found).splitlines() if line.startswith("Missing"))
    'Missing    17,967 of 36,000 sea values (49.9%)'
    """
    opening = make_opening(opening, options)
    if isinstance(source, str):
        source = [source]
    if isinstance(source, Sequence):
        first, others = parse_inputs([os.fspath(one) for one in source])
        if others:
            raise InputError(f"{others[0].files}: one variable is described at a time; leave out the others")
        source, opening = separate(first, opening)
    if not is_along_track(source, opening.group):
        return Description(*describe(source, opening, spell))
    given = [f"{name}=" for name in _NOT_OF_TRACKS if name in opening.given()]
    if given:
        raise InputError(f"the input holds points along tracks, not a field; leave out {', '.join(given)}")
    return Description(describe_tracks(source, opening, spell))
