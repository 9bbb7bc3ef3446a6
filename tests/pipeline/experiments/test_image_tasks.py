"""The losses of the tasks on digits, and the EOFs that a linear auto-encoder learns."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from oceanfill.models.autoencoder import LinearAutoEncoder
from oceanfill.models.fourdvarnet import Descent, FourDVarNet
from oceanfill.models.variational import VariationalAutoEncoder
from oceanfill.pipeline.experiments.image_tasks import (
    Assimilated,
    Classification,
    Eofs,
    Generation,
    Restoration,
    built,
    keep,
    pairs,
)
from oceanfill.pipeline.experiments.mnist.autoencoders import linear_coder, sst_anomalies
from oceanfill.pipeline.experiments.mnist.digits import load_digits
from scipy.linalg import subspace_angles
from sklearn.decomposition import PCA
from torch import nn

torch.set_num_threads(1)


def _digit_anomalies():
    digits = load_digits().training.images[:800].double()
    return digits - digits.mean(0), torch.ones(28, 28, dtype=torch.float64)


@pytest.mark.parametrize(
    ("anomalies", "latent", "epochs"),
    [(_digit_anomalies, 4, 8), (sst_anomalies, 16, 20)],
    ids=["digits", "SST"],
)
@pytest.mark.parametrize("tied", [False, True])
def test_a_linear_autoencoder_finds_what_scikit_learn_finds(anomalies, latent, epochs, tied):
    values, weight = anomalies()
    coder = linear_coder(values, weight, latent, tied, epochs=epochs)
    weighted = (values[:, 0, weight > 0] * weight[weight > 0].sqrt()).numpy()
    theirs = PCA(latent, svd_solver="full").fit(weighted)
    found = coder.decoder.weight.detach().numpy()
    assert subspace_angles(found, theirs.components_.T)[0] < 1e-3
    if tied:
        found = found * np.sign((found * theirs.components_.T).sum(0))
        assert np.linalg.norm(found - theirs.components_.T, axis=0).max() < 1e-3
    with torch.no_grad():  # its two matrices belong together
        left = (coder.flatten_weighted(coder(values)) - coder.flatten_weighted(values)).square().sum()
    share = left / coder.flatten_weighted(values).square().sum()
    assert share.item() == pytest.approx(1 - theirs.explained_variance_ratio_.sum(), abs=1e-5)


@pytest.mark.parametrize("tied", [False, True])
def test_the_loss_is_the_share_of_the_weighted_squares_that_is_left(tied):
    torch.manual_seed(0)
    weight = torch.rand(4, 3, dtype=torch.float64) + 0.5
    coder = LinearAutoEncoder(1, 1, (4, 3), 3, tied, weight).double()
    torch.nn.init.normal_(next(coder.decoder.parameters()))
    x = torch.randn(5, 1, 4, 3, dtype=torch.float64)
    expected = ((coder(x) - x).square() * weight).sum() / (x.square() * weight).sum()
    torch.testing.assert_close(Eofs(coder, 1.0).loss(x, x), expected, rtol=1e-6, atol=0)


def test_sst_anomalies_are_of_the_sea_alone():
    values, area = sst_anomalies()
    assert values.shape == (90, 1, 96, 128)
    assert not values[..., area == 0].any()
    assert values.sum(0).abs().max() < 1e-3  # single precision
    assert area.max().item() == pytest.approx(np.cos(np.deg2rad(36.175)), abs=1e-6)  # the southernmost sea


def test_restoration_adds_to_the_first_channel():
    network = nn.Conv2d(2, 1, 1)
    inputs, target = torch.rand(3, 2, 4, 4), torch.rand(3, 1, 4, 4)
    task = Restoration(network, 1e-3)
    expected = (inputs[:, :1] + network(inputs) - target).square().mean()
    torch.testing.assert_close(task.loss(inputs, target), expected)


def test_the_evidence_bound_of_an_untrained_network():
    """It says 0 of every image; with a standard Gaussian of its own the divergence is 0."""
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


def test_latent_numbers_that_are_not_standard_together_cost():
    """Two numbers of unit variance that are each 3 or -3: together their covariance is 10, 9; 9, 10."""
    coder = VariationalAutoEncoder(1, 1, (8, 8), 2)
    coder.encode_gaussian = lambda images: (
        torch.tensor([[3.0, 3.0], [-3.0, -3.0]] * 500),
        torch.zeros(1000, 2),
    )
    images = torch.rand(1000, 1, 8, 8)
    free, bound = (Generation(coder, 1e-3, moments=weight).loss(images, images) for weight in (0, 1))
    assert 64 * (bound - free).item() == pytest.approx(4 * (9 * 1000 / 999) ** 2, rel=1e-4)


def test_cross_entropy():
    scores = torch.tensor([[0.0, 1.0], [2.0, 0.0]])
    task = Classification(nn.Identity(), 1e-3)
    expected = (np.log1p(np.exp(-1)) + np.log1p(np.exp(2))) / 2
    assert task.loss(scores, torch.tensor([1, 1])).item() == pytest.approx(expected, rel=1e-6)


def test_pairs_change_the_inputs_alone():
    images = torch.arange(6.0).reshape(6, 1)
    ((inputs, target),) = pairs(images, images, 6, change=lambda batch: batch + 10)
    assert torch.equal(target, images)
    assert torch.equal(inputs, images + 10)


def test_a_checkpoint_gives_the_network_back(tmp_path):
    options = {"class_path": "oceanfill.models.unet.UNet", "init_args": {"widths": [4, 8]}}
    network = built(options, 1, 1, seed=3)
    keep(tmp_path / "network.pt", network, options)
    saved = torch.load(tmp_path / "network.pt", weights_only=True)
    again = built(saved["options"], 1, 1, seed=4)
    x = torch.rand(1, 1, 9, 9)
    assert not torch.equal(again.down[0](x), network.down[0](x))
    again.load_state_dict(saved["state_dict"])
    assert torch.equal(again.down[0](x), network.down[0](x))
    assert torch.equal(built(options, 1, 1, seed=3).down[0](x), network.down[0](x))


def test_an_assimilation_starts_at_what_is_known_and_at_the_usual_image():
    values = torch.rand(2, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    known = (values > 0.5).float()
    usual = torch.full((1, 4, 4), 0.3)
    still = Assimilated(FourDVarNet(nn.Identity(), Descent(), iterations=0), usual)
    inputs = torch.cat([values * known, known], dim=1)
    said = Restoration(still, 1e-3)(inputs)
    torch.testing.assert_close(said, torch.where(known > 0, values, 0.3))
    # A prior that expects 1 everywhere pulls what is not known there, and what is known half way.
    moving = Assimilated(FourDVarNet(_Ones(), Descent(0.1), iterations=200), usual).eval()
    said = Restoration(moving, 1e-3)(inputs)
    torch.testing.assert_close(said, torch.where(known > 0, (values + 1) / 2, 1.0))


class _Ones(nn.Module):
    def forward(self, states):
        return torch.ones_like(states)
