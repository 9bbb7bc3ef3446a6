"""Large numbers with a small spread: single precision must not eat the signal, nor call it constant."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from fields import cloudy_dataset
from oceanfill.pipeline.holdout.score_files import read_truth
from oceanfill.pipeline.io.field import open_field
from oceanfill.pipeline.jobs.compare import compare
from tracks import BOUNDS, mission

from oceanfill import fill

METHODS = "linear-time", "dineof", "oi"


def make_small() -> xr.Dataset:
    """Values of mean 15 and a standard deviation of 3, in double precision."""
    data = cloudy_dataset(dates=12, rows=10, columns=12)
    return data.assign(sst=data.sst.astype(np.float64).assign_attrs(units="1"))


def enlarge(data: xr.Dataset, constant: float, spread: float) -> xr.Dataset:
    """The same values as departures of a ``spread`` from a large constant."""
    large = {name: constant + spread / 3 * (data[name] - 15) for name in ("sst", "truth")}
    return data.assign({name: values.assign_attrs(data[name].attrs) for name, values in large.items()})


@pytest.fixture(scope="module")
def fill_small(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, bool], xr.Dataset]:
    """Fill the small numbers, once for each method in memory and in blocks."""

    @cache
    def filled(method: str, blocks: bool) -> xr.Dataset:
        return fill_file(make_small(), method, blocks, tmp_path_factory.mktemp("small"))

    return filled


def fill_file(data: xr.Dataset, method: str, blocks: bool, folder: Path) -> xr.Dataset:
    data.drop_vars("truth").to_netcdf(folder / "in.nc")
    how = {"cache": str(folder / "cache.zarr")} if blocks else {}
    return fill(folder / "in.nc", variable="sst", method=method, intervals=[90], **how)


def reduce(values: xr.DataArray, constant: float, spread: float) -> np.ndarray:
    return (values.to_numpy() - constant) * 3 / spread + 15


@pytest.mark.parametrize("blocks", [False, True])
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("constant", "spread"), [(1e5, 0.15), (1e6, 0.0015)])
def test_a_small_spread_about_a_large_number_is_filled_as_any_other(
    constant, spread, method, blocks, fill_small, tmp_path
):
    data = make_small()
    small = fill_small(method, blocks)
    large = fill_file(enlarge(data, constant, spread), method, blocks, tmp_path)
    enlarged = 10 if method == "oi" else 1  # its covariance fit enlarges rounding errors
    assert large.sst.dtype == np.float64
    seen = data.sst.notnull() & (data.mask == 1)
    np.testing.assert_array_equal(large.sst.where(seen), enlarge(data, constant, spread).sst.where(seen))
    for name in ("sst", "sst_analysis", "sst_lower_90", "sst_upper_90"):
        off = reduce(large[name], constant, spread) - small[name].to_numpy()
        assert np.sqrt(np.nanmean(off**2)) < enlarged * 0.003  # a thousandth of the spread
    ratio = large.sst_error * 3 / spread / small.sst_error
    if (
        method == "oi"
    ):  # where tiles meet, the choice among observations that are as near hangs on the last digit
        assert float(ratio.median()) == pytest.approx(1, abs=0.02)
        assert float((abs(ratio - 1) > 0.1).mean()) < 0.05
    else:
        np.testing.assert_allclose(ratio.where(data.mask == 1, 1), 1, rtol=0.01)
    for key in ("held_out_rmse", "held_out_crps"):
        assert large.attrs[key] * 3 / spread == pytest.approx(small.attrs[key], rel=enlarged * 0.006)


def test_draws_eofs_points_and_the_truth_are_in_the_units_of_the_file(tmp_path):
    data = enlarge(make_small(), 1e5, 0.15)
    field = open_field(data, variable="sst")
    assert field.offset == pytest.approx(1e5, abs=1)
    assert np.abs(field.values[field.observed]).max() < 2
    out = fill(data, variable="sst", method="linear-time", samples=2)
    seen = data.sst.notnull().to_numpy() & (data.mask == 1).to_numpy()
    assert np.abs(out.sst_samples.to_numpy() - data.sst.to_numpy())[:, seen].max() < 1e-6
    gaps = out.sst_source.to_numpy() == 2
    assert 0.01 < np.std(out.sst_samples.to_numpy()[:, gaps] - 1e5) < 0.5
    points = np.argwhere(seen)[::40]
    values = data.sst.to_numpy()[tuple(points.T)]
    np.savetxt(tmp_path / "points.csv", np.column_stack([points, values]), delimiter=",")
    files = {"save_eofs": tmp_path / "eofs.nc", "cv_points": tmp_path / "points.csv"}
    fill(data, variable="sst", method="dineof", **{name: str(path) for name, path in files.items()})
    with xr.open_dataset(tmp_path / "eofs.nc") as eofs:
        assert float(eofs["mean"]) == pytest.approx(1e5, abs=0.1)
    data.drop_vars("sst").rename(truth="sst").to_netcdf(tmp_path / "truth.nc")
    truth = read_truth(field, tmp_path / "truth.nc")
    assert np.nanmax(np.abs(truth - field.values)) < 0.02  # the noise
    rows = compare(field, ["climatology", "linear-time"], truth=truth).rows
    assert rows[0]["rmse"] < rows[1]["rmse"] < 0.3


def test_functions_of_a_user_get_the_values_as_they_are():
    data = enlarge(make_small(), 1e5, 0.15)
    given = []

    def clip(field):
        given.append((float(np.nanmean(field.values)), field.offset))
        mean = np.where(field.observed, field.values, np.nanmean(field.values))
        return np.where(field.sea, mean, np.nan), np.where(field.sea, np.full(mean.shape, 0.1), np.nan)

    out = fill(data, variable="sst", method=clip)
    assert all(abs(mean - 1e5) < 1 and offset == 0 for mean, offset in given)
    assert float(out.sst_analysis.mean()) == pytest.approx(1e5, abs=0.1)


def test_points_along_tracks_keep_their_digits_too():
    found = []
    for constant in (0.0, 5e3):
        data = mission("a")[["sla_filtered"]].rename(sla_filtered="sla")
        data["sla"] = (data.sla + constant).assign_attrs(data.sla.attrs)
        found.append(fill(data, method="oi", grid=0.25, bounds=BOUNDS))
    small, large = found
    off = large.sla_analysis - 5e3 - small.sla_analysis
    assert float(np.abs(off).max()) < 6e-4  # single precision of the output
    assert large.attrs["held_out_rmse"] == pytest.approx(small.attrs["held_out_rmse"], rel=0.01)


def test_two_variables_of_which_one_is_large(tmp_path):
    data = make_small()
    large = enlarge(data, 1e5, 0.15).sst.rename("adt").to_dataset()
    for method in ("linear-time", "dineof"):
        out = fill(data[["sst", "mask"]], others=[large], method=method)
        alone = fill(data[["sst", "mask"]], others=[data.sst.rename("adt").to_dataset()], method=method)
        off = reduce(out.adt_analysis, 1e5, 0.15) - alone.adt_analysis.to_numpy()
        assert np.sqrt(np.nanmean(off**2)) < 0.003
        np.testing.assert_allclose(out.sst_analysis, alone.sst_analysis, atol=1e-4)
