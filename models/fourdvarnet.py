"""4DVarNet: a variational cost with a learnt prior, and a learnt solver that minimises it.

Fablet et al. 2021, doi:10.1029/2021MS002572. States are (batch, channels, *space). For a time series the
channels are its components and the space is time; for maps the channels are dates (and variables) and the
space is y and x. ``dimensions`` is the number of space axes.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from .convolutional_recurrent import ConvLSTM
from .dynamics import Step
from .head import zero_weights
from .unet import pad_to_multiple

Memory = tuple[Tensor, ...]
_LEAST = 1e-8  # smallest root mean square that a gradient is divided by
_LEAST_VARIANCE = 1e-2  # of the data: the steeper the cost, the shorter the steps must be


class FourDVarNet(nn.Module):
    """Estimates states from a first guess and observations, all (batch, channels, *space).

    The cost of the states x is exp(a) sum(m (H(x) - y)^2 / R) + exp(b) sum((x - prior(x))^2) (eq. 7 of the
    paper): y are the observations, m marks where they are known, R is their error variance relative to the
    usual one, H is the ``operator`` (the identity by default), and a and b are learnt. ``prior`` maps states
    to the states it expects. ``solver`` maps the gradient of the cost and its own memory to a step and the
    new memory. It takes ``iterations`` steps; their number may be changed at any time. With ``recomputed``,
    training keeps only the states between iterations and recomputes the rest: memory hardly grows with the
    iterations, and time grows by a third.
    """

    def __init__(
        self,
        prior: nn.Module,
        solver: nn.Module,
        iterations: int = 10,
        operator: nn.Module | None = None,
        recomputed: bool = False,
    ) -> None:
        super().__init__()
        self.prior, self.solver, self.iterations, self.recomputed = prior, solver, iterations, recomputed
        self.operator = operator or nn.Identity()
        self.log_weights = nn.Parameter(torch.zeros(2))  # of the observations and of the prior

    def cost(self, states: Tensor, observed: Tensor, known: Tensor, variance: Tensor | float = 1.0) -> Tensor:
        """Compute the variational cost (batch,). ``known`` is boolean, in the shape of ``observed``."""
        misfit = torch.where(known, self.operator(states) - observed, 0.0).square() / variance
        residual = (states - self.prior(states)).square()
        observations, prior = self.log_weights.exp()
        return observations * misfit.flatten(1).sum(1) + prior * residual.flatten(1).sum(1)

    def forward(
        self, first: Tensor, observed: Tensor, known: Tensor, variance: Tensor | float = 1.0
    ) -> Tensor:
        states = first.detach()
        memory: Memory = ()
        for _ in range(self.iterations):
            arguments: tuple[Any, ...] = (states, observed, known, variance, *memory)
            if self.recomputed and self.training:
                states, *rest = checkpoint(self._iterate, *arguments, use_reentrant=False)
            else:
                states, *rest = self._iterate(*arguments)
            memory = tuple(rest)
        return states

    def _iterate(
        self, states: Tensor, observed: Tensor, known: Tensor, variance: Tensor | float, *memory: Tensor
    ) -> tuple[Tensor, ...]:
        """Return the states and the solver's memory one iteration later."""
        with torch.enable_grad():
            states = states if states.requires_grad else states.detach().requires_grad_()
            total = self.cost(states, observed, known, variance).sum()
            (gradient,) = torch.autograd.grad(total, states, create_graph=self.training)
        step, memory = self.solver(gradient, memory)
        states = states - step
        return (states if self.training else states.detach()), *memory


class Descent(nn.Module):
    """Gradient descent with a learnt ``rate`` and, unless it is 0, fixed ``momentum`` (Polyak 1964)."""

    def __init__(self, rate: float = 0.1, momentum: float = 0.0) -> None:
        super().__init__()
        self.log_rate = nn.Parameter(torch.tensor(rate).log())
        self.momentum = momentum

    def forward(self, gradient: Tensor, memory: Memory) -> tuple[Tensor, Memory]:
        step = self.log_rate.exp() * gradient
        if self.momentum:
            step = step + self.momentum * memory[0] if memory else step
            return step, (step,)
        return step, ()


class RecurrentSolver(nn.Module):
    """Steps from the gradients so far: a convolutional LSTM of ``hidden`` channels and a 1 x 1 convolution.

    Fablet et al., eq. 10; each gradient is divided by its root mean square before the LSTM. Difference here:
    a plain gradient step with a learnt ``rate`` is added, and the last layer starts at zero, so an untrained
    solver is `Descent`.
    """

    def __init__(
        self, channels: int, hidden: int, dimensions: int = 1, kernel: int = 3, rate: float = 0.1
    ) -> None:
        super().__init__()
        self.cell = ConvLSTM(channels, hidden, kernel, dimensions=dimensions)
        self.out = zero_weights(_get_convolution(dimensions)(hidden, channels, 1))
        self.log_rate = nn.Parameter(torch.tensor(rate).log())

    def forward(self, gradient: Tensor, memory: Memory) -> tuple[Tensor, Memory]:
        if not memory:
            nothing = gradient.new_zeros(len(gradient), self.cell.hidden, *gradient.shape[2:])
            memory = (nothing, nothing)
        mean = gradient.square().flatten(1).mean(1).sqrt().clamp(min=_LEAST)
        normal = gradient / mean.view(-1, *[1] * (gradient.ndim - 1))
        memory = self.cell.step(self.cell.of_input(normal), *memory)
        return self.out(memory[0]) + self.log_rate.exp() * gradient, memory


class Evolution(nn.Module):
    """Prior from a known or learnt ``step`` (batch, n) to (batch, n): each time follows from the one before.

    The states are (batch, n, time) or (batch, 1, n, time); the first time is returned unchanged. ``scale``
    and ``offset`` convert normalised states to the units of the step.
    """

    def __init__(self, step: Step, scale: float = 1.0, offset: float = 0.0) -> None:
        super().__init__()
        self.step, self.scale, self.offset = step, scale, offset

    def forward(self, states: Tensor) -> Tensor:
        before = (states[..., :-1] * self.scale + self.offset).transpose(-2, -1)
        after = self.step(before.flatten(0, -2)).view_as(before).transpose(-2, -1)
        return torch.cat([states[..., :1], (after - self.offset) / self.scale], dim=-1)


class Components(nn.Module):
    """Prior of principal components: ``mean`` (channels, *space) and orthonormal ``modes`` (n, count)."""

    mean: Tensor
    modes: Tensor

    def __init__(self, mean: Tensor, modes: Tensor) -> None:
        super().__init__()
        self.register_buffer("mean", mean)
        self.register_buffer("modes", modes)

    def forward(self, states: Tensor) -> Tensor:
        anomalies = (states - self.mean).flatten(1)
        return self.mean + (anomalies @ self.modes @ self.modes.T).view_as(states)


class BilinearPrior(nn.Module):
    """One unit of the paper's bilinear prior.

    A convolution of ``kernel`` cells without its centre, so that no value is predicted from itself; ReLU; a
    linear part and the product of two linear parts, concatenated; and a 1 x 1 convolution.
    """

    centre: Tensor

    def __init__(self, channels: int, hidden: int, dimensions: int = 1, kernel: int = 11) -> None:
        super().__init__()
        convolution = _get_convolution(dimensions)
        self.around = convolution(channels, hidden, kernel, padding=kernel // 2)
        self.parts = convolution(hidden, 3 * hidden, 1)
        self.join = convolution(2 * hidden, channels, 1)
        centre = torch.ones(*[kernel] * dimensions)
        centre[(kernel // 2,) * dimensions] = 0
        self.register_buffer("centre", centre)

    def forward(self, states: Tensor) -> Tensor:
        convolved = functional_call(self.around, {"weight": self.around.weight * self.centre}, (states,))
        linear, one, other = self.parts(functional.relu(convolved)).chunk(3, dim=1)
        return self.join(torch.cat([linear, one * other], dim=1))


class TwoScalePrior(nn.Module):
    """The paper's sum of two `BilinearPrior`: one on means over ``scale`` cells, one on the remainder."""

    def __init__(
        self, channels: int, hidden: int, dimensions: int = 1, kernel: int = 11, scale: int = 4
    ) -> None:
        super().__init__()
        self.coarse = BilinearPrior(channels, hidden, dimensions, kernel)
        self.fine = BilinearPrior(channels, hidden, dimensions, kernel)
        self.scale = scale

    def forward(self, states: Tensor) -> Tensor:
        pooled = _POOL[states.ndim - 3](states, self.scale, ceil_mode=True, count_include_pad=False)
        space = states.shape[2:]
        smooth, expected = (
            functional.interpolate(part, space, mode="nearest") for part in (pooled, self.coarse(pooled))
        )
        return expected + self.fine(states - smooth)


class AutoEncoderPrior(nn.Module):
    """A small convolutional auto-encoder with ``hidden`` channels on a grid ``scale`` times coarser."""

    def __init__(
        self, channels: int, hidden: int, dimensions: int = 1, kernel: int = 5, scale: int = 4
    ) -> None:
        super().__init__()
        convolution = _get_convolution(dimensions)
        padding = kernel // 2
        self.scale = scale
        self.down = nn.Sequential(
            convolution(channels, hidden, kernel, padding=padding),
            nn.SiLU(),
            convolution(hidden, hidden, kernel, padding=padding),
        )
        self.up = nn.Sequential(
            convolution(hidden, hidden, kernel, padding=padding),
            nn.SiLU(),
            convolution(hidden, channels, kernel, padding=padding),
        )

    def forward(self, states: Tensor) -> Tensor:
        code = _POOL[states.ndim - 3](self.down(states), self.scale, ceil_mode=True, count_include_pad=False)
        return self.up(functional.interpolate(functional.silu(code), states.shape[2:], mode="nearest"))


class VariationalFiller(nn.Module):
    """4DVarNet as a gap filler: (batch, inputs, y, x) to (batch, outputs, y, x), for any y and x.

    For each of the ``variables`` the inputs hold the anomalies of all ``dates`` and then their log errors.
    They are observations or, where there are none, the first guess, each with its error variance. The states
    (the anomalies of all dates and variables) are fitted to them under a `TwoScalePrior` of ``prior``
    channels, by ``iterations`` of a `RecurrentSolver` of ``hidden`` channels. A head that starts at zero
    reads the inputs and the changes of the states. With ``fold`` above one all layers work on a coarser grid,
    as in `UNet`. Difference from the 4DVarNet of the mapping challenges: the first guess is treated as data
    with an error. Raises ValueError for a fold below one.
    """

    learning_rate = 1e-3

    def __init__(
        self,
        inputs: int,
        outputs: int = 2,
        dates: int = 5,
        hidden: int = 32,
        prior: int = 24,
        kernel: int = 5,
        iterations: int = 5,
        fold: int = 2,
        variables: int = 1,
    ) -> None:
        super().__init__()
        if fold < 1:
            raise ValueError(f"fold must be at least 1, not {fold}")
        self.dates, self.variables, self.fold = dates, variables, fold
        states = dates * variables
        channels = states * fold**2
        self.assimilation = FourDVarNet(
            TwoScalePrior(channels, prior, dimensions=2, kernel=kernel),
            RecurrentSolver(channels, hidden, dimensions=2, rate=0.02),
            iterations,
        )
        self.read = nn.Conv2d((inputs + states) * fold**2, hidden, 3, padding=1)
        self.head = zero_weights(nn.Conv2d(hidden, outputs * fold**2, 1))

    def forward(self, x: Tensor) -> Tensor:
        rows, columns = x.shape[-2:]
        x = functional.pixel_unshuffle(pad_to_multiple(x, self.fold), self.fold)
        blocks = x.split(self.dates * self.fold**2, dim=1)
        anomaly, log_error = (torch.cat(blocks[k : 2 * self.variables : 2], dim=1) for k in (0, 1))
        variance = torch.exp(2 * log_error).clamp(min=_LEAST_VARIANCE)
        states = self.assimilation(anomaly, anomaly, torch.ones_like(anomaly, dtype=torch.bool), variance)
        changes = (states - anomaly) / variance.sqrt()
        output = self.head(functional.relu(self.read(torch.cat([x, changes], dim=1))))
        return functional.pixel_shuffle(output, self.fold)[..., :rows, :columns]


def make_periodic_along_y(network: nn.Module) -> nn.Module:
    """Change a network's 2-D convolutions in place to be periodic along y, and return it."""
    for part in network.modules():
        if isinstance(part, nn.Conv2d) and part.padding != (0, 0):
            rows, columns = map(int, part.padding)
            part.padding = (0, columns)
            part.register_forward_pre_hook(partial(_pad_periodically, rows))
    return network


def _pad_periodically(rows: int, convolution: nn.Module, inputs: tuple[Tensor]) -> Tensor:
    return functional.pad(inputs[0], (0, 0, rows, rows), mode="circular")


_POOL: tuple[Callable[..., Tensor], ...] = (functional.avg_pool1d, functional.avg_pool2d)


def _get_convolution(dimensions: int) -> Any:
    return (nn.Conv1d, nn.Conv2d)[dimensions - 1]
