"""The simplest methods, on fields whose answer is known."""

from dataclasses import replace

import numpy as np
import pytest
from fields import cloudy_field
from oceanfill.pipeline.classical.simple import climatology, linear_in_space, linear_in_time


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


def test_linear_in_space_is_exact_inside_what_a_date_sees():
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
