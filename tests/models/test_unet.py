"""The U-Net's blocks and options."""

import pytest
import torch
from oceanfill.models.unet import AttentionGate, ResidualBlock, UNet

torch.set_num_threads(1)


def test_the_root_mean_square_is_over_the_channels_of_a_pixel():
    torch.manual_seed(0)
    block = ResidualBlock(3, 4)
    torch.nn.init.normal_(block.scale)
    x = torch.randn(2, 3, 5, 7)
    inner = block.first(x)
    inner = block.scale * inner / (inner.square().mean(1, keepdim=True) + 1e-6).sqrt()
    expected = block.across(x) + block.second(inner * torch.sigmoid(inner))
    torch.testing.assert_close(block(x), expected)
    torch.testing.assert_close(block(x.contiguous(memory_format=torch.channels_last)), expected)


def test_the_names_of_weights_in_checkpoints_stay():
    blocks = {f"down.{i}" for i in range(3)} | {f"up.{i}" for i in range(2)}
    layers = {"first", "second", "across"}
    expected = {
        f"{block}.{layer}.{kind}" for block in blocks for layer in layers for kind in ("weight", "bias")
    }
    expected |= {f"{block}.scale" for block in blocks} | {"head.weight", "head.bias"}
    state = UNet(15, widths=(16, 32, 64)).state_dict()
    assert set(state) == expected
    assert state["down.1.scale"].shape == (32, 1, 1)


def test_batch_normalisation_standardises_and_none_does_not():
    torch.manual_seed(0)
    x = torch.randn(4, 3, 6, 6)
    block = ResidualBlock(3, 5, "batch")
    first = block.first(x)
    spread, mean = torch.std_mean(first, (0, 2, 3), keepdim=True, correction=0)
    torch.testing.assert_close(block.batch(first), (first - mean) / (spread**2 + 1e-5).sqrt())
    plain = ResidualBlock(3, 3, "none")
    torch.testing.assert_close(plain(x[:, :3]), x + plain.second(torch.nn.functional.silu(plain.first(x))))


def test_attention_follows_the_papers_formula_between_zero_and_one():
    torch.manual_seed(0)
    gate = AttentionGate(3, 5)
    skip, signal = 50 * torch.randn(2, 3, 4, 6), 50 * torch.randn(2, 5, 4, 6)
    weight = gate(skip, signal)
    assert weight.shape == (2, 1, 4, 6)
    assert 0 <= weight.min() < 1e-6 < 0.1 < weight.max() <= 1
    pixel = torch.relu(
        gate.of_skip.weight[..., 0, 0] @ skip[1, :, 2, 3]
        + gate.of_signal.weight[..., 0, 0] @ signal[1, :, 2, 3]
        + gate.of_signal.bias
    )
    expected = 1 / (1 + torch.exp(-(gate.weight.weight[0, :, 0, 0] @ pixel + gate.weight.bias)))
    torch.testing.assert_close(weight[1, :, 2, 3], expected)


def test_a_closed_gate_removes_the_skip_and_an_open_one_keeps_it():
    torch.manual_seed(0)
    net = UNet(3, widths=(4, 6), attention=True)
    torch.nn.init.normal_(net.head.weight)
    plain = UNet(3, widths=(4, 6))
    plain.load_state_dict(net.state_dict(), strict=False)
    for bias, weight in ((-1e4, 0.0), (1e4, 1.0)):
        torch.nn.init.zeros_(net.gates[0].weight.weight)
        torch.nn.init.constant_(net.gates[0].weight.bias, bias)
        x = torch.randn(1, 3, 8, 8)
        levels = plain.encode(x)
        torch.testing.assert_close(net(x), plain.decode([levels[0] * weight, levels[1]]))


def test_each_kind_of_upsampling_doubles_the_grid():
    ramp = torch.tensor([0.0, 4.0]).expand(1, 1, 2, 2)
    nearest, bilinear = (
        UNet(1, widths=(1, 1), up=up).enlarge[0](ramp)[0, 0, 0] for up in ("nearest", "bilinear")
    )
    assert nearest.tolist() == [0, 0, 4, 4]
    assert bilinear.tolist() == [0, 1, 3, 4]
    transposed = UNet(1, widths=(1, 1), up="transposed").enlarge[0]
    expected = torch.kron(ramp[0, 0], transposed.weight[0, 0]) + transposed.bias
    torch.testing.assert_close(transposed(ramp)[0, 0], expected)


def test_added_skips_meet_the_signal_from_below_at_their_width():
    torch.manual_seed(0)
    net = UNet(3, widths=(4, 6), skips="added")
    torch.nn.init.normal_(net.head.weight)
    x = torch.randn(1, 3, 8, 10)
    skip, below = net.encode(x)
    narrowed = torch.einsum("oi,biyx->boyx", net.narrow[0].weight[..., 0, 0], below)
    narrowed = (
        (narrowed + net.narrow[0].bias[:, None, None]).repeat_interleave(2, -1).repeat_interleave(2, -2)
    )
    torch.testing.assert_close(net(x), net.head(net.up[0](narrowed + skip)))


def test_a_folded_network_has_the_cells_of_a_square_as_channels():
    torch.manual_seed(0)
    folded = UNet(3, widths=(4, 6), fold=2)
    torch.nn.init.normal_(folded.head.weight)
    plain = UNet(12, 8, widths=(4, 6))
    plain.load_state_dict(folded.state_dict())
    x = torch.randn(1, 3, 7, 10)
    padded = torch.zeros(1, 3, 8, 12)
    padded[..., :7, :10] = x
    squares = torch.cat([padded[..., y::2, x::2][:, :, None] for y in (0, 1) for x in (0, 1)], dim=2)
    expected = plain(squares.flatten(1, 2)).unflatten(1, (2, 2, 2))  # output, row and column in the square
    for row in (0, 1):
        for column in (0, 1):
            cells = folded(x)[..., row::2, column::2]
            inside = expected[:, :, row, column, : cells.shape[-2], : cells.shape[-1]]
            torch.testing.assert_close(cells, inside)


@pytest.mark.parametrize(
    ("option", "sentence"),
    [
        ({"norm": "layer"}, "norm 'layer' is not one of rms, batch, none"),
        ({"up": "cubic"}, "up 'cubic' is not one of nearest, bilinear, transposed"),
        ({"skips": "multiplied"}, "skips 'multiplied' is not one of concatenate, added"),
        ({"fold": 0}, "fold must be at least 1, not 0"),
    ],
)
def test_invalid_options_are_refused(option, sentence):
    with pytest.raises(ValueError, match=sentence):
        UNet(3, **option)
