"""Principal components against scikit-learn, restoration against Gaussian conditioning."""

from __future__ import annotations

import numpy as np
import torch
from oceanfill.pipeline.experiments.mnist.pca import fit_components, select_components
from sklearn.decomposition import PCA

torch.set_num_threads(1)


def images(count=60, seed=0):
    draws = torch.Generator().manual_seed(seed)
    mix = torch.randn(12, 12, generator=torch.Generator().manual_seed(9), dtype=torch.float64)
    return (torch.randn(count, 12, generator=draws, dtype=torch.float64) @ mix + 1).reshape(count, 1, 3, 4)


def test_components_are_those_of_scikit_learn():
    train, test = images(), images(seed=1)
    components, reference = fit_components(train, 5), PCA(5).fit(train.flatten(1).numpy())
    np.testing.assert_allclose(
        np.abs((components.modes.T.numpy() * reference.components_).sum(1)), 1, rtol=1e-10
    )
    np.testing.assert_allclose(components.variances * 60 / 59, reference.explained_variance_, rtol=1e-10)
    expected = reference.inverse_transform(reference.transform(test.flatten(1).numpy()))
    np.testing.assert_allclose(components.project(test).flatten(1), expected, atol=1e-10)


def test_restoration_is_the_conditional_mean():
    """With the covariance of the pixels, C = modes variances modes', as in optimal interpolation."""
    components, truth, noise = fit_components(images(), 6), images(130, seed=1), 0.3
    known = torch.rand(truth.shape, generator=torch.Generator().manual_seed(2)) < 0.6
    found = components.restore(torch.where(known, truth, 99.0) * known, known, noise)
    covariance = (components.modes * components.variances) @ components.modes.T
    for number in (0, 99, 100, 129):  # on both sides of a batch's end
        known_pixels = known[number].flatten()
        values = truth[number].flatten()[known_pixels] - components.mean[known_pixels]
        gain = covariance[:, known_pixels] @ torch.linalg.inv(
            covariance[known_pixels][:, known_pixels] + noise * torch.eye(int(known_pixels.sum()))
        )
        torch.testing.assert_close(found[number].flatten(), components.mean + gain @ values)
    changed = components.restore(torch.where(known, truth, -5.0), known, noise)
    torch.testing.assert_close(changed, found, rtol=0, atol=1e-12)


def test_the_number_of_components_with_the_lowest_error_is_selected():
    components, truth = fit_components(images(), 12), images(seed=1)
    everything = torch.ones_like(truth)
    assert select_components(components, (2, 5, 12), 1e-9, truth, everything, truth).modes.shape == (12, 12)
    two = components.truncate(2).project(truth)
    assert select_components(components, (2, 5, 12), 1e-9, truth, everything, two).modes.shape == (12, 2)
