"""What a fill has fitted, as plain numbers in the attributes of its output: an update applies them again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from ..classical.kriging import Kriging
from ..classical.neighbours import Component, Scales
from ..errors import InputError
from ..holdout.calibration import Calibration
from ..holdout.shrinkage import Shrinkage
from ..io.field import Field
from ..io.layout.dates import format_date
from ..io.opening import Opening
from ..io.transforms import find_transform
from ..settings import FillSettings
from ..training.firstguess import measure_spread
from ..training.heldout import HeldOut
from ..training.networks import NETWORKS
from .evaluate import ErrorScale, Evaluation
from .methods import Candidate

ATTRIBUTE = "fitted_numbers"
_APART = "oi", "pretrained"  # methods that fill each of several variables by itself
_METHODS = ("oi", "pretrained", *NETWORKS)  # of which a file may name one: no code of others


@dataclass(frozen=True)
class Fitted:
    """The numbers that make an estimate and its error from the observations, and how these were opened."""

    candidate: str  # that is delivered
    method: str  # that makes it
    kriging: Kriging
    scale: ErrorScale
    shrinkage: Shrinkage | None  # of the candidate's correction
    network: Mapping[str, str] | None  # `Candidate.network`
    spread: float  # standard deviation of the anomalies, the unit of network inputs
    transform: str
    offset: float
    dates: tuple[int, str, str]  # that the numbers and the mean of each pixel were fitted to: how many, ends
    error: float | None  # standard error of all observations; None where each has its own
    opening: Opening

    def to_json(self) -> str:
        """Return the numbers as text, from which `from_json` makes the same to the bit."""
        floor = self.scale.floor
        scale = replace(self.scale, floor=None if floor is None else replace(floor, half_widths=()))
        limited = {"limit": self.scale.limit if np.isfinite(self.scale.limit) else None}
        plain = asdict(replace(self, opening=None)) | {"scale": asdict(scale) | limited}  # type: ignore[arg-type]
        return json.dumps(plain | {"opening": self.opening.given()}, separators=(",", ":"), default=float)

    @staticmethod
    def from_json(text: str) -> Fitted:
        """Return what `to_json` wrote. Raises `ValueError`, `KeyError` or `TypeError` for anything else."""
        kept = json.loads(text)
        if kept["method"] not in _METHODS:
            raise ValueError(f"no method {kept['method']!r}")
        limit = kept["scale"]["limit"]
        scale = kept["scale"] | {"limit": np.inf if limit is None else limit}
        share = kept["shrinkage"]
        read = {
            "kriging": read_kriging(kept["kriging"]),
            "scale": read_scale(scale),
            "shrinkage": None if share is None else Shrinkage(**share),
            "dates": tuple(kept["dates"]),
            "opening": Opening(**kept["opening"]),
        }
        return Fitted(**kept | read)


def read_kriging(kept: Mapping[str, Any]) -> Kriging:
    """Return the optimal interpolation whose fields these are, as `asdict` writes them."""
    components, nugget = kept["scales"]
    scales = Scales(tuple(Component(*part) for part in components), nugget)
    return Kriging(**dict(kept) | {"scales": scales})


def read_scale(kept: Mapping[str, Any]) -> ErrorScale:
    """Return the scale of an error whose fields these are, as `asdict` writes them."""
    floor = kept["floor"]
    parts = {"calibration": Calibration(**kept["calibration"])}
    return ErrorScale(**dict(kept) | parts | {"floor": None if floor is None else Calibration(**floor)})


def describe_fitted(
    part: HeldOut, alone: bool, evaluation: Evaluation[Candidate], settings: FillSettings, opening: Opening
) -> dict[str, str]:
    """Return the attribute of an output from which a variable can be updated; none where it cannot.

    It can where it was filled by optimal interpolation, or by a network that corrects it, from nothing but
    its own observations, and the output holds these. Without others, a variable is ``alone``.
    """
    field, best, guess = part.field, evaluation.delivered, part.kriging
    made = best.method == "oi" or best.network is not None
    alone = (alone or best.method in _APART) and field.drift is None and field.displacement is None
    kept = not (settings.analysis_everywhere or settings.samples)
    if not (made and alone and kept and isinstance(guess, Kriging)):
        return {}
    fitted = Fitted(
        best.name,
        best.method or best.name,
        guess,
        evaluation.scale,
        evaluation.shrinkage,
        best.network,
        measure_spread(field, guess.mean(field)),
        field.transform,
        field.offset,
        (len(field.dates), format_date(field.dates[0]), format_date(field.dates[-1])),
        _find_error(field, opening),
        replace(opening, variable=field.name, mask_variable=None, period=None),
    )
    return {ATTRIBUTE: fitted.to_json()}


def _find_error(field: Field, opening: Opening) -> float | None:
    """Return the standard error that all observations have, in the variable's units; None for several."""
    if opening.error_variable is not None:
        return None
    error = opening.observation_error or 0.0
    values = field.source.transpose(*field.dims).to_numpy()[field.observed]
    same = find_transform(field.transform).forward_error(values, np.full(values.shape, error, np.float32))
    return error if np.allclose(same.astype(np.float32) ** 2, field.error_variance[field.observed]) else None


def read_fitted(file: str, name: str, attributes: Mapping[Any, Any]) -> Fitted:
    """Return the numbers of a variable in the attributes of a filled file.

    Raises `InputError` where there are none.
    """
    text = attributes.get(f"{name}_{ATTRIBUTE}", attributes.get(ATTRIBUTE))
    if text is None:
        raise InputError(
            f"{file}: does not hold the numbers that an update needs, as older files and some fills do not; "
            "fill it once with `oceanfill fill`, in memory, by optimal interpolation or a network that "
            "corrects it, without samples= and analysis_everywhere="
        )
    try:
        return Fitted.from_json(str(text))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"{file}: its attribute {ATTRIBUTE} cannot be read ({type(error).__name__}: {error}); fill it "
            "once with `oceanfill fill`"
        ) from error
