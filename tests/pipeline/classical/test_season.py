"""The seasonal cycle that long gaps return to."""

import numpy as np
import pytest
import xarray as xr
from fields import cloudy_dataset, cloudy_field
from oceanfill.pipeline.classical.baselines import linear_in_time, nearest, persistence
from oceanfill.pipeline.classical.dineof import dineof
from oceanfill.pipeline.classical.kriging import pixel_means, reference_mean
from oceanfill.pipeline.classical.season import average_months, fit_cycle, remove_season
from oceanfill.pipeline.io.field import open_field


def seasonal_dataset(weeks: int = 130) -> xr.Dataset:
    """Weekly temperatures with an annual cycle of 5 degC and an anomaly of 0.5; weeks 60 to 79 are empty."""
    dataset = cloudy_dataset(dates=weeks, rows=8, columns=10, seed=3)
    dataset = dataset.assign_coords(
        time=np.datetime64("2014-01-01", "ns") + np.arange(weeks) * np.timedelta64(7, "D")
    )
    phase = 2 * np.pi * (dataset.time.dt.dayofyear - 120) / 365.25
    for name in ("sst", "truth"):
        dataset[name] = (dataset[name] - 15) / 6 + 15 + 5 * np.sin(phase)
    dataset["sst"][60:80] = np.nan
    return dataset


def test_harmonics_of_complete_months_are_found():
    month = (np.arange(12) + 0.5) / 12
    wave = 3 * np.cos(2 * np.pi * month) - 2 * np.sin(2 * np.pi * month) + 0.5 * np.sin(4 * np.pi * month)
    found = fit_cycle(np.broadcast_to(7 + wave[:, None, None], (12, 5, 6)))
    # Six half-weights of twelve months, and a ridge of a tenth.
    expected = np.array([3, 0, -2, 0.5]) * 6 / 6.1
    np.testing.assert_allclose(found, np.broadcast_to(expected[:, None, None], (4, 5, 6)), atol=1e-6)


def test_different_means_of_pixels_are_no_cycle():
    """Half of the pixels lack summer, and are ten degrees warmer."""
    monthly = np.full((12, 6, 8), 5.0)
    monthly[:, :, 4:] += 10
    monthly[4:9, :, 4:] = np.nan
    np.testing.assert_allclose(fit_cycle(monthly), 0, atol=1e-9)


def test_months_are_averaged():
    field = cloudy_field(dates=70)  # from 1 January 2020: 31, 29 and 10 days
    found = average_months(field)
    months = [field.values[part] for part in (slice(31), slice(31, 60), slice(60, 70))]
    seen = np.logical_and.reduce([np.isfinite(values).any(axis=0) for values in months])
    assert seen.mean() > 0.5
    for values, average in zip(months, found, strict=False):
        np.testing.assert_allclose(average[seen], np.nanmean(values[:, seen], axis=0), rtol=1e-6)
    assert np.isnan(found[3:]).all()


def test_a_short_record_has_no_cycle():
    field = cloudy_field(dates=40)
    without, cycle = remove_season(field)
    assert without is field
    assert not cycle.any()
    np.testing.assert_array_equal(reference_mean(field), pixel_means(field))


def test_the_cycle_is_removed_once():
    field = open_field(seasonal_dataset(), variable="sst")
    without, cycle = remove_season(field)
    assert np.ptp(cycle, axis=0)[field.sea].mean() == pytest.approx(10, rel=0.05)
    assert np.nanstd(without.values) < 0.3 * np.nanstd(field.values)
    np.testing.assert_allclose(without.values + cycle, field.values, atol=1e-5)
    assert not remove_season(without)[1].any()


@pytest.mark.parametrize("method", [linear_in_time, nearest, persistence, dineof])
def test_a_long_gap_returns_to_the_season(method):
    """Between the edges of the gap the season falls by ten degrees; the anomaly has a deviation of 0.5."""
    dataset = seasonal_dataset()
    field = open_field(dataset, variable="sst")
    mean, error = method(field)
    misfit = (mean - dataset.truth.values)[64:76][:, field.sea]
    assert np.sqrt(np.mean(misfit**2)) < 1.0
    claimed = error[64:76][:, field.sea]
    assert 0.5 < np.sqrt(np.mean(claimed**2) / np.mean(misfit**2)) < 2


def test_held_out_values_do_not_reach_the_cycle():
    field = open_field(seasonal_dataset(), variable="sst")
    hidden = np.zeros(field.values.shape, bool)
    hidden[20:30] = True
    changed = field.values.copy()
    changed[hidden] += 100
    one, other = (
        remove_season(f.hide(hidden))[1] for f in (field, type(field)(**vars(field) | {"values": changed}))
    )
    np.testing.assert_array_equal(one, other)
