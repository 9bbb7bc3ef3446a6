"""Tables of points (CSV, Parquet, data frames) as datasets on one dimension."""

from __future__ import annotations

import os
import re
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from ...errors import InputError
from ..layout.coordinates import TIME_NAMES
from ..reading import check_file

POINT = "point"  # the dimension of points in a row
_PARQUET = (".parquet", ".pq")
_TABLES = (".csv", ".txt", ".tsv", *_PARQUET)
_HEADING = re.compile(r"(?P<name>[^()\[\]]+?)\s*[(\[](?P<units>[^()\[\]]+)[)\]]")  # sst (degree_Celsius)
_SEPARATORS = ",;\t"


def is_table(path: str | os.PathLike[str]) -> bool:
    """Whether a path names a table of points."""
    return Path(path).suffix.lower() in _TABLES


def read_table(source: str | pd.DataFrame, columns: Mapping[str, str]) -> xr.Dataset:
    """Return the columns of a table on one dimension, with the units that their headings give.

    ``columns`` may name the column of the ``time``. Raises `InputError` for a table without readable dates.
    """
    if isinstance(source, str):
        frame, units = _read_frame(source)
        file = source
    else:
        frame, units, file = source.reset_index(drop=source.index.name is None), {}, "data frame"
    lower = {str(key).lower(): str(key) for key in frame.columns}
    frame.columns = [str(key) for key in frame.columns]
    time = columns.get("time") or next((lower[key] for key in lower if key in TIME_NAMES), None)
    made: dict[Hashable, Any] = {}
    for key in frame.columns:
        column = frame[key]
        attrs = {"units": units[key]} if key in units else {}
        if key == time and " since " not in units.get(key, ""):
            made[key] = (POINT, _parse_dates(file, key, column))
        elif pd.api.types.is_numeric_dtype(column):
            made[key] = (POINT, column.to_numpy(), attrs)
        else:
            made[key] = (POINT, column.astype(object).to_numpy(dtype=object), attrs)
    dataset = xr.Dataset(made)
    dataset.encoding["source"] = file
    return dataset


def _read_frame(path: str) -> tuple[pd.DataFrame, dict[str, str]]:
    """Read a table, and the units in its headings or in the row below them, as ERDDAP writes them."""
    check_file(path)
    try:
        if Path(path).suffix.lower() in _PARQUET:
            frame, row = pd.read_parquet(path), None
        else:
            with Path(path).open(encoding="utf-8-sig") as file:
                first = file.readline()
            how = {
                "sep": max(_SEPARATORS, key=first.count),
                "encoding": "utf-8-sig",
                "skipinitialspace": True,
            }
            peek = pd.read_csv(path, nrows=1, dtype=str, keep_default_na=False, **how)
            texts = {str(key): str(peek[key].iloc[0]) for key in peek.columns} if len(peek) else {}
            below = any(
                re.match(r"deg(ree)?s?_?(north|east)", text, re.IGNORECASE) for text in texts.values()
            )
            row = texts if below else None
            frame = pd.read_csv(path, skiprows=[1] if below else None, **how)
    except ImportError as reason:
        raise InputError(
            f"{path}: Parquet is read by pyarrow, which is not installed; pip install pyarrow"
        ) from reason
    except (OSError, ValueError) as reason:  # pandas' errors of parsing, and pyarrow's, are among these
        text = (str(reason).splitlines() or ["unknown"])[0]
        raise InputError(f"{path}: is not read as a table ({text}); write one row for each value") from reason
    units = {} if row is None else {key: text for key, text in row.items() if text}
    names = {}
    for key in map(str, frame.columns):
        found = _HEADING.fullmatch(key.strip())
        names[key] = found["name"] if found else key.strip()
        if found:
            units[names[key]] = found["units"]
    return frame.rename(columns=names), units


def _parse_dates(file: str, name: str, column: pd.Series) -> NDArray[np.datetime64]:
    if pd.api.types.is_numeric_dtype(column):
        raise InputError(
            f"{file}: the dates in {name} are numbers; write them as 2024-05-01T12:00:00, or give their "
            f"units in the heading, as {name} (days since 1950-01-01)"
        )
    found = pd.to_datetime(column, utc=True, format="ISO8601", errors="coerce")
    if len(found) and found.isna().all():
        raise InputError(
            f"{file}: no date in {name} can be read (the first is {column.iloc[0]!r}); write them as "
            "2024-05-01T12:00:00"
        )
    return found.dt.tz_localize(None).to_numpy().astype("datetime64[ns]")
