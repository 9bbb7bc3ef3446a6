"""Filtered basin simulations for the experiments after Bolton and Zanna 2019 (doi:10.1029/2018MS001472).

A simulation is spun up, stored every few days and filtered; dates are split into parts, fields into tiles.
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
Region = tuple[int, int, int, int]  # first point and number of points northwards, then eastwards

_TRUNCATION = 4.0  # of the filter, in standard deviations
_BLOCK = 32  # dates that are filtered together
_CHECKPOINT = 50  # days of the spin-up after which its state is saved


@dataclass(frozen=True)
class FilteredRun:
    """Filtered fields (date, y, x) of a run, on the fine grid."""

    psi: Tensor  # stream function of the top layer, in m2 s-1
    x: Tensor  # eastward subfilter momentum forcing in the top layer, in m s-2
    y: Tensor  # northward
    deeper: dict[int, Tensor]  # stream functions of lower layers, by layer number from the top

    def select(self, dates: slice, region: Region) -> FilteredRun:
        """Select dates and a region of the basin."""
        south, tall, west, wide = region
        part = (dates, slice(south, south + tall), slice(west, west + wide))
        deeper = {layer: psi[part] for layer, psi in self.deeper.items()}
        return FilteredRun(self.psi[part], self.x[part], self.y[part], deeper)


def compute_forcing(psi: Floats, spacing: float, sigma: float) -> tuple[Floats, Floats, Floats]:
    """Compute the filtered stream function and S_x, S_y (..., y, x) of one at all points of a basin.

    S = (u_bar . grad) u_bar - bar((u . grad) u), with central differences and a Gaussian filter of standard
    deviation ``sigma``, in metres as ``spacing``. Beyond the walls the flow is that of image vortices, as for
    free slip, so filter and derivative commute there too. Raises `InputError` for a filter wider than the
    basin.
    """
    width = int(_TRUNCATION * sigma / spacing + 0.5) + 3
    if width >= psi.shape[-1]:
        raise InputError(f"a filter of {sigma / 1e3:g} km is too wide for {psi.shape[-1]} points")
    edges = [(0, 0)] * (psi.ndim - 2) + [(width, width)] * 2
    extended = np.pad(psi.astype(np.float64), edges, mode="reflect", reflect_type="odd")

    def smooth(values: Floats) -> Floats:
        return gaussian_filter(values, sigma / spacing, truncate=_TRUNCATION, axes=(-2, -1))

    smoothed = smooth(extended)
    inside = (..., slice(width, -width), slice(width, -width))
    s_x, s_y = (
        (coarse - smooth(fine))[inside]
        for coarse, fine in zip(
            _compute_advection(smoothed, spacing), _compute_advection(extended, spacing), strict=True
        )
    )
    return smoothed[inside], s_x, s_y


def _compute_advection(psi: Floats, spacing: float) -> list[Floats]:
    """Compute u u_x + v u_y and u v_x + v v_y."""
    u, v = -np.gradient(psi, spacing, axis=-2), np.gradient(psi, spacing, axis=-1)
    return [u * np.gradient(w, spacing, axis=-1) + v * np.gradient(w, spacing, axis=-2) for w in (u, v)]


def filter_run(path: Path, sigma: float, layers: tuple[int, ...] = ()) -> FilteredRun:
    """Filter the run in a Zarr store by ``sigma`` metres, with the lower ``layers`` requested."""
    with xr.open_zarr(path) as run:
        spacing, dates = 1e3 * float(run.x[1] - run.x[0]), run.sizes["time"]
        outputs = [torch.empty(dates, run.sizes["y"], run.sizes["x"]) for _ in range(3 + len(layers))]
        for start in range(0, dates, _BLOCK):
            block = slice(start, start + _BLOCK)
            psi = run.psi[block].values
            deeper = [compute_forcing(psi[:, layer - 1], spacing, sigma)[0] for layer in layers]
            filtered = (*compute_forcing(psi[:, 0], spacing, sigma), *deeper)
            for output, part in zip(outputs, filtered, strict=True):
                output[block] = torch.from_numpy(part)
    psi, x, y, *below = outputs
    return FilteredRun(psi, x, y, dict(zip(layers, below, strict=True)))


def build_basin(options: dict[str, Any], device: str) -> Basin:
    """Build a basin from plain options. Raises `InputError` for an unknown option."""
    values: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in options.items()
    }
    try:
        return Basin(**values, dtype=torch.float32, device=device)
    except TypeError as reason:
        known = ", ".join(part.name for part in fields(Basin) if part.name not in ("dtype", "device"))
        raise InputError(f"basin: {reason}; its options are {known}") from reason


def change_basin(basin: Basin, options: dict[str, float]) -> Basin:
    """Copy a basin with other values of some options. Raises `InputError` for an unknown option."""
    try:
        return replace(basin, **options)  # type: ignore[arg-type]
    except TypeError as reason:
        raise InputError(f"others: {reason}") from reason


def simulate_basin(
    path: Path, basin: Basin, *, spin_up: int, days: int, every: int, state: State, quiet: bool
) -> State:
    """Spin a basin up from a state and store the following ``days``, one state every ``every`` days.

    Returns the state after the spin-up. The Zarr store of the same run is reused; an interrupted run
    continues, both in the spin-up and after it.
    """
    step = basin.dt / 86400
    plan = json.dumps(
        {part.name: str(getattr(basin, part.name)) for part in fields(basin)}
        | {"from": float(state[0].double().square().sum()), "spin_up": spin_up, "days": days, "every": every}
    )
    checkpoint, done = path.with_suffix(".pt"), 0
    if checkpoint.exists():
        saved = torch.load(checkpoint, map_location=basin.device, weights_only=True)
        if saved["plan"] == plan:
            done, state = saved["done"], tuple(saved["state"])
    with progress(f"spinning up {path.stem}", spin_up, quiet) as advance:
        advance(done)
        while done < spin_up:
            more = min(_CHECKPOINT, spin_up - done)
            state = basin.advance(state, round(more / step))
            done += more
            with replace_atomically(checkpoint) as temporary:
                torch.save({"plan": plan, "done": done, "state": list(state)}, temporary)
            advance(more)
    if not (path.exists() and xr.open_zarr(path).attrs.get("plan") == plan):
        simulate(
            basin,
            state,
            path,
            snapshots=days // every,
            every=round(every / step),
            plan={"plan": plan},
            attributes={"plan": plan},
            quiet=quiet,
        )
    return state


def split_dates(dates: int, shares: tuple[float, float, float], gap: int) -> tuple[slice, slice, slice]:
    """Split dates into training, validation and test parts in order of time, ``gap`` dates apart.

    Raises `InputError` if a part would be empty.
    """
    ends = np.round(np.cumsum([0, *shares]) / sum(shares) * (dates + gap)).astype(int)
    parts = [slice(int(start), int(end) - gap) for start, end in pairwise(ends)]
    if any(part.stop <= part.start for part in parts):
        raise InputError(
            f"{dates} dates split as {shares} with gaps of {gap} leave a part empty; simulate more days"
        )
    return parts[0], parts[1], parts[2]


def cut_tiles(field: Tensor, stride: int = SIDE) -> Tensor:
    """Cut fields (date, y, x) into tiles (batch, 1, 40, 40), one every ``stride`` points.

    Raises `InputError` if they do not cover the field.
    """
    shape = tuple(field.shape[-2:])
    if any(n < SIDE or (n - SIDE) % stride for n in shape):
        raise InputError(
            f"tiles of {SIDE} x {SIDE} points, one every {stride}, do not cover {shape[0]} x {shape[1]} "
            f"points; make each side of the region {SIDE} points plus a multiple of {stride}"
        )
    return unfold(field[:, None], SIDE, stride=stride).mT.reshape(-1, 1, SIDE, SIDE)


def merge_tiles(tiles: Tensor, shape: tuple[int, int], stride: int) -> Tensor:
    """Merge tiles of `cut_tiles` into fields (date, y, x) of a ``shape``, averaging where they overlap."""
    count = ((shape[0] - SIDE) // stride + 1) * ((shape[1] - SIDE) // stride + 1)
    columns = tiles.reshape(-1, count, SIDE**2).mT
    total = fold(columns, shape, SIDE, stride=stride)[:, 0]
    return total / fold(torch.ones_like(columns[:1]), shape, SIDE, stride=stride)[:, 0]
