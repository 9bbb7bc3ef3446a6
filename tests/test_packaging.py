"""The wheel, away from the repository: what a user gets."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
BUILT_FROM = (
    "oceanfill",
    "pipeline",
    "models",
    "configs",
    "sample_data",
    "pyproject.toml",
    "README.md",
    "LICENSE",
)

pytestmark = pytest.mark.slow  # builds and installs a wheel, starts Python a few times with torch


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that the wheel, built from a copy of the sources, was installed into."""
    folder = tmp_path_factory.mktemp("wheel")
    for name in BUILT_FROM:
        source, copy = ROOT / name, folder / "source" / name
        copy.parent.mkdir(exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, copy, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, copy)
    pip("wheel", "--no-build-isolation", "--wheel-dir", str(folder), str(folder / "source"))
    (wheel,) = folder.glob("oceanfill-*.whl")
    pip("install", "--target", str(folder / "installed"), str(wheel))
    return folder / "installed"


def pip(command: str, *words: str) -> None:
    quiet = ("--no-deps", "--no-index", "--quiet", "--disable-pip-version-check")
    subprocess.run([sys.executable, "-m", "pip", command, *quiet, *words], check=True)


def python(installed: Path, folder: Path, *words: str) -> str:
    """Standard output of Python with the installed package, run in this folder."""
    environment = {**os.environ, "PYTHONPATH": str(installed)}
    done = subprocess.run(
        [sys.executable, *words], cwd=folder, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_nothing_is_missing_and_nothing_is_beside_the_package(installed: Path) -> None:
    files = {path.relative_to(installed).as_posix() for path in installed.rglob("*") if path.is_file()}
    assert {name.split("/")[0].split("-")[0] for name in files} == {"oceanfill", "bin"}
    for folder, inside, suffixes in (
        ("oceanfill", "oceanfill", (".py", ".typed")),
        ("pipeline", "oceanfill/pipeline", (".py", ".shp", ".shx", ".dbf")),
        ("models", "oceanfill/models", (".py", ".ckpt")),
        ("configs", "oceanfill/configs", (".py", ".yaml")),
        ("sample_data", "oceanfill/sample_data", (".py", ".nc", ".csv")),
    ):
        sources = [path for path in (ROOT / folder).rglob("*") if path.suffix in suffixes]
        wanted = {f"{inside}/{path.relative_to(ROOT / folder).as_posix()}" for path in sources}
        assert wanted
        assert wanted - files == set()


COMMANDS = """
import oceanfill.pipeline.cli as cli
from oceanfill.pipeline.cli.main import main
print(cli.__file__)
fill = ["fill", "sample:sst_clouds.nc", "-o", "out.nc", "--method", "linear-time", "--plot", "out.png"]
assert main([*fill, "--quiet"]) == 0
assert main(["score", "out.nc", "sample:sst_clouds_truth.nc"]) == 0
main(["fit", "--config", "fill/unet", "--print_config"])
"""


def test_the_commands_in_an_empty_folder(installed: Path, tmp_path: Path) -> None:
    assert "usage: oceanfill" in python(installed, tmp_path, "-m", "oceanfill.pipeline.cli", "--help")
    script = (installed / "bin" / "oceanfill").read_text()
    assert "oceanfill.pipeline.cli" in script

    where, shown = python(installed, tmp_path, "-c", COMMANDS).split("\n", 1)
    assert Path(where).is_relative_to(installed)
    assert (tmp_path / "out.png").read_bytes().startswith(b"\x89PNG")
    assert "within ±1σ" in shown
    assert "source: sample:sst_clouds.nc" in shown
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.nc", "out.png"]


def test_the_wheel_carries_its_licence(installed: Path) -> None:
    (licence,) = installed.glob("oceanfill-*.dist-info/licenses/LICENSE")
    assert licence.read_text() == (ROOT / "LICENSE").read_text()
    assert not any(name.endswith(".pyc") for wheel in installed.parent.glob("*.whl") for name in names(wheel))


def names(wheel: Path) -> list[str]:
    return zipfile.ZipFile(wheel).namelist()
