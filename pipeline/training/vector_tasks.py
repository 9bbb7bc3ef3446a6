"""The task of a network of currents: the likelihood of hidden components along their directions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ...models.projection import Grid, apply_factor, compose_factors, project, projected_loss, read_bivariate
from ..errors import InputError
from ..settings import FLOWS
from .networks import NETWORKS, build_network
from .tasks import DescribedTask, make_optimiser
from .vector_data import count_channels

_DIVERGENCE = 30.0  # weight of the mean square of divergence times cell over spread, next to the likelihood


class VectorCorrection(DescribedTask):
    """A network that corrects the first guess of a current and estimates how large the remainder is.

    In units of the guess's error (its Cholesky factor L) the current is m + M e, e standard normal, with m
    and the triangle M from five channels: the guess plus L m, its covariance that of L M. The loss is the
    negative log-likelihood of hidden components under the projected Gaussian (as DINCAE 2 does, Barth et al.
    2022, doi:10.5194/gmd-15-2183-2022). With a ``flow`` "low-divergence" the mean square of the divergence is
    added. With "stream-function" the change is the flow of one, m's first channel, and has no divergence.
    """

    towards: Tensor

    def __init__(
        self,
        network: Callable[[int, int], nn.Module] = NETWORKS["unet"],
        window: int = 5,
        towards: Tensor | None = None,
        grid: Grid | None = None,
        flow: str = "free",
        learning_rate: float = 3e-3,
    ) -> None:
        """Build the network for ``window`` dates and unit vectors ``towards`` (station, 2, y, x).

        Lightning's data module sets ``towards`` and ``grid``.
        """
        super().__init__()
        if flow not in FLOWS:
            raise InputError(f"there is no flow {flow!r}; choose one of {', '.join(FLOWS)}")
        self.save_hyperparameters(ignore=["towards", "grid"])  # those are the data's
        self.network = nn.utils.convert_conv2d_weight_memory_format(
            build_network(self.hparams["network"], count_channels(window), 5, window), torch.channels_last
        )
        self.window, self.flow, self.grid, self.learning_rate = window, flow, grid, learning_rate
        self.register_buffer("towards", None, persistent=False)
        if towards is not None:
            self.towards = towards[None]
        self._sums = torch.zeros(2, dtype=torch.float64)

    def forward(self, inputs: Tensor, guess: Tensor, factor: Tensor) -> tuple[Tensor, Tensor]:
        """Current (batch, 2, y, x) and the factor of its covariance (batch, 3, y, x)."""
        mean, relative = read_bivariate(self.network(inputs.contiguous(memory_format=torch.channels_last)))
        if self.flow == "stream-function" and self.grid is not None:
            change = self.grid.compute_flow(mean[:, 0] * self.grid.row_spacing)
        else:
            change = apply_factor(factor, mean)
        return guess + change, compose_factors(factor, relative)

    def training_step(self, batch: tuple[Tensor, ...], index: int) -> Tensor:
        inputs, guess, factor, radial, noise, weight = batch
        mean, spread = self(inputs, guess, factor)
        loss = projected_loss(radial, noise, self.towards, mean, spread, weight)
        self.log("likelihood", loss, prog_bar=True)
        if self.flow == "low-divergence" and self.grid is not None:
            offshore = nn.functional.max_pool2d(1 - inputs[:, -1:], 3, 1, 1)[:, 0] == 0
            divergence = self.grid.compute_divergence(mean)[offshore] * self.grid.row_spacing
            loss = loss + _DIVERGENCE * divergence.square().mean()
        return loss

    def on_validation_epoch_start(self) -> None:
        self._sums = torch.zeros(2, dtype=torch.float64)

    def validation_step(self, batch: tuple[Tensor, ...], index: int) -> None:
        inputs, guess, factor, radial, _, weight = batch
        for number, (mean, spread) in enumerate([self(inputs, guess, factor), (guess, factor)]):
            along, _ = project(mean, spread, self.towards)
            self._sums[number] += (weight * (radial - along) ** 2).sum().double().cpu()

    def on_validation_epoch_end(self) -> None:
        """Log the RMSE of held-out components as a fraction of the first guess's."""
        self.log("held_out", float((self._sums[0] / self._sums[1].clamp(min=1e-12)).sqrt()), prog_bar=True)

    test_step = validation_step
    on_test_epoch_start = on_validation_epoch_start
    on_test_epoch_end = on_validation_epoch_end

    def predict_step(self, batch: Sequence[Tensor], index: int) -> tuple[Tensor, Tensor]:
        """Return the current (batch, 2, y, x) and the factor of its covariance (batch, 3, y, x)."""
        inputs, guess, factor, *_ = batch
        current, factor = self(inputs, guess, factor)
        return current.cpu(), factor.cpu()

    def configure_optimizers(self) -> Any:
        """Configure AdamW as for `Correction`."""
        return make_optimiser(self, self.learning_rate, 1e-4)
