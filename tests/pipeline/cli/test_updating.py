"""The command `update`, on what `fill` writes with its default network."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from fields import cloudy_dataset
from oceanfill.pipeline.cli.main import main

DATES, LAST = 15, 12


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A filled record of the first dates, the others one by one, and an updated file."""
    made = tmp_path_factory.mktemp("update")
    data = cloudy_dataset(dates=DATES, rows=8, columns=10)[["sst", "mask"]]
    data.isel(time=slice(LAST)).to_netcdf(made / "in.nc")
    for date in range(LAST, DATES):
        data.isel(time=[date]).to_netcdf(made / f"day_{date}.nc")
    assert main(["fill", str(made / "in.nc"), "-o", str(made / "filled.nc"), "--no-holdout", "-q"]) == 0
    words = ["update", str(made / "filled.nc"), str(made / "day_12.nc"), "-o", str(made / "updated.nc"), "-q"]
    assert main(words) == 0
    return made


def test_day_by_day_and_all_at_once(folder: Path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(folder)
    assert main(["update", "filled.nc", "day_*.nc", "-o", "all.nc", "--attribute", "creator_name=A"]) == 0
    assert main(["update", "filled.nc", "day_12.nc", "-o", "daily.nc", "-q"]) == 0
    for date in (13, 14):
        assert main(["update", "daily.nc", f"day_{date}.nc", "--overwrite", "-q"]) == 0
    with xr.open_dataset("filled.nc") as before, xr.open_dataset("all.nc") as after:
        assert before.attrs["delivered"] == "pretrained"
        assert after.attrs["creator_name"] == "A"
        assert (
            after.attrs["history"]
            .splitlines()[-1]
            .endswith("Z: oceanfill update filled.nc 'day_*.nc' -o all.nc --attribute creator_name=A")
        )
        assert before.sizes["time"] == LAST
        assert after.sizes["time"] == DATES
        assert not after.sst.isel(lat=slice(5, None), lon=slice(1, None)).isnull().any()
        with xr.open_dataset("daily.nc") as daily:
            assert daily.attrs["history"].count("oceanfill update") == 3
            np.testing.assert_allclose(daily.sst_analysis, after.sst_analysis, rtol=1e-6)
            np.testing.assert_array_equal(daily.provisional, after.provisional)
            assert daily.provisional[-1] == 1


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("update filled.nc day_12.nc", "name a file with -o, or replace FILLED with --overwrite"),
        ("update filled.nc day_12.nc -o in.nc --overwrite", "in.nc: exists and is not oceanfill's"),
        ("update filled.nc day_12.nc -o day_12.nc --overwrite", "day_12.nc: is an input"),
        ("update filled.nc day_12.nc -o filled.nc", "is the product itself; add --overwrite"),
        ("update filled.nc in.nc -o new.nc", "in.nc: has nothing new: filled.nc holds 2020-01-01"),
        ("update in.nc day_12.nc -o new.nc", "it is not a field that `oceanfill fill` wrote; fill it first"),
        ("update nothere.nc day_12.nc -o new.nc", "nothere.nc: no such file; check the path"),
        ("update filled.nc nothere.nc -o new.nc", "nothere.nc: no such file; check the path"),
        ("rerun updated.nc", "was updated since its fill"),
    ],
)
def test_one_sentence_and_nothing_is_written(
    folder: Path, monkeypatch, capsys, words: str, says: str
) -> None:
    monkeypatch.chdir(folder)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert main(words.split()) == 2
    shown = capsys.readouterr().err.strip()
    assert says in shown
    assert len(shown.splitlines()) == 1
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
