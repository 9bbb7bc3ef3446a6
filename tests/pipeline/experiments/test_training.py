"""Building, training and saving networks."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
import torch
from oceanfill.pipeline.experiments.options import TrainingOptions
from oceanfill.pipeline.experiments.training import (
    Regression,
    build_with_seed,
    fit,
    make_loader,
    save_network,
)
from oceanfill.pipeline.training.trainer import History
from torch import nn


def test_a_seed_determines_the_weights_and_leaves_other_random_numbers_alone() -> None:
    build = partial(nn.Linear, 3, 2)
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    first = build_with_seed(build, 3)
    assert torch.equal(torch.rand(3), expected)
    assert torch.equal(build_with_seed(build, 3).weight, first.weight)
    assert not torch.equal(build_with_seed(build, 4).weight, first.weight)


def test_a_transform_changes_the_inputs_alone_and_every_time() -> None:
    images = torch.arange(6.0).reshape(6, 1)
    added = iter((10, 20))
    loader = make_loader(images, images, 6, transform=lambda batch: batch + next(added))
    for shift in (10, 20):
        ((inputs, target),) = loader
        assert torch.equal(target, images)
        assert torch.equal(inputs, images + shift)


def test_shuffled_batches_keep_inputs_and_targets_together() -> None:
    images = torch.arange(40.0).reshape(40, 1)
    torch.manual_seed(0)
    batches = list(make_loader(images, -images, 15, shuffle=True))
    inputs = torch.cat([first for first, _ in batches])
    assert [len(first) for first, _ in batches] == [15, 15, 10]
    assert not torch.equal(inputs, images)
    assert torch.equal(inputs.sort(0).values, images)
    assert torch.equal(torch.cat([target for _, target in batches]), -inputs)


def test_a_saved_network_is_restored_from_its_file(tmp_path: Path) -> None:
    network = build_with_seed(partial(nn.Linear, 3, 2), 0)
    save_network(tmp_path / "network.pt", network, {"features": [3, 2]})
    saved = torch.load(tmp_path / "network.pt", weights_only=True)
    again = nn.Linear(*saved["options"]["features"])
    again.load_state_dict(saved["state_dict"])
    assert torch.equal(again(torch.eye(3)), network(torch.eye(3)))


def test_regression_finds_the_coefficients_of_a_linear_law() -> None:
    """The epoch with the lowest validation error is restored; without noise it has the true coefficients."""
    generator = torch.Generator().manual_seed(0)
    inputs, law = torch.randn(200, 2, generator=generator), torch.tensor([[2.0, -1.0]])
    target, history = inputs @ law.T + 0.5, History()
    task = fit(
        Regression(build_with_seed(partial(nn.Linear, 2, 1), 0), learning_rate=0.1),
        make_loader(inputs[:150], target[:150], 50, shuffle=True),
        make_loader(inputs[150:], target[150:], 50),
        TrainingOptions(epochs=60),
        history,
    )
    torch.testing.assert_close(task.network.weight.detach(), law, atol=0.02, rtol=0)
    assert task.network.bias.item() == pytest.approx(0.5, abs=0.02)
    errors = [epoch["error"] for epoch in history.epochs]
    with torch.no_grad():
        final = task.loss(inputs[150:], target[150:]).item()
    assert final == pytest.approx(min(errors), rel=1e-4)


def test_the_regression_loss_is_the_mean_square_error() -> None:
    network = nn.Linear(1, 1)
    nn.init.ones_(network.weight)
    nn.init.zeros_(network.bias)
    inputs = torch.tensor([[1.0], [2.0]])
    assert Regression(network, 1e-3).loss(inputs, torch.tensor([[0.0], [4.0]])).item() == 2.5
