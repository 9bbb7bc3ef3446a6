"""Files that are cut, damaged, of another kind, or no files at all."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import socket
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
import pytest
import xarray as xr
from hostile import FILL, Case, check, plain

IN = Path("in.nc")


def cut(kept: Callable[[int], int], kind: str = "NETCDF4", data: Callable[[], xr.Dataset] = plain) -> None:
    """A file that lacks its end."""
    write(data(), kind)
    whole = IN.read_bytes()
    IN.write_bytes(whole[: kept(len(whole))])


def write(data: xr.Dataset, kind: str) -> None:
    """Write in.nc in any format; xarray itself does not know CDF-5."""
    if kind != "NETCDF3_64BIT_DATA":
        data.to_netcdf(IN, format=kind)
        return
    data.to_netcdf("a.nc")
    with netCDF4.Dataset("a.nc") as given, netCDF4.Dataset(IN, "w", format=kind) as made:
        given.set_auto_mask(False)
        for dim, held in given.dimensions.items():
            made.createDimension(dim, None if held.isunlimited() else len(held))
        for name, held in given.variables.items():
            attrs = {key: held.getncattr(key) for key in held.ncattrs()}
            copy = made.createVariable(
                name, held.dtype, held.dimensions, fill_value=attrs.pop("_FillValue", None)
            )
            copy.setncatts(attrs)
            copy[:] = held[:]
    Path("a.nc").unlink()


def in_records() -> xr.Dataset:
    """Several variables on an unlimited dimension."""
    data = plain()
    data = data.assign(count=data.sst.notnull().astype("i2"), other=data.sst.isel(lat=0, lon=0).fillna(0))
    data.encoding["unlimited_dims"] = ["time"]
    return data


def in_bytes() -> xr.Dataset:
    """A single variable of an odd number of bytes on an unlimited dimension."""
    data = plain()
    raw = np.where(data.sst.isnull(), -1, np.round(np.nan_to_num(data.sst.values))).astype("i1")
    data = data.assign(sst=(data.sst.dims, raw, {"_FillValue": np.int8(-1)})).isel(
        lon=slice(1, 6), lat=slice(1, 4)
    )
    data.encoding["unlimited_dims"] = ["time"]
    return data


def bytes_as_numbers() -> xr.Dataset:
    data = in_bytes()
    return data.assign(sst=data.sst.where(data.sst >= 0).astype(np.float32))


def written(content: bytes) -> None:
    IN.write_bytes(content)


def packed(pack: Callable[[], None]) -> None:
    """The file inside another one."""
    plain().to_netcdf("a.nc")
    pack()
    Path("a.nc").unlink()


def zipped() -> None:
    with zipfile.ZipFile(IN, "w") as archive:
        archive.write("a.nc")


def in_tar() -> None:
    with tarfile.open(IN, "w:gz") as archive:
        archive.add("a.nc")


def damaged(start: float, length: int = 300, kind: str = "NETCDF4", **encoding: Any) -> None:
    """Zeros in the middle."""
    plain().to_netcdf(IN, format=kind, encoding={"sst": encoding})
    content = bytearray(IN.read_bytes())
    place = int(start * len(content))
    content[place : place + length] = bytes(min(length, len(content) - place))
    IN.write_bytes(content)


def store(spoil: Callable[[Path], None] = lambda path: None, version: int = 3) -> None:
    """A Zarr store."""
    plain().to_zarr("in.zarr", consolidated=False, zarr_format=version)
    spoil(Path("in.zarr"))


def spoil_chunk(path: Path) -> None:
    chunk = next(part for part in (path / "sst").rglob("*") if part.is_file() and part.name != "zarr.json")
    chunk.write_bytes(b"\0\1\2")


def lose_chunk(path: Path) -> None:
    next(part for part in (path / "sst").rglob("*") if part.is_file() and part.name != "zarr.json").unlink()


def spoil_metadata(path: Path) -> None:
    (path / "sst" / "zarr.json").write_text("{")


def spoil_shape(path: Path) -> None:
    text = json.loads((path / "sst" / "zarr.json").read_text())
    (path / "sst" / "zarr.json").write_text(json.dumps(text | {"shape": [9, 5]}))


def unknown_codec(path: Path) -> None:
    text = (path / "sst" / "zarr.json").read_text()
    (path / "sst" / "zarr.json").write_text(text.replace('"zstd"', '"magic"'))


def bind() -> None:
    with socket.socket(socket.AF_UNIX) as made:
        made.bind("in.nc")


def in_groups() -> None:
    plain().to_netcdf(IN, group="a")
    plain().to_netcdf(IN, group="b", mode="a")


def in_one_group() -> None:
    plain().to_netcdf(IN, group="deep/er")


def without_variables() -> None:
    netCDF4.Dataset(IN, "w").close()


def empty_groups() -> None:
    with netCDF4.Dataset(IN, "w") as file:
        file.createGroup("data/01")


STORE = FILL.replace("in.nc", "in.zarr")
CASES = {
    "nothing": Case(lambda: written(b""), "is empty"),
    "one byte": Case(lambda: written(b"C"), "not a NetCDF file"),
    "three bytes of a header": Case(lambda: written(b"CDF"), "truncated or damaged"),
    "a classic header alone": Case(lambda: written(b"CDF\1" + bytes(4)), "truncated or damaged"),
    "a version that does not exist": Case(lambda: written(b"CDF\7" + bytes(100)), "truncated or damaged"),
    "an HDF5 header alone": Case(lambda: written(b"\x89HDF\r\n\x1a\n"), "truncated or damaged"),
    "text": Case(lambda: written(b"lat lon sst\n1 2 3\n"), "not a NetCDF file"),
    "a web page": Case(lambda: written(b" <!DOCTYPE html><html>log in"), "web page"),
    "JSON": Case(lambda: written(b'{"error": "quota exceeded"}'), "not a NetCDF file"),
    "zeros": Case(lambda: written(bytes(5000)), "not a NetCDF file"),
    "noise": Case(lambda: written(np.random.default_rng(0).bytes(5000)), "not a NetCDF file"),
    "GRIB": Case(lambda: written(b"GRIB\0\0\0\2" + bytes(100)), "not a NetCDF file"),
    "HDF4": Case(lambda: written(b"\x0e\x03\x13\x01" + bytes(100)), "not a NetCDF file"),
    "gzip": Case(
        lambda: packed(lambda: IN.write_bytes(gzip.compress(Path("a.nc").read_bytes())) and None),
        "compressed",
    ),
    "zip": Case(lambda: packed(zipped), "compressed"),
    "tar": Case(lambda: packed(in_tar), "compressed"),
    "a file that is a folder": Case(lambda: IN.mkdir(), "not a Zarr store"),
    "a link to nowhere": Case(lambda: IN.symlink_to("nowhere.nc"), "no such file"),
    "a link to itself": Case(lambda: IN.symlink_to("in.nc"), "cannot be opened"),
    "a socket": Case(bind, "not a file"),
    "a named pipe": Case(lambda: os.mkfifo("in.nc"), "not a file"),
    "a device": Case(lambda: IN.symlink_to("/dev/zero"), "not a file"),
    "a name of 300 bytes": Case(lambda: None, "too long", FILL.replace("in.nc", 300 * "x" + ".nc")),
    "a path of 9000 bytes": Case(lambda: None, "too long", FILL.replace("in.nc", 3000 * "x/." + ".nc")),
    "a name with a null": Case(lambda: None, "cannot be opened", FILL.replace("in.nc", "'a\0b.nc'")),
    "a URL that nobody answers": Case(
        lambda: None, "no server that answers", FILL.replace("in.nc", "http://127.0.0.1:9/sst.nc")
    ),
    "a URL of another protocol": Case(
        lambda: None, "no protocol ftp", FILL.replace("in.nc", "ftp://example.org/sst.nc")
    ),
    "a bucket with its credentials": Case(
        lambda: None, "holds credentials", FILL.replace("in.nc", "s3://key:secret@bucket/sst.zarr")
    ),
    "a pattern of brackets": Case(
        lambda: plain().to_netcdf("a[1].nc") and None, words=FILL.replace("in.nc", "'a[1].nc'")
    ),
    "a name in Greek with spaces": Case(
        lambda: plain().to_netcdf("θερμο κρασία.nc") and None,
        words=FILL.replace("in.nc", "'θερμο κρασία.nc'"),
    ),
    "a name with a line break": Case(
        lambda: plain().to_netcdf("a\nb.nc") and None, words=FILL.replace("in.nc", "'a\nb.nc'")
    ),
    "a name with markup": Case(
        lambda: plain().to_netcdf("[red]a.nc") and None, words=FILL.replace("in.nc", "'[red]a.nc'")
    ),
    "no variables": Case(without_variables, "no variables"),
    "two groups": Case(in_groups, "choose one with --group"),
    "one of two groups": Case(in_groups, words=f"{FILL} --group b"),
    "one deep group": Case(in_one_group),
    "a group that is not there": Case(in_groups, "no group 'c'", f"{FILL} --group c"),
    "a Zarr store of groups": Case(
        lambda: plain().to_zarr("in.zarr", group="a", consolidated=False) and None,
        "choose among a with",
        STORE,
    ),
    "a group of a Zarr store": Case(
        lambda: plain().to_zarr("in.zarr", group="a", consolidated=False) and None, words=f"{STORE} --group a"
    ),
    "a group that a Zarr store lacks": Case(
        lambda: plain().to_zarr("in.zarr", group="a", consolidated=False) and None, "b", f"{STORE} --group b"
    ),
    "empty groups": Case(empty_groups, "no variables"),
    "zeros in the middle": Case(lambda: damaged(0.5, 3000, zlib=True, chunksizes=(1, 5, 6)), "damaged"),
    "a checksum that is wrong": Case(
        lambda: damaged(0.93, 100, fletcher32=True, zlib=True, chunksizes=(1, 5, 6)), "in.nc"
    ),
    "zeros in the header": Case(lambda: damaged(0.01, 400), "damaged"),
    "zeros in a classic header": Case(lambda: damaged(0.02, 60, kind="NETCDF3_CLASSIC"), "in.nc"),
    "a Zarr store": Case(store, words=STORE),
    "a Zarr store of version 2": Case(lambda: store(version=2), words=STORE),
    "a chunk that cannot be read": Case(lambda: store(spoil_chunk), "its values cannot be read", STORE),
    "a chunk that is lost": Case(lambda: store(lose_chunk), "every value of sst is missing", STORE),
    "metadata that cannot be read": Case(lambda: store(spoil_metadata), "in.zarr", STORE),
    "metadata that make no sense": Case(lambda: store(spoil_shape), "in.zarr", STORE),
    "a codec that nobody knows": Case(lambda: store(unknown_codec), "in.zarr", STORE),
    "a Zarr store without its root": Case(
        lambda: store(lambda path: (path / "zarr.json").unlink()), "not a Zarr store", STORE
    ),
    "a Zarr store without its dates": Case(
        lambda: store(lambda path: shutil.rmtree(path / "time")), "time", STORE
    ),
}
for kind in ("NETCDF4", "NETCDF3_CLASSIC", "NETCDF3_64BIT", "NETCDF3_64BIT_DATA"):
    for name, kept in {
        "a tenth": lambda size: size // 10,
        "half": lambda size: size // 2,
        "all but 100 bytes": lambda size: size - 100,
        "all but 4 bytes": lambda size: size - 4,
        "all but a byte": lambda size: size - 1,
    }.items():
        CASES[f"{name} of {kind}"] = Case(lambda kept=kept, kind=kind: cut(kept, kind), "truncated")
        if kind != "NETCDF4":
            CASES[f"{name} of {kind} in records"] = Case(
                lambda kept=kept, kind=kind: cut(kept, kind, in_records),
                "truncated",
                f"{FILL} --variable sst",
            )
            CASES[f"{name} of {kind} in bytes"] = Case(
                lambda kept=kept, kind=kind: cut(kept, kind, in_bytes), "truncated"
            )
    if kind != "NETCDF4":
        CASES[f"all of {kind}"] = Case(lambda kind=kind: cut(lambda size: size, kind))
        CASES[f"all of {kind} in bytes"] = Case(
            lambda kind=kind: cut(lambda size: size, kind, in_bytes), means=bytes_as_numbers, step=1
        )
        CASES[f"all of {kind} in records"] = Case(
            lambda kind=kind: cut(lambda size: size, kind, in_records), words=f"{FILL} --variable sst"
        )


@pytest.mark.parametrize("name", CASES)
def test_bytes(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: Any) -> None:
    check(CASES[name], tmp_path, monkeypatch, capfd)
