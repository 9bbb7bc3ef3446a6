"""RED-Net against the figure of the paper, written out."""

import pytest
import torch
from oceanfill.models.rednet import REDNet
from torch.nn.functional import conv2d, conv_transpose2d, relu

torch.set_num_threads(1)


def list_weights(layers):
    return [(layer.weight, layer.bias) for layer in layers]


def test_red10_adds_every_second_convolution_to_its_mirror():
    torch.manual_seed(0)
    net = REDNet(3, depth=10, width=4)
    torch.nn.init.normal_(net.head.weight)
    c = list_weights(net.convolutions)
    d = list_weights([*net.deconvolutions, net.head])
    assert (len(c), len(d)) == (5, 5)
    x = torch.randn(2, 3, 7, 9)
    c1 = relu(conv2d(x, *c[0], padding=1))
    c2 = relu(conv2d(c1, *c[1], padding=1))
    c3 = relu(conv2d(c2, *c[2], padding=1))
    c4 = relu(conv2d(c3, *c[3], padding=1))
    c5 = relu(conv2d(c4, *c[4], padding=1))
    d1 = relu(conv_transpose2d(c5, *d[0], padding=1) + c4)
    d2 = relu(conv_transpose2d(d1, *d[1], padding=1))
    d3 = relu(conv_transpose2d(d2, *d[2], padding=1) + c2)
    d4 = relu(conv_transpose2d(d3, *d[3], padding=1))
    torch.testing.assert_close(net(x), conv_transpose2d(d4, *d[4], padding=1))


@pytest.mark.parametrize(("depth", "skips"), [(10, 2), (20, 4), (30, 7)])
def test_number_of_skips(depth, skips):
    """With layers that pass on a constant, each skip adds it once."""
    net = REDNet(1, outputs=1, depth=depth, width=1)
    with torch.no_grad():
        for layer in [*net.convolutions, *net.deconvolutions, net.head]:
            layer.weight.zero_()
            layer.weight[0, 0, 1, 1] = 1
            layer.bias.zero_()
    assert net(torch.ones(1, 1, 3, 3))[0, 0].eq(1 + skips).all()


def test_an_odd_depth_is_refused():
    with pytest.raises(ValueError, match="an even number of at least 2, not 11"):
        REDNet(3, depth=11)
