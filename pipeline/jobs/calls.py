"""What a fill was asked for and what it depends on, as the attributes of its output hold it."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from platform import python_version
from typing import Any

import xarray as xr

from ..io.field import Field
from ..io.targets import list_paths
from ..io.variables import Spec, parse_spec

_PACKAGES = ("oceanfill", "torch", "numpy", "scipy", "xarray")  # that values depend on
_MOST_BYTES = 4e9  # of inputs that are read once more for their checksums
_MOST_FILES = 50  # whose checksums are given one by one


def describe_call(
    source: Any,
    output: str | os.PathLike[str] | None,
    others: Sequence[Any],
    auxiliary: Sequence[Any],
    options: Mapping[str, Any],
) -> str:
    """Return the call of `fill` as it would be typed; what is no plain value is named in angle brackets."""
    named = {"others": list(others) or None, "auxiliary": list(auxiliary) or None, **options}
    words = [write_value(source), *([] if output is None else [write_value(output)])]
    words += [f"{name}={write_value(value)}" for name, value in named.items() if value is not None]
    return f"oceanfill.fill({', '.join(words)})"


def write_value(value: Any) -> str:
    """Return a value as it would be typed; what is no plain value is named in angle brackets."""
    if isinstance(value, list | tuple):
        inner = ", ".join(map(write_value, value))
        return f"[{inner}]" if isinstance(value, list) else f"({inner}{',' * (len(value) == 1)})"
    if isinstance(value, os.PathLike):
        return repr(os.fspath(value))
    if isinstance(value, str | int | float):
        return repr(value)
    if isinstance(value, Spec):
        return repr(value.text)
    if isinstance(value, xr.Dataset):
        return f"<Dataset {Path(str(value.encoding.get('source', 'in memory'))).name}>"
    if isinstance(value, Field | xr.DataArray):
        return f"<{type(value).__name__} {value.name}>"
    name = getattr(value, "name", None) or getattr(value, "__name__", None) or type(value).__name__
    return f"<{name}>"


def describe_versions() -> str:
    """Return the versions of Python and of the packages that values depend on, as JSON."""
    return json.dumps({"python": python_version()} | {name: version(name) for name in _PACKAGES})


def describe_inputs(sources: Iterable[Any]) -> str:
    """Return the SHA-256 of each input file or store by its name, as JSON.

    Many files have one checksum together. Inputs of more than four gigabytes have none, and those in memory
    neither.
    """
    paths: list[Path] = []
    for source in sources:
        if isinstance(source, str):
            paths += list_paths(spec.files for spec in parse_spec(source))
        elif not isinstance(source, Field):
            paths += list_paths([source.files if isinstance(source, Spec) else source])
    paths = [path for path in dict.fromkeys(paths) if path.exists()]
    files = {path: sorted(path.rglob("*")) if path.is_dir() else [path] for path in paths}
    if sum(file.stat().st_size for own in files.values() for file in own) > _MOST_BYTES:
        return "{}"
    if len(paths) > _MOST_FILES:
        return json.dumps({f"{len(paths)} files": _hash([file for own in files.values() for file in own])})
    return json.dumps({path.name: _hash(own) for path, own in files.items()})


def _hash(files: Iterable[Path]) -> str:
    total = hashlib.sha256()
    for path in files:
        if path.is_file():
            with path.open("rb") as file:
                total.update(hashlib.file_digest(file, "sha256").digest())
    return total.hexdigest()


def is_lazy(source: object) -> bool:
    """Whether a source is backed by dask."""
    return isinstance(source, xr.Dataset | xr.DataArray) and bool(source.chunksizes)


def rechunk_as(dataset: xr.Dataset, source: object) -> xr.Dataset:
    """Return the dataset with the chunks of a lazy ``source``, unless it is lazy already."""
    if not isinstance(source, xr.Dataset | xr.DataArray) or not source.chunksizes or dataset.chunksizes:
        return dataset
    same = {dim: sizes for dim, sizes in source.chunksizes.items() if sum(sizes) == dataset.sizes.get(dim)}
    return dataset.chunk({str(dim): same.get(dim, -1) for dim in dataset.dims})
