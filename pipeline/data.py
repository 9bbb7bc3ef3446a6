"""What a gap-filling network is trained, validated and run on."""

from __future__ import annotations

import copy
import logging
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, distributed
from torch.utils.data import DataLoader, Dataset, DistributedSampler

from .calibration import Misses, misses
from .classical.optimal_interpolation import fit as fit_kriging
from .errors import InputError
from .features import Scene, Surroundings, channels, inputs, surroundings
from .field import Field, open_field
from .firstguess import Advance, Floats, Guess, PixelMeans, guessed, rehearsal, spread
from .gaps import as_hard, hide_spells, hold_out
from .progress import progress

_log = logging.getLogger(__name__)
FIRST_GUESSES = ("oi", "none")
_MANY_DATES = 30
_CELLS_GUESSED = 3e6  # for the training, so that the first guess is not what it waits for
_FEWEST, _MOST = 3, 5  # rehearsals
_OWN = 0.1  # of the dates, on which a member of an ensemble is not trained
_FURTHER, _FURTHER_SHARE = 4, 0.1  # sets of clouds to calibrate with, and what each hides of the values
_PATCHES_OF_A_DATE = 8
_FEWEST_PATCHES, _MOST_PATCHES = 200, 1600  # an epoch; more of few dates are learnt by heart


class Pairs(NamedTuple):
    """What is estimated of held-out values, each (n,)."""

    mean: NDArray[np.floating]
    error: NDArray[np.floating]  # standard error
    truth: NDArray[np.floating]
    weight: NDArray[np.floating]


def usual_window(field: Field) -> int:
    """How many dates a network sees at once, unless it is told: five, or three of a short record."""
    return 5 if len(field.days) >= _MANY_DATES else 3


class GapData:
    """A field with its hold-out, its first guess and its rehearsals: the same field under further clouds.

    ``source`` is a `Field`, or what `open_field` opens with the options ``opening``. ``held_out`` is the
    share of the observed values that is kept for choosing and scoring; ``hidden`` the share that each of
    the ``rehearsals`` hides to train on. Patches have ``patch`` cells to a side; where the record is short,
    half of them are turned over in space and time. ``holdout`` is one of `gaps.HOLDOUTS`; ``first_guess``
    is "oi", or "none": pixel means. ``kriging`` is a first guess that was fitted before; ``around`` the
    surroundings of a field that is part of a longer record.
    """

    def __init__(
        self,
        source: Any,
        opening: dict[str, Any] | None = None,
        window: int | None = None,
        patch: int = 64,
        batch: int = 8,
        rehearsals: int | None = None,
        hidden: float = 0.2,
        held_out: float = 0.1,
        neighbours: int = 64,
        first_guess: str = "oi",
        holdout: str = "clouds",
        kriging: Guess | None = None,
        around: Surroundings | None = None,
        seed: int = 0,
        device: str = "cpu",
        quiet: bool = True,
    ) -> None:
        """Open the field and put the held-out values aside."""
        super().__init__()  # of Lightning's data module, where it is one
        if first_guess not in FIRST_GUESSES:
            raise InputError(
                f"no first guess is called {first_guess!r}; choose one of {', '.join(FIRST_GUESSES)}"
            )
        self.first_guess = first_guess
        self.field: Field = source if isinstance(source, Field) else open_field(source, **(opening or {}))
        self.window = window or usual_window(self.field)
        self.patch, self.batch = patch, batch
        self.number, self.hidden, self.neighbours = rehearsals, hidden, neighbours
        self.seed, self.device, self.quiet = seed, device, quiet
        self.choosing, self.scored = hold_out(self.field, held_out, np.random.default_rng(seed), holdout)
        self.kriging = kriging
        self.around = around or surroundings(self.field)
        self.ready: set[str] = set()

    @property
    def held(self) -> np.ndarray:
        """(time, lat, lon) True at all held-out values."""
        return self.choosing | self.scored

    @property
    def weight(self) -> np.ndarray:
        """(time, lat, lon) of the held-out values, with which they are as hard as the gaps.

        One each where no first guess was made, which is what tells how hard they are.
        """
        return self.trial.weight.numpy() if self.ready & {"held", "trial"} else self.held.astype(np.float32)

    def prepare_guess(self) -> None:
        """Fit the first guess and make it for the field."""
        if "guess" in self.ready:
            return
        guess = self.kriging
        if guess is None and self.first_guess == "none":
            guess = PixelMeans(spread(self.field.hide(self.held)))
        elif guess is None:
            with progress("fitting the first guess", None, self.quiet):
                guess = fit_kriging(
                    self.field.hide(self.held), neighbours=self.neighbours, seed=self.seed, device=self.device
                )
            scales = (f"{part.length:.3g} km, {part.duration:.3g} days" for part in guess.scales.components)
            _log.info("first guess: %s", " and ".join(scales))
        self.kriging = guess
        cells = len(self.field.days) * int(self.field.sea.sum())
        with progress("first guess", cells, self.quiet) as advance:
            self.full, self.guess, self.error = guessed(self.field, guess, self.device, advance)
        self.real = self.error[~self.field.observed & self.field.sea]
        self.ready.add("guess")

    def prepare_trial(self, guess: Guess, whole: bool) -> None:
        """Make the first guess without the held-out values: of these, or of the ``whole`` networks see."""
        held, what = self.held, "trial" if whole else "held"
        if not held.any() or self.ready & {what, "trial"}:
            return
        where = held | (~self.field.observed & self.field.sea) if whole else held
        with progress("first guess on held-out values", int(where.sum()), self.quiet) as advance:
            self.trial, self.trial_guess, self.trial_error = rehearsal(
                self.field, held, self.real, guess, self.device, advance, where
            )
        self.ready.add(what)

    def further(self) -> list[Misses]:
        """What the first guess misses by under further clouds: more dates than those of the hold-out.

        Nothing that is held out is in them.
        """
        assert self.kriging is not None  # `prepare_guess` came before
        known, rng = self.field.hide(self.held), np.random.default_rng(self.seed + 2)
        found = (self.missed(known, rng) for _ in range(_FURTHER))
        return [one for one in found if one is not None]

    def missed(self, known: Field, rng: np.random.Generator) -> Misses | None:
        """What the first guess misses by under further clouds over what is ``known``."""
        assert self.kriging is not None
        hidden = hide_spells(known, _FURTHER_SHARE, rng)
        if not hidden.any():
            return None
        seen = known.hide(hidden)
        mean, error = self.kriging(seen, hidden, device=self.device, advance=lambda cells: None)
        weight = np.zeros(error.shape, np.float32)
        weight[hidden] = as_hard(error[hidden], self.real)
        return misses(seen, np.where(hidden, known.values, np.nan), mean, error, weight)

    def setup(self, stage: str) -> None:
        """Make what the stage needs: "predict" asks for no more than the scores do, "fit" for rehearsals."""
        self.prepare_guess()
        assert self.kriging is not None  # it has just been made
        self.prepare_trial(self.kriging, whole=stage != "predict")
        if stage != "fit" or "fit" in self.ready:
            return
        known = self.field.hide(self.held)
        cells = int((~known.observed & known.sea).sum() + self.hidden * known.observed.sum())
        number = self.number or int(np.clip(round(_CELLS_GUESSED / cells), _FEWEST, _MOST))
        rng = np.random.default_rng(self.seed + 1)
        self.scenes: list[Scene] = []
        with progress("first guess under further clouds", number * cells, self.quiet) as advance:
            for _ in range(number):
                self.scenes += self.rehearsed(known, rng, advance)
        self.ready.add("fit")

    def rehearsed(self, known: Field, rng: np.random.Generator, advance: Advance) -> list[Scene]:
        """What is known under further clouds; nothing where they hide nothing."""
        assert self.kriging is not None
        hidden = hide_spells(known, self.hidden, rng)
        if not hidden.any():
            return []
        return [rehearsal(known, hidden, self.real, self.kriging, self.device, advance)[0]]

    def pairs(self, part: str, mean: Floats, error: Floats) -> Pairs:
        """What an estimate (time, lat, lon) says of held-out values: "choosing", "scored" or all "held"."""
        which: np.ndarray = getattr(self, part)
        return Pairs(mean[which], error[which], self.field.values[which], self.weight[which])

    def misses(self, part: str, mean: Floats, error: Floats) -> Misses:
        """What an estimate misses by of held-out values: "choosing", "scored" or all "held"."""
        truth = np.where(getattr(self, part), self.field.values, np.nan)
        return misses(self.field.hide(self.held), truth, mean, error, self.weight)

    def members(self, number: int) -> list[GapData]:
        """The same for each member of an ensemble, whose seeds and rehearsed dates differ.

        A run of dates is each member's own: no value there is a target of its training, and those that a
        rehearsal hides there choose its epoch. Other members are trained on them. What is held out is none's.
        """
        made, dates = [], len(self.field.days)
        for k in range(number):
            own = np.zeros(dates, bool)
            own[dates * k // number :][: max(1, round(_OWN * dates))] = True
            member = copy.copy(self)
            member.seed = self.seed + k
            hidden = [int((scene.weight[own] > 0).sum()) for scene in self.scenes]
            member.trial = self.scenes[int(np.argmax(hidden))]
            member.choosing = own[:, None, None] & (member.trial.weight > 0).numpy()
            others = torch.from_numpy(~own)[:, None, None]
            scenes = [replace(scene, weight=scene.weight * others) for scene in self.scenes]
            member.scenes = [scene for scene in scenes if scene.weight.any()] or self.scenes
            made.append(member)
        return made

    def train_dataloader(self) -> DataLoader[Any]:
        """Batches of (inputs, residual, variance, weight) of patches around hidden values of weight one."""
        turned = 0.5 if len(self.field.days) < _MANY_DATES else 0.0
        patches = Patches(self.scenes, self.around, self.window, self.patch, turned, self.seed)
        return patches.loader(self.batch)

    def val_dataloader(self) -> DataLoader[Any]:
        """(inputs, residual, weight) of whole dates of the part of the hold-out that chooses."""
        return DataLoader(Dates(self.trial, self.around, self.window, self.choosing), batch_size=1)

    def test_dataloader(self) -> DataLoader[Any]:
        """The same of the part that is scored."""
        return DataLoader(Dates(self.trial, self.around, self.window, self.scored), batch_size=1)

    def predict_dataloader(self) -> DataLoader[Any]:
        """(inputs, date) of every date, with all that was observed."""
        return DataLoader(Dates(self.full, self.around, self.window), batch_size=1)

    def trial_dataloader(self) -> DataLoader[Any]:
        """(inputs, date) of the dates with held-out values, without these."""
        dates = Dates(self.trial, self.around, self.window, self.held)
        dates.where = None
        return DataLoader(dates, batch_size=1)


def patches_of(dates: int) -> int:
    """How many patches an epoch has."""
    return int(np.clip(_PATCHES_OF_A_DATE * dates, _FEWEST_PATCHES, _MOST_PATCHES))


def placed(
    centre: tuple[int, int], sizes: Sequence[int], shape: Sequence[int], rng: np.random.Generator
) -> tuple[slice, slice]:
    """A random patch of these sizes, within the shape, with a cell somewhere in it."""
    y, x = (
        slice(start, start + size)
        for start, size in (
            (max(0, min(place - int(rng.integers(size)), extent - size)), size)
            for place, size, extent in zip(centre, sizes, shape, strict=True)
        )
    )
    return y, x


class Draws(DistributedSampler[Any]):
    """The numbers of an epoch's patches: no two epochs and no two processes have one in common.

    Each number makes its patch, so that a training that is taken up again sees what it would have seen.
    """

    def __init__(self, patches: Dataset[Any]) -> None:
        """Shared with the other processes of a distributed training, if there are some."""
        alone = not (distributed.is_available() and distributed.is_initialized())
        processes, own = (1, 0) if alone else (None, None)
        super().__init__(patches, num_replicas=processes, rank=own, shuffle=False)

    def __iter__(self) -> Iterator[int]:
        first = self.epoch * self.total_size
        return iter(range(first + self.rank, first + self.total_size, self.num_replicas))


Batch = tuple[Tensor, Tensor, Tensor, Tensor]


def _as_made(batch: Any) -> Any:
    return batch


class Patches(Dataset[Batch]):
    """Random patches around hidden values, one for each number; an epoch has eight a date that hides some."""

    def __init__(
        self,
        scenes: list[Scene],
        around: Surroundings,
        window: int,
        size: int,
        turned: float,
        seed: int = 0,
    ) -> None:
        """Patches of ``size`` cells to a side, or as large as the domain; a share is ``turned`` over."""
        self.scenes, self.around, self.window, self.turned = scenes, around, window, turned
        self.seed = seed
        shape = scenes[0].anomaly.shape
        self.size = min(size, shape[1]), min(size, shape[2])
        self.dates = [
            (index, int(date))
            for index, scene in enumerate(scenes)
            for date in torch.nonzero((scene.weight > 0).any(2).any(1))[:, 0]
        ]
        # Found once: to look for them in every patch takes longer than to make it.
        self.hidden = [
            np.flatnonzero(scenes[index].weight[date].numpy() > 0).astype(np.int32)
            for index, date in self.dates
        ]

    def __len__(self) -> int:
        return patches_of(len(self.dates))

    def loader(self, batch: int) -> DataLoader[Any]:
        """Batches of (inputs, residual, variance, weight) of new patches in each epoch."""
        return DataLoader(self, batch_size=batch, sampler=Draws(self), collate_fn=_as_made)

    def __getitem__(self, item: int) -> Batch:
        seen, residual, variance, weight = self.__getitems__([item])
        return seen[0], residual[0], variance[0], weight[0]

    def __getitems__(self, items: Sequence[int]) -> Batch:
        """The patches of these numbers in one batch: a loader has nothing to put together."""
        seen = np.empty((len(items), channels(self.window), *self.size), np.float32)
        residual, variance = np.empty((2, len(items), *self.size), np.float32)
        weight = np.empty(residual.shape, bool)
        for item, *patch in zip(items, seen, residual, variance, weight, strict=True):
            self._draw(item, *patch)
        made = [torch.from_numpy(part) for part in (seen, residual, variance, weight)]
        return made[0], made[1], made[2], made[3]

    def _draw(
        self,
        item: int,
        seen: NDArray[np.float32],
        residual: NDArray[np.float32],
        variance: NDArray[np.float32],
        weight: NDArray[np.bool_],
    ) -> None:
        """Make the patch of a number in the arrays given, each (..., rows, columns)."""
        # Hashed: generators of neighbouring seeds begin alike.
        rng = np.random.default_rng((self.seed, item))
        chosen = rng.integers(len(self.dates))
        index, date = self.dates[chosen]
        scene, cells = self.scenes[index], self.hidden[chosen]
        centre = divmod(int(cells[rng.integers(len(cells))]), scene.weight.shape[2])
        y, x = placed(centre, self.size, scene.weight.shape[1:], rng)
        inputs(scene, self.around, date, self.window, y, x, seen)
        residual[:] = scene.residual.numpy()[date, y, x]
        variance[:] = scene.variance.numpy()[date, y, x]
        # One each: weighted as the gaps are, few hidden values would say everything.
        np.greater(scene.weight.numpy()[date, y, x], 0, out=weight)
        if rng.random() >= self.turned:
            return
        if rng.random() < 0.5:
            dated = seen[: 2 * self.window].reshape(2, self.window, *self.size)
            dated[:] = dated[:, ::-1].copy()
        axes = [axis for axis in (-2, -1) if rng.random() < 0.5]
        made: tuple[NDArray[Any], ...] = (seen, residual, variance, weight)
        for part in made:
            part[:] = np.flip(part, axes).copy()


class Dates(Dataset[Any]):
    """Whole dates: with what is hidden at ``where`` (time, lat, lon), or only their number."""

    def __init__(
        self, scene: Scene, around: Surroundings, window: int, where: np.ndarray | None = None
    ) -> None:
        """All dates, or those with something at ``where``."""
        self.scene, self.around, self.window = scene, around, window
        self.where = None if where is None else torch.from_numpy(where)
        self.dates = range(len(scene.anomaly)) if where is None else np.flatnonzero(where.any(axis=(1, 2)))

    def __len__(self) -> int:
        return len(self.dates)

    def __getitem__(self, item: int) -> tuple[Tensor, ...]:
        date = int(self.dates[item])
        seen = inputs(self.scene, self.around, date, self.window, slice(None), slice(None))
        if self.where is None:
            return seen, torch.tensor(date)
        return seen, self.scene.residual[date], self.scene.weight[date] * self.where[date]
