"""Inputs and outputs by URL, against servers of this process: an object store (moto) and a web server."""

from __future__ import annotations

import functools
import json
import logging
import re
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from fields import cloudy_dataset
from oceanfill.pipeline.cli.main import main
from oceanfill.pipeline.io.remote import stage

import oceanfill
from oceanfill import InputError

KEY, SECRET = "AKIDEXAMPLE", "wJalrXUtnFEMIK7MDENG"
PART = {"method": "linear-time", "quiet": True}


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    moto = pytest.importorskip("moto.server", reason="no server of object stores: moto is not installed")
    pytest.importorskip("s3fs", reason="s3fs is not installed")
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    running = moto.ThreadedMotoServer(port=0, verbose=False)
    running.start()
    host, port = running.get_host_and_port()
    yield f"http://{host}:{port}"
    running.stop()


@pytest.fixture
def bucket(server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The file system of an object store with an empty bucket, ``sea``."""
    import fsspec

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OCEANFILL_DOWNLOADS", str(tmp_path / "downloads"))
    for name, value in {
        "AWS_ENDPOINT_URL": server,
        "AWS_ACCESS_KEY_ID": KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    system = fsspec.filesystem("s3")
    if system.exists("sea"):
        system.rm("sea", recursive=True)
    system.mkdir("sea")
    return system


@pytest.fixture
def small() -> xr.Dataset:
    return cloudy_dataset(dates=8, rows=12, columns=14).drop_vars("truth")


@pytest.fixture
def web(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of a web server of the folder ``web``."""
    pytest.importorskip("fsspec", reason="fsspec is not installed")
    pytest.importorskip("aiohttp", reason="aiohttp is not installed")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OCEANFILL_DOWNLOADS", str(tmp_path / "downloads"))
    Path("web").mkdir()

    class Parts(SimpleHTTPRequestHandler):
        def log_message(self, *words: Any) -> None:
            pass

        def do_GET(self) -> None:
            """Also parts of files, of which the class of Python knows nothing."""
            asked = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
            if asked is None:
                return super().do_GET()
            first, last = map(int, asked.groups())
            part = Path(self.translate_path(self.path)).read_bytes()[first : last + 1]
            self.send_response(206)
            self.send_header("Content-Length", str(len(part)))
            self.end_headers()
            self.wfile.write(part)
            return None

    running = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Parts, directory="web"))
    threading.Thread(target=running.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{running.server_port}"
    running.shutdown()


def assert_same(one: xr.Dataset, other: xr.Dataset) -> None:
    for name in ("sst", "sst_analysis", "sst_error", "sst_source"):
        np.testing.assert_array_equal(one[name].values, other[name].values)


def test_a_store_is_read_from_and_written_to_an_object_store(bucket: Any, small: xr.Dataset, capfd) -> None:
    small.to_zarr("in.zarr", consolidated=True)
    bucket.put("in.zarr", "sea/in.zarr", recursive=True)
    expected = oceanfill.fill("in.zarr", **PART)
    words = ["fill", "s3://sea/in.zarr", "-o", "s3://sea/out.zarr", "--method", "linear-time", "-v"]
    assert main(words) == 0
    with xr.open_dataset("s3://sea/out.zarr", engine="zarr") as filled:
        assert_same(filled, expected)
        assert "oceanfill fill s3://sea/in.zarr -o s3://sea/out.zarr" in filled.attrs["history"]
        assert SECRET not in str(filled.attrs)
    assert SECRET not in "".join(capfd.readouterr())
    assert not [path for path in Path().iterdir() if path.name.startswith(".out")]

    with pytest.raises(InputError, match=r"s3://sea/out.zarr: exists; add overwrite=True"):
        oceanfill.fill("in.zarr", "s3://sea/out.zarr", **PART)
    other = oceanfill.fill("in.zarr", "s3://sea/out.zarr", overwrite=True, period="2020-01-02/", **PART)
    assert other.sizes["time"] == 7
    with pytest.raises(InputError, match=r"s3://sea/in.zarr: exists and is not oceanfill's"):
        oceanfill.fill("in.zarr", "s3://sea/in.zarr", overwrite=True, **PART)
    with pytest.raises(InputError, match="named by a URL is a Zarr store"):
        oceanfill.fill("in.zarr", "s3://sea/out.nc", **PART)


def test_a_record_is_filled_block_by_block_from_store_to_store(bucket: Any, small: xr.Dataset) -> None:
    small.to_zarr("in.zarr", consolidated=True)
    bucket.put("in.zarr", "sea/in.zarr", recursive=True)
    filled = oceanfill.fill("s3://sea/in.zarr", "s3://sea/out.zarr", cache="one.zarr", **PART)
    assert_same(filled, oceanfill.fill("in.zarr", "out.zarr", cache="two.zarr", **PART))
    assert not [path for path in Path().iterdir() if path.name.startswith(".")]


def test_files_of_an_object_store_are_fetched_once_for_each_version(bucket: Any, small: xr.Dataset) -> None:
    for number in range(2):
        small.isel(time=slice(4 * number, 4 * number + 4)).to_netcdf(f"sst_{number}.nc")
        bucket.put_file(f"sst_{number}.nc", f"sea/sst_{number}.nc")
    expected = oceanfill.fill("sst_*.nc", **PART)
    store = oceanfill.prepare("s3://sea/sst_*.nc", "cache.zarr")
    assert_same(oceanfill.fill(store, **PART), expected)
    copies = {path: path.stat().st_mtime_ns for path in Path("downloads").rglob("*.nc")}
    assert sorted(path.name for path in copies) == ["sst_0.nc", "sst_1.nc"]
    assert_same(oceanfill.fill("s3://sea/sst_*.nc", **PART), expected)
    assert copies == {path: path.stat().st_mtime_ns for path in Path("downloads").rglob("*.nc")}
    small.isel(time=slice(0, 3)).to_netcdf("sst_0.nc")
    bucket.put_file("sst_0.nc", "sea/sst_0.nc")
    assert oceanfill.fill("s3://sea/sst_0.nc", **PART).sizes["time"] == 3
    with pytest.raises(InputError, match=r"s3://sea/chl_\*.nc: no file matches"):
        oceanfill.fill("s3://sea/chl_*.nc", **PART)


def test_a_sending_that_was_cut_off_goes_on_and_is_no_store_before(
    bucket: Any, small: xr.Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    small.to_zarr("in.zarr", consolidated=True)
    url, sent, put = "s3://sea/out.zarr", [], bucket.put

    def lose_connection(local: list[str], remote: list[str]) -> None:
        if len(sent) == 1:
            raise OSError("connection lost")
        sent.append(list(remote))
        put(local, remote)

    monkeypatch.setattr("oceanfill.pipeline.io.remote._AT_ONCE", 3)
    monkeypatch.setattr(bucket, "put", lose_connection)
    with pytest.raises(InputError, match=r"s3://sea/out.zarr: cannot be reached \(connection lost\)"):
        oceanfill.fill("in.zarr", url, **PART)
    assert len(bucket.find("sea/out.zarr")) == 3
    assert not bucket.exists("sea/out.zarr/zarr.json"), "half a store must not be taken for a whole one"
    made = (stage(url) / "zarr.json").read_bytes()

    later: list[str] = []

    def note(local: list[str], remote: list[str]) -> None:
        later.extend(remote)
        put(local, remote)

    monkeypatch.setattr(bucket, "put", note)
    filled = oceanfill.fill("in.zarr", url, **PART)
    assert bucket.cat_file("sea/out.zarr/zarr.json") == made, "it was not filled again"
    assert not stage(url).exists()
    assert not set(later).intersection(sent[0])
    assert later[-1] == "sea/out.zarr/zarr.json"
    assert_same(filled, oceanfill.fill("in.zarr", **PART))


def test_files_and_references_are_read_from_the_web(web: str, small: xr.Dataset) -> None:
    small.to_netcdf("web/in.nc", format="NETCDF3_64BIT")
    expected = oceanfill.fill("web/in.nc", **PART)
    assert_same(oceanfill.fill(f"{web}/in.nc", **PART), expected)
    with pytest.raises(InputError, match=f"{web}/absent.nc: no such file or store, or no server"):
        oceanfill.fill(f"{web}/absent.nc", **PART)
    small.to_zarr("web/in.zarr", consolidated=True)
    assert_same(oceanfill.fill(f"{web}/in.zarr", **PART), expected)
    (Path("web") / "page.nc").write_text("<html>log in</html>")
    with pytest.raises(InputError, match=r"page.nc: this is a web page, perhaps a login"):
        oceanfill.fill(f"{web}/page.nc", **PART)

    kerchunk = pytest.importorskip("kerchunk.netCDF3", reason="kerchunk is not installed")
    references = kerchunk.NetCDF3ToZarr("web/in.nc").translate()
    moved = json.dumps(references).replace('"web/in.nc"', f'"{web}/in.nc"')
    Path("web/in.json").write_text(moved)
    for name in ("web/in.json", f"{web}/in.json"):
        assert_same(oceanfill.fill(name, **PART), expected)


@pytest.mark.parametrize(
    ("url", "finding"),
    [
        (f"https://me:{SECRET}@host/in.nc", "holds credentials"),
        (f"https://host/in.nc?X-Amz-Signature={SECRET}", "holds credentials"),
        (f"https://host/in.nc?a=1&access_token={SECRET}", "holds credentials"),
        ("ftp2://host/in.nc", "there is no protocol ftp2; choose s3"),
    ],
)
def test_a_url_with_credentials_is_refused_without_showing_them(
    url: str, finding: str, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    log = tmp_path / "log"
    assert main(["fill", url, "-o", str(tmp_path / "out.nc"), "--log-file", str(log)]) == 2
    said = capfd.readouterr().err
    assert finding in said
    assert SECRET not in said + log.read_text()
    assert main(["fill", "sample:sst_clouds.nc", "-o", url.replace(".nc", ".zarr")]) == 2
    assert SECRET not in "".join(capfd.readouterr())
