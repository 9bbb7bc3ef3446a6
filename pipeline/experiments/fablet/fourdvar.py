"""Weak-constraint 4DVar with the true equations, the reference of the learnt assimilation."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from functools import partial

import torch
from torch import Tensor

from ....models.dynamics import rk4
from ...classical.fourdvar import analyse, dynamics
from .data import NOISE_VARIANCE, AssimilationWindows, System

_log = logging.getLogger(__name__)

_VARIANCES = (10.0, 3.0, 1.0, 0.3, 0.1, 0.03, 0.01, 0.003, 0.001)  # of the model error per step
_TOGETHER = 100  # windows that share a line search


def assimilate(
    system: System, test: AssimilationWindows, tuning: AssimilationWindows, iterations: int
) -> Tensor:
    """Assimilate test windows (batch, n, time) by 4DVar, with model errors chosen on ``tuning`` windows.

    The minimisation starts from linear interpolation and runs ``iterations`` of L-BFGS for one model-error
    variance after another, from large to small: a weakly constrained cost has few minima. The first and the
    last variance are those with the lowest error on the tuning windows.
    """
    errors = {
        (start, start + number + 1): float((states - tuning.truth).square().mean())
        for start in range(len(_VARIANCES))
        for number, states in enumerate(_tighten(system, tuning, _VARIANCES[start:], iterations))
    }
    start, stop = min(errors, key=lambda part: errors[part])
    _log.info(
        "4DVar with model-error variances %s: MSE %.3g on the tuning windows",
        _VARIANCES[start:stop],
        errors[start, stop],
    )
    *_, states = _tighten(system, test, _VARIANCES[start:stop], iterations)
    return states


def _tighten(
    system: System, windows: AssimilationWindows, variances: Sequence[float], iterations: int
) -> Iterator[Tensor]:
    """Yield the states (batch, n, time) after the minimisation with each variance of the model error."""
    step = partial(dynamics, lambda state: rk4(system.tendency, state, system.dt))
    first_guess, values, observed = (part.transpose(1, 2) for part in windows[1:])
    states = list(first_guess.double().split(_TOGETHER))
    for variance in variances:
        for number, start in enumerate(range(0, len(first_guess), _TOGETHER)):
            part = slice(start, start + _TOGETHER)
            states[number] = analyse(
                states[number],
                values[part].double(),
                observed[part],
                step,
                noise_variance=NOISE_VARIANCE,
                prior_variance=variance,
                iterations=iterations,
            )
        yield torch.cat(states).transpose(1, 2).float()
