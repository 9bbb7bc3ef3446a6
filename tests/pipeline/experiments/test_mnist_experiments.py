"""The experiments on digits: what they degrade and measure, and what each leaves when it is quick."""

from __future__ import annotations

import math
from importlib.resources import files

import numpy as np
import pytest
import torch
import yaml
from oceanfill.models.autoencoder import ConvolutionalAutoEncoder
from oceanfill.models.classifier import ConvolutionalClassifier
from oceanfill.pipeline.experiments.image_tasks import Restoration, built
from oceanfill.pipeline.experiments.mnist.autoencoders import (
    autoencoder,
    energy_distance,
    explained,
    linear,
    variational,
)
from oceanfill.pipeline.experiments.mnist.classification import accuracy, classify, finetune, moved
from oceanfill.pipeline.experiments.mnist.digits import load_digits
from oceanfill.pipeline.experiments.mnist.restoration import (
    denoise,
    enlarged,
    hidden_pixels,
    hidden_square,
    interpolate,
    noisy,
    quality,
    superresolve,
)

torch.set_num_threads(1)


def draws(seed=0):
    return torch.Generator().manual_seed(seed)


def quick(function, name, folder):
    """What an experiment finds with the quick options of its configuration."""
    text = (files("oceanfill.configs") / "sanity" / f"mnist-{name}.yaml").read_text(encoding="utf-8")
    configuration = yaml.safe_load(text)
    assert configuration["experiment"] == f"{function.__module__}.{function.__name__}"
    options = configuration["options"] | configuration["quick"]
    return {finding.what: finding for finding in function(folder, **options)}


def names(folder):
    return {path.name for path in folder.iterdir()}


def test_explained_variance_is_around_one_mean():
    images = torch.rand(50, 1, 4, 4, generator=draws())
    assert explained(images, images) == 1
    assert explained(images, images.mean().expand_as(images)) == pytest.approx(0, abs=1e-6)
    assert explained(images, images + 0.1) == pytest.approx(1 - 0.01 / images.numpy().var(), rel=1e-5)


def test_energy_distance_of_two_gaussians():
    """Of one dimension apart by 1: E|X - Y| of N(1, 2) and E|X - X'| of N(0, 2), folded normals."""
    x = torch.randn(3000, 1, generator=draws())
    y = 1 + torch.randn(3000, 1, generator=draws(1))
    apart = 2 / math.sqrt(math.pi) * math.exp(-1 / 4) + math.erf(1 / 2)
    expected = math.sqrt(2 * apart - 2 * 2 / math.sqrt(math.pi))
    assert energy_distance(x, y) == pytest.approx(expected, rel=0.05)
    assert energy_distance(x, torch.randn(3000, 1, generator=draws(2))) < 0.05


def test_noise_and_hidden_pixels():
    images = torch.rand(40, 1, 28, 28, generator=draws())
    noise = noisy(images, 0.5, draws(1)) - images
    assert noise.std().item() == pytest.approx(0.5, rel=0.02)
    inputs = hidden_pixels(images, 0.75, draws(1))
    known = inputs[:, 1:] > 0
    assert known.float().mean().item() == pytest.approx(0.25, abs=0.01)
    assert torch.equal(inputs[:, :1][known], images[known])
    assert not inputs[:, :1][~known].any()
    assert torch.equal(hidden_pixels(torch.where(known, images, 7.0), 0.75, draws(1)), inputs)


def test_a_square_is_hidden_anywhere_inside():
    inputs = hidden_square(torch.ones(500, 1, 10, 9), 4, draws())
    hidden = inputs[:, 1] == 0
    assert torch.equal(hidden.sum((1, 2)), torch.full((500,), 16))
    assert torch.equal(hidden.any(1).sum(1), torch.full((500,), 4))
    tops, lefts = hidden.any(2).int().argmax(1), hidden.any(1).int().argmax(1)
    assert sorted(set(tops.tolist())) == list(range(7))
    assert sorted(set(lefts.tolist())) == list(range(6))


def test_enlarged_keeps_a_slope_and_sees_means():
    slope = torch.arange(28.0).expand(1, 1, 28, 28)
    found = enlarged(slope, 4)
    # torch's cubic kernel (a = -0.75) follows a slope to a sixth of a pixel's step.
    torch.testing.assert_close(found[..., 10:18, 10:18], slope[..., 10:18, 10:18], rtol=0, atol=1 / 6)
    checks = torch.zeros(1, 1, 28, 28)
    checks[..., ::2] = 1
    torch.testing.assert_close(enlarged(checks, 4), torch.full_like(checks, 0.5))


def test_quality_holds_images_in_their_range():
    truth = torch.zeros(2, 1, 28, 28)
    truth[0, 0, 5:9] = 1
    off = truth.clone()
    off[1] = 0.2  # a mean square of 0.02 over both
    assert quality(off, truth)[0] == pytest.approx(10 * np.log10(1 / 0.02), rel=1e-6)
    assert quality(truth * 3, truth)[1] == pytest.approx(1)


def test_moved_without_movement_and_by_one_pixel():
    images = torch.rand(3, 1, 28, 28, generator=draws())
    torch.testing.assert_close(moved(images, 0, 0, 0), images, rtol=0, atol=1e-5)
    torch.manual_seed(0)
    spots = torch.zeros(400, 1, 27, 27)
    spots[:, :, 13, 13] = 1
    shifted = moved(spots, 20.0, 0.3, 0.1)
    place = torch.arange(27.0) - 13
    row = (shifted.sum((1, 3)) * place).sum(1) / shifted.sum((1, 2, 3))
    most = 0.3 * 27 / 2 / 0.9  # of each axis, then turned by 20 degrees
    turn = math.radians(20)
    assert 3.2 < row.abs().max() < most * (math.cos(turn) + math.sin(turn)) + 0.5
    assert row.mean().abs() < 0.5


def test_autoencoder(tmp_path):
    found = quick(autoencoder, "autoencoder", tmp_path)
    test = load_digits().test.images
    saved = torch.load(tmp_path / "convolutional-4.pt", weights_only=True)
    coder = ConvolutionalAutoEncoder(1, 1, **saved["options"]["init_args"]).eval()
    coder.load_state_dict(saved["state_dict"])
    with torch.no_grad():
        score = explained(test, coder(test))
    assert found["convolutional(4), explained variance"].ours == pytest.approx(score, abs=1e-6)
    bar = found["convolutional(4) minus PCA(4), points"]
    least = found["PCA(4), explained variance"].ours
    assert (bar.at_least, bar.ours) == (12, pytest.approx(100 * (score - least), abs=1e-4))
    assert 0.45 < least < 0.51
    pictures = {"reconstructions-4.png", "generated-4.png", "latent.png", "learning.png"}
    assert names(tmp_path) == {"convolutional-4.pt", "dense-4.pt"} | pictures


def test_linear(tmp_path):
    found = quick(linear, "linear", tmp_path)
    angles = [finding for what, finding in found.items() if "angle" in what]
    assert len(angles) == 6
    assert all(finding.met for finding in angles)
    scores = {finding.ours for what, finding in found.items() if "explained" in what}
    assert max(scores) - min(scores) < 1e-4
    assert {"digits.png", "sst.png", "digits-tied-4.pt", "sst-free-4.pt"} <= names(tmp_path)


def test_variational(tmp_path):
    found = quick(variational, "vae", tmp_path)
    assert found["digits made by variational(4), energy distance"].ours > 0
    assert found["variational(4), divergence, nats"].ours > 0
    assert {"generated-4.png", "reconstructions-4.png", "latent.png", "variational-4.pt"} == names(tmp_path)


@pytest.mark.parametrize(
    ("function", "name", "kinds"),
    [
        (denoise, "denoise", ["noise"]),
        (interpolate, "interpolate", ["pixels", "square"]),
        (superresolve, "superresolve", ["coarse"]),
    ],
)
def test_restoration(function, name, kinds, tmp_path):
    found = quick(function, name, tmp_path)
    assert names(tmp_path) == {f"{kind}.{suffix}" for kind in kinds for suffix in ("pt", "png")}
    for kind in kinds:
        rival = "bicubic" if kind == "coarse" else "PCA"
        gain = found[f"{kind}, network, PSNR, dB"].ours - found[f"{kind}, {rival}, PSNR, dB"].ours
        assert found[f"{kind}, network minus {rival}, PSNR, dB"].ours == gain
    if kinds == ["coarse"]:
        test = load_digits().test.images
        saved = torch.load(tmp_path / "coarse.pt", weights_only=True)
        task = Restoration(built(saved["options"], 1, 1, 0), 0.0).eval()
        task.network.load_state_dict(saved["state_dict"])
        with torch.no_grad():
            psnr, ssim = quality(task(enlarged(test, 4)), test)
        assert found["coarse, network, PSNR, dB"].ours == pytest.approx(psnr, abs=1e-4)
        assert found["coarse, network, SSIM"].ours == pytest.approx(ssim, abs=1e-5)
    if kinds == ["noise"]:
        assert found["noise, input, PSNR, dB"].ours < found["noise, PCA, PSNR, dB"].ours - 5


def test_classify(tmp_path):
    found = quick(classify, "classify", tmp_path)
    saved = torch.load(tmp_path / "cnn-helped.pt", weights_only=True)
    network = ConvolutionalClassifier(1, **saved["options"])
    network.load_state_dict(saved["state_dict"])
    assert found["CNN, helped, accuracy"].ours == accuracy(network, load_digits().test)
    assert found["MLP, plain, accuracy"].ours > 0.6
    assert found["CNN, plain, validation error of the last epoch over the kept"].ours >= 1
    assert {"learning.png", "mlp-plain.pt", "mlp-helped.pt", "cnn-plain.pt", "cnn-helped.pt"} == names(
        tmp_path
    )


def test_finetune(tmp_path):
    found = quick(finetune, "finetune", tmp_path)
    for count in (100, 1000):
        tuned, fresh = (
            found[f"{count} labels, {kind}, accuracy"].ours for kind in ("unfrozen", "from scratch")
        )
        gain = found[f"{count} labels, unfrozen minus from scratch, points"].ours
        assert gain == pytest.approx(100 * (tuned - fresh))
    assert found["1000 labels, from scratch, accuracy"].ours > 0.5
    assert {"accuracy.png", "tuned-100.pt", "scratch-1000.pt", "autoencoder.pt"} <= names(tmp_path)
