"""The data that a gap-filling network is trained, validated, tested and run on."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from ..classical.kriging import Kriging
from ..errors import InputError
from ..holdout.patterns import hide_clouds_together
from ..holdout.splits import hold_out_together
from ..io.field import Field, open_field
from ..io.opening import Opening
from ..progress import EXAMPLES, progress
from .features import (
    NetworkInputs,
    StaticFeatures,
    assemble_inputs,
    count_channels,
    make_general_features,
    make_static_features,
    stack_variables,
)
from .firstguess import Advance, Guess, measure_spread
from .heldout import DataSettings, HeldOut
from .patches import PatchLoader

_MANY_DATES = 30
_CELLS_GUESSED = 3e6  # for training: above this the first guess would take longer than the training itself
_FEWEST, _MOST = 3, 5  # masked copies
_OWN = 0.1  # fraction of the dates that a member of an ensemble is not trained on
_PATCHES_OF_A_DATE = 8
_FEWEST_PATCHES, _MOST_PATCHES = 200, 1600  # an epoch; with more of few dates a network overfits


def choose_window(field: Field) -> int:
    """Return the default number of dates in the network inputs: five, or three for a short record."""
    return 5 if len(field.days) >= _MANY_DATES else 3


class GapData(HeldOut):
    """A field with its hold-out, its first guess and its masked copies: the same field under more clouds.

    ``source`` is a `Field`, several of one grid and dates, or an input that `open_field` opens as described
    by ``opening``. The first ``outputs`` of several fields are filled and the others are input only; this
    object is the first of them, and `variables` are all. Half of the patches are flipped in space and time
    where the record is short or there are several variables. ``kriging`` is a first guess that was fitted
    before; ``static`` are the features of a field that is part of a longer record.
    """

    def __init__(
        self,
        source: Any,
        settings: DataSettings | None = None,
        *,
        opening: Opening | None = None,
        kriging: Guess | None = None,
        static: StaticFeatures | None = None,
        outputs: int = 1,
    ) -> None:
        """Open the fields and set the held-out values aside."""
        settings = settings or DataSettings()
        sources = source if isinstance(source, list | tuple) and isinstance(source[0], Field) else [source]
        fields = [one if isinstance(one, Field) else open_field(one, opening) for one in sources]
        rng = np.random.default_rng(settings.seed)
        masks = hold_out_together(fields, outputs, settings.held_out, rng, settings.holdout)
        super().__init__(fields[0], masks[0], settings, kriging=kriging)
        self.outputs = outputs
        self.others = [
            HeldOut(field, mask, settings, filled=number < outputs)
            for number, (field, mask) in enumerate(zip(fields[1:], masks[1:], strict=True), start=1)
        ]
        self.window = settings.window or choose_window(fields[0])
        self.patch = settings.patch
        self.static = static or make_static_features(fields[0])
        self.general = False  # whether the features are those of a general network
        self.masked_inputs: list[NetworkInputs] = []
        self.chosen_on: tuple[NetworkInputs, NDArray[np.bool_]] | None = None  # instead of the hold-out

    @property
    def variables(self) -> list[HeldOut]:
        """The first and all others."""
        return [self, *self.others]

    @property
    def features(self) -> StaticFeatures:
        """Those that do not depend on the gaps, of an ordinary or of a general network.

        A general network knows the scales of the first guess, which is made before.
        """
        if not self.general:
            return self.static
        assert isinstance(self.kriging, Kriging)
        return make_general_features(self.field, self.kriging.scales)

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
        } | ({"static": "scales"} if self.general else {})

    def setup(self, stage: str) -> None:
        """Prepare a stage: only "fit" needs masked copies, and "predict" no more than the scores do."""
        for variable in self.variables:
            variable.prepare(whole=stage != "predict")
        if stage != "fit" or "fit" in self.ready:
            return
        if len(self.field.days) == 1:
            raise InputError(
                f"{self.field.name}: a network learns from several dates, and there is one; give more files, "
                "or fill it with method='oi'"
            )
        known = [variable.field.hide(variable.held_out) for variable in self.variables]
        hidden = self.settings.hidden
        cells = sum(
            int((~field.observed & field.sea).sum() + hidden * field.observed.sum()) for field in known
        )
        number = self.settings.masked_copies or int(np.clip(round(_CELLS_GUESSED / cells), _FEWEST, _MOST))
        rng = np.random.default_rng(self.seed + 1)
        self.masked_inputs = []
        with progress(EXAMPLES, number * cells, self.quiet, EXAMPLES) as advance:
            for _ in range(number):
                self.masked_inputs += self.make_masked_copies(known, rng, advance)
        self.ready.add("fit")

    def make_masked_copies(
        self, known: Sequence[Field], rng: np.random.Generator, advance: Advance
    ) -> list[NetworkInputs]:
        """Return the known values of each variable under more clouds; nothing where these hide nothing."""
        whole = [one.field for one in self.variables]
        hidden = hide_clouds_together(known, self.outputs, self.settings.hidden, rng, whole)
        if not any(mask.any() for mask in hidden[: self.outputs]):
            return []
        copies = [
            one.make_masked_copy(mask, advance) for one, mask in zip(self.variables, hidden, strict=True)
        ]
        return [stack_variables(copies, self.outputs)]

    def take_apart(self) -> list[GapData]:
        """Return the data of each filled variable on its own, with its hold-out and its first guess.

        A general network corrects one variable, whatever its name and units.
        """
        made = []
        for part in self.filled_variables:
            part.prepare(whole=True)
            alone = copy.copy(self)
            vars(alone).update(vars(part) | {"ready": part.ready - {"fit"}})
            alone.others, alone.outputs, alone.masked_inputs, alone.general = [], 1, [], True
            made.append(alone)
        return made

    def make_members(self, number: int) -> list[GapData]:
        """Return the data of each member of an ensemble, whose seeds and training dates differ.

        Each member has a run of dates of its own, which it is not trained on: the values that a masked copy
        hides there choose its epoch. Other members are trained on them. No member uses held-out values.
        """
        made, dates = [], len(self.field.days)
        for k in range(number):
            own = np.zeros(dates, bool)
            own[dates * k // number :][: max(1, round(_OWN * dates))] = True
            member = copy.copy(self)
            member.settings = replace(self.settings, seed=self.seed + k)
            hidden = [int((one.weight[:, own] > 0).sum()) for one in self.masked_inputs]
            chosen = self.masked_inputs[int(np.argmax(hidden))]
            where = own[:, None, None] & (chosen.weight > 0).numpy()
            member.chosen_on, member.validation = (chosen, where), where.any(axis=0)
            others = torch.from_numpy(~own)[:, None, None]
            kept = [replace(one, weight=one.weight * others) for one in self.masked_inputs]
            member.masked_inputs = [one for one in kept if one.weight.any()] or self.masked_inputs
            made.append(member)
        return made

    def train_dataloader(self) -> DataLoader[Any]:
        """Return batches (inputs, residual, variance, weight) of patches around hidden values of weight 1."""
        # A second variable identifies date and place, and then a network overfits.
        flipped = 0.5 if self.others or len(self.field.days) < _MANY_DATES else 0.0
        jitter = self._scale_jitter()
        patches = Patches(
            self.masked_inputs, self.features, self.window, self.patch, flipped, self.seed, jitter=jitter
        )
        return patches.loader(self.settings.batch)

    def val_dataloader(self) -> DataLoader[Any]:
        """Return (inputs, residual, weight) of whole dates with the validation values."""
        inputs, where = self.chosen_on or (self._stack_trial(), self._stack_masks("validation"))
        return DataLoader(Dates(inputs, self.features, self.window, where), batch_size=1)

    def test_dataloader(self) -> DataLoader[Any]:
        """Return (inputs, residual, weight) of whole dates with the test values."""
        dates = Dates(self._stack_trial(), self.features, self.window, self._stack_masks("test"))
        return DataLoader(dates, batch_size=1)

    def predict_dataloader(self) -> DataLoader[Any]:
        """Return (inputs, date) of every date to be estimated, with all observations."""
        full = stack_variables([variable.full for variable in self.variables], self.outputs)
        dates = Dates(full, self.features, self.window)
        if self.estimated is not None:
            dates.dates = np.flatnonzero(self.estimated)
        return DataLoader(dates, batch_size=1)

    def trial_dataloader(self) -> DataLoader[Any]:
        """Return (inputs, date) of the dates with held-out values, without these."""
        dates = Dates(self._stack_trial(), self.features, self.window, self._stack_masks("held_out"))
        dates.where = None
        return DataLoader(dates, batch_size=1)

    def _stack_trial(self) -> NetworkInputs:
        return stack_variables([variable.trial for variable in self.variables], self.outputs)

    def _stack_masks(self, part: str) -> NDArray[np.bool_]:
        """(output, time, lat, lon) the held-out values of a part of the hold-out, or of all."""
        return np.stack([getattr(variable, part) for variable in self.filled_variables])

    def _scale_jitter(self) -> list[float]:
        """Return the jitter of each variable in the units of the network inputs."""
        fields = [variable.field for variable in self.variables]
        return [field.jitter and field.jitter / measure_spread(field) for field in fields]


def count_patches(dates: int) -> int:
    """Return the number of patches in an epoch."""
    return int(np.clip(_PATCHES_OF_A_DATE * dates, _FEWEST_PATCHES, _MOST_PATCHES))


def place_patch(
    centre: tuple[int, int], sizes: Sequence[int], shape: Sequence[int], rng: np.random.Generator
) -> tuple[slice, slice]:
    """Return a random patch of these sizes, within the shape, that contains a cell."""
    y, x = (
        slice(start, start + size)
        for start, size in (
            (max(0, min(place - int(rng.integers(size)), extent - size)), size)
            for place, size, extent in zip(centre, sizes, shape, strict=True)
        )
    )
    return y, x


Batch = tuple[Tensor, Tensor, Tensor, Tensor]


def keep_batch(batch: Any) -> Any:
    """Return a batch that its data set has put together."""
    return batch


class Patches(Dataset[Batch]):
    """Random patches around hidden values, one for each number; an epoch has eight a date that hides some."""

    def __init__(
        self,
        masked_inputs: list[NetworkInputs],
        static: StaticFeatures,
        window: int,
        size: int,
        flipped: float,
        seed: int = 0,
        jitter: Sequence[float] = (),
    ) -> None:
        """Cut patches of ``size`` cells to a side, or as large as the domain, a fraction of them ``flipped``.

        ``jitter`` is the standard deviation of noise on the inputs of each variable.
        """
        self.masked_inputs, self.static, self.window, self.flipped = masked_inputs, static, window, flipped
        self.seed = seed
        self.jitter = np.asarray(jitter, np.float32)
        shape = masked_inputs[0].anomaly.shape
        self.variables, self.outputs = shape[0], len(masked_inputs[0].weight)
        self.size = min(size, shape[2]), min(size, shape[3])
        self.dates = [
            (index, int(date))
            for index, one in enumerate(masked_inputs)
            for date in torch.nonzero((one.weight > 0).any(0).any(2).any(1))[:, 0]
        ]
        # Found once: a search in every patch takes longer than making it.
        self.hidden = [
            np.flatnonzero((masked_inputs[index].weight[:, date].numpy() > 0).any(axis=0)).astype(np.int32)
            for index, date in self.dates
        ]

    def __len__(self) -> int:
        return count_patches(len(self.dates))

    def loader(self, batch: int) -> DataLoader[Any]:
        """Return batches (inputs, residual, variance, weight) of new patches in each epoch."""
        return PatchLoader(self, batch, collate_fn=keep_batch)

    def __getitem__(self, item: int) -> Batch:
        inputs, residual, variance, weight = self.__getitems__([item])
        return inputs[0], residual[0], variance[0], weight[0]

    def __getitems__(self, items: Sequence[int]) -> Batch:
        """Return the patches of these numbers as one batch, so a loader has nothing to collate."""
        inputs = np.empty((len(items), count_channels(self.window, self.variables), *self.size), np.float32)
        residual, variance = np.empty((2, len(items), self.outputs, *self.size), np.float32)
        weight = np.empty(residual.shape, bool)
        for item, *patch in zip(items, inputs, residual, variance, weight, strict=True):
            self._draw(item, *patch)
        made = [torch.from_numpy(part) for part in (inputs, residual, variance, weight)]
        return made[0], made[1], made[2], made[3]

    def _draw(
        self,
        item: int,
        inputs: NDArray[np.float32],
        residual: NDArray[np.float32],
        variance: NDArray[np.float32],
        weight: NDArray[np.bool_],
    ) -> None:
        """Draw the patch of a number into the arrays given, each (..., rows, columns)."""
        # Hashed: generators of neighbouring seeds begin alike.
        rng = np.random.default_rng((self.seed, item))
        chosen = rng.integers(len(self.dates))
        index, date = self.dates[chosen]
        known, cells = self.masked_inputs[index], self.hidden[chosen]
        centre = divmod(int(cells[rng.integers(len(cells))]), known.weight.shape[3])
        y, x = place_patch(centre, self.size, known.weight.shape[2:], rng)
        assemble_inputs(known, self.static, date, self.window, y, x, inputs)
        dated = inputs[: -count_channels(self.window, 0)].reshape(self.variables, 2, self.window, *self.size)
        if self.jitter.any():
            noise = rng.standard_normal(dated[:, 0].shape, np.float32) * self.jitter[:, None, None, None]
            dated[:, 0] += noise * self.static.place.numpy()[2, y, x]
        residual[:] = known.residual.numpy()[:, date, y, x]
        variance[:] = known.variance.numpy()[:, date, y, x]
        # Weight 1 each: with difficulty weights a few hidden values would dominate.
        np.greater(known.weight.numpy()[:, date, y, x], 0, out=weight)
        if rng.random() >= self.flipped:
            return
        if rng.random() < 0.5:
            dated[:] = dated[:, :, ::-1].copy()
        axes = tuple(axis for axis in (-2, -1) if rng.random() < 0.5)
        made: tuple[NDArray[Any], ...] = (inputs, residual, variance, weight)
        for part in made:
            part[:] = np.flip(part, axes).copy()


class Dates(Dataset[Any]):
    """Whole dates: with the residuals hidden at ``where`` (output, time, lat, lon), or only their number."""

    def __init__(
        self, known: NetworkInputs, static: StaticFeatures, window: int, where: np.ndarray | None = None
    ) -> None:
        """Take all dates, or those with something at ``where``."""
        self.known, self.static, self.window = known, static, window
        self.where = None if where is None else torch.from_numpy(where)
        dates = known.anomaly.shape[1]
        self.dates = range(dates) if where is None else np.flatnonzero(where.any(axis=(0, 2, 3)))

    def __len__(self) -> int:
        return len(self.dates)

    def __getitem__(self, item: int) -> tuple[Tensor, ...]:
        date = int(self.dates[item])
        inputs = assemble_inputs(self.known, self.static, date, self.window, slice(None), slice(None))
        if self.where is None:
            return inputs, torch.tensor(date)
        return inputs, self.known.residual[:, date], self.known.weight[:, date] * self.where[:, date]
