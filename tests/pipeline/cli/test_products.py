"""The commands `export` and `derive`, and `fill --format`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from fields import cloudy_dataset
from filledmaps import make_filled
from oceanfill.pipeline.cli.main import main


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    cloudy_dataset(dates=6)[["sst", "mask"]].to_netcdf("in.nc")
    make_filled(np.random.default_rng(0).uniform(10, 20, (2, 6, 8)), range(6), range(8)).to_netcdf(
        "filled.nc"
    )
    return tmp_path


def run(words: str) -> int:
    return main(["--quiet" if word == "-q" else word for word in words.split()])


def test_fill_writes_the_file_and_the_product(folder: Path) -> None:
    words = "fill in.nc -o out.nc --method nearest -q --format ghrsst --attribute creator_name=A"
    (folder / "a.yaml").write_text("institution: Harbour\n")
    assert run(f"{words} --attributes a.yaml") == 0
    paths = sorted((folder / "out_ghrsst").iterdir())
    assert len(paths) == 6
    assert paths[0].name.startswith("20200101000000-HARBOUR-L4_GHRSST-SSTblend-")
    with xr.open_dataset(folder / "out.nc") as filled, xr.open_dataset(paths[3]) as day:
        assert (filled.attrs["creator_name"], filled.attrs["institution"]) == ("A", "Harbour")
        assert day.attrs["creator_name"] == "A"
        expected = filled.sst_analysis[3] + 273.15
        np.testing.assert_allclose(day.analysed_sst[0], expected, atol=6e-4)
    assert run("fill in.nc -o new.nc --method nearest -q --format cmems-ssh") == 2
    assert not (folder / "new.nc").exists()  # refused before anything is filled


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("fill in.nc -o out.nc --format cmems-oc", "sst is in degree_Celsius, not in units of chlorophyll"),
        ("fill in.nc -o out.nc --ice ice.nc", "--ice and --mdt are for a product; give its --format"),
        (
            "fill in.nc -o out.nc --format ghrsst --mdt m.nc",
            "ghrsst has no mean dynamic topography; leave out --mdt",
        ),
        ("fill in.nc -o out.nc --attribute creator_name", "write it as NAME=VALUE"),
        (
            "fill in.nc -o out.nc --format ghrsst --attribute seed=3",
            "seed is set from the data",
        ),
        ("export filled.nc --format ghrsst -o out.nc", "ghrsst has one file for each date; give a folder"),
        ("export in.nc --format ghrsst -o out", "in.nc: it is not a field that `oceanfill fill` wrote"),
        ("export nothere.nc --format ghrsst -o out", "nothere.nc: is no file; check the path"),
        ("export filled.nc --format ghrsst -o no/where", "there is no folder no"),
        (
            "derive filled.nc --what fronts -o out.nc --length 3",
            "--length is an option of geostrophic and gradient",
        ),
        ("derive filled.nc --what gradient -o out.nc", "in km with --length"),
        (
            "derive filled.nc --what anomalies -o out.nc",
            "give a longer one with --climatology, or another --baseline",
        ),
        ("derive filled.nc --what resolution -o out.nc", "give --truth, or fill it with --samples"),
        ("derive filled.nc --what fronts -o filled.nc", "filled.nc: is an input"),
        ("derive filled.nc --what waves -o out.nc", "invalid choice: 'waves'"),
    ],
)
def test_one_sentence_and_nothing_is_written(folder: Path, capsys, words: str, says: str) -> None:
    before = sorted(folder.iterdir())
    assert run(words) == 2
    shown = capsys.readouterr().err.strip()
    assert says in shown
    assert len(shown.splitlines()) == 1
    assert sorted(folder.iterdir()) == before


def test_derive_and_export_write_what_they_say(folder: Path) -> None:
    assert run("derive filled.nc --what gradient --length 50 -o out.nc --attribute project=P") == 0
    with xr.open_dataset("out.nc") as found, xr.open_dataset("filled.nc") as filled:
        km = 6371 * np.radians(2)
        np.testing.assert_allclose(
            found.sst_northward_gradient[1, 3], (filled.sst[1, 4] - filled.sst[1, 2]) / km, rtol=1e-5
        )
        assert found.attrs["project"] == "P"
    assert run("derive filled.nc --what gradient --length 50 -o out.nc") == 2
    assert run("derive filled.nc --what gradient --length 50 -o out.nc --overwrite") == 0
    assert run("export filled.nc --format ghrsst -o days") == 0
    assert len(list((folder / "days").iterdir())) == 2
