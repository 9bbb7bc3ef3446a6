"""Progress of work that takes longer than a moment: a bar on a terminal or in a notebook, lines elsewhere."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from importlib.util import find_spec

from rich.console import Console, RenderableType
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.text import Text

# The stages of a fill, in their order; which of them there are depends on the method.
READ = "reading"
FIT = "fitting the covariance"
GUESS = "optimal interpolation"
EXAMPLES = "training examples"
TRAINING = "training"
APPLY = "applying and scoring"
OTHERS = "methods without a network"  # of the method auto
BLOCKS = "filling block by block"
WRITE = "writing"

_EVERY = 10.0  # seconds between two lines of a stage
_MEASURED = 0.03  # of a stage, from where on its own speed tells when it ends

Show = Callable[[str, str, str, float, bool], None]

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Stage:
    """A part of a job: how long it is expected to take, and how many units of work it has."""

    name: str
    seconds: float = 1.0
    units: int | None = None  # None: as many as the step that is shown


class Overall:
    """What is shown of a job in stages: where it is, and how long it still takes.

    ``show`` is called with where the job is, the time left (or nothing), a note, the share that is done, and
    whether a stage begins.
    """

    def __init__(
        self,
        stages: Sequence[Stage],
        show: Show,
        clock: Callable[[], float] | None = None,
    ) -> None:
        self.stages, self.show, self.clock = stages, show, clock or time.monotonic
        self.at = 0
        self.begun = self.stage_begun = self.clock()
        self.done, self.total, self.before = 0.0, 0, 0.0  # units of this step, and of the stage before it
        self.what = self.note = ""
        self.shown = 0.0  # share: a bar does not go back
        self.speeds: list[tuple[float, float]] = []  # seconds that stages took, and were expected to take

    @property
    def share(self) -> float:
        """How much of the stage is done."""
        units = self.stages[self.at].units
        done, total = (self.done, self.total) if units is None else (self.before + self.done, units)
        return min(done / total, 1.0) if total else 0.0

    @property
    def seconds_left(self) -> float:
        """How long the job still takes: this stage by its own speed, later ones by that of all before."""
        share, took = self.share, self.clock() - self.stage_begun
        expected = self.stages[self.at].seconds
        speeds = [*self.speeds, (took, share * expected)] if share > _MEASURED else self.speeds
        slower = sum(one for one, _ in speeds) / max(sum(one for _, one in speeds), 1e-9) if speeds else 1.0
        own = took * (1 - share) / share if share > _MEASURED else max(slower * expected - took, 0.0)
        return own + slower * sum(stage.seconds for stage in self.stages[self.at + 1 :])

    def enter(self, name: str | None, what: str, total: int | None) -> None:
        """Begin a step, and its stage where that is a later one."""
        names = [stage.name for stage in self.stages]
        later = name in names[self.at + 1 :]
        if later:
            self.leave()
            self.at = names.index(str(name))
            self.stage_begun, self.before = self.clock(), 0.0
        else:
            self.before += self.done
        self.done, self.total, self.what, self.note = 0.0, total or 0, what, ""
        self.tell(begins=later)

    def plan(self, stages: Sequence[Stage]) -> None:
        """Replace the stages, now that more is known of the job, unless the first one is over."""
        if self.at == 0:
            self.stages = stages

    def advance(self, more: float) -> None:
        """Add to what is done of the step."""
        self.done += more
        self.tell()

    def tell(self, begins: bool = False) -> None:
        """Show the stage, and the time left once it is known."""
        left = self.seconds_left
        passed = self.clock() - self.begun
        self.shown = max(self.shown, passed / max(passed + left, 1e-9))
        stage = self.stages[self.at].name
        text = f"{self.at + 1} of {len(self.stages)}: {stage}" if len(self.stages) > 1 else stage
        text += f", {self.what}" if self.what not in ("", stage) else ""
        known = self.speeds or self.share > _MEASURED
        self.show(text, f"about {say_time(left)} left" if known else "", self.note, self.shown, begins)

    def leave(self) -> None:
        """End a stage."""
        took = self.clock() - self.stage_begun
        if self.at:  # to read files says nothing about the speed of computing
            self.speeds.append((took, self.stages[self.at].seconds))
        _log.debug("%s took %s", self.stages[self.at].name, say_time(took))


class Step:
    """What is done of a step; call it with how many more units are."""

    def __init__(self, overall: Overall | None) -> None:
        self.overall = overall

    def __call__(self, more: float) -> None:
        if self.overall is not None:
            self.overall.advance(more)

    def say(self, what: str, note: str | None = None) -> None:
        """Change what is shown of the step, and the note."""
        if self.overall is not None:
            self.overall.what = what
            self.overall.note = self.overall.note if note is None else note


class _Bar(Progress):
    """A bar, what it is of above it, and a note below it."""

    text = note = ""

    def get_renderables(self) -> Iterable[RenderableType]:
        yield Text(self.text)
        yield self.make_tasks_table(self.tasks)
        if self.note:
            yield Text(f"  {self.note}", style="dim")


_current: ContextVar[Overall | None] = ContextVar("overall", default=None)


@contextmanager
def show_stages(stages: Sequence[Stage], quiet: bool) -> Iterator[None]:
    """Show the stages of a job in one bar while the block runs; `progress` is part of it then.

    Parameters
    ----------
    stages
        In the order in which they come. One that does not come is passed over.
    quiet
        Whether nothing is shown.
    """
    with _show(stages, quiet, at_once=True) as overall:
        if overall is not None:
            overall.tell(begins=True)
        yield


def plan_stages(stages: Sequence[Stage]) -> None:
    """Replace the stages of the job that is shown, if there is one, now that more is known of it."""
    overall = _current.get()
    if overall is not None:
        overall.plan(stages)


def enter_stage(name: str) -> None:
    """Begin a stage of the job that is shown, if there is one and it has that stage."""
    overall = _current.get()
    if overall is not None and name in (stage.name for stage in overall.stages):
        overall.enter(name, "", None)


@contextmanager
def progress(what: str, total: int | None, quiet: bool, stage: str | None = None) -> Iterator[Step]:
    """Show how a step comes on while the block runs; yield the function that advances it.

    Parameters
    ----------
    what
        The step in words.
    total
        How many units of work it has; None where that is not known.
    quiet
        Whether nothing is shown.
    stage
        The stage of a job that it belongs to (`show_stages`); of no importance outside one.
    """
    overall = _current.get()
    if quiet or overall is not None:
        if not quiet and overall is not None:
            overall.enter(stage, what, total)
        yield Step(None if quiet else overall)
        return
    with _show([Stage(stage or what)], quiet, at_once=False) as alone:
        assert alone is not None
        alone.enter(None, what, total)
        yield Step(alone)


def has_bar(console: Console) -> bool:
    """Return whether a console can show a bar that moves."""
    if console.is_jupyter:
        return find_spec("ipywidgets") is not None
    return console.is_terminal and not console.is_dumb_terminal


def say_time(seconds: float) -> str:
    """Return a duration in words, as roughly as it is known."""
    if seconds < 90:
        return f"{max(seconds, 1):.0f} s"
    minutes = round(seconds / 60)
    if minutes < 90:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours < 10 else f"{hours} h"


@contextmanager
def _show(stages: Sequence[Stage], quiet: bool, at_once: bool) -> Iterator[Overall | None]:
    if quiet or not stages:
        token = _current.set(None)  # the stages of a quiet job are not those of the job that runs it
        try:
            yield None
        finally:
            _current.reset(token)
        return
    console = Console(stderr=True)
    lines = _Lines(at_once)
    if not has_bar(console):
        with _made_current(Overall(stages, lines.show)) as overall:
            yield overall
        return
    columns = SpinnerColumn(), BarColumn(), TimeElapsedColumn(), TextColumn("{task.description}")
    with _Bar(*columns, console=console, transient=True) as bar:
        task = bar.add_task("", total=1.0)
        with _made_current(Overall(stages, _make_show(bar, task, lines))) as overall:
            yield overall


def _make_show(bar: _Bar, task: TaskID, lines: _Lines) -> Show:
    def show(text: str, left: str, note: str, share: float, begins: bool) -> None:
        bar.text, bar.note = text, note
        bar.update(task, description=left, completed=share)
        lines.show(text, left, note, share, begins, has_bar=True)

    return show


@contextmanager
def _made_current(overall: Overall) -> Iterator[Overall]:
    token = _current.set(overall)
    try:
        yield overall
        overall.leave()
    finally:
        _current.reset(token)


class _Lines:
    """The lines of a log: the first of each stage, and then one every few seconds."""

    def __init__(self, at_once: bool) -> None:
        self.last = -_EVERY if at_once else time.monotonic()
        self.at_once = at_once

    def show(
        self, text: str, left: str, note: str, share: float, begins: bool, has_bar: bool = False
    ) -> None:
        now = time.monotonic()
        if now - self.last < _EVERY and not (begins and self.at_once):
            return
        self.last = now
        line = "; ".join(part for part in (text, left, note) if part)
        if _log.isEnabledFor(logging.INFO):
            _log.info("%s", line, extra={"shown": has_bar})
        elif not has_bar:  # nobody has set up a log: a script that asked for progress
            print(f"{time.strftime('%Y-%m-%dT%H:%M:%S')} {line}", file=sys.stderr, flush=True)
