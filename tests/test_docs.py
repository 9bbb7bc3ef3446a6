"""The documentation: every command in it is understood, and its shell blocks run."""

from __future__ import annotations

import itertools
import re
import shlex
from argparse import ArgumentError
from pathlib import Path

import pytest
import xarray as xr
from fields import cloudy_dataset
from oceanfill.pipeline.cli.arguments import LIGHTNING, parse
from oceanfill.pipeline.cli.main import main
from oceanfill.pipeline.experiments.reproduce import build_parser, find_experiment, list_names

import oceanfill

HERE = Path(__file__).resolve().parents[1]
PAGES = sorted([*HERE.glob("*.md"), *(HERE / "docs").rglob("*.md"), HERE / "benchmarks" / "RESULTS.md"])
PAGES = [page for page in PAGES if "site" not in page.relative_to(HERE).parts]
_FENCED = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
_INLINE = re.compile(r"`(oceanfill [a-z]+ [^`-][^`]*)`")  # not those that only name an option


def list_commands(text: str) -> list[list[str]]:
    """The words of all commands of oceanfill in the lines of a text, without comments."""
    lines = text.replace("\\\n", " ").splitlines()
    found = [line.strip().removeprefix("$ ") for line in lines]
    return [shlex.split(line, comments=True)[1:] for line in found if line.startswith("oceanfill ")]


def list_examples(page: Path) -> list[list[str]]:
    """The commands of a page: those on lines of their own, and whole ones within a sentence."""
    text = page.read_text(encoding="utf-8")
    inline = [" ".join(one.split()) for one in _INLINE.findall(text)]
    return [*list_commands(text), *list_commands("\n".join(inline))]


def test_pages_have_as_many_examples_as_one_would_expect():
    assert sum(len(list_examples(page)) for page in PAGES) > 110


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(HERE)))
def test_commands_of_the_documentation_are_understood(page):
    for words in list_examples(page):
        if "..." in words or {"COMMAND", "NAME", "--help", "--print-completion"} & set(words):
            continue
        options = parse(words)
        assert options.command == words[0]
        if options.command == "reproduce" and options.name in list_names():
            build_parser(find_experiment(options.name), options.quick).parse_args(options.others)


@pytest.mark.parametrize(
    "words",
    [
        words
        for page in PAGES
        for words in list_examples(page)
        if words[0] in (*LIGHTNING, "pretrain")
        and not {"...", "--help", "--seas-only", "my_network.yaml"} & set(words)
    ],
    ids=" ".join,
)
def test_commands_for_lightning_are_understood(words, capsys):
    with pytest.raises(SystemExit) as ended:
        main([*words, "--print_config"])
    assert ended.value.code is None or ended.value.code == 0
    assert "class_path: " in capsys.readouterr().out


def test_the_reference_lists_all_that_python_offers():
    page = (HERE / "docs" / "reference" / "python.md").read_text(encoding="utf-8")
    listed = re.findall(r"^\.\. auto\w+:: oceanfill\.(\w+)$", page, re.MULTILINE)
    assert sorted(listed) == sorted(set(oceanfill.__all__) - {"errors", "settings"})


def test_a_misspelt_option_of_an_experiment_is_found():
    (words,) = list_commands("oceanfill reproduce mnist-vae --epoch 3")
    options = parse(words)
    with pytest.raises(ArgumentError, match="--epoch"):
        build_parser(find_experiment(options.name), options.quick).parse_args(options.others)


def list_shell_blocks() -> list:
    return [
        pytest.param(block, id=f"{page.relative_to(HERE)}:{number}")
        for page in PAGES
        if page.name != "CONTRIBUTING.md"  # test_contributing.py runs these, with the files that they need
        for number, (kind, block) in enumerate(_FENCED.findall(page.read_text(encoding="utf-8")))
        if kind == "shell"
    ]


@pytest.mark.parametrize("block", list_shell_blocks())
def test_shell_blocks_of_the_documentation_run(block, tmp_path, monkeypatch):
    """`your.nc` and the sample are small fields; lines of other programs, which install, are left out."""
    monkeypatch.chdir(tmp_path)
    cloudy_dataset(dates=16, rows=12, columns=14).drop_vars("truth").to_netcdf("your.nc")
    with xr.open_dataset(HERE / "sample_data" / "sst_clouds.nc") as sample:
        sample.isel(time=slice(40), lat=slice(40, 52), lon=slice(60, 74)).to_netcdf("sample.nc")
    for words in list_commands(block.replace("sample:sst_clouds.nc", "sample.nc")):
        assert main(words) == 0, words
        for option, name in itertools.pairwise(words):
            if option in ("-o", "--plot"):
                assert Path(name).exists()
