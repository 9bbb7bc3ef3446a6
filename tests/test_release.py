"""What a release states in several places: its version and its dependencies."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
RECIPE = (ROOT / "recipe" / "meta.yaml").read_text(encoding="utf-8")
CONDA = {"torch": "pytorch", "dask": "dask-core", "matplotlib": "matplotlib-base"}  # names that differ


def test_the_version_is_the_same_everywhere() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["version"] == PROJECT["version"]
    assert re.findall(r'set version = "(.*)"', RECIPE) == [PROJECT["version"]]


def test_the_recipe_asks_for_the_dependencies_of_the_project() -> None:
    expected = {}
    for line in PROJECT["dependencies"]:
        name, versions = re.fullmatch(r"([\w-]+)(?:\[\w+\])?(.*)", line).groups()
        expected[CONDA.get(name, name)] = versions
    (run,) = re.findall(r"^  run:\n((?:    - .*\n)+)", RECIPE, re.MULTILINE)
    listed = dict(re.findall(r"- (\S+) ?(.*)", run))
    assert listed.pop("python") == PROJECT["requires-python"]
    assert listed == expected


def test_every_package_of_an_extra_is_pinned_for_ci() -> None:
    pinned = (ROOT / "constraints.txt").read_text(encoding="utf-8").lower()
    for extra in ("sanity", "hpc", "docs"):
        for line in PROJECT["optional-dependencies"][extra]:
            name = re.split("[><=]", line)[0]
            assert f"\n{name}==" in pinned, line
