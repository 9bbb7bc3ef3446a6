"""The pool that a general network is trained on: synthetic seas with their first guess, one file a sea."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray

from ...classical.optimal_interpolation import fit_covariance
from ...errors import InputError
from ...io.field import Field, grid_spacing, open_field
from ...io.workers import start_workers
from ...io.writing import replace_atomically
from ...progress import progress
from ..features import NetworkInputs, StaticFeatures, describe_scales, make_network_inputs, spread_scales
from ..firstguess import measure_spread

_log = logging.getLogger(__name__)

VALIDATION_SEED = 1_000_000  # from here on seeds are of seas that no network is trained on
_SINGLE = 0.06  # share of the seas of which one map is kept
_MOST_VALUES, _MOST_CELLS, _FEWEST_DATES = 50_000, 64, 8  # in all and to a side: many small seas teach more
_LONG = 0.6  # share of the large seas that keep all their dates, and less of the map
_PARTS = ("anomaly", "log_error", "residual", "variance")

DrawSea = Callable[..., xr.Dataset]  # as `simulators.seas.draw_sea`


@dataclass(frozen=True)
class Sea:
    """A sea of the pool: its network inputs, in half precision, and what is known of it."""

    known: NetworkInputs  # the residuals are those of the truth in all gaps at sea
    static: StaticFeatures
    family: str

    @property
    def dates(self) -> NDArray[np.intp]:
        """The dates with a residual."""
        return np.flatnonzero(np.isfinite(self.known.residual[0].numpy()).any(axis=(1, 2)))


def make_pool(
    folder: str | Path,
    families: Sequence[str],
    seeds: Sequence[int],
    draw: DrawSea,
    *,
    n_workers: int = 1,
    quiet: bool = True,
) -> None:
    """Make the seas of these ``seeds``, the families in turn; those that are there already are kept.

    A sea is drawn by ``draw(seed, family=...)``. One that cannot be filled is left out, and its file is empty
    of arrays.
    """
    Path(folder).mkdir(parents=True, exist_ok=True)
    wanted = [(families[seed % len(families)], seed) for seed in seeds]
    missing = [one for one in wanted if not name_sea(folder, *one).exists()]
    with progress("seas", len(missing), quiet) as advance, start_workers(n_workers=n_workers) as run:
        for _ in run(partial(_make_file, str(folder), draw), missing):
            advance(1)


def name_sea(folder: str | Path, family: str, seed: int) -> Path:
    """Return the file of a sea."""
    return Path(folder) / f"{family}-{seed}.npz"


def find_family(path: Path) -> str:
    """Return the family of a sea from the name of its file."""
    return path.stem.rpartition("-")[0]


def list_seas(folder: str | Path, validation: bool, most: int | None = None) -> list[Path]:
    """Return the files of the seas to train on, or of those for validation; at most so many of a family."""
    found: dict[str, list[tuple[int, Path]]] = {}
    for path in sorted(Path(folder).glob("[!.]*-*.npz")):
        family, seed = find_family(path), path.stem.rpartition("-")[2]
        if (int(seed) >= VALIDATION_SEED) == validation:
            found.setdefault(family, []).append((int(seed), path))
    return [path for family in sorted(found) for _, path in sorted(found[family])[:most]]


def make_sea(dataset: xr.Dataset, seed: int = 0) -> dict[str, NDArray[np.generic]]:
    """Return the arrays of a sea of the pool from ``observed``, ``truth`` and ``mask`` of a synthetic one.

    The first guess is fitted to what is observed, as in a fill. Raises `InputError` for a sea that cannot be
    filled.
    """
    field = open_field(dataset, variable="observed", mask_variable="mask", time_step="none")
    return guess_gaps(field, _align_truth(dataset["truth"], field), seed)


def guess_gaps(field: Field, truth: NDArray[np.float32], seed: int = 0) -> dict[str, NDArray[np.generic]]:
    """Return the arrays of a sea of the pool from a field and the ``truth`` (time, lat, lon) in its gaps."""
    kriging = fit_covariance(field, seed=seed)
    missing = field.sea & ~field.observed
    guess, error = kriging(field, missing)
    mean = kriging.mean(field)
    hidden = np.where(missing, truth, np.nan)
    noise, spread = float(kriging.scales.nugget), measure_spread(field, mean)
    known = make_network_inputs(field, mean, guess, error, noise, spread, hidden)
    step, *sides = grid_spacing(field)
    return {
        **{name: getattr(known, name)[0].numpy().astype(np.float16) for name in _PARTS},
        "sea": field.sea,
        "steps": field.days / step,
        "numbers": describe_scales(kriging.scales, float(np.mean(sides)), step),
    }


def read_sea(path: str | Path) -> Sea | None:
    """Return a sea of the pool, or None for one that could not be filled."""
    with np.load(path, allow_pickle=False) as kept:
        if "sea" not in kept:
            return None
        parts = {name: torch.from_numpy(kept[name][None]) for name in _PARTS}
        static = spread_scales(kept["numbers"], kept["sea"], kept["steps"])
    known = NetworkInputs(**parts, weight=torch.isfinite(parts["residual"]))
    return Sea(known, static, find_family(Path(path)))


def write_sea(path: str | Path, arrays: Mapping[str, NDArray[np.generic]]) -> None:
    """Write the arrays of a sea, or none. Atomic."""
    with replace_atomically(path) as temporary, temporary.open("wb") as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]  # its stubs take the keyword for allow_pickle


def _make_file(folder: str, draw: DrawSea, wanted: tuple[str, int]) -> None:
    """Draw a sea and write its file, in this process or in that of a worker."""
    family, seed = wanted
    rng = np.random.default_rng((seed, 1))
    try:
        dataset = _cut(draw(seed, family=family), rng)
        if rng.random() < _SINGLE:
            dataset = _keep_one_map(dataset, rng)
        made = make_sea(dataset, seed)
    except InputError as reason:
        _log.info("the sea %d of the family %s is left out: %s", seed, family, reason)
        made = {}
    write_sea(name_sea(folder, family, seed), made)


def _cut(dataset: xr.Dataset, rng: np.random.Generator) -> xr.Dataset:
    """Return a part of a large sea, somewhere in it, whose first guess takes seconds."""
    dates, rows, columns = (dataset.sizes[name] for name in ("time", "lat", "lon"))
    side = int((_MOST_VALUES / dates) ** 0.5) if rng.random() < _LONG else _MOST_CELLS
    rows, columns = min(rows, side), min(columns, side)
    sizes = {"time": min(dates, max(_FEWEST_DATES, _MOST_VALUES // (rows * columns)))}
    sizes |= {"lat": rows, "lon": columns}
    corners = {name: int(rng.integers(dataset.sizes[name] - size + 1)) for name, size in sizes.items()}
    return dataset.isel({name: slice(start, start + sizes[name]) for name, start in corners.items()})


def _keep_one_map(dataset: xr.Dataset, rng: np.random.Generator) -> xr.Dataset:
    """Return one date of a sea, with gaps and with enough values to fill them; all dates if none has both."""
    share = dataset["observed"].notnull().sum(("lat", "lon")) / dataset["mask"].sum()
    fit = np.flatnonzero((share > 0.1) & (share < 0.95))
    return dataset.isel(time=[rng.choice(fit)]) if len(fit) else dataset


def _align_truth(truth: xr.DataArray, field: Field) -> NDArray[np.float32]:
    """Return the truth (time, lat, lon) on the cells and dates of a field, in the space of its values."""
    values = truth.reindex_like(field.source).transpose(*field.dims).to_numpy()
    taken = np.isfinite(values) & field.space.can_take(np.nan_to_num(values))
    found = np.full(values.shape, np.nan, np.float32)
    found[taken] = field.space.forward(values[taken])
    return found
