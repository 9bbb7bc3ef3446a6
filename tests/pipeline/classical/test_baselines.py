"""The simplest methods, on fields with known answers."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from fields import cloudy_field
from oceanfill.pipeline.classical.baselines import (
    build_spatial_structure,
    climatology,
    linear_in_space,
    linear_in_space_time,
    linear_in_time,
    nearest,
    persistence,
)
from oceanfill.pipeline.holdout.scores import coverage


def plane(field):
    """A field that is linear in time, latitude and longitude, under the same clouds."""
    truth = 3 + 0.5 * field.days[:, None, None] + 2 * field.lat - 4 * field.lon
    return replace(field, values=np.where(field.observed, truth, np.nan).astype(np.float32)), truth


def test_climatology_is_the_mean_of_each_pixel():
    field = cloudy_field()
    mean, error = climatology(field)
    y, x = 10, 12
    assert mean[:, y, x] == pytest.approx(np.nanmean(field.values[:, y, x]), rel=1e-5)
    assert error[0, y, x] == pytest.approx(np.nanstd(field.values[:, y, x]), rel=1e-4)
    assert np.isnan(mean[:, ~field.sea]).all()
    assert np.isfinite(mean[:, field.sea]).all()


def test_linear_in_time_is_exact_between_dates_and_constant_outside():
    field, truth = plane(cloudy_field())
    mean, _ = linear_in_time(field)
    first, last = field.observed.argmax(axis=0), len(truth) - 1 - field.observed[::-1].argmax(axis=0)
    dates = np.arange(len(truth))[:, None, None]
    between = field.sea & (dates >= first) & (dates <= last) & field.observed.any(axis=0)
    np.testing.assert_allclose(mean[between], truth[between], atol=1e-3)
    y, x = np.argwhere((first > 0) & field.sea & field.observed.any(axis=0))[0]
    assert mean[0, y, x] == pytest.approx(field.values[first[y, x], y, x])


def test_linear_in_space_is_exact_inside_the_observations_of_a_date():
    field, truth = plane(cloudy_field())
    mean, _ = linear_in_space(field)
    t, y, x = 5, *np.argwhere(field.observed[5]).mean(axis=0).round().astype(int)
    hole = np.zeros(field.values.shape, bool)
    hole[t, y - 1 : y + 2, x - 1 : x + 2] = True
    mean, _ = linear_in_space(field.hide(hole))
    inside = hole & field.sea
    np.testing.assert_allclose(mean[inside], truth[inside], atol=2e-3)


def test_a_date_without_values_is_filled_in_time():
    field, truth = plane(cloudy_field())
    empty = field.hide((np.arange(len(truth)) == 7)[:, None, None])
    np.testing.assert_array_equal(linear_in_space(empty)[0][7], linear_in_time(empty)[0][7])


def three_years():
    """A field of 36 dates a year whose pixels have a mean and a cycle of their own, a third of it hidden."""
    field = cloudy_field(dates=108, rows=6, columns=7)
    days = 10.0 * np.arange(108)
    season = days / 365.25 % 1
    y, x = np.mgrid[:6, :7]
    phase = 2 * np.pi * season[:, None, None]
    truth = 10 + y + (3 + x) * np.cos(phase) + np.sin(2 * phase)
    seen = field.sea & (np.random.default_rng(0).random(truth.shape) > 1 / 3)
    values = np.where(seen, truth, np.nan).astype(np.float32)
    return replace(field, values=values, days=days, season=season), truth


def test_climatology_of_a_long_record_has_the_season_of_each_pixel():
    field, truth = three_years()
    mean, error = climatology(field)
    np.testing.assert_allclose(mean[:, field.sea], truth[:, field.sea], atol=0.5)  # the ridge: 1 of 36 values
    assert error[:, field.sea].max() < 0.3
    short = replace(field, values=field.values[:50], days=field.days[:50], season=field.season[:50])
    y, x = np.argwhere(field.sea)[0]
    assert climatology(short)[0][:, y, x] == pytest.approx(np.nanmean(field.values[:50, y, x]), rel=1e-5)


def test_persistence_is_the_last_value_and_before_it_the_first():
    field = cloudy_field(dates=6)
    y, x = np.argwhere(field.sea)[0]
    values = field.values.copy()
    values[:, y, x] = [np.nan, 3, np.nan, np.nan, 5, np.nan]
    mean, error = persistence(replace(field, values=values))
    np.testing.assert_array_equal(mean[:, y, x], [3, 3, 3, 3, 5, 5])
    assert error[1, y, x] < error[2, y, x] < error[3, y, x]
    assert error[0, y, x] == error[2, y, x] == error[5, y, x]


def test_nearest_is_the_observation_at_the_least_distance():
    field = cloudy_field(dates=8, rows=10, columns=12)
    values = 1000 * np.arange(8)[:, None, None] + np.arange(120).reshape(10, 12)  # each value is unique
    values = np.where(field.observed, values, np.nan).astype(np.float32)
    mean, error = nearest(replace(field, values=values))
    seen = np.argwhere(field.observed)
    # Differences of dates are a thousand times those of cells, so another date is never nearer.
    for t, y, x in np.argwhere(field.sea & ~field.observed & field.observed.any(axis=(1, 2))[:, None, None])[
        ::17
    ]:
        off = np.sqrt(50**2 * (seen[:, 0] - t) ** 2 + (seen[:, 1] - y) ** 2 + (seen[:, 2] - x) ** 2)
        assert mean[t, y, x] in values[tuple(seen[np.isclose(off, off.min())].T)]
    assert (error[:, field.sea] > 0).all()


def random_walk():
    """A field whose pixels walk at random, one step of variance one a day, and its truth."""
    field = cloudy_field(dates=64, rows=30, columns=30)
    steps = np.random.default_rng(0).standard_normal(field.values.shape)
    truth = np.cumsum(steps, axis=0)
    return replace(field, values=np.where(field.observed, truth, np.nan).astype(np.float32)), truth


def test_the_error_in_time_is_that_of_a_bridge_between_two_dates():
    field, truth = random_walk()
    mean, error = linear_in_time(field)
    gaps = field.sea & ~field.observed
    dates = np.flatnonzero(field.observed[:, 15, 15])
    start, end = next((i, j) for i, j in pairwise(dates) if j - i > 2)
    ages = np.arange(1, end - start)
    expected = np.sqrt(ages * (end - start - ages) / (end - start))
    np.testing.assert_allclose(error[start + 1 : end, 15, 15], expected, rtol=0.2)
    hidden = np.where(gaps & field.observed.any(axis=0), truth, np.nan)
    assert coverage(mean, error, hidden) == pytest.approx(0.683, abs=0.05)
    assert coverage(*persistence(field), hidden) == pytest.approx(0.683, abs=0.05)


def test_the_error_in_space_grows_with_the_distance_as_the_differences_do():
    field, _ = plane(cloudy_field())
    flat = replace(field, values=np.where(field.observed, 2 * np.arange(24), np.nan).astype(np.float32))
    # Neighbours along a row differ by 2, along a column by nothing.
    rows, columns = (np.isfinite(np.diff(flat.values, axis=axis)).sum() for axis in (1, 2))
    assert build_spatial_structure(flat)(1) == pytest.approx(4 * columns / (rows + columns))


def test_linear_in_space_and_time_is_weighted_by_their_errors():
    field, _ = plane(cloudy_field())
    (time, time_error), (space, space_error), (both, error) = (
        method(field) for method in (linear_in_time, linear_in_space, linear_in_space_time)
    )
    weight = time_error**2 / (time_error**2 + space_error**2)
    np.testing.assert_allclose(both, time + weight * (space - time), rtol=1e-5)
    np.testing.assert_allclose(error**-2.0, time_error**-2.0 + space_error**-2.0, rtol=1e-4)
