"""An interrupted run is resumed where it stopped; Adams-Bashforth is of third order."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

import numpy as np
import pytest
import torch
import xarray as xr
from oceanfill.pipeline.errors import InputError
from oceanfill.pipeline.simulators.running import adams_bashforth, simulate
from oceanfill.pipeline.simulators.two_layer import TwoLayer

MODEL = TwoLayer(cells=8, dt=3600.0)


class Stopping(TwoLayer):
    """Interrupts the run at the 21st call of `advance`; ``calls`` lists the calls of all its runs."""

    calls: ClassVar[list[int]] = []

    def advance(self, state, steps):
        self.calls.append(steps)
        if len(self.calls) == 21:
            raise KeyboardInterrupt
        return super().advance(state, steps)


def test_an_interrupted_run_is_resumed_and_leaves_the_same_store(tmp_path):
    state = MODEL.start(2, speed=0.1)
    options = {"snapshots": 40, "every": 6, "plan": {"seed": 0}}
    whole = xr.open_zarr(simulate(MODEL, state, tmp_path / "whole.zarr", **options)).load()
    assert whole.psi.shape == (40, 2, 2, 8, 8)
    np.testing.assert_allclose(whole.time, np.arange(40) * 0.25)
    np.testing.assert_array_equal(whole.psi[0], MODEL.psi(state).numpy())
    np.testing.assert_array_equal(whole.psi[39], MODEL.psi(MODEL.advance(state, 39 * 6)).numpy())

    stopping = Stopping(cells=8, dt=3600.0)
    with pytest.raises(KeyboardInterrupt):
        simulate(stopping, state, tmp_path / "stopped.zarr", **options)
    assert not (tmp_path / "stopped.zarr").exists()
    resumed = xr.open_zarr(simulate(stopping, state, tmp_path / "stopped.zarr", **options)).load()
    assert len(stopping.calls) == 21 + 24  # from the end of the first chunk of sixteen
    xr.testing.assert_identical(resumed, whole)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["stopped.zarr", "whole.zarr"]


def test_another_plan_starts_from_the_beginning(tmp_path):
    class Failing(TwoLayer):
        def advance(self, state, steps):
            raise KeyboardInterrupt  # in the second chunk: the first snapshots are written

    first = Failing(cells=8, dt=3600.0)
    with pytest.raises(KeyboardInterrupt):
        simulate(first, first.start(1), tmp_path / "a.zarr", snapshots=2, every=1, plan={"seed": 0})
    other = replace(MODEL, drag=0.0)
    path = simulate(other, other.start(1), tmp_path / "a.zarr", snapshots=2, every=1, plan={"seed": 1})
    np.testing.assert_array_equal(xr.open_zarr(path).psi[1], other.psi(other.advance(other.start(1), 1)))


def test_a_flow_that_is_no_longer_finite_raises(tmp_path):
    model = replace(MODEL, dt=86400.0 * 30, drag=0.0)
    with pytest.raises(
        InputError, match=r"a.zarr: the flow is no longer finite after .* shorter than 2.592e\+06"
    ):
        simulate(model, model.start(1, speed=1.0), tmp_path / "a.zarr", snapshots=30, every=20, plan={})


def test_adams_bashforth_is_of_third_order():
    """dx/dt = -x from exact values: the error at 1 decreases by a factor of 8 when the step is halved."""
    errors = []
    for steps in (40, 80):
        dt = 1 / steps
        exact = [torch.tensor(np.exp(-k * dt)) for k in (2, 1, 0)]
        state = (exact[0], -exact[1], -exact[2])
        for _ in range(steps - 2):
            state = adams_bashforth(lambda x: -x, state, dt)
        errors.append(abs(float(state[0]) - np.exp(-1)))
    assert 7 < errors[0] / errors[1] < 9
