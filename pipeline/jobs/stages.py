"""The stages of a fill, the time they are expected to take and the memory that they need."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import prod

import numpy as np

from ..io.field import Field
from ..progress import APPLY, BLOCKS, EXAMPLES, FIT, GUESS, OTHERS, READ, TRAINING, WRITE, Stage
from ..records.subset import MOST_LEARNT
from ..settings import HELD_OUT, FillSettings
from .memory import BYTES_TO_LEARN, BYTES_TO_START
from .methods import Method

# Seconds on one core of a server of 2023, on which `measure_speed` returns 1 and 1.
_TO_FIT = 5.0
_TO_GUESS = 1.5e-5  # a cell
_TO_TRAIN = 0.013  # a patch
_TO_APPLY = 5e-6  # a network to a value
_TO_FILL = {"dineof": 1e-5, "blend": 4e-5, "auto": 1.2e-5}  # a value, without a first guess
_SIMPLY = 1e-6  # likewise, for the other methods
_TO_READ, _TO_WRITE = 2e-6, 2e-6  # a value
_EPOCHS, _MOST_EPOCHS = 10, 20  # of a training, and of further training, without a time budget
_HIDDEN, _FURTHER = 0.2, 0.4  # of the observed values: by a masked copy, and to calibrate the first guess
_SEA = 0.7  # share of the cells, where that is not known
_OVERLAP = 1.5  # values of the blocks with their margins over those of the record
_OF_SOLVING, _OF_CONVOLVING = 0.0055, 0.0155  # seconds of the two measurements


@dataclass(frozen=True)
class Size:
    """How much a fill has to do."""

    values: int = 1_000_000  # at sea
    dates: int = 100
    missing: float = 0.5  # share of the values
    variables: int = 1
    filled: int = 1  # of the variables
    blocks: int = 0  # that a large record is cut into
    learnt: int = 10_000_000  # most values that are learnt from


def measure_size(fields: Sequence[Field], filled: int) -> Size:
    """Return how much there is to do for fields in memory, of which the first ones are filled."""
    first = fields[0]
    values, dates = int(first.sea.sum()) * len(first.days), len(first.days)
    missing = 1 - float(first.observed[:, first.sea].mean()) if values else 0.0
    return Size(values, dates, missing, len(fields), filled)


def measure_record(shape: Sequence[int], memory: float, blocks: int, sea: float = _SEA) -> Size:
    """Return how much there is to do for a record of ``shape`` (dates, rows, columns) in blocks.

    ``memory`` is in bytes, and ``sea`` the share of the cells that are sea.
    """
    learnt = min((memory - BYTES_TO_START) / BYTES_TO_LEARN, MOST_LEARNT)
    return Size(int(sea * prod(shape)), shape[0], blocks=blocks, learnt=max(int(sea * learnt), 1))


@dataclass(frozen=True)
class Plan:
    """What a fill would do: its stages, and what it needs."""

    method: Method
    device: str
    stages: list[Stage]  # with the time expected on this machine
    size: Size
    memory: float  # bytes
    allowed: float  # bytes

    @property
    def seconds(self) -> float:
        """The time of all stages."""
        return sum(stage.seconds for stage in self.stages)


def list_stages(method: Method, settings: FillSettings, size: Size | None = None) -> list[Stage]:
    """Return the stages of a fill in their order, and roughly how long each takes.

    Parameters
    ----------
    method
        That fills.
    settings
        Of the fill.
    size
        How much there is to do; that of a usual field where it is not known yet.
    """
    size = size or Size()
    part = size.values if not size.blocks else min(size.values, size.learnt)
    observed, how = part * (1 - size.missing), settings.training
    tuned = method.general and how.finetune is not None
    trained = (method.trains and how.checkpoint is None) or tuned
    network = method.trains or method.general
    stages = [Stage(READ, 1 + _TO_READ * size.values * size.variables)]
    if not method.needs_first_guess or method.name == "auto":
        name = OTHERS if method.name == "auto" else method.title
        cost = _TO_FILL.get(method.name, _SIMPLY)
        stages.append(Stage(name, 1 + 2 * cost * part * size.variables))
    if method.needs_first_guess:
        held = HELD_OUT * observed if settings.holdout else 0.0
        cells = part + held + (part * size.missing if network and held else 0.0)
        if how.first_guess == "oi":
            guess = Stage(GUESS, _TO_GUESS * cells * size.variables, round(cells * size.variables))
            stages += [Stage(FIT, _TO_FIT * size.variables), guess]
        if trained:
            copied = part * size.missing + _HIDDEN * observed
            copies = int(np.clip(round(3e6 / max(copied, 1)), 3, 5))
            patches = int(np.clip(8 * size.dates, 200, 1600))
            epochs = _MOST_EPOCHS if tuned else how.epochs or _EPOCHS
            seconds, budget = _TO_TRAIN * epochs * patches, how.finetune if tuned else how.time_budget
            members = how.ensemble or 1
            seconds = seconds * members if budget is None else min(seconds * members, 60 * budget)
            stages.append(Stage(EXAMPLES, _TO_GUESS * copies * copied * size.variables))
            stages.append(Stage(TRAINING, seconds, members))
        applied = _TO_APPLY * part * (2 if settings.holdout else 1) if network else 0.0
        stages.append(Stage(APPLY, _TO_GUESS * _FURTHER * observed + applied))
    if size.blocks:
        cost = _TO_GUESS if method.needs_first_guess else _TO_FILL.get(method.name, _SIMPLY)
        cost += _TO_APPLY if network else 0.0
        seconds = _OVERLAP * cost * size.values / settings.resources.n_workers
        stages.append(Stage(BLOCKS, 1 + seconds, size.blocks))
    return [*stages, Stage(WRITE, 0.5 + _TO_WRITE * size.values * (size.filled + settings.samples))]


def expect(
    method: Method,
    settings: FillSettings,
    size: Size,
    device: str,
    allowed: float,
    measure: Callable[[str], tuple[float, float]] | None = None,
) -> Plan:
    """Return what a fill would do on this machine.

    Parameters
    ----------
    method, settings, size
        As in `list_stages`.
    device
        "cpu" or "cuda".
    allowed
        Bytes of memory that may be used.
    measure
        Returns how many times slower the device solves and convolves than the reference (`measure_speed`).
    """
    solving, convolving = (measure or measure_speed)(device)
    slower = {FIT: solving, GUESS: solving, EXAMPLES: solving, TRAINING: convolving, APPLY: convolving}
    budget = settings.training.finetune or settings.training.time_budget or np.inf
    most = {TRAINING: 60 * budget}
    stages = [
        replace(stage, seconds=min(stage.seconds * slower.get(stage.name, 1.0), most.get(stage.name, np.inf)))
        for stage in list_stages(method, settings, size)
    ]
    needed = BYTES_TO_START + BYTES_TO_LEARN * size.values * size.variables
    return Plan(method, device, stages, size, min(needed, allowed) if size.blocks else needed, allowed)


def measure_speed(device: str) -> tuple[float, float]:
    """Return how many times slower a device solves systems and convolves maps than the reference."""
    import torch

    generator = torch.Generator().manual_seed(0)
    square = torch.randn(256, 64, 64, generator=generator).to(device)
    systems = square @ square.transpose(1, 2) + 64 * torch.eye(64, device=device)
    maps = torch.randn(8, 32, 64, 64, generator=generator).to(device)
    kernel = torch.randn(32, 32, 3, 3, generator=generator).to(device)

    def take(work: Callable[[], object]) -> float:
        took = []
        for _ in range(4):  # the first is slow: a library wakes up
            begun = time.perf_counter()
            work()
            if device == "cuda":
                torch.cuda.synchronize()
            took.append(time.perf_counter() - begun)
        return min(took)

    with torch.no_grad():
        solving = take(lambda: torch.linalg.cholesky(systems))
        convolving = take(lambda: torch.nn.functional.conv2d(maps, kernel, padding=1))
    return solving / _OF_SOLVING, convolving / _OF_CONVOLVING
