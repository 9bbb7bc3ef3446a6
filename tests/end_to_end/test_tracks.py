"""The commands on along-track files."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from fields import cloudy_dataset
from tracks import mission, write_missions

Run = Callable[..., Any]
GRID = ("--grid", "0.25", "--bounds", "40,43,178,-178")


@pytest.fixture
def files(run: Run) -> list[str]:
    """Of two missions, in the working folder."""
    made = {name: mission(name, dates=10, seed=seed) for seed, name in enumerate(("alpha", "beta"))}
    return write_missions(Path(), **made)


def test_files_are_filled_from_the_command_line(run: Run, files: list[str]) -> None:
    result = run("fill", *files, "-o", "out.nc", "--method", "oi", "--observation-error", "0.01", *GRID)
    assert result.code == 0, result.err
    assert "whole tracks, at their points" in result.out
    filled = xr.load_dataset("out.nc")
    assert filled.sizes == {"time": 11, "latitude": 13, "longitude": 17}
    assert np.isfinite(filled.sla_filtered_analysis).all()
    options = json.loads(filled.attrs["configuration"])
    assert options["grid"] == [0.25]
    assert options["bounds"] == [40, 43, 178, -178]
    assert filled.attrs["input_files"] == ", ".join(files)
    assert "--grid 0.25" in filled.attrs["history"]
    assert filled.attrs["geospatial_lon_max"] == 182


def test_a_mission_apart_is_a_row_of_the_table(run: Run, files: list[str]) -> None:
    words = ("--hold-out", "beta", "--method", "climatology", "--time-step", "2")
    result = run("fill", *files, "-o", "out.nc", *words, *GRID)
    assert result.code == 0, result.err
    assert "delivered, at beta" in result.out
    assert xr.load_dataset("out.nc").sizes["time"] == 6


def test_info_says_what_is_in_them(run: Run, files: list[str]) -> None:
    result = run("info", *files)
    assert result.code == 0, result.err
    shown = [" ".join(line.split()) for line in result.out.splitlines()]
    assert any(line.startswith("alpha 600 20 1 s 2020-01-01 2020-01-10 0.02") for line in shown)
    assert any("--bounds 40,43,178,182" in line for line in shown)


@pytest.mark.parametrize(
    ("words", "finding"),
    [
        ((), "holds points along tracks; give the grid to map them on, as --grid 0.25 --bounds"),
        (("--grid", "0.25"), "give the grid"),
        ((*GRID, "--region", "1,2,3,4"), "holds points along tracks, not a field; leave out --region"),
        ((*GRID, "--transform", "log"), "leave out --transform"),
        ((*GRID, "--hold-out", "gamma"), "no mission is called 'gamma'; choose among alpha, beta"),
        ((*GRID, "--mask", "nowhere.nc"), "nowhere.nc: no such file"),
        ((*GRID, "--period", "2021-01-01/2021-02-01"), "no value of sla_filtered is usable"),
    ],
)
def test_what_does_not_fit_is_refused(
    run: Run, files: list[str], words: tuple[str, ...], finding: str
) -> None:
    result = run("fill", *files, "-o", "out.nc", "--method", "oi", "--quiet", *words)
    assert result.code == 2, result.err
    assert finding in result.err
    assert result.err.count("\n") == 1
    assert not Path("out.nc").exists()


def test_fields_have_no_use_for_a_mask_file(run: Run) -> None:
    cloudy_dataset(dates=4, rows=6, columns=6).to_netcdf("in.nc")
    result = run("fill", "in.nc", "-o", "out.nc", "--mask", "in.nc")
    assert result.code == 2
    assert "the input holds a field, not points along tracks; leave out --mask" in result.err


def test_more_than_two_steps_are_no_grid(run: Run, files: list[str]) -> None:
    result = run("fill", *files, "-o", "out.nc", "--grid", "1,2,3", "--bounds=-1,1,2,3")
    assert result.code == 2
    assert "'1,2,3' is not one step in degrees, or two" in result.err
