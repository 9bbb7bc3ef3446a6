"""Classifiers of images: an encoder, dropout (Srivastava et al. 2014) and one linear layer."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from .autoencoder import make_convolutional_encoder, make_dense_encoder, pad_to_grid, round_up


class Classifier(nn.Module):
    """Scores (batch, classes), before the softmax, of images (batch, inputs, y, x) of ``shape``.

    ``encoder`` takes images, their sides padded to multiples of ``unit``, to (batch, features); that of an
    auto-encoder will do.
    """

    def __init__(
        self,
        encoder: nn.Module,
        features: int,
        classes: int,
        shape: tuple[int, int],
        unit: int = 1,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = nn.Sequential(nn.Dropout(dropout), nn.Linear(features, classes))
        self.shape, self.grid = tuple(shape), round_up(shape, unit)

    def extract_features(self, x: Tensor) -> Tensor:
        """(batch, features) of images (batch, inputs, y, x). Raises ValueError for a larger grid."""
        return self.encoder(pad_to_grid(x, self.shape, self.grid))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.extract_features(x))


class DenseClassifier(Classifier):
    """A multi-layer perceptron: dense layers of ``widths`` with ReLU and dropout."""

    def __init__(
        self,
        inputs: int,
        classes: int,
        shape: tuple[int, int],
        widths: Sequence[int] = (256, 128),
        dropout: float = 0.0,
    ) -> None:
        encoder = make_dense_encoder(inputs, shape, widths, dropout)
        super().__init__(encoder, widths[-1], classes, shape)  # the encoder ends with a dropout


class ConvolutionalClassifier(Classifier):
    """Convolutions that halve the grid and a dense layer; see `make_convolutional_encoder` for the options."""

    def __init__(
        self,
        inputs: int,
        classes: int,
        shape: tuple[int, int],
        widths: Sequence[int] = (16, 32, 64),
        dense: int = 128,
        pooled: bool = True,
        norm: bool = True,
        dropout: float = 0.0,
    ) -> None:
        encoder = make_convolutional_encoder(inputs, shape, widths, dense, pooled, norm, dropout)
        super().__init__(encoder, dense, classes, shape, 2 ** len(widths))
