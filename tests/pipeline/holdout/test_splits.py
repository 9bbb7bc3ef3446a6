"""Which hidden values choose, which are scored, and what they weigh."""

import numpy as np
import pytest
from fields import cloudy_field
from oceanfill.pipeline.holdout.patterns import HOLDOUTS
from oceanfill.pipeline.holdout.splits import (
    difficulty_weights,
    error_groups,
    gather_dates,
    hold_out,
    split_hidden,
)


@pytest.fixture(scope="module")
def two_years():
    return cloudy_field(dates=730, rows=10, columns=12)


@pytest.mark.parametrize(
    "how", [how for how in HOLDOUTS if how != "altimeters"]
)  # whose tracks take a minute
@pytest.mark.parametrize("seed", range(3))
def test_both_sets_have_half_of_the_values_and_all_seasons(two_years, how, seed):
    """A season's share in a set is that in both to 0.12: by the largest run of clouds, 6% of the values."""
    sets = hold_out(two_years, 0.2, np.random.default_rng(seed), how)
    number = np.array([one.sum(axis=(1, 2)) for one in sets])
    assert not (number[0] * number[1]).any()  # no date is in both
    assert 0.45 < number[0].sum() / number.sum() < 0.55
    season = (4 * two_years.season).astype(int)
    shares = np.array([np.bincount(season, one, 4) / one.sum() for one in (*number, number.sum(axis=0))])
    assert (shares > 0.05).all()
    np.testing.assert_allclose(shares[:2], np.broadcast_to(shares[2], (2, 4)), atol=0.12)


@pytest.mark.parametrize("seed", range(10))
def test_no_value_is_in_both_sets_and_they_share_no_date(seed):
    """Of 24 dates: no run has more than a fifth of the values, except for the rounding to whole dates."""
    field = cloudy_field()
    validation, test = hold_out(field, 0.2, np.random.default_rng(seed))
    assert not (validation.any(axis=(1, 2)) & test.any(axis=(1, 2))).any()
    assert not ((validation | test) & ~field.observed).any()
    assert 0.4 <= validation.sum() / (validation.sum() + test.sum()) <= 0.6
    again = hold_out(field, 0.2, np.random.default_rng(seed))
    np.testing.assert_array_equal(validation, again[0])
    np.testing.assert_array_equal(test, again[1])


def assigned(number, days=None):
    """V or T for each date with hidden values, of which there are ``number``; a dot for the others."""
    number = np.asarray(number)
    hidden = np.arange(max(number))[None, None, :] < number[:, None, None]
    days = np.arange(len(number), dtype=float) if days is None else np.asarray(days, float)
    ((validation, test),) = split_hidden([hidden], 1, days)
    np.testing.assert_array_equal(validation | test, hidden)
    return "".join(
        "V" if v else "T" if t else "."
        for v, t in zip(validation.any(axis=(1, 2)), test.any(axis=(1, 2)), strict=True)
    )


def test_runs_of_consecutive_dates_alternate_and_stay_together():
    assert assigned(6 * [0, 2, 3, 2, 0]) == ".VVV..TTT." * 3
    # After a run of ten, two of five.
    assert assigned([9, 1, 0, 4, 1, 0, 4, 1, 0, *4 * [9, 1, 0]]) == "VV.TT.TT." + "VV.TT." * 2


def test_long_runs_are_divided():
    """A single run into twenty, one of two years into months; dates that are years apart form no run."""
    assert assigned(10 * [3]) == "VTVTVTVTVT"
    assert assigned(40 * [3]) == 10 * "VVTT"
    found = assigned(730 * [1])
    lengths = [len(run) for run in found.replace("VT", "V T").replace("TV", "T V").split()]
    assert set(lengths) <= {29, 30, 58, 59}  # one set may be given two in a row
    assert 22 <= len(lengths) <= 25
    spans = np.concatenate([1000 * k + np.arange(4) for k in range(6)])
    assert assigned(24 * [1], spans) == 3 * "VVVVTTTT"


@pytest.mark.parametrize("days", [31, 365])
def test_both_sets_see_the_same_state_of_the_sea(days):
    """Hourly or daily dates, all with hidden values: in the mean of slow waves and of a trend."""
    dates = np.linspace(0, days, 720)
    rng = np.random.default_rng(0)
    hidden = np.arange(200)[None, None, :] < rng.integers(1, 200, len(dates))[:, None, None]
    ((validation, test),) = split_hidden([hidden], 1, dates)
    wave = np.sin(2 * np.pi * dates / dates[-1] * 2 + np.arange(8)[:, None])
    for state in (*wave, np.linspace(-1, 1, len(dates))):
        means = [np.average(state, weights=one.sum(axis=(1, 2))) for one in (validation, test)]
        assert abs(np.subtract(*means)) < 0.25 * state.std() * np.sqrt(2)


def test_few_dates_are_divided_by_date_and_one_in_space():
    assert assigned([0, 1, 9]) == ".VT"
    assert assigned([5, 5, 5]) == "VTV"
    field = cloudy_field(dates=2)
    validation, test = hold_out(field, 0.01, np.random.default_rng(0))
    west, east = (np.nonzero(one)[2] for one in (validation, test))
    assert west.max() < east.min()
    assert len(west) <= len(east) <= len(west) + 2 * field.sea.shape[0]


def test_each_variable_counts_equally():
    """Counted as they are, the one value of the last date would go to the validation set."""
    many = np.zeros((4, 1, 300), bool)
    few = np.zeros((4, 1, 300), bool)
    for date, (a, b) in enumerate([(100, 2), (0, 0), (300, 0), (0, 0)]):
        many[date, 0, :a] = True
        few[date, 0, :b] = True
    few[3, 0, :1] = True
    pairs = split_hidden([many, few], 2, np.arange(4.0))
    assert [v.any(axis=(1, 2)).tolist() for v, _ in pairs] == [
        [True, False, False, False],
        [True, False, False, False],
    ]
    assert [t.any(axis=(1, 2)).tolist() for _, t in pairs] == [
        [False, False, True, False],
        [False, False, False, True],
    ]


def test_no_share_hides_nothing():
    validation, test = hold_out(cloudy_field(), 0, np.random.default_rng(0))
    assert not (validation | test).any()


def test_groups_of_errors_are_dates_and_sixteenths_of_the_map():
    where = np.ones((5, 2, 8, 12), bool)
    date, place = error_groups(where)
    np.testing.assert_array_equal(date, np.nonzero(where)[0])
    rows, columns = np.repeat(range(4), 2), np.repeat(range(4), 3)
    expected = np.broadcast_to(4 * rows[:, None] + columns, where.shape)
    np.testing.assert_array_equal(place, expected[where])
    where[:3] = False
    few, date = error_groups(where)
    np.testing.assert_array_equal(few, expected[where])
    np.testing.assert_array_equal(date, np.nonzero(where)[0] - 3)
    where[:4] = False
    (one,) = error_groups(where)
    np.testing.assert_array_equal(one, expected[where])


def test_many_dates_are_gathered_in_runs():
    """Up to ten dates are a group each; then ten runs, and as many as the root of their number from there."""
    np.testing.assert_array_equal(gather_dates(np.array([7, 7, 3, 900])), [1, 1, 0, 2])
    for dates, number in ((9, 9), (10, 10), (50, 10), (400, 20)):
        found = gather_dates(np.repeat(5 * np.arange(dates), 3))
        assert (np.diff(found) >= 0).all()
        sizes = np.bincount(found)
        assert len(sizes) == number
        assert sizes.max() - sizes.min() <= 3  # one date


def test_weights_make_hidden_values_as_difficult_as_the_gaps():
    rng = np.random.default_rng(3)
    real = rng.normal(2, 0.5, 20_000)
    hidden = rng.normal(1.5, 0.5, 20_000)
    weight = difficulty_weights(hidden, real)
    assert np.average(hidden, weights=weight) == pytest.approx(real.mean(), abs=0.05)
    assert np.average(hidden > 2, weights=weight) == pytest.approx(0.5, abs=0.03)
    assert weight.max() <= 10


def test_rounding_does_not_make_a_value_easier():
    """Under a first guess of pixel means all errors are the same, up to rounding."""
    real = np.full(100, 0.3, np.float32)
    hidden = np.array([0.3, np.nextafter(np.float32(0.3), 0), 0.3 - 1e-7], np.float32)
    np.testing.assert_array_equal(difficulty_weights(hidden, real), 1)


def test_hidden_values_easier_than_every_gap_weigh_the_same():
    np.testing.assert_array_equal(difficulty_weights(np.full(5, 0.5), np.ones(50)), 1)
