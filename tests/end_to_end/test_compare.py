"""`oceanfill compare`: from a file to a table."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import xarray as xr
from fields import cloudy_dataset

Run = Callable[..., Any]


@pytest.fixture(autouse=True)
def files(run: Run, small: xr.Dataset) -> None:
    small.to_netcdf("gappy.nc")
    cloudy_dataset(dates=8, rows=12, columns=14)[["truth"]].rename(truth="sst").to_netcdf("truth.nc")


def test_a_table_on_screen_and_in_files_and_a_picture(run: Run) -> None:
    words = "compare gappy.nc --methods nearest,oi,linear-time --truth truth.nc -o out --plot out.png --quiet"
    found = run(*words.split())
    assert found.code == 0, found.err
    with Path("out.csv").open() as file:
        rows = list(csv.DictReader(file))
    errors = [float(row["rmse"]) for row in rows]
    assert errors == sorted(errors)
    assert rows[0]["method"] == "oi"
    assert len({row["n"] for row in rows}) == 1
    assert all(row["method"] in found.out for row in rows)
    assert Path("out.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ("--methods krig", "no method is called 'krig'"),
        ("--truth none.nc", "none.nc: no such file"),
        ("-o none/out", "there is no folder none"),
        ("--plot out.txt", "name it .png"),
        ("--folds 0", "--folds"),
        ("--holdout swaths", "invalid choice: 'swaths'"),
    ],
)
def test_what_cannot_be_compared_is_said_before_the_work(run: Run, options: str, says: str) -> None:
    found = run("compare", "gappy.nc", *options.split())
    assert found.code == 2
    assert says in found.err
    assert not found.out
