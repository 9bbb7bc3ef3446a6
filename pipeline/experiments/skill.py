"""Scores of predicted tensors."""

from __future__ import annotations

import torch
from torch import Tensor


def compute_skill(
    prediction: Tensor, truth: Tensor, reference: Tensor, dim: tuple[int, ...] | None = None
) -> Tensor:
    """Compute the skill score 1 - MSE / MSE of a reference prediction, averaging over ``dim`` or everything.

    Murphy 1988, doi:10.1175/1520-0493(1988)116<2417:SSBOTM>2.0.CO;2.
    """
    error = (prediction - truth).square().mean(dim)
    return 1 - error / (reference - truth).square().mean(dim)


def compute_explained_variance(prediction: Tensor, truth: Tensor) -> float:
    """Compute 1 - MSE / variance, the variance of all values around their common mean."""
    return float(1 - (prediction - truth).square().mean() / truth.var(correction=0))


def correlate_fields(prediction: Tensor, truth: Tensor) -> float:
    """Correlate fields over all cells and dates together, without subtracting their means."""
    return float((truth * prediction).sum() / (truth.square().sum() * prediction.square().sum()).sqrt())


def correlate_in_time(prediction: Tensor, truth: Tensor) -> Tensor:
    """Correlate fields (date, y, x) in time at each point: (y, x), in double precision."""
    a, b = (values.double() - values.double().mean(0) for values in (prediction, truth))
    return (a * b).sum(0) / (a.square().sum(0) * b.square().sum(0)).sqrt()


def compute_amplitude_ratio(prediction: Tensor, truth: Tensor, where: Tensor | None = None) -> float:
    """Compute the temporal standard deviation of fields (date, y, x) relative to that of the truth.

    The variances are averaged over all points, or over those where the mask ``where`` (y, x) is true.
    """
    variances = [values.double().var(0) for values in (prediction, truth)]
    if where is not None:
        variances = [variance[where] for variance in variances]
    return float((variances[0].mean() / variances[1].mean()).sqrt())


def compute_energy_distance(first: Tensor, second: Tensor) -> float:
    """Compute the energy distance between the distributions of two samples (batch, ...).

    The square root of the unbiased 2 E|X - Y| - E|X - X'| - E|Y - Y'|, or 0 if chance makes that negative
    (Szekely and Rizzo 2013, doi:10.1016/j.jspi.2013.03.018).
    """
    x, y = first.flatten(1), second.flatten(1)

    def average_within(sample: Tensor) -> float:
        return float(torch.cdist(sample, sample).sum() / (len(sample) * (len(sample) - 1)))

    square = 2 * float(torch.cdist(x, y).mean()) - average_within(x) - average_within(y)
    return max(square, 0.0) ** 0.5
