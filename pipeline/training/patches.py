"""Patches of a domain: cut and put back together with smooth weights, and drawn by number for a training."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from math import prod
from typing import Any

import torch
from torch import Tensor, distributed
from torch.utils.data import DataLoader, Dataset, DistributedSampler

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


class PatchSampler(DistributedSampler[Any]):
    """The numbers of an epoch's patches: no two epochs and no two processes have one in common.

    Each number makes its patch, so a resumed training draws the patches that it would have drawn. The first
    ``done`` of each process are left out of the epoch ``resumed``.
    """

    def __init__(self, patches: Dataset[Any]) -> None:
        """Share the numbers with the other processes of a distributed training, if there are any."""
        alone = not (distributed.is_available() and distributed.is_initialized())
        processes, own = (1, 0) if alone else (None, None)
        super().__init__(patches, num_replicas=processes, rank=own, shuffle=False)
        self.resumed, self.done = 0, 0

    def __iter__(self) -> Iterator[int]:
        first = self.epoch * self.total_size
        numbers = range(first + self.rank, first + self.total_size, self.num_replicas)
        return iter(numbers[self.done if self.epoch == self.resumed else 0 :])


class PatchLoader(DataLoader[Any]):
    """Batches of patches that a checkpoint taken within an epoch goes on with (Lightning saves the state)."""

    sampler: PatchSampler

    def __init__(self, patches: Dataset[Any], batch: int, **options: Any) -> None:
        super().__init__(patches, batch_size=batch, sampler=PatchSampler(patches), **options)
        self.drawn = 0  # patches of this epoch

    def __iter__(self) -> Iterator[Any]:  # type: ignore[override]  # torch names its private class
        for count, batch in enumerate(super().__iter__(), 1):
            skipped = self.sampler.done if self.sampler.epoch == self.sampler.resumed else 0
            self.drawn = skipped + count * (self.batch_size or 1)
            yield batch

    def state_dict(self) -> dict[str, int]:
        return {"epoch": self.sampler.epoch, "patches": self.drawn}

    def load_state_dict(self, state: dict[str, int]) -> None:
        self.sampler.resumed, self.sampler.done = state["epoch"], state["patches"]
