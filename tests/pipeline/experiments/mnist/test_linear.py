"""Linear auto-encoders against scikit-learn's principal components."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from oceanfill.pipeline.experiments.mnist.digits import load_digits
from oceanfill.pipeline.experiments.mnist.linear import fit_linear_autoencoder, load_sst_anomalies
from oceanfill.pipeline.experiments.options import RunOptions
from scipy.linalg import subspace_angles
from shipped import run_shipped
from sklearn.decomposition import PCA

torch.set_num_threads(1)


def load_digit_anomalies():
    digits = load_digits().training.images[:800].double()
    return digits - digits.mean(0), torch.ones(28, 28, dtype=torch.float64)


@pytest.mark.parametrize(
    ("load", "latent", "epochs"),
    [(load_digit_anomalies, 4, 5), (load_sst_anomalies, 16, 20)],
    ids=["digits", "SST"],
)
@pytest.mark.parametrize("tied", [False, True])
def test_a_linear_auto_encoder_finds_what_scikit_learn_finds(load, latent, epochs, tied):
    anomalies, weight = load()
    coder = fit_linear_autoencoder(anomalies, weight, latent, tied, epochs, RunOptions())
    weighted = (anomalies[:, 0, weight > 0] * weight[weight > 0].sqrt()).numpy()
    reference = PCA(latent, svd_solver="full").fit(weighted)
    columns = coder.decoder.weight.detach().numpy()
    assert subspace_angles(columns, reference.components_.T)[0] < 1e-3
    if tied:
        columns = columns * np.sign((columns * reference.components_.T).sum(0))
        assert np.linalg.norm(columns - reference.components_.T, axis=0).max() < 1e-3
    with torch.no_grad():  # the encoder fits the decoder
        error = (coder.flatten_weighted(coder(anomalies)) - coder.flatten_weighted(anomalies)).square().sum()
    share = error / coder.flatten_weighted(anomalies).square().sum()
    assert share.item() == pytest.approx(1 - reference.explained_variance_ratio_.sum(), abs=1e-5)


def test_sst_anomalies_are_zero_on_land_and_on_average():
    anomalies, area = load_sst_anomalies()
    assert anomalies.shape == (90, 1, 96, 128)
    assert not anomalies[..., area == 0].any()
    assert anomalies.sum(0).abs().max() < 1e-3  # single precision
    assert area.max().item() == pytest.approx(np.cos(np.deg2rad(36.175)), abs=1e-6)  # the southernmost sea


def test_all_angles_meet_their_targets(tmp_path):
    found = run_shipped("mnist-linear", tmp_path, "--training 400 --epochs 9")
    angles = [finding for quantity, finding in found.items() if "angle" in quantity]
    assert len(angles) == 6
    assert all(finding.value < 3e-3 and finding.at_most == 1e-2 for finding in angles)

    digits = load_digits(training=400)
    pca = PCA(4, svd_solver="full").fit(digits.training.images.flatten(1).numpy())
    test = digits.test.images.flatten(1).numpy()
    explained = 1 - ((pca.inverse_transform(pca.transform(test)) - test) ** 2).mean() / test.var()
    for kind in ("untied", "tied"):
        finding = found[f"digits, {kind}, 4 latent numbers: explained variance"]
        assert finding.value == pytest.approx(explained, abs=1e-3)
        assert finding.reference == 0.503
    assert {"digits.png", "sst.png", "digits-tied-4.pt", "sst-untied-4.pt"} <= {
        path.name for path in tmp_path.iterdir()
    }
