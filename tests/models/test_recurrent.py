"""Recurrent cells against torch.nn's and against themselves written out."""

from __future__ import annotations

import pytest
import torch
from oceanfill.models.dynamics import roll_out
from oceanfill.models.recurrent import GRU, LSTM, RNN, BothWays, PixelFiller, RecurrentStep, unroll
from torch import nn

CELLS = [RNN, LSTM, GRU]
GATES = {RNN: 1, LSTM: 4, GRU: 3}


def _series(*shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("kind", CELLS)
def test_the_loop_equals_torchs_layer_with_the_same_weights(kind):
    cell, x = kind(3, 6), _series(4, 9, 3)
    layer = getattr(nn, kind.__name__)(3, 6, batch_first=True)
    with torch.no_grad():
        layer.weight_ih_l0.copy_(cell.of_input.weight)
        layer.weight_hh_l0.copy_(cell.of_state.weight)
        layer.bias_ih_l0.copy_(cell.of_input.bias)
        layer.bias_hh_l0.copy_(cell.of_state.bias)
    outputs, last = layer(x)
    states = unroll(cell, x)
    torch.testing.assert_close(states[..., :6], outputs, atol=1e-6, rtol=0)
    if kind is LSTM:
        torch.testing.assert_close(states[:, -1, 6:], last[1][0], atol=1e-6, rtol=0)


@pytest.mark.parametrize("kind", CELLS)
def test_the_folded_cell_gives_the_unfolded_states(kind):
    cell, x = kind(3, 5), _series(2, 4, 3)
    state = torch.zeros(2, cell.STATES * 5)
    for time in range(4):
        state = cell(x[:, time], state)
        torch.testing.assert_close(unroll(cell, x)[:, time], state, atol=1e-6, rtol=0)


def test_the_sigmoid_network_written_out_by_hand():
    cell = RNN(1, 1, sigmoid=True)
    with torch.no_grad():
        for layer, weight, bias in ((cell.of_input, 2.0, 0.5), (cell.of_state, -1.0, 0.0)):
            layer.weight.fill_(weight)
            layer.bias.fill_(bias)
    first = torch.sigmoid(torch.tensor(2.5))
    second = torch.sigmoid(-1.5 - first)
    found = unroll(cell, torch.tensor([[[1.0], [-1.0]]]))
    torch.testing.assert_close(found[0, :, 0], torch.stack([first, second]))


def _randomise(model):
    """Draw all weights, those of the last layer included, and return the model."""
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.5)
    return model


@pytest.mark.parametrize("kind", CELLS)
def test_a_forecast_continues_as_if_its_own_states_had_been_observed(kind):
    model, past = _randomise(RecurrentStep(kind(3, 5), 3)), _series(2, 4, 3)
    future = roll_out(model, model.start(past), 3)[..., :3]
    again = roll_out(model, model.start(torch.cat([past, future[:, :2]], dim=1)), 1)[..., :3]
    torch.testing.assert_close(again[:, 0], future[:, 2], atol=1e-6, rtol=0)


@pytest.mark.parametrize("kind", CELLS)
def test_counts_shapes_and_gradients(kind):
    step, both = _randomise(RecurrentStep(kind(3, 5), 3)), _randomise(BothWays(kind(3, 5), kind(3, 5), 2))
    cell = GATES[kind] * (3 * 5 + 5 * 5 + 5 + 5)
    assert sum(parameter.numel() for parameter in step.parameters()) == cell + 5 * 3 + 3
    assert sum(parameter.numel() for parameter in both.parameters()) == 2 * cell + 10 * 2 + 2
    forecast, filled = roll_out(step, step.start(_series(2, 4, 3)), 3)[..., :3], both(_series(2, 3, 11))
    assert forecast.shape == (2, 3, 3)
    assert filled.shape == (2, 2, 11)
    (forecast.square().sum() + filled.square().sum()).backward()
    for model in (step, both):
        assert all(parameter.grad.abs().sum() > 0 for parameter in model.parameters())


def test_reading_both_ways_uses_the_future_and_reverses_with_time():
    network, x = _randomise(BothWays(GRU(1, 4), GRU(1, 4), 1)), _series(1, 1, 6)
    later = x.clone()
    later[..., -1] += 1
    assert (network(x) - network(later)).abs().amax(1).min() > 0
    turned = BothWays(network.back, network.ahead, 1)
    with torch.no_grad():
        turned.head.weight.copy_(network.head.weight.roll(4, 1))
        turned.head.bias.copy_(network.head.bias)
    torch.testing.assert_close(turned(x.flip(-1)).flip(-1), network(x))


@pytest.mark.parametrize("name", ["rnn", "lstm", "gru"])
def test_a_pixel_is_filled_from_its_own_series(name):
    filler = _randomise(PixelFiller(9, 2, dates=3, cell=name, hidden=4))
    x = _series(2, 9, 5, 4)  # three anomalies, three log errors, three channels more
    series = torch.stack([torch.cat([x[1, [date, 3 + date], 2, 3], x[1, 6:, 2, 3]]) for date in range(3)], 1)
    torch.testing.assert_close(filler(x)[1, :, 2, 3], filler.both(series[None])[0, :, 1])


def test_an_unknown_cell_is_refused():
    with pytest.raises(ValueError, match="cell 'elman' is not one of rnn, lstm, gru"):
        PixelFiller(9, dates=3, cell="elman")
