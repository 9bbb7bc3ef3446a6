"""A record: errors of values that lack one, logarithms, and what each pixel has on average."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import xarray as xr
from fields import cloudy_dataset
from oceanfill.pipeline.errors import InputError
from oceanfill.pipeline.records.record import Record
from smallrecord import make_record

DATES, ROWS, COLUMNS = 48, 9, 11


@pytest.fixture
def dataset() -> xr.Dataset:
    """Positive values; standard errors but for the second chunk of dates and some negative ones."""
    made = cloudy_dataset(dates=DATES, rows=ROWS, columns=COLUMNS).drop_vars("truth")
    made["sst"] = np.exp(made.sst / 5)
    errors = np.random.default_rng(0).uniform(0.1, 2, made.sst.shape).astype(np.float32)
    errors[16:32] = np.nan
    errors[40, :5], errors[41, :5] = -1, np.inf
    return made.assign(err=(made.sst.dims, errors))


def test_values_without_a_usable_error_get_the_median_of_the_record(tmp_path, dataset):
    record = make_record(tmp_path, dataset, error_variable="err")
    observed, errors = dataset.sst.notnull().to_numpy(), dataset.err.to_numpy()
    usable = observed & np.isfinite(errors) & (errors >= 0)
    median = np.median(errors[usable])
    assert 0.9 < median < 1.2
    expected = np.where(usable, errors, np.where(observed, median, 0)) ** 2
    for dates in (slice(0, DATES), slice(16, 32), slice(36, 44)):
        np.testing.assert_array_equal(record.read_field(dates).error_variance, expected[dates])
    assert record.median_error == median
    # A worker gets it and does not read the record for it: here the store has no error any more.
    sent = pickle.dumps(record)
    data = xr.open_zarr(record.path).load()
    data.assign(err=np.nan * data.err).drop_encoding().to_zarr(record.path, mode="w", consolidated=False)
    assert pickle.loads(sent).median_error == median
    with pytest.raises(InputError, match="err has no standard error at any observed value"):
        Record(record.path, record.opening).read_field(slice(0, 16))


def test_the_median_of_a_long_record_is_that_of_evenly_spaced_dates(tmp_path, dataset):
    """With 20 dates at once: about that of all, and never of the first ones only."""
    rising = np.linspace(1, 2, DATES, dtype=np.float32)[:, None, None] * np.ones((ROWS, COLUMNS), np.float32)
    dataset["err"] = dataset.sst.dims, rising
    record = make_record(tmp_path, dataset, error_variable="err")
    most = 20 * ROWS * COLUMNS
    assert record.find_median_error(most) == pytest.approx(1.5, abs=0.05)
    assert record.find_median_error(1) == pytest.approx(1.5, abs=0.05)


def test_logarithms_and_their_errors(tmp_path, dataset):
    """Dates without a positive value count as unobserved, also in the coverage."""
    dataset.sst[16:32] = -dataset.sst[16:32]
    record = make_record(tmp_path, dataset, observation_error=0.5, transform="log")
    positive = (dataset.sst > 0).to_numpy()
    field = record.read_field(slice(0, DATES))
    np.testing.assert_array_equal(field.observed, positive)
    np.testing.assert_allclose(field.values[positive], np.log(dataset.sst.to_numpy()[positive]), rtol=1e-6)
    relative = 0.5 / dataset.sst.to_numpy()[positive]
    np.testing.assert_allclose(field.error_variance[positive], np.log1p(relative**2), rtol=1e-5)
    assert not record.read_field(slice(16, 32)).observed.any()
    np.testing.assert_allclose(record.coverage, positive.mean(axis=0), rtol=1e-6)
    np.testing.assert_array_equal(record.n_observed, positive.sum(axis=(1, 2)))
    plain = Record(record.path)
    np.testing.assert_allclose(plain.coverage, dataset.sst.notnull().mean("time"), rtol=1e-6)
    np.testing.assert_array_equal(plain.n_observed, dataset.sst.notnull().sum(("lat", "lon")))


def test_stores_without_counts_of_positive_values_still_open(tmp_path, dataset):
    record = make_record(tmp_path, dataset, transform="log")
    data = xr.open_zarr(record.path).load()
    older = data.drop_vars(["sst_positive_share", "sst_positive_seen"]).drop_encoding()
    older.to_zarr(tmp_path / "older.zarr", consolidated=False)
    opened = Record(str(tmp_path / "older.zarr"), record.opening)
    np.testing.assert_array_equal(opened.coverage, record.coverage)
    np.testing.assert_array_equal(opened.n_observed, record.n_observed)


@pytest.mark.parametrize("transform", ["none", "log"])
def test_pixels_have_their_mean_and_deviation_or_the_average_of_the_others(tmp_path, dataset, transform):
    dataset.sst[:, 5, 5] = np.nan
    dataset.sst[1:, 6, 6] = np.nan
    dataset.sst[0, 6, 6] = 30.0
    mean, deviation = make_record(tmp_path, dataset, transform=transform).pixel_statistics
    if transform == "log":  # of the lognormal distribution with these parameters
        variance = deviation**2
        mean = np.exp(mean + variance / 2)
        deviation = mean * np.sqrt(np.expm1(variance))
    expected, spread = dataset.sst.mean("time").to_numpy(), dataset.sst.std("time").to_numpy()
    seen = np.isfinite(expected) & (spread > 0)
    np.testing.assert_allclose(mean[seen], expected[seen], rtol=1e-5)
    np.testing.assert_allclose(deviation[seen], spread[seen], rtol=1e-4)
    assert mean[6, 6] == pytest.approx(30)
    assert mean[5, 5] == pytest.approx(np.nanmean(expected), rel=1e-5)
    if transform == "none":
        assert deviation[5, 5] == deviation[6, 6] == pytest.approx(spread[seen].mean(), rel=1e-5)
