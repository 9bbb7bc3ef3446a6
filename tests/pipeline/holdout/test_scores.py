"""Scores of values with known answers, and against scoringrules."""

import numpy as np
import pytest
import scoringrules
import xarray as xr
from oceanfill.pipeline.holdout import scores
from scipy.constants import g
from scipy.stats import norm

RADIUS, ROTATION = 6.371e6, 7.2921e-5


@pytest.fixture
def forecast():
    """Estimates with errors of 0.5 to 2, and a truth with gaps that is drawn from them."""
    rng = np.random.default_rng(0)
    estimate, error = rng.standard_normal((2, 20_000))
    error = 0.5 + 1.5 * norm.cdf(error)
    truth = estimate + error * rng.standard_normal(estimate.size)
    truth[::7] = np.nan
    return estimate, error, truth


def test_rmse_bias_and_mae_of_three_values_one_of_which_counts_double():
    estimate, truth, weights = (
        np.array([1.0, 2, 5, 9]),
        np.array([0.0, 4, 5, np.nan]),
        np.array([2.0, 1, 1, 5]),
    )
    assert scores.rmse(estimate, truth, weights) == pytest.approx(np.sqrt((2 * 1 + 4 + 0) / 4))
    assert scores.bias(estimate, truth, weights) == pytest.approx((2 * 1 - 2 + 0) / 4)
    assert scores.mae(estimate, truth, weights) == pytest.approx((2 * 1 + 2 + 0) / 4)


def test_arrays_with_labels_are_matched_by_name_and_areas_by_latitude():
    lat = np.array([0.0, 60.0])
    truth = xr.DataArray([[0.0, 0, 0], [0, 0, 0]], {"lat": lat}, ("lat", "lon"))
    estimate = (truth + np.array([[1.0], [4.0]])).transpose("lon", "lat")
    areas = xr.DataArray(scores.areas(lat), {"lat": lat}, "lat")
    assert scores.bias(estimate, truth, areas) == pytest.approx((1 + 4 * 0.5) / 1.5)


def test_missing_estimates_and_invalid_errors_raise():
    with pytest.raises(ValueError, match="estimate is not finite at 1 of 2"):
        scores.rmse(np.array([np.nan, 1]), np.array([0.0, 1]))
    with pytest.raises(ValueError, match="no finite value"):
        scores.rmse(np.array([1.0]), np.array([np.nan]))
    with pytest.raises(ValueError, match="missing or negative at 1 of 2"):
        scores.coverage(np.zeros(2), np.array([1.0, -1]), np.zeros(2))
    with pytest.raises(ValueError, match="zero at 1 of 2"):
        scores.log_score_gaussian(np.zeros(2), np.array([1.0, 0]), np.zeros(2))


def test_the_interval_of_a_difference_is_that_of_the_jackknife():
    """Groups of correlated errors differ in size; one without a weight changes nothing."""
    rng = np.random.default_rng(0)
    group = np.repeat(np.arange(300), rng.integers(1, 20, 300))
    ours, other = np.exp(0.3 * rng.standard_normal((2, 300)))[:, group] * rng.standard_normal(len(group))
    weight = rng.uniform(0.5, 2, len(group))
    squares = [scores.sums(group, weight * values**2) for values in (ours, other)]
    total = scores.sums(group, weight)

    def excess(kept):
        return np.subtract(*(np.sqrt(part[kept].sum() / total[kept].sum()) for part in squares))

    without = np.array([excess(np.arange(300) != left) for left in range(300)])
    error = np.sqrt(299 / 300 * ((without - without.mean()) ** 2).sum())
    middle = excess(np.ones(300, bool))
    found = scores.rmse_interval(squares[0], total, squares[1], 0.6827)
    assert found == pytest.approx((middle - error, middle + error), abs=0.1 * error)
    more = [np.append(part, 0.0) for part in (*squares, total)]
    assert scores.rmse_interval(more[0], more[2], more[1], 0.6827) == found
    assert scores.rmse_interval(squares[0][:1], total[:1]) == (-np.inf, np.inf)


def test_the_interval_of_few_groups_is_not_too_narrow():
    """Of two groups it reaches from one to the other; of three it holds the truth nearly as often as said."""
    assert scores.rmse_interval(np.array([4.0, 18]), np.array([1.0, 2]), None, 0.6827) == (2, 3)
    squares = np.random.default_rng(0).chisquare(4, (300, 3)) / 4
    found = [scores.rmse_interval(one, np.ones(3), None, 0.6827) for one in squares]
    assert np.mean([low <= 1 <= high for low, high in found]) > 0.57


def test_crps_and_log_score_are_those_of_scoringrules(forecast):
    estimate, error, truth = (part[np.isfinite(forecast[2])] for part in forecast)
    crps = scoringrules.crps_normal(truth, estimate, error).mean()
    logs = scoringrules.logs_normal(truth, estimate, error).mean()
    assert scores.crps_gaussian(*forecast) == pytest.approx(crps, rel=1e-12)
    assert scores.log_score_gaussian(*forecast) == pytest.approx(logs, rel=1e-12)


def test_the_crps_of_an_estimate_without_an_error_is_the_absolute_error():
    assert scores.crps_gaussian(np.array([1.0, 2]), 0.0, np.array([3.0, 2])) == 1


def test_coverage_and_spread_of_an_honest_error_and_of_one_half_as_large(forecast):
    estimate, error, truth = forecast
    assert scores.coverage(estimate, error, truth, 1) == pytest.approx(0.6827, abs=0.01)
    assert scores.spread_skill(estimate, error, truth) == pytest.approx(1, abs=0.02)
    assert scores.coverage(estimate, error / 2, truth, 2) == scores.coverage(estimate, error, truth, 1)
    assert scores.spread_skill(estimate, error / 2, truth) == pytest.approx(0.5, abs=0.01)


def test_pit_is_the_share_of_the_distribution_below_the_truth(forecast):
    estimate, error, truth = forecast
    assert scores.pit(np.array([1.0]), np.array([2.0]), np.array([3.0])) == pytest.approx(norm.cdf(1))
    counts = np.histogram(scores.pit(estimate, error, truth), 10, (0, 1))[0]
    np.testing.assert_allclose(counts / counts.sum(), 0.1, atol=0.01)


def test_reliability_is_the_coverage_at_every_level(forecast):
    estimate, error, truth = forecast
    levels = np.array([0.1, 0.5, norm.cdf(2) - norm.cdf(-2)])
    found = scores.reliability(estimate, error, truth, levels)
    np.testing.assert_allclose(found, levels, atol=0.01)
    assert found[2] == scores.coverage(estimate, error, truth, 2)


def turned_grid(angle):
    """(lat, lon) of a small grid near 40 N that is turned by ``angle`` in degrees."""
    y, x = np.mgrid[-10:11, -10:11] * 0.02
    turn = np.radians(angle)
    return 40 + np.cos(turn) * y + np.sin(turn) * x, 10 + np.cos(turn) * x - np.sin(turn) * y


@pytest.mark.parametrize("angle", [0, 30, 90])
def test_the_gradient_of_a_slope_on_a_turned_grid(angle):
    lat, lon = turned_grid(angle)
    values = np.stack([2 * lat + 3 * lon, 5 * lat - lon])
    degree = np.pi / 180 * RADIUS
    east, north = scores.gradient(values, lat, lon)
    for found, slope in ((north[0], 2), (north[1], 5)):
        np.testing.assert_allclose(found, slope / degree, rtol=1e-9)
    np.testing.assert_allclose(east[0], 3 / (degree * np.cos(np.radians(lat))), rtol=1e-9)


def test_the_gradient_of_a_wave_is_of_second_order():
    errors = []
    for rows in (41, 81):
        lat, lon = np.meshgrid(np.linspace(38, 42, rows), np.linspace(0, 4, rows), indexing="ij")
        _, north = scores.gradient(np.sin(2 * lat), lat, lon)
        exact = 2 * np.cos(2 * lat) / (np.pi / 180 * RADIUS)
        errors.append(np.abs(north - exact)[5:-5].max())
    assert np.log2(errors[0] / errors[1]) == pytest.approx(2, abs=0.1)


def test_geostrophic_velocity_of_a_slope_and_at_the_equator():
    lat, lon = np.meshgrid(np.arange(-10.0, 11), np.arange(350.0, 371) % 360, indexing="ij")  # over Greenwich
    degree = np.pi / 180 * RADIUS
    u, v = scores.geostrophic_velocity(0.1 * lat, lat, lon)
    away = np.abs(lat) >= 5
    f = 2 * ROTATION * np.sin(np.radians(lat[away]))
    np.testing.assert_allclose(u[away], -g * 0.1 / degree / f, rtol=1e-9)
    np.testing.assert_allclose(v[away], 0, atol=1e-12)
    assert np.isnan(u[~away]).all()


def test_rmse_of_gradients_and_velocities_ignores_a_constant_and_measures_a_slope():
    lat, lon = turned_grid(0)
    truth = np.sin(lat) + np.cos(lon)
    assert scores.gradient_rmse(truth + 7, truth, lat, lon) == pytest.approx(0, abs=1e-12)
    slope = 0.1 / (np.pi / 180 * RADIUS)
    assert scores.gradient_rmse(truth + 0.1 * lat, truth, lat, lon) == pytest.approx(slope, rel=1e-6)
    f = 2 * ROTATION * np.sin(np.radians(lat))
    speed = np.sqrt(np.mean((g * slope / f) ** 2))
    assert scores.velocity_rmse(truth + 0.1 * lat, truth, lat, lon) == pytest.approx(speed, rel=1e-6)


@pytest.fixture
def members():
    """Nine members on three dates of 40 cells, and a truth like them, with gaps and an empty date."""
    rng = np.random.default_rng(1)
    truth = rng.standard_normal((3, 5, 8))
    truth[0, :2] = truth[1] = np.nan
    return rng.standard_normal((9, 3, 5, 8)), truth


def test_the_scores_of_members_are_the_fair_ones_of_scoringrules(members):
    drawn, truth = members
    here = np.isfinite(truth)
    crps = scoringrules.crps_ensemble(truth[here], drawn[:, here], m_axis=0, estimator="fair").mean()
    assert scores.crps_ensemble(drawn, truth) == pytest.approx(crps, rel=1e-12)
    fair = []
    for date in (0, 2):
        cells = np.isfinite(truth[date])
        wanted, given = truth[date][cells], drawn[:, date][:, cells]
        fair.append(
            scoringrules.es_ensemble(wanted, given, m_axis=0, v_axis=1, estimator="fair")
            / np.sqrt(cells.sum())
        )
    assert scores.energy_score(drawn, truth) == pytest.approx(np.mean(fair), rel=1e-12)


def test_the_energy_score_depends_on_the_covariance_of_cells():
    rng = np.random.default_rng(2)
    truth = np.repeat(rng.standard_normal((200, 1)), 10, axis=1)  # ten cells of one value
    together = np.repeat(rng.standard_normal((20, 200, 1)), 10, axis=2)
    apart = rng.standard_normal((20, 200, 10))
    assert scores.crps_ensemble(apart, truth) == pytest.approx(
        scores.crps_ensemble(together, truth), rel=0.05
    )
    assert scores.energy_score(together, truth) < 0.9 * scores.energy_score(apart, truth)


def test_the_rank_histogram_counts_the_members_below():
    members = np.array([[0.0, 0, 0, 0], [2, 2, 2, 2]])
    np.testing.assert_array_equal(
        scores.rank_histogram(members, np.array([1.0, 1, 3, np.nan])), [0, 2 / 3, 1 / 3]
    )
