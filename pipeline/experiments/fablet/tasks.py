"""What the networks of the learnt assimilation of Lorenz's systems are trained on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from ....models.fourdvarnet import FourDVarNet
from ..lorenz63.tasks import Annealed
from .data import Seen, interpolated

_PRIOR_SHARE = 0.05  # of the prior's residual in the loss


class Assimilation(Annealed):
    """Trains what makes states of a first guess and observations, all (batch, n, time), normalised.

    ``loss`` is "supervised": the mean square error, and a twentieth of the prior's residual for the states
    and for the truth; "hidden": the same square at observations that are hidden by chance (``share``) and at
    no other value, for who has no truth; "cost": the variational cost itself, whose prior then has to be
    given, and its weights fixed. A `FourDVarNet` begins with a third of its iterations and has two
    thirds and all of them after a third and two thirds of the epochs.
    """

    def __init__(
        self,
        network: nn.Module,
        encode: Callable[[Seen], tuple[Tensor, ...]],
        learning_rate: float,
        loss: str = "supervised",
        share: float = 0.2,
    ) -> None:
        super().__init__(learning_rate)
        if loss not in ("supervised", "hidden", "cost"):
            raise ValueError(f"loss {loss!r} is none of supervised, hidden, cost")
        self.network, self.encode, self.kind, self.share = network, encode, loss, share
        self.iterations = network.iterations if isinstance(network, FourDVarNet) else 0
        if loss == "cost":
            assert isinstance(network, FourDVarNet)
            network.log_weights.requires_grad_(False)  # at minus infinity the cost would be least

    def on_train_epoch_start(self) -> None:
        if isinstance(self.network, FourDVarNet):
            third = 1 + 3 * self.current_epoch // max(1, self.trainer.max_epochs or 1)
            self.network.iterations = max(1, self.iterations * min(third, 3) // 3)

    def on_train_end(self) -> None:
        if isinstance(self.network, FourDVarNet):
            self.network.iterations = self.iterations

    def training_step(self, batch: Seen, index: int) -> Tensor:
        truth, first, observed, known = self.encode(Seen(*batch))
        if self.kind == "hidden":
            hidden = known & (torch.rand(known.shape, device=known.device) < self.share)
            kept = known & ~hidden
            # The first guess would tell what is hidden: it goes through the observations.
            first = interpolated(observed.cpu(), kept.cpu()).to(first)
            states = self.network(first, observed, kept)
            return (states - observed)[hidden].square().mean()
        states = self.network(first, observed, known)
        if self.kind == "cost":
            assimilation: Any = self.network
            return assimilation.cost(states, observed, known).mean()
        loss = (states - truth).square().mean()
        if isinstance(self.network, FourDVarNet):
            loss = loss + _PRIOR_SHARE * sum(
                (part - self.network.prior(part)).square().mean() for part in (states, truth)
            )
        return loss

    def validation_step(self, batch: Seen, index: int) -> None:
        truth, first, observed, known = self.encode(Seen(*batch))
        self.log("error", (self.network(first, observed, known) - truth).square().mean())


class Direct(nn.Module):
    """A network of the first guess and of where it is observed that corrects it.

    Both are joined along their channels, and brought by ``arrange`` to what the network takes.
    """

    def __init__(self, network: nn.Module, arrange: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.network, self.arrange = network, arrange

    def forward(self, first: Tensor, observed: Tensor, known: Tensor) -> Tensor:
        inputs = torch.cat([first, known.to(first.dtype)], dim=1)
        return first + self.network(self.arrange(inputs)).view_as(first)
