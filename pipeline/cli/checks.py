"""Files that a command is to write, checked before anything is computed."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..errors import InputError


def refuse(options: argparse.Namespace, names: Sequence[str], what: str) -> None:
    """Raise `InputError` where options were given that do not go with the kind of input."""
    given = [name for name in names if getattr(options, name) is not None]
    if given:
        raise InputError(f"{options.inputs[0]} holds {what}; leave out {_listed(given)}")


def check_targets(options: argparse.Namespace, inputs: Sequence[Any]) -> None:
    """Raise `InputError` where an output cannot be written, is an input or is written twice."""
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
    within = next((one for one in taken if one in Path(options.output).resolve().parents), None)
    if within is not None:
        raise InputError(f"{options.output}: lies in the input {within}; choose another folder")
    for path in filter(None, (options.output, options.plot, options.save_checkpoint, options.save_eofs)):
        if Path(path).resolve() in taken:
            raise InputError(f"{path}: is an input or another output; choose another name")
        taken.add(Path(path).resolve())


def _listed(names: Sequence[str]) -> str:
    return ", ".join(f"--{name.replace('_', '-')}" for name in names)
