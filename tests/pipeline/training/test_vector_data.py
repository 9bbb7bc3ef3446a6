"""Scenes of currents: units, factors, windows, what is hidden, and the flow without divergence."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from fields import eddies, seen_by_radars
from oceanfill.pipeline.errors import InputError
from oceanfill.pipeline.io.radials import open_radials
from oceanfill.pipeline.training.vector_data import (
    VectorDates,
    count_channels,
    make_regular_grid,
    make_vector_inputs,
    remove_divergence,
)

RADIALS = open_radials(seen_by_radars(eddies(dates=5)), "direction", observation_error=0.02)


def guess(seed=0):
    """(5, time, lat, lon) with covariances of correlation -0.8 to 0.8, NaN on land."""
    rng = np.random.default_rng(seed)
    u, v = rng.standard_normal((2, *RADIALS.shape))
    uu, vv = 0.01 + 0.1 * rng.random((2, *RADIALS.shape))
    uv = rng.uniform(-0.8, 0.8, RADIALS.shape) * np.sqrt(uu * vv)
    return np.where(RADIALS.sea, np.stack([u, v, uu, vv, uv]), np.nan).astype(np.float32)


def test_guess_and_covariance_come_back_from_a_scene():
    current = guess()
    one = make_vector_inputs(RADIALS, current, 0.001, 0.5)
    first, below, second = one.factor.numpy().swapaxes(0, 1)
    square = 0.25 * np.stack([first**2, below**2 + second**2, first * below])
    np.testing.assert_allclose(square[:, :, RADIALS.sea], current[2:, :, RADIALS.sea], rtol=1e-4, atol=1e-6)
    u = one.guess.numpy()[:, 0]
    np.testing.assert_allclose(0.5 * u[:, RADIALS.sea], current[0][:, RADIALS.sea], rtol=1e-6)
    assert not one.guess.numpy()[:, :, ~RADIALS.sea].any()
    np.testing.assert_allclose(first[:, ~RADIALS.sea], 1)
    noise = np.where(np.isfinite(RADIALS.values), 0.02**2, 0) + 0.001
    np.testing.assert_allclose(one.noise, noise / 0.25, rtol=1e-5)


def test_only_what_is_hidden_is_learnt_from():
    hidden = np.isfinite(RADIALS.values) & (np.random.default_rng(1).random(RADIALS.values.shape) < 0.3)
    one = make_vector_inputs(RADIALS, guess(), 0.001, 0.5, hidden)
    np.testing.assert_array_equal(one.weight.numpy() > 0, hidden)
    np.testing.assert_allclose(one.radial.numpy()[hidden], RADIALS.values[hidden] / 0.5, rtol=1e-6)
    assert not one.radial.numpy()[~hidden].any()


def test_a_window_has_its_dates_in_order_and_nothing_beyond_the_record():
    one = make_vector_inputs(RADIALS, guess(), 0.001, 0.5)
    dates = VectorDates([one], RADIALS.sea, 3)
    assert len(dates) == 5
    inputs, middle, factor, *_ = dates[0]
    assert inputs.shape == (count_channels(3), 18, 20)
    assert not inputs[:5].any()
    torch.testing.assert_close(inputs[5:7], one.guess[0])
    torch.testing.assert_close(inputs[10:12], one.guess[1])
    torch.testing.assert_close(middle, one.guess[0])
    torch.testing.assert_close(inputs[7].exp(), factor[0])
    variance = factor[1] ** 2 + factor[2] ** 2
    torch.testing.assert_close((2 * inputs[8]).exp(), variance)
    torch.testing.assert_close(inputs[9] * factor[0] * variance.sqrt(), factor[0] * factor[1])
    torch.testing.assert_close(inputs[-1], torch.from_numpy(RADIALS.sea).float())


def test_dates_with_nothing_to_learn_are_left_out():
    hidden = np.isfinite(RADIALS.values)
    hidden[2:] = False
    where = hidden.copy()
    where[0] = False
    one = make_vector_inputs(RADIALS, guess(), 0.001, 0.5, hidden)
    assert [date for _, date in VectorDates([one, one], RADIALS.sea, 3).dates] == [0, 1, 0, 1]
    chosen = VectorDates([one], RADIALS.sea, 3, where)
    assert [date for _, date in chosen.dates] == [1]


def test_the_flow_of_a_stream_function_stays_and_the_rest_goes():
    grid = make_regular_grid(RADIALS)
    rng = np.random.default_rng(0)
    psi = torch.from_numpy(rng.standard_normal((5, 18, 20)).cumsum(1).cumsum(2)).float()
    flow = grid.compute_flow(psi * grid.row_spacing)
    one = make_vector_inputs(RADIALS, guess(), 0.001, 0.5)
    sea = torch.from_numpy(RADIALS.sea)
    kept = remove_divergence(replace(one, guess=flow * sea), grid, RADIALS.sea).guess
    np.testing.assert_allclose(
        kept[:, :, RADIALS.sea], flow[:, :, RADIALS.sea], atol=2e-3 * float(flow.abs().max())
    )
    rough = remove_divergence(one, grid, RADIALS.sea).guess
    offshore = (torch.nn.functional.max_pool2d(1 - sea[None].float(), 3, 1, 1) == 0)[0]
    before, after = (
        grid.compute_divergence(part)[:, offshore].square().mean() for part in (one.guess, rough)
    )
    assert after < 1e-8 * before


def test_the_nearest_flow_is_near_where_the_guess_is_sure():
    grid = make_regular_grid(RADIALS)
    current = guess()
    current[2:4], current[4] = 1.0, 0.0
    current[2:4, :, 5:9, 5:9] = 1e-4
    one = make_vector_inputs(RADIALS, np.where(RADIALS.sea, current, np.nan), 0.001, 1.0)
    # A psi that varies fast enough can meet four sure cells, not the others besides.
    change = (remove_divergence(one, grid, RADIALS.sea).guess - one.guess).square().mean(1)
    assert change[:, 6:8, 6:8].mean() < 0.5 * change[:, 11:].mean()


def test_a_grid_that_is_not_regular_has_no_stream_function():
    first = RADIALS.stations[0]
    bent = replace(RADIALS, stations=(replace(first, lat=first.lat + 0.01 * first.lon),))
    with pytest.raises(InputError, match="not regular in degrees"):
        make_regular_grid(bent)
