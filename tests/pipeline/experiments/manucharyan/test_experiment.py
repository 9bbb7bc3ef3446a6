"""Tracks over turbulence: sampling, covariances, interpolations, scores, and the trained network."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import xarray as xr
from fields import cloudy_dataset
from oceanfill.pipeline.cli import main as cli
from oceanfill.pipeline.experiments.manucharyan.data import (
    METRES,
    REACH,
    Covariances,
    Sampling,
    build_interpolations,
    estimate_covariances,
    interpolate_delaunay,
    interpolate_dynamically,
)
from oceanfill.pipeline.experiments.manucharyan.experiment import (
    TurbulenceOptions,
    ignore_place_and_season,
    score_map,
)
from oceanfill.pipeline.experiments.manucharyan.masked_heights import WINDOW
from oceanfill.pipeline.experiments.skill import correlate_fields
from oceanfill.pipeline.simulators.two_layer import TwoLayer
from oceanfill.pipeline.training.tasks import Correction
from shipped import run_shipped

torch.set_num_threads(1)


@pytest.mark.parametrize(
    ("tracks", "repeat", "first", "second"),
    [
        (5, 10, [0, 4, 8, 2, 6], [5, 9, 3, 7, 1]),
        (3, 10, [0, 3, 6], [5, 8, 1]),
        (5, 20, [0, 8, 16, 4, 12], None),
    ],
)
def test_each_track_is_flown_once_a_cycle_and_its_neighbours_some_days_apart(tracks, repeat, first, second):
    seen = Sampling(tracks, repeat).mark_cells(64)
    assert seen.shape == (repeat, 64, 64)
    lean = (
        max(1, round(0.36 * tracks)) * 64 / tracks
    )  # columns over all rows: whole spacings, so that they close
    second = second or [(day + 10) % 20 for day in first]
    for sign, days in ((1, first), (-1, second)):
        for track, day in enumerate(days):
            for row in (3, 21, 60):
                column = int(np.floor(track * 64 / tracks + sign * lean * (row + 0.5) / 64)) % 64
                assert seen[day, row, column]
    assert seen.sum() == 2 * tracks * 64


def moving(days: int, cells: int = 16, seed: int = 0) -> torch.Tensor:
    """(1, day, 2, y, x) noise that moves a cell a day along x; the deep layer is half of it, a row on."""
    noise = torch.randn(cells, cells, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    noise -= noise.mean()
    surface = torch.stack([noise.roll(day, 1) for day in range(days)])
    return torch.stack([surface, 0.5 * surface.roll(1, 1)], 1)[None]


def test_covariances_know_where_the_flow_goes_and_which_layer_is_which():
    heights = moving(40)
    known = estimate_covariances(heights, 4, every=1)
    variance = float(heights[0, 0, 0].square().mean())
    for lag in range(-4, 5):
        assert float(known.surface[lag + 4, 0, lag % 16]) == pytest.approx(variance)
        assert float(known.deep[lag + 4, 1, lag % 16]) == pytest.approx(variance / 2)
    assert known.surface[4].flatten()[1:].abs().max() < 0.3 * variance


def smooth(cells: int, longest: int) -> Covariances:
    """Gaussian covariances of 2 cells and 5 days; the deep layer follows a day later, half as high."""
    away = np.minimum(np.arange(cells), cells - np.arange(cells))
    lag = np.arange(-longest, longest + 1)[:, None, None]
    space = np.exp(-(away[:, None] ** 2 + away**2) / 4)
    surface, deep = (
        torch.from_numpy(height * space * np.exp(-((lag - late) ** 2) / 25))
        for height, late in ((1.0, 0), (0.5, 1))
    )
    return Covariances(surface, deep, 0.3)


def test_the_gain_is_that_of_optimal_interpolation():
    """Against the equations written out point by point, on two days of a cycle of three."""
    cells, known = 10, smooth(10, 4)
    seen = torch.rand(3, cells, cells, generator=torch.Generator().manual_seed(0)) < 0.2
    one, deep = build_interpolations(known, seen, 1, 1, [("surface", 0), ("deep", 1)], noise=0.3)
    at = [(o, y, x) for o in (-1, 0, 1) for y, x in seen[(1 + o) % 3].nonzero().tolist()]

    def of(covariance, lag, y, x):
        return float(covariance[lag + 4, y % cells, x % cells])

    square = np.array([[of(known.surface, p[0] - q[0], p[1] - q[1], p[2] - q[2]) for q in at] for p in at])
    square += 0.09 * np.eye(len(at))
    for gain, covariance, when, variance in ((one, known.surface, 0, 1.0), (deep, known.deep, 1, 0.3)):
        towards = np.array([of(covariance, when - q[0], 2 - q[1], 3 - q[2]) for q in at])
        weights = np.linalg.solve(square, towards)
        np.testing.assert_allclose(gain.gain[2 * cells + 3], weights, atol=1e-6)
        expected = np.sqrt(max(variance - weights @ towards, 1e-3 * variance))
        np.testing.assert_allclose(gain.error[2, 3], expected, rtol=1e-5)
    observations = torch.randn(9, cells, cells, generator=torch.Generator().manual_seed(1))
    found = one.estimate(observations, torch.tensor([4, 7]))
    values = [float(observations[7 + o, y, x]) for o, y, x in at]
    np.testing.assert_allclose(found[1, 2, 3], one.gain[2 * cells + 3] @ torch.tensor(values), rtol=1e-4)


def test_the_error_of_optimal_interpolation_is_the_one_it_makes():
    """Draws of the field with those covariances: the spread of the error within the sampling error."""
    cells, known = 10, smooth(10, 2)
    seen = torch.rand(1, cells, cells, generator=torch.Generator().manual_seed(3)) < 0.3
    (one,) = build_interpolations(known, seen, 0, 0, noise=0.2)
    place = np.stack(np.meshgrid(*2 * [np.arange(cells)], indexing="ij"), -1).reshape(-1, 2)
    apart = (place[:, None] - place) % cells
    covariance = known.surface[2].numpy()[apart[..., 0], apart[..., 1]]
    rng = np.random.default_rng(0)
    values, vectors = np.linalg.eigh(covariance)
    draws = rng.standard_normal((4000, cells**2)) * np.sqrt(values.clip(0)) @ vectors.T
    fields = torch.from_numpy(draws.reshape(-1, cells, cells)).float()
    noisy = fields + 0.2 * torch.from_numpy(rng.standard_normal(fields.shape, np.float32))
    error = (one.estimate(noisy, torch.arange(4000)) - fields).square().mean(0).sqrt()
    np.testing.assert_allclose(error, one.error, rtol=0.05)


def test_linear_interpolation_is_exact_where_the_field_is_linear_in_time():
    seen = Sampling(3, 10).mark_cells(16)
    days = torch.arange(45, dtype=torch.float32)
    field = (0.1 * days + 2)[:, None, None].expand(-1, 16, 16)
    found = interpolate_delaunay(field, seen, 4, torch.tensor([20, 22]), day_in_cells=0.5)
    np.testing.assert_allclose(found[0], 4.0, atol=1e-5)
    np.testing.assert_allclose(found[1], 4.2, atol=1e-5)


def test_dynamical_interpolation_is_exact_for_the_flow_that_it_assumes():
    """An upper layer over a lower one at rest, known ten days before and after; without any tracks."""
    model = TwoLayer(
        cells=32, length=1e6, deformation_radius=30e3, upper=0.1, beta=1e-11, dt=4320.0, filter="two-thirds"
    )
    deep_below = TwoLayer(
        cells=32, length=1e6, deformation_radius=30e3 * 1.25**0.5, thickness_ratio=0.0, upper=0.1,
        beta=1e-11, drag=0.0, dt=4320.0, filter="two-thirds",
    )  # fmt: skip
    psi = deep_below.psi(deep_below.start(1, seed=2, speed=0.2))
    psi[:, 1] = 0
    state, truth = deep_below.make_state(psi), []
    for _ in range(2 * REACH + 1):
        truth.append(deep_below.psi(state)[0, 0] * METRES)
        state = deep_below.advance(state, 20)
    truth = torch.stack(truth)
    nothing = torch.zeros(1, 32, 32, dtype=torch.bool)
    known = estimate_covariances(truth[None, :, None].expand(-1, -1, 2, -1, -1), 0, every=1)
    found = interpolate_dynamically(
        model,
        truth[:1],
        truth[-1:],
        truth,
        nothing,
        0,
        torch.tensor([REACH]),
        build_interpolations(known, nothing, 0, 0),
    )
    changed = (truth[0] - truth[REACH]).square().mean()
    assert float((found[0] - truth[REACH]).square().mean() / changed) < 2e-3


def test_observations_on_the_way_correct_what_is_carried():
    """From nothing at both ends, all cells of all days seen without noise: the truth."""
    model = TwoLayer(cells=16, length=1e6, deformation_radius=40e3, dt=8640.0)
    truth = METRES * model.psi(model.start(2 * REACH + 1, seed=1, speed=0.05))[:, 0]
    seen = torch.ones(1, 16, 16, dtype=torch.bool)
    known = estimate_covariances(truth[None, :, None].expand(-1, -1, 2, -1, -1), 0, every=1)
    daily = build_interpolations(known, seen, 0, 0, noise=1e-5)
    nothing = torch.zeros(1, 16, 16)
    found = interpolate_dynamically(model, nothing, nothing, truth, seen, 0, torch.tensor([REACH]), daily)
    np.testing.assert_allclose(found[0], truth[REACH], atol=0.01 * float(truth.std()))


def test_a_trained_network_ignores_place_and_season():
    torch.manual_seed(0)
    task = Correction(TurbulenceOptions().network, WINDOW)
    torch.nn.init.normal_(task.network.head.weight)
    inputs = torch.randn(1, 15, 12, 12)
    other = inputs.clone()
    other[:, [10, 11, 13, 14]] = torch.randn(1, 4, 12, 12)
    assert (task(inputs)[0] - task(other)[0]).abs().max() > 1e-3
    ignore_place_and_season(task)
    torch.testing.assert_close(task(inputs)[0], task(other)[0])
    other = inputs.clone()
    other[:, 12] += 1  # the sea mask still counts
    assert (task(inputs)[0] - task(other)[0]).abs().max() > 1e-3


def test_skill_and_correlation():
    truth = torch.tensor([1.0, -1.0, 2.0, -2.0])
    assert score_map(0.9 * truth, truth) == pytest.approx(0.99)
    assert correlate_fields(-3 * truth, truth) == pytest.approx(-1)
    assert correlate_fields(torch.tensor([2.0, 2.0, 1.0, 1.0]), truth) == pytest.approx(0)


def test_the_saved_network_fills_a_file(tmp_path):
    words = ["reproduce", "manucharyan-2021", "--quick", "--quiet", "-o", str(tmp_path / "run")]
    assert cli.main(words) == 0
    table = (tmp_path / "run" / "table.md").read_text()
    assert "250 km, 10 d: surface skill, network minus dynamical" in table
    assert "250 km, 10 d: deep correlation, network minus regression" in table
    assert (tmp_path / "run" / "maps.png").stat().st_size > 20_000
    cloudy_dataset(dates=40).drop_vars("truth").to_netcdf(tmp_path / "in.nc")
    words = ["fill", str(tmp_path / "in.nc"), "-o", str(tmp_path / "out.nc"), "--method", "resnet", "--quiet"]
    assert cli.main([*words, "--checkpoint", str(tmp_path / "run" / "ssh.ckpt")]) == 0
    filled = xr.load_dataset(tmp_path / "out.nc")
    assert np.isfinite(filled.sst.to_numpy()[:, cloudy_dataset(dates=2).mask.to_numpy() == 1]).all()


def test_the_full_configuration_scores_each_method_and_their_differences(tmp_path):
    found = run_shipped("manucharyan-2021-full", tmp_path)
    skill = {
        name: found[f"250 km, 10 d: surface skill, {name}"].value
        for name in ("linear", "optimal", "dynamical", "network")
    }
    for better, worse in (("network", "dynamical"), ("dynamical", "linear")):
        gain = found[f"250 km, 10 d: surface skill, {better} minus {worse}"]
        assert gain.value == skill[better] - skill[worse]
        assert (gain.at_least, gain.at_most, gain.reference) == (0, None, None)
    network, regression = (
        found[f"250 km, 10 d: deep correlation, {name}"].value
        for name in ("network", "regression on the true surface")
    )
    gain = found["250 km, 10 d: deep correlation, network minus regression"]
    assert gain.value == network - regression
    assert gain.at_least == 0.1
    assert (tmp_path / "skill.png").stat().st_size > 10_000
