"""How much of a correction is delivered."""

import numpy as np
import pytest
from oceanfill.pipeline.holdout.shrinkage import PRIOR, Shrinkage, find_prior, fit_shrinkage
from scipy import stats


def fitted(change, error, group, *, claimed=None, weight=None, **options):
    """Of a first guess that misses by ``error`` (n,) and a correction by ``change`` (n,)."""
    zero = np.zeros(len(error))
    return fit_shrinkage(
        error,
        zero + 1 if claimed is None else claimed,
        error + change,
        zero,
        zero + 1 if weight is None else weight,
        [group],
        **options,
    )


@pytest.fixture
def error():
    return np.random.default_rng(0).standard_normal(4000)


DATE = np.repeat(np.arange(40), 100)


def test_noise_has_a_small_share_and_the_truth_all_of_it(error):
    noise = np.random.default_rng(1).standard_normal(4000)
    assert fitted(noise, error, DATE).average == pytest.approx(0, abs=0.03)
    assert fitted(-error, error, DATE).average == pytest.approx(1, abs=2e-3)
    assert fitted(-2 * error, error, DATE).average == pytest.approx(0.5, abs=1e-3)
    assert fitted(0.5 * error, error, DATE).average == 0, "no correction is turned round"


def test_the_share_is_that_of_least_squares_where_the_groups_agree(error):
    """A correction of half of the error, with twice as much noise: the share is 0.5 / (0.25 + 1)."""
    noise = np.random.default_rng(1).standard_normal(4000)
    change = -0.5 * error + 1.0 * noise
    expected = -(change @ error) / (change @ change)
    assert expected == pytest.approx(0.4, abs=0.03)
    found = fitted(change, error, DATE, classes=1).average
    assert expected - 0.04 < found < expected, "a standard error less"
    weight = np.where(DATE < 20, 0.0, 3.0)
    late = DATE >= 20
    expected = -(change[late] @ error[late]) / (change[late] @ change[late])
    found = fitted(change, error, DATE, classes=1, weight=weight).average
    assert expected - 0.06 < found < expected


def test_three_groups_have_the_standard_error_of_student(error):
    change, group = np.random.default_rng(2).standard_normal(300) - 0.5 * error[:300], DATE[:300]
    gram = np.bincount(group, change**2)
    moment = np.bincount(group, -change * error[:300])
    off = moment - moment.sum() / gram.sum() * gram
    noise = stats.t.ppf(0.8413447, 2) ** 2 * 3 / 2 * (off**2).sum() / gram.sum()
    penalty = noise / (0.3**2 + 0.15**2)
    mean = (moment.sum() + 0.5 * penalty) / (gram.sum() + penalty)
    expected = mean - np.sqrt(noise / (gram.sum() + penalty))
    assert fitted(change, error[:300], group, classes=1).average == pytest.approx(expected, rel=1e-5)


def test_groups_that_disagree_or_are_few_leave_the_prior(error):
    """On two dates the correction helps as much as it harms on two others."""
    sign = np.where(DATE[:400] % 2, 1.0, -0.9)
    change = 0.7 * sign * error[:400]
    found = fitted(change, error[:400], DATE[:400], prior=0.5, classes=1)
    assert 0 < found.average < 0.2
    at_one = fitted(-error[:100], error[:100], DATE[:100], prior=0.5)
    least = 0.5 - np.hypot(0.3, 0.15)
    assert at_one.average == pytest.approx(least)
    np.testing.assert_allclose(at_one.apart, least)


def test_more_groups_move_it_further_from_the_prior(error):
    """Of corrections that are twice too large on average, and differ from date to date."""
    shared = np.random.default_rng(2).standard_normal(40)[DATE]
    change = -2 * (1 + 0.7 * shared) * error
    found = [
        fitted(change[: 100 * dates], error[: 100 * dates], DATE[: 100 * dates], prior=1.0, classes=1)
        for dates in (2, 40)
    ]
    whole = -(change @ error) / (change @ change)
    assert found[1].average == pytest.approx(whole, abs=0.05)
    assert found[0].average > found[1].average + 0.1


def test_classes_of_error_have_shares_of_their_own(error):
    """Half of a correction is right where the first guess is sure, and all of it where it is not."""
    claimed = np.exp(np.random.default_rng(1).uniform(-1, 1, 4000))
    wrong = error * claimed
    change = np.where(claimed < 1, -2, -1) * wrong
    found = fitted(change, wrong, DATE, claimed=claimed).shrinkage
    assert len(found.shares) == 4
    assert list(found.errors) == sorted(found.errors)
    assert found.share(np.array([0.4]))[0] == pytest.approx(0.5, abs=0.1)
    assert found.share(np.array([2.5]))[0] == pytest.approx(1.0, abs=0.05)
    between = found.share(np.array([0.4, 0.7, 1.0, 1.4, 2.5]))
    assert between[0] < between[2] < between[4]
    alike = fitted(change, wrong, DATE, claimed=1 + 0.01 * claimed).shrinkage
    assert len(alike.shares) == 1


def test_each_group_is_judged_by_the_others():
    """Half right on nine dates and wrong on the tenth, which lowers the share of the others."""
    rng = np.random.default_rng(0)
    error, noise = rng.standard_normal((2, 1000))
    date = np.repeat(np.arange(10), 100)
    change = np.where(date == 3, 1, -1) * error + noise
    found = fitted(change, error, date, classes=1)
    assert len(np.unique(found.apart)) == 10
    assert (found.apart[date == 3] > found.apart[date != 3].max() + 0.05).all()
    assert found.average < found.apart[date == 3][0]


def test_a_mixture_lies_between_and_is_as_unsure_as_both_and_their_difference():
    guess = np.array([1.0, np.nan, 4.0]), np.array([0.5, np.nan, 2.0])
    corrected = np.array([3.0, np.nan, 4.0]), np.array([0.1, np.nan, 2.0])
    mean, error = Shrinkage([0.5, 2.0], [0.25, 0.75]).mix(guess, corrected)
    np.testing.assert_allclose(mean, [1.5, np.nan, 4.0], rtol=1e-6)
    expected = np.sqrt(0.75 * 0.25 + 0.25 * 0.01 + 0.25 * 0.75 * 4)
    np.testing.assert_allclose(error, [expected, np.nan, 2.0], rtol=1e-6)
    at = Shrinkage([0.5, 2.0], [0.25, 0.75]).share(np.array([0.1, 1.0, 9.0]))
    np.testing.assert_allclose(at, [0.25, 0.5, 0.75], rtol=1e-6)
    for share, one in ((0.0, guess), (1.0, corrected)):
        for part, same in zip(Shrinkage([1.0], [share]).mix(guess, corrected), one, strict=True):
            np.testing.assert_allclose(part, same, rtol=1e-6)


def test_kinds_of_corrections_have_priors_of_their_own():
    assert (find_prior("unet"), find_prior("pretrained")) == (PRIOR, 0.7)
