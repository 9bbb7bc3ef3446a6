"""Running shipped experiments: options, configuration, table and refusals."""

from __future__ import annotations

import json
import logging
import re
from dataclasses import fields
from pathlib import Path

import pytest
import yaml
from oceanfill.pipeline.cli.main import main
from oceanfill.pipeline.cli.tables import experiments_table, findings_table
from oceanfill.pipeline.errors import InputError
from oceanfill.pipeline.experiments.findings import Finding
from oceanfill.pipeline.experiments.options import RunOptions
from oceanfill.pipeline.experiments.reproduce import (
    build_parser,
    find_experiment,
    list_names,
    reproduce,
)
from shipped import run_shipped

SHORT = "--training 60 --epochs 1 --latents [2]"  # of mnist-autoencoder: a second or two


@pytest.mark.parametrize("name", list_names())
@pytest.mark.parametrize("quick", [False, True])
def test_a_shipped_configuration_is_one_of_its_options_class(name: str, quick: bool) -> None:
    experiment = find_experiment(name)
    parsed = build_parser(experiment, quick).parse_args([]).as_dict()
    del parsed["config"]
    assert issubclass(experiment.options_class, RunOptions)
    assert set(parsed) == {field.name for field in fields(experiment.options_class)} - {"quiet"}
    expected = experiment.options | {"device": "auto"} | (experiment.quick if quick else {})
    assert json.loads(json.dumps({key: parsed[key] for key in expected})) == expected
    options = experiment.options_class(**parsed)
    assert (options.seed, options.device, options.quiet) == (0, "auto", True)


@pytest.mark.parametrize("name", list_names())
def test_a_test_runs_each_shipped_configuration(name: str) -> None:
    sources = [path.read_text(encoding="utf-8") for path in Path(__file__).parent.glob("*/test_*.py")]
    assert any(f'"{name}"' in source for source in sources)


def test_command_line_options_are_flat_and_explained(capsys: pytest.CaptureFixture[str]) -> None:
    parser = build_parser(find_experiment("mnist-classify"), quick=False)
    parsed = parser.parse_args(
        ["--epochs", "3", "--training", "50", "--augment", "false", "--learning_rate", "1e-4"]
    )
    assert (parsed.epochs, parsed.training, parsed.augment, parsed.learning_rate) == (3, 50, False, 1e-4)
    assert parsed.patience == 8
    with pytest.raises(SystemExit):
        parser.parse_args(["--help"])
    text = " ".join(capsys.readouterr().out.split())
    for option in fields(find_experiment("mnist-classify").options_class):
        assert (f"--{option.name} " in text) is (option.name != "quiet")
    assert "--seed SEED Seed of all random numbers. (type: int, default: 0)" in text
    assert "--epochs EPOCHS Training epochs of each network. (type: int, default: 40)" in text


@pytest.mark.parametrize("name", list_names())
def test_every_option_has_a_help_text(name: str) -> None:
    experiment = find_experiment(name)
    text = " ".join(build_parser(experiment, quick=False).format_help().split())
    _, text = text.split("Print the configuration", 1)
    for option in fields(experiment.options_class):
        if option.name != "quiet":
            # A network is named by its class_path and its init_args.
            found = re.search(rf"--{option.name}(?:\.class_path)? \S+ (.*?)\((required, )?type: ", text)
            assert found, option.name
            assert len(found[1].split()) > 1, option.name


def test_the_saved_configuration_repeats_the_run_exactly(tmp_path: Path) -> None:
    name = "mnist-autoencoder"
    first = list(run_shipped(name, tmp_path / "first", SHORT).values())
    config = ["--config", str(tmp_path / "first" / "config.yaml")]
    assert reproduce(name, tmp_path / "second", config) == first
    other = reproduce(name, tmp_path / "other", [*config, "--seed", "1"])
    assert [finding.value for finding in other] != [finding.value for finding in first]
    saved = [yaml.safe_load((tmp_path / part / "config.yaml").read_text()) for part in ("first", "second")]
    assert saved[0] == {key: value for key, value in saved[1].items() if key != "config"}


def test_an_unknown_experiment_and_a_folder_that_cannot_be_created(tmp_path: Path) -> None:
    with pytest.raises(InputError) as refused:
        reproduce("mnist-everything", tmp_path / "run")
    assert str(refused.value).startswith("there is no experiment 'mnist-everything'; choose one of ")
    assert all(name in str(refused.value) for name in list_names())
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(InputError, match=r"file/run: cannot be created .*; choose another folder"):
        reproduce("mnist-denoise", tmp_path / "file" / "run")
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--epoch", "1"], "--epoch"),
        (["--epochs", "many"], "epochs"),
        (["--quiet", "true"], "--quiet"),
        (["--device", "tpu"], "no device is called 'tpu'"),
    ],
)
def test_an_unknown_option_or_value(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        reproduce("mnist-denoise", tmp_path / "run", arguments, quick=True)
    assert not capsys.readouterr().err


def test_tables_have_a_row_per_finding_and_per_experiment() -> None:
    found = findings_table(
        [Finding("a", 1 / 3, 0.5, at_least=0.25, at_most=0.3), Finding("b", 2.0, at_most=2)], "title"
    )
    cells = [list(column.cells) for column in found.columns]
    assert cells == [["a", "b"], ["0.3333", "2"], ["0.5", ""], ["≥ 0.25 ≤ 0.3", "≤ 2"], ["no", "yes"]]
    assert [column.header for column in found.columns] == ["", "value", "published", "target", "met"]
    names, summaries, *costs = experiments_table().columns
    assert list(names.cells) == list_names()
    assert all(str(cell).endswith(".") for cell in summaries.cells)
    assert len({str(cell) for cell in summaries.cells}) == len(list_names())  # no two rows read alike
    assert [column.header for column in costs] == ["time", "memory", "target"]
    assert all(str(cell) for column in costs for cell in column.cells)


def test_the_help_of_an_experiment_gives_its_costs_and_options(
    capsys: pytest.CaptureFixture[str],
) -> None:
    for words, epochs in (["mnist-vae"], 10), (["--quick", "mnist-vae"], 2):
        with pytest.raises(SystemExit) as ended:
            main(["reproduce", *words, "--help"])
        assert ended.value.code == 0
        text = " ".join(capsys.readouterr().out.split())
        assert f"--epochs EPOCHS Training epochs of each network. (type: int, default: {epochs})" in text
        for name, cost in find_experiment("mnist-vae").costs.items():
            assert f"{name}: {cost}" in text
    assert main(["reproduce", "mnist-everything", "--help"]) == 2
    with pytest.raises(SystemExit):
        main(["reproduce", "--help"])
    assert "run a small version in seconds" in capsys.readouterr().out


def test_an_experiment_of_ones_own_states_no_costs(tmp_path: Path) -> None:
    path = tmp_path / "own.yaml"
    path.write_text("experiment: oceanfill.pipeline.experiments.mnist.restoration.denoise")
    experiment = find_experiment(str(path))
    assert (
        experiment.summary
        == experiment.describe()
        == "Denoise digits with a network and with principal components."
    )


def test_the_log_names_the_network_that_was_trained(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "oceanfill"):
        run_shipped("mnist-autoencoder", tmp_path, SHORT)
    found = [text.partition(":")[0] for text in caplog.messages if "trained 1 epochs" in text]
    assert found == ["convolutional, 2 latent numbers", "dense, 2 latent numbers"]
