"""Forecasts: what is delivered, its scores and its errors, on fields whose future is known."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from oceanfill.pipeline.jobs.forecast import forecast

from oceanfill import InputError

DATES, ROWS, COLUMNS = 30, 6, 8


def make_record(values: np.ndarray, missing: float = 0.2) -> xr.Dataset:
    """A record of daily maps of which a share of the cells is missing."""
    rng = np.random.default_rng(5)
    values = np.where(rng.random(values.shape) < missing, np.nan, values)
    places = {
        "time": np.datetime64("2024-03-01") + np.arange(len(values)).astype("timedelta64[D]"),
        "lat": ("lat", 40 + 0.1 * np.arange(values.shape[1]), {"units": "degrees_north"}),
        "lon": ("lon", 5 + 0.1 * np.arange(values.shape[2]), {"units": "degrees_east"}),
    }
    units = {"units": "degree_Celsius"}
    return xr.Dataset({"sst": (("time", "lat", "lon"), values.astype(np.float32), units)}, places)


def extrapolate(field):
    """A method that goes on along the straight line of each pixel, within 0.1."""
    values = np.empty(field.values.shape, np.float32)
    for y, x in np.ndindex(field.sea.shape):
        seen = field.observed[:, y, x]
        values[:, y, x] = np.polyval(np.polyfit(field.days[seen], field.values[seen, y, x], 1), field.days)
    return values, np.full(values.shape, np.float32(0.1))


def make_trend() -> np.ndarray:
    slopes = np.linspace(0.2, 0.4, ROWS * COLUMNS).reshape(ROWS, COLUMNS)
    return 15 + slopes * np.arange(DATES)[:, None, None]


def test_a_method_that_knows_the_trend_is_delivered():
    made = forecast(make_record(make_trend()), days=3, method=extrapolate, starts=4)
    assert made.sizes == {"time": 3, "lat": ROWS, "lon": COLUMNS}
    assert list(made.time.dt.day.values) == [31, 1, 2]
    expected = 15 + np.linspace(0.2, 0.4, ROWS * COLUMNS) * 31  # two steps ahead
    assert made.sst[1].to_numpy().ravel() == pytest.approx(expected, abs=1e-3)
    assert made.attrs["delivered"] == "method, method, method"
    assert max(made.attrs["rmse_method"]) < 1e-3
    # persistence is behind by the slope times the lead: the root mean square of the slopes is 0.306
    assert made.attrs["rmse_persistence"] == pytest.approx([0.306, 0.611, 0.917], rel=0.03)
    assert float(made.sst_error.max()) < 0.01, "the error of the method is scaled to its residuals"
    assert made.sst_error.attrs["units"] == "degree_Celsius"


def test_persistence_is_delivered_where_a_method_is_worse():
    def wrong(field):
        values, error = extrapolate(field)
        return values + np.float32(5), error

    made = forecast(make_record(make_trend()), days=2, method=wrong, starts=4)
    assert "method" not in made.attrs["delivered"]
    assert made.attrs["rmse_method"] == pytest.approx([5, 5], rel=1e-3)


def test_damped_persistence_halves_an_anomaly_of_that_memory():
    """Of an autoregressive series with r = 0.5, the best forecast is the anomaly times r to the lead."""
    rng = np.random.default_rng(0)
    values = np.zeros((100, 12, 16))
    for t in range(1, len(values)):
        values[t] = 0.5 * values[t - 1] + np.sqrt(0.75) * rng.standard_normal(values.shape[1:])

    def keep(field):
        """The observations, and the mean where nothing is observed."""
        return np.nan_to_num(field.values), np.ones(field.values.shape, np.float32)

    record = make_record(values, missing=0)
    made = forecast(record, days=2, method=keep, starts=8)
    first, second = made.attrs["rmse_damped_persistence"]
    assert first == pytest.approx(np.sqrt(1 - 0.5**2), rel=0.08)
    assert second == pytest.approx(np.sqrt(1 - 0.5**4), rel=0.08)
    assert made.attrs["rmse_persistence"][0] == pytest.approx(1, rel=0.08)
    assert made.attrs["delivered"].startswith("damped persistence")
    ratio = (made.sst[0] * record.sst[-1]).sum() / (record.sst[-1] ** 2).sum()
    assert float(ratio) == pytest.approx(0.5, abs=0.06)
    assert float(made.sst_error[0, 0, 0]) == pytest.approx(np.sqrt(0.75), rel=0.08)


def test_what_cannot_be_forecast_is_refused_in_a_sentence():
    record = make_record(make_trend())
    with pytest.raises(InputError, match="at least one step of 1 days ahead"):
        forecast(record, days=0.2)
    with pytest.raises(InputError, match=r"30 dates are too few for 6 starts of 12 steps"):
        forecast(record, days=12)
    record["sst"][20:] = np.nan
    with pytest.raises(InputError, match="no value is observed 1 steps after"):
        forecast(record, days=2, method=extrapolate, starts=3)
