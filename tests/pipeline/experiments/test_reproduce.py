"""Every experiment that ships, much too short, and what its run leaves."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
import yaml
from oceanfill.pipeline.errors import InputError
from oceanfill.pipeline.experiments.findings import Finding
from oceanfill.pipeline.experiments.reproduce import find, listing, names, reproduce, table

torch.set_num_threads(1)

# Shorter than quick: a second or two each.
SHORT = {
    "l63-forecast": "--epochs 1 --every 200 --free 10 --starts 2",
    "l63-interpolate": "--every 400 --tests 2 --iterations 5",
    "mnist-autoencoder": "--epochs 1 --training 100",
    "mnist-classify": "--epochs 1 --training 100",
    "mnist-denoise": "--training 50",
    "mnist-finetune": "--steps 4",
    "mnist-interpolate": "--training 50",
    "mnist-linear": "--epochs 1 --training 100",
    "mnist-superresolve": "--training 50",
    "mnist-vae": "--epochs 1 --training 100",
}


def run(name: str, folder: Path) -> list[Finding]:
    return reproduce(name, folder, ["--device", "cpu", *SHORT.get(name, "").split()], quick=True)


@pytest.mark.parametrize("name", names())
def test_an_experiment_that_ships(tmp_path: Path, name: str) -> None:
    findings = run(name, tmp_path / "run")
    assert findings
    assert all(math.isfinite(finding.ours) for finding in findings), findings
    lines = (tmp_path / "run" / "table.md").read_text(encoding="utf-8").splitlines()
    assert lines[0] == f"# {name}"
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines if line.startswith("| ")][2:]
    assert [row[0] for row in rows] == [finding.what for finding in findings]
    assert [float(row[1]) for row in rows] == [float(f"{finding.ours:.4g}") for finding in findings]
    assert [row[4] for row in rows] == [
        {None: "", True: "yes", False: "no"}[finding.met] for finding in findings
    ]
    options = yaml.safe_load((tmp_path / "run" / "config.yaml").read_text(encoding="utf-8"))
    chosen = find(name)
    words = SHORT.get(name, "").replace("--", "").split()
    shorter = dict(zip(words[::2], map(int, words[1::2]), strict=True))
    for key, value in (chosen.options | chosen.quick | shorter | {"device": "cpu"}).items():
        assert options[key] == value, key
    assert list((tmp_path / "run").glob("*.png")), "an experiment draws something"


def test_the_configuration_that_is_left_repeats_the_run_to_the_digit(tmp_path: Path) -> None:
    name = "mnist-autoencoder"
    first = run(name, tmp_path / "first")
    second = reproduce(name, tmp_path / "second", ["--config", str(tmp_path / "first" / "config.yaml")])
    assert second == first
    other = reproduce(
        name, tmp_path / "other", ["--config", str(tmp_path / "first" / "config.yaml"), "--seed", "1"]
    )
    assert [finding.ours for finding in other] != [finding.ours for finding in first]
    configurations = [
        yaml.safe_load((tmp_path / part / "config.yaml").read_text()) for part in ("first", "second")
    ]
    assert configurations[0] == {key: value for key, value in configurations[1].items() if key != "config"}


def test_an_unknown_experiment_and_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    with pytest.raises(InputError) as refused:
        reproduce("mnist-everything", tmp_path / "run")
    assert str(refused.value).startswith("there is no experiment 'mnist-everything'; choose one of ")
    assert all(name in str(refused.value) for name in names())
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(InputError, match=r"file/run: cannot be made .*; choose another folder"):
        reproduce("mnist-denoise", tmp_path / "file" / "run")
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize(
    ("words", "finding"),
    [
        (["--epoch", "1"], "--epoch"),
        (["--epochs", "many"], "epochs"),
        (["--device", "tpu"], "no device is called 'tpu'"),
    ],
)
def test_an_option_that_it_does_not_have(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], finding: str
) -> None:
    with pytest.raises((SystemExit, InputError)) as refused:
        reproduce("mnist-denoise", tmp_path / "run", words, quick=True)
    assert finding in capsys.readouterr().err + str(refused.value)
    assert getattr(refused.value, "code", 2) == 2


@pytest.mark.parametrize(
    ("ours", "at_least", "at_most", "met"),
    [
        (0.9, None, None, None),
        (0.9, 0.9, None, True),
        (0.8999, 0.9, None, False),
        (0.9, None, 0.9, True),
        (0.9001, None, 0.9, False),
        (0.5, 0.4, 0.6, True),
        (0.7, 0.4, 0.6, False),
        (0.3, 0.4, 0.6, False),
        (math.nan, 0.1, None, False),
        (math.nan, None, 0.1, False),
        (math.nan, None, None, None),
    ],
)
def test_a_bar_is_reached_from_its_side_and_by_no_missing_value(
    ours: float, at_least: float | None, at_most: float | None, met: bool | None
) -> None:
    assert Finding("", ours, at_least=at_least, at_most=at_most).met is met


def test_the_table_and_the_list_have_a_row_each() -> None:
    shown = table([Finding("a", 1 / 3, 0.5, at_least=0.25, at_most=0.3), Finding("b", 2.0)], "title")
    cells = [list(column.cells) for column in shown.columns]
    assert cells == [["a", "b"], ["0.3333", "2"], ["0.5", ""], ["≥ 0.25 ≤ 0.3", ""], ["no", ""]]
    first, second = listing().columns
    assert list(first.cells) == names()
    assert all(str(cell).endswith(".") for cell in second.cells)
