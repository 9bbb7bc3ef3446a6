"""The losses of the tasks on digits."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from oceanfill.models.autoencoder import LinearAutoEncoder
from oceanfill.models.fourdvarnet import Descent, FourDVarNet
from oceanfill.models.variational import VariationalAutoEncoder
from oceanfill.pipeline.experiments.mnist.tasks import (
    Classification,
    EofRegression,
    Generation,
    Restoration,
    VariationalCorrection,
    build_image_network,
)
from torch import nn


@pytest.mark.parametrize("tied", [False, True])
def test_the_loss_of_eofs_is_the_unexplained_share_of_the_weighted_squares(tied):
    torch.manual_seed(0)
    weight = torch.rand(4, 3, dtype=torch.float64) + 0.5
    coder = LinearAutoEncoder(1, 1, (4, 3), 3, tied, weight).double()
    torch.nn.init.normal_(next(coder.decoder.parameters()))
    x = torch.randn(5, 1, 4, 3, dtype=torch.float64)
    expected = ((coder(x) - x).square() * weight).sum() / (x.square() * weight).sum()
    torch.testing.assert_close(EofRegression(coder, 1.0).loss(x, x), expected, rtol=1e-6, atol=0)


def test_restoration_corrects_the_first_channel():
    network = nn.Conv2d(2, 1, 1)
    inputs, target = torch.rand(3, 2, 4, 4), torch.rand(3, 1, 4, 4)
    task = Restoration(network, 1e-3)
    expected = (inputs[:, :1] + network(inputs) - target).square().mean()
    torch.testing.assert_close(task.loss(inputs, target), expected)


def test_the_evidence_bound_of_an_untrained_network():
    """It predicts 0 for every image; with a standard Gaussian the divergence is 0."""
    coder = VariationalAutoEncoder(1, 1, (8, 8), 2)
    for layer in (coder.latent, coder.log_variance):
        nn.init.zeros_(layer.weight)
        nn.init.zeros_(layer.bias)
    images = torch.rand(5, 1, 8, 8)
    expected = images.square().mean().log() / 2
    torch.testing.assert_close(Generation(coder, 1e-3).loss(images, images), expected)
    nn.init.constant_(coder.latent.bias, 3.0)  # 9 / 2 nats for each of 2 numbers, over 64 pixels
    torch.testing.assert_close(Generation(coder, 1e-3).loss(images, images), expected + 9 / 64)
    torch.testing.assert_close(Generation(coder, 1e-3, beta=2).loss(images, images), expected + 18 / 64)


class TwoClusters(VariationalAutoEncoder):
    """Encodes half of the images as (3, 3) and half as (-3, -3), with unit variances."""

    def encode_gaussian(self, x):
        signs = torch.ones(len(x), 2)
        signs[1::2] = -1
        return 3 * signs, torch.zeros(len(x), 2)


def test_latent_numbers_whose_covariance_is_not_the_identity_are_penalised():
    """Their covariance is (10, 9; 9, 10) up to the sample's n / (n - 1)."""
    coder = TwoClusters(1, 1, (8, 8), 2)
    images = torch.rand(1000, 1, 8, 8)
    losses = []
    for weight in (0, 1):
        torch.manual_seed(0)
        losses.append(Generation(coder, 1e-3, moments=weight).loss(images, images).item())
    assert 64 * (losses[1] - losses[0]) == pytest.approx(4 * (9 * 1000 / 999) ** 2, rel=1e-4)


def test_cross_entropy():
    scores = torch.tensor([[0.0, 1.0], [2.0, 0.0]])
    task = Classification(nn.Identity(), 1e-3)
    expected = (np.log1p(np.exp(-1)) + np.log1p(np.exp(2))) / 2
    assert task.loss(scores, torch.tensor([1, 1])).item() == pytest.approx(expected, rel=1e-6)


def test_image_networks_are_determined_by_their_options_and_seed():
    options = {"class_path": "oceanfill.models.unet.UNet", "init_args": {"widths": [4, 8]}}
    inputs = torch.rand(1, 2, 9, 9)
    first, same, other = (build_image_network(options, 2, seed) for seed in (3, 3, 4))
    assert first(inputs).shape == (1, 1, 9, 9)
    assert torch.equal(same.down[0](inputs), first.down[0](inputs))
    assert not torch.equal(other.down[0](inputs), first.down[0](inputs))


class Ones(nn.Module):
    """A prior whose projection of every image is 1 everywhere."""

    def forward(self, states):
        return torch.ones_like(states)


def test_variational_correction_starts_from_known_pixels_and_the_mean_image():
    values = torch.rand(2, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    known = (values > 0.5).float()
    mean = torch.full((1, 4, 4), 0.3)
    inputs = torch.cat([values * known, known], dim=1)
    unchanged = VariationalCorrection(FourDVarNet(nn.Identity(), Descent(), iterations=0), mean)
    torch.testing.assert_close(Restoration(unchanged, 1e-3)(inputs), torch.where(known > 0, values, 0.3))
    # The prior draws unknown pixels all the way to 1, and known ones half way.
    converged = VariationalCorrection(FourDVarNet(Ones(), Descent(0.1), iterations=200), mean).eval()
    torch.testing.assert_close(
        Restoration(converged, 1e-3)(inputs), torch.where(known > 0, (values + 1) / 2, 1.0)
    )
