"""Along-track points to train and to score on: whole tracks are hidden, and targets are at points."""

from __future__ import annotations

import copy
import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from ...models.points import Corners, to_points
from ..holdout.calibration import Residuals, compute_covariates
from ..holdout.patterns import distance_and_age
from ..holdout.score_classes import Places
from ..holdout.splits import difficulty_weights
from ..io.field import Field
from ..io.points.gridding import Grid, bin_tracks
from ..io.points.tracks import Tracks
from ..io.transforms import find_offset
from .data import GapData, count_patches, place_patch
from .features import NetworkInputs, StaticFeatures, assemble_inputs
from .firstguess import Advance, Floats, Guess, make_masked_copy
from .heldout import DataSettings, Pairs
from .patches import PatchLoader

_log = logging.getLogger(__name__)
_FEWEST_TRACKS = 5  # of which two are held out, one to choose with and one to score on
_DROPPED = (0.2, 0.88)  # probability of each track of a date (DINCAE 2)


@dataclass(frozen=True)
class Targets:
    """Points that are hidden from network inputs (n,), in order of their dates."""

    date: Tensor
    at: Corners  # of the map of the date
    residual: Tensor  # truth minus guess over the guess's error
    variance: Tensor  # of the truth's own error, over the square of the guess's
    weight: Tensor

    def on(self, date: int) -> slice:
        """Return the points of a date."""
        first, last = torch.searchsorted(self.date, torch.tensor([date, date + 1])).tolist()
        return slice(first, last)

    def within(self, date: int, y: slice, x: slice, columns: int, most: int) -> tuple[Tensor, ...]:
        """Return residual, variance, weight (most,), cells, weights (most, 4) of points in a part of a map.

        Every patch of a batch has as many; those after the last point have no weight.
        """
        on = self.on(date)
        row, column = self.at.cell[on] // columns - y.start, self.at.cell[on] % columns - x.start
        inside = ((row >= 0) & (row < y.stop - y.start) & (column >= 0) & (column < x.stop - x.start)).all(1)
        local = row * (x.stop - x.start) + column
        made = []
        for part in (self.residual[on], self.variance[on], self.weight[on], local, self.at.weight[on]):
            padded = part.new_zeros(most, *part.shape[1:])
            padded[: int(inside.sum())] = part[inside]
            made.append(padded)
        return tuple(made)


class TrackData(GapData):
    """A field of gridded points, of which whole tracks are held out, or hidden in masked copies.

    Hiding a track empties every cell that it touches, other tracks' points included, so the first guess there
    does not use it. Residuals are at the points, from the guess and its error interpolated to them. A masked
    copy drops each track of random dates with a probability that is drawn for the date from 0.2 to 0.88, and
    shifts each of the others by up to ``jitter`` cells (DINCAE 2: Barth et al. 2022,
    doi:10.5194/gmd-15-2183-2022).
    """

    def __init__(
        self, tracks: Tracks, grid: Grid, settings: DataSettings | None = None, *, jitter: float = 0.5
    ) -> None:
        """Grid the tracks and set a fraction of them aside."""
        settings = settings or DataSettings()
        self.offset = find_offset(tracks.value)
        super().__init__(bin_tracks(tracks, grid, self.offset), replace(settings, held_out=0.0))
        at = grid.corners(tracks)
        used = (at.weight > 0).any(1).numpy()
        order = np.argsort(at.cell[used, 0].numpy(), kind="stable")  # by dates, as `Targets` has them
        self.tracks, self.grid, self.jitter = tracks.at(np.flatnonzero(used)[order]), grid, jitter
        self.at = grid.corners(self.tracks)
        self.date = self.at.cell[:, 0].numpy() // int(np.prod(grid.shape[1:]))  # (n,) number of each point's
        self.points = dict(zip(("validation", "test"), self._hold_out(settings.held_out), strict=True))
        self.points["held_out"] = self.points["validation"] | self.points["test"]
        self.validation, self.test = (self._find_cells(self.points[part]) for part in ("validation", "test"))

    def _hold_out(self, share: float) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Return (n,) the points of validation tracks and of test tracks, a fraction of all."""
        number = np.bincount(self.tracks.track)
        order = np.random.default_rng(self.seed).permutation(np.flatnonzero(number))
        lost = order[np.cumsum(number[order]) <= share * number.sum()]
        if share and len(lost) < 2:
            lost = order[:2] if len(order) >= _FEWEST_TRACKS else order[:0]
            if not len(lost):
                _log.warning("%d tracks are too few to hold some out: there is no score", len(order))
        return np.isin(self.tracks.track, lost[::2]), np.isin(self.tracks.track, lost[1::2])

    def _find_cells(self, points: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """(time, lat, lon) True at the cells that some of the points (n,) touch."""
        touched = np.zeros(self.grid.shape, bool)
        at = _select(self.at, points)
        touched.reshape(-1)[at.cell[at.weight > 0].numpy()] = True
        return touched

    def drop_tracks(self, rng: np.random.Generator) -> NDArray[np.bool_]:
        """(n,) True at the points of the tracks that a masked copy lacks; none of them is held out."""
        free = ~self.points["held_out"]
        chance = rng.uniform(*_DROPPED, self.grid.shape[0])
        # On so many dates that the wanted fraction of all points is hidden.
        chance[rng.random(len(chance)) > self.settings.hidden / np.mean(_DROPPED)] = 0
        drawn = rng.random(self.tracks.track.max() + 1)
        return free & (drawn[self.tracks.track] < chance[self.date])

    def prepare_trial(self, guess: Guess, whole: bool) -> None:
        """Make the first guess without the held-out values, and the targets at the held-out points."""
        super().prepare_trial(guess, whole)
        if self.held_out.any():
            self.targets = self._make_targets(self.points["held_out"], self.trial_guess, self.trial_error)

    def make_masked_copies(
        self, known: Sequence[Field], rng: np.random.Generator, advance: Advance
    ) -> list[NetworkInputs]:
        """Return the network inputs without some tracks; nothing where none is dropped."""
        assert self.kriging is not None
        lost = self.drop_tracks(rng)
        if not lost.any():
            return []
        kept = self.tracks.at(~lost & ~self.points["held_out"])
        shift = rng.uniform(-self.jitter, self.jitter, (2, self.tracks.track.max() + 1))[:, kept.track]
        lat, lon = (
            series + moved * np.abs(axis[1] - axis[0])
            for series, moved, axis in zip(
                (kept.lat, kept.lon), shift, (self.grid.lat, self.grid.lon), strict=True
            )
        )
        seen = bin_tracks(replace(kept, lat=lat, lon=lon), self.grid, self.offset)
        touched = self._find_cells(lost)
        made, guess, error = make_masked_copy(seen, touched, self.real, self.kriging, self.device, advance)
        self.masked_targets.append(self._make_targets(lost, guess, error))
        return [made]

    def setup(self, stage: str) -> None:
        """Prepare a stage, as for a field."""
        if "fit" not in self.ready:
            self.masked_targets: list[Targets] = []
        super().setup(stage)

    def pairs(self, part: str, mean: Floats, error: Floats) -> Pairs:
        """Return an estimate (time, lat, lon) of held-out points: "validation", "test" or all "held_out"."""
        which = self.points[part]
        known = "guess" in self.ready
        weight = self.targets.weight.numpy() if known else np.ones(np.count_nonzero(self.points["held_out"]))
        at = _select(self.at, which)
        return Pairs(
            _interpolate(mean, at),
            _interpolate(error, at),
            self.tracks.value[which] - self.offset,
            weight[which[self.points["held_out"]]],
            [self.tracks.track[which]],
        )

    def residuals(self, part: str, mean: Floats, error: Floats) -> Residuals:
        """Return residuals of an estimate at held-out points, with its covariates interpolated to them."""
        known = self.field.hide(self.held_out)
        return self._make_residuals(
            self.points[part], known, mean, error, self.pairs(part, mean, error).weight
        )

    def places(self, part: str) -> Places:
        """Return where and when the points of `pairs` are, to the nearest corner of the grid."""
        cell = self.at.cell[self.points[part], 0].numpy()
        date, place = np.divmod(cell, self.field.sea.size)
        found = distance_and_age(self.field.hide(self.held_out))
        distance, age = (one.reshape(-1)[cell] for one in found)
        lat, lon = (one.reshape(-1)[place] for one in (self.field.lat, self.field.lon))
        return Places(self.field.dates[date], lat, lon, distance, age)

    def residuals_under_clouds(self, known: Field, rng: np.random.Generator) -> Residuals | None:
        """Return residuals of the first guess at tracks that are dropped from the ``known`` values."""
        assert self.kriging is not None
        lost = self.drop_tracks(rng)
        if not lost.any():
            return None
        touched = self._find_cells(lost)
        seen = known.hide(touched)
        mean, error = self.kriging(seen, touched, device=self.device, advance=lambda cells: None)
        return self._make_residuals(
            lost,
            seen,
            mean,
            error,
            difficulty_weights(_interpolate(error, _select(self.at, lost)), self.real),
        )

    def _make_residuals(
        self, points: NDArray[np.bool_], seen: Field, mean: Floats, error: Floats, weight: Floats
    ) -> Residuals:
        at = _select(self.at, points)
        held = [_interpolate(trait, at) for trait in np.moveaxis(compute_covariates(seen, error), -1, 0)]
        return Residuals(
            np.abs(self.tracks.value[points] - self.offset - _interpolate(mean, at))
            / _interpolate(error, at),
            np.stack(held, axis=-1),
            weight,
            self.date[points],
        )

    def _make_targets(self, points: NDArray[np.bool_], guess: Floats, error: Floats) -> Targets:
        """Return the targets at some of the points (n,) for a guess and its error (time, lat, lon)."""
        at = _select(self.at, points)
        mean, sigma = _interpolate(guess, at), _interpolate(error, at)
        plane = self.grid.shape[1] * self.grid.shape[2]
        assert self.kriging is not None
        residual = (self.tracks.value[points] - self.offset - mean) / sigma
        own = float(self.kriging.scales.nugget) + self.tracks.error_variance[points]
        return Targets(
            torch.from_numpy(self.date[points]),
            Corners(at.cell % plane, at.weight.float()),
            residual=torch.from_numpy(residual.astype(np.float32)),
            variance=torch.from_numpy((own / sigma**2).astype(np.float32)),
            weight=torch.from_numpy(difficulty_weights(sigma, self.real)),
        )

    def make_members(self, number: int) -> list[GapData]:
        """Return the data of each member of an ensemble: seeds differ, and each omits one masked copy.

        All choose their epoch on the same tracks, which no member is trained on.
        """
        made: list[GapData] = []
        for k in range(number):
            member = copy.copy(self)
            member.settings = replace(self.settings, seed=self.seed + k)
            copies = len(self.masked_inputs)
            kept = [i for i in range(copies) if i != k % copies or copies == 1]
            member.masked_inputs = [self.masked_inputs[i] for i in kept]
            member.masked_targets = [self.masked_targets[i] for i in kept]
            made.append(member)
        return made

    def train_dataloader(self) -> DataLoader[Any]:
        """Return batches (inputs, residual, variance, weight, cells, their weights) around hidden points."""
        patches = TrackPatches(
            self.masked_inputs, self.masked_targets, self.features, self.window, self.patch, self.seed
        )
        return PatchLoader(patches, self.settings.batch)

    def val_dataloader(self) -> DataLoader[Any]:
        """Return (inputs, residual, weight, cells, their weights) of dates with validation tracks."""
        return self._load_dates("validation")

    def test_dataloader(self) -> DataLoader[Any]:
        """Return (inputs, residual, weight, cells, their weights) of dates with test tracks."""
        return self._load_dates("test")

    def _load_dates(self, part: str) -> DataLoader[Any]:
        counted = torch.from_numpy(self.points[part][self.points["held_out"]])
        targets = replace(self.targets, weight=self.targets.weight * counted)
        return DataLoader(TrackDates(self.trial, targets, self.features, self.window), batch_size=1)


def _select(at: Corners, points: NDArray[np.bool_]) -> Corners:
    """The corners of some of the points (n,)."""
    return Corners(*(part[torch.from_numpy(points)] for part in at))


def _interpolate(maps: Floats, at: Corners) -> NDArray[np.float64]:
    """Return maps (time, lat, lon) at points; missing values, as on land, have no weight there."""
    return to_points(torch.from_numpy(np.nan_to_num(maps)).double().flatten(), at).numpy()


class TrackPatches(Dataset[tuple[Tensor, ...]]):
    """Random patches around hidden points, one for each number."""

    def __init__(
        self,
        masked_inputs: list[NetworkInputs],
        targets: list[Targets],
        static: StaticFeatures,
        window: int,
        size: int,
        seed: int = 0,
    ) -> None:
        """Cut patches of ``size`` cells to a side, or as large as the domain."""
        self.masked_inputs, self.static, self.window, self.seed = masked_inputs, static, window, seed
        # Weight 1 each: with difficulty weights a few hidden values would dominate.
        self.targets = [replace(held, weight=torch.ones_like(held.weight)) for held in targets]
        self.shape = masked_inputs[0].anomaly.shape[-2:]
        self.size = min(size, self.shape[0]), min(size, self.shape[1])
        self.most = max(int(torch.bincount(held.date).max()) for held in targets)
        self.dates = [(i, date) for i, held in enumerate(targets) for date in held.date.unique().tolist()]

    def __len__(self) -> int:
        return count_patches(len(self.dates))

    def __getitem__(self, item: int) -> tuple[Tensor, ...]:
        # Hashed: generators of neighbouring seeds begin alike.
        rng = np.random.default_rng((self.seed, item))
        index, date = self.dates[rng.integers(len(self.dates))]
        targets, columns = self.targets[index], self.shape[1]
        on = targets.on(date)
        centre = divmod(int(targets.at.cell[rng.integers(on.start, on.stop), 0]), columns)
        y, x = place_patch(centre, self.size, self.shape, rng)
        inputs = assemble_inputs(self.masked_inputs[index], self.static, date, self.window, y, x)
        return inputs, *targets.within(date, y, x, columns, self.most)


class TrackDates(Dataset[tuple[Tensor, ...]]):
    """Whole dates and the hidden points that have a weight."""

    def __init__(self, known: NetworkInputs, targets: Targets, static: StaticFeatures, window: int) -> None:
        """Take the dates on which some of the ``targets`` have a weight."""
        self.known, self.targets, self.static, self.window = known, targets, static, window
        self.dates = targets.date[targets.weight > 0].unique().tolist()

    def __len__(self) -> int:
        return len(self.dates)

    def __getitem__(self, item: int) -> tuple[Tensor, ...]:
        date = self.dates[item]
        rows, columns = self.known.anomaly.shape[-2:]
        y, x = slice(0, rows), slice(0, columns)
        on = self.targets.on(date)
        inputs = assemble_inputs(self.known, self.static, date, self.window, y, x)
        residual, _, *others = self.targets.within(date, y, x, columns, on.stop - on.start)
        return inputs, residual, *others
