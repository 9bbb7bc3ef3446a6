"""What a general network is trained and validated on: patches of many seas, whole dates of a few."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from ..data import Batch, keep_batch, place_patch
from ..features import assemble_inputs, count_channels
from ..patches import PatchLoader
from .pool import Sea


class SeaPatches(Dataset[Batch]):
    """Random patches around missing values, one for each number: a family, a sea of it, a date, a cell.

    A sea smaller than a patch lies anywhere in it, with land around. Patches are flipped in space and time,
    transposed, and change their sign, because a correction does not depend on any of these.
    """

    def __init__(self, seas: Sequence[Sea], window: int, size: int, number: int, seed: int = 0) -> None:
        """Take patches of ``size`` cells to a side from the seas, so many in an epoch."""
        self.window, self.size, self.number, self.seed = window, size, number, seed
        dated = [(sea, dates) for sea in seas if len(dates := sea.dates)]
        families = sorted({sea.family for sea, _ in dated})
        self.families = [[one for one in dated if one[0].family == family] for family in families]

    def __len__(self) -> int:
        return self.number

    def loader(self, batch: int) -> DataLoader[Any]:
        """Return batches (inputs, residual, variance, weight) of new patches in each epoch."""
        return PatchLoader(self, batch, collate_fn=keep_batch)

    def __getitem__(self, item: int) -> Batch:
        inputs, residual, variance, weight = self.__getitems__([item])
        return inputs[0], residual[0], variance[0], weight[0]

    def __getitems__(self, items: Sequence[int]) -> Batch:
        """Return the patches of these numbers as one batch, so a loader has nothing to collate."""
        shape = len(items), 1, self.size, self.size
        inputs = np.zeros((len(items), count_channels(self.window), *shape[2:]), np.float32)
        residual, variance = np.full((2, *shape), np.nan, np.float32)
        for item, *patch in zip(items, inputs, residual, variance, strict=True):
            self._draw(np.random.default_rng((self.seed, item)), *patch)
        weight = np.isfinite(residual)
        return (*(torch.from_numpy(part) for part in (inputs, residual, variance, weight)),)  # type: ignore[return-value]

    def _draw(
        self,
        rng: np.random.Generator,
        inputs: NDArray[np.float32],
        residual: NDArray[np.float32],
        variance: NDArray[np.float32],
    ) -> None:
        """Draw a patch into the arrays given, each (..., rows, columns)."""
        family = self.families[rng.integers(len(self.families))]
        sea, dates = family[rng.integers(len(family))]
        date = int(dates[rng.integers(len(dates))])
        known = sea.known
        truth = known.residual.numpy()[:, date]
        shape = truth.shape[1:]
        cells = np.flatnonzero(np.isfinite(truth[0]))
        centre = divmod(int(cells[rng.integers(len(cells))]), shape[1])
        sizes = min(self.size, shape[0]), min(self.size, shape[1])
        y, x = place_patch(centre, sizes, shape, rng)
        corner = [int(rng.integers(self.size - size + 1)) for size in sizes]
        inside: tuple[Any, ...] = (
            ...,
            *(slice(start, start + size) for start, size in zip(corner, sizes, strict=True)),
        )
        inputs[inside] = assemble_inputs(known, sea.static, date, self.window, y, x)
        residual[inside] = truth[:, y, x]
        variance[inside] = known.variance.numpy()[:, date, y, x]
        dated = inputs[: 2 * self.window].reshape(2, self.window, self.size, self.size)
        if rng.random() < 0.5:
            dated[:] = dated[:, ::-1].copy()
        if rng.random() < 0.5:
            dated[0] *= -1
            residual *= -1
        axes = tuple(axis for axis in (-2, -1) if rng.random() < 0.5)
        turned = rng.random() < 0.5
        for part in (inputs, residual, variance):
            flipped = np.flip(part, axes)
            part[:] = (flipped.swapaxes(-2, -1) if turned else flipped).copy()


class SeaDates(Dataset[tuple[Tensor, Tensor, Tensor]]):
    """Whole dates of seas with the residuals (inputs, residual, weight), at most ``most`` dates of a sea."""

    def __init__(self, seas: Sequence[Sea], window: int, most: int) -> None:
        self.window, self.dates = window, []
        for sea in seas:
            dates = sea.dates
            spread = np.linspace(0, len(dates) - 1, min(most, len(dates))).round().astype(int)
            self.dates += [(sea, int(date)) for date in dates[spread]]

    def __len__(self) -> int:
        return len(self.dates)

    def __getitem__(self, item: int) -> tuple[Tensor, Tensor, Tensor]:
        sea, date = self.dates[item]
        everywhere = slice(None)
        inputs = assemble_inputs(sea.known, sea.static, date, self.window, everywhere, everywhere)
        residual = sea.known.residual[:, date].float()
        return inputs, residual, torch.isfinite(residual).float()
