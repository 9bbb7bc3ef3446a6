"""Run an experiment that ships: its table beside the figures to reach, its pictures, how to run it again."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml
from jsonargparse import ArgumentParser
from rich.table import Table

from ..errors import InputError
from ..settings import choose_device
from .findings import Finding

_GROUPS = ("sanity", "papers")


@dataclass(frozen=True)
class Experiment:
    """A configuration that ships."""

    name: str
    function: Callable[..., list[Finding]]
    options: dict[str, Any]
    quick: dict[str, Any]  # options with which it takes seconds

    @property
    def what(self) -> str:
        """Its first line of documentation."""
        return (self.function.__doc__ or "").strip().splitlines()[0]


def names() -> list[str]:
    """The experiments that ship, in the order of their names."""
    return sorted(
        entry.name.removesuffix(".yaml")
        for group in _GROUPS
        if (files("oceanfill.configs") / group).is_dir()
        for entry in (files("oceanfill.configs") / group).iterdir()
        if entry.name.endswith(".yaml")
    )


def find(name: str) -> Experiment:
    """The experiment of that name. Raises `InputError` where there is none."""
    for group in _GROUPS:
        path = files("oceanfill.configs") / group / f"{name}.yaml"
        if path.is_file():
            found = yaml.safe_load(path.read_text(encoding="utf-8"))
            module, _, function = found["experiment"].rpartition(".")
            return Experiment(
                name,
                getattr(import_module(module), function),
                found.get("options", {}),
                found.get("quick", {}),
            )
    raise InputError(f"there is no experiment {name!r}; choose one of {', '.join(names())}")


def parser(experiment: Experiment, quick: bool) -> ArgumentParser:
    """The options of an experiment with its configuration as their defaults."""
    options = ArgumentParser(
        prog=f"oceanfill reproduce {experiment.name}", description=experiment.what, allow_abbrev=False
    )
    options.add_argument("--config", action="config", help="as an earlier run left it")
    options.add_function_arguments(experiment.function, skip={"folder", "quiet"}, fail_untyped=True)
    options.set_defaults(experiment.options | {"device": "auto"} | (experiment.quick if quick else {}))
    return options


def reproduce(
    name: str, folder: Path, words: Sequence[str] = (), *, quick: bool = False, quiet: bool = True
) -> list[Finding]:
    """Run an experiment with the options in ``words`` and leave everything in ``folder``.

    That is ``config.yaml``, with which ``--config`` repeats it, ``table.md``, and the figures and checkpoints
    of the experiment. Raises `InputError` for an unknown experiment and a folder that cannot be made.
    """
    experiment = find(name)
    options = parser(experiment, quick)
    chosen = options.parse_args(list(words))
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{folder}: cannot be made ({error.strerror}); choose another folder") from error
    options.save(chosen, folder / "config.yaml", overwrite=True)
    arguments = dict(chosen.as_dict())
    arguments.pop("config", None)
    arguments["device"] = choose_device(arguments["device"])
    start = time.perf_counter()
    findings = experiment.function(folder, **arguments, quiet=quiet)
    (folder / "table.md").write_text(_markdown(name, findings, time.perf_counter() - start), encoding="utf-8")
    return findings


def table(findings: Sequence[Finding], title: str = "") -> Table:
    """What was found, the figure of the course or the paper, and whether the bar is reached."""
    made = Table(title=title or None, title_justify="left")
    made.add_column("")
    for heading in _HEADINGS:
        made.add_column(heading, justify="right")
    for finding in findings:
        made.add_row(*_cells(finding))
    return made


_HEADINGS = ("ours", "course or paper", "to reach", "met?")


def _cells(finding: Finding) -> tuple[str, ...]:
    bars = [
        f"{sign} {bar:.4g}"
        for sign, bar in (("≥", finding.at_least), ("≤", finding.at_most))
        if bar is not None
    ]
    met = {None: "", True: "yes", False: "no"}[finding.met]
    reference = "" if finding.reference is None else f"{finding.reference:.4g}"
    return finding.what, f"{finding.ours:.4g}", reference, " ".join(bars), met


def _markdown(name: str, findings: Sequence[Finding], seconds: float) -> str:
    lines = [
        f"# {name}",
        "",
        "| | " + " | ".join(_HEADINGS) + " |",
        "| --- | " + " | ".join("---:" for _ in _HEADINGS) + " |",
        *("| " + " | ".join(_cells(finding)) + " |" for finding in findings),
        "",
        f"{seconds:.0f} s.",
    ]
    return "\n".join(lines) + "\n"


def listing() -> Table:
    """The experiments that ship and what they show."""
    made = Table(title="Experiments: oceanfill reproduce NAME", title_justify="left")
    made.add_column("name", no_wrap=True)
    made.add_column("what it shows")
    for name in names():
        made.add_row(name, find(name).what)
    return made
