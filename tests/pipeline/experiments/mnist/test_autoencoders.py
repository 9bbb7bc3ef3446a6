"""Auto-encoders of digits against principal components."""

from __future__ import annotations

import pytest
import torch
from oceanfill.models.autoencoder import ConvolutionalAutoEncoder
from oceanfill.models.variational import VariationalAutoEncoder
from oceanfill.pipeline.experiments.mnist.digits import load_digits
from shipped import run_shipped
from sklearn.decomposition import PCA

torch.set_num_threads(1)


@pytest.fixture(scope="module")
def digits():
    return load_digits(training=600)


def explain_with_pca(digits):
    """Variance of the test digits explained by four components of scikit-learn, around the common mean."""
    pca = PCA(4, svd_solver="full").fit(digits.training.images.flatten(1).numpy())
    test = digits.test.images.flatten(1).numpy()
    return 1 - ((pca.inverse_transform(pca.transform(test)) - test) ** 2).mean() / test.var()


def test_auto_encoders_explain_more_than_principal_components(digits, tmp_path):
    found = run_shipped("mnist-autoencoder", tmp_path, "--training 600 --epochs 6 --batch 15")
    explained = {
        name: found[f"{name}, 4 latent numbers: explained variance"]
        for name in ("PCA", "convolutional", "dense")
    }
    assert explained["PCA"].value == pytest.approx(explain_with_pca(digits), abs=1e-4)
    assert explained["convolutional"].value > explained["PCA"].value + 0.05
    assert explained["dense"].value > explained["PCA"].value + 0.03
    assert [explained[name].reference for name in explained] == [0.503, 0.682, None]
    gain = found["convolutional minus PCA, 4 latent numbers: explained variance (points)"]
    assert (gain.reference, gain.at_least) == (17.9, 12)
    assert gain.value == pytest.approx(100 * (explained["convolutional"].value - explained["PCA"].value))

    saved = torch.load(tmp_path / "convolutional-4.pt", weights_only=True)
    coder = ConvolutionalAutoEncoder(1, 1, **saved["options"]["init_args"]).eval()
    coder.load_state_dict(saved["state_dict"])
    test = digits.test.images
    with torch.no_grad():
        error = (coder(test) - test).square().mean().item()
    expected = 1 - error / test.numpy().var()
    assert explained["convolutional"].value == pytest.approx(expected, abs=1e-5)
    pictures = {"reconstructions-4.png", "generated-4.png", "latent.png", "learning.png"}
    assert {path.name for path in tmp_path.glob("*.p*")} == {"convolutional-4.pt", "dense-4.pt"} | pictures


def test_a_variational_auto_encoder_generates_more_likely_digits_than_pca(digits, tmp_path):
    found = run_shipped("mnist-vae", tmp_path, "--training 600 --epochs 8 --batch 15")
    explained = {
        name: found[f"{name}, 4 latent numbers: explained variance"] for name in ("PCA", "variational")
    }
    assert explained["PCA"].value == pytest.approx(explain_with_pca(digits), abs=1e-4)
    assert explained["variational"].value > explained["PCA"].value + 0.05
    assert explained["variational"].at_least == explained["PCA"].value
    distance = {
        name: found[f"{name}, 4 latent numbers: energy distance of generated digits"]
        for name in ("PCA", "variational")
    }
    assert distance["variational"].value < 0.85 * distance["PCA"].value
    assert distance["variational"].at_most == distance["PCA"].value

    saved = torch.load(tmp_path / "variational-4.pt", weights_only=True)
    coder = VariationalAutoEncoder(1, 1, **saved["options"]["init_args"]).eval()
    coder.load_state_dict(saved["state_dict"])
    with torch.no_grad():
        mean, log_variance = coder.encode_gaussian(digits.test.images)
    nats = (mean**2 + log_variance.exp() - 1 - log_variance).sum(1).mean() / 2
    quantity = "variational, 4 latent numbers: divergence (nats)"
    assert found[quantity].value == pytest.approx(nats.item(), rel=1e-5)
