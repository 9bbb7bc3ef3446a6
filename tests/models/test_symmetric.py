"""The U-Net that is odd in the anomalies, whatever its weights."""

import pytest
import torch
from oceanfill.models.symmetric import SymmetricUNet
from oceanfill.models.unet import UNet

WINDOW = 3


def make(variables: int = 1, outputs: int = 2) -> SymmetricUNet:
    torch.manual_seed(1)
    inputs = 2 * WINDOW * variables + 5
    network = SymmetricUNet(inputs, outputs, WINDOW, variables, widths=[6, 8], fold=2)
    torch.nn.init.normal_(network.head.weight, std=0.3)
    torch.nn.init.normal_(network.head.bias, std=0.3)
    return network.eval()


@pytest.mark.parametrize(("variables", "outputs"), [(1, 2), (2, 2), (2, 4)])
def test_means_change_their_sign_with_the_anomalies_and_errors_do_not(variables: int, outputs: int) -> None:
    network = make(variables, outputs)
    seen = torch.randn(2, 2 * WINDOW * variables + 5, 9, 7)
    turned = seen.clone()
    for first in range(0, 2 * WINDOW * variables, 2 * WINDOW):
        turned[:, first : first + WINDOW] *= -1
    with torch.no_grad():
        one, other = network(seen), network(turned)
    half = outputs // 2
    torch.testing.assert_close(other[:, :half], -one[:, :half], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(other[:, half:], one[:, half:], atol=1e-5, rtol=1e-5)
    assert float(one[:, :half].std()) > 0.01


def test_in_training_it_is_the_plain_network_of_the_same_weights() -> None:
    network = make()
    plain = UNet(11, 2, widths=[6, 8], fold=2)
    plain.load_state_dict(network.state_dict())
    seen = torch.randn(1, 11, 8, 8)
    assert torch.equal(network.train()(seen), plain(seen))
    assert not torch.allclose(network.eval()(seen), plain(seen), atol=1e-3)
