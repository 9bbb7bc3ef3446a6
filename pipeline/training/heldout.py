"""One variable, the values that are held out of it, and its first guess with and without these."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..classical.optimal_interpolation import fit_covariance as fit_kriging
from ..errors import InputError
from ..holdout.calibration import Residuals, standardise_residuals
from ..holdout.patterns import Mask, distance_and_age, hide_clouds
from ..holdout.score_classes import Places
from ..holdout.splits import difficulty_weights, error_groups
from ..io.field import Field
from ..progress import APPLY, FIT, GUESS, progress
from ..settings import FIRST_GUESSES, check_seed
from .features import NetworkInputs
from .firstguess import Advance, Floats, Guess, PixelMeans, make_guess, make_masked_copy, measure_spread

_log = logging.getLogger(__name__)
_ENOUGH = 5000  # residuals under one set of clouds
_FURTHER, _FURTHER_SHARE = 4, 0.1  # sets of clouds to calibrate with, and what each hides of the values


@dataclass(frozen=True)
class DataSettings:
    """How a field becomes the data that a network is trained, validated and tested on."""

    window: int | None = None  # dates in the network inputs; None: 5, or 3 for a short record
    patch: int = 64  # cells to a side
    batch: int = 8  # patches
    masked_copies: int | None = None  # of the field, to train on; None: 3 to 5, fewer of a large field
    hidden: float = 0.2  # fraction of the observed values that each masked copy hides
    held_out: float = 0.1  # fraction that is kept for validation and test, half each
    neighbours: int = 64  # observations in the first guess
    first_guess: str = "oi"  # or "none": the mean of each pixel
    holdout: str = "clouds"  # one of `gaps.HOLDOUTS`
    seed: int = 0
    device: str = "cpu"  # of the first guess
    quiet: bool = True

    def __post_init__(self) -> None:
        if self.first_guess not in FIRST_GUESSES:
            raise InputError(
                f"no first guess is called {self.first_guess!r}; choose one of {', '.join(FIRST_GUESSES)}"
            )
        check_seed(self.seed)


class Pairs(NamedTuple):
    """Estimates of held-out values, each (n,)."""

    mean: NDArray[np.floating]
    error: NDArray[np.floating]  # standard error
    truth: NDArray[np.floating]
    weight: NDArray[np.floating]
    groups: Sequence[NDArray[np.integer]]  # numbers of what hangs together, in one way or another


class HeldOut:
    """A field, the values that are held out of it for validation and test, and its first guess.

    ``kriging`` is a first guess that was fitted before. A field that is not ``filled`` is input only and
    needs no first guess where it is observed.
    """

    def __init__(
        self,
        field: Field,
        masks: tuple[Mask, Mask],
        settings: DataSettings,
        *,
        kriging: Guess | None = None,
        filled: bool = True,
    ) -> None:
        """Compute nothing yet."""
        self.field, self.settings, self.kriging, self.filled = field, settings, kriging, filled
        self.validation, self.test = masks
        self.estimated: NDArray[np.bool_] | None = None  # (time,) dates to be estimated; None: all
        self.ready: set[str] = set()
        self.learned: dict[str, Any] = {}  # what the attributes of the output tell of it

    @property
    def first_guess(self) -> str:
        """Its name."""
        return self.settings.first_guess

    @property
    def seed(self) -> int:
        """Of all random numbers."""
        return self.settings.seed

    @property
    def device(self) -> str:
        """Where the first guess is computed, and a network is trained by `corrections`."""
        return self.settings.device

    @property
    def quiet(self) -> bool:
        """Whether no progress is shown."""
        return self.settings.quiet

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
        """(time, lat, lon) difficulty weights of the held-out values, by the error of the first guess.

        They are 1 each before there is a first guess.
        """
        made = self.ready & {"held_out", "trial"}
        return self.trial.weight[0].numpy() if made else self.held_out.astype(np.float32)

    def prepare(self, whole: bool) -> None:
        """Make the first guess, and the one without the held-out values (`prepare_trial`)."""
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
            guess = PixelMeans(measure_spread(known))
        elif guess is None:
            with progress(FIT, None, self.quiet, FIT):
                neighbours = self.settings.neighbours
                guess = fit_kriging(known, neighbours=neighbours, seed=self.seed, device=self.device)
            own = str(self.field.source.attrs.get("units", "")) if self.field.transform == "none" else ""
            self.learned["fitted_covariance"] = guess.scales.describe(own)
            _log.info("fitted covariance: %s", self.learned["fitted_covariance"])
        self.kriging = guess
        where = np.broadcast_to(self.field.sea, missing.shape) if self.filled else missing
        if self.estimated is not None:
            where = where & self.estimated[:, None, None]
        with progress("all dates", int(where.sum()), self.quiet, GUESS) as advance:
            self.full, self.guess, self.error = make_guess(self.field, where, guess, self.device, advance)
        self.real = self.error[missing]
        self.ready.add("guess")

    def prepare_trial(self, guess: Guess, whole: bool) -> None:
        """Make the first guess without the held-out values: of these, or of the ``whole`` network inputs."""
        held, what = self.held_out, "trial" if whole else "held_out"
        if not held.any():
            self.trial, self.trial_guess, self.trial_error = self.full, self.guess, self.error
        if not held.any() or self.ready & {what, "trial"}:
            return
        where = held | self.missing if whole else held
        with progress("held-out values", int(where.sum()), self.quiet, GUESS) as advance:
            self.trial, self.trial_guess, self.trial_error = make_masked_copy(
                self.field, held, self.real, guess, self.device, advance, where
            )
        self.ready.add(what)

    def further_residuals(self) -> list[Residuals]:
        """Return residuals of the first guess under more clouds: more dates than those of the hold-out.

        They are of values that are not held out.
        """
        assert self.kriging is not None  # `prepare_guess` came before
        known, rng = self.field.hide(self.held_out), np.random.default_rng(self.seed + 2)
        with progress("calibrating the first guess", _FURTHER, self.quiet, APPLY) as advance:
            found = []
            for _ in range(_FURTHER):
                found.append(self.residuals_under_clouds(known, rng))
                advance(1)
        return [one for one in found if one is not None]

    def residuals_under_clouds(self, known: Field, rng: np.random.Generator) -> Residuals | None:
        """Return residuals of the first guess under more clouds over the ``known`` values."""
        assert self.kriging is not None
        hidden = hide_clouds(known, _FURTHER_SHARE, rng, self.field)
        if not hidden.any():
            return None
        seen, asked = known.hide(hidden), _thin(hidden)
        mean, error = self.kriging(seen, asked, device=self.device, advance=lambda cells: None)
        weight = np.zeros(error.shape, np.float32)
        weight[asked] = difficulty_weights(error[asked], self.real)
        return standardise_residuals(seen, np.where(asked, known.values, np.nan), mean, error, weight)

    def pairs(self, part: str, mean: Floats, error: Floats) -> Pairs:
        """Return an estimate (time, lat, lon) of held-out values: "validation", "test" or all "held_out"."""
        which: np.ndarray = getattr(self, part)
        truth, weight = self.field.values[which], self.weight[which]
        return Pairs(mean[which], error[which], truth, weight, error_groups(which))

    def residuals(self, part: str, mean: Floats, error: Floats) -> Residuals:
        """Return residuals of an estimate at held-out values: "validation", "test" or all "held_out"."""
        truth = np.where(getattr(self, part), self.field.values, np.nan)
        return standardise_residuals(self.field.hide(self.held_out), truth, mean, error, self.weight)

    def places(self, part: str) -> Places:
        """Return where and when the values of `pairs` are."""
        which: np.ndarray = getattr(self, part)
        date, row, column = np.nonzero(which)
        distance, age = distance_and_age(self.field.hide(self.held_out))
        lat, lon = self.field.lat[row, column], self.field.lon[row, column]
        return Places(self.field.dates[date], lat, lon, distance[which], age[which])

    def make_masked_copy(self, hidden: Mask, advance: Advance) -> NetworkInputs:
        """Return network inputs without the held-out values and without the ``hidden`` ones, to train on."""
        assert self.kriging is not None  # `prepare_guess` came before
        known = self.field.hide(self.held_out)
        return make_masked_copy(known, hidden, self.real, self.kriging, self.device, advance)[0]


def _thin(hidden: Mask) -> Mask:
    """Keep every second row and column of many hidden values: their neighbours err alike."""
    kept = np.zeros_like(hidden)
    kept[:, ::2, ::2] = hidden[:, ::2, ::2]
    return kept if kept.sum() >= _ENOUGH else hidden
