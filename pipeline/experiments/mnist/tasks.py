"""Training tasks of the experiments with digits: restoration, EOFs, generation and classification."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from ....models.autoencoder import LinearAutoEncoder
from ....models.fourdvarnet import FourDVarNet
from ....models.variational import VariationalAutoEncoder, compute_kl_divergence, draw_gaussian
from ...training.networks import build_network
from ..training import Regression, build_with_seed


class Restoration(Regression):
    """A network that corrects degraded images, the first channel of its inputs (batch, channels, y, x)."""

    def forward(self, inputs: Tensor) -> Tensor:
        """Restore the images (batch, 1, y, x)."""
        return inputs[:, :1] + self.network(inputs)

    def loss(self, inputs: Tensor, target: Tensor) -> Tensor:
        return (self(inputs) - target).square().mean()


class VariationalCorrection(nn.Module):
    """A `FourDVarNet` as the network of a `Restoration`, for values and their mask (batch, 2, y, x).

    The iteration starts from the known values, and elsewhere from the ``mean`` image (1, y, x).
    """

    mean: Tensor

    def __init__(self, assimilation: FourDVarNet, mean: Tensor) -> None:
        super().__init__()
        self.assimilation = assimilation
        self.register_buffer("mean", mean)

    def forward(self, inputs: Tensor) -> Tensor:
        values, known = inputs[:, :1], inputs[:, 1:] > 0
        return self.assimilation(torch.where(known, values, self.mean), values, known) - values


class EofRegression(Regression):
    """Trains a `LinearAutoEncoder` on anomalies by full-batch L-BFGS, in steps of 20 iterations.

    The loss is the unexplained fraction of the area-weighted sum of squares.
    """

    network: LinearAutoEncoder

    def loss(self, inputs: Tensor, target: Tensor) -> Tensor:
        truth = self.network.flatten_weighted(target)
        residual = self.network.decoder(self.network.encode(inputs)) - truth
        return residual.square().sum() / truth.square().sum()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.LBFGS(
            self.parameters(),
            history_size=20,
            tolerance_grad=0,
            tolerance_change=1e-12,
            line_search_fn="strong_wolfe",
        )


class Generation(Regression):
    """Trains a variational auto-encoder; the loss is minus the evidence lower bound, in nats per pixel.

    Pixel errors are Gaussian with the maximum-likelihood variance of the batch (Rybkin, Daniilidis and
    Levine 2021, arXiv 2006.13202). ``beta`` weights the divergence, and ``moments`` the squared difference
    between the covariance of a batch's latent numbers and the identity: new images are drawn from one
    Gaussian, which the latent numbers of all images together should follow (Kumar, Sattigeri and
    Balakrishnan 2018, arXiv 1711.00848).
    """

    network: VariationalAutoEncoder

    def __init__(
        self, network: VariationalAutoEncoder, learning_rate: float, beta: float = 1.0, moments: float = 0.0
    ) -> None:
        super().__init__(network, learning_rate)
        self.beta, self.moments = beta, moments

    def loss(self, inputs: Tensor, target: Tensor) -> Tensor:
        mean, log_variance = self.network.encode_gaussian(inputs)
        error = (self.network.decode(draw_gaussian(mean, log_variance)) - target).square().mean()
        covariance = torch.cov(mean.T) + torch.diag(log_variance.exp().mean(0))
        mismatch = (covariance - torch.eye(len(covariance)).to(covariance)).square().sum()
        nats = self.beta * compute_kl_divergence(mean, log_variance).mean() + self.moments * mismatch
        return error.log() / 2 + nats / target[0].numel()


class Classification(Regression):
    """Trains class scores (batch, classes) with the cross-entropy; validation also logs the ``accuracy``."""

    def loss(self, inputs: Tensor, target: Tensor) -> Tensor:
        return functional.cross_entropy(self.network(inputs), target)

    def validation_step(self, batch: list[Tensor], index: int) -> None:
        super().validation_step(batch, index)
        images, labels = batch
        correct = (self.network(images).argmax(1) == labels).float().mean()
        self.log("accuracy", correct, batch_size=len(images))


def build_image_network(network: dict[str, Any], channels: int, seed: int) -> nn.Module:
    """Build the network of a ``class_path`` and ``init_args``, from ``channels`` channels to one image."""
    return build_with_seed(partial(build_network, network, channels, 1, window=1), seed)
