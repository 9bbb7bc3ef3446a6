"""The data of a network of currents: the first guess of u and v, held-out velocities, masked copies."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import block_array, coo_array, diags_array, eye_array, kron, vstack
from scipy.sparse.linalg import splu
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from ...models.projection import Grid
from ..classical.vector_kriging import VectorKriging, fit_vector_covariance, hide_radials
from ..errors import InputError
from ..holdout.splits import difficulty_weights, split_hidden
from ..io.radials import Radials
from ..progress import EXAMPLES, FIT, GUESS, progress
from ..settings import check_seed
from .data import choose_window

_log = logging.getLogger(__name__)
Floats = NDArray[np.float32]

EACH = 5  # channels of a date: u, v, the logarithms of two errors, a correlation
_LEAST_ERROR = 1e-3  # of the spread
_PULL = 1e-6  # of a stream function towards zero, which makes it unique


@dataclass(frozen=True)
class RadialSettings:
    """How radial velocities become the data that a network is trained, validated and tested on."""

    batch: int = 4  # dates
    masked_copies: int = 3  # of the record, to train on
    hidden: float = 0.2  # fraction of the velocities that each masked copy hides
    held_out: float = 0.1  # fraction that is kept for validation and test
    seed: int = 0
    device: str = "cpu"  # of the first guess
    quiet: bool = True

    def __post_init__(self) -> None:
        check_seed(self.seed)


@dataclass(frozen=True)
class VectorInputs:
    """A current under some gaps, in units of its ``spread``; a guess of zero and an error of one on land."""

    guess: Tensor  # (time, 2, lat, lon)
    factor: Tensor  # (time, 3, lat, lon) Cholesky factor of its error's covariance: `models.projection`
    radial: Tensor  # (time, station, lat, lon) hidden velocities, zero elsewhere
    noise: Tensor  # (time, station, lat, lon) error variance of the velocities
    weight: Tensor  # (time, station, lat, lon) one where a velocity is hidden


def make_vector_inputs(
    radials: Radials,
    current: Floats,
    nugget: float,
    spread: float,
    hidden: NDArray[np.bool_] | None = None,
) -> VectorInputs:
    """Return the inputs with a first guess (5, time, lat, lon) of `VectorKriging` without the ``hidden``."""
    weight = np.zeros(radials.values.shape, np.float32) if hidden is None else hidden.astype(np.float32)
    parts = (
        np.where(radials.sea, current[:2], 0).swapaxes(0, 1) / spread,
        factorise(current[2:], spread, radials.sea),
        np.where(weight > 0, radials.values, 0) / spread,
        (radials.error_variance + nugget) / spread**2,
        weight,
    )
    return VectorInputs(*(torch.from_numpy(part.astype(np.float32)) for part in parts))


def factorise(covariance: Floats, spread: float, sea: NDArray[np.bool_]) -> Floats:
    """Return the Cholesky factor (time, 3, lat, lon) of var(u), var(v) and cov(u, v) (3, time, lat, lon).

    It is in units of the ``spread``, and the identity on land.
    """
    uu, vv, uv = np.where(sea, covariance / spread**2, np.array([1, 1, 0]).reshape(3, 1, 1, 1))
    first = np.sqrt(uu.clip(min=_LEAST_ERROR**2))
    below = uv / first
    second = np.sqrt((vv - below**2).clip(min=_LEAST_ERROR**2))
    return np.stack([first, below, second], 1).astype(np.float32)


def compute_moments(inputs: VectorInputs, spread: float, sea: NDArray[np.bool_]) -> Floats:
    """Return (5, time, lat, lon) u, v, var(u), var(v) and cov(u, v) of a guess, NaN on land."""
    first, below, second = inputs.factor.numpy().swapaxes(0, 1) * spread
    u, v = inputs.guess.numpy().swapaxes(0, 1) * spread
    found = np.stack([u, v, first**2, below**2 + second**2, first * below])
    return np.where(sea, found, np.float32(np.nan))


def project_current(radials: Radials, current: Floats) -> tuple[Floats, Floats]:
    """Return velocity and error variance (time, station, lat, lon) in each station's directions."""
    east, north = radials.towards.swapaxes(0, 1)
    u, v, uu, vv, uv = current[:, :, None]
    return u * east + v * north, uu * east**2 + vv * north**2 + 2 * uv * east * north


def weigh_held_out(radials: Radials, trial: Floats, full: Floats, held: NDArray[np.bool_]) -> Floats:
    """Return weights (time, station, lat, lon) with which held-out velocities are as difficult as the gaps.

    The difficulty is the error of the guess along the directions, made without them (``trial``) and with all
    velocities (``full``); the gaps are each station's component where it has a direction and no velocity.
    Without weights, velocities that another station observes as well would count most.
    """
    unseen = np.isnan(radials.values) & radials.towards.any(axis=1) & radials.sea
    error, real = (np.sqrt(project_current(radials, one)[1]) for one in (trial, full))
    weight = np.zeros(held.shape, np.float32)
    weight[held] = difficulty_weights(error[held], real[unseen])
    return weight


def count_channels(window: int) -> int:
    """Return the number of input channels for a ``window`` of dates, with the sea mask."""
    return EACH * window + 1


class RadialData:
    """Radial velocities with their hold-out, the first guess of the current, and masked copies.

    The first guess is optimal interpolation. With a ``flow`` "stream-function" it is made non-divergent.
    ``kriging`` is one that was fitted before.
    """

    def __init__(
        self,
        radials: Radials,
        settings: RadialSettings | None = None,
        flow: str = "free",
        kriging: VectorKriging | None = None,
    ) -> None:
        """Set the held-out velocities aside."""
        self.radials, self.settings, self.flow = radials, settings or RadialSettings(), flow
        self.window = choose_window(radials.stations[0])
        self._rng = np.random.default_rng(self.settings.seed)
        held = np.zeros(radials.values.shape, bool)
        if self.settings.held_out:
            held = hide_radials(radials, self.settings.held_out, self._rng)
        # All stations together, or the validation date of one would be the test date of another.
        each = [held[:, number] for number in range(len(radials.stations))]
        pairs = split_hidden(each, len(each), radials.stations[0].days)
        self.validation, self.test = (np.stack(part, 1) for part in zip(*pairs, strict=True))
        self.masked_inputs: list[VectorInputs] = []
        self.ready: set[str] = set()
        if kriging is not None:
            self.kriging = kriging

    @property
    def held_out(self) -> NDArray[np.bool_]:
        """(time, station, lat, lon) True at all held-out velocities."""
        return self.validation | self.test

    @property
    def grid(self) -> Grid | None:
        """The derivatives on the grid, for a flow that needs them."""
        return None if self.flow == "free" else make_regular_grid(self.radials)

    @property
    def towards(self) -> Tensor:
        """(station, 2, lat, lon) unit vectors of the stations' directions."""
        return torch.from_numpy(self.radials.towards)

    def describe(self) -> dict[str, Any]:
        """Return, as plain data, what a network that is trained on these data must be given again."""
        source = self.radials.stations[0].source
        return {
            "variables": [str(source.name)],
            "units": [str(source.attrs.get("units", ""))],
            "flow": self.flow,
            "window": self.window,
        }

    def setup(self, stage: str) -> None:
        """Make the first guess with and without the held-out velocities, and for "fit" the masked copies."""
        if "guess" not in self.ready:
            self._fit_guess()
        if stage != "fit" or "fit" in self.ready:
            return
        known = self.radials.hide(self.held_out)
        for _ in range(self.settings.masked_copies):
            hidden = hide_radials(known, self.settings.hidden, self._rng)
            if hidden.any():
                self.masked_inputs.append(self._guess(known.hide(hidden), hidden, EXAMPLES))
        self.ready.add("fit")

    def _fit_guess(self) -> None:
        known = self.radials.hide(self.held_out)
        if not hasattr(self, "kriging"):
            self.kriging = self._fit_kriging(known)
        self.nugget = float(self.kriging.scales.nugget)
        self.spread = float(sum(part.sill for part in self.kriging.scales.components)) ** 0.5
        self.full = self._guess(self.radials)
        self.trial = self._guess(known, self.held_out) if self.held_out.any() else self.full
        self.noise = self.radials.error_variance + self.nugget
        trial, full = (self.compute_moments(inputs) for inputs in (self.trial, self.full))
        self.weight = weigh_held_out(self.radials, trial, full, self.held_out)
        self.ready.add("guess")

    def _fit_kriging(self, known: Radials) -> VectorKriging:
        settings = self.settings
        with progress(FIT, None, settings.quiet, FIT):
            kriging = fit_vector_covariance(
                known,
                divergent=self.flow != "stream-function",
                seed=settings.seed,
                device=settings.device,
            )
        _log.info(
            "fitted covariance: %s; %.0f%% of the variance is non-divergent",
            kriging.scales.describe(str(known.stations[0].source.attrs.get("units", ""))),
            100 * kriging.share,
        )
        return kriging

    def _guess(
        self, seen: Radials, hidden: NDArray[np.bool_] | None = None, stage: str = GUESS
    ) -> VectorInputs:
        """Return the inputs with the first guess from ``seen``, which lacks the ``hidden`` velocities."""
        settings, radials = self.settings, self.radials
        cells = int(radials.sea.sum()) * radials.shape[0]
        with progress(stage, cells, settings.quiet, stage) as advance:
            current = self.kriging(seen, device=settings.device, advance=advance)
        made = make_vector_inputs(radials, current, self.nugget, self.spread, hidden)
        grid = self.grid
        return remove_divergence(made, grid, radials.sea) if grid and self.flow == "stream-function" else made

    def compute_moments(self, inputs: VectorInputs) -> Floats:
        """Return (5, time, lat, lon) u, v and their covariance in the units of the record, NaN on land."""
        return compute_moments(inputs, self.spread, self.radials.sea)

    def train_dataloader(self) -> DataLoader[Any]:
        """Return batches of whole dates of the masked copies."""
        dates = VectorDates(self.masked_inputs, self.radials.sea, self.window)
        return DataLoader(dates, batch_size=self.settings.batch, shuffle=True)

    def val_dataloader(self) -> DataLoader[Any]:
        """Return whole dates with the validation velocities."""
        return self._load_held_out(self.validation)

    def test_dataloader(self) -> DataLoader[Any]:
        """Return whole dates with the test velocities."""
        return self._load_held_out(self.test)

    def predict_dataloader(self) -> DataLoader[Any]:
        """Return every date, with all velocities."""
        return self._load_all(self.full)

    def trial_dataloader(self) -> DataLoader[Any]:
        """Return every date, without the held-out velocities."""
        return self._load_all(self.trial)

    def _load_held_out(self, where: NDArray[np.bool_]) -> DataLoader[Any]:
        trial = replace(self.trial, weight=torch.from_numpy(self.weight))
        return DataLoader(VectorDates([trial], self.radials.sea, self.window, where))

    def _load_all(self, inputs: VectorInputs) -> DataLoader[Any]:
        every = replace(inputs, weight=torch.zeros_like(inputs.weight))
        return DataLoader(VectorDates([every], self.radials.sea, self.window))


class VectorDates(Dataset[tuple[Tensor, ...]]):
    """Whole dates: the network inputs, and guess, factor, radial, noise and weight.

    ``where`` (time, station, lat, lon) limits dates and weights; it needs a single set of inputs.
    """

    def __init__(
        self,
        masked_inputs: Sequence[VectorInputs],
        sea: NDArray[np.bool_],
        window: int,
        where: NDArray[np.bool_] | None = None,
    ) -> None:
        """Take the dates with hidden velocities, or all where nothing is hidden."""
        if where is not None:
            only = masked_inputs[0]
            masked_inputs = [replace(only, weight=only.weight * torch.from_numpy(where))]
        self.masked_inputs, self.window = masked_inputs, window
        self.sea = torch.from_numpy(sea.astype(np.float32))
        self.dates = [
            (number, date)
            for number, one in enumerate(masked_inputs)
            for date in range(len(one.weight))
            if one.weight[date].any() or not one.weight.any()
        ]

    def __len__(self) -> int:
        return len(self.dates)

    def __getitem__(self, item: int) -> tuple[Tensor, ...]:
        number, date = self.dates[item]
        one = self.masked_inputs[number]
        first, below, second = one.factor.unbind(1)
        error = torch.hypot(below, second)
        every = [*one.guess.unbind(1), first.log(), error.log(), below / error]
        made = torch.zeros(count_channels(self.window), *self.sea.shape)
        for place, other in enumerate(range(date - self.window // 2, date + self.window // 2 + 1)):
            if 0 <= other < len(one.guess):  # before the first and after the last date the error is one
                made[EACH * place : EACH * (place + 1)] = torch.stack([part[other] for part in every])
        made[-1] = self.sea
        parts = (one.guess, one.factor, one.radial, one.noise, one.weight)
        return made, *(part[date] for part in parts)


def make_regular_grid(radials: Radials) -> Grid:
    """Return the derivatives on the grid. Raises `InputError` for one that is not regular in degrees."""
    lat, lon = radials.stations[0].lat, radials.stations[0].lon
    if min(lat.shape) < 2 or np.ptp(lat, axis=1).max() > 1e-6 or np.ptp(lon, axis=0).max() > 1e-6:
        raise InputError(
            "the grid of the radial velocities is not regular in degrees, as divergence and stream functions "
            "need it here; leave out flow="
        )
    return Grid(*(torch.tensor(axis, dtype=torch.float32) for axis in (lat[:, 0], lon[0])))


def remove_divergence(inputs: VectorInputs, grid: Grid, sea: NDArray[np.bool_]) -> VectorInputs:
    """Return the inputs with the nearest flow of a stream function as the guess, in units of its error."""
    (found,) = find_nearest_flow(inputs.guess.numpy()[None], inputs.factor.numpy(), grid, sea)
    return replace(inputs, guess=torch.from_numpy(found))


def find_nearest_flow(currents: Floats, factor: Floats, grid: Grid, sea: NDArray[np.bool_]) -> Floats:
    """Find the flows of stream functions that are nearest to n currents (n, time, 2, lat, lon).

    The distance is in units of an error with the Cholesky ``factor`` (time, 3, lat, lon); zero on land.
    """
    at = np.flatnonzero(sea)
    flow = _build_rotation(grid).tocsr()[np.concatenate([at, sea.size + at])]
    found = np.zeros_like(currents)
    for date, (first, below, second) in enumerate(factor[:, :, sea].astype(np.float64)):
        inverse = block_array(
            [[diags_array(1 / first), None], [diags_array(-below / first / second), diags_array(1 / second)]]
        )
        left = inverse @ flow
        square = left.T @ left
        held = diags_array(np.full(sea.size, _PULL * np.median(square.diagonal())))
        wanted = currents[:, date][..., sea].reshape(len(currents), -1).T
        psi = splu((square + held).tocsc()).solve(left.T @ (inverse @ wanted))
        found[:, date][..., sea] = (flow @ psi).T.reshape(len(currents), 2, -1)
    return found


def _build_rotation(grid: Grid) -> Any:
    """(2 cells, cells) u and v of a stream function, by the differences of the grid, in units of its rows."""
    north = torch.gradient(torch.eye(len(grid.northward)), spacing=(grid.northward,), dim=(0,))[0]
    east = torch.gradient(torch.eye(len(grid.eastward)), spacing=(grid.eastward,), dim=(0,))[0]
    rows, columns = (grid.row_spacing * part.double().numpy() for part in (north, east))
    across = diags_array(1 / grid.latitude[:, 0].double().numpy())
    return vstack([-kron(coo_array(rows), eye_array(len(columns))), kron(across, coo_array(columns))])
