"""What the experiments after Bolton and Zanna 2019 (doi:10.1029/2018MS001472) learn from: a basin, filtered.

A simulation is spun up, kept every few days and filtered; its dates are cut into parts, fields into tiles.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, fields, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from torch import Tensor
from torch.nn.functional import fold, unfold

from ....models.momentum import SIDE
from ...errors import InputError
from ...io.writing import replace_atomically
from ...progress import progress
from ...simulators.basin import Basin
from ...simulators.running import State, simulate

Floats = NDArray[np.floating]
Box = tuple[int, int, int, int]  # first point and number of points to the north, then to the east

_TRUNCATED = 4.0  # standard deviations of the filter
_BLOCK = 32  # dates that are filtered together
_EVERY = 50  # days of the spin-up after which its state is kept


@dataclass(frozen=True)
class Filtered:
    """A run on the fine grid, (date, y, x) each: what networks see, and what they have to say."""

    psi: Tensor  # the filtered stream function of the top layer, in m2 s-1
    x: Tensor  # the sub-filter forcing of the momentum to the east in the top layer, in m s-2
    y: Tensor  # and to the north
    deeper: dict[int, Tensor]  # the filtered stream functions of the layers below, by layer from the top

    def at(self, dates: slice, box: Box) -> Filtered:
        """Some dates of a part of the basin."""
        south, tall, west, wide = box
        part = (dates, slice(south, south + tall), slice(west, west + wide))
        below = {layer: psi[part] for layer, psi in self.deeper.items()}
        return Filtered(self.psi[part], self.x[part], self.y[part], below)


def forcing(psi: Floats, spacing: float, sigma: float) -> tuple[Floats, Floats, Floats]:
    """The filtered stream function and S_x, S_y, all (..., y, x), of one on all points of a basin.

    S = (u_bar . grad) u_bar - bar((u . grad) u), with central differences and a Gaussian filter of standard
    deviation ``sigma``, which like ``spacing`` is in metres. Beyond the walls the flow is that of image
    vortices, as free slip has it, so that filter and derivative change places there too.
    """
    width = int(_TRUNCATED * sigma / spacing + 0.5) + 3
    if width >= psi.shape[-1]:
        raise InputError(f"a filter of {sigma / 1e3:g} km is too wide for {psi.shape[-1]} points")
    edges = [(0, 0)] * (psi.ndim - 2) + [(width, width)] * 2
    whole = np.pad(psi.astype(np.float64), edges, mode="reflect", reflect_type="odd")

    def smooth(values: Floats) -> Floats:
        return gaussian_filter(values, sigma / spacing, truncate=_TRUNCATED, axes=(-2, -1))

    smoothed = smooth(whole)
    inside = (..., slice(width, -width), slice(width, -width))
    fine, coarse = _advection(whole, spacing), _advection(smoothed, spacing)
    said = [(of_mean - smooth(of_all))[inside] for of_mean, of_all in zip(coarse, fine, strict=True)]
    return smoothed[inside], said[0], said[1]


def _advection(psi: Floats, spacing: float) -> list[Floats]:
    """u u_x + v u_y and u v_x + v v_y."""
    u, v = -np.gradient(psi, spacing, axis=-2), np.gradient(psi, spacing, axis=-1)
    return [u * np.gradient(w, spacing, axis=-1) + v * np.gradient(w, spacing, axis=-2) for w in (u, v)]


def filtered(path: Path, sigma: float, layers: tuple[int, ...] = ()) -> Filtered:
    """The run in a Zarr store, filtered by ``sigma`` metres, with the ``layers`` below that are asked for."""
    with xr.open_zarr(path) as run:
        spacing, dates = 1e3 * float(run.x[1] - run.x[0]), run.sizes["time"]
        kept = [torch.empty(dates, run.sizes["y"], run.sizes["x"]) for _ in range(3 + len(layers))]
        for start in range(0, dates, _BLOCK):
            block = slice(start, start + _BLOCK)
            psi = run.psi[block].values
            below = [forcing(psi[:, layer - 1], spacing, sigma)[0] for layer in layers]
            for whole, part in zip(kept, (*forcing(psi[:, 0], spacing, sigma), *below), strict=True):
                whole[block] = torch.from_numpy(part)
    return Filtered(kept[0], kept[1], kept[2], dict(zip(layers, kept[3:], strict=True)))


def basin_of(options: dict[str, Any], device: str) -> Basin:
    """The basin of plain options. Raises `InputError` for one that it does not have."""
    chosen: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in options.items()
    }
    try:
        return Basin(**chosen, dtype=torch.float32, device=device)
    except TypeError as reason:
        known = ", ".join(part.name for part in fields(Basin) if part.name not in ("dtype", "device"))
        raise InputError(f"basin: {reason}; its options are {known}") from reason


def run(
    path: Path, simulator: Basin, *, spin_up: int, days: int, every: int, state: State, quiet: bool
) -> State:
    """Spin a basin up from a state and write its next ``days`` to a Zarr store, one state ``every`` days.

    Gives the state after the spin-up. A store of the same run is taken as it is, and both parts go on where a
    run that was killed left them.
    """
    step = simulator.dt / 86400
    plan = json.dumps(
        {part.name: str(getattr(simulator, part.name)) for part in fields(simulator)}
        | {"from": float(state[0].double().square().sum()), "spin_up": spin_up, "days": days, "every": every}
    )
    held, done = path.with_suffix(".pt"), 0
    if held.exists():
        kept = torch.load(held, map_location=simulator.device, weights_only=True)
        if kept["plan"] == plan:
            done, state = kept["done"], tuple(kept["state"])
    with progress(f"spinning up {path.stem}", spin_up, quiet) as advance:
        advance(done)
        while done < spin_up:
            more = min(_EVERY, spin_up - done)
            state = simulator.advance(state, round(more / step))
            done += more
            with replace_atomically(held) as temporary:
                torch.save({"plan": plan, "done": done, "state": list(state)}, temporary)
            advance(more)
    if not (path.exists() and xr.open_zarr(path).attrs.get("plan") == plan):
        simulate(
            simulator,
            state,
            path,
            snapshots=days // every,
            every=round(every / step),
            plan={"plan": plan},
            attributes={"plan": plan},
            quiet=quiet,
        )
    return state


def parts(dates: int, shares: tuple[float, float, float], gap: int) -> tuple[slice, slice, slice]:
    """Dates to train, to validate and to test on, in the order of time, ``gap`` dates left out between them.

    Raises `InputError` where one would be empty.
    """
    ends = np.round(np.cumsum([0, *shares]) / sum(shares) * (dates + gap)).astype(int)
    made = [slice(int(start), int(end) - gap) for start, end in pairwise(ends)]
    if any(part.stop <= part.start for part in made):
        raise InputError(
            f"{dates} dates in parts of {shares} with {gap} left out between them leave a part empty; "
            "simulate more days"
        )
    return made[0], made[1], made[2]


def tiles(field: Tensor, stride: int = SIDE) -> Tensor:
    """The tiles of 40 x 40 points (batch, 1, 40, 40) of fields (date, y, x), one every ``stride`` points.

    Raises `InputError` where they do not cover the field.
    """
    return unfold(_covered(field, stride)[:, None], SIDE, stride=stride).mT.reshape(-1, 1, SIDE, SIDE)


def averaged(said: Tensor, shape: tuple[int, int], stride: int) -> Tensor:
    """Fields (date, y, x) of a ``shape`` from `tiles` of them: the mean of all tiles at each point."""
    count = ((shape[0] - SIDE) // stride + 1) * ((shape[1] - SIDE) // stride + 1)
    columns = said.reshape(-1, count, SIDE**2).mT
    total = fold(columns, shape, SIDE, stride=stride)[:, 0]
    return total / fold(torch.ones_like(columns[:1]), shape, SIDE, stride=stride)[:, 0]


def _covered(field: Tensor, stride: int) -> Tensor:
    shape = tuple(field.shape[-2:])
    if any(n < SIDE or (n - SIDE) % stride for n in shape):
        raise InputError(
            f"tiles of {SIDE} x {SIDE} points, one every {stride}, do not cover {shape[0]} x {shape[1]} "
            f"points; give the region {SIDE} points a side and a multiple of {stride} more"
        )
    return field


def changed(simulator: Basin, options: dict[str, float]) -> Basin:
    """The same basin but for some options. Raises `InputError` for one that it does not have."""
    try:
        return replace(simulator, **options)  # type: ignore[arg-type]
    except TypeError as reason:
        raise InputError(f"others: {reason}") from reason
