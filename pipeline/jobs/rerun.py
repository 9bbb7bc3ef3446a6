"""Repeating a fill from the attributes of its output: `oceanfill rerun`."""

from __future__ import annotations

import ast
import json
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from ..errors import InputError
from ..io.reading import check_file
from ..settings import choose_device
from .calls import describe_inputs, describe_versions
from .fill import fill

_NOT_AGAIN = ("save_checkpoint", "save_eofs", "cache", "cluster")  # files and hosts that a stranger may name


@dataclass(frozen=True)
class Rerun:
    """What became of a fill that was repeated."""

    same: bool  # all values, to the bit
    differences: tuple[str, ...]  # in the values, by variable
    changes: tuple[str, ...]  # in what they depend on: inputs, versions, device

    def __str__(self) -> str:
        result = "the same values, to the bit" if self.same else "; ".join(self.differences)
        return f"{result} ({'; '.join(self.changes) or 'same inputs, versions and device'})"


def rerun(
    filled: str | os.PathLike[str],
    output: str | os.PathLike[str] | None = None,
    *,
    trust: bool = False,
    overwrite: bool = False,
    quiet: bool = True,
) -> Rerun:
    """Repeat a fill from the attributes of its output, and compare the values.

    Parameters
    ----------
    filled
        A file or store that `oceanfill.fill` wrote from files. Relative paths of its inputs are looked for
        from the current folder.
    output
        Where to write the new result; by default it is not kept.
    trust
        Whether code of other packages, which the file names as its method or in its checkpoint, is run.
    overwrite
        Whether an ``output`` that exists is replaced.
    quiet
        Whether to hide progress.

    Returns
    -------
    Rerun
        Whether all values are the ``same`` to the bit, else the ``differences``, and what has changed of
        inputs, versions and device (``changes``).

    Raises
    ------
    InputError
        Where the file does not hold its call, or its input was in memory, or is not there any more.

    Examples
    --------
    >>> import oceanfill, tempfile
    >>> part = {"region": (37, 38, -12, -11), "period": "2024-04-01/2024-04-10"}
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = f"{folder}/filled.nc"
    ...     filled = oceanfill.fill("sample:sst_clouds.nc", path, method="oi", **part)
    ...     print(oceanfill.rerun(path))
    the same values, to the bit (same inputs, versions and device)
    """
    check_file(filled, folder=True)
    with xr.open_dataset(filled, chunks={}) as before:
        if "update_command" in before.attrs:
            raise InputError(
                f"{filled}: was updated since its fill, so its values are not those of one call; rerun the "
                "file from before its updates"
            )
        given, options = _read_call(str(filled), before.attrs)
        code = options.get("trust") or ":" in str(options.get("method", ""))
        if code and not trust:
            raise InputError(
                f"{filled}: was made with code of another package ({options.get('method')}), which is run "
                "again; add trust=True if you trust the file"
            )
        sources = [given, *options.get("others", ()), *options.get("auxiliary", ())]
        changes = _find_changes(before.attrs, sources, options.get("device", "auto"))
        with tempfile.TemporaryDirectory() as folder:
            target = Path(folder) / f"again{Path(filled).suffix}" if output is None else Path(output)
            safe = {name: value for name, value in options.items() if name not in _NOT_AGAIN}
            if {"cache", "cluster"} & options.keys():  # which make it block by block
                safe["cache"] = str(Path(folder) / "cache.zarr")
            fill(given, target, overwrite=overwrite, quiet=quiet, **safe)
            with xr.open_dataset(target, chunks={}) as after:
                differences = _compare(before, after)
    return Rerun(not differences, tuple(differences), tuple(changes))


def _read_call(file: str, attrs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """Return the source and the options of the call that made a file. Raises `InputError`."""
    text = str(attrs.get("call", ""))
    if not text:
        raise InputError(f"{file}: does not hold the call that made it; fill its input again")
    try:
        # Plain values only: nothing of the file is run.
        call = ast.parse(text, mode="eval").body
        assert isinstance(call, ast.Call)
        options = {str(word.arg): ast.literal_eval(word.value) for word in call.keywords}
        return ast.literal_eval(call.args[0]), options
    except (SyntaxError, ValueError, AssertionError, IndexError) as error:
        raise InputError(f"{file}: was made from objects in memory, so repeat its call: {text}") from error


def _find_changes(attrs: dict[str, Any], sources: list[Any], device: str) -> list[str]:
    """Return in words what the values depend on and is not as it was."""
    changes = []
    kinds = ("input_checksums", describe_inputs(sources)), ("versions", describe_versions())
    for key, now in kinds:
        before, after = json.loads(attrs.get(key, "{}")), json.loads(now)
        for name in before.keys() | after.keys():
            if before.get(name) != after.get(name):
                shown = (
                    "has changed" if key == "input_checksums" else f"{before.get(name)} is {after.get(name)}"
                )
                changes.append(f"{name} {shown}")
    where = choose_device(device)
    if attrs.get("device", where) != where:
        changes.append(f"device {attrs['device']} is {where}")
    return sorted(changes)


def _compare(before: xr.Dataset, after: xr.Dataset) -> list[str]:
    """Return in words which variables differ, and by how much."""
    differences = [f"{name}: only in one of them" for name in sorted(set(before) ^ set(after), key=str)]
    for name in before:
        if name not in after:
            continue
        old, new = before[name].to_numpy(), after[name].to_numpy()
        if old.shape != new.shape:
            differences.append(f"{name}: shape {new.shape}, not {old.shape}")
        elif not np.array_equal(old, new, equal_nan=old.dtype.kind == "f"):
            other = (old != new) & ~((old != old) & (new != new))
            most = np.nanmax(np.abs(np.subtract(new, old, dtype=np.float64)))
            differences.append(f"{name}: {other.sum()} of {old.size} values differ, by {most:.3g} at most")
    return differences
