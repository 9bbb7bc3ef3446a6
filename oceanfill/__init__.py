"""Fills the gaps of satellite ocean fields, with an honest error for each pixel."""

from importlib import import_module
from importlib.metadata import version
from typing import Any

__all__ = ["Field", "InputError", "Training", "fill", "open_field"]
__version__ = version("oceanfill")

_HOMES = {
    "Field": "field",
    "InputError": "errors",
    "Training": "training",
    "fill": "fill",
    "open_field": "field",
}


def __getattr__(name: str) -> Any:
    """Import what is asked for when it is asked for: torch takes seconds."""
    if name not in _HOMES:
        raise AttributeError(f"oceanfill has no {name!r}; it has {', '.join(__all__)}")
    return getattr(import_module(f"oceanfill.pipeline.{_HOMES[name]}"), name)
