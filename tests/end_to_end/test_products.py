"""The large providers' products are filled by the commands of docs/inputs.md, on made-up files with their headers."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from product_colour import write_globcolour, write_l3m_chlorophyll, write_mediterranean, write_occci
from product_currents import make_current, write_hfrnet, write_radials
from product_hfr import make_totals
from product_other import (
    write_cci_salinity, write_erddap, write_ice, write_nemo, write_roms, write_smap,
)
from product_sealevel import write_along_track, write_duacs, write_nasa_ssh
from product_swot import write_swot
from product_temperature import write_cci, write_l3m_sst, write_later_mur, write_mur, write_oisst, write_ostia
from product_truth import Product
from swaths import truth as swath_truth, write_l2, write_l2p
from tracks import level

Run = Callable[..., Any]
DOCUMENT = Path(__file__).parents[2] / "docs" / "inputs.md"

GRIDDED = [
    write_mur, write_later_mur, write_ostia, write_cci, write_oisst, write_l3m_sst,
    write_l3m_chlorophyll, write_occci, write_globcolour, write_mediterranean, write_duacs,
    write_smap, write_cci_salinity, write_ice, partial(write_ice, operational=True), write_erddap, write_roms, write_nemo,
]


@pytest.mark.parametrize("write", GRIDDED)
def test_a_gridded_product(run: Run, write: Callable[[Path], Product]) -> None:
    product = write(Path())
    words = ("--method", "linear-time", "--no-holdout", "--quiet")
    result = run("fill", *map(str, product.paths), "-o", "out.nc", *product.options, *words)
    assert result.code == 0, result.err
    out = xr.load_dataset("out.nc")
    for text in product.said:
        assert text in out.attrs["input_treatment"]
    source = out[f"{product.name}_source"].squeeze().to_numpy()
    assert source[:, ~product.sea].max(initial=0) <= 1  # nothing is filled there
    assert source[:, product.sea].min() >= 1
    np.testing.assert_array_equal((source == 1)[:, product.sea], product.kept[:, product.sea])
    np.testing.assert_array_equal(out[product.name].squeeze().to_numpy().shape, product.truth.shape)
    time = next(name for name in out.coords if out[name].dtype.kind == "M")
    np.testing.assert_array_equal(out[time].to_numpy(), product.dates)
    value = out[product.name].squeeze().to_numpy()
    departure = (np.log(value / product.truth) if product.log else value - product.truth)[:, product.sea]
    assert np.sqrt(np.mean(departure**2)) < product.bound


POINTS = {
    "Copernicus Marine along-track": (write_along_track, "sla_filtered", ""),
    "SWOT L3, expert": (write_swot, "ssha_filtered", "flagged by quality_flag"),
    "SWOT L3, basic": (partial(write_swot, expert=False), "ssha_filtered", ""),
    "NASA-SSH": (write_nasa_ssh, "ssha_smoothed", ""),
    "NASA-SSH, not smoothed": (partial(write_nasa_ssh, smoothed=False), "ssha", "flagged by nasa_flag"),
}


@pytest.mark.parametrize("product", POINTS)
def test_sea_level_at_points(run: Run, product: str) -> None:
    write, name, said = POINTS[product]
    words = ("--grid", "0.25", "--bounds", "40,43,178,-178", "--method", "linear-time", "--no-holdout", "--quiet")
    result = run("fill", *write(Path()), "-o", "out.nc", *words)
    assert result.code == 0, result.err
    out = xr.load_dataset("out.nc")
    assert said in out.attrs.get("input_treatment", "")
    days = (out.time - np.datetime64("2020-01-01", "ns")) / np.timedelta64(1, "D")
    np.testing.assert_array_equal(days[:10], np.arange(10))
    truth = level(*(array.to_numpy() for array in xr.broadcast(days, out.latitude, out.longitude)))
    seen = out[f"{name}_source"].to_numpy() == 1
    departure = out[name].to_numpy() - truth
    assert seen.mean() > 0.1
    assert np.sqrt(np.mean(departure[seen] ** 2)) < 0.04


SWATHS = {
    "GHRSST L2P": (write_l2p, "sea_surface_temperature", 273.15, "flagged by quality_level"),
    "OB.DAAC L2": (write_l2, "sst", 0.0, "flagged by qual_sst"),
}


@pytest.mark.parametrize("product", SWATHS)
def test_a_swath_of_temperatures(run: Run, product: str) -> None:
    write, name, zero, said = SWATHS[product]
    words = ("--grid", "0.25", "--bounds", "36.5,40,3,7", "--method", "linear-time", "--no-holdout", "--quiet")
    result = run("fill", *write(Path()), "-o", "out.nc", *words)
    assert result.code == 0, result.err
    out = xr.load_dataset("out.nc")
    assert said in out.attrs["input_treatment"]
    days = (out.time - np.datetime64("2020-06-01", "ns")) / np.timedelta64(1, "D")
    np.testing.assert_array_equal(days, np.arange(6))
    at = [array.to_numpy() for array in xr.broadcast(days, out.latitude, out.longitude)]
    sea = out[f"{name}_source"].to_numpy() > 0
    departure = (out[name].to_numpy() - zero - swath_truth(at[1], at[2], at[0]))[sea]
    assert np.sqrt(np.mean(departure**2)) < 0.05


def test_totals_of_the_european_model(run: Run) -> None:
    made = make_totals()
    made.to_netcdf("totals.nc")
    result = run("fill", "totals.nc", "-o", "out.nc", "--method", "linear-time", "--quiet")
    assert result.code == 0, result.err
    out = xr.load_dataset("out.nc")
    assert "flagged by QCflag" in out.attrs["input_treatment"]
    t, y, x = np.meshgrid(*map(np.arange, (12, 6, 7)), indexing="ij")
    good = np.isin(made.QCflag.to_numpy(), (1, 2)).squeeze()
    for name, truth in (("EWCT", 0.3 * np.sin(0.2 * t + 0.3 * y)), ("NSCT", 0.2 * np.cos(0.2 * t + 0.3 * x))):
        np.testing.assert_array_equal(out[f"{name}_source"].squeeze() == 1, good)
        assert np.sqrt(np.mean((out[name].squeeze() - truth) ** 2)) < 0.02


def test_totals_of_hfrnet(run: Run) -> None:
    paths, u, v, kept = write_hfrnet(Path())
    result = run("fill", *paths, "-o", "out.nc", "--method", "linear-time", "--quiet")
    assert result.code == 0, result.err
    out = xr.load_dataset("out.nc")
    for name, truth in (("u", u), ("v", v)):
        np.testing.assert_array_equal(out[f"{name}_source"] == 1, kept)
        assert np.sqrt(np.mean((out[name] - truth) ** 2)) < 0.02


def test_radials_of_the_european_model(run: Run) -> None:
    path = write_radials(Path())
    words = ("--radial-direction", "DRVA", "--method", "oi", "--no-holdout", "--quiet")
    result = run("fill", path, "-o", "out.nc", *words)
    assert result.code == 0, result.err
    out = xr.load_dataset("out.nc")
    assert "flagged by QCflag" in out.attrs["input_treatment"]
    hour = np.arange(10)[:, None, None]
    east, north = make_current(out.LATITUDE.to_numpy(), out.LONGITUDE.to_numpy(), hour)
    angle = np.radians(out.BEAR.to_numpy())
    away = (out.u.squeeze().to_numpy() - east) * np.sin(angle) + (out.v.squeeze().to_numpy() - north) * np.cos(angle)
    assert np.sqrt(np.mean(away**2)) < 0.05
