"""Run a simulator, write its snapshots to a Zarr store, and resume an interrupted run."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from ..errors import InputError
from ..io.writing import check_writable, replace_atomically, resume_store
from ..progress import progress

State = tuple[Tensor, ...]  # the state, then the tendencies of previous steps, the latest first
_STATE = "state.pt"  # next to the unfinished store: the number of snapshots written, and the last state
_CHUNK = 16  # snapshots per chunk
_WEIGHTS = {1: (1.0,), 2: (3 / 2, -1 / 2), 3: (23 / 12, -16 / 12, 5 / 12)}


class Simulator(Protocol):
    """A model that `simulate` can run."""

    @property
    def dt(self) -> float:
        """Time step in seconds."""

    def advance(self, state: State, steps: int) -> State:
        """Advance the state by ``steps``."""

    def snapshot(self, state: State) -> xr.Dataset:
        """Convert a state to the variables to be written, without time, with attributes and coordinates."""


def adams_bashforth(tendency: Callable[[Tensor], Tensor], state: State, dt: float) -> State:
    """Advance the state by ``dt`` with the third-order scheme; the first two steps are of order one and two.

    Durran 1991, doi:10.1175/1520-0493(1991)119<0702:TTOABM>2.0.CO;2.
    """
    tendencies = (tendency(state[0]), *state[1:3])
    after = state[0]
    for weight, one in zip(_WEIGHTS[len(tendencies)], tendencies, strict=True):
        after = torch.add(after, one, alpha=dt * weight)
    return after, *tendencies[:2]


def simulate(
    simulator: Simulator,
    state: State,
    path: str | os.PathLike[str],
    *,
    snapshots: int,
    every: int,
    plan: Mapping[str, Any],
    attributes: Mapping[str, Any] | None = None,
    quiet: bool = True,
) -> Path:
    """Write the state, and then a snapshot ``every`` so many steps, to a Zarr store: ``snapshots`` in all.

    ``time`` is in days since the first snapshot. ``plan`` describes the run in plain values. After an
    interruption the same call resumes from the last chunk written, and the store equals that of an
    uninterrupted run; with another plan it starts from the beginning. Raises `InputError` if the path cannot
    be written or the flow is no longer finite.
    """
    check_writable(path)
    first = simulator.snapshot(state)
    days = np.arange(snapshots) * (every * simulator.dt / 86400)

    def create_store(store: Path) -> None:
        whole = first.expand_dims(time=days).chunk()
        whole.attrs = dict(attributes or {})
        whole["time"].attrs = {"units": "days", "long_name": "time since the first snapshot"}
        chunks = {name: (min(_CHUNK, snapshots), *array.shape) for name, array in first.data_vars.items()}
        encoding: Any = {name: {"chunks": chunk} for name, chunk in chunks.items()}
        whole.to_zarr(store, mode="w", compute=False, consolidated=False, encoding=encoding)

    plan = {**plan, "snapshots": snapshots, "every": every, "dt": simulator.dt}
    with resume_store(path, plan, create_store) as store:
        done, held = 0, store.parent / _STATE
        if held.exists():
            kept = torch.load(held, map_location=state[0].device, weights_only=True)
            done, state = kept["done"], tuple(kept["state"])
        with progress("simulating", snapshots, quiet) as advance:
            advance(done)
            while done < snapshots:
                number = min(_CHUNK, snapshots - done)
                written = []
                for k in range(number):
                    if done + k:
                        state = simulator.advance(state, every)
                    if not torch.isfinite(state[0]).all():
                        raise InputError(
                            f"{path}: the flow is no longer finite after {days[done + k]:.3g} days; use a "
                            f"time step shorter than {simulator.dt:g} s"
                        )
                    written.append(simulator.snapshot(state).drop_vars(list(first.coords)))
                    advance(1)
                part = xr.concat(written, "time")
                part.to_zarr(store, region={"time": slice(done, done + number)}, consolidated=False)
                done += number
                with replace_atomically(held) as temporary:
                    torch.save({"done": done, "state": list(state)}, temporary)
    return Path(path)
