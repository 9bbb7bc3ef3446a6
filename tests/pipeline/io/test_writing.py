"""Files that are written as a whole or not at all."""

from __future__ import annotations

import os
import stat
import sys
import warnings
from pathlib import Path

import dask.array
import numpy as np
import pytest
import xarray as xr
from oceanfill.pipeline.errors import InputError
from oceanfill.pipeline.io.output import to_dataset
from oceanfill.pipeline.io.writing import check_writable, resume_store, write_dataset
from smallfield import (
    NT,
    NX,
    NY,
    estimate,
    small_field,
)


@pytest.mark.parametrize("suffix", [".nc", ".zarr"])
def test_written_and_read_back_without_a_warning(tmp_path: Path, suffix: str) -> None:
    field = small_field(coordinates={"platform": ((), "Metop-B")})
    out = to_dataset(field, *estimate(field))
    path = tmp_path / f"out{suffix}"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        write_dataset(out, path)
        second = out.copy(deep=True)
        second.sst.data += 1
        write_dataset(second, path)  # in the place of the first
        back = (xr.open_zarr(path) if suffix == ".zarr" else xr.open_dataset(path)).load()
        back.close()
    xr.testing.assert_equal(back, second)
    assert os.listdir(tmp_path) == [path.name]  # noqa: PTH208
    assert back.sst_source.dtype == np.int8
    mask = os.umask(0)
    os.umask(mask)
    if suffix == ".nc":
        assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~mask
    else:
        assert back.sst.encoding["chunks"] == (1, NY, NX)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.mark.parametrize("suffix", [".nc", ".zarr"])
@pytest.mark.parametrize("failure", [ZeroDivisionError, KeyboardInterrupt, MemoryError])
@pytest.mark.parametrize("existing", [True, False])
def test_a_write_that_fails_leaves_everything_as_it_was(
    tmp_path: Path, suffix: str, failure: type[BaseException], existing: bool
) -> None:
    field = small_field()
    out = to_dataset(field, *estimate(field))
    path = tmp_path / f"out{suffix}"
    if existing:
        write_dataset(out, path)
    before = contents(tmp_path)

    def fail(block: np.ndarray) -> np.ndarray:
        raise failure("in the middle")

    broken = dask.array.ones((NT, NY, NX), chunks=(1, NY, NX), dtype=np.float32)
    broken = broken.map_blocks(fail, meta=np.empty((0, 0, 0), np.float32))
    out["sst_error"] = out.sst_error.copy(data=broken)
    with pytest.raises(failure, match="in the middle"):
        write_dataset(out, path)
    assert contents(tmp_path) == before


def test_a_full_disk_is_a_sentence(tmp_path: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")

    def fail(block: np.ndarray) -> np.ndarray:
        with open("/dev/full", "wb", buffering=0) as full:  # noqa: PTH123
            full.write(b"x")
        return block

    field = small_field()
    out = to_dataset(field, *estimate(field))
    broken = dask.array.ones((NT, NY, NX), dtype=np.float32).map_blocks(
        fail, meta=np.empty((0, 0, 0), np.float32)
    )
    out["sst_error"] = out.sst_error.copy(data=broken)
    with pytest.raises(
        InputError, match=r"out.nc: cannot be written \(No space left on device\); free disk space"
    ):
        write_dataset(out, tmp_path / "out.nc")
    assert contents(tmp_path) == {}


def test_check_writable(tmp_path: Path) -> None:
    check_writable(tmp_path / "new.nc")
    check_writable(tmp_path / "new.zarr")
    (tmp_path / "old.nc").write_bytes(b"old")
    check_writable(tmp_path / "old.nc")
    assert contents(tmp_path) == {"old.nc": b"old"}

    (tmp_path / "folder.nc").mkdir()
    (tmp_path / "data.zarr").mkdir()
    (tmp_path / "data.zarr" / "precious").touch()
    for path, finding in [
        (tmp_path / "absent" / "out.nc", "there is no folder .*absent; create it"),
        (tmp_path / "old.nc" / "out.nc", r"old\.nc is a file and not a folder"),
        (tmp_path / "folder.nc", "this is a folder; name the output file in it"),
        (tmp_path / "data.zarr", "not a Zarr store; remove it"),
        (tmp_path / "out.txt", r"the extension \.txt; name it \.nc"),
        (tmp_path / "out", "no extension; name it"),
    ]:
        with pytest.raises(InputError, match=finding) as caught:
            check_writable(path)
        assert str(caught.value).startswith(f"{path}: ")


@pytest.mark.parametrize("suffix", [".nc", ".zarr"])
def test_a_killed_run_is_resumed_with_the_same_plan_only(tmp_path: Path, suffix: str) -> None:
    out = to_dataset(small_field(), *estimate(small_field()))
    path = tmp_path / f"out{suffix}"
    begun = []

    def begin(store: Path) -> None:
        begun.append(store)
        (out * np.nan).to_zarr(store, consolidated=False)

    def run(plan: dict[str, int], dates: slice, value: float, killed: bool) -> None:
        with resume_store(path, plan, begin) as store:
            error = np.full((len(range(NT)[dates]), NY, NX), value)
            part = xr.Dataset({"sst_error": (("time", "lat", "lon"), error)})
            region = {"time": dates, "lat": slice(None), "lon": slice(None)}
            part.to_zarr(store, region=region, consolidated=False)
            if killed:
                raise KeyboardInterrupt

    for seed, value in ((0, 5.0), (1, 7.0)):
        with pytest.raises(KeyboardInterrupt):
            run({"seed": seed}, slice(0, 1), value, killed=True)
        assert not path.exists()
    assert len(begun) == 2, "another plan starts again"
    run({"seed": 1}, slice(1, NT), 2.0, killed=False)
    assert len(begun) == 2
    assert os.listdir(tmp_path) == [path.name]  # noqa: PTH208
    with xr.open_dataset(path, engine="zarr" if suffix == ".zarr" else "netcdf4") as back:
        assert back.sst_error[:, 0, 0].to_numpy().tolist() == [7, 2, 2]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs a file system nobody can write to")
def test_a_folder_that_cannot_be_written() -> None:
    with pytest.raises(
        InputError, match=r"/proc/out.nc: cannot be written \(.+\); free disk space or choose"
    ):
        check_writable("/proc/out.nc")  # not even root can
