"""Kriging against the textbook, and its neighbours against brute force."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from fields import cloudy_field
from oceanfill.pipeline.classical.kriging import (
    Kriging,
    build_system,
    choose_tile,
    pixel_means,
    solve,
    solve_tiles,
)
from oceanfill.pipeline.classical.neighbours import Component, Scales, find_nearest, gather_observations
from oceanfill.pipeline.classical.optimal_interpolation import fit_covariance
from oceanfill.pipeline.io.field import grid_spacing
from oceanfill.pipeline.io.layout.positions import EARTH_RADIUS

SCALES = Scales(
    (Component(sill=7.0, length=300.0, duration=15.0), Component(2.0, 900.0, 2.0)), nugget=0.01
)  # everything in the tiny field is so alike that nothing is thinned


def places(field, cells):
    """(n, 4) scaled coordinates, by independent spherical trigonometry."""
    t, y, x = cells.T
    lat, lon = np.radians(field.lat[y, x]), np.radians(field.lon[y, x])
    point = EARTH_RADIUS * np.stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)], 1)
    return np.column_stack([point, field.days[t]])


def distance(a, b, length, duration):
    return np.linalg.norm((a[:, None] - b[None]) / np.array([length, length, length, duration]), axis=-1)


def covariance(a, b):
    root = np.sqrt(3) * distance(a, b, 300, 15)
    wide = np.sqrt(3) * distance(a, b, 900, 2)
    return 7 * (1 + root) * np.exp(-root) + 2 * (1 + wide) * np.exp(-wide)


def ordinary_kriging(field, target):
    """Cressie (1993), equations 3.2.12 to 3.2.16: the bordered system, all observations at once."""
    cells = np.argwhere(field.observed)
    at, seen = places(field, target[None]), places(field, cells)
    if field.displacement is not None:
        seen[:, :3] += field.displacement[tuple(cells.T)]
    size = len(cells)
    system = np.ones((size + 1, size + 1))
    system[:size, :size] = covariance(seen, seen) + np.eye(size) * (SCALES.nugget + 1e-4 * SCALES.sill)
    system[size, size] = 0
    right = np.append(covariance(seen, at)[:, 0], 1)
    solution = np.linalg.solve(system, right)
    return solution[:size] @ field.values[tuple(cells.T)], SCALES.sill - solution @ right


def tiny():
    field = cloudy_field(dates=5, rows=8, columns=9, seed=3)
    keep = np.random.default_rng(0).random(field.values.shape) < 0.4
    return field.hide(~keep)


def test_all_neighbours_give_the_textbooks_ordinary_kriging():
    field = tiny()
    mean, error = Kriging(SCALES, neighbours=int(field.observed.sum()))(field)
    for target in np.argwhere(~field.observed & field.sea)[::7]:
        expected, variance = ordinary_kriging(field, target)
        assert mean[tuple(target)] == pytest.approx(expected, abs=2e-3)
        assert error[tuple(target)] ** 2 == pytest.approx(variance + SCALES.nugget, rel=2e-3)


def test_values_count_where_they_were_measured():
    field = tiny()
    moved = np.random.default_rng(1).normal(0, 5, (*field.values.shape, 3)).astype(np.float32)
    field = replace(field, displacement=np.where(field.observed[..., None], moved, 0))
    every = int(field.observed.sum())
    mean, _ = Kriging(SCALES, neighbours=every)(field)
    centred, _ = Kriging(SCALES, neighbours=every)(replace(field, displacement=None))
    for target in np.argwhere(~field.observed & field.sea)[::7]:
        assert mean[tuple(target)] == pytest.approx(ordinary_kriging(field, target)[0], abs=2e-3)
    assert np.nanmax(np.abs(mean - centred)) > 0.02
    np.testing.assert_array_equal(field.part(slice(1, 3)).displacement, field.displacement[1:3])


def test_the_error_is_that_of_a_new_observation_with_its_noise():
    field = tiny()
    _, error = Kriging(SCALES, neighbours=12, factor=2.0)(field)
    _, noisy = Kriging(SCALES, neighbours=12, factor=2.0, noise=0.25)(field)
    np.testing.assert_allclose(
        noisy**2 - error**2, np.where(field.sea, 1.0, np.nan)[None] + 0 * error, rtol=1e-4
    )


def test_neighbours_are_the_observed_cells_most_alike():
    """Those of every second, fourth and eighth row and column count as 1.25 times as close each time."""
    field = tiny()
    data = gather_observations(field, field.values, SCALES, torch.device("cpu"))
    target = np.argwhere(~field.observed & field.sea)[11]
    found, exists = find_nearest(data, data.cell(torch.as_tensor(target[None])), 12)
    assert exists.all()
    cells = np.argwhere(field.observed)
    away = np.zeros(len(cells))
    for level in (2, 4, 8):
        away += ((cells - target)[:, 1:] % level == 0).all(axis=1)
    every = -np.log(covariance(places(field, cells), places(field, target[None]))[:, 0] / 9)
    rank = np.sqrt(every * (2 + every)) / 1.25**away
    expected = {tuple(cell) for cell in cells[np.argsort(rank)[:12]]}
    t, rest = np.divmod(found[0].numpy(), data.shape[1] * data.shape[2])
    y, x = np.divmod(rest, data.shape[2])
    assert {tuple(cell) for cell in np.column_stack([t, y, x]) - data.pad} == expected


def test_a_map_has_no_squares():
    """Where neighbours are shared and few, one tile's estimates must pass smoothly into the next's."""
    field = cloudy_field(dates=12, rows=48, columns=48)
    disc = np.hypot(*(np.indices(field.sea.shape) - 24)) < 14
    gap = np.broadcast_to(disc & field.sea, field.values.shape)
    mean, _ = Kriging(SCALES, neighbours=12)(field.hide(gap), gap)
    step = np.abs(np.diff(mean[6, 12:36, 12:36], axis=1))
    by_column = np.nanmean(step, axis=0)
    assert max(by_column[start::3].mean() for start in range(3)) < 1.2 * by_column.mean()


def test_without_any_observation_near_the_error_is_that_of_the_whole_field():
    field = tiny()
    best = int(field.observed.sum(axis=(1, 2)).argmax())
    lonely = field.hide((np.arange(5) != best)[:, None, None])
    far = replace(lonely, days=300.0 * np.arange(5))
    mean, error = Kriging(SCALES, neighbours=10)(far)
    assert error[best - 1][far.sea].min() > 3  # the square root of the sill
    assert error[best - 1][far.sea].max() < 4.3
    assert np.ptp(mean[best - 1][far.sea]) < np.ptp(lonely.values[best][lonely.observed[best]])


@pytest.mark.parametrize("count", [5, 16, 40, 70])
def test_rows_eliminated_in_blocks_give_the_same_solution(count):
    """Against one factor of the whole matrix; the farther tiles have fewer observations than places."""
    field = tiny()
    series = np.stack([field.values, np.nan_to_num(field.values) ** 2 / 10])
    data = gather_observations(field, series, SCALES, torch.device("cpu"), side=4)
    targets = torch.as_tensor([[[2, 3, 4], [2, 3, 5], [1, 0, 0]], [[0, 7, 8], [4, 0, 3], [0, 5, 5]]])
    cells = data.cell(targets)
    found, exists = find_nearest(data, cells[:, 0], count)
    exists[1, count // 2 :] = False
    mean, variance = solve_tiles(SCALES, data, cells, found, exists)
    expected, spread = solve(SCALES, build_system(data, cells, found, exists))
    np.testing.assert_allclose(mean, expected, atol=3e-3)
    np.testing.assert_allclose(variance, spread, rtol=3e-3, atol=1e-4)
    assert mean.shape == (2, 3, 2)
    assert np.ptp(mean[..., 0].numpy()) > 0.1


def test_tiles_are_as_large_as_the_eddies_allow():
    field = tiny()
    cell = max(grid_spacing(field)[1:])
    sides = [
        choose_tile(field, Scales((Component(1.0, length * cell, 5.0), Component(1.0, 90 * cell, 1.0)), 0.1))
        for length in (1.0, 3.0, 6.0)
    ]
    assert sides == [(2, 1.0), (4, 1.25), (8, 3.0)]


def test_the_error_map_is_nearly_as_smooth_as_with_all_observations():
    """Power at wavelengths of three and six cells, in a gap that other dates fill."""
    field = cloudy_field(dates=5, rows=36, columns=36, seed=2)
    keep = np.random.default_rng(1).random(field.values.shape) < 0.25
    keep[2, 6:30, 6:30] = False
    field = field.hide(~keep)
    step = grid_spacing(field)
    scales = Scales((Component(1.0, 7 * step[1], 3 * step[0]),), nugget=0.01)
    where = np.zeros(field.values.shape, bool)
    where[2, 9:27, 9:27] = True
    every = math.ceil(field.observed.sum() / 3)  # a tile has three times as many

    def measure_power(neighbours: int) -> np.ndarray:
        _, error = Kriging(scales, neighbours)(field, where)
        part = np.nan_to_num(error[2, 9:27, 9:27], nan=np.nanmean(error[2]))
        window = np.hanning(18)
        power = sum(
            np.abs(np.fft.rfft((each - each.mean(1, keepdims=True)) * window, axis=1)) ** 2
            for each in (part, part.T)
        )
        return power.mean(axis=0)[[6, 3]]

    assert (measure_power(64) < 1.2 * measure_power(every)).all()


def test_an_observation_error_pulls_the_estimate_less():
    field = tiny()
    doubtful = replace(field, error_variance=np.where(field.observed, np.float32(4.0), np.float32(0)))
    narrow = Scales((Component(7.0, 80.0, 5.0),), nugget=0.01)
    trusting, _ = Kriging(narrow, neighbours=30)(field, field.observed)
    doubting, error = Kriging(narrow, neighbours=30)(doubtful, field.observed)
    away = field.observed
    assert np.abs(trusting - field.values)[away].max() < 0.15
    assert np.sqrt(np.mean((doubting - field.values)[away] ** 2)) > 0.3
    assert error[away].min() > 0.3


def test_only_requested_cells_are_estimated():
    field = tiny()
    where = np.zeros(field.values.shape, bool)
    where[2, 5, 6] = where[3, 0, 0] = True  # the second is land
    mean, error = Kriging(SCALES, neighbours=20)(field, where)
    assert np.argwhere(np.isfinite(mean)).tolist() == [[2, 5, 6]]
    assert np.isfinite(error).sum() == 1


def test_short_records_have_one_mean_and_long_ones_a_mean_of_each_pixel():
    short, long = cloudy_field(dates=12), cloudy_field(dates=40)
    assert np.ptp(pixel_means(short)[short.sea]) == 0
    assert pixel_means(short)[short.sea][0] == pytest.approx(np.nanmean(short.values), abs=1e-4)
    number = long.observed.sum(axis=0)
    y, x = np.argwhere(number == number.max())[0]
    own, overall = np.nanmean(long.values[:, y, x]), np.nanmean(long.values)
    assert abs(pixel_means(long)[y, x] - own) < 0.35 * abs(own - overall) + 0.1


def test_fitted_scales_fill_better_than_the_mean_and_their_error_holds():
    field = cloudy_field(dates=24, rows=30, columns=30)
    truth = cloudy_field_truth()
    kriging = fit_covariance(field, neighbours=32, seed=1)
    gaps = ~field.observed & field.sea
    mean, error = kriging(field, gaps)
    off = (mean - truth)[gaps]
    assert np.sqrt(np.mean(off**2)) < 0.25 * truth[gaps].std()
    # 0.78 to 0.81 by seed and processor; an error that is wrong by half covers 0.5 or 0.94.
    assert 0.6 < np.mean(np.abs(off) < error[gaps]) < 0.85
    assert float(kriging.scales.nugget) < 0.02


def cloudy_field_truth():
    from fields import cloudy_dataset

    return cloudy_dataset(dates=24, rows=30, columns=30).truth.values


def test_the_same_seed_fits_the_same_scales():
    field = cloudy_field()
    first, second = (fit_covariance(field, neighbours=16, seed=4) for _ in range(2))
    assert first == second


def test_units_do_not_matter():
    field = cloudy_field()
    large = replace(field, values=field.values * 1000)
    one, thousand = (fit_covariance(part, neighbours=16, seed=4) for part in (field, large))
    gaps = ~field.observed & field.sea
    difference = (thousand(large, gaps)[0] / 1000 - one(field, gaps)[0])[gaps]
    assert np.sqrt(np.mean(difference**2)) < 0.05 * np.nanstd(field.values)
