"""Bad input is refused in one sentence with the file, the finding and the remedy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from oceanfill.pipeline.errors import InputError
from oceanfill.pipeline.io.field import open_field
from series import series, write


def spoil_shape(d: xr.Dataset) -> xr.Dataset:
    return d.assign(mask=(("j", "i"), np.ones((2, 2))))


def spoil_sst(d: xr.Dataset, at: Any, value: float) -> xr.Dataset:
    d["sst"][at] = value
    return d


BAD = {
    "no variable has time, latitude and longitude": lambda d: d.mean(("time", "lat")),
    "no variable has time, latitude and longitude ": lambda d: d.drop_vars("sst"),
    "time dimension without a time variable (time, length 4)": lambda d: d.drop_vars("time"),
    "time variable time has no units of time (found: none)": lambda d: d.assign_coords(time=np.arange(4.0)),
    "fortnights since 2000-01-01": lambda d: d.assign_coords(
        time=("time", np.arange(4), {"units": "fortnights since 2000-01-01"})
    ),
    "no latitude was found for sst(time, a, lon)": lambda d: d.drop_vars("lat").rename(lat="a"),
    "sst has several levels (depth 0, 1 (its number)); choose one with level=": lambda d: xr.concat(
        [d, d], "depth"
    ),
    "further dimensions, member (2)": lambda d: xr.concat([d, d], "member"),
    "no dates": lambda d: d.isel(time=[]),
    "every value of sst is missing": lambda d: d.where(d.lat > 90),
    "mask mask (1 = sea) has no sea, although 60 values": lambda d: d.assign(mask=d.sst[0] * 0),
    "60 of the 60 values of sst lie outside": lambda d: d.reindex(lon=np.arange(-3, 0, 0.25)).assign(
        mask=lambda e: e.sst[0].isnull().astype("f4")
    ),
    "grid of sst has the shape (3, 0)": lambda d: d.isel(lon=[]),
    "mask has the shape (2, 2) but the grid of sst (3, 5)": spoil_shape,
    "1 of the dates are missing or infinite": lambda d: d.assign_coords(
        time=d.time.where(d.time != d.time[1])
    ),
    "sst is constant (3 ": lambda d: d.where(d.sst.isnull(), 3.0),
    "sst holds text": lambda d: d.assign(sst=d.sst.astype(str)),
    "lat are not in degrees": lambda d: d.assign_coords(lat=d.lat * 1000),
    "lat is not monotonic": lambda d: d.assign_coords(lat=[1.0, 3.0, 2.0]),
    "lon has 1 missing values": lambda d: d.assign_coords(lon=[1.0, 2, np.nan, 4, 5]),
}


@pytest.mark.parametrize("finding", BAD)
def test_bad_files_are_refused_in_a_sentence(tmp_path: Path, finding: str) -> None:
    path = write(BAD[finding](series()), tmp_path / "bad.nc")
    with pytest.raises(InputError) as refusal:
        open_field(path)
    sentence = str(refusal.value)
    assert sentence.startswith(f"{path}: ")
    assert finding.strip() in sentence
    assert "; " in sentence  # the remedy
    assert "\n" not in sentence


@pytest.mark.parametrize(
    ("options", "finding"),
    [
        ({"variable": "tos"}, "a.nc: there is no variable 'tos'; choose among sst"),
        ({"mask_variable": "land"}, "a.nc: there is no mask variable 'land'"),
        ({"mask_variable": "lat"}, "a.nc: lat(lat, float64) is not a mask on (lat, lon)"),
        ({"error_variable": "err"}, "a.nc: there is no err"),
        (
            {"region": (10, 20, 0, 5)},
            "a.nc: the region 10 to 20 N, 0 to 5 E contains no grid point; choose one within 40.00",
        ),
        (
            {"period": "2021/2022"},
            "a.nc: no date lies in the period 2021 to 2022; choose one within 2020-02-27 to 2020-03-01",
        ),
        ({"period": "yesterday/today"}, "the period 'yesterday/today' cannot be read as two dates"),
        ({"transform": "sqrt"}, "no transform 'sqrt'"),
        ({"minimum_coverage": 5}, "minimum coverage 5"),
        ({"observation_error": -1}, "observation error -1"),
        ({"observation_error": 1, "error_variable": "e"}, "both an error variable and an observation error"),
        ({"region": (1, 2, 3)}, "the region (1, 2, 3)"),
    ],
)
def test_options_that_do_not_fit(tmp_path: Path, options: dict[str, Any], finding: str) -> None:
    path = write(series(), tmp_path / "a.nc")
    with pytest.raises(InputError) as refusal:
        open_field(path, **options)
    assert finding in str(refusal.value)


def test_what_is_not_a_data_file(tmp_path: Path) -> None:
    good = write(series(nt=400), tmp_path / "good.nc").read_bytes()
    classic = write(series(nt=400), tmp_path / "classic.nc").read_bytes()
    compressed = series(nt=400)
    compressed.sst.encoding = {"zlib": True}
    damaged = bytearray(write(compressed, tmp_path / "compressed.nc").read_bytes())
    middle = len(damaged) // 2
    damaged[middle : middle + 1000] = bytes(1000)
    contents = {
        "empty": (b"", "is empty"),
        "text": (b"lat lon sst\n", "not a NetCDF file (it starts with b'lat lon "),
        "page": (b"<!DOCTYPE html><html>", "web page"),
        "half": (good[: len(good) // 2], "truncated"),
        "classic_half": (classic[: len(classic) // 2], "truncated"),
        "header": (good[:100], "truncated"),
        "damaged": (bytes(damaged), "its values cannot be read"),
    }
    for name, (content, finding) in contents.items():
        path = tmp_path / f"{name}.nc"
        path.write_bytes(content)
        with pytest.raises(InputError) as refusal:
            open_field(path)
        assert str(refusal.value).startswith(f"{path}: ")
        assert finding in str(refusal.value)
    for name, finding in {
        "absent.nc": "no such file",
        "absent*.nc": "no file matches",
        ".": "not a Zarr store",
    }.items():
        with pytest.raises(InputError, match=finding):
            open_field(tmp_path / name)
    with pytest.raises(InputError, match="no input"):
        open_field([])


def test_files_that_do_not_go_together(tmp_path: Path) -> None:
    dataset = series(nt=8)
    a = write(dataset.isel(time=slice(0, 4)), tmp_path / "a.nc")
    noleap = dataset.isel(time=slice(4, 8)).convert_calendar("noleap", use_cftime=True)
    others = {
        "shifted": (dataset.isel(time=slice(4, 8)).assign_coords(lon=dataset.lon + 0.1), "positions"),
        "cropped": (dataset.isel(time=slice(4, 8), lat=slice(0, 2)), "shape (2, 5) instead of (3, 5)"),
        "renamed": (dataset.isel(time=slice(4, 8)).rename(sst="tos"), "there is no sst"),
        "noleap": (noleap, "its calendar is noleap"),
    }
    for name, (other, finding) in others.items():
        b = write(other, tmp_path / f"{name}.nc")
        with pytest.raises(InputError) as refusal:
            open_field([a, b])
        assert str(refusal.value).startswith(f"{b}: ")
        assert finding in str(refusal.value)
    b = write(dataset.isel(time=slice(3, 8)), tmp_path / "overlap.nc")
    with pytest.raises(InputError, match=r"overlap\.nc: dates with several maps: 1 \(2020-03-01\); choose"):
        open_field([a, b], merge="refuse")
