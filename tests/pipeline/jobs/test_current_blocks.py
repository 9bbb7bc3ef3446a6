"""Currents filled block by block: the values, errors and attributes of memory."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr
from fields import eddies, seen_by_radars
from oceanfill.pipeline.cli.main import main
from oceanfill.pipeline.io.opening import Opening
from oceanfill.pipeline.io.radials import open_radials
from oceanfill.pipeline.jobs.current_blocks import fill_radial_record
from oceanfill.pipeline.jobs.fill import fill
from oceanfill.pipeline.records.blocks import BASE
from oceanfill.pipeline.records.radials import prepare_radials
from oceanfill.pipeline.settings import Resources, make_settings

torch.set_num_threads(1)
ROWS, COLUMNS, DATES = 6, 7, 132
RADIAL = {"radial_direction": "direction"}
QUICK = {**RADIAL, "method": "oi", "intervals": (90,)}


@pytest.fixture(scope="module")
def seen():
    """Two stations, one of which sees nothing on 40 of the dates."""
    dataset = seen_by_radars(eddies(dates=DATES, rows=ROWS, columns=COLUMNS))
    dataset.radial[30:70, 1] = np.nan
    return dataset.assign_attrs(title="Radials", institution="A coast")


@pytest.fixture(scope="module")
def whole(seen):
    return fill(seen, **QUICK)


def memory_for(dates: int) -> float:
    """GB for blocks that see so many dates."""
    return (BASE + 240.01 * dates * ROWS * COLUMNS) / 1e9


def fill_blocks(seen: xr.Dataset, folder: Path, dates: int, **options: Any) -> xr.Dataset:
    """Fill in blocks that see so many dates, having learnt from all."""
    seen.to_netcdf(folder / "seen.nc")
    opening = Opening(observation_error=options.pop("observation_error", None))
    record = prepare_radials([str(folder / "seen.nc")], folder / "stores", "direction", opening, Resources())
    settings = make_settings(None, options | {"memory": memory_for(dates)})
    subset = open_radials(seen, "direction", opening)
    fill_radial_record(record, folder / "out.zarr", settings, training_subset=subset)
    return xr.load_dataset(folder / "out.zarr", engine="zarr")


def compare(found: xr.Dataset, expected: xr.Dataset, most: float = 1e-5) -> None:
    """The same to a share of the standard error, with the same attributes and types."""
    assert set(found.variables) == set(expected.variables)
    for name in expected.data_vars:
        np.testing.assert_array_equal(found[name].isnull(), expected[name].isnull())
        unit = (
            expected.u_error * expected.v_error if name == "uv_covariance" else expected[f"{name[0]}_error"]
        )
        assert float((abs(found[name] - expected[name]) / unit).max()) < most, name
        assert found[name].dtype == expected[name].dtype
    for name in expected.variables:
        assert found[name].attrs == expected[name].attrs, name


def compare_attributes(found: dict[str, Any], expected: dict[str, Any], *but: str) -> None:
    of_the_call = {"call", "device", "versions", "input_checksums"}  # of `fill`
    assert set(found) - of_the_call == set(expected) - of_the_call
    for key in set(expected) - {"date_created", "history", "configuration", *of_the_call, *but}:
        if isinstance(expected[key], str):
            assert found[key] == expected[key], key
        else:
            np.testing.assert_allclose(found[key], expected[key], rtol=1e-5, err_msg=key)


def test_blocks_have_the_values_of_memory(seen, whole, tmp_path):
    found = fill_blocks(seen, tmp_path, 131, **QUICK)
    assert len(list((tmp_path / "out.zarr" / "u" / "c").iterdir())) == 9  # chunks of 16 dates
    compare(found, whole)
    compare_attributes(found.attrs, whole.attrs, "input_files")
    given = json.loads(found.attrs["configuration"])
    assert given.pop("memory") == memory_for(131)
    assert given | {"radial_direction": "direction"} == json.loads(whole.attrs["configuration"])


@pytest.mark.slow  # a network is trained twice
def test_a_network_in_blocks_has_the_values_of_memory(seen, tmp_path):
    """Without a hold-out the network is delivered.

    After a training the same interpolation differs in its last digits, which the network enlarges.
    """
    how = {**RADIAL, "flow": "stream-function", "window": 3, "epochs": 1, "device": "cpu", "holdout": False}
    whole = fill(seen, **how)
    assert whole.attrs["delivered"] == "unet"
    found = fill_blocks(seen, tmp_path, 131, **how)
    compare(found, whole, most=5e-3)


@pytest.mark.slow  # each worker imports torch
def test_the_command_gives_the_same_in_workers_as_in_memory(seen, whole, tmp_path):
    """Learning from all dates, which the memory allows; two workers fill one block."""
    seen.to_netcdf(tmp_path / "seen.nc")
    whole.to_netcdf(tmp_path / "whole.nc")
    words = ["fill", str(tmp_path / "seen.nc"), "--radial-direction", "direction", "--method", "oi"]
    words += ["--intervals", "90", "--quiet"]
    assert main([*words, "-o", str(tmp_path / "blocks.nc"), "--workers", "2", "--memory", "3"]) == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["blocks.nc", "seen.nc", "whole.nc"]
    with xr.open_dataset(tmp_path / "whole.nc") as expected, xr.open_dataset(tmp_path / "blocks.nc") as found:
        compare(found, expected)
        attrs = {key: value for key, value in found.attrs.items() if key != "command"}
        compare_attributes(attrs, whole.attrs, "input_files")
        assert found.attrs["input_files"] == "seen.nc"
        given = json.loads(found.attrs["configuration"])
        assert (given.pop("n_workers"), given.pop("memory")) == (2, 3.0)
        assert given == json.loads(whole.attrs["configuration"])
        assert found.time.encoding["units"].startswith("hours since 2024-05-01")


def test_a_record_that_is_too_large_is_learnt_in_part(seen, whole, tmp_path):
    """From 32 dates in a span: scales of their own, and a current within the error of that of memory."""
    seen.to_netcdf(tmp_path / "seen.nc")
    rows: list[dict[str, Any]] = []
    found = fill(tmp_path / "seen.nc", **QUICK, memory=memory_for(131), report=rows.extend)
    assert found.attrs["held_out_rmse"] == rows[0]["rmse"] != whole.attrs["held_out_rmse"]
    off = (found.u - whole.u) / whole.u_error
    assert 0.01 < float((off**2).mean() ** 0.5) < 1
    assert float(found.u_error.mean() / whole.u_error.mean()) == pytest.approx(1, abs=0.3)


def test_stations_in_files_of_their_own_are_put_on_the_dates_of_all(seen, tmp_path):
    """The second station lacks dates, and the directions follow the cut of a region."""
    paths = [str(tmp_path / f"{k}.nc") for k in (0, 1)]
    seen.isel(station=0).to_netcdf(paths[0])
    seen.isel(station=1, time=slice(20, None)).to_netcdf(paths[1])
    opening = Opening(region=(43.05, 43.2, 5.05, 5.3), period="2024-05-02/2024-05-20", observation_error=0.02)
    expected = open_radials(paths, "direction", opening)
    record = prepare_radials(paths, tmp_path / "stores", "direction", opening, Resources())
    found = record.read(slice(0, record.shape[0]))
    np.testing.assert_array_equal(record.sea, expected.sea)
    np.testing.assert_array_equal(found.values, expected.values)
    np.testing.assert_array_equal(found.towards, expected.towards)
    np.testing.assert_array_equal(found.error_variance, expected.error_variance)
    for one, other in zip(found.stations, expected.stations, strict=True):
        np.testing.assert_array_equal(one.sea, other.sea)
        np.testing.assert_allclose(one.days, other.days, atol=1e-9)
    assert record.measure_coverage() == np.isfinite(expected.values)[:, :, expected.sea].any(axis=1).mean()
    before = [path.stat().st_mtime_ns for path in sorted((tmp_path / "stores").glob("*/zarr.json"))]
    prepare_radials(paths, tmp_path / "stores", "direction", opening, Resources())
    assert before == [path.stat().st_mtime_ns for path in sorted((tmp_path / "stores").glob("*/zarr.json"))]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--memory", "0.1"], "too little to fill maps of 6 x 7"),
        (["--workers", "2", "--samples", "2"], "leave out --samples, or --workers"),
        (["--workers", "2", "--method", "dineof"], "choose unet or oi"),
        (["--workers", "2", "--cache", "kept.zarr"], "without these options; leave out --cache"),
    ],
)
def test_what_blocks_cannot_do_is_said(seen, tmp_path, capsys, words, says):
    seen.to_netcdf(tmp_path / "seen.nc")
    given = ["fill", str(tmp_path / "seen.nc"), "--radial-direction", "direction", "--method", "oi", *words]
    assert main([*given, "-o", str(tmp_path / "out.nc")]) == 2
    assert says in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "out.nc").exists()
