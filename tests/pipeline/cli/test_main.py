from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import xarray as xr
from fields import cloudy_dataset
from oceanfill.pipeline.cli import main as cli
from oceanfill.pipeline.cli.arguments import LIGHTNING, parser
from oceanfill.pipeline.cli.commands import COMMANDS, make_opening
from oceanfill.pipeline.cli.options import HOLDOUTS as DESCRIBED
from oceanfill.pipeline.cli.options import with_negative_regions
from oceanfill.pipeline.holdout.patterns import HOLDOUTS
from oceanfill.pipeline.io.opening import Opening
from oceanfill.pipeline.jobs.methods import find_methods
from oceanfill.pipeline.training.networks import FIXED_GRID, NETWORKS, has_fixed_grid
from processes import start_command, wait, wait_until

import oceanfill

COMMAND = [sys.executable, "-m", "oceanfill.pipeline.cli"]


@pytest.fixture
def field_file(tmp_path: Path) -> Path:
    path = tmp_path / "in.nc"
    cloudy_dataset(dates=8, rows=12, columns=14).drop_vars("truth").to_netcdf(path)
    return path


def test_what_is_offered_is_what_there_is() -> None:
    assert {name for name, method in find_methods().items() if method.trains} == {*NETWORKS, "auto"}
    assert set(FIXED_GRID) == {name for name, network in NETWORKS.items() if has_fixed_grid(network)}
    assert list(DESCRIBED) == list(HOLDOUTS)


@pytest.mark.parametrize("command", [name for name in COMMANDS if name not in LIGHTNING])
def test_help_has_an_example(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        cli.main([command, "--help"])
    assert end.value.code == 0
    text = capsys.readouterr().out
    assert f"\n  oceanfill {command} " in text
    assert max(map(len, text.splitlines())) <= 100


def test_every_opening_option_reaches_open_field() -> None:
    words = [
        *("fill", "a.nc", "b.nc", "-o", "o.nc", "--variable", "sst", "--mask-variable", "m"),
        *("--error-variable", "e", "--region", "-10,10,-30.5,20"),
        *("--period", "2017-05-14/2017-05-20", "--transform", "log", "--minimum-coverage", "0.2"),
    ]
    options = parser().parse_args(with_negative_regions(words))
    assert options.inputs == ["a.nc", "b.nc"]
    assert make_opening(options).given() == {
        "variable": "sst",
        "mask_variable": "m",
        "error_variable": "e",
        "region": (-10.0, 10.0, -30.5, 20.0),
        "period": "2017-05-14/2017-05-20",
        "transform": "log",
        "minimum_coverage": 0.2,
    }
    assert make_opening(parser().parse_args(["info", "a.nc"])) == Opening()
    given = parser().parse_args(["info", "a.nc", "--observation-error", "0.3"])
    assert make_opening(given) == Opening(observation_error=0.3)


@pytest.mark.parametrize(
    ("words", "finding"),
    [
        (("--region", "1,2,3"), "'1,2,3' is not lat0,lat1,lon0,lon1"),
        (("--region", "a,b,c,d"), "'a,b,c,d' is not lat0,lat1,lon0,lon1"),
        (("--intervals", "50,x"), "'50,x' is not a list of whole percents, as 50,90"),
        (("--epochs", "0"), "'0' is not a positive number"),
        (("--epochs", "2.5"), "'2.5' is not a positive number"),
        (("--time-budget", "nan"), "'nan' is not a positive number"),
        (("--observation-error", "-1"), "'-1' is not a positive number"),
        (("--device", "tpu"), "tpu"),
        (("--epoch", "3"), "--epoch"),
    ],
)
def test_wrong_options(words: tuple[str, ...], finding: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["fill", "in.nc", "-o", "out.nc", *words]) == 2
    said = capsys.readouterr().err
    assert said.startswith("oceanfill fill: ")
    assert finding in said
    assert said.endswith("; see oceanfill fill --help\n")
    assert said.count("\n") == 1


def test_a_fault_of_ours(
    field_file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*args: Any, **options: Any) -> None:
        raise ZeroDivisionError("one\ntwo")

    monkeypatch.setattr("oceanfill.pipeline.cli.description.describe", broken)
    assert cli.main(["info", str(field_file)]) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "internal error (ZeroDivisionError: one)" in error
    with pytest.raises(ZeroDivisionError):
        cli.main(["info", str(field_file), "--debug"])


def test_the_log_is_left_as_it_was(field_file: Path) -> None:
    log = logging.getLogger("oceanfill")
    before = log.level, log.propagate, list(log.handlers)
    assert cli.main(["info", str(field_file)]) == 0
    assert cli.main(["info", "nowhere.nc"]) == 2
    assert (log.level, log.propagate, log.handlers) == before


def test_quick_commands_do_without_torch(field_file: Path) -> None:
    program = """
import sys
from oceanfill.pipeline.cli.main import main
for words in ["--help"], ["info", "in.nc"], ["score", "in.nc", "in.nc"], ["info", "no.nc"]:
    try:
        main(words)
    except SystemExit:
        pass
    assert not {"torch", "pytorch_lightning", "matplotlib"} & set(sys.modules), words
"""
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=field_file.parent, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def test_a_reader_that_has_seen_enough(field_file: Path) -> None:
    info = subprocess.Popen(
        [*COMMAND, "info", "in.nc"], cwd=field_file.parent, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    info.stdout.close()  # type: ignore[union-attr]
    assert info.communicate()[1] == b""
    assert info.returncode == 0


def test_interrupted_with_something_left(
    field_file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Only what is true is said."""

    def interrupt(*args: Any, **options: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.chdir(field_file.parent)
    monkeypatch.setattr("oceanfill.pipeline.jobs.fill.fill", interrupt)
    assert cli.main(["fill", "in.nc", "-o", "out.nc"]) == 130
    assert capsys.readouterr().err == "oceanfill: interrupted; no unfinished file is left\n"
    Path(".out.nc.unfinished").mkdir()
    assert cli.main(["fill", "in.nc", "-o", "out.nc"]) == 130
    kept = ".out.nc.unfinished is kept, from which the same command goes on"
    assert capsys.readouterr().err == f"oceanfill: interrupted; {kept}\n"


@pytest.mark.skipif(sys.platform == "win32", reason="no signals to send")
@pytest.mark.parametrize(
    ("signals", "code", "said"),
    [
        ((signal.SIGINT,), 0, "the best network so far is used"),
        ((signal.SIGINT, signal.SIGINT), 130, "oceanfill: interrupted; no unfinished file is left"),
        ((signal.SIGTERM,), 143, "oceanfill: terminated; no unfinished file is left"),
    ],
    ids=["one interrupt delivers", "two abandon", "termination"],
)
def test_signals_in_training(
    field_file: Path, tmp_path_factory: pytest.TempPathFactory, signals: Any, code: int, said: str
) -> None:
    """Lightning turns Ctrl-C into an exit of its own."""
    folder, aside = field_file.parent, tmp_path_factory.mktemp("aside")
    before, log = sorted(folder.iterdir()), aside / "log"
    words = ["fill", "in.nc", "-o", "out.nc", "--epochs", "1000000", "--save-checkpoint", "net.ckpt"]
    fill = start_command(words, folder, log, TMPDIR=str(aside))
    wait_until(lambda: list(aside.rglob("*.ckpt")), fill, log)  # an epoch is over
    first, *second = signals
    os.kill(fill.pid, first)
    for number in second:  # only now: two signals that are pending together are one to the system
        wait_until(lambda: "stopping now" in log.read_text(), fill, log)
        os.kill(fill.pid, number)
    assert wait(fill) == code, log.read_text()
    assert said in " ".join(log.read_text().split())
    assert "Traceback" not in log.read_text()
    made = sorted(set(folder.iterdir()) - set(before))
    if code:
        assert made == []
        return
    assert [path.name for path in made] == ["net.ckpt", "out.nc"]
    assert "held_out_rmse" in xr.open_dataset(folder / "out.nc").attrs


def test_the_public_face() -> None:
    assert dir(oceanfill) == sorted([*oceanfill.__all__, "__version__"])
    assert all(getattr(oceanfill, name) is not None for name in dir(oceanfill))
    with pytest.raises(AttributeError, match="oceanfill has no 'fil'"):
        oceanfill.fil  # noqa: B018
    program = "import sys, oceanfill; assert 'torch' not in sys.modules; from oceanfill import InputError"
    assert subprocess.run([sys.executable, "-c", program]).returncode == 0


def test_every_command_is_in_the_help_under_who_needs_it(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["--help"])
    listed = capsys.readouterr().out.partition("\ncommands:\n")[2].partition("\n\n")[0].splitlines()
    names = [line.split()[0] for line in listed if line.startswith("    ")]
    assert sorted(names) == sorted(COMMANDS)
    assert (listed[0], names[0]) == ("  to fill a field:", "info")


def test_completion_of_bash_knows_options_and_files(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        cli.main(["--print-completion", "bash"])
    assert end.value.code == 0
    script = capsys.readouterr().out
    asked = "COMP_WORDS=(oceanfill {}); COMP_CWORD=2; COMP_TYPE=9; _shtab_oceanfill; echo ${{COMPREPLY[@]}}\n"
    program = script + asked.format("fill --dry") + asked.format("score --js")
    done = subprocess.run(["bash"], input=program, capture_output=True, text=True)
    assert done.stdout.split() == ["--dry-run", "--json"]
    assert "_shtab_oceanfill_fill___checkpoint_COMPGEN=_shtab_compgen_files" in script


def test_the_log_file_has_every_message_with_its_date(
    field_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also quietly, the reason of a failure too; a second run adds to it."""
    log = field_file.with_name("run.log")
    output = str(field_file.with_name("out.nc"))
    words = ["fill", str(field_file), "-o", output, "--method", "linear-time", "-q"]
    assert cli.main([*words, "--log-file", str(log)]) == 0
    assert cli.main([*words, "--log-file", str(log)]) == 2  # the output exists
    assert capsys.readouterr().err.count("\n") == 1
    lines = [line.split(maxsplit=2) for line in log.read_text().splitlines()]
    assert {level for _, level, _ in lines} == {"INFO", "ERROR"}
    assert all(datetime.fromisoformat(date) for date, _, _ in lines)
    assert [text for _, _, text in lines if text.startswith("wrote")] == [
        f"wrote {output} (sst, sst_analysis, sst_error, sst_source)"
    ]
    assert "exists; add --overwrite" in lines[-1][2]


def test_a_log_replaces_no_data(field_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = field_file.read_bytes()
    assert cli.main(["info", str(field_file), "--log-file", str(field_file)]) == 2
    assert field_file.read_bytes() == before
    assert "is not a log of oceanfill; give another --log-file" in capsys.readouterr().err
