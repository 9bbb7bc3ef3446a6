"""Runs of the shipped experiments, shortened, for their tests."""

from __future__ import annotations

from functools import reduce
from operator import getitem
from pathlib import Path

import yaml
from oceanfill.pipeline.experiments.findings import Finding
from oceanfill.pipeline.experiments.reproduce import find_experiment, reproduce


def run_shipped(name: str, folder: Path, arguments: str = "") -> dict[str, Finding]:
    """Run a shipped configuration with its quick options and further ``arguments``, as on the command line.

    Returns the findings by quantity. Asserts that the table on disk shows them, and that the configuration
    on disk has the shipped options, the quick ones and the arguments.
    """
    words = f"--device cpu {arguments}".split()
    findings = reproduce(name, folder, words, quick=True)
    rows = [
        [cell.strip() for cell in line.split("|")[1:-1]]
        for line in (folder / "table.md").read_text(encoding="utf-8").splitlines()
        if line.startswith("| ")
    ]
    assert rows[0] == ["", "value", "published", "target", "met"]
    assert [row[0] for row in rows[2:]] == [finding.quantity for finding in findings]
    assert [float(row[1]) for row in rows[2:]] == [float(f"{finding.value:.4g}") for finding in findings]
    experiment = find_experiment(name)
    saved = yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8"))
    expected = experiment.options | experiment.quick
    for word, value in zip(*2 * [iter(words)], strict=True):
        option, *path = word.removeprefix("--").split(".")
        assert reduce(getitem, path, saved[option]) == yaml.safe_load(value)
        expected.pop(option, None)
    assert {key: saved[key] for key in expected} == expected
    return {finding.quantity: finding for finding in findings}
