"""Networks of the learnt assimilation of Lorenz's systems."""

from __future__ import annotations

import copy
import logging
import math
from collections.abc import Callable
from functools import partial
from itertools import product

import torch
from torch import Tensor, nn

from ....models.dynamics import rk4
from ....models.fourdvarnet import (
    AutoEncoderPrior,
    Descent,
    Evolution,
    FourDVarNet,
    RecurrentSolver,
    TwoScalePrior,
    make_periodic_along_y,
)
from ....models.recurrent import LSTM, BothWays
from ....models.unet import UNet
from .data import NOISE_VARIANCE, AssimilationWindows, System

_log = logging.getLogger(__name__)

LEARNT = "learnt solver, two-scale prior"
DESCENT = "fixed-step descent, two-scale prior"
DESCENT_ON_LEARNT = "fixed-step descent on the learnt solver's prior"
FROM_HIDDEN, FROM_COST = "learnt solver, from hidden observations", "learnt solver, from its cost"
UNET = "U-Net"
_KNOWN_VARIANCE = 1e-2  # model-error variance of the true equations in a cost that is not learnt
_RATES, _LONGER = (0.02, 0.05, 0.1, 0.2), (30, 100)  # candidate steps and iterations of `tune_descent`


class DirectInversion(nn.Module):
    """Corrects the first guess with a network of the first guess and the mask of observations.

    Both are concatenated along their channels and brought by ``arrange`` to the network's dimensions.
    """

    def __init__(self, network: nn.Module, arrange: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.network, self.arrange = network, arrange

    def forward(self, first_guess: Tensor, values: Tensor, observed: Tensor) -> Tensor:
        inputs = torch.cat([first_guess, observed.to(first_guess.dtype)], dim=1)
        return first_guess + self.network(self.arrange(inputs)).view_as(first_guess)


def list_networks(
    system: System,
    mean: float,
    deviation: float,
    *,
    hidden: int,
    prior: int,
    direct: int,
    iterations: int,
) -> dict[str, Callable[[], nn.Module]]:
    """List the networks to train by name; all work on normalised states, arranged by `System.arrange`.

    ``hidden``, ``prior`` and ``direct`` are the channels of the solvers, of the priors and of the networks
    without iterations.
    """
    variables = system.series().shape[1]
    channels, dimensions = (1, 2) if system.ring else (variables, 1)

    def build_learnt(prior: nn.Module) -> FourDVarNet:
        return FourDVarNet(prior, RecurrentSolver(channels, hidden, dimensions), iterations)

    def build_true_prior() -> Evolution:
        return Evolution(lambda state: rk4(system.tendency, state, system.dt), deviation, mean)

    def build_with_known_cost() -> FourDVarNet:
        network = build_learnt(build_true_prior())
        network.log_weights.data[0] = math.log(_KNOWN_VARIANCE / NOISE_VARIANCE)
        return network

    def build_two_scale_prior() -> TwoScalePrior:
        return TwoScalePrior(channels, prior, dimensions)

    def build_unet() -> DirectInversion:
        network = UNet(2 * channels, channels, widths=(direct // 2, direct, direct))
        return DirectInversion(network, nn.Identity() if system.ring else partial(torch.unsqueeze, dim=2))

    def build_lstm() -> DirectInversion:
        directions = (LSTM(2 * variables, direct), LSTM(2 * variables, direct))
        flatten = partial(torch.flatten, start_dim=1, end_dim=-2)
        return DirectInversion(BothWays(*directions, variables), flatten)

    builders: dict[str, Callable[[], nn.Module]] = {
        DESCENT: lambda: FourDVarNet(build_two_scale_prior(), Descent(0.2), iterations),
        "learnt solver, ODE prior": lambda: build_learnt(build_true_prior()),
        "learnt solver, auto-encoder prior": lambda: build_learnt(
            AutoEncoderPrior(channels, prior, dimensions)
        ),
        LEARNT: lambda: build_learnt(build_two_scale_prior()),
        FROM_HIDDEN: lambda: build_learnt(build_two_scale_prior()),
        FROM_COST: build_with_known_cost,
        UNET: build_unet,
        "LSTM both ways": build_lstm,
    }
    if not system.ring:
        return builders
    return {name: partial(_build_closed, build) for name, build in builders.items()}


def _build_closed(build: Callable[[], nn.Module]) -> nn.Module:
    return make_periodic_along_y(build())


@torch.no_grad()
def tune_descent(network: FourDVarNet, tuning: AssimilationWindows) -> FourDVarNet:
    """Replace the solver by fixed-step descent, with the best step and iterations on ``tuning`` windows."""
    descending = copy.deepcopy(network)
    errors = {}
    for rate, iterations in product(_RATES, (network.iterations, *_LONGER)):
        descending.solver, descending.iterations = Descent(rate), iterations
        error = float((descending(*tuning[1:]) - tuning.truth).square().mean())
        errors[rate, iterations] = error if math.isfinite(error) else math.inf
    rate, descending.iterations = min(errors, key=lambda steps: errors[steps])
    descending.solver = Descent(rate)
    _log.info("fixed-step descent on the learnt prior: %d iterations of %g", descending.iterations, rate)
    return descending.eval()
