"""What may be written where: nothing that exists is lost, and two runs do not write the same."""

from __future__ import annotations

import json
import os
import shutil
import socket
import time
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import netCDF4
import psutil
import xarray as xr

from ..errors import InputError
from .reading import Inputs, list_inputs
from .remote import is_remote
from .writing import check_folder, has_state, hide, is_zarr

Target = str | os.PathLike[str] | None

_CHECKPOINT = ".ckpt"
_UNREADABLE_FOR = 10.0  # seconds that another process may take to fill the lock that it has made
_RECORDED = 2.0  # seconds by which the starts of a process and of its lock may seem in the wrong order


def list_paths(inputs: Iterable[Inputs | None]) -> list[Path]:
    """Return the paths of inputs, also those that datasets in memory were opened from."""
    paths: list[Path] = []
    for one in inputs:
        for entry in [] if one is None else list_inputs(one):
            source = entry.encoding.get("source") if isinstance(entry, xr.Dataset) else entry
            if isinstance(source, str) and not is_remote(source):
                paths.append(Path(source))
    return paths


def check_targets(
    targets: Iterable[Target],
    inputs: Iterable[Path] = (),
    others: Iterable[Target] = (),
    *,
    overwrite: bool = False,
) -> None:
    """Raise `InputError` where a file that is to be written would replace something.

    None is an input or holds one, none is given twice or among the ``others`` that are written, and none
    exists, unless ``overwrite`` allows to replace what oceanfill wrote, or a run that was allowed to left its
    unfinished state. What others wrote is never replaced.
    """
    taken = {path.resolve(): "an input" for path in inputs}
    taken |= {Path(other).resolve(): "also another output" for other in others if other is not None}
    for target in targets:
        if target is None:
            continue
        check_folder(target)
        place = Path(target).resolve()
        if place in taken:
            raise InputError(f"{target}: is {taken[place]}; choose another name")
        if any(place in other.parents for other in taken):
            raise InputError(f"{target}: an input or another output lies in it; choose another name")
        taken[place] = "also another output"
        check_replaceable(target, overwrite or has_state(target))


def check_replaceable(target: str | os.PathLike[str], overwrite: bool) -> None:
    """Raise `InputError` where something exists at ``target`` that must not, or may not, be replaced."""
    if not os.path.lexists(target):
        return
    if not overwrite:
        raise InputError(f"{target}: exists; add overwrite=True or choose another name")
    if not is_ours(target):
        raise InputError(f"{target}: exists and is not oceanfill's; choose another name")


def check_space(target: Target, least: float) -> None:
    """Raise `InputError` where fewer than ``least`` bytes are free for a file."""
    if target is not None:
        free = shutil.disk_usage(Path(target).resolve().parent).free
        if free < least:
            raise InputError(
                f"{target}: needs {least / 1e9:.3g} GB or more, and {free / 1e9:.3g} GB are free; "
                "free disk space or choose another folder"
            )


def is_ours(path: str | os.PathLike[str]) -> bool:
    """Whether a file or store may be one that oceanfill wrote.

    NetCDF files and Zarr stores say so in their attributes; a checkpoint is known by its format, and pictures
    and tables are taken for ours.
    """
    place = Path(path)
    try:
        if place.is_dir():
            if not is_zarr(place):
                return False
            with xr.open_zarr(place, chunks=None, consolidated=False, decode_cf=False) as dataset:
                return _mentions_us(dataset.attrs)
        if place.suffix == ".nc":
            with netCDF4.Dataset(place) as file:
                return _mentions_us(file.__dict__)
    except (OSError, ValueError, KeyError, RuntimeError):
        return False
    return place.is_file() and (place.suffix != _CHECKPOINT or zipfile.is_zipfile(place))


def _mentions_us(attributes: dict[str, Any]) -> bool:
    return any("oceanfill" in f"{name} {value}" for name, value in attributes.items())


@contextmanager
def lock(target: Target) -> Iterator[None]:
    """Keep other runs from writing to ``target`` in the block.

    The lock is a file next to it with host, process and time. Raises `InputError` where another run holds it;
    that of a process of this host that has ended is removed, and that of a SLURM job before it was requeued.
    """
    if target is None:
        yield
        return
    path = hide(Path(target), "lock")
    own = {"host": socket.gethostname(), "pid": os.getpid(), "time": time.time(), **_name_job()}
    _acquire(Path(target), path, json.dumps(own))
    try:
        yield
    finally:
        if _read(path) == own:
            path.unlink(missing_ok=True)


def _name_job() -> dict[str, Any]:
    """Return the SLURM job of this process, if it is one, and how often it was put back into the queue."""
    job = os.environ.get("SLURM_JOB_ID")
    return {"job": job, "start": int(os.environ.get("SLURM_RESTART_COUNT", 0))} if job else {}


def _acquire(target: Path, path: Path, text: str) -> None:
    while True:
        try:
            descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY)
        except FileExistsError:
            _remove_stale(target, path)
            continue
        except OSError as reason:
            raise InputError(f"{target}: cannot be locked ({reason.strerror}); choose another") from reason
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(text)
        except OSError as reason:
            path.unlink(missing_ok=True)
            raise InputError(
                f"{target}: cannot be locked ({reason.strerror}); free disk space or choose another folder"
            ) from reason
        return


def _remove_stale(target: Path, path: Path) -> None:
    """Remove a lock whose process has ended; raise `InputError` where it may be at work."""
    held = _read(path)
    if held is None:
        try:
            age = time.time() - path.stat().st_mtime
        except OSError:  # it is gone
            return
        if age < _UNREADABLE_FOR:
            time.sleep(0.1)
            return
    elif not _has_ended(held):
        since = datetime.fromtimestamp(float(held["time"])).isoformat(" ", "seconds")
        raise InputError(
            f"{target}: process {held['pid']} on {held['host']} has been writing it since {since}; wait for "
            f"it, choose another name, or remove {path} if that process is gone"
        )
    # Another run may have done the same and made a lock of its own in between: what is removed is looked at.
    aside = path.with_name(f"{path.name}.{os.getpid()}.{os.urandom(4).hex()}")
    try:
        path.rename(aside)
        if _read(aside) != held:
            os.link(aside, path)
    except OSError:
        pass
    aside.unlink(missing_ok=True)


def _read(path: Path) -> dict[str, Any] | None:
    """Return what is in a lock; None while it is being written, or where it is gone."""
    try:
        held = json.loads(path.read_text(encoding="utf-8")[:1000])
        return held if {"host", "pid", "time"} <= held.keys() and float(held["time"]) > 0 else None
    except (OSError, ValueError, TypeError, AttributeError):
        return None


def _has_ended(held: dict[str, Any]) -> bool:
    """Whether the process of a lock has ended; on another host only known of earlier starts of this job."""
    if held["host"] != socket.gethostname():
        own = _name_job()  # SLURM starts a job again when its processes have ended
        return bool(own) and held.get("job") == own["job"] and held.get("start") != own["start"]
    try:
        started = psutil.Process(int(held["pid"])).create_time()
    except (psutil.NoSuchProcess, ValueError, OverflowError):
        return True
    except psutil.Error:
        return False
    return bool(started > float(held["time"]) + _RECORDED)  # the number was given to another process
