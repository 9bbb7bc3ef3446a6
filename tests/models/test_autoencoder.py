"""Auto-encoders: parameters, grids, gradients, dropout, masks and projections."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from oceanfill.models.autoencoder import (
    ConvolutionalAutoEncoder,
    DenseAutoEncoder,
    LinearAutoEncoder,
    make_convolutional_encoder,
    make_dense_encoder,
)
from oceanfill.models.variational import VariationalAutoEncoder
from torch import nn

torch.set_num_threads(1)

# Parameters for 3 inputs, 2 outputs, 20 x 13 cells and 5 latent numbers. By hand for the convolutional
# networks, whose grid is 24 x 16 cells and 3 x 2 at the deepest level:
# 3 x 3 convolutions 3-8-16-32: 224 + 1168 + 4640; dense 192-128: 24704; latent 645; back: 768 + 24768;
# 4 x 4 deconvolutions 32-16-8-8: 8208 + 2056 + 1032, or 3 x 3 if pooled: 4624 + 1160 + 584; head 146.
_HEAD_AND_DENSE = 224 + 1168 + 4640 + 24704 + 645 + 768 + 24768 + 146
NETWORKS = [
    pytest.param(DenseAutoEncoder, {"widths": (30, 20)}, 23_430 + 620 + 105 + 120 + 630 + 16_120, id="dense"),
    pytest.param(ConvolutionalAutoEncoder, {}, _HEAD_AND_DENSE + 8208 + 2056 + 1032, id="strided"),
    pytest.param(
        ConvolutionalAutoEncoder, {"pooled": True}, _HEAD_AND_DENSE + 4624 + 1160 + 584, id="pooled"
    ),
    pytest.param(
        ConvolutionalAutoEncoder,
        {"norm": True, "dropout": 0.2},
        _HEAD_AND_DENSE + 8208 + 2056 + 1032 + 2 * (8 + 16 + 32 + 16 + 8 + 8),
        id="norm",
    ),
    pytest.param(VariationalAutoEncoder, {}, _HEAD_AND_DENSE + 8208 + 2056 + 1032 + 645, id="variational"),
    pytest.param(LinearAutoEncoder, {}, 5 * 780 + 5 * 520, id="linear"),
]
each = pytest.mark.parametrize(("network", "options", "parameters"), NETWORKS)


def make_network(network, options, seed=0):
    """Build the network for 20 x 13 cells, with random weights in its last layer."""
    torch.manual_seed(seed)
    module = network(3, 2, (20, 13), 5, **options)
    for tensor in module.parameters():
        if not tensor.any():
            nn.init.normal_(tensor, std=0.1)
    return module


def draw_images(*shape, seed=1):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@each
def test_parameters(network, options, parameters):
    found = sum(tensor.numel() for tensor in network(3, 2, (20, 13), 5, **options).parameters())
    assert found == parameters


@each
def test_a_smaller_grid_is_padded_with_zeros(network, options, parameters):
    module = make_network(network, options).eval()
    small = draw_images(4, 3, 17, 9)
    with torch.no_grad():
        code, output = module.encode(small), module(small)
        whole = module.decode(code)
        padded = module(nn.functional.pad(small, (0, 4, 0, 3)))
    assert code.shape == (4, 5)
    assert whole.shape == (4, 2, 20, 13)
    torch.testing.assert_close(padded, whole)
    torch.testing.assert_close(output, whole[..., :17, :9], rtol=0, atol=0)
    with pytest.raises(ValueError, match=r"built for \(20, 13\) cells, but the input has \(20, 14\)"):
        module(draw_images(1, 3, 20, 14))


@each
def test_a_large_odd_grid_and_a_start_that_changes_nothing(network, options, parameters):
    if network is DenseAutoEncoder:
        options = {"widths": (4, 4)}
    module = network(2, 4, (201, 301), 3, **options).eval()
    with torch.no_grad():
        output = module(draw_images(1, 2, 201, 301))
    assert output.shape == (1, 4, 201, 301)
    assert not output.any()


@each
def test_every_parameter_has_a_gradient(network, options, parameters):
    module = make_network(network, options)
    module(draw_images(8, 3, 20, 13)).square().sum().backward()
    without = [
        name for name, tensor in module.named_parameters() if tensor.grad is None or not tensor.grad.any()
    ]
    assert without == []


def test_masked_cells_are_ignored_and_zero_in_the_output():
    weight = torch.rand(6, 5, generator=torch.Generator().manual_seed(2)) + 0.5
    weight[:2, 1:] = 0
    masked = weight == 0
    for tied in (False, True):
        torch.manual_seed(0)
        module = LinearAutoEncoder(1, 1, (6, 5), 3, tied, weight)
        if not tied:
            nn.init.normal_(module.decoder.weight)
        x = draw_images(4, 1, 6, 5)
        with torch.no_grad():
            output = module(x)
            assert torch.equal(module(torch.where(masked, torch.nan, x)), output)
        assert not output[..., masked].any()
        assert output[..., ~masked].all()


def test_tied_columns_are_orthonormal_and_project():
    torch.manual_seed(0)
    weight = torch.rand(6, 5, dtype=torch.float64) + 0.5
    module = LinearAutoEncoder(1, 1, (6, 5), 4, tied=True, weight=weight).double()
    columns = module.decoder.weight
    torch.testing.assert_close(columns.T @ columns, torch.eye(4, dtype=torch.float64), rtol=0, atol=1e-6)
    x = draw_images(3, 1, 6, 5).double()
    once = module(x)
    torch.testing.assert_close(module(once), once, rtol=0, atol=1e-6)
    # The projection is orthogonal under the weights: the weighted product of output and residual is 0.
    product = ((x - once) * once * weight).sum((1, 2, 3))
    torch.testing.assert_close(product, torch.zeros_like(product), rtol=0, atol=1e-5)


def test_a_unit_code_decodes_to_a_column_over_the_root_of_area():
    module = make_network(LinearAutoEncoder, {"weight": torch.linspace(0.5, 2, 260).reshape(20, 13)})
    with torch.no_grad():
        pattern = module.decode(torch.eye(5))[2]
    column = module.decoder.weight[:, 2].detach().numpy().reshape(2, 20, 13)
    np.testing.assert_allclose(pattern, column / np.sqrt(np.linspace(0.5, 2, 260)).reshape(20, 13), rtol=1e-5)


def test_invalid_options_of_a_linear_network_are_refused():
    with pytest.raises(ValueError, match="as many outputs as inputs, not 3 inputs and 2 outputs"):
        LinearAutoEncoder(3, 2, (4, 4), 2, tied=True)
    with pytest.raises(ValueError, match=r"weights of shape \(4, 5\) do not match images of shape \(4, 4\)"):
        LinearAutoEncoder(1, 1, (4, 4), 2, weight=torch.ones(4, 5))


@pytest.mark.parametrize(
    ("encoder", "shape", "places"),
    [
        (make_dense_encoder(1, (40, 50), (3000,), dropout=0.3), (40, 50), [3]),
        (make_convolutional_encoder(1, (40, 100), (8,), dense=3000, dropout=0.3), (40, 100), [3, 6]),
    ],
    ids=["dense", "convolutional"],
)
def test_dropout_zeroes_its_share_in_training_and_scales_the_rest(encoder, shape, places):
    torch.manual_seed(0)
    assert [place for place, layer in enumerate(encoder) if isinstance(layer, nn.Dropout)] == places
    for place in places:
        with torch.no_grad():
            before = encoder.eval()[:place](draw_images(1, 1, *shape))
            after = encoder.train()[place](before)
        active = before > 0
        assert active.sum() > 1000
        dropped = (after[active] == 0).float().mean().item()
        assert dropped == pytest.approx(0.3, abs=4 * (0.21 / int(active.sum())) ** 0.5)
        torch.testing.assert_close(after[after > 0], before[after > 0] / 0.7)
