"""Posterior draws: they keep the observations, have the calibrated distribution and are made lazily."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
import pytest
import xarray as xr
from fields import cloudy_dataset, cloudy_field
from oceanfill.pipeline.classical.kriging import Kriging
from oceanfill.pipeline.classical.neighbours import Component, Scales
from oceanfill.pipeline.cli.main import main
from oceanfill.pipeline.holdout.calibration import LEVELS, Calibration
from oceanfill.pipeline.io.output import to_dataset
from oceanfill.pipeline.io.writing import write_dataset
from oceanfill.pipeline.jobs.draws import add_samples, draw_fields, shape_draws
from oceanfill.pipeline.jobs.fill import fill
from oceanfill.pipeline.training.heldout import DataSettings, HeldOut
from scipy.stats import norm, t

KRIGING = Kriging(Scales((Component(8.0, 60.0, 5.0),), 1e-3), 16)


@pytest.fixture(scope="module")
def field():
    return cloudy_field(dates=8, rows=12, columns=14)


@pytest.fixture(scope="module")
def estimate(field):
    return KRIGING(field)


def test_draws_have_the_quantiles_of_the_calibration(field):
    """Here those of a Student's t of three degrees of freedom."""
    widths = t.ppf((1 + np.array(LEVELS) / 100) / 2, 3)
    gaps = ~field.observed & field.sea
    rng = np.random.default_rng(0)
    normal = rng.standard_normal((200, *field.values.shape))
    still = np.full(field.values.shape, 4.0), np.full(field.values.shape, 0.5)
    made = shape_draws(field, still, normal, Calibration(half_widths=tuple(widths)))
    miss = (made[:, gaps] - 4) / 0.5
    for level in (0.5, 0.9, 0.98):
        # Some 100,000 values: a standard error of 0.0015 at most.
        assert np.mean(np.abs(miss) < t.ppf((1 + level) / 2, 3)) == pytest.approx(level, abs=0.005)
    assert np.mean(miss > 0) == pytest.approx(0.5, abs=0.005)
    # Beyond the last level they are proportional to the Gaussian.
    assert np.abs(miss).max() == pytest.approx(
        widths[-1] / norm.ppf(0.995) * np.abs(normal[:, gaps]).max(), rel=1e-6
    )


def test_draws_keep_the_observations_and_leave_land_missing(field, estimate):
    made = draw_fields(field, KRIGING, estimate, Calibration(), 3).compute()
    assert made.shape == (3, *field.values.shape)
    np.testing.assert_array_equal(np.isfinite(made), np.broadcast_to(field.sea, made.shape))
    np.testing.assert_array_equal(made[:, field.observed], np.tile(field.values[field.observed], (3, 1)))
    gaps = ~field.observed & field.sea
    assert np.abs(made[0] - made[1])[gaps].min() > 0


def test_draws_vary_by_the_standard_error_and_neighbours_together(field, estimate):
    made = draw_fields(field, KRIGING, estimate, Calibration(), 60).compute()
    mean, error = estimate
    gaps = ~field.observed & field.sea
    normal = (made - mean)[:, gaps] / error[gaps]
    assert np.sqrt(np.mean(normal**2)) == pytest.approx(1, abs=1e-3)
    errors = (made - mean) / error
    pairs = gaps[:, :, 1:] & gaps[:, :, :-1]
    alike = np.corrcoef(errors[..., 1:][:, pairs].ravel(), errors[..., :-1][:, pairs].ravel())[0, 1]
    assert alike > 0.6


def test_the_same_seed_draws_the_same(field, estimate):
    one, same, other = (
        draw_fields(field, KRIGING, estimate, Calibration(), 2, seed=seed).compute() for seed in (3, 3, 4)
    )
    np.testing.assert_array_equal(one, same)
    gaps = ~field.observed & field.sea
    assert np.abs(one - other)[:, gaps].min() > 0


class NotingCalibration(Calibration):
    """A calibration that notes the thread of each chunk of draws."""

    threads: ClassVar[list[int]] = []

    def __getattribute__(self, name: str) -> Any:
        if name == "half_widths":
            self.threads.append(threading.get_ident())
        return super().__getattribute__(name)


@pytest.mark.parametrize("name", ["filled.nc", "filled.zarr"])
def test_draws_are_made_and_written_some_at_a_time(field, estimate, tmp_path, name):
    """Five draws in chunks of two, one after another in this thread: netCDF's library is not thread-safe."""
    nothing = np.zeros((2, *field.values.shape), bool)
    part = HeldOut(field, tuple(nothing), DataSettings(), kriging=KRIGING)
    filled, calibration = to_dataset(field, *estimate), NotingCalibration()
    dataset = add_samples(filled, part, estimate, calibration, 5, at_once=2 * field.values.size)
    assert dataset.sst_samples.chunks[0] == (2, 2, 1)
    calibration.threads.clear()
    write_dataset(dataset, tmp_path / name)
    assert calibration.threads == 3 * [threading.get_ident()]
    with xr.open_dataset(tmp_path / name) as written:
        gaps = (written.sst_source >= 2).values
        assert len(np.unique(written.sst_samples.values[:, gaps], axis=0)) == 5


def test_the_dataset_has_them_in_the_units_of_the_input(field, estimate):
    logarithmic = replace(field, transform="log", source=np.exp(field.source / 10), values=field.values / 10)
    estimate = tuple(part / 10 for part in estimate)
    nothing = np.zeros((2, *field.values.shape), bool)
    part = HeldOut(logarithmic, tuple(nothing), DataSettings(), kriging=KRIGING)
    dataset = add_samples(to_dataset(logarithmic, *estimate), part, estimate, Calibration(), 4)
    samples = dataset.sst_samples
    assert samples.dims == ("sample", "time", "lat", "lon")
    assert samples.attrs["units"] == "degree_Celsius"
    made = draw_fields(logarithmic, KRIGING, estimate, Calibration(), 4)
    np.testing.assert_allclose(samples.values, np.exp(made.compute()), rtol=1e-6)


def test_a_method_without_a_covariance_has_one_fitted(field, tmp_path):
    """They are written sample by sample, and are the same each time they are computed."""
    dataset = fill(field, method="linear-time", samples=3)
    write_dataset(dataset, tmp_path / "filled.nc")
    with xr.open_dataset(tmp_path / "filled.nc") as written:
        assert written.sst_samples.encoding["chunksizes"][0] == 1
        np.testing.assert_array_equal(written.sst_samples, dataset.sst_samples)
        np.testing.assert_array_equal(written.sample, [0, 1, 2])
        observed = written.sst_source == 1
        assert (written.sst_samples.where(observed) == written.sst).where(observed, True).all()
        z = (written.sst_samples - written.sst_analysis) / written.sst_error
        gaps = (written.sst_source >= 2) & (written.sst_error > 0)
        # Some 2000 values of three draws, which vary together.
        assert float((abs(z) < 1).where(gaps).mean()) == pytest.approx(0.68, abs=0.1)


def test_fields_filled_block_by_block_have_no_draws(tmp_path, capsys):
    cloudy_dataset(dates=8, rows=12, columns=14).drop_vars("truth").to_netcdf(tmp_path / "in.nc")
    words = ["fill", str(tmp_path / "in.nc"), "-o", str(tmp_path / "out.nc"), "--samples", "2"]
    assert main([*words, "--workers", "2"]) == 2
    assert "leave out --samples, or --workers" in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "out.nc").exists()
    assert main([*words, "--method", "oi", "--quiet"]) == 0
    with xr.open_dataset(tmp_path / "out.nc") as written:
        assert written.sst_samples.sizes == {"sample": 2, "time": 8, "lat": 12, "lon": 14}
