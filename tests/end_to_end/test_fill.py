"""`oceanfill fill`: what is in the file that it writes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr
from fields import cloudy_dataset
from oceanfill.pipeline.cli.main import main

import oceanfill

Run = Callable[..., Any]
LAND, OBSERVED, FILLED, NEVER = 0, 1, 2, 3


def test_observed_values_are_kept_and_the_sea_has_no_gaps(run: Run, small: xr.Dataset) -> None:
    small.sst[:, 9, 9] = np.nan
    small.to_netcdf("in.nc")
    assert run("fill", "in.nc", "-o", "out.nc", "--method", "linear-space", "--quiet").code == 0
    before, after = xr.load_dataset("in.nc"), xr.load_dataset("out.nc")
    seen = before.sst.notnull().values
    assert after.sst.values[seen].tobytes() == before.sst.values[seen].tobytes()
    sea = np.broadcast_to(before.mask.values == 1, seen.shape)
    for name in ("sst", "sst_analysis", "sst_error"):
        np.testing.assert_array_equal(np.isfinite(after[name]), sea)
    assert (after.sst_error.values[sea] > 0).all()
    never = np.broadcast_to(~seen.any(axis=0), seen.shape)
    assert never[0, 9, 9]
    expected = np.select([~sea, seen, never], [LAND, OBSERVED, NEVER], FILLED)
    np.testing.assert_array_equal(after.sst_source, expected)
    np.testing.assert_array_equal(after.sst.values[sea & ~seen], after.sst_analysis.values[sea & ~seen])
    assert sorted(path.name for path in Path().iterdir()) == ["in.nc", "out.nc"]


def test_analysis_everywhere(run: Run, small: xr.Dataset) -> None:
    small.to_netcdf("in.nc")
    words = ("--method", "oi", "--analysis-everywhere", "--quiet")
    assert run("fill", "in.nc", "-o", "out.nc", *words).code == 0
    after = xr.load_dataset("out.nc")
    np.testing.assert_array_equal(after.sst, after.sst_analysis)
    seen = small.sst.notnull().values
    # The analysis smooths noise of 0.02, and by not much more.
    change = np.abs(after.sst.values - small.sst.values)[seen]
    assert 1e-4 < np.median(change) < 0.1


def test_the_score_is_printed_and_kept(run: Run, small: xr.Dataset) -> None:
    small.to_netcdf("in.nc")
    result = run("fill", "in.nc", "-o", "out.nc", "--method", "linear-time", "--seed", "3")
    attrs = xr.load_dataset("out.nc").attrs
    assert attrs["held_out_n"] > 10
    (row,) = (line for line in result.out.splitlines() if "linear-time" in line)
    cells = [cell.strip() for cell in row.strip("│").split("│")]
    shown = [f"{attrs[f'held_out_{key}']:.4g}" for key in ("validation_rmse", "rmse")]
    assert (cells[1:3], cells[-1]) == (shown, "delivered")
    assert result.out.startswith("Hidden values, RMSE and bias in degree_Celsius ")
    assert "this score is optimistic" in result.err
    assert attrs["command"] == "oceanfill fill in.nc -o out.nc --method linear-time --seed 3"
    assert (attrs["method"], attrs["seed"]) == ("linear-time", 3)
    assert "holdout" not in json.loads(attrs["configuration"]), "options at their defaults are left out"


def test_without_hold_out(run: Run, small: xr.Dataset) -> None:
    small.to_netcdf("in.nc")
    result = run("fill", "in.nc", "-o", "out.nc", "--method", "linear-time", "--no-holdout")
    assert "Hidden values" not in result.out
    assert "optimistic" not in result.err
    after = xr.load_dataset("out.nc")
    assert not [name for name in after.attrs if name.startswith("held_out")]
    scored = run("fill", "in.nc", "-o", "scored.nc", "--method", "linear-time", "--quiet")
    assert (scored.out, scored.err) == ("", "")
    # The hold-out is put back before the field is filled: it changes the error, not the values.
    np.testing.assert_array_equal(after.sst, xr.load_dataset("scored.nc").sst)


def test_points_choose_the_modes_of_dineof_and_its_eofs_are_kept(run: Run, small: xr.Dataset) -> None:
    small.to_netcdf("in.nc")
    observed = np.argwhere(
        (small.sst.notnull() & (small.mask == 1)).transpose("time", "lat", "lon").to_numpy()
    )
    np.savetxt("points.csv", observed[::20], delimiter=",")
    words = "fill in.nc -o out.nc --method dineof --cv-points points.csv --save-eofs eofs.nc --quiet"
    found = run(*words.split())
    assert found.code == 0, found.err
    after, eofs = xr.load_dataset("out.nc"), xr.load_dataset("eofs.nc")
    analysis = eofs["mean"] + (eofs.temporal_eof * eofs.singular_value * eofs.spatial_eof).sum(
        "mode", skipna=False
    )
    known = eofs.spatial_eof[0].notnull()
    np.testing.assert_allclose(
        analysis.where(known), after.sst_analysis.where(known).transpose(*analysis.dims), atol=1e-4
    )
    refused = run("fill", "in.nc", "-o", "no.nc", "--method", "oi", "--save-eofs", "eofs.nc")
    assert refused.code == 2
    assert "--method oi has no EOFs; leave out --save-eofs" in refused.err


def test_nothing_is_missing(run: Run, small: xr.Dataset) -> None:
    full = small.assign(sst=small.sst.fillna(15.0).where(small.mask == 1))
    full.to_netcdf("in.nc")
    result = run("fill", "in.nc", "-o", "out.nc")
    assert result.code == 0
    assert "nothing is missing" in " ".join(result.err.split())
    after = xr.load_dataset("out.nc")
    np.testing.assert_array_equal(after.sst, full.sst)
    assert set(np.unique(after.sst_source)) == {LAND, OBSERVED}


def test_logarithms(run: Run, small: xr.Dataset) -> None:
    """As the logarithms filled by hand, carried back by the moments of the lognormal distribution."""
    logarithm = (small.sst - 15) / 2
    small.assign(sst=np.exp(logarithm)).to_netcdf("in.nc")
    small.assign(sst=logarithm).to_netcdf("by_hand.nc")
    words = ("--method", "linear-space", "--quiet")
    assert run("fill", "in.nc", "-o", "out.nc", "--transform", "log", *words).code == 0
    assert run("fill", "by_hand.nc", "-o", "by_hand_out.nc", *words).code == 0
    found, by_hand = xr.load_dataset("out.nc"), xr.load_dataset("by_hand_out.nc")
    mean = np.exp(by_hand.sst_analysis + by_hand.sst_error**2 / 2)
    np.testing.assert_allclose(found.sst_analysis, mean, rtol=1e-3)
    np.testing.assert_allclose(found.sst_error, mean * np.sqrt(np.expm1(by_hand.sst_error**2)), rtol=1e-3)
    assert float(found.sst.min()) > 0


def test_region_and_period(run: Run, small: xr.Dataset) -> None:
    small.assign_coords(lat=small.lat - 35.5, lon=small.lon + 5.5).to_netcdf("in.nc")
    words = ("--region", "-0.3,0.25,-0.2,0.4", "--period", "2020-01-02/2020-01-05")
    assert run("fill", "in.nc", "-o", "out.nc", "--method", "linear-time", "--quiet", *words).code == 0
    after = xr.load_dataset("out.nc")
    np.testing.assert_allclose(after.lat, np.arange(-3, 3) / 10, atol=1e-9)
    np.testing.assert_allclose(after.lon, np.arange(-2, 5) / 10, atol=1e-9)
    assert list(after.time.dt.day.values) == [2, 3, 4, 5]


@pytest.mark.parametrize("inputs", [("day_0.nc", "day_1.nc", "day_2.nc"), ("day_*.nc",), ("all.zarr",)])
def test_one_file_a_glob_and_a_zarr_store(run: Run, small: xr.Dataset, inputs: tuple[str, ...]) -> None:
    for part, days in enumerate((slice(0, 3), slice(3, 5), slice(5, 8))):
        small.isel(time=days).to_netcdf(f"day_{part}.nc")
    small.to_zarr("all.zarr", consolidated=False)
    small.to_netcdf("all.nc")
    words = ("--method", "linear-time", "--quiet")
    assert run("fill", "all.nc", "-o", "expected.nc", *words).code == 0
    result = run("fill", *inputs, "-o", "out.zarr", *words)
    assert (result.code, result.err) == (0, "")
    expected, found = xr.load_dataset("expected.nc"), xr.open_zarr("out.zarr", consolidated=False).load()
    for name in ("sst", "sst_error", "sst_source"):
        np.testing.assert_array_equal(found[name], expected[name])


def test_observation_errors_are_taken_into_account(run: Run, small: xr.Dataset) -> None:
    """Values with a large error are smoothed: the analysis leaves them."""
    sigma = xr.where(small.lon < -5.3, 1.5, 0.02).broadcast_like(small.sst).rename("sigma")
    small.assign(sigma=sigma.astype("f4")).to_netcdf("in.nc")
    words = ("--variable", "sst", "--error-variable", "sigma", "--method", "oi", "--quiet")
    assert run("fill", "in.nc", "-o", "out.nc", *words).code == 0
    after = xr.load_dataset("out.nc")
    change = np.abs(after.sst_analysis - small.sst)
    west, east = (change.where(side).median().item() for side in (small.lon < -5.3, small.lon >= -5.3))
    assert west > 5 * east


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with in.nc, filled as first.nc and second.nc by the same seed, and net.ckpt."""
    folder = tmp_path_factory.mktemp("trained")
    cloudy_dataset(dates=8, rows=12, columns=14).drop_vars("truth").to_netcdf(folder / "in.nc")
    for name, more in (("first", ["--save-checkpoint", str(folder / "net.ckpt")]), ("second", [])):
        words = ["--epochs", "2", "--seed", "5", "--quiet", *more]
        assert main(["fill", str(folder / "in.nc"), "-o", str(folder / f"{name}.nc"), *words]) == 0
    return folder


def test_the_same_seed_gives_the_same_file(trained: Path) -> None:
    first, second = (xr.load_dataset(trained / f"{name}.nc") for name in ("first", "second"))
    for name in first.data_vars:
        assert first[name].values.tobytes() == second[name].values.tobytes()


def test_a_checkpoint_fills_as_the_run_that_left_it(run: Run, trained: Path) -> None:
    words = ("--checkpoint", str(trained / "net.ckpt"), "--seed", "5")
    result = run("fill", str(trained / "in.nc"), "-o", "again.nc", *words)
    assert result.code == 0
    assert "trained" not in result.err
    first, again = xr.load_dataset(trained / "first.nc"), xr.load_dataset("again.nc")
    assert first.attrs["delivered"] == again.attrs["delivered"]
    for name in ("sst", "sst_analysis", "sst_error"):
        np.testing.assert_allclose(again[name], first[name], rtol=0, atol=1e-6)


def test_saves_are_mixed_under_another_loss(run: Run, small: xr.Dataset) -> None:
    """The checkpoint holds both networks and fills as they did."""
    small.to_netcdf("in.nc")
    words = ("--method", "dincae2", "--first-guess", "none", "--quiet")
    asked = ("--epochs", "2", "--saves", "2", "--loss", "kullback-leibler", "--save-checkpoint", "net.ckpt")
    assert run("fill", "in.nc", "-o", "out.nc", *words, *asked).code == 0
    kept = torch.load("net.ckpt", weights_only=True)["hyper_parameters"]
    assert (kept["saves"], kept["loss"]) == (2, "oceanfill.models.losses.kullback_leibler")
    assert run("fill", "in.nc", "-o", "again.nc", *words, "--checkpoint", "net.ckpt").code == 0
    first, again = xr.load_dataset("out.nc"), xr.load_dataset("again.nc")
    for name in first.data_vars:
        np.testing.assert_array_equal(first[name], again[name], name)
    refused = run("fill", "in.nc", "-o", "no.nc", *words, "--checkpoint", "net.ckpt", "--saves", "2")
    assert refused.code == 2
    assert "not trained further; leave out --saves" in refused.err


def test_a_checkpoint_of_another_window(run: Run, trained: Path) -> None:
    words = ("--checkpoint", str(trained / "net.ckpt"), "--window", "7", "--quiet")
    result = run("fill", str(trained / "in.nc"), "-o", "again.nc", *words)
    assert result.code == 2
    assert "a window of 3 dates, not 7" in result.err
    assert not list(Path().iterdir())


def test_from_python(run: Run, small: xr.Dataset) -> None:
    small.to_netcdf("in.nc")
    assert run("fill", "in.nc", "-o", "out.nc", "--method", "oi", "--quiet").code == 0
    filled = oceanfill.fill(small, method="oi")
    expected = xr.load_dataset("out.nc")
    for name in expected.data_vars:
        np.testing.assert_array_equal(filled[name], expected[name])
    with pytest.raises(oceanfill.InputError, match="choose one of pretrained, unet, resnet"):
        oceanfill.fill(small, method="magic")


def test_score_of_a_filled_file(run: Run, small: xr.Dataset) -> None:
    """By hand: the RMSE of the filled values against a truth that is the analysis plus 0.5."""
    small.to_netcdf("in.nc")
    assert run("fill", "in.nc", "-o", "out.nc", "--method", "linear-time", "--quiet").code == 0
    filled = xr.load_dataset("out.nc")
    gaps = filled.sst_source == FILLED
    kind = xr.where(filled.time.dt.day < 4, 1, 2).broadcast_like(filled.sst).astype("i1")
    kind.attrs = {"flag_values": np.array([1, 2], "i1"), "flag_meanings": "early late"}
    truth = xr.Dataset({"sst": (filled.sst + xr.where(kind == 1, 0.5, -0.25)).where(gaps), "kind": kind})
    truth.to_netcdf("truth.nc")
    result = run("score", "out.nc", "truth.nc", "--by", "kind", "--json")
    rows = {row["label"]: row for row in json.loads(result.out)}
    assert rows["early"]["rmse"] == pytest.approx(0.5, abs=1e-5)
    assert rows["late"]["bias"] == pytest.approx(0.25, abs=1e-5)
    assert rows["all"]["n"] == int(gaps.sum())
    table = run("score", "out.nc", "truth.nc", "--by", "kind")
    assert "early" in table.out
    assert "0.500" in table.out
    refused = run("score", "out.nc", "in.nc", "--by", "phase")
    assert refused.code == 2
    assert refused.err.count("\n") == 1
