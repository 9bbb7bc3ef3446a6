"""How a field is filled: everything that a user can choose, except how the inputs are opened."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any

from .errors import InputError

LOSSES = {
    "gaussian": "oceanfill.models.losses.gaussian",
    "kullback-leibler": "oceanfill.models.losses.kullback_leibler",
}
FIRST_GUESSES = ("oi", "none")
STATIC = "place", "scales"  # network inputs that do not depend on the gaps; scales make a network general
DEVICES = ("auto", "cpu", "cuda")
PACKS = ("auto", "none")
FLOWS = {
    "free": "u and v are corrected independently (the default)",
    "low-divergence": "divergence is penalised in training",
    "stream-function": "the current is exactly non-divergent",
}
LEVELS = range(1, 100)  # percent, of the prediction intervals that can be asked for
HELD_OUT = 0.1  # share of the observed values that a fill keeps for validation and test
_MOST_SEED = 2**32 - 1 - 10_000  # numpy's largest, with room for the seeds that are derived from it
_MOST_SAMPLES = 10_000


@dataclass(frozen=True)
class Training:
    """How a network is trained, or the checkpoint it comes from."""

    window: int | None = None  # dates; None: 5, 3 of a short record, or the checkpoint's
    epochs: int | None = None
    time_budget: float | None = None  # minutes
    checkpoint: str | None = None
    save_checkpoint: str | None = None
    trust: bool = False  # import networks and losses that a checkpoint names and that are not oceanfill's
    first_guess: str = "oi"  # or "none": the mean of each pixel
    loss: str = "gaussian"  # one of `LOSSES`
    saves: int | None = None  # networks, of the last epochs, whose predictions are averaged
    ensemble: int | None = None  # networks with other seeds and validation dates, whose predictions are mixed
    finetune: float | None = None  # minutes in which the pretrained network is trained further on the field

    def __post_init__(self) -> None:
        if self.first_guess not in FIRST_GUESSES:
            raise InputError(
                f"no first guess is called {self.first_guess!r}; choose one of {', '.join(FIRST_GUESSES)}"
            )


@dataclass(frozen=True)
class EofFiles:
    """Files that go with DINEOF."""

    cv_points: str | None = None  # CSV file of the values that choose the number of modes
    save_eofs: str | None = None  # NetCDF file for the EOFs


@dataclass(frozen=True)
class Resources:
    """Where the work is done, and how much memory it may take."""

    memory: float | None = None  # GB for all workers; half of the machine's
    n_workers: int = 1  # processes, or jobs of a cluster
    cluster: str | None = None  # "local", "slurm" or the address of a dask scheduler
    cache: str | None = None  # Zarr store that a large input is prepared in, to be kept


@dataclass(frozen=True)
class TrackOptions:
    """The sea of along-track points."""

    mask: str | None = None  # a file with a sea mask on any grid


@dataclass(frozen=True)
class PointOptions:
    """Points that are kept out of the filling and validate it at the end."""

    hold_out: str | None = None  # a file of points, or a mission of along-track input
    hold_out_reach: float | None = None  # km around them within which values are hidden too

    def __post_init__(self) -> None:
        if self.hold_out_reach is not None and self.hold_out is None:
            raise InputError("hold_out_reach= is that of points; give them with hold_out=, or leave it out")
        if self.hold_out_reach is not None and not self.hold_out_reach > 0:
            raise InputError(f"hold_out_reach={self.hold_out_reach} is no distance; give kilometres")


@dataclass(frozen=True)
class Packing:
    """How the values of the output are stored."""

    pack: str = "auto"  # as in the input where the filled values fit; or "none": not as packed integers
    complevel: int = 4  # of the compression

    def __post_init__(self) -> None:
        if self.pack not in PACKS:
            raise InputError(f"there is no packing {self.pack!r}; choose one of {', '.join(PACKS)}")
        if self.complevel not in range(10):
            raise InputError(f"the compression level {self.complevel} is not between 0 and 9; choose another")


@dataclass(frozen=True)
class Currents:
    """What turns radial velocities into a current."""

    radial_direction: str | None = None  # variable of directions, degrees clockwise from north
    flow: str | None = None  # one of `FLOWS`; None: free

    def __post_init__(self) -> None:
        if self.flow is not None and self.flow not in FLOWS:
            raise InputError(f"there is no flow {self.flow!r}; choose one of {', '.join(FLOWS)}")


@dataclass(frozen=True)
class FillSettings:
    """How a field is filled. Checks itself once; raises `InputError` for settings that do not fit.

    ``method`` is a name, a ``package:attribute``, a `jobs.methods.Method` or a function of a `Field` that
    returns the estimate and its standard error; None is the pretrained network, optimal interpolation
    of a single map, or a U-Net where there are options of a training and for radial velocities.
    ``holdout=False`` learns from every value and leaves no score. ``intervals`` are levels in percent of
    prediction intervals, ``samples`` the number of posterior draws.
    """

    method: Any = None
    training: Training = Training()
    eofs: EofFiles = EofFiles()
    resources: Resources = Resources()
    tracks: TrackOptions = TrackOptions()
    points: PointOptions = PointOptions()
    currents: Currents = Currents()
    packing: Packing = Packing()
    holdout: bool = True
    analysis_everywhere: bool = False
    intervals: Sequence[int] = ()
    samples: int = 0
    seed: int = 0
    device: str = "auto"
    quiet: bool = True

    def __post_init__(self) -> None:
        wrong = [level for level in self.intervals if level not in LEVELS]
        if wrong:
            found = ", ".join(map(str, wrong))
            raise InputError(f"intervals of {found} percent; ask for levels of 1 to 99 percent, as 50,90")
        check_seed(self.seed)
        if not 0 <= self.samples <= _MOST_SAMPLES:
            raise InputError(f"{self.samples} samples are not between 0 and {_MOST_SAMPLES}; ask for fewer")
        if self.device != "auto":
            choose_device(self.device)
        object.__setattr__(self, "intervals", tuple(self.intervals))

    def described(self) -> dict[str, Any]:
        """Return the settings that differ from their defaults, flat, as plain data for the attributes."""
        return {name: value for name, value in _flat(self) if name not in ("method", "seed", "quiet")}


def check_seed(seed: int) -> None:
    """Raise `InputError` for a seed that a random number generator does not take."""
    if not 0 <= seed <= _MOST_SEED:
        raise InputError(f"the seed {seed} is not between 0 and {_MOST_SEED}; choose another")


def names_of_settings() -> list[str]:
    """Return the names that `make_settings` takes: those of `FillSettings` and of its parts."""
    return [name for part in (FillSettings, *PARTS.values()) for name in part.__dataclass_fields__]


def make_settings(settings: FillSettings | None, options: Mapping[str, Any]) -> FillSettings:
    """Return ``settings``, or the default ones, with some ``options`` of them and of their parts replaced.

    Raises `InputError` for a part that is not of its class, as a dictionary is not.
    """
    settings = settings or FillSettings()
    for part, kind in PARTS.items():
        if not isinstance(options.get(part, getattr(settings, part)), kind):
            example = next(iter(kind.__dataclass_fields__))
            raise InputError(
                f"{part}= takes a {kind.__name__}; give its options by their names, as {example}="
            )
    own = {name: value for name, value in options.items() if name in FillSettings.__dataclass_fields__}
    for part, kind in PARTS.items():
        inner = {name: value for name, value in options.items() if name in kind.__dataclass_fields__}
        if inner:
            own[part] = replace(own.get(part, getattr(settings, part)), **inner)
    return replace(settings, **own)


PARTS: dict[str, Any] = {
    "training": Training,
    "eofs": EofFiles,
    "resources": Resources,
    "tracks": TrackOptions,
    "points": PointOptions,
    "currents": Currents,
    "packing": Packing,
}


def _flat(part: Any) -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    for one in fields(part):
        value = getattr(part, one.name)
        if is_dataclass(value):
            found += _flat(value)
        elif value != one.default:
            found.append((one.name, value))
    return found


def choose_device(device: str) -> str:
    """Return "cpu" or "cuda" for "auto", "cpu" or "cuda". Raises `InputError` if there is no GPU to use."""
    if device not in DEVICES:
        raise InputError(f"no device is called {device!r}; choose auto, cpu or cuda")
    if device == "cpu":
        return "cpu"
    import torch  # seconds, for those who ask for a device

    if device == "cuda" and not torch.cuda.is_available():
        raise InputError("no CUDA device is found; leave device= out or choose cpu")
    return "cuda" if torch.cuda.is_available() else "cpu"
