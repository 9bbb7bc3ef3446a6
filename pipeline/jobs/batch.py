"""Many fills in one run: a table of `oceanfill fill` commands."""

from __future__ import annotations

import logging
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import xarray as xr
import yaml

from ..errors import InputError
from ..io.reading import check_file, list_inputs
from ..io.remote import is_remote
from ..io.writing import check_folder, replace_atomically
from ..progress import progress

_log = logging.getLogger(__name__)

_FILL = [sys.executable, "-m", "oceanfill.pipeline.cli"]
_LARGEST, _MOST_PARTS = 1e7, 100_000  # bytes and entries of a table
_SCORES = (
    "delivered",
    "held_out_units",
    "held_out_n",
    "held_out_rmse",
    "held_out_bias",
    "held_out_coverage_1sigma",
)


@dataclass(frozen=True)
class Row:
    """A row of the table: its name and the words after ``oceanfill``."""

    name: str
    output: Path
    inputs: tuple[str, ...]
    words: tuple[str, ...]

    @property
    def log(self) -> Path:
        """The file for the log of the command."""
        return self.output.with_name(self.output.name + ".log")

    @property
    def is_done(self) -> bool:
        """Whether the output was made by the same command from inputs that have not changed since."""
        try:
            files = [entry for entry in list_inputs(self.inputs) if isinstance(entry, str)]
            newest = max((Path(file).stat().st_mtime for file in files if not is_remote(file)), default=0.0)
            made = self.output.stat().st_mtime
        except (OSError, InputError):
            return False
        command = shlex.join(["oceanfill", *(word for word in self.words if word != "--overwrite")])
        return made > newest and str(_attributes(self.output).get("history", "")).endswith(command)


def read(path: str | os.PathLike[str]) -> list[Row]:
    """Read the rows of a YAML file: ``defaults``, options of every row, and ``jobs``, a list of rows.

    Keys are ``inputs``, ``output``, ``name`` and the options of ``oceanfill fill`` (``observation_error`` or
    ``observation-error``); true and false switch options without a value. Relative paths start at the file.
    A row without a name is called by the stem of its output, or by its output where names are alike.
    Raises `InputError` for any other file and for outputs that two rows share.
    """
    if Path(path).exists():
        check_file(path, _LARGEST)
    try:
        table = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
        raise InputError(
            f"{path}: cannot be read as YAML ({reason}); see `oceanfill batch --help`"
        ) from error
    if _count(table) > _MOST_PARTS:  # a few lines of YAML may repeat each other for ever
        raise InputError(f"{path}: has more than {_MOST_PARTS} entries; split it")
    if not isinstance(table, dict) or not isinstance(table.get("jobs"), list) or not table["jobs"]:
        raise InputError(f"{path}: has no list of jobs; see `oceanfill batch --help` for an example")
    unknown = set(table) - {"jobs", "defaults"}
    if unknown:
        raise InputError(f"{path}: {', '.join(map(str, sorted(unknown)))} is neither defaults nor jobs")
    rows = [
        _row(path, number, (table.get("defaults") or {}), job) for number, job in enumerate(table["jobs"])
    ]
    outputs = [row.output for row in rows]
    for output in outputs:
        if outputs.count(output) > 1:
            raise InputError(f"{path}: {outputs.count(output)} jobs write {output}; give each its own output")
    names = [row.name for row in rows]
    return [replace(row, name=str(row.output)) if names.count(row.name) > 1 else row for row in rows]


def _count(table: Any) -> int:
    """Count the entries of nested lists and mappings, up to the first above the most that are allowed."""
    waiting, number = [table], 0
    while waiting and number <= _MOST_PARTS:
        part = waiting.pop()
        number += 1
        waiting += part.values() if isinstance(part, dict) else part if isinstance(part, list) else ()
    return number


def run(
    rows: Sequence[Row],
    *,
    n_workers: int = 1,
    quiet: bool = True,
    only: int | None = None,
    overwrite: bool = False,
) -> list[dict[str, Any]]:
    """Run the rows, ``n_workers`` at a time, and return a line for each: name, state, output, score.

    A row whose output was made by the same command from inputs that have not changed since is skipped; one
    that was killed is resumed as `oceanfill fill` does. ``only`` runs one row, by its number from zero.
    Other outputs that exist are replaced only if ``overwrite``.
    """
    if only is not None:
        if not 0 <= only < len(rows):
            raise InputError(f"there is no row {only}; the table has {len(rows)}, counted from 0")
        rows = rows[only : only + 1]
    running: set[subprocess.Popen[Any]] = set()
    with ThreadPoolExecutor(n_workers) as pool, progress("filling", len(rows), quiet) as advance:
        try:
            work = partial(_run, running=running, more=["--overwrite"] * overwrite)
            return list(_log_each(pool.map(work, rows), advance))
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            for process in list(running):
                process.terminate()
            raise


def write(lines: Sequence[Mapping[str, Any]], path: str | os.PathLike[str]) -> None:
    """Write the lines as CSV."""
    check_folder(path)
    with replace_atomically(path) as temporary:
        pd.DataFrame(lines).to_csv(temporary, index=False)


def _row(path: str | os.PathLike[str], number: int, defaults: Mapping[str, Any], job: Any) -> Row:
    where = f"{path}: job {number}"
    if not isinstance(job, dict) or not isinstance(defaults, dict):
        raise InputError(f"{where}: is not a mapping of options; see `oceanfill batch --help` for an example")
    options = {str(key).replace("-", "_"): value for key, value in (defaults | job).items()}
    if "inputs" not in options or "output" not in options:
        raise InputError(f"{where}: has no {'output' if 'inputs' in options else 'inputs'}; give it one")
    folder = Path(path).parent
    given = options.pop("inputs")
    inputs = [_path(folder, str(one)) for one in (given if isinstance(given, list) else [given])]
    if is_remote(options["output"]):
        raise InputError(f"{where}: its output is a URL; name a path, or call oceanfill fill for it")
    output = Path(_path(folder, str(options.pop("output"))))
    name = str(options.pop("name", output.stem))
    words = ["fill", *inputs, "-o", str(output)]
    for key, value in options.items():
        option = f"--{key.replace('_', '-')}"
        if value is True:
            words.append(option)
        elif isinstance(value, list):
            words.append(f"{option}={','.join(map(str, value))}")
        elif value not in (False, None):
            words.append(f"{option}={value}")
    return Row(name, output, tuple(inputs), tuple(words))


def _path(folder: Path, name: str) -> str:
    return name if name.startswith("sample:") or is_remote(name) else str(folder / name)


def _run(row: Row, running: set[subprocess.Popen[Any]], more: Sequence[str]) -> dict[str, Any]:
    begun = time.perf_counter()
    if row.is_done:
        return _describe(row, "skipped (up to date)") | _score(row)
    try:
        row.output.parent.mkdir(parents=True, exist_ok=True)
        with row.log.open("a", encoding="utf-8") as log:  # a log of an earlier run is kept
            start = log.tell()
            process = subprocess.Popen([*_FILL, *row.words, *more], stdout=log, stderr=log)
            running.add(process)
            status = process.wait()
            running.discard(process)
    except OSError as error:
        return _describe(row, f"failed: {error}")
    if status == 0:
        seconds = round(time.perf_counter() - begun, 1)
        return _describe(row, "filled") | _score(row) | {"seconds": seconds}
    written = row.log.read_bytes()[start:].decode(encoding="utf-8", errors="replace")
    said = [line for line in written.splitlines() if "oceanfill: " in line]
    usual = f"ended with {status}; see {row.log}"
    return _describe(row, f"failed: {said[-1].removeprefix('oceanfill: ') if said else usual}")


def _describe(row: Row, state: str) -> dict[str, Any]:
    return {"job": row.name, "state": state, "output": str(row.output)}


def _score(row: Row) -> dict[str, Any]:
    held = _attributes(row.output)
    return {key: held[key] for key in _SCORES if key in held}


def _attributes(path: Path) -> dict[str, Any]:
    try:
        with xr.open_dataset(path, engine="zarr" if path.is_dir() else "netcdf4") as dataset:
            return dict(dataset.attrs)
    except (OSError, ValueError):
        return {}


def _log_each(lines: Iterator[dict[str, Any]], advance: Any) -> Iterator[dict[str, Any]]:
    for line in lines:
        _log.info("%s: %s", line["job"], line["state"])
        advance(1)
        yield line
