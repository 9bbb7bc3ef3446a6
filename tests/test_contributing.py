"""The examples of CONTRIBUTING.md work, in a package outside the project."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from fields import cloudy_dataset
from oceanfill.pipeline.cli.main import main
from oceanfill.pipeline.io.reading import find_readers
from oceanfill.pipeline.jobs.methods import _find_methods

TEXT = (Path(__file__).resolve().parents[1] / "CONTRIBUTING.md").read_text(encoding="utf-8")
Run = Callable[[str], str]
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", TEXT, re.DOTALL)


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the package of the examples, its entry points, and a small field."""
    folder = tmp_path_factory.mktemp("outside")
    for _, block in BLOCKS:
        name = re.match(r"# ([\w/.]+\.(?:py|yaml))\n", block)
        if name:
            path = folder / name[1]
            path.parent.mkdir(exist_ok=True)
            # The sample takes longer than a test may.
            path.write_text(block.replace("sample:sst_clouds.nc", "small.nc"))
    (folder / "my_ocean" / "__init__.py").touch()
    points = "".join(
        block.replace('[project.entry-points."', "[").replace('"]', "]").replace('"', "")
        for language, block in BLOCKS
        if language == "toml"
    )
    info = folder / "my_ocean-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: my-ocean\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(points)
    cloudy_dataset(dates=8, rows=12, columns=14).drop_vars("truth").to_netcdf(folder / "small.nc")
    return folder


@pytest.fixture
def run(package: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Iterator[Run]:
    """Run a command of the text where the package is installed, on the small field instead of the sample.

    Returns what it prints; nothing of the package has been imported before.
    """
    monkeypatch.chdir(package)
    monkeypatch.syspath_prepend(package)

    def forget() -> None:
        for name in [name for name in sys.modules if name.partition(".")[0] == "my_ocean"]:
            del sys.modules[name]
        _find_methods.cache_clear()
        find_readers.cache_clear()

    def start(command: str) -> str:
        forget()
        program, *words = shlex.split(command.replace("sample:sst_clouds.nc", "small.nc"))
        assert program == "oceanfill"
        code, (out, err) = main(words), capfd.readouterr()
        assert code == 0, err
        return out

    yield start
    forget()


def command(start: str) -> str:
    """The command of the text that starts like this."""
    lines = [line for language, block in BLOCKS if language == "shell" for line in block.splitlines()]
    return next(line for line in lines if line.startswith(start))


def test_a_method(package: Path, run: Run):
    run(command("oceanfill fill sample:sst_clouds.nc"))
    with xr.open_dataset(package / "filled.nc") as filled, xr.open_dataset(package / "small.nc") as field:
        zonal = field.sst.where(field.mask == 1).mean("lon")
        gaps = filled.sst_source == 2
        known = gaps & zonal.notnull()
        off = (filled.sst - zonal).where(known)
        assert int(known.sum()) > 100
        assert float(np.abs(off).max()) < 1e-5
        assert filled.attrs["delivered"] == "zonal-mean"
    assert "zonal-mean" in run(command("oceanfill compare"))
    environment = os.environ | {"PYTHONPATH": str(package)}
    program = [sys.executable, "-m", "oceanfill.pipeline.cli", "fill", "--help"]
    told = subprocess.run(program, env=environment, capture_output=True, text=True, check=True).stdout
    assert "  zonal-mean         The mean of each latitude and date" in told


def test_a_network(package: Path, run: Run):
    run(command("oceanfill fit --config my_network.yaml"))
    run(command("oceanfill fill sample:sst_clouds.nc -o by_network.nc"))
    with xr.open_dataset(package / "by_network.nc") as filled:
        assert filled.attrs["delivered"] in ("oi", "unet")
        assert '"trust": true' in filled.attrs["configuration"]
    (package / "by_network.nc").unlink()
    without = command("oceanfill fill sample:sst_clouds.nc -o by_network.nc").removesuffix(" --trust")
    with pytest.raises(AssertionError, match=r"my_ocean\.networks.*--trust"):
        run(without)


def test_a_reader(package: Path, run: Run):
    values = np.arange(60.0).reshape(10, 6) + np.random.default_rng(0).random((10, 6))
    values[2:5, 3] = np.nan
    np.savetxt(package / "tables.maps", values)
    run("oceanfill fill tables.maps -o tables.nc --method linear-time --no-holdout")
    with xr.open_dataset(package / "tables.nc") as filled:
        between = values[1, 3] + (values[5, 3] - values[1, 3]) * np.arange(1, 4) / 4
        np.testing.assert_allclose(filled.sst.values[2:5, 1, 0], between, rtol=1e-5)


def test_an_experiment(package: Path, run: Run):
    run(command("oceanfill reproduce my_experiment.yaml"))
    table = (package / "pi" / "table.md").read_text()
    draws = np.random.default_rng(0).random((2, 1000))
    assert f"| pi | {4 * np.mean((draws**2).sum(axis=0) < 1):.4g} | 3.142 |" in table
