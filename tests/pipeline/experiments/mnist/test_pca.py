"""Principal components against scikit-learn, and restoration against Gaussian conditioning."""

from __future__ import annotations

import numpy as np
import torch
from oceanfill.pipeline.experiments.mnist.pca import chosen, components, projected, restored
from sklearn.decomposition import PCA

torch.set_num_threads(1)


def images(count=60, seed=0):
    draws = torch.Generator().manual_seed(seed)
    mix = torch.randn(12, 12, generator=torch.Generator().manual_seed(9), dtype=torch.float64)
    return (torch.randn(count, 12, generator=draws, dtype=torch.float64) @ mix + 1).reshape(count, 1, 3, 4)


def test_components_are_those_of_scikit_learn():
    train, test = images(), images(seed=1)
    parts, theirs = components(train, 5), PCA(5).fit(train.flatten(1).numpy())
    np.testing.assert_allclose(np.abs((parts.modes.T.numpy() * theirs.components_).sum(1)), 1, rtol=1e-10)
    np.testing.assert_allclose(parts.variances * 60 / 59, theirs.explained_variance_, rtol=1e-10)
    expected = theirs.inverse_transform(theirs.transform(test.flatten(1).numpy()))
    np.testing.assert_allclose(projected(parts, test).flatten(1), expected, atol=1e-10)


def test_restored_is_the_conditional_expectation():
    """With the covariance of the pixels, C = modes variances modes', as in optimal interpolation."""
    parts, truth, noise = components(images(), 6), images(130, seed=1), 0.3
    known = torch.rand(truth.shape, generator=torch.Generator().manual_seed(2)) < 0.6
    found = restored(parts, torch.where(known, truth, 99.0) * known, known, noise)
    covariance = (parts.modes * parts.variances) @ parts.modes.T
    for number in (0, 99, 100, 129):  # of both sides of a batch's end
        seen = known[number].flatten()
        values = truth[number].flatten()[seen] - parts.mean[seen]
        gain = covariance[:, seen] @ torch.linalg.inv(
            covariance[seen][:, seen] + noise * torch.eye(int(seen.sum()))
        )
        torch.testing.assert_close(found[number].flatten(), parts.mean + gain @ values)
    changed = restored(parts, torch.where(known, truth, -5.0), known, noise)
    torch.testing.assert_close(changed, found, rtol=0, atol=1e-12)


def test_the_count_of_the_least_error_is_chosen():
    parts, truth = components(images(), 12), images(seed=1)
    everything = torch.ones_like(truth)
    assert chosen(parts, (2, 5, 12), 1e-9, truth, everything, truth).modes.shape == (12, 12)
    two = projected(parts.first(2), truth)
    assert chosen(parts, (2, 5, 12), 1e-9, truth, everything, two).modes.shape == (12, 2)
