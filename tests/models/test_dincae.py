"""DINCAE against its levels written out and against the authors' sizes."""

import pytest
import torch
from oceanfill.models.convolutional_recurrent import split_dates
from oceanfill.models.dincae import DINCAE1, DINCAE2
from torch.nn.functional import avg_pool2d, interpolate, leaky_relu, relu

torch.set_num_threads(1)


def test_version_1_has_the_authors_dense_layers():
    """2646-529-2646 for 112 x 112 cells, and convolutions back from 54 + 36, 36 + 24, 24 + 16, 16 + 10."""
    net = DINCAE1(10, shape=(112, 112))
    dense = [layer for layer in net.bottom if isinstance(layer, torch.nn.Linear)]
    assert [(layer.in_features, layer.out_features) for layer in dense] == [(2646, 529), (529, 2646)]
    back = [(layer.in_channels, layer.out_channels) for layer in [*net.up, net.head]]
    assert back == [(90, 36), (60, 24), (40, 16), (26, 2)]


def test_version_1_written_out():
    torch.manual_seed(0)
    net = DINCAE1(3, shape=(6, 5), widths=(4, 5)).eval()
    torch.nn.init.normal_(net.head.weight)
    x = torch.randn(2, 3, 6, 5)
    one = avg_pool2d(leaky_relu(net.down[0](x), 0.2), 2, ceil_mode=True)
    two = avg_pool2d(leaky_relu(net.down[1](one), 0.2), 2, ceil_mode=True)
    assert two.shape == (2, 5, 2, 2)
    into, back = net.bottom[1], net.bottom[4]
    two = relu(back(relu(into(two.flatten(1))))).reshape(2, 5, 2, 2)
    up = interpolate(two, scale_factor=2)[..., :3, :3]
    up = leaky_relu(net.up[0](torch.cat([up, one], 1)), 0.2)
    up = interpolate(up, scale_factor=2)[..., :6, :5]
    torch.testing.assert_close(net(x), net.head(torch.cat([up, x], 1)))


def test_version_1_refuses_another_grid():
    with pytest.raises(ValueError, match=r"built for \(8, 8\) cells, but the input has \(8, 9\)"):
        DINCAE1(3, shape=(8, 8))(torch.zeros(1, 3, 8, 9))


def test_version_2_written_out():
    torch.manual_seed(0)
    net = DINCAE2(3, widths=(4, 5))
    only = net.networks[0]
    torch.nn.init.normal_(only.head.weight)
    x = torch.randn(2, 3, 6, 5)
    one = avg_pool2d(relu(only.down[0](x)), 2, ceil_mode=True)
    two = avg_pool2d(relu(only.down[1](one)), 2, ceil_mode=True)
    up = one + relu(only.up[0](interpolate(two, scale_factor=2)[..., :3, :3]))
    torch.testing.assert_close(net(x), only.head(interpolate(up, scale_factor=2)[..., :6, :5]))


def test_the_mean_at_an_odd_end_uses_the_existing_cells():
    """A constant remains constant through pooling and upsampling of 5 x 3 cells."""
    net = DINCAE2(1, outputs=1, widths=(1,)).networks[0]
    with torch.no_grad():
        for layer in (net.down[0], net.head):
            layer.weight.zero_()
            layer.weight[0, 0, 1, 1] = 1
            layer.bias.zero_()
        assert net(torch.full((1, 1, 5, 3), 7.0)).eq(7).all()


@pytest.mark.parametrize("dimensions", [2, 3])
def test_maximum_pooling_and_bilinear_upsampling(dimensions):
    """One of 16 cells is 7; its pooled value is interpolated to its neighbours as in torch."""
    options = {"pooling": "max", "upsampling": "bilinear"}
    net = DINCAE2(4, outputs=1, widths=(1,), dimensions=dimensions, dates=1, **options).networks[0]
    middle = (0, 1, 1) if dimensions == 2 else (0, 1, 1, 1)
    with torch.no_grad():
        for layer in (net.down[0], net.head):
            layer.weight.zero_()
            layer.weight[0][middle] = 1
            layer.bias.zero_()
        x = torch.zeros(1, net.down[0].in_channels, *([1] * (dimensions - 2)), 4, 4)
        x[0, 0, ..., 1, 3] = 7
        expected = interpolate(torch.tensor([[[[0.0, 7], [0, 0]]]]), scale_factor=2, mode="bilinear")
        torch.testing.assert_close(net(x).reshape(4, 4), expected[0, 0])


def test_concatenated_skips_widen_the_convolutions_back():
    net = DINCAE2(3, widths=(4, 5), concatenate=True).networks[0]
    assert [layer.in_channels for layer in (*net.up, net.head)] == [9, 7]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"pooling": "median"}, "pooling must be mean or max, not 'median'"),
        ({"upsampling": "cubic"}, "upsampling nearest or bilinear, not 'cubic'"),
        ({"dimensions": 4}, "dimensions must be 2 or 3, not 4"),
    ],
)
def test_invalid_options_are_refused(options, sentence):
    with pytest.raises(ValueError, match=sentence):
        DINCAE2(15, **options)


@pytest.mark.parametrize("dimensions", [2, 3])
def test_the_second_network_reads_the_first_output_and_the_inputs(dimensions):
    torch.manual_seed(0)
    net = DINCAE2(8, widths=(4, 5), dimensions=dimensions, dates=3, refinement=True)
    for network in net.networks:
        torch.nn.init.normal_(network.head.weight)
    x = torch.randn(2, 8, 6, 5)
    inputs = split_dates(x, 3).transpose(1, 2) if dimensions == 3 else x
    first = net.networks[0](inputs)
    second = net.networks[1](torch.cat([first, inputs], 1))
    stages = net.stages(x)
    expected = [first, second] if dimensions == 2 else [first[:, :, 1], second[:, :, 1]]
    assert [stage.shape for stage in stages] == [(2, 2, 6, 5)] * 2
    torch.testing.assert_close(stages, expected)
    torch.testing.assert_close(net(x), expected[1])


def test_three_dimensions_with_flat_kernels_equal_two_at_the_middle_date():
    torch.manual_seed(0)
    flat, deep = DINCAE2(4, widths=(4, 5)), DINCAE2(8, widths=(4, 5), dimensions=3, dates=3)
    torch.nn.init.normal_(flat.networks[0].head.weight)
    with torch.no_grad():
        for name, tensor in deep.networks[0].named_parameters():
            same = flat.networks[0].get_parameter(name)
            if tensor.dim() == 5:
                tensor.zero_()
                tensor[:, :, 1] = same
            else:
                tensor.copy_(same)
    x = torch.randn(2, 8, 6, 5)
    torch.testing.assert_close(deep(x), flat(x[:, [1, 4, 6, 7]]))
