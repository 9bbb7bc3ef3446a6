"""Principal components of images: what a network has to beat."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import torch
from torch import Tensor


class Components(NamedTuple):
    """The mean image, the modes of most variance and those variances."""

    mean: Tensor  # (pixels,)
    modes: Tensor  # (pixels, count), orthonormal
    variances: Tensor  # (count,)

    def first(self, count: int) -> Components:
        """Those of the ``count`` largest variances."""
        return Components(self.mean, self.modes[:, :count], self.variances[:count])


def components(images: Tensor, count: int) -> Components:
    """The first ``count`` of images (batch, ...)."""
    flat = images.flatten(1)
    mean = flat.mean(0)
    _, values, modes = torch.linalg.svd(flat - mean, full_matrices=False)
    return Components(mean, modes[:count].T, values[:count].square() / len(flat))


def projected(parts: Components, images: Tensor) -> Tensor:
    """Images (batch, ...) in the space of the modes around the mean."""
    flat = images.flatten(1) - parts.mean
    return (parts.mean + flat @ parts.modes @ parts.modes.T).reshape(images.shape)


def restored(parts: Components, images: Tensor, known: Tensor, noise: float) -> Tensor:
    """Images (batch, 1, y, x) whose pixels are Gaussian in the modes, of those that are ``known`` with noise.

    The expectation given the known pixels, whose error has the variance ``noise`` (probabilistic principal
    components, Tipping and Bishop 1999, doi:10.1111/1467-9868.00196).
    """
    said = []
    for some, seen in zip(images.flatten(1).split(100), known.flatten(1).to(images).split(100), strict=True):
        precision = torch.einsum("pk,bp,pl->bkl", parts.modes, seen, parts.modes)
        precision = precision + noise * torch.diag(1 / parts.variances)
        code = torch.linalg.solve(precision, ((some - parts.mean) * seen) @ parts.modes)
        said.append(parts.mean + code @ parts.modes.T)
    return torch.cat(said).reshape(images.shape)


def chosen(
    parts: Components, counts: Iterable[int], noise: float, images: Tensor, known: Tensor, truth: Tensor
) -> Components:
    """The first of the components, as many of ``counts`` as restore images with the least mean square."""

    def error(count: int) -> float:
        return float((restored(parts.first(count), images, known, noise) - truth).square().mean())

    return parts.first(min(counts, key=error))
