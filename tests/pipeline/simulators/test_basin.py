"""Layers in a closed basin: inversion, Jacobian, waves, Stommel's gyre, energy, mass and resumed runs."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr
from oceanfill.pipeline.errors import InputError
from oceanfill.pipeline.simulators.basin import (
    Basin,
    apply_laplacian,
    apply_sine_transform,
    compute_jacobian,
    transform_odd_extension,
)
from oceanfill.pipeline.simulators.running import State, simulate
from torch import Tensor
from torch.nn.functional import pad

torch.set_num_threads(1)
LAYER = {"depths": (1000.0,), "gravities": ()}


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def make_basin(**options: object) -> Basin:
    return Basin(**{"cells": 24, "length": 1.2e6, "dt": 3600.0, **options})  # type: ignore[arg-type]


def make_axes(basin: Basin) -> tuple[Tensor, Tensor]:
    """Return y (n, 1) and x (1, n) of the points from 0 to 1, walls included."""
    line = torch.linspace(0, 1, basin.cells + 1, dtype=torch.float64)
    return line[:, None], line[None]


def test_sine_transforms() -> None:
    x = draw(2, 3, 11, 15)
    j = torch.arange(1, 12, dtype=torch.float64)
    matrix = torch.sin(math.pi / 12 * torch.outer(j, j)) * math.sqrt(2 / 12)
    i = torch.arange(1, 16, dtype=torch.float64)
    other = torch.sin(math.pi / 16 * torch.outer(i, i)) * math.sqrt(2 / 16)
    torch.testing.assert_close(apply_sine_transform(x), matrix @ x @ other, rtol=0, atol=1e-13)
    torch.testing.assert_close(
        transform_odd_extension(transform_odd_extension(x)), apply_sine_transform(x), rtol=0, atol=1e-13
    )
    torch.testing.assert_close(apply_sine_transform(apply_sine_transform(x)), x, rtol=0, atol=1e-13)


def test_inversion_of_one_layer_against_an_eigenfunction() -> None:
    basin = make_basin(**LAYER)
    y, x = make_axes(basin)
    psi = (torch.sin(3 * math.pi * x) * torch.sin(2 * math.pi * y))[None, None]
    numbers = np.sin(np.pi * np.array([3, 2]) / (2 * 24)) * 2 / basin.spacing
    q = -float((numbers**2).sum()) * psi[..., 1:-1, 1:-1]
    torch.testing.assert_close(basin.psi(q), psi, rtol=0, atol=1e-13)
    # The eigenvalue converges to that of the continuous problem at second order.
    assert (numbers**2).sum() == pytest.approx(13 * (math.pi / 1.2e6) ** 2, rel=(3 * math.pi / 24) ** 2 / 12)


def test_inversion_of_three_layers_reproduces_their_vorticity_and_conserves_their_mass() -> None:
    basin = make_basin()
    q = 1e-5 * draw(2, 3, 23, 23)
    psi = basin.psi(q)
    torch.testing.assert_close(basin.vorticity(psi), q, rtol=0, atol=1e-18)
    wall = psi[..., :1, :1]
    for side in (psi[..., 0, :], psi[..., -1, :], psi[..., 0], psi[..., -1]):
        torch.testing.assert_close(side, wall[..., 0].expand_as(side), rtol=1e-12, atol=0)
    scale = psi.abs().max()
    # The volume below each interface is conserved; the depth mean has no transport around the basin.
    assert basin.mean(psi.diff(dim=1)).abs().max() < 1e-13 * scale
    depths = torch.tensor(basin.depths, dtype=torch.float64)
    assert (wall[..., 0, 0] @ depths).abs().max() < 1e-13 * scale * depths.sum()
    assert wall.abs().max() > 1e-3 * scale


def test_deformation_radii() -> None:
    """For two layers: (g' H1 H2 / (H1 + H2))^(1/2) / f0."""
    basin = make_basin(depths=(400.0, 1600.0), gravities=(0.02,))
    assert basin.deformation_radii == pytest.approx([math.sqrt(0.02 * 320) / 1e-4])
    assert make_basin(**LAYER).deformation_radii == ()


def test_jacobian_conserves_energy_and_enstrophy() -> None:
    psi, q = (pad(draw(1, 3, 20, 30, seed=seed), (1, 1, 1, 1)) for seed in (1, 2))
    jacobian = pad(compute_jacobian(psi, q, 2.0), (1, 1, 1, 1))
    assert jacobian.abs().sum() > 100
    assert abs(float((psi * jacobian).sum())) < 1e-12
    assert abs(float((q * jacobian).sum())) < 1e-12
    torch.testing.assert_close(compute_jacobian(q, psi, 2.0), -jacobian[..., 1:-1, 1:-1], rtol=0, atol=1e-14)
    # Energy is conserved even if the vorticity on the walls is not 0.
    walled = draw(1, 3, 22, 32, seed=3)
    assert abs(float((psi * pad(compute_jacobian(psi, walled, 2.0), (1, 1, 1, 1))).sum())) < 1e-12


def test_jacobian_converges_to_the_analytic_one_at_second_order() -> None:
    def error(n: int) -> float:
        line = torch.linspace(0, 1, n + 1, dtype=torch.float64)
        y, x = line[:, None], line[None]
        a, b = torch.sin(2 * x + y), torch.cos(x - 3 * y)
        exact = -torch.sin(x - 3 * y) * torch.cos(2 * x + y) * (2 * -3 - 1)
        return float((compute_jacobian(a, b, 1 / n) - exact[1:-1, 1:-1]).abs().max())

    assert error(40) < 0.011  # of 7
    assert math.log2(error(20) / error(40)) == pytest.approx(2, abs=0.05)


def test_basin_mode_of_rossby_waves() -> None:
    """cos(k x + w t) sin sin, with w = beta / (2 kappa), k = beta / (2 w) (Pedlosky 1987, section 3.25)."""

    def error(cells: int) -> float:
        basin = make_basin(cells=cells, **LAYER, viscosity=0.0, drag=0.0, wind=0.0, dt=20 * 3600 * 8 / cells)
        y, x = make_axes(basin)
        kappa = math.sqrt(2) * math.pi / basin.length
        frequency = basin.beta / (2 * kappa)

        def mode(time: float) -> Tensor:
            phase = kappa * basin.length * x + frequency * time
            return (torch.cos(phase) * torch.sin(math.pi * x) * torch.sin(math.pi * y))[None, None]

        steps = round(2 * math.pi / frequency / basin.dt)  # about one period
        assert steps * basin.dt * frequency > 6
        state: State = (basin.vorticity(1e-3 * mode(0)),)  # so weak that it is linear
        found = 1e3 * basin.psi(basin.advance(state, steps)[0])
        return float((found - mode(steps * basin.dt)).square().mean().sqrt() / mode(0).square().mean().sqrt())

    errors = [error(cells) for cells in (16, 32, 64)]
    assert errors[-1] < 0.02
    assert math.log2(errors[1] / errors[2]) == pytest.approx(2, abs=0.2)


def test_stommels_gyre() -> None:
    """Weak wind, linear drag, no viscosity: r Laplacian psi + beta psi_x = curl (Stommel 1948)."""

    def error(cells: int) -> float:
        basin = make_basin(
            cells=cells, **LAYER, viscosity=0.0, drag=4e-6, wind=1e-6, dt=12 * 3600 * 16 / cells
        )
        y, x = make_axes(basin)
        turn = 2 * math.pi / basin.length
        forcing = -1e-6 * turn / (1000 * 1000)  # of sin(turn y)
        middle = -basin.beta / (2 * basin.drag)
        root = math.sqrt(middle**2 + turn**2)
        roots = torch.tensor([middle + root, middle - root], dtype=torch.float64) * basin.length
        # phi(x): -particular (1 - c1 e^(D1 x) - c2 e^(D2 x)), with c1 and c2 such that it is 0 on both walls.
        first, second = torch.exp(roots)
        c1, c2 = (1 - second) / (first - second), (first - 1) / (first - second)
        phi = 1 - c1 * torch.exp(roots[0] * x) - c2 * torch.exp(roots[1] * x)
        exact = -forcing / (basin.drag * turn**2) * phi * torch.sin(2 * math.pi * y)
        state = basin.advance(
            (torch.zeros(1, 1, cells - 1, cells - 1, dtype=torch.float64),), round(8e6 / basin.dt)
        )
        return float((basin.psi(state[0])[0, 0] - exact).abs().max() / exact.abs().max())

    errors = [error(cells) for cells in (32, 64)]
    assert errors[1] < 0.01
    assert math.log2(errors[0] / errors[1]) == pytest.approx(2, abs=0.3)


def draw_turbulence(basin: Basin, members: int = 1) -> Tensor:
    y, x = make_axes(basin)
    waves = [torch.sin(i * math.pi * x) * torch.sin(j * math.pi * y) for i in (1, 2, 5) for j in (1, 2, 4)]
    psi = 2e4 * torch.einsum("mkw,wyx->mkyx", draw(members, 3, 9), torch.stack(waves))
    return basin.vorticity(psi)


def test_the_energy_budget_closes() -> None:
    """The energy tendency is the input from the wind minus the losses to viscosity and drag."""
    basin = make_basin(viscosity=300.0, drag=1e-7)
    q = draw_turbulence(basin)
    psi, change = basin.psi(q), basin.psi(basin.tendency(q))
    # The energy is a quadratic form: its derivative is the difference over any step.
    scale = float(psi.abs().max() / change.abs().max())
    rate = (basin.energy(psi + scale * change) - basin.energy(psi - scale * change)) / (2 * scale)
    free = psi - psi[..., :1, :1]
    zeta = apply_laplacian(psi, basin.spacing)
    depths = torch.tensor(basin.depths, dtype=torch.float64)
    wind = -depths[0] * (free[:, 0, 1:-1, 1:-1] * basin.curl).sum()
    friction = -(depths[:, None, None] * 300.0 * zeta.square()).sum()
    drag = 1e-7 * depths[-1] * (free[:, -1, 1:-1, 1:-1] * zeta[:, -1]).sum()
    expected = 1000.0 * (wind + friction + drag) / 24**2
    assert min(abs(part) for part in (wind, friction, drag)) > 1e-3 * abs(expected)
    assert float(rate) == pytest.approx(float(expected), rel=1e-9)


def test_without_forcing_only_time_stepping_changes_the_energy() -> None:
    def measure_drift(dt: float) -> float:
        basin = make_basin(viscosity=0.0, drag=0.0, wind=0.0, dt=dt)
        q = draw_turbulence(basin)
        first = basin.energy(basin.psi(q))
        return float((basin.energy(basin.psi(basin.advance((q,), round(172800 / dt))[0])) - first) / first)

    drifts = [abs(measure_drift(dt)) for dt in (3600.0, 1800.0)]
    assert drifts[1] < 1e-5
    assert drifts[0] > 4 * drifts[1]


def test_members_are_independent_and_the_precisions_agree() -> None:
    basin = make_basin()
    q = draw_turbulence(basin, members=3)
    together = basin.advance((q,), 5)[0]
    for member in range(3):
        alone = basin.advance((q[member : member + 1],), 5)[0]
        torch.testing.assert_close(together[member : member + 1], alone, rtol=1e-12, atol=1e-18)
    single = make_basin(dtype=torch.float32).advance((q.float(),), 5)[0]
    assert single.dtype == torch.float32
    assert (single.double() - together).abs().max() < 1e-5 * together.abs().max()


def test_a_resumed_run_gives_the_same_bytes(tmp_path: Path) -> None:
    basin = make_basin()
    state: State = (draw_turbulence(basin, members=2),)

    options = {"snapshots": 20, "every": 3, "plan": {"basin": str(basin)}}
    whole = simulate(basin, state, tmp_path / "whole.zarr", **options)  # type: ignore[arg-type]
    killed, calls = tmp_path / "killed.zarr", []

    class Short(Basin):
        def advance(self, state: State, steps: int) -> State:
            calls.append(steps)
            if len(calls) == 18:
                raise KeyboardInterrupt
            return super().advance(state, steps)

    short = Short(cells=24, length=1.2e6, dt=3600.0)
    with pytest.raises(KeyboardInterrupt):
        simulate(short, state, killed, **options)  # type: ignore[arg-type]
    assert not killed.exists()
    simulate(short, state, killed, **options)  # type: ignore[arg-type]
    assert len(calls) == 18 + 4  # snapshots 16 to 19 again, and no more
    with xr.open_zarr(whole) as one, xr.open_zarr(killed) as other:
        assert one.psi.dims == ("time", "member", "layer", "y", "x")
        assert one.psi.dtype == np.float32
        assert one.psi.values.tobytes() == other.psi.values.tobytes()
        np.testing.assert_allclose(one.time, np.arange(20) * 0.125)
        np.testing.assert_allclose(one.psi[0].values, basin.psi(state[0]).numpy(), rtol=1e-6, atol=1e-2)
        assert (float(one.x[-1]), one.x.units, one.psi.units) == (1200, "km", "m2 s-1")


@pytest.mark.parametrize(
    ("options", "found"),
    [
        ({"cells": 2}, "at least 3 cells along each side, not 2"),
        ({"gravities": (0.03,)}, "3 layers have 2 interfaces, but 1 reduced gravities are given"),
        ({"depths": (250.0, -1.0, 3000.0)}, r"the depths of a basin must be above 0, not \(250.0, -1.0"),
    ],
)
def test_invalid_parameters_are_refused(options: dict[str, object], found: str) -> None:
    with pytest.raises(InputError, match=found):
        make_basin(**options)


def test_the_error_of_an_unstable_run_suggests_what_to_change() -> None:
    basin = make_basin(viscosity=1e6, dt=7200.0)
    with pytest.raises(InputError, match="7200 s and a viscosity of 1e\\+06 m2 s-1; use a shorter step"):
        basin.advance((draw_turbulence(basin),), 500)
