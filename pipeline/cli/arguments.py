"""The arguments of the command line and their help."""

from __future__ import annotations

import argparse
from importlib.metadata import version

import shtab

from . import filling, repeating, using
from .logs import add_logging
from .options import (
    Parser,
    UsageError,
    with_negative_regions,
)

LIGHTNING = {
    "fit": "train a network from a configuration",
    "test": "score a trained network on the test values",
    "predict": "fill a file with a trained network",
}
_OF_LIGHTNING = "--config", "--ckpt_path"  # with one of these `validate` is the stage of Lightning
_FILES = (
    "INPUT",
    "FILE",
    "FILE:NAME",
    "FILLED",
    "NEW",
    "TRUTH",
    "POINTS",
)  # as options call them, or by their endings
_WHO = {
    "to fill a field": ("info", "fill", "plot", "report", "score", "compare", "update", "rerun"),
    "to check and publish it": ("validate", "export", "derive", "forecast"),
    "to fill many or large files": ("prepare", "batch"),
    "to repeat what was published": ("challenge", "reproduce"),
    "to train networks (`pretrain`, and the stages of Lightning)": ("pretrain", *LIGHTNING),
}


class _ByUser(argparse.RawDescriptionHelpFormatter):
    """The help of the root, whose commands are grouped by who needs them."""

    def _format_action(self, action: argparse.Action) -> str:
        if not isinstance(action, argparse._SubParsersAction):
            return super()._format_action(action)
        described = {one.dest: one.help for one in action._get_subactions()}
        parts = []
        for who, names in _WHO.items():
            parts += [f"  {who}:", *(f"    {name:10} {described[name]}" for name in names)]
        return "\n".join(parts) + "\n"


def parser() -> argparse.ArgumentParser:
    """Return the parser of all commands; it stores the name of the command in ``command``.

    It raises `UsageError` for words that it does not understand.
    """
    root = Parser(
        prog="oceanfill",
        description="Fills the gaps of satellite ocean fields, with an honest error for each pixel.",
        epilog="`oceanfill COMMAND --help` explains a command.\n\nexamples:\n"
        "  oceanfill fill sample:sst_clouds.nc -o filled.nc --plot filled.png\n"
        "  oceanfill --print-completion bash > ~/.local/share/bash-completion/completions/oceanfill",
        formatter_class=_ByUser,
        allow_abbrev=False,
    )
    root.add_argument("--version", action="version", version=f"oceanfill {version('oceanfill')}")
    shtab.add_argument_to(
        root, "--print-completion", help="print the completion of this command line for a shell and exit"
    )
    commands = root.add_subparsers(title="commands", required=True, metavar="COMMAND", dest="command")
    filling.add_info(commands)
    filling.add_prepare(commands)
    filling.add_fill(commands)
    filling.add_batch(commands)
    using.add_score(commands)
    using.add_update(commands)
    using.add_rerun(commands)
    using.add_compare(commands)
    using.add_plot(commands)
    using.add_report(commands)
    using.add_export(commands)
    using.add_derive(commands)
    using.add_validate(commands)
    using.add_forecast(commands)
    repeating.add_challenge(commands)
    repeating.add_reproduce(commands)
    repeating.add_pretrain(commands)
    for name, what in LIGHTNING.items():
        commands.add_parser(name, help=what, add_help=False)
    for command in commands.choices.values():
        _complete_files(command)
    return root


def _complete_files(command: argparse.ArgumentParser) -> None:
    """Have the shell complete the names of files and folders."""
    for action in command._actions:
        kind = str(action.metavar)
        if kind == "FOLDER":
            action.complete = shtab.DIRECTORY  # type: ignore[attr-defined]
        elif kind in _FILES or "." in kind:
            action.complete = shtab.FILE  # type: ignore[attr-defined]


def parse(words: list[str]) -> argparse.Namespace:
    """Return the options of a command line. Raises `UsageError` where it is not understood."""
    if words and (words[0] in LIGHTNING or (words[0] == "validate" and _is_stage(words))):
        own = Parser(prog=f"oceanfill {words[0]}", add_help=False, allow_abbrev=False)
        add_logging(own)  # the other options are for Lightning to understand
        options, others = own.parse_known_args(words[1:])
        options.command, options.others = words[0], others
    else:
        options, others = parser().parse_known_args(with_negative_regions(words))
        if others and options.command not in ("reproduce", "pretrain"):
            raise UsageError(f"unrecognized arguments: {' '.join(others)}", f"oceanfill {options.command}")
        options.others = others
    options.words = words
    return options


def _is_stage(words: list[str]) -> bool:
    return any(word.partition("=")[0] in _OF_LIGHTNING for word in words)
