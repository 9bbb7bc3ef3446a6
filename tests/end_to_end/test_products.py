"""The commands of docs/inputs.md fill the large providers' products: made-up files with their headers."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from oceanfill.pipeline.io.field import open_field
from oceanfill.pipeline.io.points.tracks import read_tracks
from product_colour import write_globcolour, write_l3m_chlorophyll, write_mediterranean, write_occci
from product_currents import make_current, write_hfrnet, write_radials
from product_hfr import make_totals
from product_ice import write_ice, write_nsidc
from product_other import (
    write_cci_salinity,
    write_erddap,
    write_nemo,
    write_roms,
    write_smap,
)
from product_sealevel import write_along_track, write_duacs, write_nasa_ssh
from product_swot import write_swot, write_swot_l2
from product_temperature import (
    write_cci,
    write_l3c,
    write_l3m_sst,
    write_later_mur,
    write_mur,
    write_oisst,
    write_ostia,
)
from product_truth import Product
from swaths import truth as swath_truth
from swaths import write_l2, write_l2p
from tracks import level

Run = Callable[..., Any]
DOCUMENT = Path(__file__).parents[2] / "docs" / "inputs.md"
COMMANDS = {
    cells[0]: shlex.split(cells[2].strip("`"))
    for line in DOCUMENT.read_text().splitlines()
    if len(cells := line.strip("| ").split(" | ")) == 5 and cells[2].startswith("`fill ")
}
# By the first cell of a row; what is in brackets tells variants of the product apart.
GRIDDED: dict[str, Callable[[Path], Product]] = {
    "MUR": write_later_mur,
    "MUR (until 2018)": write_mur,
    "OSTIA": write_ostia,
    "GHRSST L3C, L3S": write_l3c,
    "ESA SST CCI, C3S": write_cci,
    "OISST v2.1": write_oisst,
    "OB.DAAC L3m SST": write_l3m_sst,
    "OB.DAAC L3m chlor_a": write_l3m_chlorophyll,
    "ESA OC-CCI": write_occci,
    "Copernicus Marine ocean colour, global": write_globcolour,
    "Copernicus Marine ocean colour, regional": write_mediterranean,
    "DUACS L4": write_duacs,
    "RSS SMAP": write_smap,
    "ESA CCI salinity": write_cci_salinity,
    "OSI SAF ice, record": write_ice,
    "OSI SAF ice, operational": partial(write_ice, operational=True),
    "NSIDC ice record": write_nsidc,
    "ERDDAP griddap": write_erddap,
    "ROMS": write_roms,
    "NEMO": write_nemo,
}
POINTS = {
    "Copernicus Marine along-track": (write_along_track, "sla_filtered", ""),
    "SWOT L3 (expert)": (write_swot, "ssha_filtered", "flagged by quality_flag"),
    "SWOT L3 (basic)": (partial(write_swot, expert=False), "ssha_filtered", ""),
    "SWOT L2": (write_swot_l2, "ssha_karin_2", "flagged by ssha_karin_2_qual"),
    "NASA-SSH (smoothed)": (write_nasa_ssh, "ssha_smoothed", ""),
    "NASA-SSH (not smoothed)": (partial(write_nasa_ssh, smoothed=False), "ssha", "flagged by nasa_flag"),
}
SWATHS = {
    "GHRSST L2P": (write_l2p, "sea_surface_temperature", 273.15, "flagged by quality_level"),
    "OB.DAAC L2": (write_l2, "sst", 0.0, "flagged by qual_sst"),
}
CURRENTS = ("HF radar totals, Europe", "HF radar totals, HFRNet", "HF radar radials, Europe")


def find_row(product: str) -> str:
    return product.split(" (")[0]


def fill(run: Run, product: str, *words: str) -> xr.Dataset:
    """Fill what lies in the folder by the command of the document, with a quick method."""
    quick = () if "--method" in words else ("--method", "linear-time")
    result = run(*COMMANDS[find_row(product)], "-o", "out.nc", *quick, *words, "--no-holdout", "--quiet")
    assert result.code == 0, result.err
    return xr.load_dataset("out.nc")


def measure_rmse(departure: Any) -> float:
    return float(np.sqrt(np.mean(np.asarray(departure) ** 2)))


def test_each_row_is_tested() -> None:
    assert {find_row(name) for name in (*GRIDDED, *POINTS, *SWATHS, *CURRENTS)} == set(COMMANDS)


@pytest.mark.parametrize("name", GRIDDED)
def test_a_gridded_product(run: Run, name: str) -> None:
    product = GRIDDED[name](Path())
    out = fill(run, name)
    for text in product.said:
        assert text in out.attrs["input_treatment"]
    time = next(key for key in out.coords if out[key].dtype.kind == "M")
    np.testing.assert_array_equal(out[time].to_numpy(), product.dates)
    source = out[f"{product.name}_source"].squeeze().to_numpy()
    assert source[:, ~product.sea].max(initial=0) <= 1  # nothing is filled there
    assert source[:, product.sea].min() >= 1
    kept = product.kept[:, product.sea]
    np.testing.assert_array_equal(source[:, product.sea] == 1, kept)
    value = out[product.name].squeeze().to_numpy()
    departure = (np.log(value / product.truth) if product.log else value - product.truth)[:, product.sea]
    assert np.abs(departure[kept]).max() < 0.006  # hundredths, as they are packed
    assert measure_rmse(departure) < product.bound
    if product.error is not None:
        words = COMMANDS[find_row(name)]
        error = words[words.index("--error-variable") + 1]
        field = open_field(product.paths, error_variable=error)
        found = np.sqrt(np.median(field.error_variance[field.observed]))
        assert found == pytest.approx(product.error, rel=0.01)


@pytest.mark.parametrize("name", POINTS)
def test_sea_level_at_points(run: Run, name: str) -> None:
    write, variable, said = POINTS[name]
    paths = write(Path())
    out = fill(run, name)
    assert said in out.attrs.get("input_treatment", "")
    mission = "SWOT" if "SWOT" in name else "Jason-3"
    assert read_tracks(paths[:2]).missions == (mission,)
    days = (out.time - np.datetime64("2020-01-01", "ns")) / np.timedelta64(1, "D")
    np.testing.assert_array_equal(days[:10], np.arange(10))
    truth = level(*(array.to_numpy() for array in xr.broadcast(days, out.latitude, out.longitude)))
    seen = out[f"{variable}_source"].to_numpy() == 1
    assert seen.mean() > 0.1
    assert measure_rmse((out[variable].to_numpy() - truth)[seen]) < 0.04


@pytest.mark.parametrize("name", SWATHS)
def test_a_swath_of_temperatures(run: Run, name: str) -> None:
    write, variable, zero, said = SWATHS[name]
    write(Path())
    out = fill(run, name)
    assert said in out.attrs["input_treatment"]
    days = (out.time - np.datetime64("2020-06-01", "ns")) / np.timedelta64(1, "D")
    np.testing.assert_array_equal(days, np.arange(6))
    day, lat, lon = (array.to_numpy() for array in xr.broadcast(days, out.latitude, out.longitude))
    sea = out[f"{variable}_source"].to_numpy() > 0
    assert measure_rmse((out[variable].to_numpy() - zero - swath_truth(lat, lon, day))[sea]) < 0.05


def test_totals_of_the_european_model(run: Run) -> None:
    made = make_totals()
    made.to_netcdf("MO_TV_HF_HFR-MADE-UP-Total.nc")
    out = fill(run, "HF radar totals, Europe")
    assert "flagged by QCflag" in out.attrs["input_treatment"]
    t, y, x = np.meshgrid(*map(np.arange, (12, 6, 7)), indexing="ij")
    good = np.isin(made.QCflag.to_numpy(), (1, 2)).squeeze()
    truth = {"EWCT": 0.3 * np.sin(0.2 * t + 0.3 * y), "NSCT": 0.2 * np.cos(0.2 * t + 0.3 * x)}
    for name, values in truth.items():
        np.testing.assert_array_equal(out[f"{name}_source"].squeeze() == 1, good)
        assert measure_rmse(out[name].squeeze() - values) < 0.02


def test_totals_of_hfrnet(run: Run) -> None:
    truth, kept = write_hfrnet(Path())
    out = fill(run, "HF radar totals, HFRNet")
    for name, values in truth.items():
        np.testing.assert_array_equal(out[f"{name}_source"] == 1, kept)
        assert measure_rmse(out[name] - values) < 0.02


def test_the_dilution_of_precision_may_be_a_flag(run: Run) -> None:
    write_hfrnet(Path())
    out = fill(run, "HF radar totals, HFRNet", "--quality", "hdop<=1.05", "--minimum-coverage", "0")
    assert "flagged by hdop" in out.attrs["input_treatment"]


def test_radials_of_the_european_model(run: Run) -> None:
    write_radials(Path())
    out = fill(run, "HF radar radials, Europe", "--method", "oi")
    assert "flagged by QCflag" in out.attrs["input_treatment"]
    hour = np.arange(10)[:, None, None]
    east, north = make_current(out.LATITUDE.to_numpy(), out.LONGITUDE.to_numpy(), hour)
    angle = np.radians(out.BEAR.to_numpy())  # the component that the radar sees
    away = (out.u.squeeze().to_numpy() - east) * np.sin(angle)
    away += (out.v.squeeze().to_numpy() - north) * np.cos(angle)
    assert measure_rmse(away) < 0.05
