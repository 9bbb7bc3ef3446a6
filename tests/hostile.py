"""One rule for every hostile input: it gives the right values, or one sentence and exit code 2."""

from __future__ import annotations

import re
import shlex
import signal
import stat
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import pytest
import xarray as xr
from numpy.typing import NDArray
from oceanfill.pipeline.cli.main import main
from scipy.ndimage import distance_transform_edt

SECONDS = 60  # within which every command ends
FILL = "fill in.nc -o out.nc --method linear-time --quiet"

Make = Callable[[], xr.Dataset | None]  # what lies in the working folder: in.nc, where it returns a dataset


class Overdue(BaseException):
    """A command that does not end; no `except Exception` may catch it."""


@dataclass(frozen=True)
class Case:
    """An input, a command, and what has to come of them."""

    make: Make
    says: str = ""  # in the sentence of refusal; empty: the input is filled
    words: str = FILL
    means: Callable[[], xr.Dataset] | None = None  # `sst` as it has to be understood; None: `plain`
    reference: bool = True  # the values in the gaps are those of `interpolate`, not only between the others
    against: bool = True  # the output is compared with what it has to be
    step: float = 0.0  # to whose multiples the output is rounded, as its input is
    within: float = 2e-6  # of the range of the values
    also: tuple[str, ...] = ()  # what may be left next to the output


def plain(dates: int = 9, rows: int = 5, columns: int = 6, seed: int = 1) -> xr.Dataset:
    """Smooth temperatures ``sst`` with gaps, and a corner that is never observed."""
    rng = np.random.default_rng(seed)
    day, y, x = np.meshgrid(np.arange(dates), np.arange(rows), np.arange(columns), indexing="ij")
    values = 15 + np.sin(0.5 * y + 0.2 * day) + np.cos(0.7 * x) + 0.1 * rng.standard_normal(day.shape)
    values[rng.random(day.shape) < 0.3] = np.nan
    values[:, 0, :2] = np.nan
    time = np.datetime64("2020-01-01", "ns") + np.arange(dates) * np.timedelta64(1, "D")
    return xr.Dataset(
        {"sst": (("time", "lat", "lon"), values.astype(np.float32), {"units": "degree_Celsius"})},
        {
            "time": time,
            "lat": ("lat", 35 + 0.1 * np.arange(rows), {"units": "degrees_north"}),
            "lon": ("lon", -6 + 0.1 * np.arange(columns), {"units": "degrees_east"}),
        },
    )


def count_days(data: xr.Dataset) -> NDArray[np.float64]:
    """Return the days (time,) since the first date."""
    return ((data.time - data.time[0]) / np.timedelta64(1, "D")).values.astype(np.float64)


def interpolate(data: xr.Dataset) -> NDArray[np.float64]:
    """Fill ``sst`` (time, lat, lon) linearly in time by NumPy alone, in double precision; NaN on land.

    Before the first and after the last observation of a pixel it is constant. Sea without any observation
    has the values of the nearest pixel.
    """
    values = data.sst.transpose("time", ...).values.astype(np.float64)
    days = count_days(data)
    filled = np.full(values.shape, np.nan)
    for place in np.ndindex(values.shape[1:]):
        series = values[(slice(None), *place)]
        known = np.isfinite(series)
        if known.any():
            filled[(slice(None), *place)] = np.interp(days, days[known], series[known])
    if "mask" in data:
        sea = data.mask.values > 0
        empty = sea & np.isnan(filled[0])
        if empty.any():
            near = distance_transform_edt(np.isnan(filled[0]), return_distances=False, return_indices=True)
            filled[:, empty] = filled[:, near[0][empty], near[1][empty]]
        filled[:, ~sea] = np.nan
    return filled


def check(case: Case, folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: Any) -> None:
    """Run the case in an empty folder and assert the rule."""
    monkeypatch.chdir(folder)
    made = case.make()
    if made is not None:
        made.to_netcdf("in.nc")
    before = read_all()
    capfd.readouterr()
    code = run(shlex.split(case.words))
    _, err = capfd.readouterr()
    after = read_all()
    left = {name for name in after if name not in before and Path(name).parts[0] not in case.also}
    assert {name: after.get(name) for name in before} == before, "an input has changed"
    assert "Traceback" not in err
    if case.says:
        assert code == 2, f"exit code {code}, not 2: {err}"
        sentence = err.splitlines()[-1]
        assert re.match(r"oceanfill( [a-z]+)?: ", sentence), err
        assert len(re.findall(r"^oceanfill( [a-z]+)?: ", err, re.MULTILINE)) == 1, err
        assert case.says in sentence
        assert not left
        return
    assert code == 0, err
    if "-o out.nc" not in case.words:
        assert not left
        return
    assert left == {"out.nc"}
    if case.against:
        check_filled(case)


def check_filled(case: Case) -> None:
    """Assert that out.nc holds every observed value as it was, and NumPy's values in the gaps."""
    meant = (case.means or plain)()
    filled = xr.load_dataset("out.nc", decode_times=xr.coders.CFDatetimeCoder(time_unit="us"))
    elapsed = filled.time.values - filled.time.values[0]
    day = np.timedelta64(1, "D") if elapsed.dtype.kind == "m" else timedelta(days=1)
    if case.reference:
        np.testing.assert_allclose((elapsed / day).astype(np.float64), count_days(meant), rtol=0, atol=1e-8)
        assert str(filled.time.values[0])[:10] == str(meant.time.values[0])[:10]
    name = next(iter(filled.data_vars))
    values = filled[name].transpose("time", ...).values
    wanted = interpolate(meant)
    seen = meant.sst.transpose("time", ...).values
    kept = np.isfinite(seen) & np.isfinite(wanted)
    assert values.shape == wanted.shape
    assert np.array_equal(np.isfinite(values), np.isfinite(wanted))
    rounding = 0.0 if case.within == Case.within else case.within
    np.testing.assert_allclose(values[kept], seen[kept].astype(values.dtype), rtol=rounding)
    low, high = float(seen[kept].min()), float(seen[kept].max())
    extent = high - low
    if case.reference:
        np.testing.assert_allclose(values, wanted, rtol=2e-6, atol=case.within * extent + case.step / 2)
    gaps = values[np.isfinite(values) & ~kept].astype(np.float64)
    assert np.all((gaps >= low - extent / 2) & (gaps <= high + extent / 2))
    error = filled[f"{name}_error"].transpose("time", ...).values[np.isfinite(values) & ~kept]
    assert np.all(error > 0)
    assert np.all(np.isfinite(error))


def run(words: list[str]) -> int:
    """Return the exit code of a command, which has to come within a minute."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise Overdue(f"still running after {SECONDS} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(SECONDS)
    try:
        return main(words)
    except SystemExit as end:  # argparse
        return int(end.code or 0)
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def read_all() -> dict[str, Any]:
    """Return the kind of everything in the working folder, and the bytes of files, by name."""
    found: dict[str, Any] = {}
    for path in sorted(Path().rglob("*")):
        mode = path.lstat().st_mode
        found[str(path)] = path.read_bytes() if stat.S_ISREG(mode) else stat.S_IFMT(mode)
    return found
