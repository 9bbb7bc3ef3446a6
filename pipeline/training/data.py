"""What a gap-filling network is trained, validated and run on."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, distributed
from torch.utils.data import DataLoader, Dataset, DistributedSampler

from ..errors import InputError
from ..holdout.patterns import hide_clouds_together
from ..holdout.splits import hold_out_together
from ..io.field import Field, open_field
from ..progress import progress
from ..settings import FIRST_GUESSES
from .features import (
    NetworkInputs,
    StaticFeatures,
    assemble_inputs,
    count_channels,
    stack_variables,
    static_features,
)
from .firstguess import Advance, Guess, anomaly_spread
from .heldout import HeldOut

_MANY_DATES = 30
_CELLS_GUESSED = 3e6  # for the training, so that the first guess is not what it waits for
_FEWEST, _MOST = 3, 5  # rehearsals
_OWN = 0.1  # of the dates, on which a member of an ensemble is not trained
_PATCHES_OF_A_DATE = 8
_FEWEST_PATCHES, _MOST_PATCHES = 200, 1600  # an epoch; more of few dates are learnt by heart


def usual_window(field: Field) -> int:
    """How many dates a network sees at once, unless it is told: five, or three of a short record."""
    return 5 if len(field.days) >= _MANY_DATES else 3


class GapData(HeldOut):
    """A field with its hold-out, its first guess and its rehearsals: the same field under further clouds.

    ``source`` is a `Field`, several of one grid and dates, or what `open_field` opens with the options
    ``opening``. Of several the first ``outputs`` are filled, the others are input only; this is the first of
    them, and `variables` are all. ``held_out`` is the share of the observed values that is kept for choosing
    and scoring; ``hidden`` the share that each of the ``rehearsals`` hides to train on. Patches have
    ``patch`` cells to a side; where the record is short or there are several variables, half of them are
    turned over in space and time. ``holdout`` is one of `gaps.HOLDOUTS`; ``first_guess`` is "oi", or "none":
    pixel means. ``kriging`` is a first guess that was fitted before; ``around`` the surroundings of a field
    that is part of a longer record.
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
        around: StaticFeatures | None = None,
        outputs: int = 1,
        seed: int = 0,
        device: str = "cpu",
        quiet: bool = True,
    ) -> None:
        """Open the field and put the held-out values aside."""
        if first_guess not in FIRST_GUESSES:
            raise InputError(
                f"no first guess is called {first_guess!r}; choose one of {', '.join(FIRST_GUESSES)}"
            )
        fields = source if isinstance(source, list | tuple) and isinstance(source[0], Field) else [source]
        first, *others = [
            field if isinstance(field, Field) else open_field(field, **(opening or {})) for field in fields
        ]
        fields = [first, *others]
        masks = hold_out_together(fields, outputs, held_out, np.random.default_rng(seed), holdout)
        alike: dict[str, Any] = {
            "first_guess": first_guess,
            "neighbours": neighbours,
            "seed": seed,
            "device": device,
            "quiet": quiet,
        }
        super().__init__(first, masks[0], kriging=kriging, **alike)
        self.outputs = outputs
        self.others = [
            HeldOut(field, mask, filled=number < outputs, **alike)
            for number, (field, mask) in enumerate(zip(others, masks[1:], strict=True), start=1)
        ]
        self.window = window or usual_window(first)
        self.patch, self.batch = patch, batch
        self.number, self.hidden = rehearsals, hidden
        self.around = around or static_features(first)
        self.chosen_on: tuple[NetworkInputs, NDArray[np.bool_]] | None = None  # instead of the hold-out

    @property
    def variables(self) -> list[HeldOut]:
        """The first and all others."""
        return [self, *self.others]

    @property
    def filled_variables(self) -> list[HeldOut]:
        """The outputs."""
        return self.variables[: self.outputs]

    def describe(self) -> dict[str, Any]:
        """Return, as plain data, what a network that is trained on these data must be given again."""
        fields = [variable.field for variable in self.variables]
        return {
            "variables": [field.name for field in fields],
            "units": [str(field.source.attrs.get("units", "")) for field in fields],
            "transforms": [field.transform for field in fields],
            "outputs": self.outputs,
            "first_guess": self.first_guess,
            "window": self.window,
        }

    def setup(self, stage: str) -> None:
        """Make what the stage needs: "predict" asks for no more than the scores do, "fit" for rehearsals."""
        for variable in self.variables:
            variable.prepare(whole=stage != "predict")
        if stage != "fit" or "fit" in self.ready:
            return
        known = [variable.field.hide(variable.held_out) for variable in self.variables]
        cells = sum(
            int((~field.observed & field.sea).sum() + self.hidden * field.observed.sum()) for field in known
        )
        number = self.number or int(np.clip(round(_CELLS_GUESSED / cells), _FEWEST, _MOST))
        rng = np.random.default_rng(self.seed + 1)
        self.scenes: list[NetworkInputs] = []
        with progress("first guess under further clouds", number * cells, self.quiet) as advance:
            for _ in range(number):
                self.scenes += self.make_masked_copies(known, rng, advance)
        self.ready.add("fit")

    def make_masked_copies(
        self, known: Sequence[Field], rng: np.random.Generator, advance: Advance
    ) -> list[NetworkInputs]:
        """What is known of each variable under further clouds; nothing where they hide nothing."""
        whole = [one.field for one in self.variables]
        hidden = hide_clouds_together(known, self.outputs, self.hidden, rng, whole)
        if not any(mask.any() for mask in hidden[: self.outputs]):
            return []
        remade = [
            one.make_masked_copy(mask, advance) for one, mask in zip(self.variables, hidden, strict=True)
        ]
        return [stack_variables(remade, self.outputs)]

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
            hidden = [int((scene.weight[:, own] > 0).sum()) for scene in self.scenes]
            scene = self.scenes[int(np.argmax(hidden))]
            where = own[:, None, None] & (scene.weight > 0).numpy()
            member.chosen_on, member.validation = (scene, where), where.any(axis=0)
            others = torch.from_numpy(~own)[:, None, None]
            scenes = [replace(scene, weight=scene.weight * others) for scene in self.scenes]
            member.scenes = [scene for scene in scenes if scene.weight.any()] or self.scenes
            made.append(member)
        return made

    def train_dataloader(self) -> DataLoader[Any]:
        """Batches of (inputs, residual, variance, weight) of patches around hidden values of weight one."""
        # A second variable tells a network when and where it is, and then it learns the field by heart.
        turned = 0.5 if self.others or len(self.field.days) < _MANY_DATES else 0.0
        patches = Patches(
            self.scenes, self.around, self.window, self.patch, turned, self.seed, jitter=self._jitter()
        )
        return patches.loader(self.batch)

    def val_dataloader(self) -> DataLoader[Any]:
        """(inputs, residual, weight) of whole dates of the part of the hold-out that chooses."""
        scene, where = self.chosen_on or (self._trial(), self._hidden("validation"))
        return DataLoader(Dates(scene, self.around, self.window, where), batch_size=1)

    def test_dataloader(self) -> DataLoader[Any]:
        """The same of the part that is scored."""
        dates = Dates(self._trial(), self.around, self.window, self._hidden("test"))
        return DataLoader(dates, batch_size=1)

    def predict_dataloader(self) -> DataLoader[Any]:
        """(inputs, date) of every date, with all that was observed."""
        full = stack_variables([variable.full for variable in self.variables], self.outputs)
        return DataLoader(Dates(full, self.around, self.window), batch_size=1)

    def trial_dataloader(self) -> DataLoader[Any]:
        """(inputs, date) of the dates with held-out values, without these."""
        dates = Dates(self._trial(), self.around, self.window, self._hidden("held_out"))
        dates.where = None
        return DataLoader(dates, batch_size=1)

    def _trial(self) -> NetworkInputs:
        return stack_variables([variable.trial for variable in self.variables], self.outputs)

    def _hidden(self, part: str) -> NDArray[np.bool_]:
        """(output, time, lat, lon) the held-out values of a part of the hold-out, or of all."""
        return np.stack([getattr(variable, part) for variable in self.filled_variables])

    def _jitter(self) -> list[float]:
        """Of each variable, in units of what a network sees."""
        fields = [variable.field for variable in self.variables]
        return [field.jitter and field.jitter / anomaly_spread(field) for field in fields]


def count_patches(dates: int) -> int:
    """How many patches an epoch has."""
    return int(np.clip(_PATCHES_OF_A_DATE * dates, _FEWEST_PATCHES, _MOST_PATCHES))


def place_patch(
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


class PatchSampler(DistributedSampler[Any]):
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
        scenes: list[NetworkInputs],
        around: StaticFeatures,
        window: int,
        size: int,
        turned: float,
        seed: int = 0,
        jitter: Sequence[float] = (),
    ) -> None:
        """Patches of ``size`` cells to a side, or as large as the domain; a share is ``turned`` over.

        ``jitter`` is the standard deviation of noise on what is seen of each variable.
        """
        self.scenes, self.around, self.window, self.turned = scenes, around, window, turned
        self.seed = seed
        self.jitter = np.asarray(jitter, np.float32)
        shape = scenes[0].anomaly.shape
        self.variables, self.outputs = shape[0], len(scenes[0].weight)
        self.size = min(size, shape[2]), min(size, shape[3])
        self.dates = [
            (index, int(date))
            for index, scene in enumerate(scenes)
            for date in torch.nonzero((scene.weight > 0).any(0).any(2).any(1))[:, 0]
        ]
        # Found once: to look for them in every patch takes longer than to make it.
        self.hidden = [
            np.flatnonzero((scenes[index].weight[:, date].numpy() > 0).any(axis=0)).astype(np.int32)
            for index, date in self.dates
        ]

    def __len__(self) -> int:
        return count_patches(len(self.dates))

    def loader(self, batch: int) -> DataLoader[Any]:
        """Batches of (inputs, residual, variance, weight) of new patches in each epoch."""
        return DataLoader(self, batch_size=batch, sampler=PatchSampler(self), collate_fn=_as_made)

    def __getitem__(self, item: int) -> Batch:
        seen, residual, variance, weight = self.__getitems__([item])
        return seen[0], residual[0], variance[0], weight[0]

    def __getitems__(self, items: Sequence[int]) -> Batch:
        """The patches of these numbers in one batch: a loader has nothing to put together."""
        seen = np.empty((len(items), count_channels(self.window, self.variables), *self.size), np.float32)
        residual, variance = np.empty((2, len(items), self.outputs, *self.size), np.float32)
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
        centre = divmod(int(cells[rng.integers(len(cells))]), scene.weight.shape[3])
        y, x = place_patch(centre, self.size, scene.weight.shape[2:], rng)
        assemble_inputs(scene, self.around, date, self.window, y, x, seen)
        dated = seen[: -count_channels(self.window, 0)].reshape(self.variables, 2, self.window, *self.size)
        if self.jitter.any():
            noise = rng.standard_normal(dated[:, 0].shape, np.float32) * self.jitter[:, None, None, None]
            dated[:, 0] += noise * self.around.place.numpy()[2, y, x]
        residual[:] = scene.residual.numpy()[:, date, y, x]
        variance[:] = scene.variance.numpy()[:, date, y, x]
        # One each: weighted as the gaps are, few hidden values would say everything.
        np.greater(scene.weight.numpy()[:, date, y, x], 0, out=weight)
        if rng.random() >= self.turned:
            return
        if rng.random() < 0.5:
            dated[:] = dated[:, :, ::-1].copy()
        axes = tuple(axis for axis in (-2, -1) if rng.random() < 0.5)
        made: tuple[NDArray[Any], ...] = (seen, residual, variance, weight)
        for part in made:
            part[:] = np.flip(part, axes).copy()


class Dates(Dataset[Any]):
    """Whole dates: with what is hidden at ``where`` (output, time, lat, lon), or only their number."""

    def __init__(
        self, scene: NetworkInputs, around: StaticFeatures, window: int, where: np.ndarray | None = None
    ) -> None:
        """All dates, or those with something at ``where``."""
        self.scene, self.around, self.window = scene, around, window
        self.where = None if where is None else torch.from_numpy(where)
        dates = scene.anomaly.shape[1]
        self.dates = range(dates) if where is None else np.flatnonzero(where.any(axis=(0, 2, 3)))

    def __len__(self) -> int:
        return len(self.dates)

    def __getitem__(self, item: int) -> tuple[Tensor, ...]:
        date = int(self.dates[item])
        seen = assemble_inputs(self.scene, self.around, date, self.window, slice(None), slice(None))
        if self.where is None:
            return seen, torch.tensor(date)
        return seen, self.scene.residual[:, date], self.scene.weight[:, date] * self.where[:, date]
