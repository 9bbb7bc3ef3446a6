"""The first guess under further gaps: nothing of what is hidden is in it."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from fields import cloudy_field
from oceanfill.pipeline.classical.kriging import Kriging, pixel_means
from oceanfill.pipeline.classical.neighbours import Component, Scales
from oceanfill.pipeline.holdout.patterns import hide_clouds
from oceanfill.pipeline.holdout.splits import difficulty_weights
from oceanfill.pipeline.training.firstguess import PixelMeans, make_guess, make_masked_copy, measure_spread

torch.set_num_threads(1)
KRIGING = Kriging(Scales((Component(9.0, 30.0, 4.0),), 0.01), neighbours=12)
GUESSES = [pytest.param(KRIGING, id="oi"), pytest.param(PixelMeans(3.0), id="none")]
each = pytest.mark.parametrize("kriging", GUESSES)


@pytest.fixture
def field():
    return cloudy_field(dates=12, rows=12, columns=14)


@pytest.fixture
def hidden(field):
    return hide_clouds(field, 0.2, np.random.default_rng(0))


def mask(field, hidden, kriging):
    real = np.linspace(0.5, 3, 50, dtype=np.float32)
    return make_masked_copy(field, hidden, real, kriging, "cpu", lambda cells: None)


def changed(field, hidden):
    """The same field with other values where they are hidden."""
    return replace(field, values=np.where(hidden, 40 - 3 * field.values, field.values))


@each
def test_other_hidden_values_leave_the_guess_and_its_error_as_they_are(field, hidden, kriging):
    first, second = (mask(which, hidden, kriging) for which in (field, changed(field, hidden)))
    for one, other in zip(first[1:], second[1:], strict=True):
        assert one.tobytes() == other.tobytes()
    assert torch.equal(first[0].weight, second[0].weight)
    assert not torch.equal(first[0].residual.nan_to_num(), second[0].residual.nan_to_num())


@each
def test_other_hidden_values_leave_what_a_network_sees_as_it_is(field, hidden, kriging):
    first, second = (mask(which, hidden, kriging)[0] for which in (field, changed(field, hidden)))
    assert torch.equal(first.anomaly, second.anomaly)
    assert torch.equal(first.log_error, second.log_error)


@each
def test_residual_times_error_plus_guess_is_the_truth(field, hidden, kriging):
    made, guess, error = mask(field, hidden, kriging)
    residual = made.residual[0].numpy()
    np.testing.assert_array_equal(np.isfinite(residual), hidden)
    back = (residual * error + guess)[hidden]
    np.testing.assert_allclose(back, field.values[hidden], rtol=0, atol=1e-5)
    np.testing.assert_array_equal(np.isfinite(guess), field.sea & ~(field.observed & ~hidden))


def test_residuals_weigh_so_that_they_are_as_hard_as_the_gaps(field, hidden):
    made, _, error = mask(field, hidden, KRIGING)
    expected = difficulty_weights(error[hidden], np.linspace(0.5, 3, 50, dtype=np.float32))
    np.testing.assert_array_equal(made.weight[0].numpy()[hidden], expected)
    assert made.weight[0].numpy()[~hidden].max() == 0


def test_the_guess_of_a_whole_field_is_that_of_its_gaps_and_an_analysis_of_what_is_seen(field):
    done = []
    known, guess, error = make_guess(
        field, np.broadcast_to(field.sea, field.values.shape), KRIGING, "cpu", done.append
    )
    seen = field.observed
    gaps, everywhere = KRIGING(field, ~seen), KRIGING(field, seen)
    for found, gap, analysis in zip((guess, error), gaps, everywhere, strict=True):
        # The cells that are asked for decide the order of sums, and single precision the last digits.
        np.testing.assert_allclose(found[~seen], gap[~seen], rtol=3e-4)
        np.testing.assert_allclose(found[seen], analysis[seen], rtol=3e-4)
    assert sum(done) == field.sea.sum() * len(field.days)
    expected = (np.where(seen, field.values, guess) - pixel_means(field)) / measure_spread(field)
    np.testing.assert_allclose(known.anomaly[0], np.nan_to_num(expected), atol=1e-5)
    np.testing.assert_allclose(
        known.log_error[0].numpy()[seen], np.log(0.1 / measure_spread(field)), rtol=1e-5
    )
    assert known.residual.isnan().all()
    assert not known.weight.any()


def test_spread_is_the_deviation_of_the_anomalies():
    field = cloudy_field(dates=40)
    field.values[:] += np.linspace(0, 50, 24)  # a slope is in the means of the pixels, not in the anomalies
    anomaly = field.values - pixel_means(field)
    assert measure_spread(field) == pytest.approx(anomaly[field.observed].std(), rel=1e-6)
    assert measure_spread(field) < 5 < field.values[field.observed].std()


def test_pixel_means_are_the_mean_with_the_deviation_of_the_field(field):
    done = []
    where = np.zeros_like(field.observed)
    where[3:5] = True
    method = PixelMeans(2.5)
    mean, error = method(field, where, advance=done.append)
    wanted = where & field.sea
    np.testing.assert_allclose(mean[wanted], field.values[field.observed].mean(), rtol=1e-6)  # of few dates
    assert (error[wanted] == 2.5).all()
    assert np.isnan(mean[~wanted]).all()
    assert np.isnan(error[~wanted]).all()
    assert sum(done) == 2 * field.sea.sum()
    assert method.scales.nugget == pytest.approx(0.25**2)
