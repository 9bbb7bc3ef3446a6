"""What a network sees, channel by channel, on a field of which every number is known."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from fields import cloudy_field
from hypothesis import given, settings
from hypothesis import strategies as st
from oceanfill.pipeline.classical.neighbours import Component, Scales
from oceanfill.pipeline.training.features import (
    NetworkInputs,
    StaticFeatures,
    assemble_inputs,
    count_channels,
    describe_scales,
    find_lags,
    find_sea_channel,
    make_general_features,
    make_network_inputs,
    make_static_features,
    stack_variables,
)

ALL = slice(None)


def numbered(dates=5, rows=3, columns=4):
    """Network inputs whose anomalies are 1, 2, 3... by date and whose log errors are -1, -2, -3..."""
    day = torch.arange(1.0, dates + 1)[None, :, None, None].expand(-1, -1, rows, columns)
    place = torch.arange(3.0 * rows * columns).reshape(3, rows, columns)
    season = torch.stack([torch.arange(dates) + 0.1, torch.arange(dates) + 0.2], 1)
    return NetworkInputs(day, -day, day, day, day), StaticFeatures(place, season)


def test_channels_are_anomalies_then_log_errors_then_position_mask_and_season():
    known, static = numbered()
    seen = assemble_inputs(known, static, 2, 3, slice(1, 3), slice(2, 4))
    assert seen.shape == (count_channels(3), 2, 2)
    assert seen[:6, 0, 0].tolist() == [2, 3, 4, -2, -3, -4]
    torch.testing.assert_close(seen[6:9], static.place[:, 1:3, 2:4])
    assert seen[9:, 1, 1].tolist() == pytest.approx([2.1, 2.2])


def test_each_further_variable_has_the_same_two_blocks_before_what_all_share():
    known, static = numbered()
    second = NetworkInputs(*(100 * part for part in vars(known).values()))
    both = stack_variables([known, second], 1)
    assert both.anomaly.shape == (2, 5, 3, 4)
    assert both.residual.shape == both.weight.shape == (1, 5, 3, 4)
    assert torch.equal(both.residual, known.residual)
    seen = assemble_inputs(both, static, 4, 3, ALL, ALL)
    alone = assemble_inputs(known, static, 4, 3, ALL, ALL)
    assert seen.shape == (count_channels(3, 2), 3, 4)
    assert seen[:12, 0, 0].tolist() == [4, 5, 0, -4, -5, 0, 400, 500, 0, -400, -500, 0]
    assert torch.equal(seen[:6], alone[:6])
    assert torch.equal(seen[12:], alone[6:])
    assert torch.equal(seen[find_sea_channel(3, 2)], static.place[2])
    assert torch.equal(stack_variables([second], 1).anomaly, second.anomaly)


@pytest.mark.parametrize(
    ("date", "expected"),
    [(0, [0, 0, 1, 2, 3]), (1, [0, 1, 2, 3, 4]), (4, [3, 4, 5, 0, 0])],
)
def test_dates_beyond_the_record_are_an_anomaly_of_zero_with_an_error_of_one_deviation(date, expected):
    known, static = numbered()
    seen = assemble_inputs(known, static, date, 5, ALL, ALL)
    assert seen[:5, 0, 0].tolist() == expected
    assert seen[5:10, 0, 0].tolist() == [-day for day in expected]
    assert seen[10:, 0, 0].tolist() == assemble_inputs(known, static, date, 1, ALL, ALL)[2:, 0, 0].tolist()


def test_a_window_longer_than_the_record_has_the_whole_of_it():
    known, static = numbered(dates=2)
    assert assemble_inputs(known, static, 1, 7, ALL, ALL)[:7, 0, 0].tolist() == [0, 0, 1, 2, 0, 0, 0]


def test_position_runs_from_minus_one_to_one_and_the_season_round_a_circle():
    field = cloudy_field(dates=4)
    field.days[-1] = 365
    field.season[:] = [0, 0.25, 0.5, 1 / 12]
    static = make_static_features(field)
    torch.testing.assert_close(static.place[0, :, 3], torch.linspace(-1, 1, 20))
    torch.testing.assert_close(static.place[1, 5], torch.linspace(-1, 1, 24))
    np.testing.assert_array_equal(static.place[2], field.sea)
    expected = [[1, 0], [0, 1], [-1, 0], [3**0.5 / 2, 0.5]]
    torch.testing.assert_close(static.season, torch.tensor(expected), rtol=0, atol=1e-6)


def test_a_record_shorter_than_a_year_has_neither_position_nor_season():
    field = cloudy_field(dates=4)
    field.days[-1] = 364
    static = make_static_features(field)
    assert not static.place[:2].any()
    assert not static.season.any()
    np.testing.assert_array_equal(static.place[2], field.sea)


def test_a_field_one_cell_wide_has_a_position():
    field = cloudy_field(dates=4, rows=6, columns=8)
    field.days[-1] = 365
    narrow = replace(field, lon=np.full_like(field.lon, 5.0))
    assert (make_static_features(narrow).place[1] == -1).all()


def test_the_numbers_of_network_inputs():
    """Observed: the value and its own error. Missing: the guess and its error. Land: zero."""
    field = cloudy_field(dates=4)
    seen, sea = field.observed, np.broadcast_to(field.sea, field.values.shape)
    field.error_variance[:] = 0.09
    mean, spread = np.where(field.sea, np.float32(14), np.float32(np.nan)), 2.0
    guess, error = (np.where(sea & ~seen, np.float32(v), np.float32(np.nan)) for v in (17, 1.5))
    truth = np.full(field.values.shape, np.float32(np.nan))
    first, second = map(tuple, np.argwhere(sea & ~seen)[:2])
    truth[first], truth[second] = 18.5, 14.0
    weight = np.full(truth.shape, np.float32(3))
    whole = make_network_inputs(field, mean, guess, error, 0.16, spread, truth, weight)
    assert all(part.shape == (1, *truth.shape) for part in vars(whole).values())
    made = NetworkInputs(*(part[0] for part in vars(whole).values()))

    np.testing.assert_allclose(made.anomaly[seen], (field.values[seen] - 14) / 2, rtol=1e-6)
    assert (made.anomaly[sea & ~seen] == 1.5).all()
    np.testing.assert_allclose(made.log_error[seen], np.log(0.5 / 2), rtol=1e-6)
    np.testing.assert_allclose(made.log_error[sea & ~seen], np.log(0.75), rtol=1e-6)
    assert (made.anomaly[~sea] == 0).all()
    assert (made.log_error[~sea] == 0).all()
    assert (made.residual[first], made.residual[second]) == (1, -2)
    assert made.residual.isfinite().sum() == 2
    np.testing.assert_allclose(made.variance[sea & ~seen], 0.25 / 1.5**2, rtol=1e-6)
    assert made.weight.sum() == 6
    assert make_network_inputs(field, mean, guess, error, 0.16, spread, truth).weight.sum() == 2
    assert all(part.dtype == torch.float32 for part in vars(made).values())


def test_an_error_of_zero_is_a_thousandth_of_the_deviation():
    field = cloudy_field(dates=4)
    made = make_network_inputs(field, np.zeros_like(field.lat), *np.ones((2, *field.values.shape)), 0.0, 5.0)
    np.testing.assert_allclose(made.log_error[0][field.observed], np.log(1e-3), rtol=1e-6)


@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_what_is_hidden_is_seen_on_no_date(data):
    """Any value at a hidden cell, and any truth handed over for it, gives the network the same numbers."""
    field = cloudy_field(dates=6, rows=6, columns=8)
    cells = np.argwhere(field.observed)
    cell = tuple(cells[data.draw(st.integers(0, len(cells) - 1))])
    value = np.float32(data.draw(st.floats(-1e6, 1e6, width=32)))
    hidden = np.zeros_like(field.observed)
    hidden[cell] = True
    static = make_static_features(field)
    guess, error = np.full((2, *field.values.shape), np.float32(15))
    mean = np.full(field.lat.shape, np.float32(14))

    def seen(number):
        field.values[cell] = number
        truth = np.where(hidden, field.values, np.float32(np.nan))
        made = make_network_inputs(field.hide(hidden), mean, guess, error, 0.1, 1.0, truth)
        return torch.stack([assemble_inputs(made, static, date, 3, ALL, ALL) for date in range(6)])

    assert torch.equal(seen(field.values[cell]), seen(value))


@pytest.mark.parametrize(
    ("days", "date", "expected"),
    [
        ([0, 1, 2, 3, 4], 2, [1, 2, 3]),
        ([0, 1, 2, 3, 4], 0, [-1, 0, 1]),
        ([0, 1, 3, 4, 5], 1, [0, 1, -1]),  # a date is left out
        ([0, 0.5, 2.1, 3, 4], 2, [-1, 2, 3]),  # 1.6 and 0.9 steps away
        ([0, 0.4, 1.1, 2, 3], 0, [-1, 0, 2]),  # two dates within half a step of the lag: the nearest
        ([0], 0, [-1, 0, -1]),
    ],
)
def test_lags_are_the_nearest_dates_within_half_a_step(days, date, expected):
    assert find_lags(np.array(days, float), date, 3).tolist() == expected


def test_a_general_network_sees_its_lags_where_dates_are_left_out():
    known, static = numbered()
    seen = assemble_inputs(known, replace(static, steps=np.array([0, 1, 3, 4, 6.0])), 3, 5, ALL, ALL)
    assert seen[:10, 0, 0].tolist() == [0, 3, 4, 0, 5, 0, -3, -4, 0, -5]
    even = replace(static, steps=np.arange(5.0))
    for date in range(5):
        assert torch.equal(
            assemble_inputs(known, even, date, 3, ALL, ALL), assemble_inputs(known, static, date, 3, ALL, ALL)
        )


def test_scales_have_no_units_and_are_of_order_one():
    scales = Scales((Component(3.0, 40.0, 6.0), Component(1.0, 400.0, 2.0)), 0.2)
    found = describe_scales(scales, 5.0, 2.0)
    expected = [np.log(8) - 2, np.log(3) - 1, (np.log(0.05) + 3) / 2, -0.5]
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    larger = Scales(tuple(Component(100 * s, 3 * x, 24 * t) for s, x, t in scales.components), 20.0)
    np.testing.assert_allclose(describe_scales(larger, 15.0, 48.0), expected, rtol=1e-6)
    extreme = describe_scales(Scales((Component(1.0, 1e6, 1e-6),), 0.0), 1.0, 1.0)
    assert extreme.tolist() == [3, -3, -3, -1]


def test_a_general_network_knows_scales_and_mask_but_not_where_and_when():
    field = cloudy_field(dates=6, rows=8, columns=9)
    scales = Scales((Component(1.0, 30.0, 3.0),), 0.01)
    static = make_general_features(field, scales)
    moved = make_general_features(replace(field, season=(field.season + 0.5) % 1, lat=-field.lat), scales)
    assert static.place.shape == (3, 8, 9)
    assert static.season.shape == (6, 2)
    assert torch.equal(static.place[2].bool(), torch.from_numpy(field.sea))
    for part in (static.place[0], static.place[1], static.season[:, 0], static.season[:, 1]):
        assert part.min() == part.max()
    torch.testing.assert_close(moved.place, static.place, atol=1e-4, rtol=0)
    assert torch.equal(moved.season, static.season)
    np.testing.assert_allclose(static.steps, np.arange(6))
