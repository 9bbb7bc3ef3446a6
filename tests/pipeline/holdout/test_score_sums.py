"""Sums of errors: those of parts add up to the whole, and scores by hand."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oceanfill.pipeline.holdout.score_sums import ScoreSums, rmse_interval
from oceanfill.pipeline.holdout.scores import bias, coverage, crps_gaussian, mae, rmse


def values(number, seed=0):
    """Estimate, standard error, truth, weight and group (n,); some groups have few values or none."""
    rng = np.random.default_rng(seed)
    error = rng.uniform(0.2, 2, number)
    truth = 10 * rng.standard_normal(number)
    mean = truth + 0.3 + error * rng.standard_normal(number)
    return mean, error, truth, rng.uniform(0.1, 3, number), rng.integers(-3, 9, number) ** 2


def pick(arrays, where):
    return [array[where] for array in arrays]


@given(st.data(), st.integers(0, 2**32 - 1))
@settings(max_examples=100, deadline=None)
def test_sums_of_parts_add_up_to_the_scores_of_the_whole(data, seed):
    """Parts are drawn at random, may be empty, and divide groups; one of them may lack a standard error."""
    part = np.array(data.draw(st.lists(st.integers(0, 4), min_size=2, max_size=80)))
    arrays = values(len(part), seed)
    whole = ScoreSums.from_estimate(*arrays)
    parts = [ScoreSums.from_estimate(*pick(arrays, part == k)) for k in data.draw(st.permutations(range(5)))]
    added = sum(parts, ScoreSums.empty())
    np.testing.assert_array_equal(added.group, np.unique(arrays[4]))
    assert added.to_dict() == pytest.approx(whole.to_dict(), rel=1e-12, abs=1e-12)
    assert added.rmse_interval() == pytest.approx(whole.rmse_interval(), rel=1e-12)
    assert added.n == len(part)
    some = arrays[4][:1]
    here = arrays[4] == some
    assert added.select(some).to_dict() == pytest.approx(
        ScoreSums.from_estimate(*pick(arrays, here)).to_dict(), rel=1e-12, abs=1e-12
    )


def test_scores_are_those_of_the_functions_of_all_values():
    mean, error, truth, weight, group = values(5000)
    sums = ScoreSums.from_estimate(mean, error, truth, weight, group)
    assert sums.rmse == pytest.approx(rmse(mean, truth, weight), rel=1e-12)
    assert sums.bias == pytest.approx(bias(mean, truth, weight), rel=1e-12)
    assert sums.mae == pytest.approx(mae(mean, truth, weight), rel=1e-12)
    assert sums.crps == pytest.approx(crps_gaussian(mean, error, truth, weight), rel=1e-12)
    for k in (1, 2):
        assert sums.coverage(k) == pytest.approx(coverage(mean, error, truth, k, weight), rel=1e-12)


def test_scores_by_hand_and_of_a_selected_group():
    """Errors 1, -2 and 4 of weights 2, 1 and 1; the last is of another group and within two errors."""
    sums = ScoreSums.from_estimate(
        np.array([1.0, 0, 7]),
        np.array([1.0, 1, 3]),
        np.array([0.0, 2, 3]),
        np.array([2.0, 1, 1]),
        np.array([5, 5, 2]),
    )
    assert (sums.n, sums.group.tolist()) == (3, [2, 5])
    assert sums.rmse == pytest.approx(np.sqrt((2 * 1 + 4 + 16) / 4))
    assert sums.bias == pytest.approx((2 * 1 - 2 + 4) / 4)
    assert sums.mae == pytest.approx((2 * 1 + 2 + 4) / 4)
    assert (sums.coverage(1), sums.coverage(2)) == (0.5, 1)
    assert sums.select([5]).rmse == pytest.approx(np.sqrt((2 * 1 + 4) / 3))
    np.testing.assert_allclose(sums.by_group("square"), [16, 6])


def test_values_without_a_standard_error_count_in_all_but_crps_and_coverage():
    mean, error, truth, weight, group = values(300)
    bare = ScoreSums.from_estimate(mean, None, truth, weight, group)
    assert set(bare.to_dict()) == {"n", "rmse", "bias", "mae"}
    far = ScoreSums.from_estimate(mean + 5, error, truth, weight, group)
    both = bare + far
    assert (both.n, both.n_with_error) == (600, 300)
    assert both.crps == pytest.approx(far.crps, rel=1e-12)
    assert both.coverage(2) == pytest.approx(far.coverage(2), rel=1e-12)
    assert both.bias == pytest.approx(bare.bias + 2.5, rel=1e-9)


def test_the_interval_is_that_of_the_bootstrap_over_groups():
    mean, error, truth, weight, group = values(400)
    ours = ScoreSums.from_estimate(mean, error, truth, weight, group)
    other = ScoreSums.from_estimate(truth + 2 * (mean - truth), None, truth, weight, group)
    labels = np.unique(group)
    squares, total = (
        np.array([part[group == label].sum() for label in labels])
        for part in (weight * (mean - truth) ** 2, weight)
    )
    assert ours.rmse_interval(level=0.9) == pytest.approx(rmse_interval(squares, total, None, 0.9), rel=1e-12)
    # Twice the errors: the difference is the RMSE itself, in every draw.
    low, high = ours.rmse_interval()
    assert other.rmse_interval(ours) == pytest.approx((low, high), rel=1e-12)
    assert ours.rmse_interval(other) == pytest.approx((-high, -low), rel=1e-12)


def test_what_cannot_be_summed_or_compared_is_an_error():
    mean, error, truth, weight, group = values(20)
    with pytest.raises(ValueError, match="no value with a weight"):
        _ = ScoreSums.empty().rmse
    with pytest.raises(ValueError, match="no value with a weight"):
        _ = ScoreSums.from_estimate(mean, None, truth, weight, group).crps
    with pytest.raises(ValueError, match="not within 3"):
        ScoreSums.from_estimate(mean, error, truth, weight, group).coverage(3)
    with pytest.raises(ValueError, match="differ in shape"):
        ScoreSums.from_estimate(mean, error, truth[1:], weight, group)
    for position, wrong, message in (
        (0, np.nan, "estimate is not finite at 1 of 20"),
        (1, -1.0, "standard error is missing or negative at 1 of 20"),
        (2, np.inf, "truth is not finite at 1 of 20"),
        (3, np.nan, "weight is missing or negative at 1 of 20"),
    ):
        arrays = [array.copy() for array in (mean, error, truth, weight)]
        arrays[position][7] = wrong
        with pytest.raises(ValueError, match=message):
            ScoreSums.from_estimate(*arrays, group)
    ours = ScoreSums.from_estimate(mean, error, truth, weight, group)
    with pytest.raises(ValueError, match="do not refer to the same values"):
        ours.rmse_interval(ours.select(ours.group[1:]))
    with pytest.raises(ValueError, match="do not refer to the same values"):
        ours.rmse_interval(ScoreSums.from_estimate(mean, error, truth, 2 * weight, group))
