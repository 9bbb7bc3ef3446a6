"""Convolutional cells against torch's recurrent layers in each pixel, and the two directions of a window."""

import pytest
import torch
from oceanfill.models.convolutional_recurrent import (
    Bidirectional,
    ConvGRU,
    ConvLSTM,
    RecurrentFiller,
    RecurrentUNet,
    split_dates,
)

torch.set_num_threads(1)


def test_a_window_is_split_into_the_channels_of_each_date():
    x = torch.arange(9.0)[None, :, None, None].expand(2, 9, 4, 3)  # three anomalies, three errors, three more
    assert split_dates(x, 3)[1, :, :, 2, 1].tolist() == [[0, 3, 6, 7, 8], [1, 4, 6, 7, 8], [2, 5, 6, 7, 8]]


@pytest.mark.parametrize(("cell", "layer"), [(ConvLSTM, torch.nn.LSTM), (ConvGRU, torch.nn.GRU)])
def test_with_kernels_of_one_cell_every_pixel_equals_torchs_layer(cell, layer):
    torch.manual_seed(0)
    ours, theirs = cell(3, 5, kernel=1), layer(3, 5, batch_first=True)
    with torch.no_grad():
        ours.of_input.weight.copy_(theirs.weight_ih_l0[..., None, None])
        ours.of_state.weight.copy_(theirs.weight_hh_l0[..., None, None])
        ours.of_input.bias.copy_(theirs.bias_ih_l0)
        ours.of_state.bias.copy_(theirs.bias_hh_l0)
    x = torch.randn(2, 6, 3, 4, 7)
    expected = theirs(x.permute(0, 3, 4, 1, 2).reshape(-1, 6, 3))[0][:, -1]
    torch.testing.assert_close(ours(x), expected.reshape(2, 4, 7, 5).permute(0, 3, 1, 2))


def test_peepholes_follow_the_papers_equations():
    torch.manual_seed(0)
    cell = ConvLSTM(3, 5, peephole=True)
    torch.nn.init.normal_(cell.peephole)
    x = torch.randn(2, 3, 3, 6, 7)
    ci, cf, co = cell.peephole
    h = c = torch.zeros(2, 5, 6, 7)
    for date in x.unbind(1):
        xi, xf, xc, xo = cell.of_input(date).split(5, 1)
        hi, hf, hc, ho = cell.of_state(h).split(5, 1)
        i, f = torch.sigmoid(xi + hi + ci * c), torch.sigmoid(xf + hf + cf * c)
        c = f * c + i * torch.tanh(xc + hc)
        h = torch.sigmoid(xo + ho + co * c) * torch.tanh(c)
    torch.testing.assert_close(cell(x), h)


def test_one_direction_reads_the_past_and_the_other_the_future():
    torch.manual_seed(0)
    both = Bidirectional(2, 3, "gru")
    x = torch.randn(1, 5, 2, 4, 4, requires_grad=True)
    for part, dates in ((slice(0, 3), [0, 1, 2]), (slice(3, 6), [2, 3, 4])):
        influence = torch.autograd.grad(both(x)[:, part].sum(), x)[0].abs().sum((0, 2, 3, 4))
        assert influence.nonzero().flatten().tolist() == dates


@pytest.mark.parametrize("network", [RecurrentFiller, RecurrentUNet])
@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_a_reversed_window_is_read_by_exchanged_cells(network, cell):
    torch.manual_seed(0)
    net = network(13, dates=5, cell=cell)
    torch.nn.init.normal_(net.head.weight)
    x = torch.randn(1, 13, 8, 12)
    expected = net(x)
    order = [4, 3, 2, 1, 0, 9, 8, 7, 6, 5, 10, 11, 12]
    reversed_dates = x[:, order]
    assert not torch.allclose(net(reversed_dates), expected, atol=1e-3)
    joined, after = (net.both, net.join) if network is RecurrentFiller else (net.through_time[0], net.up[0])
    joined.forwards, joined.backwards = joined.backwards, joined.forwards
    hidden = joined.forwards.hidden
    with torch.no_grad():  # reorder the input channels of the following layers likewise
        for layer in [after.first, after.across]:
            if network is RecurrentFiller:  # these also read the window itself
                layer.weight[:, 2 * hidden :] = layer.weight[:, 2 * hidden :][:, order]
            weight = layer.weight.clone()
            layer.weight[:, :hidden], layer.weight[:, hidden : 2 * hidden] = (
                weight[:, hidden : 2 * hidden],
                weight[:, :hidden],
            )
    torch.testing.assert_close(net(reversed_dates), expected)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"cell": "rnn"}, "must be lstm, or gru without peephole, not 'rnn'"),
        ({"cell": "gru", "peephole": True}, r"not 'gru' \(peephole: True\)"),
        ({"fold": 0}, "fold must be at least 1, not 0"),
        ({"dates": 4}, r"not a window of an odd number of dates \(4\)"),
        ({"dates": 9}, "15 inputs"),
    ],
)
def test_invalid_options_are_refused(options, sentence):
    with pytest.raises(ValueError, match=sentence):
        RecurrentFiller(15, **options)


def test_a_folded_filler_written_out():
    torch.manual_seed(0)
    filler = RecurrentFiller(9, 2, dates=3, hidden=4, width=5, fold=2)
    torch.nn.init.normal_(filler.head.weight)
    x = torch.randn(1, 9, 6, 8)
    squares = torch.stack([x[..., row::2, column::2] for row in (0, 1) for column in (0, 1)], dim=2)
    anomaly, log_error = squares[:, :3], squares[:, 3:6]  # (batch, dates, cells of a square, y, x)
    read = filler.both(torch.cat([anomaly, log_error], dim=2))
    joined = filler.join(torch.cat([read, squares.flatten(1, 2)], dim=1))
    expected = filler.head(joined).unflatten(1, (2, 2, 2))  # output, row and column in the square
    for row in (0, 1):
        for column in (0, 1):
            torch.testing.assert_close(filler(x)[..., row::2, column::2], expected[:, :, row, column])
