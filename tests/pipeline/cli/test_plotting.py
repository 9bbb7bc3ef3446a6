"""The command ``plot``, on a file that is filled and one that is not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from fields import cloudy_dataset
from matplotlib.image import imread
from oceanfill.pipeline.cli import main as cli

from oceanfill import fill


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("plot")
    cloudy_dataset(dates=5).to_netcdf(made / "in.nc")
    fill(made / "in.nc", made / "filled.nc", variable="sst", method="linear-time")
    return made


def run(folder: Path, words: str) -> int:
    found = cli.main(
        ["plot", *(str(folder / word) if word.endswith((".nc", ".png")) else word for word in words.split())]
    )
    return int(found)


def width(path: Path) -> int:
    return imread(path).shape[1]


def test_maps_of_either_file(folder, capsys):
    assert run(folder, "filled.nc -o three.png --quiet") == 0
    assert run(folder, "filled.nc -o two.png --what filled,error --date 2020-01-02 --region 35,36,-6,-5") == 0
    assert run(folder, "in.nc -o one.png --variable sst --limits 10,20 --colours viridis") == 0
    widths = [width(folder / f"{name}.png") for name in ("one", "two", "three")]
    assert np.diff(widths).min() > 400
    assert widths[2] == 3 * 5 * 130
    assert "wrote" in capsys.readouterr().err


def test_a_picture_that_exists_is_kept_without_overwrite(folder, capsys):
    (folder / "old.png").write_bytes(b"old")
    assert run(folder, "filled.nc -o old.png --at 36,-5") == 2
    assert "--overwrite" in capsys.readouterr().err
    assert (folder / "old.png").read_bytes() == b"old"
    assert run(folder, "filled.nc -o old.png --along lat=35.5 --overwrite") == 0
    assert imread(folder / "old.png").ndim == 3


def test_charts(folder):
    assert run(folder, "filled.nc -o spectra.png --what spectra --quiet") == 0
    assert run(folder, "filled.nc -o reliability.png --what reliability --quiet") == 0
    assert min(width(folder / f"{name}.png") for name in ("spectra", "reliability")) > 400


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("filled.nc -o a.png --what reliability,error", "leave out other layers"),
        ("in.nc -o a.png --what reliability", "is not a field that `oceanfill fill` wrote"),
        ("filled.nc -o a.png --at 36,-5 --along lat=36", "--at and --along are two pictures"),
        ("filled.nc -o a.png --along 36", "'36' is neither lat=LAT nor lon=LON"),
        ("filled.nc -o a.png --what colour", "there is no 'colour' to draw; choose among observed, filled"),
        ("filled.nc -o a.png --limits 1", "--limits: give two numbers"),
        ("filled.nc -o film.gif --date 2020-01-02", "an animation shows all dates"),
        ("filled.nc -o a.png --date 2021", "there is no date 2021 to draw"),
        ("filled.nc -o a.tif", "name it .png, .pdf, .svg or .jpg"),
    ],
)
def test_what_cannot_be_drawn(folder, capsys, words, says):
    before = sorted(folder.iterdir())
    assert run(folder, words) == 2
    assert says in " ".join(capsys.readouterr().err.split())
    assert sorted(folder.iterdir()) == before
