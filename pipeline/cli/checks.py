"""Options that do not go with an input."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from ..errors import InputError


def refuse(options: argparse.Namespace, names: Sequence[str], what: str) -> None:
    """Raise `InputError` where options were given that do not go with the kind of input."""
    given = [name for name in names if getattr(options, name) is not None]
    if given:
        raise InputError(f"{options.inputs[0]} holds {what}; leave out {_listed(given)}")


def _listed(names: Sequence[str]) -> str:
    return ", ".join(f"--{name.replace('_', '-')}" for name in names)
