"""Run a shipped experiment and write its results table, figures and configuration."""

from __future__ import annotations

import time
from argparse import ArgumentError
from collections.abc import Callable, Sequence
from dataclasses import MISSING, dataclass, fields
from functools import cached_property
from importlib import import_module
from importlib.resources import files
from pathlib import Path
from typing import Any, get_type_hints

import yaml
from jsonargparse import ArgumentParser

from ..errors import InputError
from ..settings import choose_device
from .findings import Finding
from .options import Network, RunOptions

_GROUPS = ("sanity", "papers")
HEADINGS = ("value", "published", "target", "met")
COSTS = ("time", "memory", "target")


@dataclass(frozen=True)
class Experiment:
    """A function of a folder and options that returns findings, with the options of its shipped YAML file."""

    name: str
    function: Callable[[Path, Any], list[Finding]]
    options: dict[str, Any]
    quick: dict[str, Any]  # options that reduce it to seconds
    summary: str  # by default the first line of the function's documentation
    costs: dict[str, str]  # what it takes and what it should reach, by `COSTS`; empty where not stated

    def describe(self) -> str:
        """Return the summary, and a line for each of the costs that are stated."""
        return "\n".join([self.summary, *(f"{name}: {text}" for name, text in self.costs.items() if text)])

    @cached_property
    def options_class(self) -> type[RunOptions]:
        """The dataclass of its options: the type of the function's argument of that name."""
        found: type[RunOptions] = get_type_hints(self.function)["options"]
        return found


def list_names() -> list[str]:
    """List the names of the shipped experiments in alphabetical order."""
    return sorted(
        entry.name.removesuffix(".yaml")
        for group in _GROUPS
        if (files("oceanfill.configs") / group).is_dir()
        for entry in (files("oceanfill.configs") / group).iterdir()
        if entry.name.endswith(".yaml")
    )


def find_experiment(name: str) -> Experiment:
    """Find a shipped experiment by its name, or any by the path of its YAML file.

    Raises `InputError` if there is none.
    """
    if name.endswith(".yaml") and Path(name).is_file():
        return _read_experiment(Path(name).stem, Path(name))
    for group in _GROUPS:
        path = files("oceanfill.configs") / group / f"{name}.yaml"
        if path.is_file():
            return _read_experiment(name, path)
    raise InputError(f"there is no experiment {name!r}; choose one of {', '.join(list_names())}")


def _read_experiment(name: str, path: Any) -> Experiment:
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        module, _, function = content["experiment"].rpartition(".")
        called = getattr(import_module(module), function)
    except (OSError, UnicodeDecodeError, yaml.YAMLError, LookupError, TypeError, ImportError) as error:
        raise InputError(
            f"{path}: is not an experiment ({error}); it needs `experiment: package.module.function`"
        ) from error
    except (AttributeError, ValueError) as error:
        raise InputError(f"{path}: its experiment cannot be imported ({error}); check its name") from error
    summary = content.get("summary") or (called.__doc__ or "").strip().partition("\n")[0]
    costs = {cost: str(content.get(cost, "")) for cost in COSTS}
    return Experiment(name, called, content.get("options", {}), content.get("quick", {}), summary, costs)


def build_parser(experiment: Experiment, quick: bool) -> ArgumentParser:
    """Build the command-line parser of an experiment, with its shipped configuration as the defaults."""
    parser = ArgumentParser(
        prog=f"oceanfill reproduce {experiment.name}",
        description=experiment.describe(),
        epilog="oceanfill reproduce --help explains --quick, --output and the other options of the command",
        allow_abbrev=False,
        exit_on_error=False,
    )
    parser.add_argument("--config", action="config", help="configuration file of an earlier run")
    defaults = experiment.options | {"device": "auto"} | (experiment.quick if quick else {})
    networks = _list_networks(experiment.options_class)
    parser.add_class_arguments(experiment.options_class, skip={"quiet", *networks}, fail_untyped=True)
    # As one dictionary, jsonargparse takes a network for the class itself, and misplaces its arguments.
    for name, default in networks.items():
        network = defaults.pop(name, default)
        parser.add_argument(
            f"--{name}.class_path",
            type=str,
            default=network["class_path"],
            help="Import path of the network's class.",
        )
        parser.add_argument(
            f"--{name}.init_args",
            type=dict[str, Any],
            default=network.get("init_args", {}),
            help=f"Its arguments, as JSON or one by one: --{name}.init_args.NAME VALUE.",
        )
    parser.set_defaults(defaults)
    return parser


def _list_networks(options: type[RunOptions]) -> dict[str, Any]:
    """List the options that are networks, with their defaults, if any."""
    hints = get_type_hints(options, include_extras=True)
    return {
        field.name: None if field.default_factory is MISSING else field.default_factory()
        for field in fields(options)
        if hints[field.name] == Network
    }


def reproduce(
    name: str,
    folder: Path,
    arguments: Sequence[str] = (),
    *,
    quick: bool = False,
    quiet: bool = True,
    overwrite: bool = False,
) -> list[Finding]:
    """Run an experiment with command-line ``arguments`` and write its results into ``folder``.

    These are ``config.yaml``, which repeats the run when passed to ``--config``, ``table.md``, and the
    figures and checkpoints of the experiment. Raises `InputError` for an unknown experiment, for a folder
    that cannot be created, and unless ``overwrite`` for one with the results of another run.
    """
    experiment = find_experiment(name)
    parser = build_parser(experiment, quick)
    try:
        parsed = parser.parse_args(list(arguments))
    except ArgumentError as error:
        raise InputError(
            f"{name}: {' '.join(str(error).split())}; see oceanfill reproduce {name} --help"
        ) from error
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{folder}: cannot be created ({error.strerror}); choose another folder") from error
    config, table = folder / "config.yaml", folder / "table.md"
    other = config.exists() and config.read_text(encoding="utf-8") != parser.dump(parsed)
    if (table.exists() or other) and not overwrite:
        raise InputError(f"{folder}: holds other results; add --overwrite or choose another folder")
    parser.save(parsed, config, overwrite=True)
    values = dict(parsed.as_dict())
    values.pop("config", None)
    values["device"] = choose_device(values["device"])
    options = experiment.options_class(**values, quiet=quiet)
    start = time.perf_counter()
    findings = experiment.function(folder, options)
    markdown = _format_markdown(name, findings, time.perf_counter() - start)
    table.write_text(markdown, encoding="utf-8")
    return findings


def format_cells(finding: Finding) -> tuple[str, ...]:
    """Return a finding as the cells of a table, under its quantity and the `HEADINGS`."""
    targets = [
        f"{sign} {bound:.4g}"
        for sign, bound in (("≥", finding.at_least), ("≤", finding.at_most))
        if bound is not None
    ]
    met = {None: "", True: "yes", False: "no"}[finding.met]
    reference = "" if finding.reference is None else f"{finding.reference:.4g}"
    return finding.quantity, f"{finding.value:.4g}", reference, " ".join(targets), met


def _format_markdown(name: str, findings: Sequence[Finding], seconds: float) -> str:
    lines = [
        f"# {name}",
        "",
        "| | " + " | ".join(HEADINGS) + " |",
        "| --- | " + " | ".join("---:" for _ in HEADINGS) + " |",
        *("| " + " | ".join(format_cells(finding)) + " |" for finding in findings),
        "",
        f"{seconds:.0f} s.",
    ]
    return "\n".join(lines) + "\n"
