"""Classification of digits, data augmentation and fine-tuning."""

from __future__ import annotations

import math

import pytest
import torch
from oceanfill.models.classifier import ConvolutionalClassifier
from oceanfill.pipeline.experiments.mnist.classification import compute_accuracy, move_randomly
from oceanfill.pipeline.experiments.mnist.digits import Digits, load_digits
from shipped import run_shipped
from torch import nn

torch.set_num_threads(1)


def test_no_movement_leaves_images_as_they_are():
    images = torch.rand(3, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(move_randomly(images, 0, 0, 0), images, rtol=0, atol=1e-5)


def test_movements_spread_up_to_their_limit():
    torch.manual_seed(0)
    spots = torch.zeros(400, 1, 27, 27)
    spots[:, :, 13, 13] = 1
    moved = move_randomly(spots, 20.0, 0.3, 0.1)
    place = torch.arange(27.0) - 13
    row = (moved.sum((1, 3)) * place).sum(1) / moved.sum((1, 2, 3))
    most = 0.3 * 27 / 2 / 0.9  # along each axis, then rotated by 20 degrees
    turn = math.radians(20)
    assert 3.2 < row.abs().max() < most * (math.cos(turn) + math.sin(turn)) + 0.5
    assert row.mean().abs() < 0.5


def test_accuracy_counts_the_highest_scores():
    scores = torch.tensor([[0.1, 0.9], [0.8, 0.2], [0.3, 0.4], [0.0, 1.0]])
    assert compute_accuracy(nn.Identity(), Digits(scores, torch.tensor([1, 1, 1, 1]))) == 0.75


def test_networks_classify_and_the_plain_ones_over_fit(tmp_path):
    found = run_shipped("mnist-classify", tmp_path, "--training 400 --epochs 6 --batch 10")
    assert found["MLP, plain: accuracy"].value > 0.78
    assert found["MLP, regularised: accuracy"].value > 0.78
    assert found["CNN, plain: accuracy"].value > 0.85
    assert found["CNN, regularised: accuracy"].value > 0.85
    assert found["MLP, plain: validation error of the last epoch / of the best epoch"].value > 1
    assert [found[f"{name}, regularised: accuracy"].reference for name in ("MLP", "CNN")] == [0.937, 0.9835]
    saved = torch.load(tmp_path / "cnn-regularised.pt", weights_only=True)
    assert saved["options"]["dropout"] == 0.3
    network = ConvolutionalClassifier(1, **saved["options"]).eval()
    network.load_state_dict(saved["state_dict"])
    images, labels = load_digits().test
    with torch.no_grad():
        correct = (network(images).argmax(1) == labels).sum().item()
    assert found["CNN, regularised: accuracy"].value == pytest.approx(correct / 1000)
    assert {path.name for path in tmp_path.glob("*.p*")} == {
        "learning.png", "mlp-plain.pt", "mlp-regularised.pt", "cnn-plain.pt", "cnn-regularised.pt"
    }  # fmt: skip


def test_pretraining_helps_with_few_labels(tmp_path):
    found = run_shipped("mnist-finetune", tmp_path, "--training 1500 --pretraining 4 --steps 60 --batch 25")
    for count in (100, 1000):
        kinds = ("from scratch", "frozen", "unfrozen")
        scratch, frozen, unfrozen = (found[f"{count} labels: accuracy, {kind}"].value for kind in kinds)
        gain = found[f"{count} labels: accuracy, unfrozen minus from scratch (points)"]
        assert gain.value == pytest.approx(100 * (unfrozen - scratch))
        assert gain.value > (5 if count == 1000 else -5)
        assert gain.at_least == 0
        assert frozen > 0.5
    assert {"accuracy.png", "tuned-100.pt", "scratch-1000.pt", "autoencoder.pt"} <= {
        path.name for path in tmp_path.iterdir()
    }
