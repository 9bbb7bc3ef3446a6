"""`oceanfill validate`, and points that are kept out of `fill` and `compare`."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from fields import cloudy_dataset

Run = Callable[..., Any]


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A field under clouds, and four buoys that read the truth and 0.5 more."""
    data = cloudy_dataset(dates=8, rows=12, columns=14)
    data.drop_vars("truth").to_netcdf(tmp_path / "in.nc")
    rows = []
    for number, (lat, lon) in enumerate([(35.5, -5.4), (35.7, -5.1), (35.9, -4.9), (35.3, -5.0)]):
        value = data.truth.interp(lat=lat, lon=lon).to_numpy() + 0.5
        names = {"buoy": f"b{number}", "temp (degree_Celsius)": value}
        rows.append(pd.DataFrame({"date": data.time, "latitude": lat, "longitude": lon + 360} | names))
    pd.concat(rows).to_csv(tmp_path / "buoys.csv", index=False)
    return tmp_path


def test_scores_are_printed_and_written(run: Run, files: Path) -> None:
    assert run("fill", "in.nc", "-o", "out.nc", "--method", "oi", "-q").code == 0
    words = ("validate", "out.nc", "buoys.csv", "--columns", "platform=buoy")
    result = run(*words, "-o", "scores", "--report", "page.html")
    assert result.code == 0, result.err
    assert "sst (degree_Celsius) against buoys.csv" in result.out
    first = next(line for line in result.out.splitlines() if line.strip().startswith("all"))
    n, platforms, bias, rmse = first.split()[1:5]
    table, pairs = pd.read_csv("scores.csv"), pd.read_csv("scores_matchups.csv")
    off = pairs.field - pairs.point
    assert (int(n), int(platforms)) == (len(pairs), 4) == (32, 4)
    assert float(bias) == pytest.approx(off.mean(), abs=0.005) == pytest.approx(-0.5, abs=0.1)
    assert float(rmse) == pytest.approx(np.sqrt((off**2).mean()), abs=0.0005)
    assert table.rmse[0] == pytest.approx(np.sqrt((off**2).mean()))
    page = Path("page.html").read_text()
    assert "Validation of sst against independent points" in page
    assert "32 of 4 platforms" in page
    again = run(*words, "-o", "scores")
    assert again.code == 2
    assert "scores.csv: exists; add --overwrite" in again.err
    held = json.loads(run(*words, "--json").out)
    assert held["scores"][0]["n"] == 32


def test_the_sample_validates_the_sample(run: Run) -> None:
    part = ("--region", "37,39,-13,-11", "--period", "2024-04-01/2024-04-10", "--method", "linear-time")
    words = ("--hold-out", "sample:sst_clouds_points.csv", "--report", "page.html")
    result = run("fill", "sample:sst_clouds.nc", "-o", "out.nc", *part, *words)
    assert result.code == 0, result.err
    assert "delivered, at sst_clouds_points.csv" in result.out
    filled = xr.load_dataset("out.nc")
    assert f"{filled.attrs['validation_rmse']:.4g}" in result.out
    assert "Validation of sst against independent points" in Path("page.html").read_text()
    again = run("rerun", "out.nc")
    assert again.code == 0, again.err
    compared = run(
        "compare",
        "sample:sst_clouds.nc",
        *part[:4],
        "--methods",
        "nearest,climatology",
        *words[:2],
        "-o",
        "table",
    )
    assert compared.code == 0, compared.err
    assert "RMSE at points" in Path("table.md").read_text()
    assert (pd.read_csv("table.csv").points_rmse > 0.05).all()


@pytest.mark.parametrize(
    ("words", "finding"),
    [
        (("nothere.nc", "buoys.csv"), "nothere.nc: no such file; check the path"),
        (("in.nc", "nothere.csv"), "nothere.csv: no such file; check the path"),
        (("in.nc", "buoys.csv", "--units", "m"), "is in m but in degree_Celsius in the field sst"),
        (("in.nc", "buoys.csv", "--max-time", "0"), "'0' is not a positive number"),
        (("in.nc", "buoys.csv", "--columns", "temp"), "'temp' is not ROLE=NAME"),
        (("in.nc", "buoys.csv", "--interpolation", "cubic"), "choose one of nearest, linear"),
        (("in.nc", "buoys.csv", "--analysis"), "there is no sst_analysis; leave out --analysis"),
        (("in.nc", "buoys.csv", "--report", "page.txt"), "page.txt: a report is an HTML page"),
        (("in.nc", "in.nc", "-o", "x/y"), "there is no folder x"),
    ],
)
def test_what_does_not_fit_is_a_sentence(run: Run, files: Path, words: tuple[str, ...], finding: str) -> None:
    before = sorted(files.iterdir())
    result = run("validate", *words)
    assert result.code == 2, result.err
    assert finding in result.err
    assert len(result.err.strip().splitlines()) == 1
    assert sorted(files.iterdir()) == before


def test_the_stage_of_lightning_is_still_there(run: Run) -> None:
    result = run("validate", "--config", "nothere.yaml")
    assert result.code == 2
    assert "nothere.yaml" in result.err
    assert "FILLED" not in result.err
