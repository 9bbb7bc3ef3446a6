"""Gradients and fronts against a ramp and a step of known position."""

from __future__ import annotations

import numpy as np
import pytest
from filledmaps import make_filled

import oceanfill

KM = 6371 * np.radians(0.1)
LAT, LON = 0.1 * np.arange(-4, 5), 0.1 * np.arange(15)


def make_step(column: float) -> np.ndarray:
    """A step of 2 degrees, steepest at a column."""
    return np.broadcast_to(np.tanh((np.arange(15) - column) / 1.5), (1, 9, 15))


def test_gradient_of_a_plane() -> None:
    rows, columns = np.meshgrid(np.arange(9), np.arange(15), indexing="ij")
    found = oceanfill.derive(
        make_filled((3.0 * columns + 4.0 * rows)[None], LAT, LON, error=0.5), what="gradient", length=1e-3
    )
    np.testing.assert_allclose(found.sst_gradient[0], 5 / KM, rtol=1e-4)
    np.testing.assert_allclose(found.sst_eastward_gradient[0], 3 / KM, rtol=1e-4)
    # Errors that are independent: sqrt(2) 0.5 over two cells, in any direction.
    np.testing.assert_allclose(found.sst_gradient_error[0, 1:-1, 1:-1], np.sqrt(0.5) / (2 * KM), rtol=1e-4)
    assert found.sst_gradient.attrs["units"] == "degree_Celsius km-1"
    assert found.sst_gradient.attrs["units_metadata"] == "temperature: difference"


@pytest.mark.parametrize("turned", [False, True])
def test_a_front_is_where_it_is(turned: bool) -> None:
    values, axes = make_step(7.0), (LAT, LON)
    if turned:
        values, axes = values.transpose(0, 2, 1), (LON, LAT)
    found = oceanfill.derive(make_filled(values, *axes), what="fronts", threshold=0.01)
    front = found.sst_front[0].to_numpy()
    front = front.T if turned else front
    np.testing.assert_array_equal(front[:, 7], 1)
    assert (front == 1).sum() == 9


def test_probability_of_a_front_that_moves() -> None:
    samples = np.stack([make_step(column) for column in (5, 7, 7, 11)])
    filled = make_filled(make_step(7.0), LAT, LON, samples=samples)
    found = oceanfill.derive(filled, what="fronts", threshold=0.01)
    row = found.sst_front_probability[0, 4].to_numpy()
    np.testing.assert_allclose(row[2:14], [0, 0, 0.25, 0.25, 0.75, 0.5, 0.5, 0, 0.25, 0.25, 0.25, 0])


def test_the_default_threshold_and_no_samples() -> None:
    found = oceanfill.derive(make_filled(make_step(7.0), LAT, LON), what="fronts")
    assert list(found.data_vars) == ["sst_front"]
    steep = np.gradient(np.tanh((np.arange(15) - 7) / 1.5)) / KM
    expected = np.percentile(np.tile(np.abs(steep), 9), 90)
    assert found.attrs["front_threshold"] == pytest.approx(expected, rel=1e-3)
