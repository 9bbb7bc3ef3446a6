"""Image classifiers: an encoder, dropout (Srivastava et al. 2014) and one linear layer."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from .autoencoder import make_convolutional_encoder, make_dense_encoder, pad_to_grid, round_up


class Classifier(nn.Module):
    """Classifier of images (batch, inputs, y, x) up to ``shape``; returns logits (batch, classes).

    ``encoder`` maps images, padded so that their sides are multiples of ``unit``, to (batch, features). The
    encoder of an auto-encoder may be used.
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
        """Map images (batch, inputs, y, x) to (batch, features).

        Raises ValueError for a grid larger than ``shape``.
        """
        return self.encoder(pad_to_grid(x, self.shape, self.grid))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.extract_features(x))


class DenseClassifier(Classifier):
    """Multi-layer perceptron: dense layers of ``widths`` with ReLU and dropout."""

    def __init__(
        self,
        inputs: int,
        classes: int,
        shape: tuple[int, int],
        widths: Sequence[int] = (256, 128),
        dropout: float = 0.0,
    ) -> None:
        encoder = make_dense_encoder(inputs, shape, widths, dropout)
        super().__init__(encoder, widths[-1], classes, shape)  # dropout is already the encoder's last layer


class ConvolutionalClassifier(Classifier):
    """Convolutions that halve the grid and a dense layer.

    `make_convolutional_encoder` describes the options.
    """

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
