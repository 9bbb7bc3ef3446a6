"""A run that is stopped goes on where it was; Adams-Bashforth is of third order."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
import xarray as xr
from oceanfill.pipeline.errors import InputError
from oceanfill.pipeline.simulators.running import adams_bashforth, simulate
from oceanfill.pipeline.simulators.two_layer import TwoLayer

MODEL = TwoLayer(cells=8, dt=3600.0)


def test_a_run_that_is_stopped_goes_on_and_leaves_the_same(tmp_path, monkeypatch):
    state = MODEL.start(2, speed=0.1)
    how = {"snapshots": 40, "every": 6, "plan": {"seed": 0}}
    whole = xr.open_zarr(simulate(MODEL, state, tmp_path / "whole.zarr", **how)).load()
    assert whole.psi.shape == (40, 2, 2, 8, 8)
    np.testing.assert_allclose(whole.time, np.arange(40) * 0.25)
    np.testing.assert_array_equal(whole.psi[0], MODEL.psi(state).numpy())
    np.testing.assert_array_equal(whole.psi[39], MODEL.psi(MODEL.advance(state, 39 * 6)).numpy())

    advance, calls = TwoLayer.advance, []

    def stopping(self, state, steps):
        calls.append(steps)
        if len(calls) == 21:
            raise KeyboardInterrupt
        return advance(self, state, steps)

    monkeypatch.setattr(TwoLayer, "advance", stopping)
    with pytest.raises(KeyboardInterrupt):
        simulate(MODEL, state, tmp_path / "stopped.zarr", **how)
    assert not (tmp_path / "stopped.zarr").exists()
    calls.extend([0])
    again = xr.open_zarr(simulate(MODEL, state, tmp_path / "stopped.zarr", **how)).load()
    assert len(calls) - 22 == 24  # from the end of the first chunk of sixteen
    xr.testing.assert_identical(again, whole)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["stopped.zarr", "whole.zarr"]


def test_another_plan_begins_anew(tmp_path, monkeypatch):
    monkeypatch.setattr(TwoLayer, "snapshot", lambda self, state: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        simulate(MODEL, MODEL.start(1), tmp_path / "a.zarr", snapshots=2, every=1, plan={"seed": 0})
    monkeypatch.undo()
    other = replace(MODEL, drag=0.0)
    path = simulate(other, other.start(1), tmp_path / "a.zarr", snapshots=2, every=1, plan={"seed": 1})
    np.testing.assert_array_equal(xr.open_zarr(path).psi[1], other.psi(other.advance(other.start(1), 1)))


def test_a_flow_that_blows_up_is_said(tmp_path):
    model = replace(MODEL, dt=86400.0 * 30, drag=0.0)
    with pytest.raises(InputError, match=r"a.zarr: the flow has no finite values after .* shorter time step"):
        simulate(model, model.start(1, speed=1.0), tmp_path / "a.zarr", snapshots=30, every=20, plan={})


def test_adams_bashforth_is_of_third_order():
    """dx/dt = -x from values that are exact: the error at 1 falls by 8 as the step is halved."""
    errors = []
    for steps in (40, 80):
        dt = 1 / steps
        exact = [torch.tensor(np.exp(-k * dt)) for k in (2, 1, 0)]
        state = (exact[0], -exact[1], -exact[2])
        for _ in range(steps - 2):
            state = adams_bashforth(lambda x: -x, state, dt)
        errors.append(abs(float(state[0]) - np.exp(-1)))
    assert 7 < errors[0] / errors[1] < 9
