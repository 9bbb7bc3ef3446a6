"""Filling: every method on a small field."""

import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from fields import cloudy_dataset, cloudy_field
from oceanfill.pipeline.classical.baselines import linear_in_time
from oceanfill.pipeline.errors import InputError
from oceanfill.pipeline.jobs.evaluate import fit_error_scale
from oceanfill.pipeline.jobs.fill import fill
from oceanfill.pipeline.jobs.methods import Candidate, find_methods
from oceanfill.pipeline.settings import FillSettings, Training, choose_device
from oceanfill.pipeline.training.data import GapData
from oceanfill.pipeline.training.heldout import DataSettings
from oceanfill.pipeline.training.networks import NETWORKS

torch.set_num_threads(1)


@pytest.fixture(scope="module")
def dataset():
    return cloudy_dataset(dates=8, rows=12, columns=14)


@pytest.mark.parametrize("method", find_methods())
def test_every_method_fills_a_field(dataset, method):
    training = Training(epochs=1, first_guess="none") if method in NETWORKS else Training()
    filled = fill(dataset, variable="sst", method=method, training=training)
    truth, seen = dataset.truth.to_numpy(), dataset.sst.notnull().to_numpy()
    sea = np.broadcast_to(dataset.mask.to_numpy() == 1, seen.shape)
    for name in ("sst", "sst_analysis", "sst_error"):
        np.testing.assert_array_equal(np.isfinite(filled[name]), sea)
    assert (filled.sst_error.values[sea] > 0).all()
    np.testing.assert_array_equal(filled.sst.values[seen], dataset.sst.values[seen])
    gaps = sea & ~seen
    error = np.sqrt(np.mean((filled.sst.values - truth)[gaps] ** 2))
    assert error < np.sqrt(2) * truth[sea].std(), "no better than another value of the field at random"
    attrs = filled.attrs
    assert attrs["method"] == method
    assert np.isfinite([attrs["held_out_rmse"], attrs["held_out_bias"], attrs["error_factor"]]).all()
    assert 0 <= attrs["held_out_coverage_1sigma"] <= attrs["held_out_coverage_2sigma"] <= 1
    names = {method, "pixel-means"} if method in NETWORKS else {attrs["delivered"]}
    assert attrs["delivered"] in names


def test_a_network_without_a_first_guess_beats_the_pixel_means_and_is_delivered(dataset):
    rows = []
    training = Training(epochs=3, first_guess="none")
    filled = fill(dataset, variable="sst", method="unet", training=training, report=rows.extend)
    assert filled.attrs["delivered"] == "unet"
    assert json.loads(filled.attrs["configuration"])["first_guess"] == "none"
    means, network = rows
    assert (means["method"], network["method"]) == ("pixel-means", "unet")
    assert filled.attrs["held_out_rmse"] == network["rmse"] < means["rmse"]
    curve = json.loads(filled.attrs["learning_curve"])
    assert len(curve) == 3
    assert min(epoch["held_out"] for epoch in curve) < 1
    assert json.loads(filled.attrs["candidate_scores"]) == rows
    whole = json.loads(filled.attrs["score_classes"])["scores"][0]
    assert (whole["n"], whole["rmse"]) == (network["n"], pytest.approx(network["rmse"], rel=1e-4))
    truth, gaps = dataset.truth.values, filled.sst_source.values == 2
    error = np.sqrt(np.mean((filled.sst.values - truth)[gaps] ** 2))
    assert error < 0.8 * np.sqrt(np.mean((np.nanmean(dataset.sst) - truth[gaps]) ** 2))


def test_an_ensemble_is_kept_in_one_checkpoint(dataset, tmp_path):
    path = str(tmp_path / "net.ckpt")
    training = Training(epochs=1, first_guess="none", ensemble=2, save_checkpoint=path)
    filled = fill(dataset, variable="sst", method="unet", training=training)
    assert json.loads(filled.attrs["configuration"])["ensemble"] == 2
    assert torch.load(path, weights_only=True)["hyper_parameters"]["saves"] == 2
    again = fill(
        dataset, variable="sst", method="unet", training=Training(checkpoint=path, first_guess="none")
    )
    np.testing.assert_array_equal(again.sst_analysis, filled.sst_analysis)


def test_the_factor_is_in_the_file(dataset):
    """The error of the file is the method's own, times the factor, up to the limit."""
    filled = fill(dataset, variable="sst", method="linear-time")
    _, error = linear_in_time(cloudy_field(dates=8, rows=12, columns=14))
    scaled = np.minimum(filled.attrs["error_factor"] * error, filled.attrs["error_limit"])
    np.testing.assert_allclose(filled.sst_error, scaled, rtol=1e-5)
    assert filled.attrs["error_factor"] > 1.1


@pytest.mark.parametrize("transform", ["none", "log"])
def test_intervals_hold_what_they_say_of_new_observations_in_the_gaps(transform):
    """Under noise with tails as heavy as Student's t with three degrees of freedom has them."""
    dataset = cloudy_dataset(dates=30)
    noise = 0.5 * np.random.default_rng(1).standard_t(3, dataset.sst.shape)
    seen = dataset.sst.notnull()
    again = (dataset.truth + noise) if transform == "none" else np.exp((dataset.truth + noise) / 10)
    dataset["sst"] = again.where(seen).assign_attrs(dataset.sst.attrs)
    how = {"transform": transform, "outliers": "keep"}  # or those of such tails would be dropped
    filled = fill(dataset, variable="sst", method="oi", intervals=[50, 90], **how)
    gaps = filled.sst_source.values == 2
    truth = again.values[gaps]
    shares = []
    for level in (50, 90):
        low, high = (filled[f"sst_{side}_{level}"] for side in ("lower", "upper"))
        assert (low.attrs["units"], high.attrs["units"]) == ("degree_Celsius",) * 2
        assert low.attrs["long_name"] == f"lower bound of the {level}% prediction interval of sst"
        assert high.attrs["coverage_content_type"] == "qualityInformation"
        np.testing.assert_array_equal(np.isnan(low), np.isnan(filled.sst_analysis))
        shares.append(np.mean((low.values[gaps] <= truth) & (truth <= high.values[gaps])))
    # 6000 gaps: half of independent values is known to 0.6 points; those of a date are not independent.
    np.testing.assert_allclose(shares, [0.5, 0.9], atol=0.04)


def test_what_cannot_be_asked_for(dataset):
    with pytest.raises(InputError, match="intervals of 0, 100 percent; ask for levels of 1 to 99 percent"):
        fill(dataset, variable="sst", method="oi", intervals=[0, 50, 100])
    with pytest.raises(InputError, match="no device is called 'tpu'; choose auto, cpu or cuda"):
        fill(dataset, variable="sst", device="tpu")
    with pytest.raises(InputError, match="no first guess is called 'spline'"):
        fill(dataset, variable="sst", method="oi", training=Training(first_guess="spline"))
    assert choose_device("cpu") == "cpu"


@pytest.mark.parametrize(("deviation", "expected"), [(0.2, 0.4), (0.6, 0.6)])
def test_where_a_pixel_is_never_observed_a_network_is_no_surer_than_its_first_guess(deviation, expected):
    """The first guess is off by 0.4 and both say half of what they are off by."""
    field = cloudy_field(dates=24)
    field.values[:, 5:7, 5:7] = np.nan
    data, rng = GapData(field, DataSettings(held_out=0.2, seed=1)), np.random.default_rng(0)

    def product(deviation, guess=None):
        off = deviation * rng.standard_normal(field.values.shape)
        said = np.full(off.shape, np.float32(deviation / 2))
        return Candidate(
            "made up", (0 * said, said), (np.nan_to_num(field.values) + off, said), corrects=guess
        )

    network = product(deviation, product(0.4))
    error = fit_error_scale(data, network, "held_out").of_estimate(field, network)
    np.testing.assert_allclose(error[:, 5:7, 5:7], expected, rtol=0.1)
    seen = field.observed.any(axis=0)
    np.testing.assert_allclose(error[:, seen], deviation, rtol=0.1)


def test_the_first_variable_stays_first_though_it_is_complete(dataset):
    """The gappy one is filled after it, and the score in the attributes is that of the gappy one."""
    whole = dataset.truth.to_dataset(name="whole").assign(mask=dataset.mask)
    filled = fill(whole, others=[dataset.drop_vars("truth")], variable="whole", method="linear-time")
    assert [name for name in filled.data_vars if "_" not in name] == ["whole", "sst"]
    assert next(iter(filled.data_vars)) == "whole"
    assert filled.attrs["delivered"] == "linear-time"
    alone = fill(dataset, variable="sst", method="linear-time")
    assert filled.attrs["held_out_n"] == alone.attrs["held_out_n"]


def test_random_numbers_of_others_are_left_alone(dataset):
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    fill(dataset, variable="sst", method="unet", epochs=1, first_guess="none")
    torch.testing.assert_close(torch.rand(3), expected, rtol=0, atol=0)


def test_a_misspelt_option_is_answered_with_the_nearest_one(dataset):
    with pytest.raises(InputError, match=r"there is no option 'epoch'; did you mean epochs\?"):
        fill(dataset, variable="sst", epoch=1)
    with pytest.raises(InputError, match=r"there is no option 'varable'; did you mean variable\?"):
        fill(dataset, varable="sst")


def test_options_replace_those_of_the_settings(dataset):
    settings = FillSettings(method="oi", seed=3, training=Training(window=3))
    filled = fill(dataset, variable="sst", settings=settings, method="linear-time", window=None)
    assert (filled.attrs["method"], filled.attrs["seed"]) == ("linear-time", 3)


def test_a_global_grid_in_memory_has_no_seam():
    """A wave around the globe, hidden at its ends on every second date: the other end is next to it."""
    dataset = cloudy_dataset(dates=16, rows=10, columns=36).drop_vars(["mask", "truth"])
    lon = np.arange(36) * 10.0
    phase = np.radians(lon) - 0.2 * np.arange(16)[:, None]
    truth = np.broadcast_to(np.sin(phase)[:, None, :], (16, 10, 36))
    hidden = np.zeros(truth.shape, bool)
    hidden[:, :, :3] = hidden[:, :, 15:18] = True
    hidden[::4] = False
    noise = 0.01 * np.random.default_rng(0).standard_normal(truth.shape)
    dataset["sst"] = dataset.sst.dims, np.where(hidden, np.nan, truth + noise)
    dataset = dataset.assign_coords(lon=lon, lat=np.linspace(-40, 40, 10))
    filled = fill(dataset, method="oi")
    off = np.abs(filled.sst.values - truth)
    seam, inside = off[:, :, :3][hidden[:, :, :3]], off[:, :, 15:18][hidden[:, :, 15:18]]
    assert np.sqrt(np.mean(seam**2)) < 1.3 * np.sqrt(np.mean(inside**2))
    assert np.sqrt(np.mean(inside**2)) < 0.1


def test_settings_do_not_import_torch():
    made = "oceanfill.Training(); oceanfill.FillSettings()"
    program = f"import sys, oceanfill; {made}; assert 'torch' not in sys.modules"
    assert subprocess.run([sys.executable, "-c", program]).returncode == 0


@pytest.mark.parametrize("blocks", [False, True])
def test_the_error_of_a_complete_field_is_that_of_its_observations_or_unknown(
    tmp_path, dataset, caplog, blocks
):
    whole = dataset.drop_vars("sst").rename(truth="sst")
    how = {"variable": "sst", "method": "oi", "intervals": (90,)}
    how |= {"cache": str(tmp_path / "cache.zarr")} if blocks else {}
    whole.to_netcdf(tmp_path / "in.nc")
    known = fill(tmp_path / "in.nc", tmp_path / "known.nc", observation_error=0.3, **how)
    assert np.unique(known.sst_error.values[known.sst_source == 1]) == pytest.approx([0.3])
    assert "comment" not in known.sst_error.attrs
    assert "unknown" not in caplog.text
    unknown = fill(tmp_path / "in.nc", tmp_path / "unknown.nc", **how)
    assert unknown.sst.equals(known.sst)
    for name in ("sst_error", "sst_lower_90", "sst_upper_90"):
        assert unknown[name].isnull().all()
        assert unknown[name].attrs["comment"].startswith("Unknown: nothing was missing")
    assert "sst: its error is unknown and sst_error is missing" in caplog.text
    assert "give observation_error=" in caplog.text
