"""A folder to work in, the command, and a field of a few hundred pixels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import xarray as xr
from fields import cloudy_dataset
from oceanfill.pipeline.cli.main import main


@dataclass(frozen=True)
class Result:
    """What a command came to."""

    code: int
    out: str
    err: str


Run = Callable[..., Result]


@pytest.fixture
def small() -> xr.Dataset:
    """8 dates, 12 x 14 cells: ``sst`` under clouds and its ``mask``."""
    return cloudy_dataset(dates=8, rows=12, columns=14).drop_vars("truth")


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Run:
    """Run a command in an empty folder."""
    monkeypatch.chdir(tmp_path)

    def command(*words: str) -> Result:
        try:
            code = main(words)
        except SystemExit as end:  # argparse and jsonargparse
            code = int(end.code or 0)
        return Result(code, *capfd.readouterr())

    return command
