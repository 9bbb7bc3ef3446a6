"""Auto-encoders through a few latent numbers: dense, convolutional and linear (Bourlard and Kamp 1988).

All have ``encode`` and ``decode``, and serve as gap-filling networks too. Their dense layers see the whole of
one grid, the ``shape`` they were made for; a smaller grid is padded with zeros, a larger one is refused.
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
    """(batch, inputs, y, x) to (batch, outputs, y, x), for y, x up to ``shape``.

    ``encoder`` takes images of ``shape``, its sides rounded up to multiples of ``unit``, to features
    (batch, n); ``latent`` takes those to (batch, latent); ``decoder`` takes these back to the rounded shape.
    """

    def __init__(
        self, encoder: nn.Module, latent: nn.Module, decoder: nn.Module, shape: tuple[int, int], unit: int = 1
    ) -> None:
        super().__init__()
        self.encoder, self.latent, self.decoder = encoder, latent, decoder
        self.shape = tuple(shape)
        self.grid = round_up(shape, unit)

    def extract_features(self, x: Tensor) -> Tensor:
        """What the encoder says of images, padded to its grid. Raises ValueError for a larger grid."""
        return self.encoder(pad_to_grid(x, self.shape, self.grid))

    def encode(self, x: Tensor) -> Tensor:
        """(batch, latent) of images (batch, inputs, y, x)."""
        return self.latent(self.extract_features(x))

    def decode(self, code: Tensor) -> Tensor:
        """Images (batch, outputs, *shape) of (batch, latent)."""
        rows, columns = self.shape
        return self.decoder(code)[..., :rows, :columns]

    def forward(self, x: Tensor) -> Tensor:
        rows, columns = x.shape[-2:]
        return self.decode(self.encode(x))[..., :rows, :columns]


def round_up(shape: Sequence[int], unit: int) -> tuple[int, int]:
    """The shape (y, x), its sides rounded up to multiples of ``unit``."""
    rows, columns = (-(-extent // unit) * unit for extent in shape)
    return rows, columns


def pad_to_grid(x: Tensor, shape: Sequence[int], grid: Sequence[int]) -> Tensor:
    """Images (..., y, x) with zeros at their ends up to ``grid``. Raises ValueError beyond ``shape``."""
    rows, columns = x.shape[-2:]
    if rows > shape[0] or columns > shape[1]:
        raise ValueError(
            f"an auto-encoder made for {tuple(shape)} cells sees {(rows, columns)}; its dense layers take no "
            "larger grid: give that shape, or cut the domain to patches"
        )
    return functional.pad(x, (0, grid[1] - columns, 0, grid[0] - rows))


def make_dense_encoder(
    inputs: int, shape: Sequence[int], widths: Sequence[int], dropout: float = 0.0
) -> nn.Sequential:
    """(batch, inputs, *shape) to features (batch, widths[-1]): dense layers, ReLU, dropout."""
    layers: list[nn.Module] = [nn.Flatten()]
    for before, after in pairwise((inputs * shape[0] * shape[1], *widths)):
        layers += [nn.Linear(before, after), nn.ReLU(), nn.Dropout(dropout)]
    return nn.Sequential(*layers)


class DenseAutoEncoder(LatentAutoEncoder):
    """Dense layers of ``widths`` down to ``latent`` numbers, and back (Hinton and Salakhutdinov 2006,
    doi:10.1126/science.1127647; ours to differ: trained at once, with ReLU).
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
    """(batch, inputs, y, x) to features (batch, dense), for y, x of ``rounded(shape, 2 ** len(widths))``.

    Each level halves the grid: a 3 x 3 convolution of stride 2, or ``pooled`` one of stride 1 and the mean of
    2 x 2 cells; then batch normalisation (``norm``) and ReLU; dropout around the dense layer at the end.
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
    """Convolutions that halve the grid, a dense layer, ``latent`` numbers, and the mirrored way back.

    The options are those of `make_convolutional_encoder`; on the way back the grid is doubled by transposed
    convolutions of stride 2, or with ``pooled`` by nearest cells and a convolution.
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
    """The grid below all levels."""
    unit = 2 ** len(widths)
    rows, columns = round_up(shape, unit)
    return rows // unit, columns // unit


def _make_doubling(below: int, above: int, pooled: bool) -> nn.Module:
    """(batch, below, y, x) to (batch, above, 2 y, 2 x)."""
    if pooled:
        return nn.Sequential(nn.Upsample(scale_factor=2), nn.Conv2d(below, above, 3, padding=1))
    return nn.ConvTranspose2d(below, above, 4, stride=2, padding=1)


class _Orthonormal(nn.Module):
    """Orthonormal columns of the same span (cells, latent), by Gram and Schmidt.

    torch's own ``orthogonal`` keeps a square base of cells x cells numbers, too many for a sea.
    """

    def forward(self, weight: Tensor) -> Tensor:
        columns, triangle = torch.linalg.qr(weight)
        # Where the diagonal is positive the columns are a smooth function of the weight.
        return columns * triangle.diagonal().sign()


class LinearAutoEncoder(nn.Module):
    """Two matrices without bias: (batch, inputs, *shape) to (batch, outputs, *shape), of anomalies.

    With least squares it spans the subspace of the first ``latent`` EOFs (Baldi and Hornik 1989,
    doi:10.1016/0893-6080(89)90014-2). ``tied`` matrices are each other's transpose, with orthonormal columns;
    one column is the first EOF. ``weight`` (y, x) is the area of each cell, 0 where masked: those cells are
    neither read nor said, and the mean square that the EOFs minimise is weighted with it. Raises ValueError
    for tied matrices with other outputs than inputs, and for weights of another shape.
    """

    root: Tensor  # of the weight of each cell that is not masked
    cells: Tensor  # their numbers, row after row

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
            raise ValueError(f"tied weights give the {inputs} inputs back and not {outputs} outputs")
        weight = torch.ones(shape) if weight is None else weight
        if weight.shape != tuple(shape):
            raise ValueError(f"weights of shape {tuple(weight.shape)} do not fit images of {tuple(shape)}")
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
        """(batch, inputs, y, x) as (batch, inputs * cells), times the root of area, without the masked."""
        x = pad_to_grid(x, self.shape, self.shape).flatten(2)
        return (x[..., self.cells] * self.root).flatten(1)

    def encode(self, x: Tensor) -> Tensor:
        """(batch, latent) of anomalies (batch, inputs, y, x)."""
        weighted = self.flatten_weighted(x)
        return weighted @ self.decoder.weight if self.latent is None else self.latent(weighted)

    def decode(self, code: Tensor) -> Tensor:
        """Anomalies (batch, outputs, *shape) of (batch, latent), 0 where masked."""
        said = self.decoder(code).unflatten(1, (self.outputs, -1)) / self.root
        image = said.new_zeros(*said.shape[:2], self.shape[0] * self.shape[1])
        return image.index_copy(2, self.cells, said).unflatten(2, self.shape)

    def forward(self, x: Tensor) -> Tensor:
        rows, columns = x.shape[-2:]
        return self.decode(self.encode(x))[..., :rows, :columns]
