"""Fills the gaps of satellite ocean fields, with an honest error for each pixel."""

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .pipeline import errors as errors
    from .pipeline import settings as settings
    from .pipeline.cli.description import info
    from .pipeline.derived.derive import derive
    from .pipeline.errors import InputError
    from .pipeline.formats.export import export
    from .pipeline.holdout.matchups import Matching
    from .pipeline.holdout.score_files import score
    from .pipeline.holdout.validation import validate
    from .pipeline.io.field import Field, open_field
    from .pipeline.io.opening import Opening
    from .pipeline.io.reading import find_sample
    from .pipeline.jobs.compare import compare
    from .pipeline.jobs.fill import fill
    from .pipeline.jobs.forecast import forecast
    from .pipeline.jobs.methods import Method
    from .pipeline.jobs.rerun import rerun
    from .pipeline.jobs.update import update
    from .pipeline.plots.draw import plot
    from .pipeline.records.prepare import prepare
    from .pipeline.settings import FillSettings, Training

__all__ = [
    "Field",
    "FillSettings",
    "InputError",
    "Matching",
    "Method",
    "Opening",
    "Training",
    "compare",
    "derive",
    "errors",
    "export",
    "fill",
    "find_sample",
    "forecast",
    "info",
    "open_field",
    "plot",
    "prepare",
    "rerun",
    "score",
    "settings",
    "update",
    "validate",
]
__version__ = version("oceanfill")

_HOMES = {
    "Field": "io.field",
    "FillSettings": "settings",
    "InputError": "errors",
    "Matching": "holdout.matchups",
    "Method": "jobs.methods",
    "Opening": "io.opening",
    "Training": "settings",
    "compare": "jobs.compare",
    "derive": "derived.derive",
    "export": "formats.export",
    "fill": "jobs.fill",
    "find_sample": "io.reading",
    "forecast": "jobs.forecast",
    "info": "cli.description",
    "open_field": "io.field",
    "plot": "plots.draw",
    "prepare": "records.prepare",
    "rerun": "jobs.rerun",
    "score": "holdout.score_files",
    "update": "jobs.update",
    "validate": "holdout.validation",
}
_MODULES = ("errors", "settings")


def __getattr__(name: str) -> Any:
    """Import what is asked for when it is asked for: torch takes seconds."""
    if name in _MODULES:
        return import_module(f"oceanfill.pipeline.{name}")
    if name not in _HOMES:
        raise AttributeError(f"oceanfill has no {name!r}; it has {', '.join(__all__)}")
    return getattr(import_module(f"oceanfill.pipeline.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]


from . import accessor as _accessor  # noqa: E402, F401  (xarray must know it before it is asked for)
