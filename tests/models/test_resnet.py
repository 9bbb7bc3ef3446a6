"""The residual network as a flow."""

import math

import pytest
import torch
from oceanfill.models.resnet import ResNet

torch.set_num_threads(1)


def test_shared_weights_iterate_one_block():
    torch.manual_seed(0)
    net = ResNet(3, width=6, steps=4, shared=True)
    torch.nn.init.normal_(net.head.weight)
    first, _, second = net.velocities[0]
    x = torch.randn(2, 3, 8, 9)
    z = net.lift(x)
    for _ in range(4):
        z = z + second(torch.relu(first(z))) / 4
    torch.testing.assert_close(net(x), net.head(z))


def test_separate_blocks_with_equal_weights_equal_a_shared_one():
    torch.manual_seed(0)
    own, shared = ResNet(3, width=6, steps=4), ResNet(3, width=6, steps=4, shared=True)
    torch.nn.init.normal_(shared.head.weight)
    assert (len(own.velocities), len(shared.velocities)) == (4, 1)
    own.lift, own.head = shared.lift, shared.head
    for block in own.velocities:
        block.load_state_dict(shared.velocities[0].state_dict())
    x = torch.randn(2, 3, 8, 9)
    torch.testing.assert_close(own(x), shared(x))


def test_steps_converge_to_the_exponential_at_first_order():
    """dz/dt = a z with z(0) = 1 gives exp(a); Euler's error halves when the number of steps doubles."""
    rate, errors = 0.7, []
    for steps in (64, 128):
        net = ResNet(1, outputs=1, width=1, steps=steps, shared=True).double()
        with torch.no_grad():
            for layer, centre in zip(
                (net.lift, net.velocities[0][0], net.velocities[0][2], net.head), (1, 1, rate, 1), strict=True
            ):
                layer.weight.zero_()
                layer.weight[..., layer.kernel_size[0] // 2, layer.kernel_size[0] // 2] = centre
                layer.bias.zero_()
            output = net(torch.ones(1, 1, 3, 3, dtype=torch.float64))
        errors.append(float(output[0, 0, 1, 1]) - math.exp(rate))
    assert errors[0] == pytest.approx(-(rate**2) / 2 * 2.01375 / 64, rel=0.01)
    assert errors[0] / errors[1] == pytest.approx(2, rel=0.01)


def test_a_fold_below_one_is_refused():
    with pytest.raises(ValueError, match="fold must be at least 1, not 0"):
        ResNet(3, fold=0)
