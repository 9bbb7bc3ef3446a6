"""Tables of jobs: what they become, what a failure leaves of the others, what is not done twice."""

from __future__ import annotations

import os
from pathlib import Path

import pandas as pd
import pytest
import xarray as xr
from fields import cloudy_dataset
from oceanfill.pipeline.cli import main as cli
from oceanfill.pipeline.errors import InputError
from oceanfill.pipeline.jobs.batch import read

JOBS = """
defaults: {method: climatology, variable: sst}
jobs:
  - {inputs: in.nc, output: south.nc, region: [35, 36, -6, -5], name: the south}
  - {inputs: nowhere.nc, output: lost.nc}
  - {inputs: [in.nc], output: made/all.zarr, method: linear-time, no_holdout: true, seed: 3}
"""


@pytest.fixture
def jobs(tmp_path: Path) -> Path:
    cloudy_dataset().to_netcdf(tmp_path / "in.nc")
    (tmp_path / "jobs.yaml").write_text(JOBS)
    return tmp_path / "jobs.yaml"


def test_rows_are_the_words_of_fill(jobs):
    south, _, whole = read(jobs)
    folder = str(jobs.parent)
    assert (south.name, whole.name) == ("the south", "all")
    assert south.words == (
        *("fill", f"{folder}/in.nc", "-o", f"{folder}/south.nc"),
        *("--method=climatology", "--variable=sst", "--region=35,36,-6,-5"),
    )
    assert whole.words[4:] == ("--method=linear-time", "--variable=sst", "--no-holdout", "--seed=3")


def test_rows_without_a_name_are_called_by_their_outputs_where_the_stems_are_alike(tmp_path):
    table = tmp_path / "jobs.yaml"
    table.write_text(
        "jobs:\n"
        "  - {inputs: a.nc, output: north/filled.nc}\n"
        "  - {inputs: b.nc, output: south/filled.nc}\n"
        "  - {inputs: b.nc, output: other.nc}\n"
    )
    names = [row.name for row in read(table)]
    assert names == [f"{tmp_path}/north/filled.nc", f"{tmp_path}/south/filled.nc", "other"]


@pytest.mark.slow  # new processes import everything
def test_a_failure_stops_nothing_and_nothing_is_done_twice(jobs, capsys, monkeypatch):
    folder = jobs.parent
    assert cli.main(["batch", str(jobs), "-o", str(folder / "scores.csv"), "--workers", "2"]) == 2
    assert "1 of 3 jobs failed (lost)" in capsys.readouterr().err
    scores = pd.read_csv(folder / "scores.csv").set_index("job")
    assert list(scores.state[["the south", "all"]]) == ["filled", "filled"]
    assert scores.state["lost"] == f"failed: {folder}/nowhere.nc: no such file; check the path"
    held = xr.open_dataset(folder / "south.nc").attrs
    assert scores.held_out_rmse["the south"] == pytest.approx(held["held_out_rmse"])
    assert scores.held_out_units["the south"] == held["held_out_units"]
    assert list(scores.output) == [f"{folder}/{name}" for name in ("south.nc", "lost.nc", "made/all.zarr")]
    assert (scores.seconds[["the south", "all"]] > 0.5).all()  # Python alone takes that long to start
    log = " ".join((folder / "south.nc.log").read_text().split())  # lines are wrapped
    assert "(sst, sst_analysis" in log

    assert read(jobs)[0].is_done
    assert read(jobs)[2].is_done
    before = (folder / "south.nc").stat().st_mtime_ns
    assert cli.main(["batch", str(jobs), "--row", "0"]) == 0
    assert (folder / "south.nc").stat().st_mtime_ns == before
    jobs.write_text(JOBS.replace("seed: 3", "seed: 4"))
    assert read(jobs)[0].is_done
    assert not read(jobs)[2].is_done
    log = folder / "made" / "all.zarr.log"
    log.write_text("notes of another program\n")
    assert cli.main(["batch", str(jobs), "--row", "2", "--overwrite"]) == 0
    assert log.read_text().startswith("notes of another program\n")
    assert "linear-time" in log.read_text()
    assert xr.open_dataset(folder / "made" / "all.zarr", engine="zarr").attrs["seed"] == 4
    assert read(jobs)[2].is_done, "up to date, though it was made with --overwrite"
    os.utime(folder / "in.nc", (2e9, 2e9))
    assert not read(jobs)[0].is_done


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("jobs: [", "cannot be read as YAML"),
        ("rows: []", "has no list of jobs"),
        ("jobs: [{inputs: a.nc, output: b.nc}]\ndefault: {}", "default is neither defaults nor jobs"),
        ("jobs: [{inputs: a.nc}]", "job 0: has no output"),
        ("jobs: [{output: a.nc}]", "job 0: has no inputs"),
        ("jobs: [5]", "job 0: is not a mapping"),
        ("jobs: [{inputs: a.nc, output: b.nc}, {inputs: c.nc, output: b.nc}]", "2 jobs write .*b.nc"),
    ],
)
def test_what_is_no_table_is_said(tmp_path, text, says):
    (tmp_path / "jobs.yaml").write_text(text)
    with pytest.raises(InputError, match=says):
        read(tmp_path / "jobs.yaml")


def test_a_row_that_is_not_there_is_said(jobs, capsys):
    assert cli.main(["batch", str(jobs), "--row", "3"]) == 2
    assert "there is no row 3; the table has 3, counted from 0" in capsys.readouterr().err
