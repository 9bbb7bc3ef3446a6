"""Two variables filled together: values, dates, scores, logarithms."""

import json

import numpy as np
import pytest
import torch
from fields import cloudy_dataset
from oceanfill.pipeline.io.field import open_field
from oceanfill.pipeline.jobs.fill import fill
from oceanfill.pipeline.settings import FillSettings, Training

torch.set_num_threads(1)


def log_pair():
    """Temperature, and what follows it in its logarithm: under half of the clouds, on two dates less."""
    data = cloudy_dataset(dates=10, rows=12, columns=14)
    rng = np.random.default_rng(1)
    truth = np.exp(data.truth / 10)
    seen = data.sst.notnull().to_numpy() | (rng.random(truth.shape) < 0.5)
    linked = (truth * np.exp(0.05 * rng.standard_normal(truth.shape))).where(seen).astype(np.float32)
    return data[["sst", "mask"]], linked.to_dataset(name="chl").isel(time=slice(2, None)), truth


@pytest.mark.parametrize("method", ["oi", "dineof", "unet"])
def test_two_variables_are_filled_together(method):
    first, second, truth = log_pair()
    rows = []
    training = Training(epochs=1, first_guess="none") if method == "unet" else Training()
    other = open_field(second, transform="log")
    filled = fill(first, others=[other], settings=FillSettings(method, training=training), report=rows.extend)
    names = [f"{name}{part}" for name in ("sst", "chl") for part in ("", "_analysis", "_error", "_source")]
    assert list(filled.data_vars) == names
    assert {(row["variable"], row["method"]) for row in rows} >= {("sst", rows[0]["method"])}
    assert {row["variable"] for row in rows} == {"sst", "chl"}
    sea = np.broadcast_to(first.mask == 1, first.sst.shape)
    np.testing.assert_array_equal(np.isfinite(filled.sst), sea)
    seen = second.chl.notnull().to_numpy()
    np.testing.assert_array_equal(filled.chl.to_numpy()[2:][seen], second.chl.to_numpy()[seen])
    gaps = (filled.chl_source == 2).to_numpy()
    assert gaps[:2].any()  # dates that the second does not have are filled
    left = (filled.chl / truth).to_numpy()[gaps]
    assert abs(np.log(left)).mean() < np.log(truth.where(first.mask == 1)).std()
    for name in ("sst", "chl"):
        delivered = filled.attrs[f"{name}_delivered"]
        row = next(row for row in rows if row["variable"] == name and row["method"] == delivered)
        assert filled.attrs[f"{name}_held_out_rmse"] == row["rmse"]
    assert filled.attrs["transform"] == "sst: none; chl: log"
    assert json.loads(filled.attrs["configuration"])["others"] == ["chl"]


def test_the_mean_of_a_log_variable_in_a_pair_is_that_of_its_gaussian():
    """Of N(m, s^2) the exponential has the mean exp(m + s^2 / 2): m = 0.5 and s = 0.4 everywhere."""

    def constant(field):
        return tuple(np.full((2, *field.observed.shape), [[[[0.5]]], [[[0.4]]]], np.float32))

    first, second, _ = log_pair()
    filled = fill(first, others=[open_field(second, transform="log")], method=constant, holdout=False)
    at = filled.chl_source.to_numpy() > 0
    np.testing.assert_allclose(filled.chl_analysis.to_numpy()[at], np.exp(0.5 + 0.08), rtol=1e-6)
    deviation = np.exp(0.58) * np.sqrt(np.expm1(0.16))
    np.testing.assert_allclose(filled.chl_error.to_numpy()[at], deviation, rtol=1e-6)
    np.testing.assert_allclose(filled.sst_analysis.to_numpy()[filled.sst_source > 0], 0.5)


def test_a_second_variable_without_gaps_is_copied_and_the_first_one_is_scored():
    first, _, truth = log_pair()
    whole = truth.to_dataset(name="whole").astype(np.float32)
    whole["mask"] = first.mask
    filled = fill(first, others=[whole], method="oi")
    sea = np.broadcast_to(first.mask == 1, truth.shape)
    np.testing.assert_array_equal(filled.whole.to_numpy()[sea], whole.whole.to_numpy()[sea])
    alone = fill(first, method="oi")  # which fills each variable alone
    np.testing.assert_array_equal(filled.sst, alone.sst)
    assert filled.attrs["held_out_rmse"] == alone.attrs["held_out_rmse"] < 0.1 * first.sst.std()
    assert next(iter(filled.data_vars)) == "sst"
