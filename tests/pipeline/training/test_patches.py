"""Patches that cover a domain of any size, and what their mixture is."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from oceanfill.pipeline.training.patches import blend_patches, list_patches, place_patches, weigh_patches

sizes = st.integers(2, 40).flatmap(lambda size: st.tuples(st.just(size), st.integers(0, size - 1)))


@given(extent=st.integers(1, 300), sides=sizes)
def test_every_cell_is_covered_and_neighbours_share_what_was_asked(extent, sides):
    size, overlap = sides
    found = place_patches(extent, size, overlap)
    assert found[0] == 0
    assert max(found[-1] + size, extent) == extent or extent <= size
    steps = np.diff(found)
    assert (steps > 0).all()
    assert (steps <= size - overlap).all()
    # No patch too many: with one fewer, neighbours would share less.
    assert len(found) == 1 or (len(found) - 2) * (size - overlap) + size < extent


@given(rows=st.integers(1, 50), columns=st.integers(1, 50), sides=sizes)
def test_windows_tile_a_ragged_domain_without_reaching_beyond_it(rows, columns, sides):
    count = np.zeros((rows, columns), int)
    for y, x in list_patches((rows, columns), *sides):
        assert 0 <= y.start < y.stop <= rows
        assert 0 <= x.start < x.stop <= columns
        assert y.stop - y.start == min(sides[0], rows)
        count[y, x] += 1
    assert count.min() >= 1


@pytest.mark.parametrize("overlap", [-1, 8, 9])
def test_an_overlap_that_does_not_fit(overlap):
    with pytest.raises(ValueError, match=f"an overlap of {overlap} does not fit patches of 8"):
        place_patches(100, 8, overlap)


@given(extent=st.integers(1, 100), sides=sizes)
def test_shares_add_up_to_one(extent, sides):
    total = np.zeros(extent)
    for part, share in weigh_patches(extent, *sides):
        assert (share > 0).all()
        total[part] += share.numpy()
    np.testing.assert_allclose(total, 1, rtol=1e-6)


def test_shares_fall_only_towards_the_ends_that_patches_share():
    found = weigh_patches(7, 5, 3)
    assert [part for part, _ in found] == [slice(0, 5), slice(2, 7)]
    np.testing.assert_allclose(found[0][1], [1, 1, 0.75, 0.5, 0.25])
    np.testing.assert_allclose(found[1][1], [0.25, 0.5, 0.75, 1, 1])
    [(part, share)] = weigh_patches(6, 20, 3)
    assert part == slice(0, 6)
    assert share.eq(1).all()


@settings(deadline=None)
@given(rows=st.integers(1, 30), columns=st.integers(1, 30), sides=sizes)
def test_a_field_cut_to_patches_comes_back(rows, columns, sides):
    y, x = torch.meshgrid(torch.arange(1.0, rows + 1), torch.arange(1.0, columns + 1), indexing="ij")
    field = torch.stack([3 * y - x, x * y / 50])
    mean, variance = blend_patches(
        lambda y, x: (field[:, y, x], torch.full_like(field[:, y, x], 4.0)), field.shape, *sides
    )
    torch.testing.assert_close(mean, field, rtol=1e-5, atol=1e-4)
    torch.testing.assert_close(variance, torch.full_like(field, 4), rtol=0, atol=2e-2)  # of 90^2 in float32


def test_two_patches_mix_as_two_gaussians():
    """Seven cells, patches of five that share three: N(1, 4) and N(5, 9) with weights 3/4, 1/2, 1/4."""

    def estimate(y, x):
        number, square = (1.0, 4.0) if x.start == 0 else (5.0, 9.0)
        return torch.full((1, 5), number), torch.full((1, 5), square)

    mean, variance = blend_patches(estimate, (1, 7), 5, 3)
    share = np.array([1, 1, 0.75, 0.5, 0.25, 0, 0])  # of the first
    np.testing.assert_allclose(mean[0], share * 1 + (1 - share) * 5, rtol=1e-6)
    expected = share * 4 + (1 - share) * 9 + share * (1 - share) * (5 - 1) ** 2
    np.testing.assert_allclose(variance[0], expected, rtol=1e-6)


def test_leading_dimensions_and_estimates_without_error():
    mean, variance = blend_patches(
        lambda y, x: (torch.full((2, 3, 4, 4), 7.1), torch.zeros(2, 3, 4, 4)), (2, 3, 9, 6), 4, 2
    )
    assert mean.shape == variance.shape == (2, 3, 9, 6)
    torch.testing.assert_close(mean, torch.full_like(mean, 7.1))
    assert (variance >= 0).all()
    assert variance.max() < 1e-4
