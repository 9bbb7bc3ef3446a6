"""The experiment after Bolton and Zanna: the forcing, tiles, parts, variants, runs, all of it when tiny."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr
from oceanfill.models.momentum import BoltonZanna
from oceanfill.pipeline.errors import InputError
from oceanfill.pipeline.experiments.bolton_zanna.data import (
    build_basin,
    change_basin,
    compute_forcing,
    cut_tiles,
    filter_run,
    merge_tiles,
    simulate_basin,
    split_dates,
)
from oceanfill.pipeline.experiments.bolton_zanna.experiment import MomentumOptions, find_jet, predict_momentum
from oceanfill.pipeline.experiments.bolton_zanna.networks import (
    Scale,
    TileOptions,
    TrainedNetwork,
    append_mirrored,
    extend_region,
    remove_mean,
    standardise_tiles,
    train_network,
)
from oceanfill.pipeline.experiments.reproduce import find_experiment
from oceanfill.pipeline.experiments.skill import compute_amplitude_ratio, correlate_in_time
from oceanfill.pipeline.simulators.basin import Basin
from shipped import run_shipped
from torch import Tensor

torch.set_num_threads(1)


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def small() -> Basin:
    return Basin(cells=44, length=1.76e6, dt=7200.0, viscosity=1000.0, dtype=torch.float32)


def test_the_forcing_of_a_wave_that_the_filter_damps() -> None:
    """psi = sin k x sin l y: (u . grad) u = k l^2 / 2 sin 2 k x, and so on to the north.

    The filter takes exp(-m^2 sigma^2 / 2) of a wave of wavenumber m, and central differences sin(m h) / h.
    """
    n, sigma = 64, 2.5
    i = np.arange(n + 1)
    k, m = 3 * math.pi / n, 2 * math.pi / n
    x, y = i[None], i[:, None]
    psi = np.sin(k * x) * np.sin(m * y) + 7.0  # on the walls 7, which is no flow
    p, q = math.sin(k), math.sin(m)
    mean = math.exp(-(k**2 + m**2) * sigma**2)
    east = p * q**2 / 2 * np.sin(2 * k * x) * (mean - math.exp(-2 * k**2 * sigma**2)) + 0 * y
    north = q * p**2 / 2 * np.sin(2 * m * y) * (mean - math.exp(-2 * m**2 * sigma**2)) + 0 * x
    smooth, s_x, s_y = compute_forcing(np.stack([psi, 2 * psi]), 1.0, sigma)
    for k_th, factor in enumerate((1, 4)):  # quadratic
        np.testing.assert_allclose(s_x[k_th], factor * east, atol=factor * 1e-3 * np.abs(east).max())
        np.testing.assert_allclose(s_y[k_th], factor * north, atol=factor * 1e-3 * np.abs(north).max())
    np.testing.assert_allclose(smooth[0] - 7, math.sqrt(mean) * (psi - 7), atol=2e-4)
    np.testing.assert_allclose(smooth[0, 0], 7, rtol=1e-12)
    # In metres it is the same.
    np.testing.assert_allclose(
        compute_forcing(100.0**2 * psi, 100.0, 100 * sigma)[1], 100 * s_x[0], atol=1e-9
    )


def test_a_mirror_image_has_the_mirrored_forcing() -> None:
    psi = np.zeros((1, 31, 31))
    psi[:, 1:-1, 1:-1] = random(29, 29).double().numpy()
    fields = [torch.from_numpy(values) for values in compute_forcing(psi, 1.0, 2.0)]
    expected = [append_mirrored(field, sign)[1] for field, sign in zip(fields, (-1, 1, -1), strict=True)]
    found = compute_forcing(append_mirrored(torch.from_numpy(psi), -1)[1].numpy(), 1.0, 2.0)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other.numpy(), atol=1e-13)
    assert torch.equal(append_mirrored(fields[0], -1)[0], fields[0][0])


def test_contrast_is_between_the_values_of_a_tile() -> None:
    tile = random(3, 1, 40, 40) + torch.arange(3.0)[:, None, None, None]
    seen = Scale(1.0, 4.0)
    torch.testing.assert_close(standardise_tiles(tile, seen, None), (tile - 1) / 4)
    plain = standardise_tiles(tile, seen, 8.0)
    torch.testing.assert_close(plain, 2 * (tile - tile.mean((-2, -1), keepdim=True)), atol=1e-5, rtol=0)


def test_no_forcing_without_a_filter_to_speak_of() -> None:
    psi = np.zeros((21, 21))
    psi[1:-1, 1:-1] = random(19, 19).double().numpy()
    smooth, s_x, s_y = compute_forcing(psi, 1.0, 0.1)
    np.testing.assert_allclose(smooth, psi, atol=1e-15)
    assert max(np.abs(s_x).max(), np.abs(s_y).max()) < 1e-14
    with pytest.raises(InputError, match=r"a filter of 0.01 km is too wide for 21 points"):
        compute_forcing(psi, 1.0, 10.0)


def test_tiles_averaged_give_the_field_back() -> None:
    field = random(3, 48, 60)
    cut = cut_tiles(field, 4)
    assert cut.shape == (3 * 3 * 6, 1, 40, 40)
    # A date after the other, and of each the western tiles of a row first.
    assert torch.equal(cut[18 + 6 + 2, 0], field[1, 4:44, 8:48])
    torch.testing.assert_close(merge_tiles(cut, (48, 60), 4), field, rtol=0, atol=1e-6)
    offset = torch.arange(18.0).repeat(3)[:, None, None, None]
    said = merge_tiles(torch.zeros_like(cut) + offset, (48, 60), 4)
    assert said[1, 0, 0] == 0
    assert said[1, 47, 59] == 17
    assert said[1, 0, 4] == 0.5  # the first and the second tile of the southern row
    with pytest.raises(
        InputError, match="one every 7, do not cover 48 x 60 points; make each side of the region"
    ):
        cut_tiles(field, 7)


@pytest.mark.parametrize("dates", [37, 100, 1000])
def test_parts_follow_each_other_with_a_gap(dates: int) -> None:
    train, validation, test = split_dates(dates, (0.6, 0.15, 0.25), 3)
    assert train.start == 0
    assert validation.start - train.stop == test.start - validation.stop == 3
    assert test.stop == dates
    lengths = [part.stop - part.start for part in (train, validation, test)]
    assert np.allclose(np.array(lengths) + 3, np.array([0.6, 0.15, 0.25]) * (dates + 3), atol=1)


def test_too_few_dates() -> None:
    with pytest.raises(InputError, match=r"10 dates split as .* with gaps of 5 leave a part empty"):
        split_dates(10, (0.6, 0.15, 0.25), 5)


def test_correlation_amplitude_and_the_jet() -> None:
    truth = random(50, 5, 6).double()
    said = 0.5 * truth + 3
    said[:, 2] *= -1
    found = correlate_in_time(said, truth)
    expected = torch.ones(5, 6, dtype=torch.float64)
    expected[2] = -1
    torch.testing.assert_close(found, expected)
    assert compute_amplitude_ratio(said, truth) == pytest.approx(0.5)
    strong = torch.zeros(5, 6, dtype=torch.bool)
    strong[1, 1] = True
    said[:, 1, 1] = 2 * truth[:, 1, 1]
    assert compute_amplitude_ratio(said, truth, strong) == pytest.approx(2)
    scaled = truth / truth.std(0) * torch.arange(30.0).reshape(5, 6)
    assert torch.equal(find_jet(scaled), torch.arange(30).reshape(5, 6) > 0.75 * 29)


def test_variants_make_no_momentum(tmp_path: Path) -> None:
    fields = [random(6, 40, 44, seed=seed) + 2 for seed in range(4)]
    how = TileOptions(epochs=1, batch=8, tile_every=4, learning_rate=1e-3)
    psi, target = (fields[0], fields[1]), (fields[2], fields[3])
    a = train_network(tmp_path / "a.pt", psi, target, how, sign=1, centred=True)
    made = a.predict(fields[1], 4, "cpu")
    tile = a.network(random(3, 1, 40, 40))
    assert tile.mean((-2, -1)).abs().max() < 1e-7
    assert a.target_scale.mean == 0
    free = train_network(tmp_path / "free.pt", psi, target, how, sign=1)
    assert free.target_scale.mean == pytest.approx(float(fields[2].mean()), rel=1e-6)
    assert made.shape == fields[1].shape
    none = free.predict(fields[1], 4, "cpu")
    assert none.mean() > 1
    c = remove_mean(none)
    assert c.mean((-2, -1)).abs().max() < 1e-15
    torch.testing.assert_close((none.double() - c).std((-2, -1)), torch.zeros(6).double(), atol=1e-12, rtol=0)


def test_variant_b_is_shown_tiles_without_a_mean(tmp_path: Path) -> None:
    psi, target = (
        (random(6, 40, 44), random(2, 40, 44, seed=1)),
        (random(6, 40, 44, seed=2) + 2, random(2, 40, 44)),
    )
    still = TileOptions(epochs=1, batch=8, tile_every=4, learning_rate=0.0)  # does not learn
    b = train_network(tmp_path / "b.pt", psi, target, still, sign=1, without_mean=True)
    goals = cut_tiles(target[1], 4)
    goals = (goals - goals.mean((-2, -1), keepdim=True)) / target[0].std()
    with torch.no_grad():
        said = b.network(cut_tiles((psi[1] - psi[0].mean()) / psi[0].std(), 4))
    assert b.error == pytest.approx(float((said - goals).square().mean()), rel=1e-5)
    assert b.target_scale == Scale(0.0, pytest.approx(float(target[0].std()), rel=1e-6))


def test_a_part_is_predicted_with_what_is_around_it() -> None:
    everywhere = (slice(None), slice(20, 60), slice(20, 80))
    assert extend_region((30, 40, 50, 60), 200, 2) == ((10, 80, 30, 100), everywhere)
    # At walls, points 0 and 128, there is less, by whole strides.
    assert extend_region((4, 40, 60, 64), 128, 2) == (
        (2, 62, 40, 88),
        (slice(None), slice(2, 42), slice(20, 84)),
    )


def test_a_prediction_is_in_the_units_of_the_target_and_seen_standardised() -> None:
    class Twice(torch.nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return 2 * x

    field = random(3, 44, 42)
    said = TrainedNetwork(Twice(), Scale(1.0, 4.0), Scale(10.0, 0.5), 0.0).predict(field, 2, "cpu")
    torch.testing.assert_close(said, (field - 1) / 4 * 2 * 0.5 + 10, rtol=0, atol=1e-5)


def test_a_run_is_taken_as_it_is_and_another_begins_anew(tmp_path: Path) -> None:
    path, first = tmp_path / "basin.zarr", small()
    options: dict[str, Any] = {"spin_up": 2, "days": 4, "every": 2, "quiet": True}
    begun = first.start(seed=0)
    state = simulate_basin(path, first, state=begun, **options)
    torch.testing.assert_close(state[0], first.advance(begun, 24)[0], rtol=0, atol=0)
    with xr.open_zarr(path) as written:
        assert list(written.time.values) == [0, 2]
        after = first.psi(first.advance(state, 24)[0])[0]
        np.testing.assert_array_equal(written.psi[1].values, after.numpy())

    class Idle(Basin):
        def advance(self, state: Any, steps: int) -> Any:
            raise AssertionError("nothing is left to do")

    idle = Idle(**{name: getattr(first, name) for name in Basin.__dataclass_fields__})
    torch.testing.assert_close(
        simulate_basin(path, idle, state=begun, **options)[0], state[0], rtol=0, atol=0
    )
    with pytest.raises(AssertionError, match="nothing is left"):
        simulate_basin(path, replace(idle, wind=0.7), state=begun, **options)


def test_what_is_filtered_of_a_run(tmp_path: Path) -> None:
    path, basin = tmp_path / "basin.zarr", small()
    simulate_basin(path, basin, spin_up=1, days=40, every=1, state=basin.start(size=1e-6), quiet=True)
    found = filter_run(path, 60e3, (3,))
    with xr.open_zarr(path) as written:
        smooth, s_x, _ = compute_forcing(written.psi[35, 0].values, 40e3, 60e3)
        deep = compute_forcing(written.psi[35, 2].values, 40e3, 60e3)[0]
    assert found.psi.shape == found.x.shape == found.y.shape == (40, 45, 45)
    np.testing.assert_array_equal(found.psi[35], smooth.astype(np.float32))
    np.testing.assert_array_equal(found.x[35], s_x.astype(np.float32))
    np.testing.assert_array_equal(found.deeper[3][35], deep.astype(np.float32))
    part = found.select(slice(30, 40, 5), (2, 7, 3, 9))
    assert torch.equal(part.y, found.y[[30, 35], 2:9, 3:12])
    assert torch.equal(part.deeper[3], found.deeper[3][[30, 35], 2:9, 3:12])


def test_options_that_no_basin_has() -> None:
    with pytest.raises(InputError, match=r"basin: .*'widht'; its options are cells, length, depths,"):
        build_basin({"widht": 3}, "cpu")
    with pytest.raises(InputError, match=r"others: .*'winds'"):
        change_basin(small(), {"winds": 3})
    made = build_basin({"cells": 44, "depths": [100.0, 900.0], "gravities": [0.02]}, "cpu")
    assert (made.depths, made.dtype) == ((100.0, 900.0), torch.float32)
    assert change_basin(made, {"wind": 0.5}).wind == 0.5


def test_all_of_it_when_tiny(tmp_path: Path) -> None:
    found = run_shipped("bolton-zanna-2019", tmp_path)
    assert found["number of parameters"].value == 325_728
    assert all(math.isfinite(finding.value) for finding in found.values())
    bars = {
        "S_x: correlation in the jet": 0.9,
        "S_y: correlation in the jet": 0.8,
        "psi_2: correlation, jet": 0.8,
    }
    assert {name: found[name].at_least for name in bars} == bars
    assert abs(found["S_x, variant C: mean (1e-6 m s-2)"].value) < 1e-15
    assert abs(found["S_x, variant none: mean (1e-6 m s-2)"].value) > 1e-9
    less = found["S_y: correlation, jet minus east"].value
    assert less == found["S_y: correlation, jet"].value - found["S_y: correlation, east"].value
    assert found["S_x: correlation in the jet, wind 0.07"].at_least == 0.9
    names = {path.name for path in tmp_path.glob("*.p*")}
    checkpoints = {f"{name}.pt" for name in ("S_x", "S_x-A", "S_x-B", "S_y", "psi_2")}
    pictures = {f"{name}.png" for name in ("flow", "correlations", "forcing", "jet", "means")}
    assert names == checkpoints | pictures | {"basin.pt", "wind-0.07.pt"}

    # The checkpoint and the Zarr give the figure of the table again.
    saved = torch.load(tmp_path / "S_y.pt", weights_only=True)
    assert saved["options"]["contrast"] == 20
    network = BoltonZanna()
    network.load_state_dict(saved["state_dict"])
    one = TrainedNetwork(
        network.eval(),
        *(Scale(**saved["options"][key]) for key in ("input_scale", "target_scale")),
        0.0,
        20.0,
    )
    there = filter_run(tmp_path / "basin.zarr", 30e3)
    _, _, test = split_dates(30, (0.6, 0.15, 0.25), 1)
    test = slice(test.start, test.stop, 2)
    # Six points more to the north and to the west are as much as the walls leave.
    said = one.predict(there.select(test, (2, 46, 2, 46)).psi, 2, "cpu")[:, :40, 6:]
    again = correlate_in_time(said, there.select(test, (2, 40, 8, 40)).y).mean()
    assert found["S_y: correlation, east"].value == pytest.approx(float(again), abs=1e-6)


def test_the_published_setting_when_tiny(tmp_path: Path) -> None:
    found = run_shipped("bolton-zanna-2019-full", tmp_path, "--spin_up 2 --layers []")
    assert found["number of parameters"].met
    for component, published in (("x", -0.002), ("y", -0.0005)):
        assert found[f"S_{component}, variant A: mean (1e-6 m s-2)"].reference == published
        assert abs(found[f"S_{component}, variant C: mean (1e-6 m s-2)"].value) < 1e-15


@pytest.mark.parametrize(
    ("regions", "reason"),
    [
        ({"jet": (4, 40, 1, 40)}, "give a training region and at least one more for testing"),
        (
            {"jet": (4, 40, 1, 40), "east": (2, 40, 9, 40)},
            "region east extends from 2 to 41 northwards and from 9 to 48 eastwards; .* 1 to 47",
        ),
    ],
)
def test_regions_that_will_not_do(tmp_path: Path, regions: dict[str, Any], reason: str) -> None:
    shipped = find_experiment("bolton-zanna-2019")
    assert shipped.function is predict_momentum
    options = MomentumOptions(**(shipped.options | shipped.quick | {"regions": regions}))
    with pytest.raises(InputError, match=reason):
        predict_momentum(tmp_path, options)
    assert list(tmp_path.iterdir()) == []
