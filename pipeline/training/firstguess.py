"""The cheap estimate that a network corrects: local optimal interpolation, remade for every set of gaps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..classical.kriging import Kriging, pixel_means
from ..classical.neighbours import Scales
from ..holdout.splits import difficulty_weights
from ..io.field import Field
from .features import NetworkInputs, make_network_inputs

Floats = NDArray[np.float32]
Advance = Callable[[int], None]


def measure_spread(field: Field, mean: Floats | None = None) -> float:
    """Return the standard deviation of a field's anomalies, in its units: the unit of network inputs.

    Anomalies are taken from the ``mean``, by default that of each pixel.
    """
    return (
        float(np.nanstd(field.values - (pixel_means(field) if mean is None else mean)))
        if field.statistics is None
        else field.statistics.spread
    )


@dataclass(frozen=True)
class PixelMeans:
    """The mean of each pixel as the first guess, its error the deviation of the field: the papers' set-up."""

    spread: float
    neighbours: int = 0

    @property
    def scales(self) -> Scales:
        """Covariance scales with an observation error of a tenth of the field's deviation."""
        return Scales((), (self.spread / 10) ** 2)

    def mean(self, field: Field) -> Floats:
        """Return the mean (lat, lon) of each pixel."""
        return pixel_means(field)

    def __call__(
        self, field: Field, where: NDArray[np.bool_], *, device: str = "cpu", advance: Advance
    ) -> tuple[Floats, Floats]:
        """Return estimate and standard error (time, lat, lon) at ``where``, NaN elsewhere."""
        wanted = where & field.sea
        advance(int(wanted.sum()))
        mean = np.where(wanted, pixel_means(field), np.float32(np.nan)).astype(np.float32)
        return mean, np.where(wanted, np.float32(self.spread), np.float32(np.nan))


Guess = Kriging | PixelMeans


def make_guess(
    field: Field, where: NDArray[np.bool_], kriging: Guess, device: str, advance: Advance
) -> tuple[NetworkInputs, Floats, Floats]:
    """Return the network inputs of a field, and the guess and its error (time, lat, lon) at ``where``."""
    guess, error = kriging(field, where, device=device, advance=advance)
    mean = kriging.mean(field)
    known = make_network_inputs(
        field, mean, guess, error, float(kriging.scales.nugget), measure_spread(field, mean)
    )
    return known, guess, error


def make_masked_copy(
    field: Field,
    hidden: NDArray[np.bool_],
    real: Floats,
    kriging: Guess,
    device: str,
    advance: Advance,
    where: NDArray[np.bool_] | None = None,
) -> tuple[NetworkInputs, Floats, Floats]:
    """Return a masked copy: the same without the values at ``hidden``, which become the residuals.

    The guess does not use the hidden values (time, lat, lon). It is made for every missing value, or only at
    ``where``. The residuals carry difficulty weights with respect to the real gaps, where the errors of the
    guess are ``real`` (n,).
    """
    seen = field.hide(hidden)
    guess, error = kriging(seen, ~seen.observed if where is None else where, device=device, advance=advance)
    weight = np.zeros(error.shape, np.float32)
    weight[hidden] = difficulty_weights(error[hidden], real)
    truth = np.where(hidden, field.values, np.float32(np.nan))
    mean = kriging.mean(seen)
    remade = make_network_inputs(
        seen,
        mean,
        guess,
        error,
        float(kriging.scales.nugget),
        measure_spread(seen, mean),
        truth,
        weight,
    )
    return remade, guess, error
