"""Two-layer quasi-geostrophic turbulence: linear waves, conserved quantities, and pyqg."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from oceanfill.pipeline.simulators.two_layer import TwoLayer

DOUBLE = torch.float64


def test_inversion_reproduces_the_stream_function():
    model = TwoLayer(cells=16, dtype=DOUBLE, filter="none")
    psi = torch.randn(2, 2, 16, 16, dtype=DOUBLE, generator=torch.Generator().manual_seed(0))
    psi -= psi.mean((-2, -1), keepdim=True)
    np.testing.assert_allclose(model.psi(model.make_state(psi)), psi, atol=1e-12)


@pytest.mark.parametrize("wave", [(0, 3), (0, 7), (2, 6)])
def test_a_wave_grows_at_phillips_rate(wave):
    """For layers of equal depth on an f-plane: kU/2 sqrt((2F - K^2) / (2F + K^2)), within 1%."""
    model = TwoLayer(
        cells=32, beta=0.0, thickness_ratio=1.0, drag=0.0, upper=0.05, dtype=DOUBLE, filter="none", dt=3600.0
    )
    across, along = (2 * np.pi / model.length * number for number in wave)
    twice_f = model.deformation_radius**-2
    expected = along * 0.05 / 2 * np.sqrt((twice_f - along**2 - across**2) / (twice_f + along**2 + across**2))
    np.testing.assert_allclose(model.growth_rates()[wave], expected, rtol=1e-9)
    y, x = np.meshgrid(*2 * [(np.arange(32) + 0.5) * model.length / 32], indexing="ij")
    both = torch.from_numpy(1e-6 * np.stack([np.cos(along * x + across * y), np.sin(along * x + across * y)]))
    # Wait until only the growing wave is left.
    days = 5 / expected / 86400
    state = model.advance(model.make_state(both[None]), int(days * 24))
    later = model.advance(state, 240)
    grown = (later[0][0, :, wave[0], wave[1]].abs() / state[0][0, :, wave[0], wave[1]].abs()).log() / (
        10 * 86400
    )
    np.testing.assert_allclose(grown, expected, rtol=0.01)


def test_the_simulated_growth_with_drag_and_beta_equals_the_linear_growth_rate():
    model = TwoLayer(cells=32, upper=0.05, drag=2e-7, beta=1e-11, dtype=DOUBLE, filter="none", dt=1800.0)
    fastest = model.growth_rates()[0].argmax()
    x = torch.arange(32, dtype=DOUBLE) * 2 * np.pi / 32 * fastest
    wave = 1e-6 * torch.stack([torch.cos(x), torch.sin(x)])[None, :, None].expand(1, 2, 32, 32)
    state = model.advance(model.make_state(wave), 48 * 60)
    later = model.advance(state, 480)
    grown = (later[0][0, :, 0, fastest].abs() / state[0][0, :, 0, fastest].abs()).log() / (10 * 86400)
    np.testing.assert_allclose(grown, model.growth_rates()[0, fastest], rtol=0.01)


def test_energy_and_enstrophy_are_conserved_up_to_the_third_power_of_the_step():
    lost = []
    for dt in (600.0, 300.0):
        model = TwoLayer(cells=32, beta=0.0, upper=0.0, drag=0.0, filter="two-thirds", dt=dt, dtype=DOUBLE)
        state = model.advance(model.start(2, speed=0.1), 3)  # the first steps are of lower order
        after = model.advance(state, round(2 * 86400 / dt))
        moved = (model.psi(after) - model.psi(state)).square().mean() / model.psi(state).square().mean()
        assert moved > 0.01
        energy = (model.energy(after) / model.energy(state) - 1).abs()
        assert (model.enstrophy(after) / model.enstrophy(state) - 1).abs().max() < 1e-6
        assert energy.max() < 1e-6
        lost.append(float(energy.max()))
    assert 6 < lost[0] / lost[1] < 10


def test_members_are_independent_and_single_precision_follows_double():
    model = TwoLayer(cells=16, dtype=DOUBLE)
    both = model.start(2, speed=0.1)
    alone = (both[0][1:],)
    np.testing.assert_allclose(model.advance(both, 20)[0][1], model.advance(alone, 20)[0][0], rtol=1e-12)
    single = TwoLayer(cells=16)
    found = single.psi(single.advance(single.start(2, speed=0.1), 20))
    expected = model.psi(model.advance(both, 20))
    assert found.dtype == torch.float32
    assert float((found - expected).abs().max() / expected.abs().max()) < 1e-4


def test_the_start_has_the_requested_speed():
    model = TwoLayer(cells=32, dtype=DOUBLE, filter="none")
    psi = model.psi(model.start(3, seed=1, speed=0.2))
    cell = model.length / 32
    wave = torch.fft.fftfreq(32, cell / (2 * np.pi), dtype=DOUBLE)
    u = torch.fft.ifft(1j * wave[:, None] * torch.fft.fft(psi, dim=-2), dim=-2).real
    v = torch.fft.ifft(1j * wave * torch.fft.fft(psi, dim=-1), dim=-1).real
    # The derivative of the shortest wave vanishes on the grid: 1%.
    np.testing.assert_allclose((u**2 + v**2).mean((1, 2, 3)).sqrt(), 0.2, rtol=0.02)


@pytest.mark.parametrize("options", [{"filter": "sharp"}, {"cells": 33}])
def test_invalid_parameters_are_refused(options):
    with pytest.raises(ValueError, match=r"filter '\w+' is not one of .* number of cells \d+ is odd"):
        TwoLayer(**options)


@pytest.mark.peer
def test_a_hundred_steps_equal_those_of_pyqg():
    jax = pytest.importorskip("jax")
    jax.config.update("jax_enable_x64", True)
    qg, steppers, states = (
        pytest.importorskip(f"pyqg_jax.{name}") for name in ("qg_model", "steppers", "state")
    )
    model = TwoLayer(cells=32, dtype=DOUBLE, dt=3600.0)
    state = model.start(1, speed=0.1)
    peer = steppers.SteppedModel(
        qg.QGModel(nx=32, precision=states.Precision.DOUBLE), steppers.AB3Stepper(dt=3600.0)
    )
    first = peer.model.create_initial_state(jax.random.key(0)).update(qh=state[0][0].numpy())
    step, other = jax.jit(peer.step_model), peer.initialize_stepper_state(first)
    for _ in range(100):
        other = step(other)
    expected = np.asarray(other.state.qh)
    found = model.advance(state, 100)[0][0].numpy()
    assert np.abs(found - state[0][0].numpy()).max() > 0.1 * np.abs(found).max()
    np.testing.assert_allclose(found, expected, atol=1e-10 * np.abs(expected).max())
