"""Writing files whole or not at all, and resuming unfinished stores."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import stat
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dask
import numpy as np
import xarray as xr
from dask.callbacks import Callback

from ..errors import InputError
from ..interrupts import defer_signals
from .layout.coordinates import is_time

ZARR_MARKERS = ("zarr.json", ".zgroup", ".zmetadata")
_OF_VALUES = ("dtype", "scale_factor", "add_offset", "_FillValue", "_Unsigned")  # parts of an encoding
_LONG_NAME = 200  # characters that are shown
_STORE, _PLAN = "store.zarr", "plan.json"  # in the folder of an unfinished run
_LONGEST = 255  # bytes of a file's name
_FULL_DISK = ("NetCDF: ", "[enforce fail", "PytorchStreamWriter")  # beginnings of the libraries' messages


def check_writable(path: str | os.PathLike[str]) -> None:
    """Raise `InputError` unless `write_dataset` can write there; call it before a long computation."""
    if "://" in os.fspath(path):
        raise InputError(f"{path}: is not written to a URL, only the output of fill; name a path")
    target = Path(path)
    if target.suffix not in (".nc", ".zarr"):
        found = f"the extension {target.suffix}" if target.suffix else "no extension"
        raise InputError(f"{target}: the output has {found}; name it .nc (NetCDF-4) or .zarr (Zarr)")
    check_folder(target)
    if target.suffix == ".zarr" and target.exists() and not is_zarr(target):
        raise InputError(f"{target}: it exists and is not a Zarr store; remove it or choose another output")


def check_folder(path: str | os.PathLike[str]) -> None:
    """Raise `InputError` unless a file of any kind (or a Zarr store) can be written there."""
    target = Path(path)
    if len(os.fsencode(target.name)) > _LONGEST:
        raise InputError(f"{target}: the name is longer than {_LONGEST} bytes; choose a shorter one")
    folder = target.parent
    try:
        kind = target.stat().st_mode if folder.exists() and target.exists() else None
    except OSError as reason:  # a name that is too long, a folder that cannot be entered
        shown = str(target)[:_LONG_NAME]
        raise InputError(f"{shown}: cannot be written ({reason.strerror}); choose another output") from reason
    if kind is not None and not (stat.S_ISREG(kind) or stat.S_ISDIR(kind)):
        raise InputError(f"{target}: this is a device, a pipe or a socket, not a file; choose another output")
    if not folder.exists():
        raise InputError(f"{target}: there is no folder {folder}; create it or choose another output")
    if not folder.is_dir():
        raise InputError(f"{target}: {folder} is a file and not a folder; choose another output")
    if target.suffix != ".zarr" and target.is_dir():
        raise InputError(f"{target}: this is a folder; name the output file in it")
    stores = [parent for parent in target.resolve().parents if is_zarr(parent)]
    if stores:
        raise InputError(f"{target}: lies in the Zarr store {stores[0]}; choose another folder")
    try:
        with tempfile.TemporaryFile(dir=folder):  # permission bits do not cover quotas and read-only disks
            pass
    except OSError as reason:
        raise InputError(_explain_unwritable(target, reason.strerror or str(reason))) from reason


def hide(target: Path, ending: str) -> Path:
    """Return the hidden name next to ``target`` that ends so; where it were too long, a shorter one."""
    name = f".{target.name}.{ending}"
    if len(os.fsencode(name)) > _LONGEST:
        name = f".{hashlib.sha256(os.fsencode(target.name)).hexdigest()[:16]}.{ending}"
    return target.with_name(name)


def has_state(path: str | os.PathLike[str]) -> bool:
    """Whether a killed run left an unfinished store of ``path`` (`resume_store`)."""
    folder = find_unfinished(path)
    return (folder / _PLAN).is_file() and (folder / _STORE).is_dir()


@contextmanager
def replace_atomically(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary name next to ``path`` for the block to write a file or folder; then rename it.

    If the block fails or is interrupted, ``path`` stays unchanged and nothing else is left. Raises
    `InputError` where the path cannot be written or the disk is full.
    """
    target = Path(path)
    # mkstemp would deny others permission to read.
    temporary = hide(target, f"{os.getpid()}.{os.urandom(4).hex()}{target.suffix}")
    try:
        yield temporary
        _synchronise(temporary)
        _rename(temporary, target)
    except (OSError, RuntimeError) as reason:
        if isinstance(reason, OSError) or str(reason).startswith(_FULL_DISK):
            text = getattr(reason, "strerror", None) or str(reason)
            raise InputError(_explain_unwritable(target, text)) from reason
        raise
    finally:
        _remove(temporary)


def find_unfinished(path: str | os.PathLike[str]) -> Path:
    """Return the folder in which an interrupted run leaves what the next one goes on from."""
    return hide(Path(path), "unfinished")


def write_bytes(content: bytes, path: str | os.PathLike[str]) -> None:
    """Write a file whole or not at all."""
    with replace_atomically(path) as temporary:
        temporary.write_bytes(content)


@contextmanager
def resume_store(
    path: str | os.PathLike[str],
    plan: Mapping[str, Any],
    make: Callable[[Path], None],
    finish: Callable[[Path], xr.Dataset] | None = None,
    overwrite: bool = True,
) -> Iterator[Path]:
    """Yield the unfinished Zarr store of ``path`` for the block to complete; then move it to ``path``.

    The store is the one that a killed run with the same ``plan`` left, or else a new one: ``make`` is called
    with its path. The block may keep other files of the run in the folder of the store. If the block fails,
    store and folder are left for the next run. A ``path`` that ends in .nc is converted from the store.
    ``finish`` is called with the path of the complete store and returns what is written instead of it.

    Raises `InputError` where the path cannot be written or the disk is full, and where it exists, unless
    ``overwrite`` or the state of the same run allows to replace it.
    """
    target = Path(path)
    folder = find_unfinished(target)
    store, held = folder / _STORE, folder / _PLAN
    text = json.dumps(plan, sort_keys=True, default=str)
    try:
        if not has_state(target) or held.read_text(encoding="utf-8") != text:
            if target.exists() and not overwrite:
                raise InputError(f"{target}: exists; add overwrite=True or choose another name")
            _remove(folder)
            folder.mkdir()
            make(store)
            held.write_text(text, encoding="utf-8")
        yield store
        if finish is not None:
            with finish(store) as whole:
                write_dataset(whole, target)
        elif target.suffix == ".nc":
            _convert_to_netcdf(store, target)
        else:
            import zarr  # takes a quarter of a second

            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # consolidation is not in the specification of Zarr 3 yet
                zarr.consolidate_metadata(store)
            _synchronise(store)
            _rename(store, target)
        _remove(folder)
    except OSError as reason:
        raise InputError(_explain_unwritable(target, reason.strerror or str(reason))) from reason


def write_dataset(dataset: xr.Dataset, path: str | os.PathLike[str]) -> None:
    """Write NetCDF-4 (``.nc``) or Zarr (``.zarr``), whole or not at all; time is unlimited in NetCDF.

    Raises as `replace_atomically`.
    """
    check_writable(path)
    with replace_atomically(path) as temporary, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about formats and dates, nothing that a user can act on
        if temporary.suffix == ".nc":
            write_netcdf(dataset, temporary)
        else:
            with _chunk_by_chunk():
                _write_zarr(dataset, temporary)


def write_netcdf(dataset: xr.Dataset, path: str | os.PathLike[str], **how: Any) -> None:
    """Write NetCDF-4, with unlimited time; signals wait for the end of a chunk."""
    times = [dim for dim in dataset.dims if dim in dataset.coords and is_time(dataset[dim])]
    with _chunk_by_chunk():
        dataset.to_netcdf(path, engine="netcdf4", format="NETCDF4", unlimited_dims=times, **how)


@contextmanager
def _chunk_by_chunk() -> Iterator[None]:
    """Write one chunk after another, because lazy values may be larger than memory.

    A signal waits until a chunk is written: an exception in between would leave xarray's lock of the library
    held, for which closing the file waits for ever.
    """
    with (
        defer_signals() as release,
        dask.config.set(scheduler="synchronous"),
        Callback(pretask=lambda key, graph, state: release()),
    ):
        yield


def _explain_unwritable(target: Path, reason: str) -> str:
    if target.parent.is_dir() and reason.startswith(_FULL_DISK):  # the libraries do not say why
        reason += f", {shutil.disk_usage(target.parent).free / 1e6:.0f} MB free"
    return f"{target}: cannot be written ({reason}); free disk space or choose another folder"


def is_zarr(folder: str | os.PathLike[str]) -> bool:
    """Whether a folder is a Zarr store."""
    return any((Path(folder) / marker).is_file() for marker in ZARR_MARKERS)


def _write_zarr(dataset: xr.Dataset, path: Path) -> None:
    from zarr.codecs import BloscCodec  # zarr takes a quarter of a second

    encoding: dict[Any, Any] = {}
    dataset = dataset.copy()
    for name, array in list(dataset.data_vars.items()):
        held = array.encoding
        if held.get("chunksizes"):
            codec = BloscCodec(cname="zlib", clevel=held.get("complevel", 4), shuffle="shuffle")
            encoding[name] = {"chunks": held["chunksizes"], "compressors": codec}
            encoding[name] |= {key: held[key] for key in _OF_VALUES if key in held}
            dataset[name] = _align_chunks(array, held["chunksizes"])
    # Without consolidation xarray warns on opening.
    dataset.to_zarr(path, mode="w-", encoding=encoding, consolidated=True)


def _align_chunks(array: xr.DataArray, chunks: Sequence[int]) -> xr.DataArray:
    """Return a lazy array whose parts are whole chunks of a store: rows and columns may have been moved."""
    moved = {
        dim: chunk
        for dim, chunk in zip(array.dims, chunks, strict=True)
        if any(part % chunk for part in array.chunksizes.get(dim, ())[:-1])
    }
    return array.chunk(moved) if moved else array


def _convert_to_netcdf(store: Path, target: Path) -> None:
    """Convert a store chunk by chunk in one thread, because netCDF's library is not thread-safe."""
    with (
        replace_atomically(target) as temporary,
        xr.open_zarr(store, consolidated=False, decode_times=False) as whole,
    ):
        whole = whole[sorted(map(str, whole.data_vars))]  # a store has no order
        encoding: dict[Any, Any] = {}
        for name, array in whole.variables.items():
            if "flag_values" in array.attrs:  # CF 3.5: of the variable's type, which JSON does not keep
                array.attrs["flag_values"] = np.asarray(array.attrs["flag_values"], array.dtype)
            fill = array.encoding.get("_FillValue")
            encoding[name] = {"_FillValue": fill, "dtype": array.dtype}
            if name in whole.data_vars and array.ndim:
                encoding[name] |= {"zlib": True, "complevel": 4, "chunksizes": array.encoding["chunks"]}
        write_netcdf(whole.drop_encoding(), temporary, encoding=encoding)


def _synchronise(path: Path) -> None:
    """Flush a file or folder to disk before the rename; else a power cut may leave an empty file."""
    for part in [path, *path.rglob("*")] if path.is_dir() else [path]:
        descriptor = os.open(part, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _rename(temporary: Path, target: Path) -> None:
    if not target.is_dir():
        temporary.replace(target)
        return
    old = temporary.with_suffix(".old")  # a folder cannot replace another in one step
    try:
        target.rename(old)
        temporary.rename(target)
    except BaseException:
        if old.exists() and not target.exists():
            old.rename(target)
        raise
    _remove(old)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
