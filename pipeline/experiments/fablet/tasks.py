"""Training task of the learnt assimilation of Lorenz's systems."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from ....models.fourdvarnet import FourDVarNet
from ..lorenz63.tasks import OneCycleTask
from .data import AssimilationWindows, interpolate_linearly

_LOSSES = ("supervised", "hidden", "cost")
_PRIOR_WEIGHT = 0.05  # of the prior's residual in the supervised loss


class Assimilation(OneCycleTask):
    """Trains a network that maps a first guess and observations (batch, n, time) to states.

    ``normalise`` is applied to each batch first. The ``loss`` is one of

    - ``supervised``: the mean square error, plus a twentieth of the residual of the prior for the estimated
      and for the true states;
    - ``hidden``: the mean square misfit to the observations hidden at random (a fraction ``share``), which
      needs no truth;
    - ``cost``: the variational cost, whose prior has to be known; its weights stay fixed.

    A `FourDVarNet` starts with a third of its iterations, and goes to two thirds and to all of them after a
    third and two thirds of the epochs. Raises ValueError for another loss.
    """

    def __init__(
        self,
        network: nn.Module,
        normalise: Callable[[AssimilationWindows], AssimilationWindows],
        learning_rate: float,
        loss: str = "supervised",
        share: float = 0.2,
    ) -> None:
        super().__init__(learning_rate)
        if loss not in _LOSSES:
            raise ValueError(f"there is no loss {loss!r}; choose one of {', '.join(_LOSSES)}")
        self.network, self.normalise, self.kind, self.share = network, normalise, loss, share
        self.iterations = network.iterations if isinstance(network, FourDVarNet) else 0
        if loss == "cost":
            assert isinstance(network, FourDVarNet)
            network.log_weights.requires_grad_(False)  # the cost would be lowest at minus infinity

    def on_train_epoch_start(self) -> None:
        if isinstance(self.network, FourDVarNet):
            third = 1 + 3 * self.current_epoch // max(1, self.trainer.max_epochs or 1)
            self.network.iterations = max(1, self.iterations * min(third, 3) // 3)

    def on_train_end(self) -> None:
        if isinstance(self.network, FourDVarNet):
            self.network.iterations = self.iterations

    def training_step(self, batch: AssimilationWindows, index: int) -> Tensor:
        truth, first_guess, values, observed = self.normalise(AssimilationWindows(*batch))
        if self.kind == "hidden":
            hidden = observed & (torch.rand(observed.shape, device=observed.device) < self.share)
            kept = observed & ~hidden
            # The first guess interpolates the hidden observations too: recompute it without them.
            first_guess = interpolate_linearly(values.cpu(), kept.cpu()).to(first_guess)
            states = self.network(first_guess, values, kept)
            return (states - values)[hidden].square().mean()
        states = self.network(first_guess, values, observed)
        if self.kind == "cost":
            assimilation: Any = self.network
            return assimilation.cost(states, values, observed).mean()
        loss = (states - truth).square().mean()
        if isinstance(self.network, FourDVarNet):
            loss = loss + _PRIOR_WEIGHT * sum(
                (part - self.network.prior(part)).square().mean() for part in (states, truth)
            )
        return loss

    def validation_step(self, batch: AssimilationWindows, index: int) -> None:
        truth, *inputs = self.normalise(AssimilationWindows(*batch))
        self.log("error", (self.network(*inputs) - truth).square().mean())
