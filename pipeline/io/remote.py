"""Inputs and outputs that are named by a URL: in object stores, on the web, and references to their chunks.

Zarr stores, and references that kerchunk or VirtualiZarr wrote, are read chunk by chunk. Other files are
fetched once, because netCDF's library reads files. Credentials come from the environment or fsspec's
configuration: a URL with some in it is refused, so they reach no log and no attribute.
"""

from __future__ import annotations

import glob
import hashlib
import json
import logging
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import xarray as xr

from ..errors import InputError
from .files import shorten_error
from .writing import ZARR_MARKERS, replace_atomically

_log = logging.getLogger(__name__)

# What fsspec needs for a protocol.
_PACKAGES = {"s3": "s3fs", "gs": "gcsfs", "gcs": "gcsfs", "http": "aiohttp", "https": "aiohttp"}
_DOWNLOADS = "OCEANFILL_DOWNLOADS"  # environment variable: the folder of files that were fetched
_SECRET = re.compile(r"//[^/]*@|[?&][^=]*(sig|token|key|secret|passw|credential|auth)[^=]*=", re.IGNORECASE)
_AT_ONCE = 32  # objects that are sent together
_VERSION = ("ETag", "etag", "LastModified", "last_modified", "updated", "mtime", "size")


def is_remote(path: Any) -> bool:
    """Whether an input or an output is named by a URL."""
    return isinstance(path, str) and "://" in path  # a `Path` holds none: it would make one slash of two


def is_reference(path: str) -> bool:
    """Whether a path or a URL is a file of references to the chunks of others."""
    return path.endswith(".json")


def list_remote(url: str) -> list[str]:
    """Return the inputs that a URL or a pattern names: stores and references as URLs, files as copies.

    Raises `InputError` where there is none, and where it cannot be reached.
    """
    system, place = _connect(url)
    with _explain(url):
        found = sorted(system.glob(place)) if glob.has_magic(place) else [place]
        urls = [system.unstrip_protocol(one) for one in found]
        if not urls:
            raise InputError(f"{url}: no file matches; check the pattern and the address")
        return [one if is_reference(one) or _is_store(system, one) else _fetch(system, one) for one in urls]


def open_remote(url: str, group: str | None = None) -> xr.Dataset:
    """Return the lazy dataset of a store or of references, not decoded. Raises `InputError`."""
    if is_remote(url):
        _connect(url)
    engine: Any = "kerchunk" if is_reference(url) else "zarr"
    if engine == "kerchunk" and find_spec("kerchunk") is None:
        raise InputError(f"{url}: references need kerchunk; install it with: pip install kerchunk")
    with _explain(url):
        return xr.open_dataset(url, engine=engine, group=group, decode_cf=False)


def identify(path: str) -> tuple[str, int, Any]:
    """Return a path or a URL with the size and the version of what it names."""
    if not is_remote(path):
        held = Path(path).stat()
        return path, held.st_size, held.st_mtime_ns
    system, place = _connect(path)
    with _explain(path):
        marker = place if is_reference(path) else _find_marker(system, place)
        found = system.info(marker)
        return path, int(found.get("size") or 0), _describe_version(found)


def stage(url: str) -> Path:
    """Return where an output that is sent to a URL is written before: in the working folder, hidden."""
    name = url.rstrip("/").rsplit("/", 1)[-1].removesuffix(".zarr")
    return Path(f".{name}.{_hash(url)}.zarr")


def check_remote(url: str, overwrite: bool) -> None:
    """Raise `InputError` unless a store can be written to a URL, and replaces nothing that it must not."""
    system, place = _connect(url)
    if not url.rstrip("/").endswith(".zarr"):
        raise InputError(f"{url}: an output that is named by a URL is a Zarr store; name it .zarr")
    if url.startswith("http"):
        raise InputError(f"{url}: nothing is written over http; name an object store, as s3:// or gs://")
    with _explain(url):
        probe = f"{place.rstrip('/')}.{os.urandom(4).hex()}"
        system.pipe_file(probe, b"oceanfill")
        system.rm_file(probe)
        if not system.exists(place) or _sent(url).exists():
            return
        if not overwrite:
            raise InputError(f"{url}: exists; add overwrite=True or choose another name")
        attributes = open_remote(url).attrs if _is_store(system, place) else {}
    if not any("oceanfill" in f"{name} {value}" for name, value in attributes.items()):
        raise InputError(f"{url}: exists and is not oceanfill's; choose another name")


def send(store: Path, url: str) -> None:
    """Move a complete store to a URL. Its metadata come last: until then it is no store that can be opened.

    What was sent is noted next to the store, from which a killed run goes on.
    """
    system, place = _connect(url)
    names = [path.relative_to(store).as_posix() for path in sorted(store.rglob("*")) if path.is_file()]
    last = [name for name in names if name in ZARR_MARKERS]
    noted = _sent(url)
    with _explain(url):
        if not noted.exists() and system.exists(place):
            system.rm(place, recursive=True)
        with noted.open("a+", encoding="utf-8") as note:
            note.seek(0)
            done = set(note.read().splitlines())
            todo = [name for name in names if name not in {*done, *last}]
            _log.info("sending %d objects to %s", len(todo) + len(last), url)
            for some in [*(todo[k : k + _AT_ONCE] for k in range(0, len(todo), _AT_ONCE)), last]:
                system.put([str(store / name) for name in some], [f"{place}/{name}" for name in some])
                note.write("".join(f"{name}\n" for name in some))
                note.flush()
    shutil.rmtree(store)
    noted.unlink()


def _sent(url: str) -> Path:
    return stage(url).with_suffix(".sent")


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _connect(url: str) -> tuple[Any, str]:
    """Return the file system of a URL and the place in it. Raises `InputError` for a URL that is not read."""
    secret = _SECRET.search(url)
    if secret is not None:
        raise InputError(
            f"{url.split('://')[0]}://...: the URL holds credentials; give them in the environment or in "
            "fsspec's configuration instead"
        )
    protocol = url.split("://")[0]
    if protocol not in _PACKAGES:
        raise InputError(f"{url}: there is no protocol {protocol}; choose {', '.join(_PACKAGES)}")
    try:
        from fsspec.core import url_to_fs

        system, place = url_to_fs(url)
    except ImportError as error:
        raise InputError(
            f"{url}: needs {_PACKAGES[protocol]}; install it with: pip install fsspec {_PACKAGES[protocol]}"
        ) from error
    return system, place


@contextmanager
def _explain(url: str) -> Iterator[None]:
    """Turn the errors of the libraries, each of which raises its own, into sentences."""
    try:
        yield
    except InputError:
        raise
    except FileNotFoundError as error:
        raise InputError(
            f"{url}: no such file or store, or no server that answers; check the address and the network"
        ) from error
    except ImportError as error:
        raise InputError(f"{url}: needs {error.name}; install it with: pip install {error.name}") from error
    except Exception as error:
        reason = shorten_error(error)
        if not is_remote(url):
            raise InputError(
                f"{url}: the references to chunks cannot be read ({reason}); write them again with kerchunk"
            ) from error
        raise InputError(
            f"{url}: cannot be reached ({reason}); check the address, the network and the credentials"
        ) from error


def _find_marker(system: Any, place: str) -> str:
    """Return the metadata of a store, or the place itself where it is none."""
    markers = (f"{place.rstrip('/')}/{marker}" for marker in ZARR_MARKERS)
    return next((marker for marker in markers if system.exists(marker)), place)


def _is_store(system: Any, place: str) -> bool:
    return not place.endswith((".nc", ".nc4", ".csv")) and _find_marker(system, place) != place


def _describe_version(found: dict[str, Any]) -> str:
    return json.dumps({key: found[key] for key in _VERSION if key in found}, default=str, sort_keys=True)


def _fetch(system: Any, url: str) -> str:
    """Return the local copy of a file, fetched where there is none of this version."""
    found = system.info(url)
    folder = Path(os.environ.get(_DOWNLOADS) or Path.home() / ".cache" / "oceanfill")
    target = folder / _hash(url + _describe_version(found)) / url.rsplit("/", 1)[-1]
    if not target.exists():
        _log.info("fetching %s to %s", url, target.parent)
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(
                f"{folder}: cannot be written ({error.strerror}); name a folder for fetched files in "
                f"{_DOWNLOADS}"
            ) from error
        with replace_atomically(target) as temporary, _explain(url):
            system.get_file(url, str(temporary))
    return str(target)
