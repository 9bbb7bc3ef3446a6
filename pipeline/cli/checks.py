"""What of `oceanfill fill` goes together: checked before anything is read, and said in a sentence."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..jobs.methods import find_method

_OF_TRACKS = ("grid", "bounds", "time_step", "mask", "hold_out_mission")
_OF_FIELDS = ("region", "transform", "minimum_coverage", "memory", "cache")


def check_options(options: argparse.Namespace, tracks: bool) -> None:
    """Options of `fill` go with each other, and with points along ``tracks`` or a field."""
    if not tracks:
        refuse(options, _OF_TRACKS, "a field, not points along tracks")
    else:
        refuse(options, _OF_FIELDS, "points along tracks, not a field")
        if options.grid is None or options.bounds is None:
            raise InputError(
                f"{options.inputs[0]} holds points along tracks; say what grid they are brought to, as "
                "--grid 0.25 --bounds 30,46,-6,37 (oceanfill info shows where they are)"
            )
    training = ("window", "epochs", "time_budget", "checkpoint", "save_checkpoint", "saves", "ensemble")
    given = [name for name in training if getattr(options, name) is not None]
    if given and not find_method(options.method).trains:
        raise InputError(f"--method {options.method} trains no network; leave out {_listed(given)}")
    of_dineof = [name for name in ("cv_points", "save_eofs") if getattr(options, name) is not None]
    if of_dineof and options.method != "dineof":
        raise InputError(f"--method {options.method} has no EOFs; leave out {_listed(of_dineof)}")
    _check_radials(options)
    trained = [name for name in given if name in ("epochs", "time_budget", "saves", "ensemble")]
    if trained and options.checkpoint is not None:
        raise InputError(f"a network from --checkpoint is not trained further; leave out {_listed(trained)}")


def refuse(options: argparse.Namespace, names: Sequence[str], what: str) -> None:
    """Raise `InputError` where options were given that do not go with ``what`` the input is."""
    given = [name for name in names if getattr(options, name) is not None]
    if given:
        raise InputError(f"{options.inputs[0]} holds {what}; leave out {_listed(given)}")


def _check_radials(options: argparse.Namespace) -> None:
    """Whatever does not go with radial velocities is not given."""
    if options.radial_direction is None:
        if options.flow is not None:
            raise InputError("--flow is for radial velocities; give --radial-direction too, or leave it out")
        return
    of_fields = (
        "transform",
        "cluster",
        "cache",
        "memory",
        "saves",
        "ensemble",
    )
    given = [name for name in of_fields if getattr(options, name) is not None]
    given += [
        name
        for name in ("analysis_everywhere", "no_holdout", "intervals", "samples")
        if getattr(options, name)
    ]
    given += ["workers"] * (options.workers > 1) + ["first_guess"] * (options.first_guess != "oi")
    given += ["loss"] * (options.loss != "gaussian")
    if given:
        raise InputError(f"radial velocities are filled without {_listed(given)}; leave out what is named")


def check_targets(options: argparse.Namespace, inputs: Sequence[Any]) -> None:
    """What will be written can be, and is neither an input nor written twice."""
    from ..io.reading import list_inputs
    from ..io.writing import check_folder, check_writable

    check_writable(options.output)
    if options.plot is not None:
        from ..plots.maps import check_drawable

        check_drawable(options.plot)
    if options.save_checkpoint is not None:
        check_folder(options.save_checkpoint)
    if options.save_eofs is not None:
        check_writable(options.save_eofs)
    taken = {Path(str(path)).resolve() for files in inputs for path in list_inputs(files)}
    for path in filter(None, (options.output, options.plot, options.save_checkpoint, options.save_eofs)):
        if Path(path).resolve() in taken:
            raise InputError(f"{path}: is an input or another output; choose another name")
        taken.add(Path(path).resolve())


def _listed(names: Sequence[str]) -> str:
    return ", ".join(f"--{name.replace('_', '-')}" for name in names)
