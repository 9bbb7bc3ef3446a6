"""A field filled in memory and block by block: the same values, errors, sources, scores and attributes.

Transform (none, log, the usual one, bounded), error variable (at all values, lacking at some, none) and sea
mask (static, varying in time, none) are combined pairwise, not fully: the cases hold every pair of levels of
none and log. Three of them are filled by optimal interpolation, one by a U-Net, the others by linear
interpolation in time. All fields have pixels that are never observed, and the logarithms have zeros. One
block holds the whole field, so both ways agree to rounding; for several blocks see
tests/pipeline/jobs/test_blockwise_estimates.py.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from fields import cloudy_dataset
from oceanfill.pipeline.errors import InputError
from oceanfill.pipeline.jobs.fill import fill
from product_ghrsst import make_ghrsst, write_ghrsst
from product_hfr import make_totals

LINEAR, OI = {"method": "linear-time"}, {"method": "oi"}
NETWORK = {"method": "unet", "epochs": 2, "first_guess": "none"}


def write_input(path: Path, transform: str, error: str, mask: str, dates: int = 32) -> dict[str, Any]:
    """Write a field of positive values and return the options that open it."""
    dataset = cloudy_dataset(dates=dates, rows=12, columns=14).drop_vars("truth")
    dataset["sst"] = np.exp(dataset.sst / 10).assign_attrs(units="mg m-3", long_name="chlorophyll")
    dataset.sst[:, 4:7, 6:9] = np.nan
    options = {"variable": "sst", "transform": transform, "intervals": (90,)}
    if transform == "auto":
        dataset.sst.attrs["standard_name"] = "mass_concentration_of_chlorophyll_in_sea_water"
    if transform == "bounded":
        dataset["sst"] = dataset.sst.clip(3.5, 6).assign_attrs(units="%")
        dataset.sst[8, 5, 4:6] = 7.5
        options |= {"transform": "auto", "bounds_of_values": (3.5, 6)}
    if transform == "log":
        dataset.sst[5, :6] *= 0
        dataset.sst[:, 9, 9] *= 0
    if error != "none":
        rng = np.random.default_rng(1)
        dataset["err"] = dataset.sst.dims, rng.uniform(0.05, 0.3, dataset.sst.shape).astype(np.float32)
        options["error_variable"] = "err"
    if error == "lacking":
        dataset.err[6:12] = np.nan
        dataset.err[::5, 3:8] = -1
    if mask == "varying":
        varying = dataset.mask.expand_dims(time=dataset.time).copy(deep=True)
        varying[:, 8:] = 0
        varying[3, 8] = varying[-2, 9:, 8:] = 1
        dataset["mask"] = varying.assign_attrs(dataset.mask.attrs)
    if mask == "none":
        dataset = dataset.drop_vars("mask")
    dataset.attrs = {"title": "Chlorophyll", "summary": "A field of our own making."}
    dataset.to_netcdf(path)
    return options


CASES = [
    (LINEAR, "none", "all", "static"),
    (LINEAR, "log", "all", "none"),
    (LINEAR, "log", "lacking", "varying"),
    (LINEAR, "log", "none", "static"),
    (LINEAR, "none", "none", "varying"),
    (LINEAR, "none", "none", "none"),
    (LINEAR, "auto", "lacking", "none"),
    (LINEAR, "bounded", "all", "static"),
    (OI, "bounded", "lacking", "varying"),
    (OI, "none", "all", "varying"),
    (OI, "log", "lacking", "none"),
    (NETWORK, "none", "lacking", "static"),
]


@pytest.mark.parametrize(("how", "transform", "error", "mask"), CASES)
def test_one_block_gives_the_same_as_memory(tmp_path, how, transform, error, mask):
    path = tmp_path / "in.nc"
    how = write_input(path, transform, error, mask, dates=32 if how is LINEAR else 18) | how
    scores: list[Any] = []
    whole = fill(path, report=scores.append, **how)
    found = fill(path, report=scores.append, n_workers=1, cache=str(tmp_path / "cache.zarr"), **how)
    assert whole.attrs["delivered"] == how["method"]
    # Only a fill in memory can be updated with new dates.
    can_be_updated = how["method"] in ("oi", "pretrained")
    assert ("provisional" in whole) == can_be_updated
    whole = whole.drop_vars("provisional", errors="ignore")
    assert list(found.data_vars) == list(whole.data_vars)
    compare(found, whole)
    configuration = json.loads(found.attrs.pop("configuration"))
    assert configuration.pop("cache") == str(tmp_path / "cache.zarr")
    assert configuration == json.loads(whole.attrs.pop("configuration"))
    assert ("fitted_numbers" in whole.attrs) == can_be_updated
    whole.attrs.pop("fitted_numbers", None)
    assert list(found.attrs) == list(whole.attrs)
    for key, value in whole.attrs.items():
        assert type(found.attrs[key]) is type(value), key
    compare_attributes(found.attrs, whole.attrs)
    assert whole.attrs["transform"] == {"auto": "log", "bounded": "logit(3.5,6)"}.get(transform, transform)
    rows, expected = scores
    assert len(rows) == len(expected) == (2 if how["method"] == "unet" else 1)
    for row, other in zip(rows, expected, strict=True):
        compare_attributes(row, other)


def test_netcdf_files_have_the_same_attributes_and_types(tmp_path):
    path = tmp_path / "in.nc"
    how = write_input(path, "none", "all", "static") | LINEAR
    fill(path, tmp_path / "whole.nc", **how)
    fill(path, tmp_path / "blocks.nc", cache=str(tmp_path / "cache.zarr"), **how)
    with xr.open_dataset(tmp_path / "whole.nc") as whole, xr.open_dataset(tmp_path / "blocks.nc") as found:
        assert next(iter(found.data_vars)) == next(iter(whole.data_vars)) == "sst"
        del found.attrs["configuration"], whole.attrs["configuration"]
        compare(found, whole)
        for one, other in [(found, whole), *((found[name], whole[name]) for name in whole.variables)]:
            for key, value in other.attrs.items():
                assert np.asarray(one.attrs[key]).dtype.kind == np.asarray(value).dtype.kind, key
        assert found.sst_source.flag_values.dtype == found.sst_source.dtype == np.int8


def test_flags_and_biases_are_the_same_in_memory_and_in_blocks(tmp_path):
    path = write_ghrsst(make_ghrsst(), tmp_path / "in.nc")
    how = {"method": "linear-time", "sses": True}
    whole = fill(path, **how)
    found = fill(path, n_workers=1, cache=str(tmp_path / "cache.zarr"), **how)
    treatment = found.attrs["input_treatment"]
    assert treatment == whole.attrs["input_treatment"]
    parts = (
        "accompanied by dt_analysis",
        "quality_level >= 4",
        "less sses_bias",
        "flagged by quality_level: ",
    )
    assert [part for part in parts if part not in treatment] == []
    # The store is packed in steps of 0.01 K, as the input; the dataset in memory is not yet.
    np.testing.assert_allclose(
        found.sea_surface_temperature, whole.sea_surface_temperature, rtol=0, atol=0.00501
    )
    np.testing.assert_array_equal(found.sea_surface_temperature_source, whole.sea_surface_temperature_source)
    from_the_store = fill(tmp_path / "cache.zarr", method="linear-time")
    assert from_the_store.attrs["input_treatment"] == treatment


def test_a_current_is_filled_as_two_variables(tmp_path):
    path = tmp_path / "totals.nc"
    make_totals().to_netcdf(path)
    found = fill(path, method="linear-time")
    named = fill(path, method="linear-time", variable="NSCT,EWCT")
    assert list(found.data_vars)[::4] == ["EWCT", "NSCT"]
    assert list(named.data_vars)[::4] == ["NSCT", "EWCT"]
    for name in ("EWCT", "NSCT"):
        np.testing.assert_allclose(found[name], named[name], atol=1e-5)
        assert np.abs(found[name]).max() < 0.4
    assert found.attrs["input_treatment"].count("flagged by QCflag: ") == 2
    with pytest.raises(InputError, match=r"2 variables are filled together .* choose one with variable="):
        fill(path, method="linear-time", n_workers=2)
    alone = fill(path, method="linear-time", variable="NSCT", n_workers=1, cache=str(tmp_path / "c.zarr"))
    np.testing.assert_allclose(alone.NSCT, found.NSCT, atol=1e-4)


def compare(found: xr.Dataset, expected: xr.Dataset) -> None:
    """The same sources, the others to 1e-4 of the standard error, with the same attributes and types."""
    assert set(found.variables) == set(expected.variables)
    np.testing.assert_array_equal(found.sst_source, expected.sst_source)
    assert set(np.unique(found.sst_source)) >= {1, 2}
    for name in set(expected.data_vars) - {"sst_source"}:
        np.testing.assert_array_equal(found[name].isnull(), expected[name].isnull())
        assert float((abs(found[name] - expected[name]) / expected.sst_error).max()) < 1e-4, name
    for name in expected.variables:
        assert found[name].dtype == expected[name].dtype
        compare_attributes(found[name].attrs, expected[name].attrs)


def compare_attributes(found: dict[Any, Any], expected: dict[Any, Any]) -> None:
    """The same names; numbers to rounding, the others exactly, except dates of creation."""
    assert set(found) == set(expected)
    for key in set(expected) - {"date_created", "history", "call"}:
        if isinstance(expected[key], str):
            assert found[key] == expected[key], key
        else:
            np.testing.assert_allclose(found[key], expected[key], rtol=1e-4, atol=1e-6, err_msg=str(key))
