"""Which options go with each other and with the kind of input, checked before anything is computed."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from ..errors import InputError
from ..io.field import Field
from ..io.opening import Opening
from ..io.points.tracks import is_along_track
from ..io.reading import Inputs
from ..io.remote import check_remote, is_remote
from ..io.targets import check_targets, list_paths
from ..io.variables import Spec, parse_spec
from ..io.writing import check_writable
from ..settings import FillSettings
from .methods import Method

_OF_TRAINING = ("window", "epochs", "time_budget", "checkpoint", "save_checkpoint", "saves", "ensemble")
_OF_A_FIRST_TRAINING = ("window", "epochs", "time_budget", "saves", "ensemble", "loss")
_NOT_WITH_A_CHECKPOINT = ("epochs", "time_budget", "saves", "ensemble", "finetune")
_OF_EOFS = ("cv_points", "save_eofs")
_OF_TRACKS = ("mask",)
_NOT_OF_TRACKS = (
    *("region", "transform", "bounds_of_values", "minimum_coverage", "memory", "cache", "like", "merge"),
    "hold_out_reach",
)
_NOT_OF_RADIALS = (
    *("transform", "bounds_of_values", "outliers", "cache", "analysis_everywhere"),
    *("first_guess", "loss", "saves", "ensemble", "grid", "bounds", "like", "hold_out", "hold_out_reach"),
)


def find_kind(files: Inputs, settings: FillSettings, group: str | None = None) -> str:
    """Return what the inputs hold: a "field", points along "tracks" or "radials" (radial velocities)."""
    if settings.currents.radial_direction is not None:
        return "radials"
    return "tracks" if is_along_track(files, group) else "field"


def check_settings(method: Method, settings: FillSettings, opening: Opening, kind: str) -> None:
    """Raise `InputError` for options that do not go with each other or with the ``kind`` of input.

    The kind is "field", "tracks" or "radials".
    """
    given = settings.described() | opening.given()
    if method.general:
        why = f"method={method.name!r} was trained before (finetune= trains it further)"
        _refuse(given, _OF_A_FIRST_TRAINING, why)
    else:
        _refuse(given, ["finetune"], f"method={method.name!r} is not pretrained")
    if not (method.trains or method.general):
        _refuse(given, _OF_TRAINING, f"method={method.name!r} trains no network")
    if method.name != "dineof":
        _refuse(given, _OF_EOFS, f"method={method.name!r} has no EOFs")
    if "checkpoint" in given:
        _refuse(given, _NOT_WITH_A_CHECKPOINT, "a network from checkpoint= is not trained further")
    if kind != "tracks":
        _refuse(given, _OF_TRACKS, "the input holds a field, not points along tracks")
    if kind == "field" and opening.bounds is not None and opening.grid is None:
        raise InputError("bounds= are those of a new grid; give its step with grid=, or leave them out")
    if kind != "radials" and "flow" in given:
        raise InputError("flow= is for radial velocities; give radial_direction= too, or leave it out")
    if kind == "tracks":
        _refuse(given, _NOT_OF_TRACKS, "the input holds points along tracks, not a field")
        if opening.outliers == "flag":
            raise InputError(
                "maps of points have no value to flag as an outlier; give outliers='drop' or 'keep'"
            )
        if opening.grid is None or opening.bounds is None:
            raise InputError(
                "the input holds points along tracks; give the grid to map them on, as grid=0.25, "
                "bounds=(30, 46, -6, 37) (oceanfill info shows where the points are)"
            )
    if kind == "radials":
        _refuse(given, _NOT_OF_RADIALS, "radial velocities are filled without these options")


def check_outputs(
    output: str | os.PathLike[str] | None,
    sources: Iterable[Inputs | Spec | Field],
    opening: Opening,
    settings: FillSettings,
    *,
    plot: str | os.PathLike[str] | None = None,
    overwrite: bool = False,
) -> None:
    """Raise `InputError` where a file that a fill writes cannot be written or would replace something.

    The ``sources`` are those of all variables (`targets.check_targets`).
    """
    found: list[Inputs] = []
    for source in sources:
        if isinstance(source, str):
            found += [spec.files for spec in parse_spec(source)]
        elif not isinstance(source, Field):
            found.append(source.files if isinstance(source, Spec) else source)
    training, eofs, cache = settings.training, settings.eofs, settings.resources.cache
    others = [settings.tracks.mask, opening.like, training.checkpoint, eofs.cv_points]
    apart = settings.points.hold_out
    if apart is not None and Path(apart).exists():
        others.append(apart)
    inputs = [*list_paths(found), *(Path(path) for path in others if path is not None)]
    if is_remote(output):
        check_remote(str(output), overwrite)
        output = None
    for path in (output, cache, eofs.save_eofs):
        if path is not None:
            check_writable(path)
    if cache is not None:
        if Path(cache).suffix != ".zarr":
            raise InputError(f"{cache}: a cache is a Zarr store; name it .zarr")
        # Whether it may be replaced depends on its content.
        check_targets([cache], inputs, overwrite=True)
    targets = [output, plot, training.save_checkpoint, eofs.save_eofs]
    check_targets(targets, inputs, [cache], overwrite=overwrite)


def _refuse(given: dict[str, object], names: Sequence[str], why: str) -> None:
    found = [f"{name}=" for name in names if name in given]
    if found:
        raise InputError(f"{why}; leave out {', '.join(found)}")
