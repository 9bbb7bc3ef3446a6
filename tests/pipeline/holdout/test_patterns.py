"""Which values are hidden."""

from dataclasses import replace

import numpy as np
import pytest
from fields import cloudy_field
from oceanfill.pipeline.holdout.patterns import (
    HOLDOUTS,
    count_missing_dates,
    distance_and_age,
    draw_cloud_gaps,
    hide_clouds,
    hide_pixels,
)
from oceanfill.pipeline.io.field import grid_spacing


def test_count_missing_dates_count_the_dates_before_and_after():
    observed = np.array([1, 0, 0, 1, 0], dtype=bool).reshape(5, 1, 1)
    before, after = count_missing_dates(observed)
    assert before.ravel().tolist() == [0, 0, 1, 2, 0]
    assert after.ravel().tolist() == [2, 1, 0, 1, 0]


def test_cloud_gaps_pair_an_observed_cell_with_a_missing_one_of_the_same_pixel():
    field = cloudy_field()
    found = draw_cloud_gaps(field, 500, np.random.default_rng(0))
    assert len(found.target) == 500
    assert field.observed[tuple(found.target.T)].all()
    assert not field.observed[tuple(found.model.T)].any()
    np.testing.assert_array_equal(found.target[:, 1:], found.model[:, 1:])
    before, after = (run[tuple(found.model.T)] for run in count_missing_dates(field.observed))
    whole = (found.before == before) & (found.after == after)
    assert whole[(before + after) > 0].mean() == pytest.approx(0.5, abs=0.1)  # the others are of one date
    assert ((found.before == 0) & (found.after == 0))[~whole].all()


@pytest.mark.parametrize("share", [0.1, 0.3])
def test_hidden_values_are_observed_and_have_the_shape_of_other_dates_clouds(share):
    field = cloudy_field()
    hidden = hide_clouds(field, share, np.random.default_rng(1))
    assert not (hidden & ~field.observed).any()
    assert share <= hidden.sum() / field.observed.sum() < share + 0.15
    for date in np.flatnonzero(hidden.any(axis=(1, 2))):
        clouds = [
            np.array_equal(hidden[date], field.observed[date] & field.sea & ~field.observed[other])
            for other in range(len(hidden))
        ]
        assert any(clouds), f"the values hidden on date {date} are not under the clouds of another date"
        assert (field.observed[date] & ~hidden[date]).sum() >= 0.1 * field.observed[date].sum()


def unseen_pixels():
    """A field of which a fifth of the pixels is never observed, in squares of 2 x 2; where those are."""
    field = cloudy_field(dates=12, rows=40, columns=50)
    squares = np.random.default_rng(7).random((20, 25)) < 0.2
    unseen = np.kron(squares, np.ones((2, 2), bool)) & field.sea
    field.values[:, unseen] = np.nan
    return field, field.sea & ~field.observed.any(axis=0)


def test_pixels_are_hidden_on_all_dates_as_often_as_gaps_are_of_such():
    """Pieces fill their share up to one of them, at most 2% of the values; clouds hide the others."""
    field, unseen = unseen_pixels()
    part = unseen.sum() * 12 / (field.sea & ~field.observed).sum()
    (whole,) = hide_pixels([field], 1, 0.2, np.random.default_rng(0))
    np.testing.assert_array_equal(whole, field.observed & whole.any(axis=0))
    number = field.observed.sum()
    assert 0.2 * part - 0.02 < whole.sum() / number <= 0.2 * part
    hidden = hide_clouds(field, 0.2, np.random.default_rng(0))
    assert hidden[whole].all()
    assert 0.2 <= hidden.sum() / number < 0.35


def test_pixels_that_are_hidden_on_all_dates_lie_as_those_that_are_never_observed():
    """Just one of 40 x 50 steps moves them onto all hidden pixels; a random pattern has none (1 in 1e28)."""
    field, unseen = unseen_pixels()
    (whole,) = hide_pixels([field], 1, 0.2, np.random.default_rng(0))
    hidden = whole.any(axis=0)
    assert hidden.sum() >= 40
    steps = [(y, x) for y in range(40) for x in range(50)]
    assert sum(np.roll(unseen, step, axis=(0, 1))[hidden].all() for step in steps) == 1


def test_few_pixels_that_are_never_observed_are_neglected():
    field = cloudy_field(dates=30, rows=40, columns=50)
    field.values[:, 20, 20] = np.nan
    assert not np.any(hide_pixels([field], 1, 0.2, np.random.default_rng(0)))


def test_hidden_values_do_not_count_as_never_observed():
    field = cloudy_field(dates=30, rows=40, columns=50)
    squares = np.kron(np.random.default_rng(7).random((20, 25)) < 0.2, np.ones((2, 2), bool))
    known = field.hide(field.observed & squares)
    assert np.any(hide_pixels([known], 1, 0.2, np.random.default_rng(0)))
    assert not np.any(hide_pixels([known], 1, 0.2, np.random.default_rng(0), [field]))
    plain = hide_clouds(known, 0.2, np.random.default_rng(1), field)
    assert not (plain.any(axis=0) & ~(known.observed & ~plain).any(axis=0)).any()


def test_the_same_seed_hides_the_same():
    field = cloudy_field()
    first, second = (hide_clouds(field, 0.2, np.random.default_rng(5)) for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_whole_pieces_are_hidden_and_the_largest_of_a_date_is_kept():
    field = cloudy_field(dates=6, rows=12, columns=14)
    field.values[:] = np.nan
    for row, width in ((2, 3), (5, 9), (8, 4)):  # three tracks a date
        field.values[:, row, 4 : 4 + width] = 1.0
    hidden = HOLDOUTS["tracks"](field, 0.3, np.random.default_rng(0))
    assert not hidden[:, 5].any()
    pieces = hidden[:, [2, 8], 4:8].sum(axis=2)
    assert set(pieces[:, 0]) <= {0, 3}
    assert set(pieces[:, 1]) <= {0, 4}
    assert 0.3 - 4 / 96 < hidden.sum() / 96 <= 0.3


def test_single_values_are_hidden_anywhere():
    field = cloudy_field()
    hidden = HOLDOUTS["random"](field, 0.2, np.random.default_rng(0))
    assert not (hidden & ~field.observed).any()
    assert hidden.sum() / field.observed.sum() == pytest.approx(0.2, abs=0.01)
    neighbours = hidden[:, 1:] & hidden[:, :-1]
    pairs = field.observed[:, 1:] & field.observed[:, :-1]
    assert neighbours.sum() / pairs.sum() == pytest.approx(0.04, abs=0.01)


def test_whole_dates_are_hidden():
    field = cloudy_field()
    hidden = HOLDOUTS["dates"](field, 0.25, np.random.default_rng(0))
    dates = hidden.any(axis=(1, 2))
    np.testing.assert_array_equal(hidden[dates], field.observed[dates])
    assert 0.15 < hidden.sum() / field.observed.sum() <= 0.25
    assert HOLDOUTS["dates"](field, 1e-6, np.random.default_rng(0)).any(axis=(1, 2)).sum() == 1


@pytest.mark.parametrize("share", [0.02, 0.2])
def test_values_under_simulated_altimeters_are_hidden(share):
    field = cloudy_field(dates=8)
    hidden = HOLDOUTS["altimeters"](field, share, np.random.default_rng(0))
    assert not (hidden & ~field.observed).any()
    assert share - 0.02 < hidden.sum() / field.observed.sum() <= share
    kept = (field.observed & ~hidden).sum(axis=(1, 2))
    assert (kept >= 0.1 * field.observed.sum(axis=(1, 2))).all()
    again = HOLDOUTS["altimeters"](field, share, np.random.default_rng(0))
    np.testing.assert_array_equal(hidden, again)


def test_an_altimeter_hides_a_line_on_a_date():
    field = cloudy_field(dates=2, rows=40, columns=48)
    field.values[:, field.sea] = 1.0
    hidden = HOLDOUTS["altimeters"](field, 0.015, np.random.default_rng(2))
    date = hidden[hidden.any(axis=(1, 2))][0]
    row, column = np.nonzero(date)
    assert row.size > 20
    line = np.polyval(np.polyfit(row, column, 1), row)
    assert np.abs(column - line).max() < 1  # cell


def test_distance_and_age_are_those_of_the_nearest_value():
    field = cloudy_field(dates=9, rows=12, columns=14)
    field = replace(field, days=field.days + np.array([0, 0, 0, 1, 1, 4, 4, 4, 4.5]))
    field = field.hide(field.observed & (np.arange(9) == 4)[:, None, None])
    distance, age = distance_and_age(field)
    assert np.isinf(distance[4]).all()
    _, rows, columns = grid_spacing(field)
    for t, y, x in [(0, 6, 7), (3, 2, 5), (5, 10, 6), (8, 3, 13)]:
        seen = np.argwhere(field.observed[t])
        expected = np.hypot((seen[:, 0] - y) * rows, (seen[:, 1] - x) * columns).min()
        assert distance[t, y, x] == pytest.approx(expected, rel=1e-6)
        expected = np.abs(field.days[field.observed[:, y, x]] - field.days[t]).min(initial=np.inf)
        assert age[t, y, x] == pytest.approx(expected)
