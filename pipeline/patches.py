"""Cut a domain into overlapping patches and put them back together with smooth weights."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor


def starts(extent: int, size: int, overlap: int) -> list[int]:
    """First indices of patches of ``size`` that cover ``extent``, neighbours sharing ``overlap`` or more.

    A patch larger than the domain is cut to it: there is always at least one, and every cell is covered.

    >>> starts(100, 40, 10)
    [0, 30, 60]
    """
    if not 0 <= overlap < size:
        raise ValueError(f"an overlap of {overlap} does not fit patches of {size}")
    if extent <= size:
        return [0]
    number = -(-(extent - overlap) // (size - overlap))
    return [round(i * (extent - size) / (number - 1)) for i in range(number)]


def windows(shape: tuple[int, int], size: int, overlap: int) -> Iterator[tuple[slice, slice]]:
    """(rows, columns) of every patch of a domain (y, x)."""
    for y in starts(shape[0], size, overlap):
        for x in starts(shape[1], size, overlap):
            yield slice(y, min(y + size, shape[0])), slice(x, min(x + size, shape[1]))


def taper(y: slice, x: slice, shape: tuple[int, int], overlap: int) -> Tensor:
    """(rows, columns) weight of a patch: 1 inside, falling towards the sides that other patches share."""

    def side(part: slice, extent: int) -> Tensor:
        length = part.stop - part.start
        ramp = torch.arange(1, length + 1) / (overlap + 1)
        up = ramp.clamp(max=1) if part.start > 0 else torch.ones(length)
        down = ramp.flip(0).clamp(max=1) if part.stop < extent else torch.ones(length)
        return torch.minimum(up, down)

    return side(y, shape[0])[:, None] * side(x, shape[1])[None, :]


def mixed(
    estimate: Callable[[slice, slice], tuple[Tensor, Tensor]],
    shape: tuple[int, ...],
    size: int,
    overlap: int,
) -> tuple[Tensor, Tensor]:
    """Mean and variance (..., y, x) of a domain from an ``estimate`` (mean, variance) of each of its patches.

    Where patches overlap the result is the mean and the variance of the mixture of their Gaussians.
    """
    domain = shape[-2], shape[-1]
    total, first, second = torch.zeros(domain), torch.zeros(shape), torch.zeros(shape)
    for y, x in windows(domain, size, overlap):
        mean, variance = estimate(y, x)
        weight = taper(y, x, domain, overlap)
        total[y, x] += weight
        first[..., y, x].addcmul_(mean, weight)
        second[..., y, x].addcmul_(torch.addcmul(variance, mean, mean), weight)
    mean = first.div_(total)
    return mean, second.div_(total).addcmul_(mean, mean, value=-1).clamp_(min=0)
