"""Properties of every network: size, a start at zero, gradients, and the same values in a patch."""

import pytest
import torch
from oceanfill.models.convolutional_recurrent import RecurrentFiller, RecurrentUNet
from oceanfill.models.dincae import DINCAE1, DINCAE2
from oceanfill.models.recurrent import PixelFiller
from oceanfill.models.rednet import REDNet
from oceanfill.models.resnet import ResNet
from oceanfill.models.unet import UNet
from torch import nn

torch.set_num_threads(1)
INPUTS = 15  # a window of 5 dates: 5 anomalies, 5 log errors, 5 more

# Class, options, number of parameters, reach and unit. A block of ``unit`` cells is one cell at the deepest
# level; its values depend on ``reach`` cells beyond it, or on the whole domain (None). A U-Net of four
# levels, from full resolution down and back, reaches 2, (1) + 2, (2) + 2, (2) + 2, (8) + 2, (20) + 2 and
# (44) + 2 cells: two convolutions per level plus, in brackets, the reach so far in cells of this level.
NETWORKS = [
    pytest.param(UNet, {}, 411_266, 46, 8, id="U-Net"),
    pytest.param(UNet, {"norm": "batch"}, 411_586, 46, 8, id="U-Net, batch"),
    pytest.param(UNet, {"norm": "none", "up": "bilinear"}, 410_946, 54, 8, id="U-Net, bilinear"),
    pytest.param(UNet, {"up": "transposed", "attention": True}, 483_109, 46, 8, id="U-Net, attention"),
    pytest.param(UNet, {"widths": (32, 64), "skips": "added", "fold": 2}, 107_016, 16, 4, id="U-Net, folded"),
    pytest.param(REDNet, {}, 171_394, 20, 1, id="RED20"),
    pytest.param(REDNet, {"depth": 30, "width": 16}, 67_426, 30, 1, id="RED30"),
    pytest.param(ResNet, {}, 152_386, 17, 1, id="ResNet"),
    pytest.param(ResNet, {"shared": True}, 22_914, 17, 1, id="ResNet, shared"),
    pytest.param(ResNet, {"fold": 2}, 165_544, 34, 2, id="ResNet, folded"),
    pytest.param(DINCAE1, {}, 377_786, None, None, id="DINCAE 1"),
    pytest.param(DINCAE2, {}, 60_112, 31, 16, id="DINCAE 2"),
    pytest.param(DINCAE2, {"refinement": True}, 120_512, 63, 16, id="DINCAE 2, refined"),
    pytest.param(DINCAE2, {"dimensions": 3, "dates": 5}, 176_464, 31, 16, id="DINCAE 2, 3-D"),
    pytest.param(RecurrentFiller, {}, 65_762, 5, 1, id="ConvLSTM"),
    pytest.param(RecurrentFiller, {"peephole": True}, 65_906, 5, 1, id="ConvLSTM, peephole"),
    pytest.param(RecurrentFiller, {"cell": "gru"}, 54_434, 5, 1, id="ConvGRU"),
    pytest.param(
        RecurrentFiller, {"hidden": 16, "width": 32, "fold": 4}, 152_992, 20, 4, id="ConvLSTM, folded"
    ),
    pytest.param(PixelFiller, {"cell": "rnn"}, 866, 0, 1, id="RNN"),
    pytest.param(PixelFiller, {}, 3_266, 0, 1, id="LSTM"),
    pytest.param(PixelFiller, {"cell": "gru"}, 2_466, 0, 1, id="GRU"),
    pytest.param(RecurrentUNet, {}, 347_394, 34, 4, id="ConvLSTM U-Net"),
    pytest.param(
        RecurrentUNet,
        {"widths": (16, 32), "skips": "added", "fold": 2},
        82_184,
        28,
        4,
        id="ConvLSTM U-Net, folded",
    ),
    pytest.param(
        RecurrentUNet, {"every": True, "cell": "gru"}, 344_098, 34, 4, id="ConvGRU U-Net, every level"
    ),
]
LOCAL = [network for network in NETWORKS if network.values[3] is not None]
each = pytest.mark.parametrize(("network", "options", "parameters", "reach", "unit"), NETWORKS)
local = pytest.mark.parametrize(("network", "options", "parameters", "reach", "unit"), LOCAL)


def make_network(network, options, seed=0):
    """Build the network and replace zero weights, such as those of the last layer."""
    torch.manual_seed(seed)
    module = network(inputs=INPUTS, **options)
    for layer in module.modules():
        for tensor in layer.parameters(recurse=False):
            if not tensor.any():
                nn.init.normal_(tensor, std=0.1)
    return module


def draw_field(*shape, seed=1):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@each
def test_parameters(network, options, parameters, reach, unit):
    assert sum(tensor.numel() for tensor in network(inputs=INPUTS, **options).parameters()) == parameters


@each
@pytest.mark.parametrize("shape", [(201, 301), (5, 3)])
def test_an_untrained_network_changes_nothing_on_any_grid(network, options, parameters, reach, unit, shape):
    if network is DINCAE1:
        options = {"shape": shape, "widths": (4, 4, 4, 4)}
    with torch.no_grad():
        output = network(inputs=INPUTS, outputs=4, **options).eval()(draw_field(1, INPUTS, *shape))
    assert output.shape == (1, 4, *shape)
    assert not output.any()


@each
def test_every_parameter_has_a_gradient(network, options, parameters, reach, unit):
    module = make_network(network, options)
    size = 64 if network is DINCAE1 else 17
    module(draw_field(2, INPUTS, size, size)).square().sum().backward()
    without = [
        name for name, tensor in module.named_parameters() if tensor.grad is None or not tensor.grad.any()
    ]
    assert without == []


@local
def test_a_value_depends_on_the_cells_within_reach(network, options, parameters, reach, unit):
    """The farthest cell that influences the middle block, by automatic differentiation."""
    module = make_network(network, options).double().eval()
    middle = 16 * (reach // 16 + 1)
    x = draw_field(1, INPUTS, 5, 2 * middle + 16).double().requires_grad_()
    influence = (
        torch.autograd.grad(module(x)[..., 2, middle : middle + unit].sum(), x)[0].abs().sum((0, 1, 2))
    )
    cells = influence.nonzero().flatten()
    assert max(middle - cells.min(), cells.max() - (middle + unit - 1)) == reach


@local
def test_a_patch_has_the_values_of_the_domain(network, options, parameters, reach, unit):
    module = make_network(network, options).eval()
    shift = 3 * unit
    whole = draw_field(1, INPUTS, 8, shift + 2 * reach + 9)
    with torch.no_grad():
        expected, patch = module(whole), module(whole[..., shift:])
    torch.testing.assert_close(patch[..., reach : reach + 9], expected[..., shift:][..., reach : reach + 9])
