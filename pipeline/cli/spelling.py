"""The options that a message names, as the command line spells them.

Everything below the command line writes its messages for Python: ``variable=``, ``method='oi'``.
"""

from __future__ import annotations

import re

from ..io.opening import Opening
from ..settings import names_of_settings

_FURTHER = (
    "by",
    "date",
    "at",
    "along",
    "limits",
    "colours",
    "what",
    "overwrite",
    "skip_bad",
    "folds",
    "truth",
    *("format", "ice", "mdt", "length", "threshold", "climatology", "baseline", "span"),
    "max_distance",
    "max_time",
    "max_depth",
    "interpolation",
    "columns",
    "units",
    "point_error",
    "remove_offsets",
    "third",
    "analysis",
    "days",
    "starts",
)
_OTHERWISE = {"n_workers": "workers"}
_KNOWN = {*Opening.__dataclass_fields__, *names_of_settings(), *_FURTHER}
_NAMES = "|".join(sorted(_KNOWN, key=len, reverse=True))  # bounds_of_values before bounds
# A name with an equals sign, and its value where one is given; file names such as level=5.nc are none.
_OPTION = re.compile(
    rf"(?<![\w./-])({_NAMES})="
    r"('[^']*'|\([^()]*\)|True|False|[A-Z]{2,}|-?\d[\d.e+-]*(?<!\.))?(?=[\s,;:.)]|$)(?!\.\w)"
)
_ARGUMENTS = re.compile(r"(?<=\d), (?=--\w)")  # the comma between two arguments of a call


def spell_options(text: str) -> str:
    """Return a message with its options as words of the command line.

    ``leave out n_workers=`` becomes ``leave out --workers``, ``region=(35, 37, -6, 0)`` becomes
    ``--region 35,37,-6,0``, ``trust=True`` becomes ``--trust``.
    """
    return _ARGUMENTS.sub(" ", _OPTION.sub(_spell, text))


def _spell(found: re.Match[str]) -> str:
    name, value = found[1], found[2]
    option = "--" + _OTHERWISE.get(name, name).replace("_", "-")
    if value is None or value == "True":
        return option
    if value == "False":
        return option.replace("--", "--no-")
    if value.startswith("("):
        return f"{option} {value.strip('(), ').replace(' ', '') or 'none'}"
    quoted = value.strip("'")
    return f"{option} {value if ' ' in quoted else quoted}"
