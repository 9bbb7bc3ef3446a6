"""Principal components of images, the linear reference for the networks."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import torch
from torch import Tensor

COURSE = {4: 0.503}  # variance of the whole of MNIST explained by so many components, from the course
_BATCH = 100  # images restored at once


class PrincipalComponents(NamedTuple):
    """The mean image, the modes of largest variance and their variances."""

    mean: Tensor  # (pixels,)
    modes: Tensor  # (pixels, count), orthonormal
    variances: Tensor  # (count,)

    def truncate(self, count: int) -> PrincipalComponents:
        """Keep the ``count`` modes of largest variance."""
        return PrincipalComponents(self.mean, self.modes[:, :count], self.variances[:count])

    def project(self, images: Tensor) -> Tensor:
        """Project images (batch, ...) onto the mean and the modes."""
        anomalies = images.flatten(1) - self.mean
        return (self.mean + anomalies @ self.modes @ self.modes.T).reshape(images.shape)

    def restore(self, images: Tensor, known: Tensor, noise: float) -> Tensor:
        """Estimate images (batch, 1, y, x) from their ``known`` pixels, whose noise variance is ``noise``.

        The conditional mean, with Gaussian coefficients of the modes (probabilistic principal component
        analysis, Tipping and Bishop 1999, doi:10.1111/1467-9868.00196).
        """
        restored = []
        for values, mask in zip(
            images.flatten(1).split(_BATCH), known.flatten(1).to(images).split(_BATCH), strict=True
        ):
            precision = torch.einsum("pk,bp,pl->bkl", self.modes, mask, self.modes)
            precision = precision + noise * torch.diag(1 / self.variances)
            code = torch.linalg.solve(precision, ((values - self.mean) * mask) @ self.modes)
            restored.append(self.mean + code @ self.modes.T)
        return torch.cat(restored).reshape(images.shape)


def fit_components(images: Tensor, count: int) -> PrincipalComponents:
    """Compute the first ``count`` principal components of images (batch, ...)."""
    flat = images.flatten(1)
    mean = flat.mean(0)
    _, values, modes = torch.linalg.svd(flat - mean, full_matrices=False)
    return PrincipalComponents(mean, modes[:count].T, values[:count].square() / len(flat))


def select_components(
    components: PrincipalComponents,
    counts: Iterable[int],
    noise: float,
    images: Tensor,
    known: Tensor,
    truth: Tensor,
) -> PrincipalComponents:
    """Truncate to the number among ``counts`` that restores images with the lowest mean square error."""

    def compute_error(count: int) -> float:
        restored = components.truncate(count).restore(images, known, noise)
        return float((restored - truth).square().mean())

    return components.truncate(min(counts, key=compute_error))
