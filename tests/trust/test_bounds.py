"""What is read has an end: pipes, devices and tables that repeat themselves are refused."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import pytest
from fields import cloudy_dataset
from oceanfill.pipeline.cli.main import main


@pytest.mark.skipif(sys.platform == "win32", reason="no named pipes")
@pytest.mark.parametrize(
    "words",
    [
        ("info", "pipe"),
        ("fill", "pipe", "-o", "out.nc"),
        ("fill", "in.nc", "-o", "out.nc", "--checkpoint", "pipe"),
        ("fill", "in.nc", "-o", "out.nc", "--method", "dineof", "--cv-points", "pipe"),
        ("prepare", "pipe", "-o", "all.zarr"),
        ("batch", "pipe"),
        ("batch", "/dev/zero"),
        ("batch", "repeats.yaml"),
        ("compare", "in.nc", "--truth", "pipe"),
        ("test", "--config", "fill/quick", "--data.source", "in.nc", "--ckpt_path", "pipe"),
    ],
    ids=" ".join,
)
def test_what_may_never_end_is_refused(
    words: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    os.mkfifo("pipe")
    cloudy_dataset(dates=6, rows=8, columns=10).drop_vars("truth").to_netcdf("in.nc")
    levels = [f"k{n}: &k{n} [{', '.join([f'*k{n - 1}'] * 9)}]" for n in range(1, 20)]
    Path("repeats.yaml").write_text(
        "\n".join(["defaults:", "  k0: &k0 [x]", *(f"  {one}" for one in levels)])
    )
    start = time.perf_counter()
    assert main(words) == 2
    assert time.perf_counter() - start < 20
    said = capfd.readouterr().err.splitlines()[-1]
    refusals = (
        "this is a device, a pipe",
        "pipe: is no file",
        "zero: is no file",
        "no such checkpoint",
        "entries",
    )
    assert any(text in said for text in refusals)
