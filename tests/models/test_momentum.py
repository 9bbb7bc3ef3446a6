"""The network of Bolton and Zanna: its size, its reach, and tiles without a mean."""

from __future__ import annotations

import pytest
import torch
from oceanfill.models.momentum import BoltonZanna

torch.set_num_threads(1)


def draw_tiles(count: int) -> torch.Tensor:
    return torch.randn(count, 1, 40, 40, generator=torch.Generator().manual_seed(1))


def test_the_published_parameters_layer_by_layer() -> None:
    network = BoltonZanna()
    sizes = [sum(p.numel() for p in layer.parameters()) for layer in network.layers]
    # 16 x 64 + 16, 8 x 16 x 16 + 8, 8 x 8 x 16 + 8, 1600 x 200 + 1600
    assert [size for size in sizes if size] == [1040, 2056, 1032, 321_600]
    assert sum(sizes) == 325_728


@pytest.mark.parametrize("centred", [False, True])
def test_shape_gradients_and_the_mean(centred: bool) -> None:
    torch.manual_seed(0)
    network = BoltonZanna(centred).double()
    output = network(draw_tiles(3).double())
    assert output.shape == (3, 1, 40, 40)
    largest = output.mean((-2, -1)).abs().max()
    assert (largest < 1e-15) if centred else (largest > 1e-4)
    output.square().sum().backward()
    assert [name for name, p in network.named_parameters() if p.grad is None or not p.grad.any()] == []


def test_the_last_two_rows_and_columns_have_no_influence() -> None:
    """8 cells every 2 cover all 40; 17, 14, 11 cells follow, and pooling omits the last row and column."""
    torch.manual_seed(0)
    x = draw_tiles(40).requires_grad_()
    BoltonZanna()(x).square().sum().backward()
    assert x.grad is not None
    influential = x.grad.abs().sum((0, 1)) > 0
    assert influential[:38, :38].all()
    assert not influential[38:].any()
    assert not influential[:, 38:].any()


def test_tiles_of_another_size_are_refused() -> None:
    with pytest.raises(ValueError, match=r"needs tiles of 1 x 40 x 40, not \(1, 38, 40\)"):
        BoltonZanna()(torch.zeros(2, 1, 38, 40))
