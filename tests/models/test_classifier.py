"""Classifiers: parameters, grids, gradients and a shared encoder."""

from __future__ import annotations

import pytest
import torch
from oceanfill.models.autoencoder import ConvolutionalAutoEncoder
from oceanfill.models.classifier import Classifier, ConvolutionalClassifier, DenseClassifier

torch.set_num_threads(1)

# 28 x 28 pixels: dense 784-256-128-10; convolutions 1-16-32-64, batch normalisation, 4 x 4 x 64 to 128 to 10.
NETWORKS = [
    pytest.param(DenseClassifier, 200_960 + 32_896 + 1290, id="MLP"),
    pytest.param(ConvolutionalClassifier, 160 + 4640 + 18_496 + 224 + 131_200 + 1290, id="CNN"),
]
each = pytest.mark.parametrize(("network", "parameters"), NETWORKS)


@each
def test_parameters_shape_and_gradient(network, parameters):
    torch.manual_seed(0)
    module = network(1, 10, (28, 28))
    assert sum(tensor.numel() for tensor in module.parameters()) == parameters
    scores = module(torch.rand(6, 1, 28, 28))
    assert scores.shape == (6, 10)
    scores.square().sum().backward()
    assert all(tensor.grad is not None and tensor.grad.any() for tensor in module.parameters())


@each
def test_a_smaller_odd_grid_is_padded_with_zeros(network, parameters):
    module = network(2, 3, (201, 301)).eval()
    small = torch.rand(1, 2, 150, 301)
    with torch.no_grad():
        torch.testing.assert_close(module(small), module(torch.nn.functional.pad(small, (0, 0, 0, 51))))
    with pytest.raises(ValueError, match=r"built for \(201, 301\) cells, but the input has \(202, 301\)"):
        module(torch.rand(1, 2, 202, 301))


def test_an_autoencoder_can_share_its_encoder():
    coder = ConvolutionalAutoEncoder(1, 1, (28, 28), 4).eval()
    module = Classifier(coder.encoder, 128, 10, (28, 28), unit=8).eval()
    x = torch.rand(2, 1, 28, 28)
    with torch.no_grad():
        torch.testing.assert_close(module.extract_features(x), coder.extract_features(x), rtol=0, atol=0)
        expected = coder.extract_features(x) @ module.head[1].weight.T + module.head[1].bias
        torch.testing.assert_close(module(x), expected)
