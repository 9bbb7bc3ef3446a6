"""One variable, what is held out of it, and its first guess with and without that."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..classical.optimal_interpolation import fit_covariance as fit_kriging
from ..holdout.calibration import Residuals, standardise_residuals
from ..holdout.patterns import Mask, hide_clouds
from ..holdout.splits import difficulty_weights, error_groups
from ..io.field import Field
from ..progress import progress
from .features import NetworkInputs
from .firstguess import Advance, Floats, Guess, PixelMeans, anomaly_spread, make_guess, make_masked_copy

_log = logging.getLogger(__name__)
_FURTHER, _FURTHER_SHARE = 4, 0.1  # sets of clouds to calibrate with, and what each hides of the values


class Pairs(NamedTuple):
    """What is estimated of held-out values, each (n,)."""

    mean: NDArray[np.floating]
    error: NDArray[np.floating]  # standard error
    truth: NDArray[np.floating]
    weight: NDArray[np.floating]
    groups: Sequence[NDArray[np.integer]]  # numbers of what hangs together, in one way or another


class HeldOut:
    """A field, the values that are held out of it for choosing and for scoring, and its first guess.

    ``first_guess`` is "oi", or "none": pixel means, which do for a field without gaps too. ``kriging`` is one
    that was fitted before. One that is not ``filled`` is input only: it needs no guess where it is observed.
    """

    def __init__(
        self,
        field: Field,
        masks: tuple[Mask, Mask],
        *,
        first_guess: str = "oi",
        neighbours: int = 64,
        kriging: Guess | None = None,
        filled: bool = True,
        seed: int = 0,
        device: str = "cpu",
        quiet: bool = True,
    ) -> None:
        """Nothing is computed yet."""
        super().__init__()  # of Lightning's data module, where it is one
        self.field, self.filled = field, filled
        self.validation, self.test = masks
        self.first_guess, self.neighbours, self.kriging = first_guess, neighbours, kriging
        self.seed, self.device, self.quiet = seed, device, quiet
        self.ready: set[str] = set()

    @property
    def held_out(self) -> Mask:
        """(time, lat, lon) True at all held-out values."""
        return self.validation | self.test

    @property
    def is_judged(self) -> bool:
        """Whether there are values both to choose with and to score on."""
        return bool(self.validation.any() and self.test.any())

    @property
    def missing(self) -> Mask:
        """(time, lat, lon) True in the gaps."""
        return ~self.field.observed & self.field.sea

    @property
    def weight(self) -> NDArray[np.float32]:
        """(time, lat, lon) of the held-out values, with which they are as hard as the gaps.

        One each where no first guess was made, which is what tells how hard they are.
        """
        made = self.ready & {"held_out", "trial"}
        return self.trial.weight[0].numpy() if made else self.held_out.astype(np.float32)

    def prepare(self, whole: bool) -> None:
        """Make the first guess, and that without the held-out values (`prepare_trial`)."""
        self.prepare_guess()
        assert self.kriging is not None  # it has just been made
        self.prepare_trial(self.kriging, whole)

    def prepare_guess(self) -> None:
        """Fit the first guess and make it for the field."""
        if "guess" in self.ready:
            return
        known, missing = self.field.hide(self.held_out), self.missing
        guess = self.kriging
        if guess is None and (self.first_guess == "none" or not (self.filled or missing.any())):
            guess = PixelMeans(anomaly_spread(known))
        elif guess is None:
            with progress("fitting the first guess", None, self.quiet):
                guess = fit_kriging(known, neighbours=self.neighbours, seed=self.seed, device=self.device)
            scales = (f"{part.length:.3g} km, {part.duration:.3g} days" for part in guess.scales.components)
            _log.info("first guess: %s", " and ".join(scales))
        self.kriging = guess
        where = np.broadcast_to(self.field.sea, missing.shape) if self.filled else missing
        with progress("first guess", int(where.sum()), self.quiet) as advance:
            self.full, self.guess, self.error = make_guess(self.field, where, guess, self.device, advance)
        self.real = self.error[missing]
        self.ready.add("guess")

    def prepare_trial(self, guess: Guess, whole: bool) -> None:
        """Make the first guess without the held-out values: of these, or of the ``whole`` networks see."""
        held, what = self.held_out, "trial" if whole else "held_out"
        if not held.any():
            self.trial, self.trial_guess, self.trial_error = self.full, self.guess, self.error
        if not held.any() or self.ready & {what, "trial"}:
            return
        where = held | self.missing if whole else held
        with progress("first guess on held-out values", int(where.sum()), self.quiet) as advance:
            self.trial, self.trial_guess, self.trial_error = make_masked_copy(
                self.field, held, self.real, guess, self.device, advance, where
            )
        self.ready.add(what)

    def further_residuals(self) -> list[Residuals]:
        """What the first guess misses by under further clouds: more dates than those of the hold-out.

        Nothing that is held out is in them.
        """
        assert self.kriging is not None  # `prepare_guess` came before
        known, rng = self.field.hide(self.held_out), np.random.default_rng(self.seed + 2)
        found = (self.residuals_under_clouds(known, rng) for _ in range(_FURTHER))
        return [one for one in found if one is not None]

    def residuals_under_clouds(self, known: Field, rng: np.random.Generator) -> Residuals | None:
        """What the first guess misses by under further clouds over what is ``known``."""
        assert self.kriging is not None
        hidden = hide_clouds(known, _FURTHER_SHARE, rng, self.field)
        if not hidden.any():
            return None
        seen = known.hide(hidden)
        mean, error = self.kriging(seen, hidden, device=self.device, advance=lambda cells: None)
        weight = np.zeros(error.shape, np.float32)
        weight[hidden] = difficulty_weights(error[hidden], self.real)
        return standardise_residuals(seen, np.where(hidden, known.values, np.nan), mean, error, weight)

    def pairs(self, part: str, mean: Floats, error: Floats) -> Pairs:
        """Return an estimate (time, lat, lon) of held-out values: "validation", "test" or all "held_out"."""
        which: np.ndarray = getattr(self, part)
        truth, weight = self.field.values[which], self.weight[which]
        return Pairs(mean[which], error[which], truth, weight, error_groups(which))

    def residuals(self, part: str, mean: Floats, error: Floats) -> Residuals:
        """What an estimate misses by of held-out values: "validation", "test" or all "held_out"."""
        truth = np.where(getattr(self, part), self.field.values, np.nan)
        return standardise_residuals(self.field.hide(self.held_out), truth, mean, error, self.weight)

    def make_masked_copy(self, hidden: Mask, advance: Advance) -> NetworkInputs:
        """The scene without what is held out and what is ``hidden`` besides, to train on."""
        assert self.kriging is not None  # prepare_guess was there before
        known = self.field.hide(self.held_out)
        return make_masked_copy(known, hidden, self.real, self.kriging, self.device, advance)[0]
