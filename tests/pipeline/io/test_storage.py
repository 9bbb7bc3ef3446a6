"""The type and the packing of the output: those of the input, wherever the filled values fit."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
import pytest
import xarray as xr
from fields import cloudy_dataset
from oceanfill.pipeline.io.output import to_dataset
from oceanfill.pipeline.io.storage import (
    Span,
    choose_storage,
    find_limits,
    find_storage,
    read_storage,
    round_mantissa,
    write_storage,
)
from oceanfill.pipeline.jobs.fill import fill
from oceanfill.pipeline.settings import Packing
from smallfield import estimate, small_field

GHRSST = {"dtype": np.dtype("i2"), "scale_factor": 0.01, "add_offset": 273.15, "_FillValue": np.int16(-32768)}
SINGLE = {
    "dtype": np.dtype("i2"),
    "scale_factor": np.float32(0.005),
    "add_offset": np.float32(0),
    "_FillValue": np.int16(-32767),
}
UNSIGNED = {"dtype": np.dtype("i2"), "scale_factor": 0.001, "_FillValue": np.int16(-1), "_Unsigned": "true"}
LONG = {"dtype": np.dtype("i4"), "scale_factor": 2e-8, "_FillValue": np.int32(2147483647)}
PLAIN = {"dtype": np.dtype("f4"), "_FillValue": np.float32(-999)}
DOUBLE = {"dtype": np.dtype("f8"), "_FillValue": np.float64(1e20)}
WHOLE = {"dtype": np.dtype("i2"), "_FillValue": np.int16(-1)}


def write_input(path: Path, encoding: dict[str, Any]) -> None:
    data = cloudy_dataset(dates=18, rows=12, columns=14).drop_vars("truth")
    data["sst"] = (data.sst.astype(np.float64) - float(data.sst.mean())) + (
        290 if "add_offset" in encoding and encoding["add_offset"] > 0 else 500 if encoding is WHOLE else 12
    )
    if encoding is WHOLE:
        data["sst"] = 30 * (data.sst - 500) + 500
    data.to_netcdf(path, encoding={"sst": encoding})


def read_raw(path: Path) -> netCDF4.Dataset:
    file = netCDF4.Dataset(path)
    file.set_auto_maskandscale(False)
    return file


@pytest.mark.parametrize("blocks", [False, True])
@pytest.mark.parametrize("encoding", [GHRSST, SINGLE, UNSIGNED, LONG, PLAIN, DOUBLE, WHOLE])
def test_observed_values_come_back_as_they_were_stored(
    tmp_path: Path, encoding: dict[str, Any], blocks: bool
) -> None:
    write_input(tmp_path / "in.nc", encoding)
    how: dict[str, Any] = {"cache": str(tmp_path / "cache.zarr")} if blocks else {}
    fill(tmp_path / "in.nc", tmp_path / "out.nc", method="linear-time", intervals=(90,), **how)
    with read_raw(tmp_path / "in.nc") as given, read_raw(tmp_path / "out.nc") as out:
        assert out.dimensions["time"].isunlimited()
        seen = out["sst_source"][:] == 1
        assert np.count_nonzero(seen) > 1000
        assert out["sst"][:][seen].tobytes() == given["sst"][:][seen].tobytes()
        for name in ("sst", "sst_analysis", "sst_lower_90", "sst_upper_90"):
            assert out[name].dtype == given["sst"].dtype
            for key in ("scale_factor", "add_offset", "_FillValue", "_Unsigned"):
                held = getattr(given["sst"], key, None)
                assert getattr(out[name], key, None) == held
                assert type(getattr(out[name], key, None)) is type(held)
            assert out[name].chunking() == [1, 12, 14]
            assert (out[name].filters()["zlib"], out[name].filters()["shuffle"]) == (True, True)
        assert out["sst_error"].dtype == np.float32
        assert out["sst_source"].dtype == np.int8


def test_zarr_is_stored_alike_from_memory_and_from_blocks(tmp_path: Path) -> None:
    write_input(tmp_path / "in.nc", GHRSST)
    found = []
    for name, how in (("memory", {}), ("blocks", {"cache": str(tmp_path / "cache.zarr")})):
        fill(tmp_path / "in.nc", tmp_path / f"{name}.zarr", method="linear-time", **how)
        found.append(xr.open_zarr(tmp_path / f"{name}.zarr", mask_and_scale=False).load())
    memory, blocks = found
    assert memory.sst.dtype == np.int16
    assert memory.sst.attrs["scale_factor"] == 0.01
    for name in memory.data_vars:
        assert blocks[name].dtype == memory[name].dtype
        assert set(blocks[name].attrs) == set(memory[name].attrs)
        assert (
            blocks[name].attrs.get("_FillValue") == memory[name].attrs.get("_FillValue")
            or name == "sst_error"
        )
        difference = np.abs(blocks[name].astype(float) - memory[name].astype(float))
        assert float(difference.max()) <= (1 if memory[name].dtype == np.int16 else 1e-3)


def test_without_packing_and_compression(tmp_path: Path) -> None:
    write_input(tmp_path / "in.nc", GHRSST)
    fill(tmp_path / "in.nc", tmp_path / "out.nc", method="linear-time", pack="none", complevel=0)
    with read_raw(tmp_path / "out.nc") as out:
        assert out["sst"].dtype == out["sst_analysis"].dtype == np.float32
        assert np.isnan(out["sst"]._FillValue)
        assert not out["sst"].filters()["zlib"]


def test_a_packed_field_stays_small(tmp_path: Path) -> None:
    """V, its analysis and its error take less than six times the space of the gappy input, not fourteen."""
    fill("sample:sst_clouds.nc", tmp_path / "out.nc", method="linear-time")
    assert (tmp_path / "out.nc").stat().st_size < 6 * 716_916


@pytest.mark.parametrize(
    ("storage", "span", "finding"),
    [
        ({**GHRSST, "_FillValue": np.int16(0)}, Span(270, 280), "fill value 0 lies in their range"),
        (GHRSST, Span(-60, 280), "range, -60 to 280, exceeds -54.52 to 600.8"),
        (GHRSST, Span(270, 280, exact=False), "not all observed values have the same packing"),
        (WHOLE, Span(0, 12), "they range over 12 whole numbers only"),
    ],
)
def test_values_that_do_not_fit_are_stored_as_floats_and_said(
    storage: dict[str, Any], span: Span, finding: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        chosen = choose_storage(storage, span, "auto", "sst")
    assert chosen["dtype"] == np.float32
    assert finding in caplog.text
    assert "sst: stored as float32 and not packed as int16" in caplog.text


def test_a_filled_value_beyond_the_packing_makes_floats_of_all() -> None:
    """One analysis of 17 in a packing that ends at 16.383; the observed values stay the same."""
    field = small_field()
    storage = {"dtype": np.dtype("i2"), "scale_factor": 2**-11, "_FillValue": np.int16(-32768)}
    observed = np.round(np.clip(field.source, 10, 15.9) * 2**11) / 2**11
    field.source.values[:] = observed
    field.source.encoding = storage
    mean, error = estimate(field)
    fits = to_dataset(field, np.clip(mean, 10, 15), error)
    assert fits.sst.encoding["dtype"] == fits.sst_analysis.encoding["dtype"] == np.int16
    mean[0, 0, 1] = 17
    beyond = to_dataset(field, np.clip(mean, 10, 17), error)
    assert beyond.sst.encoding["dtype"] == beyond.sst_analysis.encoding["dtype"] == np.float32
    assert "scale_factor" not in beyond.sst.encoding


def test_the_error_of_a_packed_variable_never_becomes_zero(tmp_path: Path) -> None:
    field = small_field()
    field.source.encoding = {"dtype": np.dtype("i2"), "scale_factor": 0.01, "_FillValue": np.int16(-32768)}
    field.source.values[:] = np.round(field.source, 2)
    mean, error = estimate(field)
    error *= np.logspace(-6, 3, error.size, dtype=np.float32).reshape(error.shape)
    out = to_dataset(field, mean, error)
    ratio = (out.sst_error.to_numpy() / error)[:, field.sea]
    assert np.abs(ratio - 1).max() <= 2**-11
    assert np.abs(ratio - 1).max() > 1e-4, "it is rounded, so that it compresses"
    assert np.isnan(out.sst_error.to_numpy()[:, ~field.sea]).all()
    exact = to_dataset(field, mean, error, packing=Packing(pack="none"))
    np.testing.assert_array_equal(exact.sst_error, error)


def test_rounding_to_ten_bits_is_to_the_nearest() -> None:
    values = np.array([1 + 2**-11, 1 + 3 * 2**-11, 1 + 2**-11 + 2**-20, 0, np.nan, -np.pi], np.float32)
    expected = [1, 1 + 2**-9, 1 + 2**-10, 0, np.nan, -1608 / 512]
    np.testing.assert_array_equal(round_mantissa(values), np.float32(expected))


@pytest.mark.parametrize("encoding", [GHRSST, SINGLE, UNSIGNED, LONG, PLAIN])
def test_a_storage_survives_as_text(encoding: dict[str, Any]) -> None:
    array = xr.DataArray(np.zeros(2))
    array.encoding = encoding
    storage = find_storage(array)
    back = read_storage(write_storage(storage))
    assert back == storage
    for key in storage:
        assert np.asarray(back[key]).dtype == np.asarray(storage[key]).dtype


def test_limits_of_a_packing() -> None:
    assert find_limits(GHRSST) == pytest.approx((273.15 - 327.67, 273.15 + 327.67))
    assert find_limits(UNSIGNED) == pytest.approx((0, 65.534))
    assert find_limits({**SINGLE, "scale_factor": -1.0, "add_offset": 0.0}) == (-32767, 32766 + 2)


def test_draws_are_packed_too(tmp_path: Path) -> None:
    write_input(tmp_path / "in.nc", GHRSST)
    fill(tmp_path / "in.nc", tmp_path / "out.nc", method="linear-time", samples=2)
    with read_raw(tmp_path / "out.nc") as out:
        assert out["sst_samples"].dtype == np.int16
        assert out["sst_samples"].scale_factor == 0.01
        seen = out["sst_source"][:] == 1
        for draw in out["sst_samples"][:]:
            np.testing.assert_array_equal(draw[seen], out["sst"][:][seen])
            assert (draw != out["sst"][:])[out["sst_source"][:] >= 2].mean() > 0.5
