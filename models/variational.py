"""Variational auto-encoder (Kingma and Welling 2014, arXiv 1312.6114)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from .autoencoder import ConvolutionalAutoEncoder


class VariationalAutoEncoder(ConvolutionalAutoEncoder):
    """Auto-encoder with a Gaussian in latent space: (batch, inputs, y, x) to (batch, outputs, y, x).

    It decodes one draw from the image's Gaussian in training, and its mean otherwise. The options are those
    of `ConvolutionalAutoEncoder`.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int = 2,
        shape: tuple[int, int] = (64, 64),
        latent: int = 16,
        dense: int = 128,
        **options: Any,
    ) -> None:
        super().__init__(inputs, outputs, shape, latent, dense=dense, **options)
        self.log_variance = nn.Linear(dense, latent)

    def encode_gaussian(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Map images (batch, inputs, y, x) to the mean and log-variance (batch, latent) of their codes."""
        features = self.extract_features(x)
        return self.latent(features), self.log_variance(features)

    def forward(self, x: Tensor) -> Tensor:
        mean, log_variance = self.encode_gaussian(x)
        code = draw_gaussian(mean, log_variance) if self.training else mean
        rows, columns = x.shape[-2:]
        return self.decode(code)[..., :rows, :columns]


def draw_gaussian(mean: Tensor, log_variance: Tensor) -> Tensor:
    """Draw one value from each Gaussian, differentiable with respect to its mean and log-variance."""
    return mean + torch.exp(log_variance / 2) * torch.randn_like(mean)


def compute_kl_divergence(mean: Tensor, log_variance: Tensor) -> Tensor:
    """Compute the divergence (batch,), in nats, of Gaussians (batch, latent) from the standard normal.

    Kullback and Leibler 1951, doi:10.1214/aoms/1177729694.
    """
    return (mean.square() + log_variance.exp() - 1 - log_variance).sum(1) / 2
