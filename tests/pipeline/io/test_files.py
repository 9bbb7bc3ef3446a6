"""The least size of classic files, for every mixture of types and dimensions."""

from __future__ import annotations

from pathlib import Path

import netCDF4
import numpy as np
import pytest
from oceanfill.pipeline.io.files import measure_classic


@pytest.mark.parametrize("kind", ["NETCDF3_CLASSIC", "NETCDF3_64BIT_OFFSET", "NETCDF3_64BIT_DATA"])
@pytest.mark.parametrize("seed", range(8))
def test_the_size_of_a_classic_file(tmp_path: Path, kind: str, seed: int) -> None:
    """It is that of the library's file but for the padding after the last value."""
    rng = np.random.default_rng(seed)
    path = tmp_path / "a.nc"
    with netCDF4.Dataset(path, "w", format=kind) as file:
        file.createDimension("n", None)
        file.createDimension("m", int(rng.integers(1, 8)))
        file.title = "x" * int(rng.integers(1, 9))
        for number in range(int(rng.integers(1, 4))):
            dims = [("n", "m"), ("m",), ("n",), ()][int(rng.integers(4))]
            made = file.createVariable(f"v{number}", str(rng.choice(["i1", "i2", "i4", "f4", "f8"])), dims)
            made.setncattr("numbers", rng.random(int(rng.integers(1, 4))).astype(np.float32))
            made[:] = np.ones([5 if dim == "n" else len(file.dimensions["m"]) for dim in dims])
    with path.open("rb") as file:
        assert 0 <= path.stat().st_size - measure_classic(file) < 4


def test_what_is_no_classic_file(tmp_path: Path) -> None:
    path = tmp_path / "a.nc"
    for content, raised in (
        (b"CDF\1\0\0", EOFError),
        (b"CDF\1" + 8 * b"\0\0\0\1" + b"\xff" * 40, ValueError),
    ):
        path.write_bytes(content)
        with path.open("rb") as file, pytest.raises(raised):
            measure_classic(file)
    path.write_bytes(b"\x89HDF\r\n\x1a\n")
    with path.open("rb") as file:
        assert measure_classic(file) is None
