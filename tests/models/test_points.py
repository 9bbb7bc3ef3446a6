"""Interpolation to points and its adjoint."""

import numpy as np
import pytest
import torch
from oceanfill.models.points import Corners, find_corners, to_cells, to_points
from scipy.interpolate import RegularGridInterpolator

SHAPE = 3, 5, 7


def scatter(count: int, cyclic: bool = False, kind: torch.dtype = torch.float64, seed: int = 0) -> Corners:
    """Find the corners of random points in a sea with some land; some points are outside."""
    random = torch.Generator().manual_seed(seed)
    sea = torch.rand(SHAPE[1:], generator=random) < 0.8
    date = torch.randint(-1, SHAPE[0] + 1, (count,), generator=random)
    row, column = (
        (torch.rand(count, generator=random, dtype=torch.float64) * (extent + 1) - 1).to(kind)
        for extent in SHAPE[1:]
    )
    return find_corners(date, row, column, sea, SHAPE[0], cyclic)


def make_matrix(at: Corners, cells: int) -> np.ndarray:
    """Write the corners out as a matrix (points, cells)."""
    full = np.zeros((len(at.cell), cells))
    for point, (cell, weight) in enumerate(zip(at.cell, at.weight, strict=True)):
        for k in range(4):
            full[point, cell[k]] += weight[k]
    return full


@pytest.mark.parametrize(("kind", "near"), [(torch.float32, 1e-6), (torch.float64, 1e-12)])
@pytest.mark.parametrize("cyclic", [False, True])
def test_the_adjoint_is_exact(kind, near, cyclic):
    random = torch.Generator().manual_seed(1)
    at = scatter(5000, cyclic, kind)
    maps = torch.randn(int(np.prod(SHAPE)), generator=random, dtype=kind)
    values = to_points(maps, at) + torch.randn(5000, generator=random, dtype=kind)
    forwards = to_points(maps, at).double() @ values.double()
    backwards = maps.double() @ to_cells(values, at, maps.numel()).double()
    scale = to_points(maps, at).double().norm() * values.double().norm()
    assert abs(forwards - backwards) < near * scale
    assert abs(forwards) > 1e-3 * scale, "not both zero"


def test_interpolation_and_adjoint_equal_the_full_matrix():
    at = scatter(300, cyclic=True)
    cells = int(np.prod(SHAPE))
    full = make_matrix(at, cells)
    random = np.random.default_rng(2)
    maps, values = random.standard_normal(cells), random.standard_normal(300)
    np.testing.assert_allclose(to_points(torch.from_numpy(maps), at), full @ maps, atol=1e-14)
    np.testing.assert_allclose(to_cells(torch.from_numpy(values), at, cells), full.T @ values, atol=1e-13)
    total = full.sum(1)
    assert set(np.round(total, 12)) == {0.0, 1.0}, "weights sum to one inside and to zero outside"


def test_interpolation_equals_scipys_up_to_the_last_row_and_column():
    random = np.random.default_rng(3)
    maps = random.standard_normal(SHAPE)
    row = np.concatenate([random.uniform(0, 4, 50), [0, 4, 4, 2.5]])
    column = np.concatenate([random.uniform(0, 6, 50), [0, 6, 3.25, 6]])
    made = (torch.from_numpy(part) for part in (np.ones(54, np.int64), row, column, np.ones(SHAPE[1:], bool)))
    found = to_points(torch.from_numpy(maps).flatten(), find_corners(*made, dates=3))
    expected = RegularGridInterpolator((np.arange(5), np.arange(7)), maps[1])(np.stack([row, column], 1))
    np.testing.assert_allclose(found, expected, atol=1e-14)


def test_a_cyclic_grid_is_interpolated_across_its_seam():
    maps = torch.arange(35.0, dtype=torch.float64)
    sea = torch.ones(5, 7, dtype=torch.bool)
    where = torch.tensor([0]), torch.tensor([2.0]), torch.tensor([6.25])
    around = find_corners(*where, sea, cyclic=True)
    assert to_points(maps, around).item() == pytest.approx(0.75 * 20 + 0.25 * 14)
    assert not find_corners(*where, sea).weight.any(), "outside a grid that is not cyclic"


def test_the_weight_of_land_goes_to_the_adjacent_sea():
    sea = torch.tensor([[True, False], [True, False]])
    at = find_corners(torch.tensor([0, 0]), torch.tensor([0.25, 0.5]), torch.tensor([0.5, 1.0]), sea)
    np.testing.assert_allclose(at.weight[0], [0.75, 0, 0.25, 0])
    assert not at.weight[1].any(), "on land"


def test_points_outside_or_without_a_position_have_no_weight():
    sea = torch.ones(4, 4, dtype=torch.bool)
    date = torch.tensor([0, -1, 1, 0, 0, 0])
    row = torch.tensor([1, 1, 1, -0.1, 3.01, torch.nan])
    at = find_corners(date, row, torch.ones(6), sea)
    assert at.weight.sum(1).tolist() == [1, 0, 0, 0, 0, 0]
    assert not torch.isnan(to_points(torch.ones(16), at)).any()


def test_each_map_of_a_batch_can_have_its_own_points():
    one, other = scatter(20, seed=4), scatter(20, seed=5)
    maps = torch.randn(2, int(np.prod(SHAPE)), dtype=torch.float64)
    both = Corners(torch.stack([one.cell, other.cell]), torch.stack([one.weight, other.weight]))
    found = to_points(maps, both)
    np.testing.assert_array_equal(found[0], to_points(maps[0], one))
    np.testing.assert_array_equal(found[1], to_points(maps[1], other))


def test_the_gradient_is_the_adjoint():
    at = scatter(100)
    maps = torch.randn(int(np.prod(SHAPE)), dtype=torch.float64, requires_grad=True)
    values = torch.randn(100, dtype=torch.float64)
    (to_points(maps, at) @ values).backward()
    np.testing.assert_allclose(maps.grad, to_cells(values, at, maps.numel()), atol=1e-13)


@pytest.mark.gpu  # the same arithmetic in another order
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_gpu_gives_the_same_values():
    at = scatter(1000)
    maps = torch.randn(int(np.prod(SHAPE)), dtype=torch.float64)
    on_gpu = Corners(*(part.cuda() for part in at))
    found = to_points(maps.cuda(), on_gpu)
    np.testing.assert_allclose(found.cpu(), to_points(maps, at), atol=1e-14)
    back = to_cells(found, on_gpu, maps.numel())
    np.testing.assert_allclose(back.cpu(), to_cells(found.cpu(), at, maps.numel()), atol=1e-12)
