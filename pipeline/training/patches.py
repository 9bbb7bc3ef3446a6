"""Cut a domain into overlapping patches and put them back together with smooth weights."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from math import prod

import torch
from torch import Tensor

_CACHED = 2**16  # values of patches that are added at once


def place_patches(extent: int, size: int, overlap: int) -> list[int]:
    """First indices of patches of ``size`` that cover ``extent``, neighbours sharing ``overlap`` or more.

    A patch larger than the domain is cut to it: there is always at least one, and every cell is covered.

    >>> place_patches(100, 40, 10)
    [0, 30, 60]
    """
    if not 0 <= overlap < size:
        raise ValueError(f"an overlap of {overlap} does not fit patches of {size}")
    if extent <= size:
        return [0]
    number = -(-(extent - overlap) // (size - overlap))
    return [round(i * (extent - size) / (number - 1)) for i in range(number)]


def list_patches(shape: tuple[int, int], size: int, overlap: int) -> Iterator[tuple[slice, slice]]:
    """(rows, columns) of every patch of a domain (y, x)."""
    for y in place_patches(shape[0], size, overlap):
        for x in place_patches(shape[1], size, overlap):
            yield slice(y, min(y + size, shape[0])), slice(x, min(x + size, shape[1]))


def weigh_patches(extent: int, size: int, overlap: int) -> list[tuple[slice, Tensor]]:
    """Patches along one side of a domain, and how much each of their cells counts: together one.

    That falls linearly towards the ends that patches share.
    """
    parts = [slice(start, min(start + size, extent)) for start in place_patches(extent, size, overlap)]
    total, found = torch.zeros(extent), []
    for part in parts:
        length = part.stop - part.start
        ramp = (torch.arange(1, length + 1) / (overlap + 1)).clamp(max=1)
        up = ramp if part.start > 0 else torch.ones(length)
        down = ramp.flip(0) if part.stop < extent else torch.ones(length)
        found.append(torch.minimum(up, down))
        total[part] += found[-1]
    return [(part, weight / total[part]) for part, weight in zip(parts, found, strict=True)]


def blend_patches(
    estimate: Callable[[slice, slice], tuple[Tensor, Tensor]],
    shape: tuple[int, ...],
    size: int,
    overlap: int,
) -> tuple[Tensor, Tensor]:
    """Mean and variance (..., y, x) of a domain from an ``estimate`` (mean, variance) of each of its patches.

    Where patches overlap the result is the mean and the variance of the mixture of their Gaussians. A row of
    patches is put together first, some maps at a time: what a processor's cache holds is added several times
    as fast as what is spread over the memory.
    """
    down, across = (weigh_patches(extent, size, overlap) for extent in shape[-2:])
    maps = prod(shape[:-2])
    sums = torch.zeros(2, maps, *shape[-2:])
    at_once = max(1, _CACHED // (min(size, shape[-2]) * min(size, shape[-1])))
    some = [slice(start, start + at_once) for start in range(0, maps, at_once)]
    for y, high in down:
        row = [[part.reshape(maps, *part.shape[-2:]) for part in estimate(y, x)] for x, _ in across]
        for chosen in some:
            strip = torch.zeros(sums[:, chosen, y].shape)
            for (x, wide), (mean, variance) in zip(across, row, strict=True):
                part = mean[chosen]
                strip[0, ..., x].add_(part * wide)
                strip[1, ..., x].add_(torch.addcmul(variance[chosen], part, part).mul_(wide))
            sums[:, chosen, y].add_(strip.mul_(high[:, None]))
    for chosen in some:
        first, second = sums[:, chosen]
        second.addcmul_(first, first, value=-1).clamp_(min=0)
    mean, variance = sums.reshape(2, *shape)
    return mean, variance
