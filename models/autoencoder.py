"""Auto-encoders with a small latent space: dense, convolutional and linear (Bourlard and Kamp 1988).

All of them provide ``encode`` and ``decode`` and can also be used as gap-filling networks. Their dense layers
cover one whole grid, the ``shape`` they are built for. A smaller grid is padded with zeros; a larger one
raises ValueError.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.parametrize import register_parametrization

from .head import zero_weights


class LatentAutoEncoder(nn.Module):
    """Auto-encoder of images: (batch, inputs, y, x) to (batch, outputs, y, x), for y, x up to ``shape``.

    ``encoder`` maps images to features (batch, n); the sides of the images are ``shape`` rounded up to
    multiples of ``unit``. ``latent`` maps features to the code (batch, latent), and ``decoder`` maps the code
    back to images of the rounded-up shape.
    """

    def __init__(
        self, encoder: nn.Module, latent: nn.Module, decoder: nn.Module, shape: tuple[int, int], unit: int = 1
    ) -> None:
        super().__init__()
        self.encoder, self.latent, self.decoder = encoder, latent, decoder
        self.shape = tuple(shape)
        self.grid = round_up(shape, unit)

    def extract_features(self, x: Tensor) -> Tensor:
        """Map images to the encoder's features (batch, n).

        Raises ValueError for a grid larger than ``shape``.
        """
        return self.encoder(pad_to_grid(x, self.shape, self.grid))

    def encode(self, x: Tensor) -> Tensor:
        """Map images (batch, inputs, y, x) to codes (batch, latent)."""
        return self.latent(self.extract_features(x))

    def decode(self, code: Tensor) -> Tensor:
        """Map codes (batch, latent) to images (batch, outputs, *shape)."""
        rows, columns = self.shape
        return self.decoder(code)[..., :rows, :columns]

    def forward(self, x: Tensor) -> Tensor:
        rows, columns = x.shape[-2:]
        return self.decode(self.encode(x))[..., :rows, :columns]


def round_up(shape: Sequence[int], unit: int) -> tuple[int, int]:
    """Round the sides of a shape (y, x) up to multiples of ``unit``."""
    rows, columns = (-(-extent // unit) * unit for extent in shape)
    return rows, columns


def pad_to_grid(x: Tensor, shape: Sequence[int], grid: Sequence[int]) -> Tensor:
    """Pad images (..., y, x) with zeros at the end, up to ``grid``.

    Raises ValueError if they exceed ``shape``.
    """
    rows, columns = x.shape[-2:]
    if rows > shape[0] or columns > shape[1]:
        raise ValueError(
            f"this auto-encoder was built for {tuple(shape)} cells, but the input has {(rows, columns)}; its "
            "dense layers accept no larger grid: set its shape accordingly, or cut the domain into patches"
        )
    return functional.pad(x, (0, grid[1] - columns, 0, grid[0] - rows))


def make_dense_encoder(
    inputs: int, shape: Sequence[int], widths: Sequence[int], dropout: float = 0.0
) -> nn.Sequential:
    """Build an encoder from (batch, inputs, *shape) to (batch, widths[-1]): dense layers, ReLU, dropout."""
    layers: list[nn.Module] = [nn.Flatten()]
    for before, after in pairwise((inputs * shape[0] * shape[1], *widths)):
        layers += [nn.Linear(before, after), nn.ReLU(), nn.Dropout(dropout)]
    return nn.Sequential(*layers)


class DenseAutoEncoder(LatentAutoEncoder):
    """Dense layers of ``widths`` down to ``latent`` numbers and back.

    Hinton and Salakhutdinov 2006, doi:10.1126/science.1127647. Differences here: trained end to end, with
    ReLU.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int = 2,
        shape: tuple[int, int] = (64, 64),
        latent: int = 16,
        widths: Sequence[int] = (256, 128),
        dropout: float = 0.0,
    ) -> None:
        rows, columns = shape
        back: list[nn.Module] = []
        for before, after in pairwise((latent, *widths[::-1])):
            back += [nn.Linear(before, after), nn.ReLU(), nn.Dropout(dropout)]
        back += [
            zero_weights(nn.Linear(widths[0], outputs * rows * columns)),
            nn.Unflatten(1, (outputs, rows, columns)),
        ]
        encoder = make_dense_encoder(inputs, shape, widths, dropout)
        super().__init__(encoder, nn.Linear(widths[-1], latent), nn.Sequential(*back), shape)


def make_convolutional_encoder(
    inputs: int,
    shape: Sequence[int],
    widths: Sequence[int],
    dense: int,
    pooled: bool = False,
    norm: bool = False,
    dropout: float = 0.0,
) -> nn.Sequential:
    """Build an encoder from (batch, inputs, y, x) to (batch, dense), y, x being ``shape`` rounded up.

    Each level halves the grid with a 3 x 3 convolution of stride 2, or, if ``pooled``, one of stride 1
    followed by the mean of 2 x 2 cells. Batch normalisation (``norm``) and ReLU follow. A dense layer, with
    dropout before and after it, comes last. The sides of the grid are multiples of ``2 ** len(widths)``.
    """
    layers: list[nn.Module] = []
    for before, after in pairwise((inputs, *widths)):
        layers.append(nn.Conv2d(before, after, 3, stride=1 if pooled else 2, padding=1))
        layers += [nn.BatchNorm2d(after)] * norm + [nn.ReLU()] + [nn.AvgPool2d(2)] * pooled
    rows, columns = _compute_bottom_grid(shape, widths)
    size = widths[-1] * rows * columns
    layers += [nn.Flatten(), nn.Dropout(dropout), nn.Linear(size, dense), nn.ReLU(), nn.Dropout(dropout)]
    return nn.Sequential(*layers)


class ConvolutionalAutoEncoder(LatentAutoEncoder):
    """Convolutions that halve the grid, a dense layer, ``latent`` numbers, and the mirror image of these.

    `make_convolutional_encoder` describes the options. The decoder doubles the grid with transposed
    convolutions of stride 2 or, if ``pooled``, with nearest-neighbour upsampling and a convolution.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int = 2,
        shape: tuple[int, int] = (64, 64),
        latent: int = 16,
        widths: Sequence[int] = (8, 16, 32),
        dense: int = 128,
        pooled: bool = False,
        norm: bool = False,
        dropout: float = 0.0,
    ) -> None:
        rows, columns = _compute_bottom_grid(shape, widths)
        size = widths[-1] * rows * columns
        back: list[nn.Module] = [nn.Linear(latent, dense), nn.ReLU(), nn.Dropout(dropout)]
        back += [nn.Linear(dense, size), nn.ReLU(), nn.Unflatten(1, (widths[-1], rows, columns))]
        for below, above in pairwise((*widths[::-1], widths[0])):
            back += [_make_doubling(below, above, pooled), *[nn.BatchNorm2d(above)] * norm, nn.ReLU()]
        back.append(zero_weights(nn.Conv2d(widths[0], outputs, 3, padding=1)))
        encoder = make_convolutional_encoder(inputs, shape, widths, dense, pooled, norm, dropout)
        unit = 2 ** len(widths)
        super().__init__(encoder, nn.Linear(dense, latent), nn.Sequential(*back), shape, unit)


def _compute_bottom_grid(shape: Sequence[int], widths: Sequence[int]) -> tuple[int, int]:
    """Compute the number of rows and columns at the deepest level."""
    unit = 2 ** len(widths)
    rows, columns = round_up(shape, unit)
    return rows // unit, columns // unit


def _make_doubling(below: int, above: int, pooled: bool) -> nn.Module:
    """Build a layer from (batch, below, y, x) to (batch, above, 2 y, 2 x)."""
    if pooled:
        return nn.Sequential(nn.Upsample(scale_factor=2), nn.Conv2d(below, above, 3, padding=1))
    return nn.ConvTranspose2d(below, above, 4, stride=2, padding=1)


class _Orthonormal(nn.Module):
    """Orthonormal columns with the same span (cells, latent), from a QR factorisation.

    torch's own ``orthogonal`` stores a full basis of cells x cells numbers, which is too large for an ocean
    grid.
    """

    def forward(self, weight: Tensor) -> Tensor:
        columns, triangle = torch.linalg.qr(weight)
        # With a positive diagonal the columns are a smooth function of the weight.
        return columns * triangle.diagonal().sign()


class LinearAutoEncoder(nn.Module):
    """Two matrices without bias, for anomalies: (batch, inputs, *shape) to (batch, outputs, *shape).

    Trained with least squares, it spans the subspace of the first ``latent`` EOFs (Baldi and Hornik 1989,
    doi:10.1016/0893-6080(89)90014-2). If ``tied``, the matrices are each other's transpose and have
    orthonormal columns; with one column, that column is the first EOF. ``weight`` (y, x) is the area of each
    cell and 0 where masked. Masked cells are not read and are 0 in the output; the other weights enter the
    mean square that the EOFs minimise. Raises ValueError if tied matrices have different numbers of inputs
    and outputs, and if the weights do not have the shape of the images.
    """

    root: Tensor  # square root of the weight of each unmasked cell
    cells: Tensor  # flat indices of these cells, row by row

    def __init__(
        self,
        inputs: int,
        outputs: int = 2,
        shape: tuple[int, int] = (64, 64),
        latent: int = 16,
        tied: bool = False,
        weight: Tensor | None = None,
    ) -> None:
        super().__init__()
        if tied and inputs != outputs:
            raise ValueError(
                f"tied weights need as many outputs as inputs, not {inputs} inputs and {outputs} outputs"
            )
        weight = torch.ones(shape, device="cpu") if weight is None else weight  # its zeros decide on shapes
        if weight.shape != tuple(shape):
            raise ValueError(
                f"weights of shape {tuple(weight.shape)} do not match images of shape {tuple(shape)}"
            )
        self.shape, self.outputs = tuple(shape), outputs
        weight = weight.flatten()
        self.register_buffer("cells", weight.nonzero().flatten())
        self.register_buffer("root", weight[self.cells].sqrt())
        cells = len(self.cells)
        self.latent = None if tied else nn.Linear(inputs * cells, latent, bias=False)
        decoder = nn.Linear(latent, outputs * cells, bias=False)
        if tied:
            register_parametrization(decoder, "weight", _Orthonormal())
        self.decoder = decoder if tied else zero_weights(decoder)

    def flatten_weighted(self, x: Tensor) -> Tensor:
        """Flatten unmasked cells, times the square root of area: (batch, inputs * cells)."""
        x = pad_to_grid(x, self.shape, self.shape).flatten(2)
        return (x[..., self.cells] * self.root).flatten(1)

    def encode(self, x: Tensor) -> Tensor:
        """Map anomalies (batch, inputs, y, x) to codes (batch, latent)."""
        anomalies = self.flatten_weighted(x)
        return anomalies @ self.decoder.weight if self.latent is None else self.latent(anomalies)

    def decode(self, code: Tensor) -> Tensor:
        """Map codes (batch, latent) to anomalies (batch, outputs, *shape), 0 where masked."""
        values = self.decoder(code).unflatten(1, (self.outputs, -1)) / self.root
        image = values.new_zeros(*values.shape[:2], self.shape[0] * self.shape[1])
        return image.index_copy(2, self.cells, values).unflatten(2, self.shape)

    def forward(self, x: Tensor) -> Tensor:
        rows, columns = x.shape[-2:]
        return self.decode(self.encode(x))[..., :rows, :columns]
