"""Methods as objects: ours, those of other packages, plain functions."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from fields import cloudy_dataset
from oceanfill.pipeline.errors import InputError
from oceanfill.pipeline.io.field import open_field
from oceanfill.pipeline.jobs.compare import compare
from oceanfill.pipeline.jobs.fill import fill
from oceanfill.pipeline.jobs.methods import METHODS, Method, find_method, find_methods, make_method

OUTSIDE = '''
"""A package that adds methods."""
import numpy as np
from oceanfill import Method


def three(field):
    """Three everywhere, give or take two."""
    at_sea = np.where(field.sea, np.float32(1), np.float32(np.nan)) * np.ones(field.values.shape, np.float32)
    return 3 * at_sea, 2 * at_sea


number = 3
'''


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A folder with a package and its entry points: one that works and one that does not."""
    (tmp_path / "outside_methods.py").write_text(OUTSIDE)
    info = tmp_path / "outside_methods-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: outside-methods\nVersion: 1.0\n")
    points = "[oceanfill.methods]\nthree = outside_methods:three\nbroken = outside_methods:missing\n"
    (info / "entry_points.txt").write_text(points)
    return tmp_path


def run(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": str(folder), "COLUMNS": "100"}
    command = [sys.executable, "-m", "oceanfill.pipeline.cli", *words]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)


def mean_of_all(field):
    """The mean of everything that was observed."""
    at_sea = np.where(field.sea, np.float32(1), np.float32(np.nan)) * np.ones(field.values.shape, np.float32)
    return np.nanmean(field.values) * at_sea, np.nanstd(field.values) * at_sea


def test_ours_come_by_the_entry_point_in_their_order():
    found = find_methods()
    assert [found[method.name] for method in METHODS] == list(METHODS)
    assert {name for name, method in found.items() if method.pointwise} == {
        "climatology",
        "persistence",
        "linear-time",
    }
    for method in METHODS:
        assert 10 < len(method.describe) < 80, method.name


def test_a_function_is_a_method():
    dataset = cloudy_dataset(dates=8, rows=12, columns=14)
    rows = []
    filled = fill(dataset, variable="sst", method=mean_of_all, report=rows.extend)
    gaps = filled.sst_source.values == 2
    np.testing.assert_allclose(filled.sst.values[gaps], float(dataset.sst.mean()), rtol=1e-5)
    assert filled.attrs["method"] == filled.attrs["delivered"] == rows[0]["method"] == "mean-of-all"
    made = make_method(mean_of_all)
    assert (made.name, made.describe) == ("mean-of-all", "The mean of everything that was observed.")
    assert find_method(made) is made


def test_compare_takes_names_methods_and_functions_alike():
    field = open_field(cloudy_dataset(dates=12, rows=12, columns=14), variable="sst")
    twice = make_method(mean_of_all, "mean-again", pointwise=True)
    rows = {row["method"]: row for row in compare(field, ["nearest", twice, mean_of_all]).rows}
    assert set(rows) == {"nearest", "mean-again", "mean-of-all"}
    assert rows["mean-again"]["rmse"] == rows["mean-of-all"]["rmse"] > rows["nearest"]["rmse"]


def test_a_method_is_imported_by_its_path(outside: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(outside)
    method = find_method("outside_methods:three")
    assert isinstance(method, Method)
    assert method.describe == "Three everywhere, give or take two."
    with pytest.raises(InputError, match="'outside_methods:four' cannot be imported"):
        find_method("outside_methods:four")
    with pytest.raises(InputError, match="neither a function of a field nor a Method"):
        find_method("outside_methods:number")
    known = r"no method is called 'three'; choose one of pretrained, unet, .*auto"
    with pytest.raises(InputError, match=known):
        find_method("three")


def test_the_methods_of_another_package_are_on_the_command_line(outside: Path):
    cloudy_dataset(dates=8, rows=12, columns=14).drop_vars("truth").to_netcdf(outside / "in.nc")
    told = run(outside, "fill", "--help")
    assert "  three              Three everywhere, give or take two." in told.stdout
    assert "outside_methods:missing cannot be loaded" in " ".join(told.stderr.split())
    filled = run(outside, "fill", "in.nc", "-o", "out.nc", "--method", "three", "--no-holdout")
    assert filled.returncode == 0, filled.stderr
    import xarray as xr

    with xr.open_dataset(outside / "out.nc") as found:
        assert float(found.sst_analysis.max()) == float(found.sst_analysis.min()) == 3
        assert found.attrs["delivered"] == "three"
