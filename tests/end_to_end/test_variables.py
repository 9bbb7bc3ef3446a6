"""Several variables from the command line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from fields import cloudy_dataset

Run = Callable[..., Any]
SPECS = ("sst.nc:sst", "chl_*.nc:chl:log,error=0.2,jitter=0.1")
QUICK = ("--method", "unet", "--epochs", "1", "--first-guess", "none", "--device", "cpu")


@pytest.fixture
def files(run: Run) -> None:
    """sst.nc, chl_1.nc and chl_2.nc with half of the dates each at other hours, and a coarse wind.nc."""
    data = cloudy_dataset(dates=16, rows=12, columns=14)
    data[["sst", "mask"]].to_netcdf("sst.nc")
    chl = np.exp(data.truth / 10).where(data.sst.notnull().roll(time=3)).astype(np.float32)
    chl = chl.to_dataset(name="chl").assign_coords(time=data.time + np.timedelta64(10, "h"))
    chl.isel(time=slice(8)).to_netcdf("chl_1.nc")
    chl.isel(time=slice(8, 15)).to_netcdf("chl_2.nc")
    wind = data.truth.mean("time").fillna(15).broadcast_like(data.sst).coarsen(lat=3, lon=2).mean()
    (10 + wind).to_dataset(name="u").assign(v=-wind).isel(time=slice(1, None)).to_netcdf("wind.nc")


def test_two_are_filled_with_the_help_of_two_more(run: Run, files: None) -> None:
    words = ("--auxiliary", "wind.nc:u,v", "-o", "both.nc", "--save-checkpoint", "net.ckpt")
    result = run("fill", *SPECS, *words, *QUICK, "--plot", "sst.png")
    assert result.code == 0, result.err
    said = " ".join(result.err.split())
    assert "chl has 15 of the 16 dates of sst" in said
    assert "interpolated from 4 x 7 cells to the 12 x 14 cells of sst" in said
    assert "u: 16 dates" in said
    assert "input only" in said
    assert "RMSE and bias of sst in degree_Celsius, chl in natural logarithms" in result.out
    assert Path("sst.png").stat().st_size > 1e4
    with xr.open_dataset("both.nc") as both, xr.open_dataset("chl_1.nc") as chl:
        sea = both.sst_source.isel(time=0).to_numpy() > 0
        assert np.isfinite(both.chl_error.to_numpy()[:, sea]).all()
        assert both.chl.notnull().equals(both.sst.notnull())
        seen = chl.chl.notnull().to_numpy()
        np.testing.assert_array_equal(both.chl.to_numpy()[:8][seen], chl.chl.to_numpy()[seen])
        assert both.chl_error.attrs.get("units") == chl.chl.attrs.get("units")
        assert both.attrs["transform"] == "sst: none; chl: log"
        first = both.load()

    again = run(
        "fill", *SPECS, "--auxiliary", "wind.nc:u,v", "-o", "again.nc", "--checkpoint", "net.ckpt", *QUICK[4:]
    )
    assert again.code == 0, again.err
    with xr.open_dataset("again.nc") as second:
        for name in ("sst_analysis", "chl_analysis"):
            np.testing.assert_allclose(second[name], first[name], rtol=0, atol=1e-5)
    refused = run("fill", *SPECS, "-o", "more.nc", "--checkpoint", "net.ckpt", *QUICK[4:])
    assert refused.code == 2
    assert "trained to fill 2 of 4 variables, not 2 of 2" in refused.err


@pytest.mark.parametrize(
    ("words", "finding"),
    [
        (("sst.nc:sst", "chl_1.nc:chlor"), "there is no variable 'chlor'; choose among chl"),
        (("sst.nc:sst", "none.nc:chl"), "none.nc: no such file"),
        (("sst.nc:sst", "chl_1.nc:chl:sqrt"), "no transform 'sqrt'; write it as FILE:NAME"),
        (("sst.nc:sst", "sst.nc:sst"), "sst: several variables have this name"),
        (("sst.nc:sst", "--variable", "sst"), "the variable is given both with the file and by an option"),
        (("sst.nc:sst", "wind.nc:u", "--workers", "2"), "2 variables are filled together in memory"),
        (("sst.nc:sst", "wind.nc:u", "--memory", "0.1"), "or allow more --memory"),
        (("sst.nc:sst", "wind.nc:u", "-o", "wind.nc"), "wind.nc: is an input; choose another name"),
    ],
)
def test_what_does_not_fit_is_a_sentence(run: Run, files: None, words: tuple[str, ...], finding: str) -> None:
    before = sorted(Path().iterdir())
    result = run("fill", "-o", "out.nc", *words, "--method", "oi", "--quiet")
    assert result.code == 2
    assert finding in result.err
    assert result.err.count("\n") == 1
    assert sorted(Path().iterdir()) == before


def test_info_of_one_variable_of_a_file(run: Run, files: None) -> None:
    result = run("info", "wind.nc:v")
    assert result.code == 0
    assert "v" in result.out
    assert run("info", "wind.nc:u,v").code == 2
